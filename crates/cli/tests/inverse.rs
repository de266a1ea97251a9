//! For every pair of commands of which one rolls back the other, the state before is the state after: properties of every
//! dataset, files, interfaces, addresses, routes.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{self, addresses, furnish, ip, links};
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

const GUESTS: [Pair; 35] = [
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
    pair(&["set web firmware=auto loader=uefi"], &["unset web firmware", "set web loader=bios"]),
    pair(&["network add web model=e1000 mac=58:9c:fc:00:00:77"], &["network remove web net1"]),
    pair(&["network set web net0.model=e1000"], &["unset web net0.model"]),
    pair(&["set web ci.enabled=yes ci.user=ann"], &["unset web ci.enabled ci.user"]),
    pair(
        &["set web ci.enabled=yes", "cloud-init set web --user-data ./user-data"],
        &["cloud-init set web --no-user-data", "unset web ci.enabled"],
    ),
    pair(&["disk remove web disk0"], &["undelete web:disk0"]),
    pair(&["disk move web disk0 disk9", "disk move web disk1 disk0"], &["disk move web disk0 disk1", "disk move web disk9 disk0"]),
    pair(&["disk set web disk1 options=nocache"], &["unset web disk1.options"]),
    pair(&["snapshot web@a", "snapshot web@b"], &["snapshot delete web@a", "snapshot delete web@b"]),
    pair(&["clone web copy", "rename copy other", "delete other", "undelete other"], &["delete other", "trash empty"]),
    pair(&["rename web other", "delete other"], &["undelete other", "rename other web"]),
    pair(&["image rename kept other"], &["image rename other kept"]),
    pair(&["create fresh --image kept loader=bios"], &["delete fresh", "trash empty"]),
    pair(&["create fresh --image kept --full loader=bios"], &["delete fresh", "trash empty"]),
    pair(&["set defaults loader=bios bridge=lan"], &["unset defaults loader bridge"]),
];

const POOLS: [Pair; 5] = [
    pair(&["pool promote OTHER"], &["pool promote POOL"]),
    pair(&["set global bridge3.private=yes", "pool promote OTHER"], &["pool promote POOL", "unset global bridge3.private"]),
    pair(&["pool offline OTHER"], &["pool online OTHER"]),
    anew(&["pool remove OTHER"], &["pool init OTHER"]),
    anew(&["move web --pool OTHER"], &["move web --pool POOL", "trash empty"]),
];

const NETWORKS: [Pair; 19] = [
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
    pair(&["network lan attach em0 address=10.7.0.1/24"], &["network lan detach", "network lan delete"]),
    pair(&["network lan attach em0 address=10.7.0.1/24"], &["network lan private", "network lan delete"]),
    pair(&["network lan attach em0 address=10.7.0.1/24 address6=fd00:7::1/64"], &["network lan delete"]),
    pair(&["network lan attach em0 address=10.7.0.1/24", "network lan migrate other"], &["network other delete"]),
    pair(&["network lan attach em1", "network lan attach em3"], &["network lan attach em1", "network lan detach", "network lan delete"]),
    // An interface that is down.
    pair(&["network lan attach em4"], &["network lan delete"]),
    pair(&["network lan attach em4", "network lan attach em1"], &["network lan detach", "network lan delete"]),
    pair(&["network br0 attach em4"], &["network br0 detach", "network br0 delete"]),
    pair(&["network lan private", "network default lan"], &["unset defaults bridge", "network lan delete"]),
    pair(&["network lan private", "network add web lan"], &["network remove web net1", "network lan delete"]),
];

/// Of bridges whose guests get addresses from the host.
const HIDDEN: [Pair; 2] = [
    pair(&["network lan set nat=em1 address=10.9.0.1/24 dhcp=yes"], &["network lan delete"]),
    pair(
        &["network lan private address=10.9.0.1/24", "network lan set nat=em0 dhcp=yes"],
        &["network lan private", "network lan set dhcp=no", "network lan delete"],
    ),
];

/// On VLANs of an uplink.
const VLANS: [Pair; 3] = [
    pair(&["network lan attach em1 vlan=5"], &["network lan delete"]),
    pair(&["network lan attach em4 vlan=5"], &["network lan detach", "network lan delete"]),
    pair(&["network lan attach em1 vlan=5", "network lan attach em1 vlan=6"], &["network lan detach", "network lan delete"]),
];

/// On FreeBSD.
const FREEBSD: [Pair; 8] = [
    pair(&["network lan private"], &["network lan delete"]),
    pair(&["network lan attach em1"], &["network lan delete"]),
    pair(&["network lan attach em1", "network lan detach", "network lan attach em1"], &["network lan detach", "network lan delete"]),
    pair(&["network lan attach em0 address=192.0.2.1/24"], &["network lan delete"]),
    pair(&["network lan attach em0 address=192.0.2.1/24"], &["network lan detach", "network lan delete"]),
    pair(&["network bridge5 attach em1 vlan=5"], &["network bridge5 delete"]),
    pair(&["network lan attach em2"], &["network lan detach", "network lan delete"]),
    pair(&["network lan attach epair0a"], &["network lan delete"]),
];

/// What is compared.
#[derive(Debug, PartialEq)]
struct State {
    tree: Tree,
    files: BTreeMap<String, u64>,
    network: Vec<String>,
}

/// Whose interfaces they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Linux,
    FreeBsd,
}

/// The interfaces, with all that the system's own program prints of them, and what runs beside them.
fn network(host: &Host, system: System) -> Vec<String> {
    match system {
        System::FreeBsd => {
            let mut all: Vec<String> = host.sh("ifconfig", &["-a"]).lines().map(str::to_owned).collect();
            for family in ["inet", "inet6"] {
                let told = host.command("netstat").args(["-rn", "-f", family]).output().unwrap().stdout;
                all.extend(String::from_utf8_lossy(&told).lines().map(str::to_owned));
            }
            all
        }
        System::Linux => [links(host), addresses(host), vec![format!("{:?}", networks::services(host))]].concat(),
    }
}

fn state(host: &Host, system: System, pools: &[&str], anew: bool) -> State {
    let mut tree = host.tree_of(pools);
    for values in tree.values_mut() {
        values.retain(|key, _| !(anew && ["guid", "creation", "createtxg"].contains(&key.as_str())));
    }
    State { tree, files: host.files("web"), network: network(host, system) }
}

fn check(host: &Host, system: System, pairs: &[Pair], pools: &[&str]) {
    let line = |line: &str| format!("{} --yes", line.replace("POOL", &host.pool).replace("OTHER", &format!("{}b", host.pool)));
    for Pair { there, back, anew } in pairs {
        let before = state(host, system, pools, *anew);
        there.iter().for_each(|l| drop(host.ok(&line(l))));
        assert_ne!(state_or_none(host, system, pools, *anew), Some(&before).map(|s| format!("{s:?}")), "{there:?} changed nothing");
        back.iter().for_each(|l| drop(host.ok(&line(l))));
        let after = state(host, system, pools, *anew);
        assert_eq!(after.network, before.network, "{there:?}, then {back:?}");
        assert_eq!(after.files, before.files, "{there:?}, then {back:?}");
        let differs = |name: &String| after.tree.get(name) != before.tree.get(name);
        let names: Vec<&String> = before.tree.keys().chain(after.tree.keys()).filter(|n| differs(n)).collect();
        let shown: Vec<String> = names.iter().map(|n| format!("{n}: {:?}\nwas {:?}", after.tree.get(*n), before.tree.get(*n))).collect();
        assert!(names.is_empty(), "{there:?}, then {back:?}: {}", shown.join("\n"));
    }
}

/// The same in words, where the guest is there at all.
fn state_or_none(host: &Host, system: System, pools: &[&str], anew: bool) -> Option<String> {
    let there = host.command("zfs").args(["list", &host.dataset("web")]).output().unwrap().status.success();
    there.then(|| format!("{:?}", state(host, system, pools, anew)))
}

/// The guest `web` with two disks and a snapshot.
fn web(host: &Host) {
    std::fs::write(host.work().join("disk.img"), vec![7; 1 << 20]).unwrap();
    std::fs::write(host.work().join("user-data"), "#cloud-config\npackages: [tmux]\n").unwrap();
    host.ok("image import ./disk.img --name kept");
    host.ok("create web --disk raw --size 1M loader=bios ram=64M");
    host.ok("disk add web 1M --kind raw");
    host.in_folder("web", |folder| std::fs::write(folder.join("disk1.raw"), vec![9; 1 << 20]).unwrap());
    // A text of one's own that was removed is an empty file: there is one from here on.
    for line in ["set web ci.enabled=yes", "cloud-init set web --user-data ./user-data", "cloud-init set web --no-user-data"] {
        host.ok(line);
    }
    host.ok("unset web ci.enabled");
    host.ok("snapshot web@base");
}

#[test]
fn what_is_done_to_guests_and_their_disks() {
    let Some(host) = networks::host("inverse::guests", With::Pool) else { return };
    web(&host);
    check(&host, System::Linux, &GUESTS, &[&host.pool]);
    host.nothing_is_left();
}

#[test]
fn what_is_done_to_pools_and_networks() {
    let Some(host) = networks::host("inverse::pools", With::Pool) else { return };
    web(&host);
    for line in [
        "link add em1 type veth peer name far1",
        "link set em1 up",
        "link add em3 type veth peer name far3",
        "link add em2 type veth peer name far2",
        "link add em4 type veth peer name far4",
        "link add br0 type bridge",
        "link set em2 master br0",
        "link set em2 up",
        "link set em3 up",
        "link set br0 up",
    ] {
        ip(&host, line);
    }
    // Addresses with labels and broadcasts, secondary ones, other prefixes, IPv6, and default routes of both families.
    furnish(&host);
    ip(&host, "address add 10.7.128.1/17 dev em0");
    if ["nft", "dnsmasq"].iter().all(|program| Host::has("inverse::hidden", program)) {
        check(&host, System::Linux, &HIDDEN, &[&host.pool]);
    }
    if networks::has_vlans(&host, "inverse::vlans") {
        check(&host, System::Linux, &VLANS, &[&host.pool]);
    }
    check(&host, System::Linux, &NETWORKS, &[&host.pool]);
    let second = host.second_pool();
    host.ok(&format!("pool init {second}"));
    // Snapshots stay with the original, which goes to the trash.
    host.ok("snapshot delete web@base --yes");
    check(&host, System::Linux, &POOLS, &[&host.pool, &second]);
}

#[test]
fn what_is_done_to_networks_of_freebsd() {
    for settings in
        [&["release=13.5", "nics=em0,em1,em2"][..], &["release=14.3", "nics=em0,em1,em2"], &["release=15.0", "nics=em0,em1,em2"]]
    {
        let Some(host) = Host::freebsd("inverse::freebsd", With::Pool, settings) else { return };
        host.ok(&format!("pool init {}", host.pool));
        web(&host);
        for line in [
            "em0 inet 192.0.2.1/24",
            "em0 inet 192.0.2.5/32 alias",
            "em0 inet 192.0.2.6/32 alias",
            "em0 inet6 2001:db8::1/64 alias",
            "em1 up",
        ] {
            host.sh("ifconfig", &line.split(' ').collect::<Vec<_>>());
        }
        host.sh("route", &["add", "default", "192.0.2.254"]);
        host.sh("route", &["-6", "add", "default", "2001:db8::fe"]);
        host.sh("route", &["add", "-net", "10.5.0.0/16", "192.0.2.9"]);
        host.sh("route", &["add", "-host", "10.6.6.6", "192.0.2.9"]);
        host.sh("route", &["-6", "add", "-net", "2001:db8:5::/48", "2001:db8::9"]);
        check(&host, System::FreeBsd, &FREEBSD, &[&host.pool]);
    }
}

#[test]
fn what_is_done_to_drives_of_a_guest_that_runs() {
    let Some(host) = networks::host("inverse::drives", With::Tiny) else { return };
    host.make_iso();
    host.ok("image import ./tiny.iso --name disc");
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg iso_eject_after_reboots=0");
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
