//! Guests that hide behind the host's address, and get addresses and names from it: for a laptop, or where the uplink can't
//! be bridged. Linux gets rules in a table of nftables of their own; for FreeBSD the anchor for pf is only printed, since
//! its packet filter is the administrator's. Addresses and names come from a dnsmasq of its own.
//!
//! Not here: the bridge itself (`compare`).

use super::BridgeSpec;
use crate::action::Action;
use crate::os::{Intent, Os};
use crate::value::Cidr;
use crate::world::HostFacts;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The folder of what chyves' own servers need.
pub fn folder(run_dir: &str, spec: &BridgeSpec) -> String {
    format!("{run_dir}/network/{}", spec.name)
}

/// The table of a bridge's rules. Names of tables have no dots and dashes.
pub fn table(spec: &BridgeSpec) -> String {
    let word: String = spec.name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("chyves_{word}")
}

/// The rules for nftables. Loaded again they replace themselves, and touch no others.
pub fn nftables(spec: &BridgeSpec) -> Option<String> {
    let out = spec.nat.as_ref()?;
    let (table, bridge) = (table(spec), &spec.name);
    let mut text = format!(
        "table inet {table} {{}}\ndelete table inet {table}\ntable inet {table} {{\n\tchain behind {{\n\t\ttype nat hook postrouting priority 100;\n"
    );
    for address in &spec.addresses {
        let family = if address.address.is_ipv4() { "ip" } else { "ip6" };
        let _ = writeln!(text, "\t\t{family} saddr {} oifname \"{out}\" masquerade", address.network());
    }
    text.push_str("\t}\n\tchain between {\n\t\ttype filter hook forward priority 0;\n");
    let _ = writeln!(text, "\t\tiifname \"{out}\" oifname \"{bridge}\" ct state established,related accept");
    let _ = writeln!(text, "\t\tiifname \"{out}\" oifname \"{bridge}\" drop");
    text.push_str("\t}\n}\n");
    Some(text)
}

/// The anchor for pf, with where it goes.
pub fn pf(spec: &BridgeSpec) -> Option<String> {
    let out = spec.nat.as_ref()?;
    let bridge = &spec.name;
    let mut text = format!(
        "# chyves never edits pf.conf. Put these two lines into /etc/pf.conf, the first one among the translations:\n\
         #   nat-anchor \"chyves/*\"\n#   anchor \"chyves/*\"\n\
         # then load what follows: chyves network nat {bridge} | pfctl -a chyves/{bridge} -f -\n\
         # and let the host forward: sysctl net.inet.ip.forwarding=1; at boot, in /etc/rc.conf: gateway_enable=\"YES\" pf_enable=\"YES\"\n"
    );
    for address in &spec.addresses {
        let family = if address.address.is_ipv4() { "inet" } else { "inet6" };
        let _ = writeln!(text, "nat on {out} {family} from {} to any -> ({out})", address.network());
    }
    let _ = writeln!(text, "pass in on {bridge} all\npass out on {bridge} all");
    Some(text)
}

/// The settings of the dnsmasq of a bridge. It reads nothing else, and keeps all it writes in its own folder.
pub fn dnsmasq(run_dir: &str, spec: &BridgeSpec) -> Option<String> {
    let v4 = spec.addresses.iter().find(|a| a.address.is_ipv4()).filter(|_| spec.dhcp)?;
    let (first, last) = range(*v4)?;
    let folder = folder(run_dir, spec);
    Some(format!(
        "interface={0}\nexcept-interface=lo\nbind-interfaces\nlisten-address={1}\ndhcp-authoritative\n\
         dhcp-range={first},{last},{2},12h\ndhcp-leasefile={folder}/leases\npid-file={folder}/dnsmasq.pid\nno-hosts\nuser=root\n",
        spec.name,
        v4.address,
        mask(v4.prefix)
    ))
}

fn mask(prefix: u8) -> std::net::Ipv4Addr {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0).into()
}

/// The addresses that guests may get: the upper half of the network, without the host's own and the last.
fn range(host: Cidr) -> Option<(std::net::Ipv4Addr, std::net::Ipv4Addr)> {
    let IpAddr::V4(own) = host.address else { return None };
    let IpAddr::V4(base) = host.network().address else { return None };
    let size = 1u64 << (32 - u32::from(host.prefix));
    if size < 8 {
        return None;
    }
    let at = |offset: u64| u32::try_from(u64::from(u32::from(base)) + offset).ok().map(std::net::Ipv4Addr::from);
    let (mut first, mut last) = (at(size / 2)?, at(size - 2)?);
    if first == own {
        first = at(size / 2 + 1)?;
    }
    if last == own {
        last = at(size - 3)?;
    }
    Some((first, last))
}

/// The steps that bring rules and server about, or take away what is no longer wanted.
pub fn steps(host: &HostFacts, spec: Option<&BridgeSpec>, before: Option<&BridgeSpec>) -> Vec<Action> {
    let mut steps = Vec::new();
    let had = before.filter(|b| b.nat.is_some());
    if let Some(before) = had.filter(|_| spec.is_none_or(|s| s.nat.is_none()) && host.os == Os::Linux) {
        steps.push(Action::Host(Intent::DropRules { table: table(before) }));
    }
    let Some(spec) = spec else { return steps };
    let folder = folder(&host.run_dir, spec);
    if let (Some(text), Os::Linux) = (nftables(spec), host.os) {
        let file = format!("{folder}/rules.nft");
        steps.push(Action::MakeFolder { path: format!("{}/network", host.run_dir) });
        steps.push(Action::MakeFolder { path: folder.clone() });
        steps.push(Action::WriteFile { path: file.clone(), text });
        for v6 in [false, true] {
            if spec.addresses.iter().any(|a| a.address.is_ipv6() == v6) {
                steps.push(Action::Host(Intent::Forward { v6 }));
            }
        }
        steps.push(Action::Host(Intent::LoadRules { file, table: table(spec) }));
    }
    steps
}

/// The steps that run the server of addresses, once its bridge is there.
pub fn serve(host: &HostFacts, spec: &BridgeSpec) -> Vec<Action> {
    let Some(text) = dnsmasq(&host.run_dir, spec) else { return Vec::new() };
    let folder = folder(&host.run_dir, spec);
    let file = format!("{folder}/dnsmasq.conf");
    vec![
        Action::MakeFolder { path: format!("{}/network", host.run_dir) },
        Action::MakeFolder { path: folder },
        Action::WriteFile { path: file.clone(), text },
        Action::Host(Intent::ServeNames { file }),
    ]
}
