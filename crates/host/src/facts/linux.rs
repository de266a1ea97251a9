//! Asking Linux' tools and files. Reading their answers is core's (`os::linux`).

use super::ask;
use chyves_core::check::Wants;
use chyves_core::error::Result;
use chyves_core::os::HostState;
use chyves_core::os::linux::{ip, meminfo, versions};
use chyves_core::world::HostFacts;

/// What a start has to know.
pub(super) fn for_start(host: &mut HostFacts, wants: &Wants) {
    memory(&mut host.state);
    if !wants.cards.is_empty() {
        interfaces(&mut host.state);
    }
}

/// All that can be known.
pub(super) fn for_doctor(host: &mut HostFacts) {
    memory(&mut host.state);
    interfaces(&mut host.state);
    host.state.system = Some(rustix::system::uname().release().to_string_lossy().into_owned());
    if let Some(program) = &host.hypervisor
        && let Some(version) = ask(&versions::qemu(program)).and_then(|text| versions::parse_qemu(&text).ok())
    {
        host.state.versions.insert("qemu".to_owned(), version);
    }
}

fn memory(state: &mut HostState) {
    if let Ok(text) = std::fs::read_to_string(meminfo::FILE) {
        state.memory = kept(meminfo::parse(&text), state);
    }
}

fn interfaces(state: &mut HostState) {
    if let Some(text) = ask(&ip::command()) {
        state.interfaces = kept(ip::parse(&text), state);
    }
}

/// What could be read; what could not is a fault, told with the other findings.
fn kept<T>(read: Result<T>, state: &mut HostState) -> Option<T> {
    read.map_err(|fault| state.faults.push(fault)).ok()
}
