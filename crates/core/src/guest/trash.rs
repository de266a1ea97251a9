//! Moving disks of a guest to the trash: the target datasets, and the settings that identify the disks there.
//!
//! Not here: other changes when a disk is removed (`plan/disk/remove`, and `receive` in chyves-host).

use super::{DiskKind, Guest, disk_name};
use crate::property::keys::{self, DiskKey};
use crate::value::{Dataset, GuestName, Size};
use crate::zfs::args::Pair;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Disks that leave a guest: the guest, the time, and the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The guest's name.
    pub guest: GuestName,
    /// The guest's UUID.
    pub of: Uuid,
    /// The trash of their pool.
    pub trash: Dataset,
    /// Distinguishes this removal from others.
    pub token: String,
    /// The time, in the form that properties store.
    pub now: String,
    /// The settings of all its disks, by key.
    pub settings: Vec<Pair>,
}

impl Leaving {
    /// The disks of a guest with its present settings.
    pub fn of(guest: &Guest, trash: Dataset, token: Option<Uuid>, now: &str) -> Self {
        let token = token.map(|u| u.simple().to_string()).unwrap_or_default();
        let own = guest.settings.own_values().iter();
        Self {
            guest: guest.name.clone(),
            of: guest.uuid,
            trash,
            token: token.get(..8).unwrap_or(&token).to_owned(),
            now: now.to_owned(),
            settings: own.filter(|(key, _)| is_of_a_disk(key)).map(|(key, own)| (key.clone(), own.value.clone())).collect(),
        }
    }

    /// The dataset of disk `number` in the trash.
    pub fn place(&self, number: u16) -> Dataset {
        self.trash.child(format!("{}-disk{number}-{}", self.of, self.token))
    }

    /// The settings of disk `number`.
    pub fn own(&self, number: u16) -> Vec<Pair> {
        let prefix = format!("disk{number}.");
        self.settings.iter().filter(|(key, _)| key.starts_with(&prefix)).cloned().collect()
    }

    /// The properties to set on disk `number`. A disk without settings is a volume at least.
    pub fn marks(&self, number: u16) -> Vec<Pair> {
        let mut own = self.own(number);
        if own.is_empty() {
            own.push((keys::disk(number, DiskKey::Kind), DiskKind::Zvol.word().to_owned()));
        }
        marks(&self.now, &self.guest, self.of, own)
    }
}

/// The properties of a disk in the trash: the time, the guest it belonged to, and its own settings.
pub fn marks(deleted: &str, guest: &GuestName, of: Uuid, own: Vec<Pair>) -> Vec<Pair> {
    let whose = [(keys::DELETED, deleted.to_owned()), (keys::NAME, guest.to_string()), (keys::REMOVED_FROM, of.to_string())];
    whose.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(own).collect()
}

fn is_of_a_disk(key: &str) -> bool {
    key.strip_prefix("disk").and_then(|rest| rest.split_once('.')).is_some_and(|(number, _)| number.parse::<u16>().is_ok())
}

/// The number of the disk with this volume name.
pub fn volume_number(leaf: &str) -> Option<u16> {
    let number = leaf.strip_prefix("disk")?.parse().ok()?;
    (disk_name(number, DiskKind::Zvol) == leaf).then_some(number)
}

/// A deleted guest, or a removed disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trashed {
    /// The guest's former name.
    pub name: GuestName,
    /// Its dataset.
    pub dataset: Dataset,
    /// The guest's UUID.
    pub uuid: Option<Uuid>,
    /// When it was deleted.
    pub deleted: String,
    /// Space that it uses in the pool.
    pub used: Size,
    /// The guest's former group.
    pub group: Option<String>,
    /// The removed disk; `None` for a guest.
    pub disk: Option<TrashedDisk>,
}

impl Trashed {
    /// The name in lists: a guest's name, followed by the disk's number for a disk.
    pub fn label(&self) -> String {
        match &self.disk {
            Some(disk) => format!("{}:disk{}", self.name, disk.number),
            None => self.name.to_string(),
        }
    }
}

/// A removed disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrashedDisk {
    /// The guest's UUID.
    pub of: Uuid,
    /// The disk's former number.
    pub number: u16,
    /// Its kind: a file in the dataset, or the dataset itself.
    pub kind: DiskKind,
    /// Its settings, by the part of the key after the dot.
    pub settings: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    #[test]
    fn a_disk_takes_its_own_settings_along_and_no_others() {
        let own = [("disk1.kind", "zvol"), ("disk1.size", "1G"), ("disk12.kind", "raw"), ("diskless", "x"), ("cpu", "2")];
        let g = testing::guest("web01", &own);
        let leaving = Leaving::of(&g, "tank/chyves/trash".parse().unwrap(), Some(Uuid::nil()), "2026-01-31T12:00:00Z");
        assert_eq!(leaving.place(1).to_string(), format!("tank/chyves/trash/{}-disk1-00000000", g.uuid));
        let marks = leaving.marks(1);
        assert_eq!(marks[3..], [("disk1.kind".into(), "zvol".into()), ("disk1.size".into(), "1G".into())]);
        assert_eq!(leaving.marks(7)[3..], [("disk7.kind".into(), "zvol".into())]);
        assert_eq!(leaving.settings.len(), 3);
    }

    #[test]
    fn only_what_a_volume_is_called_has_a_number() {
        assert_eq!(["disk0", "disk12"].map(volume_number), [Some(0), Some(12)]);
        assert_eq!(["disk", "disk01", "disk1.raw", "data", "disk+1", "disk70000"].map(volume_number), [None; 6]);
    }
}
