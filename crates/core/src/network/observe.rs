//! The command that lists the host's interfaces, and parsing its output: `ifconfig` of FreeBSD from 13.0 on, `ip -j -d` of
//! iproute2 from 4.13 on. The kind of an interface follows from the group that FreeBSD's kernel adds it to, or from the
//! kind that Linux reports.
//!
//! Not here: routes ([`super::routes`]).

use super::actual::{Actual, IfKind, Interface};
use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::assigned::Detail;
use crate::os::state::unreadable;
use crate::os::{Os, freebsd, linux};
use crate::value::Cidr;
use crate::value::json;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};

/// The command that lists interfaces.
pub fn question(os: Os) -> Cmd {
    match os {
        Os::FreeBsd => Cmd::new(freebsd::ifconfig::TOOL, ["-a"]),
        Os::Linux => Cmd::new(linux::ip::TOOL, ["-j", "-d", "address", "show"]),
    }
}

/// Parses the output of [`question`].
///
/// # Errors
/// It has an unexpected form.
pub fn read(os: Os, answer: &str) -> Result<Actual> {
    let mut actual = match os {
        Os::FreeBsd => ifconfig(answer)?,
        Os::Linux => ip(answer)?,
    };
    actual.link_members(os);
    Ok(actual)
}

fn first(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

/// An interface begins at the start of a line, its details are indented.
fn ifconfig(answer: &str) -> Result<Actual> {
    let mut actual = Actual::default();
    let mut name = String::new();
    let mut groups: Vec<String> = Vec::new();
    for line in answer.lines() {
        let wrong = || unreadable(freebsd::ifconfig::TOOL, line);
        if let Some(told) = line.strip_prefix(['\t', ' ']) {
            let at = actual.interfaces.get_mut(&name).ok_or_else(wrong)?;
            detail(at, told.trim_start(), &mut groups).ok_or_else(wrong)?;
            continue;
        }
        classify(&mut actual, &name, &groups);
        groups.clear();
        let (new, rest) = line.split_once(": flags=").ok_or_else(wrong)?;
        let flags = rest.split_once('<').and_then(|(_, r)| r.split_once('>')).ok_or_else(wrong)?.0;
        let mut words = rest.split_ascii_whitespace().skip_while(|w| *w != "mtu").skip(1);
        let mtu = words.next().and_then(|m| m.parse().ok()).ok_or_else(wrong)?;
        let has = |flag: &str| flags.split(',').any(|f| f == flag);
        let kind = if has("LOOPBACK") { IfKind::Loopback } else { IfKind::Other };
        new.clone_into(&mut name);
        actual.interfaces.insert(name.clone(), Interface { up: has("UP"), mtu, ..Interface::new(kind) });
    }
    classify(&mut actual, &name, &groups);
    if actual.interfaces.is_empty() {
        return Err(unreadable(freebsd::ifconfig::TOOL, answer));
    }
    Ok(actual)
}

/// Parses one line about an interface. `None` if it is a known kind of line but malformed.
fn detail(at: &mut Interface, told: &str, groups: &mut Vec<String>) -> Option<()> {
    if let Some(text) = told.strip_prefix("description: ") {
        text.clone_into(&mut at.mark);
    } else if let Some(mac) = told.strip_prefix("ether ") {
        at.mac = mac.trim().parse().ok();
    } else if let Some(rest) = told.strip_prefix("inet ") {
        at.addresses.push(inet(rest)?);
    } else if let Some(rest) = told.strip_prefix("inet6 ") {
        let mut words = rest.split_ascii_whitespace();
        let address = words.next()?;
        let prefix = words.skip_while(|w| *w != "prefixlen").nth(1)?;
        // Every interface has link-local addresses.
        if !address.starts_with("fe80") && address != "::1" {
            at.addresses.push(format!("{address}/{prefix}").parse().ok()?);
        }
    } else if let Some(rest) = told.strip_prefix("member: ") {
        at.members.push(rest.split_ascii_whitespace().next()?.to_owned());
    } else if let Some(rest) = told.strip_prefix("groups: ") {
        groups.extend(rest.split_ascii_whitespace().map(str::to_owned));
    } else if let Some(rest) = told.strip_prefix("vlan: ") {
        let tag = rest.split_ascii_whitespace().next()?.parse().ok()?;
        let parent = rest.split_once("parent interface: ")?.1.trim();
        // A VLAN without a parent shows `<none>`.
        if parent != "<none>" {
            at.vlan = Some((parent.to_owned(), tag));
        }
    } else if told.starts_with("Opened by PID ") {
        at.open = true;
    } else if told.starts_with("media: ") && at.kind == IfKind::Other {
        at.kind = if told.contains("IEEE 802.11") { IfKind::Wireless } else { IfKind::Physical };
    } else if let Some(flags) = told.strip_prefix("bridge flags=") {
        at.filters = flags.contains("VLANFILTER");
    }
    Some(())
}

/// `10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255`, `10.0.0.1/24`; a loopback address is skipped.
fn inet(rest: &str) -> Option<Cidr> {
    let mut words = rest.split_ascii_whitespace();
    let address = words.next()?;
    if address.contains('/') {
        return address.parse().ok();
    }
    let address: Ipv4Addr = address.parse().ok()?;
    let mask = words.skip_while(|w| *w != "netmask").nth(1)?;
    let mask = u32::from_str_radix(mask.strip_prefix("0x")?, 16).ok()?;
    Some(Cidr { address: address.into(), prefix: u8::try_from(mask.leading_ones()).ok()? })
}

/// The kernel adds an interface to the group of its driver, which a rename does not change.
fn classify(actual: &mut Actual, name: &str, groups: &[String]) {
    let Some(at) = actual.interfaces.get_mut(name) else { return };
    for group in groups {
        at.kind = match group.as_str() {
            "bridge" => IfKind::Bridge,
            "tap" | "vmnet" => IfKind::Tap,
            "vlan" => IfKind::Vlan,
            "epair" => IfKind::Pair,
            "lagg" => IfKind::Aggregate,
            "lo" => IfKind::Loopback,
            "wlan" => IfKind::Wireless,
            "tun" | "gif" | "gre" | "pflog" | "pfsync" | "enc" | "wg" | "stf" | "ipsec" => IfKind::Other,
            // Groups that the administrator defined are ignored.
            _ => continue,
        };
        return;
    }
}

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    mtu: u32,
    max_mtu: Option<u32>,
    master: Option<String>,
    #[serde(rename = "link")]
    parent: Option<String>,
    #[serde(rename = "link_type")]
    medium: Option<String>,
    address: Option<String>,
    ifalias: Option<String>,
    linkinfo: Option<LinkInfo>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct LinkInfo {
    #[serde(rename = "info_kind")]
    kind: Option<String>,
    #[serde(rename = "info_data")]
    data: Option<LinkData>,
    #[serde(rename = "info_slave_kind")]
    member_of: Option<String>,
}

#[derive(Deserialize)]
struct LinkData {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<serde_json::Value>,
    vlan_filtering: Option<u8>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    prefixlen: Option<u8>,
    scope: Option<String>,
    #[serde(rename = "address")]
    peer: Option<IpAddr>,
    broadcast: Option<IpAddr>,
    label: Option<String>,
    metric: Option<u32>,
    #[serde(default)]
    noprefixroute: bool,
    #[serde(default)]
    mngtmpaddr: bool,
    #[serde(default)]
    nodad: bool,
    #[serde(default)]
    temporary: bool,
    valid_life_time: Option<u32>,
    preferred_life_time: Option<u32>,
}

impl Address {
    fn cidr(&self) -> Option<Cidr> {
        Some(Cidr { address: self.local?, prefix: self.prefixlen? })
    }

    fn detail(&self, interface: &str) -> Detail {
        let ends = |s: &u32| *s != u32::MAX;
        Detail {
            broadcast: self.broadcast,
            peer: self.peer,
            label: self.label.clone().filter(|label| label != interface),
            metric: self.metric,
            no_route: self.noprefixroute,
            unchecked: self.nodad,
            managed: self.mngtmpaddr,
            valid: self.valid_life_time.filter(ends),
            preferred: self.preferred_life_time.filter(ends),
        }
    }
}

fn ip(answer: &str) -> Result<Actual> {
    let links: Vec<Link> = json::from_str(answer).map_err(|e| unreadable(linux::ip::TOOL, first(answer)).because(e))?;
    let mut actual = Actual::default();
    for link in links {
        let info = link.linkinfo.as_ref();
        let data = info.and_then(|i| i.data.as_ref());
        let kind = kind(&link);
        let has = |flag: &str| link.flags.iter().any(|f| f == flag);
        let tag = || data.and_then(|d| d.id.as_ref()).and_then(serde_json::Value::as_u64).and_then(|t| u16::try_from(t).ok());
        // Temporary addresses expire on their own.
        let global: Vec<&Address> = link.addr_info.iter().filter(|a| a.scope.as_deref() == Some("global") && !a.temporary).collect();
        let interface = Interface {
            kind,
            up: has("UP"),
            mtu: link.mtu,
            mtu_limit: link.max_mtu.filter(|m| *m > 0),
            mac: link.address.as_deref().and_then(|m| m.parse().ok()),
            addresses: global.iter().filter_map(|a| a.cidr()).collect(),
            details: global.iter().filter_map(|a| Some((a.cidr()?, a.detail(&link.ifname)))).collect(),
            // Members of a bond have a master too, which is not a bridge.
            bridge: link.master.clone().filter(|_| info.and_then(|i| i.member_of.as_deref()) == Some("bridge")),
            members: Vec::new(),
            vlan: if kind == IfKind::Vlan { link.parent.clone().zip(tag()) } else { None },
            mark: link.ifalias.clone().unwrap_or_default(),
            open: has("LOWER_UP"),
            filters: data.and_then(|d| d.vlan_filtering) == Some(1),
        };
        actual.interfaces.insert(link.ifname, interface);
    }
    Ok(actual)
}

fn kind(link: &Link) -> IfKind {
    let info = link.linkinfo.as_ref();
    match info.and_then(|i| i.kind.as_deref()) {
        Some("bridge" | "openvswitch") => IfKind::Bridge,
        Some("tun") => match info.and_then(|i| i.data.as_ref()).and_then(|d| d.kind.as_deref()) {
            Some("tun") => IfKind::Other,
            Some(_) | None => IfKind::Tap,
        },
        Some("vlan") => IfKind::Vlan,
        Some("veth") => IfKind::Pair,
        Some("bond" | "team") => IfKind::Aggregate,
        // A dummy interface is treated like a NIC; tests use it in place of one.
        Some("dummy") => IfKind::Physical,
        Some(_) => IfKind::Other,
        None => match link.medium.as_deref() {
            Some("loopback") => IfKind::Loopback,
            Some("ether") => IfKind::Physical,
            Some(_) | None => IfKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use IfKind::{Bridge, Loopback, Pair, Physical, Tap, Vlan, Wireless};

    const FREEBSD: &str = "\
em0: flags=1008943<UP,BROADCAST,RUNNING,PROMISC,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500
\toptions=48500b9<RXCSUM,VLAN_MTU>
\tether 58:9c:fc:10:22:33
\tinet 192.168.1.2 netmask 0xffffff00 broadcast 192.168.1.255
\tinet6 fe80::1%em0 prefixlen 64 scopeid 0x1
\tinet6 2001:db8::5 prefixlen 64
\tmedia: Ethernet autoselect (1000baseT <full-duplex>)
\tstatus: active
lo0: flags=1008049<UP,LOOPBACK,RUNNING,MULTICAST,LOWER_UP> metric 0 mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
\tgroups: lo
lan: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tdescription: chyves/network/started
\tether 58:9c:fc:10:ff:b6
\tid 00:00:00:00:00:00 priority 32768 hellotime 2 fwddelay 15
\tbridge flags=1<VLANFILTER>
\tmember: chv1 flags=143<LEARNING,DISCOVER,AUTOEDGE,AUTOPTP>
\t        ifmaxaddr 0 port 4 priority 128 path cost 2000000
\tmember: em0.5 flags=143<LEARNING,DISCOVER,AUTOEDGE,AUTOPTP>
\t        ifmaxaddr 0 port 1 priority 128 path cost 20000
\tgroups: bridge mine
\tnd6 options=9<PERFORMNUD,IFDISABLED>
chv1: flags=8902<BROADCAST,PROMISC,SIMPLEX,MULTICAST> metric 0 mtu 9000
\tdescription: chyves/e7402fa1-6791-5e38-a6ba-6fb88037d7ef/net0
\tgroups: chyves tap
\tOpened by PID 4711
em0.5: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tgroups: vlan
\tvlan: 5 vlanproto: 802.1q vlanpcp: 0 parent interface: em0
\tmedia: Ethernet autoselect (1000baseT <full-duplex>)
wlan0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tgroups: wlan
\tmedia: IEEE 802.11 Wireless Ethernet MCS mode 11ng
";

    #[test]
    fn freebsd_s_interfaces_are_what_its_kernel_says() {
        // The loopback address belongs to no network.
        let actual = read(Os::FreeBsd, &FREEBSD.replace("\tinet 127.0.0.1 netmask 0xff000000\n", "")).unwrap();
        let kinds: Vec<(&str, IfKind)> = actual.interfaces.iter().map(|(n, i)| (n.as_str(), i.kind)).collect();
        assert_eq!(kinds, [("chv1", Tap), ("em0", Physical), ("em0.5", Vlan), ("lan", Bridge), ("lo0", Loopback), ("wlan0", Wireless)]);
        let lan = &actual.interfaces["lan"];
        assert_eq!(lan.members, ["chv1", "em0.5"]);
        assert!(lan.filters && lan.up && lan.mark == super::super::STARTED);
        let tap = &actual.interfaces["chv1"];
        assert!(tap.open && !tap.up && tap.mtu == 9000 && tap.bridge.as_deref() == Some("lan"), "{tap:?}");
        let em0: Vec<String> = actual.interfaces["em0"].addresses.iter().map(ToString::to_string).collect();
        assert_eq!(em0, ["192.168.1.2/24", "2001:db8::5/64"]);
        assert_eq!(actual.vlan_of("em0", 5), Some("em0.5"));
        assert!(read(Os::FreeBsd, FREEBSD).is_ok());
    }

    #[test]
    fn linux_s_too() {
        let text = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"link_type":"loopback","address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
          {"ifindex":2,"ifname":"br0","flags":["UP"],"mtu":1500,"link_type":"ether","address":"da:7b:c9:56:68:2b","max_mtu":65535,"linkinfo":{"info_kind":"bridge","info_data":{"vlan_filtering":1}},"addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24,"scope":"global"},{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},
          {"ifindex":3,"ifname":"t0","flags":["UP"],"mtu":1500,"master":"br0","link_type":"ether","linkinfo":{"info_kind":"tun","info_data":{"type":"tap"},"info_slave_kind":"bridge","info_slave_data":{"id":"0x8001"}},"ifalias":"mine","addr_info":[]},
          {"ifindex":4,"ifname":"eth0.5","link":"eth0","flags":["UP"],"mtu":1500,"link_type":"ether","linkinfo":{"info_kind":"vlan","info_data":{"protocol":"802.1Q","id":5}},"addr_info":[]},
          {"ifindex":5,"ifname":"eth0","flags":["UP","LOWER_UP"],"mtu":1500,"link_type":"ether","addr_info":[]},
          {"ifindex":6,"ifname":"vb","link":"va","flags":[],"mtu":1500,"link_type":"ether","linkinfo":{"info_kind":"veth"},"addr_info":[]}]"#;
        let actual = read(Os::Linux, text).unwrap();
        let kinds: Vec<(&str, IfKind)> = actual.interfaces.iter().map(|(n, i)| (n.as_str(), i.kind)).collect();
        assert_eq!(kinds, [("br0", Bridge), ("eth0", Physical), ("eth0.5", Vlan), ("lo", Loopback), ("t0", Tap), ("vb", Pair)]);
        let br0 = &actual.interfaces["br0"];
        assert_eq!((br0.members.as_slice(), br0.addresses.len(), br0.filters), (["t0".to_owned()].as_slice(), 1, true));
        assert_eq!(actual.vlan_of("eth0", 5), Some("eth0.5"));
        assert_eq!(actual.interfaces["t0"].mark, "mine");
    }

    #[test]
    fn what_can_t_be_read_is_an_error() {
        for bad in ["", "ifconfig: what?\n", "\tdescription: x\n", "em0: flags=1<UP> metric 0\n", "em0: flags=1<UP> mtu 1\n\tinet x\n"] {
            assert!(read(Os::FreeBsd, bad).is_err(), "{bad}");
        }
        for bad in ["", "1: lo: <LOOPBACK>", "{}", r#"[{"ifname":"lo"}]"#] {
            assert!(read(Os::Linux, bad).is_err(), "{bad}");
        }
    }
}
