//! `pool promote|offline|online|remove`: changes the role of a pool on this host, or removes chyves from it.
//!
//! Guests and images are neither moved nor destroyed: a role is stored in three properties of a root, and a root is only
//! removed if it is empty.

use super::Plan;
use crate::action::Action;
use crate::error::{Code, Problem, Result};
use crate::guest::{Guest, trust};
use crate::image::IMAGE_SNAPSHOT;
use crate::pool::{Role, Root};
use crate::property::keys;
use crate::property::settings::OwnValues;
use crate::value::{Dataset, printable};
use crate::world::World;
use crate::world::inventory::{LAYOUT, NOBODY};
use crate::zfs::args::Pair;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A dataset or snapshot with its name and GUID.
pub type Object = (String, u64);

/// The change of a root's role properties.
fn mark(world: &World, root: &Root, set: Vec<Pair>, clear: Vec<String>) -> Action {
    let before = |key: &str| match key {
        keys::LAYOUT => Some(LAYOUT.to_string()),
        keys::ROLE => Some(root.role.word().to_owned()),
        keys::HOST => root.host.map(|h| h.to_string()),
        keys::GROUP_LEVELS | keys::FORMER_HOST => root.own.get(key).map(|own| own.value.clone()),
        _ => None,
    };
    let before = set.iter().map(|(k, _)| k).chain(&clear).map(|k| (k.clone(), before(k))).collect();
    Action::Change { dialect: world.host.dialect, on: root.dataset.clone(), set, clear, before, received: Vec::new() }
}

fn role(role: Role) -> Pair {
    (keys::ROLE.to_owned(), role.word().to_owned())
}

/// The properties that make a root, or a copy of one, a root of this host in that role.
fn own_root(root: &Root, wanted: Role) -> Vec<Pair> {
    let mut set = vec![role(wanted)];
    if root.is_copy() {
        set.push((keys::LAYOUT.to_owned(), LAYOUT.to_string()));
    }
    set
}

/// Refuses a pool with guests whose names are used by guests of other pools.
fn no_clash(world: &World, root: &Root, theirs: &[Guest]) -> Result<()> {
    let clashes: Vec<String> = theirs
        .iter()
        .filter_map(|g| world.guests.iter().find(|other| other.name == g.name && other.root != g.root).map(|other| (g, other)))
        .map(|(g, other)| format!("{} and {}", g.dataset, other.dataset))
        .collect();
    if clashes.is_empty() {
        return Ok(());
    }
    Err(Problem::not_now(format!("guests of `{}` have names that guests of another pool have", root.dataset.pool()))
        .on(root.dataset.pool())
        .because(clashes.join("; "))
        .hint("a name means one guest: rename or delete one of each two, or take the other pool offline"))
}

/// The steps that make a pool of another host one of this host, before its root gets this host's id. Empty if it is this host's.
///
/// What was prepared elsewhere does not become trusted by that: its guests, deleted ones too, belong to nobody until they are adopted,
/// and defaults that reach the host are refused. `defaults` are those of all its guests.
fn take_over(world: &World, root: &Root, defaults: &OwnValues) -> Result<Vec<Action>> {
    if world.ours(root).is_ok() {
        return Ok(Vec::new());
    }
    let pool = root.dataset.pool();
    let here = || world.guests.iter().filter(|guest| guest.root == root.dataset);
    let groups = here().flat_map(|guest| guest.settings.above());
    let mut reaching: BTreeMap<String, String> = BTreeMap::new();
    let guests = root.guests();
    for (dataset, values) in groups.chain([(&guests, defaults)]) {
        for (key, own) in values.iter().filter(|(key, own)| !own.received && trust::reach(key, &own.value).is_some()) {
            reaching.insert(format!("{dataset}: {key}={}", printable(&own.value, 200)), format!("zfs inherit chyves:{key} {dataset}"));
        }
    }
    if !reaching.is_empty() {
        let refused = Problem::not_now(format!("cannot take over `{pool}`: its guests would inherit settings that reach the host"));
        let refused = refused.on(pool).hint("remove them; `chyves set` sets those that are meant afterwards");
        return Err(reaching.into_iter().fold(refused, |problem, (line, cure)| problem.because(line).hint(cure)));
    }
    let nobody = || vec![(keys::OWNER.to_owned(), NOBODY.to_owned())];
    let mut steps = Vec::new();
    for guest in here() {
        let own = guest.settings.own_values();
        let records = own.keys().filter(|key| trust::is_record(key)).cloned().collect();
        steps.push(super::set::change_by(world.host.dialect, &guest.dataset, own, nobody(), records));
    }
    for trashed in world.trash.iter().filter(|trashed| trashed.disk.is_none() && trashed.dataset.is_within(&root.dataset)) {
        steps.push(super::set::change_by(world.host.dialect, &trashed.dataset, &OwnValues::new(), nobody(), Vec::new()));
    }
    Ok(steps)
}

/// The settings that reach the host and become trusted with a pool: those of its guests, what these inherit, and those of networks.
fn become_own(world: &World, root: &Root, theirs: &[Guest], defaults: &OwnValues) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut list = |of: &dyn std::fmt::Display, values: &OwnValues| {
        for (key, own) in values.iter().filter(|(_, own)| !own.received) {
            let Some(reach) = trust::reach(key, &own.value) else { continue };
            let line = format!("  {of}: {key}={} {}", printable(&own.value, 120), reach.words());
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    };
    for guest in theirs.iter().chain(world.guests.iter().filter(|guest| guest.root == root.dataset)) {
        list(&guest.name, guest.settings.own_values());
        guest.settings.above().for_each(|(dataset, values)| list(dataset, values));
    }
    list(&root.guests(), defaults);
    list(&root.dataset, &super::pool_settings::of_host(root));
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    lines.extend((more > 0).then(|| format!("  and {more} more")));
    lines
}

/// The most settings that are listed.
const SHOWN: usize = 50;

/// The id of the host that a pool gave this host until another pool was promoted that gave it another one.
fn former_host(root: &Root) -> Option<Uuid> {
    root.own.get(keys::FORMER_HOST).filter(|own| !own.received)?.value.parse().ok()
}

/// Whether promoting a pool decides which host this is: the pools disagree about that, or this undoes such a decision.
pub fn decides_identity(world: &World, root: &Root) -> bool {
    match world.this_host() {
        None => world.roots.iter().any(|other| other.host != root.host),
        Some(host) => root.role != Role::Primary && root.host.is_some_and(|of_pool| of_pool != host && former_host(root) == Some(of_pool)),
    }
}

/// Plans to make a pool the primary one. The world must hold all guests, the images and the trash; `theirs` are the guests of the pool
/// if it is offline, `guids` the GUIDs of all roots, `defaults` those of all guests on the pool.
///
/// # Errors
/// A guest of an offline pool has the name of another pool's guest, or a pool of another host is offline or has defaults that reach
/// the host.
pub fn promote(world: &World, root: &Root, theirs: &[Guest], guids: &[Object], defaults: &OwnValues) -> Result<Plan> {
    let former: Vec<&Root> = world.roots.iter().filter(|r| r.role == Role::Primary && r.dataset != root.dataset).collect();
    if root.role == Role::Primary && former.is_empty() {
        return Ok(Plan::nothing(format!("{} is primary already", root.dataset.pool())));
    }
    if root.role == Role::Offline {
        let pool = root.dataset.pool();
        return Err(Code::PoolOffline
            .problem(format!("the pool `{pool}` is offline and cannot become primary"))
            .on(pool)
            .because("its guests would come online with it")
            .hint(format!("bring it online first: `chyves pool online {pool}`; then `chyves pool promote {pool}`")));
    }
    no_clash(world, root, theirs)?;
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: guids.to_vec() });
    let identity = decides_identity(world, root);
    if root.role == Role::Offline && !root.is_copy() {
        world.ours(root)?;
    }
    if !identity {
        plan.steps.extend(take_over(world, root, defaults)?);
    }
    // Where this decides which host this is, the pool is chosen with the networks that it has.
    let moving = match former[..] {
        [other] if root.role != Role::Primary && !identity => super::pool_settings::go_along(world, other, root)?,
        _ => super::pool_settings::Moving::default(),
    };
    plan.steps.extend(moving.before);
    for other in &former {
        let mut set = vec![role(Role::Secondary)];
        // Promoting that pool again makes this host the former one again.
        set.extend(other.host.filter(|_| identity && other.host != root.host).map(|host| (keys::FORMER_HOST.to_owned(), host.to_string())));
        plan.push(mark(world, other, set, Vec::new()));
    }
    let mut set = own_root(root, Role::Primary);
    // The host keeps its host id. If it has none, it takes the one of the promoted pool.
    if let Some(host) = world.this_host().filter(|h| !identity && root.host != Some(*h)) {
        set.push((keys::HOST.to_owned(), host.to_string()));
    }
    // Guests in groups stay visible: the setting of the primary pool applies to all pools.
    let own_levels = root.own.get(keys::GROUP_LEVELS).and_then(|own| own.value.parse().ok()).unwrap_or(0);
    if let [other] = former[..]
        && other.group_levels != own_levels
    {
        set.push((keys::GROUP_LEVELS.to_owned(), other.group_levels.to_string()));
    }
    let clear: Vec<String> = former_host(root).map(|_| keys::FORMER_HOST.to_owned()).into_iter().collect();
    if root.role != Role::Primary || set.len() > 1 || !clear.is_empty() {
        plan.push(mark(world, root, set, clear));
    }
    plan.steps.extend(moving.after);
    let pool = root.dataset.pool();
    plan.notes.push(format!("{pool} becomes the primary pool"));
    if identity {
        plan.notes.push(format!("this host becomes the one of {pool}: its guests are this host's own, and their settings are trusted"));
        plan.notes.extend(become_own(world, root, theirs, defaults));
    }
    plan.notes.extend(moving.note);
    for other in &former {
        let theirs = if identity && other.host != root.host {
            format!(
                "this host is the one of {pool} from now on, so its guests are foreign until adopted; `chyves pool promote {}` makes this \
                 host the one of that pool again",
                other.dataset.pool()
            )
        } else {
            "its guests stay and start as before".to_owned()
        };
        plan.notes.push(format!("{} becomes a secondary pool; {theirs}", other.dataset.pool()));
    }
    let left: Vec<_> = world.images.iter().filter(|i| !i.dataset.is_within(&root.dataset)).collect();
    if !left.is_empty() {
        plan.notes.push("images stay where they are and are not used from there; bring those that you need:".to_owned());
        for image in left {
            let to = root.images().child(image.name.as_str());
            plan.notes.push(format!("  zfs send -p {}@{IMAGE_SNAPSHOT} | zfs receive -u {to}", image.dataset));
        }
    }
    Ok(plan)
}

/// Plans to take a pool offline. The world must hold all guests.
///
/// # Errors
/// The pool is primary, or one of its guests is running.
pub fn offline(world: &World, root: &Root, guids: &[Object]) -> Result<Plan> {
    let pool = root.dataset.pool();
    match root.role {
        Role::Offline => return Ok(Plan::nothing(format!("{pool} is offline already"))),
        Role::Primary => {
            return Err(Code::PoolPrimary
                .problem(format!("`{pool}` is the primary pool and cannot be left alone"))
                .on(pool)
                .hint("make another one primary first: `chyves pool promote POOL`"));
        }
        Role::Secondary => {}
    }
    let alive: Vec<&str> = world.guests.iter().filter(|g| g.root == root.dataset && g.state.is_alive()).map(|g| g.name.as_str()).collect();
    if !alive.is_empty() {
        return Err(Code::GuestRunning
            .problem(format!("guests of `{pool}` are running"))
            .on(pool)
            .because(alive.join(", "))
            .hint(format!("`chyves stop {}` first", alive.join(" "))));
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: guids.to_vec() });
    plan.push(mark(world, root, vec![role(Role::Offline)], Vec::new()));
    plan.notes.push(format!("{pool} is ignored by every command but `chyves pool`; `chyves pool online {pool}` restores it"));
    Ok(plan)
}

/// Plans to bring an offline pool online. `theirs` are its guests; the world must hold the guests of the other pools.
///
/// # Errors
/// A guest of the pool has the name of another pool's guest, or a pool of another host that is made this host's has defaults that reach
/// the host.
pub fn online(world: &World, root: &Root, theirs: &[Guest], guids: &[Object], defaults: &OwnValues) -> Result<Plan> {
    let pool = root.dataset.pool();
    let host = world.this_host().filter(|_| root.role == Role::Secondary && world.ours(root).is_err());
    if let Some(host) = host {
        let mut plan = Plan::default();
        plan.push(Action::Verify { objects: guids.to_vec() });
        plan.steps.extend(take_over(world, root, defaults)?);
        plan.push(mark(world, root, vec![(keys::HOST.to_owned(), host.to_string())], Vec::new()));
        plan.notes.push(format!("{pool} becomes a pool of this host; its guests are foreign until adopted"));
        return Ok(plan);
    }
    match root.role {
        Role::Primary | Role::Secondary => return Ok(Plan::nothing(format!("{pool} is online already, as {} pool", root.role.word()))),
        Role::Offline => {}
    }
    no_clash(world, root, theirs)?;
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: guids.to_vec() });
    plan.push(mark(world, root, own_root(root, Role::Secondary), Vec::new()));
    plan.notes.push(format!("{pool} becomes a secondary pool with {}", super::count(theirs.len(), "guest")));
    if let Err(problem) = world.ours(root) {
        plan.notes.push(format!("{}: {}", problem.message, problem.hints.join("; ")));
    }
    if !world.roots.iter().any(|r| r.role == Role::Primary) {
        plan.notes.push(format!("no pool is primary; `chyves pool promote {pool}` makes it so"));
    }
    Ok(plan)
}

/// Plans to remove chyves from a pool: `there` is the root with all its descendants and snapshots, each with its GUID.
///
/// # Errors
/// Anything exists besides the empty datasets of a root, or other pools need this one as the primary one.
pub fn remove(world: &World, root: &Root, there: &[Object]) -> Result<Plan> {
    let pool = root.dataset.pool();
    if root.role == Role::Primary && world.roots.len() > 1 {
        return Err(Code::PoolPrimary
            .problem(format!("`{pool}` is the primary pool, and others need one"))
            .on(pool)
            .hint("make another one primary first: `chyves pool promote POOL`"));
    }
    let parts = root.parts();
    let empty: Vec<Dataset> =
        parts.iter().filter(|p| there.iter().any(|(n, _)| n == p.as_str())).cloned().chain([root.dataset.clone()]).collect();
    let more: Vec<&str> = there.iter().map(|(n, _)| n.as_str()).filter(|n| !empty.iter().any(|e| e.as_str() == *n)).collect();
    if !more.is_empty() {
        let mut problem = Problem::not_now(format!("`{pool}` still holds what chyves keeps there")).on(pool).because(shortened(&more));
        for (part, hint) in parts.iter().zip([
            "guests: `chyves list`, then delete them or bring them to another pool",
            "images: `chyves image list` on the primary pool, then `chyves image delete`",
            "deleted guests: `chyves trash list`, then `chyves trash empty`",
        ]) {
            let inside = |n: &&str| n.strip_prefix(part.as_str()).is_some_and(|rest| rest.starts_with('/'));
            if more.iter().any(inside) {
                problem = problem.hint(hint);
            }
        }
        if more.iter().any(|n| empty.iter().any(|e| n.strip_prefix(e.as_str()).is_some_and(|rest| rest.starts_with('@')))) {
            problem =
                problem.hint("snapshots of the empty datasets, by chyves' upgrades or another program: `zfs destroy` them one by one");
        }
        return Err(problem);
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: there.to_vec() });
    // Without -r: if a dataset was created in the meantime, ZFS refuses.
    for dataset in empty {
        plan.push(Action::DestroyDataset { dataset });
    }
    plan.notes.push(format!("the pool {pool} itself stays, with everything else that is on it"));
    Ok(plan)
}

fn shortened(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let more = names.len().saturating_sub(SHOWN);
    let list = names[..names.len() - more].join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::RunState;
    use crate::os::Os;
    use crate::plan::testing;
    use crate::property::settings::{Own, OwnValues};
    use std::sync::Arc;

    fn other(role: Role, host: Uuid) -> Root {
        Root { dataset: "other/vm".parse().unwrap(), role, host: Some(host), group_levels: 0, mountpoint: None, own: Arc::default() }
    }

    fn copy() -> Root {
        let own = OwnValues::from([(keys::LAYOUT.to_owned(), Own { value: "1".into(), received: true })]);
        Root { own: Arc::new(own), ..other(Role::Offline, testing::HOST) }
    }

    fn there(names: &[&str]) -> Vec<Object> {
        names.iter().zip(1..).map(|(n, g)| ((*n).to_owned(), g)).collect()
    }

    #[test]
    fn only_one_pool_is_primary_and_the_host_stays_who_it_is() {
        let mut world = testing::world(Vec::new());
        world.roots.push(other(Role::Secondary, Uuid::from_u128(5)));
        let guids = there(&["other/vm", "tank/chyves"]);
        insta::assert_snapshot!(promote(&world, &world.roots[1], &[], &guids, &OwnValues::new()).unwrap().script(Os::Linux), @r"
        # note: other becomes the primary pool
        # note: tank becomes a secondary pool; its guests stay and start as before
        # note: images stay where they are and are not used from there; bring those that you need:
        # note:   zfs send -p tank/chyves/images/tiny@ready | zfs receive -u other/vm/images/tiny
        # make sure that other/vm has the GUID 1, tank/chyves has the GUID 2
        zfs get -H -p -o name,property,source,value guid other/vm tank/chyves
        # change settings of tank/chyves
        zfs set chyves:role=secondary tank/chyves
        # change settings of other/vm
        zfs set chyves:role=primary other/vm
        zfs set chyves:host=11111111-1111-4111-8111-111111111111 other/vm
        ");
        assert!(promote(&world, &world.roots[0], &[], &guids, &OwnValues::new()).unwrap().steps.is_empty());
    }

    #[test]
    fn of_two_primary_pools_one_is_chosen() {
        let mut world = testing::world(Vec::new());
        world.roots.push(other(Role::Primary, Uuid::from_u128(5)));
        assert!(world.primary().unwrap_err().hints[0].contains("pool promote tank"));
        let plan = promote(&world, &world.roots[0], &[], &[], &OwnValues::new()).unwrap();
        let text = plan.script(Os::Linux);
        assert!(text.contains("zfs set chyves:role=secondary other/vm") && text.contains("are foreign until adopted"), "{text}");
        assert!(!text.contains("zfs set chyves:host") && !text.contains("set chyves:role=primary"), "{text}");
    }

    #[test]
    fn promoting_back_makes_this_host_the_one_that_it_was() {
        let mut world = testing::world(Vec::new());
        let elsewhere = Uuid::from_u128(5);
        world.roots.push(other(Role::Primary, elsewhere));
        let script = |world: &World, index: usize| {
            let root = &world.roots[index];
            assert!(decides_identity(world, root));
            promote(world, root, &[], &[], &OwnValues::new()).unwrap().script(Os::Linux)
        };
        // The wrong one is chosen.
        let text = script(&world, 1);
        let mark = |root: &str, host: Uuid| format!("zfs set chyves:former_host={host} {root}\n");
        assert!(text.contains(&mark("tank/chyves", testing::HOST)) && !text.contains("chyves:host="), "{text}");
        let set = |root: &mut Root, role, former: Option<Uuid>| {
            root.role = role;
            let own = former.map(|host| (keys::FORMER_HOST.to_owned(), Own { value: host.to_string(), received: false }));
            root.own = Arc::new(own.into_iter().collect());
        };
        set(&mut world.roots[0], Role::Secondary, Some(testing::HOST));
        assert_eq!(world.this_host(), Some(elsewhere));
        let text = script(&world, 0);
        assert!(
            text.contains("zfs inherit chyves:former_host tank/chyves\n") && text.contains("set chyves:role=primary tank/chyves"),
            "{text}"
        );
        assert!(text.contains(&mark("other/vm", elsewhere)) && !text.contains("chyves:host="), "{text}");
        // A pool that only was another host's becomes this host's, as ever.
        set(&mut world.roots[0], Role::Secondary, None);
        assert!(!decides_identity(&world, &world.roots[0]));
        set(&mut world.roots[0], Role::Secondary, Some(Uuid::from_u128(7)));
        assert!(!decides_identity(&world, &world.roots[0]));
    }

    #[test]
    fn a_pool_in_use_is_not_taken_offline() {
        let mut g = testing::guest("web", &[]);
        g.root = "other/vm".parse().unwrap();
        let mut world = testing::world(vec![g]);
        world.roots.push(other(Role::Secondary, testing::HOST));
        assert!(offline(&world, &world.roots[0], &[]).is_err(), "the primary one");
        assert!(offline(&world, &world.roots[1], &[]).unwrap().script(Os::Linux).contains("zfs set chyves:role=offline other/vm"));
        world.guests[0].state = RunState::Orphaned;
        assert_eq!(offline(&world, &world.roots[1], &[]).unwrap_err().causes, ["web"]);
    }

    #[test]
    fn names_mean_one_guest_over_all_pools() {
        let mut theirs = testing::guest("web", &[]);
        theirs.root = "other/vm".parse().unwrap();
        theirs.dataset = "other/vm/guests/web".parse().unwrap();
        let mut world = testing::world(vec![testing::guest("web", &[])]);
        world.roots.push(copy());
        let root = world.roots[1].clone();
        assert!(
            online(&world, &root, &[theirs.clone()], &[], &OwnValues::new()).unwrap_err().causes[0]
                .contains("other/vm/guests/web and tank")
        );
        assert!(promote(&world, &root, &[theirs.clone()], &[], &OwnValues::new()).is_err());
        world.guests.clear();
        let text = online(&world, &root, &[theirs], &[], &OwnValues::new()).unwrap().script(Os::Linux);
        assert!(text.contains("chyves:role=secondary") && text.contains("chyves:layout=1"), "{text}");
    }

    #[test]
    fn only_an_empty_root_is_removed() {
        let mut world = testing::world(Vec::new());
        let all = ["tank/chyves", "tank/chyves/guests", "tank/chyves/images", "tank/chyves/trash"];
        insta::assert_snapshot!(remove(&world, &world.roots[0], &there(&all)).unwrap().script(Os::Linux), @r"
        # note: the pool tank itself stays, with everything else that is on it
        # make sure that tank/chyves has the GUID 1, tank/chyves/guests has the GUID 2, tank/chyves/images has the GUID 3, tank/chyves/trash has the GUID 4
        zfs get -H -p -o name,property,source,value guid tank/chyves tank/chyves/guests tank/chyves/images tank/chyves/trash
        # destroy tank/chyves/guests
        zfs destroy tank/chyves/guests
        # destroy tank/chyves/images
        zfs destroy tank/chyves/images
        # destroy tank/chyves/trash
        zfs destroy tank/chyves/trash
        # destroy tank/chyves
        zfs destroy tank/chyves
        ");
        for more in
            ["tank/chyves/guests/web", "tank/chyves/trash/x", "tank/chyves@daily", "tank/chyves/guestsold", "tank/chyves/images/tiny@ready"]
        {
            let mut names = all.to_vec();
            names.push(more);
            assert_eq!(remove(&world, &world.roots[0], &there(&names)).unwrap_err().causes, [more]);
        }
        // The state that an interrupted removal leaves.
        assert_eq!(remove(&world, &world.roots[0], &there(&["tank/chyves", "tank/chyves/trash"])).unwrap().steps.len(), 3);
        world.roots.push(other(Role::Secondary, testing::HOST));
        assert!(remove(&world, &world.roots[0], &there(&all)).is_err());
    }
}
