//! `chyves doctor`: what it finds on a host that is fit and on those that are not, and what it says to do.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};

/// The state of one check.
fn state(answer: &serde_json::Value, check: &str) -> String {
    let all = answer.as_array().unwrap_or_else(|| panic!("{answer}"));
    let found = all.iter().find(|row| row["check"] == check).unwrap_or_else(|| panic!("no {check} in {answer}"));
    found["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_fit_host_of_each_sort_passes() {
    for settings in [&["release=13.5", "cpu=intel"][..], &["release=14.3", "cpu=amd"], &["release=15.0"], &["release=15.0", "cpu=arm64"]] {
        let Some(host) = Host::freebsd("doctor::fit", With::Image, settings) else { return };
        host.sh("kldload", &["-n", "vmm"]);
        let found = host.ok("doctor --json").json();
        for check in
            ["system", "rights", "processor", "memory", "bhyve", "modules", "firmware", "network", "ZFS", "pools", "runtime folder"]
        {
            assert_eq!(state(&found, check), "ok", "{check} of {settings:?}: {found}");
        }
    }
}

#[test]
fn what_is_not_well_is_told_with_its_cure() {
    let Some(host) = Host::freebsd("doctor::unfit", With::Pool, &["release=14.3", "cpu=intel", "ug=off"]) else { return };
    std::fs::remove_dir_all(host.lab().dir().join("usr/local/share/edk2-bhyve")).unwrap();
    host.sh("ifconfig", &["bridge0", "destroy"]);
    let answer = host.chyves("doctor").ends(5);
    let answer = answer.says("2 of ").says("checks fail: firmware, pools");
    let answer = answer.says("→ pkg install edk2-bhyve").says("→ `chyves pool init POOL` sets one up");
    answer.says("no unrestricted guest").says("→ `chyves network bridge0 attach INTERFACE` creates it");
    host.chyves("doctor -H -o check,state").ends(5).says("firmware\tfails");
    let json = host.chyves("doctor --json").ends(5).json();
    assert_eq!(json["error"]["code"], "checks-fail", "{json}");
    host.chyves("doctor -o nonsense").ends(2).says("columns are state, check, found, cure");
}

#[test]
fn a_linux_host_is_looked_at_too() {
    let Some(host) = Host::new("doctor::linux", With::Image) else { return };
    let found = host.chyves("doctor --json");
    // Firmware and KVM may be missing where the tests run; the rest is there.
    let found = found.json();
    let rows = if found.is_array() { found.clone() } else { found["answers"].clone() };
    for check in ["system", "rights", "memory", "QEMU", "ZFS", "pools", "runtime folder", "nft", "dnsmasq"] {
        assert_eq!(state(&rows, check), "ok", "{check}: {found}");
    }
    if Host::has("doctor::linux", "dnsmasq") {
        let row = rows.as_array().unwrap().iter().find(|row| row["check"] == "dnsmasq").unwrap();
        assert!(row["found"].as_str().unwrap().ends_with("/dnsmasq"), "{row}");
    }
}

#[test]
fn stated_facts_of_another_host_are_looked_at() {
    let Some(host) = Host::new("doctor::stated", With::Pool) else { return };
    host.ok("doctor --dry-run --host freebsd").says("FreeBSD 14.3 on amd64").says("unknown");
}

#[test]
fn disks_that_are_not_as_recorded_and_ways_out_that_are_missing_are_reported() {
    let Some(host) = Host::new("doctor::drift", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web,own --size 1M --disk raw loader=bios");
    host.chyves("doctor").says("2 are as recorded");
    host.in_folder("web", |f| std::fs::File::options().write(true).open(f.join("disk0.raw")).unwrap().set_len(1 << 19).unwrap());
    host.in_folder("own", |f| std::fs::remove_file(f.join("disk0.raw")).unwrap());
    host.chyves("doctor")
        .says("disk0 of web: actual size 512K, recorded 1M")
        .says("chyves disk sync web disk0")
        .says("disk0 of own: its file is missing")
        .says("chyves disk remove own disk0 --lost");
    host.ok("disk list").says("512K (recorded: 1M)").says("missing (recorded: 1M)");
    let listed = host.ok("disk list --json").json();
    assert_eq!(listed[1]["actual"], 1 << 19, "{listed}");
    host.ok("set global bridge3.nat=nosuch0 bridge3.address=10.9.9.1/24");
    host.chyves("doctor").says("bridge3 uses nosuch0 (nat), and there is no such interface");
    // A guest in a group that is not read is named, and not taken for missing.
    host.sh("zfs", &["create", &host.dataset("grp")]);
    host.sh("zfs", &["rename", &host.dataset("web"), &host.dataset("grp/web")]);
    host.ok("list").says("grp is not a guest").says("chyves set global group_levels=1");
    host.chyves("info web").ends(3).says("it is in a group").says("chyves set global group_levels=1");
    host.ok("set global group_levels=1");
    host.ok("info web");
}
