//! What a start could not use is reported by the command that brings it about, and by every dry run.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks;
use common::{Host, With};

#[test]
fn the_guest_s_own_user_data_and_another_reader() {
    let Some(host) = Host::new("told_early::texts", With::Image) else { return };
    host.ok("create web --image small loader=bios ci.enabled=yes accel=tcg");
    std::fs::write(host.work().join("include"), "#include\nhttp://127.0.0.1/x\n").unwrap();
    host.ok("cloud-init set web --user-data include");
    let before = host.tree();
    for line in ["set web os=freebsd", "set web ci.reader=cloudbase-init", "set defaults ci.reader=nuageinit", "clone web copy os=freebsd"]
    {
        let answer = host.chyves(line);
        assert_eq!(answer.code, 2, "{line}: {}{}", answer.out, answer.err);
        assert!(answer.err.contains("does not read #include"), "{line}: {}", answer.err);
    }
    assert_eq!(host.tree(), before);
    host.ok("set web os=debian");
    host.ok("start web --dry-run");
    // Set behind chyves' back, the dry run and the start end alike.
    host.sh("zfs", &["set", "chyves:os=freebsd", &host.dataset("web")]);
    for line in ["start web --dry-run", "start web"] {
        let answer = host.chyves(line);
        assert_eq!(answer.code, 2, "{line}: {}{}", answer.out, answer.err);
        assert!(answer.err.contains("does not read #include"), "{line}: {}", answer.err);
    }
    assert_eq!(host.zfs_get("mounted", &host.dataset("web")), "no");
}

#[test]
fn settings_that_come_as_they_are() {
    let Some(host) = Host::new("told_early::settings", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    host.sh("zfs", &["set", "chyves:cpu_threads=2", &host.dataset("web")]);
    host.ok("snapshot web@bad");
    host.ok("unset web cpu_threads");
    let refused = host.chyves("clone web@bad copy");
    assert_eq!(refused.code, 2, "{}", refused.err);
    host.ok("clone web@bad copy cpu=2");
    let says = |line: &str| {
        let answer = host.ok(line);
        assert!(answer.err.contains("web cannot start with these settings: 1 processor "), "{line}: {}", answer.err);
    };
    says("snapshot rollback web@bad --yes");
    host.ok("delete web --yes");
    says("undelete web");
}

#[test]
fn an_interface_for_nat_that_is_not_there() {
    let Some(host) = networks::host("told_early::nat", With::Tiny) else { return };
    let missing = "nosuch0 (nat), and there is no such interface";
    let says = |line: &str| {
        let answer = host.ok(line);
        assert!(answer.err.contains(missing), "{line}: {}", answer.err);
        assert!(!answer.err.contains("as configured") && !answer.err.contains("is private"), "{line}: {}", answer.err);
    };
    says("network in private address=10.9.0.1/24 nat=nosuch0");
    says("network in set mtu=1400");
    says("network apply");
    says("set global bridge5.nat=nosuch0 bridge5.address=10.5.0.1/24");
    host.ok(&format!("create web {} net0.bridge=in", networks::NIC));
    assert!(host.ok("start web --dry-run").out.contains(missing));
    says("start web");
    networks::stop(&host, "web");
    assert!(!host.ok("network in set nat=em0").err.contains("no such interface"));
}

#[test]
fn a_snapshot_s_name_behind_a_list_of_guests() {
    let Some(host) = Host::new("told_early::lists", With::Image) else { return };
    for name in ["a", "b"] {
        host.ok(&format!("create {name} --disk raw --size 1M loader=bios"));
    }
    host.ok("snapshot a,b@two");
    let names = || host.ok("snapshot list -H -o name").out.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(), ["a@two", "b@two"]);
    // `a z` may mean `a@z`, and `a@two,z` a guest `z` or another snapshot: nothing is done.
    for line in ["snapshot a z", "snapshot create a z", "snapshot delete a@two,z --yes"] {
        let answer = host.chyves(line);
        assert!(answer.code == 2 || answer.code == 3, "{line}: {}{}", answer.out, answer.err);
        assert_eq!(names(), ["a@two", "b@two"], "{line}");
    }
    host.ok("snapshot delete a,b@two --yes");
    assert!(names().is_empty());
}
