//! bhyveload and grub-bhyve: what they refuse, what they leave in the VM, and what bhyve then does with it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use chyves_lab::Lab;
use common::{Guest, bad, blank, good, guest_disk, lab, rom, run};

const DEVICES: &str = "-c 1 -A -H -P -s 0,hostbridge -s 31,lpc -l com1,stdio";

fn with_disk(test: &str, settings: &[&str]) -> Option<(Lab, String)> {
    let lab = lab(test, settings)?;
    good(&lab, "kldload vmm nmdm");
    let disk = guest_disk(test, &lab, "tiny.img")?;
    Some((lab, disk))
}

#[test]
fn what_bhyveload_has_loaded_runs_once() {
    let Some((lab, disk)) = with_disk("what_bhyveload_has_loaded", &[]) else { return };
    let load = format!("bhyveload -c stdio -m 64M -e autoboot_delay=0 -d {disk} f1");
    let boot = format!("bhyve {DEVICES} -m 64M -s 3,virtio-blk,{disk} f1");
    bad(&lab, &boot, 4, "bhyve: no bootrom was configured");
    assert!(good(&lab, &load).contains("Booting..."));
    let mut guest = Guest::start(&lab, &boot);
    guest.expect("tiny: ready 1");
    guest.send("r");
    assert_eq!(guest.end(), 0);
    // The loader has to run again.
    bad(&lab, &boot, 3, "nothing was loaded");
    good(&lab, &load);
    let mut guest = Guest::start(&lab, &boot);
    guest.expect("tiny: ready 2");
    guest.send("p");
    assert_eq!(guest.end(), 1);
}

#[test]
fn bhyve_must_say_the_loaders_memory() {
    let Some((lab, disk)) = with_disk("bhyve_must_say_the_loaders_memory", &[]) else { return };
    good(&lab, &format!("bhyveload -m 64M -d {disk} f1"));
    bad(&lab, &format!("bhyve {DEVICES} -m 128M f1"), 4, "Unable to setup memory (22)");
    // Wired in bhyve, and not in the loader: no passthrough.
    bad(&lab, &format!("bhyve {DEVICES} -m 64M -S -s 4,passthru,2/0/0 f1"), 4, "by the loader as well");
}

#[test]
fn the_disk_that_was_loaded_is_booted() {
    let Some((lab, disk)) = with_disk("the_disk_that_was_loaded", &[]) else { return };
    let blank = blank(&lab, "blank.img");
    good(&lab, &format!("bhyveload -m 64M -d {disk} f1"));
    let mut guest = Guest::start(&lab, &format!("bhyve {DEVICES} -m 64M -s 3,virtio-blk,{blank} -s 4,ahci-hd,{disk} f1"));
    guest.expect("tiny: ready 1");
}

#[test]
fn bhyveload_at_its_prompt() {
    let Some(lab) = lab("bhyveload_at_its_prompt", &[]) else { return };
    good(&lab, "kldload vmm nmdm");
    let blank = blank(&lab, "blank.img");
    for (word, status) in [("quit\n", 1), ("reboot\n", 2)] {
        let mut loader = Guest::start(&lab, &format!("bhyveload -m 64M -d {blank} f1"));
        loader.expect("can't load 'kernel'");
        loader.expect("OK ");
        loader.send("ls\n");
        loader.expect("ls not found");
        loader.send(word);
        assert_eq!(loader.end(), status);
        assert!(lab.dev("vmm/f1").exists(), "the VM is there after a failure, too");
    }
    // Nobody types: it waits for ever, and whoever started it must end it.
    let ran = run(&lab, &format!("timeout 0.3s bhyveload -m 64M -d {blank} -c /dev/nmdm1A f1"));
    assert_eq!(ran.status, 124);
}

#[test]
fn bhyveload_refuses() {
    let Some(lab) = lab("bhyveload_refuses", &[]) else { return };
    let blank = blank(&lab, "blank.img");
    bad(&lab, "bhyveload -d /nowhere f1", 64, "Could not open '/nowhere'");
    bad(&lab, "bhyveload -m 1X f1", 64, "Invalid memsize '1X'");
    bad(&lab, "bhyveload -z f1", 64, "illegal option -- z");
    bad(&lab, &format!("bhyveload -d {blank}"), 64, "usage: bhyveload");
    bad(&lab, &format!("bhyveload -d {blank} one two"), 64, "usage: bhyveload");
    bad(&lab, "bhyveload -l /nowhere.so f1", 1, "dlopen");
    bad(&lab, &format!("bhyveload -d {blank} f1"), 1, "vm_create: No such file or directory");
    good(&lab, "kldload vmm");
    let many = format!(" -d {blank}").repeat(33);
    bad(&lab, &format!("bhyveload{many} f1"), 64, "too many disks");
    bad(&lab, "bhyveload -h /nowhere f1", 1, "/nowhere");
    bad(&lab, &format!("bhyveload -m 32G -d {blank} f1"), 1, "Cannot allocate memory");
    bad(&lab, &format!("bhyveload -c /dev/nmdm1A -d {blank} f1"), 1, "/dev/nmdm1A");
    lab.set(&["release=15.0", "cpu=arm64"]).unwrap();
    bad(&lab, &format!("bhyveload -d {blank} f1"), 127, "not found");
    bad(&lab, "grub-bhyve l1", 127, "not found");
}

/// A device map and a configuration in the lab's folder.
fn grub(lab: &Lab, map: &str, config: &str) -> String {
    let folder = lab.dir().join("grub");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("device.map"), map).unwrap();
    std::fs::write(folder.join("grub.cfg"), config).unwrap();
    format!("grub-bhyve -r host -d {0} -m {0}/device.map -M 64M", folder.display())
}

#[test]
fn grub_loads_by_a_configuration_of_the_host() {
    let Some((lab, disk)) = with_disk("grub_loads", &["cpu=amd"]) else { return };
    let map = format!("# disks\n(hd0) {disk} and the rest is not read\n(cd) /nowhere.iso\n");
    let boot = format!("bhyve {DEVICES} -m 64M -s 3,ahci-hd,{disk} l1");
    let configs = [
        "linux (hd0,msdos1)/vmlinuz root=/dev/sda1\ninitrd (hd0,msdos1)/initrd\nboot\n",
        "set root='hd0,gpt2'\nkopenbsd -h com0 -r sd0a /bsd\nboot\n",
        "set timeout=0\nmenuentry 'Linux' {\n  linux (hd0,gpt2)/vmlinuz\n}\n",
    ];
    for (number, config) in configs.into_iter().enumerate() {
        let load = grub(&lab, &map, config);
        good(&lab, &format!("{load} l1"));
        let mut guest = Guest::start(&lab, &boot);
        guest.expect(&format!("tiny: ready {}", number + 1));
        guest.send("p");
        assert_eq!(guest.end(), 1, "{config}");
    }
}

#[test]
fn grub_takes_commands_from_its_input() {
    let Some((lab, disk)) = with_disk("grub_takes_commands", &[]) else { return };
    let map = format!("(hd0) {disk}\n");
    grub(&lab, &map, "");
    let map = lab.dir().join("grub/device.map");
    // Long options, and options behind the name.
    let mut loader = Guest::start(&lab, &format!("grub-bhyve --root hd1 l1 --device-map={} --mem 64M", map.display()));
    loader.expect("no such device: hd1");
    loader.expect("grub> ");
    loader.send("boot\n");
    loader.expect("you need to load the kernel first");
    loader.send("linux (hd7)/vmlinuz\n");
    loader.expect("no such disk: hd7");
    loader.send("linux (hd0,1)/vmlinuz\nboot\n");
    assert_eq!(loader.end(), 0);
    let mut guest = Guest::start(&lab, &format!("bhyve {DEVICES} -m 64M -s 3,ahci-hd,{disk} l1"));
    guest.expect("tiny: ready 1");
}

#[test]
fn grub_that_was_left_ends_well_and_has_loaded_nothing() {
    let Some(lab) = lab("grub_that_was_left", &[]) else { return };
    good(&lab, "kldload vmm");
    let disk = blank(&lab, "blank.img");
    let load = grub(&lab, &format!("(hd0) {disk}\n"), "linux (hd3)/vmlinuz\nboot\n");
    // Its input is at its end, so that it is left.
    let ran = run(&lab, &format!("{load} l1"));
    assert_eq!(ran.status, 0);
    assert!(ran.out.contains("no such disk: hd3"), "{ran:?}");
    bad(&lab, &format!("bhyve {DEVICES} -m 64M l1"), 3, "nothing was loaded");
}

#[test]
fn grub_is_nobody_when_it_reads_the_host() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(lab) = lab("grub_is_nobody", &[]) else { return };
    good(&lab, "kldload vmm");
    let disk = blank(&lab, "blank.img");
    let kernel = lab.dir().join("vmlinuz");
    std::fs::write(&kernel, "").unwrap();
    let load = grub(&lab, &format!("(hd0) {disk}\n"), &format!("linux (host){}\nboot\n", kernel.display()));
    std::fs::set_permissions(&kernel, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(run(&lab, &format!("{load} l1")).out.contains("not found"));
    std::fs::set_permissions(&kernel, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!run(&lab, &format!("{load} l1")).out.contains("not found"));
}

#[test]
fn grub_refuses() {
    let Some(lab) = lab("grub_refuses", &[]) else { return };
    bad(&lab, "grub-bhyve", 1, "no VM is named");
    bad(&lab, "grub-bhyve one two", 1, "more than one VM");
    bad(&lab, "grub-bhyve -Z l1", 1, "illegal option -- Z");
    bad(&lab, "grub-bhyve --nosuch l1", 1, "unrecognized option");
    bad(&lab, "grub-bhyve -M 1X l1", 1, "invalid memory size");
    bad(&lab, "grub-bhyve -m /nowhere l1", 1, "cannot open `/nowhere'");
    bad(&lab, "grub-bhyve l1", 1, "vm_create");
    good(&lab, "kldload vmm");
    for (map, text) in [("hd0 /disk\n", "no open parenthesis"), ("(hd0,1) /disk\n", "no name of a device"), ("(hd0)\n", "no path")] {
        let load = grub(&lab, map, "");
        bad(&lab, &format!("{load} l1"), 1, text);
    }
    lab.set(&["ug=off"]).unwrap();
    bad(&lab, "grub-bhyve l1", 1, "unrestricted guest");
}

#[test]
fn a_boot_rom_begins_a_vm_anew() {
    let Some((lab, disk)) = with_disk("a_boot_rom_begins", &[]) else { return };
    good(&lab, &format!("bhyveload -m 64M -d {disk} f1"));
    let rom = rom(&lab);
    // Another size of memory than the loader's is no matter then.
    let mut guest = Guest::start(&lab, &format!("bhyve {DEVICES} -m 128M -s 3,virtio-blk,{disk} -l bootrom,{rom} f1"));
    guest.expect("tiny: ready 1");
}
