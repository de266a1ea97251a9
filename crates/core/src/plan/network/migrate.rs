//! Moves everything of one bridge to another: its uplink, its guests' NICs including running ones, and its role as the
//! default bridge.

use super::bridge::{self, Planned};
use super::services;
use super::{Facts, attach, nics, running, tidy};
use crate::device::GraphHook;
use crate::error::{Problem, Result};
use crate::guest::written::Change;
use crate::guest::{Backend, Guest, Spec, backend};
use crate::network::compare::{self, Close, Room};
use crate::network::{APPLIED, BridgeSpec, Design, IfKind, Interface, Mode, Proof, STARTED, is_ours};
use crate::os::assigned::Detail;
use crate::os::{Assigned, Intent, taps};
use crate::plan::{Plan, set};
use crate::pool::Root;
use crate::property::keys::{self, BridgeKey, NetKey};
use crate::property::settings::{Own, OwnValues};
use crate::value::IfName;
use crate::vmm::Vmm;
use crate::world::World;
use crate::zfs::args::Pair;

/// Plans the migration. The world must hold all guests; `defaults` are the settings that they inherit.
///
/// # Errors
/// There is no such bridge, or the other one cannot replace it.
pub fn migrate(world: &World, facts: &Facts, defaults: &OwnValues, from: &IfName, to: &IfName) -> Result<Planned> {
    let root = world.primary()?;
    if facts.design.mode == Mode::Manual {
        return Err(Problem::not_now("networks are managed by hand on this host (network_mode=manual)")
            .hint("`chyves set global network_mode=system`"));
    }
    let old = facts.design.must(from.as_str())?.clone();
    let to = facts.design.find(to.as_str()).map_or(to, |s| &s.name).clone();
    if old.name == to {
        return Err(Problem::usage(format!("`{to}` is the same bridge")).on(&to).hint("name two"));
    }
    alike(facts, &old, &to)?;
    let (set, clear) = settings(&facts.design, &old, &to);
    let mut after = (*root.own).clone();
    after.retain(|k, _| !clear.contains(k));
    for (k, v) in &set {
        after.insert(k.clone(), Own { value: v.clone(), received: false });
    }
    let design = Design::read(&after)?;
    facts.design.allows(&design)?;
    let mut planned = Planned::default();
    let set: Vec<Pair> = set.into_iter().filter(|(k, v)| root.own.get(k).is_none_or(|o| o.value != *v)).collect();
    let clear: Vec<String> = clear.into_iter().filter(|k| root.own.contains_key(k)).collect();
    planned.plan.push(set::change(world, &root.dataset, &root.own, &Change::kept(set, clear)));
    replace_default(world, root, defaults, &old, &to, &mut planned.plan);
    let mut intents = Vec::new();
    let mut moved = Vec::new();
    for guest in &world.guests {
        let Ok(spec) = guest.spec() else { continue };
        let mut pairs = hooks(&spec, world.host.vmm, &old, &to);
        for net in spec.nets.iter().filter(|n| n.bridge == old.name && backend(n, world.host.vmm) == Backend::Bridge) {
            let key = keys::net(net.number, NetKey::Bridge);
            if guest.settings.own(&key).is_some() {
                pairs.push((key, to.to_string()));
            } else if let Some(own) = guest.settings.own(keys::BRIDGE)
                && own == old.name.as_str()
            {
                pairs.push((keys::BRIDGE.into(), to.to_string()));
            }
            let tap = attach::tap(guest, net)?;
            let token = taps::token(guest.uuid, net.number);
            if facts.actual.get(tap.as_str()).is_some_and(|i| i.mark == token && i.bridge.as_deref() == Some(old.name.as_str())) {
                intents.push(Intent::Leave { bridge: old.name.clone(), member: tap.clone(), vlan: net.vlan });
                moved.push((tap, net.vlan));
            }
        }
        for (tap, vlan) in running_here(facts, guest, &old.name)? {
            if !moved.iter().any(|(other, _)| *other == tap) {
                intents.push(Intent::Leave { bridge: old.name.clone(), member: tap.clone(), vlan });
                moved.push((tap, vlan));
            }
        }
        pairs.dedup();
        // Nobody typed that these guests join the new bridge: they may as far as they might join the old one.
        nics::write(world, guest, &Change::kept(pairs, Vec::new()), &mut planned.plan)?;
    }
    let there = facts.actual.get(old.name.as_str());
    for member in there.map(|b| b.members.as_slice()).unwrap_or_default() {
        if tidy::is_way_out(&facts.actual, Some(&old), member) {
            if stays_as_it_is(there) {
                continue;
            }
            intents.push(facts.actual.leave(&old.name, &member.parse()?));
        }
    }
    remove_or_keep(facts, &old.name, &mut intents, &mut planned.plan.notes);
    let new = Facts { actual: facts.actual.after(&intents), design };
    let spec = new.design.must(to.as_str())?;
    let room = Room { mark: APPLIED, ..new.room(&world.host) };
    let mut proofs = Vec::new();
    if spec.is_decided() || new.actual.get(to.as_str()).is_some() {
        for difference in compare::bridge(&room, spec) {
            match difference.close {
                Close::By(more) => intents.extend(more),
                Close::Cant(problem) => return Err(problem.within(format!("`{to}` cannot take the place of `{}`", old.name)).on(&to)),
            }
        }
    }
    bridge::keep_routes(&mut intents);
    bring_the_rest(facts, &new, &old, &to, &mut intents);
    facts.actual.can_move(world.host.os, &intents)?;
    proofs.extend(intents.iter().filter_map(attach::proof).filter(|p| !matches!(p, Proof::IsOut { .. } | Proof::IsOff { .. })));
    for (tap, vlan) in moved {
        proofs.push(Proof::IsIn { bridge: to.clone(), member: tap.clone() });
        intents.push(Intent::Join { bridge: to.clone(), member: tap, vlan });
    }
    planned.touches = compare::touched(&facts.actual, &intents.iter().collect::<Vec<_>>());
    planned.plan.steps.extend(services::end(&facts.actual, &old.name, None));
    let mut attached = attach::Attached { intents, proofs, ..attach::Attached::default() };
    let owed = facts.actual.moved.get(old.name.as_str());
    attached.moved.extend(owed.into_iter().flat_map(|owed| [(old.name.clone(), None), (to.clone(), Some(owed.clone()))]));
    attached.bring(services::bring(&world.host, spec, &new.actual, APPLIED));
    planned.plan.steps.extend(attached.steps(&world.host.run_dir));
    Ok(planned)
}

/// Replaces the bridge of NICs that name none. A default that came with a stream is nobody's word here, and would be this host's
/// own from then on.
fn replace_default(world: &World, root: &Root, defaults: &OwnValues, old: &BridgeSpec, to: &IfName, plan: &mut Plan) {
    let usual = defaults.get(keys::BRIDGE);
    if usual.is_some_and(|o| o.received && o.value == old.name.as_str()) {
        let name = &old.name;
        plan.notes.push(format!("the default bridge {name} came with a stream and is kept; to choose {to}: `chyves network default {to}`"));
    } else if usual.map_or("bridge0", |o| o.value.as_str()) == old.name.as_str() {
        let usual = Change::kept([(keys::BRIDGE.into(), to.to_string())], Vec::new());
        plan.push(set::change(world, &root.guests(), defaults, &usual));
    }
}

/// Removes the bridge that was left, if chyves created it and nothing is in it; a note states why it is kept otherwise.
fn remove_or_keep(facts: &Facts, name: &IfName, intents: &mut Vec<Intent>, notes: &mut Vec<String>) {
    let there = facts.actual.get(name.as_str());
    let left = facts.actual.after(intents).get(name.as_str()).map(|b| b.members.join(", ")).unwrap_or_default();
    match there {
        Some(b) if b.kind.bridges() && left.is_empty() && (b.mark == APPLIED || b.mark == STARTED) => {
            intents.extend(facts.actual.removal(name));
        }
        Some(b) if left.is_empty() || stays_as_it_is(there) => {
            notes.push(format!("{} {name} is kept: chyves did not create it", bridge::thing(b.kind)));
        }
        Some(b) => notes.push(format!("{} {name} is kept: {left} are in it", bridge::thing(b.kind))),
        None => {}
    }
}

/// The taps of NICs that run on a bridge, with their VLANs: their next start may be on another one.
fn running_here(facts: &Facts, guest: &Guest, bridge: &IfName) -> Result<Vec<(IfName, Option<u16>)>> {
    let mut here = Vec::new();
    for net in running::started(&facts.actual, guest).iter().flat_map(|spec| &spec.nets) {
        let (tap, token) = (attach::tap(guest, net)?, taps::token(guest.uuid, net.number));
        if facts.actual.get(tap.as_str()).is_some_and(|i| i.mark == token && i.bridge.as_deref() == Some(bridge.as_str())) {
            here.push((tap, net.vlan));
        }
    }
    Ok(here)
}

/// Adds the remaining addresses and routes of a removed bridge to the steps.
fn bring_the_rest(facts: &Facts, new: &Facts, old: &BridgeSpec, to: &IfName, intents: &mut Vec<Intent>) {
    let Some(rest) = the_rest(facts, new, old, to, intents) else { return };
    // The routes are restored with the remaining addresses.
    for intent in intents.iter_mut() {
        if let Intent::AddAddress { interface, router, .. } = intent
            && interface == to
        {
            *router = None;
        }
    }
    intents.push(rest);
}

/// The step that moves every remaining address of a removed bridge to the new one, including those that no setting names,
/// with all routes through them.
fn the_rest(facts: &Facts, new: &Facts, old: &BridgeSpec, to: &IfName, intents: &[Intent]) -> Option<Intent> {
    let was = facts.actual.get(old.name.as_str()).filter(|_| new.actual.get(old.name.as_str()).is_none())?;
    let mut before = new.actual.get(to.as_str()).map(Interface::assigned).unwrap_or_default();
    before.extend(intents.iter().filter_map(|intent| {
        let Intent::AddAddress { interface, address, .. } = intent else { return None };
        (interface == to).then(|| Assigned { address: *address, detail: Detail::default() })
    }));
    let more: Vec<Assigned> = was.assigned().into_iter().filter(|a| !before.iter().any(|b| b.address == a.address)).collect();
    let routes_before = new.actual.routes_by(to.as_str());
    let routes = facts.actual.routes_by(old.name.as_str());
    if more.is_empty() && routes.is_empty() {
        return None;
    }
    Some(Intent::SetAddresses {
        interface: to.clone(),
        after: before.iter().cloned().chain(more).collect(),
        before,
        routes_after: routes_before.iter().cloned().chain(routes).collect(),
        routes_before,
    })
}

/// The changed settings of a guest's NICs on a removed netgraph bridge.
fn hooks(spec: &Spec, vmm: Vmm, old: &BridgeSpec, to: &IfName) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for net in spec.nets.iter().filter(|n| old.netgraph && backend(n, vmm) == Backend::Netgraph) {
        let hook: Option<GraphHook> = net.netgraph.as_ref().and_then(|text| text.parse().ok());
        if let Some(hook) = hook.filter(|h| h.path.strip_suffix(':') == Some(old.name.as_str())) {
            pairs.push((keys::net(net.number, NetKey::Netgraph), GraphHook { path: format!("{to}:"), ..hook }.to_string()));
        }
    }
    pairs
}

/// Whether it is a node that somebody else created, which is left unchanged.
fn stays_as_it_is(there: Option<&Interface>) -> bool {
    there.is_some_and(|b| b.kind == IfKind::Netgraph && !is_ours(&b.mark))
}

/// Refuses a target bridge that cannot accept the NICs.
fn alike(facts: &Facts, old: &BridgeSpec, to: &IfName) -> Result<()> {
    if let Some(new) = facts.design.get(to).filter(|new| new.is_decided() && new.netgraph != old.netgraph) {
        let word = |spec: &BridgeSpec| if spec.netgraph { "a netgraph bridge" } else { "a bridge" };
        return Err(Problem::not_now(format!("`{}` is {} and `{to}` {}", old.name, word(old), word(new)))
            .on(to)
            .because("NICs are on the one by hooks and on the other by taps")
            .hint(format!("move each NIC by itself: `chyves network move GUEST {to}`")));
    }
    if old.netgraph && facts.actual.claimed(old.name.as_str(), None) {
        return Err(Problem::not_now(format!(
            "guests that run are on the netgraph bridge `{}`, and keep its hooks until they are stopped",
            old.name
        ))
        .on(&old.name)
        .hint("stop them first: `chyves network list` shows them; `chyves reclaim` removes what dead VMs left"));
    }
    Ok(())
}

/// The settings after the migration: the old bridge's settings are copied to the new one unless it has its own.
fn settings(design: &Design, old: &BridgeSpec, to: &IfName) -> (Vec<Pair>, Vec<String>) {
    let there = design.get(to);
    let number = there.map_or_else(|| design.number_for(to), |s| s.number);
    let key = |part| keys::bridge(number, part);
    let mut set: Vec<Pair> = Vec::new();
    if to.as_str() != format!("bridge{number}") {
        set.push((key(BridgeKey::Name), to.to_string()));
    }
    if there.is_none_or(|s| !s.is_decided()) {
        let yes = |on: bool| on.then(|| "yes".to_owned());
        let v4 = old.addresses.iter().find(|a| a.address.is_ipv4()).map(ToString::to_string);
        let v6 = old.addresses.iter().find(|a| a.address.is_ipv6()).map(ToString::to_string);
        let all = [
            (BridgeKey::Type, old.netgraph.then(|| "netgraph".to_owned())),
            (BridgeKey::Uplink, old.uplink.as_ref().map(ToString::to_string)),
            (BridgeKey::Vlan, old.vlan.map(|v| v.to_string())),
            (BridgeKey::Private, yes(old.private)),
            (BridgeKey::Mtu, old.mtu.map(|m| m.to_string())),
            (BridgeKey::Address, v4.clone().or_else(|| v6.clone())),
            (BridgeKey::Address6, v6.filter(|_| v4.is_some())),
            (BridgeKey::Filtering, yes(old.filtering)),
            (BridgeKey::Nat, old.nat.as_ref().map(ToString::to_string)),
            (BridgeKey::Dhcp, yes(old.dhcp)),
            (BridgeKey::Description, old.description.clone()),
        ];
        set.extend(all.into_iter().filter_map(|(part, value)| Some((key(part), value?))));
    }
    (set, BridgeKey::ALL.iter().map(|k| keys::bridge(old.number, *k)).collect())
}
