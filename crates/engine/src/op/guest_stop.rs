//! Powers guests off: requests it, waits, and reports how it went.

use crate::answer::{Each, mirrored};
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Pace, Targets};
use chyves_core::error::Result;
use chyves_core::lifecycle::EndKind;
use chyves_core::plan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Powers guests off.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestStop {
    /// The guests; of all, those that are running.
    pub guests: Targets,
    /// Powers them off forcibly when the time is over.
    #[serde(default)]
    pub force: bool,
    /// The seconds to wait; the guest's own if this is missing.
    #[serde(default)]
    pub timeout: Option<u32>,
}

/// A guest that was powered off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stopped {
    /// What was done.
    pub done: StoppedWord,
    /// How its VM ended.
    pub code: Ended,
    /// The same for people.
    pub message: String,
}

mirrored! {
    /// How a VM ended.
    Ended of EndKind {
        /// The guest rebooted.
        Rebooted = "rebooted",
        /// The guest powered off.
        PoweredOff = "powered-off",
        /// The guest halted.
        Halted = "halted",
        /// The hypervisor was requested to quit.
        Quit = "quit",
        /// It was powered off forcibly.
        ForcedOff = "forced-off",
        /// It was powered off forcibly, and the hypervisor was killed.
        Killed = "killed",
        /// The guest had a triple fault.
        TripleFault = "triple-fault",
        /// The guest's kernel panicked.
        Panicked = "panicked",
        /// The hypervisor ended with an error, by a signal, or for an unknown reason.
        HypervisorFailed = "hypervisor-failed",
        /// How it ended is unknown, or it was off already.
        Unknown = "unknown",
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoppedWord {
    /// It is off.
    Stopped,
    /// It was off already.
    Unchanged,
}

impl Operation for GuestStop {
    const NAME: &'static str = "guest-stop";
    type Answer = Vec<Each<Stopped>>;

    fn needs(&self) -> Needs {
        // Each guest is observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        // One that has lost its folder runs all the same.
        engine.runtime.be_thorough();
        let (were_off, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results = engine.each(&self.guests, Pace::Asking, |world, guest| {
            seen.fetch_add(1, Ordering::SeqCst);
            // Of all guests, those that are off are only counted.
            if self.guests == Targets::All && !guest.state.is_alive() {
                were_off.fetch_add(1, Ordering::SeqCst);
                return Ok(None);
            }
            let plan = plan::stop::stop(guest, self.timeout, self.force)?;
            let done = engine.carry_out(world, &plan, guest.name.as_str())?;
            let word = if plan.steps.is_empty() { StoppedWord::Unchanged } else { StoppedWord::Stopped };
            Ok(done.map(|applied| {
                let message = applied.said.into_iter().next().unwrap_or_else(|| "off".to_owned());
                Stopped { done: word, code: EndKind::of_words(&message).into(), message }
            }))
        })?;
        let (were_off, seen) = (were_off.into_inner(), seen.into_inner());
        match (were_off, seen) {
            (0, _) => {}
            (off, all) if off == all => engine.events.note(&format!("no guest is running; {all} are off")),
            (1, _) => engine.events.note("1 more was off already"),
            (off, _) => engine.events.note(&format!("{off} more were off already")),
        }
        // Where all were off, there was no plan to be shown.
        let nothing = were_off == seen;
        let failed = "guests failed";
        Ok(if nothing { Outcome::each(results, failed) } else { Outcome::each_of(engine, results, failed) })
    }
}
