//! The common parts of every command: its environment, its output, and the sequence observe → lock → plan → run; [`several`],
//! that sequence for several objects; [`texts`], the users' own documents of guests; [`then`], the settings that a guest had at
//! a snapshot.

mod reverts;
mod several;
mod texts;
mod then;

use crate::ui::Ui;
use chyves_core::action::Action;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::os::Os;
use chyves_core::plan::{self, Moment, Plan, reclaim};
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::apply::{self, Applied, Event, Lent, Place, recover};
use chyves_host::leftovers;
use chyves_host::observe::{self, Look};
use chyves_host::runtime::{Lock, Runtime};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub(crate) use several::Pace;

/// How long a changing command waits for another one on the same guest.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The environment of one command.
pub(crate) struct Session {
    /// The runtime folder.
    pub(crate) runtime: Runtime,
    /// Prints messages and results.
    pub(crate) ui: Arc<Ui>,
    /// Show the plan, change nothing.
    pub(crate) dry_run: bool,
    /// Every question is answered with yes.
    pub(crate) yes: bool,
    /// Facts of another host to plan for.
    pub(crate) facts: Option<chyves_core::world::HostFacts>,
    /// The command line, shown to commands that wait for its locks.
    pub(crate) typed: String,
    /// Set by Ctrl-C and SIGTERM.
    pub(crate) interrupted: Arc<AtomicBool>,
    /// The names of the locks that this process holds, for the journals of its plans.
    pub(crate) held: std::sync::Mutex<Vec<String>>,
    /// Warnings that were already shown.
    pub(crate) warned: std::sync::Mutex<std::collections::BTreeSet<String>>,
    /// Whether the guests are processed one by one: a guest's journal then names only the locks of that guest.
    pub(crate) one_by_one: AtomicBool,
    /// Whether the verb of a noun was omitted, so that an unknown guest name may be a misspelt verb.
    pub(crate) implied: bool,
    /// Whether the user permitted changes to foreign guests.
    pub(crate) foreign: AtomicBool,
}

/// The result for one object.
#[derive(Debug)]
pub(crate) struct Report {
    /// The guest or other object.
    pub(crate) object: String,
    /// What was done, to be shown: "started".
    pub(crate) said: String,
    /// What is shown even with `--quiet`.
    brief: Option<String>,
    /// More fields for the JSON output.
    pub(crate) more: Value,
}

impl Report {
    /// The result for an object.
    pub(crate) fn new(object: impl std::fmt::Display, said: impl Into<String>) -> Self {
        Self { object: object.to_string(), said: said.into(), brief: None, more: json!({}) }
    }

    /// Adds a text that is shown even with `--quiet`.
    pub(crate) fn briefly(mut self, brief: impl Into<String>) -> Self {
        self.brief = Some(brief.into());
        self
    }

    /// Adds fields for the JSON output.
    pub(crate) fn with(mut self, more: Value) -> Self {
        self.more = more;
        self
    }

    fn json(&self) -> Value {
        let mut value = json!({ "object": self.object, "done": self.said });
        if let (Some(to), Some(from)) = (value.as_object_mut(), self.more.as_object()) {
            to.extend(from.clone());
        }
        value
    }
}

impl Session {
    /// The current time, with that many new UUIDs.
    pub(crate) fn moment(uuids: usize) -> Moment {
        Moment { now: now(), uuids: (0..uuids).map(|_| chyves_host::identity::new()).collect() }
    }

    /// Observes the host; oddities are shown as warnings, unless the facts are another host's.
    pub(crate) fn look(&self, look: &Look) -> Result<World> {
        let mut world = observe::world(&self.runtime, look)?;
        for odd in &world.oddities {
            // A command that observes twice warns once.
            if !self.warned.lock().is_ok_and(|mut warned| warned.insert(odd.to_string())) {
                continue;
            }
            let hints: Vec<String> = odd.hints.iter().map(|h| format!(" ({h})")).collect();
            self.ui.warn(&format!("{odd}{}", hints.concat()));
        }
        if let Some(facts) = &self.facts {
            world.host = facts.clone();
        }
        Ok(world)
    }

    /// Locks the named objects, in an order that avoids deadlocks.
    pub(crate) fn lock<S: AsRef<str>>(&self, kind: &str, names: &[S]) -> Result<Vec<Lock>> {
        if self.dry_run {
            return Ok(Vec::new());
        }
        let mut sorted: Vec<String> = names.iter().map(|name| format!("{kind}.{}", name.as_ref())).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let locks = sorted.iter().map(|name| self.runtime.lock_named(name, LOCK_WAIT, &self.typed)).collect::<Result<Vec<_>>>()?;
        self.heal(&sorted)?;
        if let Ok(mut held) = self.held.lock() {
            held.extend(sorted);
        }
        Ok(locks)
    }

    /// Finishes or rolls back what killed commands left on the objects that this command has just locked.
    fn heal(&self, mine: &[String]) -> Result<()> {
        let found = recover::dead(&self.runtime, Some(mine))?;
        for problem in &found.unreadable {
            self.ui.warn(&format!("{}; `chyves repair` shows more", problem.message));
        }
        for dead in found.dead {
            self.recover(&dead, mine).map_err(|p| p.hint("`chyves repair` shows what is left and tries again"))?;
        }
        let is_mine = |guest: &GuestName| mine.iter().any(|lock| lock.strip_prefix("guest.") == Some(guest.as_str()));
        for (guest, plan) in self.dead_jails(&is_mine)? {
            if let Err(problem) = self.remove_jail(&guest, &plan) {
                self.ui.warn(&problem.to_string());
            }
        }
        Ok(())
    }

    /// Plans to remove the jails and VM objects whose bhyve died together with its supervisor: they keep a guest's files in
    /// use.
    pub(crate) fn dead_jails(&self, names: &dyn Fn(&GuestName) -> bool) -> Result<Vec<(GuestName, Plan)>> {
        let dead = leftovers::dead_jails(&self.runtime, names)?.into_iter();
        let plans = dead.map(|(guest, left)| (guest.clone(), reclaim::jail(guest.as_str(), &left)));
        Ok(plans.filter(|(_, plan)| !plan.steps.is_empty()).collect())
    }

    /// Executes one of these plans; the guest's lock is held.
    pub(crate) fn remove_jail(&self, guest: &GuestName, plan: &Plan) -> Result<()> {
        let what = plan.steps.iter().filter(|step| matches!(step, Action::Host(_))).map(Action::describe);
        self.ui.say(&format!("{guest}: its bhyve died with its supervisor: {}", what.collect::<Vec<_>>().join("; ")));
        self.apply(chyves_host::facts::os(), plan, guest.as_str(), Lent::default())
            .map(drop)
            .map_err(|p| p.hint(format!("`chyves reclaim {guest}` tries again")))
    }

    /// Adds the hint that repeating the command completes it, for a command that failed after a step that cannot be undone.
    pub(crate) fn goes_on(&self, problem: Problem) -> Problem {
        let left = problem.code == Kind::Left;
        problem.hint_if(left.then(|| format!("the same command goes on with what is left: `{}`", self.typed)))
    }

    /// Finishes or rolls back one killed command, under its locks; `mine` are held already.
    pub(crate) fn recover(&self, dead: &recover::Dead, mine: &[String]) -> Result<()> {
        let others = dead.record.locks.iter().filter(|name| !mine.contains(name));
        let _others = others.map(|name| self.runtime.lock_named(name, LOCK_WAIT, &self.typed)).collect::<Result<Vec<_>>>()?;
        let how = if dead.goes_on() { "finishing it" } else { "rolling back" };
        self.ui.say(&format!("{}; {how}", dead.describe()));
        let mut report = |event: Event<'_>| {
            if let Event::Warning(text) = event {
                self.ui.warn(&text);
            }
        };
        let never = AtomicBool::new(false);
        let os = chyves_host::facts::os();
        let mut place = Place {
            os,
            runtime: &self.runtime,
            command: &dead.record.command,
            locks: &dead.record.locks,
            interrupted: &never,
            report: &mut report,
            lent: Lent::default(),
        };
        recover::recover(dead, &mut place)
    }

    /// Verifies that a plan may run, for commands that ask for confirmation first.
    ///
    /// # Errors
    /// The plan uses a dataset whose key is not loaded, or changes a foreign guest.
    pub(crate) fn permits(&self, world: &World, plan: &Plan) -> Result<()> {
        plan::refuse(world, plan, self.foreign.load(std::sync::atomic::Ordering::SeqCst))
    }

    /// As [`Self::permits`], for a command that has `--foreign`.
    ///
    /// # Errors
    /// As [`Self::permits`], with that option as a hint.
    pub(crate) fn permits_or_foreign(&self, world: &World, plan: &Plan) -> Result<()> {
        plan::locked::refuse(world, plan)?;
        self.permits(world, plan).map_err(|p| p.hint("or do it to a foreign guest: add `--foreign`"))
    }

    /// Runs a plan, or shows it; none if it was only shown.
    pub(crate) fn carry_out(&self, world: &World, plan: &Plan, who: &str) -> Result<Option<Applied>> {
        self.carry_out_with(world, plan, who, Lent::default())
    }

    /// As [`Self::carry_out`], with locks that are released before the plan's end.
    pub(crate) fn carry_out_with(&self, world: &World, plan: &Plan, who: &str, lent: impl Into<Lent>) -> Result<Option<Applied>> {
        self.permits(world, plan)?;
        if self.dry_run {
            if self.ui.json {
                let mut shown = json!({ "object": who });
                if let (Some(to), Value::Object(from)) = (shown.as_object_mut(), json!(plan.shown(world.host.os))) {
                    to.extend(from);
                }
                self.ui.answer_json(shown);
            } else {
                self.ui.answer(&plan.script(world.host.os));
            }
            return Ok(None);
        }
        for note in &plan.notes {
            self.ui.say(note);
        }
        self.apply(world.host.os, plan, who, lent.into()).map(Some)
    }

    /// Runs a plan.
    pub(crate) fn apply(&self, os: Os, plan: &Plan, who: &str, lent: Lent) -> Result<Applied> {
        let verbose = self.ui.volume >= crate::ui::Volume::Verbose;
        let mut report = |event: Event<'_>| match event {
            Event::Step(step) if verbose => self.ui.say(&format!("{who}: {}", step.describe())),
            Event::Step(_) => {}
            Event::Hypervisor(line) => self.ui.hypervisor(&line),
            Event::Command(line) if verbose => self.ui.command(&line),
            Event::Command(_) => {}
            Event::Progress(done, total) => self.ui.progress(done, total),
            Event::Reading(flow) if std::io::IsTerminal::is_terminal(&std::io::stderr()) => {
                self.ui.flow(flow.done, flow.total, flow.elapsed, flow.ended);
            }
            Event::Reading(_) => {}
            Event::Flow(flow) => self.ui.flow(flow.done, flow.total, flow.elapsed, flow.ended),
            Event::Asked(text) => self.ui.say(&format!("{who}: {text}")),
            Event::Warning(text) => self.ui.warn(&text),
            Event::TakingBack(why) if verbose => self.ui.say(&format!("{who}: rolling back: {why}")),
            Event::TakingBack(_) => {}
        };
        let locks = self.held.lock().map(|h| h.clone()).unwrap_or_default();
        let locks: Vec<String> = locks.into_iter().filter(|l| !self.of_others(l, who)).collect();
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

    /// Whether a lock belongs to another guest of a command that processes several guests one by one.
    fn of_others(&self, lock: &str, who: &str) -> bool {
        self.one_by_one.load(std::sync::atomic::Ordering::SeqCst) && lock.starts_with("guest.") && lock != format!("guest.{who}")
    }

    /// Points out something that may not be intended: on a terminal the user decides, elsewhere it is a warning.
    ///
    /// # Errors
    /// The answer is no.
    pub(crate) fn doubt(&self, question: &str, advice: &str) -> Result<()> {
        if self.ui.can_ask() && !self.dry_run && !self.yes {
            self.ui.say(advice);
            return self.ui.confirm(question, false);
        }
        self.ui.warn(advice);
        Ok(())
    }

    /// Prints the results of single objects.
    pub(crate) fn tell(&self, reports: &[Report]) {
        if self.dry_run {
            return;
        }
        if self.ui.json {
            self.ui.answer_json(Value::Array(reports.iter().map(Report::json).collect()));
        } else {
            let quiet = self.ui.volume == crate::ui::Volume::Quiet;
            for report in reports {
                if let (true, Some(brief)) = (quiet, &report.brief) {
                    self.ui.result(&format!("{}: {brief}", report.object));
                }
                self.ui.say(&format!("{}: {}", report.object, report.said));
            }
        }
    }
}

/// The time in the format that is recorded.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
