//! The settings of one run, and what every operation does with them: lock, observe, show or apply a plan.

use crate::events::Events;
use chyves_core::action::Action;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::os::{HostFacts, Os};
use chyves_core::plan::{self, Moment, Plan, reclaim};
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::apply::{self, Applied, Event, Lent, Place, recover};
use chyves_host::leftovers;
use chyves_host::observe::{self, Look};
use chyves_host::runtime::{Lock, Runtime};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a changing operation waits for another one on the same object.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The environment of one run: where it runs, how, and what receives its events.
pub struct Engine {
    /// The runtime folder.
    pub runtime: Runtime,
    /// Receives progress, warnings, notes, plans and questions.
    pub events: Arc<dyn Events>,
    /// Plans are shown, nothing is changed.
    pub dry_run: bool,
    /// Every question is answered with yes.
    pub yes: bool,
    /// Facts of another host to plan for.
    pub facts: Option<HostFacts>,
    /// What runs, in the words of whoever started it: shown to others that wait for its locks, and recorded in its journals.
    pub typed: String,
    /// Set to interrupt the run: the plan under way is rolled back.
    pub interrupted: Arc<AtomicBool>,
    /// Whether one guest that does not exist refuses the whole operation.
    pub implied: bool,
    /// Whether changes to foreign guests are permitted.
    pub foreign: AtomicBool,
    /// The names of the locks that this run holds, for the journals of its plans.
    held: Mutex<Vec<String>>,
    /// Warnings that were already reported.
    warned: Mutex<BTreeSet<String>>,
    /// Whether the guests are processed one by one: a guest's journal then names only the locks of that guest.
    one_by_one: AtomicBool,
}

impl Engine {
    /// An engine that changes this host, and asks before it destroys.
    pub fn new(runtime: Runtime, events: Arc<dyn Events>, typed: impl Into<String>) -> Self {
        Self {
            runtime,
            events,
            dry_run: false,
            yes: false,
            facts: None,
            typed: typed.into(),
            interrupted: Arc::default(),
            implied: false,
            foreign: AtomicBool::new(false),
            held: Mutex::default(),
            warned: Mutex::default(),
            one_by_one: AtomicBool::new(false),
        }
    }

    /// The current time, with that many new UUIDs.
    pub fn moment(uuids: usize) -> Moment {
        Moment { now: now(), uuids: (0..uuids).map(|_| chyves_host::identity::new()).collect() }
    }

    /// Observes the host; oddities are reported as warnings, unless the facts are another host's.
    ///
    /// # Errors
    /// Something cannot be queried or parsed.
    pub fn look(&self, look: &Look) -> Result<World> {
        let mut world = observe::world(&self.runtime, look)?;
        for odd in &world.oddities {
            // An operation that observes twice warns once.
            if !self.warned.lock().is_ok_and(|mut warned| warned.insert(odd.to_string())) {
                continue;
            }
            self.warn_of(odd);
        }
        if let Some(facts) = &self.facts {
            world.host = facts.clone();
        }
        Ok(world)
    }

    /// Reports a problem that does not end the operation, with what helps.
    pub fn warn_of(&self, problem: &Problem) {
        let hints: Vec<String> = problem.hints.iter().map(|hint| format!(" ({hint})")).collect();
        self.events.warning(&format!("{problem}{}", hints.concat()));
    }

    /// Locks the named objects, in an order that avoids deadlocks.
    ///
    /// # Errors
    /// Another command holds one of them for too long, or what a killed one left cannot be recovered.
    pub fn lock<S: AsRef<str>>(&self, kind: &str, names: &[S]) -> Result<Vec<Lock>> {
        if self.dry_run {
            return Ok(Vec::new());
        }
        let mut sorted: Vec<String> = names.iter().map(|name| format!("{kind}.{}", name.as_ref())).collect();
        sorted.sort_unstable();
        sorted.dedup();
        // A guest that is about to be changed as one that is stopped must be one.
        self.runtime.be_thorough();
        let locks = sorted.iter().map(|name| self.runtime.lock_named(name, LOCK_WAIT, &self.typed)).collect::<Result<Vec<_>>>()?;
        self.heal(&sorted)?;
        if let Ok(mut held) = self.held.lock() {
            held.extend(sorted);
        }
        Ok(locks)
    }

    /// Finishes or rolls back what killed commands left on the objects that this one has just locked.
    fn heal(&self, mine: &[String]) -> Result<()> {
        let found = recover::dead(&self.runtime, Some(mine))?;
        for problem in &found.unreadable {
            self.events.warning(&format!("{}; `chyves repair` shows more", problem.message));
        }
        for dead in found.dead {
            self.recover(&dead, mine).map_err(|p| p.hint("`chyves repair` shows what is left and tries again"))?;
        }
        let is_mine = |guest: &GuestName| mine.iter().any(|lock| lock.strip_prefix("guest.") == Some(guest.as_str()));
        for (guest, plan) in self.dead_jails(&is_mine)? {
            if let Err(problem) = self.remove_jail(&guest, &plan) {
                self.events.warning(&problem.to_string());
            }
        }
        Ok(())
    }

    /// Plans to remove the jails and VM objects whose bhyve died together with its supervisor: they keep a guest's files in
    /// use.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn dead_jails(&self, names: &dyn Fn(&GuestName) -> bool) -> Result<Vec<(GuestName, Plan)>> {
        let dead = leftovers::dead_jails(&self.runtime, names)?.into_iter();
        let plans = dead.map(|(guest, left)| (guest.clone(), reclaim::jail(guest.as_str(), &left)));
        Ok(plans.filter(|(_, plan)| !plan.steps.is_empty()).collect())
    }

    /// Executes one of these plans; the guest's lock is held.
    ///
    /// # Errors
    /// A step failed.
    pub fn remove_jail(&self, guest: &GuestName, plan: &Plan) -> Result<()> {
        let what = plan.steps.iter().filter(|step| matches!(step, Action::Host(_))).map(Action::describe);
        self.events.note(&format!("{guest}: its bhyve died with its supervisor: {}", what.collect::<Vec<_>>().join("; ")));
        self.apply(chyves_host::facts::os(), plan, guest.as_str(), Lent::default())
            .map(drop)
            .map_err(|p| p.hint(format!("`chyves reclaim {guest}` tries again")))
    }

    /// Adds the hint that repeating the command completes it, for one that failed after a step that cannot be undone.
    pub fn goes_on(&self, problem: Problem) -> Problem {
        let left = problem.code == Kind::Left;
        problem.hint_if(left.then(|| format!("the same command goes on with what is left: `{}`", self.typed)))
    }

    /// Finishes or rolls back one killed command, under its locks; `mine` are held already.
    ///
    /// # Errors
    /// A lock is held by others, or a step failed.
    pub fn recover(&self, dead: &recover::Dead, mine: &[String]) -> Result<()> {
        let others = dead.record.locks.iter().filter(|name| !mine.contains(name));
        let _others = others.map(|name| self.runtime.lock_named(name, LOCK_WAIT, &self.typed)).collect::<Result<Vec<_>>>()?;
        let how = if dead.goes_on() { "finishing it" } else { "rolling back" };
        self.events.note(&format!("{}; {how}", dead.describe()));
        let mut report = |event: Event<'_>| {
            if let Event::Warning(text) = event {
                self.events.warning(&text);
            }
        };
        let never = AtomicBool::new(false);
        let mut place = Place {
            os: chyves_host::facts::os(),
            runtime: &self.runtime,
            command: &dead.record.command,
            locks: &dead.record.locks,
            interrupted: &never,
            report: &mut report,
            lent: Lent::default(),
        };
        recover::recover(dead, &mut place)
    }

    /// Verifies that a plan may run, for operations that ask for confirmation first.
    ///
    /// # Errors
    /// The plan uses a dataset whose key is not loaded, or changes a foreign guest.
    pub fn permits(&self, world: &World, plan: &Plan) -> Result<()> {
        plan::refuse(world, plan, self.foreign.load(Ordering::SeqCst))
    }

    /// As [`Self::permits`], for an operation that can be permitted on foreign guests.
    ///
    /// # Errors
    /// As [`Self::permits`], with that option as a hint.
    pub fn permits_or_foreign(&self, world: &World, plan: &Plan) -> Result<()> {
        plan::locked::refuse(world, plan)?;
        self.permits(world, plan).map_err(|p| p.hint("or do it to a foreign guest: add `--foreign`"))
    }

    /// Runs a plan, or shows it; none if it was only shown.
    ///
    /// # Errors
    /// It may not run, or a step failed.
    pub fn carry_out(&self, world: &World, plan: &Plan, who: &str) -> Result<Option<Applied>> {
        self.carry_out_with(world, plan, who, Lent::default())
    }

    /// As [`Self::carry_out`], with locks that are released before the plan's end.
    ///
    /// # Errors
    /// As [`Self::carry_out`].
    pub fn carry_out_with(&self, world: &World, plan: &Plan, who: &str, lent: impl Into<Lent>) -> Result<Option<Applied>> {
        self.permits(world, plan)?;
        if self.dry_run {
            self.events.planned(who, plan, world.host.os);
            return Ok(None);
        }
        for note in &plan.notes {
            self.events.note(note);
        }
        self.apply(world.host.os, plan, who, lent.into()).map(Some)
    }

    /// Runs a plan.
    ///
    /// # Errors
    /// A step failed.
    pub fn apply(&self, os: Os, plan: &Plan, who: &str, lent: Lent) -> Result<Applied> {
        let mut report = |event: Event<'_>| self.events.running(who, event);
        let locks: Vec<String> = self.held().into_iter().filter(|l| !self.of_others(l, who)).collect();
        let mut place = Place {
            os,
            runtime: &self.runtime,
            command: &self.typed,
            locks: &locks,
            interrupted: &self.interrupted,
            report: &mut report,
            lent,
        };
        apply::apply(plan, &mut place)
    }

    /// The names of the locks that this run holds.
    pub fn held(&self) -> Vec<String> {
        self.held.lock().map(|held| held.clone()).unwrap_or_default()
    }

    /// Whether a lock belongs to another guest of an operation that processes several guests one by one.
    fn of_others(&self, lock: &str, who: &str) -> bool {
        self.one_by_one.load(Ordering::SeqCst) && lock.starts_with("guest.") && lock != format!("guest.{who}")
    }

    /// From here on each guest's journal names only the locks of that guest.
    pub(crate) fn goes_one_by_one(&self) {
        self.one_by_one.store(true, Ordering::SeqCst);
    }

    /// Asks for confirmation, unless every answer is yes.
    ///
    /// # Errors
    /// The answer is no, or nobody can be asked.
    pub fn confirm(&self, question: &str) -> Result<()> {
        if self.yes { Ok(()) } else { self.events.confirm(question) }
    }

    /// Points out something that may not be intended: whoever can be asked decides, elsewhere it is a warning.
    ///
    /// # Errors
    /// The answer is no.
    pub fn doubt(&self, question: &str, advice: &str) -> Result<()> {
        if self.events.can_ask() && !self.dry_run && !self.yes {
            self.events.note(advice);
            return self.events.confirm(question);
        }
        self.events.warning(advice);
        Ok(())
    }

    /// Warns if a guest that was received or restored unchanged could not be started with its settings.
    pub fn warn_if_unstartable(&self, world: &World, guest: &Guest) {
        if let Some(warning) = plan::whole::warning(world, guest, guest.settings.own_values()) {
            self.events.warning(&warning);
        }
    }
}

/// The time in the format that is recorded.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
