//! The engine of one command together with its terminal: everything that the engine does not do, which is printing.
//!
//! Every command is an operation of chyves-engine, run by [`chyves_engine::Engine::run`]; here its answer is printed.

use crate::ui::Ui;
use chyves_core::error::Result;
use chyves_engine::answer::{Each, Single};
use chyves_engine::{Engine, Outcome};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

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

impl Session {
    /// Prints the results of several objects, each in the words of `said`.
    pub(crate) fn show_each<D: Serialize, S: Into<Option<String>>>(
        &self,
        outcome: Outcome<Vec<Each<D>>>,
        said: impl Fn(&D) -> S,
    ) -> Result<()> {
        let done = |each: &Each<D>| match &each.result {
            Single::Done(done) => said(done).into().map(|said| (each.object.clone(), said)),
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
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { all.extend(sources(&path)) } else { all.push(path) }
        }
        all
    }

    /// What a command decides and answers is an operation's, so that a web page or a test gets the same.
    #[test]
    fn no_command_observes_the_host_itself() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let observes = ["observe", "facts"].map(|module| format!("{module}::"));
        let mut imports = 0;
        for path in sources(&folder) {
            for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
                let import = line.starts_with("use chyves_host");
                imports += usize::from(import);
                let words = || line.split(|c: char| !c.is_alphanumeric() && c != '_');
                let does = observes.iter().any(|module| line.contains(module)) || import && words().any(|w| w == "observe" || w == "facts");
                assert!(!does, "{}:{}: {line}", path.display(), number + 1);
            }
        }
        assert!(imports > 10, "the sources were not read");
    }
}
