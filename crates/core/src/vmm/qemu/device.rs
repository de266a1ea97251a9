//! Renders each device for QEMU, which has other names for the devices that bhyve emulates.
//!
//! To add one: an arm of [`render`], or a refusal with an alternative.

use super::block::{self, node_id};
use super::opt::Opt;
use super::{Args, QemuHost, addr, chardev};
use crate::device::{
    Ahci, AhciPort, BlockOptions, Device, Disk, DiskBus, FrameBuffer, HostDevice, NetBackend, Nic, NicModel, Optical, Passthru, PciPlace,
    Scsi, ScsiBehind, Share, VirtioConsole, VncListen,
};
use crate::error::{Problem, Result};
use crate::launch::Opened;
use crate::vmm::HostFile;
use crate::vmm::machine::Machine;

/// Ports of QEMU's AHCI controller; bhyve's has 32.
const AHCI_PORTS: usize = 6;
/// The first VNC port; QEMU numbers displays from it.
const VNC_BASE: u16 = 5900;

/// The output that devices are rendered into.
pub(super) struct Room<'a> {
    pub(super) machine: &'a Machine,
    pub(super) host: &'a QemuHost,
    pub(super) args: &'a mut Args,
    pub(super) files: &'a mut Vec<HostFile>,
}

impl Room<'_> {
    /// The device option with its PCI address and an id made of `kind` and the address.
    fn at(&self, driver: &str, id: &str, place: PciPlace) -> Opt {
        let shared = place.function == 0 && self.machine.shares_slot(place);
        Opt::new(driver).set("id", id).set("addr", addr(place)).on("multifunction", shared)
    }
}

fn cant(what: impl Into<String>, cure: &str) -> Problem {
    Problem::host_cant(what).hint(cure)
}

/// Adds one device.
pub(super) fn render(room: &mut Room<'_>, place: PciPlace, device: &Device) -> Result<()> {
    if place.bus != 0 {
        return Err(cant(format!("QEMU's q35 has no PCI bus {}", place.bus), "choose a slot on bus 0, from 4:0 to 30:7"));
    }
    let id = |kind: &str| format!("{kind}-{}.{}", place.slot, place.function);
    match device {
        // Part of the chipset.
        Device::HostBridge(_) | Device::Lpc => {}
        // No operating system has a driver for it, so nothing but function 0 of the slot appears in the guest.
        Device::Filler => {
            let filler = room.at("pci-testdev", &id("filler"), place);
            room.args.put("-device", filler);
        }
        Device::Disk(disk) => one_disk(room, place, &id("disk"), disk)?,
        Device::RamDisk(_) => {
            return Err(cant("QEMU has no disk in memory", "put the disk's file on a tmpfs, or remove the device"));
        }
        Device::Optical(drive) => {
            let controller = optical_id(place);
            let bus = room.at("ich9-ahci", &controller, place);
            room.args.put("-device", bus);
            optical(room.args, &controller, 0, drive);
        }
        Device::Ahci(controller) => ahci(room, place, controller)?,
        Device::Scsi(controller) => scsi(room, place, &id("scsi"), controller)?,
        Device::Nic(nic) => network(room, place, &id("net"), nic)?,
        Device::Rng => {
            let rng = id("rng");
            room.args.put("-object", Opt::new("rng-builtin").set("id", format!("{rng}-source")));
            let device = room.at("virtio-rng-pci", &rng, place).set("rng", format!("{rng}-source"));
            room.args.put("-device", device);
        }
        Device::Share(share) => folder(room, place, &id("share"), share),
        Device::Console(console) => virtio_console(room, place, &id("console"), console)?,
        Device::Input(input) => {
            let device = room.at("virtio-input-host-pci", &id("input"), place).set("evdev", &input.path);
            room.args.put("-device", device);
        }
        Device::FrameBuffer(screen) => frame_buffer(room, place, screen)?,
        Device::Tablet => {
            let usb = id("usb");
            let controller = room.at("qemu-xhci", &usb, place);
            room.args.put("-device", controller);
            room.args.put("-device", Opt::new("usb-tablet").set("bus", format!("{usb}.0")));
        }
        Device::Hda(sound) => {
            let hda = id("sound");
            let audio = format!("{hda}-host");
            let back = match (&sound.play, &sound.rec) {
                (None, None) => Opt::new("none").set("id", &audio),
                (play, rec) => Opt::new("oss").set("id", &audio).maybe("out.dev", play.as_ref()).maybe("in.dev", rec.as_ref()),
            };
            room.args.put("-audiodev", back);
            let controller = room.at("ich9-intel-hda", &hda, place);
            room.args.put("-device", controller);
            room.args.put("-device", Opt::new("hda-duplex").set("bus", format!("{hda}.0")).set("audiodev", audio));
        }
        Device::Passthru(device) => passthru(room, place, &id("host"), device)?,
        Device::Uart(uart) => {
            let port = id("uart");
            let end = format!("{port}-end");
            let back = chardev(room.args, &end, &uart.end, room.host)?;
            room.args.put("-chardev", back);
            let device = room.at("pci-serial", &port, place).set("chardev", end);
            room.args.put("-device", device);
        }
        Device::Raw(raw) => {
            return Err(cant(
                format!("QEMU has no device `{}` that chyves knows", raw.emulation()),
                "describe it in QEMU's words by qargs, or run the guest on bhyve",
            ));
        }
    }
    Ok(())
}

fn one_disk(room: &mut Room<'_>, place: PciPlace, id: &str, disk: &Disk) -> Result<()> {
    let node = node_id(id);
    block::node(room.args, &node, &disk.backing, disk.options);
    match &disk.bus {
        DiskBus::VirtioBlk => {
            let device = block::errors(block::disk(room.at("virtio-blk-pci", id, place), &node, disk.options)).set("serial", &disk.serial);
            room.args.put("-device", device);
        }
        DiskBus::AhciHd(details) => {
            let controller = room.at("ich9-ahci", id, place);
            room.args.put("-device", controller);
            let device = block::ahci_disk(&format!("{id}.0"), &node, disk.options, &disk.serial, details)?;
            room.args.put("-device", device);
        }
        DiskBus::Nvme(details) => {
            let at = room.at("nvme", id, place);
            block::nvme(room.args, id, at, disk.options, &disk.serial, details)?;
        }
    }
    Ok(())
}

/// The name of the controller of an optical drive at a PCI address.
pub(super) fn optical_id(place: PciPlace) -> String {
    format!("cd-{}.{}", place.slot, place.function)
}

/// The name of a drive on a port of a controller.
pub(super) fn drive_id(controller: &str, port: usize) -> String {
    format!("{controller}-drive{port}")
}

/// A drive on a port of the controller. Its id consists of the controller's id and the port, and is used to change media.
fn optical(args: &mut Args, controller: &str, port: usize, drive: &Optical) {
    let id = drive_id(controller, port);
    let device = Opt::new("ide-cd").set("bus", format!("{controller}.{port}")).set("id", &id);
    let device = match &drive.medium {
        Some(medium) => {
            block::medium(args, &node_id(&id), medium);
            device.set("drive", node_id(&id))
        }
        None => device,
    };
    args.put("-device", device.maybe("bootindex", drive.bootindex));
}

/// bhyve's controller with up to 32 ports becomes several controllers with six ports each, on the functions that follow it.
fn ahci(room: &mut Room<'_>, place: PciPlace, controller: &Ahci) -> Result<()> {
    let parts: Vec<&[AhciPort]> = controller.ports().chunks(AHCI_PORTS).collect();
    for (n, ports) in parts.iter().enumerate() {
        let function = u8::try_from(usize::from(place.function) + n).unwrap_or(u8::MAX);
        let here = PciPlace { function, ..place };
        if function > 7 || (n > 0 && room.machine.devices().contains_key(&here)) {
            return Err(cant(
                format!("QEMU's AHCI controller has {AHCI_PORTS} ports, and no free functions after {place} for {} of them", parts.len()),
                "put the disks on virtio-blk, or free the other functions of the slot",
            ));
        }
        let id = format!("ahci-{}.{function}", here.slot);
        let shared = function == 0 && (parts.len() > 1 || room.machine.shares_slot(here));
        let bus = Opt::new("ich9-ahci").set("id", &id).set("addr", addr(here)).on("multifunction", shared);
        room.args.put("-device", bus);
        for (port, drive) in ports.iter().enumerate() {
            match drive {
                AhciPort::Optical(drive) => optical(room.args, &id, port, drive),
                AhciPort::Disk { backing, options, serial, details } => {
                    let node = node_id(&format!("{id}-disk{port}"));
                    block::node(room.args, &node, backing, *options);
                    room.args.put("-device", block::ahci_disk(&format!("{id}.{port}"), &node, *options, serial, details)?);
                }
            }
        }
    }
    Ok(())
}

fn scsi(room: &mut Room<'_>, place: PciPlace, id: &str, controller: &Scsi) -> Result<()> {
    let targets = match &controller.behind {
        ScsiBehind::Ctl { .. } => {
            return Err(cant("QEMU cannot use FreeBSD's CAM target layer", "put the disks on virtio-blk, or on virtio-scsi as targets"));
        }
        ScsiBehind::Targets(targets) => targets,
    };
    let bus = room.at("virtio-scsi-pci", id, place);
    room.args.put("-device", bus);
    for (n, target) in targets.iter().enumerate() {
        let node = node_id(&format!("{id}-{}", target.id));
        block::node(room.args, &node, &target.backing, BlockOptions::default());
        let device = block::errors(Opt::new("scsi-hd").set("bus", format!("{id}.0")).set("scsi-id", target.id).set("drive", node));
        room.args.put("-device", device.maybe("bootindex", controller.bootindex.filter(|_| n == 0)));
    }
    Ok(())
}

/// The number of queue pairs of a NIC with several. Only a tap supports several.
fn several(nic: &Nic) -> Option<u16> {
    let fits = nic.model == NicModel::VirtioNet && matches!(nic.backend, NetBackend::Tap(_));
    (fits && nic.queues > 1).then_some(nic.queues)
}

fn network(room: &mut Room<'_>, place: PciPlace, id: &str, nic: &Nic) -> Result<()> {
    let end = format!("{id}-end");
    let back = match &nic.backend {
        // The tap was created and attached before, and is already open.
        NetBackend::Tap(name) => {
            let back = Opt::new("tap").set("id", &end);
            let queues = several(nic);
            let mut queue = || room.args.descriptors.add(Opened::Tap { name: name.to_string(), several: queues.is_some() });
            match queues {
                None => back.set("fd", queue()),
                Some(queues) => back.set("fds", (0..queues).map(|_| queue().to_string()).collect::<Vec<_>>().join(":")),
            }
        }
        NetBackend::User(net) => net.forwards.iter().fold(Opt::new("user").set("id", &end), |back, f| back.set("hostfwd", f)),
        NetBackend::Vale(_) | NetBackend::Netmap(_) | NetBackend::Netgraph(_) => {
            return Err(cant(
                format!("QEMU cannot attach a NIC to {}, which is FreeBSD's", nic.backend.word()),
                "attach the NIC to a bridge instead",
            ));
        }
    };
    room.args.put("-netdev", back);
    let device = match nic.model {
        // The MTU is only announced to the guest; QEMU calls it host_mtu.
        NicModel::VirtioNet => {
            let device = room.at("virtio-net-pci", id, place).maybe("host_mtu", nic.mtu);
            // One vector for each queue in each direction, one for control, one for configuration changes.
            match several(nic) {
                Some(queues) => device.set("mq", "on").set("vectors", 2 * queues + 2),
                None => device,
            }
        }
        NicModel::E1000 => room.at("e1000", id, place),
    };
    let device = device.set("netdev", end).set("mac", nic.mac);
    // A boot ROM only if the NIC is a boot device: bhyve's NICs have none, and it costs a second at each boot.
    room.args.put(
        "-device",
        match nic.bootindex {
            Some(n) => device.set("bootindex", n),
            None => device.set("romfile", ""),
        },
    );
    Ok(())
}

fn folder(room: &mut Room<'_>, place: PciPlace, id: &str, share: &Share) {
    let back = format!("{id}-folder");
    // Files keep the owners that the guest sets, as on bhyve.
    let folder = Opt::new("local").set("id", &back).set("path", &share.path).set("security_model", "passthrough").on("readonly", share.ro);
    room.args.put("-fsdev", folder);
    let device = room.at("virtio-9p-pci", id, place).set("fsdev", back).set("mount_tag", &share.name);
    room.args.put("-device", device);
}

fn virtio_console(room: &mut Room<'_>, place: PciPlace, id: &str, console: &VirtioConsole) -> Result<()> {
    let device = room.at("virtio-serial-pci", id, place);
    room.args.put("-device", device);
    for (n, port) in console.ports.iter().enumerate() {
        let end = format!("{id}-end{n}");
        let back = room.args.socket(&end, &port.socket)?;
        room.args.put("-chardev", back);
        room.args.put("-device", Opt::new("virtserialport").set("bus", format!("{id}.0")).set("chardev", end).set("name", &port.name));
    }
    Ok(())
}

fn frame_buffer(room: &mut Room<'_>, place: PciPlace, screen: &FrameBuffer) -> Result<()> {
    if screen.wait {
        return Err(cant("QEMU cannot wait for the first viewer", "remove `wait` from the device's options"));
    }
    let device = room.at("VGA", "screen", place).set("xres", screen.size.width).set("yres", screen.size.height);
    room.args.put("-device", device);
    let listen = match &screen.listen {
        VncListen::Unix(path) => format!("unix:{path}"),
        VncListen::Tcp(address) => {
            let display = address.port().checked_sub(VNC_BASE).ok_or_else(|| {
                Problem::usage(format!("QEMU's VNC takes ports from {VNC_BASE} on, not {}", address.port()))
                    .hint("set vnc_port=5900 or higher, or 0")
            })?;
            match address.ip() {
                std::net::IpAddr::V4(ip) => format!("{ip}:{display}"),
                std::net::IpAddr::V6(ip) => format!("[{ip}]:{display}"),
            }
        }
    };
    let vnc = Opt::new(&listen);
    let vnc = match &screen.password {
        None => vnc,
        Some(password) => {
            // The supervisor sets the password through QMP before the guest runs; until then VNC refuses connections.
            let path = room.host.secret_file.clone();
            room.files.push(HostFile { path, text: password.reveal().to_owned(), mode: 0o600, secret: true });
            vnc.set("password", "on")
        }
    };
    room.args.put("-vnc", vnc);
    Ok(())
}

fn passthru(room: &mut Room<'_>, place: PciPlace, id: &str, device: &Passthru) -> Result<()> {
    let host = match device.host {
        HostDevice::Address(host) => host,
        HostDevice::Ppt(_) => {
            return Err(cant("the name of a ppt unit is FreeBSD's", "name the device by BUS/SLOT/FUNCTION"));
        }
    };
    let host = format!("0000:{:02x}:{:02x}.{:x}", host.slot.bus, host.slot.slot, host.function);
    let device =
        room.at("vfio-pci", id, place).set("host", host).maybe("romfile", device.rom.as_ref()).maybe("bootindex", device.bootindex);
    room.args.put("-device", device);
    Ok(())
}
