//! The interfaces of the host as they are now. What an interface is, the host tells; a name tells nothing.

use super::address::{Detail, Moved, Route};
use super::graph::Graph;
use super::nat::Service;
use crate::os::{Intent, Os, pair_of};
use crate::value::{Cidr, IfName, Mac};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// All interfaces, and what depends on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actual {
    /// The interfaces by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// Default routes: the router, and the interface it is behind. Not looked at where nothing is to be touched.
    pub default_routes: Vec<(Option<IpAddr>, String)>,
    /// Routes that the kernel did not create by itself, each with its interface. Looked at with the default routes.
    pub routes: Vec<(String, Route)>,
    /// Members that chyves put into bridges of others: the bridge and its member.
    pub put: BTreeSet<(String, String)>,
    /// Addresses that bridges got from their uplinks, by the bridge's name.
    pub moved: BTreeMap<String, Moved>,
    /// The host's own address in the present login over the network, if there is one.
    pub login: Option<IpAddr>,
    /// What runs for bridges beside their interfaces, by the bridge's name.
    pub services: BTreeMap<String, Service>,
    /// Nodes of netgraph, where they were looked at.
    pub graph: Option<Graph>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// What it is.
    pub kind: IfKind,
    /// Whether it is up.
    pub up: bool,
    /// The largest packet that it carries.
    pub mtu: u32,
    /// The largest that it could carry, where the host tells.
    pub mtu_limit: Option<u32>,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// The host's addresses on it, but for those of the link alone.
    pub addresses: Vec<Cidr>,
    /// What else is told of those addresses.
    pub details: BTreeMap<Cidr, Detail>,
    /// The bridge that it is a member of.
    pub bridge: Option<String>,
    /// Its members, where it is a bridge.
    pub members: Vec<String>,
    /// The interface whose VLAN it is, and which.
    pub vlan: Option<(String, u16)>,
    /// What is written on it.
    pub mark: String,
    /// Whether it is open in another process, or a cable is in it.
    pub open: bool,
    /// Whether it keeps VLANs apart, where it is a bridge.
    pub filters: bool,
}

impl Interface {
    /// An interface of that kind with nothing special about it.
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

/// What an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IfKind {
    /// A bridge.
    Bridge,
    /// A node of netgraph that bridges: no interface, but as good as one that bridges.
    Netgraph,
    /// A tap.
    Tap,
    /// A VLAN of another interface.
    Vlan,
    /// One end of a pair: epair, veth.
    Pair,
    /// Several interfaces as one: lagg, bond.
    Aggregate,
    /// The host itself.
    Loopback,
    /// A wireless interface, which no bridge can take.
    Wireless,
    /// A NIC.
    Physical,
    /// Anything else that the kernel makes: a tunnel, a filter's log.
    Other,
}

impl IfKind {
    /// As messages call it.
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

    /// Whether it bridges, by whatever the kernel has for it.
    pub const fn bridges(self) -> bool {
        matches!(self, Self::Bridge | Self::Netgraph)
    }

    /// Whether it leads out of the host, or may.
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

    /// The VLAN of an interface, whatever it is called.
    pub fn vlan_of(&self, parent: &str, tag: u16) -> Option<&str> {
        let is = |i: &Interface| i.vlan.as_ref().is_some_and(|(p, t)| p == parent && *t == tag);
        self.interfaces.iter().find(|(_, i)| is(i)).map(|(name, _)| name.as_str())
    }

    /// Why losing this interface would cut somebody off: it carries the default route or the present login, itself or
    /// by a bridge that it is in.
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

    /// The same once interfaces have left bridges, and others are gone.
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
                Intent::RemoveBridge { bridge: interface, .. }
                | Intent::RemoveNode { node: interface, .. }
                | Intent::RemoveVlan { vlan: interface, .. }
                | Intent::RemovePair { end: interface, .. } => {
                    after.interfaces.remove(interface.as_str());
                }
                _ => {}
            }
        }
        after
    }

    /// The steps that remove a bridge or VLAN which chyves made: the host's addresses on it go first, so that each step can
    /// be undone. None where it is nothing of the kind.
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

    /// The step that takes an interface off the bridge that it is in.
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

    /// Whether nothing uses what chyves made as a bridge's way out, once the interfaces `gone` are: it is in no bridge, the
    /// host has no address on it, and the other end of a pair is as free.
    pub fn is_free(&self, name: &str, gone: &BTreeSet<&str>) -> bool {
        let free = |i: &Interface| i.addresses.is_empty() && i.bridge.as_deref().is_none_or(|b| gone.contains(b));
        let Some(seen) = self.get(name).filter(|i| free(i)) else { return false };
        match seen.kind {
            IfKind::Vlan => true,
            // An end that can't be seen was given to a jail.
            IfKind::Pair => pair_of(name).and_then(|(_, other)| self.get(&other)).is_some_and(free),
            _ => false,
        }
    }

    /// Notes on each member which bridge it is in, where the host prints it of bridges alone.
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
