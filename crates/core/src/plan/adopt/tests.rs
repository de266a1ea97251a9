use super::*;
use crate::os::Os;
use crate::plan::testing::{self, HOST};
use crate::property::settings::{OwnValues, Settings};
use std::sync::Arc;

fn foreign(name: &str, pairs: &[(&str, &str)]) -> Guest {
    let mut guest = testing::guest(name, pairs);
    guest.foreign = Some("received".into());
    guest
}

fn trusting(trust: Trust) -> Request {
    Request { trust, ..Request::default() }
}

fn text(guest: &Guest, request: &Request) -> String {
    adopt(&testing::world(Vec::new()), guest, &[], request).unwrap().script(Os::Linux)
}

#[test]
fn an_adoption_raises_the_epoch() {
    let mut g = testing::guest("web", &[("owner", "someone"), ("epoch", "3")]);
    let world = testing::world(Vec::new());
    assert!(adopt(&world, &g, &[], &Request::default()).unwrap().steps.is_empty());
    g.foreign = Some("someone owns it".into());
    let text = text(&g, &Request::default());
    assert!(text.contains("chyves:epoch=4") && text.contains(&format!("chyves:owner={HOST}")), "{text}");
    assert!(text.contains("chyves:trust=listed"), "{text}");
}

#[test]
fn two_guests_are_never_one_machine() {
    let mut copy = testing::guest("copy", &[("net0.mac", "58:9c:fc:00:00:01"), ("net0.backend", "auto")]);
    let own = testing::guest("web", &[]);
    (copy.foreign, copy.uuid) = (Some("received".into()), own.uuid);
    let world = testing::world(Vec::new());
    let all = [copy.clone(), own.clone()];
    assert!(adopt(&world, &copy, &all, &Request::default()).unwrap_err().hints[0].contains("--new-identity"));
    let other = Request { identity: Some(Uuid::from_u128(9)), ..Request::default() };
    let text = adopt(&world, &copy, &all, &other).unwrap().script(Os::Linux);
    assert!(text.contains("chyves:uuid=00000000-0000-0000-0000-000000000009") && text.contains("zfs inherit chyves:net0.mac"), "{text}");
    assert!(!text.contains("inherit chyves:net0.backend"), "{text}");
    // A foreign guest does not block the identity.
    let foreign = Guest { foreign: Some("received".into()), ..own };
    assert!(adopt(&world, &copy, &[copy.clone(), foreign.clone()], &trusting(Trust::All)).is_ok());
    // A received MAC address may be in use by another guest here, so it is shown first.
    let undecided = adopt(&world, &copy, &[copy.clone(), foreign], &Request::default()).unwrap_err();
    assert_eq!(undecided.causes, ["net0.mac"]);
}

#[test]
fn settings_that_reach_the_host_are_decided_on() {
    // Trust records that came with the guest are ignored, even correct ones.
    let forged = trust::digest(&HOST.to_string(), "qargs", "-S", &OwnValues::new());
    let pairs =
        [("qargs", "-S"), ("autostart", "1"), ("cpu", "2"), ("trust", "listed"), ("trusted.qargs", &forged), ("trusted.bargs", "x")];
    let g = foreign("web", &pairs);
    let world = testing::world(Vec::new());
    let refused = adopt(&world, &g, &[], &Request::default()).unwrap_err();
    assert_eq!((refused.code.exit_code(), refused.causes), (4, vec!["autostart qargs".to_owned()]));
    let all = text(&g, &trusting(Trust::All));
    assert!(all.contains("chyves:trusted.rcboot=") && all.contains("inherit chyves:trusted.bargs"), "{all}");
    assert!(!all.contains("inherit chyves:trusted.qargs") && !all.contains("inherit chyves:qargs"), "{all}");
    let some = text(&g, &trusting(Trust::in_keys(&["boot".into()]).unwrap()));
    assert!(some.contains("chyves:trusted.rcboot=") && some.contains("inherit chyves:trusted.qargs"), "{some}");
    assert!(some.contains("does not start before these are trusted or removed: qargs"), "{some}");
    let none = text(&g, &Request { drop: true, ..Request::default() });
    assert!(none.contains("inherit chyves:qargs") && none.contains("inherit chyves:rcboot"), "{none}");
    assert!(!none.contains("inherit chyves:cpu") && !none.contains("chyves:trusted.rcboot="), "{none}");
    for bad in ["ram", "nonsense"] {
        assert_eq!(Trust::in_keys(&[bad.into()]).unwrap_err().code.exit_code(), 2, "{bad}");
    }
}

#[test]
fn a_disk_whose_source_is_removed_goes_with_it() {
    let g = foreign("web", &[("disk1.kind", "attached"), ("disk1.source", "/dev/sda"), ("disk1.notes", "x"), ("disk10.kind", "raw")]);
    let text = text(&g, &Request { drop: true, ..Request::default() });
    for key in ["disk1.kind", "disk1.source", "disk1.notes"] {
        assert!(text.contains(&format!("inherit chyves:{key} ")), "{key}: {text}");
    }
    assert!(!text.contains("disk10"), "{text}");
}

/// A guest that inherits a value from a dataset above, which may have received it with a stream.
fn inheriting(received: bool) -> Guest {
    let above: OwnValues = [("bargs".to_owned(), Own { value: "-S".into(), received })].into_iter().collect();
    let guest = foreign("web", &[]);
    let settings = Settings::new(guest.settings.own_values().clone(), vec![("tank/chyves/guests".parse().unwrap(), Arc::new(above))]);
    Guest { settings, ..guest }
}

#[test]
fn defaults_of_this_host_are_trusted_and_others_are_not() {
    assert!(adopt(&testing::world(Vec::new()), &inheriting(false), &[], &Request::default()).is_ok());
    let came = inheriting(true);
    assert!(adopt(&testing::world(Vec::new()), &came, &[], &Request::default()).is_err());
    assert!(text(&came, &trusting(Trust::All)).contains("chyves:trusted.bargs="));
    // A value on another dataset is not removed from there.
    let dropped = text(&came, &Request { drop: true, ..Request::default() });
    assert!(dropped.contains("zfs inherit chyves:bargs tank/chyves/guests\n") && dropped.contains("# note"), "{dropped}");
    // Defaults of a pool that belongs to another host are foreign too.
    let mut world = testing::world(Vec::new());
    world.roots[0].role = crate::pool::Role::Secondary;
    let mut first = world.roots[0].clone();
    (first.dataset, first.role) = ("ours/chyves".parse().unwrap(), crate::pool::Role::Primary);
    world.roots[0].host = Some(Uuid::from_u128(77));
    world.roots.push(first);
    assert!(adopt(&world, &inheriting(false), &[], &Request::default()).is_err());
}

#[test]
fn what_acts_on_the_host_is_disarmed_before_anything_is_mounted() {
    let mut guest = foreign("web", &[]);
    (guest.mountpoint, guest.mounted) = (Some("/etc/cron.d".into()), true);
    let came = |property: &str, value: &str| guard::Came { property: property.into(), value: value.into() };
    let member = |dataset: Dataset, is, came| Member { dataset, is, came };
    let tree = vec![
        member(guest.dataset.clone(), guard::Type::FileSystem, vec![came("mountpoint", "/etc/cron.d"), came("setuid", "on")]),
        member(guest.dataset.child("disk0"), guard::Type::Volume, vec![came("volmode", "full")]),
    ];
    let plan = adopt(&testing::world(Vec::new()), &guest, &[], &Request { tree: tree.clone(), ..Request::default() }).unwrap();
    let text = plan.script(Os::Linux);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(at("zfs unmount") < at("zfs inherit mountpoint") && at("zfs set setuid=off") < at("zfs mount"), "{text}");
    assert!(text.contains("disarmed: tank/chyves/guests/web/disk0: property volmode was full: dev here"), "{text}");
    assert!(!text.contains("/etc/cron.d/"), "{text}");
    // For this host's own guest only the properties are disabled, and a file system below a guest is never adopted.
    guest.foreign = None;
    let own = adopt(&testing::world(Vec::new()), &guest, &[], &Request { tree: tree.clone(), ..Request::default() }).unwrap();
    assert!(!own.script(Os::Linux).contains("chyves:owner"));
    let child = member(guest.dataset.child("disk1"), guard::Type::FileSystem, Vec::new());
    let refused = adopt(&testing::world(Vec::new()), &guest, &[], &Request { tree: [tree, vec![child]].concat(), ..Request::default() });
    assert!(refused.unwrap_err().message.contains("disk1 is a file system"));
}

#[test]
fn an_empty_list_is_no_trust() {
    for typed in [Vec::new(), vec![String::new()], vec![String::new(), " ".to_owned()]] {
        assert_eq!(Trust::in_keys(&typed).unwrap_err().code.exit_code(), 2);
    }
}
