//! The journal: what a plan in progress has done, on disk, so that the next command can finish or roll back what a killed one
//! left.
//!
//! A journal is locked by its writer for as long as that lives. One without a lock was left by a command that died. It is
//! removed when its plan has ended, successfully or rolled back.
//!
//! The journal of a plan whose effects survive a reboot is in the state folder, which survives it too, and is synced before the
//! step that it records: a host crash is then no worse than a killed command. If that folder cannot be written (its disk is
//! full, and the command frees space), and for effects that end with the host anyway, the journal is beside the locks, in the
//! runtime folder.
//!
//! The first line is the plan, and a journal gets its name once that line is written: one whose first line is incomplete or
//! missing was damaged, and its plan is unknown. Each step adds a line when it begins and one when it is done, so a long plan
//! costs no more per step than a short one. An incomplete later line is ignored: what it should record had not happened yet, or
//! the step counts as possibly done.
//!
//! Not here: finding and using what was left ([`super::recover`]), executing steps (`apply`) and undoing them (`undo`).

mod record;

use crate::hostfs::own::{self, How};
use crate::proc;
use crate::runtime::{LASTING_VARIABLE, Runtime, check_link, check_private};
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::plan::Plan;
use chyves_core::value::FilePath;
use chyves_core::vmm::HostFile;
pub(super) use record::{Line, Record};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A journal being written.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// The files that steps replace, by the index of the step.
    replaces: BTreeMap<usize, FilePath>,
    /// The previous content of the replaced files, for steps that have begun.
    replaced: Vec<(usize, Option<String>)>,
    /// Path of the journal in the runtime folder, if it cannot be continued here.
    spare: PathBuf,
    /// Whether it must survive a reboot.
    lasts: bool,
    /// For each step, whether its effect survives a reboot.
    outlives: Vec<bool>,
}

/// Whether a plan needs a journal. One that only stops VMs has nothing to undo, and must work even if nothing can be written
/// any more.
pub(super) fn is_needed(plan: &Plan) -> bool {
    !plan.steps.iter().all(|step| matches!(step, Action::Stop { .. }))
}

/// The folders of journals: first of those that survive a reboot, then of the others.
pub(super) fn folders(runtime: &Runtime) -> [PathBuf; 2] {
    [runtime.lasting().join(".journal"), runtime.root().join("journal")]
}

/// Whether a step has an effect that survives a reboot.
pub(super) fn outlives_the_host(step: &Action, runtime: &Runtime) -> bool {
    let files = step.files();
    let is_runtime = !files.is_empty() && files.iter().all(|path| Path::new(path).starts_with(runtime.root()));
    step.outlives_the_host() && !is_runtime
}

/// Refuses folders of journals that others can write to: what a journal records is executed as root.
pub(super) fn check(runtime: &Runtime) -> Result<()> {
    runtime.check()?;
    let [lasting, spare] = folders(runtime);
    // The state folder may be a link that the administrator made.
    check_link(runtime.lasting(), LASTING_VARIABLE)?;
    let above = own::real(runtime.lasting());
    // If a path is not a folder, it contains no journals; the runtime folder is used then.
    for folder in [above, lasting, spare].into_iter().filter(|folder| own::stat(folder).is_ok_and(|meta| meta.is_dir())) {
        check_private(&folder, LASTING_VARIABLE)?;
    }
    Ok(())
}

/// The prefix of a journal's name until its first line is written.
pub(super) const UNBEGUN: &str = ".new-";

/// Creates a journal's file, locked, with its initial content; only then it gets its name.
fn make(folder: &Path, name: &str, begins: &[u8], lasts: bool) -> Result<(File, PathBuf)> {
    let above = folder.parent().unwrap_or(folder);
    own::make_folder(above, 0o755).map_err(cant("begin", above))?;
    own::make_folder(folder, 0o700).map_err(cant("begin", folder))?;
    let (temporary, path) = (folder.join(format!("{UNBEGUN}{name}")), folder.join(name));
    let file = own::open(&temporary, How::Create).map_err(cant("begin", &path))?;
    // A command that searches for journals of dead commands may have it locked at this moment.
    file.lock().map_err(cant("lock", &path))?;
    let write = || {
        (&file).write_all(begins)?;
        if lasts {
            file.sync_data()?;
        }
        own::rename(&temporary, &path)?;
        if lasts { own::settle(folder) } else { Ok(()) }
    };
    write().map_err(cant("write", &path)).inspect_err(|_| {
        let _ = own::remove(&temporary).and_then(|()| own::remove(&path));
    })?;
    Ok((file, path))
}

pub(super) fn cant(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Problem {
    let (what, path) = (what.to_owned(), path.display().to_string());
    move |e| Problem::host_cant(format!("cannot {what} the journal `{path}`")).on(&path).because(e)
}

impl Journal {
    /// Starts a journal, before the first step.
    pub(super) fn begin(runtime: &Runtime, plan: &Plan, began: u64, command: &str, locks: &[String]) -> Result<Self> {
        check(runtime)?;
        let [lasting, spare] = folders(runtime);
        let name = format!("{}.json", crate::identity::new().simple());
        let record = Record::new(command, locks, proc::boot_id()?, began, &plan.steps);
        let replaces = plan.steps.iter().enumerate().filter_map(|(index, step)| match step {
            Action::WriteFile { path, .. } => Some((index, path.clone())),
            Action::WriteHostFile(HostFile { path, .. }) => Some((index, FilePath::host(path.as_str()))),
            _ => None,
        });
        let replaces: BTreeMap<usize, FilePath> = replaces.collect();
        let outlives: Vec<bool> = plan.steps.iter().map(|step| outlives_the_host(step, runtime)).collect();
        let begin = |folder: &Path, lasts: bool| {
            let (file, path) = make(folder, &name, &line(&record)?, lasts)?;
            let spare = spare.join(&name);
            let (replaces, outlives) = (replaces.clone(), outlives.clone());
            Ok(Self { file, path, replaces, replaced: Vec::new(), spare, lasts, outlives })
        };
        if outlives.contains(&true)
            && let Ok(journal) = begin(&lasting, true)
        {
            return Ok(journal);
        }
        begin(&spare, false)
    }

    /// Records the start of step `index`.
    pub(super) fn begins(&mut self, index: usize) -> Result<()> {
        // The previous content of a file must be read before the step.
        if let Some(path) = self.replaces.get(&index) {
            let before = super::files::text_in(path);
            self.replaced.push((index, before.clone()));
            self.add(&Line::Replaces(index, before))?;
        }
        self.add(&Line::Begins(index, super::now()))?;
        // For effects that end with the host no sync is needed.
        if self.outlives[index] { self.settle() } else { Ok(()) }
    }

    /// Records the end of step `index`; `idle`: it had nothing to do.
    pub(super) fn ended(&mut self, index: usize, idle: bool) -> Result<()> {
        // Not synced: the next line is, and a step that seems to be in progress is checked.
        self.add(&if idle { Line::Idle(index) } else { Line::Done(index) })
    }

    /// Records the end of the plan and removes the journal: nothing must be finished or rolled back. Returns the previous
    /// content of the files that it replaced.
    pub(super) fn close(mut self) -> Vec<(usize, Option<String>)> {
        // If the host crashes now, the folder may still list the file.
        let told = self.write(&Line::Over).and_then(|()| self.settle());
        // Removed while locked, so that it is not taken for a dead command's.
        let _ = own::remove(&self.path);
        if told.is_err() {
            drop(self.path.parent().map(|folder| settle_folder(folder, self.lasts)));
        }
        self.replaced
    }

    /// Adds a line, in the runtime folder if there is no space here.
    fn add(&mut self, line: &Line) -> Result<()> {
        self.write(line).or_else(|problem| if self.lasts { self.move_over(problem).and_then(|()| self.write(line)) } else { Err(problem) })
    }

    fn write(&mut self, what: &impl Serialize) -> Result<()> {
        add(&self.file, &self.path, what)
    }

    /// Syncs the journal to disk, if it must survive a reboot.
    fn settle(&mut self) -> Result<()> {
        match self.lasts.then(|| self.file.sync_data()) {
            Some(Err(e)) => self.move_over(cant("write", &self.path)(e)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Continues in the runtime folder with what was written so far: on a full disk that is better than no journal.
    fn move_over(&mut self, why: Problem) -> Result<()> {
        let moved = own::read(&self.path, super::recover::LIMIT).map_err(cant("read", &self.path)).and_then(|mut text| {
            text.truncate(text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1));
            let folder = self.spare.parent().unwrap_or(&self.spare);
            make(folder, &self.spare.file_name().unwrap_or_default().to_string_lossy(), &text, false)
        });
        let Ok((file, path)) = moved else { return Err(why) };
        let _ = own::remove(&self.path);
        (self.file, self.path, self.lasts) = (file, path, false);
        Ok(())
    }
}

/// Syncs a folder to disk.
fn settle_folder(folder: &Path, lasts: bool) -> Result<()> {
    if !lasts {
        return Ok(());
    }
    own::settle(folder).map_err(cant("write", folder))
}

/// Adds a line.
pub(super) fn add(mut file: &File, path: &Path, what: &impl Serialize) -> Result<()> {
    file.write_all(&line(what)?).map_err(cant("write", path))
}

fn line(what: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(what).map_err(|e| Problem::bug("a journal is not JSON").because(e))?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_finds_no_more_room_goes_on_in_the_runtime_folder() {
        let temp = tempfile::tempdir().unwrap();
        let runtime = Runtime::at(temp.path());
        let [lasting, others] = folders(&runtime);
        let count = |folder: &Path| std::fs::read_dir(folder).map_or(0, Iterator::count);
        let plan = |step: Action| Plan { steps: vec![step.clone(), step], ..Plan::default() };
        let lasts = Action::MakeDisk { path: FilePath::below("/tank/web", "disk0.raw"), size: "1M".parse().unwrap() };
        let mut journal = Journal::begin(&runtime, &plan(lasts), 7, "chyves", &[]).unwrap();
        journal.begins(0).unwrap();
        assert_eq!((count(&lasting), count(&others)), (1, 0));
        // Behaves like a full disk.
        journal.file = File::open(&journal.path).unwrap();
        journal.ended(0, false).unwrap();
        journal.begins(1).unwrap();
        assert_eq!((count(&lasting), count(&others)), (0, 1));
        let record = Record::read(&std::fs::read_to_string(&journal.path).unwrap()).unwrap();
        assert_eq!((record.begun, record.done, record.steps.len(), record.over), (2, 1, 2, false));
        journal.close();
        // The journal of effects that end with the host is never written elsewhere.
        let ends = Action::Forget { guest: "web".into(), uuid: crate::identity::new() };
        let journal = Journal::begin(&runtime, &plan(ends), 7, "chyves", &[]).unwrap();
        assert_eq!((count(&lasting), count(&others)), (0, 1));
        journal.close();
        assert_eq!((count(&lasting), count(&others)), (0, 0));
    }
}
