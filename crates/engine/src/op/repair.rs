//! Finishes or rolls back what killed commands left, and removes what dead VMs and cut transfers left.

use crate::Engine;
use crate::answer::Each;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::several::Results;
use chyves_core::action::Action;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::{Plan, reclaim};
use chyves_core::value::{Dataset, GuestName};
use chyves_host::apply::{self, Lent, recover};
use chyves_host::control::{self, Target};
use chyves_host::leftovers;
use chyves_host::observe::{self, Look, Part, Which};
use chyves_host::runtime::{self, GuestState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Repairs what killed commands left.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Repair {}

/// Something that was repaired: the locks of a killed command, a guest, the address of a partial download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Repaired {
    /// What was done.
    pub done: RepairedWord,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RepairedWord {
    /// The killed command was finished.
    Finished,
    /// The killed command was rolled back.
    RolledBack,
    /// What the guest's VM left was removed.
    VmRemoved,
    /// The guest's record was damaged; its supervisor wrote it again.
    RecordWritten,
    /// The guest's record was damaged; what its VM left was removed.
    RecordRemoved,
    /// The guest's start was killed while it reverted to a snapshot; the clone that it copied from was destroyed.
    RevertRemoved,
    /// The partial download was deleted.
    DownloadDeleted,
}

impl RepairedWord {
    /// The same for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::RolledBack => "rolled back",
            Self::VmRemoved => "what its VM left was removed",
            Self::RecordWritten => "its record was damaged; its supervisor has written it again",
            Self::RecordRemoved => "its record was damaged; what its VM left was removed",
            Self::RevertRemoved => "its start was killed while it reverted to a snapshot; the clone that it copied from is destroyed",
            Self::DownloadDeleted => "the partial download was deleted",
        }
    }
}

impl Operation for Repair {
    const NAME: &'static str = "repair";
    type Answer = Vec<Each<Repaired>>;

    fn needs(&self) -> Needs {
        // A journal may be the reason why nothing can be observed.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let found = recover::dead(&engine.runtime, None)?;
        let parts = parts(engine)?;
        if !engine.dry_run {
            engine.runtime.prune_locks();
        }
        let jails = engine.dead_jails(&|_| true)?;
        let damaged = engine.runtime.damaged()?;
        let reverts = reverts(engine)?;
        let nothing = found.dead.is_empty() && found.unreadable.is_empty() && parts.is_empty() && jails.is_empty();
        if nothing && damaged.is_empty() && reverts.is_empty() {
            engine.events.note("nothing to repair");
        }
        let mut results: Results<Option<RepairedWord>> = Vec::new();
        for problem in found.unreadable {
            results.push((problem.object.clone().unwrap_or_default(), Err(problem)));
        }
        results.extend(found.dead.iter().filter_map(|dead| command(engine, dead)));
        results.extend(jails.into_iter().filter_map(|(guest, plan)| jail(engine, &guest, &plan)));
        results.extend(records(engine, damaged)?);
        results.extend(reverts.into_iter().filter_map(|(name, work, guest)| revert(engine, name, &work, guest.as_ref())));
        // A killed command may have left its part mounted, so these come last.
        for Part { dataset: part, address, .. } in parts {
            results.push((address, drop_part(engine, &part).map(|gone| gone.then_some(RepairedWord::DownloadDeleted))));
        }
        let results = results.into_iter().map(|(name, result)| (name, result.map(|word| word.map(|done| Repaired { done })))).collect();
        Ok(Outcome::each(results, "some remains could not be repaired"))
    }
}

/// The result for one thing; none if it was only shown.
type One = Option<(String, Result<Option<RepairedWord>>)>;

/// Finishes or rolls back one killed command.
fn command(engine: &Engine, dead: &recover::Dead) -> One {
    let word = if dead.goes_on() { RepairedWord::Finished } else { RepairedWord::RolledBack };
    let name = dead.record.locks.join(" ");
    if engine.dry_run {
        engine.events.foreseen(&name, &format!("{}; it would be {}", dead.describe(), word.words()));
        return None;
    }
    let result = engine.recover(dead, &[]).map(|()| Some(word));
    Some((name, result))
}

/// Verifies that nothing is left of a dead VM of a guest: taking the guest's lock removes it.
fn jail(engine: &Engine, guest: &GuestName, plan: &Plan) -> One {
    if engine.dry_run {
        engine.events.planned(guest.as_str(), plan, chyves_host::facts::os());
        return None;
    }
    let remove = || {
        let _lock = engine.lock("guest", &[guest])?;
        let left = engine.dead_jails(&|name| name == guest)?;
        left.iter().try_for_each(|(guest, plan)| engine.remove_jail(guest, plan))
    };
    Some((guest.to_string(), remove().map(|()| Some(RepairedWord::VmRemoved))))
}

/// Repairs damaged records.
fn records(engine: &Engine, damaged: Vec<runtime::Observed>) -> Result<Results<Option<RepairedWord>>> {
    let guests = if damaged.is_empty() { Vec::new() } else { engine.look(&Look { guests: Which::All, ..Look::default() })?.guests };
    let mut results = Vec::new();
    for seen in damaged {
        let guest = guests.iter().find(|guest| guest.uuid == seen.uuid);
        let name = guest.map_or_else(|| seen.uuid.to_string(), |guest| guest.name.to_string());
        if !engine.dry_run {
            results.push((name.clone(), record(engine, &seen, guest, &name)));
        } else if let Some(problem) = seen.damage(&name) {
            engine.events.foreseen(&name, &problem.to_string());
        }
    }
    Ok(results)
}

/// Repairs a damaged record: the supervisor rewrites it, or, if no process lives, everything that the VM left is removed.
fn record(engine: &Engine, seen: &runtime::Observed, guest: Option<&Guest>, name: &str) -> Result<Option<RepairedWord>> {
    match (&seen.state, guest) {
        (GuestState::Starting | GuestState::Running | GuestState::Paused { .. } | GuestState::Stopping, Some(guest)) => {
            let target = Target { uuid: guest.uuid, name: &guest.name, dataset: &guest.dataset };
            control::write_record(&engine.runtime, target)?;
            Ok(Some(RepairedWord::RecordWritten))
        }
        (GuestState::Stopped | GuestState::Crashed { .. }, guest) => {
            let _lock = guest.map(|guest| engine.lock("guest", &[&guest.name])).transpose()?;
            let os = chyves_host::facts::os();
            let left = leftovers::look(&engine.runtime, os)?.remove(&seen.uuid).unwrap_or_default();
            let plan = guest.map_or_else(|| reclaim::stray(seen.uuid, &left), |guest| reclaim::guest(guest, &left, false));
            engine.apply(os, &plan, name, Lent::default())?;
            Ok((!plan.steps.is_empty()).then_some(RepairedWord::RecordRemoved))
        }
        (
            GuestState::Orphaned | GuestState::Starting | GuestState::Running | GuestState::Paused { .. } | GuestState::Stopping,
            Some(_) | None,
        ) => match seen.damage(name) {
            Some(problem) => Err(problem),
            None => Ok(None),
        },
    }
}

/// The clones from which stopped guests were being reverted, with the guests and their names, if these exist.
fn reverts(engine: &Engine) -> Result<Vec<(String, Dataset, Option<GuestName>)>> {
    let left = Engine::reverts(&engine.look(&Look::default())?)?;
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let guests = engine.look(&Look::at_keys(Vec::new()))?.guests;
    let of = |(work, uuid): (Dataset, Uuid)| match guests.iter().find(|guest| guest.uuid == uuid) {
        Some(guest) if guest.state.is_alive() => None,
        Some(guest) => Some((guest.name.to_string(), work, Some(guest.name.clone()))),
        None => Some((uuid.to_string(), work, None)),
    };
    Ok(left.into_iter().filter_map(of).collect())
}

/// Destroys the clone from which a guest was being reverted.
fn revert(engine: &Engine, name: String, work: &Dataset, guest: Option<&GuestName>) -> One {
    if engine.dry_run {
        let text = format!("{name}: its start was killed while it reverted to a snapshot; {work} would be destroyed");
        engine.events.foreseen(&name, &text);
        return None;
    }
    let drop = || {
        let Some(name) = guest else { return apply::drop_revert(work) };
        let _lock = engine.lock("guest", &[name])?;
        // The guest may have been started meanwhile.
        let world = engine.look(&Look::at(std::slice::from_ref(name)))?;
        engine.drop_revert(&world, observe::guest(&world, name)?)
    };
    let result = drop().map(|gone| gone.then_some(RepairedWord::RevertRemoved));
    Some((name, result))
}

/// Deletes a partial download; whether it is gone.
fn drop_part(engine: &Engine, part: &Dataset) -> Result<bool> {
    let mut plan = Plan::default();
    plan.push(Action::DropPart { part: part.clone() });
    let world = engine.look(&Look::default())?;
    Ok(engine.carry_out(&world, &plan, part.leaf())?.is_some() && observe::dataset(part)?.is_none())
}

/// The partial downloads, with their addresses.
fn parts(engine: &Engine) -> Result<Vec<Part>> {
    let world = engine.look(&Look::default())?;
    match world.primary() {
        Ok(root) => observe::parts(root),
        // Without a primary pool there are none.
        Err(_) => Ok(Vec::new()),
    }
}
