//! Maps the volumes that a guest had at one of its snapshots to their present names: disks are added, removed and
//! renumbered, and a volume's snapshots stay with the volume.
//!
//! A disk is identified by its serial number, which it keeps when it is renumbered.

use crate::error::{Problem, Result};
use crate::guest::{DiskKind, DiskSpec, Guest, disk_name};
use crate::property::settings::OwnValues;
use crate::value::SnapshotName;

/// One volume of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) struct Volume {
    /// Its present name.
    pub(in crate::plan) now: String,
    /// Its name at the snapshot.
    pub(in crate::plan) then: String,
}

impl Volume {
    fn of(now: &DiskSpec, then: &DiskSpec) -> Self {
        Self { now: disk_name(now.number, now.kind), then: disk_name(then.number, then.kind) }
    }
}

/// All present volumes, for a snapshot that is about to be taken.
///
/// # Errors
/// The settings are invalid.
pub(in crate::plan) fn present(guest: &Guest) -> Result<Vec<Volume>> {
    Ok(volumes(guest)?.iter().map(|d| Volume::of(d, d)).collect())
}

/// The disks that are volumes.
fn volumes(guest: &Guest) -> Result<Vec<DiskSpec>> {
    Ok(guest.spec()?.disks.into_iter().filter(|d| d.kind == DiskKind::Zvol).collect())
}

/// The names of the volumes in these settings, with their serial numbers.
///
/// # Errors
/// The settings are invalid.
pub(in crate::plan) fn had(guest: &Guest, settings: OwnValues) -> Result<Vec<(String, String)>> {
    let then = Guest { settings: guest.settings.with_own(settings), ..guest.clone() };
    Ok(volumes(&then)?.into_iter().map(|d| (disk_name(d.number, d.kind), d.serial)).collect())
}

/// The volumes at the snapshot; `settings` are those of that time, and `there` the present volumes that have the snapshot.
///
/// # Errors
/// The guest no longer has one of them.
pub(in crate::plan) fn then(guest: &Guest, name: &SnapshotName, settings: OwnValues, there: &[String]) -> Result<Vec<Volume>> {
    let past = volumes(&Guest { settings: guest.settings.with_own(settings), ..guest.clone() })?;
    let present = volumes(guest)?;
    let same = |old: &DiskSpec| {
        let by_serial = present.iter().find(|d| d.serial == old.serial);
        // The serial number may have been changed since.
        let by_number = || present.iter().find(|d| d.number == old.number && past.iter().all(|p| p.serial != d.serial));
        by_serial.or_else(by_number)
    };
    past.iter()
        .map(|old| match same(old).map(|new| Volume::of(new, old)).filter(|v| there.contains(&v.now)) {
            Some(volume) => Ok(volume),
            None => Err(Problem::not_now(format!(
                "`{}` cannot be rolled back to `@{name}`: disk{} existed at that snapshot and has since been removed",
                guest.name, old.number
            ))
            .on(format!("{}:disk{}", guest.name, old.number))
            .because(format!("no disk of the present has the serial number {} and that snapshot", old.serial))
            .hint(format!(
                "if it is in the trash (`chyves trash list`), restore it first: `chyves undelete {}:disk{}`",
                guest.name, old.number
            ))),
        })
        .collect()
}

/// The present volumes that have the snapshot.
///
/// # Errors
/// The settings are invalid.
pub(in crate::plan) fn now(guest: &Guest, there: &[String]) -> Result<Vec<Volume>> {
    Ok(volumes(guest)?.iter().map(|d| Volume::of(d, d)).filter(|v| there.contains(&v.now)).collect())
}

/// All present volumes.
///
/// # Errors
/// One of them did not exist at the snapshot.
pub(in crate::plan) fn all(guest: &Guest, name: &SnapshotName, there: &[String]) -> Result<Vec<Volume>> {
    let had = now(guest, there)?;
    match volumes(guest)?.iter().find(|d| had.iter().all(|v| v.now != disk_name(d.number, d.kind))) {
        None => Ok(had),
        Some(new) => Err(Problem::not_now(format!("`{}` had no disk{} at `@{name}`", guest.name, new.number))
            .on(format!("{}:disk{}", guest.name, new.number))
            .because("its settings name that disk, and its volume has no such snapshot")
            .hint(format!("remove it first; it goes to the trash: `chyves disk remove {} disk{}`", guest.name, new.number))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{self, own};

    fn facts(volumes: &[&str]) -> Vec<String> {
        volumes.iter().map(|v| (*v).to_owned()).collect()
    }

    fn pairs(volumes: &[Volume]) -> Vec<(&str, &str)> {
        volumes.iter().map(|v| (v.now.as_str(), v.then.as_str())).collect()
    }

    #[test]
    fn a_disk_is_found_under_the_number_that_it_has_now() {
        let past = own(&[("disk0.kind", "zvol"), ("disk1.kind", "zvol"), ("disk2.kind", "raw")]);
        let before = testing::guest("web01", &[("disk0.kind", "zvol"), ("disk1.kind", "zvol")]);
        let serial = |n: usize| before.spec().unwrap().disks[n].serial.clone();
        let name = "one".parse().unwrap();
        // Two volumes swapped their numbers, and a third one was added.
        let g = testing::guest(
            "web01",
            &[
                ("disk0.kind", "zvol"),
                ("disk0.serial", &serial(1)),
                ("disk1.kind", "zvol"),
                ("disk1.serial", &serial(0)),
                ("disk5.kind", "zvol"),
            ],
        );
        let there = facts(&["disk0", "disk1"]);
        assert_eq!(pairs(&then(&g, &name, past.clone(), &there).unwrap()), [("disk1", "disk0"), ("disk0", "disk1")]);
        assert_eq!(pairs(&now(&g, &there).unwrap()), [("disk0", "disk0"), ("disk1", "disk1")]);
        assert!(all(&g, &name, &there).unwrap_err().hints[0].contains("disk remove web01 disk5"));
        // With another serial number it is still the disk with its number; a new disk with that number has no such
        // snapshot.
        let g = testing::guest("web01", &[("disk0.kind", "zvol"), ("disk0.serial", "MINE"), ("disk1.kind", "zvol")]);
        assert_eq!(pairs(&then(&g, &name, past.clone(), &there).unwrap()), [("disk0", "disk0"), ("disk1", "disk1")]);
        let gone = then(&g, &name, past, &facts(&["disk0"])).unwrap_err();
        assert_eq!(gone.code.exit_code(), 4);
        assert!(gone.hints[0].contains("undelete web01:disk1"), "{gone:?}");
    }
}
