//! What must be so after something was done to the host's networks, and whether it is.

use super::{Actual, IfKind};
use crate::error::{Problem, Result};
use crate::value::{Cidr, IfName};
use serde::{Deserialize, Serialize};

/// One thing that must be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "kebab-case")]
pub enum Proof {
    /// An interface is there and up.
    IsUp {
        /// Its name.
        interface: IfName,
    },
    /// This is written on an interface.
    IsMarked {
        /// Its name.
        interface: IfName,
        /// The text.
        mark: String,
    },
    /// An interface is a member of a bridge and carries at least what that does.
    IsIn {
        /// The bridge.
        bridge: IfName,
        /// The member.
        member: IfName,
    },
    /// An interface is no member of a bridge.
    IsOut {
        /// The bridge.
        bridge: IfName,
        /// The interface.
        member: IfName,
    },
    /// A bridge of netgraph is there, and is chyves' own where a mark says so.
    IsNode {
        /// Its name.
        node: IfName,
        /// What is written down of it.
        mark: Option<String>,
    },
    /// An interface is on a bridge of netgraph.
    IsOn {
        /// The bridge.
        node: IfName,
        /// The interface.
        interface: IfName,
    },
    /// An interface is on no bridge of this name.
    IsOff {
        /// The bridge.
        node: IfName,
        /// The interface.
        interface: IfName,
    },
    /// No node of netgraph has this name.
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
    /// The rules are loaded that hide a bridge's guests behind the host's address.
    Hides {
        /// The bridge.
        bridge: IfName,
    },
    /// A server gives a bridge's guests their addresses.
    Serves {
        /// The bridge.
        bridge: IfName,
    },
}

impl Proof {
    /// Whether it is about nodes of netgraph, which the list of interfaces does not show.
    pub const fn is_of_netgraph(&self) -> bool {
        matches!(self, Self::IsNode { .. } | Self::IsNoNode { .. } | Self::IsOn { .. } | Self::IsOff { .. })
    }

    /// What must be so, behind "make sure that".
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

    /// Why it is not so, if it is not.
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

/// Whether all of it is so.
///
/// # Errors
/// What is not.
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
