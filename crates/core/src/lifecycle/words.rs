//! What the supervisor tells a guest's life, and what it is asked to do.

use super::End;
use crate::launch::Policy;

/// The rules of one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What follows an end, and how long a stop waits.
    pub policy: Policy,
    /// Milliseconds that a machine must live after it was seen up to count as running.
    pub settle: u64,
}

/// What the supervisor saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The new plan is there (after a reboot or crash), or why it could not be made.
    Planned(Result<(), String>),
    /// The commands before the hypervisor have run, or why not.
    Prepared(Result<(), String>),
    /// The machine executes its guest.
    Up,
    /// The machine is gone.
    Ended(End),
    /// Somebody wants it off.
    Stop(Wish),
    /// All who waited for it to be off have gone: they were interrupted.
    Withdrawn,
    /// Somebody pulls the reset line.
    Reset,
    /// The hypervisor has paused the guest, because a disk can't be written.
    Paused,
    /// The guest goes on.
    Resumed,
    /// The commands after the end have run.
    Cleaned,
    /// Time has passed, nothing else.
    Tick,
}

/// How somebody wants it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Milliseconds to wait for the guest to obey.
    pub timeout: u64,
    /// What is done when it does not.
    pub force: Force,
    /// Whether the wish stands when nobody waits for its fulfilment any more, as that of a signal does.
    pub stands: bool,
}

/// Whether a guest that does not obey is forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// The stop fails and the machine keeps running.
    Never,
    /// It is ended when the time is over.
    AtDeadline,
    /// It is ended at once, unasked.
    Now,
}

/// What the supervisor is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// Make the plan anew from the properties as they are now; tell `Planned`.
    Replan,
    /// Run the commands before the hypervisor; tell `Prepared`.
    Prepare,
    /// Give up planning or preparing; nothing is told.
    Abort,
    /// Start the hypervisor; tell `Up`, and `Ended` when it is gone.
    Launch,
    /// The machine is running: tell who waits for it.
    Announce,
    /// Press the power button.
    AskPowerOff,
    /// Pull the reset line; an `Ended` with a reboot follows.
    PullReset,
    /// Let the hypervisor end the machine at once.
    PullPlug,
    /// Kill the hypervisor's process.
    Kill,
    /// Tell who waits for the stop that it failed, and why; the machine lives.
    StopFailed(StopFailure),
    /// Run the commands after the end; tell `Cleaned`.
    CleanUp,
    /// It is over.
    Finish,
}

/// Why a stop failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopFailure {
    /// The guest did not power off in time; it was asked so often.
    NotObeyed {
        /// How often the power button was pressed.
        asked: u32,
    },
    /// The guest is paused: it can't hear its power button.
    Paused,
    /// The process does not die.
    NotKilled,
}

/// How it ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Final {
    /// Off, as the guest or somebody wished.
    Off(End),
    /// A crash that nothing follows.
    Crashed(End),
}
