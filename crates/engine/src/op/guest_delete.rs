//! Moves guests to the trash, or destroys them at once.

use crate::{Engine, OnGuests, Targets, now};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::{self, Plan};
use chyves_core::world::World;
use chyves_core::zfs::Dialect;
use chyves_host::apply::Applied;
use chyves_host::observe;
use chyves_host::observe::snapshots::{self, Origins};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;

/// Deletes guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestDelete {
    /// The guests.
    pub guests: Targets,
    /// Destroys them at once, with disks and snapshots; this cannot be undone, and is confirmed for each.
    #[serde(default)]
    pub now: bool,
    /// Permits foreign guests.
    #[serde(default)]
    pub foreign: bool,
}

/// A guest that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Deleted {
    /// What was done.
    pub done: DeletedWord,
    /// Its UUID.
    pub uuid: String,
    /// The dataset that it is now, by which `undelete` finds it; null if it was destroyed.
    pub dataset: Option<String>,
}

/// How a guest was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeletedWord {
    /// It is in the trash.
    InTheTrash,
    /// It is gone for good.
    Destroyed,
}

impl OnGuests for GuestDelete {
    const NAME: &'static str = "guest-delete";
    type Done = Deleted;
    type Shared = Origins;

    fn targets(&self) -> &Targets {
        &self.guests
    }

    fn check(&self, engine: &Engine) -> Result<()> {
        engine.foreign.store(self.foreign, Ordering::SeqCst);
        if self.guests == Targets::All && !self.now && !engine.dry_run {
            engine.confirm("move all guests to the trash")?;
        }
        Ok(())
    }

    fn plan(&self, engine: &Engine, origins: &Origins, world: &World, guest: &Guest) -> Result<Plan> {
        engine.drop_revert(world, guest)?;
        if self.now {
            return destroy(engine, origins, world, guest);
        }
        let guid = observe::guids(&[guest.dataset.to_string()])?.first().map_or(0, |(_, g)| *g);
        let taken = observe::exists(plan::delete::usual_place(world, guest)?.as_str())?;
        let stays = world.host.dialect == Dialect::Fuse && !snapshots::doomed(&guest.dataset, origins)?.clones.is_empty();
        let plan = plan::delete::delete(world, guest, guid, (stays, taken), &now())?;
        engine.permits_or_foreign(world, &plan)?;
        Ok(plan)
    }

    fn done(&self, origins: &Origins, guest: &Guest, plan: &Plan, _: &Applied) -> Option<Deleted> {
        if self.now {
            origins.forget(&guest.dataset);
        }
        let (done, dataset) = if self.now {
            (DeletedWord::Destroyed, None)
        } else {
            // What this ZFS could not move keeps its place.
            let now = plan::delete::trashed_as(guest, plan).unwrap_or(&guest.dataset);
            (DeletedWord::InTheTrash, Some(now.to_string()))
        };
        Some(Deleted { done, uuid: guest.uuid.to_string(), dataset })
    }
}

/// Plans to destroy a guest, after everything that goes was reported and confirmed.
fn destroy(engine: &Engine, origins: &Origins, world: &World, guest: &Guest) -> Result<Plan> {
    let doomed = snapshots::doomed(&guest.dataset, origins)?;
    let plan = plan::delete::destroy(guest, &doomed)?;
    engine.permits_or_foreign(world, &plan)?;
    if !engine.dry_run {
        for name in doomed.all(&[]) {
            engine.events.note(&format!("{}: destroys {name}", guest.name));
        }
        engine.confirm(&format!("destroy {} for good", guest.name))?;
    }
    Ok(plan)
}
