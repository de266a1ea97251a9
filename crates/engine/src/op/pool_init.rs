//! Sets a pool up for guests.

use crate::Engine;
use crate::answer::PoolRole;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::plan;
use chyves_core::value::Dataset;
use chyves_host::observe::{self, Look};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets a pool up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolInit {
    /// The pool, or a dataset to create directly below it.
    #[schemars(with = "String")]
    pub place: Dataset,
    /// The mount point of guests' files; below the pool's own if it is missing.
    #[serde(default)]
    pub mountpoint: Option<String>,
}

/// A pool that was set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PoolMade {
    /// Its root.
    pub object: String,
    /// What was done.
    pub done: PoolMadeWord,
    /// Its root.
    pub dataset: String,
    /// Its role.
    pub role: PoolRole,
    /// The id of the host that its guests belong to.
    pub host: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoolMadeWord {
    /// It was set up.
    SetUp,
}

impl Operation for PoolInit {
    const NAME: &'static str = "pool-init";
    type Answer = Vec<PoolMade>;

    fn needs(&self) -> Needs {
        Needs { locks: vec![("pool", vec![self.place.pool().to_owned()])], ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let place = &self.place;
        let pool: Dataset = place.pool().parse()?;
        let root = if place.parent().is_none() { place.child("chyves") } else { place.clone() };
        let top = observe::dataset(&pool)?;
        let request = plan::pool::Request {
            place: place.clone(),
            exists: observe::dataset(&root)?.is_some(),
            mountpoint: top.and_then(|row| row.native("mountpoint").map(str::to_owned)),
            wanted_mountpoint: self.mountpoint.clone(),
            host: chyves_host::identity::new(),
        };
        let plan = plan::pool::init(&seen.world, &request)?;
        if engine.carry_out(&seen.world, &plan, place.as_str())?.is_none() {
            return Ok(Outcome::shown());
        }
        if plan.steps.is_empty() {
            return Ok(Vec::new().into());
        }
        let world = engine.look(&Look::default())?;
        let made = world.root_on(place.pool())?;
        let made = PoolMade {
            object: made.dataset.to_string(),
            done: PoolMadeWord::SetUp,
            dataset: made.dataset.to_string(),
            role: made.role.into(),
            host: made.host.map(|host| host.to_string()),
        };
        Ok(vec![made].into())
    }
}
