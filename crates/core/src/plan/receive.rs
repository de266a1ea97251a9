//! `receive`: creates a guest from a stream of `send`.
//!
//! Nothing is received with `-F` or onto an existing dataset, except an increment, which is received onto the guest that it
//! is based on. A received guest is foreign until it is adopted.

use super::{Moment, Plan, create};
use crate::action::{Action, Onto};
use crate::error::{Code, Problem, Result};
use crate::guest::trash::Leaving;
use crate::guest::{Guest, trust};
use crate::property::keys;
use crate::value::{Dataset, GuestName, SnapshotName};
use crate::world::World;
use crate::world::inventory::NOBODY;
use crate::zfs::args::Pair;
use crate::zfs::stream::Header;

/// Where a stream is received.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The guest's name [default: the name in the stream].
    pub name: Option<GuestName>,
    /// The pool [default: the primary one].
    pub pool: Option<String>,
    /// Keep the partial state of an interrupted stream, so that it can be resumed.
    pub resumable: bool,
}

impl Arrival {
    /// The name of the guest.
    ///
    /// # Errors
    /// The name in the stream is not a valid guest name.
    pub fn name(&self, header: &Header) -> Result<GuestName> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let leaf = header.dataset.rsplit('/').next().unwrap_or(&header.dataset);
        leaf.parse()
            .map_err(|e| Problem::from(e).within("the guest cannot be called what it was called").hint("give it a name: --name NAME"))
    }
}

/// The guest that an increment is received onto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct There {
    /// The GUID of its dataset.
    pub guid: u64,
    /// The GUID of its newest snapshot.
    pub newest: Option<u64>,
    /// Whether it has a snapshot with the name of the incoming one.
    pub has: bool,
}

/// Plans a reception. The world must hold the guest of that name, if there is one.
///
/// # Errors
/// The name is taken, or the base of an increment is missing.
pub fn receive(world: &World, header: &Header, arrival: &Arrival, there: Option<There>, moment: &Moment) -> Result<Plan> {
    let root = world.place(arrival.pool.as_deref())?;
    create::guests_folder(root)?;
    if arrival.resumable && !world.host.dialect.can_resume() {
        return Err(Problem::host_cant("the ZFS of this host cannot go on with a stream that was cut off")
            .hint("omit --resumable and send it again"));
    }
    if arrival.resumable && header.below {
        return Err(Problem::usage("a stream with volumes cannot be gone on with")
            .because("of what is cut off ZFS keeps one dataset, and the rest would be missing")
            .hint("omit --resumable"));
    }
    let name = arrival.name(header)?;
    let guest = world.guests.iter().find(|g| g.name == name);
    if let Some(base) = header.base {
        return increment(world, header, &name, guest, base, there, moment);
    }
    super::free(world, &name, &root.guests().child(&name), None)
        .map_err(|p| p.hint("nothing is received onto what exists; give the new one another name: --name NAME"))?;
    let token = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
    let work = root.trash().child(format!("receiving-{}", token.get(..8).unwrap_or(&token)));
    Ok(arrive(world, &work, &root.guests().child(&name), Some((&header.snapshot, header.guid)), arrival.resumable))
}

/// Plans to resume an interrupted reception with the partial dataset `work`.
///
/// # Errors
/// The name is taken.
pub fn resume(world: &World, work: &Dataset, name: &GuestName) -> Result<Plan> {
    let root = world.place(Some(work.pool()))?;
    super::free(world, name, &root.guests().child(name), None).map_err(|p| p.hint("give the new one another name: --name NAME"))?;
    Ok(arrive(world, work, &root.guests().child(name), None, true))
}

fn arrive(world: &World, work: &Dataset, to: &Dataset, expected: Option<(&SnapshotName, Option<u64>)>, resumable: bool) -> Plan {
    let mut plan = Plan::default();
    plan.push(Action::Receive {
        dialect: world.host.dialect,
        into: work.clone(),
        onto: None,
        snapshot: expected.map(|(s, _)| s.clone()),
        guid: expected.and_then(|(_, g)| g),
        resumable,
    });
    plan.push(Action::Rename { dialect: world.host.dialect, from: work.clone(), to: to.clone() });
    plan
}

fn increment(
    world: &World,
    header: &Header,
    name: &GuestName,
    guest: Option<&Guest>,
    base: u64,
    there: Option<There>,
    moment: &Moment,
) -> Result<Plan> {
    let (Some(guest), Some(There { guid, newest, has })) = (guest, there) else {
        return Err(Code::NoSuchGuest
            .problem(format!("the stream holds only what changed on `{name}`, and no guest is called so"))
            .on(name)
            .because(format!("it builds on the snapshot with the GUID {base}"))
            .hint("receive the whole guest first, or name the received guest that it builds on: --name NAME"));
    };
    let came = guest.settings.is_received(keys::UUID) || guest.settings.own(keys::OWNER) == Some(NOBODY);
    if !came {
        return Err(Problem::not_now(format!("`{name}` is this host's own, and nothing is received onto it"))
            .on(name)
            .hint("an increment goes onto a guest that was received and never adopted"));
    }
    if newest != Some(base) {
        return Err(Problem::not_now(format!("the stream does not build on the newest snapshot of `{name}`"))
            .on(name)
            .because(format!(
                "it builds on the GUID {base}; the newest here has {}",
                newest.map_or_else(|| "none".into(), |g| g.to_string())
            ))
            .hint(format!("list what is here (chyves snapshot list {name} -H -o name,guid > have) and send with --incremental-for have")));
    }
    if has {
        return Err(Problem::not_now(format!("`{name}` has another snapshot called `{}`", header.snapshot))
            .on(guest.dataset.at(&header.snapshot))
            .because("it is older than the one that the stream builds on")
            .hint(format!("if nobody needs it: chyves snapshot delete {name}@{}", header.snapshot)));
    }
    let trash = world.root_on(guest.root.pool())?.trash();
    let onto = Onto {
        before: nobodys(guest.settings.own_values().iter().map(|(key, own)| (key.clone(), own.value.clone())).collect()),
        leaving: Leaving::of(guest, trash, moment.uuids.first().copied(), &moment.now),
    };
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: vec![(guest.dataset.to_string(), guid)] });
    if guest.mounted {
        plan.push(Action::Unmount { dataset: guest.dataset.clone() });
    }
    plan.push(Action::Receive {
        dialect: world.host.dialect,
        into: guest.dataset.clone(),
        onto: Some(Box::new(onto)),
        snapshot: Some(header.snapshot.clone()),
        guid: header.guid,
        resumable: false,
    });
    Ok(plan)
}

/// Settings of a received guest as local values: the guest stays without an owner, whoever the sender named, and nothing in it is
/// recorded as trusted.
pub fn nobodys(mut settings: Vec<Pair>) -> Vec<Pair> {
    settings.retain(|(key, _)| key != keys::OWNER && !trust::is_record(key));
    settings.push((keys::OWNER.to_owned(), NOBODY.to_owned()));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing::{self, moment};
    use crate::property::settings::{Own, Settings};
    use crate::zfs::Dialect;

    fn header(base: Option<u64>) -> Header {
        Header { dataset: "far/chyves/guests/web01".into(), snapshot: "b".parse().unwrap(), guid: Some(12), base, below: false }
    }

    fn arrival() -> Arrival {
        Arrival { name: None, pool: None, resumable: false }
    }

    #[test]
    fn what_arrives_is_new() {
        let mut world = testing::world(Vec::new());
        insta::assert_snapshot!(receive(&world, &header(None), &arrival(), None, &moment(1)).unwrap().script(Os::Linux), @"
        # receive tank/chyves/trash/receiving-00000000 from standard input
        zfs receive -u tank/chyves/trash/receiving-00000000
        zfs set canmount=noauto tank/chyves/trash/receiving-00000000
        zfs set setuid=off tank/chyves/trash/receiving-00000000
        zfs set devices=off tank/chyves/trash/receiving-00000000
        zfs set exec=off tank/chyves/trash/receiving-00000000
        zfs inherit mountpoint tank/chyves/trash/receiving-00000000
        zfs inherit sharenfs tank/chyves/trash/receiving-00000000
        zfs inherit sharesmb tank/chyves/trash/receiving-00000000
        # rename tank/chyves/trash/receiving-00000000 to tank/chyves/guests/web01
        zfs rename tank/chyves/trash/receiving-00000000 tank/chyves/guests/web01
        ");
        let resumable = Arrival { resumable: true, ..arrival() };
        assert_eq!(receive(&world, &header(None), &resumable, None, &moment(1)).unwrap_err().code.exit_code(), 5);
        world.host.dialect = Dialect::OpenZfs;
        let text = receive(&world, &header(None), &resumable, None, &moment(1)).unwrap().script(Os::Linux);
        assert!(text.contains("zfs receive -u -s -o canmount=noauto -o setuid=off "), "{text}");
        let volumes = Header { below: true, ..header(None) };
        assert_eq!(receive(&world, &volumes, &resumable, None, &moment(1)).unwrap_err().hints, ["omit --resumable"]);
        assert!(receive(&world, &volumes, &arrival(), None, &moment(1)).is_ok());
        world.guests = vec![testing::guest("web01", &[])];
        assert!(receive(&world, &header(None), &arrival(), None, &moment(1)).unwrap_err().hints[1].contains("--name"));
        let named = Arrival { name: Some("web02".parse().unwrap()), ..arrival() };
        assert!(receive(&world, &header(None), &named, None, &moment(1)).is_ok());
        let odd = Header { dataset: "tank".into(), ..header(None) };
        assert!(receive(&world, &Header { dataset: "tank/all".into(), ..odd }, &arrival(), None, &moment(1)).is_err());
    }

    #[test]
    fn an_increment_goes_onto_what_it_builds_on_and_nothing_else() {
        let mut world = testing::world(Vec::new());
        let onto = |world: &World, newest: Option<u64>| {
            receive(world, &header(Some(7)), &arrival(), newest.map(|n| There { guid: 4711, newest: Some(n), has: false }), &moment(1))
        };
        assert_eq!(onto(&world, None).unwrap_err().code.exit_code(), 3);
        world.guests = vec![testing::guest("web01", &[("uuid", "u")])];
        assert!(onto(&world, Some(7)).unwrap_err().message.contains("own"));
        let mut own = world.guests[0].settings.own_values().clone();
        own.insert(keys::UUID.into(), Own { value: "u".into(), received: true });
        world.guests[0].settings = Settings::new(own, Vec::new());
        assert!(onto(&world, Some(8)).unwrap_err().message.contains("newest"));
        let has = receive(&world, &header(Some(7)), &arrival(), Some(There { guid: 4711, newest: Some(7), has: true }), &moment(1));
        assert_eq!(has.unwrap_err().hints, ["if nobody needs it: chyves snapshot delete web01@b"]);
        let text = onto(&world, Some(7)).unwrap().script(Os::Linux);
        assert!(text.contains("zfs receive -u tank/chyves/guests/web01\n") && !text.contains("-F"), "{text}");
    }
}
