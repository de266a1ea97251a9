//! What a plan under way has done, on disk: so that the next command can finish or take back what a killed one left.
//!
//! A journal lies beside the locks, in the runtime folder, locked by its writer for as long as that lives. One that
//! nobody holds was left by a command that died. It is gone when its plan ended, well or taken back.
//!
//! The first line is the plan; each step adds a line when it begins and one when it is done, so a long plan costs no more
//! a step than a short one. A line that was cut off says nothing: what it was to tell had not happened yet, or is found
//! as a step that may have been done.
//!
//! Not here: doing steps (`apply`) and taking them back (`undo`). What was under way when the host itself went down is
//! found by its working names on the pool, not here: the runtime folder is empty then.

use super::step::perform;
use super::{Done, Event, Place, fault, undo};
use crate::runtime::Runtime;
use chyves_core::action::{Action, Undo};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::Plan;
use chyves_core::value::printable;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A journal larger than this was not written by chyves.
const LIMIT: u64 = 16 << 20;

/// What is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The command as it was typed.
    pub command: String,
    /// The locks that it held: `guest.web01`.
    pub locks: Vec<String>,
    /// When it began, seconds since 1970.
    pub began: u64,
    /// Its steps.
    pub steps: Vec<Action>,
    /// How many steps were begun.
    #[serde(skip)]
    pub begun: usize,
    /// How many of them were done.
    #[serde(skip)]
    pub done: usize,
    /// Those of them that had nothing to do: what they would have made was there before.
    #[serde(skip)]
    pub idle: Vec<usize>,
    /// The files that were replaced: the step's number and what stood there before.
    #[serde(skip)]
    pub replaced: Vec<(usize, Option<String>)>,
    /// The steps that a repair has taken back since; none where none has begun to.
    #[serde(skip)]
    pub undone: Option<BTreeSet<usize>>,
}

/// One of the lines behind the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// This step begins.
    Begins(usize),
    /// This step begins, and replaces a file that held this.
    Replaces(usize, Option<String>),
    /// This step is done.
    Done(usize),
    /// This step is done, and there was nothing to do.
    Idle(usize),
    /// A repair begins to take the steps back.
    TakesBack,
    /// It has taken this step back.
    Undone(usize),
}

impl Record {
    /// Reads a journal; nothing where it was cut off before its plan was whole.
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let mut record: Self = serde_json::from_str(lines.next()?).ok()?;
        for line in lines.map_while(|line| serde_json::from_str(line).ok()) {
            match line {
                Line::Begins(index) => record.begun = index + 1,
                Line::Replaces(index, before) => {
                    record.begun = index + 1;
                    record.replaced.push((index, before));
                }
                Line::Done(index) => record.done = index + 1,
                Line::Idle(index) => {
                    record.done = index + 1;
                    record.idle.push(index);
                }
                Line::TakesBack => drop(record.undone.get_or_insert_default()),
                Line::Undone(index) => drop(record.undone.get_or_insert_default().insert(index)),
            }
        }
        Some(record)
    }
}

/// A journal being written.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// The files that steps replace, by the number of the step.
    replaces: BTreeMap<usize, String>,
    /// What stood in those that were begun.
    replaced: Vec<(usize, Option<String>)>,
}

fn folder(runtime: &Runtime) -> PathBuf {
    runtime.root().join("journal")
}

fn cant(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Problem {
    let (what, path) = (what.to_owned(), path.display().to_string());
    move |e| Problem::host_cant(format!("can't {what} the journal `{path}`")).on(&path).because(e)
}

impl Journal {
    /// Begins a journal, before the first step.
    pub(super) fn begin(runtime: &Runtime, plan: &Plan, began: u64, command: &str, locks: &[String]) -> Result<Self> {
        let folder = folder(runtime);
        DirBuilder::new().mode(0o700).recursive(true).create(&folder).map_err(cant("begin", &folder))?;
        let path = folder.join(format!("{}.json", crate::identity::new().simple()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(cant("begin", &path))?;
        file.try_lock().map_err(|e| cant("lock", &path)(e.into()))?;
        let record = Record {
            command: command.to_owned(),
            locks: locks.to_vec(),
            began,
            steps: plan.steps.clone(),
            begun: 0,
            done: 0,
            idle: Vec::new(),
            replaced: Vec::new(),
            undone: None,
        };
        let replaces = plan.steps.iter().enumerate().filter_map(|(index, step)| match step {
            Action::WriteFile { path, .. } | Action::KeepCopy { path, .. } => Some((index, path.clone())),
            _ => None,
        });
        let mut journal = Self { file, path, replaces: replaces.collect(), replaced: Vec::new() };
        journal.write(&record)?;
        Ok(journal)
    }

    /// Step `index` begins.
    pub(super) fn begins(&mut self, index: usize) -> Result<()> {
        // What a file was before is read ahead: when the step is done it is too late.
        let line = match self.replaces.get(&index) {
            Some(path) => {
                let before = std::fs::read_to_string(path).ok();
                self.replaced.push((index, before.clone()));
                Line::Replaces(index, before)
            }
            None => Line::Begins(index),
        };
        self.write(&line)
    }

    /// Step `index` is done; `idle` where it had nothing to do.
    pub(super) fn ended(&mut self, index: usize, idle: bool) -> Result<()> {
        self.write(&if idle { Line::Idle(index) } else { Line::Done(index) })
    }

    /// The plan has ended; nothing of it is to be finished or taken back. What stood in the files that it replaced.
    pub(super) fn close(self) -> Vec<(usize, Option<String>)> {
        // Removed while it is still locked, so that nobody takes it for a dead one's.
        let _ = std::fs::remove_file(&self.path);
        self.replaced
    }

    fn write(&mut self, what: &impl Serialize) -> Result<()> {
        add(&self.file, &self.path, what)
    }
}

/// Adds a line.
fn add(mut file: &File, path: &Path, what: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(what).map_err(|e| Problem::bug("a journal is no JSON").because(e))?;
    line.push(b'\n');
    file.write_all(&line).map_err(cant("write", path))
}

/// A journal whose writer died.
#[derive(Debug)]
pub struct Dead {
    file: File,
    path: PathBuf,
    /// What it says.
    pub record: Record,
}

impl Dead {
    /// What was under way, for people.
    pub fn describe(&self) -> String {
        let step = self.record.begun.checked_sub(1).and_then(|i| self.record.steps.get(i));
        let at = step.map_or_else(|| "before its first step".to_owned(), |s| format!("at: {}", s.describe()));
        format!("`{}` was killed {at}", printable(&self.record.command, 120))
    }

    /// Writes down how far its repair is, for the case that this is killed too.
    fn note(&self, line: &Line) -> Result<()> {
        add(&self.file, &self.path, line)
    }

    /// Whether what it began can only be finished.
    pub fn goes_on(&self) -> bool {
        self.record.steps[..self.record.begun.min(self.record.steps.len())].iter().any(|s| s.undo() == Undo::Impossible)
    }
}

/// The journals that nobody writes any more. Those of `locks` alone, where some are given.
///
/// # Errors
/// The folder can't be read.
pub fn dead(runtime: &Runtime, locks: Option<&[String]>) -> Result<Vec<Dead>> {
    let folder = folder(runtime);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(cant("look for", &folder)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(cant("look for", &folder))?.path();
        let Ok(mut file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
        // Whoever holds it is alive.
        if file.try_lock().is_err() || !path.exists() {
            continue;
        }
        let mut text = String::new();
        let read = Read::by_ref(&mut file).take(LIMIT).read_to_string(&mut text);
        // One that was cut off while it was begun says nothing, because nothing was done yet.
        let Some(record) = read.ok().and_then(|_| Record::read(&text)) else {
            let _ = std::fs::remove_file(&path);
            continue;
        };
        // What was cut off is no line that another could follow.
        let whole = text.rfind('\n').map_or(0, |end| end + 1) as u64;
        file.set_len(whole).and_then(|()| file.seek(SeekFrom::Start(whole))).map_err(cant("read", &path))?;
        if locks.is_none_or(|mine| record.locks.iter().any(|l| mine.contains(l))) {
            found.push(Dead { file, path, record });
        }
    }
    Ok(found)
}

/// Finishes what a killed command began, where that can't be taken back, or takes it back.
///
/// # Errors
/// It could be neither finished nor taken back; the journal stays.
pub fn recover(dead: &Dead, place: &mut Place<'_>) -> Result<()> {
    let record = &dead.record;
    if lives(record, place.runtime)? {
        // Its machine came up without it: what was made for the machine is in use.
    } else if dead.goes_on() {
        finish(dead, place)?;
    } else {
        take_back(dead, place)?;
    }
    let _ = std::fs::remove_file(&dead.path);
    let _ = dead.file.unlock();
    Ok(())
}

/// Whether the plan's last step was to start a machine, and the machine runs.
fn lives(record: &Record, runtime: &Runtime) -> Result<bool> {
    match record.begun.checked_sub(1).and_then(|i| record.steps.get(i)) {
        Some(Action::Launch(launch)) => Ok(runtime.observe(launch.uuid, &launch.dataset)?.state.is_alive()),
        _ => Ok(false),
    }
}

/// The steps from the one that was under way; one that turns out to be done already is passed over.
fn finish(dead: &Dead, place: &mut Place<'_>) -> Result<()> {
    let record = &dead.record;
    let mut applied = super::Applied::default();
    let mut done = Vec::new();
    for (index, step) in record.steps.iter().enumerate().skip(record.begun.saturating_sub(1)) {
        let was_under_way = index + 1 == record.begun;
        (place.report)(Event::Step(step));
        dead.note(&Line::Begins(index))?;
        match perform(step, true, record.began, place, &mut applied, &mut done) {
            Err(_) if was_under_way && is_done(step) => {}
            other => other?,
        }
        fault::repaired();
        dead.note(&Line::Done(index))?;
    }
    Ok(())
}

/// Whether a step that was interrupted has had its effect.
fn is_done(step: &Action) -> bool {
    let gone = |name: &str| crate::observe::exists(name).is_ok_and(|there| !there);
    match step {
        Action::DestroyDataset { dataset } | Action::DestroyTree { dataset, .. } => gone(dataset.as_str()),
        Action::DestroySnapshot { snapshot } => gone(&snapshot.to_string()),
        // The machine that was to see it may be gone by now.
        Action::GrowLive { .. } => true,
        _ => false,
    }
}

/// The steps that were begun, newest first. The last of them may have been done or not, and where an earlier repair was
/// killed, the last that is left may have been taken back: what takes it back must bear both.
fn take_back(dead: &Dead, place: &mut Place<'_>) -> Result<()> {
    let record = &dead.record;
    let undone = |index: &usize| record.undone.as_ref().is_some_and(|u| u.contains(index));
    let left: Vec<usize> = (0..record.begun.min(record.steps.len())).filter(|i| !undone(i) && !record.idle.contains(i)).collect();
    let newest = record.undone.as_ref().and_then(|_| left.last());
    dead.note(&Line::TakesBack)?;
    let mut done: Vec<Done> = Vec::new();
    let mut places = Vec::new();
    for &index in &left {
        let step = &record.steps[index];
        if (index >= record.done || newest == Some(&index)) && !undo::may_be_done(step, record.began) {
            // Else it would be the last that is left for the next repair too, which would be sure of the one before.
            dead.note(&Line::Undone(index))?;
            continue;
        }
        places.push(index);
        let before = record.replaced.iter().find(|(i, _)| *i == index).and_then(|(_, text)| text.clone()).map(String::into_bytes);
        done.push(Done { undo: step.undo(), before, words: step.describe() });
    }
    let killed = Problem::failed(format!("`{}` was killed", printable(&record.command, 120)));
    let result = undo::take_back(done, record.began, place, killed, &mut |place| {
        fault::repaired();
        // What is not written down is taken back once more.
        drop(dead.note(&Line::Undone(places[place])));
    });
    match result.code {
        chyves_core::error::Kind::Left => Err(result),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(steps: usize) -> String {
        let step = Action::Verify { objects: vec![("tank/a".into(), 1)] };
        let record = Record {
            command: "chyves set web cpu=2".into(),
            locks: vec!["guest.web".into()],
            began: 7,
            steps: vec![step; steps],
            begun: 0,
            done: 0,
            idle: Vec::new(),
            replaced: Vec::new(),
            undone: None,
        };
        serde_json::to_string(&record).unwrap() + "\n"
    }

    #[test]
    fn a_journal_is_read_as_far_as_it_was_written() {
        let lines = [Line::Begins(0), Line::Idle(0), Line::Replaces(1, Some("a\nb".into())), Line::Done(1), Line::Begins(2)];
        let whole = lines.iter().fold(journal(3), |text, line| text + &serde_json::to_string(line).unwrap() + "\n");
        let record = Record::read(&whole).unwrap();
        assert_eq!((record.begun, record.done, record.steps.len()), (3, 2, 3));
        assert_eq!(record.idle, [0]);
        assert_eq!(record.replaced, [(1, Some("a\nb".to_owned()))]);
        let mut seen = (0, 0);
        for cut in 0..whole.len() {
            let Some(record) = Record::read(&whole[..cut]) else {
                assert!(cut < journal(3).len(), "{cut}");
                continue;
            };
            // It never says more than had happened, and never less than an earlier cut.
            assert!(record.begun >= seen.0 && record.done >= seen.1 && record.done <= record.begun);
            seen = (record.begun, record.done);
        }
        assert_eq!(seen, (2, 2));
    }
}
