//! `send` and `receive`: a guest as a stream that every `zfs receive` takes, and back.
//!
//! The settings ride twice: as properties, and as `config.toml` in the file system, for streams that carry no properties.
//! Nothing is received by force or onto something that exists, but for an increment, which goes onto the received guest
//! that it builds on. What was received is foreign until `adopt`.

use super::{Moment, Plan, create};
use crate::action::Action;
use crate::error::{Problem, Result, did_you_mean};
use crate::guest::{DiskKind, Guest};
use crate::property::keys;
use crate::value::{Dataset, GuestName, SnapshotName};
use crate::world::World;
use crate::zfs::inventory::NOBODY;
use crate::zfs::stream::{Header, Sending};

use super::snapshot::Seen;

/// What a stream is made relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing: it is whole.
    Whole,
    /// This snapshot.
    Snapshot(SnapshotName),
    /// The newest snapshot that another place has too: the GUIDs of those that it has, and what it is called.
    Common(Vec<u64>, String),
}

/// What `send` needs to have seen.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The guest's snapshots, oldest first.
    pub there: Vec<Seen>,
    /// The GUID of the guest's dataset.
    pub guid: u64,
    /// The snapshots' GUIDs.
    pub guids: Vec<(String, u64)>,
    /// The dataset whose key its encryption hangs on, where it is encrypted.
    pub encryption_root: Option<String>,
}

impl Facts {
    fn guid(&self, name: &str) -> Option<u64> {
        self.guids.iter().find(|(n, _)| n == name).map(|(_, g)| *g)
    }

    fn place(&self, guest: &Guest, name: &SnapshotName) -> Result<usize> {
        self.there.iter().position(|s| s.name == name.as_str()).ok_or_else(|| {
            Problem::not_found(format!("`{}` has no snapshot called `{name}`", guest.name))
                .on(format!("{}@{name}", guest.name))
                .hint_if(did_you_mean(name.as_str(), self.there.iter().map(|s| s.name.as_str())))
                .hint(format!("`chyves snapshot list {}` shows them all", guest.name))
        })
    }
}

/// Plans a stream of a guest, from a snapshot or from a new one.
///
/// # Errors
/// A snapshot is missing, the base is not older, nothing is in common, or a foreign guest would get a new snapshot.
pub fn send(guest: &Guest, snapshot: Option<&SnapshotName>, base: &Base, facts: &Facts, moment: &Moment) -> Result<Plan> {
    let mut plan = Plan::default();
    let volumes = guest.spec()?.disks.iter().any(|d| d.kind == DiskKind::Zvol);
    if let (true, Some(origin)) = (volumes, &guest.origin) {
        return Err(Problem::not_now(format!(
            "`{}` is a clone with volumes, and a stream of it would need what it is a clone of",
            guest.name
        ))
        .on(&guest.name)
        .because(format!("it stands on {origin}"))
        .hint(format!("make it stand by itself first: `chyves promote {}`", guest.name)));
    }
    let (name, before) = match snapshot {
        Some(name) => (name.clone(), facts.place(guest, name)?),
        None if guest.foreign.is_some() => {
            return Err(Problem::usage(format!(
                "`{}` is foreign, and a snapshot of its own would keep it from receiving more",
                guest.name
            ))
            .on(&guest.name)
            .hint(format!("name one that it has: `chyves snapshot list {}`", guest.name)));
        }
        None => {
            let stamp: String = moment.now.chars().filter(char::is_ascii_alphanumeric).collect();
            let token = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
            let name: SnapshotName = format!("send-{stamp}-{}", token.get(..6).unwrap_or_default()).parse()?;
            let made = super::snapshot::create(guest, &name, &facts.there, &moment.now)?;
            plan.notes.extend(made.notes);
            plan.steps.extend(made.steps);
            (name, facts.there.len())
        }
    };
    let base = match base {
        Base::Whole => None,
        Base::Snapshot(base) if facts.place(guest, base)? < before => Some(base.clone()),
        Base::Snapshot(base) => {
            return Err(Problem::usage(format!("`@{base}` is not older than `@{name}`"))
                .on(format!("{}@{base}", guest.name))
                .hint(format!("`chyves snapshot list {}` shows them in their order", guest.name)));
        }
        Base::Common(theirs, place) => Some(newest_common(guest, before, theirs, place, facts)?),
    };
    let mut objects = vec![guest.dataset.to_string()];
    objects.extend(snapshot.map(|_| guest.dataset.at(&name).to_string()));
    objects.extend(base.as_ref().map(|b| guest.dataset.at(b).to_string()));
    let known = |object: &String| match object.split_once('@') {
        Some((_, snapshot)) => facts.guid(snapshot),
        None => Some(facts.guid),
    };
    let objects: Vec<(String, u64)> = objects.into_iter().filter_map(|o| known(&o).map(|g| (o, g))).collect();
    plan.steps.insert(0, Action::Verify { objects });
    if let Some(root) = &facts.encryption_root {
        plan.notes.push(format!(
            "{} is encrypted and is sent as it lies on the pool; who receives it needs the key of {root} to start it",
            guest.name
        ));
    }
    if volumes {
        plan.notes.push("its volumes go with it, and so do all snapshots before this one".into());
    }
    if let Some(base) = &base {
        plan.notes.push(format!("only what changed since @{base}: it can be received where that snapshot is"));
    }
    plan.push(Action::Send {
        sending: Sending::Snapshot { snapshot: guest.dataset.at(&name), base, volumes, raw: facts.encryption_root.is_some() },
    });
    Ok(plan)
}

fn newest_common(guest: &Guest, before: usize, theirs: &[u64], place: &str, facts: &Facts) -> Result<SnapshotName> {
    let has = |seen: &&Seen| facts.guid(&seen.name).is_some_and(|g| theirs.contains(&g));
    if facts.there.get(before).is_some_and(|s| has(&s)) {
        return Err(Problem::not_now(format!("{place} has this snapshot of `{}` already", guest.name)).on(&guest.name));
    }
    match facts.there[..before].iter().rfind(has) {
        Some(seen) => Ok(seen.name.parse()?),
        None => Err(Problem::not_now(format!("{place} has no snapshot of `{}` that is still here", guest.name))
            .on(&guest.name)
            .because(format!("{} snapshots there, {} here, none in common", theirs.len(), facts.there.len()))
            .hint("send it whole: leave the base away")),
    }
}

/// Reads the GUIDs of snapshots from what `chyves snapshot list -H -p -o name,guid` printed somewhere else.
///
/// # Errors
/// A line that is not so.
pub fn guids_in(text: &str) -> Result<Vec<u64>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            line.split_whitespace().last().and_then(|w| w.parse().ok()).ok_or_else(|| {
                Problem::usage("the list of GUIDs can't be read")
                    .because(format!("unexpected line: {}", crate::value::printable(line, 120)))
                    .hint("make it where the stream will be received: chyves snapshot list GUEST -H -o name,guid")
            })
        })
        .collect()
}

/// Where a stream goes.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What the guest will be called; the name that it had where none is given.
    pub name: Option<GuestName>,
    /// The pool, where not the primary one.
    pub pool: Option<String>,
    /// Keep what came if the stream is cut off, to go on later.
    pub resumable: bool,
}

impl Arrival {
    /// What the guest will be called.
    ///
    /// # Errors
    /// The name in the stream can't be a guest's.
    pub fn name(&self, header: &Header) -> Result<GuestName> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let leaf = header.dataset.rsplit('/').next().unwrap_or(&header.dataset);
        leaf.parse()
            .map_err(|e| Problem::from(e).within("the guest can't be called what it was called").hint("give it a name: --name NAME"))
    }
}

/// Plans a reception. The world must hold the guest of that name, if there is one; `there` are the GUIDs of
/// its dataset and of its newest snapshot.
///
/// # Errors
/// The name is taken, or an increment finds nothing that it builds on.
pub fn receive(world: &World, header: &Header, arrival: &Arrival, there: Option<(u64, Option<u64>)>, moment: &Moment) -> Result<Plan> {
    let root = match &arrival.pool {
        Some(pool) => world.root_on(pool)?,
        None => world.primary()?,
    };
    create::guests_folder(root)?;
    if arrival.resumable && !world.host.dialect.can_resume() {
        return Err(Problem::host_cant("the ZFS of this host can't go on with a stream that was cut off")
            .hint("leave --resumable away and send it again"));
    }
    if arrival.resumable && header.below {
        return Err(Problem::usage("a stream with volumes can't be gone on with")
            .because("of what is cut off ZFS keeps one dataset, and the rest would be missing")
            .hint("leave --resumable away"));
    }
    let name = arrival.name(header)?;
    let guest = world.guests.iter().find(|g| g.name == name);
    if let Some(base) = header.base {
        return increment(world, header, &name, guest, base, there);
    }
    super::free(world, &name, &root.guests().child(&name), None)
        .map_err(|p| p.hint("nothing is received onto what exists; give the new one another name: --name NAME"))?;
    let token = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
    let work = root.trash().child(format!("receiving-{}", token.get(..8).unwrap_or(&token)));
    Ok(arrive(world, &work, &root.guests().child(&name), Some((&header.snapshot, header.guid)), arrival.resumable))
}

/// Plans that a reception goes on that was cut off and left `work` behind.
///
/// # Errors
/// The name is taken.
pub fn resume(world: &World, work: &Dataset, name: &GuestName) -> Result<Plan> {
    let root = world.root_on(work.pool())?;
    super::free(world, name, &root.guests().child(name), None).map_err(|p| p.hint("give the new one another name: --name NAME"))?;
    Ok(arrive(world, work, &root.guests().child(name), None, true))
}

fn arrive(world: &World, work: &Dataset, to: &Dataset, expected: Option<(&SnapshotName, Option<u64>)>, resumable: bool) -> Plan {
    let mut plan = Plan::default();
    plan.push(Action::Receive {
        dialect: world.host.dialect,
        into: work.clone(),
        new: true,
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
    there: Option<(u64, Option<u64>)>,
) -> Result<Plan> {
    let (Some(guest), Some((guid, newest))) = (guest, there) else {
        return Err(Problem::not_found(format!("the stream holds only what changed on `{name}`, and no guest is called so"))
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
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: vec![(guest.dataset.to_string(), guid)] });
    if guest.mounted {
        plan.push(Action::Unmount { dataset: guest.dataset.clone() });
    }
    plan.push(Action::Receive {
        dialect: world.host.dialect,
        into: guest.dataset.clone(),
        new: false,
        snapshot: Some(header.snapshot.clone()),
        guid: header.guid,
        resumable: false,
    });
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::snapshot::testing::seen;
    use crate::plan::testing::{self, moment};
    use crate::property::settings::{Own, Settings};
    use crate::zfs::Dialect;

    fn facts(names: &[(&str, u64)]) -> Facts {
        Facts {
            there: seen(&names.iter().map(|(n, _)| *n).collect::<Vec<_>>()),
            guids: names.iter().map(|(n, g)| ((*n).into(), *g)).collect(),
            encryption_root: None,
            guid: 4711,
        }
    }

    fn header(base: Option<u64>) -> Header {
        Header { dataset: "far/chyves/guests/web01".into(), snapshot: "b".parse().unwrap(), guid: Some(12), base, below: false }
    }

    fn arrival() -> Arrival {
        Arrival { name: None, pool: None, resumable: false }
    }

    #[test]
    fn a_stream_is_made_of_a_new_snapshot_or_a_given_one() {
        let g = testing::guest("web01", &[("cpu", "2")]);
        insta::assert_snapshot!(send(&g, None, &Base::Whole, &facts(&[("a", 1)]), &moment(1)).unwrap().script(Os::Linux), @r"
        # make sure that tank/chyves/guests/web01 has the GUID 4711
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
        # take the snapshot tank/chyves/guests/web01@send-20260131T120000Z-000000
        zfs snapshot -r -o chyves:cpu=2 -o chyves:snapshot.taken=2026-01-31T12:00:00Z tank/chyves/guests/web01@send-20260131T120000Z-000000
        # send tank/chyves/guests/web01@send-20260131T120000Z-000000 to standard output
        zfs send -p tank/chyves/guests/web01@send-20260131T120000Z-000000
        ");
        let three = facts(&[("a", 1), ("b", 2), ("c", 3)]);
        let name = |n: &str| n.parse::<SnapshotName>().unwrap();
        let line = |snapshot: &str, base: Base| {
            send(&g, Some(&name(snapshot)), &base, &three, &moment(1)).map(|p| p.script(Os::Linux).lines().last().unwrap().to_owned())
        };
        assert_eq!(line("c", Base::Snapshot(name("a"))).unwrap(), "zfs send -p -i @a tank/chyves/guests/web01@c");
        assert_eq!(line("c", Base::Common(vec![9, 2, 1], "there".into())).unwrap(), "zfs send -p -i @b tank/chyves/guests/web01@c");
        assert!(line("a", Base::Snapshot(name("b"))).is_err(), "the base must be older");
        assert!(line("d", Base::Whole).is_err());
        assert!(line("c", Base::Common(vec![3], "there".into())).unwrap_err().message.contains("already"));
        assert!(line("c", Base::Common(vec![9], "there".into())).unwrap_err().causes[0].contains("none in common"));
        let mut foreign = g.clone();
        foreign.foreign = Some("received".into());
        assert!(send(&foreign, None, &Base::Whole, &three, &moment(1)).is_err());
    }

    #[test]
    fn volumes_and_encryption_change_how_it_is_sent() {
        let mut g = testing::guest("web01", &[("disk0.kind", "zvol"), ("disk0.size", "1G")]);
        let encrypted = Facts { encryption_root: Some("tank/secret".into()), ..facts(&[("a", 1)]) };
        let text = send(&g, Some(&"a".parse().unwrap()), &Base::Whole, &encrypted, &moment(1)).unwrap().script(Os::FreeBsd);
        assert!(text.contains("zfs send -R -w tank/chyves/guests/web01@a") && text.contains("the key of tank/secret"), "{text}");
        g.origin = Some("tank/chyves/guests/base@x".into());
        assert!(send(&g, None, &Base::Whole, &encrypted, &moment(1)).unwrap_err().hints[0].contains("promote"));
    }

    #[test]
    fn what_arrives_is_new() {
        let mut world = testing::world(Vec::new());
        insta::assert_snapshot!(receive(&world, &header(None), &arrival(), None, &moment(1)).unwrap().script(Os::Linux), @r"
        # receive tank/chyves/trash/receiving-00000000 from standard input
        zfs receive -u tank/chyves/trash/receiving-00000000
        zfs set canmount=noauto tank/chyves/trash/receiving-00000000
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
        assert!(text.contains("zfs receive -u -s -x mountpoint -x sharenfs -x sharesmb tank/"), "{text}");
        let volumes = Header { below: true, ..header(None) };
        assert_eq!(receive(&world, &volumes, &resumable, None, &moment(1)).unwrap_err().hints, ["leave --resumable away"]);
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
        let onto =
            |world: &World, newest: Option<u64>| receive(world, &header(Some(7)), &arrival(), newest.map(|n| (4711, Some(n))), &moment(1));
        assert_eq!(onto(&world, None).unwrap_err().code.exit_code(), 3);
        world.guests = vec![testing::guest("web01", &[("uuid", "u")])];
        assert!(onto(&world, Some(7)).unwrap_err().message.contains("own"));
        let mut own = world.guests[0].settings.own_values().clone();
        own.insert(keys::UUID.into(), Own { value: "u".into(), received: true });
        world.guests[0].settings = Settings::new(own, Vec::new());
        assert!(onto(&world, Some(8)).unwrap_err().message.contains("newest"));
        let text = onto(&world, Some(7)).unwrap().script(Os::Linux);
        assert!(text.contains("zfs receive -u tank/chyves/guests/web01\n") && !text.contains("-F"), "{text}");
    }

    #[test]
    fn lists_of_guids_are_read() {
        assert_eq!(guids_in("web01@a\t12\nweb01@b 13\n\n14\n").unwrap(), [12, 13, 14]);
        assert!(guids_in("web01@a\tx\n").is_err());
    }
}
