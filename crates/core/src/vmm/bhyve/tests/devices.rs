//! Every device in both notations, and on every release.
#![allow(clippy::too_many_lines)] // the golden text is the length

use super::super::{BhyveHost, check, device};
use crate::device::PciPlace;
use crate::vmm::fixture::{built, covered, every, freebsd, one};
use insta::assert_snapshot;

/// Every device as a command-line argument and as lines of bhyve_config(5), on a release that supports all of them.
#[test]
fn every_device_in_both_notations() {
    let host = BhyveHost { config_file: "/c".into(), ..freebsd("16.0") };
    let mut text = Vec::new();
    for (what, device) in every() {
        let mut spec = one(device.clone());
        // Passthrough requires that.
        spec.memory.wired = true;
        covered(&built(spec), &host);
        let setting = device::conf(&device, &host).at(PciPlace::on(5, 0));
        text.push(format!("{what}\n  {} {:?}\n", setting.words.join(" "), setting.unfit));
        match setting.tree {
            Some(tree) => text.extend(tree.iter().map(|(key, value)| format!("  {key}={value}\n"))),
            None => text.push("  (only there)\n".to_owned()),
        }
    }
    assert_snapshot!(text.concat(), @"
    amd_hostbridge
      -s 5:0,amd_hostbridge No
      (only there)
    virtio-blk
      -s 5:0,virtio-blk,/dev/zvol/tank/chyves/guests/web01/disk0,ser=WEB1-0 No
      pci.0.5.0.device=virtio-blk
      pci.0.5.0.path=/dev/zvol/tank/chyves/guests/web01/disk0
      pci.0.5.0.ser=WEB1-0
    virtio-blk, options
      -s 5:0,virtio-blk,/dev/zvol/tank/chyves/guests/web01/disk0,nocache,direct,ro,sectorsize=512/4096,nodelete,ser=WEB1-0 No
      pci.0.5.0.device=virtio-blk
      pci.0.5.0.path=/dev/zvol/tank/chyves/guests/web01/disk0
      pci.0.5.0.nocache=true
      pci.0.5.0.direct=true
      pci.0.5.0.ro=true
      pci.0.5.0.sectorsize=512/4096
      pci.0.5.0.nodelete=true
      pci.0.5.0.ser=WEB1-0
    ahci-hd
      -s 5:0,ahci-hd,/dev/zvol/tank/chyves/guests/web01/disk0,ser=WEB1-0 No
      pci.0.5.0.device=ahci
      pci.0.5.0.port.0.type=hd
      pci.0.5.0.port.0.path=/dev/zvol/tank/chyves/guests/web01/disk0
      pci.0.5.0.port.0.ser=WEB1-0
    ahci-hd, details
      -s 5:0,ahci-hd,/dev/zvol/tank/chyves/guests/web01/disk0,sectorsize=512/4096,ser=WEB1-0,nmrr=1,rev=1.0,model=chyves disk No
      pci.0.5.0.device=ahci
      pci.0.5.0.port.0.type=hd
      pci.0.5.0.port.0.path=/dev/zvol/tank/chyves/guests/web01/disk0
      pci.0.5.0.port.0.sectorsize=512/4096
      pci.0.5.0.port.0.ser=WEB1-0
      pci.0.5.0.port.0.nmrr=1
      pci.0.5.0.port.0.rev=1.0
      pci.0.5.0.port.0.model=chyves disk
    ahci-cd
      -s 5:0,ahci-cd,/tank/chyves/images/deb.iso,ro No
      pci.0.5.0.device=ahci
      pci.0.5.0.port.0.type=cd
      pci.0.5.0.port.0.path=/tank/chyves/images/deb.iso
      pci.0.5.0.port.0.ro=true
    ahci-cd, empty
      -s 5:0,ahci No
      pci.0.5.0.device=ahci
    ahci
      -s 5:0,ahci,hd:/tank/d0.raw,ser=WEB1-0,hd:/tank/d1.raw,ser=WEB1-1,cd:/tank/a.iso,ro No
      pci.0.5.0.device=ahci
      pci.0.5.0.port.0.type=hd
      pci.0.5.0.port.0.path=/tank/d0.raw
      pci.0.5.0.port.0.ser=WEB1-0
      pci.0.5.0.port.1.type=hd
      pci.0.5.0.port.1.path=/tank/d1.raw
      pci.0.5.0.port.1.ser=WEB1-1
      pci.0.5.0.port.2.type=cd
      pci.0.5.0.port.2.path=/tank/a.iso
      pci.0.5.0.port.2.ro=true
    nvme
      -s 5:0,nvme,/dev/zvol/tank/chyves/guests/web01/disk0,ser=WEB1-0 No
      pci.0.5.0.device=nvme
      pci.0.5.0.path=/dev/zvol/tank/chyves/guests/web01/disk0
      pci.0.5.0.ser=WEB1-0
    nvme, knobs
      -s 5:0,nvme,/dev/zvol/tank/chyves/guests/web01/disk0,ser=WEB1-0,maxq=8,qsz=512,ioslots=4,sectsz=4096,eui64=0x589cfc0000000001,dsm=disable No
      pci.0.5.0.device=nvme
      pci.0.5.0.path=/dev/zvol/tank/chyves/guests/web01/disk0
      pci.0.5.0.ser=WEB1-0
      pci.0.5.0.maxq=8
      pci.0.5.0.qsz=512
      pci.0.5.0.ioslots=4
      pci.0.5.0.sectsz=4096
      pci.0.5.0.eui64=0x589cfc0000000001
      pci.0.5.0.dsm=disable
    nvme, ram
      -s 5:0,nvme,ram=64,ser=WEB1-9 No
      pci.0.5.0.device=nvme
      pci.0.5.0.ram=64
      pci.0.5.0.ser=WEB1-9
    virtio-scsi
      -s 5:0,virtio-scsi,/dev/cam/ctl No
      (only there)
    virtio-scsi, port
      -s 5:0,virtio-scsi,/dev/cam/ctl1.0,iid=3 No
      (only there)
    virtio-scsi, targets
      -s 5:0,virtio-scsi,target=0:/tank/s0.raw,target=3:/tank/s3.raw No
      (only there)
    virtio-net, tap
      -s 5:0,virtio-net,tap0,mac=58:9c:fc:00:00:01 No
      pci.0.5.0.device=virtio-net
      pci.0.5.0.backend=tap0
      pci.0.5.0.mac=58:9c:fc:00:00:01
    virtio-net, renamed tap
      -s 5:0,virtio-net,web01-lan,type=tap,mac=58:9c:fc:00:00:01,mtu=9000 No
      pci.0.5.0.device=virtio-net
      pci.0.5.0.backend=web01-lan
      pci.0.5.0.type=tap
      pci.0.5.0.mac=58:9c:fc:00:00:01
      pci.0.5.0.mtu=9000
    virtio-net, vale
      -s 5:0,virtio-net,vale0:web1,mac=58:9c:fc:00:00:01 No
      pci.0.5.0.device=virtio-net
      pci.0.5.0.backend=vale0:web1
      pci.0.5.0.mac=58:9c:fc:00:00:01
    virtio-net, netmap
      -s 5:0,virtio-net,netmap:em1,mac=58:9c:fc:00:00:01 No
      pci.0.5.0.device=virtio-net
      pci.0.5.0.backend=netmap:em1
      pci.0.5.0.mac=58:9c:fc:00:00:01
    virtio-net, netgraph
      -s 5:0,virtio-net,netgraph,path=lan:,peerhook=link2,hook=vm,mac=58:9c:fc:00:00:01 No
      pci.0.5.0.device=virtio-net
      pci.0.5.0.backend=netgraph
      pci.0.5.0.path=lan:
      pci.0.5.0.peerhook=link2
      pci.0.5.0.hook=vm
      pci.0.5.0.mac=58:9c:fc:00:00:01
    virtio-net, user
      -s 5:0,virtio-net,slirp,open,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22;udp:0.0.0.0:53-10.0.2.15:53,mac=58:9c:fc:00:00:01 No
      pci.0.5.0.device=virtio-net
      pci.0.5.0.backend=slirp
      pci.0.5.0.open=true
      pci.0.5.0.hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22;udp:0.0.0.0:53-10.0.2.15:53
      pci.0.5.0.mac=58:9c:fc:00:00:01
    e1000, tap
      -s 5:0,e1000,tap1,mac=58:9c:fc:00:00:01 No
      pci.0.5.0.device=e1000
      pci.0.5.0.backend=tap1
      pci.0.5.0.mac=58:9c:fc:00:00:01
    virtio-rnd
      -s 5:0,virtio-rnd No
      pci.0.5.0.device=virtio-rnd
    virtio-9p
      -s 5:0,virtio-9p,src=/usr/src,ro No
      pci.0.5.0.device=virtio-9p
      pci.0.5.0.sharename=src
      pci.0.5.0.path=/usr/src
      pci.0.5.0.ro=true
    virtio-console
      -s 5:0,virtio-console,agent.0=/run/chyves/web01/agent0,agent.1=/run/chyves/web01/agent1 No
      pci.0.5.0.device=virtio-console
      pci.0.5.0.port.0.name=agent.0
      pci.0.5.0.port.0.path=/run/chyves/web01/agent0
      pci.0.5.0.port.1.name=agent.1
      pci.0.5.0.port.1.path=/run/chyves/web01/agent1
    virtio-input
      -s 5:0,virtio-input,/dev/input/event3 No
      (only there)
    fbuf
      -s 5:0,fbuf,rfb=127.0.0.1:5901,w=1024,h=768 No
      pci.0.5.0.device=fbuf
      pci.0.5.0.rfb=127.0.0.1:5901
      pci.0.5.0.w=1024
      pci.0.5.0.h=768
    fbuf, all
      -s 5:0,fbuf,rfb=[::1]:5901,w=1920,h=1080,vga=off,wait Secret
      pci.0.5.0.device=fbuf
      pci.0.5.0.rfb=[::1]:5901
      pci.0.5.0.w=1920
      pci.0.5.0.h=1080
      pci.0.5.0.vga=off
      pci.0.5.0.wait=true
      pci.0.5.0.password=s3cret
    fbuf, socket
      -s 5:0,fbuf,rfb=unix:/run/chyves/vnc,w=1024,h=768 No
      pci.0.5.0.device=fbuf
      pci.0.5.0.rfb=unix:/run/chyves/vnc
      pci.0.5.0.w=1024
      pci.0.5.0.h=768
    xhci
      -s 5:0,xhci,tablet No
      pci.0.5.0.device=xhci
      pci.0.5.0.slot.1.device=tablet
    hda
      -s 5:0,hda,play=/dev/dsp0,rec=/dev/dsp1 No
      pci.0.5.0.device=hda
      pci.0.5.0.play=/dev/dsp0
      pci.0.5.0.rec=/dev/dsp1
    hda, silent
      -s 5:0,hda No
      pci.0.5.0.device=hda
    passthru
      -s 5:0,passthru,2/0/1,rom=/tank/gpu.rom No
      pci.0.5.0.device=passthru
      pci.0.5.0.bus=2
      pci.0.5.0.slot=0
      pci.0.5.0.func=1
      pci.0.5.0.rom=/tank/gpu.rom
    passthru, ppt
      -s 5:0,passthru,ppt3 No
      pci.0.5.0.device=passthru
      pci.0.5.0.pptdev=ppt3
    uart
      -s 5:0,uart,/dev/nmdm9A No
      (only there)
    uart, tcp
      -s 5:0,uart,tcp=127.0.0.1:4000 No
      (only there)
    filler
      -s 5:0,hostbridge No
      pci.0.5.0.device=hostbridge
    raw
      -s 5:0,virtio-foo,/a/path,opt=1 No
      (only there)
    raw, no conf
      -s 5:0,dummy No
      (only there)
    ");
}

#[test]
fn what_a_release_does_not_have_is_refused_with_the_release_that_has_it() {
    let mut text = Vec::new();
    for release in ["13.0", "13.1", "13.5", "14.3", "15.0", "15.1"] {
        for (what, device) in every() {
            let mut spec = one(device);
            spec.memory.wired = true;
            if what == "amd_hostbridge" {
                spec.devices[0].0 = PciPlace::on(0, 0);
            }
            for problem in check(&built(spec), &freebsd(release)) {
                if !problem.message.contains("bhyve that chyves needs") {
                    text.push(format!("{what}: {problem}\n"));
                }
            }
        }
    }
    assert_snapshot!(text.concat(), @"
    virtio-scsi, targets: FreeBSD 13.0 does not have disks on virtio-scsi without CAM's target layer: it came with FreeBSD 16.0
    virtio-net, user: FreeBSD 13.0 does not have a user-mode NIC: it came with FreeBSD 15.0
    virtio-input: FreeBSD 13.0 does not have virtio-input: it came with FreeBSD 13.2
    fbuf, socket: FreeBSD 13.0 does not have VNC by a UNIX socket: it came with FreeBSD 15.1
    passthru, ppt: FreeBSD 13.0 does not have passthrough by the name of the ppt unit: it came with FreeBSD 15.0
    uart, tcp: FreeBSD 13.0 does not have a serial port by TCP: it came with FreeBSD 15.0
    virtio-scsi, targets: FreeBSD 13.1 does not have disks on virtio-scsi without CAM's target layer: it came with FreeBSD 16.0
    virtio-net, user: FreeBSD 13.1 does not have a user-mode NIC: it came with FreeBSD 15.0
    virtio-input: FreeBSD 13.1 does not have virtio-input: it came with FreeBSD 13.2
    fbuf, socket: FreeBSD 13.1 does not have VNC by a UNIX socket: it came with FreeBSD 15.1
    passthru, ppt: FreeBSD 13.1 does not have passthrough by the name of the ppt unit: it came with FreeBSD 15.0
    uart, tcp: FreeBSD 13.1 does not have a serial port by TCP: it came with FreeBSD 15.0
    virtio-scsi, targets: FreeBSD 13.5 does not have disks on virtio-scsi without CAM's target layer: it came with FreeBSD 16.0
    virtio-net, user: FreeBSD 13.5 does not have a user-mode NIC: it came with FreeBSD 15.0
    fbuf, socket: FreeBSD 13.5 does not have VNC by a UNIX socket: it came with FreeBSD 15.1
    passthru, ppt: FreeBSD 13.5 does not have passthrough by the name of the ppt unit: it came with FreeBSD 15.0
    uart, tcp: FreeBSD 13.5 does not have a serial port by TCP: it came with FreeBSD 15.0
    virtio-scsi, targets: FreeBSD 14.3 does not have disks on virtio-scsi without CAM's target layer: it came with FreeBSD 16.0
    virtio-net, user: FreeBSD 14.3 does not have a user-mode NIC: it came with FreeBSD 15.0
    fbuf, socket: FreeBSD 14.3 does not have VNC by a UNIX socket: it came with FreeBSD 15.1
    passthru, ppt: FreeBSD 14.3 does not have passthrough by the name of the ppt unit: it came with FreeBSD 15.0
    uart, tcp: FreeBSD 14.3 does not have a serial port by TCP: it came with FreeBSD 15.0
    virtio-scsi, targets: FreeBSD 15.0 does not have disks on virtio-scsi without CAM's target layer: it came with FreeBSD 16.0
    fbuf, socket: FreeBSD 15.0 does not have VNC by a UNIX socket: it came with FreeBSD 15.1
    virtio-scsi, targets: FreeBSD 15.1 does not have disks on virtio-scsi without CAM's target layer: it came with FreeBSD 16.0
    ");
}
