//! Taking back what a plan did: newest first, going on through its own failures, telling what is left.

use super::{Done, Event, Place, files, settled};
use crate::observe;
use chyves_core::action::{Action, Undo};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::property::keys;
use chyves_core::value::Dataset;
use chyves_core::zfs::args;

/// Takes everything back; the problem that caused it, with what is left if something is.
pub(super) fn take_back(done: Vec<Done>, began: u64, place: &mut Place<'_>, problem: Problem) -> Problem {
    let mut left = Vec::new();
    for step in done.into_iter().rev() {
        if let Err(why) = one(&step, began, place) {
            left.push(why);
        }
    }
    if left.is_empty() {
        return problem;
    }
    let mut problem = Problem { code: Kind::Left, ..problem };
    for why in left {
        problem = problem.because(format!("and taking back failed: {why}"));
    }
    problem.hint("what is left is listed above; each line names it")
}

fn one(step: &Done, began: u64, place: &mut Place<'_>) -> Result<()> {
    match &step.undo {
        Undo::Nothing => Ok(()),
        Undo::Impossible => Err(Problem::failed("a step before the failure can't be taken back")),
        Undo::Action(action) => {
            for cmd in action.commands(place.os) {
                (place.report)(Event::Command(cmd.to_string()));
                let result = settled(&cmd);
                if let (Err(problem), false) = (result, matches!(**action, Action::Mount { .. } | Action::Unmount { .. })) {
                    return Err(problem);
                }
            }
            Ok(())
        }
        Undo::Destroy(dataset) => destroy(dataset, began, place),
        Undo::RemoveFile(path) => files::remove(path),
        Undo::RemoveFolder(path) => files::remove_folder(path),
        Undo::RestoreFile(path) => match &step.before {
            Some(bytes) => files::write_bytes(path, bytes),
            None => files::remove(path),
        },
        Undo::Shrink(path, size) => files::shrink(path, *size),
        Undo::Host(intent) => {
            for cmd in intent.undo(place.os) {
                (place.report)(Event::Command(cmd.to_string()));
                settled(&cmd)?;
            }
            Ok(())
        }
    }
}

/// Destroys a dataset that this plan made: never one that was there before, and never with anything below it.
fn destroy(dataset: &Dataset, began: u64, place: &mut Place<'_>) -> Result<()> {
    let Some(row) = observe::dataset(dataset)? else { return Ok(()) };
    let created = row.number("creation").unwrap_or(0);
    // The clock of ZFS is the host's; a second is its grain.
    if created + 2 < began {
        let uuid = row.own.get(keys::UUID).map_or("none", |o| o.value.as_str());
        return Err(Problem::failed(format!("`{dataset}` is older than this command and stays (uuid {uuid})")).on(dataset));
    }
    let cmd = args::destroy(dataset);
    (place.report)(Event::Command(cmd.to_string()));
    settled(&cmd)
}
