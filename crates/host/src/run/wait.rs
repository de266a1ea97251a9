//! Waiting for a program: its output is read up to a limit, a long wait is reported, and an interrupt returns the terminal to
//! the user even if the program hangs, as `zfs` does on a suspended pool.
//!
//! * A program that only reads is ended by the first Ctrl-C or SIGTERM.
//! * A program that changes something gets [`GRACE`] to finish its step, since an interrupted `zfs` helps nobody; the second
//!   signal ends it at once.
//! * A program that ignores SIGTERM is killed, and one that SIGKILL cannot end (it is blocked in the kernel) is abandoned.
//!
//! Not here: what happens to the plan that contains the step (`apply`).

use super::Output;
use crate::interrupt;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::value::printable;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Size limit of standard output, in bytes; a correct program prints less.
const STDOUT_LIMIT: usize = 128 << 20;
/// Size limit of standard error, in bytes; the rest is discarded.
const STDERR_LIMIT: usize = 1 << 20;
/// A wait of this length is reported, and again each time it has doubled.
const NOTICE: Duration = Duration::from_secs(30);
/// The environment variable that overrides [`NOTICE`], in seconds.
pub const NOTICE_VARIABLE: &str = "CHYVES_WAIT_NOTICE";
/// How long the current step may take to finish after the first signal.
const GRACE: Duration = Duration::from_secs(5);
/// Time from SIGTERM to SIGKILL.
const TERM: Duration = Duration::from_secs(3);
/// Time from SIGKILL until the program is abandoned.
const KILL: Duration = Duration::from_secs(2);
/// How long after the first signal the user is informed about what is being finished, unless it has finished by then.
const TELL: Duration = Duration::from_secs(1);
/// Interval for checking signals and the clock.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The strongest signal that was sent to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pressed {
    Not,
    Term,
    Kill,
}

/// The state of waiting for one program.
#[derive(Debug)]
pub(crate) struct Patience {
    shown: String,
    pid: Option<Pid>,
    /// Whether it leads a process group of its own.
    group: bool,
    reads: bool,
    /// How long it may continue after the first signal; none if only the second one ends it.
    grace: Option<Duration>,
    began: Instant,
    /// The number of signals received before it started.
    before: u64,
    notice: Duration,
    signalled: Option<Instant>,
    told: bool,
    pressed: Pressed,
    since: Instant,
}

impl Patience {
    /// For a child that has just been started.
    pub(crate) fn with(cmd: &Cmd, child: &Child, group: bool) -> Self {
        let now = Instant::now();
        Self {
            shown: printable(&cmd.to_string(), 200),
            pid: Some(Pid::from_child(child)),
            group,
            reads: only_reads(cmd),
            grace: Some(if only_reads(cmd) { Duration::ZERO } else { GRACE }),
            began: now,
            before: interrupt::count(),
            notice: notice(),
            signalled: None,
            told: false,
            pressed: Pressed::Not,
            since: now,
        }
    }

    /// Checks the clock and the signals, and acts on them.
    ///
    /// # Errors
    /// The program does not end, not even when killed.
    pub(crate) fn check(&mut self) -> Result<()> {
        let now = Instant::now();
        let process = self.pid.map_or(0, |pid| pid.as_raw_nonzero().get());
        if now - self.began >= self.notice {
            let so_far = (now - self.began).as_secs();
            interrupt::note(&format!(
                "still waiting for `{}` (process {process}) after {so_far} s; `zpool status -x` shows whether a pool is suspended, \
                 Ctrl-C ends the wait",
                self.shown
            ));
            self.notice *= 2;
        }
        let signals = interrupt::count().saturating_sub(self.before);
        if signals == 0 {
            return Ok(());
        }
        let first = *self.signalled.get_or_insert(now);
        if !self.told && !self.reads && now - first >= TELL {
            self.told = true;
            interrupt::note(&format!("finishing `{}` (process {process}) first; a second Ctrl-C ends it", self.shown));
        }
        let is_over = self.grace.is_some_and(|grace| now - first >= grace);
        let presses = signals.saturating_sub(u64::from(!self.reads));
        let due = match self.pressed {
            Pressed::Not if presses >= 1 || is_over => Pressed::Term,
            Pressed::Term if presses >= 2 || now - self.since >= TERM => Pressed::Kill,
            Pressed::Kill if now - self.since >= KILL => {
                return Err(self.problem().because(format!("process {process} does not end, not even by SIGKILL: it waits in the kernel")));
            }
            same => same,
        };
        if due != self.pressed {
            (self.pressed, self.since) = (due, now);
            self.signal(if due == Pressed::Term { Signal::TERM } else { Signal::KILL });
        }
        Ok(())
    }

    /// Resets the wait: the program has made progress.
    pub(crate) fn goes_on(&mut self) {
        (self.began, self.notice) = (Instant::now(), notice());
    }

    /// Only a second signal ends the program.
    pub(crate) fn is_endless(&mut self) {
        self.grace = None;
    }

    /// Waits until the program's pipe can be read or written.
    ///
    /// # Errors
    /// As [`Patience::check`].
    pub(crate) fn until(&mut self, fd: BorrowedFd<'_>, flags: PollFlags) -> Result<()> {
        self.until_or(fd, flags, &AtomicBool::new(false))
    }

    /// As [`Patience::until`], for work that ends at the first signal.
    ///
    /// # Errors
    /// The flag was set, or as [`Patience::check`].
    pub(crate) fn until_or(&mut self, fd: BorrowedFd<'_>, flags: PollFlags, interrupted: &AtomicBool) -> Result<()> {
        loop {
            if interrupted.load(Ordering::SeqCst) {
                return Err(Problem::interrupted());
            }
            let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
            match poll(&mut fds, Some(&GLANCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => self.check()?,
                Ok(_) => return Ok(()),
                Err(e) => return Err(Problem::failed(format!("cannot wait for `{}`", self.shown)).because(e)),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            // The process id of one that has just ended is not reused yet, since nobody has waited for it.
            let _ = if self.group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        }
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    /// It was ended by a signal from here, or does not end.
    pub(crate) fn end(&mut self, child: &mut Child) -> Result<ExitStatus> {
        let mut pause = Duration::from_micros(50);
        loop {
            let status = child.try_wait().map_err(|e| Problem::failed(format!("cannot wait for `{}`", self.shown)).because(e))?;
            if let Some(status) = status {
                // A program that succeeded despite the signal has done its work.
                return if self.pressed == Pressed::Not || status.success() { Ok(status) } else { Err(self.problem()) };
            }
            self.check()?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// The error that it was ended before it had finished.
    pub(crate) fn problem(&self) -> Problem {
        let waited = self.began.elapsed().as_secs();
        let problem = if self.reads {
            Problem::new(Kind::Interrupted, format!("interrupted while waiting for `{}`", self.shown))
        } else {
            Problem::new(Kind::Left, format!("interrupted, and `{}` was ended before it had finished", self.shown))
        };
        problem.because(format!("it had run for {waited} s")).hint("`zpool status -x` shows whether a pool is suspended")
    }
}

pub(super) fn notice() -> Duration {
    let told = std::env::var(NOTICE_VARIABLE).ok().and_then(|text| text.parse::<f64>().ok());
    told.filter(|seconds| (0.01..1e6).contains(seconds)).map_or(NOTICE, Duration::from_secs_f64)
}

/// Whether a command changes nothing, so that it can be ended at any time.
fn only_reads(cmd: &Cmd) -> bool {
    let verb = cmd.args.first().map(String::as_str);
    matches!(
        (cmd.program.as_str(), verb),
        ("zfs", Some("get" | "list" | "diff" | "holds" | "version")) | ("zpool", Some("get" | "list" | "status" | "version"))
    )
}

/// Captures a child's output until it has ended.
///
/// # Errors
/// It exceeded the limit, or was ended because the user interrupted.
pub(super) fn output(cmd: &Cmd, mut child: Child, group: bool) -> Result<Output> {
    let mut patience = Patience::with(cmd, &child, group);
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    // Number of bytes of standard error that were discarded.
    let mut dropped = 0;
    let mut buffer = vec![0; 1 << 16];
    let cannot = |e: &dyn std::fmt::Display| Problem::failed(format!("cannot read what `{}` prints", cmd.program)).because(e);
    while out.is_some() || err.is_some() {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
        fds.extend(out.as_ref().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        fds.extend(err.as_ref().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        match poll(&mut fds, Some(&GLANCE)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => {
                let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
                let (reads_out, reads_err) = (out.is_some() && ready[0], err.is_some() && ready[ready.len() - 1]);
                if reads_out && read_some(&mut out, &mut buffer, &mut stdout).map_err(|e| cannot(&e))? && stdout.len() > STDOUT_LIMIT {
                    patience.signal(Signal::KILL);
                    let _ = child.wait();
                    return Err(endless(cmd));
                }
                if reads_err && read_some(&mut err, &mut buffer, &mut stderr).map_err(|e| cannot(&e))? {
                    dropped += stderr.len().saturating_sub(STDERR_LIMIT);
                    stderr.truncate(STDERR_LIMIT);
                    if dropped > STDOUT_LIMIT {
                        patience.signal(Signal::KILL);
                        let _ = child.wait();
                        return Err(endless(cmd));
                    }
                }
            }
            Err(e) => return Err(cannot(&e)),
        }
        patience.check()?;
    }
    let status = patience.end(&mut child)?;
    Ok(Output { status: status.code(), stdout: text(stdout), stderr: text(stderr) })
}

/// Reads once; false at the end of the stream, which is then closed.
fn read_some(from: &mut Option<impl Read>, buffer: &mut [u8], to: &mut Vec<u8>) -> std::io::Result<bool> {
    let Some(stream) = from else { return Ok(false) };
    match stream.read(buffer) {
        Ok(0) => *from = None,
        Ok(n) => {
            to.extend_from_slice(&buffer[..n]);
            return Ok(true);
        }
        Err(e) if e.kind() == ErrorKind::Interrupted => {}
        Err(e) => return Err(e),
    }
    Ok(false)
}

/// Invalid UTF-8 is replaced.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn endless(cmd: &Cmd) -> Problem {
    let program = super::find_program(&cmd.program).map_or_else(|| cmd.program.clone(), |path| path.display().to_string());
    Problem::failed(format!("`{}` printed more than {} MiB; it was ended", printable(&cmd.to_string(), 200), STDOUT_LIMIT >> 20))
        .on(&cmd.program)
        .hint(format!("is `{program}` the program of that name?"))
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::*;

    #[test]
    fn both_streams_are_read_whole() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done; exit 3";
        let output = run(&Cmd::new("sh", ["-c", script])).unwrap();
        assert_eq!(output.status, Some(3));
        assert_eq!(output.stdout.lines().count(), 3000);
        assert!(output.stdout.ends_with("out2999\n") && output.stderr.ends_with("err2999\n"));
    }

    #[test]
    fn one_that_closes_its_output_is_waited_for() {
        assert_eq!(run(&Cmd::new("sh", ["-c", "exec >&- 2>&-; sleep 0.2; exit 7"])).unwrap().status, Some(7));
    }

    #[test]
    fn endless_output_is_an_error() {
        let problem = run(&Cmd::new("yes", [""; 0])).unwrap_err();
        assert!(problem.message.contains("printed more than 128 MiB"), "{problem}");
        let loud = run(&Cmd::new("sh", ["-c", "exec yes >&2"])).unwrap_err();
        assert!(loud.message.contains("printed more than 128 MiB"), "{loud}");
        let quiet = run(&Cmd::new("sh", ["-c", "head -c 9000000 /dev/zero >&2; echo done"])).unwrap();
        assert_eq!((quiet.stdout.as_str(), quiet.stderr.len()), ("done\n", STDERR_LIMIT));
    }

    #[test]
    fn what_only_reads_is_known() {
        for (line, reads) in [("zfs get -H all", true), ("zfs snapshot a@b", false), ("zpool status", true), ("ip link", false)] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(only_reads(&Cmd::new(words[0], words[1..].iter().copied())), reads, "{line}");
        }
    }
}
