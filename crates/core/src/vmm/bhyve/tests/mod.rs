//! Complete command lines of bhyve.

mod corrections;
mod devices;

use super::{Arch, BhyveHost, check, render};
use crate::device::{DiskBus, FwCfg, FwCfgContent, NicModel, PciPlace, Tpm};
use crate::vmm::fixture::{bare, built, covered, disk, every, files, freebsd, lines, nic, tap, told, usual, with};
use crate::vmm::machine::{Boot, Rtc, Spec, Topology, Uefi};
use insta::assert_snapshot;
use proptest::prelude::*;

pub(super) fn line(spec: Spec, host: &BhyveHost) -> String {
    let machine = built(spec);
    covered(&machine, host);
    let rendered = render(&machine, host).unwrap();
    let files = files(&rendered.files);
    let before: Vec<String> = rendered.before.iter().map(|p| format!("{}\n", p.cmd)).collect();
    format!("{}{}{files}", before.concat(), lines(&rendered.cmd))
}

pub(super) fn refusals(spec: Spec, host: &BhyveHost) -> String {
    told(&check(&built(spec), host))
}

#[test]
fn a_usual_guest_on_14_3() {
    assert_snapshot!(line(usual(), &freebsd("14.3")), @"
    bhyvectl --vm=web01 --destroy
    bhyve
      -c cpus=4,sockets=1,cores=4,threads=1
      -m 4096M
      -A
      -H
      -P
      -w
      -u
      -U 11111111-2222-3333-4444-555555555555
      -s 0:0,hostbridge
      -s 2:0,fbuf,rfb=127.0.0.1:5901,w=1024,h=768
      -s 3:0,ahci-cd,/tank/chyves/images/deb.iso,ro
      -s 4:0,virtio-blk,/dev/zvol/tank/chyves/guests/web01/disk0,ser=WEB1-0
      -s 12:0,virtio-net,tap0,mac=58:9c:fc:00:00:01
      -s 26:0,virtio-rnd
      -s 27:0,xhci,tablet
      -s 31:0,lpc
      -l com1,/dev/nmdm-web01.1A
      -l bootrom,/usr/local/share/uefi-firmware/BHYVE_UEFI.fd,/tank/chyves/guests/web01/uefi-vars.fd web01
    ");
}

#[test]
fn newer_releases_build_acpi_tables_by_themselves() {
    for (release, has) in [("13.5", true), ("14.3", true), ("15.0", false)] {
        assert_eq!(line(usual(), &freebsd(release)).contains("\n  -A\n"), has, "{release}");
    }
}

#[test]
fn a_comma_or_a_secret_goes_into_a_file() {
    let mut spec = usual();
    for (_, device) in &mut spec.devices {
        match device {
            crate::device::Device::Disk(disk) => disk.backing.path = "/tank/a,b 50%.raw".into(),
            crate::device::Device::FrameBuffer(screen) => screen.password = Some("s3cret".parse().unwrap()),
            _ => {}
        }
    }
    spec.boot = Boot::Uefi(Uefi { code: "/fw/CODE.fd".into(), vars: Some("/tank/a=b/vars.fd".into()) });
    assert_snapshot!(line(spec.clone(), &freebsd("14.3")), @"
    bhyvectl --vm=web01 --destroy
    bhyve
      -k /var/run/chyves/web01/bhyve.conf
      -c cpus=4,sockets=1,cores=4,threads=1
      -m 4096M
      -A
      -H
      -P
      -w
      -u
      -U 11111111-2222-3333-4444-555555555555
      -s 0:0,hostbridge
      -s 3:0,ahci-cd,/tank/chyves/images/deb.iso,ro
      -s 12:0,virtio-net,tap0,mac=58:9c:fc:00:00:01
      -s 26:0,virtio-rnd
      -s 27:0,xhci,tablet
      -s 31:0,lpc
      -l com1,/dev/nmdm-web01.1A web01
    [/var/run/chyves/web01/bhyve.conf 600 secret]
    pci.0.2.0.device=fbuf
    pci.0.2.0.rfb=127.0.0.1:5901
    pci.0.2.0.w=1024
    pci.0.2.0.h=768
    pci.0.2.0.password=s3cret
    pci.0.4.0.device=virtio-blk
    pci.0.4.0.path=/tank/a,b 50%.raw
    pci.0.4.0.ser=WEB1-0
    lpc.bootrom=/fw/CODE.fd
    lpc.bootvars=/tank/a=b/vars.fd
    ");
    // From 15.0 on the firmware's keys are at the top level.
    assert!(line(spec, &freebsd("15.0")).contains("\nbootrom=/fw/CODE.fd\nbootvars=/tank/a=b/vars.fd\n"));
}

#[test]
fn a_command_line_that_is_too_long_becomes_a_file() {
    let disks = (0..200u8).map(|n| (PciPlace::on(4 + n / 8, n % 8), n)).map(|(place, n)| {
        let mut device = disk(DiskBus::VirtioBlk, "");
        if let crate::device::Device::Disk(disk) = &mut device {
            disk.backing.path = format!("/{}/{n}", "x".repeat(700));
        }
        (place, device)
    });
    let rendered = render(&built(with(disks.collect())), &freebsd("14.3")).unwrap();
    assert_eq!(rendered.cmd.to_string(), "bhyve -k /var/run/chyves/web01/bhyve.conf web01");
    let text = &rendered.files[0].text;
    assert!(text.starts_with("cpus=1\nsockets=1\ncores=1\nthreads=1\nmemory.size=4096M\nacpi_tables=true\n"));
    assert_eq!(text.matches(".device=virtio-blk\n").count(), 200);
    assert!(text.contains("\nlpc.com1.path=/dev/nmdm-web01.1A\n") && text.contains("\nlpc.bootrom="));
}

#[test]
fn everything_beyond_devices() {
    let mut spec = bare();
    spec.topology = Topology::spread(8, 2, 2).unwrap();
    spec.memory.wired = true;
    spec.memory.in_core = true;
    spec.rtc = Rtc::LocalTime;
    spec.tpm = Some(Tpm::Swtpm { socket: "/run/tpm.sock".into() });
    spec.fw_cfg = vec![FwCfg { name: "opt/org.example/a".into(), content: FwCfgContent::File("/tank/a".into()) }];
    spec.serial[1] = Some(crate::device::SerialEnd::Tcp("127.0.0.1:4000".parse().unwrap()));
    spec.extra = ["-p", "0:4", "-G", "w1234"].map(str::to_owned).to_vec();
    assert_snapshot!(line(spec, &freebsd("15.0")), @"
    bhyvectl --vm=web01 --destroy
    bhyve
      -c cpus=8,sockets=2,cores=2,threads=2
      -m 4096M
      -H
      -P
      -w
      -S
      -C
      -U 11111111-2222-3333-4444-555555555555
      -s 0:0,hostbridge
      -s 31:0,lpc
      -l com1,/dev/nmdm-web01.1A
      -l com2,tcp=127.0.0.1:4000
      -l bootrom,/usr/local/share/uefi-firmware/BHYVE_UEFI.fd,/tank/chyves/guests/web01/uefi-vars.fd,fwcfg=qemu
      -l tpm,swtpm,/run/tpm.sock
      -f opt/org.example/a,file=/tank/a
      -p 0:4
      -G w1234 web01
    ");
}

#[test]
fn arm64_has_its_own_options() {
    let mut spec =
        with(vec![(PciPlace::on(4, 0), disk(DiskBus::VirtioBlk, "")), (PciPlace::on(12, 0), nic(NicModel::VirtioNet, tap("tap0")))]);
    spec.boot = Boot::UBoot { image: "/usr/local/share/u-boot/u-boot-bhyve-arm64/u-boot.bin".into() };
    let host = BhyveHost { arch: Arch::Arm64, ..freebsd("15.0") };
    assert_snapshot!(line(spec.clone(), &host), @"
    bhyvectl --vm=web01 --destroy
    bhyve
      -c cpus=1,sockets=1,cores=1,threads=1
      -m 4096M
      -U 11111111-2222-3333-4444-555555555555
      -s 0:0,hostbridge
      -s 4:0,virtio-blk,/dev/zvol/tank/chyves/guests/web01/disk0,ser=WEB1-0
      -s 12:0,virtio-net,tap0,mac=58:9c:fc:00:00:01
      -o console=/dev/nmdm-web01.1A
      -o bootrom=/usr/local/share/u-boot/u-boot-bhyve-arm64/u-boot.bin web01
    ");
    spec.devices = usual().devices;
    spec.tpm = Some(Tpm::Passthru { device: "/dev/tpm0".into() });
    spec.serial[1] = Some(crate::device::SerialEnd::Stdio);
    spec.extra = vec!["-H".into()];
    assert_snapshot!(refusals(spec, &BhyveHost { release: super::Release::new(14, 3), ..host }), @"
    FreeBSD 14.3 does not have bhyve on arm64: it came with FreeBSD 15.0
      hint: upgrade the host
    bhyve on arm64 has no frame buffer
      hint: `chyves set web01 vnc=off`
    bhyve on arm64 has no USB tablet
      hint: `chyves set web01 vnc_mouse=ps2`
    bhyve on arm64 has no second serial port
      hint: `chyves unset web01 com2 com3 com4`; a virtio-console gives it more
    bhyve on arm64 has no TPM
      hint: `chyves unset web01 tpm`
    bhyve would not take the argument `-H`: bhyve on arm64 has no option -H
      hint: check bargs; bhyve -h lists the options
    ");
}

#[test]
fn the_host_sets_limits() {
    let mut spec = bare();
    spec.topology = Topology::spread(64, 1, 1).unwrap();
    assert_snapshot!(refusals(spec.clone(), &freebsd("14.3")), @"
    64 processors are configured, the host allows a VM at most 32
      hint: `chyves set web01 cpu=32` or less, or raise hw.vmm.maxcpu in /boot/loader.conf
    ");
    spec.topology = Topology::spread(17, 1, 1).unwrap();
    assert_snapshot!(refusals(spec.clone(), &BhyveHost { max_cpus: None, ..freebsd("13.1") }), @"
    FreeBSD 13.1 does not have more than 16 processors: it came with FreeBSD 13.2
      hint: `chyves set web01 cpu=16` or less, or upgrade the host
    ");
    spec.topology = Topology::spread(1, 1, 1).unwrap();
    spec.boot = Boot::Bios;
    spec.serial[1] = Some(crate::device::SerialEnd::Socket("/run/x".into()));
    assert_snapshot!(refusals(spec, &freebsd("14.3")), @"
    bhyve has no PC BIOS
      hint: `chyves set web01 loader=uefi`, or for FreeBSD guests loader=bhyveload
    bhyve has no serial port on a UNIX socket
      hint: use a terminal device, as /dev/nmdm1A, or a virtio-console
    ");
    let known = ["hostbridge", "lpc", "ahci-hd", "virtio-blk", "virtio-net"].map(str::to_owned).to_vec();
    let host = BhyveHost { emulations: Some(known), ..freebsd("14.3") };
    let raw = |text: &str| crate::device::parse_pcidev(text, crate::device::Owner { guest: uuid::Uuid::nil(), number: 0 }).unwrap();
    let devices = vec![
        (PciPlace::on(18, 0), raw("virtio-bkl,/a")),
        (PciPlace::on(19, 0), raw("virtio-blk,/c")),
        (PciPlace::on(20, 0), raw("ahci,hd:/b")),
    ];
    assert_snapshot!(refusals(with(devices), &host), @"
    the host's bhyve has no emulation `virtio-bkl`
      hint: did you mean `virtio-blk`?
      hint: bhyve -s help lists what it has
    ");
}

#[test]
fn the_users_own_arguments_are_read_before_bhyve_reads_them() {
    let told = |words: &str| {
        let mut spec = usual();
        spec.extra = crate::cmd::split_words(words).unwrap();
        refusals(spec, &freebsd("13.5"))
    };
    assert_eq!(told("-A -H -P -S -p 0:1 -s 1,virtio-rnd -o a=b"), "");
    assert_eq!(told("-HPw -p0:1"), "");
    let all = [
        "-Q",
        "-M",
        "-n id=0",
        "-f opt/a,string=b",
        "web02",
        "-p",
        "-s 4,virtio-rnd",
        "-s 9,lpc",
        "-s 9,passthru,1/0/0",
        "-s x,virtio-rnd",
        "--",
    ];
    let text: Vec<String> = all.iter().map(|words| format!("{words}\n{}", told(words))).collect();
    assert_snapshot!(text.concat(), @"
    -Q
    bhyve would not take the argument `-Q`: bhyve has no option -Q
      hint: check bargs; bhyve -h lists the options
    -M
    bhyve would not take the argument `-M`: FreeBSD 13.5 does not have monitor mode (-M): it came with FreeBSD 16.0
      hint: remove it from bargs, or upgrade the host
    -n id=0
    bhyve would not take the argument `-n`: FreeBSD 13.5 does not have memory domains (-n): it came with FreeBSD 15.0
      hint: remove it from bargs, or upgrade the host
    -f opt/a,string=b
    bhyve would not take the argument `-f`: FreeBSD 13.5 does not have firmware items and a boot order: it came with FreeBSD 14.0
      hint: remove it from bargs, or upgrade the host
    web02
    bhyve would not take the argument `web02`: it is not an option, so bhyve would take it for the VM's name
      hint: check bargs
    -p
    bhyve would not take the argument `-p`: -p needs a value behind it
      hint: check bargs
    -s 4,virtio-rnd
    bhyve would not take the argument `4,virtio-rnd`: virtio-blk is at 4:0 already
      hint: use pcidev_1 and so on instead: chyves then gives them places
    -s 9,lpc
    bhyve would not take the argument `9,lpc`: a VM has one lpc at most, and this one has it already
      hint: use pcidev_1 and so on instead: chyves then gives them places
    -s 9,passthru,1/0/0
    bhyve would not take the argument `9,passthru,1/0/0`: passthrough needs wired memory
      hint: add -S to bargs
    -s x,virtio-rnd
    bhyve would not take the argument `x,virtio-rnd`: `x` is not a PCI slot
      hint: use pcidev_1 and so on instead: chyves then gives them places
    --
    bhyve would not take the argument `--`: it is not an option, so bhyve would take it for the VM's name
      hint: check bargs
    ");
}

/// Parses the PCI addresses in a command line as bhyve would, and the device at each.
fn places(cmd: &crate::cmd::Cmd) -> Vec<(PciPlace, String)> {
    let slots = cmd.args.windows(2).filter(|pair| pair[0] == "-s").map(|pair| pair[1].as_str());
    slots
        .map(|slot| {
            let (place, conf) = slot.split_once(',').unwrap();
            (place.parse().unwrap(), conf.split(',').next().unwrap().to_owned())
        })
        .collect()
}

proptest! {
    #[test]
    fn as_many_devices_come_out_as_went_in_each_at_its_place(wanted in proptest::collection::btree_map((1u8..31, 0u8..8), 0usize..40, 0..216)) {
        let all = every();
        let devices: Vec<(PciPlace, crate::device::Device)> = wanted
            .iter()
            .map(|((slot, function), n)| {
                // Devices that can exist only once are not requested twice.
                let device = all.iter().filter(|(_, d)| ["virtio-rnd", "hda", "uart"].contains(&d.word())).cycle().nth(*n).unwrap().1.clone();
                (PciPlace::on(*slot, *function), device)
            })
            .collect();
        let rendered = render(&built(with(devices.clone())), &freebsd("15.0")).unwrap();
        let found = places(&rendered.cmd);
        let distinct: std::collections::BTreeMap<PciPlace, String> = found.iter().cloned().collect();
        prop_assert_eq!(distinct.len(), found.len(), "two devices share a place");
        for (place, device) in &devices {
            prop_assert_eq!(distinct.get(place).map(String::as_str), Some(device.word()));
        }
        prop_assert!(distinct.keys().all(|place| distinct.contains_key(&place.first_function())));
        let fillers = distinct.iter().filter(|(place, word)| place.slot != 0 && *word == "hostbridge").count();
        prop_assert_eq!(distinct.len(), devices.len() + fillers + 2);
    }
}
