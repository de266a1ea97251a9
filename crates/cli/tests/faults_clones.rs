//! The fault matrix of clones, names and places.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{BASE, Case, matrix};

const CLONED: &[&str] = &["snapshot web@base", "clone web@base lu"];

#[test]
fn linked() {
    let back = &["delete web2 web3 --now"];
    matrix("faults_clones::base", &Case { ground: &["snapshot web@base"], line: "clone web@base web2 web3", back, ..BASE });
}

#[test]
fn linked_from_the_present() {
    matrix("faults_clones::linked", &Case { line: "clone web web2 web3 notes=its", back: &["delete web2 web3 --now"], ..BASE });
}

#[test]
fn independent() {
    matrix("faults_clones::full", &Case { line: "clone web web2 --independent", back: &["delete web2 --now"], ..BASE });
}

#[test]
fn exact_on_another_pool() {
    let ground = &["pool init OTHER", "snapshot web@base"];
    let back = &["delete web2 --now"];
    let line = "clone web@base web2 -ie --pool OTHER";
    matrix("faults_clones::pool", &Case { ground, line, back, other: true, ..BASE });
}

#[test]
fn promote() {
    matrix("faults_clones::promote", &Case { ground: CLONED, line: "promote lu", back: &["promote web"], ..BASE });
}

#[test]
fn rename() {
    let ground = &["snapshot web@base"];
    matrix("faults_clones::rename", &Case { ground, line: "rename web web2", back: &["rename web2 web"], ..BASE });
}

#[test]
fn relocate() {
    let ground = &["pool init OTHER", "snapshot web@base"];
    let back = &["delete web --now", "undelete web"];
    matrix("faults_clones::move", &Case { ground, line: "move web --pool OTHER", back, other: true, ..BASE });
}

#[test]
fn relocate_what_clones_stand_on() {
    let ground = &["pool init OTHER", "snapshot web@base", "clone web@base lu"];
    let back = &["delete web --now", "undelete web"];
    matrix("faults_clones::move-origin", &Case { ground, line: "move web --pool OTHER", back, other: true, ..BASE });
}

#[test]
fn delete_what_clones_stand_on() {
    matrix("faults_clones::delete-origin", &Case { ground: CLONED, line: "delete web", back: &["undelete web"], ..BASE });
}

#[test]
fn destroy_the_last_clone() {
    let case = Case { ground: &["clone web lu"], line: "delete lu --now", back: &["clone web lu"], ..BASE };
    matrix("faults_clones::last", &case);
}

#[test]
fn empty_the_trash() {
    let make = &["clone web lu", "create db --size 1M", "delete lu db"];
    matrix("faults_clones::trash", &Case { ground: make, line: "trash empty", back: make, again: Some("trash empty"), ..BASE });
}

#[test]
fn template() {
    matrix("faults_clones::template", &Case { line: "set web template=yes", back: &["unset web template"], ..BASE });
    let ground = &["set web template=yes"];
    matrix("faults_clones::guest", &Case { ground, line: "unset web template", back: &["set web template=yes"], ..BASE });
}
