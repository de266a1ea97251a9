//! Undoing what a plan did: newest first, continuing after failures, and reporting what is left.

use super::remedy::destroy_at_last;
use super::{Done, Event, Place, copy, disk, files, increment, receive};
use crate::observe;
use crate::settled::settled_at_last;
use chyves_core::action::{Action, Undo};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::property::keys;
use chyves_core::value::Dataset;
use chyves_core::zfs::args;

/// Undoes everything; returns the problem that caused it, with a list of what is left. `undone` gets the index of each step
/// that was undone.
pub(super) fn take_back(done: Vec<Done>, began: u64, place: &mut Place<'_>, problem: Problem, undone: &mut dyn FnMut(usize)) -> Problem {
    let mut left = Vec::new();
    let mut bound = false;
    for (index, step) in done.into_iter().enumerate().rev() {
        // Effects before a step that cannot be undone are kept, such as the copy of a file that was then removed: of those only
        // mounts are undone.
        let mounts = matches!(&step.undo, Undo::Action(action) if matches!(**action, Action::Unmount { .. }));
        if bound && !mounts {
            continue;
        }
        match one(&step, began, place) {
            Ok(()) => undone(index),
            Err(why) => left.push(why),
        }
        bound |= step.undo == Undo::Impossible;
    }
    if left.is_empty() {
        return problem;
    }
    let mut problem = Problem { code: Kind::Left, ..problem };
    for why in left {
        problem = problem.because(format!("and the rollback failed: {why}"));
    }
    problem.hint("what is left is listed above; each line names it")
}

fn one(step: &Done, began: u64, place: &mut Place<'_>) -> Result<()> {
    match &step.undo {
        Undo::Nothing => Ok(()),
        Undo::Impossible => Err(Problem::failed(format!("this was done and cannot be undone: {}", step.words))),
        Undo::Action(action) => {
            if let Action::RenameFile { from, to } = &**action {
                return files::rename(from, to);
            }
            if let Action::ResizeVolume { dataset, from, to } = &**action {
                disk::volume_has(dataset, *from, *to)?;
            }
            for cmd in action.commands(place.os) {
                (place.report)(Event::Command(cmd.to_string()));
                let result = settled_at_last(&cmd);
                if let (Err(problem), false) = (result, matches!(**action, Action::Mount { .. } | Action::Unmount { .. })) {
                    return Err(problem);
                }
            }
            Ok(())
        }
        Undo::Change { dialect, on, set, clear, received } => {
            for cmd in args::change(*dialect, on.as_str(), set, clear).into_iter().chain(args::as_received(on, received)) {
                (place.report)(Event::Command(cmd.to_string()));
                settled_at_last(&cmd)?;
            }
            Ok(())
        }
        Undo::Destroy(dataset) => destroy(dataset, began, place),
        Undo::DestroyReceived { dataset, unless_resumable } => {
            if *unless_resumable && receive::token(dataset).is_some() {
                return Ok(());
            }
            young(dataset, began)?;
            receive::discard(dataset, place)
        }
        Undo::Increment(step) => increment::finish(step, place),
        Undo::DestroyCopy { dataset, like } => {
            copy::destroy(dataset, like, place)?;
            destroy(dataset, began, place)
        }
        Undo::RemoveFile(path) => files::remove(path),
        Undo::RemoveFolder(path) => files::remove_folder(path),
        Undo::RestoreFolder(path, those) => files::make_again(place.runtime.root(), path, those),
        Undo::RestoreFile(path) => match &step.before {
            Some(bytes) => files::write_bytes(path, bytes),
            None => files::remove(path),
        },
        Undo::Shrink(path, grown, size) => files::shrink(path, *grown, *size),
        Undo::Host(intent) => crate::network::take_back(intent, place),
    }
}

/// Whether a step that failed has nevertheless created its dataset: it exists, is as young as this plan, and has the UUID that
/// the step set.
pub(super) fn is_half_made(step: &Action, began: u64) -> bool {
    let (dataset, own) = match step {
        Action::CreateDataset { dataset, own, .. } | Action::CloneDataset { to: dataset, own, .. } => (dataset, own.as_slice()),
        Action::CreateVolume { dataset, .. } => (dataset, &[][..]),
        _ => return false,
    };
    let Ok(Some(row)) = observe::dataset(dataset) else { return false };
    let wanted = own.iter().find(|(k, _)| k == keys::UUID).map(|(_, v)| v.as_str());
    let young = row.number("creation").is_some_and(|c| c + 2 >= began);
    young && row.own.get(keys::UUID).map(|o| o.value.as_str()) == wanted
}

/// Whether a step that was begun and not recorded as done may have taken effect, so that it has to be undone. Only what ZFS can
/// be queried for is checked; the rest is undone in a way that works in both cases.
pub(super) fn may_be_done(step: &Action, began: u64) -> bool {
    let there = |name: &str| observe::exists(name).unwrap_or(true);
    match step {
        Action::Verify { .. } | Action::CheckFiles { .. } | Action::ReadFile { .. } | Action::ProveNetwork { .. } => false,
        Action::Rename { from, to, .. } | Action::RenameVolume { from, to } => there(to.as_str()) && !there(from.as_str()),
        Action::Snapshot { snapshot, .. } => observe::created(&snapshot.to_string()).is_ok_and(|c| c.is_some_and(|c| c + 2 >= began)),
        Action::SendReceive { to, .. } => observe::created(to.as_str()).is_ok_and(|c| c.is_some_and(|c| c + 2 >= began)),
        // A clone that has been promoted is no longer a clone.
        Action::Promote { clone, .. } => observe::dataset(clone).is_ok_and(|row| row.is_some_and(|r| r.native("origin").is_none())),
        // A file that existed before this command does not belong to it.
        Action::MakeDisk { path, .. } | Action::CopyVariables { to: path, .. } | Action::CopyDisk { to: path, .. } => {
            files::seen(path).is_some_and(|entry| entry.changed + 2 >= began)
        }
        Action::RestoreFiles { before, .. } => there(&before.to_string()),
        Action::RenameFile { from, to } | Action::SetAside { from, to } => files::seen(to).is_some() && files::seen(from).is_none(),
        Action::GrowDisk { path, to, .. } => files::seen(path).is_some_and(|entry| entry.len == to.get()),
        _ => true,
    }
}

/// Destroys a dataset that this plan created: never one that existed before, and never with anything below it.
fn destroy(dataset: &Dataset, began: u64, place: &mut Place<'_>) -> Result<()> {
    if !young(dataset, began)? {
        return Ok(());
    }
    destroy_at_last(dataset, &args::destroy(dataset), place)
}

/// Whether a dataset exists.
///
/// # Errors
/// It is older than the plan.
fn young(dataset: &Dataset, began: u64) -> Result<bool> {
    let Some(created) = observe::created(dataset.as_str())? else { return Ok(false) };
    // The clock of ZFS is the host's, with a resolution of one second.
    if created + 2 < began {
        let row = observe::dataset(dataset).ok().flatten();
        let uuid = row.as_ref().and_then(|row| row.own.get(keys::UUID)).map_or("none", |o| o.value.as_str());
        return Err(Problem::failed(format!("`{dataset}` is older than this command and stays (uuid {uuid})")).on(dataset));
    }
    Ok(true)
}
