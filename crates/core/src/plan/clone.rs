//! `clone`: guests made from another guest, either linked (sharing its blocks until they are overwritten) or independent (a
//! full copy), each with a new identity or, on request, exactly the source's.

use super::snapshot::volumes::{self, Volume};
use super::start::checked_disk;
use super::{Moment, Plan, copy_path, create, values};
use crate::action::Action;
use crate::error::{Code, Problem, Result};
use crate::guest::{DiskKind, Guest, settings_copy, trust};
use crate::pool::Root;
use crate::property::keys::{self, CiNetKey, DiskKey, NetKey};
use crate::property::settings::OwnValues;
use crate::value::{Dataset, GuestName, Size, SnapshotName, SnapshotRef};
use crate::world::World;
use crate::world::inventory::NOBODY;
use crate::zfs::args::Pair;
use std::collections::BTreeMap;

/// The request of a clone.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The snapshot to clone, or a new one.
    pub snapshot: Option<SnapshotName>,
    /// Whether that snapshot exists.
    pub snapshot_exists: bool,
    /// The settings that the source had at that snapshot; the clones get them. If unknown, the clones get the source's
    /// present settings.
    pub carried: Option<OwnValues>,
    /// The source's volumes that have that snapshot, by the last component of their names.
    pub volumes: Vec<String>,
    /// The clones' names.
    pub names: Vec<GuestName>,
    /// Settings that override the source's in the clones, as typed.
    pub set: Vec<Pair>,
    /// Whether the clones are full copies that depend on nothing.
    pub independent: bool,
    /// Whether the clones keep the source's identity.
    pub exact: bool,
    /// The pool of independent clones [default: the source's pool].
    pub pool: Option<String>,
    /// Estimated bytes to send from each dataset of the source for an independent clone.
    pub sizes: BTreeMap<Dataset, Size>,
    /// Native ZFS properties that the user set on the source's datasets. An independent clone copies all of them except
    /// quotas and reservations.
    pub natives: BTreeMap<Dataset, Vec<Pair>>,
}

/// Native properties that limit or reserve space. They are chosen for one dataset and not copied to clones.
const LIMITS: [&str; 4] = ["quota", "refquota", "reservation", "refreservation"];

/// Keys that a unique clone does not copy: the source's identity, boot settings and history.
fn not_taken_over(key: &str) -> bool {
    let kept = [keys::UUID, keys::OWNER, keys::EPOCH, keys::CREATED, keys::CLONED_FROM, keys::TEMPLATE, "autostart"];
    kept.contains(&key) || OF_SNAPSHOT.contains(&key) || is_identity(key) || is_one_machine_s(key)
}

/// Keys that name a snapshot of the source; a clone has no such snapshot.
const OF_SNAPSHOT: [&str; 2] = [keys::REVERT_TO, keys::REVERT_AT];

/// cloud-init settings that must be unique to one guest, such as addresses.
fn is_one_machine_s(key: &str) -> bool {
    let address = |part: CiNetKey| key.starts_with("ci.net") && key.ends_with(&format!(".{}", part.word()));
    matches!(key, keys::CI_HOSTNAME | keys::CI_GENERATION) || address(CiNetKey::Address) || address(CiNetKey::Address6)
}

/// Keys that identify a guest on a network or identify its disks.
pub(super) fn is_identity(key: &str) -> bool {
    let identity = |family: &str, part: &str| key.starts_with(family) && key.ends_with(part);
    identity("net", &format!(".{}", NetKey::Mac.word())) || identity("disk", &format!(".{}", DiskKey::Serial.word()))
}

/// The name of a snapshot that chyves takes automatically for clones.
fn automatic(moment: &Moment) -> Result<SnapshotName> {
    let stamp: String = moment.now.chars().filter(char::is_ascii_alphanumeric).collect();
    let first = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
    Ok(format!("clone-{stamp}-{}", first.get(..6).unwrap_or_default()).parse()?)
}

/// Whether a snapshot's name has exactly that form: `clone-20260131T120000Z-0a1b2c`.
pub fn is_automatic(name: &SnapshotName) -> bool {
    let shape = |text: &str, like: &str| {
        text.len() == like.len()
            && text.bytes().zip(like.bytes()).all(|(c, l)| match l {
                b'0' => c.is_ascii_digit(),
                b'f' => c.is_ascii_digit() || (b'a'..=b'f').contains(&c),
                l => c == l,
            })
    };
    shape(name.as_str(), "clone-00000000T000000Z-ffffff")
}

/// The snapshot that the clones are made from. Adds the step that takes it if it does not exist.
fn snapshot(source: &Guest, request: &Request, moment: &Moment, plan: &mut Plan) -> Result<SnapshotName> {
    match &request.snapshot {
        Some(name) if request.snapshot_exists => Ok(name.clone()),
        Some(name) => Err(Code::NoSuchSnapshot
            .problem(format!("`{}` has no snapshot called `{name}`", source.name))
            .on(format!("{}@{name}", source.name))
            .hint(format!("`chyves snapshot list {}` shows them all", source.name))),
        None => {
            let name = automatic(moment)?;
            if source.state.is_alive() {
                plan.notes.push(format!("{} is {}: the clones get a crash-consistent copy of its disks", source.name, source.state.word()));
            }
            let mut own = super::snapshot::carried(source, &moment.now);
            own.push((keys::SNAPSHOT_FOR.into(), "clone".into()));
            plan.push(Action::Snapshot { snapshot: source.dataset.at(&name), own });
            Ok(name)
        }
    }
}

/// The root below which the clones are placed.
fn target<'w>(world: &'w World, source: &Guest, request: &Request) -> Result<&'w Root> {
    let Some(pool) = &request.pool else { return world.root_on(source.root.pool()) };
    let root = world.place(Some(pool))?;
    if root.dataset != source.root && !request.independent {
        return Err(Problem::usage(format!("a linked clone of `{}` depends on its pool, {}", source.name, source.root.pool()))
            .on(&source.name)
            .hint("make it a full copy: add `--independent`"));
    }
    Ok(root)
}

/// Plans clones of one guest: all of them or none.
///
/// # Errors
/// A name is taken or repeated, the snapshot does not exist, or clones cannot be placed on the pool.
pub fn clone(world: &World, source: &Guest, request: &Request, moment: &Moment) -> Result<Plan> {
    let root = target(world, source, request)?;
    for (index, name) in request.names.iter().enumerate() {
        if request.names[..index].contains(name) {
            return Err(Problem::usage(format!("`{name}` is named twice")).on(name));
        }
        super::free(world, name, &root.guests().child(name), None)?;
    }
    let mut plan = Plan::default();
    let snapshot = snapshot(source, request, moment, &mut plan)?;
    // The source is cloned as it was at the snapshot, when it may have had other disks than it has now.
    let (then, volumes) = match &request.carried {
        Some(carried) => {
            let own = super::snapshot::carried_settings(source.settings.own_values(), carried);
            let volumes = volumes::then(source, &snapshot, own.clone(), &request.volumes)?;
            (Guest { settings: source.settings.with_own(own), ..source.clone() }, volumes)
        }
        None if request.snapshot.is_some() => (source.clone(), volumes::all(source, &snapshot, &request.volumes)?),
        None => (source.clone(), volumes::present(source)?),
    };
    let source = &then;
    let attached = attached(source)?;
    if !attached.is_empty() {
        plan.notes.push(format!("what is attached to {} is not cloned: {}", source.name, attached.join(" ").replace('.', "")));
    }
    let left: Vec<&str> =
        source.settings.own_values().keys().map(String::as_str).filter(|k| is_one_machine_s(k) && *k != keys::CI_GENERATION).collect();
    if !left.is_empty() && !request.exact {
        plan.notes.push(format!("what only {} may have is not cloned: {}", source.name, left.join(" ")));
    }
    let method = source.settings.value(keys::REVERT_AT).filter(|method| method != "off");
    if let (Some(reverts), Some(method), Some(first)) = (source.settings.own(keys::REVERT_TO), method, request.names.first()) {
        plan.notes.push(format!(
            "clones of {} do not revert to @{reverts}, which is its own snapshot; to let one: `chyves snapshot {first}@{reverts}`, then `chyves \
             set {first} revert_to_snapshot={reverts} revert_to_snapshot_method={method}`",
            source.name
        ));
    }
    let home = source.root == root.dataset;
    // Groups are datasets of the source's pool.
    let group = source.group().filter(|_| home);
    let mut natives = request.natives.clone();
    for set in natives.values_mut() {
        set.retain(|(key, _)| !LIMITS.contains(&key.as_str()));
    }
    let folder = create::guests_folder(root)?;
    let (parent, folder) = match group {
        Some(group) => (root.guests().child(group), format!("{folder}/{group}")),
        None => (root.guests(), folder),
    };
    for (index, name) in request.names.iter().enumerate() {
        let own = own(world, root, source, request, &snapshot, moment, index)?;
        let to = parent.child(name);
        if request.independent {
            plan.steps.extend(copies(source, &volumes, &snapshot, &to, &request.sizes, &natives));
            plan.steps.push(settle(world, &to, own.clone()));
        } else {
            plan.steps.extend(links(source, &volumes, &snapshot, &to, &own));
        }
        plan.push(Action::Mount { dataset: to.clone() });
        plan.steps.extend(has_its_disks(source, &format!("{folder}/{name}"))?);
        plan.push(Action::WriteFile { path: copy_path(&format!("{folder}/{name}")), text: settings_copy(&values(&own)) });
        plan.push(Action::Unmount { dataset: to.clone() });
        plan.steps.extend(super::lock_template(&to, &own));
    }
    if request.independent {
        plan.steps.extend(request.names.iter().map(|n| Action::DropSnapshot { snapshot: parent.child(n).at(&snapshot) }));
        if request.snapshot.is_none() {
            plan.push(Action::DestroySnapshot { snapshot: source.dataset.at(&snapshot) });
        }
    }
    if request.exact {
        plan.notes.push(format!("exact clones cannot run while {} does: they have its UUID, MAC addresses and disk serials", source.name));
    }
    Ok(plan)
}

/// The step that verifies that the files of the source's disks are in the clone: a file that was removed without chyves is
/// missing in the clone too. Volumes were checked before.
fn has_its_disks(source: &Guest, folder: &str) -> Result<Option<Action>> {
    let disks = source.spec()?.disks;
    let files: Vec<_> = disks.iter().filter(|d| d.kind == DiskKind::Raw).map(|d| checked_disk(source, folder, d)).collect();
    Ok((!files.is_empty()).then_some(Action::CheckFiles { files }))
}

/// The own settings of the `index`th clone.
fn own(
    world: &World,
    root: &Root,
    source: &Guest,
    request: &Request,
    snapshot: &SnapshotName,
    moment: &Moment,
    index: usize,
) -> Result<Vec<Pair>> {
    use crate::property::Scope;
    let cloned_from = (keys::CLONED_FROM.to_owned(), format!("{}@{snapshot}", source.name));
    let attached = attached(source)?;
    let is_attached = |key: &str| attached.iter().any(|prefix| key.starts_with(prefix));
    let taken = super::pairs(source.settings.own_values()).into_iter().filter(|(k, _)| !is_attached(k));
    let mut own = if request.exact {
        let mut own: Vec<Pair> =
            taken.filter(|(k, _)| k != keys::CLONED_FROM && k != keys::TEMPLATE && !OF_SNAPSHOT.contains(&k.as_str())).collect();
        if source.foreign.is_some() {
            // Setting values makes received ones local, so the clone of a foreign guest is marked foreign explicitly.
            own.retain(|(k, _)| k != keys::OWNER);
            own.push((keys::OWNER.to_owned(), NOBODY.to_owned()));
        }
        own.push(cloned_from);
        own
    } else {
        let mut own = create::identity(world, root, moment, index)?;
        own.push(cloned_from);
        own.extend(taken.filter(|(k, _)| !not_taken_over(k)));
        own
    };
    let mut given = Vec::new();
    for (key, value) in &request.set {
        let typed = super::set::typed(key, value, &[Scope::Guest, Scope::GuestOnly])?;
        own.retain(|(k, _)| *k != typed.pair().0);
        own.push(typed.pair().clone());
        given.push(typed);
    }
    trust::carry_pairs(source, &mut own, &given);
    super::whole::clone(world, source, &super::values(&own)).map_err(|p| {
        let (from, name) = (&own_name(source, request), request.names.get(index).map_or("NAME", GuestName::as_str));
        p.within(format!("cannot clone `{from}`: no start could use its settings"))
            .hint(format!("give the clone others: `chyves clone {from} {name} KEY=VALUE`"))
    })?;
    Ok(own)
}

/// The name of what is cloned, as a user types it: `GUEST` or `GUEST@SNAPSHOT`.
fn own_name(source: &Guest, request: &Request) -> String {
    request.snapshot.as_ref().map_or_else(|| source.name.to_string(), |snapshot| format!("{}@{snapshot}", source.name))
}

/// Key prefixes of attached disks. They are not cloned, because two guests that write to one disk corrupt it.
fn attached(source: &Guest) -> Result<Vec<String>> {
    Ok(source.spec()?.disks.iter().filter(|d| d.kind == DiskKind::Attached).map(|d| format!("disk{}.", d.number)).collect())
}

/// The steps of a linked clone, which depends on the snapshot.
fn links(source: &Guest, volumes: &[Volume], snapshot: &SnapshotName, to: &Dataset, own: &[Pair]) -> Vec<Action> {
    let mut steps =
        vec![Action::CloneDataset { from: source.dataset.at(snapshot), to: to.clone(), native: super::of_disks(), own: own.to_vec() }];
    for volume in volumes {
        steps.push(Action::CloneDataset {
            from: SnapshotRef { dataset: source.dataset.child(&volume.now), name: snapshot.clone() },
            to: to.child(&volume.then),
            native: vec![("volmode".into(), "dev".into())],
            own: Vec::new(),
        });
    }
    steps
}

/// The steps of a full copy, without settings. `natives`: native ZFS properties for the copies.
pub(super) fn copies(
    source: &Guest,
    volumes: &[Volume],
    snapshot: &SnapshotName,
    to: &Dataset,
    sizes: &BTreeMap<Dataset, Size>,
    natives: &BTreeMap<Dataset, Vec<Pair>>,
) -> Vec<Action> {
    let mut steps = Vec::new();
    let mut copy = |from: Dataset, to: Dataset, native: Vec<Pair>| {
        let native = super::with(native, natives.get(&from));
        let size = sizes.get(&from).copied().unwrap_or_default();
        steps.push(Action::SendReceive { from: from.at(snapshot), to: to.clone(), size });
        steps.push(Action::SetNative { dataset: to, native });
    };
    copy(source.dataset.clone(), to.clone(), super::of_disks());
    for volume in volumes {
        copy(source.dataset.child(&volume.now), to.child(&volume.then), vec![("volmode".into(), "dev".into())]);
    }
    steps
}

/// The step that turns a copy into a guest. The UUID, which makes a dataset a guest, is set last, so that no reader sees a
/// guest with incomplete settings.
pub(super) fn settle(world: &World, on: &Dataset, own: Vec<Pair>) -> Action {
    let (last, mut set): (Vec<Pair>, Vec<Pair>) = own.into_iter().partition(|(k, _)| k == keys::UUID);
    set.extend(last);
    let before = set.iter().map(|(k, _)| (k.clone(), None)).collect();
    Action::Change { dialect: world.host.dialect, on: on.clone(), set, clear: Vec::new(), before, received: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing::{self, moment};
    use crate::pool::Role;

    fn request(names: &[&str]) -> Request {
        Request { names: names.iter().map(|n| n.parse().unwrap()).collect(), ..Request::default() }
    }

    #[test]
    fn a_clone_has_its_source_s_settings_and_an_identity_of_its_own() {
        let source = testing::guest(
            "web01",
            &[
                ("uuid", "old"),
                ("cpu", "2"),
                ("net0.mac", "58:9c:fc:00:00:01"),
                ("template", "yes"),
                ("disk0.kind", "raw"),
                ("disk0.size", "64M"),
            ],
        );
        let world = testing::world(vec![source.clone()]);
        insta::assert_snapshot!(clone(&world, &source, &request(&["web02"]), &moment(1)).unwrap().script(Os::Linux), @r"
        # take the snapshot tank/chyves/guests/web01@clone-20260131T120000Z-000000
        zfs snapshot -r -o chyves:cpu=2 -o chyves:disk0.kind=raw -o chyves:disk0.size=64M -o chyves:net0.mac=58:9c:fc:00:00:01 -o chyves:template=yes -o chyves:uuid=old -o chyves:snapshot.taken=2026-01-31T12:00:00Z -o chyves:snapshot.for=clone tank/chyves/guests/web01@clone-20260131T120000Z-000000
        # clone tank/chyves/guests/web01@clone-20260131T120000Z-000000 to tank/chyves/guests/web02
        zfs clone -o canmount=noauto -o recordsize=64K -o chyves:uuid=00000000-0000-0000-0000-000000000001 -o chyves:created=2026-01-31T12:00:00Z -o chyves:owner=11111111-1111-4111-8111-111111111111 -o chyves:epoch=1 -o chyves:cloned_from=web01@clone-20260131T120000Z-000000 -o chyves:cpu=2 -o chyves:disk0.kind=raw -o chyves:disk0.size=64M tank/chyves/guests/web01@clone-20260131T120000Z-000000 tank/chyves/guests/web02
        # mount tank/chyves/guests/web02
        zfs mount tank/chyves/guests/web02
        # check that these exist: disk 0 of `web01` (/tank/chyves/guests/web02/disk0.raw)
        test -w /tank/chyves/guests/web02/disk0.raw
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

    fn two_pools(source: &Guest) -> World {
        let mut world = testing::world(vec![source.clone()]);
        let mut other = world.roots[0].clone();
        other.dataset = "depot/chyves".parse().unwrap();
        other.role = Role::Secondary;
        other.mountpoint = Some("/depot/chyves".into());
        world.roots.push(other);
        world
    }

    #[test]
    fn an_independent_clone_is_a_whole_copy_wherever_it_is_wanted() {
        let source = testing::guest("web01", &[("uuid", "old"), ("cpu", "2"), ("disk0.kind", "zvol"), ("disk0.size", "64M")]);
        let world = two_pools(&source);
        let mut wanted = request(&["web02"]);
        wanted.pool = Some("depot".into());
        assert!(clone(&world, &source, &wanted, &moment(1)).unwrap_err().hints[0].contains("--independent"));
        wanted.independent = true;
        wanted.sizes = [(source.dataset.clone(), Size::mib(3))].into();
        let set = [("compression", "gzip"), ("quota", "1073741824"), ("recordsize", "131072")];
        wanted.natives = [(source.dataset.clone(), set.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec())].into();
        insta::assert_snapshot!("independent", clone(&world, &source, &wanted, &moment(1)).unwrap().script(Os::Linux));
        wanted.pool = None;
        wanted.snapshot = Some("given".parse().unwrap());
        wanted.snapshot_exists = true;
        wanted.volumes = vec!["disk0".into()];
        let text = clone(&world, &source, &wanted, &moment(1)).unwrap().script(Os::Linux);
        assert!(!text.contains("zfs snapshot") && !text.contains("destroy -r tank/chyves/guests/web01@"), "{text}");
        let mut offline = world.clone();
        offline.roots[1].role = Role::Offline;
        wanted.pool = Some("depot".into());
        assert_eq!(clone(&offline, &source, &wanted, &moment(1)).unwrap_err().code.exit_code(), 4);
    }

    #[test]
    fn a_clone_of_a_snapshot_has_the_settings_and_disks_of_then() {
        let source = testing::guest("web01", &[("uuid", "now"), ("cpu", "4"), ("disk0.kind", "zvol"), ("disk1.kind", "zvol")]);
        let world = testing::world(vec![source.clone()]);
        let mut wanted = Request { snapshot_exists: true, ..request(&["web02"]) };
        wanted.snapshot = Some("base".parse().unwrap());
        wanted.volumes = vec!["disk0".into()];
        wanted.carried = Some(testing::own(&[("uuid", "then"), ("cpu", "2"), ("disk0.kind", "zvol"), ("snapshot.taken", "2026")]));
        let text = clone(&world, &source, &wanted, &moment(1)).unwrap().script(Os::Linux);
        assert!(text.contains("chyves:cpu=2") && text.contains("web02/disk0") && !text.contains("disk1"), "{text}");
        assert!(!text.contains("snapshot.taken") && !text.contains("then"), "{text}");
    }

    #[test]
    fn a_new_template_is_locked() {
        let source = testing::guest("web01", &[]);
        let world = testing::world(vec![source.clone()]);
        let wanted = Request { set: vec![("template".into(), "yes".into())], ..request(&["gold"]) };
        let plan = clone(&world, &source, &wanted, &moment(1)).unwrap();
        assert_eq!(plan.steps.last(), Some(&Action::SetReadonly { dataset: "tank/chyves/guests/gold".parse().unwrap(), on: true }));
    }

    #[test]
    fn an_exact_clone_is_who_its_source_is() {
        let source = testing::guest(
            "web01",
            &[("uuid", "old"), ("net0.mac", "58:9c:fc:00:00:01"), ("autostart", "1"), ("template", "yes"), ("cloned_from", "x@y")],
        );
        let world = testing::world(vec![source.clone()]);
        let mut wanted = request(&["web02"]);
        wanted.exact = true;
        wanted.set = vec![("notes".into(), "n".into())];
        let plan = clone(&world, &source, &wanted, &moment(1)).unwrap();
        let Some(Action::CloneDataset { own, .. }) = plan.steps.get(1) else { panic!("{:?}", plan.steps) };
        let own: Vec<String> = own.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            own,
            ["autostart=1", "net0.mac=58:9c:fc:00:00:01", "uuid=old", "cloned_from=web01@clone-20260131T120000Z-000000", "notes=n"]
        );
        assert!(plan.notes[0].contains("cannot run while web01 does"));
    }

    #[test]
    fn only_what_chyves_calls_so_is_automatic() {
        let is = |name: &str| is_automatic(&name.parse().unwrap());
        assert!(is("clone-20260131T120000Z-0a1b2f"));
        for other in [
            "clone-20260131T120000Z-0a1b2",
            "clone-20260131T120000Z-0a1b2g",
            "clone-20260131T120000Z-0A1B2F",
            "clone-mine",
            "xclone-20260131T120000Z-0a1b2f",
            "clone-20260131T120000Z-0a1b2ff",
        ] {
            assert!(!is(other), "{other}");
        }
        assert!(is_automatic(&automatic(&moment(1)).unwrap()));
    }

    #[test]
    fn a_clone_is_another_instance_with_a_name_and_an_address_of_its_own() {
        let ci = [
            ("uuid", "old"),
            ("ci.enabled", "yes"),
            ("ci.generation", "3"),
            ("ci.hostname", "db01"),
            ("ci.net0.address", "192.0.2.9/24"),
            ("ci.net0.gateway", "192.0.2.1"),
        ];
        let source = testing::guest("web01", &ci);
        let world = testing::world(vec![source.clone()]);
        let plan = clone(&world, &source, &request(&["web02"]), &moment(1)).unwrap();
        let Some(Action::CloneDataset { own, .. }) = plan.steps.get(1) else { panic!("{:?}", plan.steps) };
        let taken: Vec<String> = own.iter().filter(|(k, _)| k.starts_with("ci.")).map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(taken, ["ci.enabled=yes", "ci.net0.gateway=192.0.2.1"]);
        assert_eq!(plan.notes, ["what only web01 may have is not cloned: ci.hostname ci.net0.address"]);
    }
}
