//! Complete command lines of QEMU.
#![allow(clippy::too_many_lines)] // the golden text is the length

use super::{Accel, QemuHost, render};
use crate::device::{
    Ahci, AhciDetails, AhciPort, Backing, BlockOptions, Device, DiskBus, FrameBuffer, FwCfg, FwCfgContent, NicModel, PciPlace, SerialEnd,
    Tpm,
};
use crate::vmm::bhyveload::Bhyveload;
use crate::vmm::fixture::{bare, built, disk, every, files, lines, linux, nic, one, screen, told, user_net, usual, with};
use crate::vmm::machine::{Boot, Machine, Rtc, Spec, Uefi};
use insta::assert_snapshot;

fn line(spec: Spec, host: &QemuHost) -> String {
    let rendered = render(&built(spec), host).unwrap();
    let files = files(&rendered.files);
    format!("{}{files}", lines(&rendered.cmd))
}

fn refusal(spec: Spec) -> String {
    told(&[render(&built(spec), &linux()).unwrap_err()])
}

/// The arguments that a device adds to a VM without devices.
fn added(device: Device) -> String {
    let Ok(without) = render(&built(bare()), &linux()) else { panic!("the bare machine is refused") };
    let mut spec = one(device);
    spec.memory.wired = spec.devices[0].1.word() == "passthru";
    if matches!(spec.devices[0].1, Device::HostBridge(_)) {
        spec.devices[0].0 = PciPlace::on(0, 0);
    }
    match render(&Machine::build(spec).unwrap(), &linux()) {
        Ok(with) => {
            let new = with.cmd.args.iter().filter(|arg| !without.cmd.args.contains(arg));
            new.map(|arg| format!("  {arg}\n")).collect::<Vec<_>>().concat()
        }
        Err(problem) => format!("  refused: {problem}; {}\n", problem.hints.join("; ")),
    }
}

#[test]
fn a_disk_is_found_by_its_path_as_it_was_written() {
    let Device::Disk(usual) = disk(DiskBus::VirtioBlk, "") else { panic!("a disk is a disk") };
    let odd = Device::Disk(crate::device::Disk { backing: Backing::file("/tank/a,b/disk0.raw"), ..usual });
    let rendered = render(&built(one(odd)), &linux()).unwrap();
    assert_eq!(super::node_of(&rendered.cmd, "/tank/a,b/disk0.raw").unwrap(), "disk-5.0-node");
    assert_eq!(super::path_of(&rendered.cmd, "disk-5.0-node").unwrap(), "/tank/a,b/disk0.raw");
    assert_eq!(super::set_of(&rendered.cmd.args, "/tank/a,b/disk0.raw"), rendered.descriptors.last().map(|last| last.number));
    assert_eq!(super::path_of(&rendered.cmd, "disk-5.0"), None);
    assert_eq!(super::node_of(&rendered.cmd, "/tank/a"), None);
    assert_eq!(super::node_of(&rendered.cmd, "/tank/a,b/disk0.ra"), None);
}

#[test]
fn a_usual_guest_by_emulation() {
    let mut spec = usual();
    spec.boot = Boot::Uefi(Uefi { code: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(), vars: Some("/tank/g/web01/uefi-vars.fd".into()) });
    spec.devices[2].1 = nic(NicModel::VirtioNet, user_net());
    assert_snapshot!(line(spec, &QemuHost { accel: Accel::Tcg, ..linux() }), @"
    qemu-system-x86_64
      -name guest=web01
      -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
      -machine q35,pflash0=pflash0,pflash1=pflash1
      -accel tcg
      -cpu max
      -nodefaults
      -no-user-config
      -no-reboot
      -S
      -display none
      -uuid 11111111-2222-3333-4444-555555555555
      -smp cpus=4,sockets=1,cores=4,threads=1
      -m size=4096M
      -rtc base=utc
      -add-fd fd=20,set=20,opaque=/usr/share/OVMF/OVMF_CODE_4M.fd
      -blockdev driver=raw,node-name=pflash0,read-only=on,file.driver=file,file.filename=/dev/fdset/20
      -add-fd fd=21,set=21,opaque=/tank/g/web01/uefi-vars.fd
      -blockdev driver=raw,node-name=pflash1,read-only=off,file.driver=file,file.filename=/dev/fdset/21
      -chardev socket,id=qmp,fd=22,server=on,wait=off
      -mon chardev=qmp,mode=control
      -chardev socket,id=com1,fd=23,server=on,wait=off
      -device isa-serial,chardev=com1,index=0
      -device VGA,id=screen,addr=02.0,xres=1024,yres=768
      -vnc 127.0.0.1:1
      -device ich9-ahci,id=cd-3.0,addr=03.0
      -add-fd fd=24,set=24,opaque=/tank/chyves/images/deb.iso
      -blockdev driver=raw,node-name=cd-3.0-drive0-node,read-only=on,discard=ignore,file.driver=file,file.filename=/dev/fdset/24,file.locking=on,file.discard=ignore
      -device ide-cd,bus=cd-3.0.0,id=cd-3.0-drive0,drive=cd-3.0-drive0-node
      -add-fd fd=25,set=25,opaque=/dev/zvol/tank/chyves/guests/web01/disk0
      -blockdev driver=raw,node-name=disk-4.0-node,read-only=off,discard=unmap,cache.direct=on,file.driver=host_device,file.filename=/dev/fdset/25,file.locking=on,file.discard=unmap,file.cache.direct=on
      -device virtio-blk-pci,id=disk-4.0,addr=04.0,drive=disk-4.0-node,werror=stop,rerror=report,serial=WEB1-0
      -netdev user,id=net-12.0-end,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp:0.0.0.0:53-10.0.2.15:53
      -device virtio-net-pci,id=net-12.0,addr=0c.0,netdev=net-12.0-end,mac=58:9c:fc:00:00:01,romfile=
      -object rng-builtin,id=rng-26.0-source
      -device virtio-rng-pci,id=rng-26.0,addr=1a.0,rng=rng-26.0-source
      -device qemu-xhci,id=usb-27.0,addr=1b.0
      -device usb-tablet,bus=usb-27.0.0
    ");
}

#[test]
fn every_device() {
    let text: Vec<String> = every().into_iter().map(|(what, device)| format!("{what}\n{}", added(device))).collect();
    assert_snapshot!(text.concat(), @"
    amd_hostbridge
    virtio-blk
      fd=24,set=24,opaque=/dev/zvol/tank/chyves/guests/web01/disk0
      driver=raw,node-name=disk-5.0-node,read-only=off,discard=unmap,cache.direct=on,file.driver=host_device,file.filename=/dev/fdset/24,file.locking=on,file.discard=unmap,file.cache.direct=on
      virtio-blk-pci,id=disk-5.0,addr=05.0,drive=disk-5.0-node,werror=stop,rerror=report,serial=WEB1-0
    virtio-blk, options
      fd=24,set=24,opaque=/dev/zvol/tank/chyves/guests/web01/disk0
      driver=raw,node-name=disk-5.0-node,read-only=on,discard=ignore,cache.direct=on,file.driver=host_device,file.filename=/dev/fdset/24,file.locking=on,file.discard=ignore,file.cache.direct=on
      virtio-blk-pci,id=disk-5.0,addr=05.0,drive=disk-5.0-node,logical_block_size=512,physical_block_size=4096,write-cache=off,werror=stop,rerror=report,serial=WEB1-0
    ahci-hd
      fd=24,set=24,opaque=/dev/zvol/tank/chyves/guests/web01/disk0
      driver=raw,node-name=disk-5.0-node,read-only=off,discard=unmap,cache.direct=on,file.driver=host_device,file.filename=/dev/fdset/24,file.locking=on,file.discard=unmap,file.cache.direct=on
      ich9-ahci,id=disk-5.0,addr=05.0
      ide-hd,bus=disk-5.0.0,drive=disk-5.0-node,werror=stop,rerror=report,serial=WEB1-0
    ahci-hd, details
      fd=24,set=24,opaque=/dev/zvol/tank/chyves/guests/web01/disk0
      driver=raw,node-name=disk-5.0-node,read-only=off,discard=unmap,cache.direct=on,file.driver=host_device,file.filename=/dev/fdset/24,file.locking=on,file.discard=unmap,file.cache.direct=on
      ich9-ahci,id=disk-5.0,addr=05.0
      ide-hd,bus=disk-5.0.0,drive=disk-5.0-node,logical_block_size=512,physical_block_size=4096,werror=stop,rerror=report,serial=WEB1-0,rotation_rate=1,ver=1.0,model=chyves disk
    ahci-cd
      ich9-ahci,id=cd-5.0,addr=05.0
      fd=24,set=24,opaque=/tank/chyves/images/deb.iso
      driver=raw,node-name=cd-5.0-drive0-node,read-only=on,discard=ignore,file.driver=file,file.filename=/dev/fdset/24,file.locking=on,file.discard=ignore
      ide-cd,bus=cd-5.0.0,id=cd-5.0-drive0,drive=cd-5.0-drive0-node
    ahci-cd, empty
      ich9-ahci,id=cd-5.0,addr=05.0
      ide-cd,bus=cd-5.0.0,id=cd-5.0-drive0
    ahci
      ich9-ahci,id=ahci-5.0,addr=05.0
      fd=24,set=24,opaque=/tank/d0.raw
      driver=raw,node-name=ahci-5.0-disk0-node,read-only=off,discard=unmap,file.driver=file,file.filename=/dev/fdset/24,file.locking=on,file.discard=unmap
      ide-hd,bus=ahci-5.0.0,drive=ahci-5.0-disk0-node,werror=stop,rerror=report,serial=WEB1-0
      fd=25,set=25,opaque=/tank/d1.raw
      driver=raw,node-name=ahci-5.0-disk1-node,read-only=off,discard=unmap,file.driver=file,file.filename=/dev/fdset/25,file.locking=on,file.discard=unmap
      ide-hd,bus=ahci-5.0.1,drive=ahci-5.0-disk1-node,werror=stop,rerror=report,serial=WEB1-1
      fd=26,set=26,opaque=/tank/a.iso
      driver=raw,node-name=ahci-5.0-drive2-node,read-only=on,discard=ignore,file.driver=file,file.filename=/dev/fdset/26,file.locking=on,file.discard=ignore
      ide-cd,bus=ahci-5.0.2,id=ahci-5.0-drive2,drive=ahci-5.0-drive2-node
    nvme
      fd=24,set=24,opaque=/dev/zvol/tank/chyves/guests/web01/disk0
      driver=raw,node-name=disk-5.0-node,read-only=off,discard=unmap,cache.direct=on,file.driver=host_device,file.filename=/dev/fdset/24,file.locking=on,file.discard=unmap,file.cache.direct=on
      nvme,id=disk-5.0,addr=05.0,serial=WEB1-0
      nvme-ns,bus=disk-5.0,drive=disk-5.0-node
    nvme, knobs
      refused: QEMU's nvme has no setting for its queue size; unset it: QEMU chooses it by itself
    nvme, ram
      refused: QEMU has no disk in memory; put the disk's file on a tmpfs, or remove the device
    virtio-scsi
      refused: QEMU cannot use FreeBSD's CAM target layer; put the disks on virtio-blk, or on virtio-scsi as targets
    virtio-scsi, port
      refused: QEMU cannot use FreeBSD's CAM target layer; put the disks on virtio-blk, or on virtio-scsi as targets
    virtio-scsi, targets
      virtio-scsi-pci,id=scsi-5.0,addr=05.0
      fd=24,set=24,opaque=/tank/s0.raw
      driver=raw,node-name=scsi-5.0-0-node,read-only=off,discard=unmap,file.driver=file,file.filename=/dev/fdset/24,file.locking=on,file.discard=unmap
      scsi-hd,bus=scsi-5.0.0,scsi-id=0,drive=scsi-5.0-0-node,werror=stop,rerror=report
      fd=25,set=25,opaque=/tank/s3.raw
      driver=raw,node-name=scsi-5.0-3-node,read-only=off,discard=unmap,file.driver=file,file.filename=/dev/fdset/25,file.locking=on,file.discard=unmap
      scsi-hd,bus=scsi-5.0.0,scsi-id=3,drive=scsi-5.0-3-node,werror=stop,rerror=report
    virtio-net, tap
      -netdev
      tap,id=net-5.0-end,fd=24
      virtio-net-pci,id=net-5.0,addr=05.0,netdev=net-5.0-end,mac=58:9c:fc:00:00:01,romfile=
    virtio-net, renamed tap
      -netdev
      tap,id=net-5.0-end,fd=24
      virtio-net-pci,id=net-5.0,addr=05.0,host_mtu=9000,netdev=net-5.0-end,mac=58:9c:fc:00:00:01,romfile=
    virtio-net, vale
      refused: QEMU cannot attach a NIC to vale, which is FreeBSD's; attach the NIC to a bridge instead
    virtio-net, netmap
      refused: QEMU cannot attach a NIC to netmap, which is FreeBSD's; attach the NIC to a bridge instead
    virtio-net, netgraph
      refused: QEMU cannot attach a NIC to netgraph, which is FreeBSD's; attach the NIC to a bridge instead
    virtio-net, user
      -netdev
      user,id=net-5.0-end,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp:0.0.0.0:53-10.0.2.15:53
      virtio-net-pci,id=net-5.0,addr=05.0,netdev=net-5.0-end,mac=58:9c:fc:00:00:01,romfile=
    e1000, tap
      -netdev
      tap,id=net-5.0-end,fd=24
      e1000,id=net-5.0,addr=05.0,netdev=net-5.0-end,mac=58:9c:fc:00:00:01,romfile=
    virtio-rnd
      -object
      rng-builtin,id=rng-5.0-source
      virtio-rng-pci,id=rng-5.0,addr=05.0,rng=rng-5.0-source
    virtio-9p
      -fsdev
      local,id=share-5.0-folder,path=/usr/src,security_model=passthrough,readonly=on
      virtio-9p-pci,id=share-5.0,addr=05.0,fsdev=share-5.0-folder,mount_tag=src
    virtio-console
      virtio-serial-pci,id=console-5.0,addr=05.0
      socket,id=console-5.0-end0,fd=24,server=on,wait=off
      virtserialport,bus=console-5.0.0,chardev=console-5.0-end0,name=agent.0
      socket,id=console-5.0-end1,fd=25,server=on,wait=off
      virtserialport,bus=console-5.0.0,chardev=console-5.0-end1,name=agent.1
    virtio-input
      virtio-input-host-pci,id=input-5.0,addr=05.0,evdev=/dev/input/event3
    fbuf
      VGA,id=screen,addr=05.0,xres=1024,yres=768
      -vnc
      127.0.0.1:1
    fbuf, all
      refused: QEMU cannot wait for the first viewer; remove `wait` from the device's options
    fbuf, socket
      VGA,id=screen,addr=05.0,xres=1024,yres=768
      -vnc
      unix:/run/chyves/vnc
    xhci
      qemu-xhci,id=usb-5.0,addr=05.0
      usb-tablet,bus=usb-5.0.0
    hda
      -audiodev
      oss,id=sound-5.0-host,out.dev=/dev/dsp0,in.dev=/dev/dsp1
      ich9-intel-hda,id=sound-5.0,addr=05.0
      hda-duplex,bus=sound-5.0.0,audiodev=sound-5.0-host
    hda, silent
      -audiodev
      none,id=sound-5.0-host
      ich9-intel-hda,id=sound-5.0,addr=05.0
      hda-duplex,bus=sound-5.0.0,audiodev=sound-5.0-host
    passthru
      -overcommit
      mem-lock=on
      vfio-pci,id=host-5.0,addr=05.0,host=0000:02:00.1,romfile=/tank/gpu.rom
    passthru, ppt
      refused: the name of a ppt unit is FreeBSD's; name the device by BUS/SLOT/FUNCTION
    uart
      serial,id=uart-5.0-end,path=/dev/nmdm9A
      pci-serial,id=uart-5.0,addr=05.0,chardev=uart-5.0-end
    uart, tcp
      socket,id=uart-5.0-end,host=127.0.0.1,port=4000,server=on,wait=off
      pci-serial,id=uart-5.0,addr=05.0,chardev=uart-5.0-end
    filler
      pci-testdev,id=filler-5.0,addr=05.0
    raw
      refused: QEMU has no device `virtio-foo` that chyves knows; describe it in QEMU's words by qargs, or run the guest on bhyve
    raw, no conf
      refused: QEMU has no device `dummy` that chyves knows; describe it in QEMU's words by qargs, or run the guest on bhyve
    ");
}

#[test]
fn bios_needs_no_firmware() {
    let text = line(Spec { boot: Boot::Bios, ..bare() }, &linux());
    assert!(!text.contains("pflash") && text.contains("-machine q35\n"));
}

#[test]
fn everything_beyond_devices() {
    let mut spec = Spec { boot: Boot::Bios, ..bare() };
    spec.memory.wired = true;
    spec.rtc = Rtc::LocalTime;
    spec.tpm = Some(Tpm::Swtpm { socket: "/run/tpm.sock".into() });
    spec.fw_cfg = vec![FwCfg { name: "opt/a".into(), content: FwCfgContent::Text("x,y".into()) }];
    spec.serial = [
        Some(SerialEnd::Console),
        Some(SerialEnd::Socket("/run/s2".into())),
        Some(SerialEnd::Tcp("127.0.0.1:4000".parse().unwrap())),
        Some(SerialEnd::Device("/dev/ttyS3".into())),
    ];
    spec.extra = vec!["-global".into(), "ICH9-LPC.disable_s3=1".into()];
    assert_snapshot!(line(spec, &linux()), @"
    qemu-system-x86_64
      -name guest=web01
      -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
      -machine q35
      -accel kvm
      -cpu host
      -nodefaults
      -no-user-config
      -no-reboot
      -S
      -display none
      -uuid 11111111-2222-3333-4444-555555555555
      -smp cpus=1,sockets=1,cores=1,threads=1
      -m size=4096M
      -overcommit mem-lock=on
      -rtc base=localtime
      -chardev socket,id=qmp,fd=20,server=on,wait=off
      -mon chardev=qmp,mode=control
      -chardev socket,id=com1,fd=21,server=on,wait=off
      -device isa-serial,chardev=com1,index=0
      -chardev socket,id=com2,fd=22,server=on,wait=off
      -device isa-serial,chardev=com2,index=1
      -chardev socket,id=com3,host=127.0.0.1,port=4000,server=on,wait=off
      -device isa-serial,chardev=com3,index=2
      -chardev serial,id=com4,path=/dev/ttyS3
      -device isa-serial,chardev=com4,index=3
      -chardev socket,id=tpm,fd=23
      -tpmdev emulator,id=tpm0,chardev=tpm
      -device tpm-crb,tpmdev=tpm0
      -fw_cfg name=opt/a,string=x,,y
      -global ICH9-LPC.disable_s3=1
    ");
}

#[test]
fn commas_in_paths_are_doubled() {
    let mut device = disk(DiskBus::VirtioBlk, "");
    if let Device::Disk(disk) = &mut device {
        disk.backing = Backing::file("/tank/a,b/disk0.raw");
    }
    assert!(line(one(device), &linux()).contains(",opaque=/tank/a,,b/disk0.raw"));
}

#[test]
fn a_password_is_in_a_file_only() {
    let device = Device::FrameBuffer(FrameBuffer { password: Some("s3cret".parse().unwrap()), ..screen() });
    let rendered = render(&built(one(device)), &linux()).unwrap();
    assert!(!rendered.cmd.to_string().contains("s3cret"));
    assert!(rendered.cmd.to_string().contains("-vnc 127.0.0.1:1,password=on"));
    assert!(rendered.files[0].secret && rendered.files[0].text == "s3cret");
}

#[test]
fn function_0_of_a_used_slot_is_filled_and_says_that_there_are_more() {
    let spec = with(vec![(PciPlace::on(5, 3), Device::Rng), (PciPlace::on(6, 0), Device::Tablet), (PciPlace::on(6, 1), Device::Rng)]);
    let text = line(spec, &linux());
    assert!(text.contains("pci-testdev,id=filler-5.0,addr=05.0,multifunction=on\n"));
    assert!(text.contains("qemu-xhci,id=usb-6.0,addr=06.0,multifunction=on\n"));
    assert!(text.contains("virtio-rng-pci,id=rng-6.1,addr=06.1,rng="));
}

#[test]
fn a_controller_of_32_ports_becomes_six() {
    let port = |n: u8| AhciPort::Disk {
        backing: Backing::file(format!("/d{n}")),
        options: BlockOptions::default(),
        serial: format!("S{n}").parse().unwrap(),
        details: AhciDetails::default(),
    };
    let controller = Device::Ahci(Ahci::new((0..32).map(port).collect()).unwrap());
    let text = line(one(controller.clone()), &linux());
    assert!(text.contains("ich9-ahci,id=ahci-5.0,addr=05.0,multifunction=on\n"));
    assert!(text.contains("ich9-ahci,id=ahci-5.5,addr=05.5\n"));
    assert!(text.ends_with("ide-hd,bus=ahci-5.5.1,drive=ahci-5.5-disk1-node,werror=stop,rerror=report,serial=S31"));
    assert_eq!(text.matches("ide-hd").count(), 32);
    let crowded = with(vec![(PciPlace::on(5, 0), controller), (PciPlace::on(5, 2), Device::Rng)]);
    assert_snapshot!(refusal(crowded), @"
    QEMU's AHCI controller has 6 ports, and no free functions after 5:0 for 6 of them
      hint: put the disks on virtio-blk, or free the other functions of the slot
    ");
}

#[test]
fn what_qemu_can_t_do_is_refused_with_the_way_round() {
    let loader = Bhyveload { disks: vec!["/d".into()], flags: Vec::new(), timeout: 300 };
    let elsewhere = with(vec![(PciPlace { bus: 1, slot: 4, function: 0 }, Device::Rng)]);
    let low = Device::FrameBuffer(FrameBuffer { listen: crate::device::VncListen::Tcp("127.0.0.1:80".parse().unwrap()), ..screen() });
    let mut long = bare();
    long.serial[1] = Some(SerialEnd::Socket(format!("/{}", "x".repeat(120))));
    let cases = [
        Spec { boot: Boot::Bhyveload(loader), ..bare() },
        Spec { boot: Boot::UBoot { image: "/u".into() }, ..bare() },
        elsewhere,
        one(low),
        long,
    ];
    assert_snapshot!(cases.into_iter().map(refusal).collect::<String>(), @"
    bhyveload is a loader of bhyve, which QEMU cannot use
      hint: set loader=uefi, or loader=bios for an older disk
    U-Boot is for arm64, and this is a PC
      hint: set loader=uefi
    QEMU's q35 has no PCI bus 1
      hint: choose a slot on bus 0, from 4:0 to 30:7
    QEMU's VNC takes ports from 5900 on, not 80
      hint: set vnc_port=5900 or higher, or 0
    the path of a UNIX socket is too long: `/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`: it has 121 bytes, the system takes 107
      hint: choose a shorter path
    ");
}
