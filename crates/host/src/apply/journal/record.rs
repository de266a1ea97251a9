//! The content of a journal: its plan, and its progress.

use chyves_core::action::Action;
use chyves_core::value::json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A journal as read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The command line.
    pub command: String,
    /// The names of the locks that it held, such as `guest.web01`.
    pub locks: Vec<String>,
    /// Boot id of the host when it ran.
    #[serde(default)]
    pub boot: String,
    /// Start time in seconds since 1970.
    pub began: u64,
    /// Start time of the last step that was begun.
    #[serde(skip)]
    pub latest: u64,
    /// The steps of the plan.
    pub steps: Vec<Action>,
    /// Number of steps that were begun.
    #[serde(skip)]
    pub begun: usize,
    /// Number of steps that were done.
    #[serde(skip)]
    pub done: usize,
    /// Indices of done steps that had nothing to do: what they would have created existed before.
    #[serde(skip)]
    pub idle: Vec<usize>,
    /// The files that were replaced: the index of the step and the previous content.
    #[serde(skip)]
    pub replaced: Vec<(usize, Option<String>)>,
    /// Indices of the steps that a repair has undone since; none if no repair has begun to.
    #[serde(skip)]
    pub undone: Option<BTreeSet<usize>>,
    /// Whether the plan ended, and only the removal of its journal is missing.
    #[serde(skip)]
    pub over: bool,
}

/// A line after the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::apply) enum Line {
    /// This step begins, at that time in seconds since 1970.
    Begins(usize, u64),
    /// The step that begins next replaces a file with this content.
    Replaces(usize, Option<String>),
    /// This step is done.
    Done(usize),
    /// This step is done, and there was nothing to do.
    Idle(usize),
    /// A repair begins to undo the steps.
    TakesBack,
    /// It has undone this step.
    Undone(usize),
    /// The plan has ended.
    Over,
}

impl Record {
    /// For a plan of which nothing has begun.
    pub(in crate::apply) fn new(command: &str, locks: &[String], boot: String, began: u64, steps: &[Action]) -> Self {
        Self {
            command: command.to_owned(),
            locks: locks.to_vec(),
            boot,
            began,
            latest: began,
            steps: steps.to_vec(),
            begun: 0,
            done: 0,
            idle: Vec::new(),
            replaced: Vec::new(),
            undone: None,
            over: false,
        }
    }

    /// Reads a journal as far as it was written.
    ///
    /// # Errors
    /// Its first line is incomplete, or a complete line is invalid.
    pub(in crate::apply) fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).enumerate();
        let bad = |index: usize, e: serde_json::Error| format!("its line {} cannot be read: {e}", index + 1);
        let Some((index, first)) = lines.next() else {
            return Err(if text.is_empty() { "it is empty" } else { "its first line is cut off" }.to_owned());
        };
        let mut record: Self = json::from_str(first).map_err(|e| bad(index, e))?;
        for (index, line) in lines {
            match json::from_str(line).map_err(|e| bad(index, e))? {
                Line::Begins(index, at) => (record.begun, record.latest) = (index + 1, at),
                Line::Replaces(index, before) => record.replaced.push((index, before)),
                Line::Done(index) => record.done = index + 1,
                Line::Idle(index) => {
                    record.done = index + 1;
                    record.idle.push(index);
                }
                Line::TakesBack => drop(record.undone.get_or_insert_default()),
                Line::Undone(index) => drop(record.undone.get_or_insert_default().insert(index)),
                Line::Over => record.over = true,
            }
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(steps: usize) -> String {
        let step = Action::Verify { objects: vec![("tank/a".into(), 1)] };
        let record = Record::new("chyves set web cpu=2", &["guest.web".into()], "b".into(), 7, &vec![step; steps]);
        serde_json::to_string(&record).unwrap() + "\n"
    }

    #[test]
    fn a_journal_is_read_as_far_as_it_was_written() {
        let lines = [
            Line::Begins(0, 8),
            Line::Idle(0),
            Line::Replaces(1, Some("a\nb".into())),
            Line::Begins(1, 9),
            Line::Done(1),
            Line::Begins(2, 9),
        ];
        let whole = lines.iter().fold(journal(3), |text, line| text + &serde_json::to_string(line).unwrap() + "\n");
        let record = Record::read(&whole).unwrap();
        assert_eq!((record.begun, record.done, record.steps.len()), (3, 2, 3));
        assert_eq!((record.latest, record.over), (9, false));
        assert_eq!(record.idle, [0]);
        assert_eq!(record.replaced, [(1, Some("a\nb".to_owned()))]);
        let mut seen = (0, 0);
        for cut in 0..whole.len() {
            let Ok(record) = Record::read(&whole[..cut]) else {
                assert!(cut < journal(3).len(), "{cut}");
                continue;
            };
            // A longer prefix never records less than a shorter one, and never more than had happened.
            assert!(record.begun >= seen.0 && record.done >= seen.1 && record.done <= record.begun);
            seen = (record.begun, record.done);
        }
        assert_eq!(seen, (2, 2));
    }

    #[test]
    fn one_that_was_not_written_so_is_an_error() {
        let whole = journal(1) + "{\"begins\":[0,8]}\n";
        for (text, line) in [
            (whole.replacen("steps", "stops", 1), "line 1"),
            (whole.replace("begins", "b\0gins"), "line 2"),
            (format!("{}x\n{{\"done\":0}}\n", journal(1)), "line 2"),
            ("\0\0\0\0".to_owned(), "cut off"),
            ("{\"version\":99}".to_owned(), "cut off"),
            (String::new(), "is empty"),
        ] {
            assert!(Record::read(&text).unwrap_err().contains(line), "{text}");
        }
    }
}
