//! VMs for the tests of the renderers.

use super::HostFile;
use super::bhyve::{Arch, BhyveHost, Release};
use super::machine::{Boot, Machine, Spec, Topology, Uefi};
use super::qemu::{Accel, QemuHost};
use crate::device::place::DISPLAY;
use crate::device::{
    Ahci, AhciDetails, AhciPort, Backing, BlockOptions, ConsolePort, Device, Disk, DiskBus, FrameBuffer, Hda, HostBridge, Input,
    NetBackend, Netgraph, Nic, NicModel, NvmeDetails, NvmeSector, Optical, Passthru, PciPlace, RamDisk, ScreenSize, Scsi, ScsiBehind,
    ScsiTarget, SerialEnd, Share, Uart, UserNet, Vga, VirtioConsole, VncListen, parse_pcidev,
};
use crate::error::Problem;
use crate::value::Size;

pub(super) fn uefi() -> Boot {
    let vars = Some("/tank/chyves/guests/web01/uefi-vars.fd".to_owned());
    Boot::Uefi(Uefi { code: "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd".into(), vars })
}

/// A VM without devices.
pub(super) fn bare() -> Spec {
    let uuid = "11111111-2222-3333-4444-555555555555".parse().unwrap();
    Spec::new("web01".parse().unwrap(), uuid, Size::mib(4096), uefi())
}

/// A VM with these devices.
pub(super) fn with(devices: Vec<(PciPlace, Device)>) -> Spec {
    Spec { devices, ..bare() }
}

/// A VM with one device at 5:0.
pub(super) fn one(device: Device) -> Spec {
    with(vec![(PciPlace::on(5, 0), device)])
}

pub(super) fn built(spec: Spec) -> Machine {
    Machine::build(spec).unwrap()
}

/// Records for the test summary which devices, loaders and releases a golden command line covers.
pub(super) fn covered(machine: &Machine, host: &BhyveHost) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("CHYVES_TEST_COVERED") else { return };
    let loader = match machine.spec().boot {
        Boot::Uefi(_) => "uefi",
        Boot::Bios => "bios",
        Boot::Bhyveload(_) => "bhyveload",
        Boot::GrubBhyve(_) => "grub-bhyve",
        Boot::UBoot { .. } => "u-boot",
    };
    let devices = machine.devices().values().map(|device| format!("golden device {}\n", device.word()));
    let tpm = machine.spec().tpm.iter().map(|_| "golden device tpm\n".to_owned());
    let items = machine.spec().fw_cfg.iter().map(|_| "golden device fwcfg\n".to_owned());
    let ports = machine.spec().serial.iter().zip(1..).filter(|(end, _)| end.is_some()).map(|(_, n)| format!("golden device com{n}\n"));
    let text: String = devices.chain(tpm).chain(items).chain(ports).collect();
    let text = format!("{text}golden loader {loader}\ngolden release {}\n", host.release);
    std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The violations of a VM, one on each line.
pub(super) fn wrong(spec: Spec) -> String {
    Machine::build(spec).map_or_else(|problems| told(&problems), |_| "nothing".to_owned())
}

/// Problems as users see them.
pub(super) fn told(problems: &[Problem]) -> String {
    let hints = |p: &Problem| p.hints.iter().map(|hint| format!("  hint: {hint}\n")).collect::<Vec<_>>().concat();
    problems.iter().map(|p| format!("{p}\n{}", hints(p))).collect::<Vec<_>>().concat()
}

pub(super) fn disk(bus: DiskBus, options: &str) -> Device {
    Device::Disk(Disk {
        bus,
        backing: Backing::at("/dev/zvol/tank/chyves/guests/web01/disk0"),
        options: options.parse().unwrap(),
        serial: "WEB1-0".parse().unwrap(),
    })
}

pub(super) fn nic(model: NicModel, backend: NetBackend) -> Device {
    Device::Nic(Nic { model, backend, mac: "58:9c:fc:00:00:01".parse().unwrap(), mtu: None, queues: 1, bootindex: None })
}

pub(super) fn user_net() -> NetBackend {
    NetBackend::User(UserNet { forwards: vec!["tcp::2222-:22".parse().unwrap(), "udp:0.0.0.0:53-10.0.2.15:53".parse().unwrap()] })
}

pub(super) fn tap(name: &str) -> NetBackend {
    NetBackend::Tap(name.parse().unwrap())
}

pub(super) fn screen() -> FrameBuffer {
    let listen = VncListen::Tcp("127.0.0.1:5901".parse().unwrap());
    FrameBuffer { listen, size: ScreenSize::default(), vga: Vga::Io, wait: false, password: None }
}

pub(super) fn iso() -> Device {
    Device::Optical(Optical { medium: Some(Backing::file("/tank/chyves/images/deb.iso")), bootindex: None })
}

/// The guest of the README.
pub(super) fn usual() -> Spec {
    let mut spec = with(vec![
        (PciPlace::on(3, 0), iso()),
        (PciPlace::on(4, 0), disk(DiskBus::VirtioBlk, "")),
        (PciPlace::on(12, 0), nic(NicModel::VirtioNet, tap("tap0"))),
        (PciPlace::on(26, 0), Device::Rng),
        (DISPLAY, Device::FrameBuffer(screen())),
        (PciPlace::on(27, 0), Device::Tablet),
    ]);
    spec.topology = Topology::spread(4, 1, 1).unwrap();
    spec
}

/// Every device in its variants, with a description.
pub(super) fn every() -> Vec<(&'static str, Device)> {
    let mtu = |device: Device| match device {
        Device::Nic(nic) => Device::Nic(Nic { mtu: Some(9000), ..nic }),
        other => other,
    };
    let netgraph = Netgraph { path: "lan:".into(), peerhook: "link2".into(), socket: None, hook: Some("vm".into()) };
    let details = AhciDetails { rotation: Some(1), revision: Some("1.0".into()), model: Some("chyves disk".into()) };
    let knobs = NvmeDetails {
        max_queues: Some(8),
        queue_size: Some(512),
        io_slots: Some(4),
        sector: Some(NvmeSector::B4096),
        eui64: Some(0x589c_fc00_0000_0001),
        dsm: Some(false),
    };
    let port = |n: u8| AhciPort::Disk {
        backing: Backing::file(format!("/tank/d{n}.raw")),
        options: BlockOptions::default(),
        serial: format!("WEB1-{n}").parse().unwrap(),
        details: AhciDetails::default(),
    };
    let ports = vec![port(0), port(1), AhciPort::Optical(Optical { medium: Some(Backing::file("/tank/a.iso")), bootindex: None })];
    let console = |n: u8| ConsolePort { name: format!("agent.{n}"), socket: format!("/run/chyves/web01/agent{n}") };
    let ctl =
        |device: Option<&str>, initiator| Scsi { behind: ScsiBehind::Ctl { device: device.map(Into::into), initiator }, bootindex: None };
    let targets =
        vec![ScsiTarget { id: 0, backing: Backing::file("/tank/s0.raw") }, ScsiTarget { id: 3, backing: Backing::file("/tank/s3.raw") }];
    let pcidev = |text: &str| parse_pcidev(text, crate::device::Owner { guest: uuid::Uuid::nil(), number: 0 }).unwrap();
    vec![
        ("amd_hostbridge", Device::HostBridge(HostBridge::Amd)),
        ("virtio-blk", disk(DiskBus::VirtioBlk, "")),
        ("virtio-blk, options", disk(DiskBus::VirtioBlk, "nocache,direct,ro,sectorsize=512/4096,nodelete")),
        ("ahci-hd", disk(DiskBus::AhciHd(AhciDetails::default()), "")),
        ("ahci-hd, details", disk(DiskBus::AhciHd(details), "sectorsize=512/4096")),
        ("ahci-cd", iso()),
        ("ahci-cd, empty", Device::Optical(Optical::default())),
        ("ahci", Device::Ahci(Ahci::new(ports).unwrap())),
        ("nvme", disk(DiskBus::Nvme(NvmeDetails::default()), "")),
        ("nvme, knobs", disk(DiskBus::Nvme(knobs), "")),
        ("nvme, ram", Device::RamDisk(RamDisk { size: Size::mib(64), serial: "WEB1-9".parse().unwrap(), details: NvmeDetails::default() })),
        ("virtio-scsi", Device::Scsi(ctl(None, None))),
        ("virtio-scsi, port", Device::Scsi(ctl(Some("/dev/cam/ctl1.0"), Some(3)))),
        ("virtio-scsi, targets", Device::Scsi(Scsi { behind: ScsiBehind::Targets(targets), bootindex: None })),
        ("virtio-net, tap", nic(NicModel::VirtioNet, tap("tap0"))),
        ("virtio-net, renamed tap", mtu(nic(NicModel::VirtioNet, tap("web01-lan")))),
        ("virtio-net, vale", nic(NicModel::VirtioNet, NetBackend::Vale("vale0:web1".parse().unwrap()))),
        ("virtio-net, netmap", nic(NicModel::VirtioNet, NetBackend::Netmap("em1".parse().unwrap()))),
        ("virtio-net, netgraph", nic(NicModel::VirtioNet, NetBackend::Netgraph(netgraph))),
        ("virtio-net, user", nic(NicModel::VirtioNet, user_net())),
        ("e1000, tap", nic(NicModel::E1000, tap("tap1"))),
        ("virtio-rnd", Device::Rng),
        ("virtio-9p", Device::Share(Share { name: "src".into(), path: "/usr/src".into(), ro: true })),
        ("virtio-console", Device::Console(VirtioConsole { ports: vec![console(0), console(1)] })),
        ("virtio-input", Device::Input(Input { path: "/dev/input/event3".into() })),
        ("fbuf", Device::FrameBuffer(screen())),
        (
            "fbuf, all",
            Device::FrameBuffer(FrameBuffer {
                listen: VncListen::Tcp("[::1]:5901".parse().unwrap()),
                size: "1920x1080".parse().unwrap(),
                vga: Vga::Off,
                wait: true,
                password: Some("s3cret".parse().unwrap()),
            }),
        ),
        ("fbuf, socket", Device::FrameBuffer(FrameBuffer { listen: VncListen::Unix("/run/chyves/vnc".into()), ..screen() })),
        ("xhci", Device::Tablet),
        ("hda", Device::Hda(Hda { play: Some("/dev/dsp0".into()), rec: Some("/dev/dsp1".into()) })),
        ("hda, silent", Device::Hda(Hda::default())),
        ("passthru", Device::Passthru(Passthru { host: "2/0/1".parse().unwrap(), rom: Some("/tank/gpu.rom".into()), bootindex: None })),
        ("passthru, ppt", Device::Passthru(Passthru { host: "ppt3".parse().unwrap(), rom: None, bootindex: None })),
        ("uart", Device::Uart(Uart { end: SerialEnd::Device("/dev/nmdm9A".into()) })),
        ("uart, tcp", Device::Uart(Uart { end: SerialEnd::Tcp("127.0.0.1:4000".parse().unwrap()) })),
        ("filler", Device::Filler),
        ("raw", pcidev("virtio-foo,/a/path,opt=1")),
        ("raw, no conf", pcidev("dummy")),
    ]
}

pub(super) fn freebsd(release: &str) -> BhyveHost {
    BhyveHost {
        release: release.parse::<Release>().unwrap(),
        arch: Arch::Amd64,
        max_cpus: Some(32),
        emulations: None,
        console: "/dev/nmdm-web01.1A".into(),
        config_file: "/var/run/chyves/web01/bhyve.conf".into(),
    }
}

pub(super) fn linux() -> QemuHost {
    QemuHost {
        accel: Accel::Kvm,
        program: "qemu-system-x86_64".into(),
        qmp_socket: "/run/chyves/u/qmp".into(),
        serial_socket: "/run/chyves/u/serial".into(),
        secret_file: "/run/chyves/u/vnc-password".into(),
        sandbox: true,
    }
}

/// Files with their contents.
pub(super) fn files(files: &[HostFile]) -> String {
    let one = |f: &HostFile| format!("\n[{} {:o}{}]\n{}", f.path, f.mode, if f.secret { " secret" } else { "" }, f.text);
    files.iter().map(one).collect::<Vec<_>>().concat()
}

/// A command with one option and its value on each line.
pub(super) fn lines(cmd: &crate::cmd::Cmd) -> String {
    let mut text = cmd.program.clone();
    for arg in &cmd.args {
        text.push_str(if arg.starts_with('-') { "\n  " } else { " " });
        text.push_str(arg);
    }
    text
}
