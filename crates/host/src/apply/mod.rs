//! Executing a plan step by step; when a step fails, what this plan did is undone, newest first.
//!
//! * [`step`]: executing one step; [`remedy`], commands whose failure has a remedy
//! * [`files`]: the steps that need no other program
//! * [`disk`]: disks from files and to files
//! * [`image`]: importing an image, and partial downloads
//! * [`machine`]: the steps that a VM's supervisor executes
//! * [`volume_users`]: whether volumes can be destroyed
//! * [`journal`]: the steps done so far, for the case that this process is killed or the host crashes; [`recover`], what
//!   happens then
//! * [`send`]: sending a guest as a stream
//! * [`receive`]: receiving a guest from a stream; [`inspect`], received contents that could affect the host; [`increment`],
//!   after an interrupted reception of an increment
//! * [`restore`]: making a folder equal to another one
//! * [`copy`]: copying a dataset
//! * [`settings`]: settings that are known only while a plan runs
//!
//! Not here: deciding (chyves-core `plan`), running VMs (`supervise`).

mod copy;
pub mod disk;
mod files;
pub(crate) mod image;
mod increment;
mod inspect;
mod journal;
mod machine;
mod receive;
pub mod recover;
mod remedy;
mod restore;
mod send;
mod settings;
mod step;
mod undo;
mod volume_users;

use crate::fault;
pub use crate::place::{Event, Lent, Place};
pub use crate::small_files::write_private;
use chyves_core::action::{Action, Undo};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::plan::Plan;
pub use inspect::Disarmed;
use journal::Journal;
pub use restore::{back, drop_revert, drop_work};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The results of a successful plan.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Messages of completed steps, such as "web01 powered off".
    pub said: Vec<String>,
    /// Received contents that could have affected this host, and why they do not.
    pub disarmed: Vec<Disarmed>,
    /// The text of the file that a step has read; none if it is missing.
    pub read: Option<String>,
    /// The process ids of a started VM: its supervisor's and its hypervisor's.
    pub started: Option<(u32, u32)>,
    /// The previous content of files that steps replaced, with the index of the step; none if the file did not exist.
    pub replaced: Vec<(usize, Option<String>)>,
}

/// A step that was done, and how it is undone.
struct Done {
    undo: Undo,
    /// The previous content of a replaced file.
    before: Option<Vec<u8>>,
    /// The step, as it is shown.
    words: String,
}

/// Executes a plan, or rolls it back.
///
/// # Errors
/// The step that failed, with `Kind::Left` and a list if the rollback failed too.
pub fn apply(plan: &Plan, place: &mut Place<'_>) -> Result<Applied> {
    let mut applied = Applied::default();
    if plan.steps.is_empty() {
        return Ok(applied);
    }
    let mut done: Vec<Done> = Vec::new();
    let began = now();
    let begin = || Journal::begin(place.runtime, plan, began, place.command, place.locks);
    let mut journal = journal::is_needed(plan).then(begin).transpose()?;
    let mut let_go = false;
    for (index, step) in plan.steps.iter().enumerate() {
        // Once a step is done that cannot be undone, an interrupt no longer stops the plan.
        let bound = done.iter().any(|d| d.undo == Undo::Impossible);
        let result = if place.interrupted.load(Ordering::SeqCst) && !bound {
            Err(Problem::interrupted())
        } else {
            (place.report)(Event::Step(step));
            let before = done.len();
            let flush = !plan.is_settled_by_unmount(index);
            if matches!(step, Action::Send { .. }) {
                let_go = !std::mem::take(&mut place.lent.stream).is_empty();
            }
            journal
                .as_mut()
                .map_or(Ok(()), |journal| journal.begins(index))
                .and_then(|()| fault::before(index))
                .and_then(|()| step::perform(step, flush, began, place, &mut applied, &mut done))
                .and_then(|()| journal.as_mut().map_or(Ok(()), |journal| journal.ended(index, done.len() == before)))
                .map(|()| fault::after(index))
        };
        if let Err(problem) = result {
            // How far the step got is unknown, and what still runs or hangs cannot be undone now.
            if problem.code == Kind::Left {
                return Err(problem
                    .because(format!("it had come to this step: {}", step.describe()))
                    .hint("`chyves repair`, or the next command on the same object, completes it or rolls it back"));
            }
            (place.report)(Event::TakingBack(&problem));
            // Another command may hold the locks by now. If it holds them too long, that command or a repair undoes this from
            // the journal.
            let wanted = place.locks.iter().filter(|_| let_go);
            let locks = wanted.map(|name| place.runtime.lock_named(name, AGAIN, place.command)).collect::<Result<Vec<_>>>();
            if let Err(busy) = locks {
                return Err(Problem { code: Kind::Left, ..problem }
                    .because(format!("and it could not be rolled back: {busy}"))
                    .hint("`chyves repair` rolls it back"));
            }
            let untouched = done.is_empty();
            let problem = undo::take_back(done, began, place, problem, &mut |_| {});
            drop(journal.map(Journal::close));
            return Err(if problem.code == Kind::Interrupted { told(problem, step, untouched) } else { problem });
        }
    }
    applied.replaced = journal.map(Journal::close).unwrap_or_default();
    Ok(applied)
}

/// The problem of an interrupted plan, unless the interrupted step has described it already.
fn told(problem: Problem, step: &Action, untouched: bool) -> Problem {
    if !problem.causes.is_empty() || !problem.hints.is_empty() {
        return problem;
    }
    let message = if untouched { "interrupted, and nothing was changed" } else { "interrupted; the completed steps were rolled back" };
    Problem { message: message.to_owned(), ..problem }
        .because(format!("it had come to this step: {}", step.describe()))
        .hint("type the command again for what was not done")
}

/// Longest wait for a lock that was released before.
const AGAIN: Duration = Duration::from_secs(10);

/// Rolls back the steps of a completed plan; `replaced` is that of [`Applied`].
///
/// # Errors
/// Something cannot be undone; everything else was.
pub fn take_back_steps(steps: &[Action], replaced: &[(usize, Option<String>)], place: &mut Place<'_>) -> Result<()> {
    let before = |index: usize| replaced.iter().find(|(i, _)| *i == index).and_then(|(_, text)| text.clone()).map(String::into_bytes);
    let done = |(index, s): (usize, &Action)| Done { undo: s.undo(), before: before(index), words: s.describe() };
    let done = steps.iter().enumerate().map(done).collect();
    let result = undo::take_back(done, now(), place, Problem::failed("it was not confirmed"), &mut |_| {});
    if result.code == Kind::Left { Err(result) } else { Ok(()) }
}

/// Seconds since 1970, to distinguish what this plan created from what existed.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
