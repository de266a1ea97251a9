//! Restores a deleted guest from the trash.

use crate::Engine;
use crate::needs::{Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use chyves_core::error::{Problem, Result};
use chyves_core::plan;
use chyves_core::value::GuestName;
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Restores a guest from the trash.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestUndelete {
    /// The name that it had, or its identity in the trash.
    pub wanted: String,
    /// Another name for it.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub name: Option<GuestName>,
}

/// A guest that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Undeleted {
    /// The guest.
    pub object: String,
    /// What was done.
    pub done: UndeletedWord,
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
        let found = plan::delete::find(&seen.world, &self.wanted)?;
        if found.disk.is_some() {
            return Err(Problem::usage(format!("`{}` is a disk of a guest", found.label()))
                .on(found.label())
                .hint(format!("`chyves undelete {}` restores it", found.label())));
        }
        let name = self.name.as_ref().unwrap_or(&found.name).clone();
        // What is locked follows from what is in the trash, which may have changed by then.
        let _lock = engine.lock("guest", &[&name])?;
        let world = engine.look(&Look { guests: Which::Named(vec![name.clone()]), trash: true, ..Look::default() })?;
        let found = plan::delete::find(&world, found.dataset.as_str())?;
        let guid = observe::guids(&[found.dataset.to_string()])?.first().map_or(0, |(_, g)| *g);
        let has_group = match &found.group {
            Some(group) => observe::is_group(&world.root_on(found.dataset.pool())?.guests().child(group))?,
            None => false,
        };
        let plan = plan::delete::undelete(&world, found, guid, Some(&name), has_group)?;
        if engine.carry_out(&world, &plan, name.as_str())?.is_none() {
            return Ok(Outcome::shown());
        }
        let back = engine.look(&Look::at(std::slice::from_ref(&name)))?;
        engine.warn_if_unstartable(&back, observe::guest(&back, &name)?);
        Ok(vec![Undeleted { object: name.to_string(), done: UndeletedWord::Restored }].into())
    }
}
