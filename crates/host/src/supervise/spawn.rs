//! The caller's side: starts a detached supervisor, sends its order, and reads its reports until the VM runs or has failed.

use super::actions::AFTER_WITHIN;
use super::order::{LIMIT, Order, Progress, Word};
use super::ring::last_lines;
use crate::child;
use crate::hostfs::own::{self, How};
use crate::runtime::{GuestDir, ROOT_VARIABLE, Runtime};
use crate::spawner::Spawner;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::Launch;
use chyves_core::lifecycle::{KILL_GRACE, PULL_GRACE, UP_WITHIN};
use chyves_core::value::json;
use chyves_core::value::{Dataset, GuestName};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Name of the hidden command.
pub(super) const WORD: &str = "_supervise";
/// Time in milliseconds beyond what the supervisor itself allows for each step; after that it counts as hung.
const SLACK: u64 = 30_000;
/// Size limit in bytes of the supervisor's standard error; a longer file is truncated.
const STDERR_LIMIT: u64 = 64 << 10;

/// A supervisor that has started its VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Process id of the supervisor.
    pub supervisor: u32,
    /// Process id of the hypervisor; 0 if unknown.
    pub machine: u32,
}

/// Starts a guest under a supervisor, and returns when its VM runs.
///
/// # Errors
/// The guest did not start: the reason, the hypervisor's last output, the console's last lines, the command. Nothing is left
/// behind.
pub fn spawn(rt: &Runtime, launch: &Launch, spawner: &Spawner, on: &mut dyn FnMut(Progress)) -> Result<Started> {
    let commands: u64 = launch.before.iter().map(|p| u64::from(p.timeout) * 1000).sum();
    let after = (launch.after.len() + launch.borrows.len()) as u64 * u64::from(AFTER_WITHIN) * 1000;
    let within = commands + UP_WITHIN + PULL_GRACE + KILL_GRACE + after + SLACK;
    let order = Order::Start(Box::new(launch.clone()));
    Birth { rt, name: &launch.guest, dir: rt.guest(launch.uuid) }.give(&order, spawner, within, on)
}

/// Starts a new supervisor for a VM that lost its own.
///
/// # Errors
/// The VM is not running, has a supervisor, or does not answer.
pub fn take_over(rt: &Runtime, uuid: Uuid, dataset: &Dataset, spawner: &Spawner, on: &mut dyn FnMut(Progress)) -> Result<Started> {
    adopt(rt, uuid, dataset, spawner, false, on)
}

/// `insist`: even if its monitor does not answer, so that it can be ended.
pub(crate) fn adopt(
    rt: &Runtime,
    uuid: Uuid,
    dataset: &Dataset,
    spawner: &Spawner,
    insist: bool,
    on: &mut dyn FnMut(Progress),
) -> Result<Started> {
    let seen = rt.observe(uuid, dataset)?;
    if let Some(damage) = seen.damage(dataset.leaf()) {
        return Err(damage);
    }
    let Some(record) = seen.record else {
        return Err(Problem::not_now(format!("there is nothing of `{}` to take over", dataset.leaf())).on(dataset));
    };
    let order = Order::TakeOver { uuid, dataset: dataset.clone(), insist };
    Birth { rt, name: &record.guest, dir: rt.guest(uuid) }.give(&order, spawner, SLACK, on)
}

/// A supervisor that is being started.
struct Birth<'a> {
    rt: &'a Runtime,
    name: &'a GuestName,
    dir: GuestDir,
}

impl Birth<'_> {
    fn give(&self, order: &Order, spawner: &Spawner, within: u64, on: &mut dyn FnMut(Progress)) -> Result<Started> {
        let cant =
            |e: &dyn std::fmt::Display| Problem::failed(format!("cannot start a supervisor for `{}`", self.name)).on(self.name).because(e);
        let text = serde_json::to_vec(order).map_err(|e| cant(&e))?;
        let cmd = spawner.command(WORD);
        let mut child = child::own_command(&spawner.exe)
            .args(&cmd.args)
            .env(ROOT_VARIABLE, self.rt.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.stderr())
            .spawn()
            .map_err(|e| cant(&e))?;
        let Some(out) = child.stdout.take() else {
            return Err(Problem::bug("a child has no standard output"));
        };
        if let Some(mut stdin) = child.stdin.take() {
            // If it dies before it has read everything, its report or its exit status shows why.
            drop(stdin.write_all(&text));
        }
        let mut words = Words { out, bytes: Vec::new(), deadline: Instant::now() + Duration::from_millis(within) };
        loop {
            match words.next() {
                Ok(Some(Word::Run(text))) => on(Progress::Run(text)),
                Ok(Some(Word::Running { supervisor, machine })) => {
                    on(Progress::Running);
                    return Ok(Started { supervisor, machine });
                }
                Ok(Some(Word::Failed(problem))) => {
                    // It cleans up before it reports the failure; only its exit is outstanding.
                    wait_a_moment(&mut child);
                    return Err(problem);
                }
                Ok(None) => return Err(self.died(&mut child)),
                Err(e) => {
                    terminate(&child);
                    return Err(cant(&e).hint(format!("type `chyves info {}` to see what is left", self.name)));
                }
            }
        }
    }

    /// The supervisor's standard error: a file in the runtime folder, since a file of the guest would keep the guest's file
    /// system busy. If it cannot be opened, the supervisor starts without it.
    fn stderr(&self) -> Stdio {
        let open = || {
            self.rt.create().map_err(std::io::Error::other)?;
            self.dir.create().map_err(std::io::Error::other)?;
            let file = own::open(self.dir.supervisor_log(), How::Append)?;
            if file.metadata()?.len() > STDERR_LIMIT {
                file.set_len(0)?;
            }
            Ok::<_, std::io::Error>(file)
        };
        open().map_or_else(|_| Stdio::null(), Stdio::from)
    }

    fn died(&self, child: &mut Child) -> Problem {
        wait_a_moment(child);
        let how = child.try_wait().ok().flatten().map_or_else(|| "it closed its output".to_owned(), |status| status.to_string());
        let log = self.dir.supervisor_log();
        let words = own::read(&log, 2 * STDERR_LIMIT).map(|bytes| last_lines(&bytes, 3).join("; ")).unwrap_or_default();
        let problem = Problem::failed(format!("the supervisor of `{}` died: {how}", self.name)).on(self.name);
        let problem = if words.is_empty() { problem } else { problem.because(words) };
        problem.hint(format!("type `chyves info {}` to see what is left", self.name))
    }
}

fn wait_a_moment(child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends a supervisor that makes no progress, with SIGTERM, so that it cleans up.
fn terminate(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// The supervisor's reports, read until the deadline.
struct Words {
    out: ChildStdout,
    bytes: Vec<u8>,
    deadline: Instant,
}

impl Words {
    /// The next report, or none at the end.
    fn next(&mut self) -> std::io::Result<Option<Word>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok(Some(json::from_slice(&line)?));
            }
            if self.bytes.len() as u64 > LIMIT {
                return Err(std::io::Error::other("its length is impossible"));
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(std::io::Error::other("it makes no progress"));
            }
            let left = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&self.out, PollFlags::IN)], left.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(e) => return Err(e.into()),
            }
            let mut buffer = [0; 4096];
            match self.out.read(&mut buffer)? {
                0 => return Ok(None),
                n => self.bytes.extend_from_slice(&buffer[..n]),
            }
        }
    }
}
