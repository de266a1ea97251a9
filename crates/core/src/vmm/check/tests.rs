//! Invalid VMs, each with its own message and fix.

use crate::device::{
    AhciDetails, Backing, BlockOptions, ConsolePort, Device, DeviceClass, DeviceKey, DiskBus, FrameBuffer, FwCfg, FwCfgContent, NicModel,
    PciPlace, ScreenSize, Scsi, ScsiBehind, ScsiTarget, SerialEnd, Share, Uart, VirtioConsole, parse_pcidev,
};
use crate::value::Size;
use crate::vmm::fixture::{bare, built, disk, every, iso, nic, one, screen, tap, usual, with, wrong};
use crate::vmm::machine::{Boot, Topology, Uefi};
use insta::assert_snapshot;

fn raw(text: &str) -> Device {
    parse_pcidev(text, crate::device::Owner { guest: uuid::Uuid::nil(), number: 0 }).unwrap()
}

#[test]
fn every_device_alone_is_fine() {
    for (what, device) in every() {
        let place = if what == "amd_hostbridge" { PciPlace::on(0, 0) } else { PciPlace::on(5, 0) };
        let mut spec = with(vec![(place, device)]);
        spec.memory.wired = true;
        assert_eq!(wrong(spec), "nothing", "{what}");
    }
    assert_eq!(wrong(usual()), "nothing");
}

#[test]
fn too_little_memory_is_probably_gigabytes() {
    let mut spec = bare();
    spec.memory.size = Size::mib(8);
    assert_snapshot!(wrong(spec), @"
    8M is too little memory; the least is 32M
      hint: a bare number means megabytes: for gigabytes write ram=8G
    ");
}

#[test]
fn processors_multiply() {
    let mut spec = bare();
    spec.topology = Topology { cpus: 8, sockets: 1, cores: 4, threads: 1 };
    assert_snapshot!(wrong(spec), @"
    8 processors cannot be 1 sockets of 4 cores of 1 threads: 1 × 4 × 1 is 4
      hint: choose a number of processors that sockets × threads divides
    ");
}

#[test]
fn places_are_given_once_and_not_in_the_bridges_slots() {
    let spec = with(vec![
        (PciPlace::on(5, 0), Device::Rng),
        (PciPlace::on(5, 0), Device::Tablet),
        (PciPlace::on(0, 1), Device::Rng),
        (PciPlace::on(31, 3), iso()),
    ]);
    assert_snapshot!(wrong(spec), @"
    two devices have the same PCI slot 5:0: virtio-rnd and xhci
      hint: move one of the two to another slot, or unset its slot
    virtio-rnd cannot be placed at 0:1: slot 0 is the host bridge's
      hint: choose a slot from 4:0 to 30:7, or unset it
    ahci-cd cannot be placed at 31:3: slot 31 is the LPC bridge's
      hint: choose a slot from 4:0 to 30:7, or unset it
    ");
}

#[test]
fn one_lpc_and_one_frame_buffer() {
    let spec = with(vec![
        (PciPlace::on(18, 0), raw("lpc")),
        (PciPlace::on(2, 0), Device::FrameBuffer(screen())),
        (PciPlace::on(19, 0), raw("fbuf,tcp=0.0.0.0:5900")),
    ]);
    assert_snapshot!(wrong(spec), @"
    a VM has one LPC bridge, which is at 31:0 already
      hint: unset the pcidev_{n} with lpc
    a VM has at most one frame buffer
      hint: unset the pcidev_{n} with fbuf; the display is a matter of vnc=on
    ");
    assert_eq!(wrong(with(vec![(PciPlace::on(31, 0), Device::Lpc)])), "nothing");
}

#[test]
fn passthrough_needs_wired_memory() {
    let device = || one(raw("passthru,2/0/0"));
    assert_snapshot!(wrong(device()), @"
    a device of the host can be passed to a guest with wired memory only: the device writes to memory by itself, so the host must never page it out
      hint: add -S: chyves set web01 bargs=-S
    ");
    let mut wired = device();
    wired.memory.wired = true;
    assert_eq!(wrong(wired), "nothing");
    let mut said = device();
    said.extra = vec!["-S".into()];
    assert_eq!(wrong(said), "nothing");
    let mut twice = with(vec![(PciPlace::on(22, 0), raw("passthru,2/0/0")), (PciPlace::on(23, 0), raw("passthru,pci0:2:0:0"))]);
    twice.memory.wired = true;
    assert_snapshot!(wrong(twice), @"
    the host's device 2/0/0 is passed twice
      hint: unset one of the two pcidev_{n}
    ");
}

#[test]
fn two_devices_do_not_share_what_only_one_can_have() {
    let on = |slot, device| (PciPlace::on(slot, 0), device);
    let spec = with(vec![
        on(4, disk(DiskBus::VirtioBlk, "bootindex=1")),
        on(5, disk(DiskBus::AhciHd(AhciDetails::default()), "ro,bootindex=1")),
        on(6, raw("virtio-blk,/dev/zvol/tank/chyves/guests/web01/disk0")),
        on(12, nic(NicModel::VirtioNet, tap("tap0"))),
        on(13, nic(NicModel::E1000, tap("tap0"))),
    ]);
    assert_snapshot!(wrong(spec), @"
    two disks of the VM are the same: /dev/zvol/tank/chyves/guests/web01/disk0: the guest would destroy its file systems
      hint: remove one of the two
    two devices have the same boot order, bootindex 1
      hint: give each device that takes part its own number, the lowest boots first
    two disks of the VM are the same: /dev/zvol/tank/chyves/guests/web01/disk0: the guest would destroy its file systems
      hint: remove one of the two
    two NICs have the same end tap0
      hint: give each NIC its own
    two NICs have the same address 58:9c:fc:00:00:01
      hint: unset the mac of one of them: it is then derived from the guest's identity
    ");
    // A medium or a read-only disk can be used twice.
    let spec = with(vec![
        on(4, disk(DiskBus::VirtioBlk, "ro")),
        on(5, disk(DiskBus::AhciHd(AhciDetails::default()), "ro")),
        on(3, iso()),
        (PciPlace::on(3, 1), iso()),
    ]);
    assert_eq!(wrong(spec), "nothing");
}

#[test]
fn one_console() {
    let mut spec = one(Device::Uart(Uart { end: SerialEnd::Console }));
    spec.serial[1] = Some(SerialEnd::Stdio);
    spec.serial[2] = Some(SerialEnd::Stdio);
    assert_snapshot!(wrong(spec), @"
    the console can be one serial port's only
      hint: give the other port a device of its own
    standard input and output can be one serial port's only
      hint: give the other port a device of its own
    ");
}

#[test]
fn each_device_keeps_its_own_rules() {
    let port = |name: &str| ConsolePort { name: name.into(), socket: "/run/a".into() };
    let target = ScsiTarget { id: 1, backing: Backing::file("relative") };
    let with_mtu = |model, mtu| match nic(model, tap("tap0")) {
        Device::Nic(nic) => Device::Nic(crate::device::Nic { mtu: Some(mtu), ..nic }),
        other => other,
    };
    let details = AhciDetails { rotation: None, revision: Some("123456789".into()), model: Some("x".repeat(41)) };
    let ram = |size| {
        Device::RamDisk(crate::device::RamDisk { size, serial: "S".parse().unwrap(), details: crate::device::NvmeDetails::default() })
    };
    let all = [
        Device::Console(VirtioConsole { ports: Vec::new() }),
        Device::Console(VirtioConsole { ports: vec![port("a"), port("a"), port("b=c")] }),
        Device::Scsi(Scsi { behind: ScsiBehind::Targets(vec![target.clone(), target]), bootindex: None }),
        Device::Share(Share { name: "a b".into(), path: "src".into(), ro: false }),
        with_mtu(NicModel::E1000, 9000),
        with_mtu(NicModel::VirtioNet, 20),
        disk(DiskBus::AhciHd(details), ""),
        ram(Size::bytes(1000)),
        Device::FrameBuffer(FrameBuffer { size: ScreenSize { width: 320, height: 200 }, ..screen() }),
    ];
    let text: Vec<String> = all.into_iter().map(|device| wrong(one(device))).collect();
    assert_snapshot!(text.concat(), @"
    virtio-console at 5:0: 0 ports cannot be on one virtio console
      hint: give it 1 to 16 ports
    virtio-console at 5:0: two ports have the name `a`
      hint: give each port its own name
    virtio-console at 5:0: `b=c` is not a name of a port
      hint: a port's name has letters, digits, `-`, `_` and `.`, at most 63
    two disks of the VM are the same: relative: the guest would destroy its file systems
      hint: remove one of the two
    virtio-scsi at 5:0: `relative` is not an absolute path
      hint: write the path from / on
    virtio-scsi at 5:0: `relative` is not an absolute path
      hint: write the path from / on
    virtio-scsi at 5:0: each target needs a number of its own, and one is needed at least
      hint: number the targets 0, 1, 2 and so on
    virtio-9p at 5:0: `src` is not an absolute path
      hint: write the path from / on
    virtio-9p at 5:0: `a b` is not a name of a share
      hint: a share's name has letters, digits, `-`, `_` and `.`, at most 31
    e1000 at 5:0: e1000 has no configurable MTU
      hint: unset the NIC's mtu, or set its model to virtio-net
    virtio-net at 5:0: 20 is not an MTU
      hint: choose an MTU from 68 to 65535, usually 1500
    ahci-hd at 5:0: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is not a model
      hint: a model has 1 to 40 ASCII characters
    ahci-hd at 5:0: `123456789` is not a revision
      hint: a revision has 1 to 8 ASCII characters
    nvme at 5:0: 1000 is not a size of a disk in memory
      hint: write whole megabytes, as 64M
    fbuf at 5:0: 320x200 is not a display
      hint: choose a size from 640x480 to 3840x2160
    ");
}

#[test]
fn no_text_ends_a_line() {
    let mut spec = bare();
    spec.boot = Boot::Uefi(Uefi { code: "/a\nb".into(), vars: Some(String::new()) });
    spec.fw_cfg = vec![FwCfg { name: "etc/x".into(), content: FwCfgContent::Text("a\tb".into()) }];
    spec.extra = vec!["-o\n".into(), String::new()];
    spec.serial[1] = Some(SerialEnd::Device("/dev/\u{1b}[2J".into()));
    assert_snapshot!(wrong(spec), @r"
    `etc/x` is not a name of a firmware item
      hint: begin it with opt/ and the reversed domain, as opt/org.example/key, at most 55 characters
    the firmware's path has control characters: `/a\nb`
      hint: write it without them
    the path of the firmware's variables is empty
      hint: set it, or unset the property
    a serial port's path has control characters: `/dev/\u{1b}[2J`
      hint: write it without them
    a firmware item has control characters: `a\tb`
      hint: write it without them
    an argument has control characters: `-o\n`
      hint: write it without them
    ");
}

#[test]
fn everything_wrong_is_told_at_once_and_names_the_guest() {
    let mut spec = bare();
    spec.memory.size = Size::mib(1);
    spec.topology.cpus = 3;
    let problems = crate::vmm::Machine::build(spec).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().all(|p| p.object.as_deref() == Some("web01") && !p.hints.is_empty()));
}

#[test]
fn bridges_and_fillers_are_added_where_they_are_missing() {
    let machine = built(with(vec![(PciPlace::on(5, 3), Device::Rng), (PciPlace::on(6, 0), Device::Tablet)]));
    let places: Vec<String> = machine.devices().iter().map(|(place, device)| format!("{place} {}", device.word())).collect();
    assert_eq!(places, ["0:0 hostbridge", "5:0 hostbridge", "5:3 virtio-rnd", "6:0 xhci", "31:0 lpc"]);
}

#[test]
fn as_many_devices_as_there_are_places() {
    let wants: Vec<_> = (0..216).map(|n| crate::device::Want::new(DeviceKey::new(DeviceClass::Disk, n))).collect();
    let places = crate::device::resolve(&wants).unwrap();
    let disk = |n: usize| {
        let Device::Disk(disk) = disk(DiskBus::VirtioBlk, "") else { unreachable!() };
        Device::Disk(crate::device::Disk { backing: Backing::file(format!("/d{n}")), options: BlockOptions::default(), ..disk })
    };
    let machine = built(with(places.iter().enumerate().map(|(n, p)| (p.place, disk(n))).collect()));
    assert_eq!(machine.devices().len(), 218);
}
