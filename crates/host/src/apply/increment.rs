//! What happens after an interrupted reception of an increment: one that has arrived completely is finished, the parts of
//! another one are rolled back. ZFS receives each dataset atomically, and needs no other process once it has read the stream; a
//! guest with volumes consists of several datasets.
//!
//! Not here: receiving (`receive`).

use super::receive::{Reception, settle, volumes_of};
use super::remedy::destroy_at_last;
use super::{Place, settings};
use crate::settled::command;
use crate::{observe, run};
use chyves_core::action::Action;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::plan::receive::nobodys;
use chyves_core::value::{Dataset, SnapshotRef};
use chyves_core::zfs::args;

/// Finishes or rolls back an increment whose command was killed.
pub(super) fn finish(step: &Action, place: &mut Place<'_>) -> Result<()> {
    let wanted = &Reception::of(step)?;
    if !has_arrived(wanted)? {
        return back(wanted, place);
    }
    match settle(wanted, place) {
        // A volume is missing.
        Err(problem) if problem.code == Kind::Usage => back(wanted, place),
        other => other.map(drop),
    }
}

/// Whether the file system and every volume in its settings have the snapshot.
fn has_arrived(wanted: &Reception<'_>) -> Result<bool> {
    let Some(snapshot) = wanted.snapshot else { return Ok(false) };
    let own = observe::snapshots::own_values(wanted.into)?;
    for dataset in [wanted.into].into_iter().chain(&volumes_of(wanted.into, &own)) {
        if !observe::exists(&dataset.at(snapshot).to_string())? {
            return Ok(false);
        }
    }
    let came = observe::guids(&[wanted.into.at(snapshot).to_string()])?;
    Ok(wanted.guid.is_none_or(|guid| came.iter().any(|(_, g)| *g == guid)))
}

/// Rolls back the received parts of an increment: its snapshot, if that is the newest, since it is new. The settings get their
/// previous values as local properties, including those that had been received with an earlier stream.
pub(super) fn back(wanted: &Reception<'_>, place: &mut Place<'_>) -> Result<()> {
    let (Some(snapshot), Some(onto)) = (wanted.snapshot, wanted.onto) else { return Ok(()) };
    let mut came = Vec::new();
    for dataset in below(wanted.into)?.into_iter().chain([wanted.into.clone()]) {
        let mut there = snapshots(&dataset)?;
        if let Some(newest) = there.pop_if(|newest| newest.name == *snapshot) {
            came.push((newest, there.pop()));
        }
    }
    if came.is_empty() {
        return Ok(());
    }
    // Done first: once the snapshots are gone, nothing shows that something must be undone.
    // They become local values, and only those of this host's own guests are; the sender has chosen the owner, too.
    settings::put_back(wanted.dialect, wanted.into, &nobodys(onto.before.clone()), place)?;
    for (newest, before) in came {
        match before {
            Some(before) => {
                command(&args::destroy_snapshot(&newest), place)?;
                command(&args::rollback(&before), place)?;
            }
            // A volume that is new on this host.
            None if newest.dataset != *wanted.into => destroy_at_last(&newest.dataset, &args::destroy_tree(&newest.dataset), place)?,
            None => return Err(Problem::bug("a received guest has no snapshot but the one that came now").on(&newest.dataset)),
        }
    }
    Ok(())
}

/// The datasets below a guest.
fn below(of: &Dataset) -> Result<Vec<Dataset>> {
    let listed = run::must(&args::list_names(of, 1))?;
    listed.lines().filter(|name| *name != of.as_str()).map(|name| name.parse().map_err(Problem::from)).collect()
}

/// A dataset's own snapshots, oldest first.
fn snapshots(of: &Dataset) -> Result<Vec<SnapshotRef>> {
    let listed = run::must(&args::list_snapshots(of))?;
    let all: Vec<SnapshotRef> = listed.lines().map(|line| line.parse().map_err(Problem::from)).collect::<Result<_>>()?;
    Ok(all.into_iter().filter(|snapshot| snapshot.dataset == *of).collect())
}
