//! `disk sync`: updates the settings to the actual size and kind of disks, whatever was recorded. The disks themselves are not
//! changed.

use super::found::{self, Disks, Found, Stray};
use super::{Amendment, Plan, changeable, find, typed_size};
use crate::device::{DeviceClass, DeviceKey, derived_serial};
use crate::error::{Problem, Result};
use crate::guest::written::Change;
use crate::guest::{DiskRecord, DiskSpec, Guest};
use crate::property::keys::{self, DiskKey};
use crate::value::printable;
use crate::world::World;
use crate::zfs::args::Pair;

/// Plans to update the record of one disk, or of all.
///
/// # Errors
/// There is no such disk, or it is missing or cannot be read. With all disks, missing ones only cause a note.
pub fn sync(world: &World, guest: &Guest, number: Option<u16>, disks: &Disks, guids: Vec<(String, u64)>) -> Result<Plan> {
    changeable(guest)?;
    if let Some(stray) = number.and_then(|number| found::strays(guest, disks).find(|stray| stray.number == number)) {
        return adopt(world, guest, &stray, guids);
    }
    let mut chosen = guest.disk_records();
    if let Some(number) = number {
        let disks: Vec<DiskSpec> = chosen.iter().map(|record| record.disk.clone()).collect();
        find(guest, &disks, number)?;
        chosen.retain(|record| record.disk.number == number);
    }
    let mut plan = Plan::default();
    let mut set: Vec<Pair> = Vec::new();
    let mut unread: Vec<Problem> = Vec::new();
    for record in &chosen {
        let disk = &record.disk;
        let seen = found::of(disks, disk.number);
        match recorded(guest, record, seen) {
            Ok(pairs) => {
                if !pairs.is_empty() {
                    plan.notes.extend(differs(guest, record, seen).map(|how| format!("disk{} of {}: {how}", disk.number, guest.name)));
                }
                set.extend(pairs);
            }
            Err(problem) if number.is_some() => return Err(problem),
            Err(problem) => unread.push(problem),
        }
    }
    // Only by its name, since it may be left from anything.
    let others = || found::strays(guest, disks).filter(|_| number.is_none()).map(|stray| format!("{}; {}", stray.cause(), stray.cure()));
    if set.is_empty() {
        if unread.is_empty() {
            let mut nothing = Plan::nothing(format!("the disks of {} are as recorded", guest.name));
            nothing.notes.extend(others());
            return Ok(nothing);
        }
        if let [_] = unread[..] {
            return Err(unread.remove(0));
        }
        let cannot = Problem::not_now(format!("cannot record the disks of {}", guest.name)).on(&guest.name);
        return Err(unread.into_iter().fold(cannot, |all, problem| {
            let hints = problem.hints.clone();
            hints.into_iter().fold(all.because(problem), |all, hint| if all.hints.contains(&hint) { all } else { all.hint(hint) })
        }));
    }
    plan.notes.extend(unread.iter().map(|problem| format!("{problem}; {}", problem.hints.join("; "))));
    plan.notes.extend(others());
    plan.push(crate::action::Action::Verify { objects: guids });
    let wish = Amendment { change: Change::kept(set, Vec::new()), ..Amendment::default() };
    plan.steps.extend(wish.steps(world, guest)?);
    Ok(plan)
}

/// Plans to record a disk of which the settings have nothing.
fn adopt(world: &World, guest: &Guest, stray: &Stray<'_>, guids: Vec<(String, u64)>) -> Result<Plan> {
    let number = stray.number;
    let record = guest.disk_record(number);
    let cannot = || Problem::not_now(format!("cannot record disk{number} of {}", guest.name)).on(format!("{}:disk{number}", guest.name));
    let Some(size) = stray.found.actual() else { return Err(cannot().because(stray.cause()).hint(stray.cure())) };
    let size = typed_size(number, size)
        .map_err(|p| cannot().because(stray.cause()).because(p).hint("give it a size of full sectors by `truncate`, or move it away"))?;
    let mut set = vec![(keys::disk(number, DiskKey::Kind), stray.found.kind(&record.disk).word().to_owned()), size];
    // A disk that was removed and restored under another number has kept the serial number of this one.
    if guest.disk_records().iter().any(|other| other.disk.serial == record.disk.serial) {
        set.push((keys::disk(number, DiskKey::Serial), derived_serial(guest.uuid, super::LIMIT + number)));
    }
    let place = crate::plan::machine::place_to_keep(guest, &world.host, DeviceKey::new(DeviceClass::Disk, number.into()), None)?;
    set.extend(place.map(|place| (keys::disk(number, DiskKey::Pci), place.to_string())));
    let mut plan = Plan::default();
    plan.notes.push(stray.cause());
    plan.push(crate::action::Action::Verify { objects: guids });
    let wish = Amendment { change: Change::kept(set, Vec::new()), ..Amendment::default() };
    wish.checked(world, guest, number)?;
    plan.steps.extend(wish.steps(world, guest)?);
    Ok(plan)
}

/// How a disk differs from its record; an invalid value is shown as it is stored.
fn differs(guest: &Guest, record: &DiskRecord, seen: &Found) -> Option<String> {
    let disk = &record.disk;
    if !record.lacks(DiskKey::Kind) && !record.lacks(DiskKey::Size) {
        return seen.differs(disk);
    }
    let stored = |part| guest.settings.value(&keys::disk(disk.number, part)).map_or_else(|| "-".to_owned(), |text| printable(&text, 40));
    let size = seen.actual().map_or_else(|| "-".to_owned(), |size| size.to_string());
    let (was, had) = (stored(DiskKey::Kind), stored(DiskKey::Size));
    Some(format!("it is {} of {size}, recorded is `{was}` of `{had}`", seen.kind(disk).word()))
}

/// The settings that record what was found of a disk; empty if they are correct already.
fn recorded(guest: &Guest, record: &DiskRecord, seen: &Found) -> Result<Vec<Pair>> {
    let disk = &record.disk;
    let size = match seen {
        Found::OtherKind(_, size) => *size,
        other @ (Found::Size(_) | Found::Missing | Found::NoDisk(_) | Found::Unknown(_)) => other.size(guest, disk)?,
    };
    let mut set = Vec::new();
    if record.lacks(DiskKey::Kind) || seen.kind(disk) != disk.kind {
        set.push((keys::disk(disk.number, DiskKey::Kind), seen.kind(disk).word().to_owned()));
    }
    if disk.size != Some(size) {
        set.push(typed_size(disk.number, size).map_err(|p| {
            p.because(format!("disk{} of {} has {} bytes", disk.number, guest.name, size.get()))
                .hint(format!("give it a size of full sectors: `chyves disk resize {} disk{} SIZE`", guest.name, disk.number))
        })?);
    }
    Ok(set)
}
