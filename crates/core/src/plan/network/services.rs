//! Starting and stopping the services of bridges: rules for NAT, and the DHCP and DNS server.
//!
//! Not here: their configuration ([`crate::network::nat`]), the bridges themselves ([`super::bridge`]).

use crate::action::Action;
use crate::network::nat::{MADE, NAMES, RULES, dnsmasq, folder, nftables, table};
use crate::network::{APPLIED, Actual, BridgeSpec, Proof, STARTED};
use crate::os::{HostFacts, Intent, Os};
use crate::value::IfName;

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
