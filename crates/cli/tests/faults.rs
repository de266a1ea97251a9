//! The fault matrix of a guest's life: settings, snapshots, the trash, images. Disks, clones and pools have files of
//! their own (`faults_disks`, `faults_clones`, `faults_pools`).

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{BASE, Case, matrix};

#[test]
fn set() {
    matrix(
        "faults::set",
        &Case { line: "set web cpu=2 notes=second ram=512M", back: &["set web notes=first", "unset web cpu ram"], ..BASE },
    );
}

#[test]
fn create() {
    matrix("faults::create", &Case { line: "create web2 --image small", back: &["delete web2 --now"], ..BASE });
}

#[test]
fn delete_and_undelete() {
    matrix("faults::delete", &Case { line: "delete web", back: &["undelete web"], ..BASE });
    matrix("faults::undelete", &Case { ground: &["delete web"], line: "undelete web", back: &["delete web"], ..BASE });
}

#[test]
fn snapshots() {
    matrix("faults::snapshot", &Case { line: "snapshot web@one", back: &["snapshot delete web@one"], ..BASE });
    let ground = &["snapshot web@one"];
    matrix("faults::snapshot-delete", &Case { ground, line: "snapshot delete web@one", back: &["snapshot web@one"], ..BASE });
}

#[test]
fn snapshot_range() {
    let ground = &["snapshot web@a", "snapshot web@b", "snapshot web@c", "snapshot web@d"];
    let back = &["snapshot delete web@%d", "snapshot web@a", "snapshot web@b", "snapshot web@c", "snapshot web@d"];
    let again = Some("snapshot delete web@c");
    matrix("faults::range", &Case { ground, line: "snapshot delete web@b%c", back, again, ..BASE });
}

/// OpenZFS gives the guest's place to a clone of the snapshot; zfs-fuse, which can't, brings the files back, and then this
/// makes them what they were.
fn back_from_rollback(fuse: &'static [&'static str]) -> &'static [&'static str] {
    const SWAPPED: &[&str] = &["delete web", "undelete {kept}", "promote web", "trash empty", "snapshot delete {before-rollback-}"];
    if std::path::Path::new("/dev/zfs").exists() { SWAPPED } else { fuse }
}

#[test]
fn rollback_to_somebody_else_s() {
    let ground = &["zfs snapshot -r POOL/chyves/guests/web@autosnap_2026-01-01_00:00:00_daily", "set web notes=second cpu=2", "write 9"];
    let back = back_from_rollback(&["set web notes=second cpu=2", "write 9", "snapshot delete {before-rollback-}"]);
    let line = "snapshot rollback web@autosnap_2026-01-01_00:00:00_daily";
    matrix("faults::rollback-copy", &Case { ground, line, back, ..BASE });
}

#[test]
fn rollback_in_place() {
    let ground = &["snapshot web@one", "set web notes=second", "write 9"];
    let line = "snapshot rollback web@one --in-place";
    // What ZFS brought back cannot be undone; the same command brings the settings as well.
    let back = &["set web notes=second", "write 9"];
    matrix("faults::rollback-in-place", &Case { ground, line, back, again: Some(line), ..BASE });
}

#[test]
fn rollback() {
    let ground = &["snapshot web@one", "set web notes=second", "write 9", "snapshot web@two"];
    let back = back_from_rollback(&["set web notes=second", "write 9", "snapshot delete {before-rollback-}"]);
    matrix("faults::rollback", &Case { ground, line: "snapshot rollback web@one", back, ..BASE });
}

#[test]
fn image_import() {
    matrix("faults::import", &Case { line: "image import ./small.img --name other", back: &["image delete other"], ..BASE });
}

#[test]
fn image_delete() {
    let (ground, line) = (&["image import ./small.img --name other"], "image delete other");
    matrix("faults::image-delete", &Case { ground, line, back: ground, ..BASE });
}

#[test]
fn start() {
    matrix("faults::start", &Case { line: "start web", back: &["stop web --now"], runs: true, ..BASE });
}

#[test]
fn start_with_variables() {
    // Variables that the guest has from before are not the command's to take back.
    let ground = &["set web loader=uefi", "start web", "stop web --now"];
    matrix("faults::start-uefi", &Case { ground, line: "start web", back: &["stop web --now"], runs: true, ..BASE });
}

#[test]
fn firmware_reset() {
    let ground = &["set web loader=uefi", "start web", "stop web --now", "snapshot web@one"];
    // What ZFS itself brings back is back in one way on every ZFS.
    let back = &["snapshot rollback web@one --in-place"];
    matrix("faults::firmware-reset", &Case { ground, line: "firmware reset web", back, ..BASE });
}
