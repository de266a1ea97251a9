//! `snapshot rollback`: restores a guest's files, disks and settings from a snapshot.
//!
//! The settings at the snapshot come from [`super::then`], whichever program took the snapshot.

use super::volumes::{self, Volume};
use super::{Facts, create, find, then};
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::{Guest, trust};
use crate::plan::{Moment, Plan, keep_copy, not_template, of_disks, own_guest, pairs, stopped, whole, with};
use crate::property::keys;
use crate::property::settings::{Own, OwnValues};
use crate::value::{Dataset, SnapshotName, SnapshotRef};
use crate::world::World;
use crate::zfs::Dialect;
use crate::zfs::args::Pair;
use std::collections::BTreeMap;

/// Plans a rollback that preserves the present state, so that it can be undone. Nothing is destroyed: neither the present
/// state, of which a snapshot is taken first, nor newer snapshots, nor clones. With `keep_settings` the settings are not
/// changed.
///
/// # Errors
/// The guest is running or is a template, or there is no such snapshot.
pub fn rollback(world: &World, guest: &Guest, name: &SnapshotName, facts: &Facts, keep_settings: bool, moment: &Moment) -> Result<Plan> {
    own_guest(guest)?;
    not_template(guest, "roll back")?;
    stopped(guest, "roll back")?;
    find(guest, name, &facts.there)?;
    let token = token(moment);
    let stamp: String = moment.now.chars().filter(char::is_ascii_alphanumeric).collect();
    let after = after(guest, name, facts, keep_settings)?;
    let volumes = if keep_settings {
        volumes::all(guest, name, &facts.volumes).map_err(|p| p.hint("or omit --keep-settings"))?
    } else {
        volumes::then(guest, name, after.clone(), &facts.volumes)?
    };
    let warning = whole::warning(world, guest, &after);
    let back = Back { name, last: format!("before-rollback-{stamp}-{token}").parse()?, token, after, volumes, natives: &facts.natives };
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: facts.guids.clone() });
    plan.steps.extend(create(guest, &back.last, &facts.there, &moment.now)?.steps);
    match world.host.dialect {
        Dialect::OpenZfs => back.by_swap(world, guest, &moment.now, &mut plan)?,
        // zfs-fuse cannot rename datasets that have clones, and has no volumes.
        Dialect::Fuse => back.by_copy(world, guest, &mut plan)?,
    }
    plan.notes.extend(warning);
    Ok(plan)
}

/// A random word for names of temporary datasets.
fn token(moment: &Moment) -> String {
    let token = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
    token.get(..8).unwrap_or(&token).to_owned()
}

/// The settings after the rollback.
///
/// # Errors
/// The settings at the snapshot are unknown; or the settings are kept, and a present disk did not exist at the snapshot.
fn after(guest: &Guest, name: &SnapshotName, facts: &Facts, keep: bool) -> Result<OwnValues> {
    let mut after = wanted(guest, name, facts, keep)?;
    // The restored settings become settings of this host, but values that came from elsewhere are not trusted because of
    // that.
    trust::carry_back(guest.settings.own_values(), &mut after, facts.settings.as_ref().filter(|_| !keep));
    Ok(after)
}

fn wanted(guest: &Guest, name: &SnapshotName, facts: &Facts, keep: bool) -> Result<OwnValues> {
    match (&facts.settings, keep) {
        (Some(then), true) => {
            then::has_all_disks(guest, name, then, "roll back", "missing").map_err(|p| p.hint("or omit --keep-settings"))?;
            then::with_sizes(guest, then)
        }
        (None, true) => Ok(guest.settings.own_values().clone()),
        (Some(then), false) => Ok(carried_settings(guest.settings.own_values(), then)),
        (None, false) => Err(Problem::not_now(format!("cannot roll back {} to @{name}: the snapshot holds no settings", guest.name))
            .on(format!("{}@{name}", guest.name))
            .hint("roll back and keep the present settings: add --keep-settings")),
    }
}

/// A rollback.
struct Back<'a> {
    name: &'a SnapshotName,
    /// A random word for names of temporary datasets.
    token: String,
    /// The snapshot of the present state.
    last: SnapshotName,
    /// The settings that the guest will have.
    after: OwnValues,
    /// The volumes that the guest will have.
    volumes: Vec<Volume>,
    /// Native ZFS properties that the user set on its datasets.
    natives: &'a BTreeMap<Dataset, Vec<Pair>>,
}

impl Back<'_> {
    /// A clone of the snapshot replaces the guest and takes over the snapshots up to it; the present guest, with all newer
    /// snapshots, is moved to the trash. The time needed does not depend on the size of the disks.
    fn by_swap(&self, world: &World, guest: &Guest, now: &str, plan: &mut Plan) -> Result<()> {
        let root = world.root_on(guest.root.pool())?;
        let work = root.trash().child(format!("rollback-{}", self.token));
        let away = root.trash().child(format!("{}-{}", guest.uuid, self.token));
        if guest.mounted {
            plan.push(Action::Unmount { dataset: guest.dataset.clone() });
        }
        plan.push(Action::CloneDataset {
            from: guest.dataset.at(self.name),
            to: work.clone(),
            native: with(of_disks(), self.natives.get(&guest.dataset)),
            own: pairs(&self.after),
        });
        for volume in &self.volumes {
            let from = SnapshotRef { dataset: guest.dataset.child(&volume.now), name: self.name.clone() };
            plan.push(Action::CloneDataset {
                from,
                to: work.child(&volume.then),
                native: with(vec![("volmode".into(), "dev".into())], self.natives.get(&guest.dataset.child(&volume.now))),
                own: Vec::new(),
            });
        }
        plan.push(Action::Promote { clone: work.clone(), origin: guest.dataset.clone() });
        for volume in &self.volumes {
            plan.push(Action::Promote { clone: work.child(&volume.then), origin: guest.dataset.child(&volume.now) });
        }
        plan.steps.extend(crate::plan::delete::into_trash(world, guest, now, &away));
        plan.push(Action::Rename { dialect: world.host.dialect, from: work, to: guest.dataset.clone() });
        let settled = Guest { mounted: false, ..guest.clone() };
        plan.steps.extend(keep_copy(&settled, &self.after)?);
        plan.notes.push(format!(
            "the present state of {} is moved to the trash; undo the rollback with: chyves delete {} && chyves undelete {}",
            guest.name,
            guest.name,
            away.leaf()
        ));
        Ok(())
    }

    /// The differing blocks are copied from the snapshot into the present files; all snapshots are kept.
    fn by_copy(&self, world: &World, guest: &Guest, plan: &mut Plan) -> Result<()> {
        let root = world.root_on(guest.root.pool())?;
        let work = root.trash().child(format!("rollback-{}", self.token));
        let folder = guest.folder()?;
        let past = then::work_folder(world, &work)?;
        let snapshot = guest.dataset.at(self.name);
        plan.push(Action::CloneDataset {
            from: snapshot,
            to: work.clone(),
            native: vec![("canmount".into(), "noauto".into())],
            own: Vec::new(),
        });
        plan.push(Action::Mount { dataset: work.clone() });
        if !guest.mounted {
            plan.push(Action::Mount { dataset: guest.dataset.clone() });
        }
        plan.push(Action::RestoreFiles { from: past, to: folder.to_owned(), before: guest.dataset.at(&self.last) });
        let settled = Guest { mounted: true, ..guest.clone() };
        plan.steps.extend(settings_back(world, &settled, &self.after)?);
        if !guest.mounted {
            plan.push(Action::Unmount { dataset: guest.dataset.clone() });
        }
        plan.push(Action::Unmount { dataset: work.clone() });
        plan.push(Action::DestroyDataset { dataset: work });
        plan.notes.push(format!("undo the rollback with: chyves snapshot rollback {}@{}", guest.name, self.last));
        Ok(())
    }
}

/// Plans a rollback in place to the newest snapshot, which discards the present state.
///
/// # Errors
/// The guest is running or is a template, there is no such snapshot, or newer snapshots would be destroyed; the message
/// names them.
pub fn rollback_in_place(world: &World, guest: &Guest, name: &SnapshotName, facts: &Facts, keep_settings: bool) -> Result<Plan> {
    own_guest(guest)?;
    not_template(guest, "roll back")?;
    stopped(guest, "roll back")?;
    let seen = find(guest, name, &facts.there)?;
    let newer: Vec<&str> = facts.there.iter().skip_while(|s| s.name != seen.name).skip(1).map(|s| s.name.as_str()).collect();
    if !newer.is_empty() {
        let list: Vec<String> = newer.iter().map(|n| format!("{}@{n}", guest.name)).collect();
        return Err(Problem::not_now(format!("rolling back to `{}@{name}` in place would destroy newer snapshots", guest.name))
            .on(format!("{}@{name}", guest.name))
            .because(list.join(", "))
            .hint("omit --in-place: they are then kept, with the present state, in the trash")
            .hint(format!("or delete them first: chyves snapshot delete {}", list.join(" "))));
    }
    let snapshot = guest.dataset.at(name);
    let after = after(guest, name, facts, keep_settings)?;
    let volumes = volumes::all(guest, name, &facts.volumes).map_err(|p| p.hint("or omit --in-place"))?;
    let then = volumes::then(guest, name, after.clone(), &facts.volumes)?;
    if then.iter().any(|v| v.now != v.then) || then.len() != volumes.len() {
        return Err(Problem::not_now(format!("`{}` had its disks under other numbers at `@{name}`", guest.name))
            .on(format!("{}@{name}", guest.name))
            .hint("omit --in-place: then they are restored under those numbers"));
    }
    // A rollback in place destroys data: a disk that was added later has to be removed first, with or without its settings.
    if let Some(then) = &facts.settings {
        then::has_all_disks(guest, name, then, "roll back", "destroyed")
            .map_err(|p| p.hint("or omit --in-place: then it is moved to the trash"))?;
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: facts.guids.clone() });
    plan.push(Action::Rollback { snapshot });
    for volume in volumes {
        plan.push(Action::Rollback { snapshot: SnapshotRef { dataset: guest.dataset.child(&volume.now), name: name.clone() } });
    }
    plan.steps.extend(settings_back(world, guest, &after)?);
    plan.notes.extend(whole::warning(world, guest, &after));
    Ok(plan)
}

/// Keys that a guest keeps in any case: its identity and owner. Trust records are kept too.
const LASTING: [&str; 3] = [keys::UUID, keys::OWNER, keys::EPOCH];

fn is_lasting(key: &str) -> bool {
    LASTING.contains(&key) || trust::is_record(key)
}

fn lasting(of: &OwnValues) -> OwnValues {
    of.iter().filter(|(k, _)| is_lasting(k)).map(|(k, o)| (k.clone(), o.clone())).collect()
}

/// The settings that a snapshot stores, as the guest gets them back: without the snapshot's own marks, and with the guest's
/// present identity and owner.
pub fn carried_settings(before: &OwnValues, carried: &OwnValues) -> OwnValues {
    let of_now = |key: &str| keys::OF_SNAPSHOTS.contains(&key) || is_lasting(key);
    let mut after: OwnValues = carried.iter().filter(|(k, _)| !of_now(k)).map(|(k, o)| (k.clone(), o.clone())).collect();
    after.extend(lasting(before));
    after
}

/// The step that changes a dataset's settings from `before` to `after`; `None` if they are equal.
pub fn settings_change(dialect: Dialect, on: &Dataset, before: &OwnValues, after: &OwnValues) -> Option<Action> {
    let differs = |k: &String, o: &Own| before.get(k).map(|b| &b.value) != Some(&o.value);
    let set: Vec<_> = after.iter().filter(|(k, o)| differs(k, o)).map(|(k, o)| (k.clone(), o.value.clone())).collect();
    let clear: Vec<_> = before.keys().filter(|k| !after.contains_key(*k)).cloned().collect();
    if set.is_empty() && clear.is_empty() {
        return None;
    }
    Some(crate::plan::set::change_by(dialect, on, before, set, clear))
}

/// The steps that restore the settings, in ZFS and in the copy.
fn settings_back(world: &World, guest: &Guest, after: &OwnValues) -> Result<Vec<Action>> {
    let mut steps: Vec<Action> =
        settings_change(world.host.dialect, &guest.dataset, guest.settings.own_values(), after).into_iter().collect();
    // ZFS restored the copy from the snapshot; it lacks the settings that are kept from the present.
    steps.extend(keep_copy(guest, after)?);
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::super::testing::seen;
    use super::*;
    use crate::guest::RunState;
    use crate::os::Os;
    use crate::plan::testing::{self, own};

    #[test]
    fn a_rollback_brings_settings_back_and_keeps_the_owner() {
        let g = testing::guest(
            "web01",
            &[("cpu", "8"), ("notes", "new"), ("uuid", "u"), ("epoch", "3"), ("disk0.kind", "zvol"), ("disk0.size", "1G")],
        );
        let world = testing::world(vec![g.clone()]);
        let facts = Facts {
            there: seen(&["old", "before"]),
            guids: vec![("tank/chyves/guests/web01".into(), 1), ("tank/chyves/guests/web01@before".into(), 2)],
            settings: Some(own(&[
                ("cpu", "2"),
                ("uuid", "u"),
                ("epoch", "1"),
                ("disk0.kind", "zvol"),
                ("disk0.size", "1G"),
                ("snapshot.taken", "t"),
            ])),
            volumes: vec!["disk0".into()],
            natives: BTreeMap::from([
                (g.dataset.clone(), vec![("quota".into(), "10737418240".into()), ("recordsize".into(), "16384".into())]),
                (g.dataset.child("disk0"), vec![("compression".into(), "lz4".into())]),
            ]),
            ..Facts::default()
        };
        insta::assert_snapshot!(rollback_in_place(&world, &g, &"before".parse().unwrap(), &facts, false).unwrap().script(Os::Linux), @r"
        # make sure that tank/chyves/guests/web01 has the GUID 1, tank/chyves/guests/web01@before has the GUID 2
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01 tank/chyves/guests/web01@before
        # roll back to tank/chyves/guests/web01@before
        zfs rollback tank/chyves/guests/web01@before
        # roll back to tank/chyves/guests/web01/disk0@before
        zfs rollback tank/chyves/guests/web01/disk0@before
        # change settings of tank/chyves/guests/web01
        zfs set chyves:cpu=2 tank/chyves/guests/web01
        zfs inherit chyves:notes tank/chyves/guests/web01
        # mount tank/chyves/guests/web01
        zfs mount tank/chyves/guests/web01
        # write /tank/chyves/guests/web01/config.toml (6 lines)
        # unmount tank/chyves/guests/web01
        zfs unmount tank/chyves/guests/web01
        ");
        let past = rollback_in_place(&world, &g, &"old".parse().unwrap(), &facts, false).unwrap_err();
        assert_eq!(past.causes, ["web01@before"]);
        let mut running = g.clone();
        running.state = RunState::Orphaned;
        let back = |g: &Guest, name: &str| rollback(&world, g, &name.parse().unwrap(), &facts, false, &testing::moment(1));
        assert!(back(&running, "before").is_err());
        assert!(back(&g, "befor").unwrap_err().hints[0].contains("`before`"));
        insta::assert_snapshot!("by_copy", back(&g, "old").unwrap().script(Os::Linux));
        let mut swapping = world.clone();
        swapping.host.dialect = Dialect::OpenZfs;
        let plan = rollback(&swapping, &g, &"old".parse().unwrap(), &facts, false, &testing::moment(1)).unwrap();
        insta::assert_snapshot!("by_swap", plan.script(Os::Linux));
    }

    #[test]
    fn settings_that_stay_take_the_sizes_of_the_disks_and_no_disk_is_lost() {
        let g = testing::guest("web01", &[("cpu", "8"), ("disk0.kind", "raw"), ("disk0.size", "2G")]);
        let mut world = testing::world(vec![g.clone()]);
        let name = "zrepl_20260101_0".parse().unwrap();
        let there = seen(&["zrepl_20260101_0"]);
        let facts = |settings: Option<&[(&str, &str)]>| Facts { there: there.clone(), settings: settings.map(own), ..Facts::default() };
        let smaller = facts(Some(&[("cpu", "1"), ("disk0.kind", "raw"), ("disk0.size", "1G")]));
        for dialect in [Dialect::Fuse, Dialect::OpenZfs] {
            world.host.dialect = dialect;
            let text = rollback(&world, &g, &name, &smaller, true, &testing::moment(1)).unwrap().script(Os::Linux);
            assert!(text.contains("disk0.size=1G") && !text.contains("cpu=1"), "{text}");
            let text = rollback(&world, &g, &name, &smaller, false, &testing::moment(1)).unwrap().script(Os::Linux);
            assert!(text.contains("disk0.size=1G") && text.contains("cpu=1"), "{text}");
            // The settings at the snapshot are unknown: only the files can be restored.
            assert!(rollback(&world, &g, &name, &facts(None), true, &testing::moment(1)).is_ok());
            let none = rollback(&world, &g, &name, &facts(None), false, &testing::moment(1)).unwrap_err();
            assert!(none.hints[0].contains("--keep-settings"), "{none:?}");
            let no_disk = facts(Some(&[("cpu", "1")]));
            assert!(rollback(&world, &g, &name, &no_disk, true, &testing::moment(1)).unwrap_err().message.contains("disk0 was added"));
            for keep in [false, true] {
                assert!(rollback_in_place(&world, &g, &name, &no_disk, keep).unwrap_err().message.contains("disk0 was added"));
            }
        }
    }

    #[test]
    fn templates_stay_as_they_are() {
        let g = testing::guest("gold", &[("template", "yes")]);
        let world = testing::world(vec![g.clone()]);
        let facts = Facts { there: seen(&["a"]), ..Facts::default() };
        for result in [
            rollback(&world, &g, &"a".parse().unwrap(), &facts, false, &testing::moment(1)),
            rollback_in_place(&world, &g, &"a".parse().unwrap(), &facts, false),
        ] {
            let refused = result.unwrap_err();
            assert_eq!(refused.code.exit_code(), 4);
            assert!(refused.hints[0].contains("template=no"));
        }
    }
}
