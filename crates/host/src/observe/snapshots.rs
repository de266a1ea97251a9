//! Looking at snapshots and at what depends on them: one `zfs` call for all guests at once.

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
/// What can't be asked or read.
pub fn of_guests(dialect: Dialect, guests: &[&Guest]) -> Result<Vec<Vec<Seen>>> {
    let datasets: Vec<&Dataset> = guests.iter().map(|g| &g.dataset).collect();
    if datasets.is_empty() {
        return Ok(Vec::new());
    }
    // Asked for by their roots where there are many: a command line has an end.
    let mut above: Vec<Dataset> = guests.iter().map(|g| g.root.child("guests")).collect();
    above.sort();
    above.dedup();
    let asked = if datasets.len() > 64 { above.iter().collect() } else { datasets.clone() };
    read(&run::must(&args::list_snapshots_below(dialect, &asked))?, &datasets)
}

/// One guest's snapshots, oldest first.
///
/// # Errors
/// What can't be asked or read.
pub fn of(dialect: Dialect, guest: &Guest) -> Result<Vec<Seen>> {
    of_dataset(dialect, &guest.dataset)
}

/// The GUIDs of the snapshots of guests, by their whole names.
///
/// # Errors
/// What can't be asked or read.
pub fn guids_of(guests: &[&Guest]) -> Result<HashMap<String, u64>> {
    let mut found = HashMap::new();
    for part in guests.chunks(256) {
        let datasets: Vec<&Dataset> = part.iter().map(|g| &g.dataset).collect();
        let rows = rows::parse(&run::must(&args::read_guids_below(&datasets))?, false)?;
        found.extend(rows.into_iter().filter_map(|r| Some((r.name.clone(), r.number("guid")?))));
    }
    Ok(found)
}

/// The snapshots of that name that volumes of a guest have, in their order, with their GUIDs.
///
/// # Errors
/// What can't be asked or read.
pub fn volumes_with(guest: &Guest, name: &SnapshotName) -> Result<Vec<(SnapshotRef, u64)>> {
    let volumes = guest.spec()?.disks.into_iter().filter(|d| d.kind == DiskKind::Zvol);
    let snapshots: Vec<SnapshotRef> = volumes.map(|d| guest.dataset.child(disk_name(d.number, d.kind)).at(name)).collect();
    if snapshots.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = snapshots.iter().map(ToString::to_string).collect();
    // Of names that are not there `zfs` tells with status 1, having printed the others.
    let rows = rows::parse(&run::run(&args::read_guids(&names))?.stdout, false)?;
    let guid = |of: &SnapshotRef| rows.iter().find(|r| r.name == of.to_string())?.number("guid");
    Ok(snapshots.into_iter().filter_map(|s| guid(&s).map(|g| (s, g))).collect())
}

/// The snapshots of a dataset that may be no guest any more, oldest first.
///
/// # Errors
/// What can't be asked or read.
pub fn of_dataset(dialect: Dialect, dataset: &Dataset) -> Result<Vec<Seen>> {
    let found = read(&run::must(&args::list_snapshots_below(dialect, &[dataset]))?, &[dataset])?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// The settings that a snapshot carries.
///
/// # Errors
/// What can't be asked or read.
pub fn carried(snapshot: &SnapshotRef) -> Result<OwnValues> {
    let rows = rows::parse(&run::must(&args::read_snapshot(snapshot))?, false)?;
    Ok(rows.into_iter().next().map(|r| r.own).unwrap_or_default())
}

/// The datasets of a pool that are clones, each with the snapshot it is a clone of.
///
/// # Errors
/// What can't be asked or read.
pub fn origins(pool: &str) -> Result<Clones> {
    let output = run::must(&args::list_origins(pool))?;
    let mut found = Vec::new();
    for line in output.lines() {
        let unreadable = || Problem::failed("cannot read what `zfs list` printed").because(printable(line, 120));
        let (name, origin) = line.split_once('\t').ok_or_else(unreadable)?;
        // Names that chyves could not have given are other people's, and so are those that depend on their snapshots.
        if let (Ok(name), Ok(origin)) = (name.parse(), origin.parse()) {
            found.push((name, origin));
        }
    }
    Ok(found)
}

/// The clones of pools, asked for once in a command that does something to many: to ask for each again would make each
/// cost as much as all. What others clone meanwhile is missing here; ZFS itself destroys nothing that clones stand on.
#[derive(Debug, Default)]
pub struct Origins {
    pools: Mutex<HashMap<String, Arc<Clones>>>,
}

/// Clones, each with the snapshot that it depends on.
pub type Clones = Vec<(Dataset, SnapshotRef)>;

impl Origins {
    /// As [`origins`], by the first call for a pool alone.
    ///
    /// # Errors
    /// What can't be asked or read.
    fn of(&self, pool: &str) -> Result<Arc<Clones>> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pools.get(pool) {
            return Ok(Arc::clone(known));
        }
        let asked = Arc::new(origins(pool)?);
        pools.insert(pool.to_owned(), Arc::clone(&asked));
        Ok(asked)
    }

    /// A dataset was destroyed with everything below it: it is nobody's clone any more.
    pub fn forget(&self, gone: &Dataset) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pools.get_mut(gone.pool()) {
            Arc::make_mut(known).retain(|(clone, _)| !clone.is_within(gone));
        }
    }
}

/// Datasets that are clones of a snapshot, or of the same snapshot of a volume below it.
///
/// # Errors
/// What can't be asked or read.
pub fn clones(snapshot: &SnapshotRef) -> Result<Vec<String>> {
    let of = |origin: &SnapshotRef| origin.name == snapshot.name && origin.dataset.is_within(&snapshot.dataset);
    Ok(origins(snapshot.dataset.pool())?.into_iter().filter(|(_, o)| of(o)).map(|(clone, _)| clone.to_string()).collect())
}

/// What the end of the chosen snapshots needs to have seen.
///
/// # Errors
/// There is none of a name; or what can't be asked or read.
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

/// How much the end of snapshots frees; exactly where ZFS tells, else none.
///
/// # Errors
/// What can't be asked or read.
pub fn reclaim(dialect: Dialect, guest: &Guest, names: &[SnapshotName]) -> Result<Option<Size>> {
    // One argument of a command has an end, too.
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

/// The files that differ between a snapshot and another, or the present.
///
/// # Errors
/// What can't be asked or read.
pub fn changed_files(guest: &Guest, from: &SnapshotName, to: Option<&SnapshotName>) -> Result<Vec<diff::Change>> {
    let folder = guest.folder()?;
    // ZFS compares the files of mounted file systems alone.
    let is_own = !guest.mounted && crate::apply::mount_at_home(&guest.dataset)?;
    let output = run::must(&args::diff(&guest.dataset.at(from), to));
    if is_own {
        run::must(&args::unmount(&guest.dataset))?;
    }
    diff::files(&output?, folder)
}

/// How large the stream of a snapshot will be: exactly where ZFS tells, else what the snapshot refers to.
///
/// # Errors
/// What can't be asked or read.
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

/// What a dataset or a snapshot refers to, in bytes.
///
/// # Errors
/// What can't be asked or read.
pub fn size_of(name: &str) -> Result<u64> {
    let output = run::must(&args::read_exactly(&[name]))?;
    let rows = rows::parse(&output, false)?;
    rows.first().and_then(|r| r.number("referenced")).ok_or_else(|| Problem::failed(format!("zfs returned no size of `{name}`")).on(name))
}

/// What the destruction of a dataset would take, what keeps it from being destroyed, and which snapshot that chyves took
/// for it by itself nothing depends on any more then. `all`: what this command has seen of clones.
///
/// # Errors
/// What can't be asked or read.
pub fn doomed(name: &Dataset, all: &Origins) -> Result<Doomed> {
    let listed = run::must(&args::list_everything(name))?;
    let pairs: Vec<(&str, &str)> = listed.lines().map(|l| l.split_once('\t').unwrap_or((l, "-"))).collect();
    let takes: Vec<String> = pairs.iter().map(|(n, _)| (*n).to_owned()).collect();
    // All clones of the pool are looked for only where this has snapshots, or depends on one that may go with it.
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

/// A snapshot that chyves took for clones, by its name and its mark.
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

/// The own settings of a dataset, as they are now.
///
/// # Errors
/// It does not exist; or what can't be asked or read.
pub fn own_values(name: &Dataset) -> Result<OwnValues> {
    let row = dataset(name)?.ok_or_else(|| Problem::failed(format!("`{name}` is gone")).on(name))?;
    Ok(row.own)
}
