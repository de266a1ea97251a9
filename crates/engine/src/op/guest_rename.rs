//! Gives a stopped guest another name.

use crate::Engine;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::plan;
use chyves_core::value::GuestName;
use chyves_host::observe::names::Names;
use chyves_host::observe::{self, Look, snapshots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Renames a guest.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestRename {
    /// The guest.
    #[schemars(with = "String")]
    pub guest: GuestName,
    /// Its new name.
    #[schemars(with = "String")]
    pub name: GuestName,
}

/// A guest that was renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Renamed {
    /// The name that it had.
    pub object: String,
    /// What was done.
    pub done: RenamedWord,
    /// Its new name.
    pub name: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RenamedWord {
    /// It was renamed.
    Renamed,
}

impl Operation for GuestRename {
    const NAME: &'static str = "guest-rename";
    type Answer = Vec<Renamed>;

    fn needs(&self) -> Needs {
        // That nothing has the new name is what must be seen, and no error, so the guests are observed below.
        Needs { locks: vec![("guest", vec![self.guest.to_string(), self.name.to_string()])], nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &engine.look(&Look::at(&[self.guest.clone(), self.name.clone()]))?;
        let guest = observe::guest(world, &self.guest)?;
        engine.drop_revert(world, guest)?;
        let doomed = snapshots::doomed(&guest.dataset, &snapshots::Origins::default())?;
        let facts = plan::rename::Facts { guid: doomed.guid, clones: doomed.clones, ..plan::rename::Facts::default() };
        let plan = plan::rename::rename(world, guest, &self.name, &facts)?;
        if !plan.steps.is_empty() {
            Names::read(world)?.free(&self.name)?;
        }
        if engine.carry_out(world, &plan, guest.name.as_str())?.is_none() {
            return Ok(Outcome::shown());
        }
        let renamed = Renamed { object: self.guest.to_string(), done: RenamedWord::Renamed, name: self.name.to_string() };
        Ok(if plan.steps.is_empty() { Vec::new() } else { vec![renamed] }.into())
    }
}
