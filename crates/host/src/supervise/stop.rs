//! The caller's side of stopping a guest: the supervisor is asked, and one that is gone is replaced first.
//!
//! Not here: the protocol (`control`), and how a supervisor stops its VM (`actions`).

use super::Spawner;
use super::spawn::adopt;
use crate::control::{CLEAN_WITHIN, Call, Reply, Request, Target, gone, unexpected};
use crate::runtime::{GuestState, Runtime};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::lifecycle::{Force, KILL_GRACE, PULL_GRACE};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

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
                adopt(rt, target.uuid, target.dataset, spawner, how.force != Force::Never, &mut |_| {})?;
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
