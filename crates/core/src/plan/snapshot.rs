//! `snapshot create|delete|rollback`: a guest's file system, its disks and its settings at one moment.
//!
//! ZFS neither keeps nor brings back properties, so each snapshot carries the guest's own settings as properties of the
//! snapshot, and a rollback puts them back.

use super::{Moment, Plan, keep_copy, pairs, stopped};
use crate::action::Action;
use crate::error::{Problem, Result, did_you_mean};
use crate::guest::{DiskKind, Guest, disk_name};
use crate::property::keys;
use crate::property::settings::{Own, OwnValues};
use crate::value::{Size, SnapshotName, SnapshotRef};
use crate::world::World;
use crate::zfs::Dialect;
use serde::Serialize;

/// One snapshot of a guest as it was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The part behind `@`.
    pub name: String,
    /// When it was taken, as ZFS says it.
    pub creation: String,
    /// What it alone takes.
    pub used: String,
    /// What it refers to.
    pub referenced: String,
    /// Whether chyves took it: then it carries the settings.
    pub ours: bool,
    /// Whether the guest ran meanwhile.
    pub live: bool,
}

/// Plans a snapshot.
///
/// # Errors
/// One of that name is there.
pub fn create(guest: &Guest, name: &SnapshotName, there: &[Seen], now: &str) -> Result<Plan> {
    if there.iter().any(|s| s.name == name.as_str()) {
        return Err(Problem::not_now(format!("`{}` has a snapshot called `{name}` already", guest.name))
            .on(format!("{}@{name}", guest.name))
            .hint(format!("choose another name, or `chyves snapshot delete {}@{name}` first", guest.name)));
    }
    let live = guest.state.is_alive();
    let mut own = pairs(guest.settings.own_values());
    own.push((keys::SNAPSHOT_TAKEN.into(), now.into()));
    if live {
        own.push((keys::SNAPSHOT_LIVE.into(), "yes".into()));
    }
    let mut plan = Plan::default();
    if live {
        plan.notes.push(format!("{} is {}: its disks are kept as after a power cut", guest.name, guest.state.word()));
    }
    plan.push(Action::Snapshot { snapshot: guest.dataset.at(name), own });
    Ok(plan)
}

/// The snapshot of that name among those that are there.
pub(super) fn find<'a>(guest: &Guest, name: &SnapshotName, there: &'a [Seen]) -> Result<&'a Seen> {
    there.iter().find(|s| s.name == name.as_str()).ok_or_else(|| {
        Problem::not_found(format!("`{}` has no snapshot called `{name}`", guest.name))
            .on(format!("{}@{name}", guest.name))
            .hint_if(did_you_mean(name.as_str(), there.iter().map(|s| s.name.as_str())))
            .hint(format!("`chyves snapshot list {}` shows them all", guest.name))
    })
}

/// What a change of snapshots needs to have seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The guest's snapshots, oldest first.
    pub there: Vec<Seen>,
    /// Datasets that are clones of the snapshot.
    pub clones: Vec<String>,
    /// GUIDs of the guest's dataset and of the snapshot.
    pub guids: Vec<(String, u64)>,
    /// The settings that the snapshot carries.
    pub settings: OwnValues,
}

/// Plans the end of a snapshot.
///
/// # Errors
/// There is none of that name, or clones stand on it.
pub fn delete(guest: &Guest, name: &SnapshotName, facts: &Facts) -> Result<Plan> {
    find(guest, name, &facts.there)?;
    if !facts.clones.is_empty() {
        return Err(Problem::not_now(format!("the snapshot `{}@{name}` has clones", guest.name))
            .on(format!("{}@{name}", guest.name))
            .because(facts.clones.join(", "))
            .hint("delete the clones first, or turn the dependency round with `zfs promote`"));
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: facts.guids.clone() });
    plan.push(Action::DestroySnapshot { snapshot: guest.dataset.at(name) });
    Ok(plan)
}

/// Plans a return to a snapshot that keeps what the guest is now, so that it can itself be taken back. Nothing is
/// destroyed: neither the present state, of which a snapshot is taken first, nor newer snapshots, nor clones.
///
/// # Errors
/// The guest runs, or there is no such snapshot.
pub fn rollback(world: &World, guest: &Guest, name: &SnapshotName, facts: &Facts, moment: &Moment) -> Result<Plan> {
    stopped(guest, "roll back")?;
    let seen = find(guest, name, &facts.there)?;
    let token = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
    let token = token.get(..8).unwrap_or(&token);
    let stamp: String = moment.now.chars().filter(char::is_ascii_alphanumeric).collect();
    let back = Back {
        name,
        token,
        last: format!("before-rollback-{stamp}-{token}").parse()?,
        after: if seen.ours { carried_settings(guest.settings.own_values(), &facts.settings) } else { guest.settings.own_values().clone() },
    };
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: facts.guids.clone() });
    plan.steps.extend(create(guest, &back.last, &facts.there, &moment.now)?.steps);
    match world.host.dialect {
        Dialect::OpenZfs => back.by_swap(world, guest, &moment.now, &mut plan)?,
        // zfs-fuse renames nothing that has a clone, and has no volumes.
        Dialect::Fuse => back.by_copy(world, guest, &mut plan)?,
    }
    if !seen.ours {
        plan.notes.push(format!("`{name}` was not taken by chyves and carries no settings: they stay as they are"));
    }
    Ok(plan)
}

/// A return to a snapshot.
struct Back<'a> {
    name: &'a SnapshotName,
    /// A random word for working names.
    token: &'a str,
    /// The snapshot of the present.
    last: SnapshotName,
    /// The settings that will hold.
    after: OwnValues,
}

impl Back<'_> {
    /// A clone of the snapshot takes the guest's place and the snapshots up to it; the present guest, with all newer
    /// snapshots, goes to the trash. Takes no time however large the disks are.
    fn by_swap(&self, world: &World, guest: &Guest, now: &str, plan: &mut Plan) -> Result<()> {
        let root = world.root_on(guest.root.pool())?;
        let work = root.trash().child(format!("rollback-{}", self.token));
        let away = root.trash().child(format!("{}-{}", guest.uuid, self.token));
        let volumes: Vec<String> =
            guest.spec()?.disks.iter().filter(|d| d.kind == DiskKind::Zvol).map(|d| disk_name(d.number, d.kind)).collect();
        if guest.mounted {
            plan.push(Action::Unmount { dataset: guest.dataset.clone() });
        }
        plan.push(Action::CloneDataset {
            from: guest.dataset.at(self.name),
            to: work.clone(),
            native: vec![("canmount".into(), "noauto".into())],
            own: pairs(&self.after),
        });
        for volume in &volumes {
            let from = SnapshotRef { dataset: guest.dataset.child(volume), name: self.name.clone() };
            plan.push(Action::CloneDataset { from, to: work.child(volume), native: vec![("volmode".into(), "dev".into())], own: Vec::new() });
        }
        plan.push(Action::Promote { clone: work.clone(), origin: guest.dataset.clone() });
        for volume in &volumes {
            plan.push(Action::Promote { clone: work.child(volume), origin: guest.dataset.child(volume) });
        }
        plan.steps.extend(super::delete::into_trash(world, guest, now, &away));
        plan.push(Action::Rename { dialect: world.host.dialect, from: work, to: guest.dataset.clone() });
        let settled = Guest { mounted: false, ..guest.clone() };
        plan.steps.extend(keep_copy(&settled, &self.after)?);
        plan.notes.push(format!(
            "what {} was until now goes to the trash; take the rollback back with: chyves delete {} && chyves undelete {}",
            guest.name,
            guest.name,
            away.leaf()
        ));
        Ok(())
    }

    /// The files become what they were in the snapshot, block by block where they differ; all snapshots stay.
    fn by_copy(&self, world: &World, guest: &Guest, plan: &mut Plan) -> Result<()> {
        let root = world.root_on(guest.root.pool())?;
        let work = root.trash().child(format!("rollback-{}", self.token));
        let folder = guest.folder()?;
        let past = root.mountpoint.as_deref().map(|m| format!("{m}/trash/{}", work.leaf())).ok_or_else(|| {
            Problem::not_now(format!("`{}` has no mount point", root.dataset)).on(&root.dataset)
        })?;
        let snapshot = guest.dataset.at(self.name);
        plan.push(Action::CloneDataset { from: snapshot, to: work.clone(), native: vec![("canmount".into(), "noauto".into())], own: Vec::new() });
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
        plan.notes.push(format!("take the rollback back with: chyves snapshot rollback {}@{}", guest.name, self.last));
        Ok(())
    }
}

/// Plans a return to the newest snapshot that keeps nothing of the present.
///
/// # Errors
/// The guest runs, there is no such snapshot, or newer ones would be destroyed; those are named.
pub fn rollback_in_place(world: &World, guest: &Guest, name: &SnapshotName, facts: &Facts) -> Result<Plan> {
    stopped(guest, "roll back")?;
    let seen = find(guest, name, &facts.there)?;
    let newer: Vec<&str> = facts.there.iter().skip_while(|s| s.name != seen.name).skip(1).map(|s| s.name.as_str()).collect();
    if !newer.is_empty() {
        let list: Vec<String> = newer.iter().map(|n| format!("{}@{n}", guest.name)).collect();
        return Err(Problem::not_now(format!("going back to `{}@{name}` in place would destroy newer snapshots", guest.name))
            .on(format!("{}@{name}", guest.name))
            .because(list.join(", "))
            .hint("leave --in-place away: they are then kept, with the present state, in the trash")
            .hint(format!("or delete them first: chyves snapshot delete {}", list.join(" "))));
    }
    let snapshot = guest.dataset.at(name);
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: facts.guids.clone() });
    plan.push(Action::Rollback { snapshot: snapshot.clone() });
    for disk in guest.spec()?.disks.iter().filter(|d| d.kind == DiskKind::Zvol) {
        let volume = guest.dataset.child(disk_name(disk.number, disk.kind));
        plan.push(Action::Rollback { snapshot: SnapshotRef { dataset: volume, name: name.clone() } });
    }
    if seen.ours {
        let after = carried_settings(guest.settings.own_values(), &facts.settings);
        plan.steps.extend(settings_back(world, guest, &after)?);
    } else {
        plan.notes.push(format!("`{name}` was not taken by chyves and carries no settings: they stay as they are"));
    }
    Ok(plan)
}

/// The settings that a snapshot carries, as the guest gets them back: without the snapshot's own marks, and with the
/// identity and owner that the guest has now, which are not the past's business.
fn carried_settings(before: &OwnValues, carried: &OwnValues) -> OwnValues {
    let marks = [keys::SNAPSHOT_TAKEN, keys::SNAPSHOT_LIVE];
    let mut after: OwnValues = carried.iter().filter(|(k, _)| !marks.contains(&k.as_str())).map(|(k, o)| (k.clone(), o.clone())).collect();
    for key in [keys::UUID, keys::OWNER, keys::EPOCH] {
        match before.get(key) {
            Some(own) => after.insert(key.into(), own.clone()),
            None => after.remove(key),
        };
    }
    after
}

/// The steps that make the settings what they are to be, in ZFS and in the copy.
fn settings_back(world: &World, guest: &Guest, after: &OwnValues) -> Result<Vec<Action>> {
    let before = guest.settings.own_values();
    let set: Vec<_> = after.iter().filter(|(k, o)| before.get(*k).map(|b| &b.value) != Some(&o.value)).map(|(k, o)| (k.clone(), o.value.clone())).collect();
    let clear: Vec<_> = before.keys().filter(|k| !after.contains_key(*k)).cloned().collect();
    let mut steps = Vec::new();
    if !(set.is_empty() && clear.is_empty()) {
        let was = set.iter().map(|(k, _)| k).chain(&clear).map(|k| (k.clone(), before.get(k).map(|o: &Own| o.value.clone()))).collect();
        steps.push(Action::Change { dialect: world.host.dialect, on: guest.dataset.clone(), set, clear, before: was });
    }
    // The copy inside was brought back by ZFS; it lacks what the present keeps.
    steps.extend(keep_copy(guest, after)?);
    Ok(steps)
}

/// Reads what `zfs list` said of snapshots (see `args::list_snapshots`).
///
/// # Errors
/// A line that is not as asked for.
pub fn read(output: &str) -> Result<Vec<Seen>> {
    output
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, creation, used, referenced, taken, live] = fields[..] else {
                return Err(Problem::failed("can't read what `zfs list` printed").because(crate::value::printable(line, 120)));
            };
            let (_, name) = name.split_once('@').ok_or_else(|| {
                Problem::failed("can't read what `zfs list` printed").because(crate::value::printable(line, 120))
            })?;
            Ok(Seen {
                name: name.to_owned(),
                creation: creation.to_owned(),
                used: used.to_owned(),
                referenced: referenced.to_owned(),
                ours: taken != "-",
                live: live == "yes",
            })
        })
        .collect()
}

/// The size that `zfs list` rounds, as a number for sorting.
pub fn rounded(text: &str) -> u64 {
    text.parse::<Size>().map_or(0, Size::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::RunState;
    use crate::os::Os;
    use crate::plan::testing::{self, own};

    fn seen(names: &[&str]) -> Vec<Seen> {
        let one = |n: &&str| Seen { name: (*n).into(), creation: "c".into(), used: "0".into(), referenced: "1M".into(), ours: true, live: false };
        names.iter().map(one).collect()
    }

    #[test]
    fn a_snapshot_carries_the_settings() {
        let mut g = testing::guest("web01", &[("cpu", "2"), ("description", "a b")]);
        g.state = RunState::Running;
        let plan = create(&g, &"before".parse().unwrap(), &[], "2026-01-31T12:00:00Z").unwrap();
        insta::assert_snapshot!(plan.script(Os::Linux), @r"
        # note: web01 is running: its disks are kept as after a power cut
        # take the snapshot tank/chyves/guests/web01@before
        zfs snapshot -r -o chyves:cpu=2 -o 'chyves:description=a b' -o chyves:snapshot.taken=2026-01-31T12:00:00Z -o chyves:snapshot.live=yes tank/chyves/guests/web01@before
        ");
        assert!(create(&g, &"before".parse().unwrap(), &seen(&["before"]), "").is_err());
    }

    #[test]
    fn a_rollback_brings_settings_back_and_keeps_the_owner() {
        let g = testing::guest("web01", &[("cpu", "8"), ("notes", "new"), ("uuid", "u"), ("epoch", "3"), ("disk0.kind", "zvol"), ("disk0.size", "1G")]);
        let world = testing::world(vec![g.clone()]);
        let facts = Facts {
            there: seen(&["old", "before"]),
            guids: vec![("tank/chyves/guests/web01".into(), 1), ("tank/chyves/guests/web01@before".into(), 2)],
            settings: own(&[("cpu", "2"), ("uuid", "u"), ("epoch", "1"), ("disk0.kind", "zvol"), ("disk0.size", "1G"), ("snapshot.taken", "t")]),
            ..Facts::default()
        };
        insta::assert_snapshot!(rollback_in_place(&world, &g, &"before".parse().unwrap(), &facts).unwrap().script(Os::Linux), @r"
        # make sure that tank/chyves/guests/web01 has the GUID 1, tank/chyves/guests/web01@before has the GUID 2
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01 tank/chyves/guests/web01@before
        # go back to tank/chyves/guests/web01@before
        zfs rollback tank/chyves/guests/web01@before
        # go back to tank/chyves/guests/web01/disk0@before
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
        let past = rollback_in_place(&world, &g, &"old".parse().unwrap(), &facts).unwrap_err();
        assert_eq!(past.causes, ["web01@before"]);
        let mut running = g.clone();
        running.state = RunState::Orphaned;
        let back = |g: &Guest, name: &str| rollback(&world, g, &name.parse().unwrap(), &facts, &testing::moment(1));
        assert!(back(&running, "before").is_err());
        assert!(back(&g, "befor").unwrap_err().hints[0].contains("`before`"));
        insta::assert_snapshot!("by_copy", back(&g, "old").unwrap().script(Os::Linux));
        let mut swapping = world.clone();
        swapping.host.dialect = Dialect::OpenZfs;
        let plan = rollback(&swapping, &g, &"old".parse().unwrap(), &facts, &testing::moment(1)).unwrap();
        insta::assert_snapshot!("by_swap", plan.script(Os::Linux));
    }

    #[test]
    fn lines_that_are_not_as_asked_for_are_errors() {
        assert_eq!(read("t/a@x\tMon\t0\t1M\t-\t-\n").unwrap()[0].name, "x");
        assert!(read("t/a@x\tMon\n").is_err());
    }
}
