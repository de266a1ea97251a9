//! For every pair of commands of which one rolls back the other, the state before is the state after: properties of every
//! dataset, files, interfaces, addresses, routes.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{self, interfaces};
use common::{Host, Tree, With};
use std::collections::BTreeMap;

/// Commands, and those that undo them. `POOL` and `OTHER` stand for the pools.
struct Pair {
    there: &'static [&'static str],
    back: &'static [&'static str],
    /// Whether a dataset may be another one afterwards, of the same name and content.
    anew: bool,
}

const fn pair(there: &'static [&'static str], back: &'static [&'static str]) -> Pair {
    Pair { there, back, anew: false }
}

const fn anew(there: &'static [&'static str], back: &'static [&'static str]) -> Pair {
    Pair { there, back, anew: true }
}

const GUESTS: [Pair; 22] = [
    pair(&["set web notes=x description=y"], &["unset web notes description"]),
    pair(&["set web template=yes"], &["unset web template"]),
    pair(&["set web cpu=2 ram=512M"], &["unset web cpu", "set web ram=64M"]),
    pair(&["set defaults cpu=2"], &["unset defaults cpu"]),
    pair(&["set global bridge3.private=yes"], &["unset global bridge3.private"]),
    pair(&["disk set web disk1 bus=nvme description=x"], &["unset web disk1.bus disk1.description"]),
    pair(&["snapshot web@more"], &["snapshot delete web@more"]),
    pair(&["clone web copy"], &["delete copy", "trash empty"]),
    pair(&["clone web@base copy -i"], &["delete copy", "trash empty"]),
    pair(&["clone web copy", "promote copy"], &["promote web", "delete copy", "trash empty"]),
    pair(&["rename web other"], &["rename other web"]),
    pair(&["delete web"], &["undelete web"]),
    pair(&["disk add web 1M --kind raw"], &["disk remove web disk2", "trash empty"]),
    pair(&["disk add web --attach ./disk.img"], &["disk remove web disk2"]),
    pair(&["disk remove web disk1"], &["undelete web:disk1"]),
    pair(&["disk move web disk1 disk5"], &["disk move web disk5 disk1"]),
    pair(&["disk resize web disk1 2M"], &["disk resize web disk1 1M --force"]),
    pair(&["network add web"], &["network remove web net1"]),
    pair(&["create fresh --disk raw --size 1M loader=bios"], &["delete fresh", "trash empty"]),
    pair(&["image import ./disk.img --name disk"], &["image delete disk"]),
    pair(&["set web uefi_firmware=auto loader=uefi"], &["unset web uefi_firmware", "set web loader=bios"]),
    pair(&["network add web model=e1000 mac=58:9c:fc:00:00:77"], &["network remove web net1"]),
];

const POOLS: [Pair; 3] = [
    pair(&["pool offline OTHER"], &["pool online OTHER"]),
    anew(&["pool remove OTHER"], &["pool init OTHER"]),
    anew(&["move web --pool OTHER"], &["move web --pool POOL", "trash empty"]),
];

const NETWORKS: [Pair; 9] = [
    pair(&["network lan private"], &["network lan delete"]),
    pair(&["network lan attach em1"], &["network lan delete"]),
    pair(&["network lan attach em0 address=10.7.0.1/24"], &["network lan delete"]),
    pair(&["network lan private", "network lan attach em0 address=10.7.0.5/24"], &["network lan detach", "network lan delete"]),
    pair(
        &["network lan attach em0 address=10.7.0.1/24", "network lan set address=10.7.0.9/24"],
        &["network lan set address=10.7.0.1/24", "network lan delete"],
    ),
    // A bridge that a person made, with a member of its own and one that chyves puts into it.
    pair(&["network br0 attach em2"], &["network br0 delete"]),
    pair(&["network br0 attach em2"], &["network br0 detach", "network br0 delete"]),
    pair(&["network br0 attach em1"], &["network br0 detach", "network br0 delete"]),
    pair(&["network lan private address=10.9.0.1/24", "network lan set mtu=1400"], &["network lan set mtu=1500", "network lan delete"]),
];

/// What is compared.
#[derive(Debug, PartialEq)]
struct State {
    tree: Tree,
    files: BTreeMap<String, u64>,
    network: Vec<String>,
}

fn state(host: &Host, pools: &[&str], anew: bool) -> State {
    let mut tree = host.tree_of(pools);
    for values in tree.values_mut() {
        values.retain(|key, _| !(anew && ["guid", "creation", "createtxg"].contains(&key.as_str())));
    }
    let mut network: Vec<String> = interfaces(host)
        .iter()
        .map(|i| {
            let global: Vec<String> = i["addr_info"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|a| a["scope"] == "global")
                .map(|a| a["local"].to_string())
                .collect();
            format!("{} {} {} {} {global:?}", i["ifname"], i["master"], i["mtu"], i["ifalias"])
        })
        .collect();
    network.extend(host.sh("ip", &["route", "show"]).lines().map(|l| l.replace(" linkdown", "")));
    State { tree, files: host.files("web"), network }
}

fn check(host: &Host, pairs: &[Pair], pools: &[&str]) {
    let line = |line: &str| format!("{} --yes", line.replace("POOL", &host.pool).replace("OTHER", &format!("{}b", host.pool)));
    for Pair { there, back, anew } in pairs {
        let before = state(host, pools, *anew);
        there.iter().for_each(|l| drop(host.ok(&line(l))));
        assert_ne!(state_or_none(host, pools, *anew), Some(&before).map(|s| format!("{s:?}")), "{there:?} changed nothing");
        back.iter().for_each(|l| drop(host.ok(&line(l))));
        let after = state(host, pools, *anew);
        assert_eq!(after.network, before.network, "{there:?}, then {back:?}");
        assert_eq!(after.files, before.files, "{there:?}, then {back:?}");
        let differs = |name: &String| after.tree.get(name) != before.tree.get(name);
        let names: Vec<&String> = before.tree.keys().chain(after.tree.keys()).filter(|n| differs(n)).collect();
        let shown: Vec<String> = names.iter().map(|n| format!("{n}: {:?}\nwas {:?}", after.tree.get(*n), before.tree.get(*n))).collect();
        assert!(names.is_empty(), "{there:?}, then {back:?}: {}", shown.join("\n"));
    }
}

/// The same in words, where the guest is there at all.
fn state_or_none(host: &Host, pools: &[&str], anew: bool) -> Option<String> {
    let there = host.command("zfs").args(["list", &host.dataset("web")]).output().unwrap().status.success();
    there.then(|| format!("{:?}", state(host, pools, anew)))
}

/// The guest `web` with two disks and a snapshot.
fn web(host: &Host) {
    std::fs::write(host.work().join("disk.img"), vec![7; 1 << 20]).unwrap();
    host.ok("create web --disk raw --size 1M loader=bios ram=64M");
    host.ok("disk add web 1M --kind raw");
    host.in_folder("web", |folder| std::fs::write(folder.join("disk1.raw"), vec![9; 1 << 20]).unwrap());
    host.ok("snapshot web@base");
}

#[test]
fn what_is_done_to_guests_and_their_disks() {
    let Some(host) = networks::host("inverse::guests", With::Pool) else { return };
    web(&host);
    check(&host, &GUESTS, &[&host.pool]);
    host.nothing_is_left();
}

#[test]
fn what_is_done_to_pools_and_networks() {
    let Some(host) = networks::host("inverse::pools", With::Pool) else { return };
    web(&host);
    for line in [
        "link add em1 type veth peer name far1",
        "link set em1 up",
        "link add em2 type veth peer name far2",
        "link add br0 type bridge",
        "link set em2 master br0",
        "address add 10.7.0.1/24 dev em0",
        "address add 10.7.0.5/24 dev em0",
        "route add default via 10.7.0.2 metric 9",
    ] {
        host.sh("ip", &line.split(' ').collect::<Vec<_>>());
    }
    check(&host, &NETWORKS, &[&host.pool]);
    let second = host.second_pool();
    host.ok(&format!("pool init {second}"));
    // Snapshots stay with the original, which goes to the trash.
    host.ok("snapshot delete web@base --yes");
    check(&host, &POOLS, &[&host.pool, &second]);
}

#[test]
fn what_is_done_to_drives_of_a_guest_that_runs() {
    let Some(host) = networks::host("inverse::drives", With::Tiny) else { return };
    host.make_iso();
    host.ok("image import ./tiny.iso --name disc");
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg eject_iso_on_n_reboot=0");
    host.ok("start web --iso disc");
    let drives = || host.ok("info web --json").json()[0]["drives"].clone();
    let before = drives();
    host.ok("eject web cd0");
    assert_ne!(drives(), before);
    host.ok("insert web disc");
    assert_eq!(drives(), before);
    host.ok("eject web cd0");
    let empty = drives();
    host.ok("insert web disc cd0");
    host.ok("eject web cd0");
    assert_eq!(drives(), empty);
    host.ok("stop web --now");
    host.nothing_is_left();
}
