//! Removes a disk: it is moved to the trash with its settings, and nothing is destroyed.

use super::found::Found;
use super::{Amendment, Plan, changeable, file, find, renumbered, volume};
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::trash::{self, Leaving};
use crate::guest::written::Change;
use crate::guest::{DiskFormat, DiskKind, Guest, Trashed, TrashedDisk};
use crate::plan::create::mountpoint;
use crate::plan::{Moment, of_disks, stopped};
use crate::value::Dataset;
use crate::world::World;
use crate::zfs::args::Pair;

/// Plans to move a disk to the trash. `guids` are those of [`super::datasets`].
///
/// # Errors
/// The guest is running, or has no such disk.
pub fn remove(world: &World, guest: &Guest, number: u16, guids: Vec<(String, u64)>, moment: &Moment) -> Result<Plan> {
    away(world, guest, number, guids, moment, None)
}

/// Plans to remove a disk that has neither a file nor a volume any more: its settings are removed, and nothing else is
/// changed. `seen` is what was found of it.
///
/// # Errors
/// As [`remove`]; or it is not lost, whatever kind is recorded.
pub fn let_go(world: &World, guest: &Guest, number: u16, seen: &Found, guids: Vec<(String, u64)>, moment: &Moment) -> Result<Plan> {
    away(world, guest, number, guids, moment, Some(seen))
}

fn away(world: &World, guest: &Guest, number: u16, guids: Vec<(String, u64)>, moment: &Moment, lost: Option<&Found>) -> Result<Plan> {
    changeable(guest)?;
    // To remove only the settings of a disk, they need not be valid.
    let disks = if lost.is_some() { guest.disk_records().into_iter().map(|record| record.disk).collect() } else { guest.spec()?.disks };
    let disk = find(guest, &disks, number)?;
    if let Some(size) = lost.and_then(Found::actual).filter(|_| disk.kind != DiskKind::Attached) {
        let what = if lost.is_some_and(|seen| seen.kind(disk) == DiskKind::Zvol) { "volume" } else { "file" };
        return Err(Problem::not_now(format!("disk{number} of {} is not lost: its {what} of {size} is there", guest.name))
            .on(format!("{}:disk{number}", guest.name))
            .hint(format!("record it as it is: `chyves disk sync {} disk{number}`", guest.name))
            .hint(format!("then move it to the trash: `chyves disk remove {} disk{number}`", guest.name)));
    }
    stopped(guest, "remove a disk of")?;
    let leaving = Leaving::of(guest, world.root_on(guest.root.pool())?.trash(), moment.uuids.first().copied(), &moment.now);
    let (to, marks) = (leaving.place(number), leaving.marks(number));
    let clear = leaving.own(number).into_iter().map(|(key, _)| key).collect();
    let mut wish = Amendment { change: Change::clearing(clear), ..Amendment::default() };
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: guids });
    match disk.kind {
        DiskKind::Raw | DiskKind::Zvol if lost.is_some() => {
            plan.steps.extend(wish.steps(world, guest)?);
            plan.notes.push(format!("disk{number} of {} is forgotten; whatever is left of it stays where it is", guest.name));
            return Ok(plan);
        }
        DiskKind::Attached => {
            plan.steps.extend(wish.steps(world, guest)?);
            let source = disk.source.as_deref().unwrap_or_default();
            plan.notes.push(format!("{source} stays as it is; `chyves disk add {} --attach {source}` attaches it again", guest.name));
            return Ok(plan);
        }
        DiskKind::Zvol => {
            let from = volume(guest, number);
            let before = marks.iter().map(|(k, _)| (k.clone(), None)).collect();
            plan.push(Action::Change {
                dialect: world.host.dialect,
                on: from.clone(),
                set: marks,
                clear: Vec::new(),
                before,
                received: Vec::new(),
            });
            plan.push(Action::RenameVolume { from, to: to.clone() });
            plan.steps.extend(wish.steps(world, guest)?);
        }
        DiskKind::Raw => {
            let (from, copy) = (file(guest.folder()?, number), file(&folder(world, &to)?, number));
            plan.push(Action::CreateDataset { dataset: to.clone(), native: of_disks(), own: marks });
            plan.push(Action::Mount { dataset: to.clone() });
            wish.before.push(Action::CopyDisk { from: from.clone(), format: DiskFormat::Raw, to: copy.clone(), size: None });
            // Last: once this step has run, the copy in the trash is the disk.
            wish.after.push(Action::RemoveFile { path: from, copy });
            plan.steps.extend(wish.steps(world, guest)?);
            plan.push(Action::Unmount { dataset: to.clone() });
        }
    }
    plan.notes.push(format!("disk{number} of {} will be moved to the trash; `chyves undelete {}` restores it", guest.name, to.leaf()));
    Ok(plan)
}

/// The mount point of a file system in the trash.
pub(super) fn folder(world: &World, trashed: &Dataset) -> Result<String> {
    Ok(format!("{}/trash/{}", mountpoint(world.root_on(trashed.pool())?)?, trashed.leaf()))
}

/// The settings that mark a volume in the trash.
pub(super) fn marks(trashed: &Trashed, disk: &TrashedDisk) -> Vec<Pair> {
    trash::marks(&trashed.deleted, &trashed.name, disk.of, renumbered(&disk.settings, disk.number))
}
