//! `clone`: guests that share a source's disks until they write (linked clones), each with an identity of its own.

use super::{Moment, Plan, copy_path, create, values};
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::{DiskKind, Guest, disk_name, settings_copy};
use crate::property::keys::{self, DiskKey, NetKey};
use crate::value::{GuestName, SnapshotName, SnapshotRef};
use crate::world::World;
use crate::zfs::args::Pair;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Request {
    /// The snapshot to clone, or a new one.
    pub snapshot: Option<SnapshotName>,
    /// Whether that snapshot is there.
    pub snapshot_exists: bool,
    /// The clones' names.
    pub names: Vec<GuestName>,
    /// Settings of the clones that differ, as they were typed.
    pub set: Vec<Pair>,
}

/// Keys that a clone does not take over: its source's identity, place in the world and history.
fn not_taken_over(key: &str) -> bool {
    let kept = [keys::UUID, keys::OWNER, keys::EPOCH, keys::CREATED, keys::CLONED_FROM, keys::TEMPLATE, "rcboot"];
    kept.contains(&key) || is_identity(key)
}

/// Keys by which a guest is told from others on a network or by its disks.
pub(super) fn is_identity(key: &str) -> bool {
    let identity = |family: &str, part: &str| key.starts_with(family) && key.ends_with(part);
    identity("net", &format!(".{}", NetKey::Mac.word())) || identity("disk", &format!(".{}", DiskKey::Serial.word()))
}

/// Plans clones of one guest: all of them or none.
///
/// # Errors
/// A name is taken or stands twice, or the snapshot is not there.
pub fn clone(world: &World, source: &Guest, request: &Request, moment: &Moment) -> Result<Plan> {
    let root = world.root_on(source.root.pool())?;
    for (index, name) in request.names.iter().enumerate() {
        if request.names[..index].contains(name) {
            return Err(Problem::usage(format!("`{name}` stands twice")).on(name));
        }
        if let Some(there) = world.guests.iter().find(|g| g.name == *name) {
            return Err(Problem::not_now(format!("a guest is called `{name}` already"))
                .on(name)
                .because(format!("it is {}", there.dataset))
                .hint("choose another name for the clone"));
        }
    }
    let mut plan = Plan::default();
    let snapshot = match &request.snapshot {
        Some(name) if request.snapshot_exists => name.clone(),
        Some(name) => {
            return Err(Problem::not_found(format!("`{}` has no snapshot called `{name}`", source.name))
                .on(format!("{}@{name}", source.name))
                .hint(format!("`chyves snapshot list {}` shows them all", source.name)));
        }
        None => {
            let stamp: String = moment.now.chars().filter(char::is_ascii_alphanumeric).collect();
            let first = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
            let name: SnapshotName = format!("clone-{stamp}-{}", first.get(..6).unwrap_or_default()).parse()?;
            if source.state.is_alive() {
                plan.notes.push(format!("{} is {}: the clones find its disks as after a power cut", source.name, source.state.word()));
            }
            plan.steps.extend(super::snapshot::create(source, &name, &[], &moment.now)?.steps);
            name
        }
    };
    let spec = source.spec()?;
    // Two guests that write one disk destroy what is on it.
    let attached: Vec<String> = spec.disks.iter().filter(|d| d.kind == DiskKind::Attached).map(|d| format!("disk{}.", d.number)).collect();
    let is_attached = |key: &str| attached.iter().any(|prefix| key.starts_with(prefix));
    if !attached.is_empty() {
        plan.notes.push(format!("what is attached to {} is not cloned: {}", source.name, attached.join(" ").replace('.', "")));
    }
    let parent = source.dataset.parent().ok_or_else(|| Problem::bug("a guest lies on no pool"))?;
    let folder = create::guests_folder(root)?;
    let group = source.group().map(|g| format!("/{g}")).unwrap_or_default();
    for (index, name) in request.names.iter().enumerate() {
        let to = parent.child(name);
        let folder = format!("{folder}{group}/{name}");
        let mut own = create::identity(world, root, moment, index)?;
        own.push((keys::CLONED_FROM.into(), format!("{}@{snapshot}", source.name)));
        own.extend(super::pairs(source.settings.own_values()).into_iter().filter(|(k, _)| !not_taken_over(k) && !is_attached(k)));
        for (key, value) in &request.set {
            use crate::property::Scope;
            let (key, value) = super::set::checked(key, value, &[Scope::Guest, Scope::GuestOnly])?;
            own.retain(|(k, _)| *k != key);
            own.push((key, value));
        }
        plan.push(Action::CloneDataset {
            from: source.dataset.at(&snapshot),
            to: to.clone(),
            native: vec![("canmount".into(), "noauto".into())],
            own: own.clone(),
        });
        for disk in spec.disks.iter().filter(|d| d.kind == DiskKind::Zvol) {
            let volume = disk_name(disk.number, disk.kind);
            plan.push(Action::CloneDataset {
                from: SnapshotRef { dataset: source.dataset.child(&volume), name: snapshot.clone() },
                to: to.child(&volume),
                native: vec![("volmode".into(), "dev".into())],
                own: Vec::new(),
            });
        }
        plan.push(Action::Mount { dataset: to.clone() });
        plan.push(Action::WriteFile { path: copy_path(&folder), text: settings_copy(&values(&own)) });
        plan.push(Action::Unmount { dataset: to });
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing::{self, moment};

    fn request(names: &[&str]) -> Request {
        Request { snapshot: None, snapshot_exists: false, names: names.iter().map(|n| n.parse().unwrap()).collect(), set: Vec::new() }
    }

    #[test]
    fn a_clone_has_its_source_s_settings_and_an_identity_of_its_own() {
        let source = testing::guest("web01", &[("uuid", "old"), ("cpu", "2"), ("net0.mac", "58:9c:fc:00:00:01"), ("template", "yes"), ("disk0.kind", "raw"), ("disk0.size", "64M")]);
        let world = testing::world(vec![source.clone()]);
        insta::assert_snapshot!(clone(&world, &source, &request(&["web02"]), &moment(1)).unwrap().script(Os::Linux), @r"
        # take the snapshot tank/chyves/guests/web01@clone-20260131T120000Z-000000
        zfs snapshot -r -o chyves:cpu=2 -o chyves:disk0.kind=raw -o chyves:disk0.size=64M -o chyves:net0.mac=58:9c:fc:00:00:01 -o chyves:template=yes -o chyves:uuid=old -o chyves:snapshot.taken=2026-01-31T12:00:00Z tank/chyves/guests/web01@clone-20260131T120000Z-000000
        # clone tank/chyves/guests/web01@clone-20260131T120000Z-000000 to tank/chyves/guests/web02
        zfs clone -o canmount=noauto -o chyves:uuid=00000000-0000-0000-0000-000000000001 -o chyves:created=2026-01-31T12:00:00Z -o chyves:owner=11111111-1111-4111-8111-111111111111 -o chyves:epoch=1 -o chyves:cloned_from=web01@clone-20260131T120000Z-000000 -o chyves:cpu=2 -o chyves:disk0.kind=raw -o chyves:disk0.size=64M tank/chyves/guests/web01@clone-20260131T120000Z-000000 tank/chyves/guests/web02
        # mount tank/chyves/guests/web02
        zfs mount tank/chyves/guests/web02
        # write /tank/chyves/guests/web02/config.toml (9 lines)
        # unmount tank/chyves/guests/web02
        zfs unmount tank/chyves/guests/web02
        ");
    }

    #[test]
    fn taken_and_doubled_names_are_refused() {
        let source = testing::guest("web01", &[]);
        let world = testing::world(vec![source.clone()]);
        assert!(clone(&world, &source, &request(&["web01"]), &moment(1)).is_err());
        assert!(clone(&world, &source, &request(&["a", "a"]), &moment(2)).is_err());
        let mut missing = request(&["a"]);
        missing.snapshot = Some("nope".parse().unwrap());
        assert!(clone(&world, &source, &missing, &moment(1)).is_err());
    }
}
