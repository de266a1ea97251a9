//! The protocol of a guest's supervisor: the requests that its socket accepts, and the client that sends them.
//!
//! One request per connection, as a line of JSON. Answers are lines of JSON, except at the console, where raw bytes follow. Not
//! here: executing a request (`supervise`) and the client side of the console (`console`).

use crate::runtime::{GuestState, Phase, Runtime};
use crate::supervise::{self, Spawner};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::lifecycle::{Force, KILL_GRACE, PULL_GRACE};
use chyves_core::value::{Dataset, GuestName, Size};
use rustix::event::{PollFd, PollFlags, Timespec};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Size limit of a request, in bytes.
pub(crate) const REQUEST_LIMIT: usize = 4096;
/// Size limit of an answer, in bytes.
const REPLY_LIMIT: u64 = 1 << 20;
/// Time limit for an answer of a supervisor.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Time limit for the cleanup commands after the VM's end, and for the supervisor's exit.
const CLEAN_WITHIN: Duration = Duration::from_secs(180);
/// Interval for checking whether a process has exited.
const LOOK: Duration = Duration::from_millis(5);
/// Interval for checking whether the user has interrupted the command; the signal may have been delivered to another thread.
const HEED: Duration = Duration::from_millis(200);

/// A request to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Report the status.
    Status,
    /// Stop the guest. Without a timeout, the guest's own `stop_timeout` applies.
    Stop { timeout: Option<u32>, force: Force },
    /// Attach to the console.
    Console {
        read_only: bool,
        /// Whether the end of the log is replayed first. If set, the answer states how many bytes are replayed.
        #[serde(default)]
        replay: Option<bool>,
    },
    /// Rewrite the runtime record, replacing whatever exists.
    Record,
    /// Reset the VM.
    Reset,
    /// Notify the hypervisor of the new size, in bytes, of the disk with this path.
    Grow { path: String, size: u64 },
    /// Change or remove the medium in an optical drive; without a drive, from the next reboot on.
    Disc { drive: Option<String>, path: Option<String>, force: bool, again: Vec<String>, borrows: Vec<Dataset> },
    /// The supervisor exits and the VM keeps running.
    Release,
}

/// The supervisor's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// The status.
    Status(Box<Status>),
    /// A power-off was requested from the guest (ACPI power button).
    Asked,
    /// The guest cannot handle the power button yet.
    NotYet,
    /// The VM is being powered off forcibly.
    Forced,
    /// The VM is off; the text is how it ended.
    Gone(String),
    /// From here on the console's bytes follow.
    Attached,
    /// Like `Attached`; the first `replayed` bytes are from the log.
    AttachedAfter { replayed: usize },
    /// The request was executed.
    Done,
    /// The request failed or was refused.
    Failed(Problem),
}

impl Reply {
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// The status that a supervisor reports of itself and its VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The guest's name when it was started.
    pub guest: GuestName,
    /// UUID of the guest.
    pub uuid: Uuid,
    /// The guest's dataset.
    pub dataset: Dataset,
    /// Phase of the VM.
    pub phase: Phase,
    /// Process id of the supervisor.
    pub supervisor: u32,
    /// Process id of the hypervisor.
    pub machine: Option<u32>,
    /// Time at which a user started the guest, in seconds since 1970.
    pub started: u64,
    /// Time at which the current hypervisor process was started, in seconds since 1970.
    pub since: u64,
    /// Number of reboots since the start.
    pub reboots: u32,
    /// Number of crashes in a row, without a stable period in between.
    pub crashes: u32,
    /// Number of clients attached to the console.
    pub watching: usize,
    /// The hypervisor's command line.
    pub command: String,
}

/// The guest to act on, identified by more than its name.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// UUID of the guest.
    pub uuid: Uuid,
    /// Name of the guest, for messages.
    pub name: &'a GuestName,
    /// The guest's dataset.
    pub dataset: &'a Dataset,
}

/// Options of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Seconds to wait for the guest to power off; none: its own `stop_timeout`.
    pub timeout: Option<u32>,
    /// What happens if it has not powered off by then.
    pub force: Force,
}

/// Events while a guest is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopProgress {
    /// The supervisor was not running; a new one was started.
    TakenOver,
    /// A power-off was requested from the guest.
    Asked,
    /// The guest operating system has not enabled ACPI yet: the power button would power it off forcibly, so the request is
    /// postponed.
    NotYet,
    /// The VM is being powered off forcibly.
    Forced,
}

/// The result of a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// The guest was not running.
    WasNot,
    /// The guest is off and its processes have exited; the text is how it ended.
    Gone(String),
}

/// An open connection to a supervisor.
pub(crate) struct Call {
    pub(crate) stream: BufReader<UnixStream>,
}

impl Call {
    /// Connects and sends a request. None if no supervisor listens.
    pub(crate) fn make(rt: &Runtime, uuid: Uuid, request: &Request) -> Result<Option<Self>> {
        let path = rt.guest(uuid).control();
        let cant = |e: &dyn std::fmt::Display| Problem::failed("cannot connect to the guest's supervisor").on(path.display()).because(e);
        let mut stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(cant(&e).hint("run it as root"));
            }
            Err(e) => return Err(cant(&e)),
        };
        let mut line = serde_json::to_vec(request).map_err(|e| cant(&e))?;
        line.push(b'\n');
        stream.set_write_timeout(Some(ANSWER_WITHIN)).map_err(|e| cant(&e))?;
        match stream.write_all(&line) {
            Ok(()) => Ok(Some(Self { stream: BufReader::new(stream) })),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(None),
            Err(e) => Err(cant(&e)),
        }
    }

    /// Waits until there is something to read, or `until`. False if the user has interrupted the command; answers that arrived
    /// before are still delivered.
    fn is_heard(&self, interrupted: &AtomicBool, until: Instant) -> bool {
        let mut readable = !self.stream.buffer().is_empty();
        while !readable && Instant::now() < until {
            let leaves = interrupted.load(Ordering::SeqCst);
            let mut fds = [PollFd::new(self.stream.get_ref(), PollFlags::IN)];
            let wait = Timespec { tv_sec: 0, tv_nsec: if leaves { 0 } else { i64::from(HEED.subsec_nanos()) } };
            // A signal ends the wait early; the flag is then set.
            readable = rustix::event::poll(&mut fds, Some(&wait)).is_ok_and(|ready| ready > 0);
            if leaves && !readable {
                return false;
            }
        }
        true
    }

    /// The next answer, or none if the supervisor closed the connection.
    pub(crate) fn answer(&mut self, within: Duration) -> Result<Option<Reply>> {
        let cant = |e: &dyn std::fmt::Display| Problem::failed("the guest's supervisor does not answer").because(e);
        self.stream.get_ref().set_read_timeout(Some(within.max(LOOK))).map_err(|e| cant(&e))?;
        let mut line = String::new();
        match (&mut self.stream).take(REPLY_LIMIT).read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&line).map(Some).map_err(|e| cant(&e)),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Err(cant(&format!("no answer within {} seconds", within.as_secs()))),
            Err(e) => Err(cant(&e)),
        }
    }
}

/// Sends a request that has one answer.
fn ask(rt: &Runtime, uuid: Uuid, request: &Request) -> Result<Option<Reply>> {
    match Call::make(rt, uuid, request)? {
        Some(mut call) => call.answer(ANSWER_WITHIN),
        None => Ok(None),
    }
}

/// The status that a guest's supervisor reports, or none if there is no supervisor.
///
/// # Errors
/// The supervisor exists and does not answer.
pub fn status(rt: &Runtime, uuid: Uuid) -> Result<Option<Status>> {
    match ask(rt, uuid, &Request::Status)? {
        Some(Reply::Status(status)) => Ok(Some(*status)),
        Some(Reply::Failed(problem)) => Err(problem),
        None => Ok(None),
        Some(other) => Err(unexpected(&other)),
    }
}

/// Resets the guest's VM; it starts again with the current properties.
///
/// # Errors
/// The guest is not running.
pub fn reset(rt: &Runtime, target: Target<'_>) -> Result<()> {
    simple(rt, target, &Request::Reset)
}

/// Makes the guest's supervisor rewrite a damaged runtime record.
///
/// # Errors
/// The guest has no supervisor, or the supervisor cannot write the record.
pub fn write_record(rt: &Runtime, target: Target<'_>) -> Result<()> {
    simple(rt, target, &Request::Record)
}

/// Grows a disk of a running guest. The inner error is a refusal: nothing was changed.
///
/// # Errors
/// No answer arrived, so the outcome is unknown.
pub fn grow(rt: &Runtime, target: Target<'_>, path: &str, size: Size) -> Result<Result<()>> {
    let request = Request::Grow { path: path.to_owned(), size: size.get() };
    Ok(match ask(rt, target.uuid, &request)? {
        Some(Reply::Done) => Ok(()),
        Some(Reply::Failed(problem)) => Err(problem),
        Some(other) => return Err(unexpected(&other)),
        None => Err(Problem::not_now(format!("`{}` has no supervisor", target.name))
            .on(target.name)
            .hint(format!("type `chyves info {}` to see whether it runs", target.name))),
    })
}

/// A medium for an optical drive of a running guest, or none to eject.
#[derive(Debug, Clone, Copy)]
pub struct Disc<'a> {
    /// The drive's name in the hypervisor; none: the change applies from the next reboot on.
    pub drive: Option<&'a str>,
    /// Path of the medium; none leaves the drive empty.
    pub path: Option<&'a str>,
    /// Eject even if the guest has locked the drive.
    pub force: bool,
    /// The arguments that the supervisor passes to `_launch-spec` at the next reboot.
    pub again: &'a [String],
    /// The shared file systems that the guest uses from then on.
    pub borrows: &'a [Dataset],
}

/// Changes the medium in a drive.
///
/// # Errors
/// The guest has locked the drive, or is not running.
pub fn disc(rt: &Runtime, target: Target<'_>, disc: Disc<'_>) -> Result<()> {
    let request = Request::Disc {
        drive: disc.drive.map(str::to_owned),
        path: disc.path.map(str::to_owned),
        force: disc.force,
        again: disc.again.to_vec(),
        borrows: disc.borrows.to_vec(),
    };
    simple(rt, target, &request)
}

/// Makes the supervisor exit while the VM keeps running, so that another one, for example of a newer version, can take over.
///
/// # Errors
/// The guest is not running, or its state is changing.
pub fn release(rt: &Runtime, target: Target<'_>) -> Result<()> {
    simple(rt, target, &Request::Release)?;
    let dir = rt.guest(target.uuid);
    gone(CLEAN_WITHIN, || Ok(!dir.is_supervised()?))
        .and_then(|free| if free { Ok(()) } else { Err(Problem::failed(format!("the supervisor of `{}` does not exit", target.name))) })
}

fn simple(rt: &Runtime, target: Target<'_>, request: &Request) -> Result<()> {
    let reply = match rt.observe(target.uuid, target.dataset)?.state {
        GuestState::Stopped | GuestState::Crashed { .. } => None,
        GuestState::Starting | GuestState::Running | GuestState::Paused { .. } | GuestState::Stopping | GuestState::Orphaned => {
            ask(rt, target.uuid, request)?
        }
    };
    match reply {
        Some(Reply::Done) => Ok(()),
        Some(Reply::Failed(problem)) => Err(problem),
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::not_now(format!("`{}` has no supervisor", target.name))
            .on(target.name)
            .hint(format!("type `chyves info {}` to see whether it runs", target.name))),
    }
}

fn unexpected(reply: &Reply) -> Problem {
    Problem::failed("the guest's supervisor gave an answer that does not fit")
        .because(format!("{reply:?}"))
        .hint("is it of another version?")
}

/// Stops a guest: requests a power-off repeatedly until the timeout, and powers off forcibly only if `how` permits it. Returns
/// when the hypervisor and the supervisor have exited. A VM without a supervisor gets a new one first.
///
/// # Errors
/// The timeout has passed and the guest still runs; the supervisor cannot be reached; or the user `interrupted` the command,
/// which withdraws the request.
pub fn stop(
    rt: &Runtime,
    target: Target<'_>,
    how: How,
    spawner: &Spawner,
    interrupted: &AtomicBool,
    on: &mut dyn FnMut(StopProgress),
) -> Result<Stopped> {
    // A supervisor may die while we wait for it. The orphaned VM is then taken over, but not endlessly.
    for _ in 0..3 {
        let seen = rt.observe(target.uuid, target.dataset)?;
        match seen.state {
            GuestState::Stopped | GuestState::Crashed { .. } => return Ok(Stopped::WasNot),
            // The damaged record has nothing to start a supervisor with, nor the monitor's address.
            GuestState::Orphaned if seen.damaged.is_some() && how.force != Force::Never => {
                on(StopProgress::Forced);
                return kill(rt, target).map(Stopped::Gone);
            }
            GuestState::Orphaned => {
                supervise::adopt(rt, target.uuid, target.dataset, spawner, how.force != Force::Never, &mut |_| {})?;
                on(StopProgress::TakenOver);
            }
            GuestState::Starting | GuestState::Running | GuestState::Paused { .. } | GuestState::Stopping => {}
        }
        let own = seen.record.map_or(0, |r| r.launch.policy.stop_timeout);
        if let Some(words) = stop_supervised(rt, target, how, own, interrupted, on)? {
            return Ok(Stopped::Gone(words));
        }
    }
    Err(Problem::failed(format!("each supervisor of `{}` dies", target.name))
        .on(target.name)
        .hint(format!("type `chyves info {}` to see what is left", target.name)))
}

/// Kills a hypervisor that only its lock identifies: the supervisor is gone, and the record is damaged.
fn kill(rt: &Runtime, target: Target<'_>) -> Result<String> {
    let (name, dir) = (target.name, rt.guest(target.uuid));
    let failed = |why: String| Problem::failed(format!("cannot kill the hypervisor of `{name}`")).on(name).because(why);
    let lock = dir.machine_lock();
    let Some(process) = dir.machine_process()? else {
        let hint = format!("end the process that holds `{}`: `fuser {0}` shows it", lock.display());
        return Err(failed("its record is damaged, and its lock names no process".to_owned()).hint(hint));
    };
    process.signal(rustix::process::Signal::KILL)?;
    // Its folder may be damaged in any way: the process table shows the end.
    if !gone(CLEAN_WITHIN, || Ok(!process.is_alive()? && !dir.machine_lives()?))? {
        return Err(failed(format!("process {} does not end", process.pid)));
    }
    Ok(format!("killed (process {}); its record was damaged, so `chyves reclaim {name}` removes what it left", process.pid))
}

/// Stops a guest through its supervisor; none if the supervisor exited without an answer.
fn stop_supervised(
    rt: &Runtime,
    target: Target<'_>,
    how: How,
    own: u32,
    interrupted: &AtomicBool,
    on: &mut dyn FnMut(StopProgress),
) -> Result<Option<String>> {
    let dir = rt.guest(target.uuid);
    let all_gone = || Ok(!dir.is_supervised()? && !dir.machine_lives()?);
    let request = Request::Stop { timeout: how.timeout, force: how.force };
    let Some(mut call) = Call::make(rt, target.uuid, &request)? else {
        // The supervisor may be exiting, or may not listen yet.
        return Ok(gone(Duration::from_secs(2), all_gone)?.then(|| "it ended by itself".to_owned()));
    };
    let patience = Duration::from_secs(u64::from(how.timeout.unwrap_or(own)));
    let deadline = Instant::now() + patience + Duration::from_millis(PULL_GRACE + KILL_GRACE) + CLEAN_WITHIN;
    let mut asked = false;
    loop {
        if !call.is_heard(interrupted, deadline) {
            // Closing the connection withdraws the request.
            let heard = if asked { "it was asked before, and may still power off" } else { "this command had not requested a power-off" };
            return Err(Problem::new(
                Kind::Interrupted,
                format!("`{}` was left as it is: no command waits for it to power off", target.name),
            )
            .on(target.name)
            .because(heard)
            .hint(format!("`chyves stop {}` repeats the request", target.name)));
        }
        match call.answer(deadline.saturating_duration_since(Instant::now()))? {
            Some(Reply::Asked) => {
                asked = true;
                on(StopProgress::Asked);
            }
            Some(Reply::NotYet) => on(StopProgress::NotYet),
            Some(Reply::Forced) => on(StopProgress::Forced),
            Some(Reply::Failed(problem)) => return Err(problem),
            Some(Reply::Gone(words)) => {
                if gone(CLEAN_WITHIN, all_gone)? {
                    return Ok(Some(words));
                }
                return Err(Problem::failed(format!("something of `{}` is still there", target.name))
                    .on(target.name)
                    .because(format!("a process holds a lock in `{}`", dir.path().display())));
            }
            Some(other @ (Reply::Status(_) | Reply::Attached | Reply::AttachedAfter { .. } | Reply::Done)) => {
                return Err(unexpected(&other));
            }
            None => {
                return Ok(gone(Duration::from_secs(2), all_gone)?.then(|| "it ended by itself".to_owned()));
            }
        }
    }
}

/// Polls until the condition holds; false if the time runs out first.
fn gone(within: Duration, mut is: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + within;
    while !is()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}
