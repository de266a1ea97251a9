//! Sets and unsets properties of the host, and of what guests inherit.

use super::guest_set::ChangedWord;
use crate::answer::Assignment;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, checks};
use chyves_core::error::Result;
use chyves_core::network::nat;
use chyves_core::plan;
use chyves_core::plan::set::Request;
use chyves_core::pool::{Role, Root};
use chyves_core::property::keys;
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::network;
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Changes settings of the host, or what guests inherit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSet {
    /// Which of both.
    pub of: HostSettings,
    /// What is set.
    #[serde(default)]
    pub set: Vec<Assignment>,
    /// What is unset.
    #[serde(default)]
    pub unset: Vec<String>,
}

/// Settings that are no guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostSettings {
    /// What guests inherit.
    Defaults,
    /// The host's own.
    Global,
}

impl HostSettings {
    /// The word that is shown, the same as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Global => "global",
        }
    }
}

/// Settings that were changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostChanged {
    /// The pool and which settings of it: `tank:defaults`.
    pub object: String,
    /// What was done.
    pub done: ChangedWord,
}

impl Operation for HostSet {
    const NAME: &'static str = "host-set";
    type Answer = Vec<HostChanged>;

    fn needs(&self) -> Needs {
        // The guests whose documents are read are locked one by one before the settings are.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let request = Request { set: Assignment::pairs(&self.set), unset: self.unset.clone() };
        checks::usable_here(engine, &request.set)?;
        // The guests that inherit the defaults must still be able to start afterwards.
        let of_guests = self.of == HostSettings::Defaults;
        // Fewer levels of groups hide the guests that are deeper.
        let every = of_guests || plan::set::sets_group_levels(&request);
        let look = Look { guests: if every { Which::All } else { Which::None }, ..Look::default() };
        let mut texts = BTreeMap::new();
        for name in if of_guests { heirs_with_texts(engine, &look, &request)? } else { Vec::new() } {
            // Observed by name: an observation of all guests does not include their mount points.
            let _guest = engine.lock("guest", &[&name])?;
            let world = engine.look(&Look::at(std::slice::from_ref(&name)))?;
            texts.extend(Engine::with_texts(&world, observe::guest(&world, &name)?)?.texts);
        }
        let _lock = engine.lock("pool", &["settings"])?;
        let mut world = engine.look(&look)?;
        world.texts = texts;
        observe::global(&mut world)?;
        let mut plans = Vec::new();
        for root in world.roots.iter().filter(|r| r.role != Role::Offline) {
            let plan = if of_guests {
                let before = observe::dataset(&root.guests())?.map(|r| r.own).unwrap_or_default();
                plan::set::defaults(&world, root, &before, &request)?
            } else if root.role == Role::Primary {
                let mut plan = plan::set::global(&world, root, &request)?;
                plan.notes.extend(without_way_out(engine, &world, root, &request)?);
                plan
            } else {
                continue;
            };
            plans.push((format!("{}:{}", root.dataset.pool(), self.of.word()), plan));
        }
        let mut all = Vec::new();
        for (object, plan) in &plans {
            engine.carry_out(&world, plan, self.of.word())?;
            all.push(HostChanged { object: object.clone(), done: ChangedWord::of(plan, self.set.is_empty()) });
        }
        if engine.dry_run && !plans.is_empty() {
            return Ok(Outcome::shown());
        }
        Ok(all.into())
    }
}

/// The guests for which a change of the defaults selects another reader of their own documents.
fn heirs_with_texts(engine: &Engine, look: &Look, request: &Request) -> Result<Vec<GuestName>> {
    let world = engine.look(look)?;
    let mut names = Vec::new();
    for root in world.roots.iter().filter(|r| r.role != Role::Offline) {
        let before = observe::dataset(&root.guests())?.map(|r| r.own).unwrap_or_default();
        names.extend(plan::set::heirs_with_texts(&world, root, &before, request)?.into_iter().map(|guest| guest.name.clone()));
    }
    Ok(names)
}

/// Reports bridges whose `nat` is set to an interface that does not exist.
fn without_way_out(engine: &Engine, world: &World, root: &Root, request: &Request) -> Result<Vec<String>> {
    let sets_nat = |(key, _): &(String, String)| key.starts_with("bridge") && key.rsplit('.').next() == Some("nat");
    if !request.set.iter().any(sets_nat) {
        return Ok(Vec::new());
    }
    let actual = network::look(world.host.os, &engine.runtime)?;
    let design = plan::set::design_after(root, request)?;
    let set = |number: u16| request.set.iter().any(|(key, _)| *key == keys::bridge(number, keys::BridgeKey::Nat));
    let chosen = design.bridges().filter(|spec| set(spec.number));
    Ok(chosen.filter_map(|spec| Some(nat::note(&spec.name, &nat::no_way_out(&actual, spec)?))).collect())
}
