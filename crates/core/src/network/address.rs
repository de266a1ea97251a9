//! The host's addresses on an interface with their attributes, and the routes through it: the state that is moved from an
//! uplink to its bridge, and back.
//!
//! Not here: reading them ([`super::observe`]), the commands ([`crate::os`]).

use super::{Actual, Interface};
use crate::os::assigned::Detail;
use crate::os::{Assigned, Intent, Route};
use crate::value::{Cidr, IfName};
use serde::{Deserialize, Serialize};

/// The addresses that a bridge took over from its uplink, as the uplink had them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The uplink.
    pub from: IfName,
    /// Its addresses.
    pub addresses: Vec<Assigned>,
    /// The routes through it, in case the bridge disappears with everything on it.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// The addresses with those in `gone` removed or, if there is a new one of the same family, replaced.
pub fn replaced(before: &[Assigned], gone: &[Cidr], new: &[Cidr]) -> Vec<Assigned> {
    let mut new: Vec<Cidr> = new.to_vec();
    let one = |a: &Assigned| {
        if !gone.contains(&a.address) {
            return Some(a.clone());
        }
        let next = new.iter().position(|n| n.address.is_ipv4() == a.address.address.is_ipv4())?;
        let address = new.remove(next);
        Some(Assigned { address, detail: a.detail_for(address) })
    };
    before.iter().filter_map(one).collect()
}

impl Assigned {
    /// The attributes for an address that replaces this one: in the same network, all attributes that are not specific to
    /// this address.
    fn detail_for(&self, address: Cidr) -> Detail {
        if address.prefix == self.address.prefix && address.overlaps(self.address) {
            Detail { peer: None, valid: None, preferred: None, ..self.detail.clone() }
        } else {
            Detail::default()
        }
    }
}

impl Interface {
    /// The host's addresses on it with their attributes, in order.
    pub fn assigned(&self) -> Vec<Assigned> {
        let one = |a: &Cidr| Assigned { address: *a, detail: self.details.get(a).cloned().unwrap_or_default() };
        self.addresses.iter().map(one).collect()
    }
}

impl Actual {
    /// The routes through an interface.
    pub fn routes_by(&self, interface: &str) -> Vec<Route> {
        self.routes.iter().filter(|(dev, _)| dev == interface).map(|(_, route)| route.clone()).collect()
    }

    /// The steps before and after an interface joins a bridge, which move all its addresses and routes to the bridge.
    pub fn moving(&self, member: &IfName, bridge: &IfName) -> (Intent, Intent) {
        let empty = Vec::new();
        let there = self.get(bridge.as_str());
        let moving = self.get(member.as_str()).map(Interface::assigned).unwrap_or_default();
        let routes = self.routes_by(member.as_str());
        let (before, routes_before) = (there.map(Interface::assigned).unwrap_or_default(), self.routes_by(bridge.as_str()));
        let take = Intent::SetAddresses {
            interface: member.clone(),
            before: moving.clone(),
            after: empty.clone(),
            routes_before: routes.clone(),
            routes_after: Vec::new(),
        };
        let new = moving.into_iter().filter(|a| !before.iter().any(|b| b.address == a.address));
        let give = Intent::SetAddresses {
            interface: bridge.clone(),
            after: before.iter().cloned().chain(new).collect(),
            before,
            routes_after: routes_before.iter().cloned().chain(routes).collect(),
            routes_before,
        };
        (take, give)
    }

    /// The addresses that a bridge took over from its uplink and still has, if that uplink can take them back.
    pub fn to_give_back(&self, bridge: &str) -> Option<Moved> {
        let moved = self.moved.get(bridge)?;
        let there = self.get(bridge)?;
        self.get(moved.from.as_str()).filter(|i| i.bridge.as_deref().is_none_or(|b| b == bridge))?;
        let has = |a: &&Assigned| there.addresses.contains(&a.address);
        let addresses: Vec<Assigned> = moved.addresses.iter().filter(has).cloned().collect();
        (!addresses.is_empty()).then(|| Moved { from: moved.from.clone(), addresses, routes: moved.routes.clone() })
    }

    /// The addresses on a bridge that its uplink had, and that no other interface has.
    pub fn kept_for(&self, bridge: &str) -> Vec<Cidr> {
        let Some((moved, there)) = self.moved.get(bridge).zip(self.get(bridge)) else { return Vec::new() };
        let had = |a: &&Cidr| moved.addresses.iter().any(|m| m.address == **a);
        let elsewhere = |a: &&Cidr| self.interfaces.iter().any(|(name, i)| name != bridge && i.addresses.contains(a));
        there.addresses.iter().filter(had).filter(|a| !elsewhere(a)).copied().collect()
    }

    /// What the host lost with a bridge that no longer exists: addresses from its uplink that no interface has now, and
    /// routes that were not replaced. `None` if the uplink is gone too, or has addresses by now, which means that somebody
    /// has already repaired it.
    pub fn lost(&self, bridge: &str) -> Option<Moved> {
        let moved = self.moved.get(bridge).filter(|_| self.get(bridge).is_none())?;
        self.get(moved.from.as_str()).filter(|uplink| uplink.bridge.is_none() && uplink.addresses.is_empty())?;
        let somewhere = |a: &Assigned| self.interfaces.values().any(|i| i.addresses.contains(&a.address));
        let addresses: Vec<Assigned> = moved.addresses.iter().filter(|a| !somewhere(a)).cloned().collect();
        let alike = |a: &Route, b: &Route| (a.v6, &a.destination, &a.table, a.metric) == (b.v6, &b.destination, &b.table, b.metric);
        let routes = moved.routes.iter().filter(|route| !self.routes.iter().any(|(_, other)| alike(route, other))).cloned().collect();
        (!addresses.is_empty()).then(|| Moved { from: moved.from.clone(), addresses, routes })
    }

    /// The step that restores on an interface what was [`lost`](Self::lost) with its bridge, and adds the addresses in
    /// `more`.
    pub fn restoring(&self, interface: &IfName, lost: &Moved, more: &[Cidr]) -> Intent {
        let before = self.get(interface.as_str()).map(Interface::assigned).unwrap_or_default();
        let mut after = lost.addresses.clone();
        let has = |after: &[Assigned], address: &Cidr| after.iter().any(|a| a.address == *address);
        let others: Vec<Assigned> = before.iter().filter(|b| !has(&after, &b.address)).cloned().collect();
        after.extend(others);
        let new = more.iter().filter(|a| !has(&after, a)).map(|a| Assigned { address: *a, detail: Detail::default() });
        let new: Vec<Assigned> = new.collect();
        after.extend(new);
        let routes_before = self.routes_by(interface.as_str());
        let routes_after = routes_before.iter().chain(&lost.routes).cloned().collect();
        Intent::SetAddresses { interface: interface.clone(), before, after, routes_before, routes_after }
    }

    /// The steps before and after an uplink leaves its bridge, which move its addresses, and the routes through them, back
    /// to it.
    pub fn giving_back(&self, bridge: &IfName, moved: &Moved) -> (Intent, Intent) {
        let before = self.get(bridge.as_str()).map(Interface::assigned).unwrap_or_default();
        let going = |a: &Assigned| moved.addresses.iter().any(|m| m.address == a.address);
        let stays: Vec<Assigned> = before.iter().filter(|a| !going(a)).cloned().collect();
        let routes = self.routes_by(bridge.as_str());
        let (back, kept): (Vec<Route>, Vec<Route>) = routes
            .iter()
            .cloned()
            .partition(|r| stays.is_empty() || r.goes_by(&moved.addresses) || r.gateway.is_none() && r.source.is_none());
        // With their original attributes, except lifetimes, which have run down in the meantime.
        let as_now = |m: &Assigned| {
            let now = before.iter().find(|b| b.address == m.address).map(|b| &b.detail);
            let mut detail = m.detail.clone();
            if let Some(now) = now {
                (detail.valid, detail.preferred) = (now.valid, now.preferred);
            }
            Assigned { address: m.address, detail }
        };
        let on_uplink = self.get(moved.from.as_str()).map(Interface::assigned).unwrap_or_default();
        let mut after: Vec<Assigned> = moved.addresses.iter().map(as_now).collect();
        after.extend(on_uplink.iter().filter(|a| !going(a)).cloned());
        let routes_before = self.routes_by(moved.from.as_str());
        let take = Intent::SetAddresses { interface: bridge.clone(), before, after: stays, routes_before: routes, routes_after: kept };
        let give = Intent::SetAddresses {
            interface: moved.from.clone(),
            before: on_uplink,
            after,
            routes_after: routes_before.iter().cloned().chain(back).collect(),
            routes_before,
        };
        (take, give)
    }

    /// The step that removes these addresses from an interface, with the routes that only use them; `None` if it has none
    /// of them. Each is replaced by the next address of its family in `new`, in the same position: the first address
    /// determines the source of the host's connections.
    pub fn replacing(&self, interface: &IfName, gone: &[Cidr], new: &[Cidr]) -> Option<Intent> {
        let before = self.get(interface.as_str())?.assigned();
        let going: Vec<Assigned> = before.iter().filter(|a| gone.contains(&a.address)).cloned().collect();
        if going.is_empty() {
            return None;
        }
        let after = replaced(&before, gone, new);
        let routes_before = self.routes_by(interface.as_str());
        let stays = |r: &&Route| !r.goes_by(&going) || r.source.is_none() && r.is_reached(&after, &[]);
        let routes_after = routes_before.iter().filter(stays).cloned().collect();
        Some(Intent::SetAddresses { interface: interface.clone(), before, after, routes_before, routes_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::IfKind;
    use crate::os::Os;

    fn assigned(addresses: &[&str]) -> Vec<Assigned> {
        addresses.iter().map(|a| Assigned { address: a.parse().unwrap(), detail: Detail::default() }).collect()
    }

    fn default_route(via: &str, metric: u32) -> Route {
        Route { gateway: via.parse().ok(), metric: Some(metric), protocol: Some("static".into()), ..Route::to("default", false) }
    }

    fn lines(intent: &Intent, os: Os) -> Vec<String> {
        intent.commands(os).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn secondaries_go_before_their_primary_and_come_behind_it() {
        let em0 = "em0".parse().unwrap();
        let mut before = assigned(&["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "fd00::2/64", "fd00::1/64"]);
        before[0].detail.broadcast = "10.0.0.255".parse().ok();
        before[1].detail.label = Some("em0:web".into());
        let all = Intent::SetAddresses {
            interface: em0,
            before,
            after: Vec::new(),
            routes_before: vec![default_route("10.0.0.254", 7)],
            routes_after: Vec::new(),
        };
        assert_eq!(
            lines(&all, Os::Linux),
            [
                "ip address delete 10.0.0.3/24 dev em0",
                "ip address delete 10.0.0.2/24 dev em0",
                "ip address delete 10.0.0.1/24 dev em0",
                // The kernel lists the newest one first.
                "ip address delete fd00::2/64 dev em0",
                "ip address delete fd00::1/64 dev em0",
            ]
        );
        assert_eq!(
            lines(&all.opposite().unwrap(), Os::Linux),
            [
                "ip address add 10.0.0.1/24 broadcast 10.0.0.255 dev em0",
                "ip address add 10.0.0.2/24 label em0:web dev em0",
                "ip address add 10.0.0.3/24 dev em0",
                "ip address add fd00::1/64 dev em0",
                "ip address add fd00::2/64 dev em0",
                "ip route replace default via 10.0.0.254 proto static metric 7 dev em0",
            ]
        );
        assert_eq!(
            lines(&all.opposite().unwrap(), Os::FreeBsd)[2..],
            [
                "ifconfig em0 inet 10.0.0.3/24 alias",
                "ifconfig em0 inet6 fd00::2/64 alias",
                "ifconfig em0 inet6 fd00::1/64 alias",
                "route -4 add default 10.0.0.254"
            ]
        );
    }

    #[test]
    fn what_an_uplink_gave_its_bridge_goes_back_with_its_routes_and_nothing_else() {
        let (em0, lan): (IfName, IfName) = ("em0".parse().unwrap(), "lan".parse().unwrap());
        let mut actual = Actual::default();
        let addresses = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<Vec<Cidr>>();
        let bridge = Interface { addresses: addresses(&["10.9.0.1/24", "10.0.0.1/24"]), ..Interface::new(IfKind::Bridge) };
        actual.interfaces.insert("lan".into(), bridge);
        actual.interfaces.insert("em0".into(), Interface { bridge: Some("lan".into()), ..Interface::new(IfKind::Physical) });
        actual.routes = vec![
            ("lan".into(), default_route("10.0.0.254", 0)),
            ("lan".into(), Route { destination: "10.1.0.0/16".into(), ..default_route("10.9.0.254", 0) }),
        ];
        assert!(actual.to_give_back("lan").is_none(), "nothing tells whose it was");
        actual
            .moved
            .insert("lan".into(), Moved { from: em0.clone(), addresses: assigned(&["10.0.0.1/24", "10.0.0.2/24"]), routes: Vec::new() });
        let moved = actual.to_give_back("lan").unwrap();
        assert_eq!(moved.addresses, assigned(&["10.0.0.1/24"]), "the other has gone meanwhile");
        let (take, give) = actual.giving_back(&lan, &moved);
        assert_eq!(
            lines(&take, Os::Linux),
            ["ip address delete 10.0.0.1/24 dev lan", "ip route replace 10.1.0.0/16 via 10.9.0.254 proto static metric 0 dev lan"]
        );
        assert_eq!(
            lines(&give, Os::Linux),
            ["ip address add 10.0.0.1/24 dev em0", "ip route replace default via 10.0.0.254 proto static metric 0 dev em0"]
        );
        // An uplink that is in another bridge by now cannot take addresses back.
        actual.interfaces.get_mut("em0").unwrap().bridge = Some("other".into());
        assert!(actual.to_give_back("lan").is_none());
    }
}
