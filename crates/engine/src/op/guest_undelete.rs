//! Restores a deleted guest, or a disk of one, from the trash.

use super::{DiskAdd, DiskAdded};
use crate::Engine;
use crate::answer::{Each, Single};
use crate::needs::{Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use chyves_core::error::{Code, Problem, Result};
use chyves_core::guest::Trashed;
use chyves_core::plan;
use chyves_core::value::GuestName;
use chyves_host::observe::names::{self, Names};
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Restores a guest, or a disk of one, from the trash.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestUndelete {
    /// The name that it had (a disk: `GUEST:disk0`), or its identity in the trash.
    pub wanted: String,
    /// Another name for a guest.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub name: Option<GuestName>,
}

/// A guest that was restored, or that got a disk back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Undeleted {
    /// The guest.
    pub object: String,
    /// What was done.
    pub done: UndeletedWord,
    /// The number of the disk; null if the guest itself was restored.
    pub disk: Option<u16>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UndeletedWord {
    /// It was restored.
    Restored,
}

impl Operation for GuestUndelete {
    const NAME: &'static str = "guest-undelete";
    type Answer = Vec<Undeleted>;

    fn needs(&self) -> Needs {
        Needs { trash: true, pools: Pools::InUse, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let found = plan::delete::find(&seen.world, &self.wanted, "chyves undelete")?;
        if found.disk.is_some() {
            return self.disk(engine, found);
        }
        let name = self.name.as_ref().unwrap_or(&found.name).clone();
        // What is locked follows from what is in the trash, which may have changed by then.
        let _lock = engine.lock("guest", &[&name])?;
        let world = engine.look(&Look { guests: Which::Named(vec![name.clone()]), trash: true, ..Look::default() })?;
        let found = plan::delete::find(&world, found.dataset.as_str(), "chyves undelete")?;
        let guid = observe::guids(&[found.dataset.to_string()])?.first().map_or(0, |(_, g)| *g);
        let has_group = match &found.group {
            Some(group) => {
                let root = world.root_on(found.dataset.pool())?;
                names::is_group(&root.guests().child(group), root)?
            }
            None => false,
        };
        let other = |p: Problem| p.hint(format!("restore it under another name: `chyves undelete {} --name OTHER`", found.dataset.leaf()));
        Names::read(&world)?.free(&name).map_err(other)?;
        let plan = plan::delete::undelete(&world, found, guid, Some(&name), has_group)?;
        if engine.carry_out(&world, &plan, name.as_str())?.is_none() {
            return Ok(Outcome::shown());
        }
        let back = engine.look(&Look::at(std::slice::from_ref(&name)))?;
        engine.warn_if_unstartable(&back, observe::guest(&back, &name)?);
        Ok(vec![Undeleted { object: name.to_string(), done: UndeletedWord::Restored, disk: None }].into())
    }
}

impl GuestUndelete {
    /// Restores a disk to the guest to which it belonged.
    fn disk(&self, engine: &Engine, trashed: &Trashed) -> Result<Outcome<Vec<Undeleted>>> {
        if self.name.is_some() {
            return Err(Problem::usage(format!("`{}` is a disk and takes no other name", trashed.label()))
                .on(trashed.label())
                .hint("omit --name"));
        }
        let world = engine.look(&Look::at_keys(Vec::new()))?;
        let of = trashed.disk.as_ref().map(|disk| disk.of);
        let guest = world.guests.iter().find(|guest| Some(guest.uuid) == of).ok_or_else(|| {
            Code::NoSuchGuest
                .problem(format!("the guest that `{}` was taken from is not there", trashed.label()))
                .on(trashed.label())
                .hint(format!("give the disk to another one: `chyves disk add GUEST --from-trash {}`", trashed.dataset.leaf()))
        })?;
        let outcome = engine.run(&DiskAdd::from_trash(guest.name.clone(), trashed.dataset.as_str()))?;
        let restored = |each: Each<DiskAdded>| match each.result {
            Single::Done(added) => Some(Undeleted { object: each.object, done: UndeletedWord::Restored, disk: Some(added.disk) }),
            Single::Failed { .. } => None,
        };
        let answer = outcome.answer.map(|all| all.into_iter().filter_map(restored).collect());
        Ok(Outcome { answer, problem: outcome.problem })
    }
}
