//! Removes chyves from a pool that has no guests, images or trash.

use crate::Engine;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::plan::roles;
use chyves_host::observe;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Removes chyves from a pool; this is confirmed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolRemove {
    /// The pool.
    pub pool: String,
}

/// A pool that chyves was removed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PoolRemoved {
    /// The pool.
    pub object: String,
    /// What was done.
    pub done: PoolRemovedWord,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoolRemovedWord {
    /// chyves was removed from it.
    Removed,
}

impl Operation for PoolRemove {
    const NAME: &'static str = "pool-remove";
    type Answer = Vec<PoolRemoved>;

    fn needs(&self) -> Needs {
        Needs { locks: vec![("pool", vec!["roles".to_owned()])], ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let (world, pool) = (&seen.world, &self.pool);
        let root = world.root_on(pool)?;
        let there = observe::pool::everything(root)?;
        let plan = roles::remove(world, root, &there)?;
        if !engine.dry_run {
            for (name, _) in &there {
                engine.events.note(&format!("{pool}: destroys {name}, which is empty"));
            }
            engine.confirm(&format!("remove chyves from the pool {}", root.dataset.pool()))?;
        }
        if engine.carry_out(world, &plan, pool).map_err(|p| engine.goes_on(p))?.is_none() {
            return Ok(Outcome::shown());
        }
        Ok(vec![PoolRemoved { object: root.dataset.pool().to_owned(), done: PoolRemovedWord::Removed }].into())
    }
}
