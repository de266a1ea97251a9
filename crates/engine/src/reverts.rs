//! The clone that is left when a start is killed while its guest reverts to a snapshot. The next start that reverts removes it;
//! until then it prevents destroying the snapshot and moving the guest.

use crate::Engine;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::revert;
use chyves_core::pool::Role;
use chyves_core::value::Dataset;
use chyves_core::world::World;
use chyves_host::{apply, observe};
use uuid::Uuid;

impl Engine {
    /// Removes that clone of a guest, whose lock is held; whether there was one. A running guest may be reverting now.
    ///
    /// # Errors
    /// It cannot be destroyed.
    pub fn drop_revert(&self, world: &World, guest: &Guest) -> Result<bool> {
        if self.dry_run || guest.state.is_alive() || guest.foreign.is_some() {
            return Ok(false);
        }
        apply::drop_revert(&revert::work(world.root_on(guest.root.pool())?, guest.uuid))
    }

    /// All such clones of a host, with the UUIDs of their guests.
    ///
    /// # Errors
    /// `zfs` does not answer.
    pub fn reverts(world: &World) -> Result<Vec<(Dataset, Uuid)>> {
        let mut all = Vec::new();
        for root in world.roots.iter().filter(|root| root.role != Role::Offline) {
            // A root that was being made or removed may have no trash.
            let there = observe::below(&root.trash())?;
            all.extend(there.into_iter().filter_map(|dataset| revert::of_work(&dataset).map(|uuid| (dataset, uuid))));
        }
        Ok(all)
    }
}
