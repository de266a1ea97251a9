//! Volumes whose size somebody else set (`zfs set volsize`): no command cuts them by mistake, and what is recorded and what is
//! there are both shown, until one command brings them together.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::Host;
use common::volume::{disk, host, word};

const MIB: u64 = 1 << 20;

/// Sets the size of the guest's disk 0 as chyves does not see it.
fn by_hand(host: &Host, guest: &str, mib: u64) {
    host.sh("zfs", &["set", &format!("volsize={}", mib * MIB), &disk(host, guest, 0)]);
}

/// What is recorded of disk 0, and what it has, in MiB.
fn sizes(host: &Host, guest: &str) -> (u64, u64) {
    let listed = host.ok(&format!("disk list {guest} -H -p -o size,actual")).out;
    let (recorded, actual) = listed.trim().split_once('\t').unwrap();
    (recorded.parse::<u64>().unwrap() / MIB, actual.parse::<u64>().unwrap() / MIB)
}

#[test]
fn a_volume_that_was_grown_is_not_cut_by_mistake() {
    let Some(host) = host("volumes_sizes::grown") else { return };
    by_hand(&host, "web", 16);
    host.write_volume(&disk(&host, "web", 0), 12 * MIB, b"last");
    let before = host.tree();
    let refused = host.chyves("disk resize web disk0 12M").ends(4);
    refused.says("from 16M to 12M").says("8M is recorded").says("chyves disk sync web disk0");
    assert_eq!(host.tree(), before);
    host.ok("disk list web").says("16M (recorded: 8M)");
    assert_eq!(sizes(&host, "web"), (8, 16));
    // Larger than it is, whatever was recorded.
    host.ok("disk resize web disk0 32M").says("8M is recorded");
    assert_eq!((sizes(&host, "web"), host.read_volume(&disk(&host, "web", 0), 12 * MIB, 4)), ((32, 32), b"last".to_vec()));
    by_hand(&host, "web", 16);
    host.ok("disk sync web").says("actual size 16M, recorded 32M");
    assert_eq!(sizes(&host, "web"), (16, 16));
    host.ok("disk sync web").says("are as recorded");
    assert_eq!(word(&host, "web", 0), "first");
}

#[test]
fn a_volume_that_was_cut_grows_again_by_its_own_size() {
    let Some(host) = host("volumes_sizes::cut") else { return };
    by_hand(&host, "web", 6);
    host.ok("disk list web").says("6M (recorded: 8M)");
    // What is recorded is larger, and still this is growing.
    host.ok("disk resize web disk0 7M").says("8M is recorded");
    assert_eq!((sizes(&host, "web"), word(&host, "web", 0)), ((7, 7), "first".to_owned()));
    by_hand(&host, "web", 8);
    host.ok("disk resize web disk0 +4M");
    assert_eq!(sizes(&host, "web"), (12, 12));
}

#[test]
fn clones_and_rollbacks_have_the_size_that_is_there() {
    let Some(host) = host("volumes_sizes::then") else { return };
    host.ok("snapshot web@one");
    by_hand(&host, "web", 16);
    host.ok("snapshot web@two");
    // What comes of a snapshot is as large as the volume was then; where the record is another, both are shown.
    for (line, guest, size) in [
        ("clone web@one a", "a", (8, 8)),
        ("clone web@one b --independent", "b", (8, 8)),
        ("clone web@two c", "c", (8, 16)),
        ("clone web@two d --independent", "d", (8, 16)),
    ] {
        host.ok(line);
        assert_eq!((sizes(&host, guest), word(&host, guest, 0)), (size, "first".to_owned()), "{line}");
    }
    host.ok("disk sync c");
    assert_eq!(sizes(&host, "c"), (16, 16));
    host.ok("disk sync web");
    host.ok("delete a,b,c,d --now --yes");
    // Settings that stay take the size of the volume that comes back.
    host.ok("snapshot rollback web@one --keep-settings --yes");
    assert_eq!((sizes(&host, "web"), word(&host, "web", 0)), ((8, 8), "first".to_owned()));
}
