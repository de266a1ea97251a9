//! Networks as guests see them: real systems that reach a peer behind the host, move while they run, and get addresses.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{NIC, has_vlans, host, members, names, shape, stop, tag_the_peer, tap};
use common::{Host, With, until};

#[test]
fn a_nic_moves_to_another_bridge_while_its_guest_runs_and_keeps_its_name() {
    let Some(host) = host("network::guest", With::Files) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img");
    host.ok("set global bridge0.uplink=em0 bridge1.private=yes");
    host.ok("create web --image linux --ram 128M loader=bios accel=tcg net0.backend=bridge");
    host.ok("start web");
    let mut console = host.console("web");
    console.logs_in();
    let ping = "ping -c 1 -w 60 10.7.0.2 >/dev/null && echo reached || echo alone";
    let up = "ip address add 10.7.0.10/24 dev eth0; ip link set eth0 up";
    console.shell(up);
    assert!(console.shell(ping).ends_with("reached"));
    host.sh("ip", &["netns", "exec", "peer", "ping", "-c", "1", "-w", "60", "10.7.0.10"]);
    // To a private bridge: nobody is reached any more. And back.
    host.ok("network move web bridge1").says("net0 is on bridge1");
    host.ok("network check");
    assert!(console.shell("ping -c 1 -w 3 10.7.0.2 >/dev/null && echo reached || echo alone").ends_with("alone"));
    host.ok("network web move net0 bridge0");
    assert!(!names(&host).contains(&"bridge1".to_owned()), "a bridge that nothing is on goes");
    assert!(console.shell(ping).ends_with("reached"));
    let mac = host.ok("info web --json").json()[0]["networks"][0]["mac"].as_str().unwrap().to_owned();
    assert!(console.shell("cat /sys/class/net/eth0/address").ends_with(&mac));
    // A disk more moves no NIC, across a reboot that attaches it again.
    host.ok("disk add web 1M");
    console.types("reboot\r");
    console.logs_in();
    assert!(console.shell("cat /sys/class/net/eth0/address").ends_with(&mac));
    assert!(console.shell("echo $(ls /sys/block)").contains("vdb"));
    console.shell(up);
    assert!(console.shell(ping).ends_with("reached"));
    console.leaves();
    stop(&host, "web");
    host.nothing_is_left();
}

#[test]
fn guests_hide_behind_the_host_s_address_and_get_theirs_from_it() {
    if !["nft", "dnsmasq"].iter().all(|program| Host::has("network::nat", program)) {
        return;
    }
    let Some(host) = host("network::nat", With::Files) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img");
    host.sh("ip", &["address", "add", "10.7.0.1/24", "dev", "em0"]);
    host.chyves("network bridge0 set dhcp=yes").ends(2).says("needs an address");
    host.ok("network bridge0 set nat=em0 address=10.9.0.1/24 dhcp=yes");
    let rules = host.sh("nft", &["list", "ruleset"]);
    assert!(rules.contains("table inet chyves_bridge0") && rules.contains("masquerade"), "{rules}");
    host.ok("network nat bridge0").says("masquerade");
    // Applied again, everything is there once.
    host.ok("network apply");
    host.ok("create web --image linux --ram 128M loader=bios accel=tcg net0.backend=bridge");
    host.ok("start web");
    let mut console = host.console("web");
    console.logs_in();
    console.shell("net-up eth0");
    let has = console.shell("ip -4 address show eth0");
    assert!(has.contains("10.9.0."), "{has}");
    // What it was leased is shown, with how it is known.
    let address = host.ok("list -H -o addresses").value().to_owned();
    assert!(has.contains(&format!("inet {address}/24")), "{address} in {has}");
    host.ok("info web").says(&format!("addresses {address} (lease)"));
    let info = host.ok("info web --json").json();
    assert_eq!(info[0]["networks"][0]["addresses"], serde_json::json!([{ "address": address, "source": "lease" }]), "{info}");
    let listed = host.ok("list -o name,addresses --json").json();
    assert_eq!(listed[0]["addresses"], serde_json::json!([{ "nic": "net0", "address": address, "source": "lease" }]), "{listed}");
    // The peer knows no way to 10.9.0.0: it answers the host's own address.
    assert!(console.shell("ping -c 1 -w 60 10.7.0.2 >/dev/null && echo reached").ends_with("reached"));
    console.leaves();
    stop(&host, "web");
    assert_eq!(host.ok("list -H -o addresses").value(), "-");
    host.ok("delete web --yes");
    host.ok("network bridge0 delete");
    assert!(!host.sh("nft", &["list", "ruleset"]).contains("chyves"));
    until("the server of addresses to be gone", || host.command("pgrep").arg("dnsmasq").output().unwrap().stdout.is_empty().then_some(()));
}

#[test]
fn a_guest_reaches_its_peer_over_a_vlan_of_the_uplink() {
    let Some(host) = host("network_guests::vlan", With::Files) else { return };
    if !has_vlans(&host, "network_guests::vlan") {
        return;
    }
    tag_the_peer(&host);
    let before = shape(&host);
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img");
    host.ok("set global bridge5.uplink=em0 bridge5.vlan=5");
    host.ok("create web --image linux --ram 128M loader=bios accel=tcg net0.backend=bridge net0.bridge=bridge5");
    host.ok("start web");
    assert!(members(&host, "bridge5").contains(&"em0.5".to_owned()));
    let mut console = host.console("web");
    console.logs_in();
    console.shell("ip address add 10.8.0.10/24 dev eth0; ip address add 10.7.0.10/24 dev eth0; ip link set eth0 up");
    assert!(console.shell("ping -c 1 -w 60 10.8.0.2 >/dev/null && echo reached || echo alone").ends_with("reached"));
    host.sh("ip", &["netns", "exec", "peer", "ping", "-c", "1", "-w", "60", "10.8.0.10"]);
    // The peer's address without a tag is on another network, although the NIC is the same.
    assert!(console.shell("ping -c 1 -w 3 10.7.0.2 >/dev/null && echo reached || echo alone").ends_with("alone"));
    console.leaves();
    stop(&host, "web");
    until("the VLAN to go with the last guest on it", || (shape(&host) == before).then_some(()));
    host.nothing_is_left();
}

#[test]
fn a_bridge_that_is_named_is_used_or_refused_with_its_reason() {
    let Some(host) = host("network::named", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg net0.bridge=lan");
    host.chyves("start web").ends(5).says("there is no bridge `lan`").says("chyves network lan private").says("net0.backend=user");
    host.ok("network lan private");
    host.ok("start web");
    assert_eq!(members(&host, "lan").len(), 1);
    host.ok("info web").says("backend bridge (auto)");
    host.chyves("network lan delete").ends(4).says("`lan` is the bridge of web");
    stop(&host, "web");
    // Whichever level it is set at, and a VLAN or tap as well as a bridge.
    host.ok("unset web net0.bridge");
    host.ok("start web");
    assert!(members(&host, "lan").is_empty());
    stop(&host, "web");
    host.ok("network lan default");
    host.ok("start web");
    assert_eq!(members(&host, "lan").len(), 1);
    stop(&host, "web");
    host.ok("set web net0.backend=user");
    host.ok("start web");
    assert!(members(&host, "lan").is_empty());
    stop(&host, "web");
}

#[test]
fn an_uplink_goes_and_comes_while_guests_run() {
    let Some(host) = host("network_guests::uplink", With::Tiny) else { return };
    host.ok("network lan attach em0");
    host.ok(&format!("create web,db {NIC} net0.bridge=lan"));
    host.ok("start web");
    let (before, tap) = (shape(&host), tap(&host, "web").unwrap());
    for _ in 0..2 {
        let said = host.ok("network lan detach").says("web runs on lan, which leads to no other network now");
        said.says("`chyves network lan attach em0` restores it").is_silent_of("db");
        assert_eq!(members(&host, "lan"), [tap.as_str()]);
        host.ok("network lan attach em0").is_silent_of("runs on");
        assert_eq!(shape(&host), before);
    }
    host.ok("network lan private").says("web runs on lan, which");
    host.ok("network lan attach em0");
    stop(&host, "web");
    // Nobody is left there to be named.
    host.ok("network lan detach").is_silent_of("runs on");
    host.nothing_is_left();
}

#[test]
fn an_uplink_that_a_start_brought_up_goes_down_after_the_last_stop() {
    let Some(host) = host("network_guests::lowered", With::Tiny) else { return };
    let is_up = || host.sh("ip", &["-o", "link", "show", "dev", "em0"]).contains(",UP");
    host.sh("ip", &["link", "set", "dev", "em0", "down"]);
    host.ok(&format!("create web,db {NIC} net0.bridge=bridge0"));
    host.ok("set global bridge0.uplink=em0");
    for _ in 0..2 {
        host.ok("start web,db");
        assert!(is_up());
        stop(&host, "web");
        assert!(is_up(), "db still uses it");
        stop(&host, "db");
        until("the uplink to be down", || (!is_up()).then_some(()));
    }
    // One that was up before stays up.
    host.sh("ip", &["link", "set", "dev", "em0", "up"]);
    host.ok("start web");
    stop(&host, "web");
    until("the bridge to be gone", || (!names(&host).contains(&"bridge0".to_owned())).then_some(()));
    assert!(is_up());
    host.nothing_is_left();
}
