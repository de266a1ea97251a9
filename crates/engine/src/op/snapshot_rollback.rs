//! Restores a stopped guest to one of its snapshots.

use crate::needs::{Needs, Observed, Snapshots};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::{Problem, Result};
use chyves_core::plan;
use chyves_core::plan::disk::found::Found;
use chyves_core::plan::snapshot::Facts;
use chyves_core::value::{GuestName, SnapshotName};
use chyves_host::observe::disks::{self, Mount};
use chyves_host::observe::{self, Look, snapshots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rolls a guest back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRollback {
    /// The guest.
    #[schemars(with = "String")]
    pub guest: GuestName,
    /// The snapshot.
    #[schemars(with = "String")]
    pub snapshot: SnapshotName,
    /// Discards the present state instead of moving it to the trash; this is confirmed.
    #[serde(default)]
    pub in_place: bool,
    /// Keeps the present settings.
    #[serde(default)]
    pub keep_settings: bool,
}

/// A guest that was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RolledBack {
    /// The guest.
    pub object: String,
    /// What was done.
    pub done: RolledBackWord,
    /// The snapshot.
    pub snapshot: String,
    /// Whether the settings are those of the snapshot, too.
    pub settings: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RolledBackWord {
    /// It was rolled back.
    RolledBack,
}

impl Operation for SnapshotRollback {
    const NAME: &'static str = "snapshot-rollback";
    type Answer = Vec<RolledBack>;

    fn needs(&self) -> Needs {
        let guests = Some(Targets::from(self.guest.clone()));
        Needs { locks: vec![("guest", vec![self.guest.to_string()])], guests, snapshots: Snapshots::Listed, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        let guest = observe::guest(world, &self.guest)?;
        let name = &self.snapshot;
        let snapshot = guest.dataset.at(name);
        let there = seen.snapshots.get()?.first().cloned().ok_or_else(|| Problem::bug("a guest was observed without its snapshots"))?;
        let mut facts = Facts { there, ..Facts::default() };
        if let Some(at) = facts.there.iter().find(|s| s.name == name.as_str()).cloned() {
            facts.guids = observe::guids(&[guest.dataset.to_string(), snapshot.to_string()])?;
            facts.add_volumes(snapshots::volumes_with(guest, name)?);
            facts.settings = match engine.settings_at(world, guest, &at) {
                // If the present ones are kept, they are not needed.
                Err(problem) if self.keep_settings => {
                    engine.events.warning(&problem.to_string());
                    None
                }
                other => other?,
            };
            let volumes: Vec<_> = facts.volumes.iter().map(|name| guest.dataset.child(name)).collect();
            facts.natives = observe::natives(volumes.iter().chain([&guest.dataset]))?;
        }
        let plan = if self.in_place {
            plan::snapshot::rollback_in_place(world, guest, name, &facts, self.keep_settings)?
        } else {
            plan::snapshot::rollback(world, guest, name, &facts, self.keep_settings, &Engine::moment(1))?
        };
        if self.in_place && !engine.dry_run {
            // What cannot be done needs no confirmation.
            engine.permits(world, &plan)?;
            engine.confirm(&format!("roll {} back to @{name} and lose later changes", guest.name))?;
        }
        let done = engine.carry_out(world, &plan, guest.name.as_str());
        if done.map_err(|p| if self.in_place { engine.goes_on(p) } else { p })?.is_none() {
            return Ok(Outcome::shown());
        }
        warn_of_missing(engine, &self.guest, name)?;
        let (object, snapshot) = (guest.name.to_string(), name.to_string());
        Ok(vec![RolledBack { object, done: RolledBackWord::RolledBack, snapshot, settings: !self.keep_settings }].into())
    }
}

/// Reports disks of a guest that the snapshot did not hold, although its settings name them.
fn warn_of_missing(engine: &Engine, guest: &GuestName, name: &SnapshotName) -> Result<()> {
    let world = engine.look(&Look::at(std::slice::from_ref(guest)))?;
    let now = observe::guest(&world, guest)?;
    for (number, found) in disks::of(now, None, Mount::ForAMoment)? {
        if found == Found::Missing {
            engine.events.warning(&format!("{guest} has no disk{number} now: @{name} does not hold it, although its settings name it"));
        }
    }
    Ok(())
}
