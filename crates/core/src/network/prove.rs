//! Conditions that must hold after changes of the host's networks, and checking them.

use super::{Actual, IfKind};
use crate::error::{Problem, Result};
use crate::value::json::tagged;
use crate::value::{Cidr, IfName};
use serde::{Deserialize, Serialize};

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case")]
pub enum Proof {
    /// An interface exists and is up.
    IsUp {
        /// Its name.
        interface: IfName,
    },
    /// An interface has this mark.
    IsMarked {
        /// Its name.
        interface: IfName,
        /// The mark.
        mark: String,
    },
    /// An interface is a member of a bridge, and its MTU is at least the bridge's.
    IsIn {
        /// The bridge.
        bridge: IfName,
        /// The member.
        member: IfName,
    },
    /// An interface is not a member of a bridge.
    IsOut {
        /// The bridge.
        bridge: IfName,
        /// The interface.
        member: IfName,
    },
    /// A netgraph bridge exists, and is chyves' own if a mark is given.
    IsNode {
        /// Its name.
        node: IfName,
        /// Its recorded mark.
        mark: Option<String>,
    },
    /// An interface is connected to a netgraph bridge.
    IsOn {
        /// The bridge.
        node: IfName,
        /// The interface.
        interface: IfName,
    },
    /// An interface is not connected to a netgraph bridge of this name.
    IsOff {
        /// The bridge.
        node: IfName,
        /// The interface.
        interface: IfName,
    },
    /// No netgraph node has this name.
    IsNoNode {
        /// The name.
        node: IfName,
    },
    /// The host has an address on an interface.
    HasAddress {
        /// The interface.
        interface: IfName,
        /// The address.
        address: Cidr,
    },
    /// The NAT rules of a bridge are loaded.
    Hides {
        /// The bridge.
        bridge: IfName,
    },
    /// The DHCP server of a bridge is running.
    Serves {
        /// The bridge.
        bridge: IfName,
    },
}

tagged!(Proof, "proof");

impl Proof {
    /// Whether it is about netgraph nodes, which the list of interfaces does not show.
    pub const fn is_of_netgraph(&self) -> bool {
        matches!(self, Self::IsNode { .. } | Self::IsNoNode { .. } | Self::IsOn { .. } | Self::IsOff { .. })
    }

    /// The condition, to be read after "make sure that".
    pub fn describe(&self) -> String {
        match self {
            Self::IsUp { interface } => format!("{interface} is up"),
            Self::IsMarked { interface, mark } => format!("{interface} is that of {mark}"),
            Self::IsIn { bridge, member } => format!("{member} is in {bridge}"),
            Self::IsOut { bridge, member } => format!("{member} is not in {bridge}"),
            Self::IsNode { node, mark: None } => format!("the netgraph bridge {node} is there"),
            Self::IsNode { node, mark: Some(mark) } => format!("the netgraph bridge {node} is that of {mark}"),
            Self::IsOn { node, interface } => format!("{interface} is on {node}"),
            Self::IsOff { node, interface } => format!("{interface} is not on {node}"),
            Self::IsNoNode { node } => format!("the netgraph bridge {node} is gone"),
            Self::HasAddress { interface, address } => format!("{interface} has {address}"),
            Self::Hides { bridge } => format!("the rules of {bridge} are loaded"),
            Self::Serves { bridge } => format!("a DHCP server runs for {bridge}"),
        }
    }

    /// Why it does not hold, if so.
    fn missing(&self, actual: &Actual) -> Option<String> {
        let there = |name: &IfName| actual.get(name.as_str()).ok_or_else(|| format!("{name} is not there"));
        let why = match self {
            Self::IsUp { interface } => there(interface).map(|i| (!i.up).then(|| format!("{interface} is down"))),
            Self::IsMarked { interface, mark } => {
                there(interface).map(|i| (i.mark != *mark).then(|| format!("{interface} is somebody else's")))
            }
            Self::IsIn { bridge, member } => there(bridge).and_then(|b| {
                there(member).map(|m| match &m.bridge {
                    Some(is) if is == bridge.as_str() => {
                        (m.mtu < b.mtu).then(|| format!("{member} has an MTU of {} and {bridge} {}", m.mtu, b.mtu))
                    }
                    Some(other) => Some(format!("{member} is in {other} and not in {bridge}")),
                    None => Some(format!("{member} is not in {bridge}")),
                })
            }),
            Self::IsOut { bridge, member } => {
                let inside = actual.get(member.as_str()).is_some_and(|m| m.bridge.as_deref() == Some(bridge.as_str()));
                Ok(inside.then(|| format!("{member} is still in {bridge}")))
            }
            Self::IsNode { node, mark } => there(node).map(|i| match mark {
                _ if i.kind != IfKind::Netgraph => Some(format!("{node} is {}", i.kind.words())),
                Some(mark) if i.mark != *mark => Some(format!("{node} is somebody else's")),
                Some(_) | None => None,
            }),
            Self::IsOn { node, interface } => there(node).and_then(|_| {
                let on = actual.graph.as_ref().is_some_and(|g| g.link(node.as_str(), interface.as_str(), "lower").is_some());
                there(interface).map(|_| (!on).then(|| format!("{interface} is not on {node}")))
            }),
            Self::IsOff { node, interface } => {
                let on = |hook| actual.graph.as_ref().is_some_and(|g| g.link(node.as_str(), interface.as_str(), hook).is_some());
                Ok((on("lower") || on("upper")).then(|| format!("{interface} is still on {node}")))
            }
            Self::IsNoNode { node } => {
                let named = actual.graph.as_ref().is_some_and(|g| g.named(node.as_str()).is_some());
                Ok(named.then(|| format!("the node {node} is still there")))
            }
            Self::HasAddress { interface, address } => {
                there(interface).map(|i| (!i.addresses.contains(address)).then(|| format!("{interface} has no {address}")))
            }
            Self::Hides { bridge } => {
                let loaded = actual.services.get(bridge.as_str()).is_some_and(|s| s.rules.is_some());
                Ok((!loaded).then(|| format!("the rules of {bridge} are not loaded")))
            }
            Self::Serves { bridge } => {
                let runs = actual.services.get(bridge.as_str()).is_some_and(|s| s.names.is_some());
                Ok((!runs).then(|| format!("no DHCP server runs for {bridge}")))
            }
        };
        why.unwrap_or_else(Some)
    }
}

/// Checks all conditions.
///
/// # Errors
/// The ones that do not hold.
pub fn prove(actual: &Actual, proofs: &[Proof]) -> Result<()> {
    let missing: Vec<String> = proofs.iter().filter_map(|p| p.missing(actual)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut problem = Problem::failed("the host's networks changed while they were being created");
    for why in missing {
        problem = problem.because(why);
    }
    Err(problem
        .hint("something else changes them too (devd, NetworkManager, systemd-networkd?); `chyves network check` shows how they are"))
}
