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
    matrix("faults_pools::promote", &Case { line: "pool promote OTHER", back: &["pool promote POOL"], ..TWO });
}

#[test]
fn offline_and_online() {
    matrix("faults_pools::offline", &Case { line: "pool offline OTHER", back: &["pool online OTHER"], ..TWO });
    let ground = &["pool init OTHER", "pool offline OTHER"];
    matrix("faults_pools::online", &Case { ground, line: "pool online OTHER", back: &["pool offline OTHER"], ..TWO });
}

#[test]
fn send() {
    let ground = &["snapshot web@one"];
    matrix("faults_pools::send", &Case { ground, line: "send web@one > stream", ..BASE });
    // The stream itself is a plan of its own.
    let back = &["snapshot delete {send-}"];
    matrix("faults_pools::send-new", &Case { line: "send web > stream", back, steps: Some(2), ..BASE });
}

const SENT: &[&str] = &["pool init OTHER", "snapshot web@one", "send web@one > whole"];

#[test]
fn receive() {
    let line = "receive --name copy --pool OTHER < whole";
    matrix("faults_pools::receive", &Case { ground: SENT, line, back: &["delete copy --now"], ..TWO });
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
    let back = &["delete copy --now", "receive --name copy --pool OTHER < whole"];
    matrix("faults_pools::increment", &Case { ground: RECEIVED, line: "receive --name copy < more", back, ..TWO });
}

#[test]
fn adopt() {
    let back = &["delete copy --now", "receive --name copy --pool OTHER < whole"];
    matrix("faults_pools::adopt", &Case { ground: RECEIVED, line: "adopt copy --new-identity", back, ..TWO });
}
