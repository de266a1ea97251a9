//! Gives stopped guests fresh UEFI variables, from the template of their firmware.

use crate::answer::Each;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::start::{hold, let_go_of};
use crate::{Engine, Pace, Targets};
use chyves_core::error::Result;
use chyves_core::plan;
use chyves_host::observe;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Resets the UEFI variables of guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirmwareReset {
    /// The guests.
    pub guests: Targets,
}

/// A guest with fresh variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FirmwareWasReset {
    /// What was done.
    pub done: FirmwareResetWord,
    /// The file with the former variables; null if there were none.
    pub kept: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareResetWord {
    /// Its variables are fresh.
    Reset,
}

impl Operation for FirmwareReset {
    const NAME: &'static str = "firmware-reset";
    type Answer = Vec<Each<FirmwareWasReset>>;

    fn needs(&self) -> Needs {
        // Each guest is locked and observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let results = engine.each(&self.guests, Pace::InTurn, |world, guest| {
            let mut world = world.clone();
            observe::add_images(&mut world, &plan::firmware::needed(guest)?)?;
            // The sizes show whether the packages' template fits firmware that came without one.
            chyves_host::facts::firmware(&mut world.host);
            let plan = plan::firmware::reset(&world, guest, &Engine::moment(1))?;
            let images = plan::firmware::images(&plan);
            let held = hold(engine, &images)?;
            let done = engine.carry_out(&world, &plan, guest.name.as_str());
            drop(held);
            let_go_of(engine, &images);
            Ok(done?.map(|done| FirmwareWasReset { done: FirmwareResetWord::Reset, kept: done.said.into_iter().next() }))
        })?;
        Ok(Outcome::each_of(engine, results, "guests failed"))
    }
}
