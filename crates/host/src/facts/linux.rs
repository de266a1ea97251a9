//! Asking Linux' tools and files. Reading their answers is core's (`os::linux`).

#![allow(clippy::disallowed_methods)] // devices, programs and /proc of the host are inspected

use super::ask;
use chyves_core::check::Wants;
use chyves_core::error::Result;
use chyves_core::os::HostState;
use chyves_core::os::linux::{ip, meminfo, pci, versions};
use chyves_core::os::state::PciFunction;
use chyves_core::world::HostFacts;

/// What a start has to know.
pub(super) fn for_start(host: &mut HostFacts, wants: &Wants) {
    memory(&mut host.state);
    if !wants.cards.is_empty() {
        interfaces(&mut host.state);
    }
    if !wants.passthru.is_empty() {
        host.state.pci = functions();
    }
}

/// The PCI functions of the host; none where sysfs is not there. Without a PCI bus there are no functions.
fn functions() -> Option<Vec<PciFunction>> {
    let driver = |entry: &std::fs::DirEntry| {
        let link = std::fs::read_link(entry.path().join("driver")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    };
    match std::fs::read_dir(pci::FOLDER) {
        Ok(entries) => {
            let one = |entry: std::fs::DirEntry| pci::function(&entry.file_name().to_string_lossy(), driver(&entry).as_deref());
            Some(entries.flatten().filter_map(one).collect())
        }
        Err(_) => std::path::Path::new("/sys/bus").is_dir().then(Vec::new),
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
