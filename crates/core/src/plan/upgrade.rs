//! `pool upgrade`: converts the datasets from an older layout to the current one, and back.
//!
//! The changes of each layout are data, [`UPGRADES`], so that both directions follow from one table. Before anything is
//! changed, a recursive snapshot is taken, and the former values of each dataset's changed settings are stored on its
//! snapshot, because ZFS snapshots do not preserve them. An undo restores the old form and keeps what was set since.
//!
//! To add a layout: increase `LAYOUT`, and add a row here.

use super::pool::PARTS;
use super::{Plan, copy_path, opened, roles::Object, says_template};
use crate::action::Action;
use crate::error::{Code, Problem, Result};
use crate::guest::settings_copy;
use crate::property::keys;
use crate::property::settings::{Own, OwnValues};
use crate::value::{Dataset, SnapshotName};
use crate::world::inventory::LAYOUT;
use crate::zfs::Dialect;
use crate::zfs::args::Pair;
use crate::zfs::guard::guards;

/// The difference of one layout from the one before it.
#[derive(Debug)]
pub struct Upgrade {
    /// The layout that it converts to, from the one before.
    pub to: u32,
    /// The description that users see.
    pub what: &'static str,
    /// The changes.
    pub changes: &'static [Change],
}

/// One change of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A key is renamed on every dataset.
    Key {
        /// The old name.
        from: &'static str,
        /// The new name.
        to: &'static str,
    },
    /// The root gets one more child dataset.
    Part(&'static str),
}

/// All of them, oldest first.
pub const UPGRADES: &[Upgrade] = &[Upgrade {
    to: 1,
    what: "the layout before the first release: cpu and memory under other names, no trash",
    changes: &[Change::Key { from: "cpus", to: "cpu" }, Change::Key { from: "memory", to: "ram" }, Change::Part("trash")],
}];

/// One dataset below a root, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The dataset's name.
    pub dataset: Dataset,
    /// Its own settings, including those that mark it.
    pub own: OwnValues,
    /// The path where it is or would be mounted.
    pub mountpoint: Option<String>,
    /// Whether it is mounted.
    pub mounted: bool,
    /// Native properties that protect the host against files in the dataset and that are not set.
    pub unguarded: Vec<&'static str>,
    /// For undo: the settings stored on its snapshot of the upgrade; `None` if it has no such snapshot.
    pub recorded: Option<OwnValues>,
}

/// A root with all its descendants that carry settings, the root first.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The root's layout.
    pub layout: u32,
    /// The datasets.
    pub places: Vec<Place>,
    /// The GUIDs of all of them.
    pub guids: Vec<Object>,
    /// Names of its guests with a VM that is alive.
    pub alive: Vec<String>,
}

impl Tree {
    fn root(&self) -> Result<&Place> {
        self.places.first().ok_or_else(|| Problem::bug("a root was not observed"))
    }

    fn still(&self) -> Result<()> {
        if self.alive.is_empty() {
            return Ok(());
        }
        Err(Code::GuestRunning.problem("guests of this pool are running").because(self.alive.join(", ")).hint("stop them first"))
    }
}

/// The name prefix of the snapshots that are taken for the upgrade to a layout.
pub fn snapshot_prefix(to: u32) -> String {
    format!("upgrade-{}-{to}-", to.saturating_sub(1))
}

fn value(own: &OwnValues, key: &str) -> Option<String> {
    own.get(key).map(|o| o.value.clone())
}

/// The key changes of one dataset: keys to set, and keys to remove.
type Moves = (Vec<Pair>, Vec<String>);

fn forward(own: &OwnValues, changes: &[Change]) -> Moves {
    let (mut set, mut clear) = (Vec::new(), Vec::new());
    for change in changes {
        let Change::Key { from, to } = change else { continue };
        let Some(old) = value(own, from) else { continue };
        // If both keys exist, the new name's value was written by the newer program and is kept.
        if !own.contains_key(*to) {
            set.push(((*to).to_owned(), old));
        }
        clear.push((*from).to_owned());
    }
    (set, clear)
}

fn backward(own: &OwnValues, recorded: &OwnValues, changes: &[Change]) -> Moves {
    let (mut set, mut clear) = (Vec::new(), Vec::new());
    for change in changes {
        let Change::Key { from, to } = change else { continue };
        let now = value(own, to);
        if recorded.contains_key(*to) {
            set.extend(value(recorded, from).map(|v| ((*from).to_owned(), v)));
        } else if let Some(now) = now {
            // A value that was set since the upgrade is kept under the old name.
            set.push(((*from).to_owned(), now));
            clear.push((*to).to_owned());
        }
    }
    (set, clear)
}

/// The steps that change one dataset and, for a guest, the copy of its settings.
fn changed(place: &Place, (set, clear): Moves, dialect: Dialect) -> Vec<Action> {
    if set.is_empty() && clear.is_empty() {
        return Vec::new();
    }
    let before = set.iter().map(|(k, _)| k).chain(&clear).map(|k| (k.clone(), value(&place.own, k))).collect();
    let mut after = place.own.clone();
    after.retain(|k, _| !clear.contains(k));
    after.extend(set.iter().map(|(k, v)| (k.clone(), Own { value: v.clone(), received: false })));
    let mut steps = vec![Action::Change { dialect, on: place.dataset.clone(), set, clear, before, received: Vec::new() }];
    let folder = place.mountpoint.as_deref().filter(|m| m.starts_with('/') && place.own.contains_key(keys::UUID));
    if let Some(folder) = folder {
        let write = Action::WriteFile { path: copy_path(folder), text: settings_copy(&after) };
        let around = |action: Action| (!place.mounted).then_some(action);
        let mount = around(Action::Mount { dataset: place.dataset.clone() });
        let unmount = around(Action::Unmount { dataset: place.dataset.clone() });
        let written = mount.into_iter().chain([write]).chain(unmount).collect();
        steps.extend(opened(&place.dataset, says_template(&place.own), says_template(&after), written));
    }
    steps
}

fn relabel(root: &Place, from: u32, to: u32, dialect: Dialect) -> Action {
    Action::Change {
        dialect,
        on: root.dataset.clone(),
        set: vec![(keys::LAYOUT.into(), to.to_string())],
        clear: Vec::new(),
        before: vec![(keys::LAYOUT.into(), Some(from.to_string()))],
        received: Vec::new(),
    }
}

/// Plans the conversion to the next layout; several steps are several plans, each with its own snapshot.
///
/// # Errors
/// A guest is running, or this program cannot convert from the root's layout.
pub fn upgrade(tree: &Tree, dialect: Dialect, now: &str) -> Result<Plan> {
    let root = tree.root()?;
    if tree.layout == LAYOUT && tree.places.iter().any(|place| !place.unguarded.is_empty()) {
        return Ok(guard(tree, root));
    }
    if tree.layout == LAYOUT {
        return Ok(Plan::nothing(format!("{} has the present layout, {LAYOUT}", root.dataset)));
    }
    let row = UPGRADES.iter().find(|u| u.to == tree.layout + 1).ok_or_else(|| {
        Problem::not_now(format!("no upgrade is known from the layout {} of `{}`", tree.layout, root.dataset)).on(&root.dataset)
    })?;
    tree.still()?;
    let stamp: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    let name: SnapshotName = format!("{}{stamp}", snapshot_prefix(row.to)).parse()?;
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: tree.guids.clone() });
    plan.push(Action::Snapshot { snapshot: root.dataset.at(&name), own: vec![(keys::LAYOUT.into(), tree.layout.to_string())] });
    for place in &tree.places {
        let names = row.changes.iter().flat_map(|c| match c {
            Change::Key { from, to } => vec![*from, *to],
            Change::Part(_) => Vec::new(),
        });
        let own: Vec<Pair> = names.filter_map(|k| Some((k.to_owned(), value(&place.own, k)?))).collect();
        if !own.is_empty() {
            plan.push(Action::MarkSnapshot { dialect, snapshot: place.dataset.at(&name), own });
        }
    }
    for place in &tree.places {
        plan.steps.extend(changed(place, forward(&place.own, row.changes), dialect));
    }
    for change in row.changes {
        let Change::Part(part) = change else { continue };
        let dataset = root.dataset.child(part);
        if !tree.places.iter().any(|p| p.dataset == dataset) {
            plan.push(Action::CreateDataset {
                dataset,
                native: std::iter::once(("canmount".into(), "off".into())).chain(guards()).collect(),
                own: Vec::new(),
            });
        }
    }
    plan.push(relabel(root, tree.layout, row.to, dialect));
    plan.notes.push(format!("from layout {} to {}; it was {}", tree.layout, row.to, row.what));
    plan.notes.push(format!("to undo: chyves pool upgrade --undo {} (the snapshot {name} must stay for it)", root.dataset.pool()));
    Ok(plan)
}

/// Plans to set the native properties that protect the host against files of guests and images: on the child datasets of
/// the root, and then on descendants that override them.
fn guard(tree: &Tree, root: &Place) -> Plan {
    let mut plan = Plan::default();
    let parts: Vec<Dataset> = PARTS.iter().map(|part| root.dataset.child(part)).collect();
    let open = |place: &&Place| !place.unguarded.is_empty();
    let missing: Vec<&Place> = tree.places.iter().filter(open).filter(|place| parts.contains(&place.dataset)).collect();
    for place in &missing {
        plan.push(Action::SetNative { dataset: place.dataset.clone(), native: off(&place.unguarded) });
    }
    let guarded = |place: &&Place| missing.iter().all(|part| !place.dataset.is_within(&part.dataset));
    for place in tree.places.iter().filter(open).filter(guarded) {
        plan.push(Action::SetNative { dataset: place.dataset.clone(), native: off(&place.unguarded) });
    }
    plan.notes.push("from now on no set-user-ID bit, device node or program in a guest's file system has an effect on this host".into());
    plan
}

fn off(guards: &[&str]) -> Vec<Pair> {
    guards.iter().map(|key| ((*key).to_owned(), "off".to_owned())).collect()
}

/// Plans to restore the previous layout from the snapshot of that name.
///
/// # Errors
/// A guest is running, there is no such snapshot, or a dataset exists that the older layout does not provide for.
pub fn undo(tree: &Tree, snapshot: Option<&SnapshotName>, dialect: Dialect) -> Result<Plan> {
    let root = tree.root()?;
    let missing = || {
        Problem::not_now(format!("no upgrade of `{}` can be undone", root.dataset)).on(&root.dataset).because(format!(
            "there is no snapshot {}@{}…",
            root.dataset,
            snapshot_prefix(tree.layout)
        ))
    };
    let (Some(name), Some(row)) = (snapshot, UPGRADES.iter().find(|u| u.to == tree.layout)) else { return Err(missing()) };
    tree.still()?;
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: tree.guids.clone() });
    let nothing = OwnValues::new();
    for place in &tree.places {
        plan.steps.extend(changed(place, backward(&place.own, place.recorded.as_ref().unwrap_or(&nothing), row.changes), dialect));
    }
    plan.push(relabel(root, tree.layout, tree.layout - 1, dialect));
    for change in row.changes {
        let Change::Part(part) = change else { continue };
        let dataset = root.dataset.child(part);
        let Some(place) = tree.places.iter().find(|p| p.dataset == dataset) else { continue };
        if place.recorded.is_some() {
            continue;
        }
        if tree.places.iter().any(|p| p.dataset != dataset && p.dataset.is_within(&dataset)) {
            return Err(Problem::not_now(format!("`{dataset}` is not empty, and the older layout does not have it"))
                .on(&dataset)
                .hint("empty it first: `chyves trash list`, `chyves trash empty`"));
        }
        plan.push(Action::DestroyDataset { dataset });
    }
    plan.notes.push(format!("back to layout {}, for an older chyves; the snapshot {name} is kept", tree.layout - 1));
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing::own;

    fn place(name: &str, pairs: &[(&str, &str)]) -> Place {
        Place {
            dataset: name.parse().unwrap(),
            own: own(pairs),
            mountpoint: Some(format!("/{name}")),
            mounted: false,
            unguarded: Vec::new(),
            recorded: None,
        }
    }

    fn old() -> Tree {
        let places = vec![
            place("tank/c", &[("layout", "0")]),
            place("tank/c/guests", &[("memory", "2G")]),
            place("tank/c/guests/both", &[("memory", "1G"), ("ram", "3G")]),
            place("tank/c/guests/web", &[("uuid", "u"), ("cpus", "2")]),
            place("tank/c/images", &[]),
        ];
        let guids = places.iter().zip(1..).map(|(p, g)| (p.dataset.to_string(), g)).collect();
        Tree { layout: 0, places, guids, alive: Vec::new() }
    }

    #[test]
    fn every_layout_is_led_to() {
        assert_eq!(UPGRADES.iter().map(|u| u.to).collect::<Vec<_>>(), (1..=LAYOUT).collect::<Vec<_>>());
    }

    #[test]
    fn an_older_layout_is_recorded_and_then_changed() {
        insta::assert_snapshot!(upgrade(&old(), Dialect::Fuse, "2026-01-31T12:00:00Z").unwrap().script(Os::Linux), @"
        # note: from layout 0 to 1; it was the layout before the first release: cpu and memory under other names, no trash
        # note: to undo: chyves pool upgrade --undo tank (the snapshot upgrade-0-1-20260131T120000Z must stay for it)
        # make sure that tank/c has the GUID 1, tank/c/guests has the GUID 2, tank/c/guests/both has the GUID 3, tank/c/guests/web has the GUID 4, tank/c/images has the GUID 5
        zfs get -H -p -o name,property,source,value guid tank/c tank/c/guests tank/c/guests/both tank/c/guests/web tank/c/images
        # take the snapshot tank/c@upgrade-0-1-20260131T120000Z
        zfs snapshot -r -o chyves:layout=0 tank/c@upgrade-0-1-20260131T120000Z
        # record on tank/c/guests@upgrade-0-1-20260131T120000Z what is about to change
        zfs set chyves:memory=2G tank/c/guests@upgrade-0-1-20260131T120000Z
        # record on tank/c/guests/both@upgrade-0-1-20260131T120000Z what is about to change
        zfs set chyves:memory=1G tank/c/guests/both@upgrade-0-1-20260131T120000Z
        zfs set chyves:ram=3G tank/c/guests/both@upgrade-0-1-20260131T120000Z
        # record on tank/c/guests/web@upgrade-0-1-20260131T120000Z what is about to change
        zfs set chyves:cpus=2 tank/c/guests/web@upgrade-0-1-20260131T120000Z
        # change settings of tank/c/guests
        zfs set chyves:ram=2G tank/c/guests
        zfs inherit chyves:memory tank/c/guests
        # change settings of tank/c/guests/both
        zfs inherit chyves:memory tank/c/guests/both
        # change settings of tank/c/guests/web
        zfs set chyves:cpu=2 tank/c/guests/web
        zfs inherit chyves:cpus tank/c/guests/web
        # mount tank/c/guests/web
        zfs mount tank/c/guests/web
        # write /tank/c/guests/web/config.toml (3 lines)
        # unmount tank/c/guests/web
        zfs unmount tank/c/guests/web
        # create the file system tank/c/trash
        zfs create -o canmount=off -o setuid=off -o devices=off -o exec=off tank/c/trash
        # change settings of tank/c
        zfs set chyves:layout=1 tank/c
        ");
        let mut running = old();
        running.alive.push("web".into());
        assert!(upgrade(&running, Dialect::Fuse, "").is_err());
        let present = Tree { layout: LAYOUT, ..old() };
        assert!(upgrade(&present, Dialect::Fuse, "").unwrap().steps.is_empty());
    }

    #[test]
    fn the_way_back_brings_the_old_form_with_what_was_set_since() {
        let mut tree = old();
        tree.layout = 1;
        let recorded = |pairs: &[(&str, &str)]| Some(own(pairs));
        tree.places[0].recorded = recorded(&[]);
        tree.places[1] = Place { recorded: recorded(&[("memory", "2G")]), ..place("tank/c/guests", &[("ram", "4G")]) };
        tree.places[2] = Place { recorded: recorded(&[("memory", "1G"), ("ram", "3G")]), ..place("tank/c/guests/both", &[("ram", "3G")]) };
        tree.places[3] = Place { recorded: recorded(&[("cpus", "2")]), ..place("tank/c/guests/web", &[("uuid", "u"), ("cpu", "2")]) };
        tree.places[4].recorded = recorded(&[]);
        tree.places.push(place("tank/c/guests/new", &[("ram", "1G")]));
        tree.places.push(place("tank/c/trash", &[]));
        let name: SnapshotName = "upgrade-0-1-x".parse().unwrap();
        insta::assert_snapshot!(undo(&tree, Some(&name), Dialect::Fuse).unwrap().script(Os::Linux), @r"
        # note: back to layout 0, for an older chyves; the snapshot upgrade-0-1-x is kept
        # make sure that tank/c has the GUID 1, tank/c/guests has the GUID 2, tank/c/guests/both has the GUID 3, tank/c/guests/web has the GUID 4, tank/c/images has the GUID 5
        zfs get -H -p -o name,property,source,value guid tank/c tank/c/guests tank/c/guests/both tank/c/guests/web tank/c/images
        # change settings of tank/c/guests
        zfs set chyves:memory=4G tank/c/guests
        zfs inherit chyves:ram tank/c/guests
        # change settings of tank/c/guests/both
        zfs set chyves:memory=1G tank/c/guests/both
        # change settings of tank/c/guests/web
        zfs set chyves:cpus=2 tank/c/guests/web
        zfs inherit chyves:cpu tank/c/guests/web
        # mount tank/c/guests/web
        zfs mount tank/c/guests/web
        # write /tank/c/guests/web/config.toml (3 lines)
        # unmount tank/c/guests/web
        zfs unmount tank/c/guests/web
        # change settings of tank/c/guests/new
        zfs set chyves:memory=1G tank/c/guests/new
        zfs inherit chyves:ram tank/c/guests/new
        # change settings of tank/c
        zfs set chyves:layout=0 tank/c
        # destroy tank/c/trash
        zfs destroy tank/c/trash
        ");
        assert!(undo(&tree, None, Dialect::Fuse).is_err());
        tree.places.push(place("tank/c/trash/x", &[]));
        assert!(undo(&tree, Some(&name), Dialect::Fuse).unwrap_err().hints[0].contains("trash empty"));
    }
}
