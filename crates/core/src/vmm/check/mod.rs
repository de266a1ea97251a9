//! The rules for VMs of any hypervisor. All violations are found at once, each with a fix.
//!
//! To add a rule: a function here, or its module: `shared` (what two devices cannot share), `device` (a single device),
//! `texts` (any text). Not here: limits of one hypervisor or release (`bhyve::check`, `qemu`), and anything that requires
//! inspecting the host.

mod device;
mod shared;
#[cfg(test)]
mod tests;
mod texts;

use super::machine::Spec;
use crate::device::place::{HOSTBRIDGE, LPC};
use crate::device::{Device, PciPlace, SerialEnd};
use crate::error::Problem;
use crate::value::Size;
use std::collections::BTreeMap;

/// Minimum memory of a VM.
const LEAST_MEMORY: Size = Size::mib(32);

/// All violations.
pub(super) fn problems(spec: &Spec) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(spec.topology.check().err());
    memory(spec, &mut found);
    places(spec, &mut found);
    singles(spec, &mut found);
    shared::check(spec, &mut found);
    for (place, device) in &spec.devices {
        device::check(*place, device, &mut found);
    }
    texts::check(spec, &mut found);
    found.into_iter().map(|p| if p.object.is_some() { p } else { p.on(&spec.name) }).collect()
}

fn memory(spec: &Spec, found: &mut Vec<Problem>) {
    let size = spec.memory.size;
    if size < LEAST_MEMORY {
        let mut problem = Problem::usage(format!("{size} is too little memory; the least is {LEAST_MEMORY}"));
        if let Some(gib) = [size.mib_up(), size.get()].into_iter().find(|n| (1..1024).contains(n)) {
            problem = problem.hint(format!("a bare number means megabytes: for gigabytes write ram={gib}G"));
        }
        found.push(problem);
    }
    let passed = spec.devices.iter().any(|(_, device)| device.word() == "passthru");
    if passed && !spec.memory_with_extra().wired {
        found.push(
            Problem::usage("a device of the host can be passed to a guest with wired memory only")
                .because("the device writes to memory by itself, so the host must never page it out")
                .hint(format!("add -S: chyves set {} bargs=-S", spec.name)),
        );
    }
}

fn places(spec: &Spec, found: &mut Vec<Problem>) {
    let mut taken: BTreeMap<PciPlace, &Device> = BTreeMap::new();
    for (place, device) in &spec.devices {
        if let Some(other) = taken.insert(*place, device) {
            found.push(
                Problem::usage(format!("two devices have the same PCI slot {place}: {} and {}", other.word(), device.word()))
                    .hint("move one of the two to another slot, or unset its slot"),
            );
        }
        let bridge = matches!(device, Device::HostBridge(_));
        let lpc = device.word() == "lpc";
        if place.first_function() == HOSTBRIDGE && !(bridge && *place == HOSTBRIDGE) {
            found.push(
                Problem::usage(format!("{} cannot be placed at {place}: slot 0 is the host bridge's", device.word()))
                    .hint("choose a slot from 4:0 to 30:7, or unset it"),
            );
        } else if place.first_function() == LPC && !lpc {
            found.push(
                Problem::usage(format!("{} cannot be placed at {place}: slot 31 is the LPC bridge's", device.word()))
                    .hint("choose a slot from 4:0 to 30:7, or unset it"),
            );
        }
    }
}

/// Devices that a VM can have only once.
fn singles(spec: &Spec, found: &mut Vec<Problem>) {
    let count = |word: &str| spec.devices.iter().filter(|(_, device)| device.word() == word).count();
    let elsewhere = spec.devices.iter().any(|(place, device)| device.word() == "lpc" && *place != LPC);
    if count("lpc") > 1 || elsewhere {
        found.push(Problem::usage("a VM has one LPC bridge, which is at 31:0 already").hint("unset the pcidev_{n} with lpc"));
    }
    if count("fbuf") > 1 {
        found.push(
            Problem::usage("a VM has at most one frame buffer").hint("unset the pcidev_{n} with fbuf; the display is a matter of vnc=on"),
        );
    }
    let uarts = spec.devices.iter().filter_map(|(_, device)| if let Device::Uart(uart) = device { Some(&uart.end) } else { None });
    let ends: Vec<&SerialEnd> = spec.serial.iter().flatten().chain(uarts).collect();
    for (end, what) in [(SerialEnd::Console, "the console"), (SerialEnd::Stdio, "standard input and output")] {
        if ends.iter().filter(|e| ***e == end).count() > 1 {
            found.push(Problem::usage(format!("{what} can be one serial port's only")).hint("give the other port a device of its own"));
        }
    }
}
