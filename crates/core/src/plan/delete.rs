//! `delete` and `undelete`: move guests into the trash and back. Only [`destroy`] and [`empty`] destroy data.

use super::{Plan, not_template, stopped};
use crate::action::Action;
use crate::error::{Code, Problem, Result, did_you_mean};
use crate::guest::{Guest, Trashed};
use crate::property::keys;
use crate::value::{Dataset, GuestName, SnapshotRef};
use crate::world::World;

/// Plans to move a guest into the trash. With `stays`, the dataset keeps its place and is only marked as deleted, because
/// zfs-fuse cannot rename a dataset that has clones. `taken`: the trash already contains a guest with this UUID.
///
/// # Errors
/// The guest's VM is alive, or the guest is a template.
pub fn delete(world: &World, guest: &Guest, guid: u64, (stays, taken): (bool, bool), now: &str) -> Result<Plan> {
    not_template(guest, "delete")?;
    stopped(guest, "delete")?;
    let to = place(world, guest, guid, taken)?;
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: vec![(guest.dataset.to_string(), guid)] });
    if guest.mounted {
        plan.push(Action::Unmount { dataset: guest.dataset.clone() });
    }
    let mut steps = into_trash(world, guest, now, &to);
    if stays {
        steps.pop();
        plan.notes.push(format!("this ZFS cannot move what has clones: {} is marked as deleted and keeps its place", guest.name));
    }
    plan.steps.extend(steps);
    plan.notes.push(format!(
        "{} will be moved to the trash with its disks and snapshots ({}); `chyves undelete {}` restores it",
        guest.name,
        guest.used.human(),
        guest.name
    ));
    Ok(plan)
}

/// The dataset in the trash that a guest is moved to unless it is taken by another copy of the guest.
///
/// # Errors
/// Its pool is no longer managed by chyves.
pub fn usual_place(world: &World, guest: &Guest) -> Result<Dataset> {
    Ok(world.root_on(guest.root.pool())?.trash().child(guest.uuid.to_string()))
}

/// The dataset in the trash for a guest. If two copies of one guest are deleted, the second one gets a name with its GUID.
pub(super) fn place(world: &World, guest: &Guest, guid: u64, taken: bool) -> Result<Dataset> {
    let usual = usual_place(world, guest)?;
    Ok(if taken { world.root_on(guest.root.pool())?.trash().child(format!("{}-{guid}", guest.uuid)) } else { usual })
}

/// The dataset in the trash that a plan moves a guest or a disk to; none if it destroys it, or only marks it.
pub fn trashed_as<'p>(guest: &Guest, plan: &'p Plan) -> Option<&'p Dataset> {
    let trash = guest.root.child("trash");
    let target = |step: &'p Action| {
        let (Action::Rename { to, .. } | Action::RenameVolume { to, .. } | Action::CreateDataset { dataset: to, .. }) = step else {
            return None;
        };
        Some(to)
    };
    plan.steps.iter().filter_map(target).find(|to| to.is_within(&trash) && **to != trash)
}

/// The steps that move an unmounted guest into the trash at `to`.
pub(super) fn into_trash(world: &World, guest: &Guest, now: &str, to: &Dataset) -> Vec<Action> {
    let mut set = vec![(keys::DELETED.to_owned(), now.to_owned()), (keys::NAME.to_owned(), guest.name.to_string())];
    set.extend(guest.group().map(|g| (keys::GROUP.to_owned(), g.to_owned())));
    let before = set.iter().map(|(k, _)| (k.clone(), None)).collect();
    vec![
        Action::Change { dialect: world.host.dialect, on: guest.dataset.clone(), set, clear: Vec::new(), before, received: Vec::new() },
        Action::Rename { dialect: world.host.dialect, from: guest.dataset.clone(), to: to.clone() },
    ]
}

/// What a destruction would remove, as it was read from ZFS.
#[derive(Debug, Clone, Default)]
pub struct Doomed {
    /// The GUID of the dataset.
    pub guid: u64,
    /// Everything that is destroyed: the dataset, its descendants and all their snapshots.
    pub takes: Vec<String>,
    /// Datasets elsewhere that are clones of these snapshots; they prevent the destruction.
    pub clones: Vec<String>,
    /// The automatic snapshot that this dataset is a clone of, if chyves took it for the clone.
    pub leaves: Option<Leaves>,
}

/// A snapshot that chyves took for a clone; it is of no use once no clone depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves {
    /// The snapshot.
    pub snapshot: SnapshotRef,
    /// Its GUID.
    pub guid: u64,
    /// Other clones that depend on it.
    pub others: Vec<Dataset>,
}

impl Doomed {
    /// The names of everything that is destroyed, provided that the datasets in `gone` are destroyed too.
    pub fn all(&self, gone: &[Dataset]) -> Vec<String> {
        self.takes.iter().cloned().chain(self.last_of(gone).map(|l| format!("{} (it was taken for this clone)", l.snapshot))).collect()
    }

    /// The automatic snapshot, if this is its last clone.
    fn last_of(&self, gone: &[Dataset]) -> Option<&Leaves> {
        self.leaves.as_ref().filter(|l| l.others.iter().all(|o| is_gone(o.as_str(), gone)))
    }
}

fn is_gone(dataset: &str, gone: &[Dataset]) -> bool {
    dataset.parse::<Dataset>().is_ok_and(|d| gone.iter().any(|g| d.is_within(g)))
}

/// The order in which datasets can be destroyed: clones before their origins. Datasets with dependent clones elsewhere are
/// left out.
pub fn order(doomed: &[(Dataset, &Doomed)]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    let mut gone: Vec<Dataset> = Vec::new();
    loop {
        let ready = |index: &usize| !order.contains(index) && doomed[*index].1.clones.iter().all(|c| is_gone(c, &gone));
        let next: Vec<usize> = (0..doomed.len()).filter(ready).collect();
        if next.is_empty() {
            return order;
        }
        gone.extend(next.iter().map(|i| doomed[*i].0.clone()));
        order.extend(next);
    }
}

/// Plans to destroy a guest, which cannot be undone.
///
/// # Errors
/// Its VM is alive, it is a template, or it has dependent clones.
pub fn destroy(guest: &Guest, doomed: &Doomed) -> Result<Plan> {
    not_template(guest, "destroy")?;
    stopped(guest, "destroy")?;
    let mut plan = Plan::default();
    if guest.mounted {
        plan.push(Action::Unmount { dataset: guest.dataset.clone() });
    }
    plan.steps.extend(end(guest.name.as_str(), &guest.dataset, doomed, &[])?);
    Ok(plan)
}

/// Plans to destroy a deleted guest; `gone` are the datasets that are destroyed in the same run.
///
/// # Errors
/// It has dependent clones.
pub fn empty(trashed: &Trashed, doomed: &Doomed, gone: &[Dataset]) -> Result<Plan> {
    Ok(Plan { steps: end(&trashed.label(), &trashed.dataset, doomed, gone)?, notes: Vec::new() })
}

fn end(name: &str, dataset: &Dataset, doomed: &Doomed, gone: &[Dataset]) -> Result<Vec<Action>> {
    let clones: Vec<&str> = doomed.clones.iter().map(String::as_str).filter(|c| !is_gone(c, gone)).collect();
    if !clones.is_empty() {
        return Err(Code::HasClones
            .problem(format!("`{name}` cannot be destroyed: it has dependent clones"))
            .on(dataset)
            .because(clones.join(", "))
            .hint("destroy those first, or turn the dependency round: `chyves promote CLONE`"));
    }
    let mut objects = vec![(dataset.to_string(), doomed.guid)];
    let mut steps = Vec::new();
    // The automatic snapshot is destroyed together with its last clone. ZFS does this atomically, so that no failure in
    // between can leave the snapshot behind.
    if let Some(leaves) = doomed.last_of(gone) {
        objects.push((leaves.snapshot.to_string(), leaves.guid));
        steps.push(Action::LeaveToClones { snapshot: leaves.snapshot.clone() });
    }
    steps.push(Action::DestroyTree { dataset: dataset.clone(), takes: doomed.takes.clone() });
    steps.insert(0, Action::Verify { objects });
    Ok(steps)
}

/// The deleted guest that `wanted` names: by its name, or by its UUID if several had that name. `command` is what was typed before
/// the name.
///
/// # Errors
/// No deleted guest matches, or several do.
pub fn find<'a>(world: &'a World, wanted: &str, command: &str) -> Result<&'a Trashed> {
    let found: Vec<&Trashed> = world
        .trash
        .iter()
        .filter(|t| {
            t.label() == wanted
                || t.dataset.leaf() == wanted
                || t.dataset.as_str() == wanted
                || t.uuid.is_some_and(|u| wanted.parse() == Ok(u))
        })
        .collect();
    match found[..] {
        [one] => Ok(one),
        [] => {
            let shown = crate::value::printable(wanted, 63);
            Err(Code::NotInTrash
                .problem(format!("nothing called `{shown}` is in the trash"))
                .on(&shown)
                .hint_if(did_you_mean(wanted, world.trash.iter().map(Trashed::label).collect::<Vec<_>>().iter().map(String::as_str)))
                .hint("`chyves trash list` shows what does"))
        }
        _ => {
            // A guest that was moved may have been deleted on both pools; then the UUID is ambiguous and the dataset has to
            // be named.
            let twice = found.iter().filter(|t| t.dataset.leaf() == found[0].dataset.leaf()).count() > 1;
            let which = |t: &Trashed| if twice { t.dataset.to_string() } else { t.dataset.leaf().to_owned() };
            let each: Vec<String> = found.iter().map(|t| format!("{} deleted {}", which(t), t.deleted)).collect();
            Err(Problem::usage(format!("several deleted guests were called `{wanted}`"))
                .on(wanted)
                .because(each.join("; "))
                .hint(format!("name one by what is shown before `deleted`: `{command} {}`", which(found[0]))))
        }
    }
}

/// Plans to restore a guest from the trash, under its old name or `name`, and into its former group if that still exists
/// (`has_group`).
///
/// # Errors
/// The name is taken.
pub fn undelete(world: &World, trashed: &Trashed, guid: u64, name: Option<&GuestName>, has_group: bool) -> Result<Plan> {
    let root = world.root_on(trashed.dataset.pool())?;
    let name = name.unwrap_or(&trashed.name);
    let group = trashed.group.as_deref().filter(|_| has_group);
    let to = group.map_or_else(|| root.guests(), |group| root.guests().child(group)).child(name);
    if trashed.dataset != to || world.guests.iter().any(|g| g.name == *name) {
        super::free(world, name, &to, Some(&trashed.dataset))
            .map_err(|p| p.hint(format!("restore it under another name: `chyves undelete {} --name OTHER`", trashed.dataset.leaf())))?;
    }
    let clear: Vec<String> =
        [keys::DELETED, keys::NAME].iter().map(|k| (*k).to_owned()).chain(trashed.group.as_ref().map(|_| keys::GROUP.to_owned())).collect();
    let mut before =
        vec![(keys::DELETED.to_owned(), Some(trashed.deleted.clone())), (keys::NAME.to_owned(), Some(trashed.name.to_string()))];
    before.extend(trashed.group.clone().map(|g| (keys::GROUP.to_owned(), Some(g))));
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: vec![(trashed.dataset.to_string(), guid)] });
    if trashed.dataset != to {
        plan.push(Action::Rename { dialect: world.host.dialect, from: trashed.dataset.clone(), to: to.clone() });
    }
    plan.push(Action::Change { dialect: world.host.dialect, on: to, set: Vec::new(), clear, before, received: Vec::new() });
    if let (Some(group), None) = (&trashed.group, group) {
        plan.notes.push(format!(
            "its group `{group}` is gone: it is restored outside of any group, without the settings that it inherited there"
        ));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::RunState;
    use crate::os::Os;
    use crate::plan::testing;
    use crate::value::Size;

    fn trashed(name: &str, leaf: &str) -> Trashed {
        Trashed {
            name: name.parse().unwrap(),
            dataset: format!("tank/chyves/trash/{leaf}").parse().unwrap(),
            uuid: None,
            deleted: "2026-01-01T00:00:00Z".into(),
            used: Size::default(),
            group: None,
            disk: None,
        }
    }

    #[test]
    fn a_guest_goes_and_comes_back() {
        let g = testing::guest("web", &[]);
        let mut world = testing::world(vec![g.clone()]);
        insta::assert_snapshot!(delete(&world, &g, 4711, (false, false), "2026-01-31T12:00:00Z").unwrap().script(Os::Linux), @"
        # note: web will be moved to the trash with its disks and snapshots (1M); `chyves undelete web` restores it
        # make sure that tank/chyves/guests/web has the GUID 4711
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web
        # change settings of tank/chyves/guests/web
        zfs set chyves:deleted=2026-01-31T12:00:00Z tank/chyves/guests/web
        zfs set chyves:name=web tank/chyves/guests/web
        # rename tank/chyves/guests/web to tank/chyves/trash/0767198b-ef5d-5b05-8f70-b7fca9b6e245
        zfs rename tank/chyves/guests/web tank/chyves/trash/0767198b-ef5d-5b05-8f70-b7fca9b6e245
        ");
        world.guests.clear();
        insta::assert_snapshot!(undelete(&world, &trashed("web", "t1"), 4711, None, false).unwrap().script(Os::Linux), @r"
        # make sure that tank/chyves/trash/t1 has the GUID 4711
        zfs get -H -p -o name,property,source,value guid tank/chyves/trash/t1
        # rename tank/chyves/trash/t1 to tank/chyves/guests/web
        zfs rename tank/chyves/trash/t1 tank/chyves/guests/web
        # change settings of tank/chyves/guests/web
        zfs inherit chyves:deleted tank/chyves/guests/web
        zfs inherit chyves:name tank/chyves/guests/web
        ");
    }

    #[test]
    fn exactly_one_is_meant_or_none() {
        let mut g = testing::guest("web", &[]);
        let mut world = testing::world(vec![g.clone()]);
        world.trash = vec![trashed("web", "a1"), trashed("web-1", "a2"), trashed("twice", "a3"), trashed("twice", "a4")];
        assert_eq!(find(&world, "web", "chyves undelete").unwrap().dataset.leaf(), "a1");
        assert!(find(&world, "we", "chyves undelete").is_err());
        assert!(find(&world, "twice", "chyves undelete").unwrap_err().causes[0].contains("a4"));
        assert_eq!(find(&world, "a4", "chyves undelete").unwrap().dataset.leaf(), "a4");
        assert!(undelete(&world, &world.trash[0], 1, None, false).is_err(), "its name is taken");
        g.state = RunState::Running;
        assert!(delete(&world, &g, 1, (false, false), "").is_err());
    }

    #[test]
    fn one_that_was_deleted_on_two_pools_is_told_by_where_it_lies() {
        let mut world = testing::world(Vec::new());
        let mut other = trashed("web", "t1");
        other.dataset = "depot/chyves/trash/t1".parse().unwrap();
        world.trash = vec![trashed("web", "t1"), other];
        assert!(find(&world, "t1", "chyves undelete").unwrap_err().hints[0].contains("`chyves undelete tank/chyves/trash/t1`"));
        assert!(find(&world, "web", "chyves trash empty").unwrap_err().hints[0].contains("`chyves trash empty tank/chyves/trash/t1`"));
        assert_eq!(find(&world, "depot/chyves/trash/t1", "chyves undelete").unwrap().dataset.pool(), "depot");
    }

    #[test]
    fn a_name_that_a_deleted_guest_keeps_is_taken() {
        let mut world = testing::world(Vec::new());
        let mut kept = trashed("web", "t1");
        kept.dataset = "tank/chyves/guests/web".parse().unwrap();
        world.trash = vec![kept];
        let name: GuestName = "web".parse().unwrap();
        let place = |pool: &str| format!("{pool}/chyves/guests/web").parse::<Dataset>().unwrap();
        assert!(super::super::free(&world, &name, &place("tank"), None).unwrap_err().hints[0].contains("chyves undelete web"));
        assert!(super::super::free(&world, &name, &place("depot"), None).is_ok());
        assert!(undelete(&world, &world.trash[0], 1, None, false).is_ok(), "it keeps its name for itself");
        // In a group too.
        world.trash[0].dataset = "tank/chyves/guests/prod/web".parse().unwrap();
        assert!(super::super::free(&world, &name, &place("tank"), None).unwrap_err().causes[0].contains("guests/prod/web"));
        assert!(super::super::free(&world, &name, &place("depot"), None).is_ok());
    }

    #[test]
    fn a_template_is_not_deleted() {
        let g = testing::guest("gold", &[("template", "yes")]);
        let world = testing::world(vec![g.clone()]);
        assert!(delete(&world, &g, 1, (false, false), "").unwrap_err().hints[0].contains("template=no"));
        assert!(destroy(&g, &Doomed::default()).is_err());
    }

    #[test]
    fn clones_go_before_what_they_stand_on() {
        let ds = |leaf: &str| format!("tank/chyves/trash/{leaf}").parse::<Dataset>().unwrap();
        let on = |clones: &[&str]| Doomed { clones: clones.iter().map(|c| ds(c).to_string()).collect(), ..Doomed::default() };
        let (a, b, c, d, e) = (on(&["b", "c/disk0"]), on(&["c"]), on(&[]), on(&["kept"]), on(&["d"]));
        let all = [(ds("a"), &a), (ds("b"), &b), (ds("c"), &c), (ds("d"), &d), (ds("e"), &e)];
        assert_eq!(order(&all), [2, 1, 0]);
        assert!(empty(&trashed("a", "a"), &a, &[]).is_err());
        assert!(empty(&trashed("a", "a"), &a, &[ds("b"), ds("c")]).is_ok());
        // Datasets that only share a prefix of their names are unrelated.
        assert!(empty(&trashed("d", "d"), &d, &[ds("kep")]).is_err());
    }

    #[test]
    fn the_last_clone_takes_its_snapshot_along() {
        let leaves = |others: &[&str]| Leaves {
            snapshot: "tank/chyves/guests/web@clone-20260131T120000Z-000000".parse().unwrap(),
            guid: 12,
            others: others.iter().map(|o| o.parse().unwrap()).collect(),
        };
        let doomed = |others: &[&str]| Doomed { guid: 11, leaves: Some(leaves(others)), ..Doomed::default() };
        let g = testing::guest("web02", &[]);
        insta::assert_snapshot!(destroy(&g, &doomed(&[])).unwrap().script(Os::Linux), @"
        # make sure that tank/chyves/guests/web02 has the GUID 11, tank/chyves/guests/web@clone-20260131T120000Z-000000 has the GUID 12
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web02 tank/chyves/guests/web@clone-20260131T120000Z-000000
        # let the snapshot tank/chyves/guests/web@clone-20260131T120000Z-000000 be destroyed with its last clone
        zfs destroy -d -r tank/chyves/guests/web@clone-20260131T120000Z-000000
        # destroy tank/chyves/guests/web02, and with it 
        zfs destroy -r tank/chyves/guests/web02
        ");
        assert_eq!(destroy(&g, &doomed(&["tank/chyves/guests/web03"])).unwrap().steps.len(), 2);
    }
}
