//! Whether an untrusted process still lives: a hypervisor that its guest may have taken over.
//!
//! It inherits a kernel lock, which shows in one system call that it lives. The contrary cannot be concluded, since a process
//! can unlock or close the descriptor and live on. So the lock's file also names the process, written by root before the
//! process runs; only the process table proves that it has exited.

use super::lock::{self, Lock};
use crate::hostfs::own::{self, How};
use crate::proc::{self, Proc};
use chyves_core::error::{Problem, Result};
use chyves_core::value::json;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// Size limit of a lock's file, in bytes.
const LIMIT: u64 = 4096;

/// The content of such a lock's file.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// The boot of the host; processes of an earlier boot have ended.
    boot: String,
    process: Proc,
}

/// Takes the lock at `path` for a process that is about to run, with a descriptor that cannot write. None if an earlier process
/// that was named in it still lives.
pub(crate) fn claim(path: &Path, wait: std::time::Duration) -> Result<Option<Lock>> {
    let Some(lock) = Lock::hold(path, wait)? else { return Ok(None) };
    // Read under the lock, so no other process writes it now.
    Ok(if named(path)?.is_some() { None } else { Some(lock) })
}

/// Names the process that will hold the lock at `path`. Called by the holder of the lock.
pub(crate) fn name(path: &Path, process: &Proc) -> Result<()> {
    write(path, process, How::Write)
}

/// Creates the lost file of a lock again, naming the process that holds its former one.
pub(crate) fn restore(path: &Path, process: &Proc) -> Result<()> {
    write(path, process, How::WriteOrCreate)
}

fn write(path: &Path, process: &Proc, how: How) -> Result<()> {
    let mark = Mark { boot: proc::boot_id()?, process: process.clone() };
    let text = serde_json::to_vec(&mark).map_err(|e| Problem::bug("a process cannot be named as JSON").because(e))?;
    let write = || {
        let mut file = own::open(path, how)?;
        file.set_len(0)?;
        file.write_all(&text)
    };
    write().map_err(|e| Problem::failed(format!("cannot write `{}`", path.display())).on(path.display()).because(e))
}

/// The living process that was named for the lock at `path`, whether or not it still holds it.
pub(crate) fn named(path: &Path) -> Result<Option<Proc>> {
    let text = match own::text(path, LIMIT) {
        Ok(text) => text,
        // What is damaged names nobody, as an incomplete file does; whether the lock is held shows whether it lives.
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData) => return Ok(None),
        Err(e) => return Err(Problem::host_cant(format!("cannot read `{}`", path.display())).on(path.display()).because(e)),
    };
    // An incomplete file is from a supervisor that was killed while writing: its child got no command and never became a
    // hypervisor.
    let Ok(mark) = json::from_str::<Mark>(&text) else { return Ok(None) };
    Ok(if mark.boot == proc::boot_id()? && mark.process.is_alive()? { Some(mark.process) } else { None })
}

/// Whether the process that was named for the lock at `path` still lives.
pub(crate) fn lives(path: &Path) -> Result<bool> {
    // The cheap check first; for a well-behaved process it suffices.
    Ok(lock::is_held(path)? || named(path)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_lets_go_of_its_lock_lives_on_until_it_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("machine.lock");
        assert!(!lives(&path).unwrap());
        let lock = claim(&path, Duration::ZERO).unwrap().unwrap();
        assert!(lives(&path).unwrap());
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        name(&path, &Proc::find(child.id()).unwrap().unwrap()).unwrap();
        // As a compromised hypervisor might do.
        drop(lock);
        assert!(!lock::is_held(&path).unwrap() && lives(&path).unwrap());
        assert_eq!(named(&path).unwrap().unwrap().pid, child.id());
        assert!(claim(&path, Duration::ZERO).unwrap().is_none(), "a second one would run beside it");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!lives(&path).unwrap());
        assert!(claim(&path, Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn half_a_name_and_one_of_another_boot_are_nobodys() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("machine.lock");
        let me = Proc::current().unwrap();
        let mark = |boot: &str| serde_json::to_string(&Mark { boot: boot.into(), process: me.clone() }).unwrap();
        for (text, lived) in [(mark(&proc::boot_id().unwrap()), true), (mark("another"), false), ("{\"boot\":".into(), false)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(lives(&path).unwrap(), lived);
        }
    }
}
