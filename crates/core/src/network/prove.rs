//! What must be so after something was done to the host's networks, and whether it is.

use super::Actual;
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
    /// What must be so, behind "make sure that".
    pub fn describe(&self) -> String {
        match self {
            Self::IsUp { interface } => format!("{interface} is up"),
            Self::IsMarked { interface, mark } => format!("{interface} is that of {mark}"),
            Self::IsIn { bridge, member } => format!("{member} is in {bridge}"),
            Self::IsOut { bridge, member } => format!("{member} is not in {bridge}"),
            Self::HasAddress { interface, address } => format!("{interface} has {address}"),
            Self::Hides { bridge } => format!("the rules of {bridge} are loaded"),
            Self::Serves { bridge } => format!("a server of addresses runs for {bridge}"),
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
                        (m.mtu < b.mtu).then(|| format!("{member} carries {} bytes and {bridge} {}", m.mtu, b.mtu))
                    }
                    Some(other) => Some(format!("{member} is in {other} and not in {bridge}")),
                    None => Some(format!("{member} is not in {bridge}")),
                })
            }),
            Self::IsOut { bridge, member } => {
                let inside = actual.get(member.as_str()).is_some_and(|m| m.bridge.as_deref() == Some(bridge.as_str()));
                Ok(inside.then(|| format!("{member} is still in {bridge}")))
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
                Ok((!runs).then(|| format!("no server of addresses runs for {bridge}")))
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
    let mut problem = Problem::failed("the host's networks are not as they were just made");
    for why in missing {
        problem = problem.because(why);
    }
    Err(problem
        .hint("something else changes them too (devd, NetworkManager, systemd-networkd?); `chyves network check` shows how they are"))
}
