//! The role of a pool on this host: promoted, offline, online, removed.

use crate::answer::PoolRole;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::roles;
use chyves_core::pool::Role;
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives a pool another role.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolChange {
    /// The pool.
    pub pool: String,
    /// What becomes of it.
    pub to: RoleChange,
    /// Whether the settings of its guests that reach the host are trusted without a question, where a promotion decides which host
    /// this is.
    #[serde(default)]
    pub trust: bool,
}

/// What becomes of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RoleChange {
    /// The primary one; the former primary pool becomes a secondary one.
    Promote,
    /// It is not used any more.
    Offline,
    /// It is used again.
    Online,
}

/// A pool with its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PoolChanged {
    /// The pool.
    pub object: String,
    /// What was done.
    pub done: PoolChangedWord,
    /// Its root.
    pub dataset: String,
    /// Its role now.
    pub role: PoolRole,
    /// The id of the host that its guests belong to.
    pub host: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoolChangedWord {
    /// It has another role.
    Changed,
    /// It had that role.
    Unchanged,
}

impl Operation for PoolChange {
    const NAME: &'static str = "pool-change";
    type Answer = Vec<PoolChanged>;

    fn needs(&self) -> Needs {
        // Roles concern all pools at once.
        let locks = vec![("pool", vec!["roles".to_owned()])];
        Needs { locks, guests: Some(Targets::All), images: Which::All, trash: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        // The settings of the host's networks go with the role of the primary pool.
        let _networks = if self.to == RoleChange::Promote { Some(engine.lock_networks()?) } else { None };
        let mut world = seen.world.clone();
        observe::settings_of_roots(&mut world)?;
        let world = &world;
        let root = world.root_on(&self.pool)?;
        let names: Vec<String> = world.roots.iter().map(|r| r.dataset.to_string()).collect();
        // The world has no guests of an offline pool.
        let theirs: Vec<Guest> = if root.role == Role::Offline { observe::pool::guests(&engine.runtime, root)? } else { Vec::new() };
        let guids = observe::guids(&names)?;
        let defaults = || observe::snapshots::own_values(&root.guests());
        let mut plan = match self.to {
            RoleChange::Promote => roles::promote(world, root, &theirs, &guids, &defaults()?),
            RoleChange::Offline => roles::offline(world, root, &guids),
            RoleChange::Online => roles::online(world, root, &theirs, &guids, &defaults()?),
        }?;
        if self.to == RoleChange::Promote && roles::decides_identity(world, root) && !engine.dry_run {
            for note in std::mem::take(&mut plan.notes) {
                engine.events.note(&note);
            }
            if !self.trust {
                engine.confirm(&format!("make this host the one of {}, and trust its guests", root.dataset.pool()))?;
            }
        }
        if engine.carry_out(world, &plan, &self.pool)?.is_none() {
            return Ok(Outcome::shown());
        }
        let after = engine.look(&Look::default())?;
        let root = after.root_on(&self.pool)?;
        let changed = PoolChanged {
            object: root.dataset.pool().to_owned(),
            done: if plan.steps.is_empty() { PoolChangedWord::Unchanged } else { PoolChangedWord::Changed },
            dataset: root.dataset.to_string(),
            role: root.role.into(),
            host: root.host.map(|host| host.to_string()),
        };
        Ok(vec![changed].into())
    }
}
