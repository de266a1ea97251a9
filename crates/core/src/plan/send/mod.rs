//! `send`: a guest as a stream that every `zfs receive` accepts.
//!
//! The settings are sent twice: as properties, and as `config.toml` in the file system, for streams without properties.

mod increment;

pub use increment::{Base, base, guids_in};

use super::{Moment, Plan};
use crate::action::Action;
use crate::error::{Code, Problem, Result, did_you_mean};
use crate::guest::Guest;
use crate::property::settings::OwnValues;
use crate::value::{SnapshotName, SnapshotRef};
use crate::zfs::sending::Sending;

use super::snapshot::volumes::{self, Volume};
use super::snapshot::{Seen, carried_settings};
use increment::same_volumes;

/// What has to be read before planning.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The guest's snapshots, oldest first.
    pub there: Vec<Seen>,
    /// The GUID of the guest's dataset.
    pub guid: u64,
    /// The GUIDs of the snapshots.
    pub guids: Vec<(String, u64)>,
    /// The settings that the guest had at the named snapshot, if known.
    pub carried: Option<OwnValues>,
    /// The settings that it had at the base, if known.
    pub carried_by_base: Option<OwnValues>,
    /// The snapshots of its volumes.
    pub below: Vec<SnapshotRef>,
    /// The encryption root of the guest's dataset, if it is encrypted.
    pub encryption_root: Option<String>,
}

impl Facts {
    fn guid(&self, name: &str) -> Option<u64> {
        self.guids.iter().find(|(n, _)| n == name).map(|(_, g)| *g)
    }

    /// The volumes that have a snapshot of that name, by the last component of their names.
    fn with(&self, name: &SnapshotName) -> Vec<String> {
        self.below.iter().filter(|s| s.name == *name).map(|s| s.dataset.leaf().to_owned()).collect()
    }

    fn place(&self, guest: &Guest, name: &SnapshotName) -> Result<usize> {
        self.there.iter().position(|s| s.name == name.as_str()).ok_or_else(|| {
            Code::NoSuchSnapshot
                .problem(format!("`{}` has no snapshot called `{name}`", guest.name))
                .on(format!("{}@{name}", guest.name))
                .hint_if(did_you_mean(name.as_str(), self.there.iter().map(|s| s.name.as_str())))
                .hint(format!("`chyves snapshot list {}` shows them all", guest.name))
        })
    }
}

/// Plans to send a guest, from an existing snapshot or from a new one; `base` is the result of [`base`].
///
/// # Errors
/// The snapshot does not exist, the guest had other volumes at one of the two snapshots, or it is foreign and a new
/// snapshot would be needed.
pub fn send(guest: &Guest, snapshot: Option<&SnapshotName>, base: Option<SnapshotName>, facts: &Facts, moment: &Moment) -> Result<Plan> {
    let mut plan = Plan::default();
    let volumes = match snapshot {
        Some(name) => {
            facts.place(guest, name)?;
            volumes_at(guest, name, facts)?
        }
        None => volumes::present(guest)?,
    };
    let name = match snapshot {
        Some(name) => name.clone(),
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
            name
        }
    };
    if let Some(base) = &base {
        same_volumes(guest, base, &volumes, facts)?;
    }
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
            "{} is encrypted and is sent as stored on the pool; who receives it needs the key of {root} to start it",
            guest.name
        ));
    }
    if let Some(base) = &base {
        plan.notes.push(format!("only what changed since @{base}: it can be received where that snapshot is"));
    }
    let (snapshot, raw) = (guest.dataset.at(&name), facts.encryption_root.is_some());
    let sending = if guest.origin.is_some() && !volumes.is_empty() {
        plan.notes.push("it is a clone, and is sent so that it does not need its origin; its volumes go with it".into());
        let has = base.as_ref().map(|base| facts.with(base)).unwrap_or_default();
        let volumes = volumes.iter().map(|v| (guest.dataset.child(&v.now), has.contains(&v.now))).collect();
        Sending::Standalone { snapshot, base, volumes, raw }
    } else {
        if !volumes.is_empty() {
            plan.notes.push("its volumes go with it, and so do all snapshots before this one".into());
        }
        Sending::Snapshot { snapshot, base, volumes: !volumes.is_empty(), raw }
    };
    plan.push(Action::Send { sending });
    Ok(plan)
}

/// The volumes at an existing snapshot. `zfs send` sends the guest's present descendants under their present names.
fn volumes_at(guest: &Guest, name: &SnapshotName, facts: &Facts) -> Result<Vec<Volume>> {
    let way = || format!("send a copy of what it was: `chyves clone {}@{name} NEW-NAME -ie`, then `chyves send NEW-NAME`", guest.name);
    let there = facts.with(name);
    let all = volumes::all(guest, name, &there).map_err(|p| p.hint(way()))?;
    let Some(carried) = &facts.carried else { return Ok(all) };
    let then = volumes::then(guest, name, carried_settings(guest.settings.own_values(), carried), &there).map_err(|p| p.hint(way()))?;
    match all.iter().find(|v| !then.iter().any(|t| t.now == v.now && t.then == v.now)) {
        None => Ok(then),
        Some(other) => Err(Problem::not_now(format!("`{}` had different disks at `@{name}`", guest.name))
            .on(format!("{}@{name}", guest.name))
            .because(format!("its {} was not its {0} at that time", other.now))
            .hint(way())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::snapshot::testing::seen;
    use crate::plan::testing::{self, moment, own};

    pub(super) fn facts(names: &[(&str, u64)]) -> Facts {
        Facts {
            there: seen(&names.iter().map(|(n, _)| *n).collect::<Vec<_>>()),
            guids: names.iter().map(|(n, g)| ((*n).into(), *g)).collect(),
            guid: 4711,
            ..Facts::default()
        }
    }

    pub(super) fn below<S: AsRef<str>>(snapshots: &[S]) -> Vec<SnapshotRef> {
        snapshots.iter().map(|s| format!("tank/chyves/guests/web01/{}", s.as_ref()).parse().unwrap()).collect()
    }

    #[test]
    fn a_stream_is_made_of_a_new_snapshot_or_a_given_one() {
        let g = testing::guest("web01", &[("cpu", "2")]);
        insta::assert_snapshot!(send(&g, None, None, &facts(&[("a", 1)]), &moment(1)).unwrap().script(Os::Linux), @r"
        # make sure that tank/chyves/guests/web01 has the GUID 4711
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
        # take the snapshot tank/chyves/guests/web01@send-20260131T120000Z-000000
        zfs snapshot -r -o chyves:cpu=2 -o chyves:snapshot.taken=2026-01-31T12:00:00Z tank/chyves/guests/web01@send-20260131T120000Z-000000
        # send tank/chyves/guests/web01@send-20260131T120000Z-000000 to standard output
        zfs send -p tank/chyves/guests/web01@send-20260131T120000Z-000000
        ");
        let three = facts(&[("a", 1), ("b", 2), ("c", 3)]);
        let name = |n: &str| n.parse::<SnapshotName>().unwrap();
        let line = |snapshot: &str, from: Base| {
            let found = base(&g, Some(&name(snapshot)), &from, &three)?;
            send(&g, Some(&name(snapshot)), found, &three, &moment(1)).map(|p| p.script(Os::Linux).lines().last().unwrap().to_owned())
        };
        assert_eq!(line("c", Base::Snapshot(name("a"))).unwrap(), "zfs send -p -i @a tank/chyves/guests/web01@c");
        assert_eq!(line("c", Base::Common(vec![9, 2, 1], "there".into())).unwrap(), "zfs send -p -i @b tank/chyves/guests/web01@c");
        assert!(line("a", Base::Snapshot(name("b"))).is_err(), "the base must be older");
        assert!(line("d", Base::Whole).is_err());
        assert!(line("c", Base::Common(vec![3], "there".into())).unwrap_err().message.contains("already"));
        assert!(line("c", Base::Common(vec![9], "there".into())).unwrap_err().causes[0].contains("none in common"));
        let mut foreign = g.clone();
        foreign.foreign = Some("received".into());
        assert!(send(&foreign, None, None, &three, &moment(1)).is_err());
    }

    #[test]
    fn volumes_and_encryption_change_how_it_is_sent() {
        let mut g = testing::guest("web01", &[("disk0.kind", "zvol"), ("disk0.size", "1G")]);
        let encrypted =
            Facts { encryption_root: Some("tank/secret".into()), below: below(&["disk0@a", "disk0@b"]), ..facts(&[("a", 1), ("b", 2)]) };
        let name = |n: &str| n.parse::<SnapshotName>().unwrap();
        let text =
            |g: &Guest, base: Option<&str>| send(g, Some(&name("b")), base.map(name), &encrypted, &moment(1)).unwrap().script(Os::FreeBsd);
        let whole = text(&g, None);
        assert!(whole.contains("zfs send -R -w tank/chyves/guests/web01@b\n") && whole.contains("the key of tank/secret"), "{whole}");
        // A stream of all datasets would depend on the origin of each of them.
        g.origin = Some("tank/chyves/guests/base@x".into());
        let whole = text(&g, None);
        assert!(whole.ends_with("\nzfs send -w tank/chyves/guests/web01@b\nzfs send -w tank/chyves/guests/web01/disk0@b\n"), "{whole}");
        let more = text(&g, Some("a"));
        assert!(more.contains("\nzfs send -R -w tank/chyves/guests/web01@b\nzfs send -w -i @a tank/chyves/guests/web01@b\n"), "{more}");
        assert!(more.ends_with("\nzfs send -w -i @a tank/chyves/guests/web01/disk0@b\n"), "{more}");
        // A new snapshot includes every present volume.
        let new = send(&g, None, None, &facts(&[]), &moment(1)).unwrap().script(Os::FreeBsd);
        assert!(new.contains("zfs send tank/chyves/guests/web01/disk0@send-"), "{new}");
    }

    #[test]
    fn a_snapshot_of_other_disks_is_sent_by_way_of_a_clone() {
        let one: SnapshotName = "one".parse().unwrap();
        let g = testing::guest("web01", &[("disk0.kind", "zvol"), ("disk1.kind", "zvol")]);
        let serial = |n: usize| g.spec().unwrap().disks[n].serial.clone();
        let sent = |carried: Option<OwnValues>, volumes: &[&str]| {
            let below = below(&volumes.iter().map(|v| format!("{v}@one")).collect::<Vec<_>>());
            send(&g, Some(&one), None, &Facts { carried, below, ..facts(&[("one", 1)]) }, &moment(1))
        };
        let both = [("disk0.kind", "zvol"), ("disk1.kind", "zvol")];
        assert!(sent(Some(own(&both)), &["disk0", "disk1"]).is_ok());
        let later = sent(Some(own(&both[..1])), &["disk0"]).unwrap_err();
        assert!(
            later.message.contains("no disk1 at `@one`") && later.hints.iter().any(|h| h.contains("chyves clone web01@one")),
            "{later:?}"
        );
        assert!(sent(None, &["disk0"]).is_err(), "zfs sends all that is there now");
        let (first, second) = (serial(0), serial(1));
        let renumbered = own(&[("disk0.kind", "zvol"), ("disk1.kind", "zvol"), ("disk0.serial", &second), ("disk1.serial", &first)]);
        let renumbered = sent(Some(renumbered), &["disk0", "disk1"]).unwrap_err();
        assert!(renumbered.message.contains("different disks"), "{renumbered:?}");
        let gone = own(&[("disk0.kind", "zvol"), ("disk1.kind", "zvol"), ("disk2.kind", "zvol"), ("disk2.serial", "GONE")]);
        assert!(sent(Some(gone), &["disk0", "disk1"]).unwrap_err().hints[0].contains("undelete web01:disk2"));
    }
}
