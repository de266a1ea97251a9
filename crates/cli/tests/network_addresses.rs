//! The host's own addresses and routes: they move to the bridge with their interface, go back with it, and come back exactly
//! as they were where a command is undone.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{NIC, addresses as state, furnish, host, ip, members, names, stop};
use common::{Host, With};

#[test]
fn what_moves_to_the_bridge_goes_back_from_it() {
    let Some(host) = host("network_addresses::back", With::Pool) else { return };
    furnish(&host);
    let (before, settings) = (state(&host), host.ok("get global -H").out);
    let moved = |line: &str| line.replace("\"em0\"", "\"lan\"").replace("dev em0", "dev lan");
    for inverse in ["network lan delete", "network lan detach", "network lan private"] {
        let refused = host.chyves("network lan attach em0").ends(5).says("10.7.0.1/24, 10.8.0.1/24, 10.7.0.5/24").says("fd00:7::");
        assert!(
            refused.err.contains("network lan attach em0 address=10.7.0.1/24") && refused.err.contains("the others move with it"),
            "{}",
            refused.err
        );
        host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
        assert_eq!(members(&host, "lan"), ["em0"]);
        let there = state(&host);
        assert!(there.iter().all(|l| !l.contains("em0\" ") && !l.contains("dev em0")), "{there:?}");
        let routes = |all: &[String]| all.iter().filter(|l| l.contains(" dev ")).map(|l| moved(l)).collect::<Vec<_>>();
        assert_eq!(routes(&there), routes(&before));
        host.ok(&format!("{inverse} --yes"));
        assert_eq!(state(&host), before, "{inverse}");
        if inverse != "network lan delete" {
            assert!(!host.ok("get global -H").out.contains("10.7.0.1"), "the bridge keeps the address in the settings");
            host.ok("network lan delete --yes");
        }
        assert_eq!((state(&host), host.ok("get global -H").out), (before.clone(), settings.clone()), "{inverse}");
        assert!(!names(&host).contains(&"lan".to_owned()));
    }
}

#[test]
fn a_command_that_is_undone_leaves_addresses_and_routes_as_they_were() {
    let Some(host) = host("network_addresses::undone", With::Pool) else { return };
    furnish(&host);
    let before = state(&host);
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes --confirm 1");
    common::until("it to go back", || (state(&host) == before && !names(&host).contains(&"lan".to_owned())).then_some(()));
    host.ok("network lan attach em0 address=10.7.0.6/24 --yes");
    let there = state(&host);
    host.ok("network lan delete --yes --confirm 1");
    common::until("the bridge to be there again", || (state(&host) == there && members(&host, "lan") == ["em0"]).then_some(()));
    host.ok("network lan delete --yes");
    assert_eq!(state(&host), before);
}

#[test]
fn a_way_out_that_nothing_can_give_back_is_not_taken_away() {
    let Some(host) = host("network_addresses::stranded", With::Pool) else { return };
    host.ok("network lan attach em0 address=10.7.0.1/24");
    ip(&host, "route add default via 10.7.0.2");
    let before = state(&host);
    for line in ["network lan delete --yes", "network lan detach --yes", "network lan private --yes"] {
        host.chyves(line).ends(4).says("the default route").says("10.7.0.1/24");
        assert_eq!(state(&host), before);
    }
    ip(&host, "route delete default");
    host.ok("network lan delete --yes");
    assert!(state(&host).is_empty());
}

#[test]
fn a_start_takes_no_route_and_the_end_of_the_last_guest_gives_addresses_back() {
    let Some(host) = host("network_addresses::start", With::Tiny) else { return };
    ip(&host, "address add 10.7.0.1/24 dev em0");
    ip(&host, "address add 10.7.0.5/24 dev em0");
    let before = state(&host);
    host.ok(&format!("create web {NIC} net0.bridge=bridge0"));
    host.ok("set global bridge0.uplink=em0 bridge0.address=10.7.0.1/24");
    ip(&host, "route add default via 10.7.0.2");
    host.chyves("start web").ends(4).says("em0 carries the default route").says("network apply bridge0");
    ip(&host, "route delete default");
    assert_eq!(state(&host), before);
    host.ok("start web");
    assert_eq!(members(&host, "bridge0").len(), 2);
    stop(&host, "web");
    common::until("the bridge to be gone", || (!names(&host).contains(&"bridge0".to_owned())).then_some(()));
    assert_eq!(state(&host), before);
}

#[test]
fn what_the_host_had_on_a_bridge_that_vanished_comes_back() {
    let Some(host) = host("network_addresses::vanished", With::Pool) else { return };
    furnish(&host);
    let before = state(&host);
    for back in [&["network lan delete --yes"][..], &["network lan detach --yes", "network lan delete --yes"]] {
        host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
        ip(&host, "link delete lan");
        assert_ne!(state(&host), before, "all is lost");
        host.chyves("network check").ends(5).says("the host has lost 10.7.0.1/24, 10.8.0.1/24, 10.7.0.5/24").says("got from em0");
        for line in back {
            host.ok(line);
        }
        assert_eq!(state(&host), before, "{back:?}");
    }
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
    let there = state(&host);
    ip(&host, "link delete lan");
    host.ok("network apply --yes");
    assert_eq!(state(&host), there);
    host.ok("network check");
    host.ok("network lan delete --yes");
    assert_eq!(state(&host), before);
    // Who has taken care of it by hand is left alone.
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
    ip(&host, "link delete lan");
    ip(&host, "address add 10.7.0.77/24 dev em0");
    let by_hand = state(&host);
    host.ok("network lan delete --yes");
    assert_eq!(state(&host), by_hand);
}

#[test]
fn an_address_is_replaced_in_its_place_and_goes_back_with_the_others() {
    let Some(host) = host("network_addresses::replaced", With::Pool) else { return };
    furnish(&host);
    let before = state(&host);
    let first = |host: &Host| state(host).iter().find(|l| l.contains("10.7.0.")).unwrap().clone();
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
    host.ok("network lan set address=10.7.0.9/24 --yes");
    assert!(first(&host).contains("10.7.0.9"), "{}", first(&host));
    host.ok("network lan set address=10.7.0.1/24 --yes");
    assert!(first(&host).contains("10.7.0.1\""), "{}", first(&host));
    host.ok("network lan delete --yes");
    // What the address was not told anew is what the kernel makes of it.
    let bare = |all: Vec<String>| all.into_iter().map(|l| l.replace("\"broadcast\":\"10.7.0.255\",", "")).collect::<Vec<_>>();
    assert_eq!(bare(state(&host)), bare(before));
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
    host.ok("network lan set address=10.7.0.9/24 --yes");
    host.ok("network lan delete --yes");
    let back = state(&host);
    assert!(back.iter().any(|l| l.starts_with("\"em0\"") && l.contains("10.7.0.9")), "{back:?}");
    assert!(back.iter().any(|l| l == "default via 10.7.0.2 dev em0 metric 50"), "{back:?}");
}

#[test]
fn a_route_that_nothing_reaches_any_more_keeps_no_interface_from_its_bridge() {
    let Some(host) = host("network_addresses::stale", With::Pool) else { return };
    for line in [
        "address add 10.7.0.1/24 dev em0",
        "-6 address add fd00:7::1/64 nodad dev em0",
        "-6 route add default via fd00:7::9 metric 60",
        "-6 address delete fd00:7::1/64 dev em0",
    ] {
        ip(&host, line);
    }
    let before = state(&host);
    assert!(before.iter().any(|l| l.contains("fd00:7::9")), "{before:?}");
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
    host.ok("network lan delete --yes");
    assert_eq!(state(&host), before);
}

#[test]
fn a_route_that_cannot_be_restored_keeps_addresses_where_they_are() {
    let Some(host) = host("network_addresses::fixed", With::Pool) else { return };
    ip(&host, "address add 10.7.0.1/24 dev em0");
    let hops = "nexthop via 10.7.0.2 dev em0 weight 1 nexthop via 10.7.0.3 dev em0 weight 3";
    for (route, says) in [
        (format!("route add default {hops}"), "nexthop via 10.7.0.3 dev em0 weight 3"),
        (format!("route add 10.66.0.0/16 {hops}"), "10.66.0.0/16"),
    ] {
        ip(&host, &route);
        let before = state(&host);
        host.chyves("network lan attach em0 address=10.7.0.1/24 --yes").ends(4).says("cannot move the addresses of em0").says(says);
        assert_eq!(state(&host), before, "{route}");
        assert!(!names(&host).contains(&"lan".to_owned()));
        let route = route.split(' ').nth(2).unwrap();
        ip(&host, &format!("route delete {route}"));
        // The same on the bridge: its addresses do not go back.
        host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
        ip(&host, &format!("route add {route} {}", hops.replace("em0", "lan")));
        let before = state(&host);
        for line in ["network lan delete --yes", "network lan detach --yes", "network lan private --yes"] {
            host.chyves(line).ends(4).says("cannot move the addresses of lan").says(&format!("ip route delete {route}"));
            assert_eq!(state(&host), before, "{line}");
        }
        ip(&host, &format!("route delete {route}"));
        host.ok("network lan delete --yes");
    }
}

/// An uplink that vanishes, and comes back under its name.
fn replug(host: &Host) {
    let _ = host.command("ip").args(["link", "delete", "em0"]).output().unwrap();
    ip(host, "link add em0 type veth peer name em0far");
    ip(host, "link set em0 up");
}

#[test]
fn an_uplink_that_vanished_gets_its_addresses_when_it_is_back() {
    let Some(host) = host("network_addresses::replugged", With::Pool) else { return };
    ip(&host, "address add 10.7.0.1/24 dev em0");
    ip(&host, "address add 10.7.0.5/24 dev em0");
    let before = state(&host);
    for line in ["network lan detach", "network lan private"] {
        host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
        ip(&host, "link delete em0");
        host.ok(&format!("{line} --yes")).says("lan keeps 10.7.0.1/24, 10.7.0.5/24, which em0 had before");
        assert!(state(&host).iter().any(|l| l.contains("10.7.0.1")), "the host keeps its address");
        replug(&host);
        host.ok("network lan delete --yes");
        assert_eq!(state(&host), before, "{line}");
    }
}

#[test]
fn the_end_of_the_last_guest_loses_no_address_of_an_uplink_that_vanished() {
    let Some(host) = host("network_addresses::unplugged", With::Tiny) else { return };
    ip(&host, "address add 10.7.0.1/24 dev em0");
    let before = state(&host);
    host.ok(&format!("create web {NIC} net0.bridge=bridge0"));
    host.ok("set global bridge0.uplink=em0 bridge0.address=10.7.0.1/24");
    host.ok("start web");
    ip(&host, "link delete em0");
    stop(&host, "web");
    common::until("the tap to be gone", || members(&host, "bridge0").is_empty().then_some(()));
    assert!(state(&host).iter().any(|l| l.contains("10.7.0.1")), "the host keeps its address");
    replug(&host);
    host.ok("reclaim");
    common::until("the bridge to be gone", || (!names(&host).contains(&"bridge0".to_owned())).then_some(()));
    assert_eq!(state(&host), before);
}

#[test]
fn neighbours_set_by_hand_keep_addresses_where_they_are() {
    let Some(host) = host("network_addresses::neighbours", With::Pool) else { return };
    ip(&host, "address add 10.7.0.1/24 dev em0");
    for (entry, what) in [
        ("10.7.0.2 lladdr 02:00:00:00:00:01 dev em0 nud permanent", "static neighbour entry 10.7.0.2"),
        ("proxy 10.7.0.99 dev em0", "neighbour proxy entry 10.7.0.99"),
    ] {
        let before = state(&host);
        ip(&host, &format!("neighbour add {entry}"));
        let refused = host.chyves("network lan attach em0 address=10.7.0.1/24 --yes").ends(4).says(what);
        assert_eq!(state(&host), before);
        // The cure works as it is shown.
        let hint = refused.err.lines().find_map(|l| l.split_once("`ip neighbour del ")?.1.split_once('`')).unwrap().0.to_owned();
        ip(&host, &format!("neighbour del {hint}"));
        host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
        host.ok("network lan delete --yes");
        assert_eq!(state(&host), before);
    }
}
