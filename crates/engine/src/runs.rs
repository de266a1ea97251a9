//! Running guests: what each was started with, which its record states, and what differs at its next start.

use crate::Engine;
use chyves_core::guest::pending::{Pending, pending};
use chyves_core::guest::{Backend, Guest, NetSpec, backend};
use chyves_core::network::Actual;
use chyves_core::plan::network::nic_bridge;
use chyves_core::plan::start::as_before;
use chyves_core::value::IfName;
use chyves_host::network;
use chyves_host::runtime::Record;
use std::sync::OnceLock;

/// The host's interfaces, which are read when the first NIC needs them.
#[derive(Default)]
pub(crate) struct Interfaces(OnceLock<Option<Actual>>);

/// The guest with the settings that its run was started with; as it is, if its record has none.
pub(crate) fn started(guest: &Guest, record: &Record) -> Guest {
    if record.launch.made_of.is_empty() { guest.clone() } else { as_before(guest, &record.launch) }
}

impl Interfaces {
    fn read(&self, engine: &Engine, guest: &Guest) -> Option<&Actual> {
        let os = engine.facts.as_ref().map_or_else(chyves_host::facts::os, |facts| facts.os);
        // Without the tools of networks, what the record states is the best that is known.
        let read = || network::look(os, &engine.runtime).ok();
        if guest.state.is_alive() && engine.facts.is_none() { self.0.get_or_init(read).as_ref() } else { None }
    }

    /// The bridge that a NIC of a running guest is on now: NICs move while their guests run.
    pub(crate) fn bridge(&self, engine: &Engine, guest: &Guest, net: &NetSpec) -> Option<IfName> {
        nic_bridge(self.read(engine, guest)?, guest, net)
    }

    /// The changes that the present run does not use. A NIC that is on its new bridge already waits for nothing.
    pub(crate) fn pending(&self, engine: &Engine, guest: &Guest, record: &Record) -> Vec<Pending> {
        let mut all = pending(&record.launch.settings, guest);
        if !all.iter().any(|change| bridge_of(change).is_some()) {
            return all;
        }
        let Ok(next) = guest.spec() else { return all };
        let is_there = |number: u16| {
            let net = next.nets.iter().find(|net| net.number == number && net.backend != Backend::User);
            net.is_some_and(|net| self.bridge(engine, guest, net).is_some_and(|now| now == net.bridge))
        };
        all.retain(|change| !bridge_of(change).is_some_and(is_there));
        all
    }
}

/// The NIC whose bridge a change names.
fn bridge_of(change: &Pending) -> Option<u16> {
    change.property.strip_prefix("net")?.strip_suffix(".bridge")?.parse().ok()
}

/// Whether a NIC is attached to a bridge or a node.
pub(crate) fn is_attached(net: &NetSpec, vmm: chyves_core::vmm::Vmm) -> bool {
    matches!(backend(net, vmm), Backend::Bridge | Backend::Netgraph)
}
