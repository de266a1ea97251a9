//! A FreeBSD host, played by the lab: the ways to boot a guest. Firmware keeps its variables with the guest, loaders run
//! again at each reboot, and a disc comes out at the reboot that is set.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, Terminal, With, until};

fn host(test: &str, settings: &[&str]) -> Option<Host> {
    Host::freebsd(test, With::Tiny, settings)
}

/// Lets the guest at this console reboot, and waits for what it says then.
fn reboots(console: &mut Terminal, ready: &str) {
    console.types("r");
    console.sees("tiny: reboot");
    console.sees(ready);
}

fn off(host: &Host, console: &mut Terminal, guest: &str) {
    console.types("p");
    until("the guest to be off", || (host.state(guest) == "stopped").then_some(()));
    host.nothing_is_left();
}

#[test]
fn bhyveload_runs_again_at_each_reboot() {
    for settings in [&["release=13.5", "cpu=amd"][..], &["release=14.3", "ug=off"], &["release=15.0"]] {
        let Some(host) = host("lab_loaders::bhyveload", settings) else { return };
        host.ok("create fbsd --image tiny --ram 64M loader=bhyveload os=freebsd");
        // On an older processor this loader is the only one that works.
        host.ok("-v start fbsd").says(" bhyveload -c /dev/nmdm-fbsd.1A -m 64M -d ").is_silent_of("bootrom");
        let mut console = host.console("fbsd");
        console.sees("tiny: ready 1");
        reboots(&mut console, "tiny: ready 2");
        reboots(&mut console, "tiny: ready 3");
        off(&host, &mut console, "fbsd");
    }
}

#[test]
fn a_loader_that_finds_nothing_is_told_with_its_words() {
    let Some(host) = host("lab_loaders::empty", &["release=14.3"]) else { return };
    host.ok("create fbsd --size 8M --ram 64M loader=bhyveload");
    // It would wait at its prompt for ever.
    host.ok("set fbsd loader_timeout=2");
    let failed = host.chyves("start fbsd").ends(1).says("`bhyveload` did not end in time (2 s)").says("chyves set fbsd loader_timeout=10m");
    // The command that failed is told, and not the one that never ran.
    assert!(
        failed.err.contains("the command was: jexec chyves-")
            && failed.err.contains(" bhyveload -c /dev/nmdm-fbsd.1A")
            && !failed.err.contains("bhyve -c cpus"),
        "{}",
        failed.err
    );
    assert_eq!(host.state("fbsd"), "stopped");
    assert!(!host.lab().dev("vmm").exists(), "the VM object that the loader made is left");
    // One that makes no VM object at all leaves none, and that is no failure to clean up.
    host.ok("set fbsd bhyveload_flags=-Z");
    host.chyves("start fbsd").ends(1).says("the command was: jexec chyves-").says(" bhyveload ").says("-Z").is_silent_of("cleaned up");
    host.nothing_is_left();
}

#[test]
fn grub_bhyve_runs_again_at_each_reboot() {
    for settings in [&["release=13.5", "cpu=intel"][..], &["release=15.0", "cpu=amd"]] {
        let Some(host) = host("lab_loaders::grub", settings) else { return };
        host.ok("create deb --image tiny --ram 64M loader=grub-bhyve os=debian");
        host.ok("-v start deb").says(" grub-bhyve -r ").says("device.map");
        let mut console = host.console("deb");
        console.sees("tiny: ready 1");
        reboots(&mut console, "tiny: ready 2");
        off(&host, &mut console, "deb");
    }
}

#[test]
fn grub_bhyve_takes_the_user_s_own_files() {
    let Some(host) = host("lab_loaders::custom", &["release=14.3"]) else { return };
    host.ok("create own --image tiny --ram 64M loader=grub-bhyve os=custom");
    host.chyves("start own").ends(4).says("device.map of `own` cannot be used").says("a device.map and a grub.cfg of your own");
    let disk = host.mount_point().join("chyves/guests/own/disk0.raw");
    host.in_folder("own", |folder| {
        std::fs::write(folder.join("device.map"), format!("(hd0) {}\n", disk.display())).unwrap();
        std::fs::write(folder.join("grub.cfg"), "kopenbsd -h com0 -r sd0a (hd0,openbsd1)/bsd\nboot\n").unwrap();
    });
    // What is too large to be copied for the loader is refused before anything of the VM is made.
    let config = |text: &str| host.in_folder("own", |folder| std::fs::write(folder.join("grub.cfg"), text).unwrap());
    let good = host.in_folder("own", |folder| std::fs::read_to_string(folder.join("grub.cfg")).unwrap());
    config(&format!("{good}{}", "#\n".repeat(1 << 19)));
    let refused = host.chyves("start own").ends(4);
    assert!(refused.err.contains("grub.cfg of `own` cannot be used") && refused.err.contains("1048576 at most"), "{}", refused.err);
    assert!(!refused.err.contains("_guest-files"), "{}", refused.err);
    host.nothing_is_left();
    config(&good);
    host.ok("-v start own");
    let mut console = host.console("own");
    console.sees("tiny: ready 1");
    off(&host, &mut console, "own");
}

#[test]
fn a_recipe_that_wants_the_disc_s_label_is_told_it() {
    let Some(host) = host("lab_loaders::label", &["release=14.3"]) else { return };
    host.make_iso();
    let disc = host.work().join("tiny.iso");
    let mut bytes = std::fs::read(&disc).unwrap();
    for (name, label) in [("arch", "ARCH_202511"), ("plain", "")] {
        bytes[32_808..32_840].copy_from_slice(format!("{label:32}").as_bytes());
        std::fs::write(&disc, &bytes).unwrap();
        host.ok(&format!("iso import ./tiny.iso --name {name}"));
    }
    host.ok("iso info arch").says("ARCH_202511");
    host.ok("create arch01 --size 1M --ram 64M loader=grub-bhyve os=arch");
    host.ok("-v start arch01 --iso arch");
    let mut console = host.console("arch01");
    console.sees("tiny: ready 0");
    let config = std::fs::read_to_string(host.run_dir().join(host.value("arch01", "uuid")).join("grub.cfg")).unwrap();
    assert!(config.contains("archisolabel=ARCH_202511 ro"), "{config}");
    off(&host, &mut console, "arch01");
    host.chyves("start arch01 --iso plain").ends(2).says("needs the medium's label, which is not known").says("import the image again");
    host.nothing_is_left();
}

#[test]
fn a_missing_loader_is_named_with_its_package() {
    let Some(host) = host("lab_loaders::missing", &["release=14.3"]) else { return };
    host.ok("create deb --image tiny --ram 64M loader=grub-bhyve");
    std::fs::remove_file(host.lab().dir().join("bin/grub-bhyve")).unwrap();
    host.chyves("start deb").ends(5).says("grub-bhyve is missing").says("pkg install grub2-bhyve");
    std::fs::remove_dir_all(host.lab().dir().join("usr/local/share/edk2-bhyve")).unwrap();
    host.ok("set deb loader=uefi");
    host.chyves("start deb").ends(5).says("no UEFI firmware").says("pkg install edk2-bhyve");
}

#[test]
fn an_install_from_a_disc_ends_with_the_disc_out() {
    for (loader, bus, settings) in [
        ("uefi", "nvme", &["release=13.5"][..]),
        ("uefi", "virtio-blk", &["release=14.3", "cpu=amd"]),
        ("bhyveload", "virtio-blk", &["release=14.3"]),
        ("grub-bhyve", "virtio-blk", &["release=15.0"]),
    ] {
        let Some(host) = host("lab_loaders::install", settings) else { return };
        host.make_iso();
        host.ok("image import ./tiny.iso --name disc");
        let os = if loader == "grub-bhyve" { "debian" } else { "freebsd" };
        host.ok(&format!("create web01 --size 1M --ram 64M loader={loader} os={os} disk0.bus={bus}"));
        let started = host.ok("-v start web01 --iso disc");
        assert!(started.err.contains("-s 3:0,ahci-cd,") && started.err.contains("image.iso"), "{}", started.err);
        // Before 14.0 a disk with a system would be booted first.
        assert_eq!(started.err.contains("cannot pass a boot order to the firmware"), bus == "nvme", "{}", started.err);
        let mut console = host.console("web01");
        console.sees("tiny: ready 0");
        let images = format!("{}/chyves/images/disc", host.pool);
        assert_eq!(host.zfs_get("mounted", &images), "yes");
        // The installer's work, and what it does at its end.
        let disk = host.mount_point().join("chyves/guests/web01/disk0.raw");
        host.sh("dd", &["if=tiny.img", &format!("of={}", disk.display()), "conv=notrunc"]);
        reboots(&mut console, "tiny: ready 1");
        assert_eq!(host.zfs_get("mounted", &images), "no", "the disc is out, and nobody else uses it");
        reboots(&mut console, "tiny: ready 2");
        off(&host, &mut console, "web01");
    }
}

#[test]
fn a_disc_is_booted_before_a_disk_where_the_firmware_can_be_told() {
    let Some(host) = host("lab_loaders::order", &["release=14.3"]) else { return };
    host.make_iso();
    host.ok("image import ./tiny.iso --name disc");
    host.ok("create web01 --image tiny --ram 64M");
    host.ok("-v start web01 --iso disc").says("bootindex=0").says("fwcfg=qemu");
    let mut console = host.console("web01");
    console.sees("tiny: ready 0");
    reboots(&mut console, "tiny: ready 1");
    off(&host, &mut console, "web01");
    host.ok("-v start web01").is_silent_of("fwcfg");
    host.ok("stop web01 --force");
}

#[test]
fn variables_of_the_firmware_are_the_guest_s_own() {
    let Some(host) = host("lab_loaders::vars", &["release=14.3"]) else { return };
    host.ok("create a,b --image tiny --ram 64M");
    for guest in ["a", "b"] {
        host.ok(&format!("-v start {guest}")).says("-l bootrom,/usr/local/share/uefi-firmware/BHYVE_UEFI.fd,").says("uefi-vars.fd");
        let mut console = host.console(guest);
        console.sees("tiny: ready 1");
        off(&host, &mut console, guest);
    }
    // What the firmware wrote stays at the next start.
    let vars = host.in_folder("a", |folder| {
        let path = folder.join("uefi-vars.fd");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100] ^= 0xff;
        std::fs::write(&path, &bytes).unwrap();
        bytes
    });
    host.ok("-v start a");
    let mut console = host.console("a");
    console.sees("tiny: ready 2");
    off(&host, &mut console, "a");
    assert!(host.in_folder("a", |folder| std::fs::read(folder.join("uefi-vars.fd")).unwrap()) == vars);
    assert!(host.in_folder("b", |folder| std::fs::read(folder.join("uefi-vars.fd")).unwrap()) != vars);
}

#[test]
fn u_boot_boots_guests_on_arm64() {
    let Some(host) = host("lab_loaders::uboot", &["release=15.0", "cpu=arm64"]) else { return };
    host.ok("create web01 --image tiny --ram 64M");
    let started = host.ok("-v start web01").says("-o bootrom=/usr/local/share/u-boot/u-boot-bhyve-arm64/u-boot.bin");
    for amd64 in [" -H", " -P", " -A", " -w", " -u ", " -l ", "lpc"] {
        assert!(!started.err.contains(amd64), "{amd64}: {}", started.err);
    }
    let mut console = host.console("web01");
    console.sees("tiny: ready 1");
    off(&host, &mut console, "web01");
    host.ok("set web01 loader=bhyveload");
    host.chyves("start web01").ends(5).says("arm64");
}

#[test]
fn imported_firmware_boots_guests_and_is_reset() {
    for settings in [&["release=13.5"][..], &["release=15.0", "cpu=amd"]] {
        let Some(host) = host("lab_loaders::imported", settings) else { return };
        let rom = host.lab().dir().join("usr/local/share/edk2-bhyve");
        let (code, vars) = (rom.join("BHYVE_UEFI.fd"), rom.join("BHYVE_UEFI_VARS.fd"));
        host.ok(&format!("firmware import {} --vars {} --name both", code.display(), vars.display()));
        host.ok(&format!("firmware import {} --name code", code.display()));
        host.ok("create a,b --image tiny --ram 64M");
        host.ok("set a firmware=both");
        host.ok("set b firmware=code");
        let images = host.mount_point().join("chyves/images");
        host.ok("-v start a").says(&format!("-l bootrom,{},", images.join("both/image.fd").display())).says("uefi-vars.fd");
        // Its own code is as long as that of the packages, so their variables are for it too.
        host.ok("-v start b").says(&format!("-l bootrom,{},", images.join("code/image.fd").display())).says("uefi-vars.fd");
        for guest in ["a", "b"] {
            let mut console = host.console(guest);
            console.sees("tiny: ready 1");
            reboots(&mut console, "tiny: ready 2");
            console.types("p");
            until("the guest to be off", || (host.state(guest) == "stopped").then_some(()));
        }
        host.ok("firmware reset a").says("the former ones are ");
        host.ok("a firmware reset -n").says("uefi-vars-");
        // One whose packages' firmware is gone still boots by its own.
        std::fs::remove_dir_all(&rom).unwrap();
        host.ok("-v start a");
        let mut console = host.console("a");
        console.sees("tiny: ready 3");
        off(&host, &mut console, "a");
    }
}

#[test]
fn a_reboot_looks_at_the_host_again_and_keeps_settings_that_can_be_used() {
    for settings in [&["release=13.5"][..], &["release=14.3", "cpu=amd"]] {
        let Some(host) = host("lab_loaders::again", settings) else { return };
        host.ok("create web01 --image tiny --ram 64M");
        for (change, mend, why) in [
            ("set web01 ram=64G", "set web01 ram=64M", "64G of memory is needed, and the host has"),
            ("set web01 cpu=99", "set web01 cpu=1", "99 processors"),
            ("set web01 loader=grub-bhyve", "set web01 loader=uefi", "grub-bhyve is missing on this host"),
            ("set web01 pcidev_0=passthru,3/0/0", "unset web01 pcidev_0", "belongs to the driver em0, not to ppt"),
        ] {
            let grub = host.lab().dir().join("bin/grub-bhyve");
            if grub.exists() && change.contains("grub") {
                std::fs::remove_file(&grub).unwrap();
            }
            host.ok("-v start web01");
            let mut console = host.console("web01");
            console.sees("tiny: ready");
            host.ok(change);
            console.types("r");
            console.sees("tiny: reboot");
            console.sees("tiny: ready");
            host.ok("info web01").says("kept-settings").says(why);
            let log = host.in_folder("web01", |folder| std::fs::read_to_string(folder.join("logs/console.log")).unwrap());
            assert!(log.contains("since the present ones cannot be used: ") && log.contains(why), "{log}");
            console.leaves();
            host.ok("stop web01 --now");
            host.chyves("start web01").ends(5).says(why);
            host.ok(mend);
        }
        // What is its own at that time is nobody else's: its VM object, its taps, and a display at a port of its own.
        host.ok("set web01 vnc=on vnc_port=5999");
        host.ok("-v start web01").says("VNC display at 127.0.0.1:5999 (password in ").says("/vnc.secret)");
        let mut console = host.console("web01");
        console.sees("tiny: ready");
        reboots(&mut console, "tiny: ready");
        off(&host, &mut console, "web01");
    }
}

/// A received guest that boots by a loader is trusted by the key that runs it, on a release without jails; with one the loader is
/// confined, unless its flags prevent the jail.
#[test]
fn loaders_of_a_received_guest_run_when_they_are_trusted() {
    for (release, alone) in [("release=13.5", true), ("release=14.3", false)] {
        let Some(host) = host("lab_loaders::trust", &[release]) else { return };
        let receive = |stream: &[u8]| {
            let mut receive = host.command(common::PROGRAM);
            receive.args(["receive", "--name", "fbsd"]).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
            let mut child = receive.spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), stream).unwrap();
            assert!(child.wait().unwrap().success());
        };
        let send = |settings: &str| {
            host.ok(&format!("create fbsd --image tiny --ram 64M loader=bhyveload os=freebsd {settings}"));
            let stream = host.command(common::PROGRAM).args(["send", "fbsd"]).output().unwrap().stdout;
            host.ok("delete fbsd --yes --now");
            receive(&stream);
            stream
        };
        let stream = send("bhyveload_flags=-hsomewhere/else");
        host.chyves("start fbsd").ends(4).says("foreign");
        let refused = host.chyves("adopt fbsd").ends(4);
        for setting in ["loader", "bhyveload_flags"] {
            assert!(refused.out.contains(setting), "{release}: {}", refused.out);
        }
        // One is not the other.
        host.ok("adopt fbsd --trust=bhyveload_flags");
        host.chyves("start fbsd").ends(4).says("loader=bhyveload").is_silent_of("bhyveload_flags=");
        host.ok("adopt fbsd --trust=loader");
        host.ok("start fbsd --dry-run").says("bhyveload").says("somewhere/else");
        // What is set behind chyves' back afterwards is not what was trusted.
        host.sh("zfs", &["set", "chyves:bhyveload_flags=-hother/place", &host.dataset("fbsd")]);
        host.chyves("start fbsd").ends(4).says("bhyveload_flags=-hother/place");
        host.ok("delete fbsd --yes --now");
        receive(&stream);
        host.ok("adopt fbsd --drop-host-settings");
        host.ok("start fbsd --dry-run").is_silent_of("bhyveload ");
        host.ok("delete fbsd --yes --now");
        // Without flags.
        send("");
        let answer = host.chyves("adopt fbsd");
        assert_eq!(answer.code == 4 && answer.out.contains("loader"), alone, "{release}: {}{}", answer.out, answer.err);
        host.ok("adopt fbsd --trust");
        host.ok("start fbsd");
        let mut console = host.console("fbsd");
        console.sees("tiny: ready 1");
        off(&host, &mut console, "fbsd");
    }
}
