//! The same operation on several objects: concurrently or one after the other, each with its own result.

use crate::Engine;
use crate::targets::{Found, Targets};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::observe::{self, Look};
use std::fmt::Display;

/// Number of guests that are processed concurrently.
const AT_ONCE: usize = 8;

/// Maximum number of hints after several failures; those of many guests differ only in their names.
const HINTS: usize = 3;

/// How several guests are processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One after the other, each under its lock.
    InTurn,
    /// Concurrently, each under its lock.
    SideBySide,
    /// Concurrently without locks: nothing is changed here, only the supervisors receive requests, and they handle one at a
    /// time. So a second, stricter stop is not delayed by the first.
    Asking,
}

/// The results of several objects, in the order in which the objects were named.
pub type Results<T> = Vec<(String, Result<T>)>;

impl Engine {
    /// Runs the same operation on each of several guests: locks it if `pace` requires it, observes it, plans and runs. The
    /// failure of one guest does not keep the others from being processed.
    ///
    /// # Errors
    /// Nothing could be observed, so no guest was processed.
    pub fn each<T, F>(&self, targets: &Targets, pace: Pace, work: F) -> Result<Results<T>>
    where
        T: Send,
        F: Fn(&World, &Guest) -> Result<T> + Sync,
    {
        let (names, lost) = match targets {
            Targets::Named(names) if names.len() == 1 => (names.clone(), Vec::new()),
            Targets::Named(_) | Targets::All => {
                let world = self.look(&Look { keys: Some(Vec::new()), ..targets.look() })?;
                let (found, lost) = self.found(targets, &world)?;
                (found.into_iter().map(|guest| guest.name.clone()).collect(), lost)
            }
        };
        Ok(self.each_in_turn(&[names], lost, pace, work))
    }

    /// The guests of an operation that exist, and an error for each that does not.
    ///
    /// # Errors
    /// One does not exist, and that refuses the whole operation.
    pub fn found<'w>(&self, targets: &Targets, world: &'w World) -> Result<Found<'w>> {
        let (found, mut lost) = targets.found(world)?;
        if self.implied && !lost.is_empty() {
            return Err(lost.remove(0).1);
        }
        Ok((found, lost))
    }

    /// As [`Self::each`], for one group of guests after the other. The guests in `lost` count as failed.
    pub fn each_in_turn<T, F>(&self, groups: &[Vec<GuestName>], lost: Vec<(GuestName, Problem)>, pace: Pace, work: F) -> Results<T>
    where
        T: Send,
        F: Fn(&World, &Guest) -> Result<T> + Sync,
    {
        self.goes_one_by_one();
        let one = |name: &GuestName| {
            let _lock = if pace == Pace::Asking { Vec::new() } else { self.lock("guest", &[name])? };
            // Observed under the lock: the state may have changed since an earlier observation.
            let world = self.look(&Look::at(std::slice::from_ref(name)))?;
            work(&world, observe::guest(&world, name)?)
        };
        let mut results: Results<T> = Vec::new();
        for names in groups {
            let side = pace != Pace::InTurn && names.len() > 1 && !self.dry_run;
            let done = if side { side_by_side(names, &one) } else { names.iter().map(one).collect() };
            results.extend(names.iter().map(ToString::to_string).zip(done));
        }
        results.extend(lost.into_iter().map(|(name, problem)| (name.to_string(), Err(problem))));
        if results.is_empty() {
            self.events.note("there are no guests; `chyves create` creates one");
        }
        results
    }
}

/// What several failures amount to; none if there are none. `total` is the number of objects, and `failed` what happened to
/// some of them: "guests could not be read".
pub fn sum_up<N: Display>(failed: &str, total: usize, mut failures: Vec<(N, Problem)>) -> Option<Problem> {
    match (total, failures.len()) {
        (_, 0) => None,
        (1, _) => Some(failures.remove(0).1),
        _ => Some(summed(failed, total, failures)),
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
    // What all of them have in common is the code of the whole.
    if code == failures[0].1.code && failures.iter().all(|(_, p)| p.id == failures[0].1.id) {
        problem.id = failures[0].1.id;
    }
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
