//! The actual disks of a guest: lengths of files and sizes of volumes.
//!
//! Not here: what is recorded about them (chyves-core `guest`), and what follows from a difference (chyves-core `plan::disk`).

use crate::media::length;
use crate::run;
use crate::safe::{Access, FileKind, Folder, Rule};
use chyves_core::error::Result;
use chyves_core::guest::{DiskKind, DiskSpec, Guest, disk_name, trust};
use chyves_core::plan::disk::found::{Disks, Found};
use chyves_core::property::keys::{self, DiskKey};
use chyves_core::value::{FilePath, Size};
use chyves_core::zfs::args;
use chyves_core::zfs::rows::{self, Row};

/// Whether an unmounted file system is mounted temporarily, which requires the guest's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// It is mounted temporarily.
    ForAMoment,
    /// It stays unmounted, and its files are unknown.
    Never,
}

/// The disks of a guest, or only those with these numbers.
///
/// # Errors
/// `zfs` does not answer.
pub fn of(guest: &Guest, numbers: Option<&[u16]>, mount: Mount) -> Result<Disks> {
    let chosen: Vec<DiskSpec> = recorded(guest).into_iter().filter(|d| numbers.is_none_or(|numbers| numbers.contains(&d.number))).collect();
    let volumes = volumes(&[(guest, &chosen)])?;
    found(guest, &chosen, &volumes, mount)
}

/// The disks of several guests, as far as they are known without mounting: their volumes by one call of `zfs`.
///
/// # Errors
/// `zfs` does not answer.
pub fn of_all(guests: &[&Guest]) -> Result<Vec<Disks>> {
    let specs: Vec<Vec<DiskSpec>> = guests.iter().map(|guest| recorded(guest)).collect();
    let each: Vec<(&Guest, &Vec<DiskSpec>)> = guests.iter().copied().zip(&specs).collect();
    let volumes = volumes(&each)?;
    each.iter().map(|(guest, disks)| found(guest, disks, &volumes, Mount::Never)).collect()
}

/// The disks that a guest has by its settings, those with invalid settings included.
fn recorded(guest: &Guest) -> Vec<DiskSpec> {
    guest.disk_records().into_iter().map(|record| record.disk).collect()
}

/// The disks of a guest, combined with what is known about volumes.
fn found(guest: &Guest, chosen: &[DiskSpec], volumes: &[Row], mount: Mount) -> Result<Disks> {
    let own: Vec<&DiskSpec> = chosen.iter().filter(|d| d.kind != DiskKind::Attached).collect();
    let volume = |number: u16| {
        let name = guest.dataset.child(disk_name(number, DiskKind::Zvol)).to_string();
        volumes.iter().find(|row| row.name == name)
    };
    // A file is searched if one is recorded, and if a recorded volume is missing.
    let wants_file = |d: &&DiskSpec| d.kind == DiskKind::Raw || volume(d.number).is_none();
    let wanted: Vec<u16> = own.iter().filter(|d| wants_file(d)).map(|d| d.number).collect();
    let files = files(guest, &wanted, mount)?;
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
            (None, _) => Found::Missing,
        },
    };
    Ok(chosen.iter().map(|disk| (disk.number, found(disk))).collect())
}

fn volsize(row: &Row) -> Option<Size> {
    row.number("volsize").map(Size::bytes)
}

/// The datasets below guests that have the names of disks as volumes.
fn volumes(of: &[(&Guest, &Vec<DiskSpec>)]) -> Result<Vec<Row>> {
    let own = || of.iter().flat_map(|(guest, disks)| disks.iter().filter(|d| d.kind != DiskKind::Attached).map(move |d| (*guest, d)));
    let names: Vec<String> = own().map(|(guest, d)| guest.dataset.child(disk_name(d.number, DiskKind::Zvol)).to_string()).collect();
    let wanted = crate::facts::dialect().has_volumes() || own().any(|(_, d)| d.kind == DiskKind::Zvol);
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

/// The disk files in a guest's file system.
fn files(guest: &Guest, numbers: &[u16], mount: Mount) -> Result<Vec<(u16, Found)>> {
    let unknown = |why: &str| numbers.iter().map(|n| (*n, Found::Unknown(why.to_owned()))).collect();
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let folder = match guest.folder() {
        Ok(folder) => folder,
        Err(problem) => {
            let hint = problem.hints.first().map_or_else(String::new, |hint| format!("; {hint}"));
            return Ok(unknown(&format!("{problem}{hint}")));
        }
    };
    if guest.mounted {
        return Ok(numbers.iter().map(|n| (*n, file(folder, *n))).collect());
    }
    if mount == Mount::Never {
        return Ok(unknown("the file system of the guest is not mounted"));
    }
    let is_own = match crate::mounts::mount_at_home(&guest.dataset) {
        Ok(is_own) => is_own,
        Err(problem) => return Ok(unknown(&format!("its file system cannot be mounted: {problem}"))),
    };
    let found = numbers.iter().map(|n| (*n, file(folder, *n))).collect();
    if is_own {
        // If the unmount fails, no harm is done.
        let _ = run::run(&args::unmount(&guest.dataset))?;
    }
    Ok(found)
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
