//! Where the host's bridges differ from their design, and what closes each difference.
//!
//! Not here: the cards of guests (`plan::network::attach`), and when differences are closed (`plan::network`).

use super::USUAL_MTU;
use super::actual::{Actual, IfKind, Interface};
use super::design::{BridgeSpec, Design};
use crate::error::Problem;
use crate::os::{Intent, Os, pair_of};
use crate::value::{Cidr, IfName};

/// What differences are looked for in.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// The host's system.
    pub os: Os,
    /// Its release.
    pub release: (u16, u16),
    /// What is wanted.
    pub design: &'a Design,
    /// What is there.
    pub actual: &'a Actual,
    /// What is written on what is made.
    pub mark: &'static str,
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What differs: a bridge, a card.
    pub object: String,
    /// How, one sentence without a full stop.
    pub says: String,
    /// What becomes of it.
    pub close: Close,
}

/// How a difference is closed.
#[derive(Debug, Clone, PartialEq)]
pub enum Close {
    /// By these intents, in order.
    By(Vec<Intent>),
    /// Not by chyves.
    Cant(Box<Problem>),
}

impl Difference {
    pub(crate) fn by(object: impl std::fmt::Display, says: impl Into<String>, intents: Vec<Intent>) -> Self {
        Self { object: object.to_string(), says: says.into(), close: Close::By(intents) }
    }

    pub(crate) fn cant(object: impl std::fmt::Display, problem: Problem) -> Self {
        let object = object.to_string();
        Self { says: problem.message.clone(), close: Close::Cant(Box::new(problem.on(&object))), object }
    }
}

impl Room<'_> {
    /// Whether an interface with addresses can be a member and still use them: not on Linux, and from 15.0 on not on
    /// FreeBSD.
    fn members_have_no_addresses(&self) -> bool {
        self.os == Os::Linux || self.release >= (15, 0)
    }

    /// Whether the host's bridges can keep VLANs apart.
    pub fn can_filter(&self) -> bool {
        self.os == Os::Linux || self.release >= (15, 0)
    }

    /// The largest packet on a bridge once it is as designed.
    pub fn mtu(&self, spec: &BridgeSpec) -> u32 {
        let bridge = self.actual.get(spec.name.as_str());
        let with_members = bridge.filter(|b| !b.members.is_empty()).map(|b| b.mtu);
        let uplink = spec.uplink.as_ref().and_then(|u| self.actual.get(u.as_str())).map(|u| u.mtu);
        spec.mtu.or(with_members).or(uplink).or(bridge.map(|b| b.mtu)).unwrap_or(USUAL_MTU)
    }
}

/// The differences of one bridge. The intents of all of them, in order, make it what it is to be; what can't be closed
/// is told, and nothing that depends on it.
pub fn bridge(room: &Room<'_>, spec: &BridgeSpec) -> Vec<Difference> {
    if spec.netgraph {
        return super::wiring::bridge(room, spec);
    }
    let name = &spec.name;
    let mut all = Vec::new();
    let there = room.actual.get(name.as_str());
    match there {
        Some(other) if other.kind != IfKind::Bridge => return vec![taken(spec, other.kind, "no bridge")],
        Some(bridge) => {
            if !bridge.up {
                all.push(Difference::by(name, "it is down", vec![Intent::SetUp { interface: name.clone() }]));
            }
            if let Some(mtu) = spec.mtu.filter(|m| *m != bridge.mtu) {
                if room.os == Os::FreeBsd && !bridge.members.is_empty() {
                    return vec![Difference::cant(
                        name,
                        Problem::not_now(format!("it carries {} bytes and not {mtu}, and has members that do too", bridge.mtu))
                            .because("all members of a bridge of FreeBSD carry the same")
                            .hint(format!("stop its guests and take its uplink out first: `chyves network {name} detach`")),
                    )];
                }
                let set = Intent::SetMtu { interface: name.clone(), from: bridge.mtu, to: mtu };
                all.push(Difference::by(name, format!("it carries {} bytes instead of {mtu}", bridge.mtu), vec![set]));
            }
        }
        None => {
            let mtu = Some(room.mtu(spec)).filter(|m| *m != USUAL_MTU);
            let make = Intent::MakeBridge { bridge: name.clone(), owner: room.mark.to_owned(), mtu, filters: false };
            all.push(Difference::by(name, "it is not there", vec![make]));
        }
    }
    if spec.filtering && !there.is_some_and(|b| b.filters) {
        all.push(filtering(room, name));
    }
    all.extend(way_out(room, spec, there));
    for address in &spec.addresses {
        let has = |i: &Interface| i.addresses.contains(address);
        let on_uplink = spec.uplink.as_ref().and_then(|u| room.actual.get(u.as_str())).is_some_and(has);
        if !there.is_some_and(has) && !on_uplink {
            match room.actual.interfaces.iter().find(|(other, i)| *other != name.as_str() && has(i)) {
                Some((other, _)) => all.push(Difference::cant(
                    name,
                    Problem::not_now(format!("its address {address} is that of {other}"))
                        .hint(format!("take it from there, or give `{name}` another: `chyves network {name} set address=…`")),
                )),
                None => all.push(Difference::by(
                    name,
                    format!("the host has no {address} on it"),
                    vec![Intent::AddAddress { interface: name.clone(), address: *address, router: None }],
                )),
            }
        }
    }
    all
}

/// Something else has the name of a bridge.
pub(super) fn taken(spec: &BridgeSpec, kind: IfKind, what: &str) -> Difference {
    let name = &spec.name;
    let first = format!("have that one removed first: `chyves network {name} delete`, then say anew what it is to be");
    let problem = Problem::host_cant(format!("`{name}` is {}, {what}", kind.words())).hint_if(kind.bridges().then_some(first));
    Difference::cant(name, problem.hint(format!("give the bridge another name: `chyves set global bridge{}.name=…`", spec.number)))
}

/// A bridge that is to keep VLANs apart and does not.
pub(crate) fn filtering(room: &Room<'_>, bridge: &IfName) -> Difference {
    if room.can_filter() {
        return Difference::by(bridge, "it does not keep VLANs apart", vec![Intent::FilterVlans { bridge: bridge.clone() }]);
    }
    let (major, minor) = room.release;
    Difference::cant(
        bridge,
        Problem::host_cant(format!("bridges of FreeBSD {major}.{minor} can't keep VLANs apart; those of 15.0 can"))
            .hint("give each VLAN a bridge of its own: `chyves network bridge5 attach em0 vlan=5`"),
    )
}

/// The uplink of a bridge, or that it has none.
fn way_out(room: &Room<'_>, spec: &BridgeSpec, there: Option<&Interface>) -> Vec<Difference> {
    let name = &spec.name;
    let Some(uplink) = &spec.uplink else {
        let out = |m: &&String| room.actual.get(m).is_some_and(|i| i.kind.leads_out());
        let members = there.map(|b| b.members.iter().filter(out).collect::<Vec<_>>()).unwrap_or_default();
        // A bridge of which nothing was decided is as the administrator made it.
        let members = if spec.private || spec.nat.is_some() { members } else { Vec::new() };
        return members
            .into_iter()
            .filter_map(|m| {
                let leave = Intent::Leave { bridge: name.clone(), member: m.parse().ok()?, vlan: None };
                Some(Difference::by(name, format!("it is private, and {m} leads out of it"), vec![leave]))
            })
            .collect();
    };
    let cant = |problem: Problem| vec![Difference::cant(name, problem)];
    let Some(card) = room.actual.get(uplink.as_str()) else {
        // One that is there without its other end stands for a pair whose other end is in a jail: that is no new one.
        if let (Some((pair, other)), None) = (pair_of(uplink.as_str()), spec.vlan)
            && room.actual.get(&other).is_none()
        {
            let mut intents = vec![Intent::MakePair { end: uplink.clone(), owner: room.mark.to_owned() }];
            let mtu = room.mtu(spec);
            intents.extend((mtu != USUAL_MTU).then(|| Intent::SetMtu { interface: uplink.clone(), from: USUAL_MTU, to: mtu }));
            intents.push(Intent::Join { bridge: name.clone(), member: uplink.clone(), vlan: None });
            return vec![Difference::by(name, format!("there is no pair {pair}"), intents)];
        }
        return vec![no_uplink(room, name, uplink)];
    };
    if let Some(problem) = unfit(room, spec, uplink, card) {
        return cant(problem);
    }
    let mut all = Vec::new();
    if !card.up {
        all.push(Difference::by(name, format!("its uplink {uplink} is down"), vec![Intent::SetUp { interface: uplink.clone() }]));
    }
    let (member, seen) = match spec.vlan {
        None => (uplink.clone(), Some(card)),
        Some(tag) => match vlan(room, name, uplink, tag) {
            Ok((member, seen, difference)) => {
                all.extend(difference);
                (member, seen)
            }
            Err(difference) => {
                all.push(*difference);
                return all;
            }
        },
    };
    match seen.and_then(|i| i.bridge.as_deref()) {
        Some(bridge) if bridge == name.as_str() => {}
        Some(other) => all.push(elsewhere(name, &member, other)),
        None => match join(room, spec, &member, seen) {
            Ok(intents) => all.push(Difference::by(name, format!("{member} is not in it"), intents)),
            Err(problem) => all.push(Difference::cant(name, *problem)),
        },
    }
    all
}

/// An uplink that the host has not.
pub(super) fn no_uplink(room: &Room<'_>, name: &IfName, uplink: &IfName) -> Difference {
    let problem = Problem::host_cant(format!("its uplink `{uplink}` is not there"));
    Difference::cant(
        name,
        problem.hint(format!("`chyves network {name} attach …` takes another; this host has {}", candidates(room.actual))),
    )
}

/// An uplink that another bridge has.
pub(super) fn elsewhere(name: &IfName, member: &IfName, other: &str) -> Difference {
    Difference::cant(
        name,
        Problem::not_now(format!("its uplink `{member}` is in the bridge `{other}`")).hint(format!(
            "an interface is in one bridge at a time; take it out there, or move all of it: `chyves network {other} migrate {name}`"
        )),
    )
}

/// What could be an uplink.
fn candidates(actual: &Actual) -> String {
    let fit = |i: &Interface| matches!(i.kind, IfKind::Physical | IfKind::Aggregate | IfKind::Vlan) && i.bridge.is_none();
    let names: Vec<&str> = actual.interfaces.iter().filter(|(_, i)| fit(i)).map(|(n, _)| n.as_str()).take(8).collect();
    if names.is_empty() { "none that is free".to_owned() } else { names.join(", ") }
}

/// Why an interface can't be the uplink of a bridge.
fn unfit(room: &Room<'_>, spec: &BridgeSpec, uplink: &IfName, card: &Interface) -> Option<Problem> {
    wrong_kind(room, spec, uplink, card).or_else(|| wrong_size(room, spec, uplink, card))
}

/// The same for what it is.
pub(super) fn wrong_kind(room: &Room<'_>, spec: &BridgeSpec, uplink: &IfName, card: &Interface) -> Option<Problem> {
    let name = &spec.name;
    let problem = match card.kind {
        IfKind::Bridge | IfKind::Netgraph => {
            Problem::host_cant(format!("its uplink `{uplink}` is {}, and no bridge can be in a bridge", card.kind.words()))
                .hint(format!("attach what is in `{uplink}`: {}", card.members.join(", ")))
        }
        IfKind::Loopback | IfKind::Other => {
            Problem::host_cant(format!("its uplink `{uplink}` is {}", card.kind.words())).hint("attach a network card")
        }
        IfKind::Wireless if spec.netgraph => {
            Problem::host_cant(format!("its uplink `{uplink}` is wireless, which no bridge can take")).hint("attach a network card")
        }
        IfKind::Wireless => Problem::host_cant(format!("its uplink `{uplink}` is wireless, which no bridge can take"))
            .hint(format!("let guests hide behind it: `chyves network {name} set nat={uplink} address=10.0.0.1/24 dhcp=yes`")),
        IfKind::Tap => Problem::host_cant(format!("its uplink `{uplink}` is a tap, which is a guest's end"))
            .hint(format!("`chyves network {name} join {uplink}` makes it a member")),
        IfKind::Physical | IfKind::Vlan | IfKind::Aggregate | IfKind::Pair => {
            // Packets of a VLAN of the bridge itself would come back to it for ever.
            let mut below = card;
            for _ in 0..8 {
                let Some((parent, _)) = &below.vlan else { break };
                if parent == name.as_str() {
                    return Some(
                        Problem::host_cant(format!("its uplink `{uplink}` is on `{name}` itself, which makes a loop"))
                            .hint("attach a network card"),
                    );
                }
                below = room.actual.get(parent)?;
            }
            return None;
        }
    };
    Some(problem)
}

/// The same for what it carries.
fn wrong_size(room: &Room<'_>, spec: &BridgeSpec, uplink: &IfName, card: &Interface) -> Option<Problem> {
    let name = &spec.name;
    let mtu = room.mtu(spec);
    if mtu > card.mtu {
        return Some(
            Problem::host_cant(format!("its uplink `{uplink}` carries {} bytes and can't carry {mtu}", card.mtu))
                .hint(format!("`chyves network {name} set mtu={}`, or let {uplink} carry more, if the network behind it does", card.mtu)),
        );
    }
    (room.os == Os::FreeBsd && spec.vlan.is_none() && mtu != card.mtu).then(|| {
        Problem::host_cant(format!("its uplink `{uplink}` carries {} bytes and the bridge {mtu}", card.mtu))
            .because("all members of a bridge of FreeBSD carry the same")
            .hint(format!("`chyves network {name} set mtu={}`, or ifconfig {uplink} mtu {mtu}", card.mtu))
    })
}

pub(super) type OnVlan<'a> = (IfName, Option<&'a Interface>, Option<Difference>);

/// The interface of a VLAN of the uplink: the one that is there, whatever it is called, or a new one.
pub(super) fn vlan<'a>(room: &Room<'a>, bridge: &IfName, uplink: &IfName, tag: u16) -> Result<OnVlan<'a>, Box<Difference>> {
    let cant = |problem: Problem| Box::new(Difference::cant(bridge, problem));
    if let Some(found) = room.actual.vlan_of(uplink.as_str(), tag) {
        let name: IfName = found.parse().map_err(|e| cant(Problem::from(e)))?;
        let seen = room.actual.get(found);
        let down = seen.is_some_and(|i| !i.up);
        let up = down.then(|| Difference::by(bridge, format!("{name} is down"), vec![Intent::SetUp { interface: name.clone() }]));
        return Ok((name, seen, up));
    }
    let usual = format!("{uplink}.{tag}");
    let usual = if usual.len() > 15 { format!("vlan{tag}") } else { usual };
    if let Some(other) = room.actual.get(&usual) {
        return Err(cant(
            Problem::host_cant(format!("`{usual}` is {} and not the VLAN {tag} of `{uplink}`", other.kind.words())).hint(format!(
                "rename it, or make that VLAN yourself under another name and attach it: `chyves network {bridge} attach …`"
            )),
        ));
    }
    let name: IfName = usual.parse().map_err(|e| cant(Problem::from(e)))?;
    let make = Intent::MakeVlan { vlan: name.clone(), parent: uplink.clone(), tag, owner: room.mark.to_owned(), mtu: None };
    Ok((name.clone(), None, Some(Difference::by(bridge, format!("there is no VLAN {tag} of {uplink}"), vec![make]))))
}

/// The intents that make an interface a member. Its addresses move to the bridge where the design says so.
fn join(room: &Room<'_>, spec: &BridgeSpec, member: &IfName, seen: Option<&Interface>) -> Result<Vec<Intent>, Box<Problem>> {
    let name = &spec.name;
    let joined = Intent::Join { bridge: name.clone(), member: member.clone(), vlan: None };
    let Some(seen) = seen else { return Ok(vec![joined]) };
    let stays: Vec<String> = seen.addresses.iter().filter(|a| !spec.addresses.contains(a)).map(ToString::to_string).collect();
    if !stays.is_empty() && room.members_have_no_addresses() {
        return Err(Box::new(
            Problem::host_cant(format!("the host has {} on {member}, and would lose it when that becomes a member", stays.join(", ")))
                .because("addresses of a bridge belong on the bridge itself")
                .hint(format!("let it move there: `chyves network {name} set address={}`", stays[0])),
        ));
    }
    let moving: Vec<_> = seen.addresses.iter().filter(|a| spec.addresses.contains(a)).copied().collect();
    // The default route goes with the address by which its router is reached.
    let router = |address: &Cidr| room.actual.router(member.as_str(), address);
    let mut intents: Vec<Intent> = moving.iter().map(|address| room.actual.without(member, address)).collect();
    intents.push(joined);
    intents.extend(moving.iter().map(|address| Intent::AddAddress { interface: name.clone(), address: *address, router: router(address) }));
    Ok(intents)
}

/// The interfaces that were there before, are not chyves' own, carry the default route or the present login, and are
/// touched by these intents; each with why that matters.
pub fn touched(actual: &Actual, intents: &[&Intent]) -> Vec<String> {
    let mut all: Vec<String> = intents
        .iter()
        .filter_map(|intent| match intent {
            Intent::Join { member, .. } | Intent::Leave { member, .. } => Some(member),
            Intent::Wire { interface: member, .. } | Intent::Unwire { interface: member, .. } => Some(member),
            Intent::SetMtu { interface, .. }
            | Intent::RemoveAddress { interface, .. }
            | Intent::RemoveBridge { bridge: interface, .. }
            | Intent::RemoveVlan { vlan: interface, .. }
            | Intent::RemovePair { end: interface, .. } => Some(interface),
            Intent::FilterVlans { bridge } => Some(bridge),
            Intent::LoadModule { .. }
            | Intent::MakeTap { .. }
            | Intent::RemoveTap { .. }
            | Intent::DestroyVm { .. }
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
            | Intent::ServeNames { .. }
            | Intent::EndNames { .. } => None,
        })
        .filter_map(|name| actual.carries(name.as_str()))
        .collect();
    all.sort();
    all.dedup();
    all
}
