//! Plans for the host's networks: what a start needs of them, commands that change them, and cleaning up after a VM.
//!
//! * [`apply`]: bringing everything in line with the design
//! * [`attach`]: the NICs of guests that are about to run
//! * [`bridge`]: commands that change the design of bridges
//! * [`nics`]: adding, removing and moving NICs of guests
//! * `running`: the NICs of guests as they run
//! * [`services`]: starting and stopping the services of bridges
//! * [`migrate`]: moving everything of one bridge to another
//! * [`tidy`]: cleaning up after a VM
//!
//! Not here: comparing design and host (`network::compare`), the commands of the operating system (`os`).

pub mod apply;
pub mod attach;
pub mod bridge;
pub mod migrate;
pub mod nics;
mod running;
pub mod services;
pub mod tidy;

pub use running::nic_bridge;

use crate::error::{Problem, Result};
use crate::network::{Actual, Design, STARTED, compare::Room};
use crate::os::HostFacts;
use crate::world::World;

/// The design and the state of the host's networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The desired configuration.
    pub design: Design,
    /// The actual state.
    pub actual: Actual,
}

impl Facts {
    /// The design from the world's primary pool, with the state that was read.
    ///
    /// # Errors
    /// A stored setting is invalid, or no pool is primary.
    pub fn of(world: &World, actual: Actual) -> Result<Self> {
        Ok(Self { design: Design::read(&world.primary()?.own)?, actual })
    }

    /// The same for what changes nothing, as [`Design::to_show`].
    ///
    /// # Errors
    /// A bridge has no valid name, or no pool is primary.
    pub fn to_show(world: &World, actual: Actual) -> Result<(Self, Option<Problem>)> {
        let (design, problem) = Design::to_show(&world.primary()?.own)?;
        Ok((Self { design, actual }, problem))
    }

    /// Whether an uplink with addresses is going to join its bridge, so that the routes through it must be known.
    pub fn moves_addresses(&self) -> bool {
        self.design.bridges().any(|spec| {
            let uplink = spec.uplink.as_ref().and_then(|u| self.actual.get(u.as_str()));
            uplink.is_some_and(|i| !i.addresses.is_empty() && i.bridge.as_deref() != Some(spec.name.as_str()))
                || self.actual.lost(spec.name.as_str()).is_some()
        })
    }

    fn room(&self, host: &HostFacts) -> Room<'_> {
        Room { os: host.os, release: host.release, design: &self.design, actual: &self.actual, mark: STARTED }
    }
}

#[cfg(test)]
mod tests;
