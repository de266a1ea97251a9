//! Talking to a guest's supervisor: what may be asked on its socket, and the asking.
//!
//! One request a connection, as a line of JSON; answers are lines of JSON, except at the console, where bytes follow.
//! Not here: doing what is asked (`supervise`) and the person's side of the console (`console`).

use crate::runtime::{GuestState, Phase, Runtime, life, lock};
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

/// No request is longer.
pub(crate) const REQUEST_LIMIT: usize = 4096;
/// No answer is longer.
const REPLY_LIMIT: u64 = 1 << 20;
/// A living supervisor answers within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// For the commands after a machine's end, and for the supervisor to leave.
const CLEAN_WITHIN: Duration = Duration::from_secs(180);
/// How often is looked whether it is gone.
const LOOK: Duration = Duration::from_millis(5);
/// How often is looked whether the person still waits; a signal may have met another thread.
const HEED: Duration = Duration::from_millis(200);

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// How it is.
    Status,
    /// That it be off. Without a time, the guest's own.
    Stop { timeout: Option<u32>, force: Force },
    /// To use the console.
    Console {
        read_only: bool,
        /// Whether the last of the log comes first. Where it is said, the answer says how much of it.
        #[serde(default)]
        replay: Option<bool>,
    },
    /// That its record be written again, whatever is there.
    Record,
    /// That its reset line be pulled.
    Reset,
    /// That a disk, by its path, be so many bytes large from now on.
    Grow { path: String, size: u64 },
    /// That another disc, or none, lie in a drive; without one from the next reboot on.
    Disc { drive: Option<String>, path: Option<String>, force: bool, again: Vec<String>, borrows: Vec<Dataset> },
    /// That the supervisor leaves and the machine lives on.
    Release,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// How it is.
    Status(Box<Status>),
    /// Its power button was pressed.
    Asked,
    /// Its power button can't be pressed yet.
    NotYet,
    /// It is being ended by force.
    Forced,
    /// It is off; in words.
    Gone(String),
    /// From here on the console's bytes follow.
    Attached,
    /// The same, where the first so many bytes are the log's.
    AttachedAfter { replayed: usize },
    /// Done.
    Done,
    /// Not done.
    Failed(Problem),
}

impl Reply {
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// What a supervisor says of itself and its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The guest's name when it was started.
    pub guest: GuestName,
    /// Its identity.
    pub uuid: Uuid,
    /// Where it lives.
    pub dataset: Dataset,
    /// Where it is in its life.
    pub phase: Phase,
    /// The supervisor's process.
    pub supervisor: u32,
    /// The hypervisor's process.
    pub machine: Option<u32>,
    /// When somebody started it, seconds since 1970.
    pub started: u64,
    /// When the present hypervisor was started, seconds since 1970.
    pub since: u64,
    /// How often it was started again after its own reboot.
    pub reboots: u32,
    /// Crashes without a steady life between.
    pub crashes: u32,
    /// How many use its console.
    pub watching: usize,
    /// The hypervisor's command line.
    pub command: String,
}

/// The guest that is meant: a name alone is never enough.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name, for messages.
    pub name: &'a GuestName,
    /// Where it lives.
    pub dataset: &'a Dataset,
}

/// How it is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Seconds to wait for it to obey; none means its own `stop_timeout`.
    pub timeout: Option<u32>,
    /// What is done if it does not.
    pub force: Force,
}

/// What happens while a guest is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopProgress {
    /// Its supervisor was not running; a new one was started.
    TakenOver,
    /// Its power button was pressed.
    Asked,
    /// Its system has not switched ACPI on yet: pressing the button would power it off forcibly, so that is put off.
    NotYet,
    /// It is being ended by force.
    Forced,
}

/// How a stop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It was not running: nothing to do.
    WasNot,
    /// It is off; in words. Its processes are seen gone.
    Gone(String),
}

/// A conversation with a supervisor.
pub(crate) struct Call {
    pub(crate) stream: BufReader<UnixStream>,
}

impl Call {
    /// Asks. None if nobody listens there.
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

    /// Waits until there is something to read, or that time has come. False when the person does not wait any longer; what
    /// came before that is heard.
    fn is_heard(&self, interrupted: &AtomicBool, until: Instant) -> bool {
        let mut readable = !self.stream.buffer().is_empty();
        while !readable && Instant::now() < until {
            let leaves = interrupted.load(Ordering::SeqCst);
            let mut fds = [PollFd::new(self.stream.get_ref(), PollFlags::IN)];
            let wait = Timespec { tv_sec: 0, tv_nsec: if leaves { 0 } else { i64::from(HEED.subsec_nanos()) } };
            // A signal ends it early; then the flag says which.
            readable = rustix::event::poll(&mut fds, Some(&wait)).is_ok_and(|ready| ready > 0);
            if leaves && !readable {
                return false;
            }
        }
        true
    }

    /// The next answer, or none when the supervisor has hung up.
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

/// A request with one answer.
fn ask(rt: &Runtime, uuid: Uuid, request: &Request) -> Result<Option<Reply>> {
    match Call::make(rt, uuid, request)? {
        Some(mut call) => call.answer(ANSWER_WITHIN),
        None => Ok(None),
    }
}

/// What a guest's supervisor says of it, or none where there is no supervisor.
///
/// # Errors
/// There is one and it does not answer.
pub fn status(rt: &Runtime, uuid: Uuid) -> Result<Option<Status>> {
    match ask(rt, uuid, &Request::Status)? {
        Some(Reply::Status(status)) => Ok(Some(*status)),
        Some(Reply::Failed(problem)) => Err(problem),
        None => Ok(None),
        Some(other) => Err(unexpected(&other)),
    }
}

/// Pulls the guest's reset line; it starts again with its properties as they are now.
///
/// # Errors
/// It is not running.
pub fn reset(rt: &Runtime, target: Target<'_>) -> Result<()> {
    simple(rt, target, &Request::Reset)
}

/// Has the guest's supervisor write its record again, where that is damaged.
///
/// # Errors
/// It has no supervisor, or that cannot write it.
pub fn write_record(rt: &Runtime, target: Target<'_>) -> Result<()> {
    simple(rt, target, &Request::Record)
}

/// Makes a disk of a running guest larger. The inner problem is a refusal: nothing was done.
///
/// # Errors
/// No answer came, so nobody knows.
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

/// Another disc, or none, in a drive of a running guest.
#[derive(Debug, Clone, Copy)]
pub struct Disc<'a> {
    /// The drive as the hypervisor knows it; none changes it from the next reboot on.
    pub drive: Option<&'a str>,
    /// The disc's file; none leaves the drive empty.
    pub path: Option<&'a str>,
    /// Whether the guest is not asked.
    pub force: bool,
    /// What the supervisor hands back from then on.
    pub again: &'a [String],
    /// The file systems that the guest uses from then on.
    pub borrows: &'a [Dataset],
}

/// Changes the disc in a drive.
///
/// # Errors
/// The guest holds it, or is not running.
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

/// Lets the supervisor leave while the machine lives on, so that another (a newer chyves, say) can take over.
///
/// # Errors
/// It is not running, or is just changing.
pub fn release(rt: &Runtime, target: Target<'_>) -> Result<()> {
    simple(rt, target, &Request::Release)?;
    let dir = rt.guest(target.uuid);
    gone(CLEAN_WITHIN, || Ok(!lock::is_held(&dir.supervisor_lock())?))
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

/// Stops a guest: asks it to power off, repeatedly, for as long as it may take; forces it only when told. Returns when
/// its machine and its supervisor are seen gone. A machine without supervisor is taken over first.
///
/// # Errors
/// The time is over and it still runs: not now. Or it can't be reached. Or the person was `interrupted`: the request is withdrawn.
pub fn stop(
    rt: &Runtime,
    target: Target<'_>,
    how: How,
    spawner: &Spawner,
    interrupted: &AtomicBool,
    on: &mut dyn FnMut(StopProgress),
) -> Result<Stopped> {
    // A supervisor may die while it is waited for; then there is an orphan to go on with, but not for ever.
    for _ in 0..3 {
        let seen = rt.observe(target.uuid, target.dataset)?;
        match seen.state {
            GuestState::Stopped | GuestState::Crashed { .. } => return Ok(Stopped::WasNot),
            // There is nothing to start a supervisor with, and no monitor that could be asked.
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

/// Kills a hypervisor of which only the lock tells: its supervisor is gone, and its record is damaged.
fn kill(rt: &Runtime, target: Target<'_>) -> Result<String> {
    let (name, dir) = (target.name, rt.guest(target.uuid));
    let failed = |why: String| Problem::failed(format!("cannot kill the hypervisor of `{name}`")).on(name).because(why);
    let lock = dir.machine_lock();
    let Some(process) = life::named(&lock)? else {
        let hint = format!("end the process that holds `{}`: `fuser {0}` shows it", lock.display());
        return Err(failed("its record is damaged, and its lock names no process".to_owned()).hint(hint));
    };
    process.signal(rustix::process::Signal::KILL)?;
    if !gone(CLEAN_WITHIN, || Ok(!dir.machine_lives()?))? {
        return Err(failed(format!("process {} does not end", process.pid)));
    }
    Ok(format!("killed (process {}); its record was damaged, so `chyves reclaim {name}` removes what it left", process.pid))
}

/// None if its supervisor went away without a word.
fn stop_supervised(
    rt: &Runtime,
    target: Target<'_>,
    how: How,
    own: u32,
    interrupted: &AtomicBool,
    on: &mut dyn FnMut(StopProgress),
) -> Result<Option<String>> {
    let dir = rt.guest(target.uuid);
    let all_gone = || Ok(!lock::is_held(&dir.supervisor_lock())? && !dir.machine_lives()?);
    let request = Request::Stop { timeout: how.timeout, force: how.force };
    let Some(mut call) = Call::make(rt, target.uuid, &request)? else {
        // It may just be leaving, or not be at its door yet.
        return Ok(gone(Duration::from_secs(2), all_gone)?.then(|| "it ended by itself".to_owned()));
    };
    let patience = Duration::from_secs(u64::from(how.timeout.unwrap_or(own)));
    let deadline = Instant::now() + patience + Duration::from_millis(PULL_GRACE + KILL_GRACE) + CLEAN_WITHIN;
    let mut asked = false;
    loop {
        if !call.is_heard(interrupted, deadline) {
            // Hanging up is what withdraws the request.
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

/// Whether it comes to be within that time.
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
