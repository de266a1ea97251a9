//! What two devices of a VM cannot share: a disk, a network endpoint, an address, a boot index.

use crate::device::{Device, NetBackend};
use crate::error::Problem;
use crate::value::printable;
use crate::vmm::machine::Spec;
use std::collections::BTreeSet;

/// Everything that two devices of the VM share and must not.
pub(super) fn check(spec: &Spec, found: &mut Vec<Problem>) {
    let mut written: BTreeSet<&str> = BTreeSet::new();
    let mut read: BTreeSet<&str> = BTreeSet::new();
    let mut nets: BTreeSet<String> = BTreeSet::new();
    let mut macs = BTreeSet::new();
    let mut boots = BTreeSet::new();
    let mut passed = BTreeSet::new();
    let mut items = BTreeSet::new();
    for item in &spec.fw_cfg {
        if !items.insert(&item.name) {
            found.push(
                Problem::usage(format!("two firmware items have the same name `{}`", printable(&item.name, 80)))
                    .hint("give each fw_cfg{n} its own name, or unset one of the two"),
            );
        }
    }
    for (_, device) in &spec.devices {
        for (path, ro) in device.disks() {
            if if ro { written.contains(path) } else { read.contains(path) || written.contains(path) } {
                found.push(
                    Problem::usage(format!("two disks of the VM are the same: {}", printable(path, 200)))
                        .because("the guest would destroy its file systems")
                        .hint("remove one of the two"),
                );
            }
            if ro {
                read.insert(path)
            } else {
                written.insert(path)
            };
        }
        if let Device::Nic(nic) = device {
            if let Some(end) = exclusive(&nic.backend).filter(|end| !nets.insert(end.clone())) {
                found.push(Problem::usage(format!("two NICs have the same end {end}")).hint("give each NIC its own"));
            }
            if !macs.insert(nic.mac) {
                found.push(
                    Problem::usage(format!("two NICs have the same address {}", nic.mac))
                        .hint("unset the mac of one of them: it is then derived from the guest's identity"),
                );
            }
        }
        if let Device::Passthru(device) = device
            && !passed.insert(device.host)
        {
            found
                .push(Problem::usage(format!("the host's device {} is passed twice", device.host)).hint("unset one of the two pcidev_{n}"));
        }
        for index in device.bootindexes() {
            if !boots.insert(index) {
                found.push(
                    Problem::usage(format!("two devices have the same boot order, bootindex {index}"))
                        .hint("give each device that takes part its own number, the lowest boots first"),
                );
            }
        }
    }
}

/// The host's end of a NIC, if only one NIC can use it.
fn exclusive(backend: &NetBackend) -> Option<String> {
    match backend {
        NetBackend::Tap(name) | NetBackend::Netmap(name) => Some(name.to_string()),
        NetBackend::Vale(port) => Some(port.to_string()),
        NetBackend::Netgraph(node) => Some(format!("{}{}", node.path, node.peerhook)),
        NetBackend::User(_) => None,
    }
}
