//! A command that runs to its end while the supervisor continues to poll: bounded output, a deadline, and its whole process
//! group is killed when it is abandoned.
//!
//! Not here: the hypervisor (`machine`), which outlives its supervisor.

use super::ring::Ring;
use crate::{child, trace};
use chyves_core::cmd::Cmd;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Number of bytes kept of output that is only shown.
const SHOWN: usize = 2048;

/// A running command.
#[derive(Debug)]
pub(super) struct Job {
    text: String,
    child: Child,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    /// Standard output, up to the limit; more is an error.
    stdout: Vec<u8>,
    limit: usize,
    said: Ring,
    deadline: u64,
    /// Time limit in seconds, for messages.
    seconds: u32,
    /// The path that must be gone when the command has ended.
    removes: Option<PathBuf>,
    /// Exit status, and the time until which the path may remain.
    over: Option<(ExitStatus, u64)>,
}

/// Time in milliseconds that a path may remain after the command that removes it: the kernel destroys a VM object's node after
/// bhyvectl has ended.
const GONE_WITHIN: u64 = 5_000;
/// Interval in milliseconds for checking whether the path is gone.
const LOOK_AGAIN: u64 = 20;

/// How a command ended.
pub(super) enum Ended {
    /// Successfully, with this output.
    Well(Vec<u8>),
    /// With an error: one sentence, then its last output.
    Badly(String),
    /// It exceeded its time limit; the same text.
    Late(String),
    /// The path that it should remove still exists, whatever its exit status was.
    Remains(String),
}

impl Job {
    /// Starts a program of the host. `limit`: how many bytes of output are needed, or none if the output is only shown.
    pub(super) fn start(cmd: &Cmd, limit: Option<usize>, now: u64, seconds: u32) -> Result<Self, CantRun> {
        Self::spawn(cmd, child::command(&cmd.program), limit, now, seconds)
    }

    /// Starts a hidden command of chyves itself.
    pub(super) fn start_own(cmd: &Cmd, limit: Option<usize>, now: u64, seconds: u32) -> Result<Self, CantRun> {
        Self::spawn(cmd, child::own_command(&cmd.program), limit, now, seconds)
    }

    fn spawn(cmd: &Cmd, mut command: Command, limit: Option<usize>, now: u64, seconds: u32) -> Result<Self, CantRun> {
        command.args(&cmd.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| CantRun::new(&cmd.program, &e))?;
        trace::started(cmd);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ready = out.as_ref().map_or(Ok(()), |o| rustix::io::ioctl_fionbio(o, true));
        let ready = ready.and(err.as_ref().map_or(Ok(()), |e| rustix::io::ioctl_fionbio(e, true)));
        let deadline = now + u64::from(seconds) * 1000;
        let job = Self {
            text: cmd.tool().to_owned(),
            child,
            out,
            err,
            stdout: Vec::new(),
            limit: limit.unwrap_or(0),
            said: Ring::new(SHOWN),
            deadline,
            seconds,
            removes: None,
            over: None,
        };
        ready.map_err(|e| CantRun { why: format!("cannot read from `{}`: {e}", job.text), missing: false })?;
        Ok(job)
    }

    /// Makes the job end only when this path is gone; none for a command that removes nothing.
    #[must_use]
    pub(super) fn removes(self, what: Option<PathBuf>) -> Self {
        Self { removes: what, ..self }
    }

    /// The time at which it must be checked, even without output.
    pub(super) fn wake_at(&self, now: u64) -> u64 {
        if self.over.is_some() { now + LOOK_AGAIN } else { self.deadline }
    }

    /// The descriptors to poll.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.out.as_ref().map(AsFd::as_fd).into_iter().chain(self.err.as_ref().map(AsFd::as_fd))
    }

    /// Reads the output so far.
    pub(super) fn read(&mut self) {
        let mut buffer = [0; 1024];
        while let Some(out) = &mut self.out {
            match out.read(&mut buffer) {
                Ok(0) => self.out = None,
                Ok(n) if self.limit == 0 => self.said.push(&buffer[..n]),
                // One byte over the limit is kept, so that excess output is noticed.
                Ok(n) => {
                    let room = (self.limit + 1).saturating_sub(self.stdout.len());
                    self.stdout.extend_from_slice(&buffer[..n.min(room)]);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => self.out = None,
            }
        }
        while let Some(err) = &mut self.err {
            match err.read(&mut buffer) {
                Ok(0) => self.err = None,
                Ok(n) => self.said.push(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => self.err = None,
            }
        }
    }

    /// How it ended, if it has ended or exceeded its time limit.
    pub(super) fn ended(&mut self, now: u64) -> Option<Ended> {
        if let Some((status, until)) = self.over {
            return self.gone(status, now, until);
        }
        match self.child.try_wait() {
            Ok(None) if now < self.deadline => None,
            Ok(None) => {
                self.give_up();
                self.read();
                Some(Ended::Late(self.with_words(&format!("did not end in time ({} s)", self.seconds))))
            }
            Ok(Some(status)) => {
                self.read();
                // After a failed command nothing will change.
                let until = if status.success() { now + GONE_WITHIN } else { now };
                self.over = Some((status, until));
                self.gone(status, now, until)
            }
            Err(e) => Some(Ended::Badly(format!("cannot wait for `{}`: {e}", self.text))),
        }
    }

    /// How it ended, once the path is gone.
    fn gone(&mut self, status: ExitStatus, now: u64, until: u64) -> Option<Ended> {
        if let Some(what) = &self.removes
            && crate::hostfs::kernel::is_there(what)
        {
            let still = format!("{}, and {} still exists", describe(status), what.display());
            return (now >= until).then(|| Ended::Remains(self.with_words(&still)));
        }
        Some(if !status.success() {
            Ended::Badly(self.with_words(&describe(status)))
        } else if self.stdout.len() > self.limit {
            Ended::Badly(format!("`{}` printed more than {} bytes", self.text, self.limit))
        } else {
            Ended::Well(std::mem::take(&mut self.stdout))
        })
    }

    fn with_words(&self, what: &str) -> String {
        let words = self.said.last_lines(5).join("; ");
        if words.is_empty() { format!("`{}` {what}", self.text) } else { format!("`{}` {what}: {words}", self.text) }
    }

    /// Kills it with all processes that it started.
    pub(super) fn give_up(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        // One that hangs in the kernel is not waited for; it can do no more harm.
        let deadline = Instant::now() + Duration::from_secs(1);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Why a program could not be started.
#[derive(Debug)]
pub(super) struct CantRun {
    /// The reason, as text.
    pub(super) why: String,
    /// The program does not exist.
    pub(super) missing: bool,
}

impl CantRun {
    pub(super) fn new(program: &str, e: &std::io::Error) -> Self {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let why = if missing {
            format!("the program `{program}` is not installed or not on the path")
        } else {
            format!("cannot run `{program}`: {e}")
        };
        Self { why, missing }
    }
}

/// The exit status as text, such as "ended with status 1".
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in a way that is not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cmd: &Cmd, limit: Option<usize>, seconds: u32) -> Result<Vec<u8>, String> {
        finish(Job::start(cmd, limit, 0, seconds).map_err(|e| e.why)?)
    }

    fn finish(mut job: Job) -> Result<Vec<u8>, String> {
        let start = Instant::now();
        loop {
            job.read();
            match job.ended(u64::try_from(start.elapsed().as_millis()).unwrap()) {
                Some(Ended::Well(out)) => return Ok(out),
                Some(Ended::Badly(why) | Ended::Late(why) | Ended::Remains(why)) => return Err(why),
                None => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn output_and_failures_come_back() {
        assert_eq!(run(&Cmd::new("echo", ["hello"]), Some(100), 60).unwrap(), b"hello\n");
        assert_eq!(run(&Cmd::new("echo", ["hello"]), None, 60).unwrap(), b"");
        assert_eq!(run(&Cmd::new("echo", ["hello"]), Some(3), 60).unwrap_err(), "`echo` printed more than 3 bytes");
        let failed = run(&Cmd::new("ls", ["/no/such/path"]), None, 60).unwrap_err();
        assert!(failed.starts_with("`ls` ended with status 2: ") && failed.contains("/no/such/path"), "{failed}");
        assert_eq!(
            run(&Cmd::new("chyves-no-such-program", [""; 0]), None, 60).unwrap_err(),
            "the program `chyves-no-such-program` is not installed or not on the path"
        );
    }

    #[test]
    fn what_a_command_removes_is_waited_for_and_what_stays_is_a_failure() {
        let temp = tempfile::tempdir().unwrap();
        let node = temp.path().join("node");
        let of = |script: &str| Job::start(&Cmd::new("sh", ["-c", script]), None, 0, 60).unwrap().removes(Some(node.clone()));
        std::fs::write(&node, "").unwrap();
        // The command ends before the path is gone.
        finish(of(&format!("(sleep 0.3; rm {}) >/dev/null 2>&1 &", node.display()))).unwrap();
        assert!(!node.exists());
        finish(of("exit 0")).unwrap();
        std::fs::write(&node, "").unwrap();
        let why = finish(of("echo no >&2; exit 1")).unwrap_err();
        assert_eq!(why, format!("`sh` ended with status 1, and {} still exists: no", node.display()));
        // The command reports success, and the time limit has passed.
        let mut job = of("exit 0");
        while job.ended(0).is_none() && job.over.is_none() {
            std::thread::yield_now();
        }
        assert!(job.ended(GONE_WITHIN - 1).is_none() && job.wake_at(7) == 7 + LOOK_AGAIN);
        assert!(matches!(job.ended(GONE_WITHIN), Some(Ended::Remains(_))));
    }

    #[test]
    fn one_that_hangs_is_given_up() {
        assert_eq!(run(&Cmd::new("sleep", ["1000"]), None, 0).unwrap_err(), "`sleep` did not end in time (0 s)");
    }
}
