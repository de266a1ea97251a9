//! ifconfig: real interfaces under FreeBSD's words, output and rules.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use common::{bad, good, lab, run};

#[test]
fn the_words_a_manager_uses() {
    let Some(lab) = lab("the_words_a_manager_uses", &["nics=em0", "release=14.3"]) else { return };
    assert_eq!(good(&lab, "ifconfig -l"), "lo0 em0\n");
    assert_eq!(good(&lab, "ifconfig tap create"), "tap0\n");
    assert_eq!(good(&lab, "ifconfig tap7 create"), "");
    bad(&lab, "ifconfig tap7 create", 1, "ifconfig: SIOCIFCREATE2 (tap7): File exists");
    assert_eq!(good(&lab, "ifconfig tap create name vmtap0"), "vmtap0\n");
    // Renamed, it still is the second tap.
    assert_eq!(good(&lab, "ifconfig tap create"), "tap2\n");
    assert_eq!(good(&lab, "ifconfig bridge create group chyves up"), "bridge0\n");
    assert_eq!(good(&lab, "ifconfig epair create"), "epair0a\n");
    assert_eq!(good(&lab, "ifconfig -l"), "lo0 em0 tap0 tap7 vmtap0 tap2 bridge0 epair0b epair0a\n");
    assert_eq!(good(&lab, "ifconfig -l ether"), "em0 tap0 tap7 vmtap0 tap2 bridge0 epair0b epair0a\n");
    assert_eq!(good(&lab, "ifconfig -lu"), "lo0 em0 bridge0\n");
    assert_eq!(good(&lab, "ifconfig -g chyves"), "bridge0\n");
    assert_eq!(good(&lab, "ifconfig -g tap"), "tap0\ntap7\nvmtap0\ntap2\n");
    assert_eq!(good(&lab, "ifconfig -g nosuch"), "");
    good(&lab, "ifconfig bridge0 addm tap0 addm vmtap0 private vmtap0");
    good(&lab, "ifconfig tap0 group vm-port descr chyves/web1/0/lan up");
    let tap = good(&lab, "ifconfig tap0");
    let shape: Vec<&str> = tap.lines().collect();
    assert_eq!(shape[0], "tap0: flags=8903<UP,BROADCAST,PROMISC,SIMPLEX,MULTICAST> metric 0 mtu 1500");
    assert_eq!(shape[1], "\tdescription: chyves/web1/0/lan");
    assert!(shape[3].starts_with("\tether ") && shape[3].len() == 24, "{tap}");
    assert!(shape.contains(&"\tgroups: tap vm-port") && shape.contains(&"\tstatus: no carrier"), "{tap}");
    let bridge = good(&lab, "ifconfig bridge0");
    assert!(bridge.contains("\tmember: tap0 flags=143<LEARNING,DISCOVER,AUTOEDGE,AUTOPTP>\n\t        ifmaxaddr 0 port "), "{bridge}");
    assert!(bridge.contains("\tmember: vmtap0 flags=943<LEARNING,DISCOVER,AUTOEDGE,AUTOPTP,PRIVATE>\n"), "{bridge}");
    good(&lab, "ifconfig bridge0 -private vmtap0 deletem tap0");
    assert!(!good(&lab, "ifconfig bridge0").contains("member: tap0"));
    assert_eq!(good(&lab, "ifconfig tap0 -descr -group vm-port down").as_str(), "");
    assert!(!good(&lab, "ifconfig tap0").contains("description"));
    assert_eq!(good(&lab, "ifconfig tap7 name lan0"), "lan0\n");
    good(&lab, "ifconfig lan0 destroy");
    good(&lab, "ifconfig epair0b destroy");
    good(&lab, "ifconfig bridge0 destroy");
    assert_eq!(good(&lab, "ifconfig -l"), "lo0 em0 tap0 vmtap0 tap2\n");
}

#[test]
fn what_ifconfig_refuses() {
    let Some(lab) = lab("what_ifconfig_refuses", &["nics=em0"]) else { return };
    good(&lab, "ifconfig tap create");
    good(&lab, "ifconfig bridge create");
    good(&lab, "ifconfig bridge create");
    let rows = [
        ("tap9", "interface tap9 does not exist"),
        ("tap9 up", "interface tap9 does not exist"),
        ("tap9 destroy", "interface tap9 does not exist"),
        ("em0 destroy", "SIOCIFDESTROY: Invalid argument"),
        ("wlan7 create", "SIOCIFCREATE2 (wlan7): Invalid argument"),
        ("nothing create", "SIOCIFCREATE2 (nothing): Invalid argument"),
        ("tap1234567890123 create", "Invalid argument"),
        ("tap0 sideways", "sideways: bad value"),
        ("tap0 mtu", "'mtu' requires argument"),
        ("tap0 mtu 1", "set mtu"),
        ("tap0 mtu 70000", "set mtu"),
        ("tap0 name bridge0", "File exists"),
        ("tap0 name name-of-seventeen", "Invalid argument"),
        ("tap0 group vm7", "group names may not end in a digit"),
        ("tap0 group group-of-more-than", "group name too long"),
        ("tap0 -group other", "No such file or directory"),
        ("tap0 ether 01:00:00:00:00:01", "bad value"),
        ("tap0 ether 58:9c", "bad value"),
        ("bridge0 addm tap9", "BRDGADD tap9: No such file or directory"),
        ("bridge0 addm lo0", "BRDGADD lo0: Invalid argument"),
        ("bridge0 addm bridge1", "BRDGADD bridge1: Invalid argument"),
        ("tap0 addm em0", "BRDGADD em0: Invalid argument"),
        ("bridge0 deletem tap0", "BRDGDEL tap0: No such file or directory"),
        ("bridge0 private tap0", "BRDGGIFFLGS tap0: No such file or directory"),
        ("tap0 inet 10.0.0.1/33", "bad value"),
        ("tap0 inet 10.0.0.300/24", "bad value"),
        ("tap0 inet 10.0.0.1/24 delete", "Can't assign requested address"),
        ("vlan create vlan 5", "must specify both vlan tag and device"),
        ("vlan create vlan 5 vlandev em9", "No such file or directory"),
        ("vlan create vlan 4095 vlandev em0", "Invalid argument"),
        ("-Q", "illegal option -- Q"),
        ("-f inet:octal tap0", "usage: ifconfig"),
    ];
    for (words, text) in rows {
        bad(&lab, &format!("ifconfig {words}"), 1, text);
    }
    let long = "d".repeat(64);
    bad(&lab, &format!("ifconfig tap0 descr {long}"), 1, "File name too long");
    good(&lab, "ifconfig bridge0 addm tap0");
    bad(&lab, "ifconfig bridge0 addm tap0", 1, "ifconfig: BRDGADD tap0: File exists");
    bad(&lab, "ifconfig bridge1 addm tap0", 1, "ifconfig: BRDGADD tap0: Device busy");
}

#[test]
fn bridges_and_the_mtu_of_their_members() {
    let Some(lab) = lab("bridges_and_the_mtu", &["nics=em0", "release=13.5"]) else { return };
    let mtu = |name: &str| good(&lab, &format!("ifconfig {name}")).lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    good(&lab, "ifconfig em0 mtu 9000");
    good(&lab, "ifconfig tap create");
    good(&lab, "ifconfig bridge create addm em0");
    assert_eq!(mtu("bridge0"), "9000", "the first member's");
    bad(&lab, "ifconfig bridge0 addm tap0", 1, "BRDGADD tap0: Invalid argument");
    good(&lab, "ifconfig tap0 mtu 9000");
    good(&lab, "ifconfig bridge0 addm tap0");
    bad(&lab, "ifconfig bridge0 mtu 1500", 1, "set mtu");
    good(&lab, "ifconfig bridge0 deletem tap0");
    good(&lab, "ifconfig tap0 mtu 1500");
    lab.set(&["release=14.3"]).unwrap();
    good(&lab, "ifconfig bridge0 addm tap0");
    assert_eq!((mtu("tap0"), mtu("bridge0")), ("9000".to_owned(), "9000".to_owned()));
    good(&lab, "ifconfig bridge0 mtu 1500");
    assert_eq!((mtu("tap0"), mtu("em0")), ("1500".to_owned(), "1500".to_owned()));
}

#[test]
fn since_15_a_member_has_no_address() {
    let Some(lab) = lab("since_15_a_member", &["nics=em0", "release=14.3"]) else { return };
    good(&lab, "ifconfig em0 inet 192.0.2.1/24");
    good(&lab, "ifconfig bridge create addm em0 deletem em0");
    lab.set(&["release=15.0"]).unwrap();
    bad(&lab, "ifconfig bridge0 addm em0", 1, "BRDGADD em0: Invalid argument");
    good(&lab, "sysctl net.link.bridge.member_ifaddrs=1");
    good(&lab, "ifconfig bridge0 addm em0");
    good(&lab, "sysctl net.link.bridge.member_ifaddrs=0");
    bad(&lab, "ifconfig em0 inet 192.0.2.2/24 alias", 1, "Invalid argument");
    good(&lab, "ifconfig bridge0 deletem em0");
    lab.set(&["release=16.0"]).unwrap();
    assert_eq!(run(&lab, "sysctl net.link.bridge.member_ifaddrs=1").status, 1);
}

#[test]
fn vlan_filtering_came_with_15() {
    let Some(lab) = lab("vlan_filtering", &["release=14.3"]) else { return };
    good(&lab, "ifconfig tap create");
    good(&lab, "ifconfig bridge create");
    bad(&lab, "ifconfig bridge0 vlanfilter", 1, "vlanfilter: bad value");
    bad(&lab, "ifconfig bridge0 addm tap0 untagged 10", 1, "untagged: bad value");
    good(&lab, "ifconfig bridge0 deletem tap0");
    lab.set(&["release=15.0"]).unwrap();
    good(&lab, "ifconfig bridge0 vlanfilter addm tap0 untagged 10");
    good(&lab, "ifconfig bridge0 iftagged tap0 20,100-199");
    bad(&lab, "ifconfig bridge0 iftagged tap0 0", 1, "invalid vlan");
    let shown = good(&lab, "ifconfig bridge0");
    assert!(shown.contains(" vlan protocol 802.1q untagged 10 tagged 20,100-199\n"), "{shown}");
    assert!(shown.contains("\tmember: tap0 "), "{shown}");
}

#[test]
fn vlans_and_addresses() {
    let Some(lab) = lab("vlans_and_addresses", &["nics=em0"]) else { return };
    assert_eq!(good(&lab, "ifconfig vlan create vlandev em0 vlan 100 name em0.100 group chyves up"), "em0.100\n");
    assert_eq!(good(&lab, "ifconfig em0.200 create"), "");
    let shown = good(&lab, "ifconfig em0.100");
    assert!(shown.contains("\tvlan: 100 vlanproto: 802.1q vlanpcp: 0 parent interface: em0\n"), "{shown}");
    assert!(shown.contains("\tgroups: vlan chyves\n"), "{shown}");
    assert_eq!(good(&lab, "ifconfig -g vlan"), "em0.100\nem0.200\n");
    bad(&lab, "ifconfig em0.100 mtu 9000", 1, "set mtu");
    good(&lab, "ifconfig em0 inet 192.0.2.1/24");
    good(&lab, "ifconfig em0 inet 192.0.2.2 netmask 255.255.255.0 alias");
    let shown = good(&lab, "ifconfig em0");
    assert!(shown.contains("\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n"), "{shown}");
    let shown = good(&lab, "ifconfig -f inet:cidr,ether:colon em0");
    assert!(shown.contains("\tinet 192.0.2.2/24 broadcast 192.0.2.255\n"), "{shown}");
    good(&lab, "ifconfig em0 inet 192.0.2.2 -alias");
    assert!(!good(&lab, "ifconfig em0").contains("192.0.2.2 "));
    good(&lab, "ifconfig em0.100 destroy");
    good(&lab, "ifconfig em0.200 destroy");
    assert_eq!(good(&lab, "ifconfig -l"), "lo0 em0\n");
}

#[test]
fn addresses_of_ipv6() {
    let Some(lab) = lab("addresses_of_ipv6", &["nics=em0", "release=15.0"]) else { return };
    good(&lab, "ifconfig em0 inet6 2001:db8::1/64");
    good(&lab, "ifconfig em0 inet6 2001:db8::2 prefixlen 48 alias");
    good(&lab, "ifconfig em0 inet6 fe80::5%em0/64 alias");
    // Once more is no error.
    good(&lab, "ifconfig em0 inet6 2001:db8::1/64 alias");
    let shown = good(&lab, "ifconfig em0");
    for line in ["\tinet6 2001:db8::1 prefixlen 64", "\tinet6 2001:db8::2 prefixlen 48", "\tinet6 fe80::5%em0 prefixlen 64"] {
        assert_eq!(shown.matches(line).count(), 1, "{line} in {shown}");
    }
    assert!(!shown.contains("broadcast"), "{shown}");
    good(&lab, "ifconfig em0 inet6 2001:db8::2 -alias");
    good(&lab, "ifconfig em0 inet6 fe80::5%em0 -alias");
    let shown = good(&lab, "ifconfig em0");
    assert!(shown.contains("2001:db8::1") && !shown.contains("2001:db8::2") && !shown.contains("fe80::5"), "{shown}");
    for (words, says) in [
        ("em0 inet6 2001:db8::1/129 alias", "bad value"),
        ("em0 inet6 192.0.2.1/24", "bad value"),
        ("em0 inet 2001:db8::9/64", "bad value"),
        ("em0 inet6 2001:db8::9 -alias", "Can't assign requested address"),
    ] {
        bad(&lab, &format!("ifconfig {words}"), 1, says);
    }
    good(&lab, "ifconfig bridge create inet6 2001:db8:9::1/64");
    assert!(good(&lab, "ifconfig bridge0").contains("\tinet6 2001:db8:9::1 prefixlen 64"));
    good(&lab, "ifconfig em0 inet6 2001:db8::1 -alias");
    good(&lab, "ifconfig bridge0 addm em0");
    // Since 15.0 a member has none of its own.
    bad(&lab, "ifconfig em0 inet6 2001:db8::3/64 alias", 1, "Invalid argument");
}

#[test]
fn modules_load_by_themselves() {
    let Some(lab) = lab("modules_load", &["jailed=on"]) else { return };
    bad(&lab, "ifconfig bridge create", 1, "SIOCIFCREATE2");
    lab.set(&["jailed=off"]).unwrap();
    bad(&lab, "ifconfig -n bridge create", 1, "SIOCIFCREATE2");
    assert_eq!(run(&lab, "kldstat -q -m if_bridge").status, 1);
    good(&lab, "ifconfig bridge create");
    assert_eq!(run(&lab, "kldstat -q -m if_bridge").status, 0);
    assert_eq!(good(&lab, "sysctl -n net.link.bridge.pfil_member"), "0\n");
    lab.set(&["release=13.5"]).unwrap();
    assert_eq!(good(&lab, "sysctl -n net.link.bridge.pfil_member"), "1\n");
}

#[test]
fn frames_pass_a_bridge() {
    let Some(lab) = lab("frames_pass", &[]) else { return };
    // Two pairs, joined by a bridge: what goes in at one far end comes out at the other.
    good(&lab, "ifconfig epair create");
    good(&lab, "ifconfig epair create");
    good(&lab, "ifconfig bridge create addm epair0b addm epair1b up");
    for name in ["epair0a", "epair0b", "epair1a", "epair1b"] {
        good(&lab, &format!("ifconfig {name} up"));
    }
    let mac = |name: &str| good(&lab, &format!("ifconfig {name}")).split("ether ").nth(1).unwrap()[..17].to_owned();
    let (first, second) = (mac("epair0a"), mac("epair1a"));
    // What an interface sends by itself when it comes up is enough for the bridge to learn who is where.
    common::until("the bridge to learn", || {
        let learned = good(&lab, "ifconfig bridge0 addr");
        learned.contains(&format!("{first} Vlan1 epair0b ")) && learned.contains(&format!("{second} Vlan1 epair1b "))
    });
}
