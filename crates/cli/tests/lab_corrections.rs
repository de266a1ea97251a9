//! A FreeBSD host, played by the lab: where bhyve is not what its manual says, and what chyves does about it.
//!
//! What was found by running bhyve's own parser and device code, and the test of each:
//!
//! * an optical drive without a medium ends bhyve: `words_that…` here, `lab_loaders::an_install_from_a_disc_ends_with_the_disc_out`
//! * `%%` is no escape, values of `-f` and `-l` keep their commas, the last option wins, NUMA, `-M`, `-f` and `-G` on arm64, the
//!   limit of 32 disks: `tests/corrections.rs` beside the renderer, `the_users_arguments_win…` here; the lab's verdicts are held
//!   against the real ones by `judged.rs` of the lab
//! * a boot ROM that can't be read on arm64 ends with 1: `arm64_has_its_own_options` of the lab's `refusals.rs`, and the start
//!   reports every end before the guest ran
//! * `vga=on`, `fbuf,5999`, and what bhyve passes over or crashes at: `words_that…`; a second xhci: `tests/corrections.rs`
//! * slirp: `a_user_network…`; boot order of loaders and of old firmware: `the_disks_of_a_loader…`, `old_firmware…`
//! * destroying a VM object may fail with 0: `lab_jail::a_vm_object_that_goes_late…`; grub-bhyve that was left has loaded nothing:
//!   `grub_that_was_left…` of the lab's `loaders.rs`
//! * renamed interfaces keep their unit: `a_bridge_of_any_name…`; nuageinit: `cloud_init_readers` and its model
//! * the advisory on xHCI, HDA and fbuf: an object of `core/catalogue/catalogue.json`, tested with the others there

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

fn host(test: &str, settings: &[&str]) -> Option<Host> {
    let host = Host::freebsd(test, With::Tiny, settings)?;
    host.ok("create web01 --image tiny --ram 64M");
    Some(host)
}

/// Lets web01 power off at its console, once it is there.
fn off(host: &Host, ready: &str) {
    let mut console = host.console("web01");
    console.sees(ready);
    console.types("p");
    until("web01 to be off", || (host.state("web01") == "stopped").then_some(()));
}

#[test]
fn the_users_arguments_win_and_what_they_replace_is_shown() {
    let Some(host) = host("lab_corrections::bargs", &["release=14.3"]) else { return };
    host.chyves_words(&["set", "web01", "bargs=-o x86.vmexit_on_pause=false -m 96M -p 0:1"]).ends(0);
    let started = host
        .ok("-v start web01")
        .says("bargs: `-m 96M` replaces chyves' own `-m 64M`")
        .says("`-o x86.vmexit_on_pause=false` replaces chyves' own `-P`");
    let line = started.err.lines().find(|line| line.starts_with("+ ") && line.contains(" bhyve -")).unwrap().to_owned();
    assert!(line.trim_end().ends_with("-o x86.vmexit_on_pause=false -m 96M -p 0:1 web01"), "{line}");
    off(&host, "tiny: ready 1");
    // What would leave no VM is refused.
    for words in ["-h", "-o config.dump=1", "-s help"] {
        host.chyves_words(&["set", "web01", &format!("bargs={words}")]).ends(2).says("run no guest");
    }
    host.ok("unset web01 bargs");
    // What was switched by bargs in vain has properties.
    for key in ["acpi", "vmexit_on_hlt", "vmexit_on_pause", "ignore_bad_msr"] {
        host.ok(&format!("set web01 {key}=no"));
    }
    let started = host.ok("-v start web01");
    assert!([" -A ", " -H ", " -P ", " -w "].iter().all(|flag| !started.err.contains(flag)), "{}", started.err);
    host.ok("stop web01 --now");
    host.nothing_is_left();
}

#[test]
fn a_dry_run_shows_the_files_and_hides_the_secrets() {
    let Some(host) = host("lab_corrections::dry", &["release=14.3"]) else { return };
    host.ok("set web01 vnc=on ci.enabled=yes ci.hostname=box ci.user=ann");
    let shown = host.ok("start web01 --dry-run");
    for text in [
        "bhyve.conf:",
        "#     pci.0.2.0.device=fbuf",
        "password=(hidden)",
        "vnc.secret:",
        "meta-data:",
        "local-hostname: \"box\"",
        "user-data:",
    ] {
        assert!(shown.out.contains(text), "{text} is missing: {}", shown.out);
    }
    let json = host.ok("start web01 --dry-run --json").json();
    let files: Vec<(String, String)> = json["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step["files"].as_object())
        .flat_map(|files| files.iter().map(|(path, text)| (path.clone(), text.as_str().unwrap().to_owned())))
        .collect();
    let of = |end: &str| files.iter().find(|(path, _)| path.ends_with(end)).map(|(_, text)| text.as_str()).unwrap();
    assert_eq!(of("vnc.secret"), "(hidden)\n");
    assert!(of("bhyve.conf").contains("password=(hidden)\n") && of("meta-data").contains("box"));
    // The files of a loader, whose display stays black.
    host.ok("set web01 loader=grub-bhyve os=debian");
    host.ok("start web01 --dry-run").says("device.map:").says("(hd0) ").says("search --no-floppy").says("the VNC display stays black");
    host.nothing_is_left();
}

#[test]
fn grub_searches_the_guests_own_configuration_or_takes_the_device_that_is_set() {
    let Some(host) = host("lab_corrections::grub", &["release=14.3"]) else { return };
    for (os, loader) in [("freebsd", "bhyveload"), ("windows", "uefi")] {
        let refused = host.chyves(&format!("set web01 loader=grub-bhyve os={os}")).ends(2);
        refused.says(&format!("grub-bhyve cannot boot os={os}")).says(&format!("loader={loader}"));
    }
    host.ok("set web01 loader=grub-bhyve os=debian");
    host.ok("-v start web01").says("grub-bhyve -r host ").is_silent_of("msdos1");
    off(&host, "tiny: ready 1");
    // A disk without a partition table, and one with a GPT.
    host.chyves("set web01 grub_root=sda1").ends(2).says("hd0,gpt2");
    host.ok("set web01 grub_root=hd0");
    host.ok("start web01");
    off(&host, "tiny: ready 2");
    host.ok("set web01 grub_root=hd0,gpt2 loader_timeout=2");
    host.chyves("start web01").ends(1).says("no such partition: hd0,gpt2");
    // A volume of LVM behind a first partition's usual start, and a partition of the other table.
    host.ok("set web01 grub_root=lvm/vg-root");
    host.chyves("start web01").ends(1).says("disk `lvm/vg-root' not found");
    host.ok("disk resize web01 disk0 2M");
    host.in_folder("web01", |folder| {
        use std::os::unix::fs::FileExt as _;
        let disk = std::fs::File::options().write(true).open(folder.join("disk0.raw")).unwrap();
        disk.write_all_at(b"LABELONE", (1 << 20) + 512).unwrap();
        // The type of the first partition in the master boot record.
        disk.write_all_at(&[0x83], 446 + 4).unwrap();
    });
    for (n, root) in ["lvm/vg-root", "hd0,msdos1"].iter().enumerate() {
        host.ok(&format!("set web01 grub_root={root}"));
        host.ok("start web01");
        off(&host, &format!("tiny: ready {}", n + 3));
    }
    host.nothing_is_left();
}

#[test]
fn the_disks_of_a_loader_are_in_boot_order() {
    let Some(host) = host("lab_corrections::order", &["release=13.5"]) else { return };
    host.ok("create two --size 1M --ram 64M loader=bhyveload");
    let disk = host.work().join("second.raw");
    std::fs::copy(host.work().join("tiny.img"), &disk).unwrap();
    host.chyves_words(&["disk", "add", "two", "--attach", disk.to_str().unwrap()]).ends(0);
    // 13.5 has no boot index; the loader needs none.
    host.ok("set two disk1.options=bootindex=1");
    let started = host.ok("-v start two");
    let line = started.err.lines().find(|line| line.contains("bhyveload -c")).unwrap();
    let (second, first) = (line.find("second.raw").unwrap(), line.find("disk0.raw").unwrap());
    assert!(second < first && !started.err.contains("bootindex"), "{}", started.err);
    let mut console = host.console("two");
    console.sees("tiny: ready 1");
    console.types("p");
    until("two to be off", || (host.state("two") == "stopped").then_some(()));
}

#[test]
fn old_firmware_and_an_iommu_that_is_off_are_found_before_the_start() {
    let Some(host) = host("lab_corrections::host", &["release=14.3", "cpu=amd", "amdvi=off", "edk2=g202308_4"]) else { return };
    host.make_iso();
    host.ok("image import ./tiny.iso --name disc");
    host.ok("start web01 --iso disc").says("edk2-bhyve g202308_4 ignores the boot order").says("pkg upgrade edk2-bhyve");
    // Which it does: the disk is booted.
    off(&host, "tiny: ready 1");
    host.lab().set(&["edk2=g202411"]).unwrap();
    host.ok("start web01 --iso disc").is_silent_of("ignores the boot order");
    off(&host, "tiny: ready 0");
    // What loader.conf has set is known before vmm is loaded.
    let Some(host) = self::host("lab_corrections::amdvi", &["release=14.3", "cpu=amd", "amdvi=off"]) else { return };
    host.ok("set web01 pcidev_0=passthru,2/0/0");
    host.chyves("start web01").ends(5).says("vmm does not use the IOMMU of AMD").says("hw.vmm.amdvi.enable=1");
    assert!(!host.lab().dev("vmm").exists());
    // Another host's facts can be printed without a plan.
    let facts = host.ok("dev facts --host freebsd").json();
    assert_eq!(facts["os"], "freebsd");
    host.chyves("list --host freebsd").ends(2).says("only --dry-run");
}

#[test]
fn a_user_network_needs_its_library_and_before_16_a_forwarded_port() {
    let Some(host) = host("lab_corrections::slirp", &["release=15.0"]) else { return };
    // Before main it lets nothing out; a port that is forwarded comes in.
    host.ok("set web01 net0.backend=user");
    host.chyves("start web01").ends(5).says("reaches nothing on FreeBSD 15.0").says("`chyves set web01 net0.bridge=bridge0`");
    host.ok("set web01 net0.backend=auto");
    host.ok("set web01 pcidev_3=virtio-net,slirp,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22");
    host.ok("-v start web01").says("virtio-net,slirp,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22");
    off(&host, "tiny: ready 1");
    let library = host.lab().dir().join("usr/local/lib/libslirp.so.0");
    std::fs::remove_file(&library).unwrap();
    host.chyves("start web01").ends(5).says("pcidev_3 of `web01` needs libslirp, which is not installed").says("pkg install libslirp");
    host.lab().set(&["release=16.0"]).unwrap();
    host.ok("unset web01 pcidev_3");
    host.ok("set web01 net0.backend=user");
    host.chyves("start web01").ends(5).says("net0 of `web01` needs libslirp");
    std::fs::write(&library, "").unwrap();
    host.ok("-v start web01").says("virtio-net,slirp,open,");
    off(&host, "tiny: ready 2");
    host.nothing_is_left();
}

#[test]
fn words_that_bhyve_takes_and_passes_over_are_refused_or_written_as_they_are_meant() {
    let Some(host) = host("lab_corrections::words", &["release=14.3"]) else { return };
    let disk = host.work().join("own.raw");
    std::fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    let disk = disk.display();
    for (device, why) in [
        ("fbuf,vga=on".to_owned(), "vga=on is a trap"),
        ("fbuf,w=abc".to_owned(), "`abc`"),
        ("uart".to_owned(), "it needs the other end"),
        ("virtio-net".to_owned(), "it needs a back end"),
        ("e1000".to_owned(), "it needs a back end"),
        ("virtio-console".to_owned(), "0 ports"),
        (format!("ahci-hd,{disk},ser=123456789012345678901234567"), "20"),
        (format!("ahci-hd,{disk},rev=1234567890"), "8"),
        (format!("nvme,{disk},ser=123456789012345678901234567"), "20"),
        (format!("nvme,{disk},sectsz=1024"), "`1024` is not a sectsz"),
        (format!("nvme,{disk},maxq=0"), "maxq"),
        (format!("nvme,{disk},maxq=abc"), "maxq"),
        (format!("nvme,{disk},dsm=foo"), "`foo` is not a dsm"),
    ] {
        host.chyves_words(&["set", "web01", &format!("pcidev_0={device}")]).ends(2).says(why);
    }
    for words in ["-m abc", "-c +4", "-f ,string=a", "-p 0:0-3", "-l com1", "-l tpm", "-l fwcfg,qemu", "-m 0"] {
        host.chyves_words(&["set", "web01", &format!("bargs={words}")]).ends(2);
    }
    // bhyve takes no port without an address, so one is added.
    host.ok("set web01 pcidev_0=fbuf,5999 vnc=off");
    host.ok("-v start web01 --dry-run").says("fbuf,rfb=127.0.0.1:5999");
    host.ok("unset web01 pcidev_0");
    // An empty drive, which bhyve refuses, is a controller without one.
    host.ok("set web01 pcidev_0=ahci-cd");
    host.ok("-v start web01").is_silent_of("ahci-cd");
    off(&host, "tiny: ready 1");
    host.nothing_is_left();
}

#[test]
fn a_bridge_of_any_name_leaves_the_low_units_free() {
    let Some(host) = Host::freebsd("lab_corrections::units", With::Tiny, &["release=14.3", "nics=em0,em1"]) else { return };
    // By hand it takes unit 0, and keeps it under its new name.
    host.sh("ifconfig", &["bridge", "create", "name", "hand"]);
    let taken = host.command("ifconfig").args(["bridge0", "create"]).output().unwrap();
    assert!(!taken.status.success() && String::from_utf8_lossy(&taken.stderr).contains("File exists"), "{taken:?}");
    host.sh("ifconfig", &["hand", "destroy"]);
    host.ok("network lan attach em0");
    host.ok("network bridge0 attach em1");
    let all = host.sh("ifconfig", &["-l"]);
    assert!(all.split_whitespace().any(|name| name == "lan") && all.split_whitespace().any(|name| name == "bridge0"), "{all}");
}
