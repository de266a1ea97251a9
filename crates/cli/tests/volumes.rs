//! The life of guests whose disks are volumes, on a ZFS that has them: what is in a volume and what the settings say must
//! go together through every command.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::volume::{disk, disks, host, word, write};
use common::{Host, With};

fn in_trash(host: &Host) -> Vec<String> {
    host.ok("trash list -H -o identity").out.lines().map(str::to_owned).collect()
}

/// What the hint after a rollback says to undelete.
fn way_back(said: &str) -> String {
    let (_, behind) = said.split_once("chyves undelete ").expect(said);
    behind.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_volume_is_made_written_and_looked_at() {
    let Some(host) = host("volumes::made") else { return };
    let web = disk(&host, "web", 0);
    assert_eq!((host.zfs_get("volmode", &web), host.zfs_get("refreservation", &web)), ("dev".to_owned(), "0".to_owned()));
    assert_eq!(disks(&host, "web"), "0 zvol 8388608;");
    assert_eq!(word(&host, "web", 0), "first");
    // What no kind is said for is a volume here; what one is said for is that.
    host.ok("create db --size 1M loader=bios");
    assert_eq!(disks(&host, "db"), "0 zvol 1048576;");
    host.ok("create files --disk raw --size 1M loader=bios");
    assert_eq!(disks(&host, "files"), "0 raw 1048576;");
    host.ok("start web --dry-run").says(&format!("/dev/zvol/{web}"));
}

#[test]
fn a_rollback_brings_bytes_and_settings_back_and_can_be_undone() {
    let Some(host) = host("volumes::rollback") else { return };
    host.ok("snapshot web@one");
    write(&host, "web", 0, "second");
    host.ok("set web notes=second cpu=2");
    host.ok("snapshot web@two");
    write(&host, "web", 0, "third");
    host.ok("set web notes=third");
    let said = host.ok("snapshot rollback web@one --yes").err;
    assert_eq!((word(&host, "web", 0), host.value("web", "notes"), host.value("web", "cpu")), ("first".into(), "first".into(), "1".into()));
    // What was the present is in the trash, whole, and comes back with its newer snapshots.
    host.ok("delete web");
    host.ok(&format!("undelete {}", way_back(&said)));
    assert_eq!((word(&host, "web", 0), host.value("web", "notes"), host.value("web", "cpu")), ("third".into(), "third".into(), "2".into()));
    host.chyves("snapshot rollback web@two --in-place --yes").ends(4).says("before-rollback");
}

#[test]
fn going_back_in_place_keeps_nothing_of_the_present() {
    let Some(host) = host("volumes::in-place") else { return };
    host.ok("snapshot web@one");
    write(&host, "web", 0, "second");
    host.ok("set web notes=second");
    host.ok("snapshot rollback web@one --in-place --yes");
    assert_eq!((word(&host, "web", 0), host.value("web", "notes")), ("first".to_owned(), "first".to_owned()));
    assert_eq!(in_trash(&host), Vec::<String>::new());
}

#[test]
fn a_rollback_finds_the_volumes_that_were_there() {
    let Some(host) = host("volumes::rollback-others") else { return };
    host.ok("disk add web 8M --kind zvol description=dear");
    write(&host, "web", 1, "dear");
    host.ok("snapshot web@two");
    // Added since: not of that time, and with the present in the trash.
    host.ok("disk add web 8M --kind zvol --number 7");
    write(&host, "web", 7, "new");
    host.ok("set web disk7.description=added");
    let said = host.ok("snapshot rollback web@two --yes").err;
    assert_eq!(disks(&host, "web"), "0 zvol 8388608;1 zvol 8388608;");
    assert_eq!((word(&host, "web", 0), word(&host, "web", 1)), ("first".to_owned(), "dear".to_owned()));
    host.ok("delete web");
    host.ok(&format!("undelete {}", way_back(&said)));
    assert_eq!((word(&host, "web", 1), word(&host, "web", 7)), ("dear".to_owned(), "new".to_owned()));
    // What was gone back to owns the snapshots that both have, until that is turned round.
    host.chyves("trash empty --yes").ends(4).says("promote");
    host.ok("promote web");
    host.ok("trash empty --yes");
    host.ok("disk remove web disk7");
    host.ok("trash empty --yes");
    // Renumbered since, so that each bears another's number: a disk is known by its serial number.
    host.ok("disk move web disk1 disk2");
    host.ok("disk move web disk0 disk1");
    write(&host, "web", 1, "changed");
    host.ok("snapshot rollback web@two --yes");
    assert_eq!(disks(&host, "web"), "0 zvol 8388608;1 zvol 8388608;");
    assert_eq!((word(&host, "web", 0), word(&host, "web", 1)), ("first".to_owned(), "dear".to_owned()));
    assert_eq!(host.value("web", "disk1.description"), "dear");
    // A clone of that time has the volumes of that time, too.
    host.ok("disk move web disk1 disk2");
    host.ok("clone web@two then");
    host.ok("clone web@two whole --independent");
    for clone in ["then", "whole"] {
        assert_eq!((word(&host, clone, 0), word(&host, clone, 1)), ("first".to_owned(), "dear".to_owned()), "{clone}");
        assert_eq!(disks(&host, clone), "0 zvol 8388608;1 zvol 8388608;", "{clone}");
    }
    host.ok("delete then,whole --now --yes");
    // Removed since: it has to come back first, and that is said.
    host.ok("disk remove web disk2");
    let before = host.tree();
    host.chyves("snapshot rollback web@two --yes").ends(4).says("disk1").says("trash");
    assert_eq!(host.tree(), before);
}

#[test]
fn clones_have_volumes_of_their_own() {
    let Some(host) = host("volumes::clones") else { return };
    host.ok("snapshot web@base");
    write(&host, "web", 0, "later");
    host.ok("clone web@base linked");
    host.ok("clone web full --independent");
    assert_eq!((word(&host, "linked", 0), word(&host, "full", 0)), ("first".to_owned(), "later".to_owned()));
    assert_eq!(host.zfs_get("origin", &disk(&host, "linked", 0)), format!("{}@base", disk(&host, "web", 0)));
    assert_eq!(host.zfs_get("origin", &disk(&host, "full", 0)), "-");
    write(&host, "linked", 0, "own");
    assert_eq!(word(&host, "web", 0), "later");
    host.chyves("delete web --now --yes").ends(4).says("linked");
    // Turned round, the source stands on the clone, and the clone stands alone.
    host.ok("promote linked");
    assert_eq!(host.zfs_get("origin", &disk(&host, "linked", 0)), "-");
    assert_eq!(host.zfs_get("origin", &disk(&host, "web", 0)), format!("{}@base", disk(&host, "linked", 0)));
    assert_eq!((word(&host, "linked", 0), word(&host, "web", 0)), ("own".to_owned(), "later".to_owned()));
    host.ok("delete web --now --yes");
    assert_eq!(word(&host, "linked", 0), "own");
    // The snapshot that was taken for a clone alone goes with the last one.
    host.ok("clone full a,b");
    let taken = host.ok("snapshot list full -H -o name").out;
    assert_eq!(taken.lines().count(), 1, "{taken}");
    host.ok("delete a --now --yes");
    host.ok("delete b --now --yes");
    assert_eq!(host.ok("snapshot list full -H -o name").out, "");
}

#[test]
fn a_rename_takes_volumes_clones_and_snapshots_along() {
    let Some(host) = host("volumes::rename") else { return };
    host.ok("snapshot web@base");
    host.ok("clone web@base twin");
    let serial = host.ok("disk list web -H -o serial").out;
    host.ok("rename web front");
    assert_eq!(word(&host, "front", 0), "first");
    assert_eq!(host.ok("disk list front -H -o serial").out, serial);
    assert_eq!(host.zfs_get("origin", &disk(&host, "twin", 0)), format!("{}@base", disk(&host, "front", 0)));
    write(&host, "front", 0, "later");
    host.ok("snapshot rollback front@base --yes");
    assert_eq!(word(&host, "front", 0), "first");
    assert_eq!(word(&host, "twin", 0), "first");
}

#[test]
fn disks_come_grow_shrink_go_and_come_back() {
    let Some(host) = host("volumes::disks") else { return };
    host.ok("disk add web 8M --kind zvol --reserved --block-size 32K");
    let one = disk(&host, "web", 1);
    assert_eq!(host.zfs_get("volblocksize", &one), "32768");
    assert_ne!(host.zfs_get("refreservation", &one), "0");
    write(&host, "web", 1, "dear");
    host.ok("disk resize web disk1 16M");
    assert_eq!(host.zfs_get("volsize", &one), "16777216");
    assert_eq!(word(&host, "web", 1), "dear");
    host.chyves("disk resize web disk1 4M").ends(4).says("--force");
    host.ok("disk resize web disk1 8M --force");
    assert_eq!((host.zfs_get("volsize", &one), word(&host, "web", 1)), ("8388608".to_owned(), "dear".to_owned()));
    host.ok("disk move web disk1 disk4");
    assert_eq!(word(&host, "web", 4), "dear");
    host.ok("disk remove web disk4");
    assert_eq!(disks(&host, "web"), "0 zvol 8388608;");
    host.ok("undelete web:disk4");
    assert_eq!((disks(&host, "web"), word(&host, "web", 4)), ("0 zvol 8388608;4 zvol 8388608;".to_owned(), "dear".to_owned()));
    // Attached, it is somebody else's: named, used, never touched.
    let other = format!("{}/other", host.pool);
    host.sh("zfs", &["create", "-V", "8M", &other]);
    host.write_volume(&other, 0, b"theirs");
    host.ok(&format!("disk add web --attach {other}"));
    host.ok("disk remove web disk5");
    assert_eq!(host.read_volume(&other, 0, 6), b"theirs");
    // Content from files, raw and qcow2.
    let mut content = vec![0u8; 3 << 20];
    content[1_000_000..1_000_007].copy_from_slice(b"content");
    std::fs::write(host.work().join("a.img"), &content).unwrap();
    host.ok("disk add web --kind zvol --import ./a.img --number 8");
    assert_eq!(host.read_volume(&disk(&host, "web", 8), 0, content.len()), content);
    if host.command("qemu-img").arg("--version").output().is_ok_and(|o| o.status.success()) {
        host.sh("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "a.img", "b.qcow2"]);
        host.ok("disk add web --kind zvol --import ./b.qcow2 4M --number 9");
        assert_eq!(host.read_volume(&disk(&host, "web", 9), 0, content.len()), content);
    }
    // Nobody takes a volume away that a program has open; when it has let go the same command goes through.
    // It is seen before the first thing is destroyed.
    host.ok("snapshot web@kept");
    let before = host.tree();
    let open = std::fs::File::open(format!("/dev/zvol/{}", disk(&host, "web", 8))).unwrap();
    // A program of this host, for nobody sees into another's.
    let mut holder = host.command("sleep").arg("1000").stdin(open).spawn().unwrap();
    let sleep = common::until("it to be there", || host.processes().into_iter().find(|p| p.line == "sleep 1000").map(|p| p.pid));
    host.chyves("delete web --now --yes").ends(4).says("is held open").says("sleep").says("nothing was destroyed");
    assert_eq!(host.tree(), before);
    assert_eq!(host.read_volume(&disk(&host, "web", 8), 0, content.len()), content);
    host.kill(sleep);
    drop(holder.wait());
    host.ok("delete web --now --yes");
    assert_eq!(host.ok("list -H -o name").out, "");
}

#[test]
fn udev_looking_at_a_volume_keeps_nothing_from_being_done() {
    let Some(host) = Host::new("volumes::udev", With::Volumes) else { return };
    // When a program that wrote closes a volume, udev opens it for a look, just when the next command comes.
    for _ in 0..6 {
        host.ok("create web --disk zvol --size 8M loader=bios");
        write(&host, "web", 0, "first");
        host.ok("snapshot web@one");
        write(&host, "web", 0, "second");
        host.ok("snapshot rollback web@one --in-place --yes");
        write(&host, "web", 0, "third");
        host.ok("delete web --now --yes");
    }
}

#[test]
fn deleting_is_no_loss_until_the_trash_is_emptied() {
    let Some(host) = host("volumes::delete") else { return };
    host.ok("snapshot web@one");
    host.ok("clone web@one twin");
    write(&host, "web", 0, "second");
    host.ok("delete web");
    assert_eq!(word(&host, "twin", 0), "first");
    host.ok("undelete web");
    assert_eq!((word(&host, "web", 0), host.value("web", "notes")), ("second".to_owned(), "first".to_owned()));
    host.ok("delete web");
    // It stays as long as something depends on it.
    let answer = host.chyves("trash empty --yes");
    assert!(answer.code != 0 || !in_trash(&host).is_empty(), "{answer:?}");
    assert_eq!(word(&host, "twin", 0), "first");
    host.ok("delete twin");
    host.ok("trash empty --yes");
    assert_eq!(in_trash(&host), Vec::<String>::new());
    let left = host.sh("zfs", &["list", "-H", "-r", "-t", "volume,snapshot", "-o", "name", &format!("{}/chyves", host.pool)]);
    assert_eq!(left, "");
}

#[test]
fn a_guest_moves_to_another_pool_with_its_volumes() {
    let Some(host) = host("volumes::move") else { return };
    let other = host.second("/vm");
    host.ok("snapshot web@one");
    let (uuid, marks) = (host.value("web", "uuid"), host.volumes(&host.dataset("web")));
    let serial = host.ok("disk list web -H -o serial").out;
    host.ok(&format!("move web --pool {other}"));
    let there = format!("{other}/vm/guests/web");
    assert_eq!(host.volumes(&there), marks);
    assert_eq!((host.value("web", "uuid"), host.value("web", "notes")), (uuid, "first".to_owned()));
    assert_eq!(host.ok("disk list web -H -o serial").out, serial);
    assert_eq!(host.zfs_get("volmode", &format!("{there}/disk0")), "dev");
    // The original lies in the trash, whole.
    assert_eq!(in_trash(&host).len(), 1);
    host.ok("delete web --now --yes");
    host.ok("undelete web");
    assert_eq!(word(&host, "web", 0), "first");
    assert_eq!(host.ok("snapshot list web -H -o name").out.lines().count(), 1);
}

#[test]
fn a_pool_taken_to_another_host_has_everything() {
    let Some(host) = host("volumes::import") else { return };
    host.ok("snapshot web@one");
    write(&host, "web", 0, "second");
    host.ok("clone web@one twin");
    let tree = host.tree();
    host.sh("zpool", &["export", &host.pool]);
    host.chyves("list").ends(3);
    host.sh("zpool", &["import", "-d", host.dir().to_str().unwrap(), "-o", "cachefile=none", &host.pool]);
    assert_eq!(host.tree(), tree);
    assert_eq!((word(&host, "web", 0), word(&host, "twin", 0)), ("second".to_owned(), "first".to_owned()));
    host.ok("snapshot rollback web@one --yes");
    assert_eq!(word(&host, "web", 0), "first");
}
