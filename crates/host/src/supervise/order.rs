//! The messages between a supervisor and the process that starts it: one order in, lines of progress out.
//!
//! Not here: the requests that a running supervisor answers (`control`).

use chyves_core::error::Problem;
use chyves_core::launch::Launch;
use chyves_core::value::Dataset;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Size limit of an order and of a line of progress, in bytes.
pub(super) const LIMIT: u64 = 1 << 20;

/// What a supervisor is ordered to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Start a VM.
    Start(Box<Launch>),
    /// Take over a VM that lost its supervisor. `insist`: even if its monitor does not answer.
    TakeOver { uuid: Uuid, dataset: Dataset, insist: bool },
}

/// A line of progress.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// This command is being run.
    Run(String),
    /// The VM runs; the last message. Both are process ids.
    Running { supervisor: u32, machine: u32 },
    /// The VM did not start; the last message.
    Failed(Problem),
}

/// Progress of starting a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A command that is about to run, quoted for a shell.
    Run(String),
    /// The VM runs.
    Running,
}

/// How the run of a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Off, by the guest or on request; how, as text.
    Off(String),
    /// Crashed, without a restart; how, as text.
    Crashed(String),
    /// The supervisor was asked to leave its VM running.
    Released,
}
