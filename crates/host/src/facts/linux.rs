//! Queries Linux's tools and files. Parsing their output is core's (`os::linux`).

use super::ask;
use crate::hostfs::kernel;
use chyves_core::check::Wants;
use chyves_core::error::Result;
use chyves_core::os::linux::{ip, meminfo, pci, versions};
use chyves_core::os::state::PciFunction;
use chyves_core::os::{HostFacts, HostState};

/// The facts that a start needs.
pub(super) fn for_start(host: &mut HostFacts, wants: &Wants) {
    memory(&mut host.state);
    if !wants.nics.is_empty() {
        interfaces(&mut host.state);
    }
    if !wants.passthru.is_empty() {
        host.state.pci = functions();
    }
}

/// The PCI functions of the host; none without sysfs. Without a PCI bus the list is empty.
fn functions() -> Option<Vec<PciFunction>> {
    let driver = |name: &str| {
        let link = kernel::link(format!("{}/{name}/driver", pci::FOLDER)).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    };
    match kernel::names(pci::FOLDER) {
        Ok(names) => {
            let names = names.iter().map(|name| name.to_string_lossy());
            Some(names.filter_map(|name| pci::function(&name, driver(&name).as_deref())).collect())
        }
        Err(_) => kernel::is_there("/sys/bus").then(Vec::new),
    }
}

/// All facts that can be queried.
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
    if let Ok(text) = kernel::text(meminfo::FILE) {
        state.memory = kept(meminfo::parse(&text), state);
    }
}

fn interfaces(state: &mut HostState) {
    if let Some(text) = ask(&ip::command()) {
        state.interfaces = kept(ip::parse(&text), state);
    }
}

/// Keeps a value that could be read; an error is recorded as a fault, reported with the other findings.
fn kept<T>(read: Result<T>, state: &mut HostState) -> Option<T> {
    read.map_err(|fault| state.faults.push(fault)).ok()
}
