//! Refuses plans that would read or write encrypted datasets of guests, images or deleted guests if the key is not loaded,
//! before the first step runs and with the command that loads the key. Renaming, moving, taking snapshots and destroying
//! need no key.

use super::Plan;
use crate::action::Action;
use crate::error::{Code, Problem, Result};
use crate::guest::{Guest, Trashed};
use crate::value::Dataset;
use crate::world::World;
use crate::zfs::args;

/// Refuses a plan that reads or writes a locked dataset.
///
/// # Errors
/// It does; the message names the dataset and the encryption root with the missing key.
pub fn refuse(world: &World, plan: &Plan) -> Result<()> {
    match plan.steps.iter().flat_map(Action::opens).find_map(|dataset| Some((dataset, world.locked.by(dataset)?))) {
        Some((dataset, root)) => Err(problem(&owner(world, dataset).unwrap_or_else(|| root.to_string()), root)),
        None => Ok(()),
    }
}

/// Refuses a locked guest, for commands that read its file system before a plan exists.
///
/// # Errors
/// The guest is locked.
pub fn guest(world: &World, guest: &Guest) -> Result<()> {
    world.locked.by(&guest.dataset).map_or(Ok(()), |root| Err(problem(guest.name.as_str(), root)))
}

/// The missing key and the command that loads it, shown with a locked guest.
pub fn remedy(root: &Dataset) -> String {
    format!("the key of {root}; {}", args::load_key(root))
}

/// The guest, image or deleted guest that a dataset belongs to, by the name that users know.
fn owner(world: &World, dataset: &Dataset) -> Option<String> {
    let guest = world.guests.iter().find(|g| dataset.is_within(&g.dataset)).map(|g| g.name.to_string());
    let image = || world.images.iter().find(|i| dataset.is_within(&i.dataset)).map(|i| i.name.to_string());
    let trashed = || world.trash.iter().find(|t| dataset.is_within(&t.dataset)).map(Trashed::label);
    guest.or_else(image).or_else(trashed)
}

fn problem(name: &str, root: &Dataset) -> Problem {
    Code::KeyNotLoaded
        .problem(format!("`{name}` is locked"))
        .on(name)
        .because(format!("it is encrypted, and the key of {root} is not loaded"))
        .hint(format!("load the key: {}", args::load_key(root)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::snapshot::testing::seen;
    use crate::plan::testing::{self, moment};
    use crate::plan::{adopt, clone, delete, image, rename, send, set, snapshot, start};
    use crate::value::Size;
    use crate::zfs::Dialect;
    use crate::zfs::locked::Locked;
    use crate::zfs::rows::Row;

    fn row(name: &str, root: Option<&str>) -> Row {
        let status = ("keystatus".to_owned(), root.map_or("available", |_| "unavailable").to_owned());
        let root = ("encryptionroot".to_owned(), root.unwrap_or(name).to_owned());
        Row { name: name.into(), native: [status, root].into(), ..Row::default() }
    }

    /// A guest with an encrypted volume on OpenZFS and no key loaded, on a host that is otherwise complete.
    fn world() -> (World, Guest) {
        let guest = testing::guest("web01", &[("uuid", "u"), ("disk0.kind", "zvol"), ("disk0.size", "64M")]);
        let mut world = testing::world(vec![guest.clone(), testing::guest("open", &[])]);
        world.host.dialect = Dialect::OpenZfs;
        let guests = "tank/chyves/guests";
        world.locked = Locked::of(&[
            row("tank/chyves", None),
            row(guests, Some(guests)),
            row("tank/chyves/guests/web01", Some(guests)),
            row("tank/chyves/guests/open", None),
        ]);
        (world, guest)
    }

    fn told(world: &World, plan: &Plan) -> String {
        refuse(world, plan).map_or_else(|p| format!("{p}; {}", p.hints.join("; ")), |()| "goes".into())
    }

    const TOLD: &str = "`web01` is locked: it is encrypted, and the key of tank/chyves/guests is not loaded; load the key: zfs load-key \
        tank/chyves/guests";

    #[test]
    fn what_reads_or_writes_a_guest_is_refused_with_whose_key_it_needs() {
        let (world, guest) = world();
        let name = "then".parse().unwrap();
        let there = seen(&["then", "later"]);
        let settings = guest.settings.own_values().clone();
        let facts = snapshot::Facts { there, volumes: vec!["disk0".into()], settings: Some(settings), ..snapshot::Facts::default() };
        let change = set::Request { set: vec![("notes".into(), "new".into())], unset: Vec::new() };
        let foreign = Guest { foreign: Some("it was received with a stream".into()), ..guest.clone() };
        let linked = clone::Request { names: vec!["web02".parse().unwrap()], ..clone::Request::default() };
        let sizes = [(guest.dataset.clone(), Size::mib(3)), (guest.dataset.child("disk0"), Size::mib(3))].into();
        let full = clone::Request { independent: true, sizes, ..linked.clone() };
        let moved = rename::Facts { sizes: full.sizes.clone(), ..rename::Facts::default() };
        let mut two = world.clone();
        two.roots.push(crate::pool::Root { dataset: "depot/chyves".parse().unwrap(), ..world.roots[0].clone() });
        for (what, plan) in [
            ("set", set::guest(&world, &guest, &change)),
            ("adopt", adopt::adopt(&world, &foreign, &[], &adopt::Request::default())),
            ("clone", clone::clone(&world, &guest, &linked, &moment(1))),
            ("clone -i", clone::clone(&world, &guest, &full, &moment(1))),
            ("rollback", snapshot::rollback(&world, &guest, &name, &facts, false, &moment(1))),
            ("in place", snapshot::rollback_in_place(&world, &guest, &"later".parse().unwrap(), &facts, false)),
            ("move", rename::relocate(&two, &guest, "depot", &moved, &moment(1))),
        ] {
            assert_eq!(told(&world, &plan.expect(what)), TOLD, "{what}");
        }
        // The locked dataset is reported before the host is queried for the volume's device, which does not exist without
        // the key.
        let problem = start::start(&world, &guest, &start::Request::default()).unwrap_err();
        assert_eq!((problem.code.exit_code(), problem.object.as_deref()), (4, Some("web01")));
        assert_eq!(problem.hints, ["load the key: zfs load-key tank/chyves/guests"]);
        // A guest that is not locked can start, but nothing can be created where the key is missing.
        let open = world.guests[1].clone();
        assert_eq!(told(&world, &set::guest(&world, &open, &change).unwrap()), "goes");
        let new = Plan {
            steps: vec![Action::CreateDataset { dataset: "tank/chyves/guests/new".parse().unwrap(), native: Vec::new(), own: Vec::new() }],
            notes: Vec::new(),
        };
        assert!(told(&world, &new).starts_with("`tank/chyves/guests` is locked"), "{}", told(&world, &new));
    }

    #[test]
    fn what_needs_no_key_goes() {
        let (world, guest) = world();
        let facts = send::Facts { encryption_root: Some("tank/chyves/guests".into()), guid: 1, ..send::Facts::default() };
        let renamed = rename::rename(&world, &guest, &"web02".parse().unwrap(), &rename::Facts::default());
        for (what, plan) in [
            ("rename", renamed),
            ("snapshot", snapshot::create(&guest, &"now".parse().unwrap(), &[], "2026-01-31T12:00:00Z")),
            ("send", send::send(&guest, None, None, &facts, &moment(1))),
            ("delete", delete::delete(&world, &guest, 1, (false, false), "2026-01-31T12:00:00Z")),
            ("delete --now", delete::destroy(&guest, &delete::Doomed::default())),
        ] {
            assert_eq!(told(&world, &plan.expect(what)), "goes", "{what}");
        }
    }

    #[test]
    fn images_and_deleted_guests_are_named_too() {
        let (mut world, _) = world();
        world.locked = Locked::of(&[row("tank/chyves", Some("tank")), row("tank/chyves/images/tiny", Some("tank"))]);
        let mut tiny = world.images[0].clone();
        tiny.sha256 = Some("0".repeat(64));
        let read = told(&world, &image::verify(&world, &tiny).unwrap());
        assert!(read.starts_with("`tiny` is locked") && read.ends_with("load the key: zfs load-key tank"), "{read}");
        assert_eq!(remedy(&"tank/two words".parse().unwrap()), "the key of tank/two words; zfs load-key 'tank/two words'");
    }
}
