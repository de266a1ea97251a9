//! What a plan under way has done, on disk: so that the next command can finish or take back what a killed one left.
//!
//! A journal lies beside the locks, in the runtime folder, locked by its writer for as long as that lives. One that
//! nobody holds was left by a command that died. It is gone when its plan ended, well or taken back.
//!
//! Not here: doing steps (`apply`) and taking them back (`undo`). What was under way when the host itself went down is
//! found by its working names on the pool, not here: the runtime folder is empty then.

use super::{Done, Event, Place, perform, undo};
use crate::runtime::Runtime;
use chyves_core::action::{Action, Undo};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::Plan;
use chyves_core::value::printable;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
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
    pub begun: usize,
    /// How many of them were done.
    pub done: usize,
    /// The files that were replaced: the step's number and what stood there before.
    pub replaced: Vec<(usize, Option<String>)>,
}

/// A journal being written.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    record: Record,
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
            replaced: Vec::new(),
        };
        let mut journal = Self { file, path, record };
        journal.write()?;
        Ok(journal)
    }

    /// Step `index` begins.
    pub(super) fn begins(&mut self, index: usize) -> Result<()> {
        self.record.begun = index + 1;
        // What a file was before is read ahead: when the step is done it is too late.
        if let Some(Action::WriteFile { path, .. } | Action::KeepCopy { path, .. }) = self.record.steps.get(index) {
            self.record.replaced.push((index, std::fs::read_to_string(path).ok()));
        }
        self.write()
    }

    /// Step `index` is done.
    pub(super) fn ended(&mut self, index: usize) -> Result<()> {
        self.record.done = index + 1;
        self.write()
    }

    /// The plan has ended; nothing of it is to be finished or taken back.
    pub(super) fn close(self) {
        // Removed while it is still locked, so that nobody takes it for a dead one's.
        let _ = std::fs::remove_file(&self.path);
    }

    fn write(&mut self) -> Result<()> {
        let text = serde_json::to_vec(&self.record).map_err(|e| Problem::bug("a journal is no JSON").because(e))?;
        // The file is locked, so it is written in place: first the text, then what is behind it is cut off.
        self.file.write_all_at(&text, 0).map_err(cant("write", &self.path))?;
        self.file.set_len(text.len() as u64).map_err(cant("write", &self.path))?;
        self.file.flush().map_err(cant("write", &self.path))
    }
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
        let Ok(record) = read.map_err(|_| ()).and_then(|_| serde_json::from_str::<Record>(&text).map_err(|_| ())) else {
            let _ = std::fs::remove_file(&path);
            continue;
        };
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
        finish(record, place)?;
    } else {
        take_back(record, place)?;
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
fn finish(record: &Record, place: &mut Place<'_>) -> Result<()> {
    let mut applied = super::Applied::default();
    let mut done = Vec::new();
    for (index, step) in record.steps.iter().enumerate().skip(record.begun.saturating_sub(1)) {
        let was_under_way = index + 1 == record.begun;
        (place.report)(Event::Step(step));
        match perform(step, record.began, place, &mut applied, &mut done) {
            Err(_) if was_under_way && is_done(step) => {}
            other => other?,
        }
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

/// The steps that were begun, newest first. The last of them may have been done or not: what takes it back must bear both.
fn take_back(record: &Record, place: &mut Place<'_>) -> Result<()> {
    let mut done: Vec<Done> = Vec::new();
    for (index, step) in record.steps.iter().enumerate().take(record.begun) {
        if index >= record.done && !undo::may_be_done(step, record.began) {
            continue;
        }
        let before = record.replaced.iter().find(|(i, _)| *i == index).and_then(|(_, text)| text.clone()).map(String::into_bytes);
        done.push(Done { undo: step.undo(), before, words: step.describe() });
    }
    let killed = Problem::failed(format!("`{}` was killed", printable(&record.command, 120)));
    let result = undo::take_back(done, record.began, place, killed);
    match result.code {
        chyves_core::error::Kind::Left => Err(result),
        _ => Ok(()),
    }
}
