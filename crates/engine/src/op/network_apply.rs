//! Brings the host's networks to the desired state, or shows the steps that it takes.

use crate::Engine;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::plan::network::apply;
use chyves_core::value::IfName;
use chyves_host::observe::{Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Applies the configuration of the host's networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkApply {
    /// The bridges; all if there are none.
    #[schemars(with = "Vec<String>")]
    pub bridges: Vec<IfName>,
    /// Whether the steps are only shown, as they would be now.
    pub show: bool,
    /// Rolls the change back after so many seconds, unless it is confirmed by then.
    pub confirm_within: Option<u64>,
}

/// The networks after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NetworkApplied {
    /// What was changed.
    pub object: NetworkObject,
    /// What was done.
    pub done: NetworkAppliedWord,
    /// The number of seconds after which it is rolled back unless it is confirmed.
    pub confirm_within: Option<u64>,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkObject {
    /// The host's networks.
    Network,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkAppliedWord {
    /// They are as they are configured.
    Applied,
}

impl Operation for NetworkApply {
    const NAME: &'static str = "network-apply";
    type Answer = Vec<NetworkApplied>;

    fn needs(&self) -> Needs {
        // The lock of the networks is released before the plan ends, so the operation takes it itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let (_settings, lock) = if self.show { (Vec::new(), None) } else { engine.lock_networks()? };
        let world = engine.look_with_settings(&Look { guests: Which::All, ..Look::default() })?;
        let facts = engine.networks(&world, false)?;
        let planned = apply::apply(&world, &facts, &self.bridges)?;
        if self.show {
            engine.events.planned("network", &planned.plan, world.host.os);
            for what in &planned.touches {
                engine.events.warning(&format!("{what}, and would be changed"));
            }
            return Ok(Outcome::shown());
        }
        let done = engine.change_networks(&world, &planned, "network", lock, self.confirm_within)?;
        let (object, word) = (NetworkObject::Network, NetworkAppliedWord::Applied);
        let all = done.map(|_| NetworkApplied { object, done: word, confirm_within: self.confirm_within }).into_iter().collect();
        Ok(Outcome { answer: (!engine.dry_run).then_some(all), problem: None })
    }
}
