//! NAT, DHCP and DNS for guests: for a laptop, or if the uplink cannot be bridged. On Linux the rules are loaded into
//! separate nftables tables; for FreeBSD the pf anchor is only printed, because its packet filter is managed by the
//! administrator. DHCP and DNS are provided by a dedicated dnsmasq for each bridge.
//!
//! Not here: the bridge itself (`compare`).

use super::{APPLIED, Actual, BridgeSpec, Proof, STARTED};
use crate::action::Action;
use crate::error::Problem;
use crate::os::{Intent, Os};
use crate::value::{Cidr, IfName};
use crate::world::HostFacts;
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
    /// The mark of what started them: [`STARTED`] or [`APPLIED`].
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

/// The steps that start the services of a bridge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bringing {
    /// Steps before the bridge is created.
    pub first: Vec<Action>,
    /// Steps after the bridge was created.
    pub last: Vec<Action>,
    /// Conditions to check afterwards.
    pub proofs: Vec<Proof>,
    /// What is missing, a sentence each without a full stop.
    pub says: Vec<String>,
}

impl Bringing {
    /// The changes of the operating system among the steps, without writing the files that they use.
    pub fn intents(&self) -> Vec<Intent> {
        let told = self.first.iter().chain(&self.last).filter_map(|step| if let Action::Host(intent) = step { Some(intent) } else { None });
        told.cloned().collect()
    }
}

/// Starts the rules and the server that a bridge needs and that do not run, or run with another configuration. Services
/// that a command started are permanent; those of a start are stopped with the last guest on the bridge.
pub fn bring(host: &HostFacts, spec: &BridgeSpec, actual: &Actual, mark: &str) -> Bringing {
    let bridge = actual.get(spec.name.as_str());
    if bridge.is_none() && !spec.is_decided() {
        return Bringing::default();
    }
    let found = actual.services.get(spec.name.as_str());
    let folder = folder(&host.run_dir, spec);
    let mut all = Bringing::default();
    let table = table(&spec.name);
    if let (Some(text), Os::Linux) = (nftables(spec), host.os)
        && found.is_none_or(|f| f.rules.as_ref() != Some(&text))
    {
        let file = format!("{folder}/{RULES}");
        all.says.push(format!("the NAT rules for {} are not loaded", spec.nat.as_ref().map_or("it", |n| n.as_str())));
        all.first.push(Action::WriteFile { path: file.as_str().into(), text });
        for v6 in [false, true] {
            if spec.addresses.iter().any(|a| a.address.is_ipv6() == v6) {
                all.first.push(Action::Host(Intent::Forward { v6 }));
            }
        }
        all.first.push(Action::Host(Intent::LoadRules { file, table, before: found.and_then(|f| f.rules.clone()) }));
        all.proofs.push(Proof::Hides { bridge: spec.name.clone() });
    }
    if let Some(text) = dnsmasq(&host.run_dir, spec)
        && found.is_none_or(|f| f.names.as_ref() != Some(&text))
    {
        let file = format!("{folder}/{NAMES}");
        all.says.push("no DHCP server is running for guests".into());
        // The running server is stopped while its old addresses still exist, so that a rollback can restart it with them.
        if found.is_some_and(|f| f.names.is_some()) {
            all.first.push(Action::Host(Intent::StopDhcp { file: file.clone() }));
        }
        all.last.push(Action::WriteFile { path: file.as_str().into(), text });
        all.last.push(Action::Host(Intent::StartDhcp { file }));
        all.proofs.push(Proof::Serves { bridge: spec.name.clone() });
    }
    let marked = found.map_or("", |f| f.mark.as_str());
    // Services that a command started are permanent only as long as their bridge exists, as after a reboot of the host.
    let keeps = mark == APPLIED || marked != APPLIED || bridge.is_none();
    let wanted = !all.says.is_empty() || mark == APPLIED && marked == STARTED;
    if wanted {
        let mut begin = vec![
            Action::MakeFolder { path: format!("{}/network", host.run_dir).into() },
            Action::MakeFolder { path: folder.as_str().into() },
        ];
        if keeps {
            begin.push(Action::WriteFile { path: format!("{folder}/{MADE}").into(), text: format!("{mark}\n") });
        }
        all.first.splice(0..0, begin);
    }
    all
}

/// The steps that stop services of a bridge that are no longer needed; if none remains, its folder is removed too.
pub fn end(actual: &Actual, bridge: &IfName, spec: Option<&BridgeSpec>) -> Vec<Action> {
    let Some(found) = actual.services.get(bridge.as_str()) else { return Vec::new() };
    let mut steps = Vec::new();
    let (hides, serves) = (spec.is_some_and(|s| s.nat.is_some()), spec.is_some_and(|s| s.dhcp));
    if found.names.is_some() && !serves {
        steps.push(Action::Host(Intent::StopDhcp { file: format!("{}/{NAMES}", found.folder) }));
    }
    if found.rules.is_some() && !hides {
        steps.push(Action::Host(Intent::DropRules { file: format!("{}/{RULES}", found.folder), table: table(bridge) }));
    }
    if !hides && !serves {
        steps.push(Action::DropFolder { path: found.folder.clone(), files: found.files.clone().into_iter().collect() });
    }
    steps
}
