//! Makes clones the owners of the snapshots that they share with their origins.

use crate::{Engine, OnGuests, Targets};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::{self, Plan};
use chyves_core::property::keys;
use chyves_core::value::Dataset;
use chyves_core::world::World;
use chyves_core::zfs::Dialect;
use chyves_host::apply::Applied;
use chyves_host::observe::{self, Look, snapshots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Promotes clones.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestPromote {
    /// The clones.
    pub guests: Targets,
}

/// A clone that was promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Promoted {
    /// What was done.
    pub done: PromotedWord,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PromotedWord {
    /// It owns the snapshots now.
    Promoted,
}

impl OnGuests for GuestPromote {
    const NAME: &'static str = "guest-promote";
    type Done = Promoted;
    type Shared = ();

    fn targets(&self) -> &Targets {
        &self.guests
    }

    fn plan(&self, engine: &Engine, (): &(), world: &World, guest: &Guest) -> Result<Plan> {
        let facts = match chyves_core::guest::clones::origin(guest) {
            Some(origin) => {
                let pair = (names_of(world.host.dialect, &guest.dataset)?, names_of(world.host.dialect, &origin.dataset)?);
                let guids = observe::guids(&[guest.dataset.to_string(), origin.dataset.to_string()])?;
                let other = plan::promote::other(&engine.look(&Look::at_keys(vec![keys::REVERT_TO.to_owned()]))?, &origin)?;
                plan::promote::Facts { origins: snapshots::origins(guest.dataset.pool())?, snapshots: pair, guids, other }
            }
            None => plan::promote::Facts::default(),
        };
        plan::promote::promote(world, guest, &facts)
    }

    fn done(&self, (): &(), _: &Guest, plan: &Plan, _: &Applied) -> Option<Promoted> {
        (!plan.steps.is_empty()).then_some(Promoted { done: PromotedWord::Promoted })
    }
}

fn names_of(dialect: Dialect, dataset: &Dataset) -> Result<Vec<String>> {
    Ok(snapshots::of_dataset(dialect, dataset)?.into_iter().map(|s| s.name).collect())
}
