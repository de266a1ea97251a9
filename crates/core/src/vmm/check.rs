//! The rules that every machine keeps, whatever runs it. All that is wrong is found at once, each with its cure.
//!
//! Not here: what one hypervisor or release can't do (`bhyve::check`, `qemu`), and anything that needs a look at the host.

use super::machine::{Boot, FwCfgContent, Spec, Tpm};
use crate::device::place::{HOSTBRIDGE, LPC};
use crate::device::{AhciDetails, AhciPort, Device, DiskBus, NetBackend, Nic, NicModel, PciPlace, ScsiBehind, SerialEnd, VirtioConsole};
use crate::error::Problem;
use crate::value::{Size, printable};
use std::collections::{BTreeMap, BTreeSet};

/// The least memory that a machine starts with.
const LEAST_MEMORY: Size = Size::mib(32);

/// Everything that is wrong with it.
pub(super) fn problems(spec: &Spec) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(spec.topology.check().err());
    memory(spec, &mut found);
    places(spec, &mut found);
    singles(spec, &mut found);
    twice(spec, &mut found);
    for (place, device) in &spec.devices {
        one_device(*place, device, &mut found);
    }
    texts(spec, &mut found);
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
                .hint("add -S: chyves set GUEST bargs=-S"),
        );
    }
}

fn places(spec: &Spec, found: &mut Vec<Problem>) {
    let mut taken: BTreeMap<PciPlace, &Device> = BTreeMap::new();
    for (place, device) in &spec.devices {
        if let Some(other) = taken.insert(*place, device) {
            found.push(
                Problem::usage(format!("two devices have the same PCI place {place}: {} and {}", other.word(), device.word()))
                    .hint("give one of the two another place, or unset its place"),
            );
        }
        let bridge = matches!(device, Device::HostBridge(_));
        let lpc = device.word() == "lpc";
        if place.first_function() == HOSTBRIDGE && !(bridge && *place == HOSTBRIDGE) {
            found.push(
                Problem::usage(format!("{} can't sit at {place}: slot 0 is the host bridge's", device.word()))
                    .hint("choose a place from 4:0 to 30:7, or unset it"),
            );
        } else if place.first_function() == LPC && !lpc {
            found.push(
                Problem::usage(format!("{} can't sit at {place}: slot 31 is the LPC bridge's", device.word()))
                    .hint("choose a place from 4:0 to 30:7, or unset it"),
            );
        }
    }
}

/// What a machine can have once only.
fn singles(spec: &Spec, found: &mut Vec<Problem>) {
    let count = |word: &str| spec.devices.iter().filter(|(_, device)| device.word() == word).count();
    let elsewhere = spec.devices.iter().any(|(place, device)| device.word() == "lpc" && *place != LPC);
    if count("lpc") > 1 || elsewhere {
        found.push(
            Problem::usage("a machine has one LPC bridge, which is at 31:0 already").hint("unset the pcidev_{n} that says lpc"),
        );
    }
    if count("fbuf") > 1 {
        found.push(
            Problem::usage("a machine has one frame buffer at most")
                .hint("unset the pcidev_{n} that says fbuf; the screen is a matter of uefi_console_output=vnc"),
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

/// What two devices of a machine can't share.
fn twice(spec: &Spec, found: &mut Vec<Problem>) {
    let mut written: BTreeSet<&str> = BTreeSet::new();
    let mut read: BTreeSet<&str> = BTreeSet::new();
    let mut nets: BTreeSet<String> = BTreeSet::new();
    let mut macs = BTreeSet::new();
    let mut boots = BTreeSet::new();
    let mut passed = BTreeSet::new();
    for (_, device) in &spec.devices {
        for (path, ro) in disks(device) {
            if if ro { written.contains(path) } else { read.contains(path) || written.contains(path) } {
                found.push(
                    Problem::usage(format!("two disks of the machine are the same: {}", printable(path, 200)))
                        .because("the guest would destroy its file systems")
                        .hint("remove one of the two"),
                );
            }
            if ro { read.insert(path) } else { written.insert(path) };
        }
        if let Device::Nic(nic) = device {
            if let Some(end) = exclusive(&nic.backend).filter(|end| !nets.insert(end.clone())) {
                found.push(Problem::usage(format!("two network cards have the same end {end}")).hint("give each card its own"));
            }
            if !macs.insert(nic.mac) {
                found.push(
                    Problem::usage(format!("two network cards have the same address {}", nic.mac))
                        .hint("unset the mac of one of them: it is then derived from the guest's identity"),
                );
            }
        }
        if let Device::Passthru(device) = device
            && !passed.insert(device.host)
        {
            found.push(Problem::usage(format!("the host's device {} is passed twice", device.host)).hint("unset one of the two pcidev_{n}"));
        }
        for index in bootindexes(device) {
            if !boots.insert(index) {
                found.push(
                    Problem::usage(format!("two devices have the same boot order, bootindex {index}"))
                        .hint("give each device that takes part its own number, the lowest boots first"),
                );
            }
        }
    }
}

/// The disks' paths of a device, and whether each is only read.
fn disks(device: &Device) -> Vec<(&str, bool)> {
    match device {
        Device::Disk(disk) => vec![(&disk.backing.path, disk.options.ro)],
        Device::Ahci(controller) => controller
            .ports()
            .iter()
            .filter_map(|port| match port {
                AhciPort::Disk { backing, options, .. } => Some((backing.path.as_str(), options.ro)),
                AhciPort::Optical(_) => None,
            })
            .collect(),
        Device::Scsi(scsi) => match &scsi.behind {
            ScsiBehind::Targets(targets) => targets.iter().map(|t| (t.backing.path.as_str(), false)).collect(),
            ScsiBehind::Ctl { .. } => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The host's end of a card where only one card can hold it.
fn exclusive(backend: &NetBackend) -> Option<String> {
    match backend {
        NetBackend::Tap(name) | NetBackend::Netmap(name) => Some(name.to_string()),
        NetBackend::Vale(port) => Some(port.to_string()),
        NetBackend::Netgraph(node) => Some(format!("{}{}", node.path, node.peerhook)),
        NetBackend::User(_) => None,
    }
}

fn bootindexes(device: &Device) -> Vec<u32> {
    let found: Vec<Option<u32>> = match device {
        Device::Disk(disk) => vec![disk.options.bootindex],
        Device::Optical(drive) => vec![drive.bootindex],
        Device::Ahci(controller) => controller
            .ports()
            .iter()
            .map(|port| match port {
                AhciPort::Disk { options, .. } => options.bootindex,
                AhciPort::Optical(drive) => drive.bootindex,
            })
            .collect(),
        Device::Scsi(scsi) => vec![scsi.bootindex],
        Device::Nic(nic) => vec![nic.bootindex],
        Device::Passthru(device) => vec![device.bootindex],
        _ => Vec::new(),
    };
    found.into_iter().flatten().collect()
}

/// The rules of a single device.
fn one_device(place: PciPlace, device: &Device, found: &mut Vec<Problem>) {
    let mut refuse = |why: String, cure: &str| {
        found.push(Problem::usage(format!("{} at {place}: {why}", device.word())).hint(cure));
    };
    for path in device.paths() {
        if !path.starts_with('/') {
            refuse(format!("`{}` is no absolute path", printable(path, 80)), "write the path from / on");
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
                refuse(format!("{} is no size of a disk in memory", disk.size), "write whole megabytes, as 64M");
            }
        }
        Device::Scsi(scsi) => match &scsi.behind {
            ScsiBehind::Targets(targets) => {
                let ids: BTreeSet<u8> = targets.iter().map(|t| t.id).collect();
                if targets.is_empty() || ids.len() != targets.len() {
                    refuse("each target needs a number of its own, and one is needed at least".into(), "number the targets 0, 1, 2 and so on");
                }
            }
            ScsiBehind::Ctl { .. } => {}
        },
        Device::Nic(nic) => card(nic, &mut refuse),
        Device::Share(share) => {
            let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if share.name.is_empty() || share.name.len() > 31 || !share.name.chars().all(fine) {
                refuse(
                    format!("`{}` is no name of a share", printable(&share.name, 40)),
                    "a share's name has letters, digits, `-`, `_` and `.`, at most 31",
                );
            }
        }
        Device::Console(console) => console_ports(console, &mut refuse),
        Device::FrameBuffer(screen) => {
            let size = screen.size;
            if !(640..=3840).contains(&size.width) || !(480..=2160).contains(&size.height) {
                refuse(format!("{size} is no screen"), "choose a size from 640x480 to 3840x2160");
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
        refuse(format!("`{}` is no model", printable(model, 60)), "a model has 1 to 40 ASCII characters");
    }
    if let Some(revision) = details.revision.as_deref().filter(|revision| !plain(revision, 8)) {
        refuse(format!("`{}` is no revision", printable(revision, 60)), "a revision has 1 to 8 ASCII characters");
    }
}

fn card(nic: &Nic, refuse: &mut impl FnMut(String, &str)) {
    match (nic.model, nic.mtu) {
        (NicModel::E1000, Some(_)) => refuse("an e1000 card can't be told an MTU".into(), "unset the card's mtu, or set its model to virtio-net"),
        (NicModel::VirtioNet, Some(mtu)) if mtu < 68 => refuse(format!("{mtu} is no MTU"), "choose an MTU from 68 to 65535, usually 1500"),
        (NicModel::VirtioNet, _) | (NicModel::E1000, None) => {}
    }
    if let NetBackend::Netgraph(node) = &nic.backend {
        let words = [Some(&node.path), Some(&node.peerhook), node.socket.as_ref(), node.hook.as_ref()];
        if let Some(bad) = words.into_iter().flatten().find(|word| word.is_empty()) {
            refuse(format!("`{bad}` is no name in netgraph"), "write path and peerhook, as path=lan: and peerhook=link2");
        }
    }
}

fn console_ports(console: &VirtioConsole, refuse: &mut impl FnMut(String, &str)) {
    if !(1..=VirtioConsole::PORTS).contains(&console.ports.len()) {
        refuse(format!("{} ports can't be on one virtio console", console.ports.len()), "give it 1 to 16 ports");
    }
    let mut names = BTreeSet::new();
    for port in &console.ports {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if port.name.is_empty() || port.name.len() > 63 || !port.name.chars().all(fine) {
            refuse(
                format!("`{}` is no name of a port", printable(&port.name, 40)),
                "a port's name has letters, digits, `-`, `_` and `.`, at most 63",
            );
        }
        if !names.insert(&port.name) {
            refuse(format!("two ports have the name `{}`", port.name), "give each port its own name");
        }
    }
}

/// No text may carry what would end a line or a word: command lines and config files are made of it.
fn texts(spec: &Spec, found: &mut Vec<Problem>) {
    let mut all: Vec<(&str, &str)> = Vec::new();
    match &spec.boot {
        Boot::Uefi(firmware) => {
            all.push(("the firmware's path", &firmware.code));
            all.extend(firmware.vars.iter().map(|vars| ("the path of the firmware's variables", vars.as_str())));
        }
        Boot::Bios => {}
        Boot::Bhyveload(loader) => {
            all.extend(loader.disks.iter().map(|disk| ("the loader's disk", disk.as_str())));
            all.extend(loader.flags.iter().map(|flag| ("a flag of bhyveload", flag.as_str())));
        }
        Boot::GrubBhyve(loader) => all.extend(loader.texts()),
        Boot::UBoot { image } => all.push(("the path of U-Boot", image)),
    }
    for (_, device) in &spec.devices {
        all.extend(device.paths().into_iter().map(|path| ("a device's path", path)));
        if let Device::Nic(Nic { backend: NetBackend::Netgraph(node), .. }) = device {
            let words = [Some(&node.path), Some(&node.peerhook), node.socket.as_ref(), node.hook.as_ref()];
            all.extend(words.into_iter().flatten().map(|word| ("a name in netgraph", word.as_str())));
        }
    }
    all.extend(spec.serial.iter().flatten().filter_map(SerialEnd::path).map(|path| ("a serial port's path", path)));
    all.extend(spec.tpm.iter().map(|tpm| match tpm {
        Tpm::Passthru { device: path } | Tpm::Swtpm { socket: path } => ("the TPM's path", path.as_str()),
    }));
    for item in &spec.fw_cfg {
        all.push(("the name of a firmware item", &item.name));
        match &item.content {
            FwCfgContent::Text(text) => all.push(("a firmware item", text)),
            FwCfgContent::File(path) => all.push(("the path of a firmware item", path)),
        }
    }
    all.extend(spec.extra.iter().map(|word| ("an argument", word.as_str())));
    for (what, text) in all {
        if text.chars().any(char::is_control) {
            found.push(Problem::usage(format!("{what} has control characters: `{}`", printable(text, 80))).hint("write it without them"));
        } else if text.is_empty() && what != "an argument" {
            found.push(Problem::usage(format!("{what} is empty")).hint("set it, or unset the property"));
        }
    }
}
