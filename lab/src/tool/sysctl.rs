//! sysctl(8): the values that a manager of virtual machines asks for, as the lab's host would give them.
//! A new value is a row in `all`.

use crate::exit::{Done, exit};
use crate::getopt::{Met, walk};
use crate::host::{Cpu, Host};
use crate::place::Place;
use crate::release::since;
use crate::{pci, vm};

/// Who may change a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    /// Only loader.conf.
    Tunable,
    Write,
}
use Access::{Read, Tunable, Write};

struct Value {
    name: &'static str,
    access: Access,
    value: String,
}

const PAGE: u64 = 4096;

const TAP: &[(&str, bool)] = &[
    ("net.link.tap.up_on_open", false),
    ("net.link.tap.user_open", false),
    ("net.link.tap.devfs_cloning", true),
    ("net.link.tap.debug", false),
];

const VMX: &[&str] = &[
    "hw.vmm.vmx.cap.halt_exit",
    "hw.vmm.vmx.cap.pause_exit",
    "hw.vmm.vmx.cap.monitor_trap",
    "hw.vmm.vmx.cap.invpcid",
    "hw.vmm.vmx.cap.virtual_interrupt_delivery",
    "hw.vmm.vmx.cap.posted_interrupts",
];

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, names) = walk("AabdeFhiNnoqTtWxl", &[], args);
    let (mut bare, mut only_names, mut lenient, mut quiet, mut equals, mut everything) = (false, false, false, false, false, false);
    for option in options {
        match option {
            Met::Short('n', _) => bare = true,
            Met::Short('N', _) => only_names = true,
            Met::Short('i', _) => lenient = true,
            Met::Short('q', _) => quiet = true,
            Met::Short('e', _) => equals = true,
            Met::Short('a' | 'A', _) => everything = true,
            Met::Short(..) | Met::Long(..) => {}
            Met::Unknown(what) => return usage(&what),
        }
    }
    if names.is_empty() && !everything {
        return usage("no name is given");
    }
    let values = all(place)?;
    let show = |value: &Value| match (only_names, bare, equals) {
        (true, _, _) => println!("{}", value.name),
        (_, true, _) => println!("{}", value.value),
        (_, _, true) => println!("{}={}", value.name, value.value),
        _ => println!("{}: {}", value.name, value.value),
    };
    if everything {
        values.iter().for_each(show);
        return Ok(());
    }
    let mut failed = Vec::new();
    for word in names {
        let (name, new) = word.split_once('=').map_or((word.as_str(), None), |(name, new)| (name, Some(new)));
        let below = format!("{name}.");
        let found: Vec<&Value> = values.iter().filter(|value| value.name == name || value.name.starts_with(&below)).collect();
        match (found.as_slice(), new) {
            ([], _) if lenient => {}
            ([], _) => failed.push(format!("sysctl: unknown oid '{name}'")),
            (found, None) => found.iter().for_each(|value| show(value)),
            ([value], Some(new)) if value.name == name => match change(place, value, new)? {
                Ok(()) if quiet => {}
                Ok(()) if bare => println!("{new}"),
                Ok(()) => println!("{name}: {} -> {new}", value.value),
                Err(text) => failed.push(text),
            },
            (_, Some(_)) => failed.push(format!("sysctl: oid '{name}' isn't a leaf node")),
        }
    }
    match (failed.is_empty(), quiet) {
        (true, _) => Ok(()),
        (false, true) => exit(1, ""),
        (false, false) => exit(1, failed.join("\n")),
    }
}

fn usage(what: &str) -> Done {
    exit(
        1,
        format!(
            "sysctl: {what}\nusage: sysctl [-bdehiNnoqTtWx] [ -B <bufsize> ] [-f filename] name[=value] ...\n       sysctl [-bdehNnoqTtWx] -a"
        ),
    )
}

/// The value that a name has now.
pub(crate) fn value(place: &Place, name: &str) -> Done<Option<String>> {
    Ok(all(place)?.into_iter().find(|value| value.name == name).map(|value| value.value))
}

fn change(place: &Place, value: &Value, new: &str) -> Done<Result<(), String>> {
    let name = value.name;
    match value.access {
        Read => return Ok(Err(format!("sysctl: oid '{name}' is read only"))),
        Tunable => {
            let hint = "sysctl: Tunable values are set in /boot/loader.conf";
            return Ok(Err(format!("sysctl: oid '{name}' is a read only tunable\n{hint}")));
        }
        Write => {}
    }
    let done = match name {
        "hw.vmm.create" => Some(vm::create(place, new)?),
        "hw.vmm.destroy" => Some(vm::destroy(place, new)?),
        _ => None,
    };
    match done {
        Some(Ok(())) => return Ok(Ok(())),
        Some(Err(errno)) => return Ok(Err(format!("sysctl: {name}={new}: {}", errno.text()))),
        None => {}
    }
    if new.parse::<i64>().is_err() {
        return Ok(Err(format!("sysctl: invalid integer '{new}'")));
    }
    let mut kept = place.read_pairs("sysctl")?;
    kept.insert(name.to_owned(), new.to_owned());
    place.write_pairs("sysctl", &kept)?;
    Ok(Ok(()))
}

/// Every value of this host now, in the order of `sysctl -a`.
fn all(place: &Place) -> Done<Vec<Value>> {
    let host = &place.host;
    let mut values = Vec::new();
    let mut row = |name: &'static str, access: Access, value: String| values.push(Value { name, access, value });
    let bit = |on: bool| u8::from(on).to_string();
    let pages = host.physmem / PAGE;
    let wired: u64 = vm::all_running(place)?.iter().map(|(_, vm)| vm.memory / PAGE).sum::<u64>() + pages / 16;
    row("kern.ostype", Read, "FreeBSD".to_owned());
    row("kern.osrelease", Read, host.release.text(host.patch));
    row("kern.osreldate", Read, host.release.date().to_string());
    row("kern.securelevel", Read, host.securelevel.to_string());
    row("kern.smp.cpus", Read, host.ncpu.to_string());
    row("kern.vm_guest", Read, "none".to_owned());
    row("kern.racct.enable", Tunable, bit(false));
    row("vm.stats.vm.v_wire_count", Read, wired.to_string());
    row("vm.stats.vm.v_inactive_count", Read, (pages / 16).to_string());
    row("vm.stats.vm.v_free_count", Read, pages.saturating_sub(wired + pages / 16).to_string());
    row("vfs.zfs.vol.mode", Write, "1".to_owned());
    row("net.inet.ip.forwarding", Write, bit(false));
    for (name, default) in TAP {
        row(name, Write, bit(*default));
    }
    if place.has_module("if_bridge")? {
        // Since 14.0 bridged frames are not filtered unless asked for.
        let filter = host.release < since(14, 0);
        row("net.link.bridge.pfil_onlyip", Write, bit(true));
        row("net.link.bridge.pfil_member", Write, bit(filter));
        row("net.link.bridge.pfil_bridge", Write, bit(filter));
        row("net.link.bridge.inherit_mac", Write, bit(false));
        if host.release.major == 15 {
            row("net.link.bridge.member_ifaddrs", Write, bit(false));
        }
    }
    let (machine, arch, model) = machine(host);
    row("hw.machine", Read, machine.to_owned());
    row("hw.model", Read, model.to_owned());
    row("hw.ncpu", Read, host.ncpu.to_string());
    row("hw.physmem", Read, host.physmem.to_string());
    row("hw.usermem", Read, (host.physmem - wired.min(pages) * PAGE).to_string());
    row("hw.pagesize", Read, PAGE.to_string());
    row("hw.machine_arch", Read, arch.to_owned());
    if place.has_module("vmm")? {
        vmm(place, &mut row)?;
    }
    row("security.jail.jailed", Read, bit(host.jailed));
    let kept = place.read_pairs("sysctl")?;
    for value in &mut values {
        if let Some(new) = kept.get(value.name) {
            value.value.clone_from(new);
        }
    }
    Ok(values)
}

/// What vmm brings.
fn vmm(place: &Place, row: &mut impl FnMut(&'static str, Access, String)) -> Done {
    let host = &place.host;
    let bit = |on: bool| u8::from(on).to_string();
    // Writing a name to these two is the older way to make and end a VM.
    row("hw.vmm.create", Write, "beavis".to_owned());
    row("hw.vmm.destroy", Write, "beavis".to_owned());
    if host.release >= since(13, 2) {
        row("hw.vmm.maxcpu", Tunable, host.max_vcpus().to_string());
    }
    if host.arm64() {
        return Ok(());
    }
    row("hw.vmm.topology.cores_per_package", Tunable, "1".to_owned());
    row("hw.vmm.topology.threads_per_core", Tunable, "1".to_owned());
    row("hw.vmm.trace_guest_exceptions", Tunable, bit(false));
    row("hw.vmm.bhyve_xcpuids", Tunable, "1".to_owned());
    if host.cpu == Cpu::Intel {
        row("hw.vmm.vmx.initialized", Read, bit(true));
        for name in VMX {
            row(name, Read, bit(true));
        }
        row("hw.vmm.vmx.cap.unrestricted_guest", Read, bit(host.unrestricted));
    }
    if host.cpu == Cpu::Amd {
        row("hw.vmm.svm.features", Read, "113919".to_owned());
        row("hw.vmm.svm.num_asids", Read, "32768".to_owned());
        row("hw.vmm.npt.pmap_flags", Read, "507".to_owned());
        row("hw.vmm.amdvi.enable", Tunable, bit(host.amdvi));
    }
    let in_use = vm::all_running(place)?.iter().any(|(_, vm)| !vm.passthru.is_empty());
    row("hw.vmm.iommu.initialized", Read, bit(in_use));
    row("hw.vmm.iommu.enable", Tunable, bit(true));
    row("hw.vmm.ppt.devices", Read, pci::devices(place)?.iter().filter(|device| device.is_ppt()).count().to_string());
    Ok(())
}

fn machine(host: &Host) -> (&'static str, &'static str, &'static str) {
    match host.cpu {
        Cpu::Intel => ("amd64", "amd64", "Intel(R) Xeon(R) E-2288G CPU @ 3.70GHz"),
        Cpu::Amd => ("amd64", "amd64", "AMD EPYC 7302P 16-Core Processor"),
        Cpu::Plain => ("amd64", "amd64", "Intel(R) Atom(TM) CPU D525   @ 1.80GHz"),
        Cpu::Arm64 => ("arm64", "aarch64", "ARM Neoverse-N1 r3p1"),
    }
}
