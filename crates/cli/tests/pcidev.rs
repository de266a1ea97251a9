//! What `pcidev_{n}` and serial ports name on the host is looked at before the start: nothing has been done when it is refused.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};

/// A start that is refused for this setting alone, with nothing made for it; then the setting is removed.
#[track_caller]
fn refused(host: &Host, key: &str, value: &str, why: &str) {
    host.chyves_words(&["set", "web01", &format!("{key}={value}")]).ends(0);
    for command in ["start web01 --dry-run", "start web01"] {
        host.chyves(command).ends(5).says(&format!("{key} of `web01` cannot be used: ")).says(why);
    }
    let dataset = format!("{}/chyves/guests/web01", host.pool);
    assert_eq!(host.zfs_get("mounted", &dataset), "no", "something was done for {value}");
    host.nothing_is_left();
    host.ok(&format!("unset web01 {key}"));
}

#[test]
fn what_a_device_names_is_there_and_of_its_kind() {
    let Some(host) = Host::new("pcidev::linux", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 64M");
    let file = host.work().join("file.raw");
    std::fs::File::create(&file).unwrap().set_len(1 << 20).unwrap();
    let (file, folder) = (file.display(), host.work().display().to_string());
    for device in [
        "virtio-blk,/nowhere",
        "ahci-hd,/nowhere",
        "nvme,/nowhere",
        "ahci,hd:/nowhere",
        "ahci-cd,/nowhere",
        "virtio-9p,share=/nowhere",
        "virtio-scsi,target=0:/nowhere",
        "virtio-input,/nowhere",
        "hda,play=/nowhere",
        "virtio-console,port=/nowhere/port.sock",
        "fbuf,rfb=unix:/nowhere/vnc.sock",
    ] {
        refused(&host, "pcidev_3", device, "`/nowhere` is not there");
    }
    host.ok("set web01 pcidev_3=uart,/dev/nowhere");
    host.chyves("start web01").ends(5).says("`chyves unset web01 pcidev_3`");
    host.ok("unset web01 pcidev_3");
    refused(&host, "pcidev_3", "uart,/dev/nowhere", "`/dev/nowhere` is not there");
    refused(&host, "com2", "/dev/nowhere", "`/dev/nowhere` is not there");
    for (device, why) in [
        (format!("virtio-9p,share={file}"), "is not a folder"),
        (format!("virtio-blk,{folder}"), "is a folder"),
        (format!("ahci-cd,{folder}"), "is a folder"),
        (format!("virtio-console,port={file}/port.sock"), "is not a folder"),
    ] {
        refused(&host, "pcidev_3", &device, why);
    }
    host.ok("set web01 pcidev_3=passthru,77/0/0");
    host.chyves("start web01").ends(5).says("the host has no device 77/0/0");
    // What is there runs.
    host.chyves_words(&["set", "web01", &format!("pcidev_3=virtio-blk,{file}")]).ends(0);
    host.ok("start web01");
    host.ok("stop web01 --now");
}
