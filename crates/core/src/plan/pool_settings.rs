//! The settings of the whole host, which are read from the root of the primary pool: they go with that role.
//!
//! Without them the bridges of this host would be nobody's: guests on them do not start after the next boot, and the addresses
//! that moved to them could not go back. Not here: the roles themselves, and how deep groups
//! are nested ([`super::roles`]).

use super::set::change_by;
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::pool::Root;
use crate::property::settings::{Own, OwnValues, zfs_name};
use crate::property::{self, Scope};
use crate::value::printable;
use crate::world::World;

/// The steps before and after the change of roles, and a remark.
#[derive(Debug, Default)]
pub(super) struct Moving {
    pub(super) before: Option<Action>,
    pub(super) after: Option<Action>,
    pub(super) note: Option<String>,
}

/// The settings of the host on a root. The world must hold all settings of its roots.
pub(super) fn of_host(root: &Root) -> OwnValues {
    let is = |key: &str| property::find(key).is_ok_and(|known| known.key == key && known.property.scope == Scope::Global);
    root.own.iter().filter(|(key, _)| is(key)).map(|(key, own)| (key.clone(), own.clone())).collect()
}

/// Plans to bring the settings of the host from the former primary root to the next one.
///
/// # Errors
/// The next one has such settings itself: of another host, or others than the present ones.
pub(super) fn go_along(world: &World, from: &Root, to: &Root) -> Result<Moving> {
    let (mine, theirs) = (of_host(from), of_host(to));
    let pool = to.dataset.pool();
    let differs = |(key, own): &(&String, &Own)| mine.get(*key).is_none_or(|present| present.value != own.value);
    let others: Vec<_> = theirs.iter().filter(differs).collect();
    let is_own = to.host.is_some() && to.host == world.this_host();
    if !others.is_empty() && (!is_own || !mine.is_empty()) {
        let why = if is_own { "others than the present ones" } else { "of another host" };
        let problem = Problem::not_now(format!("cannot promote {pool}: it has settings of the host's networks, {why}")).on(pool);
        let problem = others.iter().fold(problem, |p, (key, own)| p.because(format!("{key}={}", printable(&own.value, 120))));
        return Err(others
            .iter()
            .fold(problem.hint("remove them:"), |p, (key, _)| p.hint(format!("zfs inherit {} {}", zfs_name(key), to.dataset))));
    }
    let names = |of: &OwnValues| of.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
    let dialect = world.host.dialect;
    if mine.is_empty() {
        let note = (!theirs.is_empty()).then(|| format!("the host's networks are those that {pool} has: {}", names(&theirs)));
        return Ok(Moving { note, ..Moving::default() });
    }
    let is_there = |key: &String| theirs.get(key).is_some_and(|own| !own.received);
    let set: Vec<_> = mine.iter().filter(|(key, _)| !is_there(key)).map(|(k, own)| (k.clone(), own.value.clone())).collect();
    let clear: Vec<String> = mine.keys().cloned().collect();
    Ok(Moving {
        before: (!set.is_empty()).then(|| change_by(dialect, &to.dataset, &to.own, set, Vec::new())),
        after: Some(change_by(dialect, &from.dataset, &from.own, Vec::new(), clear)),
        note: Some(format!(
            "the settings of the host's networks move with that role from {} to {pool}: {}",
            from.dataset.pool(),
            names(&mine)
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::roles::promote;
    use crate::plan::testing;
    use crate::pool::Role;
    use std::sync::Arc;
    use uuid::Uuid;

    /// The primary pool with these settings, and a second pool with those.
    fn two(mine: &[(&str, &str)], theirs: &[(&str, &str)]) -> World {
        let mut world = testing::world(Vec::new());
        let other = Root {
            dataset: "other/vm".parse().unwrap(),
            role: Role::Secondary,
            own: Arc::new(testing::own(theirs)),
            ..world.roots[0].clone()
        };
        world.roots[0].own = Arc::new(testing::own(mine));
        world.roots.push(other);
        world.images.clear();
        world
    }

    const LAN: [(&str, &str); 3] = [("bridge100.name", "lan"), ("bridge100.uplink", "em0"), ("network_mode", "system")];

    #[test]
    fn the_networks_of_the_host_go_with_the_primary_role_and_back() {
        let world = two(&[&LAN[..], &[("group_levels", "2"), ("layout", "1")]].concat(), &[("layout", "1")]);
        let text = promote(&world, &world.roots[1], &[], &[], &OwnValues::new()).unwrap().script(Os::Linux);
        let at = |line: &str| text.find(&format!("{line}\n")).unwrap_or_else(|| panic!("{line}: {text}"));
        for (key, value) in LAN {
            let stored = zfs_name(key);
            // At no time they are nowhere.
            assert!(at(&format!("zfs set {stored}={value} other/vm")) < at("zfs set chyves:role=primary other/vm"));
            assert!(at("zfs set chyves:role=primary other/vm") < at(&format!("zfs inherit {stored} tank/chyves")));
        }
        assert!(!text.contains("inherit chyves:layout") && !text.contains("inherit chyves:group_levels"), "{text}");
        assert!(text.contains("from tank to other: bridge100.name bridge100.uplink network_mode\n"), "{text}");
        let mut after = two(&[("layout", "1")], &[&LAN[..], &[("layout", "1")]].concat());
        after.roots[0].role = Role::Secondary;
        after.roots[1].role = Role::Primary;
        let back = promote(&after, &after.roots[0], &[], &[], &OwnValues::new()).unwrap().script(Os::Linux);
        for (key, value) in LAN {
            let stored = zfs_name(key);
            assert!(back.contains(&format!("zfs set {stored}={value} tank/chyves\n")), "{back}");
            assert!(back.contains(&format!("zfs inherit {stored} other/vm\n")), "{back}");
        }
        // What the pool has already, from an earlier time, is in effect again where nothing else is.
        let world = two(&[], &LAN);
        let text = promote(&world, &world.roots[1], &[], &[], &OwnValues::new()).unwrap().script(Os::Linux);
        assert!(text.contains("those that other has: bridge100.name") && !text.contains("zfs inherit"), "{text}");
    }

    #[test]
    fn settings_of_other_networks_are_listed_and_refused() {
        let refused = |world: &World| promote(world, &world.roots[1], &[], &[], &OwnValues::new()).unwrap_err();
        let problem = refused(&two(&LAN, &[("bridge0.uplink", "em7"), ("bridge100.name", "lan")]));
        assert_eq!((problem.code.exit_code(), problem.causes.as_slice()), (4, &["bridge0.uplink=em7".to_owned()][..]));
        assert!(problem.hints.contains(&"zfs inherit chyves:bridge0.uplink other/vm".to_owned()), "{problem:?}");
        // Those of another host are in effect on no account.
        let mut world = two(&[], &LAN);
        world.roots[1].host = Some(Uuid::from_u128(5));
        assert!(refused(&world).message.contains("of another host"));
    }
}
