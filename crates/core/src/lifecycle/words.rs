//! The events that the supervisor reports to a guest's life, and the actions that it executes.

use super::End;
use crate::launch::Policy;

/// The rules of one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What follows an end, and how long a stop waits.
    pub policy: Policy,
    /// Milliseconds that a VM must run after it came up to count as running.
    pub settle: u64,
}

/// What the supervisor observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The new launch is planned (after a reboot or crash), or the reason why this failed.
    Planned(Result<(), String>),
    /// The commands before the hypervisor have run, or the reason why this failed.
    Prepared(Result<(), String>),
    /// The VM executes its guest.
    Up,
    /// The hypervisor process has ended.
    Ended(End),
    /// A stop was requested.
    Stop(Wish),
    /// All clients that waited for the stop were interrupted.
    Withdrawn,
    /// A reset was requested.
    Reset,
    /// The hypervisor has paused the guest, because a disk cannot be written.
    Paused,
    /// The guest was resumed.
    Resumed,
    /// The commands after the end have run.
    Cleaned,
    /// Only time has passed.
    Tick,
}

/// A request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Milliseconds to wait for the guest to power off.
    pub timeout: u64,
    /// What is done if it does not.
    pub force: Force,
    /// Whether the request stands when no client waits any more, as one by a signal does.
    pub stands: bool,
}

/// Whether a guest that does not obey is powered off forcibly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// The stop fails and the VM keeps running.
    Never,
    /// It is powered off when the time is over.
    AtDeadline,
    /// It is powered off at once, without a shutdown request.
    Now,
}

/// An action for the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// Plan the next launch from the present settings; report `Planned`.
    Replan,
    /// Run the commands before the hypervisor; report `Prepared`.
    Prepare,
    /// Abort planning or preparing; nothing is reported.
    Abort,
    /// Start the hypervisor; report `Up`, and `Ended` when it has ended.
    Launch,
    /// The VM is running: inform waiting clients.
    Announce,
    /// Send a shutdown request (power button).
    AskPowerOff,
    /// Hard-reset the VM; an `Ended` with a reboot follows.
    PullReset,
    /// Make the hypervisor quit at once.
    PullPlug,
    /// Kill the hypervisor process.
    Kill,
    /// Inform clients that wait for the stop that it failed, and why; the VM keeps running.
    StopFailed(StopFailure),
    /// Run the commands after the end; report `Cleaned`.
    CleanUp,
    /// Nothing is left to do.
    Finish,
}

/// Why a stop failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopFailure {
    /// The guest did not power off in time, after this many requests.
    NotObeyed {
        /// Number of shutdown requests.
        asked: u32,
    },
    /// The guest is paused and cannot react to its power button.
    Paused,
    /// The process cannot be killed.
    NotKilled,
}

/// The final end of a guest's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Final {
    /// Off, as the guest or a user requested.
    Off(End),
    /// A crash without a restart.
    Crashed(End),
}
