//! Errors in one form: what failed, on which object, why, and what to do next.
//!
//! * [`Code`]: what failed, for programs
//!
//! Not here: printing them (crates/cli), and the individual errors (each module builds its own with these functions).

mod code;

pub use code::Code;

use crate::value::BadValue;
use serde::{Deserialize, Serialize};

/// The class of a failure. It determines the exit status, which shows the state of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A step failed; what was done has been rolled back.
    Failed,
    /// The command line or a value is wrong; nothing was changed.
    Usage,
    /// No such guest, disk, snapshot, image, pool or bridge; nothing was changed.
    NotFound,
    /// Not possible in this state: running, stopped, locked, a template, has clones; nothing was changed.
    NotNow,
    /// The host lacks something: a program, module, CPU feature or permission; nothing was changed.
    HostCant,
    /// Of several guests, some succeeded and some failed.
    Partial,
    /// A step failed and the rollback failed too; what remains is listed.
    Left,
    /// A bug in chyves.
    Bug,
    /// Interrupted; rolled back.
    Interrupted,
}

impl Kind {
    /// The exit status for this class.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotNow => 4,
            Self::HostCant => 5,
            Self::Partial => 6,
            Self::Left => 7,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// A failure that the user can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What failed, for programs.
    #[serde(rename = "code", default)]
    pub id: Code,
    /// The class.
    #[serde(rename = "class")]
    pub code: Kind,
    /// What failed, one sentence without a full stop; names in backticks.
    pub message: String,
    /// The object that it concerns: a guest, a dataset, a path, a key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<String>,
    /// The causes, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub causes: Vec<String>,
    /// Commands or actions that help.
    #[serde(rename = "hint", skip_serializing_if = "Vec::is_empty", default)]
    pub hints: Vec<String>,
    /// The problems that this one combines, each with its own class and hints. Their texts are included in the message and
    /// the causes.
    #[serde(skip)]
    pub parts: Option<Box<Parts>>,
}

/// The parts of a problem behind one pointer, to keep the type small: errors are moved often, and few have parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts(Vec<Problem>);

/// The result type of all planning and execution.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A failure of that class.
    pub fn new(code: Kind, message: impl Into<String>) -> Self {
        Self { code, id: Code::of_class(code), message: message.into(), object: None, causes: Vec::new(), hints: Vec::new(), parts: None }
    }

    /// The same problem with its parts; the message and causes already include their texts.
    #[must_use]
    pub fn of_parts(mut self, parts: Vec<Self>) -> Self {
        self.parts = Some(Box::new(Parts(parts)));
        self
    }

    /// The problems that this one combines, or itself if it combines none.
    pub fn into_parts(mut self) -> Vec<Self> {
        match self.parts.take() {
            Some(parts) => parts.0,
            None => vec![self],
        }
    }

    /// An invalid command line or value.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Something named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Not possible in the present state.
    pub fn not_now(message: impl Into<String>) -> Self {
        Self::new(Kind::NotNow, message)
    }

    /// The host lacks something.
    pub fn host_cant(message: impl Into<String>) -> Self {
        Self::new(Kind::HostCant, message)
    }

    /// A step failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// An internal error.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message).hint("this is a bug in chyves; please report it with the command you typed")
    }

    /// The user interrupted the command. What was done, and how to continue, is added by the caller.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Sets the object that it concerns.
    #[must_use]
    pub fn on(mut self, object: impl std::fmt::Display) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// Adds a cause below the existing ones.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a hint if there is one.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<String>) -> Self {
        self.hints.extend(hint);
        self
    }

    /// Wraps the failure in a larger one: `message` becomes the message, and the former message becomes its cause.
    #[must_use]
    pub fn within(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, inner);
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl From<BadValue> for Problem {
    fn from(bad: BadValue) -> Self {
        let object = bad.text.clone();
        Code::InvalidValue.problem(bad.to_string()).on(object).hint_if(bad.hint)
    }
}

/// The candidate most similar to `word`, if it is similar enough to be a likely correction.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        // The typed word itself is no suggestion.
        .filter(|c| *c != word)
        .map(|c| (strsim::jaro_winkler(word, c).max(prefix_score(word, c)).max(slip_score(word, c)), c))
        .filter(|(score, _)| *score > 0.8)
        // On a tie the first one wins, because candidates are in order of relevance.
        .fold(None, |best: Option<(f64, &str)>, new| if best.is_some_and(|b| b.0 >= new.0) { best } else { Some(new) })
        .map(|(_, c)| c)
}

/// A candidate that begins with the word is similar, however much longer it is.
fn prefix_score(word: &str, candidate: &str) -> f64 {
    if word.len() >= 3 && candidate.starts_with(word) { 0.9 } else { 0.0 }
}

/// One letter added, missing, wrong, or two transposed.
fn slip_score(word: &str, candidate: &str) -> f64 {
    if word.len() >= 3 && strsim::osa_distance(word, candidate) <= 1 { 0.85 } else { 0.0 }
}

/// "did you mean `x`?", if a candidate is similar enough.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_only_when_near() {
        let words = ["start", "stop", "snapshot", "description"];
        assert_eq!(nearest("strat", words), Some("start"));
        assert_eq!(nearest("desc", words), Some("description"));
        assert_eq!(nearest("zebra", words), None);
    }

    #[test]
    fn a_problem_reads_as_a_sentence() {
        let p = Problem::failed("cannot open `x`").because("permission denied").within("cannot start `web01`");
        assert_eq!(p.to_string(), "cannot start `web01`: cannot open `x`: permission denied");
    }
}
