//! What killed commands, and hosts that went down, left of their plans: found, and finished or rolled back.
//!
//! * `ground`: whether what it was about is still there, and still the same
//! * `after`: what is different once the host was down
//!
//! Not here: writing it down ([`super::journal`]).

mod after;
mod boot_check;

use super::journal::{Line, Record, UNBEGUN, add, cant, check, folders};
use super::step::perform;
use super::{Done, Event, Place, fault, undo};
use crate::hostfs::own::{self, How};
use crate::proc;
use crate::runtime::Runtime;
use chyves_core::action::{Action, Undo};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::value::printable;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A journal larger than this was not written by chyves.
pub(super) const LIMIT: u64 = 16 << 20;

/// A journal is begun within this time.
const BEGINNING: Duration = Duration::from_secs(60);

/// A journal whose writer died.
#[derive(Debug)]
pub struct Dead {
    file: File,
    path: PathBuf,
    /// Whether it outlives the host.
    lasts: bool,
    /// Whether the host was down since.
    host_was_down: bool,
    /// What it says.
    pub record: Record,
}

impl Dead {
    /// What was under way, for people.
    pub fn describe(&self) -> String {
        let step = self.record.begun.checked_sub(1).and_then(|i| self.record.steps.get(i));
        let at = step.map_or_else(|| "before its first step".to_owned(), |s| format!("at: {}", s.describe()));
        let command = printable(&self.record.command, 120);
        if self.host_was_down {
            format!("the host crashed or lost power while `{command}` was {at}")
        } else {
            format!("`{command}` was killed {at}")
        }
    }

    /// Writes down how far its repair is, for the case that this is killed too.
    fn note(&self, line: &Line) -> Result<()> {
        add(&self.file, &self.path, line)?;
        if self.lasts { self.file.sync_data().map_err(cant("write", &self.path)) } else { Ok(()) }
    }

    /// Whether what it began can only be finished.
    pub fn goes_on(&self) -> bool {
        self.record.steps[..self.record.begun.min(self.record.steps.len())].iter().any(|s| s.undo() == Undo::Impossible)
    }
}

/// What was found of dead writers.
#[derive(Debug, Default)]
pub struct Found {
    /// Their journals.
    pub dead: Vec<Dead>,
    /// Those that say nothing that can be used, with why.
    pub unreadable: Vec<Problem>,
}

/// That a journal can't be used.
fn unreadable(path: &Path, why: impl std::fmt::Display) -> Problem {
    let shown = path.display();
    Problem::new(Kind::Left, format!("cannot read the journal `{shown}`: what a killed command left is unknown"))
        .on(path.display())
        .because(why)
        .hint(if own::stat(path).is_ok_and(|meta| meta.is_file()) {
            format!(
                "`head -c 2000 '{shown}'` shows the command and its steps; check with `chyves list` and `zfs list -t all` what came of them"
            )
        } else {
            // Reading a FIFO would wait for its writer.
            format!("chyves makes regular files there alone: `ls -l '{shown}'` shows what it is")
        })
        .hint(format!("then remove the journal: rm '{shown}'"))
}

/// The journals that nobody writes any more. Those of `locks` alone, where some are given.
///
/// # Errors
/// The folder can't be read.
pub fn dead(runtime: &Runtime, locks: Option<&[String]>) -> Result<Found> {
    let mut found = Found::default();
    check(runtime)?;
    let [lasting, others] = folders(runtime);
    dead_in(&lasting, true, locks, &mut found)?;
    dead_in(&others, false, locks, &mut found)?;
    Ok(found)
}

fn dead_in(folder: &Path, lasts: bool, locks: Option<&[String]>, found: &mut Found) -> Result<()> {
    // Where no folder can be, none was written.
    for name in own::names(folder).map_err(cant("look for", folder))? {
        let path = folder.join(&name);
        let is_unbegun = name.as_encoded_bytes().starts_with(UNBEGUN.as_bytes());
        let mut file = match own::open(&path, How::Write) {
            Ok(file) => file,
            // It was ended meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => {
                found.unreadable.push(unreadable(&path, e));
                continue;
            }
        };
        // Whoever holds it is alive.
        if file.try_lock().is_err() || !own::is_there(&path) {
            continue;
        }
        // Its writer was killed before its plan began, or is just about to lock it.
        if is_unbegun {
            if !is_young(&file) {
                let _ = own::remove(&path);
            }
            continue;
        }
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut file).take(LIMIT).read_to_end(&mut bytes);
        let record = match read.map_err(|e| e.to_string()).and_then(|_| Record::read(&String::from_utf8_lossy(&bytes))) {
            Ok(record) if !record.over => record,
            Err(why) => {
                found.unreadable.push(unreadable(&path, why));
                continue;
            }
            Ok(_) => {
                let _ = own::remove(&path);
                continue;
            }
        };
        // What was cut off is no line that another could follow.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1) as u64;
        file.set_len(whole).and_then(|()| file.seek(SeekFrom::Start(whole))).map_err(cant("read", &path))?;
        if locks.is_none_or(|mine| record.locks.iter().any(|l| mine.contains(l))) {
            let host_was_down = lasts && record.boot != proc::boot_id()?;
            found.dead.push(Dead { file, path, lasts, host_was_down, record });
        }
    }
    Ok(())
}

/// Whether its writer may just be about to lock it and to write its first line.
fn is_young(file: &File) -> bool {
    file.metadata().and_then(|m| m.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age < BEGINNING))
}

/// Finishes what a killed command began, where that cannot be undone, or rolls it back.
///
/// # Errors
/// It could be neither finished nor rolled back; the journal stays.
pub fn recover(dead: &Dead, place: &mut Place<'_>) -> Result<()> {
    let record = &dead.record;
    // Where a machine came up without its start, what was made for the machine is in use.
    if !lives(record, place.runtime)? {
        boot_check::is_there(dead)?;
        match boot_check::is_another(record)? {
            Some(why) => (place.report)(Event::Warning(format!("what came of it is left as it is: {why}"))),
            None if dead.host_was_down => {
                let mounted = after::mount_anew(record, place)?;
                finish_or_take_back(dead, place)?;
                after::unmount(&mounted, place);
            }
            None => finish_or_take_back(dead, place)?,
        }
    }
    let _ = own::remove(&dead.path);
    let _ = dead.file.unlock();
    Ok(())
}

fn finish_or_take_back(dead: &Dead, place: &mut Place<'_>) -> Result<()> {
    if dead.goes_on() { finish(dead, place) } else { take_back(dead, place) }
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
        if dead.host_was_down && after::went_down(step, place.runtime) {
            continue;
        }
        let was_under_way = index + 1 == record.begun;
        (place.report)(Event::Step(step));
        dead.note(&Line::Begins(index, super::now()))?;
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
/// killed, the last that is left may have been rolled back: what rolls it back must bear both.
fn take_back(dead: &Dead, place: &mut Place<'_>) -> Result<()> {
    let record = &dead.record;
    let undone = |index: &usize| record.undone.as_ref().is_some_and(|u| u.contains(index));
    let gone = |index: &usize| dead.host_was_down && after::went_down(&record.steps[*index], place.runtime);
    let begun = 0..record.begun.min(record.steps.len());
    let left: Vec<usize> = begun.filter(|i| !undone(i) && !gone(i) && !record.idle.contains(i)).collect();
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
        // What is not written down is rolled back once more.
        drop(dead.note(&Line::Undone(places[place])));
    });
    match result.code {
        Kind::Left => Err(result),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn one_that_is_just_being_begun_is_nobody_s_to_remove() {
        let temp = tempfile::tempdir().unwrap();
        let runtime = Runtime::at(temp.path());
        for folder in folders(&runtime) {
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join(".new-a.json");
            let file = File::create(&path).unwrap();
            assert!(dead(&runtime, None).unwrap().dead.is_empty());
            assert!(path.exists());
            file.set_modified(SystemTime::now() - BEGINNING * 2).unwrap();
            assert!(dead(&runtime, None).unwrap().dead.is_empty());
            assert!(!own::is_there(&path));
        }
    }
}
