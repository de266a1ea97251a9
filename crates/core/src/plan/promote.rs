//! `promote`: a clone takes over the snapshots that it shares with its origin, and the origin becomes its clone (`zfs
//! promote`).

use super::{Plan, own_guest};
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::clones::origin;
use crate::guest::{DiskKind, Guest, disk_name};
use crate::property::keys;
use crate::value::{Dataset, GuestName, SnapshotRef};
use crate::world::World;

/// What has to be read before planning.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The datasets of the pool that are clones, each with its origin.
    pub origins: Vec<(Dataset, SnapshotRef)>,
    /// Names of the snapshots of the guest, and of its origin, oldest first.
    pub snapshots: (Vec<String>, Vec<String>),
    /// The GUIDs of both datasets.
    pub guids: Vec<(String, u64)>,
    /// The guest that it is a clone of, if it is one, and the snapshot that that guest reverts to.
    pub other: Option<(GuestName, Option<String>)>,
}

/// The guest that owns an origin snapshot, and the snapshot that that guest reverts to. The world must hold all guests.
///
/// # Errors
/// A stored value is invalid.
pub fn other(world: &World, origin: &SnapshotRef) -> Result<Option<(GuestName, Option<String>)>> {
    let Some(other) = world.guests.iter().find(|guest| guest.dataset == origin.dataset) else { return Ok(None) };
    let reverts_to = other.checked(keys::REVERT_TO)?.map(|name| name.trim_start_matches('@').to_owned());
    Ok(Some((other.name.clone(), reverts_to)))
}

/// Plans a promotion.
///
/// # Errors
/// The guest is foreign, depends on an image, or has a snapshot with the name of one that it would take over.
pub fn promote(world: &World, guest: &Guest, facts: &Facts) -> Result<Plan> {
    own_guest(guest)?;
    let Some(origin) = origin(guest) else {
        return Ok(Plan::nothing(format!("{} is not a clone: it depends on nothing", guest.name)));
    };
    let root = world.root_on(guest.root.pool())?;
    if !(origin.dataset.is_within(&root.guests()) || origin.dataset.is_within(&root.trash())) {
        return Err(Problem::not_now(format!("`{}` is a clone of {origin}, which is not a guest", guest.name))
            .on(&guest.name)
            .because("the image would become a clone of the guest")
            .hint(format!("make a copy that depends on nothing: `chyves clone {} NAME --independent`", guest.name)));
    }
    let (own, theirs) = &facts.snapshots;
    let coming: Vec<&String> = match theirs.iter().position(|s| s == origin.name.as_str()) {
        Some(last) => theirs[..=last].iter().collect(),
        None => Vec::new(),
    };
    let both: Vec<String> = coming.iter().filter(|s| own.contains(s)).map(|s| format!("@{s}")).collect();
    if !both.is_empty() {
        return Err(Problem::not_now(format!("`{}` cannot take over the snapshots of {}", guest.name, origin.dataset))
            .on(&guest.name)
            .because(format!("both have snapshots called {}", both.join(", ")))
            .hint(format!("delete its own: chyves snapshot delete {}{}", guest.name, both[0])));
    }
    if let Some((other, Some(reverts_to))) = &facts.other
        && coming.contains(&reverts_to)
    {
        return Err(Problem::not_now(format!("`{}` cannot take over the snapshots of `{other}`", guest.name))
            .on(&guest.name)
            .because(format!("`{other}` reverts to @{reverts_to}, which would no longer be its own, so that it could not start"))
            .hint(format!("take another snapshot for it: `chyves snapshot {other}@NAME`, `chyves set {other} revert_to_snapshot=NAME`"))
            .hint(format!("or let it no longer revert: `chyves unset {other} revert_to_snapshot,revert_to_snapshot_method`")));
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: facts.guids.clone() });
    plan.push(Action::Promote { clone: guest.dataset.clone(), origin: origin.dataset.clone() });
    for disk in guest.spec()?.disks.iter().filter(|d| d.kind == DiskKind::Zvol) {
        let volume = guest.dataset.child(disk_name(disk.number, disk.kind));
        if let Some((_, of)) = facts.origins.iter().find(|(clone, _)| *clone == volume) {
            plan.push(Action::Promote { clone: volume, origin: of.dataset.clone() });
        }
    }
    let moved = super::count(coming.len(), "snapshot");
    plan.notes.push(format!("from {} to {}: {moved}, {}", origin.dataset, guest.name, names(&coming)));
    if let Some((other, _)) = &facts.other {
        plan.notes.push(format!(
            "{other} becomes a clone of {0}: it can no longer be rolled back to {1} nor sent from there, and {0} cannot be destroyed before it",
            guest.name,
            if coming.len() == 1 { "that snapshot" } else { "these snapshots" }
        ));
    }
    Ok(plan)
}

fn names(all: &[&String]) -> String {
    let shown: Vec<String> = all.iter().take(8).map(|s| format!("@{s}")).collect();
    let more = all.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing;

    fn facts(own: &[&str]) -> Facts {
        let disk: Dataset = "tank/chyves/guests/web02/disk0".parse().unwrap();
        Facts {
            origins: vec![(disk, "tank/chyves/guests/web01/disk0@base".parse().unwrap())],
            snapshots: (own.iter().map(|s| (*s).to_owned()).collect(), ["old", "base", "new"].map(str::to_owned).to_vec()),
            guids: vec![("tank/chyves/guests/web02".into(), 1), ("tank/chyves/guests/web01".into(), 2)],
            other: Some(("web01".parse().unwrap(), None)),
        }
    }

    #[test]
    fn files_and_volumes_change_sides() {
        let mut g = testing::guest("web02", &[("disk0.kind", "zvol")]);
        let world = testing::world(vec![g.clone()]);
        assert!(promote(&world, &g, &Facts::default()).unwrap().steps.is_empty());
        g.origin = Some("tank/chyves/guests/web01@base".into());
        insta::assert_snapshot!(promote(&world, &g, &facts(&["mine", "new"])).unwrap().script(Os::Linux), @r"
        # note: from tank/chyves/guests/web01 to web02: 2 snapshots, @old, @base
        # note: web01 becomes a clone of web02: it can no longer be rolled back to these snapshots nor sent from there, and web02 cannot be destroyed before it
        # make sure that tank/chyves/guests/web02 has the GUID 1, tank/chyves/guests/web01 has the GUID 2
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web02 tank/chyves/guests/web01
        # make tank/chyves/guests/web02 the owner of the snapshots that it shares with tank/chyves/guests/web01
        zfs promote tank/chyves/guests/web02
        # make tank/chyves/guests/web02/disk0 the owner of the snapshots that it shares with tank/chyves/guests/web01/disk0
        zfs promote tank/chyves/guests/web02/disk0
        ");
        let reverting = Facts { other: Some(("web01".parse().unwrap(), Some("old".into()))), ..facts(&[]) };
        assert!(promote(&world, &g, &reverting).unwrap_err().causes[0].contains("reverts to @old"));
        let elsewhere = Facts { other: Some(("web01".parse().unwrap(), Some("new".into()))), ..facts(&[]) };
        assert!(promote(&world, &g, &elsewhere).is_ok());
        assert!(promote(&world, &g, &facts(&["old"])).unwrap_err().causes[0].contains("@old"));
        g.origin = Some("tank/chyves/images/tiny@ready".into());
        assert_eq!(promote(&world, &g, &facts(&[])).unwrap_err().code.exit_code(), 4);
    }
}
