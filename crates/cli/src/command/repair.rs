//! `chyves repair`: finishes or rolls back what killed commands left.

use crate::session::{Report, Session};
use chyves_core::action::Action;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::{Plan, reclaim};
use chyves_core::value::{Dataset, GuestName};
use chyves_host::apply::{self, Lent, recover};
use chyves_host::control::{self, Target};
use chyves_host::leftovers;
use chyves_host::observe::{self, Look, Part, Which};
use chyves_host::runtime::{GuestState, Observed};
use uuid::Uuid;

/// Complete or roll back commands that were killed or cut off by a host crash
///
/// The next changing command on the same guest does that by itself; this one does it for all, and shows what it found.
/// The jail and the VM object of a bhyve that died with its supervisor are removed. What came of images whose transfer was cut is
/// deleted, so that the next fetch starts from scratch. The damaged record of a VM is written again by its supervisor, or removed
/// where nothing of the VM lives. A journal that cannot be read is reported and
/// kept. The clone from which a guest was being reverted to a snapshot is destroyed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(session: &Session, _: &Args) -> Result<()> {
    let found = recover::dead(&session.runtime, None)?;
    let parts = parts(session)?;
    if !session.dry_run {
        session.runtime.prune_locks();
    }
    let jails = session.dead_jails(&|_| true)?;
    let damaged = session.runtime.damaged()?;
    let reverts = reverts(session)?;
    if found.dead.is_empty()
        && found.unreadable.is_empty()
        && parts.is_empty()
        && jails.is_empty()
        && damaged.is_empty()
        && reverts.is_empty()
    {
        session.ui.say("nothing to repair");
    }
    let (mut left, mut results) = (Vec::new(), Vec::new());
    for problem in found.unreadable {
        left.push(problem.object.clone().unwrap_or_default());
        results.push(Err(problem));
    }
    for dead in found.dead {
        let how = if dead.goes_on() { "finished" } else { "rolled back" };
        if session.dry_run {
            session.ui.answer(&format!("# {}; it would be {how}\n", dead.describe()));
            continue;
        }
        let name = dead.record.locks.join(" ");
        results.push(session.recover(&dead, &[]).map(|()| Some(Report::new(&name, how))));
        left.push(name);
    }
    for (guest, plan) in jails {
        if session.dry_run {
            session.ui.answer(&plan.script(chyves_host::facts::os()));
            continue;
        }
        results.push(jail(session, &guest).map(|()| Some(Report::new(&guest, "what its VM left was removed"))));
        left.push(guest.to_string());
    }
    let guests = if damaged.is_empty() { Vec::new() } else { session.look(&Look { guests: Which::All, ..Look::default() })?.guests };
    for seen in damaged {
        let guest = guests.iter().find(|guest| guest.uuid == seen.uuid);
        let name = guest.map_or_else(|| seen.uuid.to_string(), |guest| guest.name.to_string());
        if session.dry_run {
            let hints = seen.damage(&name).map(|problem| format!("# {problem}\n"));
            session.ui.answer(&hints.unwrap_or_default());
            continue;
        }
        results.push(record(session, &seen, guest).map(|how| how.map(|how| Report::new(&name, how))));
        left.push(name);
    }
    for (name, work, guest) in reverts {
        if session.dry_run {
            session.ui.answer(&format!("# {name}: its start was killed while it reverted to a snapshot; {work} would be destroyed\n"));
            continue;
        }
        results.push(revert(session, &work, guest.as_ref()).map(|gone| {
            gone.then(|| {
                Report::new(&name, "its start was killed while it reverted to a snapshot; the clone that it copied from is destroyed")
            })
        }));
        left.push(name);
    }
    // A killed command may have left its part mounted, so these come last.
    for Part { dataset: part, address, .. } in parts {
        results.push(drop_part(session, &part).map(|gone| gone.then(|| Report::new(&address, "the partial download was deleted"))));
        left.push(address);
    }
    session.sum_up("some remains could not be repaired", &left, results)
}

/// Verifies that nothing is left of a dead VM of a guest: taking the guest's lock removes it.
fn jail(session: &Session, guest: &GuestName) -> Result<()> {
    let _lock = session.lock("guest", &[guest])?;
    let left = session.dead_jails(&|name| name == guest)?;
    left.iter().try_for_each(|(guest, plan)| session.remove_jail(guest, plan))
}

/// Repairs a damaged record: the supervisor rewrites it, or, if no process lives, everything that the VM left is removed.
fn record(session: &Session, seen: &Observed, guest: Option<&Guest>) -> Result<Option<String>> {
    let name = guest.map_or_else(|| seen.uuid.to_string(), |guest| guest.name.to_string());
    match (&seen.state, guest) {
        (GuestState::Starting | GuestState::Running | GuestState::Paused { .. } | GuestState::Stopping, Some(guest)) => {
            let target = Target { uuid: guest.uuid, name: &guest.name, dataset: &guest.dataset };
            control::write_record(&session.runtime, target)?;
            Ok(Some("its record was damaged; its supervisor has written it again".to_owned()))
        }
        (GuestState::Stopped | GuestState::Crashed { .. }, guest) => {
            let _lock = guest.map(|guest| session.lock("guest", &[&guest.name])).transpose()?;
            let os = chyves_host::facts::os();
            let left = leftovers::look(&session.runtime, os)?.remove(&seen.uuid).unwrap_or_default();
            let plan = guest.map_or_else(|| reclaim::stray(seen.uuid, &left), |guest| reclaim::guest(guest, &left, false));
            session.apply(os, &plan, &name, Lent::default())?;
            Ok((!plan.steps.is_empty()).then(|| "its record was damaged; what its VM left was removed".to_owned()))
        }
        (
            GuestState::Orphaned | GuestState::Starting | GuestState::Running | GuestState::Paused { .. } | GuestState::Stopping,
            Some(_) | None,
        ) => match seen.damage(&name) {
            Some(problem) => Err(problem),
            None => Ok(None),
        },
    }
}

/// The clones from which stopped guests were being reverted, with the guests and their names, if these exist.
fn reverts(session: &Session) -> Result<Vec<(String, Dataset, Option<GuestName>)>> {
    let left = chyves_engine::Engine::reverts(&session.look(&Look::default())?)?;
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let guests = session.look(&Look::at_keys(Vec::new()))?.guests;
    let of = |(work, uuid): (Dataset, Uuid)| match guests.iter().find(|guest| guest.uuid == uuid) {
        Some(guest) if guest.state.is_alive() => None,
        Some(guest) => Some((guest.name.to_string(), work, Some(guest.name.clone()))),
        None => Some((uuid.to_string(), work, None)),
    };
    Ok(left.into_iter().filter_map(of).collect())
}

/// Destroys the clone from which a guest was being reverted; whether it still existed.
fn revert(session: &Session, work: &Dataset, guest: Option<&GuestName>) -> Result<bool> {
    let Some(name) = guest else { return apply::drop_revert(work) };
    let _lock = session.lock("guest", &[name])?;
    // The guest may have been started meanwhile.
    let world = session.look(&Look::at(std::slice::from_ref(name)))?;
    session.drop_revert(&world, observe::guest(&world, name)?)
}

/// Deletes a partial download; whether it is gone.
fn drop_part(session: &Session, part: &Dataset) -> Result<bool> {
    let mut plan = Plan::default();
    plan.push(Action::DropPart { part: part.clone() });
    let world = session.look(&Look::default())?;
    Ok(session.carry_out(&world, &plan, part.leaf())?.is_some() && observe::dataset(part)?.is_none())
}

/// The partial downloads, with their addresses.
fn parts(session: &Session) -> Result<Vec<Part>> {
    let world = session.look(&Look::default())?;
    match world.primary() {
        Ok(root) => observe::parts(root),
        // Without a primary pool there are none.
        Err(_) => Ok(Vec::new()),
    }
}
