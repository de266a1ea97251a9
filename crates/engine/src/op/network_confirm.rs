//! Keeps a change of the host's networks that is rolled back otherwise.

use crate::Engine;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_host::confirmation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Confirms a change of the host's networks.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfirm {}

/// Whether a change waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NetworkConfirmed {
    /// Whether there was one.
    pub confirmed: bool,
}

impl Operation for NetworkConfirm {
    const NAME: &'static str = "network-confirm";
    type Answer = NetworkConfirmed;

    fn needs(&self) -> Needs {
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        if engine.dry_run {
            engine.events.note("nothing is changed in a dry run");
            return Ok(Outcome::shown());
        }
        Ok(NetworkConfirmed { confirmed: confirmation::confirm(&engine.runtime)? }.into())
    }
}
