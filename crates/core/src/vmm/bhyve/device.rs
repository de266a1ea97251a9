//! Renders each device for bhyve.
//!
//! To add one: an arm of [`conf`]; the keys of the tree are those of bhyve_config(5). Not here: which release supports it
//! (`check`).

use super::BhyveHost;
use super::conf::Conf;
use super::feature::Feature;
use crate::device::{
    Ahci, AhciDetails, AhciPort, BlockOptions, Device, Disk, DiskBus, FrameBuffer, HostBridge, HostDevice, NetBackend, Nic, NicModel,
    NvmeDetails, Optical, Passthru, Scsi, ScsiBehind, SerialEnd, Vga, VncListen,
};
use std::net::{Ipv4Addr, SocketAddr};

/// The guest's address on a user-mode network: the first one that its built-in DHCP server assigns.
const SLIRP_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// A device's emulation and its configuration.
pub(super) fn conf(device: &Device, host: &BhyveHost) -> Conf {
    match device {
        Device::HostBridge(HostBridge::Intel) | Device::Filler => Conf::new("hostbridge"),
        Device::HostBridge(HostBridge::Amd) => Conf::new("amd_hostbridge").words_only(),
        Device::Lpc => Conf::new("lpc"),
        Device::Disk(disk) => one_disk(disk),
        Device::RamDisk(disk) => {
            let conf = Conf::new("nvme").pair("ram", disk.size.mib_up()).pair("ser", &disk.serial);
            nvme(conf, &disk.details)
        }
        Device::Optical(drive) => match &drive.medium {
            Some(_) => Conf::of("ahci-cd", "ahci").tree_only("port.0.type", "cd").below("port.0", optical(drive, "")),
            // bhyve refuses a drive without a medium (exit status 4). The controller is kept, so that no PCI address
            // changes.
            None => Conf::new("ahci"),
        },
        Device::Ahci(controller) => ahci(controller),
        Device::Scsi(controller) => scsi(controller),
        Device::Nic(nic) => network(nic, host),
        Device::Rng => Conf::new("virtio-rnd"),
        Device::Share(share) => Conf::new("virtio-9p")
            .tree_only("sharename", &share.name)
            .prefixed("path", &format!("{}=", share.name), &share.path)
            .flag("ro", share.ro),
        Device::Console(console) => console.ports.iter().enumerate().fold(Conf::new("virtio-console"), |conf, (n, port)| {
            conf.tree_only(&format!("port.{n}.name"), &port.name).prefixed(
                &format!("port.{n}.path"),
                &format!("{}=", port.name),
                &port.socket,
            )
        }),
        Device::Input(input) => Conf::new("virtio-input").words_only().bare("path", &input.path),
        Device::FrameBuffer(screen) => frame_buffer(screen),
        Device::Tablet => Conf::new("xhci").bare("slot.1.device", "tablet"),
        Device::Hda(sound) => Conf::new("hda").maybe("play", sound.play.as_ref()).maybe("rec", sound.rec.as_ref()),
        Device::Passthru(device) => passthru(device),
        Device::Uart(uart) => Conf::new("uart").words_only().bare("path", &serial_end(&uart.end, host)),
        Device::Raw(raw) => match raw.conf() {
            Some(text) => Conf::new(raw.emulation()).verbatim(text),
            None => Conf::new(raw.emulation()).words_only(),
        },
    }
}

fn one_disk(disk: &Disk) -> Conf {
    let path = &disk.backing.path;
    match &disk.bus {
        DiskBus::VirtioBlk => block(Conf::new("virtio-blk").bare("path", path), disk.options).pair("ser", &disk.serial),
        DiskBus::AhciHd(details) => {
            let port = ahci_details(block(Conf::new("").bare("path", path), disk.options).pair("ser", &disk.serial), details);
            Conf::of("ahci-hd", "ahci").tree_only("port.0.type", "hd").below("port.0", port)
        }
        DiskBus::Nvme(details) => nvme(block(Conf::new("nvme").bare("path", path), disk.options).pair("ser", &disk.serial), details),
    }
}

fn block(conf: Conf, options: BlockOptions) -> Conf {
    conf.flag("nocache", options.nocache)
        .flag("direct", options.direct)
        .flag("ro", options.ro)
        .maybe("sectorsize", options.sectors)
        .flag("nodelete", options.nodelete)
        .maybe("bootindex", options.bootindex)
}

fn ahci_details(conf: Conf, details: &AhciDetails) -> Conf {
    conf.maybe("nmrr", details.rotation).maybe("rev", details.revision.as_ref()).maybe("model", details.model.as_ref())
}

/// A drive's port. bhyve opens media read-only in any case; `ro` states it explicitly.
fn optical(drive: &Optical, prefix: &str) -> Conf {
    let conf = Conf::new("");
    match &drive.medium {
        Some(medium) => conf.prefixed("path", prefix, &medium.path).flag("ro", true).maybe("bootindex", drive.bootindex),
        None => conf,
    }
}

fn ahci(controller: &Ahci) -> Conf {
    controller.ports().iter().enumerate().fold(Conf::new("ahci"), |conf, (n, port)| {
        let node = format!("port.{n}");
        match port {
            AhciPort::Disk { backing, options, serial, details } => {
                let disk = block(Conf::new("").prefixed("path", "hd:", &backing.path), *options).pair("ser", serial);
                conf.tree_only(&format!("{node}.type"), "hd").below(&node, ahci_details(disk, details))
            }
            AhciPort::Optical(drive) if drive.medium.is_some() => {
                conf.tree_only(&format!("{node}.type"), "cd").below(&node, optical(drive, "cd:"))
            }
            AhciPort::Optical(_) => conf.worded(&format!("{node}.type"), "cd", "cd:"),
        }
    })
}

fn nvme(conf: Conf, details: &NvmeDetails) -> Conf {
    conf.maybe("maxq", details.max_queues)
        .maybe("qsz", details.queue_size)
        .maybe("ioslots", details.io_slots)
        .maybe("sectsz", details.sector.map(crate::device::NvmeSector::bytes))
        .maybe("eui64", details.eui64.map(|n| format!("{n:#x}")))
        .maybe("dsm", details.dsm.map(|on| if on { "enable" } else { "disable" }))
}

fn scsi(controller: &Scsi) -> Conf {
    let conf = Conf::new("virtio-scsi").words_only();
    match &controller.behind {
        ScsiBehind::Ctl { device, initiator } => {
            let conf = match device {
                Some(device) => conf.bare("dev", device),
                None => conf.bare("dev", "/dev/cam/ctl"),
            };
            conf.maybe("iid", *initiator)
        }
        ScsiBehind::Targets(targets) => {
            targets.iter().fold(conf, |conf, target| conf.pair("target", format!("{}:{}", target.id, target.backing.path)))
        }
    }
    .maybe("bootindex", controller.bootindex)
}

fn network(nic: &Nic, host: &BhyveHost) -> Conf {
    let conf = Conf::new(match nic.model {
        NicModel::VirtioNet => "virtio-net",
        NicModel::E1000 => "e1000",
    });
    let conf = match &nic.backend {
        NetBackend::Tap(name) => {
            let conf = conf.bare("backend", name.as_str());
            // bhyve derives the kind from the first letters of the name unless it is stated; taps can be renamed.
            let telling = ["tap", "vmnet"].iter().any(|kind| name.as_str().starts_with(kind));
            if telling { conf } else { conf.pair("type", "tap") }
        }
        NetBackend::Vale(port) => conf.bare("backend", &port.to_string()),
        NetBackend::Netmap(name) => conf.bare("backend", &format!("netmap:{name}")),
        NetBackend::Netgraph(node) => conf
            .bare("backend", "netgraph")
            .pair("path", &node.path)
            .pair("peerhook", &node.peerhook)
            .maybe("socket", node.socket.as_ref())
            .maybe("hook", node.hook.as_ref()),
        NetBackend::User(net) => {
            let rule = |f: &crate::device::Forward| {
                format!("{}:{}:{}-{}:{}", f.protocol, f.host, f.host_port, f.guest.unwrap_or(SLIRP_GUEST), f.guest_port)
            };
            let rules: Vec<String> = net.forwards.iter().map(rule).collect();
            conf.bare("backend", "slirp")
                .flag("open", host.release >= Feature::SlirpOpen.since())
                .maybe("hostfwd", (!rules.is_empty()).then(|| rules.join(";")))
        }
    };
    conf.pair("mac", nic.mac).maybe("mtu", nic.mtu)
}

fn frame_buffer(screen: &FrameBuffer) -> Conf {
    let listen = match &screen.listen {
        VncListen::Tcp(address) => address.to_string(),
        VncListen::Unix(path) => format!("unix:{path}"),
    };
    let conf = Conf::new("fbuf").pair("rfb", listen).pair("w", screen.size.width).pair("h", screen.size.height);
    let conf = match screen.vga {
        Vga::Io => conf,
        Vga::Off => conf.pair("vga", "off"),
    };
    let conf = conf.flag("wait", screen.wait);
    match &screen.password {
        Some(password) => conf.secret("password", password.reveal()),
        None => conf,
    }
}

fn passthru(device: &Passthru) -> Conf {
    let conf = Conf::new("passthru");
    match device.host {
        HostDevice::Address(address) => conf
            .worded("bus", &address.slot.bus.to_string(), &device.host.to_string())
            .tree_only("slot", address.slot.slot)
            .tree_only("func", address.function),
        HostDevice::Ppt(unit) => conf.bare("pptdev", &format!("ppt{unit}")),
    }
    .maybe("rom", device.rom.as_ref())
    .maybe("bootindex", device.bootindex)
}

/// The host end of a serial port in bhyve's notation. A socket was refused before.
pub(super) fn serial_end(end: &SerialEnd, host: &BhyveHost) -> String {
    match end {
        SerialEnd::Console => host.console.clone(),
        SerialEnd::Device(path) | SerialEnd::Socket(path) => path.clone(),
        SerialEnd::Tcp(address) => tcp(*address),
        SerialEnd::Stdio => "stdio".to_owned(),
    }
}

fn tcp(address: SocketAddr) -> String {
    format!("tcp={address}")
}
