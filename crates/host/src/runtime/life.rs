//! Whether a process that is not trusted still lives: a hypervisor that its guest has taken over.
//!
//! It inherits a lock of the kernel, which tells in one system call that it lives. The contrary is not told by it, since whoever
//! has a descriptor can unlock or close it while it lives on. So the file of the lock also names the process, written by root
//! before the process runs; that it is gone is proved by the process table alone.

use super::lock::{self, Lock};
use crate::hostfs::own::{self, How};
use crate::proc::{self, Proc};
use chyves_core::error::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// More is not ours.
const LIMIT: u64 = 4096;

/// What the file of such a lock contains.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// The boot of the host: processes of another one are gone.
    boot: String,
    process: Proc,
}

/// Takes the lock at `path` for a process that is about to run, by a descriptor that cannot write. None where one that was started
/// with it before still lives.
pub(crate) fn claim(path: &Path, wait: std::time::Duration) -> Result<Option<Lock>> {
    let Some(lock) = Lock::hold(path, wait)? else { return Ok(None) };
    // Looked at while the lock is held: nobody else writes it now.
    Ok(if named(path)?.is_some() { None } else { Some(lock) })
}

/// Names the process that will hold the lock at `path`. Called by the holder of the lock.
pub(crate) fn name(path: &Path, process: &Proc) -> Result<()> {
    let mark = Mark { boot: proc::boot_id()?, process: process.clone() };
    let text = serde_json::to_vec(&mark).map_err(|e| Problem::bug("a process cannot be named as JSON").because(e))?;
    let write = || {
        let mut file = own::open(path, How::Write)?;
        file.set_len(0)?;
        file.write_all(&text)
    };
    write().map_err(|e| Problem::failed(format!("cannot write `{}`", path.display())).on(path.display()).because(e))
}

/// The living process that the lock at `path` was handed to, whether it still holds it or not.
pub(crate) fn named(path: &Path) -> Result<Option<Proc>> {
    let text = match own::text(path, LIMIT) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Problem::host_cant(format!("cannot read `{}`", path.display())).on(path.display()).because(e)),
    };
    // Half a line is of a supervisor that was killed while it wrote: its process got no order, and never became a hypervisor.
    let Ok(mark) = serde_json::from_str::<Mark>(&text) else { return Ok(None) };
    Ok(if mark.boot == proc::boot_id()? && mark.process.is_alive()? { Some(mark.process) } else { None })
}

/// Whether a process that the lock at `path` was handed to still lives.
pub(crate) fn lives(path: &Path) -> Result<bool> {
    // The cheap answer first; for what runs as it should it is the only one.
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
        // As a hypervisor does that was taken over.
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
