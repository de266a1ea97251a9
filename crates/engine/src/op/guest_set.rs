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
}

impl ChangedWord {
    /// The word that is shown, the same as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Unset => "unset",
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
        reverts_to_what_is_there(world, guest, &request)?;
        let with_texts = if plan::set::reads_texts(guest, &request)? { Some(Engine::with_texts(world, guest)?) } else { None };
        plan::set::guest(with_texts.as_ref().unwrap_or(world), guest, &request)
    }

    fn done(&self, (): &(), _: &Guest, plan: &Plan, _: &Applied) -> Option<Changed> {
        let done = if self.set.is_empty() { ChangedWord::Unset } else { ChangedWord::Set };
        (!plan.steps.is_empty()).then_some(Changed { done })
    }
}

/// Checks that a guest with `revert_to_snapshot` has that snapshot: otherwise no start could revert to it.
fn reverts_to_what_is_there(world: &World, guest: &Guest, request: &Request) -> Result<()> {
    let changed = |key: &str| request.set.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    let (to, at) = (changed(keys::REVERT_TO), changed(keys::REVERT_AT));
    if to.is_none() && at.is_none() {
        return Ok(());
    }
    let unset = |key: &str| request.unset.iter().any(|k| k == key);
    let value = |new: Option<String>, key: &str| new.or_else(|| guest.settings.value(key).filter(|_| !unset(key)));
    match (value(to, keys::REVERT_TO), value(at, keys::REVERT_AT)) {
        (Some(to), Some(at)) if at != "off" => {
            let there = snapshots::of(world.host.dialect, guest)?;
            plan::snapshot::find(guest, &to.trim_start_matches('@').parse()?, &there)
                .map(drop)
                .map_err(|p| p.hint(format!("take it first: `chyves snapshot {}@{}`", guest.name, to.trim_start_matches('@'))))
        }
        _ => Ok(()),
    }
}
