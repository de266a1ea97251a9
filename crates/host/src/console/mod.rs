//! The client side of a guest's console: the terminal is in raw mode while attached, and restored on every way out.
//!
//! The supervisor owns the first serial port and keeps the connection across reboots of the guest; here bytes only pass
//! through. [`port`] connects to the other ports; [`marks`] separates the replayed log from live output.

mod marks;
pub mod port;

use crate::control::{Call, Reply, Request, Target};
use crate::runtime::{GuestState, Runtime};
use chyves_core::error::{Problem, Result};
use marks::Marks;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, QueueSelector, Termios, isatty, tcflush, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Ctrl-]: detaches from the console.
const ESCAPE: u8 = 0x1d;
/// After the last input, a guest that has been silent for this long counts as having answered.
const QUIET: Duration = Duration::from_secs(1);
/// Delay before reconnecting after the supervisor disconnected a client that read too slowly. The replayed log then shows the
/// missed output.
const AGAIN: Duration = Duration::from_millis(50);
/// After this many disconnections in a row the command gives up.
const CUT_OFF_LIMIT: u32 = 200;
/// Time limit for the supervisor's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Options of a console session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Input is not passed to the guest.
    pub read_only: bool,
    /// The end of the log is not replayed.
    pub no_replay: bool,
}

/// Why a console session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The user typed the escape character.
    Escape,
    /// The VM ended; the text is how, if known.
    Ended(Option<String>),
    /// The VM runs, but its supervisor is gone.
    Orphaned,
    /// Standard input ended and the guest has been silent since.
    InputOver,
    /// The reader of our output has gone, or a signal arrived.
    Interrupted,
}

/// Attaches to the console: input goes to the guest and the guest's output to standard output, until the user detaches or the
/// VM ends.
///
/// # Errors
/// The guest is not running, or its supervisor cannot be reached.
pub fn attach(rt: &Runtime, target: Target<'_>, options: Options) -> Result<Left> {
    let stdin = std::io::stdin();
    let interactive = isatty(&stdin);
    let mut signals = Signals::new().map_err(|e| Problem::failed("cannot handle signals").because(e))?;
    let mut announced = false;
    let mut cut_off = 0;
    loop {
        // A client that was disconnected missed output; replaying the log shows it.
        let replay = announced || !options.no_replay;
        let (stream, early, replayed) = connect(rt, target, options, replay)?;
        // Raw mode is set before the first output is shown: an answer to it must reach the guest unchanged.
        let raw = if interactive {
            Some(Raw::enter(stdin.as_fd()).map_err(|e| Problem::failed("cannot switch this terminal to raw mode").because(e))?)
        } else {
            None
        };
        if !std::mem::replace(&mut announced, true) && interactive {
            announce(options, &format!("the console of {}", target.name));
        }
        let since = Instant::now();
        let mut sitting = Sitting::new(stream, interactive, options);
        sitting.marks = Marks::begin(replayed, interactive || isatty(std::io::stderr()));
        let way = match sitting.marks.show(&early) {
            Ok(()) => sitting.sit(&mut signals),
            Err(_) => Some(Left::Interrupted),
        };
        drop(raw);
        match way {
            Some(left) => return Ok(left),
            // The VM ended, or one side read too slowly and was disconnected.
            None => match after_end(rt, target)? {
                Some(left) => return Ok(left),
                None if since.elapsed() > QUIET => cut_off = 0,
                None if cut_off == CUT_OFF_LIMIT => {
                    let why = format!("the console of `{}` closes repeatedly", target.name);
                    return Err(Problem::failed(why).on(target.name));
                }
                None => {
                    cut_off += 1;
                    std::thread::sleep(AGAIN);
                }
            },
        }
    }
}

fn announce(options: Options, place: &str) {
    let what = if options.read_only { "Watching" } else { "At" };
    eprint!("{what} {place}; leave with Ctrl-].\r\n");
}

/// What the end of a connection means; none if reconnecting makes sense.
fn after_end(rt: &Runtime, target: Target<'_>) -> Result<Option<Left>> {
    // A supervisor closes its connections shortly before it exits.
    let deadline = Instant::now() + ANSWER_WITHIN;
    loop {
        let seen = rt.observe(target.uuid, target.dataset)?;
        match seen.state {
            GuestState::Stopped => return Ok(Some(Left::Ended(None))),
            GuestState::Crashed { reason } => return Ok(Some(Left::Ended(Some(reason)))),
            GuestState::Orphaned => return Ok(Some(Left::Orphaned)),
            GuestState::Starting | GuestState::Running | GuestState::Paused { .. } => return Ok(None),
            GuestState::Stopping if Instant::now() >= deadline => return Ok(None),
            GuestState::Stopping => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The connection, the bytes that arrived together with the answer, and how many bytes belong to the replayed log.
fn connect(rt: &Runtime, target: Target<'_>, options: Options, replay: bool) -> Result<(UnixStream, Vec<u8>, usize)> {
    let state = rt.observe(target.uuid, target.dataset)?.state;
    let not_now = |why: &str, hint: String| Err(Problem::not_now(format!("`{}` {why}", target.name)).on(target.name).hint(hint));
    match state {
        GuestState::Stopped | GuestState::Crashed { .. } => {
            return not_now("is not running", format!("type `chyves start {}` first", target.name));
        }
        GuestState::Orphaned => {
            return not_now(
                "is running without its supervisor, which serves its console",
                format!("type `chyves start {}` to give it a new one", target.name),
            );
        }
        GuestState::Starting | GuestState::Running | GuestState::Paused { .. } | GuestState::Stopping => {}
    }
    let request = Request::Console { read_only: options.read_only, replay: Some(replay) };
    let Some(mut call) = Call::make(rt, target.uuid, &request)? else {
        return not_now("is starting or stopping", "try again in a moment".to_owned());
    };
    match call.answer(ANSWER_WITHIN)? {
        // A supervisor of an older version does not report the length of the replayed log.
        Some(reply @ (Reply::Attached | Reply::AttachedAfter { .. })) => {
            let replayed = if let Reply::AttachedAfter { replayed } = reply { replayed } else { 0 };
            let early = call.stream.buffer().to_vec();
            let stream = call.stream.into_inner();
            stream.set_read_timeout(None).map_err(|e| Problem::failed("cannot read from the console").because(e))?;
            Ok((stream, early, replayed))
        }
        Some(Reply::Failed(problem)) => Err(problem),
        Some(_) => Err(Problem::failed("the guest's supervisor gave an answer that does not fit").hint("is it of another version?")),
        None => not_now("is stopping", "try again in a moment".to_owned()),
    }
}

/// One connection to the console.
struct Sitting {
    stream: File,
    interactive: bool,
    options: Options,
    /// Standard input has not ended.
    input: bool,
    /// Time of the last byte in either direction.
    quiet: Instant,
    marks: Marks,
}

impl Sitting {
    fn new(stream: impl Into<OwnedFd>, interactive: bool, options: Options) -> Self {
        let input = interactive || !options.read_only;
        Self { stream: File::from(stream.into()), interactive, options, input, quiet: Instant::now(), marks: Marks::begin(0, false) }
    }

    /// Passes bytes until the session ends; none if the supervisor closed the connection.
    fn sit(&mut self, signals: &mut Signals) -> Option<Left> {
        let stdin = std::io::stdin();
        let mut buffer = [0; 4096];
        loop {
            let left = (!self.input && !self.options.read_only).then(|| QUIET.saturating_sub(self.quiet.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Some(Left::InputOver);
            }
            let mut fds = vec![PollFd::from_borrowed_fd(signals.fd(), PollFlags::IN), PollFd::new(&self.stream, PollFlags::IN)];
            if self.input {
                fds.push(PollFd::new(&stdin, PollFlags::IN));
            }
            let timeout = left.and_then(|d| Timespec::try_from(d).ok());
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Some(Left::Interrupted),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[0] && signals.came() {
                return Some(Left::Interrupted);
            }
            if ready[1] {
                match self.stream.read(&mut buffer) {
                    Ok(0) => return None,
                    Ok(n) => {
                        self.quiet = Instant::now();
                        if self.marks.show(&buffer[..n]).is_err() {
                            return Some(Left::Interrupted);
                        }
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return None,
                }
            }
            if ready.get(2) == Some(&true) {
                // Not through std's buffer, which could hold back bytes that `poll` does not report.
                match rustix::io::read(&stdin, &mut buffer) {
                    Ok(0) => self.input = false,
                    Ok(n) => match self.pass(&buffer[..n]) {
                        Ok(None) => {}
                        Ok(Some(left)) => return Some(left),
                        Err(_) => return None,
                    },
                    Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                    Err(_) => self.input = false,
                }
                self.quiet = Instant::now();
            }
        }
    }

    /// Passes input to the guest, up to the escape character.
    fn pass(&mut self, bytes: &[u8]) -> std::io::Result<Option<Left>> {
        let escape = if self.interactive { bytes.iter().position(|&b| b == ESCAPE) } else { None };
        let typed = &bytes[..escape.unwrap_or(bytes.len())];
        if !self.options.read_only {
            self.write(typed)?;
        }
        Ok(escape.map(|_| Left::Escape))
    }

    /// While the guest accepts no input, its output is still shown; otherwise both sides could wait for each other.
    fn write(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        rustix::io::ioctl_fionbio(&self.stream, true)?;
        let mut buffer = [0; 4096];
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    let _ = poll(&mut [PollFd::new(&self.stream, PollFlags::IN | PollFlags::OUT)], None);
                    match self.stream.read(&mut buffer) {
                        Ok(0) => return Err(std::io::ErrorKind::BrokenPipe.into()),
                        Ok(n) => self.marks.show(&buffer[..n])?,
                        Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
                        Err(e) => return Err(e),
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(rustix::io::ioctl_fionbio(&self.stream, false)?)
    }
}

/// The modes of the terminal before it was set to raw. In a release build a panic aborts without running destructors, so the
/// panic hook restores from here.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Sets the terminal to raw mode for as long as this value lives.
struct Raw;

impl Raw {
    fn enter(terminal: BorrowedFd<'_>) -> std::io::Result<Self> {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                next(info);
            }));
        });
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(before);
        // Input typed ahead is meant for the guest, so it is not discarded.
        tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
        eprintln!();
    }
}

fn restore() {
    // If the mutex is locked by the panicking thread, waiting would never end.
    if let Ok(mut before) = BEFORE.try_lock()
        && let Some(modes) = before.take()
    {
        // Does not wait for a terminal that may be blocked; input typed for the guest must not reach the shell.
        let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &modes);
    }
}

/// The signals that end a session, as a descriptor to poll, so that the terminal is restored first.
struct Signals {
    pipe: UnixStream,
    ids: Vec<signal_hook::SigId>,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let (pipe, writer) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let mut signals = Self { pipe, ids: Vec::new() };
        for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
            signals.ids.push(signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?);
        }
        Ok(signals)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    fn came(&mut self) -> bool {
        matches!(self.pipe.read(&mut [0; 64]), Ok(n) if n > 0)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
