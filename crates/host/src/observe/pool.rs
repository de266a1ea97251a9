//! Looking at pools as such: what lies on an offline one, everything below a root, names that two guests have.

use super::{read_all, states};
use crate::run;
use crate::runtime::Runtime;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::value::Dataset;
use chyves_core::world::Root;
use chyves_core::zfs::inventory::inventory;
use chyves_core::zfs::rows::{self, Row};
use chyves_core::zfs::{args, stream};

/// The guests of one pool, whatever its role.
///
/// # Errors
/// What can't be asked or read.
pub fn guests(runtime: &Runtime, root: &Root) -> Result<Vec<Guest>> {
    let roots = std::slice::from_ref(root);
    let mut guests = inventory(&read_all(roots, Some(&[]))?, roots).guests;
    states(runtime, &mut guests, true)?;
    Ok(guests)
}

/// A root with everything below it, snapshots included, each with its GUID.
///
/// # Errors
/// What can't be asked or read.
pub fn everything(root: &Root) -> Result<Vec<(String, u64)>> {
    let names: Vec<String> = run::must(&args::list_everything(&root.dataset))?.lines().map(str::to_owned).collect();
    super::guids(&names)
}

/// Names that guests of several pools have: two pools that were used apart may have come together.
pub(super) fn namesakes(guests: &[Guest]) -> Vec<Problem> {
    // They come in the order of their names.
    guests
        .chunk_by(|a, b| a.name == b.name)
        .filter(|same| same.len() > 1)
        .map(|same| {
            let places: Vec<&str> = same.iter().map(|g| g.dataset.as_str()).collect();
            Problem::not_now(format!("{} guests are called `{}`, so no command can mean one of them", same.len(), same[0].name))
                .on(&same[0].name)
                .because(places.join(", "))
                .hint("take one of the pools offline (`chyves pool offline POOL`), or rename one of the datasets with `zfs rename`")
        })
        .collect()
}

/// The snapshots of a dataset itself with their GUIDs.
///
/// # Errors
/// What can't be asked or read.
pub fn snapshot_guids(dataset: &Dataset) -> Result<Vec<(String, u64)>> {
    let rows = rows::parse(&run::must(&stream::snapshot_guids(dataset))?, false)?;
    let own = format!("{dataset}@");
    let guid = |row: &Row| Some((row.name.strip_prefix(&own)?.to_owned(), row.number("guid")?));
    Ok(rows.iter().filter_map(guid).collect())
}

/// The GUID of a guest's newest snapshot, if it has one.
///
/// # Errors
/// What can't be asked or read.
pub fn newest_guid(guest: &Guest) -> Result<Option<u64>> {
    let guids = snapshot_guids(&guest.dataset)?;
    let newest = super::snapshots(guest)?.pop();
    Ok(newest.and_then(|n| guids.into_iter().find(|(name, _)| *name == n.name)).map(|(_, g)| g))
}
