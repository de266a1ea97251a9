//! Running a plan: step by step, and when one fails, taking back what this plan did, newest first, and nothing older.
//!
//! * [`files`]: the steps that chyves does itself
//! * [`disk`]: disks from files, to files
//! * [`image`]: reading an image in, and what is kept of one for another try
//! * [`held`]: whether volumes are free to be destroyed
//! * [`journal`]: what was done so far, for when this process is killed
//! * [`fault`]: failures on purpose, in test builds
//! * [`receive`]: taking a guest from a stream
//! * [`restore`]: making a folder what another is
//! * [`copy`]: copying a dataset
//! * [`settings`]: settings that are known only while a plan runs
//!
//! Not here: deciding (chyves-core `plan`), running machines (`supervise`).

mod copy;
pub mod disk;
pub(crate) mod fault;
mod files;
mod held;
pub(crate) mod image;
pub mod journal;
mod receive;
mod restore;
mod settings;
mod undo;

use crate::run;
use crate::runtime::{Lock, Runtime};
use crate::supervise::{self, Progress, Spawner};
use crate::{control, facts, network, observe, stream};
use chyves_core::action::{Action, Growth, Undo};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::launch::Launch;
use chyves_core::lifecycle::Force;
use chyves_core::network::nat;
use chyves_core::os::{Intent, Os};
use chyves_core::plan::Plan;
use chyves_core::value::{Dataset, printable};
use chyves_core::zfs::Dialect;
use chyves_core::zfs::args;
use chyves_core::zfs::stream::{Sending, estimated};
pub(crate) use files::{io as io_problem, write_bytes as write_whole};
use journal::Journal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    /// The hypervisor's command is about to run.
    Hypervisor(String),
    /// What happens while a guest is being stopped.
    Asked(&'static str),
    /// Something that does not fail the plan went wrong.
    Warning(String),
    /// The steps so far are being taken back, because of this.
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
    /// Raised when the person wants to stop: the plan ends before its next step and is taken back.
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
    /// Those of what a stream is made of: let go of before it is written, and taken again to take something back.
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
    /// The process ids of a machine that was started: its supervisor's and its own.
    pub started: Option<(u32, u32)>,
    /// What stood in the files that steps replaced, by the number of the step; nothing where none stood there.
    pub replaced: Vec<(usize, Option<String>)>,
}

/// A step that was done, and what takes it back.
struct Done {
    undo: Undo,
    /// The content of a file that was replaced.
    before: Option<Vec<u8>>,
    /// What it was, for people.
    words: String,
}

/// Runs a plan to its end, or takes it back.
///
/// # Errors
/// The step that failed, with `Kind::Left` and a list if taking back failed too.
pub fn apply(plan: &Plan, place: &mut Place<'_>) -> Result<Applied> {
    let mut applied = Applied::default();
    if plan.steps.is_empty() {
        return Ok(applied);
    }
    let mut done: Vec<Done> = Vec::new();
    let began = jiffy();
    let mut journal = Journal::begin(place.runtime, plan, began, place.command, place.locks)?;
    let mut let_go = false;
    for (index, step) in plan.steps.iter().enumerate() {
        // Once something was done that nothing can take back, the rest is finished whatever the person wishes.
        let bound = done.iter().any(|d| d.undo == Undo::Impossible);
        let result = if place.interrupted.load(Ordering::SeqCst) && !bound {
            Err(Problem::new(Kind::Interrupted, "interrupted"))
        } else {
            (place.report)(Event::Step(step));
            let before = done.len();
            if matches!(step, Action::Send { .. }) {
                let_go = !std::mem::take(&mut place.lent.stream).is_empty();
            }
            journal
                .begins(index)
                .and_then(|()| fault::before(index))
                .and_then(|()| perform(step, began, place, &mut applied, &mut done))
                .and_then(|()| journal.ended(index, done.len() == before))
                .map(|()| fault::after(index))
        };
        if let Err(problem) = result {
            (place.report)(Event::TakingBack(&problem));
            // Somebody may work on it by now. Where they do so for too long, they or a repair take it back from the journal.
            let wanted = place.locks.iter().filter(|_| let_go);
            let locks = wanted.map(|name| place.runtime.lock_named(name, AGAIN, place.command)).collect::<Result<Vec<_>>>();
            if let Err(busy) = locks {
                return Err(Problem { code: Kind::Left, ..problem }
                    .because(format!("and it could not be taken back: {busy}"))
                    .hint("`chyves repair` takes it back"));
            }
            let problem = undo::take_back(done, began, place, problem, &mut |_| {});
            journal.close();
            return Err(problem);
        }
    }
    applied.replaced = journal.close();
    Ok(applied)
}

/// How long is waited for a lock that was let go of.
const AGAIN: Duration = Duration::from_secs(10);

/// Takes back the steps of a plan that ran to its end; `replaced` is what [`Applied`] told of it.
///
/// # Errors
/// Something can't be taken back; all the rest was.
pub fn take_back_steps(steps: &[Action], replaced: &[(usize, Option<String>)], place: &mut Place<'_>) -> Result<()> {
    let before = |index: usize| replaced.iter().find(|(i, _)| *i == index).and_then(|(_, text)| text.clone()).map(String::into_bytes);
    let done = |(index, s): (usize, &Action)| Done { undo: s.undo(), before: before(index), words: s.describe() };
    let done = steps.iter().enumerate().map(done).collect();
    let result = undo::take_back(done, jiffy(), place, Problem::failed("it was not confirmed"), &mut |_| {});
    if result.code == Kind::Left { Err(result) } else { Ok(()) }
}

/// Seconds since 1970, to tell what this plan made from what was there.
fn jiffy() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

pub(crate) fn command(cmd: &Cmd, place: &mut Place<'_>) -> Result<()> {
    (place.report)(Event::Command(cmd.to_string()));
    settled(cmd)
}

/// Runs a command that must end with 0. zfs-fuse lets go of a file system only some time after `zfs unmount` has
/// returned, and calls the dataset busy until then: there, such an answer is waited out for a while.
pub(crate) fn settled(cmd: &Cmd) -> Result<()> {
    settled_if(cmd, cmd.program == "zfs" && facts::dialect() == Dialect::Fuse)
}

/// The same for what takes something back, on every ZFS: what a killed command had under way, such as a stream, is known
/// to end only a moment after it.
fn settled_at_last(cmd: &Cmd) -> Result<()> {
    settled_if(cmd, cmd.program == "zfs")
}

fn settled_if(cmd: &Cmd, waits: bool) -> Result<()> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        let output = run::run(cmd)?;
        if output.ok() {
            return Ok(());
        }
        let passing = output.stderr.contains("is busy");
        if !(passing && waits && began.elapsed() < LET_GO) {
            return Err(run::failure(cmd, &output));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Mounts a file system; whether that was needed. Somebody may have been quicker: zfs-fuse itself mounts each clone when
/// it makes it.
fn mount(dataset: &Dataset, place: &mut Place<'_>) -> Result<bool> {
    let cmd = args::mount(dataset);
    (place.report)(Event::Command(cmd.to_string()));
    let Err(problem) = settled(&cmd) else { return Ok(true) };
    // Said so plainly it need not be asked for: that is one call for each of many clones.
    if problem.causes.iter().any(|c| c.contains("already mounted")) {
        return Ok(false);
    }
    match observe::dataset(dataset)? {
        Some(row) if row.native("mounted") == Some("yes") => Ok(false),
        Some(_) | None => Err(problem),
    }
}

/// How long ZFS may take to let go of what is not used any more.
const LET_GO: Duration = Duration::from_secs(20);

/// Does one step. What it did is in `done` as soon as it is done, also where a later part of the step fails.
#[allow(clippy::too_many_lines)] // one arm a step: the table of what a plan can do
fn perform(step: &Action, began: u64, place: &mut Place<'_>, applied: &mut Applied, done: &mut Vec<Done>) -> Result<()> {
    let mut made = |before: Option<Vec<u8>>| done.push(Done { undo: step.undo(), before, words: step.describe() });
    match step {
        Action::Verify { objects } => verify(objects),
        Action::CreateDataset { .. }
        | Action::CreateVolume { .. }
        | Action::ResizeVolume { .. }
        | Action::CloneDataset { .. }
        | Action::Snapshot { .. }
        | Action::MarkSnapshot { .. }
        | Action::Rollback { .. }
        | Action::Rename { .. }
        | Action::RenameVolume { .. }
        | Action::DestroySnapshot { .. }
        | Action::DestroyDataset { .. }
        | Action::DestroyTree { .. }
        | Action::SetReadonly { .. }
        | Action::SetNative { .. }
        | Action::DropSnapshot { .. }
        | Action::LeaveToClones { .. }
        | Action::Promote { .. } => {
            if let Action::DestroyTree { takes, .. } = step {
                held::check(takes)?;
            }
            for cmd in step.commands(place.os) {
                if let Err(problem) = command(&cmd, place) {
                    // `zfs` may have made what it then failed to mount: half made is made, and is to be taken back.
                    if undo::is_half_made(step, began) {
                        made(None);
                    }
                    return Err(problem);
                }
            }
            made(None);
            Ok(())
        }
        Action::Host(Intent::EndNames { file }) => {
            network::end_server(file);
            made(None);
            Ok(())
        }
        Action::Host(_) | Action::Change { .. } => {
            if let Action::Host(Intent::ServeNames { file }) = step {
                network::end_server(file);
            }
            let cmds = step.commands(place.os);
            for (index, cmd) in cmds.iter().enumerate() {
                let result = command(cmd, place);
                // After the first command something is done, whatever becomes of the rest.
                if index == 0 && result.is_ok() {
                    made(None);
                }
                result?;
            }
            Ok(())
        }
        Action::Mount { dataset } => mount(dataset, place).map(|new| {
            if new {
                made(None)
            }
        }),
        Action::LetGo { dataset } => crate::borrow::let_go(place.runtime, dataset, place.command).map(drop),
        Action::Forget { uuid, .. } => place.runtime.forget(*uuid),
        Action::Borrow { dataset } => mount(dataset, place).map(drop),
        Action::Unmount { dataset } => {
            match command(&args::unmount(dataset), place) {
                Ok(()) => made(None),
                // A file system that stays mounted harms nothing; a step that needs it unmounted will say so.
                Err(problem) => (place.report)(Event::Warning(format!("{dataset} stays mounted: {problem}"))),
            }
            Ok(())
        }
        Action::SendReceive { .. } | Action::SettingsFromCopy { .. } | Action::KeepCopy { .. } => from_elsewhere(step, place, done),
        Action::MakeFolder { path } => files::make_folder(path).map(|new| {
            if new {
                made(None)
            }
        }),
        Action::DropFolder { path, files } => {
            made(None);
            for name in files.iter().map(|(name, _)| name.as_str()).chain([nat::PROCESS]) {
                files::remove(&format!("{path}/{name}"))?;
            }
            files::remove_folder(path)
        }
        Action::WriteFile { path, text } => files::write(path, text).map(made),
        Action::ChangeDisc { guest, uuid, dataset, device, path, force, again, borrows, .. } => {
            let target = control::Target { uuid: *uuid, name: guest, dataset };
            let disc = control::Disc { drive: device.as_deref(), path: path.as_deref(), force: *force, again, borrows };
            control::disc(place.runtime, target, disc)
        }
        Action::WriteSeed(disc) => crate::seed::write(disc).map(|()| made(None)),
        Action::MakeDisk { path, size } => files::make_disk(path, *size).map(|()| made(None)),
        Action::GrowDisk { path, from, to } => files::grow(path, *from, *to).map(|()| made(None)),
        Action::GrowLive { by, .. } => {
            let grown = grow_live(step, place);
            // A refusal leaves everything as it was; anything else the guest may have seen.
            if grown.as_ref().map_or_else(|p| p.code != Kind::NotNow && *by == Growth::Asked, |()| true) {
                made(None);
            }
            grown
        }
        Action::ShrinkDisk { path, from, to } => {
            files::cut(path, *from, *to)?;
            made(None);
            Ok(())
        }
        Action::CopyDisk { from, format, to, size } => {
            disk::copy(from, *format, to, *size, place)?;
            made(None);
            Ok(())
        }
        Action::RenameFile { from, to } => files::rename(from, to).map(|()| made(None)),
        Action::RemoveFile { path, .. } => {
            files::remove(path)?;
            made(None);
            Ok(())
        }
        Action::CopyVariables { guest, from, to } => files::copy_variables(guest, from, to, place).map(|new| {
            if new {
                made(None)
            }
        }),
        Action::SetAside { from, to } => {
            if std::path::Path::new(from).exists() {
                files::rename(from, to)?;
                made(None);
                applied.said.push(to.clone());
            }
            Ok(())
        }
        Action::RestoreFiles { from, to, .. } => {
            // From the first block on something is done.
            made(None);
            restore::restore(from.as_ref(), to.as_ref(), place)
        }
        Action::CheckFiles { files } => files::check(files),
        Action::KeepPart { .. } | Action::DropPart { .. } | Action::ImportImage { .. } | Action::VerifyImage { .. } => {
            image::perform(step, place)?;
            // Once what was kept is gone, the image stays.
            if matches!(step, Action::DropPart { .. }) {
                made(None);
            }
            Ok(())
        }
        Action::Send { sending } => send(sending, place),
        Action::Receive { dialect, into, new, snapshot, guid, resumable } => {
            let wanted =
                receive::Reception { dialect: *dialect, into, new: *new, snapshot: snapshot.as_ref(), guid: *guid, resumable: *resumable };
            receive::receive(&wanted, place).map(|()| made(None))
        }
        Action::ProveNetwork { proofs } => {
            (place.report)(Event::Command(chyves_core::network::observe::question(place.os).to_string()));
            network::prove_it(place.os, place.runtime, proofs)
        }
        // From here on others may see to their networks: a machine takes its time.
        Action::Launch(_) if place.lent.network.take().is_some() => perform(step, began, place, applied, done),
        Action::Launch(what) => launch(what, place).map(|pids| applied.started = Some(pids)),
        Action::Stop { guest, uuid, dataset, timeout, force } => {
            let target = control::Target { uuid: *uuid, name: guest, dataset };
            applied.said.push(stop(&target, *timeout, *force, place)?);
            Ok(())
        }
    }
}

/// Makes a disk of a running machine larger. A problem that is "not now" is a refusal.
fn grow_live(step: &Action, place: &mut Place<'_>) -> Result<()> {
    let Action::GrowLive { guest, uuid, dataset, path, by, from, to } = step else { return Ok(()) };
    match by {
        Growth::Asked => {
            let target = control::Target { uuid: *uuid, name: guest, dataset };
            control::grow(place.runtime, target, path, *to)?.map_err(|p| Problem { code: Kind::NotNow, ..p })
        }
        Growth::OfFile => files::grow_or_so(path, *from, *to),
        Growth::OfVolume(_) => step.commands(place.os).iter().try_for_each(|cmd| command(cmd, place)),
    }
}

/// Writes a stream to standard output, telling how far it is; how long it will be is asked for where the ZFS can tell.
fn send(sending: &Sending, place: &mut Place<'_>) -> Result<()> {
    let total = match facts::dialect() {
        Dialect::OpenZfs => run::run(&sending.estimate()).ok().filter(run::Output::ok).and_then(|o| estimated(&(o.stdout + &o.stderr))),
        Dialect::Fuse => None,
    };
    let cmd = sending.cmd();
    (place.report)(Event::Command(cmd.to_string()));
    let report = &mut *place.report;
    stream::give(&cmd, total, facts::dialect() == Dialect::Fuse, place.interrupted, &mut |flow| report(Event::Flow(flow)))
}

/// Runs a machine under a supervisor; the process ids of the supervisor and the machine.
fn launch(what: &Launch, place: &mut Place<'_>) -> Result<(u32, u32)> {
    let spawner = Spawner::this_program()?;
    let report = &mut *place.report;
    let hypervisor = what.hypervisor.to_string();
    let started = supervise::spawn(place.runtime, what, &spawner, &mut |progress| match progress {
        Progress::Run(line) if line == hypervisor => report(Event::Hypervisor(line)),
        Progress::Run(line) => report(Event::Command(line)),
        Progress::Running => {}
    })?;
    Ok((started.supervisor, started.machine))
}

/// Steps whose content is known only when they are done: a stream, and settings in a file or on a dataset.
fn from_elsewhere(step: &Action, place: &mut Place<'_>, done: &mut Vec<Done>) -> Result<()> {
    let mut made = |before: Option<Vec<u8>>| done.push(Done { undo: step.undo(), before, words: step.describe() });
    match step {
        Action::SendReceive { from, to, size } => {
            copy::is_free(to)?;
            // Half of it may be there as soon as it has begun.
            made(None);
            copy::copy(from, to, *size, place)
        }
        Action::KeepCopy { on, path } => settings::keep(on, path).map(made),
        _ => settings::from_copy(step, place, done),
    }
}

/// Makes sure that each name still means what it meant when it was looked up.
fn verify(objects: &[(String, u64)]) -> Result<()> {
    let names: Vec<String> = objects.iter().map(|(n, _)| n.clone()).collect();
    for ((name, was), (_, is)) in objects.iter().zip(observe::guids(&names)?) {
        if *was != is {
            return Err(Problem::not_now(format!("`{}` is not what it was a moment ago", printable(name, 120)))
                .on(name)
                .because(format!("its GUID was {was} and is {is}: something else has taken its name"))
                .hint("look at it with `chyves list` and try again"));
        }
    }
    Ok(())
}

/// Asks a machine to power off and waits; how it ended.
fn stop(target: &control::Target<'_>, timeout: u32, force: bool, place: &mut Place<'_>) -> Result<String> {
    let force = match (force, timeout) {
        (true, 0) => Force::Now,
        (true, _) => Force::AtDeadline,
        (false, _) => Force::Never,
    };
    let how = control::How { timeout: Some(timeout), force };
    let spawner = Spawner::this_program()?;
    let report = &mut *place.report;
    let stopped = control::stop(place.runtime, *target, how, &spawner, place.interrupted, &mut |progress| {
        report(Event::Asked(match progress {
            control::StopProgress::TakenOver => "its supervisor was gone; a new one has taken over",
            control::StopProgress::Asked => "asked to power off",
            control::StopProgress::NotYet => {
                "its system has not switched ACPI on yet; waiting, for asking now would end it as by pulling its plug"
            }
            control::StopProgress::Forced => "the plug is being pulled",
        }));
    })?;
    Ok(match stopped {
        control::Stopped::WasNot => "was off already".to_owned(),
        control::Stopped::Gone(how) => how,
    })
}

/// Writes a small file whole that its owner alone may read.
///
/// # Errors
/// It can't be written.
pub fn write_private(path: &str, text: &str) -> Result<()> {
    files::write_bytes(path, text.as_bytes())
}

/// The same for what is no text.
///
/// # Errors
/// It can't be written.
pub fn write_private_bytes(path: &str, bytes: &[u8]) -> Result<()> {
    files::write_bytes(path, bytes)
}
