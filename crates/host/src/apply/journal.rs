//! What a plan under way has done, on disk: so that the next command can finish or take back what a killed one left.
//!
//! A journal is locked by its writer for as long as that lives. One that nobody holds was left by a command that died.
//! It is gone when its plan ended, well or rolled back.
//!
//! That of a plan whose effects outlive the host lies where it outlives the host too, and is on the disk before the step
//! is done that it tells of, so that a host crash is no worse than a command that was killed. Where that folder
//! can't be written (its disk is full, and somebody frees space) and for what ends with the host anyway it lies beside the
//! locks, in the runtime folder.
//!
//! The first line is the plan, and a journal gets its name once that line is written: one whose first line is cut or missing
//! was damaged, and what it was about is unknown. Each step adds a line when it begins and one when it is done, so a long plan costs no more
//! a step than a short one. A later line that was cut off says nothing: what it was to tell had not happened yet, or is
//! found as a step that may have been done.
//!
//! Not here: finding and using what was left ([`super::recover`]), doing steps (`apply`) and undoing them (`undo`).

mod record;

use crate::hostfs::own::{self, How};
use crate::proc;
use crate::runtime::{LASTING_VARIABLE, Runtime, check_private};
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
    /// The files that steps replace, by the number of the step.
    replaces: BTreeMap<usize, FilePath>,
    /// What stood in those that were begun.
    replaced: Vec<(usize, Option<String>)>,
    /// Where it goes on if it can't go on here.
    spare: PathBuf,
    /// Whether it is to outlive the host.
    lasts: bool,
    /// Of each step whether its effect does.
    outlives: Vec<bool>,
}

/// Whether a plan needs a journal: one that only ends machines has nothing to take back, and must go through where nothing
/// can be written any more.
pub(super) fn is_needed(plan: &Plan) -> bool {
    !plan.steps.iter().all(|step| matches!(step, Action::Stop { .. }))
}

/// Where journals lie that are to outlive the host, and where the others do.
pub(super) fn folders(runtime: &Runtime) -> [PathBuf; 2] {
    [runtime.lasting().join(".journal"), runtime.root().join("journal")]
}

/// Whether a step has an effect that outlives the host.
pub(super) fn outlives_the_host(step: &Action, runtime: &Runtime) -> bool {
    let files = step.files();
    let is_runtime = !files.is_empty() && files.iter().all(|path| Path::new(path).starts_with(runtime.root()));
    step.outlives_the_host() && !is_runtime
}

/// Refuses folders of journals that others can write to: what a journal says is done as root.
pub(super) fn check(runtime: &Runtime) -> Result<()> {
    let [lasting, spare] = folders(runtime);
    // The folder above may be a link that the administrator made.
    let above = own::real(runtime.lasting());
    // What is no folder holds no journals: the runtime folder takes them then.
    for folder in [above, lasting, spare].into_iter().filter(|folder| own::stat(folder).is_ok_and(|meta| meta.is_dir())) {
        check_private(&folder, LASTING_VARIABLE)?;
    }
    Ok(())
}

/// What the name of a journal begins with until its first line is written.
pub(super) const UNBEGUN: &str = ".new-";

/// Makes a journal's file, locked, with what it begins with; only then it has its name.
fn make(folder: &Path, name: &str, begins: &[u8], lasts: bool) -> Result<(File, PathBuf)> {
    let above = folder.parent().unwrap_or(folder);
    own::make_folder(above, 0o755).map_err(cant("begin", above))?;
    own::make_folder(folder, 0o700).map_err(cant("begin", folder))?;
    let (temporary, path) = (folder.join(format!("{UNBEGUN}{name}")), folder.join(name));
    let file = own::open(&temporary, How::Create).map_err(cant("begin", &path))?;
    // Who looks for journals of the dead may just be looking at it.
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
    /// Begins a journal, before the first step.
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

    /// Step `index` begins.
    pub(super) fn begins(&mut self, index: usize) -> Result<()> {
        // What a file was before is read ahead: when the step is done it is too late.
        if let Some(path) = self.replaces.get(&index) {
            let before = super::files::text_in(path);
            self.replaced.push((index, before.clone()));
            self.add(&Line::Replaces(index, before))?;
        }
        self.add(&Line::Begins(index, super::now()))?;
        // Of what goes down with the host nobody will have to know.
        if self.outlives[index] { self.settle() } else { Ok(()) }
    }

    /// Step `index` is done; `idle` where it had nothing to do.
    pub(super) fn ended(&mut self, index: usize, idle: bool) -> Result<()> {
        // Not settled: the next line is, and a step that is thought to be under way is looked at.
        self.add(&if idle { Line::Idle(index) } else { Line::Done(index) })
    }

    /// The plan has ended; nothing of it is to be finished or rolled back. What stood in the files that it replaced.
    pub(super) fn close(mut self) -> Vec<(usize, Option<String>)> {
        // Where the host goes down now its folder may have it again.
        let told = self.write(&Line::Over).and_then(|()| self.settle());
        // Removed while it is still locked, so that nobody takes it for a dead one's.
        let _ = own::remove(&self.path);
        if told.is_err() {
            drop(self.path.parent().map(|folder| settle_folder(folder, self.lasts)));
        }
        self.replaced
    }

    /// Adds a line, elsewhere where there is no room for it.
    fn add(&mut self, line: &Line) -> Result<()> {
        self.write(line).or_else(|problem| if self.lasts { self.move_over(problem).and_then(|()| self.write(line)) } else { Err(problem) })
    }

    fn write(&mut self, what: &impl Serialize) -> Result<()> {
        add(&self.file, &self.path, what)
    }

    /// Sees to it that what was written is on the disk, if that is to outlive the host.
    fn settle(&mut self) -> Result<()> {
        match self.lasts.then(|| self.file.sync_data()) {
            Some(Err(e)) => self.move_over(cant("write", &self.path)(e)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Goes on in the runtime folder with what was written so far: better than not at all, as a full disk would have it.
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

/// Sees to it that a folder has on the disk what it has.
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
        // As good as full.
        journal.file = File::open(&journal.path).unwrap();
        journal.ended(0, false).unwrap();
        journal.begins(1).unwrap();
        assert_eq!((count(&lasting), count(&others)), (0, 1));
        let record = Record::read(&std::fs::read_to_string(&journal.path).unwrap()).unwrap();
        assert_eq!((record.begun, record.done, record.steps.len(), record.over), (2, 1, 2, false));
        journal.close();
        // What ends with the host is never written elsewhere.
        let ends = Action::Forget { guest: "web".into(), uuid: crate::identity::new() };
        let journal = Journal::begin(&runtime, &plan(ends), 7, "chyves", &[]).unwrap();
        assert_eq!((count(&lasting), count(&others)), (0, 1));
        journal.close();
        assert_eq!((count(&lasting), count(&others)), (0, 0));
    }
}
