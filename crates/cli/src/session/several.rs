//! The same operation on several objects: concurrently or one after the other, each reported separately, with a summary.

use super::{Report, Session};
use crate::targets::{Found, Targets};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::observe::{self, Look};
use serde_json::{Value, json};
use std::fmt::Display;

/// Number of guests that are processed concurrently.
const AT_ONCE: usize = 8;

/// Maximum number of hints after several failures; those of many guests differ only in their names.
const HINTS: usize = 3;

/// How a command processes several guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One after the other, each under its lock.
    InTurn,
    /// Concurrently, each under its lock.
    SideBySide,
    /// Concurrently without locks: nothing is changed here, only the supervisors receive requests, and they handle one at a
    /// time. So a second, stricter stop is not delayed by the first.
    Asking,
}

impl Session {
    /// Runs the same operation on each of several guests: locks it if `pace` requires it, observes it, plans and runs. The
    /// failure of one guest does not keep the others from being processed; it is reported, and determines the exit status.
    pub(crate) fn each<F>(&self, targets: &Targets, pace: Pace, work: F) -> Result<()>
    where
        F: Fn(&World, &Guest) -> Result<Option<Report>> + Sync,
    {
        let (names, lost) = match targets {
            Targets::Named(names) if names.len() == 1 => (names.clone(), Vec::new()),
            Targets::Named(_) | Targets::All => {
                let world = self.look(&Look { keys: Some(Vec::new()), ..targets.look() })?;
                let (found, lost) = self.found(targets, &world)?;
                (found.into_iter().map(|guest| guest.name.clone()).collect(), lost)
            }
        };
        self.each_in_turn(&[names], lost, pace, work)
    }

    /// The guests of a command that exist, and an error for each that does not.
    ///
    /// # Errors
    /// One does not exist, and the verb of a noun was omitted: the word may be a misspelt verb, so no guest is processed.
    pub(crate) fn found<'w>(&self, targets: &Targets, world: &'w World) -> Result<Found<'w>> {
        let (found, mut lost) = targets.found(world)?;
        if self.implied && !lost.is_empty() {
            return Err(lost.remove(0).1);
        }
        Ok((found, lost))
    }

    /// The result of a command that reads and has printed the guests that exist: success if those were all of them.
    ///
    /// # Errors
    /// The guests that do not exist, each with similar names.
    pub(crate) fn lacking(found: usize, lost: Vec<(GuestName, Problem)>) -> Result<()> {
        let total = found + lost.len();
        Self::sum_up_lost("guests could not be read", total, lost)
    }

    /// As [`Self::lacking`], for objects of any kind; `total` is their number.
    pub(crate) fn sum_up_lost<N: Display>(failed: &str, total: usize, mut lost: Vec<(N, Problem)>) -> Result<()> {
        match (total, lost.len()) {
            (_, 0) => Ok(()),
            (1, _) => Err(lost.remove(0).1),
            _ => Err(summed(failed, total, lost)),
        }
    }

    /// Like `each`, for one group of guests after the other. The guests in `lost` count as failed.
    pub(crate) fn each_in_turn<F>(&self, groups: &[Vec<GuestName>], lost: Vec<(GuestName, Problem)>, pace: Pace, work: F) -> Result<()>
    where
        F: Fn(&World, &Guest) -> Result<Option<Report>> + Sync,
    {
        self.one_by_one.store(true, std::sync::atomic::Ordering::SeqCst);
        let one = |name: &GuestName| {
            let _lock = if pace == Pace::Asking { Vec::new() } else { self.lock("guest", &[name])? };
            // Observed under the lock: the state may have changed since an earlier observation.
            let world = self.look(&Look::at(std::slice::from_ref(name)))?;
            work(&world, observe::guest(&world, name)?)
        };
        let mut results: Vec<Result<Option<Report>>> = Vec::new();
        for names in groups {
            let side = pace != Pace::InTurn && names.len() > 1 && !self.dry_run;
            results.extend(if side { side_by_side(names, &one) } else { names.iter().map(one).collect() });
        }
        let mut names = groups.concat();
        for (name, problem) in lost {
            names.push(name);
            results.push(Err(problem));
        }
        if names.is_empty() {
            self.ui.say("there are no guests; `chyves create` creates one");
            if self.dry_run && self.ui.json {
                self.ui.answer_json(json!([]));
            }
        }
        self.sum_up("guests could not be done", &names, results)
    }

    /// Prints the results of several objects: the successes, then a summary such as "2 of 3 guests could not be done"; the exit
    /// status shows whether all succeeded.
    pub(crate) fn sum_up<N: Display>(&self, failed: &str, names: &[N], results: Vec<Result<Option<Report>>>) -> Result<()> {
        let mut reports = Vec::new();
        let mut failures: Vec<(&N, Problem)> = Vec::new();
        for (name, result) in names.iter().zip(results) {
            match result {
                Ok(report) => reports.extend(report),
                Err(problem) => failures.push((name, problem)),
            }
        }
        let total = names.len();
        if failures.is_empty() {
            self.tell(&reports);
            return Ok(());
        }
        if total == 1 {
            return Err(failures.remove(0).1);
        }
        if self.ui.json {
            let mut all: Vec<Value> = reports.iter().map(Report::json).collect();
            all.extend(failures.iter().map(|(name, p)| json!({ "object": name.to_string(), "error": p })));
            self.ui.answer_json(Value::Array(all));
        } else {
            self.tell(&reports);
        }
        Err(summed(failed, total, failures))
    }
}

/// Combines several failures into one, whose exit status shows whether anything was done.
fn summed<N: Display>(failed: &str, total: usize, failures: Vec<(N, Problem)>) -> Problem {
    // After an interrupt the user knows that not everything was done.
    let interrupted = failures.iter().any(|(_, p)| p.code == Kind::Interrupted);
    let code = match (interrupted, failures.len() == total) {
        (true, _) => Kind::Interrupted,
        (false, true) => failures[0].1.code,
        (false, false) => Kind::Partial,
    };
    let mut problem = Problem::new(code, format!("{} of {total} {failed}", failures.len()));
    for (name, failure) in failures {
        // One hint for each, preferably one with a command.
        let known = |hint: &&String| !problem.hints.contains(hint) && problem.hints.len() < HINTS;
        let near = failure.hints.iter().find(|hint| hint.starts_with("did you mean"));
        let typed = near.or_else(|| failure.hints.iter().find(|hint| hint.contains("`chyves ")));
        let hint = typed.or(failure.hints.first()).filter(known).cloned();
        problem = problem.because(format!("{name}: {failure}")).hint_if(hint);
    }
    problem
}

/// Processes names concurrently, with a limited number of threads; the results are in the order of the names.
fn side_by_side<T: Send>(names: &[GuestName], work: &(dyn Fn(&GuestName) -> Result<T> + Sync)) -> Vec<Result<T>> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let slots: Vec<std::sync::Mutex<Option<Result<T>>>> = names.iter().map(|_| std::sync::Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(names.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let Some(name) = names.get(index) else { break };
                    let result = work(name);
                    if let Ok(mut slot) = slots[index].lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    slots
        .into_iter()
        .map(|slot| slot.into_inner().ok().flatten().unwrap_or_else(|| Err(Problem::bug("a worker ended without a result"))))
        .collect()
}
