//! `network apply`: finds where bridges and the NICs of running guests differ from the design, and corrects them.
//!
//! Not here: changing the design ([`super::bridge`]).

use super::bridge::{Planned, close};
use super::{Facts, attach};
use super::{running, services};
use crate::action::Action;
use crate::error::Result;
use crate::network::compare::{self, Aspect, Close, Difference, Room};
use crate::network::{APPLIED, BridgeSpec, Mode, nat};
use crate::os::Intent;
use crate::value::IfName;
use crate::world::World;
use std::collections::BTreeSet;

pub use super::running::present;

/// Plans to bring all bridges, or the named ones, in line with the design; also the NICs of running guests.
///
/// # Errors
/// Something cannot be corrected; then nothing is changed.
pub fn apply(world: &World, facts: &Facts, only: &[IfName]) -> Result<Planned> {
    let mut planned = Planned::default();
    let mut intents = Vec::new();
    let mut services = attach::Attached::default();
    let room = Room { mark: APPLIED, ..facts.room(&world.host) };
    let chosen: Vec<&BridgeSpec> = match only {
        [] => facts.design.bridges().collect(),
        names => names.iter().map(|n| facts.design.must(n.as_str())).collect::<Result<_>>()?,
    };
    let faults = facts.design.faults().filter(|_| only.is_empty());
    planned.plan.notes.extend(faults.map(|(name, problem)| format!("{name} is left as it is: {problem}")));
    for spec in &chosen {
        let closed = close(&room, spec, &world.host)?;
        services.put.extend(attach::put(&facts.actual, &closed));
        intents.extend(closed);
        services.bring(services::bring(&world.host, spec, &facts.actual, APPLIED));
        planned.plan.notes.extend(nat::no_way_out(&facts.actual, spec).map(|p| nat::note(&spec.name, &p)));
    }
    for difference in running::nics(&room, world) {
        match difference.close {
            Close::By(more) => intents.extend(more),
            Close::Cant(problem) => planned.plan.notes.push(format!("{}: {problem}", difference.object)),
        }
    }
    let ends: Vec<Action> =
        unwanted(facts).filter(|(name, _)| only.is_empty() || only.contains(name)).flat_map(|(_, steps)| steps).collect();
    // Several bridges may require the same module.
    let mut modules = BTreeSet::new();
    intents.retain(|i| !matches!(i, Intent::LoadModule { module } if !modules.insert(module.clone())));
    if intents.is_empty() && ends.is_empty() && services == attach::Attached::default() {
        if planned.plan.notes.is_empty() {
            planned.plan.notes.push("the host's networks are as configured".into());
        }
        return Ok(planned);
    }
    if facts.design.mode == Mode::Manual {
        planned.plan.notes.push("networks are managed by hand on this host (network_mode=manual)".into());
    }
    facts.actual.can_move(world.host.os, &intents)?;
    planned.touches = compare::touched(&facts.actual, &intents.iter().collect::<Vec<_>>());
    services.proofs.extend(intents.iter().filter_map(attach::proof));
    services.intents = intents;
    planned.plan.steps.extend(ends);
    planned.plan.steps.extend(services.steps(&world.host.run_dir));
    Ok(planned)
}

/// Services and files of bridges that the settings no longer require.
fn unwanted(facts: &Facts) -> impl Iterator<Item = (IfName, Vec<Action>)> + '_ {
    let named = facts.actual.services.keys().filter_map(|name| name.parse::<IfName>().ok());
    named.map(|name| (name.clone(), services::end(&facts.actual, &name, facts.design.get(&name)))).filter(|(_, steps)| !steps.is_empty())
}

/// The differences of all bridges and of all NICs of running guests. A bridge that does not exist and that no running guest
/// uses is not a difference, because a start creates it.
pub fn differences(world: &World, facts: &Facts) -> Vec<Difference> {
    let room = Room { mark: APPLIED, ..facts.room(&world.host) };
    let waiting: Vec<&IfName> = waiting(world, facts).into_iter().map(|s| &s.name).collect();
    let bridges = facts.design.bridges().filter(|s| !waiting.contains(&&s.name));
    let mut all: Vec<Difference> = bridges
        .flat_map(|spec| {
            let bringing = services::bring(&world.host, spec, &facts.actual, APPLIED);
            let says = (!bringing.says.is_empty())
                .then(|| Difference::by(Aspect::ServiceMissing, &spec.name, bringing.says.join(", "), bringing.intents()));
            compare::bridge(&room, spec).into_iter().chain(says)
        })
        .collect();
    all.extend(facts.design.faults().map(|(name, problem)| Difference::cant(Aspect::Invalid, name, problem.clone())));
    all.extend(unwanted(facts).filter_map(|(name, steps)| {
        let told = steps.into_iter().filter_map(|step| if let Action::Host(intent) = step { Some(intent) } else { None });
        let intents: Vec<Intent> = told.collect();
        (!intents.is_empty()).then(|| {
            Difference::by(Aspect::ServiceUnwanted, name, "NAT rules or a DHCP server are active that it is not configured for", intents)
        })
    }));
    all.extend(nics(world, facts));
    let no_way_out = |spec: &BridgeSpec| Some(Difference::cant(Aspect::NatInterface, &spec.name, nat::no_way_out(&facts.actual, spec)?));
    all.extend(facts.design.bridges().filter_map(no_way_out));
    // A start corrects these, so they are not differences; those that a start cannot correct are.
    let cant = |difference: &Difference| matches!(difference.close, Close::Cant(_));
    all.extend(self::waiting(world, facts).into_iter().flat_map(|spec| compare::bridge(&room, spec)).filter(cant));
    all
}

/// The differences of NICs: those of running guests that are not where they were started, and those that a start refuses because
/// there is no such bridge.
pub fn nics(world: &World, facts: &Facts) -> Vec<Difference> {
    let room = facts.room(&world.host);
    let mut all = running::nics(&room, world);
    all.extend(running::nowhere(&room, world));
    all
}

/// The bridges that do not exist, that no running guest uses and that held nothing of the host's.
pub fn waiting<'a>(world: &World, facts: &'a Facts) -> Vec<&'a BridgeSpec> {
    let used: Vec<IfName> = world.guests.iter().flat_map(|g| present(world, &facts.actual, g)).collect();
    let absent = |name: &str| facts.actual.get(name).is_none() && facts.actual.lost(name).is_none();
    facts.design.bridges().filter(|s| absent(s.name.as_str()) && !used.contains(&s.name)).collect()
}
