//! Converts the output of FreeBSD's tools to facts about the host. Output that was not requested leaves facts unknown;
//! output that cannot be parsed becomes a fault, which is reported with the other findings and does not affect other facts.
//!
//! Not here: running the tools (chyves-host), and what follows from the facts (`check`).

use super::Release;
use super::sysctl::Values;
use super::{acpidump, bhyve, dmesg, ifconfig, kldstat, pciconf, sysctl};
use crate::error::{Problem, Result};
use crate::os::HostFacts;
use crate::os::state::{Cpu, Memory, Vendor};
use crate::value::Size;
use std::collections::BTreeSet;

/// The output of the tools; `None` if one was not run, is missing or printed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Printed {
    /// See [`sysctl`].
    pub sysctl: Option<String>,
    /// See [`kldstat`].
    pub kldstat: Option<String>,
    /// Modules that are built into the kernel, of those that were queried.
    pub built_in: Vec<String>,
    /// See [`dmesg`].
    pub dmesg: Option<String>,
    /// See [`ifconfig::names`].
    pub interfaces: Option<String>,
    /// See [`ifconfig::bridges`].
    pub bridges: Option<String>,
    /// See [`pciconf`].
    pub pciconf: Option<String>,
    /// See [`acpidump`].
    pub acpidump: Option<String>,
    /// See [`bhyve::emulations`].
    pub emulations: Option<String>,
    /// See [`bhyve::lpc`].
    pub lpc: Option<String>,
    /// The names in `/dev/vmm`.
    pub vms: Option<BTreeSet<String>>,
}

/// Adds the facts in the tools' output to the host's.
pub fn read(printed: &Printed, host: &mut HostFacts) {
    let mut faults: Vec<Problem> = Vec::new();
    let mut values = Values::default();
    if let Some(text) = &printed.sysctl {
        keep(&mut faults, sysctl::parse(text), |found| values = found);
    }
    keep(&mut faults, kernel(&values, host), |()| {});
    let state = &mut host.state;
    if let Some(text) = &printed.kldstat {
        keep(&mut faults, kldstat::parse(text), |mut found| {
            found.extend(printed.built_in.iter().cloned());
            state.modules = Some(found);
        });
    }
    let mut boot = dmesg::Boot::Silent;
    if let Some(text) = &printed.dmesg {
        keep(&mut faults, dmesg::parse(text), |found| boot = found);
    }
    keep(&mut faults, cpu(&values, &boot, host.arch == "arm64"), |found| state.cpu = found);
    if let Some(names) = &printed.interfaces {
        keep(&mut faults, ifconfig::parse(names, printed.bridges.as_deref().unwrap_or_default()), |found| state.interfaces = Some(found));
    }
    if let Some(text) = &printed.pciconf {
        keep(&mut faults, pciconf::parse(text), |found| state.pci = Some(found));
    }
    if let Some(text) = &printed.acpidump {
        keep(&mut faults, acpidump::parse(text), |found| state.iommu = Some(found));
    }
    if let Some(text) = &printed.emulations {
        keep(&mut faults, bhyve::parse(text), |found| state.emulations = Some(found));
    }
    if let Some(text) = &printed.lpc {
        keep(&mut faults, bhyve::parse(text), |found| state.lpc = Some(found));
    }
    state.vms = printed.vms.clone().or(state.vms.take());
    state.faults.append(&mut faults);
}

fn keep<T>(faults: &mut Vec<Problem>, result: Result<T>, found: impl FnOnce(T)) {
    match result {
        Ok(value) => found(value),
        Err(problem) => faults.push(problem),
    }
}

/// The facts from the kernel's sysctls.
fn kernel(values: &Values, host: &mut HostFacts) -> Result<()> {
    if let Some(text) = values.text("kern.osrelease") {
        let release: Release = text.parse()?;
        host.release = (release.major, release.minor);
        host.state.system = Some(text.to_owned());
    }
    if let Some(machine) = values.text("hw.machine") {
        machine.clone_into(&mut host.arch);
    }
    let state = &mut host.state;
    state.osreldate = values.number("kern.osreldate")?;
    state.securelevel = values.number("kern.securelevel")?;
    state.jailed = values.flag("security.jail.jailed")?;
    state.racct = values.flag("kern.racct.enable")?;
    state.inside = values.text("kern.vm_guest").map(str::to_owned);
    state.max_cpus = values.number("hw.vmm.maxcpu")?;
    state.amdvi = values.flag("hw.vmm.amdvi.enable")?;
    state.memory = memory(values)?;
    Ok(())
}

fn memory(values: &Values) -> Result<Option<Memory>> {
    let number = |name| values.number::<u64>(name);
    let page = number("hw.pagesize")?.unwrap_or(4096);
    let pages = |name| Ok::<_, Problem>(number(name)?.map(|n| Size::bytes(n.saturating_mul(page))));
    let (total, free, inactive) = (number("hw.physmem")?, pages("vm.stats.vm.v_free_count")?, pages("vm.stats.vm.v_inactive_count")?);
    let cache = match (number("kstat.zfs.misc.arcstats.size")?, number("kstat.zfs.misc.arcstats.c_min")?) {
        (Some(size), Some(least)) => Some(Size::bytes(size.saturating_sub(least))),
        _ => None,
    };
    let (Some(total), Some(free), Some(inactive)) = (total, free, inactive) else { return Ok(None) };
    Ok(Some(Memory {
        total: Size::bytes(total),
        available: Size::bytes(free.get().saturating_add(inactive.get())),
        wired: pages("vm.stats.vm.v_wire_count")?,
        cache,
    }))
}

/// The bits of `hw.vmm.svm.features` that vmm needs: nested paging, and saving the next instruction's address.
const SVM_NEEDED: u64 = 1 | 1 << 3;

/// The processor's features. vmm's own sysctls take precedence over the boot messages.
fn cpu(values: &Values, boot: &dmesg::Boot, arm: bool) -> Result<Cpu> {
    let mut cpu = Cpu { model: values.text("hw.model").map(str::to_owned), count: values.number("hw.ncpu")?, ..Cpu::default() };
    if arm {
        cpu.vendor = Some(Vendor::Arm);
        // On arm64, vmm only initialises in EL2; the boot messages do not mention it.
        if values.text("hw.vmm.maxcpu").is_some() {
            (cpu.nested_paging, cpu.unrestricted) = (Some(true), Some(true));
        }
        return Ok(cpu);
    }
    match boot {
        dmesg::Boot::Silent => {}
        dmesg::Boot::Pc(None) => cpu.nested_paging = Some(false),
        dmesg::Boot::Pc(Some(found)) => {
            let has = |word: &str| found.features.contains(word);
            cpu.vendor = Some(found.vendor);
            cpu.switched_off = Some(found.switched_off);
            (cpu.nested_paging, cpu.unrestricted) = match found.vendor {
                Vendor::Intel => (Some(has("EPT")), Some(has("UG"))),
                // A verbose boot spells it with an S.
                Vendor::Amd => (Some(has("NP") && (has("NRIP") || has("NRIPS"))), Some(true)),
                Vendor::Arm => (None, None),
            };
        }
    }
    if values.flag("hw.vmm.vmx.initialized")? == Some(true) {
        (cpu.vendor, cpu.nested_paging, cpu.switched_off) = (Some(Vendor::Intel), Some(true), Some(false));
        cpu.unrestricted = values.flag("hw.vmm.vmx.cap.unrestricted_guest")?.or(cpu.unrestricted);
    }
    // 0 if vmm is loaded and SVM did not initialise: then the boot messages apply.
    if let Some(features) = values.number::<u64>("hw.vmm.svm.features")?.filter(|bits| *bits != 0) {
        (cpu.vendor, cpu.unrestricted, cpu.switched_off) = (Some(Vendor::Amd), Some(true), Some(false));
        cpu.nested_paging = Some(features & SVM_NEEDED == SVM_NEEDED);
    }
    Ok(cpu)
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
