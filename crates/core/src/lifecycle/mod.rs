//! The life of a VM as a state machine: what follows when the hypervisor ends, when a stop is requested, and when time
//! passes.
//!
//! Pure: a [`Life`] and an [`Event`] at a moment give the next [`Life`] and the actions to [`Do`]. The supervisor
//! (chyves-host) reports the events and executes the actions. Moments are milliseconds of any monotonic clock.
//!
//! * [`words`]: the events and the actions
//! * [`end`]: classifies exit statuses and QMP reasons

mod end;
mod words;

#[cfg(test)]
mod tests;

pub use end::{End, EndKind, Exit, refuses};
pub use words::{Do, Event, Final, Force, Rules, StopFailure, Wish};

use crate::launch::OnEnd;

/// Interval between shutdown requests in milliseconds: a guest that was still booting at the first
/// request receives a later one.
pub const ASK_AGAIN: u64 = 3_000;
/// Timeout in milliseconds for a hypervisor to be seen running.
pub const UP_WITHIN: u64 = 60_000;
/// Milliseconds that a hypervisor may take to quit on request before it is killed.
pub const PULL_GRACE: u64 = 3_000;
/// Milliseconds after which a killed process is considered unkillable (it hangs in the kernel), and waiting clients are
/// informed.
pub const KILL_GRACE: u64 = 10_000;
/// A VM that ran for this long (in milliseconds) before a crash or reboot is not part of a restart loop.
pub const STEADY: u64 = 600_000;
/// Maximum number of consecutive restarts after crashes, without a steady run in between.
pub const CRASH_LIMIT: u32 = 5;
/// A run shorter than this (in milliseconds) that ends with a reboot may be a loop (a triple fault under QEMU looks like a
/// reboot).
pub const QUICK_LIFE: u64 = 10_000;
/// This many quick reboots in a row are not delayed; after that, each one is delayed longer.
pub const QUICK_FREE: u32 = 3;
/// The longest pause before a restart, in milliseconds.
pub const LONGEST_PAUSE: u64 = 60_000;

/// The phase of a guest's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Its next launch is being planned.
    Planning,
    /// The commands before the hypervisor run.
    Preparing,
    /// The hypervisor was started and has not been seen running yet.
    Launching,
    /// It runs, but is only considered started if it is still running at that moment.
    Settling {
        /// The moment, in milliseconds.
        until: u64,
    },
    /// It runs.
    Running,
    /// It is being powered off forcibly.
    Killing(Killing),
    /// It is restarted at that moment.
    Pausing {
        /// The moment, in milliseconds.
        until: u64,
    },
    /// The commands after the end of the run are running.
    Cleaning(Final),
    /// Nothing is left to do.
    Over(Final),
}

/// A VM that is being powered off forcibly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killing {
    /// When this began, in milliseconds.
    since: u64,
    /// Whether its process has been killed already.
    killed: bool,
    /// Whether clients were informed that it cannot be killed.
    told: bool,
    /// The reason, if nobody requested it: it never came up.
    because: Option<String>,
}

/// A stop that was requested and not completed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stop {
    deadline: u64,
    ask_at: u64,
    asked: u32,
    force: Force,
    stands: bool,
}

/// The state of a guest's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Its phase.
    pub phase: Phase,
    /// Number of restarts after the guest's own reboots.
    pub reboots: u32,
    /// Number of restarts after crashes, without a steady run in between.
    pub crashes: u32,
    /// Whether it has never run steadily yet: the client that starts it is still waiting and gets any error.
    first: bool,
    /// Number of consecutive quick reboots.
    quick: u32,
    /// When the present hypervisor process was started, in milliseconds.
    launched: u64,
    /// Whether the guest is paused.
    paused: bool,
    stop: Option<Stop>,
}

impl Life {
    /// The initial state, and the first actions.
    pub fn begin(now: u64) -> (Self, Vec<Do>) {
        (Self::in_phase(Phase::Preparing, now), vec![Do::Prepare])
    }

    /// A running VM that lost its supervisor and got a new one.
    pub fn adopted(now: u64, reboots: u32) -> Self {
        Self { first: false, reboots, ..Self::in_phase(Phase::Running, now) }
    }

    fn in_phase(phase: Phase, now: u64) -> Self {
        Self { phase, reboots: 0, crashes: 0, first: true, quick: 0, launched: now, paused: false, stop: None }
    }

    /// The number of crashes, if there were too many for another restart.
    pub fn given_up(&self) -> Option<u32> {
        (self.crashes > CRASH_LIMIT).then_some(self.crashes)
    }

    /// Whether a stop was requested.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some() || matches!(self.phase, Phase::Killing(_))
    }

    /// The classification of an end, given what was done to the VM before.
    #[must_use]
    pub fn meaning(&self, end: End) -> End {
        if let Phase::Killing(killing) = &self.phase { end.pulled(killing.killed) } else { end }
    }

    /// The moment at which the next `Tick` is required, if any.
    pub fn wake_at(&self) -> Option<u64> {
        let stop = self.stop.map(|s| s.deadline.min(s.ask_at));
        match &self.phase {
            Phase::Launching => Some(self.launched + UP_WITHIN),
            Phase::Settling { until } => Some(stop.map_or(*until, |s| s.min(*until))),
            Phase::Running => stop,
            Phase::Killing(k) if !k.killed => Some(k.since + PULL_GRACE),
            Phase::Killing(k) if !k.told => Some(k.since + PULL_GRACE + KILL_GRACE),
            Phase::Pausing { until } => Some(*until),
            Phase::Killing(_) | Phase::Planning | Phase::Preparing | Phase::Cleaning(_) | Phase::Over(_) => None,
        }
    }

    /// The next state and the actions after an event.
    #[must_use]
    pub fn step(mut self, rules: &Rules, now: u64, event: Event) -> (Self, Vec<Do>) {
        let todo = match event {
            Event::Planned(result) => self.planned(result),
            Event::Prepared(result) => self.prepared(rules, now, result),
            Event::Up => self.up(rules, now),
            Event::Ended(end) => self.ended(rules, now, end),
            Event::Stop(wish) => self.stop(now, wish),
            Event::Withdrawn => self.withdraw(),
            Event::Reset => self.reset(),
            Event::Paused => self.pause(),
            Event::Resumed => {
                self.paused = false;
                Vec::new()
            }
            Event::Cleaned => self.cleaned(),
            Event::Tick => self.tick(now),
        };
        (self, todo)
    }

    fn planned(&mut self, result: Result<(), String>) -> Vec<Do> {
        match (&self.phase, result) {
            (Phase::Planning, Ok(())) => {
                self.phase = Phase::Preparing;
                vec![Do::Prepare]
            }
            // The invalid settings would still be invalid later: no restart.
            (Phase::Planning, Err(why)) => self.clean_up(Final::Crashed(End::NotStarted(why))),
            _ => Vec::new(),
        }
    }

    fn prepared(&mut self, rules: &Rules, now: u64, result: Result<(), String>) -> Vec<Do> {
        match (&self.phase, result) {
            (Phase::Preparing, Ok(())) => {
                self.phase = Phase::Launching;
                self.launched = now;
                vec![Do::Launch]
            }
            (Phase::Preparing, Err(why)) => self.crashed(rules, now, End::NotStarted(why)),
            _ => Vec::new(),
        }
    }

    fn up(&mut self, rules: &Rules, now: u64) -> Vec<Do> {
        if self.phase == Phase::Launching {
            self.phase = Phase::Settling { until: now + rules.settle };
        }
        Vec::new()
    }

    fn ended(&mut self, rules: &Rules, now: u64, end: End) -> Vec<Do> {
        self.paused = false;
        match &mut self.phase {
            Phase::Launching | Phase::Settling { .. } | Phase::Running => {}
            Phase::Killing(killing) => {
                return match killing.because.take() {
                    Some(why) if self.stop.is_none() => self.crashed(rules, now, End::NotStarted(why)),
                    _ => self.clean_up(Final::Off(end)),
                };
            }
            Phase::Planning | Phase::Preparing | Phase::Pausing { .. } | Phase::Cleaning(_) | Phase::Over(_) => return Vec::new(),
        }
        // The requested stop is complete, even if the guest wanted to reboot.
        if self.stop.is_some() {
            return self.clean_up(Final::Off(end));
        }
        if end.is_crash() {
            return self.crashed(rules, now, end);
        }
        if end == End::Reboot && rules.policy.on_reboot == OnEnd::Restart {
            return self.reboot(now);
        }
        self.clean_up(Final::Off(end))
    }

    fn reboot(&mut self, now: u64) -> Vec<Do> {
        self.reboots += 1;
        self.quick = if now.saturating_sub(self.launched) < QUICK_LIFE { self.quick.saturating_add(1) } else { 0 };
        if self.quick <= QUICK_FREE {
            self.phase = Phase::Planning;
            return vec![Do::Replan];
        }
        self.phase = Phase::Pausing { until: now + pause(self.quick - QUICK_FREE) };
        Vec::new()
    }

    fn crashed(&mut self, rules: &Rules, now: u64, end: End) -> Vec<Do> {
        // The client that starts it is still waiting; a restart would only delay the error.
        if self.first {
            return self.clean_up(Final::Crashed(end));
        }
        match rules.policy.on_crash {
            OnEnd::Stop => self.clean_up(Final::Crashed(end)),
            OnEnd::Restart => {
                let steady = now.saturating_sub(self.launched) >= STEADY;
                self.crashes = if steady { 1 } else { self.crashes + 1 };
                if self.crashes > CRASH_LIMIT {
                    return self.clean_up(Final::Crashed(end));
                }
                self.phase = Phase::Pausing { until: now + pause(self.crashes) };
                Vec::new()
            }
        }
    }

    fn stop(&mut self, now: u64, wish: Wish) -> Vec<Do> {
        match self.phase {
            Phase::Planning | Phase::Preparing => {
                let mut todo = vec![Do::Abort];
                todo.extend(self.clean_up(Final::Off(End::Quit)));
                todo
            }
            Phase::Pausing { .. } => self.clean_up(Final::Off(End::Quit)),
            // The guest has not executed anything yet, so nothing can be lost.
            Phase::Launching => {
                self.remember_stop(now, wish);
                self.kill(now, None)
            }
            Phase::Settling { .. } | Phase::Running => {
                self.remember_stop(now, wish);
                if wish.force == Force::Now {
                    self.kill(now, None)
                } else if self.waits_in_vain() {
                    self.cant_obey()
                } else {
                    self.tick(now)
                }
            }
            Phase::Killing(_) => {
                self.remember_stop(now, wish);
                Vec::new()
            }
            Phase::Cleaning(_) | Phase::Over(_) => Vec::new(),
        }
    }

    /// A second stop replaces the time of the first one, and never weakens it.
    fn remember_stop(&mut self, now: u64, wish: Wish) {
        let before = self.stop;
        self.stop = Some(Stop {
            deadline: now.saturating_add(wish.timeout),
            ask_at: before.map_or(now, |s| s.ask_at),
            asked: before.map_or(0, |s| s.asked),
            force: before.map_or(wish.force, |s| s.force.max(wish.force)),
            stands: wish.stands || before.is_some_and(|s| s.stands),
        });
    }

    /// Withdraws a stop: no more shutdown requests are sent, and the guest is not powered off when the time is over. The
    /// guest may still obey a request that it received.
    fn withdraw(&mut self) -> Vec<Do> {
        if matches!(self.phase, Phase::Settling { .. } | Phase::Running) {
            self.stop = self.stop.filter(|s| s.stands).map(|s| Stop { force: Force::Never, ..s });
        }
        Vec::new()
    }

    fn pause(&mut self) -> Vec<Do> {
        if !matches!(self.phase, Phase::Settling { .. } | Phase::Running) {
            return Vec::new();
        }
        self.paused = true;
        if self.waits_in_vain() { self.cant_obey() } else { Vec::new() }
    }

    /// Whether a stop was requested that only the guest could complete, but the guest is paused.
    fn waits_in_vain(&self) -> bool {
        self.paused && self.stop.is_some_and(|s| s.force == Force::Never)
    }

    /// Informs the waiting client; a standing request is sent again once the guest is resumed.
    fn cant_obey(&mut self) -> Vec<Do> {
        self.stop = self.stop.filter(|s| s.stands);
        vec![Do::StopFailed(StopFailure::Paused)]
    }

    fn reset(&mut self) -> Vec<Do> {
        match self.phase {
            Phase::Settling { .. } | Phase::Running => vec![Do::PullReset],
            Phase::Planning
            | Phase::Preparing
            | Phase::Launching
            | Phase::Killing(_)
            | Phase::Pausing { .. }
            | Phase::Cleaning(_)
            | Phase::Over(_) => Vec::new(),
        }
    }

    fn cleaned(&mut self) -> Vec<Do> {
        if let Phase::Cleaning(end) = &self.phase {
            self.phase = Phase::Over(end.clone());
            return vec![Do::Finish];
        }
        Vec::new()
    }

    fn tick(&mut self, now: u64) -> Vec<Do> {
        let mut todo = Vec::new();
        match &mut self.phase {
            Phase::Settling { until } if now >= *until => {
                self.phase = Phase::Running;
                self.first = false;
                todo.push(Do::Announce);
            }
            Phase::Launching if now >= self.launched + UP_WITHIN => {
                return self.kill(now, Some(format!("it was not seen running within {} seconds", UP_WITHIN / 1000)));
            }
            Phase::Pausing { until } if now >= *until => {
                self.phase = Phase::Planning;
                return vec![Do::Replan];
            }
            Phase::Killing(k) => {
                if !k.killed && now >= k.since + PULL_GRACE {
                    k.killed = true;
                    return vec![Do::Kill];
                }
                if k.killed && !k.told && now >= k.since + PULL_GRACE + KILL_GRACE {
                    k.told = true;
                    return vec![Do::StopFailed(StopFailure::NotKilled)];
                }
                return todo;
            }
            Phase::Planning
            | Phase::Preparing
            | Phase::Launching
            | Phase::Settling { .. }
            | Phase::Running
            | Phase::Pausing { .. }
            | Phase::Cleaning(_)
            | Phase::Over(_) => {}
        }
        if let Some(stop) = &mut self.stop {
            if now >= stop.deadline {
                if stop.force == Force::Never {
                    let why = if self.paused { StopFailure::Paused } else { StopFailure::NotObeyed { asked: stop.asked } };
                    self.stop = None;
                    todo.push(Do::StopFailed(why));
                } else {
                    todo.extend(self.kill(now, None));
                }
            } else if now >= stop.ask_at {
                stop.ask_at = now + ASK_AGAIN;
                stop.asked += 1;
                todo.push(Do::AskPowerOff);
            }
        }
        todo
    }

    fn kill(&mut self, now: u64, because: Option<String>) -> Vec<Do> {
        self.phase = Phase::Killing(Killing { since: now, killed: false, told: false, because });
        vec![Do::PullPlug]
    }

    fn clean_up(&mut self, end: Final) -> Vec<Do> {
        self.stop = None;
        self.phase = Phase::Cleaning(end);
        vec![Do::CleanUp]
    }
}

/// The pause before the nth restart of a loop: 1 s, 2 s, 4 s, … up to the longest.
fn pause(nth: u32) -> u64 {
    (1_000u64 << nth.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}
