//! Observing whole pools: the guests of an offline pool, everything below a root, and names that two guests have.

use super::{read_all, states};
use crate::run;
use crate::runtime::Runtime;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::image::Image;
use chyves_core::plan::upgrade::{self, Place, Tree};
use chyves_core::pool::Root;
use chyves_core::property::keys;
use chyves_core::value::{Dataset, SnapshotName};
use chyves_core::world::inventory::inventory;
use chyves_core::zfs::Dialect;
use chyves_core::zfs::guard::FileSystem;
use chyves_core::zfs::rows::{self, Row};
use chyves_core::zfs::{args, guard, stream};

/// The guests of one pool, whatever its role.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn guests(runtime: &Runtime, root: &Root) -> Result<Vec<Guest>> {
    let roots = std::slice::from_ref(root);
    let mut guests = inventory(&read_all(roots, Some(&[]))?, roots).guests;
    states(runtime, &mut guests, true)?;
    Ok(guests)
}

/// A root and everything below it, snapshots included, each with its GUID.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn everything(root: &Root) -> Result<Vec<(String, u64)>> {
    let names: Vec<String> =
        run::must(&args::list_everything(&root.dataset))?.lines().map(|l| l.split('\t').next().unwrap_or(l).to_owned()).collect();
    super::guids(&names)
}

/// Problems with names that guests on several pools have, for example after pools of two hosts were combined.
pub(super) fn namesakes(guests: &[Guest]) -> Vec<Problem> {
    // The guests are sorted by name.
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

/// The snapshots of a dataset itself, with their GUIDs.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn snapshot_guids(dataset: &Dataset) -> Result<Vec<(String, u64)>> {
    let rows = rows::parse(&run::must(&stream::snapshot_guids(dataset))?, false)?;
    let own = format!("{dataset}@");
    let guid = |row: &Row| Some((row.name.strip_prefix(&own)?.to_owned(), row.number("guid")?));
    Ok(rows.iter().filter_map(guid).collect())
}

/// The GUID of a guest's newest snapshot, if it has one.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn newest_guid(guest: &Guest) -> Result<Option<u64>> {
    let guids = snapshot_guids(&guest.dataset)?;
    let newest = super::snapshots::of(crate::facts::dialect(), guest)?.pop();
    Ok(newest.and_then(|n| guids.into_iter().find(|(name, _)| *name == n.name)).map(|(_, g)| g))
}

/// The roots on all imported pools with their layouts, including layouts that this program does not support.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn layouts() -> Result<Vec<(Dataset, u32)>> {
    let (rows, _) = super::root_rows()?;
    let layout = |row: &Row| Some((row.name.parse().ok()?, row.own.get(keys::LAYOUT)?.value.parse().ok()?));
    Ok(rows.iter().filter(|r| !r.name.contains('@')).filter_map(layout).collect())
}

/// The file systems of guests and images on these pools, with the properties that protect the host from their files, such as
/// `setuid=off`, and those that a mount depends on.
///
/// # Errors
/// Something cannot be queried.
pub fn file_systems(roots: &[Dataset]) -> Result<Vec<FileSystem>> {
    if roots.is_empty() { Ok(Vec::new()) } else { Ok(guard::listed(&run::must(&guard::list(roots))?, roots)) }
}

/// The images that lack the snapshot which clones are made from.
///
/// # Errors
/// Something cannot be queried.
pub fn without_snapshot(dialect: Dialect, images: &[Image]) -> Result<Vec<&Image>> {
    let Some(above) = images.iter().find_map(|image| image.dataset.parent()) else { return Ok(Vec::new()) };
    let listed = run::must(&args::list_snapshots_below(dialect, &[&above]))?;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split('\t').next()).collect();
    let has = |image: &Image| image.snapshot().is_ok_and(|snapshot| names.contains(&snapshot.to_string().as_str()));
    Ok(images.iter().filter(|image| !has(image)).collect())
}

/// Problems with guests that have one UUID. Exact clones are meant to have that of their source, and record its name.
pub(super) fn twins(guests: &[Guest]) -> Vec<Problem> {
    let mut sorted: Vec<&Guest> = guests.iter().collect();
    sorted.sort_by_key(|guest| guest.uuid);
    let of = |same: &[&Guest]| {
        let is_clone = |guest: &&&Guest| {
            let from = guest.settings.own(keys::CLONED_FROM).and_then(|from| from.split_once('@'));
            from.is_some_and(|(name, _)| same.iter().any(|other| other.name.as_str() == name))
        };
        let own: Vec<&&Guest> = same.iter().filter(|guest| !is_clone(guest)).collect();
        let (Some(first), Some(last)) = (own.first(), own.last()) else { return None };
        let names: Vec<&str> = own.iter().map(|guest| guest.name.as_str()).collect();
        (own.len() > 1).then(|| {
            Problem::not_now(format!("{} have the same UUID {}", names.join(" and "), first.uuid))
                .on(first.uuid)
                .because("they have the same MAC addresses and disk serials, and cannot run at the same time")
                .hint(format!("give one of them its own: `zfs set chyves:uuid=$(uuidgen) {}`", last.dataset))
        })
    };
    sorted.chunk_by(|a, b| a.uuid == b.uuid).filter(|same| same.len() > 1).filter_map(of).collect()
}

/// The protective properties that a dataset lacks. The root itself contains no files of guests.
fn unguarded(root: &Dataset, dataset: &Dataset, native: Option<&Row>) -> Vec<&'static str> {
    let is_off = |key: &&str| native.and_then(|row| row.native(key)).is_none_or(|value| value == "off" || value == "-");
    if dataset == root { Vec::new() } else { guard::GUARDS.into_iter().filter(|key| !is_off(key)).collect() }
}

/// Everything below a root that has settings, for a change of its layout. For a downgrade (`back`) also what the newest
/// snapshot of the upgrade to this layout recorded, and that snapshot's name.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn tree(runtime: &Runtime, root: &Dataset, layout: u32, back: bool) -> Result<(Tree, Option<SnapshotName>)> {
    // Groups, guests and their disks, at the deepest nesting of any layout.
    const DEEP: usize = 12;
    let rows = rows::parse(&run::must(&args::read_tree(std::slice::from_ref(root), DEEP, None))?, true)?;
    let rows: Vec<&Row> = rows.iter().filter(|r| !r.name.contains('@')).collect();
    let names: Vec<String> = rows.iter().map(|r| r.name.clone()).collect();
    let native = rows::parse(&run::must(&args::read_exactly(&names))?, true)?;
    let prefix = format!("{root}@{}", upgrade::snapshot_prefix(layout));
    // The time stamp at the end of the name sorts chronologically.
    let listed = if back { run::must(&args::list_snapshots(root))? } else { String::new() };
    let snapshot = listed.lines().filter_map(|l| l.split('\t').next()).filter(|n| n.starts_with(&prefix)).max();
    let snapshot: Option<SnapshotName> = snapshot.and_then(|s| s.split_once('@')).map(|(_, s)| s.parse()).transpose()?;
    let mut places = Vec::new();
    for row in rows {
        let dataset: Dataset = row.name.parse()?;
        let of = native.iter().find(|n| n.name == row.name);
        let recorded = match &snapshot {
            Some(name) if super::exists(&dataset.at(name).to_string())? => Some(super::snapshots::carried(&dataset.at(name))?),
            Some(_) | None => None,
        };
        places.push(Place {
            mountpoint: of.and_then(|r| r.native("mountpoint")).map(str::to_owned),
            mounted: of.and_then(|r| r.native("mounted")) == Some("yes"),
            own: row.own.clone(),
            unguarded: unguarded(root, &dataset, of),
            dataset,
            recorded,
        });
    }
    let alive =
        runtime.records_of_living()?.into_iter().filter(|r| r.dataset.is_within(root)).map(|r| r.dataset.leaf().to_owned()).collect();
    Ok((Tree { layout, places, guids: super::guids(&names)?, alive }, snapshot))
}
