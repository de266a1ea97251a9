//! What a guest was at a snapshot, whoever took it: every command that works with a snapshot takes the settings of then,
//! and no disk of now is lost by rolling back to it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::stream::{done, receive, send};
use common::{Host, With};
use std::os::unix::fs::FileExt;

const SANOID: &str = "autosnap_2026-01-01_00:00:00_daily";

/// The guest `web` with two disks and a snapshot of sanoid, since which disk1 has gone, disk2 has come, disk0 has grown and the
/// description has changed.
fn host(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Pool)?;
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web --disk raw --size 1M loader=bios description=then");
    host.ok("disk add web 1M --kind raw");
    host.sh("zfs", &["snapshot", "-r", &format!("{}@{SANOID}", host.dataset("web"))]);
    host.ok("disk remove web disk1");
    host.ok("disk add web 1M --kind raw --number 2");
    host.ok("disk resize web disk0 2M");
    host.ok("set web description=now");
    Some(host)
}

fn disks(host: &Host, guest: &str) -> String {
    host.ok(&format!("disk list {guest} -H -p -o number,size,actual")).out
}

#[test]
fn a_foreign_snapshot_is_cloned_compared_and_gone_back_to_with_its_own_settings() {
    let Some(host) = host("then::foreign") else { return };
    host.ok(&format!("clone web@{SANOID} linked")).is_silent_of("holds no settings");
    host.ok(&format!("clone web@{SANOID} full -i"));
    for clone in ["linked", "full"] {
        assert_eq!(host.value(clone, "description"), "then");
        assert_eq!(disks(&host, clone), "0\t1048576\t1048576\n1\t1048576\t1048576\n");
        assert!(!host.files(clone).contains_key("disk2.raw"), "{:?}", host.files(clone));
    }
    let changes = host.ok(&format!("snapshot diff web@{SANOID} -H -o name,before,after")).out;
    assert!(changes.contains("description\tthen\tnow\n") && changes.contains("disk1.kind\traw\t-\n"), "{changes}");
    // What a stream brings is what was sent.
    done(send(&host, &format!("send web@{SANOID}"), "stream"));
    done(receive(&host, "receive --name copy", "stream"));
    assert_eq!(host.value("copy", "description"), "then");
    // A foreign guest is not mounted to read its sizes.
    assert_eq!(disks(&host, "copy"), "0\t1048576\t-\n1\t1048576\t-\n");
    // The disk that came since would be listed and not be there.
    let before = host.tree();
    host.chyves(&format!("snapshot rollback web@{SANOID} --keep-settings")).ends(4).says("disk2 was added after that snapshot");
    assert_eq!(host.tree(), before);
    host.ok("disk remove web disk2");
    host.ok(&format!("snapshot rollback web@{SANOID} --keep-settings"));
    assert_eq!((host.value("web", "description").as_str(), disks(&host, "web").as_str()), ("now", "0\t1048576\t1048576\n1\t-\t1048576\n"));
    host.ok(&format!("snapshot rollback web@{SANOID}"));
    assert_eq!((host.value("web", "description").as_str(), host.value("web", "disk1.size").as_str()), ("then", "1M"));
    assert!(host.ok("trash list -H -o dataset").out.lines().all(|l| !l.contains("reading-")));
}

#[test]
fn a_return_at_the_start_destroys_no_disk_that_came_later() {
    let Some(host) = Host::new("then::revert", With::Tiny) else { return };
    host.ok("create kiosk tiny --size 16M loader=bios");
    host.ok("snapshot kiosk@clean");
    host.ok("set kiosk revert_to_snapshot=clean revert_to_snapshot_method=start");
    host.ok("disk add kiosk 1M --kind raw").says("will not start until it reverts to a newer one");
    host.in_folder("kiosk", |folder| {
        std::fs::OpenOptions::new().write(true).open(folder.join("disk1.raw")).unwrap().write_all_at(b"precious", 0).unwrap();
    });
    let before = host.tree();
    host.chyves("start kiosk")
        .ends(4)
        .says("disk1 was added after that snapshot and would be destroyed")
        .says("chyves disk remove kiosk disk1");
    assert_eq!(host.tree(), before);
    host.in_folder("kiosk", |folder| assert_eq!(&std::fs::read(folder.join("disk1.raw")).unwrap()[..8], b"precious"));
    host.ok("disk remove kiosk disk1");
    // A disk that grew since goes back, and so does what is recorded of it.
    host.ok("disk resize kiosk disk0 32M");
    host.ok("start kiosk");
    host.ok("stop kiosk --now");
    assert_eq!(disks(&host, "kiosk"), "0\t16777216\t16777216\n");
    host.in_folder("kiosk", |folder| {
        assert!(std::fs::read_to_string(folder.join("config.toml")).unwrap().contains("\"disk0.size\" = \"16M\""));
    });
    // Nor does a snapshot of another program.
    host.sh("zfs", &["snapshot", &format!("{}@{SANOID}", host.dataset("kiosk"))]);
    host.ok(&format!("set kiosk revert_to_snapshot={SANOID}"));
    host.ok("disk add kiosk 1M --kind raw --number 3");
    host.chyves("start kiosk").ends(4).says("disk3 was added after that snapshot");
    host.ok("disk remove kiosk disk3");
    host.ok("start kiosk");
    host.ok("stop kiosk --now");
}
