//! The fault matrix of networks.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{BASE, Case, matrix};

const NETWORKS: Case = Case { networks: true, ..BASE };

#[test]
fn migrate() {
    let ground = &["network lan private", "network lan default", "set web net0.backend=bridge net0.bridge=lan"];
    let back = &["network dmz migrate lan", "network apply"];
    // An interface that was taken away is made again from the design, which is whole on the one side or the other.
    let again = Some("network apply");
    matrix("faults_networks::migrate", &Case { ground, line: "network lan migrate dmz", back, again, ..NETWORKS });
}
