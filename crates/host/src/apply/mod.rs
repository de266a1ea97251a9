//! Running a plan: step by step, and when one fails, taking back what this plan did, newest first, and nothing older.
//!
//! * [`step`]: doing one step; [`mod@command`], one command of it
//! * [`files`]: the steps that chyves does itself
//! * [`disk`]: disks from files, to files
//! * [`image`]: reading an image in, and what is kept of one for another try
//! * [`machine`]: the steps that a machine's supervisor does
//! * [`volume_users`]: whether volumes are free to be destroyed
//! * [`journal`]: what was done so far, for when this process is killed or the host goes down; [`recover`], what is done then
//! * [`fault`]: failures on purpose, in test builds
//! * [`send`]: giving a guest as a stream
//! * [`receive`]: taking a guest from a stream; [`inspect`], what came that could act on the host; [`increment`], what follows
//!   one that did not go through
//! * [`restore`]: making a folder what another is
//! * [`copy`]: copying a dataset
//! * [`settings`]: settings that are known only while a plan runs
//!
//! Not here: deciding (chyves-core `plan`), running machines (`supervise`).

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
pub use restore::{back, below, drop_revert, drop_work};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What happens while a plan runs, for whoever shows it.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step begins.
    Step(&'a Action),
    /// A command is about to run, exactly as shown.
    Command(String),
    /// Part of a long step is done: how much of how much, in bytes.
    Progress(u64, u64),
    /// How far a stream is.
    Flow(stream::Flow),
    /// How far the reading of an image is, which is of interest while it goes on.
    Reading(stream::Flow),
    /// What the guest itself is run by is about to run: its loader's command, its hypervisor's.
    Hypervisor(String),
    /// What happens while a guest is being stopped.
    Asked(&'static str),
    /// Something that does not fail the plan went wrong.
    Warning(String),
    /// The steps so far are being rolled back, because of this.
    TakingBack(&'a Problem),
}

/// Where plans are run.
pub struct Place<'a> {
    /// The operating system whose commands are run.
    pub os: Os,
    /// The runtime folder.
    pub runtime: &'a Runtime,
    /// The command as it was typed, for the journal.
    pub command: &'a str,
    /// The locks that are held, for the journal.
    pub locks: &'a [String],
    /// Raised when the person wants to stop: the plan ends before its next step and is rolled back.
    pub interrupted: &'a AtomicBool,
    /// Told what happens.
    pub report: &'a mut dyn FnMut(Event<'_>),
    /// Locks that are let go of before the plan's end.
    pub lent: Lent,
}

/// Locks that a plan needs, but not while it does what may take hours.
#[derive(Debug, Default)]
pub struct Lent {
    /// That of the host's networks, where the plan changes them: let go of before a machine is started.
    pub network: Option<Lock>,
    /// Those of what a stream is made of: let go of before it is written, and taken again to undo something.
    pub stream: Vec<Lock>,
}

impl From<Option<Lock>> for Lent {
    fn from(network: Option<Lock>) -> Self {
        Self { network, stream: Vec::new() }
    }
}

/// What a plan that ran to its end gave back.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// What steps have to say when they are done: "web01 powered off".
    pub said: Vec<String>,
    /// What came with a stream that could act on this host, and why it does not.
    pub disarmed: Vec<Disarmed>,
    /// The text of the file that a step has read; none where it is not there.
    pub read: Option<String>,
    /// The process ids of a machine that was started: its supervisor's and its own.
    pub started: Option<(u32, u32)>,
    /// What stood in the files that steps replaced, by the number of the step; nothing where none stood there.
    pub replaced: Vec<(usize, Option<String>)>,
}

/// A step that was done, and what rolls it back.
struct Done {
    undo: Undo,
    /// The content of a file that was replaced.
    before: Option<Vec<u8>>,
    /// What it was, for people.
    words: String,
}

/// Runs a plan to its end, or rolls it back.
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
        // Once something was done that nothing can undo, the rest is finished whatever the person wishes.
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
            // How far it came nobody knows, and what runs on or hangs cannot be undone now.
            if problem.code == Kind::Left {
                return Err(problem
                    .because(format!("it had come to this step: {}", step.describe()))
                    .hint("`chyves repair`, or the next command on the same object, completes it or rolls it back"));
            }
            (place.report)(Event::TakingBack(&problem));
            // Somebody may work on it by now. Where they do so for too long, they or a repair undo it from the journal.
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

/// What an interrupted plan came to, unless the step that was interrupted has told that itself.
fn told(problem: Problem, step: &Action, untouched: bool) -> Problem {
    if !problem.causes.is_empty() || !problem.hints.is_empty() {
        return problem;
    }
    let message = if untouched { "interrupted, and nothing was changed" } else { "interrupted; the completed steps were rolled back" };
    Problem { message: message.to_owned(), ..problem }
        .because(format!("it had come to this step: {}", step.describe()))
        .hint("type the command again for what was not done")
}

/// How long is waited for a lock that was let go of.
const AGAIN: Duration = Duration::from_secs(10);

/// Rolls back the steps of a plan that ran to its end; `replaced` is what [`Applied`] told of it.
///
/// # Errors
/// Something cannot be undone; all the rest was.
pub fn take_back_steps(steps: &[Action], replaced: &[(usize, Option<String>)], place: &mut Place<'_>) -> Result<()> {
    let before = |index: usize| replaced.iter().find(|(i, _)| *i == index).and_then(|(_, text)| text.clone()).map(String::into_bytes);
    let done = |(index, s): (usize, &Action)| Done { undo: s.undo(), before: before(index), words: s.describe() };
    let done = steps.iter().enumerate().map(done).collect();
    let result = undo::take_back(done, now(), place, Problem::failed("it was not confirmed"), &mut |_| {});
    if result.code == Kind::Left { Err(result) } else { Ok(()) }
}

/// Seconds since 1970, to tell what this plan made from what was there.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Removes a file; that it is gone is as good.
pub(crate) fn remove(path: &str) -> Result<()> {
    files::remove(&FilePath::host(path))
}

/// Writes a small file whole that its owner alone may read.
///
/// # Errors
/// It can't be written.
pub fn write_private(path: &str, text: &str) -> Result<()> {
    files::write_bytes(&FilePath::host(path), text.as_bytes())
}

/// The same for what is no text.
///
/// # Errors
/// It can't be written.
pub fn write_private_bytes(path: &str, bytes: &[u8]) -> Result<()> {
    files::write_bytes(&FilePath::host(path), bytes)
}
