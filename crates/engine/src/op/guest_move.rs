//! Moves stopped guests to another pool.

use crate::{Engine, OnGuests, Targets, sizes};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::{self, Plan};
use chyves_core::world::World;
use chyves_host::apply::Applied;
use chyves_host::observe::{self, snapshots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
        };
        plan::rename::relocate(world, guest, &self.pool, &facts, &Engine::moment(1))
    }

    fn done(&self, (): &(), _: &Guest, plan: &Plan, _: &Applied) -> Option<Moved> {
        (!plan.steps.is_empty()).then(|| Moved { done: MovedWord::Moved, pool: self.pool.clone() })
    }
}
