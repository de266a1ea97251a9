//! Brings a pool from an older layout of its datasets to this program's, or back.

use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, now};
use chyves_core::error::{Code, Result};
use chyves_core::plan::upgrade;
use chyves_core::value::printable;
use chyves_core::world::inventory::LAYOUT;
use chyves_host::observe::{self, Look};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Upgrades a pool, or undoes an upgrade.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolUpgrade {
    /// The pool.
    pub pool: String,
    /// Undoes the newest upgrade.
    #[serde(default)]
    pub undo: bool,
}

/// A pool with its layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PoolUpgraded {
    /// The pool.
    pub object: String,
    /// What was done.
    pub done: PoolUpgradedWord,
    /// Its root.
    pub dataset: String,
    /// Its layout now.
    pub layout: u32,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoolUpgradedWord {
    /// It has another layout.
    Changed,
    /// Its layout is the same; its file systems got the properties that protect the host.
    Guarded,
    /// There was nothing to do.
    Unchanged,
}

impl Operation for PoolUpgrade {
    const NAME: &'static str = "pool-upgrade";
    type Answer = Vec<PoolUpgraded>;

    fn needs(&self) -> Needs {
        Needs { locks: vec![("pool", vec!["roles".to_owned()])], nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let (pool, undo) = (self.pool.as_str(), self.undo);
        // Oddities are what this operation resolves, so they are not reported.
        let world = observe::world(&engine.runtime, &Look::default())?;
        let (root, was) = observe::pool::layouts()?.into_iter().find(|(d, _)| d.pool() == pool || d.as_str() == pool).ok_or_else(|| {
            let shown = printable(pool, 60);
            Code::NoSuchPool
                .problem(format!("no pool with chyves on it is called `{shown}`"))
                .on(&shown)
                .hint("`chyves pool list` shows those that are")
        })?;
        let mut layout = was;
        let mut guarded = false;
        // Two rounds set the protective properties of a tree: first its parts, then the datasets below that override them.
        for _ in 0..16 {
            let (tree, snapshot) = observe::pool::tree(&engine.runtime, &root, layout, undo)?;
            let plan = if undo {
                upgrade::undo(&tree, snapshot.as_ref(), world.host.dialect)?
            } else {
                upgrade::upgrade(&tree, world.host.dialect, &now())?
            };
            if engine.carry_out(&world, &plan, pool)?.is_none() {
                return Ok(Outcome::shown());
            }
            if plan.steps.is_empty() {
                break;
            }
            guarded = layout == LAYOUT && !undo;
            layout = if undo { layout - 1 } else { (layout + 1).min(LAYOUT) };
            // Each layout is a separate plan; a downgrade goes one layout at a time.
            if undo {
                break;
            }
        }
        let done = match (layout == was, guarded) {
            (true, false) => PoolUpgradedWord::Unchanged,
            (true, true) => PoolUpgradedWord::Guarded,
            (false, _) => PoolUpgradedWord::Changed,
        };
        Ok(vec![PoolUpgraded { object: root.pool().to_owned(), done, dataset: root.to_string(), layout }].into())
    }
}
