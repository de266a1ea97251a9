//! Compares the host's bridges with their design, and determines what closes each difference.
//!
//! Not here: uplinks ([`super::uplink`]), netgraph bridges ([`super::wiring`]), the NICs of guests
//! (`plan::network::attach`), and when differences are closed (`plan::network`).

use super::USUAL_MTU;
use super::actual::{Actual, IfKind, Interface};
use super::design::{BridgeSpec, Design};
use super::uplink::way_out;
use crate::error::Problem;
use crate::os::{Intent, Os};
use crate::value::{Cidr, IfName};

/// The input of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// The host's operating system.
    pub os: Os,
    /// Its release.
    pub release: (u16, u16),
    /// The desired configuration.
    pub design: &'a Design,
    /// The actual state.
    pub actual: &'a Actual,
    /// The mark for interfaces that are created.
    pub mark: &'static str,
}

/// What of an object differs, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// A bridge does not exist.
    BridgeMissing,
    /// Something else has the name of a bridge.
    NameTaken,
    /// The host cannot have a bridge of this type.
    Unsupported,
    /// The settings of a bridge contradict each other.
    Invalid,
    /// A bridge is down.
    Down,
    /// A bridge has another MTU.
    Mtu,
    /// A bridge does not filter VLANs.
    VlanFiltering,
    /// An address of a bridge is missing or elsewhere.
    Address,
    /// An uplink does not exist.
    UplinkMissing,
    /// An uplink, or its VLAN, is down.
    UplinkDown,
    /// The VLAN of an uplink does not exist.
    VlanMissing,
    /// An interface cannot be an uplink of this bridge.
    UplinkUnfit,
    /// An uplink belongs to another bridge or node.
    UplinkElsewhere,
    /// An uplink is not a member of its bridge.
    UplinkApart,
    /// A private bridge has an uplink.
    UplinkUnwanted,
    /// Address translation or a DHCP server of a bridge is not active.
    ServiceMissing,
    /// Address translation or a DHCP server is active for which nothing is configured.
    ServiceUnwanted,
    /// The interface of a bridge's address translation does not exist.
    NatInterface,
    /// The tap of a running guest is gone.
    TapMissing,
    /// The tap of a running guest is down.
    TapDown,
    /// The tap of a running guest is in another bridge, or in none.
    TapElsewhere,
    /// The bridge of a guest's NIC neither exists nor is configured.
    NicWithoutBridge,
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What differs: a bridge, a NIC.
    pub object: String,
    /// What of it differs.
    pub aspect: Aspect,
    /// The difference, one sentence without a full stop.
    pub says: String,
    /// How it can be closed.
    pub close: Close,
}

/// How a difference is closed.
#[derive(Debug, Clone, PartialEq)]
pub enum Close {
    /// By these intents, in order.
    By(Vec<Intent>),
    /// chyves cannot close it.
    Cant(Box<Problem>),
}

impl Difference {
    pub(crate) fn by(aspect: Aspect, object: impl std::fmt::Display, says: impl Into<String>, intents: Vec<Intent>) -> Self {
        Self { object: object.to_string(), aspect, says: says.into(), close: Close::By(intents) }
    }

    pub(crate) fn cant(aspect: Aspect, object: impl std::fmt::Display, problem: Problem) -> Self {
        let object = object.to_string();
        Self { aspect, says: problem.message.clone(), close: Close::Cant(Box::new(problem.on(&object))), object }
    }
}

impl Room<'_> {
    /// Whether members of a bridge cannot use addresses of their own: on Linux, and on FreeBSD from 15.0 on.
    pub(super) fn members_have_no_addresses(&self) -> bool {
        self.os == Os::Linux || self.release >= (15, 0)
    }

    /// Whether the host's bridges can filter VLANs.
    pub fn can_filter(&self) -> bool {
        self.os == Os::Linux || self.release >= (15, 0)
    }

    /// The MTU of a bridge once it is configured as designed.
    pub fn mtu(&self, spec: &BridgeSpec) -> u32 {
        let bridge = self.actual.get(spec.name.as_str());
        let with_members = bridge.filter(|b| !b.members.is_empty()).map(|b| b.mtu);
        let uplink = spec.uplink.as_ref().and_then(|u| self.actual.get(u.as_str())).map(|u| u.mtu);
        spec.mtu.or(with_members).or(uplink).or(bridge.map(|b| b.mtu)).unwrap_or(USUAL_MTU)
    }
}

/// The differences of one bridge. Applying the intents of all of them in order brings it in line with the design; a
/// difference that cannot be closed is reported, and differences that depend on it are left out.
pub fn bridge(room: &Room<'_>, spec: &BridgeSpec) -> Vec<Difference> {
    if spec.netgraph {
        return super::wiring::bridge(room, spec);
    }
    let name = &spec.name;
    let mut all = Vec::new();
    let there = room.actual.get(name.as_str());
    match there {
        Some(other) if other.kind == IfKind::Netgraph => return vec![taken(spec, other.kind, "no interface")],
        Some(other) if other.kind != IfKind::Bridge => return vec![taken(spec, other.kind, "no bridge")],
        Some(bridge) => {
            if !bridge.up {
                all.push(Difference::by(
                    Aspect::Down,
                    name,
                    "it is down",
                    vec![Intent::SetUp { interface: name.clone(), uplink_of: None }],
                ));
            }
            if let Some(mtu) = spec.mtu.filter(|m| *m != bridge.mtu) {
                if room.os == Os::FreeBsd && !bridge.members.is_empty() {
                    return vec![Difference::cant(
                        Aspect::Mtu,
                        name,
                        Problem::not_now(format!("its MTU is {} and not {mtu}, and so is that of its members", bridge.mtu))
                            .because("all members of a bridge of FreeBSD have the same MTU")
                            .hint(format!("stop its guests and detach its uplink first: `chyves network {name} detach`")),
                    )];
                }
                let set = Intent::SetMtu { interface: name.clone(), from: bridge.mtu, to: mtu };
                all.push(Difference::by(Aspect::Mtu, name, format!("its MTU is {} instead of {mtu}", bridge.mtu), vec![set]));
            }
        }
        None => {
            let mtu = Some(room.mtu(spec)).filter(|m| *m != USUAL_MTU);
            let make = Intent::MakeBridge { bridge: name.clone(), owner: room.mark.to_owned(), mtu, filters: false };
            all.push(Difference::by(Aspect::BridgeMissing, name, "it is not there", vec![make]));
        }
    }
    if spec.filtering && !there.is_some_and(|b| b.filters) {
        all.push(filtering(room, name));
    }
    all.extend(way_out(room, spec, there));
    if let Some(lost) = room.actual.lost(name.as_str()).filter(|lost| spec.uplink.as_ref() == Some(&lost.from)) {
        let list: Vec<String> = lost.addresses.iter().map(|a| a.address.to_string()).collect();
        let free = |a: &&Cidr| !room.actual.interfaces.values().any(|i| i.addresses.contains(a));
        let more: Vec<Cidr> = spec.addresses.iter().filter(free).copied().collect();
        let says = format!("the host has lost {} with it, which it had got from {}", list.join(", "), lost.from);
        all.push(Difference::by(Aspect::Address, name, says, vec![room.actual.restoring(name, &lost, &more)]));
        return all;
    }
    for address in &spec.addresses {
        let has = |i: &Interface| i.addresses.contains(address);
        let uplink = spec.uplink.as_ref().and_then(|u| Some((u, room.actual.get(u.as_str()).filter(|i| has(i))?)));
        // An uplink that is not a member yet brings the address along when it joins.
        let on_uplink = uplink.as_ref().is_some_and(|(_, i)| i.bridge.as_deref() != Some(name.as_str()));
        if let (Some((uplink, _)), false, false) = (uplink, there.is_some_and(has), on_uplink) {
            let (take, give) = room.actual.moving(uplink, name);
            all.push(Difference::by(Aspect::Address, name, format!("its address {address} is on its uplink {uplink}"), vec![take, give]));
            // All of them are moved at once.
            break;
        }
        if !there.is_some_and(has) && !on_uplink {
            match room.actual.interfaces.iter().find(|(other, i)| *other != name.as_str() && has(i)) {
                Some((other, _)) => all.push(Difference::cant(
                    Aspect::Address,
                    name,
                    Problem::not_now(format!("its address {address} is that of {other}")).hint(format!(
                        "remove it there, or choose another for `{name}`: `chyves network {name} set address=ADDRESS/PREFIX`"
                    )),
                )),
                None => all.push(Difference::by(
                    Aspect::Address,
                    name,
                    format!("the host has no {address} on it"),
                    vec![Intent::AddAddress { interface: name.clone(), address: *address, router: None }],
                )),
            }
        }
    }
    all
}

/// An interface of another kind has the name of a bridge.
pub(super) fn taken(spec: &BridgeSpec, kind: IfKind, what: &str) -> Difference {
    let name = &spec.name;
    let first = format!("remove that one first: `chyves network {name} delete`, then configure it again");
    let problem = Problem::host_cant(format!("`{name}` is {}, {what}", kind.words())).hint_if(kind.bridges().then_some(first));
    Difference::cant(
        Aspect::NameTaken,
        name,
        problem.hint("or choose another name for the bridge: `chyves network list` shows the names in use"),
    )
}

/// A bridge that should filter VLANs and does not.
pub(crate) fn filtering(room: &Room<'_>, bridge: &IfName) -> Difference {
    if room.can_filter() {
        return Difference::by(
            Aspect::VlanFiltering,
            bridge,
            "it does not filter VLANs",
            vec![Intent::FilterVlans { bridge: bridge.clone() }],
        );
    }
    let (major, minor) = room.release;
    Difference::cant(
        Aspect::VlanFiltering,
        bridge,
        Problem::host_cant(format!("bridges of FreeBSD {major}.{minor} cannot filter VLANs; those of 15.0 can"))
            .hint("give each VLAN a bridge of its own: `chyves network bridge5 attach em0 vlan=5`"),
    )
}

/// Existing interfaces that chyves did not create, that carry the default route or the present login, and that these
/// intents change; each with the reason.
pub fn touched(actual: &Actual, intents: &[&Intent]) -> Vec<String> {
    let mut all: Vec<String> = intents
        .iter()
        .filter_map(|intent| match intent {
            Intent::Join { member, .. } | Intent::Leave { member, .. } => Some(member),
            Intent::Wire { interface: member, .. } | Intent::Unwire { interface: member, .. } => Some(member),
            Intent::SetMtu { interface, .. }
            | Intent::SetDown { interface }
            | Intent::RemoveAddress { interface, .. }
            | Intent::SetAddresses { interface, .. }
            | Intent::RemoveBridge { bridge: interface, .. }
            | Intent::RemoveVlan { vlan: interface, .. }
            | Intent::RemovePair { end: interface, .. } => Some(interface),
            Intent::FilterVlans { bridge } => Some(bridge),
            Intent::LoadModule { .. }
            | Intent::MakeTap { .. }
            | Intent::RemoveTap { .. }
            | Intent::DestroyVm { .. }
            | Intent::RemoveJail { .. }
            | Intent::MakeBridge { .. }
            | Intent::MakeVlan { .. }
            | Intent::MakePair { .. }
            | Intent::MakeNode { .. }
            | Intent::RemoveNode { .. }
            | Intent::MarkNode { .. }
            | Intent::Describe { .. }
            | Intent::SetUp { .. }
            | Intent::AddAddress { .. }
            | Intent::Forward { .. }
            | Intent::LoadRules { .. }
            | Intent::DropRules { .. }
            | Intent::StartDhcp { .. }
            | Intent::StopDhcp { .. } => None,
        })
        .filter_map(|name| actual.carries(name.as_str()))
        .collect();
    all.sort();
    all.dedup();
    all
}
