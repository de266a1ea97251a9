//! A host with interfaces of its own, a peer behind its uplink, and what is seen of them.

use super::{Host, With, until};
use serde_json::Value;

/// A host with an uplink `em0`, behind which stands a peer with the address 10.7.0.2.
pub fn host(test: &str, with: With) -> Option<Host> {
    let host = Host::with_networks(test, with)?;
    host.sh("ip", &["netns", "add", "peer"]);
    host.sh("ip", &["link", "add", "em0", "type", "veth", "peer", "name", "far", "netns", "peer"]);
    host.sh("ip", &["link", "set", "em0", "up"]);
    for words in [&["address", "add", "10.7.0.2/24", "dev", "far"][..], &["link", "set", "far", "up"], &["link", "set", "lo", "up"]] {
        let all = [&["-n", "peer"], words].concat();
        host.sh("ip", &all);
    }
    if with == With::Pool {
        host.ok(&format!("pool init {}", host.pool));
    }
    Some(host)
}

/// The interfaces by name, each with what `ip` tells of it.
pub fn interfaces(host: &Host) -> Vec<Value> {
    serde_json::from_str(&host.sh("ip", &["-j", "-d", "address", "show"])).unwrap()
}

/// The names of all interfaces.
pub fn names(host: &Host) -> Vec<String> {
    interfaces(host).iter().map(|i| i["ifname"].as_str().unwrap().to_owned()).collect()
}

/// What is in a bridge.
pub fn members(host: &Host, bridge: &str) -> Vec<String> {
    interfaces(host).iter().filter(|i| i["master"] == bridge).map(|i| i["ifname"].as_str().unwrap().to_owned()).collect()
}

/// All interfaces with what they are in, what is written on them and their addresses, to compare. The kernel gives each
/// that is up an address of the link by itself.
pub fn shape(host: &Host) -> Vec<String> {
    let line = |i: &Value| {
        let addresses: Vec<&Value> =
            i["addr_info"].as_array().into_iter().flatten().filter(|a| a["scope"] == "global").map(|a| &a["local"]).collect();
        format!("{} {} {} {} {addresses:?}", i["ifname"], i["master"], i["ifalias"], i["mtu"])
    };
    let mut all: Vec<String> = interfaces(host).iter().map(line).collect();
    all.sort();
    all
}

/// The tap of a guest's first NIC.
pub fn tap(host: &Host, guest: &str) -> Option<String> {
    let token = format!("chyves/{}/net0", host.ok(&format!("get {guest} uuid -H -o value")).value());
    interfaces(host).iter().find(|i| i["ifalias"] == token.as_str()).map(|i| i["ifname"].as_str().unwrap().to_owned())
}

/// Waits until a guest's machine has gone with all that it leaves.
pub fn stop(host: &Host, guest: &str) {
    host.ok(&format!("stop {guest} --force --timeout 0"));
    until("the guest to be stopped", || (host.state(guest) == "stopped").then_some(()));
}

pub const NIC: &str = "--image tiny --ram 32M loader=bios accel=tcg net0.backend=bridge";

/// What runs beside interfaces: tables of rules, and how many servers of addresses.
pub fn services(host: &Host) -> (String, usize) {
    let servers = host.command("pgrep").arg("dnsmasq").output().unwrap().stdout;
    (host.sh("nft", &["list", "tables", "inet"]), String::from_utf8_lossy(&servers).lines().count())
}

pub const HIDDEN: &str = "set global bridge0.nat=em0 bridge0.address=10.9.0.1/24 bridge0.dhcp=yes";

/// Whether the kernel has VLANs; where not, the test is told to be skipped.
pub fn has_vlans(host: &Host, test: &str) -> bool {
    let made = host.command("ip").args(["link", "add", "link", "em0", "name", "probe", "type", "vlan", "id", "2"]).output().unwrap();
    if made.status.success() {
        host.sh("ip", &["link", "delete", "dev", "probe"]);
        return true;
    }
    Host::lacks(test, "this kernel has no VLANs (scripts/test-openzfs network network_faults network_guests runs it on one that has)");
    false
}

/// Gives the peer the address 10.8.0.2 on the VLAN 5 of its NIC.
pub fn tag_the_peer(host: &Host) {
    for words in [
        &["link", "add", "link", "far", "name", "far.5", "type", "vlan", "id", "5"][..],
        &["address", "add", "10.8.0.2/24", "dev", "far.5"],
        &["link", "set", "far.5", "up"],
    ] {
        host.sh("ip", &[&["-n", "peer"], words].concat());
    }
}

/// Lines of chyves, and of `ip` where they begin so.
pub fn all(host: &Host, lines: &[&str]) {
    for line in lines {
        match line.strip_prefix("ip ") {
            Some(words) => drop(host.sh("ip", &words.split(' ').collect::<Vec<_>>())),
            None => drop(host.ok(line)),
        }
    }
}

/// All of a host's networks: interfaces, rules, servers with the files that they run by, default routes, settings.
pub fn everything(host: &Host) -> String {
    let files = "cd \"$1\" 2>/dev/null && grep -r . --exclude dnsmasq.pid --exclude leases --exclude unconfirmed.json . | sort";
    let files = host.command("sh").args(["-c", files, "sh"]).arg(host.run_dir().join("network")).output().unwrap().stdout;
    let routes = host.sh("ip", &["route", "show", "default"]);
    let rules = host.sh("nft", &["list", "ruleset"]);
    let servers = services(host).1;
    let settings = host.ok("get global -H").out + &host.ok("get defaults bridge -H").out;
    format!("{:#?}\n{rules}\n{servers} servers\n{}\n{routes}\n{settings}", shape(host), String::from_utf8_lossy(&files))
}

/// The host's addresses and routes by an interface, in their order, with all that the kernel tells.
pub fn addresses(host: &Host) -> Vec<String> {
    let mut all = Vec::new();
    for interface in interfaces(host) {
        for told in interface["addr_info"].as_array().into_iter().flatten().filter(|a| a["scope"] == "global") {
            let mut told = told.clone();
            // An address that is new again is tried out again.
            for passing in ["tentative", "protocol"] {
                told.as_object_mut().unwrap().remove(passing);
            }
            all.push(format!("{} {told}", interface["ifname"]));
        }
    }
    for family in ["-4", "-6"] {
        let mut routes: Vec<String> = host.sh("ip", &[family, "route", "show", "table", "all"]).lines().map(str::to_owned).collect();
        routes.retain(|r| !r.contains("proto kernel") && !r.contains("fe80::") && !r.starts_with("multicast"));
        // Whether the other end is up is not the route's.
        routes = routes.iter().map(|r| r.replace(" linkdown", "").replace(" dead", "").trim_end().to_owned()).collect();
        routes.sort();
        all.extend(routes);
    }
    all
}

/// Runs a line of `ip`.
pub fn ip(host: &Host, line: &str) {
    host.sh("ip", &line.split(' ').collect::<Vec<_>>());
}

/// Several addresses and routes of both families on `em0`.
pub fn furnish(host: &Host) {
    for line in [
        "address add 10.7.0.1/24 broadcast 10.7.0.255 dev em0",
        "address add 10.7.0.5/24 label em0:web dev em0",
        "address add 10.7.0.6/24 dev em0",
        "address add 10.8.0.1/24 dev em0",
        "-6 address add fd00:7::1/64 nodad dev em0",
        "-6 address add fd00:7::2/64 nodad dev em0",
        "route add default via 10.7.0.2 metric 50",
        "route add 10.20.0.0/16 via 10.8.0.2 proto static",
        "-6 route add default via fd00:7::9 metric 60",
        "route add 198.51.100.7 via 10.7.0.2 mtu lock 1300 advmss 1200 initcwnd 7 hoplimit 5 rto_min 200ms features ecn congctl cubic",
        "route add 10.21.0.0/16 dev em0 scope global",
        "route add 10.22.0.0/16 via 10.7.0.77 src 10.7.0.5 onlink proto 77 dev em0",
        "route add 10.23.0.0/16 via inet6 fd00:7::9 dev em0",
        "route add 10.24.0.0/16 via 10.7.0.2 tos 0x10",
        "route add local 10.99.0.0/24 dev em0 table local",
        "-6 route add fd00:8::/64 via fd00:7::9 pref high mtu 1300",
    ] {
        ip(host, line);
    }
}

/// All interfaces as the kernel has them: kind, flags, membership, VLAN, size and what is written on them. Whether the other end is up
/// is not the interface's.
pub fn links(host: &Host) -> Vec<String> {
    let line = |i: &Value| {
        let mut flags: Vec<&str> = i["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        flags.retain(|flag| !["NO-CARRIER", "LOWER_UP"].contains(flag));
        flags.sort_unstable();
        let (info, data) = (&i["linkinfo"]["info_kind"], &i["linkinfo"]["info_data"]);
        let filters = (&data["vlan_filtering"], &data["id"]);
        format!(
            "{} {info} {filters:?} {} {} {} {flags:?} promiscuous {}",
            i["ifname"], i["master"], i["mtu"], i["ifalias"], i["promiscuity"]
        )
    };
    let mut all: Vec<String> = interfaces(host).iter().map(line).collect();
    all.sort();
    all
}
