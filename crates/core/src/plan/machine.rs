//! A guest's settings as a machine: devices with their places, firmware, processors.
//!
//! Not here: rendering it (`vmm`), making the host ready for it ([`super::start`]).

use super::drives::{self, Loaded};
use super::firmware::Firmware;
use crate::cloudinit;
use crate::device::{
    AhciDetails, Backing, BlockOptions, Device, DeviceClass, DeviceKey, Disk, DiskBus, FrameBuffer, GraphHook, NetBackend, Netgraph, Nic,
    NicModel, NvmeDetails, Optical, Owner, PciPlace, ScreenSize, SerialEnd, UserNet, ValePort, Vga, VncListen, Want, add, parse_pcidev,
    parse_serial_end, resolve,
};
use crate::error::{Kind, Problem, Result};
use crate::guest::{Backend, DiskKind, DiskSpec, Guest, Loader, NetSpec, Spec, disk_name};
use crate::property::keys;
use crate::value::{BadValue, FilePath, IfName};
use crate::vmm::Vmm;
use crate::vmm::bhyve::{Feature, Release};
use crate::vmm::bhyveload::Bhyveload;
use crate::vmm::grub::{self, GrubBhyve};
use crate::vmm::machine::{self, Boot, Machine, Memory, Rtc, Topology, Uefi};
use crate::world::HostFacts;
use std::net::SocketAddr;
use uuid::Uuid;

/// What only the moment of a start can tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fresh {
    /// A VNC port that is free now.
    pub vnc_port: u16,
    /// A password for VNC, made for this start.
    pub secret: String,
    /// The number that was claimed for the devfs ruleset of its jail, where it gets one.
    pub ruleset: Option<u32>,
}

/// The seed's number among other devices: its place follows from it on both hypervisors.
const SEED: u32 = 4;

/// Where a guest's firmware keeps its variables.
pub(super) fn vars_path(folder: &str) -> FilePath {
    FilePath::below(folder, "uefi-vars.fd")
}

/// The file or device of a disk.
pub(super) fn disk_file(guest: &Guest, folder: &str, disk: &DiskSpec) -> FilePath {
    match disk.kind {
        DiskKind::Raw => FilePath::below(folder, disk_name(disk.number, disk.kind)),
        DiskKind::Attached | DiskKind::Zvol => FilePath::host(disk_path(guest, folder, disk)),
    }
}

/// The path of a disk as the hypervisor opens it.
pub fn disk_path(guest: &Guest, folder: &str, disk: &DiskSpec) -> String {
    let name = disk_name(disk.number, disk.kind);
    match disk.kind {
        // That it has a source was checked when its settings were read.
        DiskKind::Attached => disk.source.clone().unwrap_or_default(),
        DiskKind::Raw => format!("{folder}/{name}"),
        DiskKind::Zvol => format!("/dev/zvol/{}/{name}", guest.dataset),
    }
}

/// How a NIC reaches the network under this hypervisor. Where that is left to chyves, what the other settings name is used, or
/// refused with its reason, and never ignored.
pub fn backend(net: &NetSpec, vmm: Vmm) -> Backend {
    match (net.backend, vmm) {
        (Backend::Auto, vmm) => net.named.unwrap_or(match vmm {
            Vmm::Qemu => Backend::User,
            Vmm::Bhyve => Backend::Bridge,
        }),
        (chosen @ (Backend::User | Backend::Bridge | Backend::Vale | Backend::Netgraph), _) => chosen,
    }
}

/// The tap of a NIC: its name follows from the guest's identity, so that two guests never want the same one and a left
/// over one is known again. 32 bits of a hash in 11 characters.
pub fn tap_name(guest: Uuid, number: u16) -> Result<IfName> {
    let hash = Uuid::new_v5(&guest, format!("tap{number}").as_bytes()).simple().to_string();
    Ok(format!("chv{}", &hash[..8]).parse()?)
}

/// The processors of a guest.
///
/// # Errors
/// Its numbers do not multiply.
pub(super) fn topology(guest: &Guest, spec: &Spec) -> Result<Topology> {
    let small = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    let (cpus, sockets, threads) = spec.cpu;
    Topology::spread(small(cpus), small(sockets), small(threads)).map_err(|p| p.on(&guest.name))
}

/// Builds a guest's machine.
///
/// # Errors
/// Everything that does not hold together, in one problem.
pub(super) fn build(
    guest: &Guest,
    spec: &Spec,
    host: &HostFacts,
    folder: &str,
    fresh: &Fresh,
    firmware: Option<&Firmware>,
    drives: &[Option<Loaded>],
) -> Result<Machine> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut or_note = |problem: Problem| problems.push(problem);
    // What can't boot here has its other settings judged all the same.
    let mut boot = boot(guest, spec, host, folder, firmware).map_err(&mut or_note).unwrap_or(Boot::Bios);
    if let Some(medium) = drives.iter().flatten().next() {
        boot_medium(&mut boot, guest, medium);
    }
    let mut wanted = machine::Spec::new(guest.name.clone(), guest.uuid, spec.ram, boot);
    if let Ok(spread) = topology(guest, spec).map_err(&mut or_note) {
        wanted.topology = spread;
    }
    wanted.rtc = if spec.utc { Rtc::Utc } else { Rtc::LocalTime };
    wanted.pc = spec.pc;
    wanted.extra = match host.vmm {
        Vmm::Bhyve => spec.bargs.clone(),
        Vmm::Qemu => spec.qargs.clone(),
    };
    if let Ok(ports) = serial(guest, spec).map_err(&mut or_note) {
        wanted.serial = ports;
    }
    wanted.tpm = spec.tpm.as_deref().map(str::parse).transpose().map_err(|bad: BadValue| or_note(bad.into())).unwrap_or_default();
    wanted.fw_cfg = spec.fw_cfg.iter().map(|(_, item)| Ok(item.parse()?)).collect::<Result<_>>().map_err(&mut or_note).unwrap_or_default();
    let mut devices = devices(guest, spec, host, folder, fresh).map_err(&mut or_note).unwrap_or_default();
    devices.extend(drives::devices(drives, heeds_bootindex(spec, host)));
    wanted.memory = Memory { wired: devices.iter().any(|(_, _, d)| matches!(d, Device::Passthru(_))), ..wanted.memory };
    let wants: Vec<Want> = devices.iter().map(|(key, kept, device)| want(*key, *kept, device)).collect();
    let places = resolve(&wants).map_err(&mut or_note).unwrap_or_default();
    wanted.devices = devices.into_iter().zip(places).map(|((_, _, device), placed)| (placed.place, device)).collect();
    match Machine::build(wanted) {
        Ok(machine) if problems.is_empty() => Ok(machine),
        built => {
            problems.extend(built.err().unwrap_or_default());
            Err(together(guest, problems))
        }
    }
}

/// Whether what boots the guest can be told which device comes first. Firmware under bhyve can where it has QEMU's fw_cfg;
/// before that it asks the disks first, and an installation needs a disk without a system.
fn heeds_bootindex(spec: &Spec, host: &HostFacts) -> bool {
    match host.vmm {
        Vmm::Qemu => true,
        Vmm::Bhyve => spec.loader == Loader::Uefi && host.arch == "amd64" && Release::from(host.release) >= Feature::FwCfg.since(),
    }
}

/// The guest's end of its console under bhyve.
pub(super) fn console_device(guest: &Guest) -> String {
    format!("/dev/nmdm-{}.1A", guest.name)
}

/// The PC's serial ports: the console and what the settings say of the others.
fn serial(guest: &Guest, spec: &Spec) -> Result<[Option<SerialEnd>; 4]> {
    let mut ports = [Some(SerialEnd::Console), None, None, None];
    for (number, text) in &spec.serial {
        let port = ports.get_mut(usize::from(*number).wrapping_sub(1)).filter(|_| *number > 1).ok_or_else(|| {
            Problem::usage(format!("`{}` cannot have the serial port com{number}", guest.name))
                .on(&guest.name)
                .because("com1 is the console, and com2, com3 and com4 are all that a PC has besides")
                .hint(format!("`chyves unset {} com{number}`", guest.name))
        })?;
        *port = Some(parse_serial_end(text).map_err(|why| Problem::usage(format!("com{number} of `{}` is wrong: {why}", guest.name)))?);
    }
    let mut used: Vec<(String, &str)> = vec![("com1".to_owned(), "")];
    for (number, text) in &spec.serial {
        let end = text.strip_suffix(['A', 'B']).unwrap_or(text);
        let own_console = end == console_device(guest).trim_end_matches('A');
        let other = used.iter().find(|(_, theirs)| *theirs == text).map(|(port, _)| port.clone());
        if let Some(other) = other.or_else(|| own_console.then(|| "com1".to_owned())) {
            return Err(Problem::usage(format!("com{number} of `{}` cannot be {text}: its {other} is connected there", guest.name))
                .on(&guest.name)
                .hint(format!("choose another end: `chyves set {} com{number}=/dev/nmdm-{}.{number}A`", guest.name, guest.name)));
        }
        used.push((format!("com{number}"), text));
    }
    Ok(ports)
}

/// What wants a place on the guest's PCI bus, whatever this host can do for it.
fn wants(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<Vec<Want>> {
    let fresh = Fresh { vnc_port: 5900, secret: "unused".into(), ruleset: None };
    Ok(devices(guest, spec, host, "", &fresh)?.iter().map(|(key, kept, device)| want(*key, *kept, device)).collect())
}

/// The place of every device of a guest.
///
/// # Errors
/// Two have the same place, or none is left.
pub(super) fn places(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<Vec<(DeviceKey, PciPlace)>> {
    let placed = resolve(&wants(guest, spec, host)?).map_err(|p| p.on(&guest.name))?;
    Ok(placed.into_iter().map(|p| (p.key, p.place)).collect())
}

/// The place of a new device, where it has to be kept as a property because it does not follow from the device's key.
/// `kept` is a place that was chosen for it.
///
/// # Errors
/// No place is left, or the chosen one is taken.
pub(super) fn place_to_keep(guest: &Guest, host: &HostFacts, key: DeviceKey, kept: Option<PciPlace>) -> Result<Option<PciPlace>> {
    let there = wants(guest, &guest.spec()?, host)?;
    let placed = add(&there, Want::new(key).kept(kept)).map_err(|p| p.on(&guest.name))?;
    Ok((placed.keep || kept.is_some()).then_some(placed.place))
}

fn want(key: DeviceKey, kept: Option<PciPlace>, device: &Device) -> Want {
    let want = Want::new(key).kept(kept);
    match device {
        Device::Passthru(host) => match host.host {
            crate::device::HostDevice::Address(address) => want.of_host(address),
            crate::device::HostDevice::Ppt(_) => want,
        },
        _ => want,
    }
}

/// Several findings as one problem, so that all are reported at once. What was put together before is split. Its class is
/// that of the first that is no fault of the host: a host that has everything would not cure it.
pub(super) fn together(guest: &Guest, problems: Vec<Problem>) -> Problem {
    let mut parts: Vec<Problem> = problems.into_iter().flat_map(Problem::into_parts).collect();
    if parts.len() == 1 {
        return parts.remove(0).on(&guest.name);
    }
    let first = parts.iter().map(|p| p.code).find(|code| *code != Kind::HostCant);
    let code = first.or_else(|| parts.first().map(|p| p.code)).unwrap_or(Kind::Bug);
    let mut all = Problem::new(code, format!("{} things keep `{}` from starting", parts.len(), guest.name)).on(&guest.name);
    all.causes = parts.iter().map(ToString::to_string).collect();
    for hint in parts.iter().flat_map(|p| &p.hints) {
        if !all.hints.contains(hint) {
            all.hints.push(hint.clone());
        }
    }
    all.of_parts(parts)
}

fn boot(guest: &Guest, spec: &Spec, host: &HostFacts, folder: &str, firmware: Option<&Firmware>) -> Result<Boot> {
    let disks = in_boot_order(&spec.disks).into_iter().map(|d| disk_path(guest, folder, d)).collect();
    Ok(match spec.loader {
        Loader::Uefi => match firmware {
            Some(firmware) if host.vmm == Vmm::Bhyve && host.arch == "arm64" => Boot::UBoot { image: firmware.code.path.clone() },
            Some(firmware) => Boot::Uefi(Uefi {
                code: firmware.code.path.clone(),
                vars: firmware.template.as_ref().map(|_| vars_path(folder).to_string()),
            }),
            None => return Err(Problem::bug(format!("the firmware of `{}` was not observed", guest.name))),
        },
        Loader::Bios => match host.vmm {
            Vmm::Qemu => Boot::Bios,
            Vmm::Bhyve => {
                return Err(Problem::host_cant("bhyve has no BIOS")
                    .on(&guest.name)
                    .hint(format!("`chyves set {} loader=uefi`", guest.name)));
            }
        },
        Loader::Bhyveload => Boot::Bhyveload(Bhyveload { disks, flags: spec.bhyveload_flags.clone(), timeout: spec.loader_timeout }),
        Loader::GrubBhyve => Boot::GrubBhyve(GrubBhyve {
            recipe: grub::recipe(&guest.settings.value("os").unwrap_or_default()),
            dir: folder.to_owned(),
            run: super::start::run_dir(guest, host),
            root: spec.grub_root.clone(),
            disks,
            medium: None,
            timeout: spec.loader_timeout,
        }),
    })
}

/// The disks as a loader of the host is given them. It boots the first and knows nothing of a boot index, so those that have
/// one come first.
fn in_boot_order(disks: &[DiskSpec]) -> Vec<&DiskSpec> {
    // Options that cannot be read are refused where the disk is made.
    let index = |disk: &&DiskSpec| disk.options.as_ref().and_then(|text| text.parse::<BlockOptions>().ok()).and_then(|o| o.bootindex);
    let mut all: Vec<&DiskSpec> = disks.iter().collect();
    all.sort_by_key(|disk| index(disk).map_or((1, 0), |index| (0, index)));
    all
}

/// A loader that the host runs boots the medium; firmware finds it by itself.
fn boot_medium(boot: &mut Boot, guest: &Guest, medium: &Loaded) {
    match boot {
        Boot::Bhyveload(loader) => loader.disks.insert(0, medium.path.clone()),
        Boot::GrubBhyve(loader) => {
            let os = guest.settings.value("os").unwrap_or_default();
            let version = grub::version(&os, medium.image.as_str());
            loader.medium = Some(grub::Medium { path: medium.path.clone(), label: medium.label.clone(), version });
        }
        Boot::Uefi(_) | Boot::Bios | Boot::UBoot { .. } => {}
    }
}

type Keyed = (DeviceKey, Option<PciPlace>, Device);

fn devices(guest: &Guest, spec: &Spec, host: &HostFacts, folder: &str, fresh: &Fresh) -> Result<Vec<Keyed>> {
    let mut all: Vec<Keyed> = Vec::new();
    let loaded = matches!(spec.loader, Loader::Bhyveload | Loader::GrubBhyve);
    let kept = |pci: &Option<String>| pci.as_ref().map(|p| p.parse()).transpose();
    for disk in &spec.disks {
        all.push((
            DeviceKey::new(DeviceClass::Disk, disk.number.into()),
            kept(&disk.pci)?,
            Device::Disk(self::disk(guest, disk, host, folder, loaded)?),
        ));
    }
    for net in &spec.nets {
        all.push((DeviceKey::new(DeviceClass::Nic, net.number.into()), kept(&net.pci)?, Device::Nic(nic(guest, net, host)?)));
    }
    for (number, text) in &spec.pcidevs {
        let device = parse_pcidev(text, Owner { guest: guest.uuid, number: *number })
            .map_err(|p| p.within(format!("the setting `pcidev_{number}` of `{}` is wrong", guest.name)))?;
        all.push((DeviceKey::new(DeviceClass::PciDev, (*number).into()), None, device));
    }
    if cloudinit::settings::is_wanted(guest)? {
        // Behind all disks: a guest that counts them finds the first one where it was.
        all.push((DeviceKey::new(DeviceClass::Other, SEED), None, seed(guest, spec, host)?));
    }
    // Every guest has a source of random numbers: without one a fresh guest waits for its keys.
    all.push((DeviceKey::new(DeviceClass::Other, 0), None, Device::Rng));
    if let Some(screen) = &spec.screen {
        let port = if screen.port == 0 { fresh.vnc_port } else { screen.port };
        let (width, height) = screen.size;
        all.push((
            DeviceKey::new(DeviceClass::Display, 0),
            None,
            Device::FrameBuffer(FrameBuffer {
                listen: VncListen::Tcp(SocketAddr::new(screen.address, port)),
                size: ScreenSize { width, height },
                vga: Vga::Io,
                wait: false,
                password: Some(fresh.secret.parse()?),
            }),
        ));
        if screen.tablet {
            all.push((DeviceKey::new(DeviceClass::Other, 1), None, Device::Tablet));
        }
    }
    Ok(all)
}

/// The seed as a drive that the guest has a driver for: its own disk's. It is only read.
fn seed(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<Device> {
    let backing = Backing::file(seed_path(guest, host));
    Ok(if spec.disks.first().is_none_or(|disk| disk.bus == "virtio-blk") {
        let options = BlockOptions { ro: true, nodelete: true, ..BlockOptions::default() };
        Device::Disk(Disk { bus: DiskBus::VirtioBlk, backing, options, serial: cloudinit::LABEL.parse()? })
    } else {
        Device::Optical(Optical { medium: Some(backing), bootindex: None })
    })
}

/// Where a guest's seed lies: in the runtime folder, which is gone with the machine, since it may hold a secret.
pub(super) fn seed_path(guest: &Guest, host: &HostFacts) -> String {
    format!("{}/{}/cidata.iso", host.run_dir, guest.uuid)
}

fn disk(guest: &Guest, disk: &DiskSpec, host: &HostFacts, folder: &str, loaded: bool) -> Result<Disk> {
    let name = |key: keys::DiskKey| keys::disk(disk.number, key);
    let wrong = |key, e| Problem::from(e).within(format!("the setting `{}` of `{}` is wrong", name(key), guest.name)).on(&guest.dataset);
    let mut options: BlockOptions = match &disk.options {
        Some(text) => text.parse().map_err(|e| wrong(keys::DiskKey::Options, e))?,
        None => BlockOptions::default(),
    };
    // QEMU's BIOS boots from what is numbered; bhyve's firmware has an order of its own.
    if host.vmm == Vmm::Qemu && options.bootindex.is_none() {
        options.bootindex = Some(u32::from(disk.number) + 1);
    }
    // A loader of the host has been given its disks in that order.
    if loaded {
        options.bootindex = None;
    }
    let path = disk_path(guest, folder, disk);
    Ok(Disk {
        bus: match disk.bus.as_str() {
            "ahci-hd" => DiskBus::AhciHd(AhciDetails::default()),
            "nvme" => DiskBus::Nvme(NvmeDetails::default()),
            _ => DiskBus::VirtioBlk,
        },
        backing: Backing::at(path),
        options,
        serial: disk.serial.parse().map_err(|e| wrong(keys::DiskKey::Serial, e))?,
    })
}

fn nic(guest: &Guest, net: &NetSpec, host: &HostFacts) -> Result<Nic> {
    Ok(Nic {
        model: if net.model == "e1000" { NicModel::E1000 } else { NicModel::VirtioNet },
        backend: match backend(net, host.vmm) {
            Backend::User | Backend::Auto => NetBackend::User(UserNet { forwards: Vec::new() }),
            Backend::Bridge => NetBackend::Tap(super::network::attach::tap(guest, net)?),
            Backend::Vale if net.vale.contains(':') => NetBackend::Vale(net.vale.parse()?),
            Backend::Vale => NetBackend::Vale(ValePort::derived(&net.vale, guest.uuid, net.number)?),
            Backend::Netgraph => NetBackend::Netgraph(netgraph(guest, net)?),
        },
        mac: net.mac,
        // What every NIC has needs no words.
        mtu: net.mtu.and_then(|m| u16::try_from(m).ok()).filter(|m| *m != 1500),
        queues: net.queues,
        bootindex: None,
    })
}

/// Without a hook that was chosen, a bridge of netgraph gives one that is free.
fn netgraph(guest: &Guest, net: &NetSpec) -> Result<Netgraph> {
    let text = net.netgraph.as_deref().ok_or_else(|| {
        Problem::usage(format!("net{} of `{}` is on no netgraph node", net.number, guest.name))
            .on(&guest.name)
            .hint(format!("`chyves set {} net{}.netgraph=lan:`", guest.name, net.number))
    })?;
    let GraphHook { path, hook } = text.parse()?;
    Ok(Netgraph { path, peerhook: hook.unwrap_or_else(|| "link".to_owned()), socket: None, hook: None })
}
