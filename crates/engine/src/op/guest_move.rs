//! Moves stopped guests to another pool.

use crate::{Engine, OnGuests, Targets, sizes};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::{self, Plan, groups};
use chyves_core::pool::Root;
use chyves_core::property::settings::OwnValues;
use chyves_core::value::Dataset;
use chyves_core::world::World;
use chyves_host::apply::Applied;
use chyves_host::observe::names::{self, Names};
use chyves_host::observe::{self, snapshots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Moves guests to another pool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestMove {
    /// The guests.
    pub guests: Targets,
    /// The pool.
    pub pool: String,
}

/// A guest that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Moved {
    /// What was done.
    pub done: MovedWord,
    /// The pool that it is on now.
    pub pool: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MovedWord {
    /// It was moved.
    Moved,
}

impl OnGuests for GuestMove {
    const NAME: &'static str = "guest-move";
    type Done = Moved;
    type Shared = ();

    fn targets(&self) -> &Targets {
        &self.guests
    }

    fn plan(&self, engine: &Engine, (): &(), world: &World, guest: &Guest) -> Result<Plan> {
        engine.drop_revert(world, guest)?;
        // Each move copies and renames, so earlier information about clones is outdated.
        let doomed = snapshots::doomed(&guest.dataset, &snapshots::Origins::default())?;
        let sizes = sizes::of_streams(world, guest, None)?;
        let facts = plan::rename::Facts {
            guid: doomed.guid,
            clones: doomed.clones,
            trashed: observe::exists(plan::delete::usual_place(world, guest)?.as_str())?,
            snapshots: snapshots::of(world.host.dialect, guest)?.len(),
            natives: observe::natives(sizes.keys())?,
            sizes,
            above: above(world.place(Some(&self.pool))?, guest)?,
        };
        if world.root_on(&self.pool)?.dataset != guest.root {
            Names::read(world)?.free(&guest.name)?;
        }
        plan::rename::relocate(world, guest, &self.pool, &facts, &Engine::moment(1))
    }

    fn done(&self, (): &(), _: &Guest, plan: &Plan, _: &Applied) -> Option<Moved> {
        (!plan.steps.is_empty()).then(|| Moved { done: MovedWord::Moved, pool: self.pool.clone() })
    }
}

/// The datasets on another pool that a guest would inherit from, nearest first: its group, if one of that name is read there, and
/// `guests`.
fn above(root: &Root, guest: &Guest) -> Result<Vec<(Dataset, Arc<OwnValues>)>> {
    let group = guest.group().filter(|_| groups::depth(guest) <= root.group_levels).map(|group| root.guests().child(group));
    let mut at = Some(match group {
        Some(group) if names::is_group(&group, root)? => group,
        Some(_) | None => root.guests(),
    });
    let mut above = Vec::new();
    while let Some(dataset) = at.filter(|at| at.is_within(&root.guests())) {
        let own = observe::dataset(&dataset)?.map(|row| row.own).unwrap_or_default();
        at = dataset.parent();
        above.push((dataset, Arc::new(own)));
    }
    Ok(above)
}
