//! ZFS streams through this process: from `zfs send` to standard output, from standard input to `zfs receive`, counted on the
//! way and stopped when the user interrupts.
//!
//! Not here: what is sent, and whether the received stream is a guest (`apply`).

use crate::fault;
use crate::run::wait::Patience;
use crate::runtime::Lock;
use crate::{child, detached_stream, interrupt, run, trace};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::zfs::stream::{self as streams, Header, Reading, read};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes moved at once: the capacity of a pipe.
const CHUNK: usize = 1 << 16;
/// Interval of progress reports.
const TELL: Duration = Duration::from_millis(250);
/// Longest wait for a silent peer before the interrupt flag is checked again.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Size limit of a program's standard error, in bytes; the rest is discarded.
const COMPLAINT: u64 = 1 << 16;

/// Progress of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Bytes so far.
    pub done: u64,
    /// Total bytes, if known.
    pub total: Option<u64>,
    /// Time since the start.
    pub elapsed: Duration,
    /// Whether the stream has ended.
    pub ended: bool,
}

/// Bytes read from standard input ahead of the program that will consume them. Static because there is one standard input.
static AHEAD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Locks for the program that consumes the stream. If this process is killed, that program continues for a moment with what it
/// has received, and until it exits no other process may change or repair its target.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Passes these locks to the program that [`take`] will run, until that program exits.
///
/// # Errors
/// No more descriptors are available.
pub fn hold(locks: &[Lock]) -> Result<()> {
    let files = locks.iter().map(|lock| own(lock.file().as_fd())).collect::<Result<Vec<_>>>()?;
    HELD.lock().map_err(|_| Problem::bug("locks are already being handed on"))?.extend(files);
    Ok(())
}

/// Reads the header of the stream on standard input; the bytes are kept for [`take`].
///
/// # Errors
/// Standard input ends too early, or contains something else.
pub fn header() -> Result<Header> {
    let mut ahead = AHEAD.lock().map_err(|_| Problem::bug("standard input is already being read"))?;
    let mut input = own(std::io::stdin().as_fd())?;
    loop {
        match read(&ahead)? {
            Reading::Done(header) => return Ok(header),
            Reading::Needs(n) => {
                let missing = n - ahead.len();
                interrupt::until_readable(input.as_fd())?;
                let before = ahead.len();
                ahead.resize(n, 0);
                let got = input.read(&mut ahead[before..]);
                ahead.truncate(before + got.as_ref().map_or(0, |n| *n));
                let got = match got {
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    other => other.map_err(|e| Problem::failed("cannot read standard input").because(e))?,
                };
                if got == 0 && missing > 0 {
                    return Err(Problem::usage("the stream ends before it has begun")
                        .because(format!("{} bytes arrived on standard input", ahead.len()))
                        .hint("did the sending program fail?"));
                }
            }
        }
    }
}

fn own(fd: BorrowedFd<'_>) -> Result<File> {
    Ok(File::from(fd.try_clone_to_owned().map_err(|e| Problem::failed("cannot use an open file").because(e))?))
}

fn start(cmd: &Cmd, stdin: Stdio, stdout: Stdio) -> Result<Child> {
    let program = run::find_program(&cmd.program).ok_or_else(|| run::missing(&cmd.program))?;
    trace::started(cmd);
    child::command(program)
        .args(&cmd.args)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Problem::host_cant(format!("cannot start `{}`", cmd.program)).on(&cmd.program).because(e))
}

/// Why moving bytes ended, other than by an error of this process.
enum End {
    /// The source ended.
    Source,
    /// The sink accepts no more.
    Sink,
}

/// The two ends between which bytes are moved; an end without a descriptor is always ready.
struct Ends<'a> {
    source: &'a mut dyn Read,
    from: Option<BorrowedFd<'a>>,
    sink: &'a mut File,
    outside: Outside,
}

/// The end that is not a child of ours; it may be silent indefinitely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outside {
    Source,
    Sink,
}

/// Moves all bytes. Waits on either end only briefly at a time: the user may interrupt, and the child may hang.
fn pump(ends: Ends<'_>, patience: &mut Option<&mut Patience>, interrupted: &AtomicBool, flow: &mut dyn FnMut(u64)) -> Result<End> {
    let Ends { source, from, sink, outside } = ends;
    let mut until = |fd: BorrowedFd<'_>, end: Outside| loop {
        if interrupted.load(Ordering::SeqCst) {
            return Err(Problem::interrupted());
        }
        let flags = if end == Outside::Source { PollFlags::IN } else { PollFlags::OUT };
        let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
        match poll(&mut fds, Some(&GLANCE)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(Problem::failed("cannot wait for a stream").because(e)),
        }
        match patience {
            Some(patience) if end != outside => patience.check()?,
            Some(patience) => patience.goes_on(),
            None => {}
        }
    };
    let mut buffer = vec![0u8; CHUNK];
    loop {
        if let Some(fd) = from {
            until(fd, Outside::Source)?;
        }
        let n = match source.read(&mut buffer) {
            Ok(0) => return Ok(End::Source),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(Problem::failed("cannot read a stream").because(e)),
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            until(sink.as_fd(), Outside::Sink)?;
            match sink.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(End::Sink),
                Err(e) => return Err(Problem::failed("cannot write a stream").because(e)),
            }
        }
        flow(n as u64);
        fault::flowing();
    }
}

/// Runs `work` while the child's standard error is collected. With `kill`, a failure of `work` kills the child. Returns the
/// child's exit status and standard error, and the result of `work`.
fn beside<T>(
    cmd: &Cmd,
    child: &mut Child,
    kill: bool,
    work: impl FnOnce(&mut Child, &mut Patience) -> Result<T>,
) -> Result<(run::Output, Result<T>)> {
    let mut patience = Patience::with(cmd, child, true);
    let complaint = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut from) = complaint {
            let _ = (&mut from).take(COMPLAINT).read_to_end(&mut text);
            // The rest is discarded, so that the child does not block.
            let _ = std::io::copy(&mut from, &mut std::io::sink());
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    let result = work(child, &mut patience);
    if kill && result.is_err() {
        let _ = child.kill();
    }
    patience.goes_on();
    let status = patience.end(child)?;
    let stderr = reader.join().unwrap_or_default();
    Ok((run::Output { status: status.code(), stdout: String::new(), stderr }, result))
}

/// Reports progress, rate-limited, and the end.
fn teller(total: Option<u64>, tell: &mut dyn FnMut(Flow)) -> impl FnMut(Option<u64>) + '_ {
    let began = Instant::now();
    let (mut done, mut told) = (0u64, began);
    move |n| {
        done += n.unwrap_or(0);
        let now = Instant::now();
        if n.is_none() || now.duration_since(told) >= TELL {
            told = now;
            tell(Flow { done, total, elapsed: now.duration_since(began), ended: n.is_none() });
        }
    }
}

/// A part of a stream.
#[derive(Debug)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The output of this program.
    Of(Cmd),
}

/// Writes the parts of a stream to standard output, one after the other. With `patient`, a program always runs to its end, even
/// if nobody reads any more (see [`detached_stream`]).
///
/// # Errors
/// A program fails, or the reader has gone.
pub fn give(parts: &[Part], total: Option<u64>, patient: bool, interrupted: &AtomicBool, tell: &mut dyn FnMut(Flow)) -> Result<()> {
    if crate::standard::output_was_closed() {
        return Err(Problem::usage("cannot send a stream: standard output is closed").hint("redirect it: `chyves send GUEST >FILE`"));
    }
    let out = std::io::stdout();
    let mut sink = own(out.as_fd())?;
    let mut tell = teller(total, tell);
    let mut give = |part: &Part| match part {
        Part::Bytes(bytes) => {
            let ends = Ends { source: &mut bytes.as_slice(), from: None, sink: &mut sink, outside: Outside::Sink };
            match pump(ends, &mut None, interrupted, &mut |n| tell(Some(n)))? {
                End::Source => Ok(()),
                End::Sink => Err(unread()),
            }
        }
        Part::Of(cmd) => give_one(cmd, &mut sink, patient, interrupted, &mut |n| tell(Some(n))),
    };
    let result = parts.iter().try_for_each(&mut give);
    tell(None);
    result
}

fn unread() -> Problem {
    Problem::failed("the reader of the stream ended first").because("standard output was closed")
}

fn give_one(cmd: &Cmd, sink: &mut File, patient: bool, interrupted: &AtomicBool, flow: &mut dyn FnMut(u64)) -> Result<()> {
    let mut child = start(cmd, Stdio::null(), Stdio::piped())?;
    let mut between = patient.then(|| detached_stream::behind(&mut child)).transpose()?;
    let (output, result) = beside(cmd, &mut child, !patient, |child, patience| {
        if between.is_some() {
            patience.is_endless();
        }
        let from = between.as_mut().unwrap_or(child).stdout.take();
        let from = from.ok_or_else(|| Problem::bug("a program has no standard output"))?;
        let from = File::from(OwnedFd::from(from));
        let ends = Ends { source: &mut &from, from: Some(from.as_fd()), sink, outside: Outside::Sink };
        pump(ends, &mut Some(patience), interrupted, flow)
    })?;
    if let Some(mut between) = between {
        let _ = between.wait();
    }
    match result? {
        End::Source if output.ok() => Ok(()),
        End::Source => Err(run::failure(cmd, &output).hint("the stream written so far is incomplete: discard it")),
        End::Sink => Err(unread()),
    }
}

/// The envelope (first record) of the stream that a program writes; the program is then killed.
///
/// # Errors
/// The program fails earlier, or its stream has no envelope.
pub fn envelope(cmd: &Cmd) -> Result<Vec<u8>> {
    let mut child = start(cmd, Stdio::null(), Stdio::piped())?;
    let (output, result) = beside(cmd, &mut child, true, |child, patience| {
        let mut from = child.stdout.take().ok_or_else(|| Problem::bug("a program has no standard output"))?;
        let mut bytes = Vec::new();
        loop {
            let wanted = streams::envelope(&bytes)?;
            let missing = wanted.saturating_sub(bytes.len());
            if missing == 0 {
                // The program has written what is needed and would continue.
                let _ = child.kill();
                return Ok(Some(bytes));
            }
            patience.until(from.as_fd(), PollFlags::IN)?;
            let mut buffer = vec![0; missing];
            let got = from.read(&mut buffer).map_err(|e| Problem::failed("cannot read a stream").because(e))?;
            if got == 0 {
                return Ok(None);
            }
            bytes.extend_from_slice(&buffer[..got]);
        }
    })?;
    result?.ok_or_else(|| run::failure(cmd, &output))
}

/// Runs a program that consumes a stream, from the bytes read ahead and standard input. Returns its result, and whether it
/// exited before the input ended.
///
/// # Errors
/// Standard input cannot be read, or the user interrupts.
pub fn take(cmd: &Cmd, interrupted: &AtomicBool, tell: &mut dyn FnMut(Flow)) -> Result<(run::Output, bool)> {
    let ahead = std::mem::take(&mut *AHEAD.lock().map_err(|_| Problem::bug("standard input is already being read"))?);
    let stdin = std::io::stdin();
    let mut source = own(stdin.as_fd())?;
    let held = std::mem::take(&mut *HELD.lock().map_err(|_| Problem::bug("locks are already being handed on"))?);
    let inherit = |flags| {
        let mut files = held.iter();
        files.try_for_each(|file| fcntl_setfd(file, flags)).map_err(|e| Problem::failed("cannot hand a lock on").because(e))
    };
    inherit(FdFlags::empty())?;
    let started = start(cmd, Stdio::piped(), Stdio::null());
    // No other child may inherit it.
    inherit(FdFlags::CLOEXEC)?;
    let mut child = started?;
    let mut tell = teller(None, tell);
    // Never killed: when its stream ends early, it rolls back its own changes.
    let (output, result) = beside(cmd, &mut child, false, |child, patience| {
        let to = child.stdin.take().ok_or_else(|| Problem::bug("a program has no standard input"))?;
        let mut to = File::from(OwnedFd::from(to));
        // A hung program stops reading; that must not keep this process from noticing an interrupt.
        rustix::io::ioctl_fionbio(&to, true).map_err(|e| Problem::failed("cannot use a pipe").because(e))?;
        let ends = Ends { source: &mut ahead.as_slice(), from: None, sink: &mut to, outside: Outside::Source };
        if let End::Sink = pump(ends, &mut Some(&mut *patience), interrupted, &mut |n| tell(Some(n)))? {
            return Ok(End::Sink);
        }
        let ends = Ends { source: &mut source, from: Some(stdin.as_fd()), sink: &mut to, outside: Outside::Source };
        match pump(ends, &mut Some(&mut *patience), interrupted, &mut |n| tell(Some(n)))? {
            End::Sink => Ok(End::Sink),
            End::Source => unread_by(child, &to, patience, interrupted),
        }
    })?;
    tell(None);
    Ok((output, matches!(result?, End::Sink)))
}

/// Waits until a program has read everything from its pipe, or has exited with data left in it. If the kernel does not report
/// the amount, the data counts as read.
fn unread_by(child: &mut Child, pipe: &File, patience: &mut Patience, interrupted: &AtomicBool) -> Result<End> {
    while rustix::io::ioctl_fionread(pipe).is_ok_and(|left| left > 0) {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return Ok(if rustix::io::ioctl_fionread(pipe).is_ok_and(|left| left > 0) { End::Sink } else { End::Source });
        }
        if interrupted.load(Ordering::SeqCst) {
            return Err(Problem::interrupted());
        }
        patience.check()?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(End::Source)
}
