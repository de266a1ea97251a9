//! The base of an incremental stream, and whether the guest's volumes are still the ones of the base.
//!
//! Not here: the stream itself (`send`).

use super::Facts;
use crate::error::{Problem, Result};
use crate::guest::Guest;
use crate::plan::snapshot::volumes::{self, Volume};
use crate::plan::snapshot::{Seen, carried_settings};
use crate::value::{SnapshotName, printable};

/// What a stream is relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing: it is a full stream.
    Whole,
    /// This snapshot.
    Snapshot(SnapshotName),
    /// The newest snapshot in common with another place: the GUIDs of the snapshots there, and a description of the place.
    Common(Vec<u64>, String),
}

/// The base snapshot of a stream.
///
/// # Errors
/// It does not exist, is not older than the snapshot to send, or there is no common one.
pub fn base(guest: &Guest, snapshot: Option<&SnapshotName>, base: &Base, facts: &Facts) -> Result<Option<SnapshotName>> {
    let before = snapshot.map_or(Ok(facts.there.len()), |name| facts.place(guest, name))?;
    match base {
        Base::Whole => Ok(None),
        Base::Snapshot(base) if facts.place(guest, base)? < before => Ok(Some(base.clone())),
        Base::Snapshot(base) => Err(Problem::usage(format!("`@{base}` is not older than what is sent"))
            .on(format!("{}@{base}", guest.name))
            .hint(format!("`chyves snapshot list {}` shows them in their order", guest.name))),
        Base::Common(theirs, place) => newest_common(guest, before, theirs, place, facts).map(Some),
    }
}

/// Checks that every volume to send is the same volume that had its name at the base, because ZFS matches volumes by name
/// only. A volume that the base had and the guest no longer has is moved to the trash by the receiver.
pub(super) fn same_volumes(guest: &Guest, base: &SnapshotName, sent: &[Volume], facts: &Facts) -> Result<()> {
    let Some(carried) = &facts.carried_by_base else { return Ok(()) };
    let past = volumes::had(guest, carried_settings(guest.settings.own_values(), carried))?;
    let present = volumes::had(guest, guest.settings.own_values().clone())?;
    let has = facts.with(base);
    for volume in sent {
        let serial = present.iter().find(|(name, _)| *name == volume.now).map(|(_, serial)| serial);
        let called = past.iter().find(|(_, s)| Some(s) == serial).map(|(name, _)| name);
        let was = past.iter().any(|(name, _)| *name == volume.now);
        let why = match (has.contains(&volume.now), called) {
            (true, Some(then)) if *then != volume.now => format!("its {} was its {then} at that time", volume.now),
            (false, _) if was => format!("its {} has been replaced since", volume.now),
            _ => continue,
        };
        return Err(Problem::not_now(format!("what changed of `{}` since `@{base}` cannot be sent", guest.name))
            .on(format!("{}@{base}", guest.name))
            .because(format!("{why}, and an increment knows volumes by their names"))
            .hint(format!("send it whole: `chyves send {}`, received under another name", guest.name)));
    }
    Ok(())
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
            .hint("send it whole: omit the base")),
    }
}

/// Parses the GUIDs of snapshots from the output of `chyves snapshot list -H -p -o name,guid` on another host.
///
/// # Errors
/// A line has another form.
pub fn guids_in(text: &str) -> Result<Vec<u64>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            line.split_whitespace().last().and_then(|w| w.parse().ok()).ok_or_else(|| {
                Problem::usage("the list of GUIDs cannot be read")
                    .because(format!("unexpected line: {}", printable(line, 120)))
                    .hint("make it where the stream will be received: chyves snapshot list GUEST -H -o name,guid")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::send::send;
    use crate::plan::send::tests::{below, facts};
    use crate::plan::testing::{self, moment, own};

    #[test]
    fn an_increment_knows_volumes_by_their_names() {
        let two: SnapshotName = "two".parse().unwrap();
        let g = testing::guest("web01", &[("disk0.kind", "zvol"), ("disk1.kind", "zvol")]);
        let serial = |n: usize| g.spec().unwrap().disks[n].serial.clone();
        let sent = |then: &[(&str, &str)], with_base: &[&str]| {
            let with = |name: &'static str, volumes: &[&str]| below(&volumes.iter().map(|v| format!("{v}@{name}")).collect::<Vec<_>>());
            let below = [with("one", with_base), with("two", &["disk0", "disk1"])].concat();
            let facts = Facts { carried_by_base: Some(own(then)), below, ..facts(&[("one", 1), ("two", 2)]) };
            send(&g, Some(&two), Some("one".parse().unwrap()), &facts, &moment(1))
        };
        let both = [("disk0.kind", "zvol"), ("disk1.kind", "zvol")];
        assert!(sent(&both, &["disk0", "disk1"]).is_ok());
        assert!(sent(&both[..1], &["disk0"]).is_ok(), "one came since");
        let three = [("disk0.kind", "zvol"), ("disk1.kind", "zvol"), ("disk2.kind", "zvol")];
        assert!(sent(&three, &["disk0", "disk1"]).is_ok(), "one went since");
        let other = sent(&both, &["disk0"]).unwrap_err();
        assert!(other.causes[0].contains("disk1 has been replaced") && other.hints[0].contains("`chyves send web01`"), "{other:?}");
        let (first, second) = (serial(0), serial(1));
        let swapped = [("disk0.kind", "zvol"), ("disk1.kind", "zvol"), ("disk0.serial", &*second), ("disk1.serial", &*first)];
        assert!(sent(&swapped, &["disk0", "disk1"]).unwrap_err().causes[0].contains("its disk0 was its disk1 at that time"));
    }

    #[test]
    fn lists_of_guids_are_read() {
        assert_eq!(guids_in("web01@a\t12\nweb01@b 13\n\n14\n").unwrap(), [12, 13, 14]);
        assert!(guids_in("web01@a\tx\n").is_err());
    }
}
