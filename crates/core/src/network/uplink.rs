//! The uplinks of bridges: whether an interface can be one, and the steps that make it a member.
//!
//! Not here: bridges themselves ([`super::compare`]), connecting an interface to a netgraph node ([`super::wiring`]).

use super::USUAL_MTU;
use super::actual::{Actual, IfKind, Interface};
use super::compare::{Aspect, Difference, Room};
use super::design::BridgeSpec;
use crate::error::Problem;
use crate::os::{Intent, Os, pair_of};
use crate::value::IfName;

/// The differences of a bridge's uplink, including one that should not exist.
pub(super) fn way_out(room: &Room<'_>, spec: &BridgeSpec, there: Option<&Interface>) -> Vec<Difference> {
    let name = &spec.name;
    let Some(uplink) = &spec.uplink else {
        let out = |m: &&String| room.actual.get(m).is_some_and(|i| i.kind.leads_out());
        let members = there.map(|b| b.members.iter().filter(out).collect::<Vec<_>>()).unwrap_or_default();
        // A bridge without a configured connection is left as the administrator made it.
        let members = if spec.private || spec.nat.is_some() { members } else { Vec::new() };
        return members
            .into_iter()
            .filter_map(|m| {
                let leave = Intent::Leave { bridge: name.clone(), member: m.parse().ok()?, vlan: None };
                Some(Difference::by(Aspect::UplinkUnwanted, name, format!("it is private, and {m} is an uplink"), vec![leave]))
            })
            .collect();
    };
    let Some(nic) = room.actual.get(uplink.as_str()) else {
        // If only one end of a pair is visible, the other end is in a jail; no new pair is created.
        if let (Some((pair, other)), None) = (pair_of(uplink.as_str()), spec.vlan)
            && room.actual.get(&other).is_none()
        {
            let mut intents = vec![Intent::MakePair { end: uplink.clone(), owner: room.mark.to_owned() }];
            let mtu = room.mtu(spec);
            intents.extend((mtu != USUAL_MTU).then(|| Intent::SetMtu { interface: uplink.clone(), from: USUAL_MTU, to: mtu }));
            intents.push(Intent::Join { bridge: name.clone(), member: uplink.clone(), vlan: None });
            return vec![Difference::by(Aspect::UplinkMissing, name, format!("there is no pair {pair}"), intents)];
        }
        return vec![no_uplink(room, name, uplink)];
    };
    if let Some(problem) = unfit(room, spec, uplink, nic) {
        return vec![Difference::cant(Aspect::UplinkUnfit, name, problem)];
    }
    let (mut all, member) = member(room, spec, uplink, nic);
    if let Some((member, seen)) = member.filter(|(_, seen)| seen.is_none_or(|i| i.bridge.is_none())) {
        all.push(match join(room, spec, &member, seen) {
            Ok(intents) => Difference::by(Aspect::UplinkApart, name, format!("{member} is not in it"), intents),
            Err(problem) => Difference::cant(Aspect::UplinkUnfit, name, *problem),
        });
    }
    all
}

/// The interface that should be the member of the bridge, the uplink or its VLAN, with its state if it exists; `None` if it
/// is unavailable. Also the steps before: setting it up, creating a VLAN.
pub(super) fn member<'a>(
    room: &Room<'a>,
    spec: &BridgeSpec,
    uplink: &IfName,
    nic: &'a Interface,
) -> (Vec<Difference>, Option<(IfName, Option<&'a Interface>)>) {
    let name = &spec.name;
    let mut all = Vec::new();
    if !nic.up {
        all.push(Difference::by(
            Aspect::UplinkDown,
            name,
            format!("its uplink {uplink} is down"),
            vec![Intent::SetUp { interface: uplink.clone(), uplink_of: Some(name.clone()) }],
        ));
    }
    let (member, seen) = match spec.vlan.map(|tag| vlan(room, name, uplink, tag)) {
        None => (uplink.clone(), Some(nic)),
        Some(Ok((member, seen, difference))) => {
            all.extend(difference);
            (member, seen)
        }
        Some(Err(difference)) => {
            all.push(*difference);
            return (all, None);
        }
    };
    if let Some(other) = seen.and_then(|i| i.bridge.as_deref()).filter(|bridge| *bridge != name.as_str()) {
        all.push(elsewhere(name, &member, other));
        return (all, None);
    }
    (all, Some((member, seen)))
}

/// The uplink does not exist on the host.
pub(super) fn no_uplink(room: &Room<'_>, name: &IfName, uplink: &IfName) -> Difference {
    let problem = Problem::host_cant(format!("its uplink `{uplink}` is not there"));
    Difference::cant(
        Aspect::UplinkMissing,
        name,
        problem.hint(format!("`chyves network {name} attach …` takes another; this host has {}", candidates(room.actual))),
    )
}

/// The uplink is a member of another bridge.
fn elsewhere(name: &IfName, member: &IfName, other: &str) -> Difference {
    Difference::cant(
        Aspect::UplinkElsewhere,
        name,
        Problem::not_now(format!("its uplink `{member}` is in the bridge `{other}`")).hint(format!(
            "an interface is in one bridge at a time; take it out there, or move all of it: `chyves network {other} migrate {name}`"
        )),
    )
}

/// The interfaces that could be uplinks.
fn candidates(actual: &Actual) -> String {
    let fit = |i: &Interface| matches!(i.kind, IfKind::Physical | IfKind::Aggregate | IfKind::Vlan) && i.bridge.is_none();
    let names: Vec<&str> = actual.interfaces.iter().filter(|(_, i)| fit(i)).map(|(n, _)| n.as_str()).take(8).collect();
    if names.is_empty() { "none that is free".to_owned() } else { names.join(", ") }
}

/// Why an interface cannot be the uplink of a bridge.
fn unfit(room: &Room<'_>, spec: &BridgeSpec, uplink: &IfName, nic: &Interface) -> Option<Problem> {
    wrong_kind(room, spec, uplink, nic).or_else(|| wrong_size(room, spec, uplink, nic))
}

/// The reasons that depend on its kind.
pub(super) fn wrong_kind(room: &Room<'_>, spec: &BridgeSpec, uplink: &IfName, nic: &Interface) -> Option<Problem> {
    let name = &spec.name;
    let problem = match nic.kind {
        IfKind::Bridge | IfKind::Netgraph => {
            Problem::host_cant(format!("its uplink `{uplink}` is {}, and no bridge can be in a bridge", nic.kind.words()))
                .hint(format!("attach what is in `{uplink}`: {}", nic.members.join(", ")))
        }
        IfKind::Loopback | IfKind::Other => {
            Problem::host_cant(format!("its uplink `{uplink}` is {}", nic.kind.words())).hint("attach a NIC")
        }
        IfKind::Wireless if spec.netgraph => {
            Problem::host_cant(format!("its uplink `{uplink}` is wireless, which no bridge can take")).hint("attach a NIC")
        }
        IfKind::Wireless => Problem::host_cant(format!("its uplink `{uplink}` is wireless, which no bridge can take"))
            .hint(format!("use NAT through it: `chyves network {name} set nat={uplink} address=10.0.0.1/24 dhcp=yes`")),
        IfKind::Tap => Problem::host_cant(format!("its uplink `{uplink}` is a tap, which is a guest's end"))
            .hint(format!("`chyves network {name} join {uplink}` makes it a member")),
        IfKind::Physical | IfKind::Vlan | IfKind::Aggregate | IfKind::Pair => {
            // Packets of a VLAN on top of the bridge itself would loop forever.
            let mut below = nic;
            for _ in 0..8 {
                let Some((parent, _)) = &below.vlan else { break };
                if parent == name.as_str() {
                    return Some(
                        Problem::host_cant(format!("its uplink `{uplink}` is on `{name}` itself, which makes a loop")).hint("attach a NIC"),
                    );
                }
                below = room.actual.get(parent)?;
            }
            return None;
        }
    };
    Some(problem)
}

/// The reasons that depend on its MTU.
fn wrong_size(room: &Room<'_>, spec: &BridgeSpec, uplink: &IfName, nic: &Interface) -> Option<Problem> {
    let name = &spec.name;
    let mtu = room.mtu(spec);
    if mtu > nic.mtu {
        return Some(
            Problem::host_cant(format!("its uplink `{uplink}` has an MTU of {} and does not support {mtu}", nic.mtu))
                .hint(format!("`chyves network {name} set mtu={}`, or raise the MTU of {uplink}, if its network supports that", nic.mtu)),
        );
    }
    (room.os == Os::FreeBsd && spec.vlan.is_none() && mtu != nic.mtu).then(|| {
        Problem::host_cant(format!("its uplink `{uplink}` has an MTU of {} and the bridge {mtu}", nic.mtu))
            .because("all members of a bridge of FreeBSD have the same MTU")
            .hint(format!("`chyves network {name} set mtu={}`, or ifconfig {uplink} mtu {mtu}", nic.mtu))
    })
}

type OnVlan<'a> = (IfName, Option<&'a Interface>, Option<Difference>);

/// The interface of a VLAN of the uplink: an existing one, whatever its name is, or a new one.
fn vlan<'a>(room: &Room<'a>, bridge: &IfName, uplink: &IfName, tag: u16) -> Result<OnVlan<'a>, Box<Difference>> {
    let cant = |problem: Problem| Box::new(Difference::cant(Aspect::UplinkUnfit, bridge, problem));
    if let Some(found) = room.actual.vlan_of(uplink.as_str(), tag) {
        let name: IfName = found.parse().map_err(|e| cant(Problem::from(e)))?;
        let seen = room.actual.get(found);
        let down = seen.is_some_and(|i| !i.up);
        let up = down.then(|| {
            Difference::by(
                Aspect::UplinkDown,
                bridge,
                format!("{name} is down"),
                vec![Intent::SetUp { interface: name.clone(), uplink_of: Some(bridge.clone()) }],
            )
        });
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
    Ok((name.clone(), None, Some(Difference::by(Aspect::VlanMissing, bridge, format!("there is no VLAN {tag} of {uplink}"), vec![make]))))
}

/// The intents that make an interface a member. Its addresses, with the routes through them, are moved to the bridge if the
/// design names one of them.
fn join(room: &Room<'_>, spec: &BridgeSpec, member: &IfName, seen: Option<&Interface>) -> Result<Vec<Intent>, Box<Problem>> {
    let name = &spec.name;
    let joined = Intent::Join { bridge: name.clone(), member: member.clone(), vlan: None };
    let Some(seen) = seen else { return Ok(vec![joined]) };
    if seen.addresses.iter().any(|a| spec.addresses.contains(a)) {
        // All of them are moved, because addresses of a member cannot be used.
        let (take, give) = room.actual.moving(member, name);
        return Ok(vec![take, joined, give]);
    }
    if !seen.addresses.is_empty() && room.members_have_no_addresses() {
        let all: Vec<String> = seen.addresses.iter().map(ToString::to_string).collect();
        let uplink = spec.uplink.as_ref().unwrap_or(member);
        let out = spec.vlan.map_or_else(|| uplink.to_string(), |tag| format!("{uplink} vlan={tag}"));
        let mut problem =
            Problem::host_cant(format!("the host has {} on {member}, and would lose it when that becomes a member", all.join(", ")))
                .because("addresses of a bridge belong on the bridge itself")
                .hint(format!("move it there: `chyves network {name} attach {out} address={}`", all[0]));
        if all.len() > 1 {
            problem = problem.hint("the others move with it");
        }
        return Err(Box::new(problem));
    }
    Ok(vec![joined])
}
