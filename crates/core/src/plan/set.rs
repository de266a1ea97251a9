//! `set` and `unset`: change the settings of guests, the defaults, and the settings of the whole host.

use super::{Plan, absent, cloud_init, groups, keep_copy, says_template, whole};
use crate::action::Action;
use crate::cloudinit::reader::Reader;
use crate::error::{Problem, Result};
use crate::guest::written::{Change, Typed};
use crate::guest::{Guest, trust};
use crate::network::Design;
use crate::pool::Root;
use crate::property::settings::{Own, OwnValues};
use crate::property::{self, Access, Effect, Scope, keys};
use crate::value::Dataset;
use crate::world::World;
use crate::zfs::Dialect;
use crate::zfs::args::Pair;

/// The request: keys and values as they were typed.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Settings to set.
    pub set: Vec<Pair>,
    /// Keys to unset.
    pub unset: Vec<String>,
}

/// Converts a typed key and value to their stored form.
///
/// # Errors
/// The key is unknown, is set by chyves only or belongs to another scope, or the value is invalid.
pub fn checked(key: &str, value: &str, scopes: &[Scope]) -> Result<Pair> {
    let known = known(key, scopes)?;
    let value = property::check(&known, value)?;
    Ok((known.key, value))
}

/// [`checked`] for what an administrator typed, who thereby confirms the value.
///
/// # Errors
/// See [`checked`].
pub fn typed(key: &str, value: &str, scopes: &[Scope]) -> Result<Typed> {
    checked(key, value, scopes).map(|(key, value)| Typed::argument(key, value))
}

fn known(key: &str, scopes: &[Scope]) -> Result<property::Known> {
    let known = property::find(key)?;
    if let Access::Kept(by) = known.property.access {
        return Err(Problem::usage(format!("`{}` is kept by chyves itself", known.key))
            .on(&known.key)
            .hint_if((known.key == property::keys::GROUP).then(|| {
                "a group is a dataset between `guests` and its guests: make it with `zfs create`, move the stopped guest there with `zfs \
                 rename`, and `chyves set global group_levels=1` enables it read"
                    .to_owned()
            }))
            .hint(format!("it is written by {by}")));
    }
    if !scopes.contains(&known.property.scope) {
        let (is, instead) = match known.property.scope {
            Scope::GuestOnly => ("belongs to one guest", "chyves set GUEST"),
            Scope::Guest => ("is a setting of guests", "chyves set GUEST, or chyves set defaults"),
            Scope::Global | Scope::Pool => ("is a setting of a pool", "chyves set global"),
            Scope::Image => ("belongs to an image", "chyves image"),
        };
        return Err(Problem::usage(format!("`{}` {is} and cannot be set here", known.key)).on(&known.key).hint(format!("see `{instead}`")));
    }
    Ok(known)
}

/// The changes that the request makes to the values in `before`, without those that have no effect.
fn differences(before: &OwnValues, request: &Request, scopes: &[Scope]) -> Result<Change> {
    // A name that no property has, as a stream may bring it, can be removed exactly as it is.
    let stray = |key: &String| before.contains_key(key) && property::find(key).is_err();
    let cleared = |key: &String| if stray(key) { Ok(key.clone()) } else { known(key, scopes).map(|known| known.key) };
    let clear = request.unset.iter().map(cleared).collect::<Result<_>>();
    let set = request.set.iter().map(|(key, value)| typed(key, value, scopes)).collect::<Result<Vec<_>>>()?;
    let mut change = Change::typed(set, clear?);
    change.retain(|k, v| before.get(k).is_none_or(|o| o.value != v || o.received) || trust::lacks_record(before, k, v));
    change.clears_only(before);
    Ok(change)
}

/// The step that changes settings; `before` are their values before the change.
pub(super) fn change_by(dialect: Dialect, on: &Dataset, before: &OwnValues, set: Vec<Pair>, clear: Vec<String>) -> Action {
    let keys = || set.iter().map(|(k, _)| k).chain(&clear);
    let was = keys().map(|k| (k.clone(), before.get(k).map(|o| o.value.clone()))).collect();
    let received = keys().filter(|k| before.get(*k).is_some_and(|o| o.received)).cloned().collect();
    Action::Change { dialect, on: on.clone(), set, clear, before: was, received }
}

/// The same on this host, with the trust records that the change needs.
pub(super) fn change(world: &World, on: &Dataset, before: &OwnValues, change: &Change) -> Action {
    let (set, clear) = change.recorded(before);
    change_by(world.host.dialect, on, before, set, clear)
}

/// Plans a change of one guest's settings.
///
/// # Errors
/// See [`checked`].
pub fn guest(world: &World, guest: &Guest, request: &Request) -> Result<Plan> {
    let before = guest.settings.own_values();
    let wanted = differences(before, request, &[Scope::Guest, Scope::GuestOnly])?;
    if wanted.is_empty() {
        return Ok(Plan::nothing(format!("{} is already set so", guest.name)));
    }
    let (set, after) = (wanted.pairs(), wanted.after(before));
    absent::check(guest.name.as_str(), before, &set)?;
    absent::kept(guest.name.as_str(), before, &after)?;
    whole::change(world, guest, &after)?;
    if says_template(&after) && !says_template(before) {
        super::stopped(guest, "make a template of")?;
    }
    let mut plan = Plan::default();
    plan.notes.extend(without_effect(guest, &after, &set));
    plan.notes.extend(whole::lacking(world, guest, &after));
    plan.notes.extend(unread(world, guest, &after));
    if guest.state.is_alive() {
        let later = set.iter().map(|(k, _)| k).chain(wanted.cleared()).filter(|k| later(k)).cloned().collect::<Vec<_>>();
        if !later.is_empty() {
            plan.notes.push(format!(
                "{} is {}; takes effect at its next start or reboot: {}",
                guest.name,
                guest.state.word(),
                later.join(", ")
            ));
        }
    }
    plan.push(change(world, &guest.dataset, before, &wanted));
    plan.steps.extend(keep_copy(guest, &after)?);
    Ok(plan)
}

/// A note for a `revert_to_snapshot` that has no effect because no method is set.
fn without_effect(guest: &Guest, after: &OwnValues, set: &[Pair]) -> Option<String> {
    let (_, snapshot) = set.iter().find(|(key, _)| key == keys::REVERT_TO)?;
    let method = guest.settings.with_own(after.clone()).value(keys::REVERT_AT);
    method.is_none_or(|method| method == "off").then(|| {
        let name = &guest.name;
        format!(
            "{name} does not revert to @{snapshot} as long as revert_to_snapshot_method is off; to let it: `chyves set {name} revert_to_snapshot_method=start` (or reboot, both)"
        )
    })
}

/// Whether the guest's stored cloud-init texts have to be read and checked first: a change switches it to another reader, or
/// adds settings to its seed that keep a reader from reading them.
///
/// # Errors
/// See [`checked`].
pub fn reads_texts(guest: &Guest, request: &Request) -> Result<bool> {
    let before = guest.settings.own_values();
    let wanted = differences(before, request, &[Scope::Guest, Scope::GuestOnly])?;
    let after = wanted.after(before);
    let is_of_seed = wanted.pairs().iter().any(|(key, _)| key.starts_with("ci."));
    Ok(whole::reads_texts(guest, &after)? || (is_of_seed && Reader::of(&with(guest, &after)).is_ok_and(|is| is == Reader::Nuageinit)))
}

fn with(guest: &Guest, own: &OwnValues) -> Guest {
    Guest { settings: guest.settings.with_own(own.clone()), ..guest.clone() }
}

/// What some version of the guest's cloud-init reader no longer reads after a change. The world has the guest's stored texts
/// if they had to be read.
fn unread(world: &World, guest: &Guest, after: &OwnValues) -> Option<String> {
    let texts = world.texts.get(&guest.dataset)?;
    let known = cloud_init::remark(guest, texts);
    cloud_init::remark(&with(guest, after), texts).filter(|_| known.is_none())
}

/// The guests with stored cloud-init texts that a change of defaults switches to another reader. The world must hold these
/// guests.
///
/// # Errors
/// See [`checked`].
pub fn heirs_with_texts<'w>(world: &'w World, root: &Root, before: &OwnValues, request: &Request) -> Result<Vec<&'w Guest>> {
    let after = differences(before, request, &[Scope::Guest])?.after(before);
    whole::heirs_with_texts(world, &root.guests(), &after)
}

/// The network design of the host after a change of a pool's own settings.
///
/// # Errors
/// See [`checked`].
pub fn design_after(root: &Root, request: &Request) -> Result<Design> {
    Design::read(&differences(&root.own, request, &[Scope::Global, Scope::Pool])?.after(&root.own))
}

fn later(key: &str) -> bool {
    property::find(key).is_ok_and(|k| k.property.effect == Effect::Start)
}

/// Plans a change of the defaults that all guests of a pool inherit. The world must hold these guests.
///
/// # Errors
/// See [`checked`]; or the named guests could not start with the new defaults.
pub fn defaults(world: &World, root: &Root, before: &OwnValues, request: &Request) -> Result<Plan> {
    let wanted = differences(before, request, &[Scope::Guest])?;
    whole::defaults(world, &root.guests(), before, &wanted.after(before))?;
    Ok(on_dataset(world, &root.guests(), before, &wanted))
}

/// Whether a request changes how deep groups are read.
pub fn sets_group_levels(request: &Request) -> bool {
    let keys = request.set.iter().map(|(key, _)| key).chain(&request.unset);
    keys.into_iter().any(|key| property::find(key).is_ok_and(|known| known.key == keys::GROUP_LEVELS))
}

/// Plans a change of a pool's own settings. If it changes how deep groups are read, the world must hold all guests.
///
/// # Errors
/// See [`checked`]; or the settings of a bridge would be invalid, or running guests would be hidden.
pub fn global(world: &World, root: &Root, request: &Request) -> Result<Plan> {
    let wanted = differences(&root.own, request, &[Scope::Global, Scope::Pool])?;
    let set = wanted.pairs();
    if !corrects(&root.own, &set, wanted.cleared()) {
        let after = Design::read(&wanted.after(&root.own))?;
        Design::read(&root.own)?.allows(&after)?;
        after.declared(&root.own, &set)?;
    }
    let changes_levels = set.iter().map(|(key, _)| key).chain(wanted.cleared()).any(|key| key == keys::GROUP_LEVELS);
    let levels = wanted.value(keys::GROUP_LEVELS).and_then(|value| value.parse().ok()).unwrap_or(0);
    let hidden = if changes_levels { groups::hidden_by(world, levels)? } else { None };
    let mut plan = on_dataset(world, &root.dataset, &root.own, &wanted);
    plan.notes.extend(hidden);
    Ok(plan)
}

/// Whether a change only replaces or removes values that are invalid: other invalid values must not prevent it.
fn corrects(before: &OwnValues, set: &[Pair], clear: &[String]) -> bool {
    let is_bad = |key: &String| {
        let valid = |own: &Own| property::find(key).and_then(|known| property::check(&known, &own.value)).is_ok();
        before.get(key).is_some_and(|own| !valid(own))
    };
    set.iter().map(|(key, _)| key).chain(clear).all(is_bad)
}

fn on_dataset(world: &World, on: &Dataset, before: &OwnValues, wanted: &Change) -> Plan {
    if wanted.is_empty() {
        let what = if on.leaf() == "guests" { "the defaults of" } else { "the host's settings on" };
        return Plan::nothing(format!("{what} {} are already set so", on.pool()));
    }
    Plan { steps: vec![change(world, on, before, wanted)], notes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::RunState;
    use crate::os::Os;
    use crate::plan::testing;

    fn set(pairs: &[(&str, &str)]) -> Request {
        Request { set: pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(), unset: Vec::new() }
    }

    #[test]
    fn only_what_differs_is_set_and_the_copy_follows() {
        let mut g = testing::guest("web01", &[("cpu", "2"), ("notes", "old")]);
        g.state = RunState::Running;
        let world = testing::world(vec![g.clone()]);
        let mut request = set(&[("cpu", "2"), ("RAM", "512"), ("description", "it's first")]);
        request.unset = vec!["notes".into(), "autostart".into()];
        let plan = guest(&world, &g, &request).unwrap();
        insta::assert_snapshot!(plan.script(Os::Linux), @r"
        # note: web01 is running; takes effect at its next start or reboot: ram
        # change settings of tank/chyves/guests/web01
        zfs set chyves:ram=512M tank/chyves/guests/web01
        zfs set 'chyves:description=it'\''s first' tank/chyves/guests/web01
        zfs inherit chyves:notes tank/chyves/guests/web01
        # mount tank/chyves/guests/web01
        zfs mount tank/chyves/guests/web01
        # write /tank/chyves/guests/web01/config.toml (4 lines)
        # unmount tank/chyves/guests/web01
        zfs unmount tank/chyves/guests/web01
        ");
        assert!(guest(&world, &g, &set(&[("cpu", "2")])).unwrap().steps.is_empty());
    }

    #[test]
    fn undo_puts_back_what_was_there() {
        let g = testing::guest("web01", &[("cpu", "2")]);
        let world = testing::world(vec![g.clone()]);
        let plan = guest(&world, &g, &set(&[("cpu", "4"), ("notes", "x")])).unwrap();
        let pairs = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let crate::action::Undo::Change { set: back, clear, received, .. } = plan.steps[0].undo() else { panic!("no undo") };
        assert_eq!((back, clear, received), (pairs(&[("cpu", "2")]), vec!["notes".to_owned()], Vec::new()));
        // Values received with a stream remain marked as received, because the mark shows that the guest is foreign.
        let mut own = g.settings.own_values().clone();
        own.get_mut("cpu").unwrap().received = true;
        let g = Guest { settings: g.settings.with_own(own), ..g };
        let plan = guest(&world, &g, &set(&[("cpu", "4")])).unwrap();
        let crate::action::Undo::Change { set: back, clear, received, .. } = plan.steps[0].undo() else { panic!("no undo") };
        assert_eq!((back, clear, received), (Vec::new(), Vec::new(), vec!["cpu".to_owned()]));
    }

    #[test]
    fn what_a_key_is_for_decides_where_it_can_be_set() {
        let g = testing::guest("web01", &[]);
        let world = testing::world(vec![g.clone()]);
        for (key, value) in
            [("uuid", "8a6e0804-2bd0-4672-b79d-d97027f9071a"), ("layout", "1"), ("disk0.size", "1G"), ("nonsense", "1"), ("cpu", "x")]
        {
            assert!(guest(&world, &g, &set(&[(key, value)])).is_err(), "{key}");
        }
        let root = &world.roots[0];
        assert!(defaults(&world, root, &OwnValues::new(), &set(&[("description", "for all")])).is_err());
        assert!(defaults(&world, root, &OwnValues::new(), &set(&[("ram", "1G")])).is_ok());
        assert!(global(&world, root, &set(&[("ram", "1G")])).is_err());
        assert!(global(&world, root, &set(&[("group_levels", "1")])).is_ok());
    }

    #[test]
    fn values_must_be_good_together() {
        let g = testing::guest("web01", &[("cpu", "4")]);
        let world = testing::world(vec![g.clone()]);
        assert!(guest(&world, &g, &set(&[("cpu_sockets", "3")])).is_err());
        assert!(guest(&world, &g, &set(&[("cpu_sockets", "3"), ("cpu", "6")])).is_ok());
    }

    #[test]
    fn a_name_that_no_property_has_can_be_removed() {
        let guest = testing::guest("web01", &[("com01", "socket"), ("disk007.kind", "raw"), ("frob", "1")]);
        let world = testing::world(vec![guest.clone()]);
        assert!(guest.settings.numbers("com").is_empty() && guest.settings.numbers("disk").is_empty());
        for name in ["com01", "disk007.kind", "frob"] {
            let request = Request { set: Vec::new(), unset: vec![name.to_owned()] };
            let plan = super::guest(&world, &guest, &request).unwrap();
            assert!(matches!(&plan.steps[0], Action::Change { clear, .. } if *clear == [name.to_owned()]), "{:?}", plan.steps);
        }
        // A name that is not there is unknown, and what chyves keeps itself stays.
        let refused = |name: &str| super::guest(&world, &guest, &Request { set: Vec::new(), unset: vec![name.to_owned()] }).is_err();
        assert!(refused("com02") && refused("uuid"));
    }

    #[test]
    fn a_setting_that_keeps_a_script_from_older_readers_is_reported() {
        use crate::cloudinit::Text;
        let guest = |more: &[(&str, &str)]| testing::guest("web01", &[&[("ci.enabled", "yes"), ("os", "freebsd")], more].concat());
        let notes = |more: &[(&str, &str)], change: (&str, &str)| {
            let guest = guest(more);
            let mut world = testing::world(vec![guest.clone()]);
            let request = set(&[change]);
            if reads_texts(&guest, &request).unwrap() {
                world.texts.insert(guest.dataset.clone(), vec![(Text::UserData, "#!/bin/sh\ndate\n".to_owned())]);
            }
            super::guest(&world, &guest, &request).unwrap().notes.iter().filter(|note| note.contains("14.3")).count()
        };
        assert_eq!(notes(&[], ("ci.user", "ann")), 1);
        assert_eq!(notes(&[], ("notes", "x")), 0);
        // It was reported when the script was stored.
        assert_eq!(notes(&[("ci.user", "bob")], ("ci.user", "ann")), 0);
        assert_eq!(notes(&[("ci.reader", "cloud-init")], ("ci.user", "ann")), 0);
    }

    #[test]
    fn a_template_is_read_only_but_for_the_moment_of_its_own_change() {
        let mut g = testing::guest("gold", &[("cpu", "2")]);
        let world = testing::world(vec![g.clone()]);
        let shown = |g: &Guest, pairs: &[(&str, &str)]| {
            let plan = guest(&world, g, &set(pairs)).unwrap();
            let words: Vec<String> = plan.steps.iter().map(Action::describe).collect();
            words.join("\n")
        };
        insta::assert_snapshot!(shown(&g, &[("template", "yes")]), @r"
        change settings of tank/chyves/guests/gold
        mount tank/chyves/guests/gold
        write /tank/chyves/guests/gold/config.toml (3 lines)
        unmount tank/chyves/guests/gold
        make tank/chyves/guests/gold read-only
        ");
        g.state = RunState::Running;
        assert!(guest(&world, &g, &set(&[("template", "yes")])).is_err());
        let gold = testing::guest("gold", &[("template", "yes")]);
        insta::assert_snapshot!(shown(&gold, &[("notes", "x")]), @r"
        change settings of tank/chyves/guests/gold
        make tank/chyves/guests/gold writable again
        mount tank/chyves/guests/gold
        write /tank/chyves/guests/gold/config.toml (3 lines)
        unmount tank/chyves/guests/gold
        make tank/chyves/guests/gold read-only
        ");
        insta::assert_snapshot!(shown(&gold, &[("template", "no")]), @r"
        change settings of tank/chyves/guests/gold
        make tank/chyves/guests/gold writable again
        mount tank/chyves/guests/gold
        write /tank/chyves/guests/gold/config.toml (2 lines)
        unmount tank/chyves/guests/gold
        ");
    }

    #[test]
    fn a_bridge_is_declared_by_how_it_is_connected() {
        let world = testing::world(Vec::new());
        let root = |pairs: &[(&str, &str)]| Root { own: testing::own(pairs).into(), ..world.primary().unwrap().clone() };
        for pairs in [
            &[("bridge5.mtu", "1400")][..],
            &[("bridge5.name", "lan")],
            &[("bridge5.private", "no")],
            &[("bridge5.description", "x"), ("bridge4.private", "yes")],
        ] {
            let problem = global(&world, &root(&[]), &set(pairs)).unwrap_err();
            assert!(problem.message.contains("bridge5 is not configured"), "{pairs:?}: {problem:?}");
            assert!(problem.hints[0].contains("`chyves network ") && problem.hints[0].contains("attach INTERFACE"), "{problem:?}");
        }
        for pairs in [
            &[("bridge5.mtu", "1400"), ("bridge5.uplink", "em0")][..],
            &[("bridge5.private", "yes")],
            &[("bridge5.nat", "em0"), ("bridge5.address", "10.5.0.1/24")],
        ] {
            global(&world, &root(&[]), &set(pairs)).unwrap();
        }
        // A bridge that is configured may have any other setting, and lose its uplink.
        global(&world, &root(&[("bridge5.uplink", "em0")]), &set(&[("bridge5.mtu", "1400")])).unwrap();
        global(&world, &root(&[("bridge5.mtu", "9000")]), &set(&[("bridge5.description", "x")])).unwrap();
    }

    #[test]
    fn every_invalid_setting_of_the_host_can_be_unset() {
        let world = testing::world(Vec::new());
        let keys =
            property::catalog::all().filter(|p| matches!(p.scope, Scope::Global | Scope::Pool) && !matches!(p.access, Access::Kept(_)));
        let bad = |key: &str| property::find(key).is_ok_and(|known| property::check(&known, "z z/\u{1}").is_err());
        let keys: Vec<String> = keys.map(|p| p.key.replace("{n}", "3")).filter(|key| bad(key)).collect();
        assert!(keys.len() > 5 && keys.iter().any(|key| key == keys::NETWORK_MODE), "{keys:?}");
        // All are invalid together, and one is corrected.
        let own = testing::own(&keys.iter().map(|key| (key.as_str(), "z z/\u{1}")).collect::<Vec<_>>());
        let root = Root { own: own.into(), ..world.primary().unwrap().clone() };
        for key in &keys {
            let plan = global(&world, &root, &Request { set: Vec::new(), unset: vec![key.clone()] }).unwrap();
            assert_eq!(plan.steps.len(), 1, "{key}");
        }
        assert_eq!(global(&world, &root, &set(&[(keys::NETWORK_MODE, "system")])).unwrap().steps.len(), 1);
        assert!(global(&world, &root, &set(&[("bridge4.private", "yes")])).is_err(), "the mode is still invalid");
    }
}
