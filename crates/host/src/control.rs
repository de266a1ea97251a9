//! The protocol of a guest's supervisor: the requests that its socket accepts, and the client that sends them.
//!
//! One request per connection, as a line of JSON. Answers are lines of JSON, except at the console, where raw bytes follow. Not
//! here: executing a request (`supervise`), stopping a guest through it (`supervise::stop`), and the client side of the console (`console`).

use crate::runtime::{GuestDir, GuestState, Phase, Runtime};
use chyves_core::error::{Problem, Result};
use chyves_core::lifecycle::Force;
use chyves_core::value::json;
use chyves_core::value::{Dataset, GuestName, Size};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;
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
pub(crate) const CLEAN_WITHIN: Duration = Duration::from_secs(180);
/// Interval for checking whether a process has exited.
const LOOK: Duration = Duration::from_millis(5);
/// Interval for checking whether the user has interrupted the command; the signal may have been delivered to another thread.
const HEED: Duration = Duration::from_millis(200);

/// A request to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case")]
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

chyves_core::value::json::tagged!(Request, "ask");

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

/// An open connection to a supervisor.
pub(crate) struct Call {
    pub(crate) stream: BufReader<UnixStream>,
}

impl Call {
    /// Connects and sends a request. None if no supervisor listens.
    pub(crate) fn make(rt: &Runtime, uuid: Uuid, request: &Request) -> Result<Option<Self>> {
        let path = rt.guest(uuid).control();
        let cant = |e: &dyn std::fmt::Display| Problem::failed("cannot connect to the guest's supervisor").on(path.display()).because(e);
        let is_absent = |e: &std::io::Error| matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused);
        let mut stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(e) if is_absent(&e) => {
                if !recall(&rt.guest(uuid))? {
                    return Ok(None);
                }
                UnixStream::connect(&path).map_err(|e| cant(&e))?
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
    pub(crate) fn is_heard(&self, interrupted: &AtomicBool, until: Instant) -> bool {
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
            Ok(_) => json::from_str(&line).map(Some).map_err(|e| cant(&e)),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Err(cant(&format!("no answer within {} seconds", within.as_secs()))),
            Err(e) => Err(cant(&e)),
        }
    }
}

/// Makes a supervisor that lives without its socket create it again, with everything else that it has lost in the runtime folder.
/// False if none lives.
fn recall(dir: &GuestDir) -> Result<bool> {
    let Some(process) = dir.supervisor_process()? else { return Ok(false) };
    // One of an older version has no handler, and would be ended.
    if process.handles(Signal::USR1) != Some(true) || !process.signal(Signal::USR1)? {
        return Ok(false);
    }
    let back = gone(ANSWER_WITHIN, || Ok(dir.listens() || !process.is_alive()?))?;
    Ok(back && dir.listens())
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

pub(crate) fn unexpected(reply: &Reply) -> Problem {
    Problem::failed("the guest's supervisor gave an answer that does not fit")
        .because(format!("{reply:?}"))
        .hint("is it of another version?")
}

/// Polls until the condition holds; false if the time runs out first.
pub(crate) fn gone(within: Duration, mut is: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + within;
    while !is()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}
