//! Facts that only a start used to report: `info`, `list` and `doctor` report them too, with what cures them, and the cure works.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};

/// `doctor` ends with 5 where the host has other problems.
fn doctor(host: &Host) -> common::Answer {
    host.chyves("doctor")
}

#[test]
fn the_dataset_of_a_guest() {
    let Some(host) = Host::new("drift_starts::datasets", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    let web = host.dataset("web");
    doctor(&host).is_silent_of("datasets");
    for (change, words, cure) in [
        ("readonly=on", "is read-only", ["inherit", "readonly"]),
        ("canmount=off", "its property canmount is off", ["set", "canmount=noauto"]),
        ("mountpoint=none", "would be mounted outside", ["inherit", "mountpoint"]),
    ] {
        host.ok("info web").is_silent_of("problems:");
        host.sh("zfs", &["set", change, &web]);
        host.chyves("start web --dry-run").ends(4).says(words);
        host.ok("info web").says("problems:").says(words);
        doctor(&host).says(words);
        let problems = host.ok("info web --json").json()[0]["problems"].clone();
        assert!(problems[0]["hint"].as_array().is_some_and(|hints| !hints.is_empty()), "{problems}");
        host.sh("zfs", &[cure[0], cure[1], &web]);
        host.ok("start web --dry-run");
    }
    // What is set above the root counts too.
    host.sh("zfs", &["set", "readonly=on", &host.pool]);
    host.ok("info web").says("is read-only");
    doctor(&host).says("is read-only");
    host.sh("zfs", &["inherit", "readonly", &host.pool]);
    // A template is read-only on purpose.
    host.ok("set web template=yes");
    host.ok("info web").is_silent_of("problems:");
    doctor(&host).is_silent_of("is read-only");
}

#[test]
fn the_identity_of_a_guest() {
    let Some(host) = Host::new("drift_starts::identity", With::Image) else { return };
    for guest in ["web", "db"] {
        host.ok(&format!("create {guest} --image small loader=bios --nets 0"));
    }
    host.ok("snapshot web@base");
    let (web, db) = (host.dataset("web"), host.dataset("db"));
    let (uuid, other) = (host.value("web", "uuid"), host.value("db", "uuid"));
    host.sh("zfs", &["inherit", "chyves:uuid", &web]);
    host.ok("list").says("no UUID").says("zfs set chyves:uuid=UUID");
    host.chyves("info web").ends(4).says("no UUID");
    host.chyves("start web").ends(4).says("no UUID");
    doctor(&host).says("no UUID");
    // The snapshot has it, as the hint states.
    assert_eq!(host.zfs_get("chyves:uuid", &format!("{web}@base")), uuid);
    host.sh("zfs", &["set", &format!("chyves:uuid={uuid}"), &web]);
    host.ok("list").is_silent_of("UUID");

    host.sh("zfs", &["set", &format!("chyves:uuid={uuid}"), &db]);
    host.ok("list").says("the same UUID").says("zfs set chyves:uuid=$(uuidgen)");
    doctor(&host).says("the same UUID");
    host.sh("zfs", &["set", &format!("chyves:uuid={other}"), &db]);
    // Exact clones are meant to have it.
    host.ok("clone web exact --exact");
    assert_eq!(host.value("exact", "uuid"), uuid);
    host.ok("list").is_silent_of("UUID");
    doctor(&host).is_silent_of("the same UUID");
}

#[test]
fn the_snapshot_that_a_guest_reverts_to() {
    let Some(host) = Host::new("drift_starts::revert", With::Image) else { return };
    host.ok("create web --image small loader=bios --nets 0");
    host.ok("snapshot web@base");
    host.ok("set web revert_to_snapshot=base revert_to_snapshot_method=start");
    host.ok("info web").is_silent_of("problems:");
    doctor(&host).is_silent_of("cannot revert");
    host.sh("zfs", &["rename", &format!("{}@base", host.dataset("web")), &format!("{}@other", host.dataset("web"))]);
    host.chyves("start web --dry-run").ends(3).says("no snapshot called `base`");
    host.ok("info web").says("cannot revert web to @base").says("revert_to_snapshot_method=off");
    doctor(&host).says("cannot revert web to @base");
    host.ok("set web revert_to_snapshot=other");
    host.ok("info web").is_silent_of("problems:");
    host.ok("start web --dry-run");
}
