//! Lists the pools that chyves is set up on.

use crate::answer::PoolRole;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::Result;
use chyves_core::pool::{Role, Root};
use chyves_host::observe::{self, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the pools of chyves.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolList {}

/// The root of chyves on one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pool {
    /// The pool.
    pub pool: String,
    /// The dataset that has everything of chyves on it.
    pub root: String,
    /// Its role on this host.
    pub role: PoolRole,
    /// How many guests are on it.
    pub guests: u64,
    /// How many images are on it.
    pub images: u64,
    /// Where the root is mounted.
    pub mountpoint: Option<String>,
    /// The id of the host that its guests belong to.
    pub host: Option<String>,
    /// Whether that is this host.
    pub owner: Owner,
}

/// The owner of a pool's guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// This host.
    ThisHost,
    /// Another host.
    OtherHost,
    /// The pool, or this host, has no recorded id.
    Unknown,
}

impl Owner {
    /// The word that is shown, the same as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ThisHost => "this-host",
            Self::OtherHost => "other-host",
            Self::Unknown => "unknown",
        }
    }
}

impl Operation for PoolList {
    const NAME: &'static str = "pool-list";
    type Answer = Vec<Pool>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(Targets::All), images: Which::All, trash: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        let here = world.this_host();
        // The world has no guests of an offline pool.
        let guests = |root: &Root| match root.role {
            Role::Offline => observe::pool::guests(&engine.runtime, root).map(|guests| guests.len() as u64),
            Role::Primary | Role::Secondary => Ok(world.guests.iter().filter(|g| g.root == root.dataset).count() as u64),
        };
        let each = |root: &Root| -> Result<Pool> {
            Ok(Pool {
                pool: root.dataset.pool().to_owned(),
                root: root.dataset.to_string(),
                role: root.role.into(),
                guests: guests(root)?,
                images: world.images.iter().filter(|i| i.dataset.is_within(&root.dataset)).count() as u64,
                mountpoint: root.mountpoint.clone(),
                host: root.host.map(|host| host.to_string()),
                owner: match (root.host, here) {
                    (Some(host), Some(here)) if host == here => Owner::ThisHost,
                    (Some(_), Some(_)) => Owner::OtherHost,
                    (None, _) | (_, None) => Owner::Unknown,
                },
            })
        };
        Ok(world.roots.iter().map(each).collect::<Result<Vec<_>>>()?.into())
    }
}
