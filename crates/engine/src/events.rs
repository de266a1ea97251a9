//! What happens while an operation runs. A terminal prints it, a web page shows it, a test records it.

use crate::op::HostSetting;
use chyves_core::error::{Code, Result};
use chyves_core::os::Os;
use chyves_core::plan::Plan;
use chyves_host::apply;

/// Receives what happens. Guests may be processed concurrently, so it is called by several threads.
pub trait Events: Send + Sync {
    /// Something that may not be intended, or that did not fail the operation.
    fn warning(&self, text: &str);

    /// What the operation did or found, in addition to its answer.
    fn note(&self, text: &str);

    /// The plan for an object is being executed.
    fn running(&self, object: &str, event: apply::Event<'_>);

    /// The plan for an object, which is only shown.
    fn planned(&self, object: &str, plan: &Plan, os: Os);

    /// Nothing had to be done for an object, which is in this state.
    fn unchanged(&self, _object: &str, _state: &str) {}

    /// What would be done to an object, by something that has no plan to show.
    fn foreseen(&self, _object: &str, _text: &str) {}

    /// The settings of a guest that reach the host, and what an adoption that is only shown, or that was refused, makes of each.
    fn undecided(&self, _guest: &str, _settings: &[HostSetting]) {}

    /// Whether somebody can be asked.
    fn can_ask(&self) -> bool {
        false
    }

    /// Asks for confirmation before something is destroyed or interrupted; the question has no question mark.
    ///
    /// # Errors
    /// The answer is no, or nobody can be asked.
    fn confirm(&self, question: &str) -> Result<()> {
        Err(Code::NeedsConfirmation.problem(format!("{question} needs confirmation, and nobody can be asked")))
    }
}

/// Drops everything, for callers that want only the answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Events for Silent {
    fn warning(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn running(&self, _: &str, _: apply::Event<'_>) {}
    fn planned(&self, _: &str, _: &Plan, _: Os) {}
}
