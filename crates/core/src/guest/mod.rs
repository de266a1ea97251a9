//! A guest: what its dataset says ([`Guest`]) and what that means ([`Spec`]).
//!
//! * [`spec`]: its settings, typed
//! * `read`: from stored values to the typed ones
//! * [`copy`]: the copy of the settings in its file system
//! * [`trash`]: how its disks go to the trash
//! * [`trust`]: which of its settings that reach the host are trusted

pub mod copy;
pub mod pending;
mod read;
pub mod spec;
#[cfg(test)]
mod tests;
pub mod trash;
pub mod trust;

pub use copy::{read_copy, read_settings_copy, settings_copy};
pub use spec::*;

use crate::error::{Problem, Result};
use crate::property::keys;
use crate::property::settings::Settings;
use crate::value::{Dataset, GuestName, Size};
use crate::zfs::guard;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One guest as it was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its name.
    pub name: GuestName,
    /// Its dataset.
    pub dataset: Dataset,
    /// The root that it lives below.
    pub root: Dataset,
    /// Its identity.
    pub uuid: Uuid,
    /// Its settings.
    pub settings: Settings,
    /// What it takes on the pool, snapshots and disks included.
    pub used: Size,
    /// The snapshot that its dataset is a clone of.
    pub origin: Option<String>,
    /// Whether its file system is mounted.
    pub mounted: bool,
    /// Where its file system is mounted or would be; not looked at when all guests are read.
    pub mountpoint: Option<String>,
    /// Where chyves mounts its file system: below the mount point of the root. None where the root has none.
    pub home: Option<String>,
    /// The GUID of its dataset, where it was looked at.
    pub guid: Option<u64>,
    /// Why this host may not start it, if so.
    pub foreign: Option<String>,
    /// What its machine does.
    pub state: RunState,
}

/// What a guest's machine does, observed just now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RunState {
    /// Nothing runs.
    #[default]
    Stopped,
    /// A supervisor is bringing it up.
    Starting,
    /// It runs under its supervisor.
    Running,
    /// It runs, but its hypervisor has paused it.
    Paused {
        /// What could not be done.
        reason: String,
    },
    /// It was asked to power off.
    Stopping,
    /// It runs, and its supervisor is gone.
    Orphaned,
    /// Nothing runs, and the last end was a crash.
    Crashed {
        /// Why.
        reason: String,
    },
}

impl RunState {
    /// The word that lists show.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused { .. } => "paused",
            Self::Stopping => "stopping",
            Self::Orphaned => "orphaned",
            Self::Crashed { .. } => "crashed",
        }
    }

    /// Whether a machine is alive, or may be.
    pub const fn is_alive(&self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Paused { .. } | Self::Stopping | Self::Orphaned => true,
            Self::Stopped | Self::Crashed { .. } => false,
        }
    }
}

/// What can't be done with a paused guest, why, and how it goes on.
pub fn paused(name: &GuestName, dataset: &Dataset, reason: &str) -> Problem {
    Problem::not_now(format!("`{name}` is paused"))
        .on(name)
        .because(reason)
        .hint(goes_on(dataset))
        .hint(format!("type `chyves stop {name} --now` to power it off forcibly; what it could not write is lost then"))
}

/// How a paused guest goes on.
pub fn goes_on(dataset: &Dataset) -> String {
    let pool = dataset.pool();
    format!(
        "free space on {pool}, or raise the quota, and it resumes by itself; `zfs list -o space,quota,refquota -r {pool}` shows what uses the \
         space, `zpool status {pool}` what fails"
    )
}

impl Guest {
    /// The state that lists, tables and answers show: that of a guest of another host is `foreign` while nothing of it runs.
    pub fn shown_state(&self) -> &'static str {
        if self.foreign.is_some() && !self.state.is_alive() { "foreign" } else { self.state.word() }
    }

    /// Whether it is only cloned from.
    pub fn is_template(&self) -> bool {
        self.settings.value(keys::TEMPLATE).as_deref() == Some("yes")
    }

    /// The group it is in, as a path below `guests`.
    pub fn group(&self) -> Option<&str> {
        let guests = self.root.child("guests");
        let inner = self.dataset.as_str().strip_prefix(guests.as_str())?.strip_prefix('/')?;
        inner.rsplit_once('/').map(|(group, _)| group)
    }

    /// Where its files are.
    ///
    /// # Errors
    /// Its dataset has no mount point that chyves can use, or says by itself that it is mounted elsewhere.
    pub fn folder(&self) -> Result<&str> {
        if let (Some(is), Some(home)) = (&self.mountpoint, &self.home)
            && is != home
        {
            let adopt = format!("`chyves adopt {}` gives it chyves' own place", self.name);
            return Err(guard::misplaced(&self.dataset, is, home).hint(adopt));
        }
        self.mountpoint.as_deref().filter(|p| p.starts_with('/')).ok_or_else(|| {
            Problem::not_now(format!("the file system of `{}` has no mount point", self.name))
                .on(&self.dataset)
                .because(format!("its mountpoint is `{}`", self.mountpoint.as_deref().unwrap_or("none")))
                .hint(format!("give it one: zfs set mountpoint=/path {}", self.root))
        })
    }
}
