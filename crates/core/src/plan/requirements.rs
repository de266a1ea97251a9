//! Derives what a guest's start needs from its host from the guest's settings. The host is inspected for these needs only.
//!
//! Not here: whether the host meets them (`check`), and the VM's description ([`super::machine`]).

use super::drives::Drive;
use super::firmware::Firmware;
use super::machine::disk_file;
use super::start::Occasion;
use crate::check::{Need, WantedNic, WantedPath, Wants};
use crate::device::{
    AhciPort, BlockOptions, Device, FwCfg, FwCfgContent, GraphHook, NetBackend, Nic, Owner, ScsiBehind, SerialEnd, Tpm, VncListen,
    parse_pcidev, parse_serial_end,
};
use crate::error::Result;
use crate::guest::{Backend, DiskKind, DiskSpec, Guest, Loader, RunState, Spec, backend};
use crate::os::{HostFacts, Os, taps};
use crate::property::keys;
use crate::value::FilePath;
use crate::vmm::Vmm;
use crate::vmm::bhyve::{self, Feature, Given, Release};
use crate::world::World;
use std::net::SocketAddr;

/// The library that bhyve loads for a NIC on the user network.
const SLIRP: &str = "/usr/local/lib/libslirp.so.0";
/// The device node through which netmap and VALE are opened.
const NETMAP: &str = "/dev/netmap";

/// What the start of a guest needs.
///
/// # Errors
/// A stored value is invalid, or the guest has no folder.
pub fn wants(world: &World, guest: &Guest, occasion: Occasion) -> Result<Wants> {
    let spec = guest.spec()?;
    // Missing firmware is reported with all other problems when the start is planned.
    let firmware = super::firmware::of(world, guest, &spec).unwrap_or_default();
    let mut wants = of(guest, &spec, &world.host, firmware.as_ref(), occasion)?;
    if super::start::permitted(world, guest).is_err() {
        // The start is going to be refused; nothing that the guest's settings name is inspected before that.
        wants.paths.retain(|wanted| matches!(wanted.path, FilePath::Below { .. }));
        wants.attached.clear();
    }
    Ok(wants)
}

pub(super) fn of(guest: &Guest, spec: &Spec, host: &HostFacts, firmware: Option<&Firmware>, occasion: Occasion) -> Result<Wants> {
    let folder = guest.folder()?;
    let again = occasion != Occasion::Start;
    let mut wants = Wants {
        guest: guest.name.clone(),
        cpus: spec.cpu.0,
        ram: spec.ram,
        loader: spec.loader,
        firmware: firmware.map(Firmware::wanted),
        modules: modules(spec, host).into_iter().map(str::to_owned).collect(),
        may_load: guest.settings.value(keys::LOAD_MODULES).as_deref() != Some("no"),
        again,
        left_by_crash: matches!(guest.state, RunState::Crashed { .. }),
        paths: Vec::new(),
        attached: Vec::new(),
        nics: Vec::new(),
        nodes: Vec::new(),
        passthru: Vec::new(),
        ports: Vec::new(),
        // At a restart within a run, the guest still holds its VNC port.
        vnc: spec.screen.as_ref().filter(|_| !again).map(|screen| SocketAddr::new(screen.address, screen.port)),
        boot_order: firmware.is_some_and(|firmware| firmware.image.is_none()) && spec.disks.iter().any(has_boot_index),
        emulations: false,
    };
    for disk in &spec.disks {
        // A file in an unmounted file system cannot be inspected, and no process can have it open.
        if disk.kind == DiskKind::Raw && !guest.mounted {
            continue;
        }
        let need = if is_read_only(disk) { Need::Read } else { Need::Write };
        if let (DiskKind::Attached, Some(source)) = (disk.kind, &disk.source) {
            wants.attached.push((source.clone(), need == Need::Write));
        }
        wants.paths.push(WantedPath {
            path: disk_file(guest, folder, disk),
            what: format!("{}disk {} of `{}`", if disk.kind == DiskKind::Attached { "attached " } else { "" }, disk.number, guest.name),
            need,
        });
    }
    // At a restart within a run, the guest still holds its taps.
    for net in spec.nets.iter().filter(|net| !again && backend(net, host.vmm) == Backend::Bridge) {
        wants.nics.push(WantedNic {
            nic: format!("net{}", net.number),
            bridge: net.bridge.clone(),
            tap: super::network::attach::tap(guest, net)?,
            owner: taps::token(guest.uuid, net.number),
        });
    }
    for net in &spec.nets {
        let nic = format!("net{}", net.number);
        match backend(net, host.vmm) {
            Backend::Vale => wants.netmap(&format!("{nic} of `{}`", guest.name)),
            // An invalid text is reported when the VM's description is built.
            Backend::Netgraph => {
                let node = net.netgraph.as_ref().and_then(|text| text.parse::<GraphHook>().ok());
                wants.nodes.extend(node.map(|node| (nic, node.path)));
            }
            Backend::User if host.vmm == Vmm::Bhyve => wants.slirp(&format!("{nic} of `{}`", guest.name)),
            Backend::Auto | Backend::User | Backend::Bridge => {}
        }
    }
    for (number, text) in &spec.pcidevs {
        // An invalid text is reported when the VM's description is built.
        if let Ok(device) = parse_pcidev(text, Owner { guest: guest.uuid, number: *number }) {
            wants.device(&device, &format!("pcidev_{number} of `{}`", guest.name), host.vmm);
        }
    }
    if host.vmm == Vmm::Bhyve {
        wants.own_arguments(guest, spec);
    }
    wants.firmware_extras(guest, spec);
    for (number, text) in &spec.serial {
        if let Ok(end) = parse_serial_end(text) {
            wants.terminal(&end, &format!("com{number} of `{}`", guest.name), host.vmm);
            if let SerialEnd::Device(device) = end {
                wants.ports.push((format!("com{number}"), device));
            }
        }
    }
    if Release::from(host.release) < Feature::Slirp.since() {
        // It is refused together with the release that supports it.
        wants.paths.retain(|wanted| !matches!(wanted.need, Need::Package(_)));
    }
    if again {
        // Sockets that bhyve creates were left by the previous process and are removed before the next one starts.
        wants.paths.retain(|wanted| wanted.need != Need::Absent);
    }
    Ok(wants)
}

/// The directory in which a socket is created.
fn folder_of(socket: &str) -> &str {
    match socket.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    }
}

/// Whether a disk has an explicit boot index.
fn has_boot_index(disk: &DiskSpec) -> bool {
    disk.options.as_ref().and_then(|text| text.parse::<BlockOptions>().ok()).is_some_and(|options| options.bootindex.is_some())
}

/// Whether a disk is opened read-only. Invalid options are reported where the disk device is built.
pub(super) fn is_read_only(disk: &DiskSpec) -> bool {
    disk.options.as_ref().and_then(|text| text.parse::<BlockOptions>().ok()).is_some_and(|options| options.ro)
}

impl Wants {
    /// The needs of its TPM and of fw_cfg items. Invalid texts are reported when the VM's description is built.
    fn firmware_extras(&mut self, guest: &Guest, spec: &Spec) {
        let mut want = |path: String, key: &str, need: Need| {
            self.paths.push(WantedPath { path: path.into(), what: format!("{key} of `{}`", guest.name), need });
        };
        match spec.tpm.as_ref().and_then(|text| text.parse::<Tpm>().ok()) {
            Some(Tpm::Passthru { device }) => want(device, keys::TPM, Need::Read),
            Some(Tpm::Swtpm { socket }) => want(socket, keys::TPM, Need::Socket),
            None => {}
        }
        for (number, text) in &spec.fw_cfg {
            if let Ok(FwCfg { content: FwCfgContent::File(path), .. }) = text.parse() {
                want(path, &format!("fw_cfg{number}"), Need::Content);
            }
        }
    }

    /// A NIC that uses netmap.
    fn netmap(&mut self, what: &str) {
        self.paths.push(WantedPath { path: NETMAP.into(), what: what.to_owned(), need: Need::Netmap });
    }

    /// The needs of the user's own bhyve arguments.
    fn own_arguments(&mut self, guest: &Guest, spec: &Spec) {
        let what = format!("{} of `{}`", keys::BARGS, guest.name);
        let mut want = |path: String, need: Need| self.paths.push(WantedPath { path: path.into(), what: what.clone(), need });
        let mut devices = Vec::new();
        for given in bhyve::given(&spec.bargs) {
            match given {
                Given::Device(device) => devices.push(device),
                Given::Tpm(Tpm::Passthru { device }) => want(device, Need::Read),
                Given::Tpm(Tpm::Swtpm { socket }) => want(socket, Need::Socket),
                Given::File { path, write } => want(path, if write { Need::Write } else { Need::Read }),
                Given::Serial(SerialEnd::Device(device)) => self.ports.push((keys::BARGS.to_owned(), device)),
                // Paths in a configuration file are reported by bhyve itself.
                Given::Serial(_) | Given::Unknown(_) => {}
            }
        }
        for device in &devices {
            self.device(device, &what, Vmm::Bhyve);
        }
    }

    /// A NIC on bhyve's user network.
    fn slirp(&mut self, what: &str) {
        self.paths.push(WantedPath { path: SLIRP.into(), what: what.to_owned(), need: Need::Package("libslirp") });
    }

    /// A terminal device at a serial port. On FreeBSD, opening an nmdm(4) device creates it, so a check would prove
    /// nothing.
    fn terminal(&mut self, end: &SerialEnd, what: &str, vmm: Vmm) {
        if let (SerialEnd::Device(path), Vmm::Qemu) = (end, vmm) {
            self.paths.push(WantedPath { path: path.as_str().into(), what: what.to_owned(), need: Need::Terminal });
        }
    }

    /// The needs of one more device.
    fn device(&mut self, device: &Device, what: &str, vmm: Vmm) {
        let mut want = |path: &str, need: Need| self.paths.push(WantedPath { path: path.into(), what: what.to_owned(), need });
        let written = |ro: bool| if ro { Need::Read } else { Need::Write };
        match device {
            Device::Disk(disk) => want(&disk.backing.path, written(disk.options.ro)),
            Device::Optical(drive) => drive.medium.iter().for_each(|medium| want(&medium.path, Need::Read)),
            Device::Ahci(controller) => {
                for port in controller.ports() {
                    match port {
                        AhciPort::Disk { backing, options, .. } => want(&backing.path, written(options.ro)),
                        AhciPort::Optical(drive) => drive.medium.iter().for_each(|medium| want(&medium.path, Need::Read)),
                    }
                }
            }
            Device::Scsi(controller) => match &controller.behind {
                ScsiBehind::Ctl { device, .. } => device.iter().for_each(|path| want(path, Need::Read)),
                ScsiBehind::Targets(targets) => targets.iter().for_each(|target| want(&target.backing.path, Need::Write)),
            },
            Device::Share(share) => want(&share.path, Need::Folder),
            Device::Console(console) => {
                for port in &console.ports {
                    want(folder_of(&port.socket), Need::Folder);
                    if vmm == Vmm::Bhyve {
                        want(&port.socket, Need::Absent);
                    }
                }
            }
            Device::FrameBuffer(display) => {
                if let VncListen::Unix(socket) = &display.listen {
                    want(folder_of(socket), Need::Folder);
                }
            }
            Device::Input(input) => want(&input.path, Need::Read),
            Device::Hda(sound) => sound.play.iter().chain(&sound.rec).for_each(|path| want(path, Need::Read)),
            Device::Passthru(device) => {
                device.rom.iter().for_each(|path| want(path, Need::Read));
                self.passthru.push(device.host);
            }
            Device::Uart(uart) => self.terminal(&uart.end, what, vmm),
            // QEMU does not support these.
            Device::Raw(_) | Device::Nic(_) if vmm == Vmm::Qemu => {}
            Device::Raw(raw) => {
                // It is unknown what the device does with the path: an absent one may be one that it creates.
                let need = if raw.is_disk() { written(raw.has_word("ro")) } else { Need::Any };
                raw.opens().paths.iter().for_each(|path| want(path, need));
                self.emulations = true;
            }
            Device::Nic(Nic { backend: NetBackend::User(_), .. }) => want(SLIRP, Need::Package("libslirp")),
            Device::Nic(Nic { backend: NetBackend::Vale(_) | NetBackend::Netmap(_), .. }) => self.netmap(what),
            // These open no files.
            Device::HostBridge(_) | Device::Lpc | Device::RamDisk(_) | Device::Nic(_) | Device::Rng | Device::Tablet | Device::Filler => {}
        }
    }

    /// Adds the needs of the run's drives: a medium in one boots before the disks.
    pub fn boot_from(&mut self, drives: &[Drive]) {
        let packaged = self.loader == Loader::Uefi && self.firmware.as_ref().is_some_and(|firmware| firmware.image.is_none());
        self.boot_order |= packaged && drives.iter().any(|drive| drive.image().is_some());
    }

    /// The loader program that is needed besides the hypervisor.
    pub const fn loader_program(&self) -> Option<&'static str> {
        match self.loader {
            Loader::Bhyveload => Some("bhyveload"),
            Loader::GrubBhyve => Some("grub-bhyve"),
            Loader::Uefi | Loader::Bios => None,
        }
    }
}

/// The kernel modules that a start needs.
fn modules(spec: &Spec, host: &HostFacts) -> Vec<&'static str> {
    let bridged = spec.nets.iter().any(|n| backend(n, host.vmm) == Backend::Bridge);
    match host.os {
        Os::FreeBsd => {
            let mut all = vec!["vmm", "nmdm"];
            if bridged {
                all.extend(["if_bridge", "if_tuntap"]);
            }
            if spec.nets.iter().any(|n| n.backend == Backend::Netgraph) {
                all.extend(["ng_socket", "ng_bridge", "ng_ether"]);
            }
            all
        }
        // Linux loads modules on demand.
        Os::Linux => Vec::new(),
    }
}
