//! The rules of a single device.

use crate::device::{AhciDetails, AhciPort, Device, DiskBus, NetBackend, Nic, NicModel, PciPlace, ScsiBehind, VirtioConsole};
use crate::error::Problem;
use crate::value::{Size, printable};
use std::collections::BTreeSet;

/// Checks the device by itself.
pub(super) fn check(place: PciPlace, device: &Device, found: &mut Vec<Problem>) {
    let mut refuse = |why: String, cure: &str| {
        found.push(Problem::usage(format!("{} at {place}: {why}", device.word())).hint(cure));
    };
    for path in device.paths() {
        if !path.starts_with('/') {
            refuse(format!("`{}` is not an absolute path", printable(path, 80)), "write the path from / on");
        }
    }
    match device {
        Device::Disk(disk) => match &disk.bus {
            DiskBus::AhciHd(details) => ahci_details(details, &mut refuse),
            DiskBus::VirtioBlk | DiskBus::Nvme(_) => {}
        },
        Device::Ahci(controller) => {
            for port in controller.ports() {
                match port {
                    AhciPort::Disk { details, .. } => ahci_details(details, &mut refuse),
                    AhciPort::Optical(_) => {}
                }
            }
        }
        Device::RamDisk(disk) => {
            if disk.size < Size::mib(1) || disk.size.get() % Size::mib(1).get() != 0 {
                refuse(format!("{} is not a size of a disk in memory", disk.size), "write whole megabytes, as 64M");
            }
        }
        Device::Scsi(scsi) => match &scsi.behind {
            ScsiBehind::Targets(targets) => {
                let ids: BTreeSet<u8> = targets.iter().map(|t| t.id).collect();
                if targets.is_empty() || ids.len() != targets.len() {
                    refuse(
                        "each target needs a number of its own, and one is needed at least".into(),
                        "number the targets 0, 1, 2 and so on",
                    );
                }
            }
            ScsiBehind::Ctl { .. } => {}
        },
        Device::Nic(nic) => network(nic, &mut refuse),
        Device::Share(share) => {
            let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if share.name.is_empty() || share.name.len() > 31 || !share.name.chars().all(fine) {
                refuse(
                    format!("`{}` is not a name of a share", printable(&share.name, 40)),
                    "a share's name has letters, digits, `-`, `_` and `.`, at most 31",
                );
            }
        }
        Device::Console(console) => console_ports(console, &mut refuse),
        Device::FrameBuffer(screen) => {
            let size = screen.size;
            if !(640..=3840).contains(&size.width) || !(480..=2160).contains(&size.height) {
                refuse(format!("{size} is not a display"), "choose a size from 640x480 to 3840x2160");
            }
        }
        Device::HostBridge(_)
        | Device::Lpc
        | Device::Optical(_)
        | Device::Rng
        | Device::Input(_)
        | Device::Tablet
        | Device::Hda(_)
        | Device::Passthru(_)
        | Device::Uart(_)
        | Device::Filler
        | Device::Raw(_) => {}
    }
}

fn ahci_details(details: &AhciDetails, refuse: &mut impl FnMut(String, &str)) {
    let plain = |text: &str, limit: usize| (1..=limit).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if let Some(model) = details.model.as_deref().filter(|model| !plain(model, 40)) {
        refuse(format!("`{}` is not a model", printable(model, 60)), "a model has 1 to 40 ASCII characters");
    }
    if let Some(revision) = details.revision.as_deref().filter(|revision| !plain(revision, 8)) {
        refuse(format!("`{}` is not a revision", printable(revision, 60)), "a revision has 1 to 8 ASCII characters");
    }
}

fn network(nic: &Nic, refuse: &mut impl FnMut(String, &str)) {
    match (nic.model, nic.mtu) {
        (NicModel::E1000, Some(_)) => refuse("e1000 has no configurable MTU".into(), "unset the NIC's mtu, or set its model to virtio-net"),
        (NicModel::VirtioNet, Some(mtu)) if mtu < 68 => {
            refuse(format!("{mtu} is not an MTU"), "choose an MTU from 68 to 65535, usually 1500")
        }
        (NicModel::VirtioNet, _) | (NicModel::E1000, None) => {}
    }
    if let NetBackend::Netgraph(node) = &nic.backend {
        let words = [Some(&node.path), Some(&node.peerhook), node.socket.as_ref(), node.hook.as_ref()];
        if let Some(bad) = words.into_iter().flatten().find(|word| word.is_empty()) {
            refuse(format!("`{bad}` is not a name in netgraph"), "write path and peerhook, as path=lan: and peerhook=link2");
        }
    }
}

fn console_ports(console: &VirtioConsole, refuse: &mut impl FnMut(String, &str)) {
    if !(1..=VirtioConsole::PORTS).contains(&console.ports.len()) {
        refuse(format!("{} ports cannot be on one virtio console", console.ports.len()), "give it 1 to 16 ports");
    }
    let mut names = BTreeSet::new();
    for port in &console.ports {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if port.name.is_empty() || port.name.len() > 63 || !port.name.chars().all(fine) {
            refuse(
                format!("`{}` is not a name of a port", printable(&port.name, 40)),
                "a port's name has letters, digits, `-`, `_` and `.`, at most 63",
            );
        }
        if !names.insert(&port.name) {
            refuse(format!("two ports have the name `{}`", port.name), "give each port its own name");
        }
    }
}
