//! The actual state of the host's interfaces. The kind of an interface is what the operating system reports, never derived
//! from its name.

use super::address::Moved;
use super::nat::Service;
use super::neighbours::Neighbour;
use crate::os::assigned::Detail;
use crate::os::netgraph::Graph;
use crate::os::{Intent, Os, Route, pair_of};
use crate::value::{Cidr, IfName, Mac};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use uuid::Uuid;

/// All interfaces, and the state that depends on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actual {
    /// Interfaces by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// Default routes: the router and the interface. Only read if something may be changed.
    pub default_routes: Vec<(Option<IpAddr>, String)>,
    /// Routes that the kernel did not create itself, each with its interface. Read together with the default routes.
    pub routes: Vec<(String, Route)>,
    /// Neighbour entries that are not learned. Read together with the default routes.
    pub neighbours: Vec<Neighbour>,
    /// Members that chyves added to bridges of others: the bridge and its member.
    pub put: BTreeSet<(String, String)>,
    /// Addresses that bridges took over from their uplinks, by the bridge's name.
    pub moved: BTreeMap<String, Moved>,
    /// Interfaces that were down before they became uplinks.
    pub raised: BTreeSet<String>,
    /// The host's address that the present login uses, if it is over the network.
    pub login: Option<IpAddr>,
    /// Running services of bridges, by the bridge's name.
    pub services: BTreeMap<String, Service>,
    /// Netgraph nodes, if they were read.
    pub graph: Option<Graph>,
    /// The settings that running VMs were started with, by the guest's UUID; those of the next start may differ.
    pub runs: BTreeMap<Uuid, BTreeMap<String, String>>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its kind.
    pub kind: IfKind,
    /// Whether it is up.
    pub up: bool,
    /// Its MTU.
    pub mtu: u32,
    /// Its maximum MTU, if the operating system reports it.
    pub mtu_limit: Option<u32>,
    /// Its MAC address.
    pub mac: Option<Mac>,
    /// The host's addresses on it, without link-local ones.
    pub addresses: Vec<Cidr>,
    /// Attributes of these addresses.
    pub details: BTreeMap<Cidr, Detail>,
    /// The bridge that it is a member of.
    pub bridge: Option<String>,
    /// Its members, if it is a bridge.
    pub members: Vec<String>,
    /// The parent interface and the tag of a VLAN.
    pub vlan: Option<(String, u16)>,
    /// The mark in its description.
    pub mark: String,
    /// Whether another process has it open, or its link is up.
    pub open: bool,
    /// Whether it filters VLANs, if it is a bridge.
    pub filters: bool,
}

impl Interface {
    /// An interface of that kind with default values.
    pub fn new(kind: IfKind) -> Self {
        Self {
            kind,
            up: true,
            mtu: 1500,
            mtu_limit: None,
            mac: None,
            addresses: Vec::new(),
            details: BTreeMap::new(),
            bridge: None,
            members: Vec::new(),
            vlan: None,
            mark: String::new(),
            open: false,
            filters: false,
        }
    }
}

/// The kind of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IfKind {
    /// A bridge.
    Bridge,
    /// A netgraph node that bridges: it is not an interface, but is treated like a bridge.
    Netgraph,
    /// A tap.
    Tap,
    /// A VLAN of another interface.
    Vlan,
    /// One end of a pair: epair, veth.
    Pair,
    /// Several interfaces combined: lagg, bond.
    Aggregate,
    /// The loopback interface.
    Loopback,
    /// A wireless interface, which cannot be a member of a bridge.
    Wireless,
    /// A physical network interface.
    Physical,
    /// Any other interface of the kernel: a tunnel, a packet filter log.
    Other,
}

impl IfKind {
    /// The noun in messages.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Bridge => "a bridge",
            Self::Netgraph => "a netgraph bridge",
            Self::Tap => "a tap",
            Self::Vlan => "a VLAN",
            Self::Pair => "one end of a pair",
            Self::Aggregate => "an aggregate",
            Self::Loopback => "the loopback",
            Self::Wireless => "wireless",
            Self::Physical => "a NIC",
            Self::Other => "no interface of Ethernet",
        }
    }

    /// The word that lists show.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Netgraph => "netgraph",
            Self::Tap => "tap",
            Self::Vlan => "vlan",
            Self::Pair => "pair",
            Self::Aggregate => "aggregate",
            Self::Loopback => "loopback",
            Self::Wireless => "wireless",
            Self::Physical => "nic",
            Self::Other => "other",
        }
    }

    /// Whether it is a bridge of any kind.
    pub const fn bridges(self) -> bool {
        matches!(self, Self::Bridge | Self::Netgraph)
    }

    /// Whether it is or may be connected to the outside of the host.
    pub const fn leads_out(self) -> bool {
        match self {
            Self::Physical | Self::Vlan | Self::Aggregate | Self::Wireless => true,
            Self::Bridge | Self::Netgraph | Self::Tap | Self::Pair | Self::Loopback | Self::Other => false,
        }
    }
}

impl Actual {
    /// The interface of that name.
    pub fn get(&self, name: &str) -> Option<&Interface> {
        self.interfaces.get(name)
    }

    /// The VLAN of an interface, whatever its name is.
    pub fn vlan_of(&self, parent: &str, tag: u16) -> Option<&str> {
        let is = |i: &Interface| i.vlan.as_ref().is_some_and(|(p, t)| p == parent && *t == tag);
        self.interfaces.iter().find(|(_, i)| is(i)).map(|(name, _)| name.as_str())
    }

    /// Why removing this interface would cut off the host: it carries the default route or the present login, itself or
    /// through its bridge.
    pub fn carries(&self, name: &str) -> Option<String> {
        let above = self.get(name).and_then(|i| i.bridge.as_deref());
        let vlans = self.interfaces.iter().filter(|(_, i)| i.vlan.as_ref().is_some_and(|(p, _)| p == name)).map(|(n, _)| n.as_str());
        for one in [Some(name), above].into_iter().flatten().chain(vlans) {
            if self.default_routes.iter().any(|(_, dev)| dev == one) {
                return Some(format!("{one} carries the default route"));
            }
            let has = |i: &Interface| i.addresses.iter().any(|a| Some(a.address) == self.login);
            if self.get(one).is_some_and(has) {
                return Some(format!("{one} carries your present login"));
            }
        }
        None
    }

    /// The state after these intents: some interfaces have left bridges, others are gone.
    #[must_use]
    pub fn after(&self, intents: &[Intent]) -> Self {
        let mut after = self.clone();
        for intent in intents {
            match (&mut after.graph, intent) {
                (Some(graph), Intent::Unwire { node, interface, .. }) => graph.part(node.as_str(), interface.as_str()),
                (Some(graph), Intent::RemoveNode { node, .. }) => graph.remove(node.as_str()),
                _ => {}
            }
            match intent {
                Intent::Leave { bridge, member, .. } | Intent::Unwire { node: bridge, interface: member, .. } => {
                    if let Some(bridge) = after.interfaces.get_mut(bridge.as_str()) {
                        bridge.members.retain(|m| m != member.as_str());
                    }
                    if let Some(member) = after.interfaces.get_mut(member.as_str()) {
                        member.bridge = None;
                    }
                }
                Intent::SetAddresses { interface, after: addresses, .. } => {
                    if let Some(interface) = after.interfaces.get_mut(interface.as_str()) {
                        interface.addresses = addresses.iter().map(|a| a.address).collect();
                        interface.details = addresses.iter().map(|a| (a.address, a.detail.clone())).collect();
                    }
                }
                Intent::SetUp { interface, .. } | Intent::SetDown { interface } => {
                    if let Some(interface) = after.interfaces.get_mut(interface.as_str()) {
                        interface.up = matches!(intent, Intent::SetUp { .. });
                    }
                }
                Intent::RemoveBridge { bridge: interface, .. }
                | Intent::RemoveNode { node: interface, .. }
                | Intent::RemoveVlan { vlan: interface, .. }
                | Intent::RemovePair { end: interface, .. } => {
                    after.interfaces.remove(interface.as_str());
                    for member in after.interfaces.values_mut().filter(|i| i.bridge.as_deref() == Some(interface.as_str())) {
                        member.bridge = None;
                    }
                    // A pair is removed with both ends.
                    if let (Intent::RemovePair { .. }, Some((_, other))) = (intent, pair_of(interface.as_str())) {
                        after.interfaces.remove(&other);
                    }
                }
                Intent::LoadModule { .. }
                | Intent::MakeTap { .. }
                | Intent::RemoveTap { .. }
                | Intent::DestroyVm { .. }
                | Intent::RemoveJail { .. }
                | Intent::Join { .. }
                | Intent::MakeBridge { .. }
                | Intent::MakeVlan { .. }
                | Intent::MakePair { .. }
                | Intent::MakeNode { .. }
                | Intent::MarkNode { .. }
                | Intent::Wire { .. }
                | Intent::Describe { .. }
                | Intent::SetMtu { .. }
                | Intent::AddAddress { .. }
                | Intent::RemoveAddress { .. }
                | Intent::FilterVlans { .. }
                | Intent::Forward { .. }
                | Intent::LoadRules { .. }
                | Intent::DropRules { .. }
                | Intent::StartDhcp { .. }
                | Intent::StopDhcp { .. } => {}
            }
        }
        after
    }

    /// The steps that remove a bridge or VLAN that chyves created: the host's addresses on it are removed first, so that
    /// each step can be undone. Empty for any other interface.
    pub fn removal(&self, name: &IfName) -> Vec<Intent> {
        let Some(seen) = self.get(name.as_str()) else { return Vec::new() };
        let owner = seen.mark.clone();
        let remove = match (seen.kind, &seen.vlan) {
            (IfKind::Bridge, _) => {
                let mtu = Some(seen.mtu).filter(|m| *m != super::USUAL_MTU);
                Intent::RemoveBridge { bridge: name.clone(), owner, mtu, filters: seen.filters }
            }
            (IfKind::Vlan, Some((parent, tag))) => {
                let Ok(up) = parent.parse::<IfName>() else { return Vec::new() };
                let mtu = Some(seen.mtu).filter(|m| self.get(parent).is_none_or(|p| p.mtu != *m));
                Intent::RemoveVlan { vlan: name.clone(), parent: up, tag: *tag, owner, mtu }
            }
            (IfKind::Netgraph, _) => Intent::RemoveNode { node: name.clone(), owner },
            (IfKind::Pair, _) => Intent::RemovePair { end: name.clone(), owner },
            _ => return Vec::new(),
        };
        self.replacing(name, &seen.addresses, &[]).into_iter().chain([remove]).collect()
    }

    /// The step that removes an interface from its bridge.
    pub fn leave(&self, bridge: &IfName, member: &IfName) -> Intent {
        let (bridge, member) = (bridge.clone(), member.clone());
        match self.graph.as_ref().filter(|_| self.get(bridge.as_str()).is_some_and(|b| b.kind == IfKind::Netgraph)) {
            Some(graph) => {
                let link = |hook| graph.link(bridge.as_str(), member.as_str(), hook);
                Intent::Unwire { lower: link("lower"), upper: link("upper"), node: bridge, interface: member }
            }
            None => Intent::Leave { bridge, member, vlan: None },
        }
    }

    /// The step that brings a former uplink down that was down before: unless something else uses it, such as another bridge, a
    /// VLAN, or an address that it did not have then (`had` are those that it had).
    pub fn lowering(&self, uplink: &IfName, had: &[Cidr]) -> Option<Intent> {
        let seen = self.get(uplink.as_str()).filter(|seen| seen.up && seen.bridge.is_none() && self.raised.contains(uplink.as_str()))?;
        let is_parent = self.interfaces.values().any(|i| i.vlan.as_ref().is_some_and(|(parent, _)| parent == uplink.as_str()));
        let is_used = is_parent
            || seen.addresses.iter().any(|a| !had.contains(a))
            || self.default_routes.iter().any(|(_, dev)| dev == uplink.as_str());
        (!is_used).then(|| Intent::SetDown { interface: uplink.clone() })
    }

    /// Whether an uplink that chyves created is unused after the interfaces in `gone` are removed: it is in no bridge, the
    /// host has no address on it, and the other end of a pair is unused too.
    pub fn is_free(&self, name: &str, gone: &BTreeSet<&str>) -> bool {
        let free = |i: &Interface| i.addresses.is_empty() && i.bridge.as_deref().is_none_or(|b| gone.contains(b));
        let Some(seen) = self.get(name).filter(|i| free(i)) else { return false };
        match seen.kind {
            IfKind::Vlan => true,
            // An end that is not visible was moved to a jail.
            IfKind::Pair => pair_of(name).and_then(|(_, other)| self.get(&other)).is_some_and(free),
            IfKind::Bridge
            | IfKind::Netgraph
            | IfKind::Tap
            | IfKind::Aggregate
            | IfKind::Loopback
            | IfKind::Wireless
            | IfKind::Physical
            | IfKind::Other => false,
        }
    }

    /// Sets the bridge of each member, for an operating system that only lists the members of each bridge.
    pub(super) fn link_members(&mut self, os: Os) {
        match os {
            Os::FreeBsd => {
                let pairs: Vec<(String, String)> =
                    self.interfaces.iter().flat_map(|(b, i)| i.members.iter().map(move |m| (m.clone(), b.clone()))).collect();
                for (member, bridge) in pairs {
                    if let Some(interface) = self.interfaces.get_mut(&member) {
                        interface.bridge = Some(bridge);
                    }
                }
            }
            Os::Linux => {
                let pairs: Vec<(String, String)> =
                    self.interfaces.iter().filter_map(|(m, i)| Some((m.clone(), i.bridge.clone()?))).collect();
                for (member, bridge) in pairs {
                    if let Some(interface) = self.interfaces.get_mut(&bridge) {
                        interface.members.push(member);
                    }
                }
            }
        }
    }
}
