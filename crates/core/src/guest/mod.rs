//! A guest: the contents of its dataset ([`Guest`]) and their interpretation ([`Spec`]).
//!
//! * [`spec`]: its settings, typed
//! * `read`: converts stored values to typed ones
//! * [`disk_records`]: the records of its disks, invalid ones included; `cure`: what replaces an invalid value
//! * [`clones`]: the tree of guests by the guest that each is a clone of
//! * [`copy`]: the copy of the settings in its file system
//! * [`trash`]: moving its disks to the trash
//! * [`trust`]: which of its host-reaching settings are trusted

pub mod clones;
pub mod copy;
mod cure;
mod disk_file;
pub mod disk_records;
pub mod pending;
mod read;
pub mod spec;
#[cfg(test)]
mod tests;
pub mod trash;
pub mod trust;
pub mod written;

pub use copy::{read_copy, read_settings_copy, settings_copy};
pub use disk_file::{DiskFile, DiskFormat};
pub use disk_records::DiskRecord;
pub use spec::*;
pub use trash::{Trashed, TrashedDisk};

use crate::error::{Problem, Result};
use crate::property::keys;
use crate::property::settings::Settings;
use crate::value::json::tagged;
use crate::value::{Dataset, GuestName, Size};
use crate::zfs::guard;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One guest, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its name.
    pub name: GuestName,
    /// Its dataset.
    pub dataset: Dataset,
    /// The root that its dataset is below.
    pub root: Dataset,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its settings.
    pub settings: Settings,
    /// Space that it uses in the pool, including snapshots and disks.
    pub used: Size,
    /// The origin of its dataset, if that is a clone.
    pub origin: Option<String>,
    /// Whether its file system is mounted.
    pub mounted: bool,
    /// Its actual or configured mount point; not read when all guests are listed.
    pub mountpoint: Option<String>,
    /// Where chyves mounts its file system: below the mount point of the root. `None` if the root has none.
    pub home: Option<String>,
    /// Whether ZFS mounts its file system (`canmount`), if it was read.
    pub canmount: Option<String>,
    /// Whether its file system is read-only, if it was read.
    pub readonly: bool,
    /// The GUID of its dataset, if it was read.
    pub guid: Option<u64>,
    /// The reason why this host must not start it, if there is one.
    pub foreign: Option<String>,
    /// The state of its VM.
    pub state: RunState,
}

/// The state of a guest's VM.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case")]
pub enum RunState {
    /// Not running.
    #[default]
    Stopped,
    /// A supervisor is starting it.
    Starting,
    /// It runs under its supervisor.
    Running,
    /// Running, but its hypervisor has paused it.
    Paused {
        /// The operation that failed.
        reason: String,
    },
    /// A shutdown was requested.
    Stopping,
    /// Running, but its supervisor is gone.
    Orphaned,
    /// Not running, and the last run ended with a crash.
    Crashed {
        /// The cause of the crash.
        reason: String,
    },
}

tagged!(RunState, "state");

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

    /// Whether a VM is or may be alive.
    pub const fn is_alive(&self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Paused { .. } | Self::Stopping | Self::Orphaned => true,
            Self::Stopped | Self::Crashed { .. } => false,
        }
    }
}

/// The error for operations that a paused guest does not support, with the reason and how to resume it.
pub fn paused(name: &GuestName, dataset: &Dataset, reason: &str) -> Problem {
    Problem::not_now(format!("`{name}` is paused"))
        .on(name)
        .because(reason)
        .hint(goes_on(dataset))
        .hint(format!("type `chyves stop {name} --now` to power it off forcibly; what it could not write is lost then"))
}

/// How to resume a paused guest.
pub fn goes_on(dataset: &Dataset) -> String {
    let pool = dataset.pool();
    format!(
        "free space on {pool}, or raise the quota, and it resumes by itself; `zfs list -o space,quota,refquota -r {pool}` shows what uses the \
         space, `zpool status {pool}` what fails"
    )
}

impl Guest {
    /// The state that lists, tables and results show: a guest of another host is `foreign` unless it is running.
    pub fn shown_state(&self) -> &'static str {
        if self.foreign.is_some() && !self.state.is_alive() { "foreign" } else { self.state.word() }
    }

    /// Whether it is a template, which can only be cloned.
    pub fn is_template(&self) -> bool {
        self.settings.value(keys::TEMPLATE).as_deref() == Some("yes")
    }

    /// The group it is in, as a path below `guests`.
    pub fn group(&self) -> Option<&str> {
        let guests = self.root.child("guests");
        let inner = self.dataset.as_str().strip_prefix(guests.as_str())?.strip_prefix('/')?;
        inner.rsplit_once('/').map(|(group, _)| group)
    }

    /// The folder with its files.
    ///
    /// # Errors
    /// Its dataset has no mount point that chyves can use, or overrides its mount point.
    pub fn folder(&self) -> Result<&str> {
        if let (Some(is), Some(home)) = (&self.mountpoint, &self.home)
            && is != home
        {
            let adopt = format!("`chyves adopt {}` gives it chyves' own place", self.name);
            return Err(guard::misplaced(&self.dataset, is, home).hint(adopt));
        }
        if !self.mounted && self.canmount.as_deref() == Some("off") {
            return Err(guard::unmountable(&self.dataset));
        }
        self.mountpoint.as_deref().filter(|p| p.starts_with('/')).ok_or_else(|| {
            Problem::not_now(format!("the file system of `{}` has no mount point", self.name))
                .on(&self.dataset)
                .because(format!("its mountpoint is `{}`", self.mountpoint.as_deref().unwrap_or("none")))
                .hint(format!("give it one: zfs set mountpoint=/path {}", self.root))
        })
    }

    /// The folder with its files, for a VM, which writes there.
    ///
    /// # Errors
    /// As [`folder`](Self::folder), or the file system is read-only. That of a template is meant to be.
    pub fn writable(&self) -> Result<&str> {
        if self.readonly && !self.is_template() { Err(guard::read_only(&self.dataset)) } else { self.folder() }
    }
}
