//! Lists bridges: those that are configured, those that guests use, and those that exist.

use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::Result;
use chyves_core::guest;
use chyves_core::network::{APPLIED, IfKind, STARTED};
use chyves_core::os::taps;
use chyves_core::plan::network::apply::present;
use chyves_core::plan::network::bridge::networks;
use chyves_core::value::IfName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Lists the bridges of this host.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkList {}

/// One bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Bridge {
    /// Its name.
    pub bridge: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: BridgeType,
    /// Its state.
    pub state: BridgeState,
    /// The interface that it is attached to.
    pub uplink: Option<String>,
    /// Whether it is configured to have no uplink.
    pub private: bool,
    /// The interface through which its guests reach other networks by NAT.
    pub nat: Option<String>,
    /// The VLAN on its uplink.
    pub vlan: Option<u16>,
    /// Its MTU: the actual one, or the configured one of a bridge that does not exist.
    pub mtu: Option<u32>,
    /// The host's addresses on it: the actual ones, or the configured ones of a bridge that does not exist.
    pub address: Vec<String>,
    /// The guests with a network interface on it.
    pub guests: Vec<String>,
    /// Its members.
    pub members: Vec<Member>,
    /// Who created it; null if it does not exist.
    pub made: Option<Made>,
    /// Its description.
    pub description: Option<String>,
}

/// What a bridge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeType {
    /// An interface.
    Bridge,
    /// A netgraph node.
    Netgraph,
}

/// The state of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeState {
    /// It exists and is up.
    Up,
    /// It exists and is down.
    Down,
    /// It does not exist.
    Absent,
    /// An interface of its name is no bridge.
    NoBridge,
}

/// Who created a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// The start of a guest.
    AtStart,
    /// A command of chyves.
    ByCommand,
    /// Something else.
    Elsewhere,
}

/// A member of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Member {
    /// The interface.
    pub interface: String,
    /// The guest whose network interface it is.
    pub guest: Option<String>,
}

impl Operation for NetworkList {
    const NAME: &'static str = "network-list";
    type Answer = Vec<Bridge>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(Targets::All), settings: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        let mut users: BTreeMap<IfName, BTreeSet<String>> = BTreeMap::new();
        let mut names: BTreeMap<uuid::Uuid, String> = BTreeMap::new();
        // Netgraph nodes that NICs name, whether or not the host's settings have them.
        let mut nodes: BTreeSet<IfName> = BTreeSet::new();
        for guest in &world.guests {
            names.insert(guest.uuid, guest.name.to_string());
            let Ok(spec) = guest.spec() else { continue };
            for name in networks(&spec, &world.host) {
                users.entry(name).or_default().insert(guest.name.to_string());
            }
            let on_nodes = spec.nets.iter().filter(|net| net.backend == guest::Backend::Netgraph);
            nodes.extend(on_nodes.filter_map(|net| net.netgraph.as_ref()?.split(':').next()?.parse::<IfName>().ok()));
        }
        let facts = engine.networks_to_show(world, !nodes.is_empty())?;
        // A running guest is on its present bridges, whatever its next start uses.
        for guest in &world.guests {
            for name in present(world, &facts.actual, guest) {
                users.entry(name).or_default().insert(guest.name.to_string());
            }
        }
        let there = facts.actual.interfaces.iter().filter(|(_, i)| i.kind.bridges()).filter_map(|(n, _)| n.parse().ok());
        let names_of_all: BTreeSet<IfName> =
            facts.design.bridges().map(|b| b.name.clone()).chain(users.keys().cloned()).chain(there).collect();
        let mut all = Vec::new();
        for name in names_of_all {
            let (spec, seen) = (facts.design.get(&name), facts.actual.get(name.as_str()));
            let netgraph = seen.map_or_else(|| spec.map_or_else(|| nodes.contains(&name), |s| s.netgraph), |i| i.kind == IfKind::Netgraph);
            let member = |m: &String| Member {
                interface: m.clone(),
                guest: facts.actual.get(m).and_then(|i| taps::owner_of(&i.mark)).and_then(|u| names.get(&u)).cloned(),
            };
            all.push(Bridge {
                bridge: name.to_string(),
                kind: if netgraph { BridgeType::Netgraph } else { BridgeType::Bridge },
                state: match seen {
                    Some(i) if !i.kind.bridges() => BridgeState::NoBridge,
                    Some(i) if i.up => BridgeState::Up,
                    Some(_) => BridgeState::Down,
                    None => BridgeState::Absent,
                },
                uplink: spec.and_then(|s| s.uplink.as_ref()).map(ToString::to_string),
                private: spec.is_some_and(|s| s.private),
                nat: spec.and_then(|s| s.nat.as_ref()).map(ToString::to_string),
                vlan: spec.and_then(|s| s.vlan),
                mtu: seen.map(|i| i.mtu).or_else(|| spec.and_then(|s| s.mtu)),
                address: match (seen, spec) {
                    (Some(seen), _) => seen.addresses.iter().map(ToString::to_string).collect(),
                    (None, Some(spec)) => spec.addresses.iter().map(ToString::to_string).collect(),
                    (None, None) => Vec::new(),
                },
                guests: users.remove(&name).unwrap_or_default().into_iter().collect(),
                members: seen.map(|i| i.members.iter().map(member).collect()).unwrap_or_default(),
                made: seen.filter(|i| i.kind.bridges()).map(|i| match i.mark.as_str() {
                    STARTED => Made::AtStart,
                    APPLIED => Made::ByCommand,
                    _ => Made::Elsewhere,
                }),
                description: spec.and_then(|s| s.description.clone()),
            });
        }
        Ok(all.into())
    }
}
