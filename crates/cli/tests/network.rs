//! Networks: bridges and taps that are made and go, on interfaces of the test's own; what is found is left.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{HIDDEN, NIC, all, everything, has_vlans, host, members, names, services, shape, stop, tag_the_peer, tap};
use common::{Host, With, until};
use serde_json::Value;

#[test]
fn a_start_makes_what_is_missing_and_the_last_stop_removes_it() {
    let Some(host) = host("network::start", With::Tiny) else { return };
    let before = shape(&host);
    host.ok(&format!("create web {NIC}"));
    host.ok(&format!("create web2 {NIC}"));
    // Nobody has said where bridge0 is to lead: nothing is started, nothing is changed.
    host.chyves("start web").ends(5).says("there is no bridge `bridge0`").says("chyves network bridge0 attach INTERFACE");
    assert_eq!(shape(&host), before);
    host.ok("set global bridge0.uplink=em0");
    assert_eq!(shape(&host), before, "a setting alone makes nothing");
    host.ok("start web");
    let first = tap(&host, "web").expect("a tap with the guest's token");
    let mut inside = members(&host, "bridge0");
    inside.sort();
    assert_eq!(inside, [first.as_str(), "em0"]);
    host.ok("start web2");
    let second = tap(&host, "web2").unwrap();
    host.ok("network check").says("as configured");
    host.ok("network list -H -o bridge,state,uplink,guests,made").says("bridge0\tup\tem0\tweb,web2\tat a start");
    // web goes; web2's tap lives on.
    stop(&host, "web");
    assert_eq!(tap(&host, "web"), None);
    assert!(members(&host, "bridge0").contains(&second));
    assert_eq!(host.state("web2"), "running");
    stop(&host, "web2");
    assert_eq!(shape(&host), before, "what was made has gone, what was found is as it was");
    host.nothing_is_left();
}

#[test]
fn what_was_found_is_left() {
    let Some(host) = host("network::found", With::Tiny) else { return };
    host.sh("ip", &["link", "add", "lan", "type", "bridge"]);
    host.sh("ip", &["link", "set", "lan", "up"]);
    host.sh("ip", &["tuntap", "add", "dev", "tap7", "mode", "tap"]);
    host.ok(&format!("create web {NIC} net0.bridge=lan net0.tap=tap7"));
    let before = shape(&host);
    host.ok("start web");
    assert_eq!(members(&host, "lan"), ["tap7"]);
    stop(&host, "web");
    assert_eq!(shape(&host), before);
    // An uplink that a start puts into a bridge that was there is taken out again.
    host.ok("set global bridge1.name=lan bridge1.uplink=em0");
    host.ok("start web");
    assert_eq!(members(&host, "lan").len(), 2);
    stop(&host, "web");
    assert_eq!(shape(&host), before);
}

/// Puts a wrapper before `ip` that writes down each call and then does it; where they are written down.
fn counted(host: &mut Host) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let (folder, log) = (host.dir().join("wrap"), host.dir().join("calls"));
    let real = host.sh("sh", &["-c", "command -v ip"]);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("ip"), format!("#!/bin/sh\necho \"$*\" >>{}\nexec {} \"$@\"\n", log.display(), real.trim())).unwrap();
    std::fs::set_permissions(folder.join("ip"), std::fs::Permissions::from_mode(0o755)).unwrap();
    host.first_on_path(&folder);
    log
}

#[test]
fn attaching_a_guest_reads_the_host_s_interfaces_twice() {
    let Some(mut host) = host("network::reads", With::Tiny) else { return };
    host.ok("set global bridge0.uplink=em0");
    host.ok(&format!("create web {NIC}"));
    let log = counted(&mut host);
    host.ok("start web");
    let calls = std::fs::read_to_string(&log).unwrap();
    let reads: Vec<&str> = calls.lines().filter(|l| l.contains("show")).collect();
    assert_eq!(reads, ["-j -d address show"; 2], "{calls}");
    stop(&host, "web");
}

#[test]
fn two_starts_at_once_share_one_bridge() {
    let Some(host) = host("network::at_once", With::Tiny) else { return };
    host.ok("set global bridge0.uplink=em0");
    let guests: Vec<String> = (1..=4).map(|n| format!("web{n}")).collect();
    for guest in &guests {
        host.ok(&format!("create {guest} {NIC}"));
    }
    // One command that starts two, beside another that starts the others.
    let spawn = |line: &str| host.command(common::PROGRAM).args(line.split(' ')).stderr(std::process::Stdio::piped()).spawn().unwrap();
    for child in [spawn("start web1 web2"), spawn("start web3 web4")] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(members(&host, "bridge0").len(), 5);
    host.ok("network check");
    host.ok("stop all --force --timeout 0");
    until("all of it to be gone", || (!names(&host).contains(&"bridge0".to_owned())).then_some(()));
    host.nothing_is_left();
}

#[test]
fn a_design_is_made_changed_and_taken_away() {
    if !Host::has("network::design", "ping") {
        return;
    }
    let Some(host) = host("network::design", With::Pool) else { return };
    let before = shape(&host);
    host.ok("network bridge0 attach em0").says("uplink: em0");
    assert_eq!(members(&host, "bridge0"), ["em0"]);
    host.ok("network attach bridge0 em0").is_silent_of("uplink:");
    host.ok("network bridge0 set description=office mtu=1400");
    host.ok("network list").says("office".get(..0).unwrap()).says("by command");
    host.ok("list bridges -H -o bridge,mtu,members,description").says("bridge0\t1400\tem0\toffice");
    host.ok("network bridge0 private").says("is private");
    assert!(members(&host, "bridge0").is_empty());
    host.ok("network lan attach em0 address=10.7.0.1/24");
    host.sh("ip", &["netns", "exec", "peer", "ping", "-c", "1", "-W", "20", "10.7.0.1"]);
    host.ok("network lan default");
    assert_eq!(host.ok("get defaults bridge -H -o value").value(), "lan");
    host.ok("network lan migrate dmz");
    assert_eq!(members(&host, "dmz"), ["em0"]);
    assert!(!names(&host).contains(&"lan".to_owned()));
    assert_eq!(host.ok("get defaults bridge -H -o value").value(), "dmz");
    // Somebody takes the uplink out by hand: it is told, and closed.
    host.sh("ip", &["link", "set", "em0", "nomaster"]);
    host.chyves("network check").ends(5).says("dmz: em0 is not in it").says("ip link set dev em0 master dmz");
    host.ok("network plan").says("ip link set dev em0 master dmz");
    assert!(members(&host, "dmz").is_empty(), "showing changes nothing");
    host.ok("network apply").says("applied");
    host.ok("network apply").says("as configured");
    host.ok("network check");
    for bridge in ["dmz", "bridge0"] {
        host.ok(&format!("network {bridge} delete")).says("deleted");
    }
    host.chyves("network dmz delete").ends(3);
    assert_eq!(shape(&host), before);
    assert!(!host.ok("get global").out.contains("bridge"));
}

#[test]
fn bad_input_is_refused_with_its_cause_and_nothing_changes() {
    let Some(host) = host("network::bad", With::Pool) else { return };
    host.ok("create web --size 1M loader=bios net0.backend=bridge");
    host.ok("create web2 --size 1M loader=bios net0.mac=58:9c:fc:00:00:01");
    host.sh("ip", &["link", "add", "br9", "type", "bridge"]);
    host.sh("ip", &["link", "add", "bridge5", "type", "veth", "peer", "name", "other"]);
    host.sh("ip", &["link", "add", "em1", "type", "veth", "peer", "name", "far1", "netns", "peer"]);
    host.sh("ip", &["link", "set", "em1", "master", "br9"]);
    host.ok("network bridge0 attach em0");
    let settings = |host: &Host| host.ok("get global -H").out + &host.ok("get web,web2 -H").out;
    let before = (shape(&host), settings(&host));
    for (line, code, why) in [
        ("network bridge7 detach", 3, "no configured bridge of this host"),
        ("network web move bridge7", 3, "bridge7"),
        ("network bridge1 attach em0", 2, "`em0` is the uplink of `bridge0` already"),
        ("network bridge1 attach em1", 4, "in the bridge `br9`"),
        ("network bridge1 attach br9", 5, "no bridge can be in a bridge"),
        ("network bridge1 attach bridge1", 2, "its own uplink"),
        ("network bridge1 attach nosuch", 5, "is not there"),
        ("network bridge1 attach lo", 5, "the loopback"),
        ("network bridge1 attach em0 vlan=4095", 2, "4094"),
        ("network bridge5 private", 5, "no bridge"),
        ("network bridge0 set mtu=9000", 5, "does not support 9000"),
        ("network bridge0 set mtu=12", 2, "576"),
        ("network bridge0 set colour=red", 2, "no property"),
        ("network web set net0 mac=01:00:5e:00:00:01", 2, "multicast"),
        ("network web set net0 mac=58:9c:fc:00:00:01", 4, "net0 of `web2` already"),
        ("set web net0.mac=58:9c:fc:00:00:01", 4, "net0 of `web2` already"),
        ("network web add vale0:web1", 5, "FreeBSD's"),
        ("network web add tap33000", 2, "up to 32767"),
        ("network web set net0 vlan=4095", 2, "4094"),
        ("network web set net7 vlan=5", 3, "no NIC `net7`"),
        ("network bridge0 delete", 4, "is the bridge of web"),
        ("network bridge0 join tap5", 3, "no guest's NIC has the tap"),
        ("network bridge0 migrate bridge0", 2, "same bridge"),
        ("network nat bridge0", 4, "has no NAT"),
        ("network nosuch add", 3, "neither a guest nor a verb"),
    ] {
        host.chyves(line).ends(code).says(why).says("hint: ");
        assert_eq!((shape(&host), settings(&host)), before, "{line} changed something");
    }
}

#[test]
fn what_carries_the_administrator_is_touched_only_on_purpose_and_goes_back_unless_confirmed() {
    let Some(host) = host("network::care", With::Pool) else { return };
    host.sh("ip", &["address", "add", "10.7.0.1/24", "dev", "em0"]);
    host.sh("ip", &["route", "add", "default", "via", "10.7.0.2"]);
    let before = shape(&host);
    let reached = || host.sh("ip", &["netns", "exec", "peer", "ping", "-c", "1", "-W", "20", "10.7.0.1"]);
    host.chyves("network bridge0 attach em0").ends(5).says("would lose it").says("attach em0 address=10.7.0.1/24");
    host.ok("set global bridge0.uplink=em0 bridge0.address=10.7.0.1/24");
    host.chyves("network apply").ends(2).says("em0 carries the default route").says("--yes");
    assert_eq!(shape(&host), before);
    // Nobody confirms it: it goes back.
    host.ok("network apply --yes --confirm 1").says("chyves network confirm");
    until("it to go back", || (!names(&host).contains(&"bridge0".to_owned())).then_some(()));
    until("all of it to be as before", || (shape(&host) == before).then_some(()));
    reached();
    // Somebody does: it stays, with the address and the route.
    host.ok("network apply --yes --confirm 600");
    host.chyves("network apply").ends(4).says("waits for confirmation");
    host.ok("network confirm").says("confirmed");
    host.ok("network confirm").says("nothing waits");
    assert_eq!(members(&host, "bridge0"), ["em0"]);
    reached();
    assert!(host.sh("ip", &["route", "show", "default"]).contains("via 10.7.0.2 dev bridge0"));
    host.ok("network check");
}

#[test]
fn a_change_that_nobody_confirms_goes_back_whole() {
    if !["nft", "dnsmasq"].iter().all(|program| Host::has("network::confirm", program)) {
        return;
    }
    let Some(host) = host("network::confirm", With::Tiny) else { return };
    host.ok(&format!("create web {NIC} net0.bridge=bridge0"));
    all(&host, &[HIDDEN, "network apply"]);
    let settings = || host.ok("get web -H").out;
    let before = (everything(&host), settings());
    for (line, said) in [
        ("network bridge0 attach em0 mtu=1400", "uplink: em0"),
        ("network bridge0 private", "is private"),
        ("network bridge0 migrate lan", "migrated to lan"),
    ] {
        host.ok(&format!("{line} --confirm 1")).says(said).says("it is rolled back in 1 s");
        until(&format!("{line} to go back"), || ((everything(&host), settings()) == before).then_some(()));
    }
    host.ok("network bridge0 attach em0 --confirm 600");
    let new = everything(&host);
    for line in ["network bridge0 detach", "network bridge0 private", "network apply", "network bridge0 migrate lan"] {
        host.chyves(line).ends(4).says("waits for confirmation").says("network confirm");
    }
    host.ok("network confirm").says("confirmed");
    assert_eq!(everything(&host), new);
    host.ok("network bridge0 detach");
}

#[test]
fn made_by_hand_chyves_attaches_and_verifies() {
    let Some(host) = host("network::manual", With::Tiny) else { return };
    host.ok("set global network_mode=manual");
    host.ok(&format!("create web {NIC}"));
    let before = shape(&host);
    host.chyves("start web").ends(5).says("by hand").says("ip link add name bridge0 type bridge");
    host.sh("ip", &["link", "add", "bridge0", "type", "bridge"]);
    host.sh("ip", &["link", "set", "bridge0", "up"]);
    host.chyves("start web").ends(5).says("there is no tap").says("ip tuntap add");
    host.sh("ip", &["tuntap", "add", "dev", "tap0", "mode", "tap", "user", "0"]);
    host.ok("set web net0.tap=tap0");
    host.ok("start web");
    assert_eq!(members(&host, "bridge0"), ["tap0"]);
    stop(&host, "web");
    assert_eq!(names(&host).len(), before.len() + 2, "what was made by hand stays");
}

#[test]
fn a_start_brings_rules_and_server_up_and_they_go_with_its_bridge() {
    if !["nft", "dnsmasq"].iter().all(|program| Host::has("network::services", program)) {
        return;
    }
    let Some(host) = host("network::services", With::Tiny) else { return };
    // As after a reboot of the host: all is designed, nothing is there.
    host.ok(HIDDEN);
    host.ok(&format!("create web {NIC}"));
    let before = (shape(&host), services(&host));
    host.ok("start web");
    let up = services(&host);
    assert!(up.0.contains("chyves_bridge0") && up.1 == 1, "{up:?}");
    host.ok("network check").says("as configured");
    stop(&host, "web");
    assert_eq!((shape(&host), services(&host)), before);
    // By command they stay; somebody takes them away, and a start brings them back to stay.
    host.ok("network apply").says("applied");
    host.ok("network apply").says("as configured");
    assert_eq!(services(&host), up);
    host.sh("nft", &["delete", "table", "inet", "chyves_bridge0"]);
    host.sh("sh", &["-c", "kill $(pgrep dnsmasq)"]);
    until("the server to be gone", || (services(&host).1 == 0).then_some(()));
    host.chyves("network check").ends(5).says("are not loaded").says("no DHCP server");
    host.ok("start web");
    assert_eq!(services(&host), up);
    stop(&host, "web");
    assert_eq!(services(&host), up);
    host.ok("delete web --yes");
    // Settings that are taken away alone leave what runs; it is told, and closed.
    host.ok("unset global bridge0.nat bridge0.dhcp");
    host.chyves("network check").ends(5).says("that it is not configured for").says("nft delete table inet chyves_bridge0");
    host.ok("network apply").says("applied");
    assert_eq!(services(&host), before.1);
    host.ok("network bridge0 delete");
    until("all of it to be gone", || ((shape(&host), services(&host)) == before).then_some(()));
    assert!(!host.run_dir().join("network/bridge0").exists(), "its folder goes with it");
}

#[test]
fn a_pair_links_two_bridges_and_goes_with_the_last_of_them() {
    let Some(host) = host("network::pair", With::Pool) else { return };
    let before = shape(&host);
    host.ok("network bridge0 attach epair0a address=10.8.0.1/24");
    assert_eq!(members(&host, "bridge0"), ["epair0a"]);
    host.ok("network bridge1 attach epair0b");
    assert_eq!(members(&host, "bridge1"), ["epair0b"]);
    host.ok("network check");
    host.ok("network bridge0 detach");
    assert!(names(&host).contains(&"epair0a".to_owned()), "its other end is in use");
    host.ok("network bridge1 detach");
    assert!(!names(&host).iter().any(|n| n.starts_with("epair")), "{:?}", names(&host));
    // Of bridge1 nothing was said but its uplink: it went with that.
    host.ok("network bridge0 delete");
    assert_eq!(shape(&host), before);
}

#[test]
fn a_vlan_of_the_uplink_is_made_for_its_bridge_and_goes_with_it() {
    let Some(host) = host("network::vlan_bridge", With::Pool) else { return };
    if !has_vlans(&host, "network::vlan_bridge") {
        return;
    }
    tag_the_peer(&host);
    let before = shape(&host);
    host.ok("network bridge5 attach em0 vlan=5 address=10.8.0.1/24").says("VLAN 5 of em0");
    assert_eq!(members(&host, "bridge5"), ["em0.5"]);
    host.sh("ip", &["netns", "exec", "peer", "ping", "-c", "1", "-W", "20", "10.8.0.1"]);
    // The untagged network of the same NIC is another bridge's, and nobody's here.
    let other = host.command("ip").args(["netns", "exec", "peer", "ping", "-c", "1", "-W", "2", "10.7.0.1"]).output().unwrap();
    assert!(!other.status.success());
    host.ok("network check");
    host.ok("network bridge5 delete");
    assert_eq!(shape(&host), before);
}

#[test]
fn a_nic_on_a_vlan_is_kept_apart_on_its_bridge() {
    let Some(host) = host("network::vlan_card", With::Tiny) else { return };
    if !has_vlans(&host, "network::vlan_card") {
        return;
    }
    host.ok("set global bridge0.uplink=em0");
    host.ok(&format!("create web {NIC} net0.vlan=7"));
    host.ok("start web");
    let tap = tap(&host, "web").unwrap();
    let seen: Value = serde_json::from_str(&host.sh("bridge", &["-j", "vlan", "show", "dev", &tap])).unwrap();
    let vlans = seen[0]["vlans"].as_array().unwrap();
    assert_eq!(vlans.len(), 1, "{seen}");
    assert_eq!(vlans[0]["vlan"], 7);
    assert!(vlans[0]["flags"].to_string().contains("PVID"), "{seen}");
    host.ok("network check");
    stop(&host, "web");
    assert!(!names(&host).contains(&"bridge0".to_owned()));
}
