//! `snapshot create|delete|diff|rollback`: the state of a guest's file system, disks and settings at one moment.
//!
//! ZFS does not restore user properties on a rollback, so each snapshot stores the guest's own settings as properties of
//! the snapshot, and a rollback sets them again.
//!
//! * [`seen`]: snapshots as they were read, and which program took them
//! * [`mod@delete`]: destroying one snapshot or a range
//! * [`mod@diff`]: what changed since a snapshot
//! * [`mod@rollback`]: returning to a snapshot
//! * [`then`]: the settings and disks at a snapshot
//! * [`volumes`]: the volumes at a snapshot, and their present names

pub mod delete;
pub mod diff;
pub mod rollback;
pub mod seen;
pub mod then;
pub(in crate::plan) mod volumes;

use super::{Plan, pairs};
use crate::action::Action;
use crate::error::{Code, Result, did_you_mean};
use crate::guest::Guest;
use crate::property::keys;
use crate::property::settings::OwnValues;
use crate::value::{Dataset, SnapshotName, SnapshotRef};
use crate::zfs::args::Pair;
pub use delete::{Choice, Chosen, choose, delete};
pub use rollback::{carried_settings, rollback, rollback_in_place, settings_change};
pub use seen::{Maker, Seen, read};
use std::collections::BTreeMap;

/// What has to be read before planning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The guest's snapshots, oldest first.
    pub there: Vec<Seen>,
    /// Clones of the selected snapshots: the snapshot's name, and the dataset that depends on it.
    pub clones: Vec<(String, String)>,
    /// GUIDs of the guest's dataset and of the selected snapshots.
    pub guids: Vec<(String, u64)>,
    /// The settings that the guest had at the snapshot; `None` if unknown.
    pub settings: Option<OwnValues>,
    /// The guest's volumes that have the selected snapshot, by the last component of their names.
    pub volumes: Vec<String>,
    /// Native ZFS properties that the user set on its datasets.
    pub natives: BTreeMap<Dataset, Vec<Pair>>,
}

impl Facts {
    /// Adds the snapshots of volumes, with their GUIDs.
    pub fn add_volumes(&mut self, of: Vec<(SnapshotRef, u64)>) {
        for (snapshot, guid) in of {
            self.volumes.push(snapshot.dataset.leaf().to_owned());
            self.guids.push((snapshot.to_string(), guid));
        }
    }
}

/// Plans to take a snapshot.
///
/// # Errors
/// A snapshot of that name exists.
pub fn create(guest: &Guest, name: &SnapshotName, there: &[Seen], now: &str) -> Result<Plan> {
    if there.iter().any(|s| s.name == name.as_str()) {
        return Err(Code::SnapshotExists
            .problem(format!("`{}` has a snapshot called `{name}` already", guest.name))
            .on(format!("{}@{name}", guest.name))
            .hint(format!("choose another name, or `chyves snapshot delete {}@{name}` first", guest.name)));
    }
    let live = guest.state.is_alive();
    let mut plan = Plan::default();
    if live {
        plan.notes.push(format!("{} is {}: crash-consistent snapshot of its disks", guest.name, guest.state.word()));
    }
    plan.push(Action::Snapshot { snapshot: guest.dataset.at(name), own: carried(guest, now) });
    Ok(plan)
}

/// The properties that a snapshot of a guest stores: the guest's own settings and the snapshot's own marks.
pub(super) fn carried(guest: &Guest, now: &str) -> Vec<Pair> {
    let mut own = pairs(guest.settings.own_values());
    own.push((keys::SNAPSHOT_TAKEN.into(), now.into()));
    if guest.state.is_alive() {
        own.push((keys::SNAPSHOT_LIVE.into(), "yes".into()));
    }
    own
}

/// The snapshot of that name among the existing ones.
///
/// # Errors
/// There is none.
pub fn find<'a>(guest: &Guest, name: &SnapshotName, there: &'a [Seen]) -> Result<&'a Seen> {
    there.iter().find(|s| s.name == name.as_str()).ok_or_else(|| {
        Code::NoSuchSnapshot
            .problem(format!("`{}` has no snapshot called `{name}`", guest.name))
            .on(format!("{}@{name}", guest.name))
            .hint_if(did_you_mean(name.as_str(), there.iter().map(|s| s.name.as_str())))
            .hint(format!("`chyves snapshot list {}` shows them all", guest.name))
    })
}

#[cfg(test)]
pub(crate) mod testing {
    //! Snapshots for the tests.

    use super::{Maker, Seen};
    use crate::value::Size;

    pub(crate) fn seen(names: &[&str]) -> Vec<Seen> {
        let one = |n: &&str| Seen {
            name: (*n).into(),
            creation: "1700000000".into(),
            used: Size::mib(1),
            referenced: Size::mib(8),
            maker: Maker::of(n, !n.contains("other") && !n.starts_with("zrepl_") && !n.starts_with("autosnap_")),
            live: false,
        };
        names.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::seen;
    use super::*;
    use crate::guest::RunState;
    use crate::os::Os;
    use crate::plan::testing;

    #[test]
    fn a_snapshot_carries_the_settings() {
        let mut g = testing::guest("web01", &[("cpu", "2"), ("description", "a b")]);
        g.state = RunState::Running;
        let plan = create(&g, &"before".parse().unwrap(), &[], "2026-01-31T12:00:00Z").unwrap();
        insta::assert_snapshot!(plan.script(Os::Linux), @r"
        # note: web01 is running: crash-consistent snapshot of its disks
        # take the snapshot tank/chyves/guests/web01@before
        zfs snapshot -r -o chyves:cpu=2 -o 'chyves:description=a b' -o chyves:snapshot.taken=2026-01-31T12:00:00Z -o chyves:snapshot.live=yes tank/chyves/guests/web01@before
        ");
        assert!(create(&g, &"before".parse().unwrap(), &seen(&["before"]), "").is_err());
    }
}
