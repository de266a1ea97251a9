//! The host's networks: what a start needs of them, what commands change, what goes with a machine.
//!
//! * [`apply`]: all of it made so, and where it is not
//! * [`attach`]: the NICs of guests that are about to run
//! * [`bridge`]: what bridges are to be
//! * [`nics`]: NICs that guests gain, lose, or that move to another bridge
//! * [`migrate`]: all of one bridge to another
//! * [`tidy`]: what goes with a machine
//!
//! Not here: what differs (`network::compare`), how the system is told (`os`).

pub mod apply;
pub mod attach;
pub mod bridge;
pub mod migrate;
pub mod nics;
pub mod tidy;

use crate::error::Result;
use crate::network::{Actual, Design, STARTED, compare::Room};
use crate::world::{HostFacts, World};

/// What is known of the host's networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What is wanted.
    pub design: Design,
    /// What is there.
    pub actual: Actual,
}

impl Facts {
    /// The design of the world's primary pool, beside what was seen.
    ///
    /// # Errors
    /// A stored setting is wrong, or no pool is primary.
    pub fn of(world: &World, actual: Actual) -> Result<Self> {
        Ok(Self { design: Design::read(&world.primary()?.own)?, actual })
    }

    /// Whether an uplink with addresses is to join its bridge, so that the routes by it must be known.
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
