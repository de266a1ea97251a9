//! A FreeBSD host, played by the lab: what a start makes of bridges, uplinks, VLANs and taps by ifconfig, on each release,
//! and what is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

/// What is in a bridge.
fn members(host: &Host, bridge: &str) -> Vec<String> {
    let text = host.sh("ifconfig", &[bridge]);
    let name = |l: &str| l.trim().strip_prefix("member: ").and_then(|r| r.split(' ').next()).map(str::to_owned);
    let mut all: Vec<String> = text.lines().filter_map(name).collect();
    all.sort();
    all
}

/// All interfaces.
fn names(host: &Host) -> Vec<String> {
    let mut all: Vec<String> = host.sh("ifconfig", &["-l"]).split_whitespace().map(str::to_owned).collect();
    all.sort();
    all
}

fn stop(host: &Host, guest: &str) {
    host.ok(&format!("stop {guest} --force --timeout 0"));
    until("the guest to be stopped", || (host.state(guest) == "stopped").then_some(()));
}

#[test]
fn a_start_makes_what_is_missing_and_the_last_stop_removes_it_on_each_release() {
    for settings in [&["release=13.5", "nics=em0"][..], &["release=14.3", "nics=em0"], &["release=15.0", "nics=em0"]] {
        let Some(host) = Host::freebsd("lab_network::start", With::Tiny, settings) else { return };
        let before = names(&host);
        for guest in ["web", "web2"] {
            host.ok(&format!("create {guest} --image tiny --ram 64M net0.bridge=lan"));
        }
        host.chyves("start web").ends(5).says("there is no bridge `lan`");
        host.ok("set global bridge7.name=lan bridge7.uplink=em0");
        let shown = host.ok("start web --dry-run").out;
        for line in [" create name lan", "ifconfig lan addm em0", "ifconfig -a"] {
            assert!(shown.contains(line), "{settings:?}: {line}: {shown}");
        }
        assert_eq!(names(&host), before);
        host.ok("start web");
        host.ok("start web2");
        assert_eq!(members(&host, "lan").len(), 3, "{settings:?}");
        host.ok("network check").says("as configured");
        host.ok("network list -H -o bridge,uplink,guests,made").says("lan\tem0\tweb,web2\tat a start");
        // One goes, the other's tap lives on; moved, its NIC leaves the bridge to nobody.
        stop(&host, "web");
        assert_eq!(members(&host, "lan").len(), 2, "{settings:?}");
        host.ok("network move web2 bridge0");
        assert_eq!(members(&host, "bridge0").len(), 1, "{settings:?}");
        assert_eq!(names(&host).len(), before.len() + 1, "{settings:?}: lan has gone with the last NIC on it");
        stop(&host, "web2");
        assert_eq!(names(&host), before, "{settings:?}");
        host.nothing_is_left();
    }
}

#[test]
fn a_tap_of_another_size_and_a_member_with_an_address_are_as_the_release_wants() {
    let Some(host) = Host::freebsd("lab_network::rules", With::Tiny, &["release=13.5", "nics=em0,em1"]) else { return };
    host.sh("ifconfig", &["em0", "mtu", "9000"]);
    host.ok("network lan attach em0");
    host.ok("create web --image tiny --ram 64M net0.bridge=lan");
    host.ok("start web");
    // All members of a bridge carry the same.
    let tap = members(&host, "lan").into_iter().find(|m| m.starts_with("chv")).unwrap();
    assert!(host.sh("ifconfig", &[&tap]).contains("mtu 9000"));
    stop(&host, "web");
    host.chyves("network lan set mtu=1500").ends(4).says("all members of a bridge of FreeBSD have the same MTU").says("hint: ");
    host.ok("set web net0.bridge=bridge0");
    host.ok("network lan delete");

    let Some(host) = Host::freebsd("lab_network::rules", With::Pool, &["release=15.0", "nics=em0"]) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.sh("ifconfig", &["em0", "inet", "192.0.2.1/24"]);
    host.chyves("network lan attach em0").ends(5).says("network lan attach em0 address=192.0.2.1/24");
    host.ok("network lan attach em0 address=192.0.2.1/24 --yes");
    assert_eq!(members(&host, "lan"), ["em0"]);
    assert!(host.sh("ifconfig", &["lan"]).contains("192.0.2.1") && !host.sh("ifconfig", &["em0"]).contains("192.0.2.1"));
    host.ok("network check");
}

#[test]
fn vlans_have_a_bridge_each_before_15_and_vale_its_switches() {
    let Some(host) = Host::freebsd("lab_network::vlan", With::Tiny, &["release=14.3", "nics=em0"]) else { return };
    host.ok("create web --image tiny --ram 64M net0.vlan=5");
    host.chyves("start web").ends(5).says("those of 15.0 can");
    host.ok("unset web net0.vlan");
    let shown = host.ok("network bridge5 attach em0 vlan=5 --dry-run").out;
    assert!(shown.contains(" create vlandev em0 vlan 5 name em0.5"), "{shown}");
    host.ok("network web add vale0:web1");
    host.ok("network web add vale1");
    let shown = host.ok("start web --dry-run").out;
    assert!(shown.contains("vale0:web1,") && shown.contains("vale1:"), "{shown}");
    // A pair, of which one end is made by its bridge; a node of netgraph that is not there, and then is.
    host.ok("network lan attach epair0a");
    assert_eq!(members(&host, "lan"), ["epair0a"]);
    assert!(names(&host).contains(&"epair0b".to_owned()));
    host.ok("network lan delete");
    assert!(!names(&host).iter().any(|n| n.starts_with("epair")));
    host.ok("network web add netgraph=lan:");
    host.chyves("start web").ends(5).says("there is no netgraph node `lan:`").says("ngctl name em0:lower lan");
    host.sh("kldload", &["-n", "ng_ether", "ng_bridge", "ng_socket"]);
    for words in ["mkpeer em0: bridge lower link0", "name em0:lower lan", "connect em0: lan: upper link1", "msg lan: setpersistent"] {
        host.sh("ngctl", &words.split(' ').collect::<Vec<_>>());
    }
    let shown = host.ok("start web --dry-run").out;
    assert!(shown.contains("netgraph,path=lan:,peerhook=link"), "{shown}");
    // A tap of the administrator's own is brought up too, before each boot.
    host.ok("set web pcidev_20=virtio-net,tap9");
    assert!(host.ok("start web --dry-run").out.contains("ifconfig tap9 up"));
    host.ok("network web remove vale0:web1");
    host.chyves("network web add vale0:a-b").ends(2).says("hint: ");

    let Some(host) = Host::freebsd("lab_network::netmap", With::Tiny, &["release=14.3", "nics=em0", "netmap=off"]) else { return };
    host.ok("create web --image tiny --ram 64M net0.backend=vale");
    host.chyves("start web").ends(5).says("needs netmap").says("`device netmap`");
}
