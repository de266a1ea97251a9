//! Compares netgraph bridges with their design, and determines what closes each difference. chyves only changes nodes that
//! it created itself; a node that somebody else created is used as it is.
//!
//! The host is connected to such a bridge like its guests, through the upper hook of the uplink: its addresses stay on the
//! uplink. Not here: bridges that are interfaces ([`super::compare`]).

use super::actual::{IfKind, Interface};
use super::compare::{Aspect, Difference, Room, taken};
use super::design::BridgeSpec;
use super::is_ours;
use super::uplink::{member, no_uplink, wrong_kind};
use crate::error::Problem;
use crate::os::netgraph::Graph;
use crate::os::{Intent, Os};
use crate::value::IfName;

/// The differences of one netgraph bridge.
pub(super) fn bridge(room: &Room<'_>, spec: &BridgeSpec) -> Vec<Difference> {
    let name = &spec.name;
    if let Some(problem) = not_here(room.os, spec) {
        return vec![Difference::cant(Aspect::Unsupported, name, problem)];
    }
    let there = room.actual.get(name.as_str());
    let mut all = Vec::new();
    match there {
        Some(other) if other.kind != IfKind::Netgraph => return vec![taken(spec, other.kind, "no netgraph bridge")],
        Some(_) => {}
        None => {
            if let Some((_, node)) = room.actual.graph.as_ref().and_then(|g| g.named(name.as_str())) {
                let problem = Problem::host_cant(format!("the netgraph node `{name}:` is of the type {}, no bridge", node.kind));
                let hint = format!("rename the bridge: `chyves set global bridge{}.name=NAME`", spec.number);
                return vec![Difference::cant(Aspect::NameTaken, name, problem.hint(hint))];
            }
            let make = Intent::MakeNode { node: name.clone(), owner: room.mark.to_owned() };
            all.push(Difference::by(Aspect::BridgeMissing, name, "it is not there", vec![make]));
        }
    }
    match &spec.uplink {
        Some(uplink) => all.extend(way_out(room, spec, uplink, there)),
        None => all.extend(there.filter(|_| spec.private).map(|seen| shut(room, name, seen)).unwrap_or_default()),
    }
    all
}

/// Why the host cannot have netgraph bridges.
pub(crate) fn not_here(os: Os, spec: &BridgeSpec) -> Option<Problem> {
    (spec.netgraph && os != Os::FreeBsd).then(|| {
        Problem::host_cant(format!("`{}` is a netgraph bridge, which only FreeBSD has; this host is {os}", spec.name))
            .on(&spec.name)
            .hint(format!("make it a bridge: `chyves set global bridge{}.type=bridge`, or name another one", spec.number))
    })
}

/// Uplinks of a bridge that should be private.
fn shut(room: &Room<'_>, name: &IfName, seen: &Interface) -> Vec<Difference> {
    let interfaces = seen.members.iter().filter(|m| room.actual.get(m).is_some_and(|i| i.kind.leads_out()));
    interfaces
        .filter_map(|m| {
            let says = format!("it is private, and {m} is an uplink");
            Some(if is_ours(&seen.mark) {
                Difference::by(Aspect::UplinkUnwanted, name, says, vec![room.actual.leave(name, &m.parse().ok()?)])
            } else {
                Difference::cant(Aspect::UplinkUnwanted, name, foreign(name, &says))
            })
        })
        .collect()
}

/// The uplink of a netgraph bridge.
fn way_out(room: &Room<'_>, spec: &BridgeSpec, uplink: &IfName, there: Option<&Interface>) -> Vec<Difference> {
    let name = &spec.name;
    let Some(nic) = room.actual.get(uplink.as_str()) else { return vec![no_uplink(room, name, uplink)] };
    if let Some(problem) = wrong_kind(room, spec, uplink, nic) {
        return vec![Difference::cant(Aspect::UplinkUnfit, name, problem)];
    }
    let (mut all, member) = member(room, spec, uplink, nic);
    let Some((member, _)) = member else { return all };
    let nothing = Graph::default();
    let graph = room.actual.graph.as_ref().unwrap_or(&nothing);
    let missing = |hook| graph.link(name.as_str(), member.as_str(), hook).is_none();
    let made_elsewhere = there.is_some_and(|seen| !is_ours(&seen.mark));
    let (wire, host) = (missing("lower"), missing("upper"));
    // Whether the host is connected to it too is decided by whoever created it.
    if !wire && (!host || made_elsewhere) {
        return all;
    }
    // The uplink's hooks may be connected to other nodes: for accounting, address translation or another bridge.
    if let Some((hook, _)) = [("lower", wire), ("upper", host)].iter().find(|(hook, is)| *is && graph.is_taken(member.as_str(), hook)) {
        all.push(Difference::cant(
            Aspect::UplinkElsewhere,
            name,
            Problem::not_now(format!("the hook `{hook}` of its uplink `{member}` is connected to another node of netgraph"))
                .hint(format!("see what it is: ngctl show {}:", crate::os::freebsd::ngctl::ether_node(member.as_str())))
                .hint(format!("or take another uplink: `chyves network {name} attach …`")),
        ));
        return all;
    }
    let says = if wire { format!("{member} is not in it") } else { format!("the host is not on it by {member}") };
    if made_elsewhere {
        all.push(Difference::cant(Aspect::UplinkApart, name, foreign(name, &says)));
        return all;
    }
    let mut links = graph.free_links(name.as_str());
    let mut link = |wanted: bool| wanted.then(|| links.next()).flatten();
    let (lower, upper) = (link(wire), link(host));
    all.push(Difference::by(Aspect::UplinkApart, name, says, vec![Intent::Wire { node: name.clone(), interface: member, lower, upper }]));
    all
}

/// A required change of a node that chyves did not create.
fn foreign(name: &IfName, says: &str) -> Problem {
    Problem::not_now(format!("{says}, and chyves did not create the node `{name}:`"))
        .because("it is used as it is, and left")
        .hint(format!("see what is on it: ngctl show {name}:"))
        .hint(format!("change it yourself, or have chyves make it: ngctl shutdown {name}: && chyves network apply {name}"))
}
