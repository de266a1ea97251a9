//! What a plan is executed with: the host's operating system, the runtime folder, locks, and a receiver of events.
//!
//! Not here: executing it (`apply`).

use crate::runtime::{Lock, Runtime};
use crate::stream;
use chyves_core::action::Action;
use chyves_core::error::Problem;
use chyves_core::os::Os;
use std::sync::atomic::AtomicBool;

/// Progress of a plan, to be shown.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step begins.
    Step(&'a Action),
    /// A command is about to run, exactly as shown.
    Command(String),
    /// Progress of a long step: bytes done, total bytes.
    Progress(u64, u64),
    /// Progress of a ZFS stream.
    Flow(stream::Flow),
    /// Progress of reading an image; of interest only while it lasts.
    Reading(stream::Flow),
    /// The guest's loader or hypervisor is about to run; its command line.
    Hypervisor(String),
    /// An event while a guest is being stopped.
    Asked(&'static str),
    /// A problem that does not fail the plan.
    Warning(String),
    /// The steps so far are being rolled back, because of this problem.
    TakingBack(&'a Problem),
}

/// The environment of a plan.
pub struct Place<'a> {
    /// The operating system whose commands are run.
    pub os: Os,
    /// The runtime folder.
    pub runtime: &'a Runtime,
    /// The command line, for the journal.
    pub command: &'a str,
    /// The names of the locks that are held, for the journal.
    pub locks: &'a [String],
    /// Set when the user interrupts: the plan stops before its next step and is rolled back.
    pub interrupted: &'a AtomicBool,
    /// Receives the events.
    pub report: &'a mut dyn FnMut(Event<'_>),
    /// Locks that are released before the plan's end.
    pub lent: Lent,
}

/// Locks that a plan needs, but not during a step that may take hours.
#[derive(Debug, Default)]
pub struct Lent {
    /// The lock of the host's networks, if the plan changes them: released before a VM is started.
    pub network: Option<Lock>,
    /// The locks of what a stream consists of: released before it is written, and taken again to undo something.
    pub stream: Vec<Lock>,
}

impl From<Option<Lock>> for Lent {
    fn from(network: Option<Lock>) -> Self {
        Self { network, stream: Vec::new() }
    }
}
