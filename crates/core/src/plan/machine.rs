//! Turns a guest's settings into a VM description: devices with PCI addresses, firmware, processors.
//!
//! Not here: rendering it for a hypervisor (`vmm`), preparing the host for it ([`super::start`]).

use super::drives::{self, Loaded};
use super::firmware::Firmware;
use crate::cloudinit;
use crate::device::{
    AhciDetails, Backing, BlockOptions, Device, DeviceClass, DeviceKey, Disk, DiskBus, FrameBuffer, GraphHook, NetBackend, Netgraph, Nic,
    NvmeDetails, Optical, Owner, PciPlace, ScreenSize, SerialEnd, UserNet, ValePort, Vga, VncListen, Want, add, parse_pcidev,
    parse_serial_end, resolve,
};
use crate::error::{Kind, Problem, Result};
use crate::guest::{Backend, Bus, DiskKind, DiskSpec, Guest, Loader, NetSpec, Spec, backend, disk_name};
use crate::os::HostFacts;
use crate::property::keys;
use crate::value::{BadValue, FilePath, IfName};
use crate::vmm::Vmm;
use crate::vmm::bhyve::{Feature, Release};
use crate::vmm::bhyveload::Bhyveload;
use crate::vmm::grub::{self, GrubBhyve};
use crate::vmm::machine::{self, Boot, Machine, Memory, Rtc, Topology, Uefi};
use std::net::SocketAddr;
use uuid::Uuid;

/// Values that are only known at the moment of a start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fresh {
    /// A VNC port that is free at that moment.
    pub vnc_port: u16,
    /// A VNC password generated for this start.
    pub secret: String,
    /// The number that was reserved for the devfs ruleset of its jail, if it has one.
    pub ruleset: Option<u32>,
}

/// The device number of the cloud-init seed; both hypervisors derive its PCI address from it.
const SEED: u32 = 4;

/// The file that stores a guest's firmware variables.
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
        // The settings were validated when they were read, so an attached disk has a source.
        DiskKind::Attached => disk.source.clone().unwrap_or_default(),
        DiskKind::Raw => format!("{folder}/{name}"),
        DiskKind::Zvol => format!("/dev/zvol/{}/{name}", guest.dataset),
    }
}

/// The name of a NIC's tap. It is derived from the guest's UUID, so that no two guests use the same one and a leftover tap
/// can be attributed to its guest: 32 bits of a hash in 11 characters.
pub fn tap_name(guest: Uuid, number: u16) -> Result<IfName> {
    let hash = Uuid::new_v5(&guest, format!("tap{number}").as_bytes()).simple().to_string();
    Ok(format!("chv{}", &hash[..8]).parse()?)
}

/// The CPU topology of a guest.
///
/// # Errors
/// Sockets, cores and threads do not multiply to the number of CPUs.
pub(super) fn topology(guest: &Guest, spec: &Spec) -> Result<Topology> {
    let small = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    let (cpus, sockets, threads) = spec.cpu;
    Topology::spread(small(cpus), small(sockets), small(threads)).map_err(|p| p.on(&guest.name))
}

/// Builds the description of a guest's VM.
///
/// # Errors
/// All contradictions among the settings, in one problem.
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
    // If the boot method is unusable, the other settings are checked all the same.
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
    let keyed = devices.iter().map(|(key, _, device)| (key.to_string(), device));
    let _ = super::listeners::distinct(guest, spec, &wanted.serial, keyed).map_err(&mut or_note);
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

/// Whether the firmware or loader accepts a boot order. bhyve's firmware does if bhyve provides QEMU's fw_cfg; older
/// releases try the disks first, so that an installation needs a disk without an operating system.
fn heeds_bootindex(spec: &Spec, host: &HostFacts) -> bool {
    match host.vmm {
        Vmm::Qemu => true,
        Vmm::Bhyve => spec.loader == Loader::Uefi && host.arch == "amd64" && Release::from(host.release) >= Feature::FwCfg.since(),
    }
}

/// The guest's side of its console device under bhyve.
pub(super) fn console_device(guest: &Guest) -> String {
    format!("/dev/nmdm-{}.1A", guest.name)
}

/// The PC's serial ports: the console, and the others as the settings define them.
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

/// All devices that need a PCI address, whether or not this host supports them.
fn wants(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<Vec<Want>> {
    let fresh = Fresh { vnc_port: 5900, secret: "unused".into(), ruleset: None };
    Ok(devices(guest, spec, host, "", &fresh)?.iter().map(|(key, kept, device)| want(*key, *kept, device)).collect())
}

/// The PCI address of every device of a guest.
///
/// # Errors
/// Two devices have the same address, or none is free.
pub(super) fn places(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<Vec<(DeviceKey, PciPlace)>> {
    let placed = resolve(&wants(guest, spec, host)?).map_err(|p| p.on(&guest.name))?;
    Ok(placed.into_iter().map(|p| (p.key, p.place)).collect())
}

/// The PCI address of a new device, if it has to be stored as a property because it differs from the one derived from the
/// device's key. `kept` is an address that the user chose.
///
/// # Errors
/// No address is free, or the chosen one is taken.
pub(super) fn place_to_keep(guest: &Guest, host: &HostFacts, key: DeviceKey, kept: Option<PciPlace>) -> Result<Option<PciPlace>> {
    let there = wants(guest, &guest.spec()?, host)?;
    let placed = add(&there, Want::new(key).kept(kept)).map_err(|p| p.on(&guest.name))?;
    Ok((placed.keep || kept.is_some()).then_some(placed.place))
}

fn want(key: DeviceKey, kept: Option<PciPlace>, device: &Device) -> Want {
    let want = Want::new(key).kept(kept);
    match device.passed() {
        Some(crate::device::HostDevice::Address(address)) => want.of_host(*address),
        Some(crate::device::HostDevice::Ppt(_)) | None => want,
    }
}

/// Combines several problems into one, so that all are reported at once; combined ones are split first. The class is that
/// of the first problem that is not caused by the host, because fixing the host would not solve it.
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

/// The disks in the order in which a host-side loader gets them. It boots the first one and does not support a boot index,
/// so disks with a boot index come first.
fn in_boot_order(disks: &[DiskSpec]) -> Vec<&DiskSpec> {
    // Invalid options are refused where the disk device is built.
    let index = |disk: &&DiskSpec| disk.options.as_ref().and_then(|text| text.parse::<BlockOptions>().ok()).and_then(|o| o.bootindex);
    let mut all: Vec<&DiskSpec> = disks.iter().collect();
    all.sort_by_key(|disk| index(disk).map_or((1, 0), |index| (0, index)));
    all
}

/// Selects the medium as boot device for a loader that runs on the host; firmware finds the medium by itself.
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
        // After all disks, so that the first disk keeps its position for a guest that counts disks.
        all.push((DeviceKey::new(DeviceClass::Other, SEED), None, seed(guest, spec, host)?));
    }
    // Every guest gets a source of random numbers: without one, a fresh guest waits for entropy when it generates keys.
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

/// The seed as a read-only drive on a bus that the guest has a driver for: the one of its first disk.
fn seed(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<Device> {
    let backing = Backing::file(seed_path(guest, host));
    Ok(if spec.disks.first().is_none_or(|disk| disk.bus == Bus::VirtioBlk) {
        let options = BlockOptions { ro: true, nodelete: true, ..BlockOptions::default() };
        Device::Disk(Disk { bus: DiskBus::VirtioBlk, backing, options, serial: cloudinit::LABEL.parse()? })
    } else {
        Device::Optical(Optical { medium: Some(backing), bootindex: None })
    })
}

/// The path of a guest's seed: in the runtime folder, which is removed at the end of the run, because the seed may contain
/// secrets.
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
    // QEMU's BIOS boots devices that have a boot index; bhyve's firmware has its own order.
    if host.vmm == Vmm::Qemu && options.bootindex.is_none() {
        options.bootindex = Some(u32::from(disk.number) + 1);
    }
    // A host-side loader already gets the disks in boot order.
    if loaded {
        options.bootindex = None;
    }
    let path = disk_path(guest, folder, disk);
    Ok(Disk {
        bus: match disk.bus {
            Bus::AhciHd => DiskBus::AhciHd(AhciDetails::default()),
            Bus::Nvme => DiskBus::Nvme(NvmeDetails::default()),
            Bus::VirtioBlk => DiskBus::VirtioBlk,
        },
        backing: Backing::at(path),
        options,
        serial: disk.serial.parse().map_err(|e| wrong(keys::DiskKey::Serial, e))?,
    })
}

fn nic(guest: &Guest, net: &NetSpec, host: &HostFacts) -> Result<Nic> {
    Ok(Nic {
        model: net.model,
        backend: match backend(net, host.vmm) {
            Backend::User | Backend::Auto => NetBackend::User(UserNet { forwards: Vec::new() }),
            Backend::Bridge => NetBackend::Tap(super::network::attach::tap(guest, net)?),
            Backend::Vale if net.vale.contains(':') => NetBackend::Vale(net.vale.parse()?),
            Backend::Vale => NetBackend::Vale(ValePort::derived(&net.vale, guest.uuid, net.number)?),
            Backend::Netgraph => NetBackend::Netgraph(netgraph(guest, net)?),
        },
        mac: net.mac,
        // 1500 is the default of every NIC and is omitted.
        mtu: net.mtu.and_then(|m| u16::try_from(m).ok()).filter(|m| *m != 1500),
        queues: net.queues,
        bootindex: None,
    })
}

/// Without an explicit hook, one that is free on the netgraph bridge is used.
fn netgraph(guest: &Guest, net: &NetSpec) -> Result<Netgraph> {
    let text = net.netgraph.as_deref().ok_or_else(|| {
        Problem::usage(format!("net{} of `{}` is on no netgraph node", net.number, guest.name))
            .on(&guest.name)
            .hint(format!("`chyves set {} net{}.netgraph=lan:`", guest.name, net.number))
    })?;
    let GraphHook { path, hook } = text.parse()?;
    Ok(Netgraph { path, peerhook: hook.unwrap_or_else(|| "link".to_owned()), socket: None, hook: None })
}
