//! The fault matrix of pools, and of guests that travel between them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{BASE, Case, matrix};

const TWO: Case = Case { other: true, ground: &["pool init OTHER"], ..BASE };

#[test]
fn init() {
    matrix("faults_pools::init", &Case { ground: &[], line: "pool init OTHER", back: &["pool remove OTHER"], ..TWO });
}

#[test]
fn remove() {
    // Each of its datasets is destroyed for good; the same command goes on with what is left.
    let again = Some("pool remove OTHER");
    matrix("faults_pools::remove", &Case { line: "pool remove OTHER", back: &["pool remove OTHER", "pool init OTHER"], again, ..TWO });
}

#[test]
fn promote() {
    // With networks of the host, which move with the role.
    let ground = &["pool init OTHER", "set global bridge3.private=yes bridge3.mtu=1400"];
    matrix("faults_pools::promote", &Case { ground, line: "pool promote OTHER", back: &["pool promote POOL"], ..TWO });
}

#[test]
fn offline_and_online() {
    matrix("faults_pools::offline", &Case { line: "pool offline OTHER", back: &["pool online OTHER"], ..TWO });
    let ground = &["pool init OTHER", "pool offline OTHER"];
    matrix("faults_pools::online", &Case { ground, line: "pool online OTHER", back: &["pool offline OTHER"], ..TWO });
}

/// The second pool as the layout before the first release had it.
const OLDER: &[&str] = &[
    "pool init OTHER",
    "create db --size 1M --pool OTHER loader=bios",
    "zfs set chyves:cpus=2 OTHER/chyves/guests/db",
    "zfs set chyves:memory=2G OTHER/chyves/guests",
    "zfs destroy OTHER/chyves/trash",
    "zfs set chyves:layout=0 OTHER/chyves",
    // So that the copy of the guest's settings is of that layout too.
    "pool upgrade OTHER",
    "pool upgrade --undo OTHER",
    "zfs destroy -r OTHER/chyves@{upgrade-}",
];

#[test]
fn upgrade() {
    let back = &["pool upgrade --undo OTHER", "zfs destroy -r OTHER/chyves@{upgrade-}"];
    matrix("faults_pools::upgrade", &Case { ground: OLDER, line: "pool upgrade OTHER", back, ..TWO });
}

#[test]
fn undo_of_an_upgrade() {
    const GROUND: &[&str] = &[OLDER[0], OLDER[1], OLDER[2], OLDER[3], OLDER[4], OLDER[5], OLDER[6]];
    let back = &["zfs destroy -r OTHER/chyves@{upgrade-}", "pool upgrade OTHER"];
    matrix("faults_pools::downgrade", &Case { ground: GROUND, line: "pool upgrade --undo OTHER", back, ..TWO });
}

#[test]
fn send() {
    let ground = &["snapshot web@one"];
    matrix("faults_pools::send", &Case { ground, line: "send web@one > stream", ..BASE });
    let back = &["snapshot delete {send-}"];
    matrix("faults_pools::send-new", &Case { line: "send web > stream", back, ..BASE });
}

const SENT: &[&str] = &["pool init OTHER", "snapshot web@one", "send web@one > whole"];

#[test]
fn receive() {
    let line = "receive --name copy --pool OTHER < whole";
    matrix("faults_pools::receive", &Case { ground: SENT, line, back: &["delete copy --now --foreign"], ..TWO });
}

const RECEIVED: &[&str] = &[
    "pool init OTHER",
    "snapshot web@one",
    "send web@one > whole",
    "set web notes=second",
    "snapshot web@two",
    "send web@two --from @one > more",
    "receive --name copy --pool OTHER < whole",
];

#[test]
fn receive_more() {
    let back = &["delete copy --now --foreign", "receive --name copy --pool OTHER < whole"];
    matrix("faults_pools::increment", &Case { ground: RECEIVED, line: "receive --name copy < more", back, ..TWO });
}

/// The sender's guest lost a disk meanwhile.
const LESS: &[&str] = &[
    "pool init OTHER",
    "snapshot web@one",
    "send web@one > whole",
    "disk remove web disk1",
    "trash empty",
    "snapshot web@two",
    "send web@two --from @one > more",
    "receive --name copy --pool OTHER < whole",
];

#[test]
fn receive_less() {
    let back = &["delete copy --now --foreign", "trash empty", "receive --name copy --pool OTHER < whole"];
    matrix("faults_pools::less", &Case { ground: LESS, line: "receive --name copy < more", back, ..TWO });
}

#[test]
fn adopt() {
    let back = &["delete copy --now --foreign", "receive --name copy --pool OTHER < whole"];
    matrix("faults_pools::adopt", &Case { ground: RECEIVED, line: "adopt copy --new-identity", back, ..TWO });
}
