//! Finding the plans of killed commands and crashed hosts, and finishing them or rolling them back.
//!
//! * `after`: what is different after a reboot
//! * `boot_check`: whether the objects of a plan still exist, and are still the same
//!
//! Not here: writing the journal ([`super::journal`]).

mod after;
mod boot_check;

use super::journal::{Line, Record, UNBEGUN, add, cant, check, folders};
use super::step::perform;
use super::{Done, Event, Place, undo};
use crate::fault;
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

/// Size limit of a journal in bytes; chyves writes none that is larger.
pub(super) const LIMIT: u64 = 16 << 20;

/// Time within which a new journal gets its name.
const BEGINNING: Duration = Duration::from_secs(60);

/// The journal of a dead command.
#[derive(Debug)]
pub struct Dead {
    file: File,
    path: PathBuf,
    /// Whether it survives a reboot.
    lasts: bool,
    /// Whether the host has rebooted since.
    host_was_down: bool,
    /// The content of the journal.
    pub record: Record,
}

impl Dead {
    /// What was in progress, to be shown.
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

    /// Records the progress of its repair, for the case that the repair is killed too.
    fn note(&self, line: &Line) -> Result<()> {
        add(&self.file, &self.path, line)?;
        if self.lasts { self.file.sync_data().map_err(cant("write", &self.path)) } else { Ok(()) }
    }

    /// Whether the plan can only be finished, not rolled back.
    pub fn goes_on(&self) -> bool {
        self.record.steps[..self.record.begun.min(self.record.steps.len())].iter().any(|s| s.undo() == Undo::Impossible)
    }
}

/// The journals of dead commands.
#[derive(Debug, Default)]
pub struct Found {
    /// The usable ones.
    pub dead: Vec<Dead>,
    /// Unusable ones, with the reason.
    pub unreadable: Vec<Problem>,
}

/// The problem that a journal cannot be used.
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

/// The journals without a living writer; only those that name one of `locks`, if these are specified.
///
/// # Errors
/// The folder cannot be read.
pub fn dead(runtime: &Runtime, locks: Option<&[String]>) -> Result<Found> {
    let mut found = Found::default();
    check(runtime)?;
    let [lasting, others] = folders(runtime);
    dead_in(&lasting, true, locks, &mut found)?;
    dead_in(&others, false, locks, &mut found)?;
    Ok(found)
}

fn dead_in(folder: &Path, lasts: bool, locks: Option<&[String]>, found: &mut Found) -> Result<()> {
    // If the folder does not exist, there are no journals.
    for name in own::names(folder).map_err(cant("look for", folder))? {
        let path = folder.join(&name);
        let is_unbegun = name.as_encoded_bytes().starts_with(UNBEGUN.as_bytes());
        let mut file = match own::open(&path, How::Write) {
            Ok(file) => file,
            // Its plan has ended meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => {
                found.unreadable.push(unreadable(&path, e));
                continue;
            }
        };
        // A locked journal has a living writer.
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
        // An incomplete line is removed, so that others can follow.
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

/// Finishes the plan of a dead command if it cannot be undone, or rolls it back.
///
/// # Errors
/// Neither was possible; the journal remains.
pub fn recover(dead: &Dead, place: &mut Place<'_>) -> Result<()> {
    let record = &dead.record;
    // If the VM started nevertheless, it uses what was created for it.
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

/// Whether the plan's last step was to start a VM, and the VM runs.
fn lives(record: &Record, runtime: &Runtime) -> Result<bool> {
    match record.begun.checked_sub(1).and_then(|i| record.steps.get(i)) {
        Some(Action::Launch(launch)) => Ok(runtime.observe(launch.uuid, &launch.dataset)?.state.is_alive()),
        _ => Ok(false),
    }
}

/// Executes the steps from the one that was in progress; one that turns out to be done is skipped.
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

/// Whether a step that was interrupted has taken effect.
fn is_done(step: &Action) -> bool {
    let gone = |name: &str| crate::observe::exists(name).is_ok_and(|there| !there);
    match step {
        Action::DestroyDataset { dataset } | Action::DestroyTree { dataset, .. } => gone(dataset.as_str()),
        Action::DestroySnapshot { snapshot } => gone(&snapshot.to_string()),
        // The VM that would notice it may be gone by now.
        Action::GrowLive { .. } => true,
        _ => false,
    }
}

/// Undoes the steps that were begun, newest first. The last of them may have been done or not, and after a killed repair the
/// last remaining one may have been undone already: undoing it must work in both cases.
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
            // Otherwise the next repair would take it for the last one too, and would be sure of the one before.
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
        // If this cannot be recorded, the step is undone again, which does no harm.
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
