//! Queries FreeBSD's tools. Parsing their output is core's (`os::freebsd::facts`).

use super::{ask, program_there};
use crate::hostfs::kernel as kernel_files;
use crate::platform;
use crate::run;
use crate::runtime::Runtime;
use chyves_core::check::{Wants, modules};
use chyves_core::os::HostFacts;
use chyves_core::os::freebsd::facts::{Printed, read};
use chyves_core::os::freebsd::{acpidump, bhyve, dmesg, ifconfig, kenv, kldstat, ngctl, pciconf, pkg, processes, sysctl};
use chyves_core::os::state::Iommu;
use chyves_core::vmm::bhyve::Release;
use std::collections::BTreeSet;

/// The directory of bhyve's VM objects.
const VMM: &str = "/dev/vmm";

/// The release and the architecture, as the kernel reports them.
pub(super) fn name() -> Option<((u16, u16), String)> {
    let answer = ask(&sysctl::name())?;
    let (release, arch) = answer.trim().split_once('\n')?;
    let release: Release = release.trim().parse().ok()?;
    Some(((release.major, release.minor), arch.trim().to_owned()))
}

/// The facts that a start needs.
pub(super) fn for_start(rt: &Runtime, host: &mut HostFacts, wants: &Wants) {
    let passthru = !wants.passthru.is_empty();
    let nics = !wants.nics.is_empty();
    let mut printed = kernel(wants.modules.iter().map(String::as_str));
    if nics {
        networks(&mut printed);
    }
    if passthru {
        buses(&mut printed);
    }
    if wants.emulations {
        printed.emulations = ask(&bhyve::emulations());
    }
    let busy = !wants.again && printed.vms.as_ref().is_some_and(|vms| vms.contains(wants.guest.as_str()));
    read(&printed, host);
    for (_, node) in &wants.nodes {
        // Without the module no node can exist, and the tool would load the module just to answer.
        let there = host.state.modules.as_ref().is_none_or(|m| m.contains("ng_socket")) && ask(&ngctl::query(node)).is_some();
        host.state.nodes.insert(node.clone(), there);
    }
    limit(host, wants);
    if passthru {
        amdvi(host);
    }
    if busy && let Some(list) = ask(&processes::list()) {
        match processes::parse_list(&list) {
            Ok(all) => host.state.bhyves = processes::bhyves(&all),
            Err(fault) => host.state.faults.push(fault),
        }
    }
    if passthru || !wants.ports.is_empty() {
        given(rt, host);
    }
    if wants.boot_order {
        firmware_age(host);
    }
    if let Some(program) = wants.loader_program() {
        program_there(host, program);
    }
}

/// The limit of processors while vmm is not loaded. Queried only if the guest wants more processors than the host has.
fn limit(host: &mut HostFacts, wants: &Wants) {
    let Some(count) = host.state.cpu.count.filter(|count| host.state.max_cpus.is_none() && wants.cpus > *count) else { return };
    // kenv(1) fails only if nothing is set; a host without the program leaves the limit unknown.
    if let Ok(answer) = run::run(&kenv::max_cpus()) {
        host.state.max_cpus = kenv::limit(answer.ok().then_some(answer.stdout.as_str()), count);
    }
}

/// Whether vmm will use AMD's IOMMU once it is loaded, as loader.conf sets it.
fn amdvi(host: &mut HostFacts) {
    if host.state.amdvi.is_none()
        && host.state.iommu == Some(Iommu::Ivrs)
        && let Ok(answer) = run::run(&kenv::amdvi())
    {
        host.state.amdvi = Some(kenv::uses_amdvi(answer.ok().then_some(answer.stdout.as_str())));
    }
}

/// The version of the firmware's package; the boot order depends on it.
fn firmware_age(host: &mut HostFacts) {
    if let Some(version) = ask(&pkg::version(pkg::FIRMWARE)).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
        host.state.versions.insert(pkg::FIRMWARE.to_owned(), version);
    }
}

/// All facts that can be queried.
pub(super) fn for_doctor(host: &mut HostFacts) {
    let mut printed = kernel(modules::USUAL);
    networks(&mut printed);
    buses(&mut printed);
    printed.emulations = ask(&bhyve::emulations());
    if host.arch != "arm64" {
        printed.lpc = ask(&bhyve::lpc());
    }
    read(&printed, host);
    amdvi(host);
    if host.uefi.is_some() && host.arch == "amd64" {
        firmware_age(host);
    }
    for program in ["bhyveload", "grub-bhyve"] {
        program_there(host, program);
    }
}

/// The kernel, its modules, and the VM objects.
fn kernel<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Printed {
    let mut printed =
        Printed { sysctl: ask(&sysctl::command()), kldstat: ask(&kldstat::command()), vms: vm_objects(), ..Printed::default() };
    let files = printed.kldstat.as_deref().and_then(|text| kldstat::parse(text).ok()).unwrap_or_default();
    for module in wanted.into_iter().filter(|module| !files.contains(*module)) {
        if ask(&kldstat::query(module)).is_some() {
            printed.built_in.push(module.to_owned());
        }
    }
    // vmm's own sysctls are more reliable than the boot messages, but exist only once it is loaded.
    if !printed.sysctl.as_deref().is_some_and(|text| text.contains("hw.vmm.")) {
        let text = kernel_files::read(platform::here().path(dmesg::FILE)).ok();
        printed.dmesg = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    }
    printed
}

fn networks(printed: &mut Printed) {
    printed.interfaces = ask(&ifconfig::names());
    printed.bridges = ask(&ifconfig::bridges());
}

fn buses(printed: &mut Printed) {
    printed.pciconf = ask(&pciconf::command());
    printed.acpidump = ask(&acpidump::command());
}

/// The VM objects; none if they cannot be read.
fn vm_objects() -> Option<BTreeSet<String>> {
    match kernel_files::names(platform::here().path(VMM)) {
        Ok(names) => Some(names.iter().map(|name| name.to_string_lossy().into_owned()).collect()),
        // The directory does not exist while there is no VM.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Some(BTreeSet::new()),
        Err(_) => None,
    }
}

/// The passthrough devices that running guests use.
fn given(rt: &Runtime, host: &mut HostFacts) {
    // Not the record of a crashed guest: it remains, but the guest no longer uses a device.
    match rt.records_of_living() {
        Ok(all) => {
            for record in all {
                host.state.given.extend(record.launch.given.iter().map(|device| (device.clone(), record.guest.to_string())));
            }
        }
        Err(fault) => host.state.faults.push(fault),
    }
}
