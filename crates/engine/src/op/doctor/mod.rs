//! Checks whether this host is fit for guests; every finding with its remedy.

mod host;

pub use host::age as catalogue_age;

use crate::Engine;
use crate::answer::mirrored;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::check;
use chyves_core::error::{Code, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Checks this host, or the host whose facts are stated.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Doctor {}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// How severe it is.
    pub state: Severity,
    /// The topic.
    pub check: String,
    /// What was found, for people.
    pub found: String,
    /// What to do about it; alternatives or steps.
    pub cure: Vec<String>,
}

mirrored! {
    /// How severe a finding is.
    Severity of check::Severity {
        /// No problem.
        Ok = "ok",
        /// It was not inspected, or cannot be seen here.
        Unknown = "unknown",
        /// It works with limitations.
        Warning = "warning",
        /// It does not work.
        Fails = "fails",
    }
}

impl From<check::Finding> for Finding {
    fn from(finding: check::Finding) -> Self {
        Self { state: finding.severity.into(), check: finding.what, found: finding.cause, cure: finding.cure }
    }
}

impl Operation for Doctor {
    const NAME: &'static str = "doctor";
    type Answer = Vec<Finding>;

    fn needs(&self) -> Needs {
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let all: Vec<Finding> = host::look(engine).into_iter().map(Finding::from).collect();
        let failing: Vec<&str> = all.iter().filter(|f| f.state == Severity::Fails).map(|f| f.check.as_str()).collect();
        let problem = (!failing.is_empty())
            .then(|| Code::ChecksFail.problem(format!("{} of {} checks fail: {}", failing.len(), all.len(), failing.join(", "))));
        Ok(Outcome { answer: Some(all), problem })
    }
}
