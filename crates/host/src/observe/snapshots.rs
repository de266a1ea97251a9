//! Observing snapshots and what depends on them: one `zfs` call for all guests at once.

use super::{dataset, guids};
use crate::run;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{DiskKind, Guest, disk_name};
use chyves_core::plan::delete::{Doomed, Leaves};
use chyves_core::plan::snapshot::{Choice, Chosen, Facts, Seen, choose, diff, read};
use chyves_core::property::keys;
use chyves_core::property::settings::OwnValues;
use chyves_core::value::{Dataset, Size, SnapshotName, SnapshotRef, printable};
use chyves_core::zfs::{Dialect, args, rows};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The snapshots of guests, oldest first, in the order of the guests.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn of_guests(dialect: Dialect, guests: &[&Guest]) -> Result<Vec<Vec<Seen>>> {
    let datasets: Vec<&Dataset> = guests.iter().map(|g| &g.dataset).collect();
    if datasets.is_empty() {
        return Ok(Vec::new());
    }
    // For many guests their roots are listed instead: a command line has a maximum length.
    let mut above: Vec<Dataset> = guests.iter().map(|g| g.root.child("guests")).collect();
    above.sort();
    above.dedup();
    let asked = if datasets.len() > 64 { above.iter().collect() } else { datasets.clone() };
    read(&run::must(&args::list_snapshots_below(dialect, &asked))?, &datasets)
}

/// One guest's snapshots, oldest first.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn of(dialect: Dialect, guest: &Guest) -> Result<Vec<Seen>> {
    of_dataset(dialect, &guest.dataset)
}

/// The GUIDs of the snapshots of guests, by full name.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn guids_of(guests: &[&Guest]) -> Result<HashMap<String, u64>> {
    let mut found = HashMap::new();
    for part in guests.chunks(256) {
        let datasets: Vec<&Dataset> = part.iter().map(|g| &g.dataset).collect();
        let rows = rows::parse(&run::must(&args::read_guids_below(&datasets))?, false)?;
        found.extend(rows.into_iter().filter_map(|r| Some((r.name.clone(), r.number("guid")?))));
    }
    Ok(found)
}

/// The snapshots of that name on a guest's volumes, in disk order, with their GUIDs.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn volumes_with(guest: &Guest, name: &SnapshotName) -> Result<Vec<(SnapshotRef, u64)>> {
    let volumes = guest.spec()?.disks.into_iter().filter(|d| d.kind == DiskKind::Zvol);
    let snapshots: Vec<SnapshotRef> = volumes.map(|d| guest.dataset.child(disk_name(d.number, d.kind)).at(name)).collect();
    if snapshots.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = snapshots.iter().map(ToString::to_string).collect();
    // For missing names `zfs` exits with 1 after printing the others.
    let rows = rows::parse(&run::run(&args::read_guids(&names))?.stdout, false)?;
    let guid = |of: &SnapshotRef| rows.iter().find(|r| r.name == of.to_string())?.number("guid");
    Ok(snapshots.into_iter().filter_map(|s| guid(&s).map(|g| (s, g))).collect())
}

/// The snapshots of a dataset that need not be a guest any more, oldest first.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn of_dataset(dialect: Dialect, dataset: &Dataset) -> Result<Vec<Seen>> {
    let found = read(&run::must(&args::list_snapshots_below(dialect, &[dataset]))?, &[dataset])?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// The settings that a snapshot stores.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn carried(snapshot: &SnapshotRef) -> Result<OwnValues> {
    let rows = rows::parse(&run::must(&args::read_snapshot(snapshot))?, false)?;
    Ok(rows.into_iter().next().map(|r| r.own).unwrap_or_default())
}

/// The datasets of a pool that are clones, each with its origin.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn origins(pool: &str) -> Result<Clones> {
    let output = run::must(&args::list_origins(pool))?;
    let mut found = Vec::new();
    for line in output.lines() {
        let unreadable = || Problem::failed("cannot read what `zfs list` printed").because(printable(line, 120));
        let (name, origin) = line.split_once('\t').ok_or_else(unreadable)?;
        // Names that are not valid for chyves belong to other programs, and so do clones of their snapshots.
        if let (Ok(name), Ok(origin)) = (name.parse(), origin.parse()) {
            found.push((name, origin));
        }
    }
    Ok(found)
}

/// The clones of pools, queried once in a command that acts on many objects; a query for each would cost as much as one for
/// all. Clones that other programs create meanwhile are missing here, but ZFS itself refuses to destroy an origin.
#[derive(Debug, Default)]
pub struct Origins {
    pools: Mutex<HashMap<String, Arc<Clones>>>,
}

/// Clones, each with its origin.
pub type Clones = Vec<(Dataset, SnapshotRef)>;

impl Origins {
    /// As [`origins`], queried only at the first call for a pool.
    ///
    /// # Errors
    /// Something cannot be queried or parsed.
    fn of(&self, pool: &str) -> Result<Arc<Clones>> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pools.get(pool) {
            return Ok(Arc::clone(known));
        }
        let asked = Arc::new(origins(pool)?);
        pools.insert(pool.to_owned(), Arc::clone(&asked));
        Ok(asked)
    }

    /// Removes clones from the cache after a dataset was destroyed with everything below it.
    pub fn forget(&self, gone: &Dataset) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pools.get_mut(gone.pool()) {
            Arc::make_mut(known).retain(|(clone, _)| !clone.is_within(gone));
        }
    }
}

/// The clones of a snapshot, or of the snapshot of that name of a volume below it.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn clones(snapshot: &SnapshotRef) -> Result<Vec<String>> {
    let of = |origin: &SnapshotRef| origin.name == snapshot.name && origin.dataset.is_within(&snapshot.dataset);
    Ok(origins(snapshot.dataset.pool())?.into_iter().filter(|(_, o)| of(o)).map(|(clone, _)| clone.to_string()).collect())
}

/// The facts that the deletion of the chosen snapshots needs.
///
/// # Errors
/// A named snapshot does not exist, or something cannot be queried or parsed.
pub fn for_deletion(dialect: Dialect, guest: &Guest, choice: &Choice) -> Result<(Chosen, Facts)> {
    let there = of(dialect, guest)?;
    let chosen = choose(guest, choice, &there)?;
    let mut facts = Facts { there, ..Facts::default() };
    if chosen.names.is_empty() {
        return Ok((chosen, facts));
    }
    for (clone, origin) in origins(guest.dataset.pool())? {
        if origin.dataset.is_within(&guest.dataset) && chosen.names.contains(&origin.name) {
            facts.clones.push((origin.name.to_string(), clone.to_string()));
        }
    }
    let mut names = vec![guest.dataset.to_string()];
    names.extend(chosen.names.iter().map(|n| guest.dataset.at(n).to_string()));
    for part in names.chunks(1000) {
        facts.guids.extend(guids(part)?);
    }
    Ok((chosen, facts))
}

/// The space that deleting the snapshots frees; none if ZFS does not report it exactly.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn reclaim(dialect: Dialect, guest: &Guest, names: &[SnapshotName]) -> Result<Option<Size>> {
    // A single argument has a maximum length, too.
    let fits = names.iter().map(|n| n.as_str().len() + 1).sum::<usize>() < 100_000;
    if dialect == Dialect::Fuse || names.is_empty() || !fits {
        return Ok(None);
    }
    let output = run::must(&args::preview_snapshots(&guest.dataset, names))?;
    let told = output.lines().find_map(|l| l.strip_prefix("reclaim\t")?.parse().ok());
    told.map(|bytes| Some(Size::bytes(bytes))).ok_or_else(|| {
        Problem::failed("cannot read what `zfs destroy -nvp` printed").because(printable(output.lines().last().unwrap_or_default(), 120))
    })
}

/// The files that differ between a snapshot and another one, or the current state.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn changed_files(guest: &Guest, from: &SnapshotName, to: Option<&SnapshotName>) -> Result<Vec<diff::Change>> {
    let folder = guest.folder()?;
    // `zfs diff` works only on mounted file systems.
    let is_own = !guest.mounted && crate::mounts::mount_to_read(guest)?;
    let output = run::must(&args::diff(&guest.dataset.at(from), to));
    if is_own {
        run::must(&args::unmount(&guest.dataset))?;
    }
    diff::files(&output?, folder)
}

/// The stream size of a snapshot: exact if ZFS reports it, else the referenced size.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn stream_size(dialect: Dialect, snapshot: &SnapshotRef) -> Result<Size> {
    let unreadable = |text: &str| Problem::failed(format!("cannot read how large {snapshot} is")).because(printable(text, 120));
    match dialect {
        Dialect::OpenZfs => {
            let output = run::must(&args::send_size(snapshot))?;
            let told = output.lines().find_map(|l| l.strip_prefix("size\t")?.trim().parse().ok());
            told.map(Size::bytes).ok_or_else(|| unreadable(&output))
        }
        Dialect::Fuse => Ok(Size::bytes(size_of(&snapshot.to_string())?)),
    }
}

/// The `referenced` property of a dataset or a snapshot, in bytes.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn size_of(name: &str) -> Result<u64> {
    let output = run::must(&args::read_exactly(&[name]))?;
    let rows = rows::parse(&output, false)?;
    rows.first().and_then(|r| r.number("referenced")).ok_or_else(|| Problem::failed(format!("zfs returned no size of `{name}`")).on(name))
}

/// What the destruction of a dataset would destroy, what prevents it, and the automatic snapshot for clones that would no
/// longer have any. `all`: the clones that this command has queried.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn doomed(name: &Dataset, all: &Origins) -> Result<Doomed> {
    let listed = run::must(&args::list_everything(name))?;
    let pairs: Vec<(&str, &str)> = listed.lines().map(|l| l.split_once('\t').unwrap_or((l, "-"))).collect();
    let takes: Vec<String> = pairs.iter().map(|(n, _)| (*n).to_owned()).collect();
    // The pool's clones are queried only if the dataset has snapshots, or depends on one that may be deleted with it.
    let own = pairs.iter().find(|(n, _)| *n == name.as_str()).and_then(|(_, o)| o.parse::<SnapshotRef>().ok());
    let concerned = takes.iter().any(|n| n.contains('@')) || own.is_some_and(|o| chyves_core::plan::clone::is_automatic(&o.name));
    let origins = if concerned { all.of(name.pool())? } else { Arc::default() };
    let within = |d: &Dataset| d.is_within(name);
    let clones = origins.iter().filter(|(c, o)| !within(c) && within(&o.dataset)).map(|(c, _)| c.to_string()).collect();
    let guid = guids(&[name.to_string()])?.first().map_or(0, |(_, g)| *g);
    let mut doomed = Doomed { guid, takes, clones, leaves: None };
    if let Some((_, origin)) = origins.iter().find(|(c, o)| c == name && !within(&o.dataset)) {
        let stands = |(clone, o): &&(Dataset, SnapshotRef)| o.name == origin.name && o.dataset.is_within(&origin.dataset) && !within(clone);
        doomed.leaves = leaves(origin, origins.iter().filter(stands).map(|(c, _)| c.clone()).collect())?;
    }
    Ok(doomed)
}

/// The origin, if chyves took it automatically for clones, according to its name and property.
fn leaves(origin: &SnapshotRef, others: Vec<Dataset>) -> Result<Option<Leaves>> {
    if !chyves_core::plan::clone::is_automatic(&origin.name) {
        return Ok(None);
    }
    if carried(origin)?.get(keys::SNAPSHOT_FOR).is_none_or(|o| o.value != "clone") {
        return Ok(None);
    }
    let guid = guids(&[origin.to_string()])?.first().map_or(0, |(_, g)| *g);
    Ok(Some(Leaves { snapshot: origin.clone(), guid, others }))
}

/// The current local settings of a dataset.
///
/// # Errors
/// The dataset does not exist, or something cannot be queried or parsed.
pub fn own_values(name: &Dataset) -> Result<OwnValues> {
    let row = dataset(name)?.ok_or_else(|| Problem::failed(format!("`{name}` is gone")).on(name))?;
    Ok(row.own)
}
