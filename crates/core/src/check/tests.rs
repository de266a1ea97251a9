//! Each check on a host that passes and on one that does not.

use super::*;
use crate::os::freebsd::recorded;
use crate::os::state::{FileKind, FileSeen, InterfaceKind, Iommu, Memory, Process};
use crate::plan::testing;
use std::collections::BTreeMap;

/// The needs of a small guest with UEFI firmware.
fn wants() -> Wants {
    Wants {
        guest: "web01".parse().unwrap(),
        cpus: 2,
        ram: Size::mib(1024),
        loader: Loader::Uefi,
        firmware: None,
        modules: ["vmm", "nmdm"].map(str::to_owned).to_vec(),
        may_load: true,
        again: false,
        left_by_crash: false,
        paths: Vec::new(),
        attached: Vec::new(),
        nics: Vec::new(),
        nodes: Vec::new(),
        passthru: Vec::new(),
        ports: Vec::new(),
        vnc: None,
        boot_order: false,
        emulations: false,
    }
}

/// The findings of a start, one on each line with its severity.
fn said(host: &HostFacts, wants: &Wants) -> String {
    let lines: Vec<String> = start(host, wants).iter().map(|f| format!("{} {}: {}\n", f.severity.word(), f.what, f.line())).collect();
    lines.concat()
}

/// The findings for a changed host and changed needs.
fn with(name: &str, host: impl FnOnce(&mut HostFacts), wish: impl FnOnce(&mut Wants)) -> String {
    let (mut facts, mut wanted) = (recorded::host(name), wants());
    host(&mut facts);
    wish(&mut wanted);
    said(&facts, &wanted)
}

fn file(kind: FileKind, writable: bool) -> FileSeen {
    FileSeen { kind, size: Size::mib(2), writable }
}

const GOOD: [&str; 7] = ["13.5-intel", "13.5-amd", "14.3-intel", "14.3-amd", "15.0-intel", "15.0-amd", "15.0-arm64"];

#[test]
fn a_good_host_has_nothing_to_say() {
    for name in GOOD {
        assert_eq!(said(&recorded::host(name), &wants()), "", "{name}");
    }
    assert_eq!(said(&testing::world(Vec::new()).host, &wants()), "");
}

#[test]
fn what_is_unknown_fails_nothing() {
    let mut wanted = wants();
    wanted.passthru = vec!["2/0/0".parse().unwrap(), "ppt0".parse().unwrap()];
    wanted.paths = vec![WantedPath { path: "/a".into(), what: "disk 0".into(), need: Need::Write }];
    wanted.nics =
        vec![WantedNic { nic: "net0".into(), bridge: "lan".parse().unwrap(), tap: "chv0".parse().unwrap(), owner: String::new() }];
    wanted.vnc = Some("127.0.0.1:5900".parse().unwrap());
    wanted.ram = Size::mib(1 << 30);
    wanted.cpus = 200;
    assert_eq!(said(&recorded::unknown(), &wanted), "");
}

#[test]
fn a_processor_without_virtualisation_fails_every_start() {
    insta::assert_snapshot!(with("14.3-guest", |h| h.state.memory = None, |w| w.cpus = 1), @"fails processor: Intel Xeon Processor (Skylake, IBRS) has no VT-x or SVM with nested paging, which bhyve needs; enable nested virtualisation in the hypervisor of this host");
    insta::assert_snapshot!(with("14.3-amd-switched-off", |_| {}, |_| {}), @"fails processor: SVM of AMD EPYC 7302P 16-Core Processor is disabled by the firmware; enable it in the firmware setup (Intel Virtualization Technology, SVM Mode), with the power off and on again");
    insta::assert_snapshot!(with("14.3-intel", |h| h.state.cpu.nested_paging = Some(false), |_| {}), @"fails processor: Intel(R) Xeon(R) E-2288G CPU @ 3.70GHz has no nested paging (EPT), which bhyve needs; use a host with a newer processor");
    insta::assert_snapshot!(with("14.3-amd", |h| h.state.cpu.nested_paging = Some(false), |_| {}), @"fails processor: AMD EPYC 7302P 16-Core Processor has no nested paging with the next instruction saved (NP and NRIP), which bhyve needs; use a host with a newer processor");
}

#[test]
fn firmware_and_a_second_processor_need_an_unrestricted_guest() {
    insta::assert_snapshot!(with("14.3-intel-restricted", |_| {}, |_| {}), @r"
    fails processor: Intel(R) Xeon(R) CPU X5570 @ 2.93GHz has no unrestricted guest (UG), without which a guest boots by bhyveload alone; for a guest with FreeBSD: `chyves set web01 loader=bhyveload`
    fails processor: Intel(R) Xeon(R) CPU X5570 @ 2.93GHz has no unrestricted guest (UG), without which a guest has one processor, not 2; `chyves set web01 cpu=1`
    ");
    let grub = with("14.3-intel-restricted", |_| {}, |w| (w.loader, w.cpus) = (Loader::GrubBhyve, 1));
    assert!(grub.contains("bhyveload alone") && grub.lines().count() == 1, "{grub}");
    assert_eq!(with("14.3-intel-restricted", |_| {}, |w| (w.loader, w.cpus) = (Loader::Bhyveload, 1)), "");
}

#[test]
fn more_processors_than_the_host_gives() {
    insta::assert_snapshot!(with("14.3-intel", |_| {}, |w| w.cpus = 17), @"fails virtual processors: 17 processors are configured, and the host gives a guest 16 at most (hw.vmm.maxcpu); `chyves set web01 cpu=16` or less; or raise the limit in /boot/loader.conf and reboot: hw.vmm.maxcpu=17");
    assert_eq!(with("14.3-intel", |_| {}, |w| w.cpus = 16), "");
    // vmm is not loaded, and its limit is unknown.
    insta::assert_snapshot!(with("13.5-amd", |_| {}, |w| w.cpus = 33), @"warning virtual processors: 33 processors are configured, the host has 32, and that is its limit unless it was raised; `chyves set web01 cpu=32` or less; or raise the limit in /boot/loader.conf and reboot: hw.vmm.maxcpu=33");
    // Before 13.2 the release itself refuses them.
    assert_eq!(with("13.5-amd", |h| h.release = (13, 1), |w| w.cpus = 33), "");
}

#[test]
fn modules_are_loaded_or_told() {
    let host = recorded::host("13.5-amd");
    assert_eq!(modules::missing(&host.state, &wants().modules), ["vmm", "nmdm"]);
    assert_eq!(modules::missing(&recorded::host("13.5-intel").state, &wants().modules), Vec::<&str>::new());
    assert_eq!(modules::missing(&recorded::unknown().state, &wants().modules), ["vmm", "nmdm"]);
    insta::assert_snapshot!(with("13.5-amd", |_| {}, |w| w.may_load = false), @r#"fails modules: the kernel modules vmm, nmdm are missing, and load_kernel_modules of `web01` is no; add to /etc/rc.conf and reboot: kld_list="vmm nmdm" (with what is in it already); or now: kldload -n vmm nmdm"#);
    insta::assert_snapshot!(with("13.5-amd", |h| h.state.securelevel = Some(1), |_| {}), @r#"fails modules: the kernel modules vmm, nmdm are missing, and kern.securelevel is 1, so that no module can be loaded; add to /etc/rc.conf and reboot: kld_list="vmm nmdm" (with what is in it already)"#);
    insta::assert_snapshot!(with("14.3-jail", |_| {}, |_| {}), @r#"fails modules: the kernel module nmdm is missing, and this is a jail, where no module can be loaded; add to /etc/rc.conf of the jail's host and reboot: kld_list="nmdm" (with what is in it already)"#);
    // All modules are loaded, so it does not matter that loading is not allowed.
    assert_eq!(with("13.5-intel", |h| h.state.securelevel = Some(2), |w| w.may_load = false), "");
}

#[test]
fn memory_that_can_t_be_had() {
    let short = |h: &mut HostFacts| {
        h.state.memory = Some(Memory { total: Size::mib(8192), available: Size::mib(1024), wired: None, cache: Some(Size::mib(1024)) });
    };
    assert_eq!(with("14.3-intel", short, |w| w.ram = Size::mib(2048)), "");
    insta::assert_snapshot!(with("14.3-intel", short, |w| w.ram = Size::mib(4096)), @"warning memory: 4G of memory is needed, and 2G is available: the host may have to page; `chyves set web01 ram=2048M` or less");
    insta::assert_snapshot!(with("14.3-intel", short, |w| w.ram = Size::mib(8192)), @"fails memory: 8G of memory is needed, and the host has 8G; `chyves set web01 ram=2048M` or less");
    // Passthrough wires all memory at the start.
    let wired = with("13.5-intel", short, |w| (w.ram, w.passthru) = (Size::mib(4096), vec!["2/0/0".parse().unwrap()]));
    insta::assert_snapshot!(wired, @"fails memory: 4G of memory is needed, and 2G is available; with passthrough all of it is wired at the start; `chyves set web01 ram=2048M` or less; or stop other guests");
}

#[test]
fn passthrough_needs_an_iommu_that_vmm_uses() {
    let gpu = |w: &mut Wants| w.passthru = vec!["2/0/0".parse().unwrap()];
    assert_eq!(with("13.5-intel", |_| {}, gpu), "");
    insta::assert_snapshot!(with("13.5-intel", |h| h.state.iommu = Some(Iommu::None), gpu), @"fails passthrough: the host has no IOMMU, or its firmware has disabled it; enable it in the firmware setup (VT-d, AMD-Vi); without one there is no passthrough");
    insta::assert_snapshot!(with("14.3-amd", |_| {}, gpu), @"fails passthrough: vmm does not use the IOMMU of AMD; add to /boot/loader.conf and reboot: hw.vmm.amdvi.enable=1");
    assert_eq!(with("14.3-amd", |h| h.state.amdvi = Some(true), gpu), "");
    let unseen = with("14.3-amd", |h| h.state.amdvi = None, gpu);
    assert!(unseen.starts_with("warning passthrough: vmm uses an AMD IOMMU only if enabled at boot"), "{unseen}");
    insta::assert_snapshot!(with("15.0-intel", |_| {}, gpu), @"warning passthrough: passthrough of 15.0-RELEASE is broken (EN-25:20.vmm); freebsd-update fetch install, to 15.0-RELEASE-p1 or later");
    let jailed = with("13.5-intel", |h| h.state.jailed = Some(true), gpu);
    assert!(jailed.contains("FreeBSD 13.5 has no passthrough in a jail: it came with FreeBSD 15.1"), "{jailed}");
}

#[test]
fn devices_are_set_aside_and_nobody_else_s() {
    let wish = |text: &'static str| move |w: &mut Wants| w.passthru = vec![text.parse().unwrap()];
    assert_eq!(with("13.5-intel", |_| {}, wish("ppt1")), "");
    insta::assert_snapshot!(with("13.5-intel", |_| {}, wish("1/0/1")), @r#"fails passthrough: the device 1/0/1 belongs to the driver igb1, not to ppt; set it aside now: devctl set driver -f pci0:1:0:1 ppt; or from the next boot on, in /boot/loader.conf: vmm_load="YES" and pptdevs="2/0/0 2/0/1 1/0/1""#);
    insta::assert_snapshot!(with("13.5-intel", |_| {}, wish("0/20/2")), @r#"fails passthrough: the device 0/20/2 is not set aside (the driver ppt); set it aside now: devctl set driver -f pci0:0:20:2 ppt; or from the next boot on, in /boot/loader.conf: vmm_load="YES" and pptdevs="2/0/0 2/0/1 0/20/2""#);
    // vmm first, because the driver is part of it.
    let unloaded = with("13.5-amd", |h| h.state.amdvi = Some(true), wish("1/0/0"));
    assert!(unloaded.contains("kldload -n vmm && devctl set driver -f pci0:1:0:0 ppt"), "{unloaded}");
    for missing in ["9/0/0", "ppt7"] {
        assert_eq!(
            with("13.5-intel", |_| {}, wish(missing)),
            format!("fails passthrough: the host has no device {missing}; `pciconf -lv` shows those that it has\n")
        );
    }
    let used_by = |guest: &'static str| move |h: &mut HostFacts| h.state.given = BTreeMap::from([("2/0/0".to_owned(), guest.to_owned())]);
    for name in ["2/0/0", "ppt0"] {
        assert_eq!(
            with("13.5-intel", used_by("db01"), wish(name)),
            format!("fails passthrough: the device {name} is used by `db01`; `chyves stop db01` first: a device is one guest's\n")
        );
    }
    assert_eq!(with("13.5-intel", used_by("web01"), wish("ppt0")), "");
}

#[test]
fn netmap_and_nodes_of_netgraph_are_there() {
    let wish = |w: &mut Wants| {
        w.paths = vec![WantedPath { path: "/dev/netmap".into(), what: "net0 of `web01`".into(), need: Need::Netmap }];
        w.nodes = vec![("net1".into(), "lan:".into())];
    };
    let seen = |netmap: Option<FileSeen>, node: bool| {
        move |h: &mut HostFacts| {
            h.state.files = BTreeMap::from([("/dev/netmap".to_owned(), netmap)]);
            h.state.nodes = BTreeMap::from([("lan:".to_owned(), node)]);
        }
    };
    assert_eq!(with("14.3-intel", seen(Some(file(FileKind::Device, true)), true), wish), "");
    insta::assert_snapshot!(with("14.3-intel", seen(None, false), wish));
    assert_eq!(with("14.3-intel", |_| {}, wish), "", "what was not observed");
}

#[test]
fn what_is_not_there_is_told_with_the_command_that_does_without() {
    use super::files::gone;
    let disk = gone("disk 1 of `web`");
    assert!(disk.starts_with("`chyves disk sync web disk1`") && disk.ends_with("`chyves disk remove web disk1 --lost`"), "{disk}");
    assert!(gone("tpm of `web`").ends_with("`chyves unset web tpm`") && gone("pcidev_0 of `web`").ends_with("`chyves unset web pcidev_0`"));
    assert!(gone("grub.cfg of `web`").contains("a grub.cfg of your own") && gone("grub.cfg of `web`").contains("`chyves set web os=OS`"));
}

#[test]
fn a_terminal_is_at_one_guest_s_serial_port() {
    let device = "/dev/nmdm-x.1A";
    let taken = |who: &'static str| move |h: &mut HostFacts| h.state.given = BTreeMap::from([(device.to_owned(), who.to_owned())]);
    let wants = |w: &mut Wants| w.ports = vec![("com2".into(), device.into())];
    assert_eq!(with("14.3-intel", taken("web01"), wants), "", "its own, at a reboot");
    let told = with("14.3-intel", taken("db01"), wants);
    assert!(told.contains("com2 of `web01` cannot be at /dev/nmdm-x.1A: `db01` is there"), "{told}");
    assert!(told.contains("`chyves set web01 com2=/dev/nmdm-web01.2A`"), "{told}");
}

#[test]
fn disks_are_there_writable_and_not_open_elsewhere() {
    let path = "/dev/zvol/tank/a";
    let disk = |need| move |w: &mut Wants| w.paths = vec![WantedPath { path: path.into(), what: "disk 0 of `web01`".into(), need }];
    let seen = |seen: Option<FileSeen>| move |h: &mut HostFacts| h.state.files = BTreeMap::from([(path.to_owned(), seen)]);
    for (need, there) in [
        (Need::Write, Some(file(FileKind::Device, true))),
        (Need::Read, Some(file(FileKind::File, false))),
        (Need::Content, Some(file(FileKind::File, false))),
        (Need::Terminal, Some(file(FileKind::Device, false))),
        (Need::Folder, Some(file(FileKind::Folder, true))),
        (Need::Absent, None),
        (Need::Netmap, Some(file(FileKind::Device, true))),
        (Need::Socket, Some(file(FileKind::Other, true))),
    ] {
        assert_eq!(with("14.3-intel", seen(there), disk(need)), "", "{need:?}");
    }
    for (need, there, why) in [
        (Need::Write, None, "is not there; `chyves disk sync web01 disk0` records it"),
        (Need::Read, None, "is not there"),
        (Need::Socket, None, "is not there, and nobody listens; run it first: swtpm socket"),
        (
            Need::Write,
            Some(file(FileKind::Device, false)),
            "cannot be written, and bhyve would silently open it read-only; make it writable, or set the option `ro`",
        ),
        (Need::Write, Some(file(FileKind::Folder, true)), "is a folder"),
        (Need::Content, Some(file(FileKind::Device, true)), "is not a regular file"),
        (Need::Terminal, None, "is not there"),
        (Need::Terminal, Some(file(FileKind::Folder, true)), "is a folder"),
        (Need::Socket, Some(file(FileKind::File, true)), "is not a socket"),
        (Need::Read, Some(file(FileKind::Other, true)), "is neither a file nor a device"),
        (Need::Folder, Some(file(FileKind::File, true)), "is not a folder"),
        (
            Need::Absent,
            Some(file(FileKind::Other, true)),
            "already exists, and bhyve creates it itself; if nothing uses it: rm /dev/zvol/tank/a",
        ),
    ] {
        let told = with("14.3-intel", seen(there), disk(need));
        assert!(
            told.starts_with("fails disk 0 of `web01`: disk 0 of `web01` cannot be used: `/dev/zvol/tank/a` ") && told.contains(why),
            "{told}"
        );
    }
    let held = |h: &mut HostFacts| {
        seen(Some(file(FileKind::Device, true)))(h);
        h.state.holders.insert(path.into(), vec![Process { pid: 4711, command: "bhyve: db01 (bhyve)".into() }]);
    };
    insta::assert_snapshot!(with("14.3-intel", held, disk(Need::Write)), @"fails disk 0 of `web01`: disk 0 of `web01` cannot be used: `/dev/zvol/tank/a` is held open by bhyve: db01 (bhyve) (pid 4711); stop that first: two writers destroy a disk");
}

#[test]
fn a_vm_of_the_same_name_that_is_not_ours() {
    let there = |h: &mut HostFacts| h.state.vms = Some(std::iter::once("web01".to_owned()).collect());
    let runs = |h: &mut HostFacts| {
        there(h);
        h.state.bhyves.insert("web01".into(), Process { pid: 7, command: "bhyve: web01 (bhyve)".into() });
    };
    insta::assert_snapshot!(with("14.3-intel", there, |_| {}), @"fails VM object: a VM called `web01` exists on this host that chyves has not created; if no other program wants it: bhyvectl --vm=web01 --destroy");
    // An object that a crash of this guest left is removed at the start.
    assert_eq!(with("14.3-intel", there, |w| w.left_by_crash = true), "");
    let running = with("14.3-intel", runs, |w| w.left_by_crash = true);
    assert!(running.contains("and bhyve: web01 (bhyve) (pid 7) runs it; stop it with the program that started it"), "{running}");
    // An object with another name is ignored.
    assert_eq!(with("13.5-intel", |h| assert!(h.state.vms.as_ref().is_some_and(|vms| vms.contains("web1"))), |_| {}), "");
}

#[test]
fn bridges_taps_and_addresses() {
    let nic = |bridge: &'static str| {
        move |w: &mut Wants| {
            w.nics = vec![WantedNic {
                nic: "net0".into(),
                bridge: bridge.parse().unwrap(),
                tap: "chv12345678".parse().unwrap(),
                owner: String::new(),
            }]
        }
    };
    assert_eq!(with("14.3-intel", |_| {}, nic("lan")), "");
    insta::assert_snapshot!(with("14.3-intel", |_| {}, nic("bridge0")), @r#"fails network: there is no bridge `bridge0`, which net0 uses; `chyves network bridge0 attach INTERFACE` creates it with an uplink, `chyves network bridge0 private` without one; or choose another: `chyves set web01 net0.bridge=dmz`"#);
    insta::assert_snapshot!(with("13.5-amd", |_| {}, nic("lan")), @r#"fails network: there is no bridge `lan`, which net0 uses; `chyves network lan attach INTERFACE` creates it with an uplink, `chyves network lan private` without one"#);
    insta::assert_snapshot!(with("13.5-amd", |_| {}, nic("ix0")), @"fails network: `ix0`, which net0 uses, is not a bridge; create one with ix0 as its member, and set net0.bridge to it");
    let left = |h: &mut HostFacts| {
        h.state.interfaces.as_mut().unwrap().insert("chv12345678".into(), InterfaceKind::Other);
    };
    insta::assert_snapshot!(with("14.3-intel", left, nic("lan")), @"fails network: the tap chv12345678, which net0 uses, already exists; if nothing uses it: ifconfig chv12345678 destroy");

    let vnc = |text: &'static str| move |w: &mut Wants| w.vnc = Some(text.parse().unwrap());
    let tried = |text: &'static str, why: Option<&'static str>| {
        move |h: &mut HostFacts| h.state.listens = BTreeMap::from([(text.to_owned(), why.map(str::to_owned))])
    };
    assert_eq!(with("14.3-intel", tried("127.0.0.1:0", None), vnc("127.0.0.1:0")), "");
    insta::assert_snapshot!(with("14.3-intel", tried("10.9.9.9:0", Some("Can't assign requested address")), vnc("10.9.9.9:0")), @"fails VNC: VNC cannot listen on 10.9.9.9: Can't assign requested address; `chyves set web01 vnc_address=ADDRESS` takes an address of this host");
    insta::assert_snapshot!(with("14.3-intel", tried("127.0.0.1:5900", Some("Address already in use")), vnc("127.0.0.1:5900")), @"fails VNC: VNC cannot listen on 127.0.0.1:5900: Address already in use; `chyves set web01 vnc_port=0` takes a port that is free; vnc_address takes an address of this host");
}

#[test]
fn networks_of_a_linux_host() {
    let mut host = testing::world(Vec::new()).host;
    let mut wanted = wants();
    wanted.nics =
        vec![WantedNic { nic: "net0".into(), bridge: "lan".parse().unwrap(), tap: "chv0".parse().unwrap(), owner: String::new() }];
    host.state.interfaces = Some(BTreeMap::from([("lo".to_owned(), InterfaceKind::Other)]));
    insta::assert_snapshot!(said(&host, &wanted), @"fails network: there is no bridge `lan`, which net0 uses; `chyves network lan attach INTERFACE` creates it with an uplink, `chyves network lan private` without one");
    host.state.interfaces = Some(BTreeMap::from([("lan".to_owned(), InterfaceKind::Bridge), ("chv0".to_owned(), InterfaceKind::Other)]));
    insta::assert_snapshot!(said(&host, &wanted), @"fails network: the tap chv0, which net0 uses, already exists; if nothing uses it: ip link delete chv0");
}

#[test]
fn firmware_that_bhyve_takes() {
    let sizes = |code: Option<FileSeen>, vars: Option<FileSeen>| {
        move |h: &mut HostFacts| {
            let (c, v) = h.uefi.clone().unwrap();
            h.state.files = BTreeMap::from([(c, code), (v, vars)]);
        }
    };
    let of = |bytes: u64| Some(FileSeen { kind: FileKind::File, size: Size::bytes(bytes), writable: true });
    let part = |path: &str| FirmwareFile { path: path.to_owned(), size: None };
    let packages = |w: &mut Wants| {
        w.firmware = Some(WantedFirmware { image: None, files: vec![part("/fw/BHYVE_UEFI.fd"), part("/fw/BHYVE_UEFI_VARS.fd")] });
    };
    assert_eq!(with("14.3-intel", sizes(of(2 << 20), of(512 << 10)), packages), "");
    for (code, vars, why) in [
        (None, of(4096), "the firmware `/fw/BHYVE_UEFI.fd` is not there"),
        (of(2 << 20), None, "the firmware `/fw/BHYVE_UEFI_VARS.fd` is not there"),
        (of(0), of(4096), "has 0 bytes, which is not a multiple of the page size"),
        (of(4097), of(4096), "has 4097 bytes, which is not a multiple of the page size"),
        (Some(file(FileKind::Folder, true)), of(4096), "is not a file"),
        (of(16 << 20), of(4096), "with `/fw/BHYVE_UEFI_VARS.fd` has 16.0M, and bhyve takes 16M; pkg install edk2-bhyve -f"),
    ] {
        let told = with("14.3-intel", sizes(code, vars), packages);
        assert!(told.starts_with("fails firmware: ") && told.contains(why), "{told}");
        assert_eq!(with("14.3-intel", sizes(code, vars), |w| w.loader = Loader::Bhyveload), "", "others want none");
    }
}

#[test]
fn loaders_that_are_missing() {
    let none = |h: &mut HostFacts| h.state.programs = ["bhyveload", "grub-bhyve"].map(|name| (name.to_owned(), None)).into();
    insta::assert_snapshot!(with("14.3-intel", none, |w| w.loader = Loader::GrubBhyve), @"fails loader: grub-bhyve is missing on this host; pkg install grub2-bhyve");
    insta::assert_snapshot!(with("14.3-intel", none, |w| w.loader = Loader::Bhyveload), @"fails loader: bhyveload is missing on this host; it is part of FreeBSD's base system");
    assert_eq!(with("14.3-intel", none, |_| {}), "");
}

#[test]
fn a_device_for_qemu_is_there_and_on_vfio() {
    let mut host = testing::world(Vec::new()).host;
    host.os = Os::Linux;
    let wanted = Wants { passthru: vec!["2/0/0".parse().unwrap()], ..wants() };
    // Not inspected: unknown facts fail no check.
    assert!(!said(&host, &wanted).contains("passthrough"));
    host.state.pci = Some(Vec::new());
    assert!(said(&host, &wanted).contains("fails passthrough: the host has no device 2/0/0"));
    let on = |driver: Option<&str>| Some(vec![crate::os::linux::pci::function("0000:02:00.0", driver).unwrap()]);
    host.state.pci = on(Some("e1000e"));
    assert!(said(&host, &wanted).contains(
        "belongs to the driver e1000e, and QEMU needs it on vfio-pci; modprobe vfio-pci && driverctl set-override 0000:02:00.0 vfio-pci"
    ));
    host.state.pci = on(Some("vfio-pci"));
    assert!(!said(&host, &wanted).contains("passthrough"));
}

#[test]
fn firmware_that_ignores_the_boot_order_is_reported_where_it_matters() {
    let mut host = recorded::host("14.3-intel");
    host.state.versions.insert("edk2-bhyve".into(), "g202308_4".into());
    let ordered = Wants { boot_order: true, ..wants() };
    assert_eq!(said(&host, &wants()), "");
    assert!(said(&host, &ordered).contains("edk2-bhyve g202308_4 ignores the boot order"));
    host.state.versions.insert("edk2-bhyve".into(), "g202411".into());
    assert_eq!(said(&host, &ordered), "");
    // Before 14.0 no firmware supports a boot order.
    let host = recorded::host("13.5-intel");
    assert_eq!(said(&host, &wants()), "");
    let told = said(&host, &ordered);
    assert!(told.starts_with("warning firmware: FreeBSD 13.5 cannot pass") && told.contains("`chyves console web01`"), "{told}");
}

#[test]
fn rights_and_tools_that_say_what_can_t_be_read() {
    insta::assert_snapshot!(with("14.3-intel", |h| h.state.root = Some(false), |_| {}), @"fails rights: chyves is not run by root, who alone can make VMs; run it with sudo or doas");
    assert_eq!(with("14.3-intel", |h| h.state.root = Some(true), |_| {}), "");
    let odd = |h: &mut HostFacts| h.state.faults.push(crate::os::state::unreadable("kldstat", "odd"));
    insta::assert_snapshot!(with("14.3-intel", odd, |_| {}), @"fails kldstat: cannot read what `kldstat` printed: the line `odd` is not as it should be; run `kldstat` by hand; a release that prints it otherwise is worth a report");
}

#[test]
fn everything_is_said_at_once_and_nothing_hides_anything() {
    let all = with(
        "14.3-intel-restricted",
        |h| {
            h.state.root = Some(false);
            h.state.securelevel = Some(3);
            h.state.iommu = Some(Iommu::None);
            h.state.vms = Some(std::iter::once("web01".to_owned()).collect());
        },
        |w| {
            w.cpus = 9;
            w.ram = Size::mib(1 << 20);
            w.passthru = vec!["1/0/0".parse().unwrap()];
            w.nics =
                vec![WantedNic { nic: "net0".into(), bridge: "lan".parse().unwrap(), tap: "chv0".parse().unwrap(), owner: String::new() }];
        },
    );
    let topics: Vec<&str> = all.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        topics,
        [
            "fails rights",
            "fails processor",
            "fails processor",
            "fails virtual processors",
            "fails modules",
            "fails VM object",
            "fails memory",
            "fails passthrough",
            "fails passthrough",
            "fails network"
        ]
    );
}
