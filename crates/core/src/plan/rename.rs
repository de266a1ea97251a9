//! `rename` and `move`: another name, another pool. The identity is kept: UUID, MAC addresses, serial numbers, firmware
//! variables.

use super::snapshot::volumes;
use super::{Moment, Plan, clone, copy_path, create, delete, free, groups, own_guest, pairs, stopped, values};
use crate::action::Action;
use crate::error::{Code, Problem, Result};
use crate::guest::{Guest, settings_copy, trust};
use crate::property::keys;
use crate::property::settings::{OwnValues, Settings};
use crate::value::{Dataset, GuestName, Size, SnapshotName};
use crate::world::World;
use crate::zfs::Dialect;
use crate::zfs::args::Pair;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has to be read before planning.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The GUID of the guest's dataset.
    pub guid: u64,
    /// Datasets that depend on its snapshots.
    pub clones: Vec<String>,
    /// Whether the trash already contains a guest with this UUID.
    pub trashed: bool,
    /// The number of its snapshots.
    pub snapshots: usize,
    /// Estimated bytes to send from each of its datasets.
    pub sizes: BTreeMap<Dataset, Size>,
    /// Native ZFS properties that the user set on its datasets.
    pub natives: BTreeMap<Dataset, Vec<Pair>>,
    /// The datasets that it inherits from on the other pool, nearest first: its group, if one of that name is there, and `guests`.
    pub above: Vec<(Dataset, Arc<OwnValues>)>,
}

/// Plans to rename a guest. The world must hold the guests of both names.
///
/// # Errors
/// The guest is running or foreign, the name is taken, or this ZFS cannot rename datasets that have clones.
pub fn rename(world: &World, guest: &Guest, name: &GuestName, facts: &Facts) -> Result<Plan> {
    own_guest(guest)?;
    if *name == guest.name {
        return Ok(Plan::nothing(format!("{name} is its name already")));
    }
    stopped(guest, "rename")?;
    let parent = guest.dataset.parent().ok_or_else(|| Problem::bug("a guest lies on no pool"))?;
    free(world, name, &parent.child(name), Some(&guest.dataset))?;
    match world.host.dialect {
        Dialect::Fuse if !facts.clones.is_empty() => {
            return Err(Code::HasClones
                .problem(format!("`{}` cannot be renamed: guests are clones of it", guest.name))
                .on(&guest.name)
                .because(format!("zfs-fuse cannot rename a dataset with dependent clones: {}", facts.clones.join(", ")))
                .hint("let a clone own the snapshots first: `chyves promote CLONE`; then rename"));
        }
        Dialect::OpenZfs | Dialect::Fuse => {}
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: vec![(guest.dataset.to_string(), facts.guid)] });
    if guest.mounted {
        plan.push(Action::Unmount { dataset: guest.dataset.clone() });
    }
    plan.push(Action::Rename { dialect: world.host.dialect, from: guest.dataset.clone(), to: parent.child(name) });
    Ok(plan)
}

/// Plans to move a guest to another pool: a full copy is made and verified, then the original is moved to the trash.
///
/// # Errors
/// The guest is running or foreign, the pool is offline or unknown, or the name is taken there.
pub fn relocate(world: &World, guest: &Guest, pool: &str, facts: &Facts, moment: &Moment) -> Result<Plan> {
    own_guest(guest)?;
    let root = world.place(Some(pool))?;
    if root.dataset == guest.root {
        return Ok(Plan::nothing(format!("{} is on {} already", guest.name, root.dataset.pool())));
    }
    stopped(guest, "move")?;
    let parent = facts.above.first().map_or_else(|| root.guests(), |(dataset, _)| dataset.clone());
    let to = parent.child(&guest.name);
    free(world, &guest.name, &to, Some(&guest.dataset))?;
    let stamp: String = moment.now.chars().filter(char::is_ascii_alphanumeric).collect();
    let token = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
    let snapshot: SnapshotName = format!("move-{stamp}-{}", token.get(..6).unwrap_or_default()).parse()?;
    let folder = format!("{}{}", create::guests_folder(root)?, &to.as_str()[root.guests().as_str().len()..]);
    let mut own = pairs(guest.settings.own_values());
    trust::carry_pairs(guest, &mut own, &[]);
    let (identity, rest): (Vec<Pair>, Vec<Pair>) = own.iter().cloned().partition(|(k, _)| k == keys::UUID);
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: vec![(guest.dataset.to_string(), facts.guid)] });
    plan.push(Action::Snapshot { snapshot: guest.dataset.at(&snapshot), own: super::snapshot::carried(guest, &moment.now) });
    plan.steps.extend(clone::copies(guest, &volumes::present(guest)?, &snapshot, &to, &facts.sizes, &facts.natives));
    plan.push(clone::settle(world, &to, rest));
    plan.push(Action::Mount { dataset: to.clone() });
    plan.push(Action::WriteFile { path: copy_path(&folder), text: settings_copy(&values(&own)) });
    plan.push(Action::Unmount { dataset: to.clone() });
    plan.push(Action::DropSnapshot { snapshot: to.at(&snapshot) });
    if guest.is_template() {
        plan.push(Action::SetReadonly { dataset: to.clone(), on: true });
    }
    // At any time exactly one of the two datasets is the guest.
    if guest.mounted {
        plan.push(Action::Unmount { dataset: guest.dataset.clone() });
    }
    let mut place = delete::place(world, guest, facts.guid, facts.trashed)?;
    let mut away = delete::into_trash(world, guest, &moment.now, &place);
    if world.host.dialect == Dialect::Fuse && !facts.clones.is_empty() {
        // The dataset is only marked as deleted and keeps its place.
        away.pop();
        place = guest.dataset.clone();
    }
    plan.steps.extend(away);
    plan.push(clone::settle(world, &to, identity));
    plan.push(Action::DestroySnapshot { snapshot: place.at(&snapshot) });
    plan.notes.push(format!("the original is moved to the trash of {} when the copy is complete", guest.dataset.pool()));
    if facts.snapshots > 0 {
        let stay = if facts.snapshots == 1 { "stays" } else { "stay" };
        plan.notes.push(format!("its {} {stay} there with the original", super::count(facts.snapshots, "snapshot")));
    }
    if let Some(group) = guest.group().filter(|_| parent == root.guests()) {
        plan.notes.push(format!("{pool} has no group `{group}`: it is outside of any group there", pool = root.dataset.pool()));
    }
    let there = Guest { settings: Settings::new(guest.settings.own_values().clone(), facts.above.clone()), ..guest.clone() };
    let changes = groups::inherited_changes(&guest.settings, &there.settings);
    if !changes.is_empty() {
        let name = &guest.name;
        plan.notes.push(format!("it inherits other settings there: {}; `chyves set {name} …` keeps a value", changes.join(", ")));
    }
    plan.notes.extend(super::whole::warning(world, &there, &values(&own)));
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::RunState;
    use crate::os::Os;
    use crate::plan::testing;
    use crate::pool::Role;

    #[test]
    fn a_rename_changes_the_name_alone() {
        let mut g = testing::guest("web01", &[]);
        let mut world = testing::world(vec![g.clone(), testing::guest("web03", &[])]);
        let name = "web02".parse().unwrap();
        let mut facts = Facts { guid: 9, ..Facts::default() };
        insta::assert_snapshot!(rename(&world, &g, &name, &facts).unwrap().script(Os::Linux), @r"
        # make sure that tank/chyves/guests/web01 has the GUID 9
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
        # rename tank/chyves/guests/web01 to tank/chyves/guests/web02
        zfs rename tank/chyves/guests/web01 tank/chyves/guests/web02
        ");
        assert!(rename(&world, &g, &"web03".parse().unwrap(), &facts).unwrap_err().message.contains("already"));
        assert!(rename(&world, &g, &"web01".parse().unwrap(), &facts).unwrap().steps.is_empty());
        facts.clones = vec!["tank/chyves/guests/c".into()];
        assert!(rename(&world, &g, &name, &facts).unwrap_err().hints[0].contains("promote"));
        world.host.dialect = Dialect::OpenZfs;
        assert!(rename(&world, &g, &name, &facts).is_ok());
        g.state = RunState::Running;
        assert_eq!(rename(&world, &g, &name, &facts).unwrap_err().code.exit_code(), 4);
    }

    #[test]
    fn a_move_copies_whole_and_keeps_the_original_in_the_trash() {
        let g = testing::guest("web01", &[("uuid", "u"), ("cpu", "2"), ("disk0.kind", "raw")]);
        let mut world = testing::world(vec![g.clone()]);
        let mut other = world.roots[0].clone();
        other.dataset = "depot/chyves".parse().unwrap();
        other.role = Role::Secondary;
        other.mountpoint = Some("/depot/chyves".into());
        world.roots.push(other);
        let facts = Facts { guid: 9, snapshots: 2, ..Facts::default() };
        insta::assert_snapshot!("move", relocate(&world, &g, "depot", &facts, &testing::moment(1)).unwrap().script(Os::Linux));
        // What it inherits there is another group's or none's, and is named.
        let mut grouped = g.clone();
        grouped.dataset = "tank/chyves/guests/prod/web01".parse().unwrap();
        let own = |pairs: &[(&str, &str)]| Arc::new(testing::own(pairs));
        let above = |pool: &str, ram| vec![(format!("{pool}/chyves/guests/prod").parse().unwrap(), own(&[("ram", ram)]))];
        grouped.settings = Settings::new(g.settings.own_values().clone(), above("tank", "99M"));
        let in_group = World { guests: vec![grouped.clone()], ..world.clone() };
        let plan = relocate(&in_group, &grouped, "depot", &facts, &testing::moment(1)).unwrap();
        assert!(plan.notes.iter().any(|note| note.contains("no group `prod`")), "{:?}", plan.notes);
        assert!(plan.notes.iter().any(|note| note.contains("ram 256M (was 99M)")), "{:?}", plan.notes);
        let facts_there = Facts { above: above("depot", "99M"), ..facts.clone() };
        let plan = relocate(&in_group, &grouped, "depot", &facts_there, &testing::moment(1)).unwrap();
        assert!(!plan.notes.iter().any(|note| note.contains("inherits") || note.contains("group")), "{:?}", plan.notes);
        assert!(plan.script(Os::Linux).contains("/depot/chyves/guests/prod/web01/config.toml"));
        assert!(relocate(&world, &g, "tank", &facts, &testing::moment(1)).unwrap().steps.is_empty());
        assert_eq!(relocate(&world, &g, "nowhere", &facts, &testing::moment(1)).unwrap_err().code.exit_code(), 3);
        world.guests.push(Guest { dataset: "depot/chyves/guests/web01".parse().unwrap(), ..g.clone() });
        assert!(relocate(&world, &g, "depot", &facts, &testing::moment(1)).is_err());
    }
}
