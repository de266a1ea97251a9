//! Destroys snapshots that chyves took. All are checked before the first is destroyed.

use crate::answer::Each;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::{Code, Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::snapshot::{Choice, Chosen, Seen};
use chyves_core::plan::{self, Plan};
use chyves_core::value::{GuestName, Size};
use chyves_core::world::World;
use chyves_host::observe::{self, snapshots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;

/// Destroys snapshots.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotDelete {
    /// What is destroyed of which guests.
    pub delete: Vec<Doom>,
    /// Permits foreign guests.
    #[serde(default)]
    pub foreign: bool,
}

/// Snapshots of guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Doom {
    /// The guests; of all, those that have the snapshots.
    pub guests: Targets,
    /// A snapshot, or a range of them: `NAME`, `FIRST%LAST`, `%LAST`, `FIRST%`.
    pub snapshots: String,
}

/// Snapshots of a guest that were destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Gone {
    /// What was done.
    pub done: GoneWord,
    /// The names of the snapshots.
    pub snapshots: Vec<String>,
    /// Bytes that this frees.
    pub frees: u64,
    /// Whether it frees exactly so much; otherwise at least.
    pub frees_exactly: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GoneWord {
    /// They are gone.
    Destroyed,
}

/// The snapshots to be destroyed of one guest.
struct Doomed<'w> {
    guest: &'w Guest,
    chosen: Chosen,
    exact: Option<Size>,
    plan: Plan,
}

impl Operation for SnapshotDelete {
    const NAME: &'static str = "snapshot-delete";
    type Answer = Vec<Each<Gone>>;

    fn needs(&self) -> Needs {
        // What is locked follows from which guests have the snapshots.
        let all = self.delete.iter().any(|one| one.guests == Targets::All);
        Needs { guests: all.then_some(Targets::All), nothing: !all, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        engine.foreign.store(self.foreign, Ordering::SeqCst);
        let mut wanted: Vec<(GuestName, Choice)> = Vec::new();
        let mut lost: Vec<(String, Problem)> = Vec::new();
        for Doom { guests, snapshots } in &self.delete {
            let choice: Choice = snapshots.parse()?;
            match guests {
                Targets::Named(names) => wanted.extend(names.iter().map(|name| (name.clone(), choice.clone()))),
                Targets::All => match everywhere(&seen.world, &choice)? {
                    names if names.is_empty() => {
                        let word = format!("all@{snapshots}");
                        let problem = Code::NoSuchSnapshot.problem(format!("no guest has a snapshot `{word}`")).on(&word);
                        lost.push((word, problem.hint("`chyves snapshot list` shows them all")));
                    }
                    names => wanted.extend(names.into_iter().map(|name| (name, choice.clone()))),
                },
            }
        }
        let names: Vec<GuestName> = wanted.iter().map(|(guest, _)| guest.clone()).collect();
        let _locks = engine.lock("guest", &names)?;
        let world = engine.look(&Targets::Named(names).look())?;
        // One that cannot be destroyed does not prevent the others.
        let mut doomed = Vec::new();
        for (name, choice) in &wanted {
            match doom(engine, &world, name, choice) {
                Ok(one) => doomed.push(one),
                Err(problem) => lost.push((name.to_string(), problem)),
            }
        }
        let nothing = doomed.iter().all(|one| one.chosen.names.is_empty());
        if !engine.dry_run && !nothing {
            engine.confirm(&format!("destroy {}", self.words()))?;
        }
        let mut results = Vec::new();
        for one in doomed.iter().filter(|_| engine.dry_run || !nothing) {
            results.push((one.guest.name.to_string(), destroy(engine, &world, one)));
        }
        results.extend(lost.into_iter().map(|(name, problem)| (name, Err(problem))));
        Ok(Outcome::each_of(engine, results, "snapshots could not be destroyed"))
    }
}

impl SnapshotDelete {
    /// What is destroyed, as it is written on a command line.
    fn words(&self) -> String {
        let guests = |targets: &Targets| match targets {
            Targets::All => "all".to_owned(),
            Targets::Named(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        self.delete.iter().map(|one| format!("{}@{}", guests(&one.guests), one.snapshots)).collect::<Vec<_>>().join(", ")
    }
}

/// The guests that have the chosen snapshots.
fn everywhere(world: &World, choice: &Choice) -> Result<Vec<GuestName>> {
    let guests = Targets::All.guests(world)?;
    let there = snapshots::of_guests(world.host.dialect, &guests)?;
    let has = |all: &[Seen]| match choice {
        Choice::One(name) => all.iter().any(|seen| seen.name == name.as_str()),
        Choice::Range(from, to) => [from, to].into_iter().flatten().all(|name| all.iter().any(|seen| seen.name == name.as_str())),
    };
    Ok(guests.iter().zip(&there).filter(|(_, all)| has(all)).map(|(guest, _)| guest.name.clone()).collect())
}

/// The snapshots of a guest to be destroyed, and the space that this frees, which is reported before the confirmation.
fn doom<'w>(engine: &Engine, world: &'w World, name: &GuestName, choice: &Choice) -> Result<Doomed<'w>> {
    let guest = observe::guest(world, name)?;
    let (chosen, facts) = snapshots::for_deletion(world.host.dialect, guest, choice)?;
    let mut plan = plan::snapshot::delete(guest, &chosen, &facts)?;
    engine.permits_or_foreign(world, &plan)?;
    let exact = snapshots::reclaim(world.host.dialect, guest, &chosen.names)?;
    if !chosen.names.is_empty() {
        plan.notes.insert(0, freed(guest.name.as_str(), &chosen, exact));
    }
    if !engine.dry_run {
        plan.notes.drain(..).for_each(|note| engine.events.note(&note));
    }
    Ok(Doomed { guest, chosen, exact, plan })
}

fn destroy(engine: &Engine, world: &World, one: &Doomed<'_>) -> Result<Option<Gone>> {
    let Doomed { guest, chosen, exact, plan } = one;
    let done = engine.carry_out(world, plan, guest.name.as_str())?;
    Ok(done.map(|_| Gone {
        done: GoneWord::Destroyed,
        snapshots: chosen.names.iter().map(ToString::to_string).collect(),
        frees: exact.unwrap_or(chosen.used).get(),
        frees_exactly: exact.is_some(),
    }))
}

/// The snapshots to be destroyed, and the space that this frees.
fn freed(guest: &str, chosen: &Chosen, exact: Option<Size>) -> String {
    let list: Vec<String> = chosen.names.iter().take(20).map(|n| format!("@{n}")).collect();
    let more = chosen.names.len().saturating_sub(list.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let space = match exact {
        Some(size) => format!("which frees {}", size.human()),
        None => format!("which frees at least {} (this ZFS cannot report what they use together)", chosen.used.human()),
    };
    format!("{guest}: destroys {}{more}, {space}", list.join(" "))
}
