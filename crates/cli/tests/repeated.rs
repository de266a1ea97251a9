//! Every command that was given twice has done what it did once: the state after the second is that after the first, and the
//! second says that there is nothing to do, or refuses.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{self, everything};
use common::{Host, Tree, With};
use std::collections::BTreeMap;

/// What is done before, and the command that is given twice.
struct Twice {
    before: &'static [&'static str],
    line: &'static str,
}

const fn twice(line: &'static str) -> Twice {
    Twice { before: &[], line }
}

const fn after(before: &'static [&'static str], line: &'static str) -> Twice {
    Twice { before, line }
}

/// Not among them is what makes something new each time, as its help says: `snapshot GUEST` without a name, `disk add`,
/// `network add`, `insert`, `cloud-init reinit`, `snapshot rollback`, and `adopt --new-identity`.
const GUESTS: [Twice; 26] = [
    twice("set web notes=x description=y"),
    twice("unset web notes"),
    twice("set web ram=128M cpu=2 loader=bios"),
    twice("set web net0.bridge=lan net0.backend=bridge"),
    twice("set web template=yes"),
    twice("set web template=no"),
    twice("set defaults ram=64M bridge=bridge7"),
    twice("unset defaults ram bridge"),
    twice("set global group_levels=1"),
    twice("disk set web disk1 bus=nvme description=z"),
    twice("disk resize web disk1 2M"),
    twice("disk sync web"),
    twice("disk move web disk1 disk5"),
    twice("disk remove web disk5"),
    twice("undelete web:disk5"),
    twice("snapshot web@more"),
    twice("snapshot delete web@more"),
    twice("clone web copy"),
    twice("promote copy"),
    twice("create fresh --disk raw --size 1M loader=bios"),
    twice("rename fresh other"),
    twice("delete other"),
    twice("undelete other"),
    after(&["delete other"], "trash empty"),
    twice("image import ./disk.img --name disk"),
    twice("image delete disk"),
];

const NETWORKS: [Twice; 18] = [
    twice("network in private address=10.9.0.1/24 nat=em0"),
    twice("network in set dhcp=yes"),
    twice("network in set mtu=1400 description=x"),
    twice("network in private"),
    twice("network in delete"),
    twice("network lan attach em1"),
    twice("network lan attach em1 address=10.8.0.1/24"),
    twice("network lan private address=10.8.0.1/24 mtu=1400"),
    twice("network lan attach em1"),
    twice("network default lan"),
    twice("network lan detach"),
    after(&["network lan private", "network other private", "network move web lan"], "network lan migrate other"),
    after(&["network lan private"], "network move web lan"),
    twice("network apply"),
    twice("set global bridge9.nat=em0 bridge9.address=10.4.0.1/24"),
    twice("unset global bridge9.nat bridge9.address"),
    twice("network remove web net0"),
    twice("network other delete"),
];

const POOLS: [Twice; 6] = [
    twice("pool init OTHER"),
    twice("pool offline OTHER"),
    twice("pool online OTHER"),
    twice("move web --pool OTHER"),
    twice("pool upgrade POOL"),
    twice("adopt web"),
];

/// What is compared.
#[derive(Debug, PartialEq)]
struct State {
    tree: Tree,
    files: BTreeMap<String, u64>,
    network: String,
}

fn check(host: &Host, all: &[Twice], pools: &[&str]) {
    let is_there = || host.command("zfs").args(["list", &host.dataset("web")]).output().unwrap().status.success();
    let files = || if is_there() { host.files("web") } else { BTreeMap::new() };
    let state = || State { tree: host.tree_of(pools), files: files(), network: everything(host) };
    let typed = |line: &str| line.replace("POOL", &host.pool).replace("OTHER", &format!("{}b", host.pool));
    for Twice { before, line } in all {
        before.iter().for_each(|l| drop(host.ok(&format!("{} --yes", typed(l)))));
        let line = typed(line);
        host.ok(&format!("{line} --yes"));
        let once = state();
        let plan = host.chyves(&format!("{line} --yes -n --json"));
        if plan.code == 0 {
            let json: serde_json::Value =
                serde_json::from_str(&plan.out).unwrap_or_else(|e| panic!("{}: {e}: {}{}", plan.line, plan.out, plan.err));
            let plans = json.as_array().cloned().unwrap_or_else(|| vec![json]);
            let does = plans.iter().any(|plan| plan["steps"].as_array().is_some_and(|steps| !steps.is_empty()));
            assert!(!does, "`{line}` a second time: {}", plan.out);
        }
        let answer = host.chyves(&format!("{line} --yes"));
        assert!((0..=4).contains(&answer.code), "`{line}` a second time ends with {}: {}", answer.code, answer.err);
        assert!(!answer.err.is_empty() || !answer.out.is_empty(), "`{line}` a second time says nothing");
        let now = state();
        assert_eq!(now.network, once.network, "`{line}` a second time");
        assert_eq!(now.files, once.files, "`{line}` a second time");
        let differs = |name: &&String| now.tree.get(*name) != once.tree.get(*name);
        let names: Vec<&String> = once.tree.keys().chain(now.tree.keys()).filter(differs).collect();
        assert!(names.is_empty(), "`{line}` a second time changed {names:?}: {}{}", answer.out, answer.err);
    }
}

/// The guest `web` with two disks.
fn web(host: &Host) {
    std::fs::write(host.work().join("disk.img"), vec![7; 1 << 20]).unwrap();
    host.ok("create web --disk raw --size 1M loader=bios ram=64M");
    host.ok("disk add web 1M --kind raw");
}

#[test]
fn what_is_done_to_guests() {
    let Some(host) = networks::host("repeated::guests", With::Pool) else { return };
    web(&host);
    check(&host, &GUESTS, &[&host.pool]);
}

#[test]
fn what_is_done_to_networks() {
    let Some(host) = networks::host("repeated::networks", With::Pool) else { return };
    web(&host);
    host.sh("ip", &["link", "add", "em1", "type", "veth", "peer", "name", "far1"]);
    host.sh("ip", &["link", "set", "em1", "up"]);
    check(&host, &NETWORKS, &[&host.pool]);
}

#[test]
fn what_is_done_to_pools() {
    let Some(host) = networks::host("repeated::pools", With::Pool) else { return };
    web(&host);
    let second = host.second_pool();
    check(&host, &POOLS, &[&host.pool, &second]);
}
