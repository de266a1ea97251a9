//! Removes what dead VMs left on the host.

use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::several::{Pace, Results};
use crate::{Engine, Targets};
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{Guest, RunState};
use chyves_core::os::Intent;
use chyves_core::plan::Plan;
use chyves_core::plan::reclaim::{self, Left};
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::observe::Look;
use chyves_host::{leftovers, network, shared_mounts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Removes what dead VMs left.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reclaim {
    /// The guests; with all of them also what belongs to no guest.
    pub guests: Targets,
    /// Whether VMs whose supervisor is gone are killed.
    pub force: bool,
}

/// Something of which nothing is left over any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reclaimed {
    /// The guest, or the UUID of one that is on no pool; `images`, `network`.
    pub object: String,
    /// What was done, or why nothing was.
    #[serde(flatten)]
    pub result: ReclaimedResult,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ReclaimedResult {
    /// It was done.
    Done {
        /// What was done.
        done: ReclaimedWord,
        /// What was removed, in order.
        removed: Vec<Removed>,
    },
    /// It failed.
    Failed {
        /// Why.
        error: crate::answer::Failure,
    },
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReclaimedWord {
    /// What was left over was removed.
    Reclaimed,
    /// The hypervisor that ran without a supervisor was killed, and what it left was removed.
    Killed,
}

/// One thing that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Removed {
    /// What kind of thing.
    pub code: RemovedKind,
    /// What was done, for people.
    pub message: String,
}

/// The kind of a thing that dead VMs leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RemovedKind {
    /// A hypervisor process.
    Process,
    /// A VM object.
    Vm,
    /// A jail.
    Jail,
    /// A tap.
    Tap,
    /// A mounted file system.
    Mount,
    /// Files in the runtime folder.
    Records,
    /// A bridge, a VLAN or something else of the host's networks.
    Network,
}

impl RemovedKind {
    /// The kind of what a step of a plan removes.
    fn of(step: &Action) -> Self {
        match step {
            Action::Stop { .. } => Self::Process,
            Action::Host(Intent::DestroyVm { .. }) => Self::Vm,
            Action::Host(Intent::RemoveTap { .. }) => Self::Tap,
            Action::Unmount { .. } | Action::LetGo { .. } => Self::Mount,
            // Those that describe a jail again, so that it can be removed.
            Action::Host(Intent::RemoveJail { .. }) | Action::MakeFolder { .. } | Action::WriteHostFile(_) => Self::Jail,
            Action::Host(_) => Self::Network,
            _ => Self::Records,
        }
    }
}

impl Reclaimed {
    fn of(object: impl Into<String>, done: ReclaimedWord, plan: &Plan) -> Self {
        let removed = plan.steps.iter().map(|step| Removed { code: RemovedKind::of(step), message: step.describe() }).collect();
        Self { object: object.into(), result: ReclaimedResult::Done { done, removed } }
    }
}

impl Operation for Reclaim {
    const NAME: &'static str = "reclaim";
    type Answer = Vec<Reclaimed>;

    fn needs(&self) -> Needs {
        // Leftovers are observed before the guests, so that a guest that starts meanwhile is seen alive.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let left = leftovers::look(&engine.runtime, chyves_host::facts::os())?;
        let world = engine.look(&Look { keys: Some(Vec::new()), ..self.guests.look() })?;
        let (found, lost) = engine.found(&self.guests, &world)?;
        let nothing = Left::default();
        let of = |guest: &Guest| left.get(&guest.uuid).unwrap_or(&nothing);
        let mut names: Vec<GuestName> =
            found.iter().filter(|guest| reclaim::is_worth_a_look(guest, of(guest))).map(|guest| guest.name.clone()).collect();
        // Guests that do not exist are reported together with the others.
        names.extend(lost.into_iter().map(|(name, _)| name));
        let mut answer = Vec::new();
        if self.guests == Targets::All {
            answer = nobodys(engine, &world, &left)?;
            answer.extend(networks(engine)?);
        }
        if names.is_empty() {
            if answer.is_empty() {
                engine.events.note("nothing to reclaim");
            }
            return Ok(Outcome { answer: (!engine.dry_run).then_some(answer), problem: None });
        }
        let results = engine.each(&Targets::Named(names), Pace::InTurn, |world, guest| self.reclaim(engine, world, guest))?;
        Ok(with_guests(engine, answer, results))
    }
}

impl Reclaim {
    /// Processes one guest, under its lock: its state may have changed.
    fn reclaim(&self, engine: &Engine, world: &World, guest: &Guest) -> Result<Option<Reclaimed>> {
        let left = leftovers::look(&engine.runtime, chyves_host::facts::os())?.remove(&guest.uuid).unwrap_or_default();
        let orphaned = guest.state == RunState::Orphaned;
        let plan = reclaim::guest(guest, &left, self.force || (orphaned && kills(engine, guest, &left)));
        let done = engine.carry_out(world, &plan, guest.name.as_str())?;
        let word = if orphaned { ReclaimedWord::Killed } else { ReclaimedWord::Reclaimed };
        Ok(done.filter(|_| !plan.steps.is_empty()).map(|_| Reclaimed::of(guest.name.as_str(), word, &plan)))
    }
}

/// Whether a hypervisor that runs without a supervisor is killed, although that was not requested: if somebody can be asked and
/// says so. That every answer is yes is not enough.
fn kills(engine: &Engine, guest: &Guest, left: &Left) -> bool {
    let pid = left.machine.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    let asks = !engine.dry_run && !engine.yes && engine.events.can_ask();
    asks && engine.events.confirm(&format!("{}{pid} runs and its supervisor is gone; kill it", guest.name)).is_ok()
}

/// The answer with what was done to guests, and the summary of the failures.
fn with_guests(engine: &Engine, mut answer: Vec<Reclaimed>, results: Results<Option<Reclaimed>>) -> Outcome<Vec<Reclaimed>> {
    let total = results.len();
    let mut failures: Vec<(String, Problem)> = Vec::new();
    for (name, result) in results {
        match result {
            Ok(reclaimed) => answer.extend(reclaimed),
            Err(problem) => failures.push((name, problem)),
        }
    }
    // The failure of a single guest is the whole problem.
    for (object, problem) in failures.iter().filter(|_| total > 1) {
        let result = ReclaimedResult::Failed { error: crate::answer::Failure(problem.clone()) };
        answer.push(Reclaimed { object: object.clone(), result });
    }
    let shown = answer.is_empty() && (engine.dry_run || !failures.is_empty());
    Outcome { answer: (!shown).then_some(answer), problem: crate::sum_up("guests failed", total, failures) }
}

/// What belongs to no guest on this host's pools: folders and taps of guests that no longer exist, mounted images that no guest
/// uses.
fn nobodys(engine: &Engine, world: &World, left: &BTreeMap<Uuid, Left>) -> Result<Vec<Reclaimed>> {
    let mut all = Vec::new();
    let mut carry = |plan: &Plan, who: &str| -> Result<()> {
        if !plan.steps.is_empty() && engine.carry_out(world, plan, who)?.is_some() {
            all.push(Reclaimed::of(who, ReclaimedWord::Reclaimed, plan));
        }
        Ok(())
    };
    for (uuid, left) in left {
        if !world.guests.iter().any(|guest| guest.uuid == *uuid) {
            carry(&reclaim::stray(*uuid, left), &uuid.to_string())?;
        }
    }
    if let Ok(root) = world.primary() {
        let mounted = leftovers::mounted_images(&root.images())?;
        // An image that is being imported is mounted by its import.
        let whole: Vec<_> = mounted.into_iter().filter(|dataset| !dataset.leaf().starts_with("importing-")).collect();
        let users: Result<BTreeMap<_, _>> =
            whole.iter().map(|dataset| Ok((dataset.clone(), shared_mounts::users(&engine.runtime, dataset)?))).collect();
        match users {
            Ok(users) => carry(&reclaim::images(&whole, &|dataset| users.get(dataset).cloned().unwrap_or_default()), "images")?,
            // If it is unknown what a guest uses, every image may be in use.
            Err(problem) => engine.events.warning(&format!("images stay mounted: {problem}")),
        }
    }
    Ok(all)
}

/// Removes bridges and VLANs that starts created for guests that no longer run.
fn networks(engine: &Engine) -> Result<Vec<Reclaimed>> {
    if engine.dry_run {
        return Ok(Vec::new());
    }
    let gone = network::put_away(&engine.runtime, None, &engine.typed)?;
    let removed = |message: String| ReclaimedResult::Done {
        done: ReclaimedWord::Reclaimed,
        removed: vec![Removed { code: RemovedKind::Network, message }],
    };
    Ok(gone.into_iter().map(|message| Reclaimed { object: "network".to_owned(), result: removed(message) }).collect())
}
