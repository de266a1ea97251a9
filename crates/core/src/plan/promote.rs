//! `promote`: a clone becomes the owner of the snapshots that it shares with what it is a clone of, which then is its clone.

use super::{Plan, own_guest};
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::{DiskKind, Guest, disk_name};
use crate::value::{Dataset, SnapshotRef};
use crate::world::World;

/// What has to be seen before.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The datasets of the pool that are clones, each with its origin.
    pub origins: Vec<(Dataset, SnapshotRef)>,
    /// Names of the snapshots of the guest, and of what it is a clone of, oldest first.
    pub snapshots: (Vec<String>, Vec<String>),
    /// GUIDs of both.
    pub guids: Vec<(String, u64)>,
}

/// What a guest is a clone of, if it is one.
pub fn origin(guest: &Guest) -> Option<SnapshotRef> {
    guest.origin.as_deref().and_then(|o| o.parse().ok())
}

/// Plans a promotion.
///
/// # Errors
/// The guest is foreign, stands on an image, or has a snapshot of the same name as one that would come to it.
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
        # make sure that tank/chyves/guests/web02 has the GUID 1, tank/chyves/guests/web01 has the GUID 2
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web02 tank/chyves/guests/web01
        # make tank/chyves/guests/web02 the owner of the snapshots that it shares with tank/chyves/guests/web01
        zfs promote tank/chyves/guests/web02
        # make tank/chyves/guests/web02/disk0 the owner of the snapshots that it shares with tank/chyves/guests/web01/disk0
        zfs promote tank/chyves/guests/web02/disk0
        ");
        assert!(promote(&world, &g, &facts(&["old"])).unwrap_err().causes[0].contains("@old"));
        g.origin = Some("tank/chyves/images/tiny@ready".into());
        assert_eq!(promote(&world, &g, &facts(&[])).unwrap_err().code.exit_code(), 4);
    }
}
