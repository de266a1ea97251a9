//! The actual disks of a guest: lengths of files and sizes of volumes.
//!
//! Not here: what is recorded about them (chyves-core `guest`), and what follows from a difference (chyves-core `plan::disk`).

use crate::media::length;
use crate::run;
use crate::safe::{Access, FileKind, Folder, Rule};
use chyves_core::error::Result;
use chyves_core::guest::{DiskKind, DiskSpec, Guest, disk_name, trust};
use chyves_core::plan;
use chyves_core::plan::disk::found::{Disks, Found};
use chyves_core::property::keys::{self, DiskKey};
use chyves_core::value::{FilePath, Size};
use chyves_core::zfs::args;
use chyves_core::zfs::rows::{self, Row};
use std::collections::BTreeSet;

/// Whether an unmounted file system is mounted temporarily, which requires the guest's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// It is mounted temporarily, unless the guest is foreign.
    ForAMoment,
    /// It stays unmounted, and its files are unknown.
    Never,
}

/// The disks of a guest, or only those with these numbers; and what has the name of a disk that the settings do not have.
///
/// # Errors
/// `zfs` does not answer.
pub fn of(guest: &Guest, numbers: Option<&[u16]>, mount: Mount) -> Result<Disks> {
    let chosen: Vec<DiskSpec> = recorded(guest).into_iter().filter(|d| numbers.is_none_or(|numbers| numbers.contains(&d.number))).collect();
    let volumes = volumes(&[(guest, &chosen)])?;
    let mut all = found(guest, &chosen, &volumes, mount, numbers.is_none())?;
    all.retain(|number, _| numbers.is_none_or(|numbers| numbers.contains(number)));
    Ok(all)
}

/// The disks of several guests, as far as they are known without mounting: their volumes by one call of `zfs`.
///
/// # Errors
/// `zfs` does not answer.
pub fn of_all(guests: &[&Guest]) -> Result<Vec<Disks>> {
    let specs: Vec<Vec<DiskSpec>> = guests.iter().map(|guest| recorded(guest)).collect();
    let each: Vec<(&Guest, &Vec<DiskSpec>)> = guests.iter().copied().zip(&specs).collect();
    let volumes = volumes(&each)?;
    each.iter().map(|(guest, disks)| found(guest, disks, &volumes, Mount::Never, true)).collect()
}

/// The disks that a guest has by its settings, those with invalid settings included.
fn recorded(guest: &Guest) -> Vec<DiskSpec> {
    guest.disk_records().into_iter().map(|record| record.disk).collect()
}

/// The disks of a guest, combined with what is known about volumes. With `strays`, its folder is inspected even if no recorded
/// disk needs that.
fn found(guest: &Guest, chosen: &[DiskSpec], volumes: &[Row], mount: Mount, strays: bool) -> Result<Disks> {
    let own: Vec<&DiskSpec> = chosen.iter().filter(|d| d.kind != DiskKind::Attached).collect();
    let volume = |number: u16| {
        let name = guest.dataset.child(disk_name(number, DiskKind::Zvol)).to_string();
        volumes.iter().find(|row| row.name == name)
    };
    // A file is searched if one is recorded, and if a recorded volume is missing.
    let wants_file = |d: &&DiskSpec| d.kind == DiskKind::Raw || volume(d.number).is_none();
    let wanted: Vec<u16> = own.iter().filter(|d| wants_file(d)).map(|d| d.number).collect();
    let mut files = if wanted.is_empty() && !strays { Vec::new() } else { files(guest, &wanted, mount)? };
    let file = |number: u16| files.iter().find(|(n, _)| *n == number).map(|(_, found)| found.clone());
    let found = |disk: &DiskSpec| match disk.kind {
        // Opening a device can have effects, and the source of a foreign guest may name any file of the host.
        DiskKind::Attached if !trust::is_own_trusted(guest, &keys::disk(disk.number, DiskKey::Source)) => {
            Found::Unknown("its source is not trusted, so it is not inspected".to_owned())
        }
        DiskKind::Attached => match disk.source.as_deref().map(attached) {
            Some(found) => found,
            None => Found::Unknown("its source is not recorded".to_owned()),
        },
        DiskKind::Raw => match (file(disk.number), volume(disk.number).and_then(volsize)) {
            (Some(Found::Missing), Some(size)) => Found::OtherKind(DiskKind::Zvol, size),
            (found, _) => found.unwrap_or(Found::Missing),
        },
        DiskKind::Zvol => match (volume(disk.number), file(disk.number)) {
            (Some(row), _) => volsize(row).map_or_else(|| Found::NoDisk("a file system".to_owned()), Found::Size),
            (None, Some(Found::Size(size))) => Found::OtherKind(DiskKind::Raw, size),
            // A file may be there.
            (None, Some(Found::Unknown(why))) => {
                Found::Unknown(format!("there is no volume with its name; of a file nothing is known: {why}"))
            }
            (None, _) => Found::Missing,
        },
    };
    let mut all: Disks = chosen.iter().map(|disk| (disk.number, found(disk))).collect();
    let stray = |number: &u16| !guest.settings.numbers("disk").contains(number);
    let child = |row: &Row| number_of(row.name.strip_prefix(guest.dataset.as_str())?.strip_prefix('/')?, DiskKind::Zvol);
    for (number, size) in volumes.iter().filter_map(|row| Some((child(row)?, volsize(row)?))).filter(|(number, _)| stray(number)) {
        all.insert(number, Found::OtherKind(DiskKind::Zvol, size));
    }
    files.retain(|(number, found)| stray(number) && *found != Found::Missing);
    all.extend(files);
    Ok(all)
}

/// The number of the disk with that name.
fn number_of(name: &str, kind: DiskKind) -> Option<u16> {
    let number = plan::disk::number(name.strip_suffix(".raw").unwrap_or(name)).ok()?;
    (disk_name(number, kind) == name).then_some(number)
}

fn volsize(row: &Row) -> Option<Size> {
    row.number("volsize").map(Size::bytes)
}

/// The datasets below guests that have the names of disks as volumes; where there are volumes, all that lie there.
fn volumes(of: &[(&Guest, &Vec<DiskSpec>)]) -> Result<Vec<Row>> {
    let own = || of.iter().flat_map(|(guest, disks)| disks.iter().filter(|d| d.kind != DiskKind::Attached).map(move |d| (*guest, d)));
    if crate::facts::dialect().has_volumes() {
        let guests: Vec<&str> = of.iter().map(|(guest, _)| guest.dataset.as_str()).collect();
        if guests.is_empty() {
            return Ok(Vec::new());
        }
        let output = run::run(&args::read_sizes_below(&guests))?;
        let mut rows = rows::parse(&output.stdout, false)?;
        if !rows.iter().any(|row| guests.contains(&row.name.as_str())) {
            return Err(run::failure(&args::read_sizes_below(&guests), &output));
        }
        rows.retain(|row| !guests.contains(&row.name.as_str()));
        return Ok(rows);
    }
    let names: Vec<String> = own().map(|(guest, d)| guest.dataset.child(disk_name(d.number, DiskKind::Zvol)).to_string()).collect();
    let wanted = own().any(|(_, d)| d.kind == DiskKind::Zvol);
    let Some((guest, _)) = own().next().filter(|_| wanted) else { return Ok(Vec::new()) };
    // For missing names `zfs` exits with 1 after printing the others. The guest's own dataset exists: if it was not printed,
    // `zfs` has failed.
    let output = run::run(&args::read_sizes(&[&[guest.dataset.to_string()], &names[..]].concat()))?;
    let mut rows = rows::parse(&output.stdout, false)?;
    if !rows.iter().any(|r| r.name == guest.dataset.as_str()) {
        return Err(run::failure(&args::read_sizes(&names), &output));
    }
    rows.retain(|r| names.contains(&r.name));
    Ok(rows)
}

/// The disk files in a guest's file system: those with these numbers, and the others that are there.
fn files(guest: &Guest, numbers: &[u16], mount: Mount) -> Result<Vec<(u16, Found)>> {
    let unknown = |why: &str| numbers.iter().map(|n| (*n, Found::Unknown(why.to_owned()))).collect();
    let folder = match guest.folder() {
        Ok(folder) => folder,
        Err(problem) => {
            let hint = problem.hints.first().map_or_else(String::new, |hint| format!("; {hint}"));
            return Ok(unknown(&format!("{problem}{hint}")));
        }
    };
    if guest.mounted {
        return Ok(present(folder, numbers));
    }
    if mount == Mount::Never {
        return Ok(unknown("the file system of the guest is not mounted"));
    }
    if guest.foreign.is_some() {
        return Ok(unknown("the guest is foreign, and its file system is not mounted: that would change it"));
    }
    let is_own = match crate::mounts::mount_to_read(guest) {
        Ok(is_own) => is_own,
        Err(problem) => return Ok(unknown(&format!("its file system cannot be mounted: {problem}"))),
    };
    let found = present(folder, numbers);
    if is_own {
        // If the unmount fails, no harm is done.
        let _ = run::run(&args::unmount(&guest.dataset))?;
    }
    Ok(found)
}

/// The files of the disks with these numbers, and all others that have the names of disks.
fn present(folder: &str, numbers: &[u16]) -> Vec<(u16, Found)> {
    let names = Folder::open(folder).and_then(|folder| folder.list()).unwrap_or_default();
    let listed = names.iter().filter_map(|name| number_of(name.to_str()?, DiskKind::Raw));
    let all: BTreeSet<u16> = listed.chain(numbers.iter().copied()).collect();
    all.into_iter().map(|number| (number, file(folder, number))).collect()
}

/// One disk's file, inspected through a descriptor. Links are not followed: the folder's contents are untrusted.
fn file(folder: &str, number: u16) -> Found {
    let name = disk_name(number, DiskKind::Raw);
    let found = Folder::open(folder).and_then(|folder| match folder.metadata(&name)?.map(|entry| entry.kind) {
        None => Ok(Found::Missing),
        Some(FileKind::File) => {
            let file = folder.file(&name, Access::Read, Rule::DISK)?;
            Ok(file.metadata().map_or_else(|e| Found::Unknown(e.to_string()), |meta| Found::Size(Size::bytes(meta.len()))))
        }
        Some(other) => Ok(Found::NoDisk(other.words().to_owned())),
    });
    found.unwrap_or_else(|problem| Found::Unknown(format!("its file cannot be opened: {problem}")))
}

/// An attached disk.
fn attached(source: &str) -> Found {
    match length(&FilePath::host(source)) {
        Ok(size) => Found::Size(size),
        Err(_) if !crate::hostfs::named::is_there(source) => Found::Missing,
        Err(problem) => Found::Unknown(problem.to_string()),
    }
}
