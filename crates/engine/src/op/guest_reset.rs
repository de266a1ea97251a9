//! Resets running guests, as by the reset button.

use crate::{Engine, OnGuests, Pace, Targets};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::{self, Plan};
use chyves_core::world::World;
use chyves_host::apply::Applied;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Resets running guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestReset {
    /// The guests.
    pub guests: Targets,
}

/// A guest that was reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WasReset {
    /// What was done.
    pub done: ResetWord,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResetWord {
    /// It was reset.
    Reset,
}

impl OnGuests for GuestReset {
    const NAME: &'static str = "guest-reset";
    const PACE: Pace = Pace::Asking;
    type Done = WasReset;
    type Shared = ();

    fn targets(&self) -> &Targets {
        &self.guests
    }

    fn plan(&self, _: &Engine, (): &(), _: &World, guest: &Guest) -> Result<Plan> {
        plan::reset::reset(guest)
    }

    fn done(&self, (): &(), _: &Guest, _: &Plan, _: &Applied) -> Option<WasReset> {
        Some(WasReset { done: ResetWord::Reset })
    }
}
