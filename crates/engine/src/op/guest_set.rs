//! Sets and unsets properties of guests.

use crate::answer::Assignment;
use crate::{Engine, OnGuests, Targets, checks};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::set::Request;
use chyves_core::plan::{self, Plan};
use chyves_core::property::{self, keys};
use chyves_core::world::World;
use chyves_host::apply::Applied;
use chyves_host::observe::snapshots;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes settings of guests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuestSet {
    /// The guests; all if it is missing.
    pub guests: Targets,
    /// What is set.
    pub set: Vec<Assignment>,
    /// What is unset.
    pub unset: Vec<String>,
}

/// A guest whose settings were changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Changed {
    /// What was done.
    pub done: ChangedWord,
}

/// How settings were changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangedWord {
    /// Some were set.
    Set,
    /// Some were unset, and none set.
    Unset,
    /// They were as requested.
    Unchanged,
}

impl ChangedWord {
    /// What a plan does that unsets settings only, or also sets some.
    pub(super) fn of(plan: &Plan, only_unsets: bool) -> Self {
        match (plan.steps.is_empty(), only_unsets) {
            (true, _) => Self::Unchanged,
            (false, true) => Self::Unset,
            (false, false) => Self::Set,
        }
    }

    /// The word that is shown, the same as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Unset => "unset",
            Self::Unchanged => "unchanged",
        }
    }
}

impl GuestSet {
    fn request(&self) -> Request {
        Request { set: Assignment::pairs(&self.set), unset: self.unset.clone() }
    }
}

impl OnGuests for GuestSet {
    const NAME: &'static str = "guest-set";
    type Done = Changed;
    type Shared = ();

    fn targets(&self) -> &Targets {
        &self.guests
    }

    fn check(&self, engine: &Engine) -> Result<()> {
        for Assignment { key, value } in &self.set {
            plan::set::checked(key, value, &[property::Scope::Guest, property::Scope::GuestOnly])?;
        }
        checks::usable_here(engine, &Assignment::pairs(&self.set))
    }

    fn plan(&self, engine: &Engine, (): &(), world: &World, guest: &Guest) -> Result<Plan> {
        let request = self.request();
        checks::mac_is_free(engine, guest, &request.set)?;
        let reverts = reverts_to_what_is_there(engine, world, guest, &request)?;
        let with_texts = if plan::set::reads_texts(guest, &request)? { Some(Engine::with_texts(world, guest)?) } else { None };
        let mut plan = plan::set::guest(with_texts.as_ref().unwrap_or(world), guest, &request)?;
        plan.notes.extend(reverts);
        Ok(plan)
    }

    fn done(&self, (): &(), _: &Guest, plan: &Plan, _: &Applied) -> Option<Changed> {
        Some(Changed { done: ChangedWord::of(plan, self.set.is_empty()) })
    }
}

/// Checks that a guest with `revert_to_snapshot` has that snapshot: otherwise no start could revert to it. A remark states why a
/// start would refuse to revert to it.
fn reverts_to_what_is_there(engine: &Engine, world: &World, guest: &Guest, request: &Request) -> Result<Option<String>> {
    let changed = |key: &str| request.set.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    let (to, at) = (changed(keys::REVERT_TO), changed(keys::REVERT_AT));
    if to.is_none() && at.is_none() {
        return Ok(None);
    }
    let unset = |key: &str| request.unset.iter().any(|k| k == key);
    let value = |new: Option<String>, key: &str| new.or_else(|| guest.settings.value(key).filter(|_| !unset(key)));
    match (value(to, keys::REVERT_TO), value(at, keys::REVERT_AT)) {
        (Some(to), Some(at)) if at != "off" => {
            let there = snapshots::of(world.host.dialect, guest)?;
            let name = to.trim_start_matches('@').parse()?;
            let seen = plan::snapshot::find(guest, &name, &there)
                .map_err(|p| p.hint(format!("take it first: `chyves snapshot {}@{name}`", guest.name)))?;
            // Those of others have to be mounted to be read, which the start does.
            if !seen.is_ours() {
                return Ok(None);
            }
            let past = engine.settings_at(world, guest, seen)?;
            let refused = plan::revert::permitted(guest, &name, past.as_ref()).err();
            Ok(refused.map(|problem| {
                let cure = problem.hints.first().map(|hint| format!(" ({hint})")).unwrap_or_default();
                format!("{} will not start with this: {problem}{cure}", guest.name)
            }))
        }
        _ => Ok(None),
    }
}
