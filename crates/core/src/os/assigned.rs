//! The addresses of an interface with their attributes, and the routes through it.
//!
//! Not here: the commands that set them (`addresses`), moving them from an uplink to its bridge (`network::address`).

use crate::value::Cidr;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The address.
    pub address: Cidr,
    /// Its attributes.
    #[serde(default)]
    pub detail: Detail,
}

/// The attributes of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The broadcast address.
    pub broadcast: Option<IpAddr>,
    /// The peer address of a point-to-point interface.
    pub peer: Option<IpAddr>,
    /// A label other than the interface's name.
    pub label: Option<String>,
    /// The metric of its network's route.
    pub metric: Option<u32>,
    /// Whether no route to its network is created (`noprefixroute`).
    pub no_route: bool,
    /// Whether duplicate address detection is disabled (`nodad`).
    pub unchecked: bool,
    /// Whether it is the template of temporary addresses (`mngtmpaddr`).
    #[serde(default)]
    pub managed: bool,
    /// Valid lifetime in seconds; `None` for unlimited.
    pub valid: Option<u32>,
    /// Preferred lifetime in seconds; `None` for unlimited.
    pub preferred: Option<u32>,
}

/// A route that the kernel did not create itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Whether it is an IPv6 route.
    pub v6: bool,
    /// Its destination, as the host prints it: `default`, `10.1.0.0/16`.
    pub destination: String,
    /// The router.
    pub gateway: Option<IpAddr>,
    /// The preferred source address.
    pub source: Option<IpAddr>,
    /// Its metric.
    pub metric: Option<u32>,
    /// Its routing table, if not the main one.
    pub table: Option<String>,
    /// Its origin: `static`, `dhcp`.
    pub protocol: Option<String>,
    /// Its scope, if reported.
    pub scope: Option<String>,
    /// Whether its router is considered reachable although it is in no network of the interface.
    pub onlink: bool,
    /// Its type, if not `unicast`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Further attributes, as the words of `ip route add`: `mtu lock 1300`, `pref high`.
    #[serde(default)]
    pub attributes: Vec<String>,
    /// Why it cannot be created again exactly as it is; such a route is never moved.
    #[serde(default)]
    pub fixed: Option<String>,
}

impl Route {
    /// A route to that destination without attributes.
    pub fn to(destination: &str, v6: bool) -> Self {
        Self {
            v6,
            destination: destination.into(),
            gateway: None,
            source: None,
            metric: None,
            table: None,
            protocol: None,
            scope: None,
            onlink: false,
            kind: None,
            attributes: Vec::new(),
            fixed: None,
        }
    }

    /// Whether it is the default route.
    pub fn is_default(&self) -> bool {
        self.destination == "default"
    }

    /// Whether the kernel accepts it on an interface with these addresses and other routes: its router must be reachable.
    pub fn is_reached(&self, addresses: &[Assigned], others: &[Self]) -> bool {
        let Some(via) = self.gateway else { return true };
        let link = matches!(via, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80);
        let near = |a: &Assigned| a.address.overlaps(Cidr { address: via, prefix: a.address.prefix }) || a.detail.peer == Some(via);
        let host =
            |text: &str| text.parse::<IpAddr>().ok().map(|address| Cidr { address, prefix: if address.is_ipv4() { 32 } else { 128 } });
        let whole = |text: &str| text.parse::<Cidr>().ok().or_else(|| host(text));
        let by =
            |r: &Self| r.gateway.is_none() && whole(&r.destination).is_some_and(|d| d.overlaps(Cidr { address: via, prefix: d.prefix }));
        link || self.onlink || addresses.iter().any(near) || others.iter().any(by)
    }

    /// Whether it depends on one of these addresses: its router is in their networks, or it uses one as its source.
    pub fn goes_by(&self, addresses: &[Assigned]) -> bool {
        let near = |via: IpAddr| addresses.iter().any(|a| a.address.overlaps(Cidr { address: via, prefix: a.address.prefix }));
        match (self.source, self.gateway) {
            (Some(source), _) => addresses.iter().any(|a| a.address.address == source),
            (None, Some(via)) => near(via),
            (None, None) => false,
        }
    }
}
