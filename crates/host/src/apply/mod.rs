//! Executing a plan step by step; when a step fails, what this plan did is undone, newest first.
//!
//! * [`step`]: executing one step; [`mod@command`], one command of it
//! * [`files`]: the steps that need no other program
//! * [`disk`]: disks from files and to files
//! * [`image`]: importing an image, and partial downloads
//! * [`machine`]: the steps that a VM's supervisor executes
//! * [`volume_users`]: whether volumes can be destroyed
//! * [`journal`]: the steps done so far, for the case that this process is killed or the host crashes; [`recover`], what
//!   happens then
//! * [`fault`]: fault injection, in test builds
//! * [`send`]: sending a guest as a stream
//! * [`receive`]: receiving a guest from a stream; [`inspect`], received contents that could affect the host; [`increment`],
//!   after an interrupted reception of an increment
//! * [`restore`]: making a folder equal to another one
//! * [`copy`]: copying a dataset
//! * [`settings`]: settings that are known only while a plan runs
//!
//! Not here: deciding (chyves-core `plan`), running VMs (`supervise`).

mod command;
mod copy;
pub mod disk;
pub(crate) mod fault;
mod files;
pub(crate) mod image;
mod increment;
mod inspect;
mod journal;
mod machine;
mod receive;
pub mod recover;
mod restore;
mod send;
mod settings;
mod step;
mod undo;
mod volume_users;

use crate::runtime::{Lock, Runtime};
use crate::stream;
use chyves_core::action::{Action, Undo};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::os::Os;
use chyves_core::plan::Plan;
use chyves_core::value::FilePath;
pub(crate) use command::{command, mount_at_home, settled};
pub(crate) use files::io as io_problem;
pub use inspect::Disarmed;
use journal::Journal;
pub use restore::{back, drop_revert, drop_work};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Progress of a plan, to be shown.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step begins.
    Step(&'a Action),
    /// A command is about to run, exactly as shown.
    Command(String),
    /// Progress of a long step: bytes done, total bytes.
    Progress(u64, u64),
    /// Progress of a ZFS stream.
    Flow(stream::Flow),
    /// Progress of reading an image; of interest only while it lasts.
    Reading(stream::Flow),
    /// The guest's loader or hypervisor is about to run; its command line.
    Hypervisor(String),
    /// An event while a guest is being stopped.
    Asked(&'static str),
    /// A problem that does not fail the plan.
    Warning(String),
    /// The steps so far are being rolled back, because of this problem.
    TakingBack(&'a Problem),
}

/// The environment of a plan.
pub struct Place<'a> {
    /// The operating system whose commands are run.
    pub os: Os,
    /// The runtime folder.
    pub runtime: &'a Runtime,
    /// The command line, for the journal.
    pub command: &'a str,
    /// The names of the locks that are held, for the journal.
    pub locks: &'a [String],
    /// Set when the user interrupts: the plan stops before its next step and is rolled back.
    pub interrupted: &'a AtomicBool,
    /// Receives the events.
    pub report: &'a mut dyn FnMut(Event<'_>),
    /// Locks that are released before the plan's end.
    pub lent: Lent,
}

/// Locks that a plan needs, but not during a step that may take hours.
#[derive(Debug, Default)]
pub struct Lent {
    /// The lock of the host's networks, if the plan changes them: released before a VM is started.
    pub network: Option<Lock>,
    /// The locks of what a stream consists of: released before it is written, and taken again to undo something.
    pub stream: Vec<Lock>,
}

impl From<Option<Lock>> for Lent {
    fn from(network: Option<Lock>) -> Self {
        Self { network, stream: Vec::new() }
    }
}

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

/// Removes a file, if it exists.
pub(crate) fn remove(path: &str) -> Result<()> {
    files::remove(&FilePath::host(path))
}

/// Writes a small file atomically, readable by its owner only.
///
/// # Errors
/// It cannot be written.
pub fn write_private(path: &str, text: &str) -> Result<()> {
    files::write_bytes(&FilePath::host(path), text.as_bytes())
}

/// As [`write_private`], for bytes.
///
/// # Errors
/// It cannot be written.
pub fn write_private_bytes(path: &str, bytes: &[u8]) -> Result<()> {
    files::write_bytes(&FilePath::host(path), bytes)
}
