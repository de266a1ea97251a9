//! Facts of the host's networks, changed behind chyves' back, against every command on networks: no address and no default
//! route of the host is lost, nothing of somebody else's is touched, a refusal changes nothing, and the state is reported as it is.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::drift::commands::NETWORKS;
use common::drift::{Tally, Told, share};
use common::networks::{self, interfaces};
use common::{Host, With};
use std::collections::BTreeSet;

struct Fact {
    name: &'static str,
    /// Lines for `ip`.
    change: &'static [&'static str],
    /// A command, and what it says of it.
    told: (&'static str, &'static str),
}

const FACTS: [Fact; 7] = [
    Fact { name: "a bridge is gone", change: &["link delete dev lan"], told: ("network list -H -o bridge,state", "lan\tabsent") },
    Fact { name: "an uplink is out of its bridge", change: &["link set dev em0 nomaster"], told: ("network check", "em0 is not in it") },
    Fact {
        name: "an address is on the uplink again",
        change: &["address delete 10.7.0.1/24 dev lan", "address add 10.7.0.1/24 dev em0", "route add default via 10.7.0.2 dev em0"],
        told: ("network check", "10.7.0.1/24"),
    },
    Fact {
        name: "an address of a bridge is gone",
        change: &["address delete 10.7.0.1/24 dev lan"],
        told: ("network check", "the host has no 10.7.0.1/24 on it"),
    },
    Fact {
        name: "a bridge has one address more",
        change: &["address add 10.66.0.1/24 dev lan"],
        told: ("network list -H -o address", "10.66.0.1/24"),
    },
    Fact {
        name: "somebody's tap is in a bridge",
        change: &["tuntap add dev theirs0 mode tap", "link set dev theirs0 master lan"],
        told: ("network list -o bridge,members", "theirs0"),
    },
    Fact {
        name: "a bridge is another interface",
        change: &["link delete dev lan", "link add name lan type veth peer name lan-far"],
        told: ("network check", "one end of a pair"),
    },
];

fn ip(host: &Host, lines: &[&str]) {
    for line in lines {
        host.sh("ip", &line.split(' ').collect::<Vec<_>>());
    }
}

/// `lan` with the uplink `em0`, whose address and default route moved there; beside it an administrator's bridge.
fn ground(host: &Host) {
    for name in ["lan", "other", "em1", "theirs", "theirs0"] {
        let _ = host.command("ip").args(["link", "delete", "dev", name]).output().unwrap();
    }
    let _ = std::fs::remove_dir_all(host.run_dir().join("network"));
    let root = format!("{}/chyves", host.pool);
    for line in host.sh("zfs", &["get", "-H", "-s", "local", "-o", "property", "all", &root]).lines() {
        if line.starts_with("chyves:bridge") {
            host.sh("zfs", &["inherit", line, &root]);
        }
    }
    host.sh("ip", &["address", "flush", "dev", "em0", "scope", "global"]);
    ip(
        host,
        &[
            "link set dev em0 up",
            "address add 10.7.0.1/24 dev em0",
            "address add 10.7.0.5/24 dev em0",
            "route add default via 10.7.0.2 dev em0",
            "link add name theirs type bridge",
            "address add 10.8.0.1/24 dev theirs",
            "link add name em1 type veth peer name far1",
            "link set dev em1 master theirs",
        ],
    );
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
}

#[derive(Debug, PartialEq)]
struct Seen {
    addresses: BTreeSet<String>,
    default: bool,
    theirs: Vec<String>,
    all: Vec<String>,
}

fn look(host: &Host) -> Seen {
    let mut seen = Seen { addresses: BTreeSet::new(), default: false, theirs: Vec::new(), all: Vec::new() };
    for i in interfaces(host) {
        let global: Vec<String> =
            i["addr_info"].as_array().into_iter().flatten().filter(|a| a["scope"] == "global").map(|a| a["local"].to_string()).collect();
        let line = format!("{} {} {} {global:?}", i["ifname"], i["master"], i["ifalias"]);
        if i["ifname"] == "theirs" || i["master"] == "theirs" {
            seen.theirs.push(line.clone());
        }
        // It may leave a bridge that goes, and stays itself.
        if i["ifname"] == "theirs0" {
            seen.theirs.push("theirs0".to_owned());
        }
        seen.all.push(line);
        seen.addresses.extend(global);
    }
    seen.all.sort();
    seen.default = host.sh("ip", &["route", "show", "default"]).contains("default");
    seen.all.extend(host.ok("get global -H").out.lines().map(str::to_owned));
    seen
}

#[test]
fn nothing_of_the_host_is_lost() {
    let Some(host) = networks::host("drift_networks", With::Pool) else { return };
    let (which, of) = share();
    let mut tally = Tally::new(FACTS.iter().map(|fact| fact.name));
    let cases = FACTS.iter().flat_map(|fact| NETWORKS.iter().map(move |line| (fact, *line)));
    for (fact, line) in cases.skip(which - 1).step_by(of) {
        ground(&host);
        ip(&host, fact.change);
        let before = look(&host);
        let answer = host.chyves(&format!("{line} --yes"));
        let now = look(&host);
        tally.tried(fact.name);
        let what = format!("{}: `{line}` (status {}): {}{}", fact.name, answer.code, answer.out, answer.err);
        let gone: Vec<&String> = before.addresses.difference(&now.addresses).collect();
        if !gone.is_empty() || before.default && !now.default {
            tally.lost(format!("{what}: {gone:?} gone, default route {}", now.default));
        }
        if before.theirs != now.theirs {
            tally.lost(format!("{what}: what is somebody else's is {:?}", now.theirs));
        }
        if !(0..=5).contains(&answer.code) || answer.code != 0 && before != now {
            tally.lost(format!("{what}: refused, and changed {before:?} to {now:?}"));
        }
    }
    for fact in &FACTS {
        ground(&host);
        let before = host.chyves(fact.told.0);
        ip(&host, fact.change);
        tally.told(fact.name, Told::Says(fact.told.0, fact.told.1), &before, &host.chyves(fact.told.0));
    }
    tally.end(NETWORKS.len());
}
