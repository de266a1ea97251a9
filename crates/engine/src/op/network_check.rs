//! Compares the host's networks with their configuration.

use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::{Code, Result};
use chyves_core::network::compare::Close;
use chyves_core::plan::network::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Compares the host's networks with their configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkCheck {}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// What differs: a bridge, a network interface.
    pub object: String,
    /// How it differs, for people.
    pub difference: String,
    /// Why it cannot be closed by chyves, outermost first.
    pub causes: Vec<String>,
    /// Whether `network apply` closes it.
    pub by_apply: bool,
    /// The commands that `network apply` runs for it, or else what helps.
    pub cure: Vec<String>,
}

impl Operation for NetworkCheck {
    const NAME: &'static str = "network-check";
    type Answer = Vec<Difference>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(Targets::All), settings: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        let facts = engine.networks_to_show(world, false)?;
        let all: Vec<Difference> = apply::differences(world, &facts)
            .iter()
            .map(|difference| {
                let (causes, cure) = match &difference.close {
                    Close::By(intents) => {
                        (Vec::new(), intents.iter().flat_map(|i| i.commands(world.host.os)).map(|c| c.to_string()).collect())
                    }
                    Close::Cant(problem) => (problem.causes.clone(), problem.hints.clone()),
                };
                let by_apply = matches!(difference.close, Close::By(_));
                Difference { object: difference.object.clone(), difference: difference.says.clone(), causes, by_apply, cure }
            })
            .collect();
        for spec in apply::waiting(world, &facts) {
            engine.events.note(&format!("{} does not exist, and no running guest uses it; a start creates it", spec.name));
        }
        let words = match all.len() {
            0 => return Ok(all.into()),
            1 => "one difference".to_owned(),
            n => format!("{n} differences"),
        };
        let apply = "`chyves network apply` applies what it can; a start applies what its guest needs";
        let problem = Code::NetworkDiffers
            .problem(format!("the host's networks differ from the configuration: {words}"))
            .hint_if(all.iter().any(|one| one.by_apply).then(|| apply.to_owned()));
        Ok(Outcome { answer: Some(all), problem: Some(problem) })
    }
}
