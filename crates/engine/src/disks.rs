//! The actual disks of guests, as far as they can be read now.

use crate::Engine;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::disk::found::{Disks, Found};
use chyves_host::observe::disks::{self, Mount};
use std::time::Duration;

/// Maximum number of file systems that are mounted temporarily to read their disks: that takes seconds, and minutes for a
/// thousand.
const MOUNTED: usize = 64;

impl Engine {
    /// The actual disks of a guest, as far as they can be read now: the file system of a stopped guest is mounted temporarily,
    /// unless the guest is foreign or another command holds its lock.
    ///
    /// # Errors
    /// `zfs` does not answer.
    pub fn disks_of(&self, guest: &Guest) -> Result<Disks> {
        let lock = (!guest.mounted && guest.foreign.is_none() && !guest.state.is_alive() && rustix::process::geteuid().is_root())
            .then(|| self.runtime.lock_named(&format!("guest.{}", guest.name), Duration::ZERO, &self.typed).ok())
            .flatten();
        disks::of(guest, None, if lock.is_some() { Mount::ForAMoment } else { Mount::Never })
    }

    /// The actual disks of several guests, as far as they can be read now.
    ///
    /// # Errors
    /// `zfs` does not answer.
    pub fn disks_of_all(&self, guests: &[&Guest]) -> Result<Vec<Disks>> {
        let mut all = disks::of_all(guests)?;
        // A guest that has no disks by its settings may have some all the same.
        let closed = |guest: &Guest, disks: &Disks| {
            guest.foreign.is_none()
                && (disks.values().any(|disk| matches!(disk, Found::Unknown(_))) || (disks.is_empty() && !guest.mounted))
        };
        if guests.iter().zip(&all).filter(|(guest, disks)| closed(guest, disks)).count() <= MOUNTED {
            for (guest, disks) in guests.iter().zip(&mut all).filter(|(guest, disks)| closed(guest, disks)) {
                *disks = self.disks_of(guest)?;
            }
        }
        Ok(all)
    }
}
