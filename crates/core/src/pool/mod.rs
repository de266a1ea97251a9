//! The root of chyves on a pool: its role, and the host that the pool's guests belong to.
//!
//! Not here: finding roots among the rows of `zfs` (`world::inventory`), and what follows from several of them
//! ([`crate::world::World`]).

pub use crate::property::choices::Role;

use crate::error::{Code, Result};
use crate::property::keys;
use crate::property::settings::OwnValues;
use crate::value::Dataset;
use std::sync::Arc;
use uuid::Uuid;

/// The root of chyves on one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its dataset.
    pub dataset: Dataset,
    /// The role of the pool.
    pub role: Role,
    /// The host that the pool's guests belong to.
    pub host: Option<Uuid>,
    /// The nesting depth of groups: that of the primary pool, if there is one.
    pub group_levels: usize,
    /// Its mount point; `None` if ZFS prints none.
    pub mountpoint: Option<String>,
    /// Its own settings.
    pub own: Arc<OwnValues>,
}

impl Root {
    /// The parent dataset of guests; properties set on it are defaults.
    pub fn guests(&self) -> Dataset {
        self.dataset.child("guests")
    }

    /// The parent dataset of images.
    pub fn images(&self) -> Dataset {
        self.dataset.child("images")
    }

    /// The parent dataset of deleted guests.
    pub fn trash(&self) -> Dataset {
        self.dataset.child("trash")
    }

    /// The root, if its pool is in use.
    ///
    /// # Errors
    /// The pool is offline: commands would not find anything that is created on it.
    pub fn online(&self) -> Result<&Self> {
        match self.role {
            Role::Primary | Role::Secondary => Ok(self),
            Role::Offline => Err(Code::PoolOffline
                .problem(format!("the pool `{}` is offline", self.dataset.pool()))
                .on(self.dataset.pool())
                .because("an offline pool is ignored; new objects on it would not be visible")
                .hint(format!("`chyves pool online {}` brings it online", self.dataset.pool()))),
        }
    }

    /// Whether it was received with a stream: such a copy of a root is not used until it gets a role on this host.
    pub fn is_copy(&self) -> bool {
        self.own.get(keys::LAYOUT).is_some_and(|o| o.received)
    }

    /// The child datasets of every root.
    pub fn parts(&self) -> [Dataset; 3] {
        [self.guests(), self.images(), self.trash()]
    }
}

/// The id of this host: the one recorded on its primary pool. It is stored on pools only, so that `zpool import` on a new
/// host is a complete recovery. Without a primary pool, it is the id that the other pools agree on; if they disagree, it is
/// unknown.
pub fn this_host(roots: &[Root]) -> Option<Uuid> {
    let of = |role: Role| roots.iter().filter(move |r| r.role == role && !(role == Role::Offline && r.is_copy()));
    for role in [Role::Primary, Role::Secondary, Role::Offline] {
        let mut hosts = of(role).map(|r| r.host);
        if let Some(first) = hosts.next() {
            return first.filter(|_| hosts.all(|h| h == first));
        }
    }
    None
}
