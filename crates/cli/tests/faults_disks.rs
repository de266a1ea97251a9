//! The fault matrix of disks.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{BASE, Case, matrix};

/// What takes a new disk away again.
const WITHOUT: &[&str] = &["disk remove web disk2", "trash empty web:disk2"];

#[test]
fn add() {
    matrix("faults_disks::add", &Case { line: "disk add web 1M bus=nvme", back: WITHOUT, ..BASE });
}

#[test]
fn import() {
    matrix("faults_disks::import", &Case { line: "disk add web --import ./a.img", back: WITHOUT, ..BASE });
}

#[test]
fn import_of_another_format() {
    matrix("faults_disks::qcow2", &Case { line: "disk add web --import ./a.qcow2", back: WITHOUT, ..BASE });
}

#[test]
fn attach() {
    matrix("faults_disks::attach", &Case { line: "disk add web --attach ./a.img", back: &["disk remove web disk2"], ..BASE });
}

#[test]
fn remove() {
    let ground = &["disk add web --import ./a.img"];
    matrix("faults_disks::remove", &Case { ground, line: "disk remove web disk2", back: &["undelete web:disk2"], ..BASE });
}

#[test]
fn undelete() {
    let ground = &["disk add web --import ./a.img", "disk remove web disk2"];
    let back = &["disk remove web disk2"];
    matrix("faults_disks::from-trash", &Case { ground, line: "disk add web --from-trash web:disk2", back, ..BASE });
}

#[test]
fn grow() {
    let ground = &["disk add web --import ./a.img"];
    let back = &["disk resize web disk2 1M --force"];
    matrix("faults_disks::grow", &Case { ground, line: "disk resize web disk2 2M", back, ..BASE });
}

#[test]
fn shrink() {
    let ground = &["disk add web --import ./a.img", "disk resize web disk2 2M"];
    let back = &["disk resize web disk2 2M"];
    matrix("faults_disks::shrink", &Case { ground, line: "disk resize web disk2 1M --force", back, ..BASE });
}

#[test]
fn renumber() {
    let ground = &["disk add web --import ./a.img"];
    let back = &["disk move web disk4 disk2", "unset web disk2.serial"];
    matrix("faults_disks::move", &Case { ground, line: "disk move web disk2 disk4", back, ..BASE });
}

#[test]
fn set() {
    let ground = &["disk add web --import ./a.img"];
    let back = &["unset web disk2.bus disk2.notes"];
    matrix("faults_disks::set", &Case { ground, line: "disk set web disk2 bus=nvme notes=x", back, ..BASE });
}
