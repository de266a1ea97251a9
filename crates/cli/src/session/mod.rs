//! The engine of one command together with its terminal: everything that the engine does not do, which is printing.
//!
//! Operations that have moved to chyves-engine are run by [`chyves_engine::Engine::run`]; the others use its parts, and
//! [`several`] for several objects.

mod several;

use crate::ui::Ui;
use chyves_core::error::Result;
use chyves_engine::answer::{Each, Single};
use chyves_engine::{Engine, Outcome};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) use chyves_engine::Pace;

/// The environment of one command.
pub(crate) struct Session {
    /// Runs operations.
    pub(crate) engine: Engine,
    /// Prints messages and results.
    pub(crate) ui: Arc<Ui>,
}

impl std::ops::Deref for Session {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// The result for one object.
#[derive(Debug)]
pub(crate) struct Report {
    /// The guest or other object.
    pub(crate) object: String,
    /// What was done, to be shown: "started".
    pub(crate) said: String,
    /// More fields for the JSON output.
    pub(crate) more: Value,
}

impl Report {
    /// The result for an object.
    pub(crate) fn new(object: impl std::fmt::Display, said: impl Into<String>) -> Self {
        Self { object: object.to_string(), said: said.into(), more: json!({}) }
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
    /// Prints the results of several objects, each in the words of `said`.
    pub(crate) fn show_each<D: Serialize>(&self, outcome: Outcome<Vec<Each<D>>>, said: impl Fn(&D) -> String) -> Result<()> {
        let done = |each: &Each<D>| match &each.result {
            Single::Done(done) => Some((each.object.clone(), said(done))),
            Single::Failed { .. } => None,
        };
        self.show_all(outcome, done)
    }

    /// Prints an answer of several elements: of each its object and what was done to it, if something was.
    pub(crate) fn show_all<T: Serialize>(&self, outcome: Outcome<Vec<T>>, said: impl Fn(&T) -> Option<(String, String)>) -> Result<()> {
        match outcome.answer {
            Some(answer) if self.ui.json => self.ui.answer_json(json!(answer)),
            answer => {
                for (object, said) in answer.iter().flatten().filter_map(said) {
                    self.ui.say(&format!("{object}: {said}"));
                }
            }
        }
        outcome.problem.map_or(Ok(()), Err)
    }

    /// Prints the results of single objects.
    pub(crate) fn tell(&self, reports: &[Report]) {
        if self.dry_run {
            return;
        }
        if self.ui.json {
            self.ui.answer_json(Value::Array(reports.iter().map(Report::json).collect()));
        } else {
            for report in reports {
                self.ui.say(&format!("{}: {}", report.object, report.said));
            }
        }
    }
}
