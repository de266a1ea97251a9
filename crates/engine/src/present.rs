//! What exists on this host, for those who complete, explain or question what a user types: without warnings, and without
//! failures, because the command itself reports both.

use crate::{Engine, Targets};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{Guest, Trashed};
use chyves_core::network::Design;
use chyves_core::os::HostFacts;
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::observe::{self, Look, Which};
use chyves_host::runtime::Runtime;
use chyves_host::{facts, network};

/// All guests, without their settings; none if they cannot be read.
pub fn guests(runtime: &Runtime) -> Option<Vec<Guest>> {
    look(runtime, &Look::at_keys(Vec::new())).map(|world| world.guests)
}

/// Guests of these names, with their settings.
pub fn named(runtime: &Runtime, names: &[GuestName]) -> Vec<Guest> {
    if names.is_empty() {
        return Vec::new();
    }
    look(runtime, &Look::at(names)).map(|world| world.guests).unwrap_or_default()
}

/// The names of the snapshots of a guest.
pub fn snapshots(guest: &Guest) -> Vec<String> {
    let seen = observe::snapshots::of(facts::dialect(), guest).unwrap_or_default();
    seen.into_iter().map(|snapshot| snapshot.name).collect()
}

/// The names of the images.
pub fn images(runtime: &Runtime) -> Vec<String> {
    let world = look(runtime, &Look { images: Which::All, ..Look::default() });
    world.iter().flat_map(|world| &world.images).map(|image| image.name.to_string()).collect()
}

/// The labels of what is in the trash.
pub fn trash(runtime: &Runtime) -> Vec<String> {
    let world = look(runtime, &Look { trash: true, ..Look::default() });
    world.iter().flat_map(|world| &world.trash).map(Trashed::label).collect()
}

/// The names of the pools that are set up.
pub fn pools() -> Vec<String> {
    let roots = observe::roots().map(|(roots, _)| roots).unwrap_or_default();
    roots.iter().map(|root| root.dataset.pool().to_owned()).collect()
}

/// The bridges that are configured or exist.
pub fn bridges(runtime: &Runtime) -> Vec<String> {
    let world = look(runtime, &Look::default());
    let design = world.as_ref().and_then(|world| Some(Design::to_show(&world.primary().ok()?.own).ok()?.0));
    let mut names: Vec<String> = design.iter().flat_map(Design::bridges).map(|bridge| bridge.name.to_string()).collect();
    names.extend(interfaces(runtime, true));
    names.sort();
    names.dedup();
    names
}

/// The bridges of the host, or all its other interfaces.
pub fn interfaces(runtime: &Runtime, bridges: bool) -> Vec<String> {
    if runtime.check().is_err() {
        return Vec::new();
    }
    let os = observe::without_pools(runtime).host.os;
    let actual = network::look(os, runtime).unwrap_or_default();
    actual.interfaces.iter().filter(|(_, interface)| interface.kind.bridges() == bridges).map(|(name, _)| name.clone()).collect()
}

fn look(runtime: &Runtime, look: &Look) -> Option<World> {
    observe::world(runtime, look).ok()
}

/// The facts of another host, as they are stated in a file.
///
/// # Errors
/// The file cannot be read, or states none.
pub fn stated_facts(file: &str) -> Result<HostFacts> {
    observe::stated_facts(file)
}

impl Engine {
    /// The facts of the host: those that are stated, or else those of this one.
    pub fn host_facts(&self) -> HostFacts {
        self.facts.clone().unwrap_or_else(|| self.this_host())
    }

    /// The facts of this host.
    pub fn this_host(&self) -> HostFacts {
        facts::host(self.runtime.root())
    }

    /// The named guests that do not exist, each with similar names.
    ///
    /// # Errors
    /// The host cannot be observed.
    pub fn missing(&self, guests: &Targets) -> Result<Vec<(GuestName, Problem)>> {
        let world = self.look(&Look { keys: Some(Vec::new()), ..guests.look() })?;
        Ok(guests.found(&world)?.1)
    }
}
