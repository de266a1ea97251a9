//! The words between whoever starts a supervisor and the supervisor: one order in, lines of progress out.
//!
//! Not here: the requests that a living supervisor answers (`control`).

use chyves_core::error::Problem;
use chyves_core::launch::Launch;
use chyves_core::value::Dataset;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// No order and no line of progress is longer.
pub(super) const LIMIT: u64 = 1 << 20;

/// What a supervisor is to do with its life.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Start a machine.
    Start(Box<Launch>),
    /// Care for a machine that lost its supervisor. `insist`: also if its monitor does not answer.
    TakeOver { uuid: Uuid, dataset: Dataset, insist: bool },
}

/// A line of progress.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// This command is run now.
    Run(String),
    /// The machine runs. Nothing follows.
    Running { supervisor: u32, machine: u32 },
    /// It does not. Nothing follows.
    Failed(Problem),
}

/// What whoever starts a guest sees of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A command, as it is about to run, ready to be pasted into a shell.
    Run(String),
    /// The machine is seen running.
    Running,
}

/// How a guest's life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Off, as the guest or somebody wished; in words.
    Off(String),
    /// A crash that nothing followed; in words.
    Crashed(String),
    /// The supervisor was told to leave its machine running.
    Released,
}
