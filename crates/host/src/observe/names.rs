//! Names that a new guest cannot have: those of groups, and of guests in groups that are not read.

use super::dataset;
use crate::run;
use chyves_core::error::Result;
use chyves_core::plan::groups;
use chyves_core::pool::{Role, Root};
use chyves_core::property::keys::UUID;
use chyves_core::value::{Dataset, GuestName};
use chyves_core::world::World;
use chyves_core::zfs::args;

/// How deep below `guests` guests can be: the maximum of `group_levels`, plus the guest itself.
pub(super) const DEEPEST: usize = 9;

/// The names of the file systems below the guests of all pools in use, read by one call.
#[derive(Debug)]
pub struct Names<'w> {
    roots: Vec<&'w Root>,
    listed: String,
}

impl<'w> Names<'w> {
    /// Reads them.
    ///
    /// # Errors
    /// `zfs` cannot be run.
    pub fn read(world: &'w World) -> Result<Self> {
        let roots: Vec<&Root> = world.roots.iter().filter(|root| root.role != Role::Offline).collect();
        let above: Vec<Dataset> = roots.iter().map(|root| root.guests()).collect();
        // Where one is missing, `zfs` prints the others.
        let listed = if above.is_empty() { String::new() } else { run::run(&args::list_file_systems(&above, DEEPEST))?.stdout };
        Ok(Self { roots, listed })
    }

    /// Each file system with its root and the number of groups that it would be in as a guest.
    fn each(&self) -> impl Iterator<Item = (&'w Root, &str, usize)> {
        self.listed.lines().filter_map(|place| {
            let root = *self.roots.iter().find(|root| place.starts_with(&format!("{}/", root.guests())))?;
            Some((root, place, place[root.guests().as_str().len()..].matches('/').count() - 1))
        })
    }

    /// Verifies that no group, and no guest in a group that is not read, has this name. Guests that are read are among those of
    /// the world.
    ///
    /// # Errors
    /// One has it.
    pub fn free(&self, name: &GuestName) -> Result<()> {
        for (root, place, levels) in self.each().filter(|(_, place, _)| place.rsplit('/').next() == Some(name.as_str())) {
            let place: Dataset = place.parse()?;
            if !is_guest(&place)? {
                if is_group(&place, root)? {
                    return Err(groups::has_name(place.as_str()));
                }
            } else if levels > root.group_levels {
                return Err(groups::hides_name(place.as_str(), levels));
            }
        }
        Ok(())
    }

    /// The guests in groups that are not read, each with the number of its groups.
    ///
    /// # Errors
    /// `zfs` cannot be queried.
    pub fn hidden(&self) -> Result<Vec<(Dataset, usize)>> {
        let mut hidden = Vec::new();
        for (_, place, levels) in self.each().filter(|(root, _, levels)| *levels > root.group_levels) {
            let place: Dataset = place.parse()?;
            if is_guest(&place)? {
                hidden.push((place, levels));
            }
        }
        Ok(hidden)
    }
}

fn is_guest(place: &Dataset) -> Result<bool> {
    Ok(dataset(place)?.is_some_and(|row| row.own.contains_key(UUID)))
}

/// Whether a dataset below the guests of a root is a group: a file system that is neither a guest nor part of one.
///
/// # Errors
/// ZFS cannot be queried.
pub fn is_group(place: &Dataset, root: &Root) -> Result<bool> {
    let mut at = Some(place.clone());
    while let Some(dataset_there) = at.filter(|at| at.is_within(&root.guests()) && *at != root.guests()) {
        match dataset(&dataset_there)? {
            Some(row) if !row.own.contains_key(UUID) && row.native("type") != Some("volume") => {}
            Some(_) | None => return Ok(false),
        }
        at = dataset_there.parent();
    }
    Ok(true)
}
