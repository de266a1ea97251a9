//! NAT, DHCP and DNS for guests: for a laptop, or if the uplink cannot be bridged. On Linux the rules are loaded into
//! separate nftables tables; for FreeBSD the pf anchor is only printed, because its packet filter is managed by the
//! administrator. DHCP and DNS are provided by a dedicated dnsmasq for each bridge.
//!
//! Not here: the bridge itself (`compare`).

use super::{Actual, BridgeSpec};
use crate::error::Problem;
use crate::os::Os;
use crate::value::{Cidr, IfName};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The file with a bridge's rules, in its folder.
pub const RULES: &str = "rules.nft";

/// The configuration file of a bridge's DHCP and DNS server.
pub const NAMES: &str = "dnsmasq.conf";

/// The program that loads rules on Linux.
pub const NFT: &str = "nft";

/// The program that provides DHCP and DNS.
pub const DNSMASQ: &str = "dnsmasq";

/// The command that installs one of them.
pub fn install(program: &str, os: Os) -> Option<&'static str> {
    match (program, os) {
        (NFT, Os::Linux) => Some("apt-get install nftables"),
        (DNSMASQ, Os::Linux) => Some("apt-get install dnsmasq-base"),
        (DNSMASQ, Os::FreeBsd) => Some("pkg install dnsmasq"),
        _ => None,
    }
}

/// The folder with the files of a bridge's services.
pub fn folder(run_dir: &str, spec: &BridgeSpec) -> String {
    format!("{run_dir}/network/{}", spec.name)
}

/// The nftables table of a bridge's rules. Names of tables contain no dots and dashes.
pub fn table(bridge: &IfName) -> String {
    let word: String = bridge.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("chyves_{word}")
}

/// The problem of a bridge with NAT through an interface that does not exist. Nothing is refused because of it, because the
/// interface may appear later; it is reported whenever this is set, created or used.
pub fn no_way_out(actual: &Actual, spec: &BridgeSpec) -> Option<Problem> {
    let nat = spec.nat.as_ref().filter(|nat| actual.get(nat.as_str()).is_none())?;
    let name = &spec.name;
    Some(
        Problem::host_cant(format!("its guests reach other networks through {nat} (nat), and there is no such interface"))
            .on(name)
            .hint(format!("`chyves network {name} set nat=INTERFACE` names another; `ip link` or `ifconfig -l` lists them")),
    )
}

/// The same as a one-line note.
pub fn note(bridge: &IfName, problem: &Problem) -> String {
    let cure = problem.hints.first().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{bridge}: {problem}{cure}")
}

/// The nftables rules. Loading them again replaces them, without changing other rules.
pub fn nftables(spec: &BridgeSpec) -> Option<String> {
    let out = spec.nat.as_ref()?;
    let (table, bridge) = (table(&spec.name), &spec.name);
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

/// The anchor for pf, with instructions where to add it.
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

/// The configuration of a bridge's dnsmasq. It reads no other configuration, and writes only to its own folder.
pub fn dnsmasq(run_dir: &str, spec: &BridgeSpec) -> Option<String> {
    let v4 = spec.addresses.iter().find(|a| a.address.is_ipv4()).filter(|_| spec.dhcp)?;
    let (first, last) = range(*v4)?;
    let folder = folder(run_dir, spec);
    Some(format!(
        "interface={0}\nexcept-interface=lo\nbind-interfaces\nlisten-address={1}\ndhcp-authoritative\n\
         dhcp-range={first},{last},{2},12h\ndhcp-leasefile={folder}/{LEASES}\npid-file={folder}/{PROCESS}\nno-hosts\nuser=root\n",
        spec.name,
        v4.address,
        mask(v4.prefix)
    ))
}

fn mask(prefix: u8) -> std::net::Ipv4Addr {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0).into()
}

/// The addresses for guests: the upper half of the network, without the host's own and the last one.
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

/// The running services of a bridge, as they were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// The folder of their files.
    pub folder: String,
    /// The loaded rules, from their file.
    pub rules: Option<String>,
    /// The configuration that the DHCP server is running with.
    pub names: Option<String>,
    /// The mark of what started them: [`super::STARTED`] or [`super::APPLIED`].
    pub mark: String,
    /// The files in the folder that chyves or its server wrote: those of [`FILES`].
    pub files: BTreeMap<String, String>,
}

/// The file in a bridge's folder with the mark of what started its services.
pub const MADE: &str = "made";

/// The file with the leases of a bridge's server.
pub const LEASES: &str = "leases";

/// The file with its process id.
pub const PROCESS: &str = "dnsmasq.pid";

/// The files that a bridge's folder can contain, except the process id.
pub const FILES: [&str; 4] = [RULES, NAMES, MADE, LEASES];
