//! The state of the host's networks, desired and actual.

use crate::Engine;
use chyves_core::error::Result;
use chyves_core::network::Actual;
use chyves_core::plan::network::Facts;
use chyves_core::world::World;
use chyves_host::network;
use chyves_host::observe::{self, Look};

impl Engine {
    /// Observes the host, including the host-wide settings.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub fn look_with_settings(&self, look: &Look) -> Result<World> {
        let mut world = self.look(look)?;
        observe::global(&mut world)?;
        Ok(world)
    }

    /// The current state of the host's networks, including default routes and the current login. `netgraph` includes its nodes
    /// even if the settings use none.
    ///
    /// # Errors
    /// The networks cannot be queried, or the settings are invalid.
    pub fn networks(&self, world: &World, netgraph: bool) -> Result<Facts> {
        self.with_nodes(world, netgraph, Facts::of(world, self.actual(world)?)?)
    }

    /// The same for an operation that changes nothing: if the setting that states who creates networks is invalid, that is a
    /// warning, and the default applies.
    ///
    /// # Errors
    /// The networks cannot be queried, or the name of a bridge is invalid.
    pub fn networks_to_show(&self, world: &World, netgraph: bool) -> Result<Facts> {
        let (facts, problem) = Facts::to_show(world, self.actual(world)?)?;
        if let Some(problem) = problem {
            self.warn_of(&problem);
        }
        self.with_nodes(world, netgraph, facts)
    }

    fn actual(&self, world: &World) -> Result<Actual> {
        // Another host's networks cannot be observed; plans assume that there are none.
        if self.facts.is_some() { Ok(Actual::default()) } else { network::look_with_care(world.host.os, &self.runtime) }
    }

    fn with_nodes(&self, world: &World, netgraph: bool, mut facts: Facts) -> Result<Facts> {
        if self.facts.is_none() {
            network::graph::look_where_wanted(&mut facts, netgraph, world.host.os, &self.runtime)?;
        }
        Ok(facts)
    }
}
