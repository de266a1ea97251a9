//! Commands that change the design of bridges: attach, detach, private, default, set, delete.
//!
//! Not here: applying the whole design ([`super::apply`]).

use super::services;
use super::{Facts, apply, attach, tidy};
use crate::error::{Problem, Result};
use crate::guest::written::Change;
use crate::guest::{Backend, Guest, NetSpec, Spec, backend};
use crate::network::address::{Moved, replaced};
use crate::network::compare::{self, Close, Room};
use crate::network::{APPLIED, BridgeSpec, Design, IfKind, Mode, STARTED, is_ours, nat, wiring};
use crate::os::freebsd::ngctl;
use crate::os::{HostFacts, Intent, Os, pair_of, taps};
use crate::plan::{Plan, set};
use crate::pool::Root;
use crate::property::Scope;
use crate::property::keys::{self, BridgeKey};
use crate::property::settings::{Own, OwnValues};
use crate::value::{Cidr, IfName};
use crate::vmm::Vmm;
use crate::world::World;
use crate::zfs::args::Pair;
use std::collections::BTreeSet;
use std::net::IpAddr;
use uuid::Uuid;

/// The requested change of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// It gets this uplink, or a VLAN of it.
    Attach {
        /// The uplink.
        uplink: IfName,
        /// The VLAN.
        vlan: Option<u16>,
        /// Further settings of the bridge, as typed.
        settings: Vec<Pair>,
    },
    /// It loses its uplink.
    Detach {
        /// The uplink, if the user named it.
        uplink: Option<IfName>,
    },
    /// It becomes private, without an uplink; with further settings, as typed.
    Private(Vec<Pair>),
    /// These settings of it change, as typed.
    Set(Vec<Pair>),
    /// It is removed.
    Delete,
}

impl Wish {
    /// The further settings, as typed.
    fn typed(&self) -> &[Pair] {
        match self {
            Self::Attach { settings, .. } | Self::Private(settings) | Self::Set(settings) => settings,
            Self::Detach { .. } | Self::Delete => &[],
        }
    }

    /// Whether this makes the bridge a netgraph bridge, so that nodes have to be read first.
    pub fn is_of_netgraph(&self) -> bool {
        self.typed().iter().any(|(_, value)| value.eq_ignore_ascii_case("netgraph"))
    }
}

/// A plan for bridges, with the interfaces that somebody may depend on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Interfaces that it changes and that carry the default route or the present login.
    pub touches: Vec<String>,
}

/// The note where chyves changes settings alone.
const BY_HAND: &str = "networks are managed by hand on this host (network_mode=manual): `chyves network plan` shows what is missing";

/// Plans a change of a bridge. `guests` are all guests of the host, which determine who uses the bridge.
///
/// # Errors
/// The design would be inconsistent, or the host does not support it.
pub fn change(world: &World, facts: &Facts, name: &IfName, wish: &Wish) -> Result<Planned> {
    let root = world.primary()?;
    let there = facts.design.find(name.as_str());
    let name = there.map_or(name, |s| &s.name).clone();
    let number = there.map_or_else(|| facts.design.number_for(&name), |s| s.number);
    let key = |part| keys::bridge(number, part);
    let mut set = typed(wish, &name, number)?;
    let mut clear: Vec<String> = Vec::new();
    match wish {
        Wish::Attach { uplink, vlan, .. } => {
            set.push((key(BridgeKey::Uplink), uplink.to_string()));
            match vlan {
                Some(tag) => set.push((key(BridgeKey::Vlan), tag.to_string())),
                None => clear.push(key(BridgeKey::Vlan)),
            }
            clear.extend([BridgeKey::Private, BridgeKey::Nat].map(key));
            // A DHCP server for guests behind NAT must not start to serve the whole network of an uplink.
            if there.is_some_and(|s| s.nat.is_some()) {
                clear.push(key(BridgeKey::Dhcp));
            }
        }
        Wish::Detach { uplink } => {
            if !has_uplink(facts, &name, uplink.as_ref())? {
                return Ok(Planned { plan: Plan::nothing(format!("{name} already has no uplink")), ..Planned::default() });
            }
            clear.extend([BridgeKey::Uplink, BridgeKey::Vlan].map(key));
            clear.extend(given_back(root, facts, &name, number));
        }
        Wish::Private(_) => {
            set.push((key(BridgeKey::Private), "yes".into()));
            clear.extend([BridgeKey::Uplink, BridgeKey::Vlan, BridgeKey::Nat].map(key));
            clear.extend(given_back(root, facts, &name, number));
        }
        Wish::Set(_) => {
            if set.iter().any(|(full, _)| *full == key(BridgeKey::Nat)) {
                clear.extend([BridgeKey::Uplink, BridgeKey::Vlan].map(key));
            }
        }
        Wish::Delete => {
            if there.is_none() && facts.actual.get(name.as_str()).is_none() && facts.design.fault(&name).is_none() {
                return Err(facts.design.must(name.as_str()).err().unwrap_or_else(|| Problem::bug("a bridge is there and is not")));
            }
            unused(world, facts, &name)?;
            clear.extend(BridgeKey::ALL.iter().map(|k| key(*k)));
        }
    }
    // A key that this command sets is not cleared, even if it has that value already.
    clear.retain(|key| !set.iter().any(|(s, _)| s == key));
    // The name of a new bridge is stored if it differs from the default.
    if name.as_str() != format!("bridge{number}") && *wish != Wish::Delete {
        set.push((key(BridgeKey::Name), name.to_string()));
    }
    let after = changed(&root.own, &set, &clear);
    let design = Design::read(&after)?;
    facts.design.allows(&design)?;
    if let Some(problem) = design.get(&name).and_then(|spec| wiring::not_here(world.host.os, spec)) {
        return Err(problem);
    }
    let mut planned = Planned::default();
    write(world, root, set, clear, &mut planned.plan);
    if facts.design.mode == Mode::Manual {
        planned.plan.notes.push(BY_HAND.into());
        return Ok(planned);
    }
    let before = there.cloned();
    let mut attached = attach::Attached::default();
    let mut intents = leaving(facts, &name, before.as_ref(), design.get(&name), &mut attached);
    facts.actual.can_move(world.host.os, &intents)?;
    stranded(world.host.os, facts, &name, before.as_ref(), design.get(&name), &intents)?;
    planned.plan.notes.extend(keeps(facts, &name, before.as_ref(), design.get(&name)));
    planned.plan.notes.extend(cut_off(world, facts, before.as_ref(), design.get(&name)));
    attached.raised.extend(stale_record(facts, before.as_ref(), design.get(&name)).map(|uplink| (uplink.clone(), false)));
    let new = Facts { actual: facts.actual.after(&intents), design };
    let mut proofs: Vec<_> = intents.iter().filter_map(attach::proof).collect();
    match new.design.get(&name) {
        Some(spec) => {
            let closed = close(&Room { mark: APPLIED, ..new.room(&world.host) }, spec, &world.host)?;
            attached.put.extend(attach::put(&facts.actual, &closed));
            proofs.extend(closed.iter().filter_map(attach::proof));
            intents.extend(closed);
        }
        None => {
            let removed = removal(&new, before.as_ref(), &name, &mut planned.plan);
            proofs.extend(removed.iter().filter_map(attach::proof));
            intents.extend(removed);
        }
    }
    facts.actual.can_move(world.host.os, &intents)?;
    keep_routes(&mut intents);
    planned.touches = compare::touched(&facts.actual, &intents.iter().collect::<Vec<_>>());
    planned.touches.extend(goes_with_it(facts, &name, &intents));
    planned.plan.steps.extend(services::end(&facts.actual, &name, new.design.get(&name)));
    planned.plan.notes.append(&mut attached.notes);
    (attached.intents, attached.proofs) = (intents, proofs);
    if let Some(spec) = new.design.get(&name) {
        attached.bring(services::bring(&world.host, spec, &new.actual, APPLIED));
        planned.plan.notes.extend(nat::no_way_out(&new.actual, spec).map(|p| nat::note(&name, &p)));
    }
    planned.plan.steps.extend(attached.steps(&world.host.run_dir));
    if planned.plan.steps.is_empty() {
        planned.plan.notes.push(format!("{name} is already set so"));
    }
    Ok(planned)
}

/// The new uplink, if it is up already and chyves brought it up for a bridge that others have removed since.
fn stale_record<'d>(facts: &Facts, before: Option<&BridgeSpec>, after: Option<&'d BridgeSpec>) -> Option<&'d IfName> {
    let uplink = after?.uplink.as_ref()?;
    let is_free = facts.actual.get(uplink.as_str()).is_some_and(|i| i.up && i.bridge.is_none());
    let is_new = before.and_then(|b| b.uplink.as_ref()) != Some(uplink);
    (is_free && is_new && facts.actual.raised.contains(uplink.as_str())).then_some(uplink)
}

/// The further settings of a change, in their stored form.
fn typed(wish: &Wish, name: &IfName, number: u16) -> Result<Vec<Pair>> {
    let mut set: Vec<Pair> = Vec::new();
    for (word, value) in wish.typed() {
        let full = if word.starts_with("bridge") && word.contains('.') { word.clone() } else { format!("bridge{number}.{word}") };
        // Errors name the key as it was typed: a user who typed `mtu` for `lan` does not know `bridge100.mtu`.
        let named = |mut problem: Problem| {
            if *word != full {
                problem.message = problem.message.replace(&format!("`{full}`"), &format!("`{word}` of {name}"));
            }
            problem
        };
        set.push(set::checked(&full, value, &[Scope::Global]).map_err(named)?);
    }
    Ok(set)
}

/// Whether a bridge has an uplink that can be removed: the named one, if one is named.
fn has_uplink(facts: &Facts, name: &IfName, uplink: Option<&IfName>) -> Result<bool> {
    // A bridge with invalid settings was never created from them; removing its uplink may fix them.
    if facts.design.fault(name).is_some() {
        return Ok(true);
    }
    let spec = facts.design.must(name.as_str())?;
    let Some(is) = &spec.uplink else { return Ok(false) };
    if let Some(named) = uplink.filter(|u| *u != is) {
        return Err(Problem::not_found(format!("`{named}` is not the uplink of `{name}`")).on(named).hint(format!("that is `{is}`")));
    }
    idle(facts, spec)?;
    Ok(true)
}

/// The settings after a change.
fn changed(before: &OwnValues, set: &[Pair], clear: &[String]) -> OwnValues {
    let mut after = before.clone();
    after.retain(|k, _| !clear.contains(k));
    for (k, v) in set {
        after.insert(k.clone(), Own { value: v.clone(), received: false });
    }
    after
}

/// The step that changes the settings, if they differ.
fn write(world: &World, root: &Root, mut set: Vec<Pair>, mut clear: Vec<String>, plan: &mut Plan) {
    set.retain(|(k, v)| root.own.get(k).is_none_or(|o| o.value != *v));
    clear.retain(|k| root.own.contains_key(k));
    if !set.is_empty() || !clear.is_empty() {
        plan.push(set::change(world, &root.dataset, &root.own, &Change::kept(set, clear)));
    }
}

/// Refuses to remove a bridge that a running guest is on, or that a guest's next start uses.
fn unused(world: &World, facts: &Facts, name: &IfName) -> Result<()> {
    let runs = |g: &Guest| facts.actual.graph.as_ref().and_then(|n| n.claims.get(name.as_str())).is_some_and(|c| c.contains(&g.uuid));
    let present = |g: &Guest| apply::present(world, &facts.actual, g).contains(name);
    let on = |g: &&Guest| runs(g) || present(g) || g.spec().is_ok_and(|s| networks(&s, &world.host).any(|n| n == *name));
    let guests: Vec<&str> = world.guests.iter().filter(on).map(|g| g.name.as_str()).collect();
    if guests.is_empty() {
        return Ok(());
    }
    Err(Problem::not_now(format!("`{name}` is the bridge of {}", guests.join(", ")))
        .on(name)
        .hint(format!("move them first: `chyves network move GUEST BRIDGE`, or all of them: `chyves network {name} migrate BRIDGE`")))
}

/// Refuses to remove the uplink of a netgraph bridge while its guests run, because their hooks cannot be moved.
fn idle(facts: &Facts, spec: &BridgeSpec) -> Result<()> {
    if !spec.netgraph || !facts.actual.claimed(spec.name.as_str(), None) {
        return Ok(());
    }
    let name = &spec.name;
    Err(Problem::not_now(format!("guests that run are on the netgraph bridge `{name}`"))
        .on(name)
        .hint("stop them first: `chyves network list` shows them; `chyves reclaim` removes what dead VMs left")
        .hint(format!("or while they run another uplink, `chyves network {name} attach …`, or none, `chyves network {name} private`")))
}

/// The address settings of a bridge that were taken from its uplink and are moved back to it.
fn given_back(root: &Root, facts: &Facts, name: &IfName, number: u16) -> Vec<String> {
    let moved = facts.actual.to_give_back(name.as_str()).or_else(|| facts.actual.lost(name.as_str()));
    let Some(moved) = moved else { return Vec::new() };
    let goes = |value: &str| value.parse::<Cidr>().is_ok_and(|a| moved.addresses.iter().any(|m| m.address == a));
    let keys = [BridgeKey::Address, BridgeKey::Address6].map(|part| keys::bridge(number, part));
    keys.into_iter().filter(|key| root.own.get(key).is_some_and(|own| goes(&own.value))).collect()
}

/// Refuses to cut off the host: the bridge loses its uplink but has an address with the default route or the present login,
/// and it is unknown which interface the address came from.
fn stranded(
    os: Os,
    facts: &Facts,
    name: &IfName,
    before: Option<&BridgeSpec>,
    after: Option<&BridgeSpec>,
    intents: &[Intent],
) -> Result<()> {
    if before.is_none_or(|b| b.uplink.is_none()) || after.is_some_and(|a| a.uplink.is_some()) {
        return Ok(());
    }
    let left = facts.actual.after(intents);
    let still: Vec<Cidr> = left.get(name.as_str()).map(|b| b.addresses.clone()).unwrap_or_default();
    let reaches = |via: IpAddr| still.iter().any(|a| a.overlaps(Cidr { address: via, prefix: a.prefix }));
    let by = |(via, dev): &&(Option<IpAddr>, String)| dev == name.as_str() && via.is_none_or(reaches);
    let route = facts.actual.default_routes.iter().find(by).map(|_| "the default route");
    let login = facts.actual.login.filter(|l| still.iter().any(|a| a.address == *l)).map(|_| "your present login");
    let Some(what) = route.or(login) else { return Ok(()) };
    let uplink = before.and_then(|b| b.uplink.as_ref()).map_or("its uplink", IfName::as_str);
    let all: Vec<String> = still.iter().map(ToString::to_string).collect();
    let gone = facts.actual.get(uplink).is_none();
    let problem = Problem::not_now(format!("cannot take {uplink} off {name}: {name} carries {what}")).on(name).because(if gone {
        format!("by {}, and there is no interface {uplink} that could have it instead", all.join(", "))
    } else {
        format!("by {}, and there is no record that {uplink} had that before", all.join(", "))
    });
    // The user has to add the address to the uplink afterwards, because chyves has no record that it belongs there.
    let (delete, add) = match os {
        Os::Linux => (format!("ip route delete default dev {name}"), format!("ip address add {} dev {uplink}", all[0])),
        Os::FreeBsd => ("route delete default".to_owned(), format!("ifconfig {uplink} inet {} alias", all[0])),
    };
    let router = facts.actual.default_routes.iter().find(by).and_then(|(via, _)| *via);
    let route = router.map(|via| match os {
        Os::Linux => format!(" && ip route add default via {via} dev {uplink}"),
        Os::FreeBsd => format!(" && route add default {via}"),
    });
    Err(problem
        .hint(format!("give the host another default route first; or, at its console: `{delete}`, then the same command again"))
        .hint_if((!gone).then(|| format!("then bring the address back to {uplink}: `{add}{}`", route.unwrap_or_default()))))
}

/// What the host loses with a removed bridge: addresses that an uplink had before and cannot have back.
fn goes_with_it(facts: &Facts, name: &IfName, intents: &[Intent]) -> Option<String> {
    let moved = facts.actual.moved.get(name.as_str())?;
    if facts.actual.to_give_back(name.as_str()).is_some() || facts.actual.after(intents).get(name.as_str()).is_some() {
        return None;
    }
    let lost: Vec<String> = facts.actual.kept_for(name.as_str()).iter().map(ToString::to_string).collect();
    let what = lost.join(", ");
    (!lost.is_empty()).then(|| format!("the host loses {what} with {name}, because {} cannot have it back", moved.from))
}

/// A note for a bridge that loses its uplink and keeps addresses that the uplink had, because it cannot have them back now.
fn keeps(facts: &Facts, name: &IfName, before: Option<&BridgeSpec>, after: Option<&BridgeSpec>) -> Option<String> {
    before.filter(|b| b.uplink.is_some() && after.is_some_and(|a| a.uplink.is_none()))?;
    let moved = facts.actual.moved.get(name.as_str()).filter(|_| facts.actual.to_give_back(name.as_str()).is_none())?;
    let all = facts.actual.kept_for(name.as_str()).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let from = &moved.from;
    (!all.is_empty()).then(|| {
        format!(
            "{name} keeps {all}, which {from} had before: {from} cannot have it back now; once it can, `chyves network {name} delete` moves it there"
        )
    })
}

/// A note for removing a bridge's uplink: the running guests that lose their connection, and how to restore it.
fn cut_off(world: &World, facts: &Facts, before: Option<&BridgeSpec>, after: Option<&BridgeSpec>) -> Option<String> {
    let leads_out = |spec: &&BridgeSpec| spec.uplink.is_some() || spec.nat.is_some();
    let before = before.filter(leads_out)?;
    if after.as_ref().is_some_and(leads_out) {
        return None;
    }
    let name = &before.name;
    let members = facts.actual.get(name.as_str()).map(|b| b.members.as_slice()).unwrap_or_default();
    let taps = members.iter().filter_map(|m| taps::owner_of(&facts.actual.get(m)?.mark));
    let hooks = facts.actual.graph.as_ref().and_then(|nodes| nodes.claims.get(name.as_str())).into_iter().flatten().copied();
    let running: BTreeSet<Uuid> = taps.chain(hooks).collect();
    let guests: Vec<&str> = world.guests.iter().filter(|g| running.contains(&g.uuid)).map(|g| g.name.as_str()).collect();
    let verb = match guests.len() {
        0 => return None,
        1 => "runs",
        _ => "run",
    };
    let back = match (&before.uplink, before.vlan, &before.nat) {
        (Some(uplink), Some(tag), _) => format!("attach {uplink} vlan={tag}"),
        (Some(uplink), None, _) => format!("attach {uplink}"),
        (None, _, nat) => format!("set nat={}", nat.as_ref().map_or("", IfName::as_str)),
    };
    Some(format!("{} {verb} on {name}, which leads to no other network now; `chyves network {name} {back}` restores it", guests.join(", ")))
}

/// What a bridge loses by its new design: former addresses, and its former uplink. Addresses of the uplink are moved back
/// to it.
fn leaving(
    facts: &Facts,
    name: &IfName,
    before: Option<&BridgeSpec>,
    after: Option<&BridgeSpec>,
    attached: &mut attach::Attached,
) -> Vec<Intent> {
    if let Some(lost) = facts.actual.lost(name.as_str()).filter(|_| after.is_none_or(|a| a.uplink.is_none())) {
        // The bridge no longer exists, and its uplink has the addresses again.
        attached.moved.push((name.clone(), None));
        return vec![facts.actual.restoring(&lost.from, &lost, &[])];
    }
    let Some((before, bridge)) = before.and_then(|b| Some((b, facts.actual.get(b.name.as_str())?))) else { return Vec::new() };
    let goes = |a: &Cidr| before.addresses.contains(a) && after.is_some_and(|after| !after.addresses.contains(a));
    let mut actual = facts.actual.clone();
    let mut intents = Vec::new();
    let back = actual.to_give_back(name.as_str()).filter(|_| after.is_none_or(|a| a.uplink.is_none()));
    let mut give = None;
    if let Some(moved) = &back {
        let (take, gives) = actual.giving_back(name, moved);
        actual = actual.after(std::slice::from_ref(&take));
        intents.push(take);
        give = Some(gives);
        attached.moved.push((name.clone(), None));
    }
    let gone: Vec<Cidr> = actual.get(name.as_str()).map(|b| b.addresses.iter().filter(|a| goes(a)).copied().collect()).unwrap_or_default();
    let somewhere = |a: &Cidr| actual.interfaces.values().any(|i| i.addresses.contains(a));
    let new: Vec<Cidr> = after.into_iter().flat_map(|a| &a.addresses).filter(|a| !somewhere(a)).copied().collect();
    intents.extend(actual.replacing(name, &gone, &new));
    // An address that replaced one of the uplink's is moved to the uplink afterwards.
    if let (None, false, Some(owed)) = (&back, gone.is_empty(), actual.moved.get(name.as_str())) {
        let addresses = replaced(&owed.addresses, &gone, &new);
        attached.moved.push((name.clone(), Some(Moved { addresses, ..owed.clone() })));
    }
    if before.uplink.is_none() || after.is_some_and(|a| a.uplink == before.uplink && a.vlan == before.vlan) {
        // An uplink that was gone when it was detached can have its addresses back since it has returned.
        intents.extend(give);
        return intents;
    }
    for member in bridge.members.iter().filter(|m| tidy::is_way_out(&facts.actual, Some(before), m)) {
        let Ok(name) = member.parse::<IfName>() else { continue };
        // A node that somebody else created is left unchanged, as are members that somebody else added to a bridge.
        if bridge.kind == IfKind::Netgraph && !is_ours(&bridge.mark) {
            continue;
        }
        if !is_ours(&bridge.mark) && !facts.actual.put.contains(&(before.name.to_string(), member.clone())) {
            attached.notes.push(format!("{member} stays in {}: chyves did not put it there", before.name));
            continue;
        }
        if !is_ours(&bridge.mark) {
            attached.put.push((before.name.clone(), name.clone(), false));
        }
        intents.push(facts.actual.leave(&before.name, &name));
        // Interfaces that chyves created for the bridge are removed; a pair may be named by either end.
        let after = facts.actual.after(&intents);
        let other = pair_of(member).and_then(|(_, other)| other.parse().ok());
        let ours = |n: &IfName| after.get(n.as_str()).is_some_and(|i| i.mark == APPLIED || i.mark == STARTED);
        let owed = |n: &IfName| back.as_ref().is_some_and(|moved| moved.from == *n);
        let made = [Some(name), other].into_iter().flatten().find(ours);
        if let Some(made) = made.filter(|n| !owed(n) && after.is_free(n.as_str(), &BTreeSet::new())) {
            intents.extend(facts.actual.removal(&made));
        }
    }
    intents.extend(give);
    let elsewhere = |uplink: &IfName| facts.design.bridges().any(|b| b.name != *name && b.uplink.as_ref() == Some(uplink));
    let uplink = before.uplink.as_ref().filter(|uplink| after.is_none_or(|a| a.uplink.as_ref() != Some(uplink)) && !elsewhere(uplink));
    let had: Vec<Cidr> = back.iter().flat_map(|moved| moved.addresses.iter().map(|a| a.address)).collect();
    intents.extend(uplink.and_then(|uplink| facts.actual.after(&intents).lowering(uplink, &had)));
    intents
}

/// A default route that is lost with an address is restored through another address that reaches its router.
pub(super) fn keep_routes(intents: &mut [Intent]) {
    let gone: Vec<IpAddr> = intents
        .iter()
        .filter_map(|i| {
            if let Intent::SetAddresses { routes_before, routes_after, .. } = i { Some((routes_before, routes_after)) } else { None }
        })
        .flat_map(|(before, after)| before.iter().filter(|r| r.is_default() && !after.contains(r)))
        .filter_map(|r| r.gateway)
        .collect();
    for intent in intents {
        if let Intent::AddAddress { address, router, .. } = intent {
            let reached = |via: &&IpAddr| address.overlaps(Cidr { address: **via, prefix: address.prefix });
            *router = router.or_else(|| gone.iter().find(reached).copied());
        }
    }
}

/// Removing a bridge: its interface is destroyed if chyves created it and it has no other members.
fn removal(facts: &Facts, spec: Option<&BridgeSpec>, name: &IfName, plan: &mut Plan) -> Vec<Intent> {
    let Some(bridge) = facts.actual.get(name.as_str()).filter(|i| i.kind.bridges()) else { return Vec::new() };
    if bridge.mark != APPLIED && bridge.mark != STARTED {
        plan.notes.push(format!("{} {name} is kept: chyves did not create it", thing(bridge.kind)));
        return Vec::new();
    }
    let designed = |a: &Cidr| spec.is_some_and(|s| s.addresses.contains(a));
    let foreign: Vec<String> = bridge.addresses.iter().filter(|a| !designed(a)).map(ToString::to_string).collect();
    if !foreign.is_empty() {
        plan.notes.push(format!(
            "{} {name} is kept: the host has {} on it, which chyves did not put there",
            thing(bridge.kind),
            foreign.join(", ")
        ));
        return Vec::new();
    }
    let others: Vec<&str> = bridge.members.iter().filter(|m| !tidy::is_way_out(&facts.actual, spec, m)).map(String::as_str).collect();
    if !others.is_empty() {
        plan.notes.push(format!("{} {name} is kept: {} are in it", thing(bridge.kind), others.join(", ")));
        return Vec::new();
    }
    facts.actual.removal(name)
}

/// The noun for the interface in notes.
pub(super) const fn thing(kind: IfKind) -> &'static str {
    if matches!(kind, IfKind::Netgraph) { "the node" } else { "the interface" }
}

/// The intents that bring a bridge in line with the design permanently.
pub(super) fn close(room: &Room<'_>, spec: &BridgeSpec, host: &HostFacts) -> Result<Vec<Intent>> {
    // A bridge that only has a description is not created.
    if !spec.is_decided() && room.actual.get(spec.name.as_str()).is_none() {
        return Ok(Vec::new());
    }
    let mut intents = Vec::new();
    for difference in compare::bridge(room, spec) {
        match difference.close {
            Close::By(more) => intents.extend(more),
            Close::Cant(problem) => return Err(problem.within(format!("`{}` cannot be created as configured", spec.name)).on(&spec.name)),
        }
    }
    let seen = room.actual.get(spec.name.as_str());
    if seen.is_some_and(|i| i.mark == STARTED) {
        let (from, to) = (STARTED.into(), APPLIED.into());
        let name = spec.name.clone();
        intents.push(if spec.netgraph {
            Intent::MarkNode { node: name, from, to }
        } else {
            Intent::Describe { interface: name, from, to }
        });
    }
    let out = spec.uplink.as_ref().and_then(|uplink| match spec.vlan {
        Some(tag) => room.actual.vlan_of(uplink.as_str(), tag),
        None => Some(uplink.as_str()),
    });
    if let Some(out) = out.filter(|o| room.actual.get(o).is_some_and(|i| i.mark == STARTED)) {
        intents.push(Intent::Describe { interface: out.parse()?, from: STARTED.into(), to: APPLIED.into() });
    }
    if host.os == Os::FreeBsd && !intents.is_empty() {
        let modules: &[&str] = if spec.netgraph { &ngctl::MODULES } else { &["if_bridge"] };
        intents.splice(0..0, modules.iter().map(|module| Intent::LoadModule { module: (*module).into() }));
    }
    Ok(intents)
}

/// Plans to make a bridge the default for NICs without an explicit bridge.
///
/// # Errors
/// There is no such bridge.
pub fn default(world: &World, facts: &Facts, root: &Root, before: &OwnValues, name: &IfName) -> Result<Plan> {
    let known = facts.design.find(name.as_str()).map(|s| s.name.clone());
    let there = facts.actual.get(name.as_str()).is_some_and(|i| i.kind == IfKind::Bridge);
    let Some(name) = known.or_else(|| there.then(|| name.clone())) else {
        return Err(facts.design.must(name.as_str()).err().unwrap_or_else(|| Problem::bug("a bridge is there and is not")));
    };
    if facts.design.get(&name).is_some_and(|b| b.netgraph) {
        return Err(Problem::not_now(format!("NICs that name no bridge have taps, and `{name}` is a netgraph bridge, which takes none"))
            .on(&name)
            .hint(format!("put NICs on it one by one: `chyves network move GUEST {name}`")));
    }
    set::defaults(world, root, before, &set::Request { set: vec![(keys::BRIDGE.into(), name.to_string())], unset: Vec::new() })
}

/// The bridges that a guest's NICs use, including netgraph bridges.
pub fn networks<'a>(spec: &'a Spec, host: &HostFacts) -> impl Iterator<Item = IfName> + use<'a> {
    let vmm = host.vmm;
    spec.nets.iter().filter_map(move |net| network(net, vmm))
}

/// The bridge that a NIC uses.
pub(super) fn network(net: &NetSpec, vmm: Vmm) -> Option<IfName> {
    match backend(net, vmm) {
        Backend::Bridge => Some(net.bridge.clone()),
        Backend::Netgraph => net.netgraph.as_ref()?.split(':').next()?.parse().ok(),
        Backend::Auto | Backend::User | Backend::Vale => None,
    }
}
