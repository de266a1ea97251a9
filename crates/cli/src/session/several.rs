//! The same operation on several objects, each reported separately, with a summary.

use super::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_engine::{Results, sum_up};
use serde_json::{Value, json};
use std::fmt::Display;

impl Session {
    /// As the engine's `each`, with the results printed.
    pub(crate) fn each<F>(&self, targets: &Targets, pace: Pace, work: F) -> Result<()>
    where
        F: Fn(&World, &Guest) -> Result<Option<Report>> + Sync,
    {
        let results = self.engine.each(targets, pace, work)?;
        self.tell_each(results)
    }

    fn tell_each(&self, results: Results<Option<Report>>) -> Result<()> {
        if results.is_empty() && self.dry_run && self.ui.json {
            self.ui.answer_json(json!([]));
        }
        let (names, results): (Vec<String>, Vec<_>) = results.into_iter().unzip();
        self.sum_up("guests could not be done", &names, results)
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
    pub(crate) fn sum_up_lost<N: Display>(failed: &str, total: usize, lost: Vec<(N, Problem)>) -> Result<()> {
        sum_up(failed, total, lost).map_or(Ok(()), Err)
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
        if total > 1 && self.ui.json {
            let mut all: Vec<Value> = reports.iter().map(Report::json).collect();
            all.extend(failures.iter().map(|(name, p)| json!({ "object": name.to_string(), "error": p })));
            self.ui.answer_json(Value::Array(all));
        } else if total > 1 {
            self.tell(&reports);
        }
        Self::sum_up_lost(failed, total, failures)
    }
}
