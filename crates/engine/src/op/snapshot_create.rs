//! Takes snapshots of guests.

use crate::answer::Each;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Pace, Targets, now};
use chyves_core::error::Result;
use chyves_core::guest::{DiskKind, Guest};
use chyves_core::plan;
use chyves_core::plan::disk::found::{self, Found};
use chyves_core::value::{GuestName, SnapshotName};
use chyves_core::world::World;
use chyves_host::observe::disks::{self, Mount};
use chyves_host::observe::snapshots;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes snapshots.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotCreate {
    /// What is taken of which guests.
    pub take: Vec<Take>,
}

/// Snapshots of one name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Take {
    /// The guests.
    pub guests: Targets,
    /// The name; made from the time if it is missing.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub name: Option<SnapshotName>,
}

/// A snapshot that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Taken {
    /// What was done.
    pub done: TakenWord,
    /// The name of the snapshot.
    pub snapshot: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TakenWord {
    /// It was taken.
    Taken,
}

impl Operation for SnapshotCreate {
    const NAME: &'static str = "snapshot-create";
    type Answer = Vec<Each<Taken>>;

    fn needs(&self) -> Needs {
        // Each guest is locked and observed for itself.
        let all = self.take.iter().any(|take| take.guests == Targets::All);
        Needs { guests: all.then_some(Targets::All), nothing: !all, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let now = now();
        let stamp: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
        let automatic: SnapshotName = format!("chyves-{stamp}").parse()?;
        let mut wanted: Vec<(GuestName, SnapshotName)> = Vec::new();
        for take in &self.take {
            let name = take.name.as_ref().unwrap_or(&automatic);
            let guests = match &take.guests {
                Targets::Named(names) => names.clone(),
                Targets::All => take.guests.names(&seen.world)?,
            };
            wanted.extend(guests.into_iter().map(|guest| (guest, name.clone())));
        }
        let mut names: Vec<GuestName> = Vec::new();
        for (guest, _) in &wanted {
            if !names.contains(guest) {
                names.push(guest.clone());
            }
        }
        let results = engine.each(&Targets::Named(names), Pace::InTurn, |world, guest| {
            let mut last = None;
            for (_, name) in wanted.iter().filter(|(g, _)| *g == guest.name) {
                let there = snapshots::of(world.host.dialect, guest)?;
                let plan = plan::snapshot::create(guest, name, &there, &now)?;
                without_disks(engine, world, guest, name);
                let done = engine.carry_out(world, &plan, guest.name.as_str())?;
                last = done.map(|_| Taken { done: TakenWord::Taken, snapshot: name.to_string() });
            }
            Ok(last)
        })?;
        Ok(Outcome::each_of(engine, results, "guests failed"))
    }
}

/// Warns about disks that a snapshot will not contain, since they were removed without chyves.
fn without_disks(engine: &Engine, world: &World, guest: &Guest, name: &SnapshotName) {
    // A guest that is locked, or whose settings cannot be read, is snapshotted without this check.
    if engine.dry_run || plan::locked::guest(world, guest).is_err() {
        return;
    }
    let (Ok(spec), Ok(disks)) = (guest.spec(), disks::of(guest, None, Mount::ForAMoment)) else { return };
    for disk in spec.disks.iter().filter(|d| *found::of(&disks, d.number) == Found::Missing && d.kind != DiskKind::Attached) {
        let Guest { name: guest, .. } = guest;
        engine.events.warning(&format!(
            "disk{0} of {guest} is missing, and {guest}@{name} does not hold it; `chyves snapshot list {guest}` shows older ones, \
             `chyves disk remove {guest} disk{0} --lost` forgets it",
            disk.number
        ));
    }
}
