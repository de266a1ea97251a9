//! Groups of guests: datasets between `guests` and its guests, read as deep as `group_levels` of the primary pool says.
//!
//! Not here: names that groups have (chyves-host `observe::names`), and what guests inherit (`property::settings`).

use crate::error::{Code, Problem, Result};
use crate::guest::Guest;
use crate::property::settings::Settings;
use crate::property::{Access, Scope, find};
use crate::value::printable;
use crate::world::World;
use std::collections::BTreeSet;

/// How many groups a guest is in, one in another.
pub fn depth(guest: &Guest) -> usize {
    guest.group().map_or(0, |group| group.split('/').count())
}

/// The note about guests that are hidden when groups are read less deep. The world must hold all guests.
///
/// # Errors
/// One of them is running: no command could stop it.
pub(super) fn hidden_by(world: &World, levels: usize) -> Result<Option<String>> {
    let hidden: Vec<&Guest> = world.guests.iter().filter(|guest| depth(guest) > levels).collect();
    let alive: Vec<&str> = hidden.iter().filter(|guest| guest.state.is_alive()).map(|guest| guest.name.as_str()).collect();
    if !alive.is_empty() {
        return Err(Code::GuestRunning
            .problem(format!("cannot set group_levels to {levels}: guests that run would be hidden from every command"))
            .on("group_levels")
            .because(alive.join(", "))
            .hint(format!("`chyves stop {}` first", alive.join(" "))));
    }
    let named: Vec<String> = hidden.iter().map(|guest| format!("{} ({})", guest.name, guest.group().unwrap_or_default())).collect();
    Ok((!named.is_empty()).then(|| {
        format!("no command finds these guests any more, since their groups are deeper than group_levels={levels}: {}", named.join(", "))
    }))
}

/// The error for a group that has the name of a new guest.
pub fn has_name(place: &str) -> Problem {
    let shown = printable(place.rsplit('/').next().unwrap_or(place), 63);
    Problem::not_now(format!("a group of guests is called `{shown}`"))
        .on(&shown)
        .because(format!("it is {}", printable(place, 200)))
        .hint("choose another name for the guest; `chyves list -o name,group` shows the groups of all guests")
}

/// The error for a guest in a group that is not read and that has the name of a new guest.
pub fn hides_name(place: &str, levels: usize) -> Problem {
    let shown = printable(place.rsplit('/').next().unwrap_or(place), 63);
    Code::GuestExists
        .problem(format!("a guest is called `{shown}` already, in a group that is not read"))
        .on(&shown)
        .because(format!("it is {}", printable(place, 200)))
        .hint(format!("choose another name; `chyves set global group_levels={levels}` shows that guest"))
}

/// The inherited settings of a guest that are others where it inherits from other datasets, in words.
pub(super) fn inherited_changes(before: &Settings, after: &Settings) -> Vec<String> {
    let keys: BTreeSet<&String> = before.above().chain(after.above()).flat_map(|(_, values)| values.keys()).collect();
    let is_setting = |key: &str| find(key).is_ok_and(|known| known.property.scope == Scope::Guest && known.property.access == Access::Free);
    let inherited = keys.into_iter().filter(|key| is_setting(key) && before.own(key).is_none());
    inherited
        .filter_map(|key| {
            let (was, is) = (before.value(key), after.value(key));
            let shown = |value: Option<String>| value.map_or_else(|| "unset".to_owned(), |value| printable(&value, 60));
            (was != is).then(|| format!("{key} {} (was {})", shown(is), shown(was)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::RunState;
    use crate::plan::testing;
    use std::sync::Arc;

    fn in_group(group: &str, name: &str) -> Guest {
        let mut guest = testing::guest(name, &[]);
        guest.dataset = format!("tank/chyves/guests/{group}/{name}").parse().unwrap();
        guest
    }

    #[test]
    fn guests_are_not_hidden_silently_and_never_while_they_run() {
        let mut world = testing::world(vec![testing::guest("web", &[]), in_group("prod", "db"), in_group("prod/eu", "mail")]);
        assert_eq!(hidden_by(&world, 2).unwrap(), None);
        let note = hidden_by(&world, 1).unwrap().unwrap();
        assert!(note.contains("mail (prod/eu)") && !note.contains("db"), "{note}");
        world.guests[1].state = RunState::Orphaned;
        assert!(hidden_by(&world, 1).is_ok());
        let refused = hidden_by(&world, 0).unwrap_err();
        assert_eq!((refused.code.exit_code(), refused.causes[0].as_str()), (4, "db"));
    }

    #[test]
    fn only_inherited_settings_that_differ_are_named() {
        let above = |pairs: &[(&str, &str)]| vec![("tank/chyves/guests/prod".parse().unwrap(), Arc::new(testing::own(pairs)))];
        let own = testing::own(&[("cpu", "4")]);
        let before = Settings::new(own.clone(), above(&[("cpu", "2"), ("ram", "99M"), ("notes", "ours"), ("autostart", "yes")]));
        let after = Settings::new(own, above(&[("autostart", "yes"), ("cpu", "8")]));
        let changes = inherited_changes(&before, &after);
        assert!(
            changes.contains(&"ram 256M (was 99M)".to_owned()) && changes.iter().all(|change| !change.starts_with("cpu")),
            "{changes:?}"
        );
        assert!(inherited_changes(&before, &before).is_empty());
    }
}
