//! The trait that every request implements, and the driver that runs it.

use crate::answer::{Each, Failure, Single};
use crate::needs::{Needs, Observed};
use crate::several::{self, Pace, Results};
use crate::{Engine, Targets};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::Plan;
use chyves_core::world::World;
use chyves_host::apply::Applied;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A request, and how it is answered.
pub trait Operation: Serialize + DeserializeOwned + JsonSchema {
    /// Its name, a noun and a verb as on the command line: `snapshot-list`.
    const NAME: &'static str;

    /// The answer.
    type Answer: Serialize + JsonSchema;

    /// What is locked and observed before it runs.
    fn needs(&self) -> Needs;

    /// Runs it with what was observed.
    ///
    /// # Errors
    /// It failed as a whole; if only some objects failed, that is part of the outcome.
    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>>;
}

/// The answer of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<A> {
    /// The answer; none if a plan was only shown.
    pub answer: Option<A>,
    /// What could not be done, if some objects were done and some not.
    pub problem: Option<Problem>,
}

impl<A> From<A> for Outcome<A> {
    fn from(answer: A) -> Self {
        Self { answer: Some(answer), problem: None }
    }
}

impl<A> Outcome<A> {
    /// The outcome of an operation whose plan was only shown.
    pub fn shown() -> Self {
        Self { answer: None, problem: None }
    }

    /// An answer about what could be found, and the summary of what could not: "guests could not be read".
    pub fn without<N: std::fmt::Display>(answer: A, failed: &str, found: usize, lost: Vec<(N, Problem)>) -> Self {
        let total = found + lost.len();
        Self { answer: Some(answer), problem: several::sum_up(failed, total, lost) }
    }
}

impl<D: Clone> Outcome<Vec<Each<D>>> {
    /// The results of several objects, and the summary of the failures: "guests failed". An object without a result
    /// needed no change, or its plan was only shown.
    pub fn each(results: Results<Option<D>>, failed: &str) -> Self {
        let total = results.len();
        let mut answer = Vec::new();
        let mut failures = Vec::new();
        for (object, result) in results {
            match result {
                Ok(Some(done)) => answer.push(Each { object, result: Single::Done(done) }),
                Ok(None) => {}
                Err(problem) => {
                    // The failure of a single object is the whole problem.
                    if total > 1 {
                        answer.push(Each { object: object.clone(), result: Single::Failed { error: Failure(problem.clone()) } });
                    }
                    failures.push((object, problem));
                }
            }
        }
        let is_failed = |each: &Each<D>| matches!(each.result, Single::Failed { .. });
        answer.sort_by_key(is_failed);
        let alone = total == 1 && !failures.is_empty();
        Self { answer: (!alone).then_some(answer), problem: several::sum_up(failed, total, failures) }
    }

    /// The same of an operation that may only have shown its plans: what was only shown has no result, failures are results.
    pub fn each_of(engine: &Engine, results: Results<Option<D>>, failed: &str) -> Self {
        let only_shown = engine.dry_run && !results.is_empty();
        let mut outcome = Self::each(results, failed);
        outcome.answer = outcome.answer.filter(|answer| !(only_shown && answer.is_empty()));
        outcome
    }
}

impl Engine {
    /// Runs an operation: locks and observes what it needs, then plans, applies or shows, and answers.
    ///
    /// # Errors
    /// It failed as a whole.
    pub fn run<O: Operation>(&self, operation: &O) -> Result<Outcome<O::Answer>> {
        let needs = operation.needs();
        let _locks = needs.locks.iter().map(|(kind, names)| self.lock(kind, names)).collect::<Result<Vec<_>>>()?;
        let seen = Observed::observe(self, &needs)?;
        operation.run(self, &seen)
    }
}

/// An operation that does the same to each of several guests, each separately: the failure of one does not keep the others
/// from being processed.
pub trait OnGuests: Serialize + DeserializeOwned + JsonSchema + Sync {
    /// As [`Operation::NAME`].
    const NAME: &'static str;

    /// How the guests are processed.
    const PACE: Pace = Pace::InTurn;

    /// What the guests of one run share, such as a cache.
    type Shared: Default + Sync;

    /// What was done to one guest.
    type Done: Serialize + JsonSchema + Clone + Send;

    /// The guests.
    fn targets(&self) -> &Targets;

    /// Verifies the request before the first guest is observed: what is invalid changes nothing anywhere.
    ///
    /// # Errors
    /// The request is invalid, or refused by whoever was asked.
    fn check(&self, _: &Engine) -> Result<()> {
        Ok(())
    }

    /// Plans for one guest, which is locked and observed.
    ///
    /// # Errors
    /// It cannot be done.
    fn plan(&self, engine: &Engine, shared: &Self::Shared, world: &World, guest: &Guest) -> Result<Plan>;

    /// What was done to a guest; none if nothing had to be.
    fn done(&self, shared: &Self::Shared, guest: &Guest, plan: &Plan, applied: &Applied) -> Option<Self::Done>;
}

impl<T: OnGuests> Operation for T {
    const NAME: &'static str = <T as OnGuests>::NAME;
    type Answer = Vec<Each<T::Done>>;

    fn needs(&self) -> Needs {
        // Each guest is locked and observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        self.check(engine)?;
        let shared = T::Shared::default();
        let results = engine.each(self.targets(), T::PACE, |world, guest| {
            let plan = self.plan(engine, &shared, world, guest)?;
            let applied = engine.carry_out(world, &plan, guest.name.as_str())?;
            Ok(applied.and_then(|applied| self.done(&shared, guest, &plan, &applied)))
        })?;
        Ok(Outcome::each_of(engine, results, "guests failed"))
    }
}
