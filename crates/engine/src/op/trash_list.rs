//! Lists deleted guests and disks that have not been destroyed yet.

use crate::Engine;
use crate::answer::Time;
use crate::needs::{Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the trash.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrashList {}

/// A deleted guest, or a removed disk of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Trashed {
    /// The former name of the guest; for a disk `GUEST:disk0`.
    pub name: String,
    /// What it is.
    pub kind: TrashedKind,
    /// When it was deleted; null if the record is damaged.
    pub deleted: Option<Time>,
    /// Bytes that it uses in the pool.
    pub used: u64,
    /// Its name in the trash, which is unique.
    pub identity: String,
    /// Its dataset.
    pub dataset: String,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrashedKind {
    /// A guest.
    Guest,
    /// A disk of a guest.
    Disk,
}

impl TrashedKind {
    /// The word that is shown, the same as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Disk => "disk",
        }
    }
}

impl Operation for TrashList {
    const NAME: &'static str = "trash-list";
    type Answer = Vec<Trashed>;

    fn needs(&self) -> Needs {
        Needs { trash: true, pools: Pools::InUse, ..Needs::default() }
    }

    fn run(&self, _: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let each = |trashed: &chyves_core::guest::Trashed| Trashed {
            name: trashed.label(),
            kind: if trashed.disk.is_some() { TrashedKind::Disk } else { TrashedKind::Guest },
            deleted: Time::recorded(&trashed.deleted),
            used: trashed.used.get(),
            identity: trashed.dataset.leaf().to_owned(),
            dataset: trashed.dataset.to_string(),
        };
        Ok(seen.world.trash.iter().map(each).collect::<Vec<_>>().into())
    }
}
