//! The settings and disks that a guest had at one of its snapshots.
//!
//! A snapshot that chyves took stores the settings as its own properties. One of another program (sanoid, zrepl, a user)
//! contains the copy of them in the guest's file system; that copy is read from a clone of the snapshot, because not every
//! ZFS makes the files of snapshots accessible. Every command that works with a snapshot (clone, send, diff, rollback,
//! revert) gets the settings from here, never from the present guest.

use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::{DiskKind, DiskSpec, Guest};
use crate::plan::{Moment, Plan, copy_path};
use crate::property::keys::{self, DiskKey};
use crate::property::settings::{Own, OwnValues};
use crate::value::{Dataset, SnapshotName};
use crate::world::World;

/// The plan that reads the copy of the settings in a snapshot; the last file that it reads is the copy. `guids` are those
/// of the guest and of the snapshot.
///
/// # Errors
/// The root on the guest's pool has no mount point.
pub fn reading(world: &World, guest: &Guest, name: &SnapshotName, guids: Vec<(String, u64)>, moment: &Moment) -> Result<Plan> {
    let root = world.root_on(guest.root.pool())?;
    let token = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
    let work = root.trash().child(format!("reading-{}", token.get(..8).unwrap_or(&token)));
    let folder = work_folder(world, &work)?;
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: guids });
    plan.push(Action::CloneDataset {
        from: guest.dataset.at(name),
        to: work.clone(),
        native: vec![("canmount".into(), "noauto".into())],
        own: Vec::new(),
    });
    plan.push(Action::Mount { dataset: work.clone() });
    plan.push(Action::ReadFile { path: copy_path(&folder) });
    plan.push(Action::Unmount { dataset: work.clone() });
    plan.push(Action::DestroyDataset { dataset: work });
    Ok(plan)
}

/// The mount point of a temporary clone in the trash.
pub(in crate::plan) fn work_folder(world: &World, work: &Dataset) -> Result<String> {
    let root = world.root_on(work.pool())?;
    Ok(format!("{}/trash/{}", crate::plan::create::mountpoint(root)?, work.leaf()))
}

/// The disks that these settings describe, without attached ones.
fn disks(guest: &Guest, settings: &OwnValues) -> Result<Vec<DiskSpec>> {
    let then = Guest { settings: guest.settings.with_own(settings.clone()), ..guest.clone() };
    Ok(then.spec()?.disks.into_iter().filter(|d| d.kind != DiskKind::Attached).collect())
}

/// Checks that every present disk existed at the snapshot, with the same number and kind: rolling back while the settings
/// are kept would destroy any other. `what` names the operation, and `fate` what would happen to the disk.
///
/// # Errors
/// A disk did not exist; the message names it.
pub(in crate::plan) fn has_all_disks(guest: &Guest, name: &SnapshotName, then: &OwnValues, what: &str, fate: &str) -> Result<()> {
    let past = disks(guest, then)?;
    let present = disks(guest, guest.settings.own_values())?;
    let was_there = |d: &&DiskSpec| past.iter().any(|p| p.number == d.number && p.kind == d.kind && p.serial == d.serial);
    match present.iter().find(|d| !was_there(d)) {
        None => Ok(()),
        Some(new) => {
            let object = format!("disk{}", new.number);
            let other = past.iter().any(|p| p.number == new.number);
            let since = if other { "has been replaced since" } else { "was added after that snapshot" };
            Err(Problem::not_now(format!("cannot {what} {} to @{name}: {object} {since} and would be {fate}", guest.name))
                .on(format!("{}:{object}", guest.name))
                .because(format!("@{name} holds {}", named(&past)))
                .hint(format!("remove it first, which moves it to the trash: `chyves disk remove {} {object}`", guest.name)))
        }
    }
}

fn named(disks: &[DiskSpec]) -> String {
    let names: Vec<String> = disks.iter().map(|d| format!("disk{}", d.number)).collect();
    if names.is_empty() { "no disk".to_owned() } else { names.join(", ") }
}

/// The present settings with the disk sizes of the snapshot, for disks that are rolled back to it.
///
/// # Errors
/// The settings are invalid.
pub(in crate::plan) fn with_sizes(guest: &Guest, then: &OwnValues) -> Result<OwnValues> {
    let past = disks(guest, then)?;
    let mut own = guest.settings.own_values().clone();
    for disk in disks(guest, &own)? {
        let Some(size) = past.iter().find(|p| p.serial == disk.serial).and_then(|p| then.get(&keys::disk(p.number, DiskKey::Size))) else {
            continue;
        };
        own.insert(keys::disk(disk.number, DiskKey::Size), Own { value: size.value.clone(), received: false });
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing::{self, moment, own};

    #[test]
    fn the_copy_is_read_from_a_clone_that_goes_again() {
        let g = testing::guest("web01", &[]);
        let world = testing::world(vec![g.clone()]);
        let plan =
            reading(&world, &g, &"autosnap_2026".parse().unwrap(), vec![("tank/chyves/guests/web01".into(), 4711)], &moment(1)).unwrap();
        insta::assert_snapshot!(plan.script(Os::Linux), @"
        # make sure that tank/chyves/guests/web01 has the GUID 4711
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
        # clone tank/chyves/guests/web01@autosnap_2026 to tank/chyves/trash/reading-00000000
        zfs clone -o canmount=noauto tank/chyves/guests/web01@autosnap_2026 tank/chyves/trash/reading-00000000
        # mount tank/chyves/trash/reading-00000000
        zfs mount tank/chyves/trash/reading-00000000
        # read /tank/chyves/trash/reading-00000000/config.toml
        cat /tank/chyves/trash/reading-00000000/config.toml
        # unmount tank/chyves/trash/reading-00000000
        zfs unmount tank/chyves/trash/reading-00000000
        # destroy tank/chyves/trash/reading-00000000
        zfs destroy tank/chyves/trash/reading-00000000
        ");
    }

    #[test]
    fn a_disk_that_came_after_the_snapshot_is_named() {
        let name = "clean".parse().unwrap();
        let now = [("disk0.kind", "raw"), ("disk0.size", "2G"), ("disk1.kind", "raw"), ("disk1.size", "1G")];
        let g = testing::guest("web01", &now);
        let then = own(&[("disk0.kind", "raw"), ("disk0.size", "1G")]);
        let problem = has_all_disks(&g, &name, &then, "revert", "destroyed").unwrap_err();
        assert_eq!(problem.message, "cannot revert web01 to @clean: disk1 was added after that snapshot and would be destroyed");
        assert_eq!(problem.code.exit_code(), 4);
        // Another disk has the number of a disk that was removed.
        let other = own(&[("disk0.kind", "raw"), ("disk1.kind", "raw"), ("disk1.serial", "OTHER")]);
        assert!(has_all_disks(&g, &name, &other, "revert", "destroyed").unwrap_err().message.contains("has been replaced"));
        let volume = own(&[("disk0.kind", "raw"), ("disk1.kind", "zvol")]);
        assert!(has_all_disks(&g, &name, &volume, "revert", "destroyed").is_err());
        assert!(has_all_disks(&g, &name, g.settings.own_values(), "revert", "destroyed").is_ok());
        // An attached disk is not part of the snapshot.
        let g = testing::guest("web01", &[("disk0.kind", "raw"), ("disk5.kind", "attached"), ("disk5.source", "/d")]);
        assert!(has_all_disks(&g, &name, &then, "revert", "destroyed").is_ok());
    }

    #[test]
    fn sizes_go_back_with_the_disks() {
        let g = testing::guest("web01", &[("cpu", "2"), ("disk0.kind", "raw"), ("disk0.size", "2G")]);
        let then = own(&[("cpu", "1"), ("disk0.kind", "raw"), ("disk0.size", "1G")]);
        assert_eq!(with_sizes(&g, &then).unwrap(), own(&[("cpu", "2"), ("disk0.kind", "raw"), ("disk0.size", "1G")]));
    }
}
