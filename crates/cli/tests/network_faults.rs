//! What is left of a change of networks when any step of it fails, or is killed: all is as before, or as wished.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{HIDDEN, NIC, all, everything, has_vlans, host, shape, stop, tap};
use common::{Host, With, until};

#[test]
fn each_step_of_a_start_may_be_killed() {
    let Some(host) = host("network_faults::start", With::Tiny) else { return };
    host.ok("set global bridge0.uplink=em0");
    host.ok(&format!("create web {NIC}"));
    let before = shape(&host);
    let plan = host.ok("start web --dry-run --json").json();
    let steps = plan["steps"].as_array().unwrap().len();
    assert!(plan.to_string().contains("tuntap add") && plan.to_string().contains("type bridge"), "{plan}");
    for step in 0..steps {
        for fault in ["fail", "kill", "killed"] {
            let what = format!("{fault}:{step}");
            let output = host.command(common::PROGRAM).args(["start", "web"]).env("CHYVES_FAULT", &what).output().unwrap();
            assert!(!output.status.success(), "{what}");
            if fault != "fail" {
                host.ok("repair");
            }
            if host.state("web") == "running" {
                // The last step was done: its machine lives, with its network.
                assert!(tap(&host, "web").is_some(), "{what}");
                stop(&host, "web");
            }
            until(&format!("{what}: the networks as before"), || (shape(&host) == before).then_some(()));
        }
    }
    host.ok("start web");
    stop(&host, "web");
    host.nothing_is_left();
}

/// Every step of a line is made to fail, and the line is killed before and after it: all is as before or as wished.
fn faults(test: &str, ground: &[&str], line: &str, back: &[&str]) {
    if !["nft", "dnsmasq"].iter().all(|program| Host::has(test, program)) {
        return;
    }
    let Some(host) = host(test, With::Pool) else { return };
    if ground.iter().any(|l| l.contains("vlan=")) && !has_vlans(&host, test) {
        return;
    }
    all(&host, ground);
    let old = everything(&host);
    let steps = host.ok(&format!("{line} --dry-run --json")).json()["steps"].as_array().unwrap().len();
    assert!(steps > 1, "{line}: {steps}");
    let restore = || {
        all(&host, back);
        until("the ground to be as before", || (everything(&host) == old).then_some(()));
    };
    host.ok(line);
    let new = everything(&host);
    assert_ne!(new, old);
    restore();
    for step in 0..steps {
        for fault in ["fail", "kill", "killed"] {
            let what = format!("{line} with {fault}:{step}");
            let args: Vec<&str> = line.split(' ').collect();
            let output = host.command(common::PROGRAM).args(args).env("CHYVES_FAULT", format!("{fault}:{step}")).output().unwrap();
            assert!(!output.status.success(), "{what}");
            if fault != "fail" {
                host.ok("repair");
            }
            let now = everything(&host);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(now == old || now == new, "{what}: {now}\n--- instead of\n{old}\n{said}");
            assert!(!said.contains("the rollback failed"), "{what}: {said}");
            if now != old {
                restore();
            }
        }
    }
}

#[test]
fn each_step_of_an_attach_may_fail_and_of_making_it_private() {
    faults("network_faults::attach", &[], "network bridge0 attach em0", &["network bridge0 delete"]);
    let ground = &["network bridge0 attach em0"];
    faults("network_faults::private", ground, "network bridge0 private", ground);
}

const WHOLE: &str = "network bridge0 attach em0 mtu=1400 address=10.7.0.1/24 description=office";

#[test]
fn each_step_of_a_detach_may_fail() {
    faults("network_faults::detach", &[WHOLE], "network bridge0 detach", &[WHOLE]);
    let tagged = &["network bridge0 attach em0 vlan=5 mtu=1400 address=10.7.0.1/24"];
    faults("network_faults::detach_vlan", tagged, "network bridge0 detach", tagged);
}

#[test]
fn each_step_of_a_deletion_may_fail() {
    faults("network_faults::delete", &[WHOLE], "network bridge0 delete", &[WHOLE]);
    let tagged = &["network bridge0 attach em0 vlan=5 filtering=yes"];
    faults("network_faults::delete_vlan", tagged, "network bridge0 delete", tagged);
    let hidden = &[HIDDEN, "network apply"];
    faults("network_faults::delete_nat", hidden, "network bridge0 delete", hidden);
}

#[test]
fn each_step_of_a_migration_may_fail() {
    let ground = &[WHOLE, "ip route add default via 10.7.0.2"];
    faults(
        "network_faults::migrate",
        ground,
        "network bridge0 migrate lan --yes",
        &["network lan migrate bridge0 --yes", "unset defaults bridge"],
    );
    let hidden = &[HIDDEN, "network apply"];
    faults("network_faults::migrate_nat", hidden, "network bridge0 migrate lan", &["network lan migrate bridge0", "unset defaults bridge"]);
}

#[test]
fn each_step_of_a_change_of_rules_and_addresses_may_fail() {
    let hidden = &[HIDDEN, "network apply"];
    let back = &["network bridge0 set address=10.9.0.1/24"];
    faults("network_faults::nat_address", hidden, "network bridge0 set address=10.11.0.1/24", back);
    let back = &["network bridge0 set nat=em0 address=10.9.0.1/24 dhcp=yes"];
    faults("network_faults::nat_end", hidden, "network bridge0 attach em0", back);
}

#[test]
fn each_step_of_an_apply_may_fail() {
    faults("network_faults::apply", &[HIDDEN], "network apply", &["network bridge0 delete", HIDDEN]);
}
