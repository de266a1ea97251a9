//! Guests that hide behind the host's address, and get addresses and names from it: for a laptop, or where the uplink can't
//! be bridged. Linux gets rules in a table of nftables of their own; for FreeBSD the anchor for pf is only printed, since
//! its packet filter is the administrator's. Addresses and names come from a dnsmasq of its own.
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

/// The file of a bridge's rules, in its folder.
pub const RULES: &str = "rules.nft";

/// The file of the settings of a bridge's server of addresses.
pub const NAMES: &str = "dnsmasq.conf";

/// The program that loads rules on Linux.
pub const NFT: &str = "nft";

/// The program that gives addresses and names.
pub const DNSMASQ: &str = "dnsmasq";

/// How one of them is installed.
pub fn install(program: &str, os: Os) -> Option<&'static str> {
    match (program, os) {
        (NFT, Os::Linux) => Some("apt-get install nftables"),
        (DNSMASQ, Os::Linux) => Some("apt-get install dnsmasq-base"),
        (DNSMASQ, Os::FreeBsd) => Some("pkg install dnsmasq"),
        _ => None,
    }
}

/// The folder of what chyves' own servers need.
pub fn folder(run_dir: &str, spec: &BridgeSpec) -> String {
    format!("{run_dir}/network/{}", spec.name)
}

/// The table of a bridge's rules. Names of tables have no dots and dashes.
pub fn table(bridge: &IfName) -> String {
    let word: String = bridge.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("chyves_{word}")
}

/// The fault of a bridge whose guests are to reach other networks through an interface that is not there. Nothing is refused
/// for it, since the interface may come later; it is reported wherever that is set, made or used.
pub fn no_way_out(actual: &Actual, spec: &BridgeSpec) -> Option<Problem> {
    let nat = spec.nat.as_ref().filter(|nat| actual.get(nat.as_str()).is_none())?;
    let name = &spec.name;
    Some(
        Problem::host_cant(format!("its guests reach other networks through {nat} (nat), and there is no such interface"))
            .on(name)
            .hint(format!("`chyves network {name} set nat=INTERFACE` names another; `ip link` or `ifconfig -l` lists them")),
    )
}

/// The same as one line about that bridge.
pub fn note(bridge: &IfName, problem: &Problem) -> String {
    let cure = problem.hints.first().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{bridge}: {problem}{cure}")
}

/// The rules for nftables. Loaded again they replace themselves, and touch no others.
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
         dhcp-range={first},{last},{2},12h\ndhcp-leasefile={folder}/{LEASES}\npid-file={folder}/{PROCESS}\nno-hosts\nuser=root\n",
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

/// What runs for a bridge beside its interfaces, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// The folder of its files.
    pub folder: String,
    /// The rules that are loaded, as their file has them.
    pub rules: Option<String>,
    /// The settings that the server of addresses runs by.
    pub names: Option<String>,
    /// Who brought it up: [`STARTED`] or [`APPLIED`].
    pub mark: String,
    /// All files of the folder that chyves or its server wrote, those of [`FILES`].
    pub files: BTreeMap<String, String>,
}

/// The file in a bridge's folder that says who brought its services up.
pub const MADE: &str = "made";

/// The file of the addresses that the server of a bridge has given.
pub const LEASES: &str = "leases";

/// The file of the number of its process.
pub const PROCESS: &str = "dnsmasq.pid";

/// The files that a bridge's folder may have, but for that of the process.
pub const FILES: [&str; 4] = [RULES, NAMES, MADE, LEASES];

/// What brings the services of a bridge up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bringing {
    /// The steps before the bridge is made.
    pub first: Vec<Action>,
    /// The steps once it is there.
    pub last: Vec<Action>,
    /// What must be so then.
    pub proofs: Vec<Proof>,
    /// What is missing, a sentence each without a full stop.
    pub says: Vec<String>,
}

impl Bringing {
    /// The steps that the system is told, without the files that they read.
    pub fn intents(&self) -> Vec<Intent> {
        let told = self.first.iter().chain(&self.last).filter_map(|step| if let Action::Host(intent) = step { Some(intent) } else { None });
        told.cloned().collect()
    }
}

/// What brings about the rules and the server that a bridge wants and that do not run, or not by what is wanted now. What a
/// command brought up stays; what a start did goes with the last guest on the bridge.
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
        // The one before must go while its addresses are there, to be started again by them if it is rolled back.
        if found.is_some_and(|f| f.names.is_some()) {
            all.first.push(Action::Host(Intent::StopDhcp { file: file.clone() }));
        }
        all.last.push(Action::WriteFile { path: file.as_str().into(), text });
        all.last.push(Action::Host(Intent::StartDhcp { file }));
        all.proofs.push(Proof::Serves { bridge: spec.name.clone() });
    }
    let marked = found.map_or("", |f| f.mark.as_str());
    // A command's promise ends with its bridge, as after a reboot of the host.
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

/// The steps that end what runs for a bridge and is not wanted any more; where nothing is, its folder goes too.
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
