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
    /// Lines for `ip`, or for `ifconfig`.
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

/// Removes what earlier cases have set and recorded.
fn without_settings(host: &Host) {
    let _ = std::fs::remove_dir_all(host.run_dir().join("network"));
    let root = format!("{}/chyves", host.pool);
    for line in host.sh("zfs", &["get", "-H", "-s", "local", "-o", "property", "all", &root]).lines() {
        if line.starts_with("chyves:bridge") {
            host.sh("zfs", &["inherit", line, &root]);
        }
    }
}

/// `lan` with the uplink `em0`, whose address and default route moved there; beside it an administrator's bridge.
fn ground(host: &Host) {
    for name in ["lan", "other", "em1", "theirs", "theirs0"] {
        let _ = host.command("ip").args(["link", "delete", "dev", name]).output().unwrap();
    }
    without_settings(host);
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
    try_all(&host, &FACTS, ground, ip, look);
}

/// Runs every command on every changed fact.
fn try_all(host: &Host, facts: &[Fact], ground: impl Fn(&Host), change: impl Fn(&Host, &[&str]), look: impl Fn(&Host) -> Seen) {
    let (which, of) = share();
    let mut tally = Tally::new(facts.iter().map(|fact| fact.name));
    let cases = facts.iter().flat_map(|fact| NETWORKS.iter().map(move |line| (fact, *line)));
    // What a command left as it was serves the next.
    let mut ready = None;
    for (fact, line) in cases.skip(which - 1).step_by(of) {
        if ready != Some(fact.name) {
            ground(host);
            change(host, fact.change);
        }
        let before = look(host);
        let answer = host.chyves(&format!("{line} --yes"));
        let now = look(host);
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
        ready = (before == now).then_some(fact.name);
    }
    for fact in facts {
        ground(host);
        let before = host.chyves(fact.told.0);
        change(host, fact.change);
        tally.told(fact.name, Told::Says(fact.told.0, fact.told.1), &before, &host.chyves(fact.told.0));
    }
    tally.end(NETWORKS.len());
}

/// The same of FreeBSD, by its own program.
const OF_FREEBSD: [Fact; 7] = [
    Fact { name: "FreeBSD: a bridge is gone", change: &["lan destroy"], told: ("network list -H -o bridge,state", "lan\tabsent") },
    Fact { name: "FreeBSD: an uplink is out of its bridge", change: &["lan deletem em0"], told: ("network check", "em0 is not in it") },
    Fact {
        name: "FreeBSD: an address is on the uplink again",
        change: &["lan inet 10.7.0.1/24 -alias", "em0 inet 10.7.0.1/24 alias"],
        told: ("network check", "10.7.0.1/24"),
    },
    Fact {
        name: "FreeBSD: an address of a bridge is gone",
        change: &["lan inet 10.7.0.1/24 -alias"],
        told: ("network check", "the host has no 10.7.0.1/24 on it"),
    },
    Fact {
        name: "FreeBSD: a bridge has one address more",
        change: &["lan inet 10.66.0.1/24 alias"],
        told: ("network list -H -o address", "10.66.0.1/24"),
    },
    Fact {
        name: "FreeBSD: somebody's tap is in a bridge",
        change: &["tap create name theirs0", "lan addm theirs0"],
        told: ("network list -o bridge,members", "theirs0"),
    },
    Fact {
        name: "FreeBSD: a bridge is another interface",
        change: &["lan destroy", "tap create name lan"],
        told: ("network list -H -o bridge,state", "lan\tno bridge"),
    },
];

fn ifconfig(host: &Host, line: &str) -> String {
    host.sh("ifconfig", &line.split(' ').collect::<Vec<_>>())
}

/// The host's addresses on an interface, or on all (`-a`).
fn inet(host: &Host, interface: &str) -> BTreeSet<String> {
    let text = ifconfig(host, interface);
    let address = |l: &str| l.trim().strip_prefix("inet ")?.split(' ').next().map(str::to_owned);
    text.lines().filter_map(address).filter(|a| !a.starts_with("127.")).collect()
}

/// As [`ground`].
fn ground_of_freebsd(host: &Host) {
    for name in ["lan", "other", "theirs", "theirs0"] {
        let _ = host.command("ifconfig").args([name, "destroy"]).output().unwrap();
    }
    without_settings(host);
    for address in inet(host, "em0") {
        ifconfig(host, &format!("em0 inet {address} -alias"));
    }
    for line in ["em0 inet 10.7.0.1/24", "em0 inet 10.7.0.5/32 alias", "em0 up", "bridge create name theirs", "theirs inet 10.8.0.1/24"] {
        ifconfig(host, line);
    }
    ifconfig(host, "theirs addm em1");
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
}

fn look_at_freebsd(host: &Host) -> Seen {
    let mut all: Vec<String> = ifconfig(host, "-a").lines().map(str::to_owned).collect();
    all.extend(host.ok("get global -H").out.lines().map(str::to_owned));
    let theirs =
        ifconfig(host, "theirs").lines().chain(ifconfig(host, "-l").split(' ').filter(|n| *n == "theirs0")).map(str::to_owned).collect();
    Seen { addresses: inet(host, "-a"), default: false, theirs, all }
}

#[test]
fn nothing_of_a_freebsd_host_is_lost() {
    let Some(host) = Host::freebsd("drift_networks::freebsd", With::Pool, &["release=14.3", "nics=em0,em1"]) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let change = |host: &Host, lines: &[&str]| lines.iter().for_each(|line| drop(ifconfig(host, line)));
    try_all(&host, &OF_FREEBSD, ground_of_freebsd, change, look_at_freebsd);
}
