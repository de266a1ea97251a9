//! Kernel locks (flock) on files: they vanish with their holder, however it dies, and the file names the holder.
//!
//! A command's lock removes its file on release, while holding the lock exclusively; taking a lock verifies that the locked
//! file is still the one at the path. So no files accumulate for guests that no longer exist.
//!
//! Not here: what is locked when; commands take [`Runtime::lock_guest`], supervisors their own.

use super::Runtime;
use crate::hostfs::own::{self, How};
use crate::interrupt;
use chyves_core::error::{Code, Problem, Result};
use chyves_core::value::json;
use chyves_core::value::{GuestName, printable};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Retry interval while waiting for a lock.
const RETRY: Duration = Duration::from_millis(20);
/// How long to wait for a lock that readers hold only for an instant.
pub(crate) const GLANCE: Duration = Duration::from_secs(2);
/// Size limit of a holder's note, in bytes.
const NOTE_LIMIT: u64 = 4096;

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// Whether the lock's file is removed on release.
    pruned: bool,
    /// Whether a child may hold it for longer than this process.
    lent: AtomicBool,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Of several shared holders only the last one can lock exclusively; a child that also holds the lock keeps it.
        let prune = self.pruned && !self.lent.load(Ordering::SeqCst);
        if prune && self.file.try_lock().is_ok() && is_at(&self.file, &self.path) {
            let _ = own::remove(&self.path);
        }
    }
}

/// The note that a holder writes into its lock's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// The command line.
    pub command: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (process {})", printable(&self.command, 120), self.pid)
    }
}

impl Lock {
    /// Takes the lock at `path`, waiting at most `wait`. None if another process still holds it.
    pub(crate) fn take(path: &Path, wait: Duration) -> Result<Option<Self>> {
        Self::take_by(path, wait, File::try_lock)
    }

    fn take_by(path: &Path, wait: Duration, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Option<Self>> {
        Self::taken(path, wait, open, lock)
    }

    fn taken(
        path: &Path,
        wait: Duration,
        open: fn(&Path) -> std::io::Result<File>,
        lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Option<Self>> {
        let (deadline, signals) = (Instant::now() + wait, interrupt::count());
        loop {
            if interrupt::count() > signals {
                return Err(Problem::interrupted());
            }
            let file = open(path).map_err(|e| cant(path, &e))?;
            match lock(&file) {
                // The file may have been removed and recreated between opening and locking.
                Ok(()) if is_at(&file, path) => {
                    return Ok(Some(Self { file, path: path.to_owned(), pruned: false, lent: AtomicBool::new(false) }));
                }
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(cant(path, &e)),
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(RETRY.min(wait));
        }
    }

    /// Takes the lock with a descriptor that cannot write, to be passed to an untrusted process.
    pub(crate) fn hold(path: &Path, wait: Duration) -> Result<Option<Self>> {
        Self::taken(path, wait, open_to_hold, File::try_lock)
    }

    /// Takes the lock shared, waiting at most `wait`. None if another process still holds it exclusively.
    pub(crate) fn share(path: &Path, wait: Duration) -> Result<Option<Self>> {
        Self::take_by(path, wait, File::try_lock_shared)
    }

    /// Writes the holder's note.
    pub(crate) fn note(&mut self, command: &str) -> Result<()> {
        let holder = Holder { pid: std::process::id(), command: command.to_owned() };
        let text = serde_json::to_string(&holder).map_err(|e| Problem::bug("a lock's note cannot be written as JSON").because(e))?;
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())
        };
        write().map_err(|e| cant(&self.path, &e))
    }

    /// Converts the lock to a shared one.
    pub(crate) fn share_from_now(&mut self) -> std::io::Result<()> {
        // The conversion is not atomic: if another process takes the lock in between, it is lost and this fails.
        self.file.try_lock_shared().map_err(std::io::Error::from)
    }

    /// Whether others find this lock at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Path of the lock's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for a child that also holds the lock.
    pub(crate) fn file(&self) -> &File {
        self.lent.store(true, Ordering::SeqCst);
        &self.file
    }
}

fn cant(path: &Path, e: &std::io::Error) -> Problem {
    let class = if e.kind() == std::io::ErrorKind::PermissionDenied { Problem::host_cant } else { Problem::failed };
    let problem = class(format!("cannot lock `{}`", path.display())).on(path.display()).because(e);
    if e.kind() == std::io::ErrorKind::PermissionDenied { problem.hint("run it as root") } else { problem }
}

fn open(path: &Path) -> std::io::Result<File> {
    own::open(path, How::WriteOrCreate)
}

/// Opens the file read-only, creating it if it is missing.
fn open_to_hold(path: &Path) -> std::io::Result<File> {
    own::open(path, How::ReadOrCreate)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), own::stat(path)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}

/// Removes what is at `path` if it cannot be a lock's file.
pub(crate) fn clear(path: &Path, turn: &Path) -> Result<()> {
    clear_odd(path, turn, |path| own::oddity(path).is_some())
}

/// Removes what is at the path of a folder and is none.
pub(crate) fn clear_folder(path: &Path, turn: &Path) -> Result<()> {
    clear_odd(path, turn, |path| own::stat(path).is_ok_and(|meta| !meta.is_dir()))
}

/// Processes remove such things one at a time, by the lock at `turn`, so that none removes what another has created in its place.
fn clear_odd(path: &Path, turn: &Path, is_odd: fn(&Path) -> bool) -> Result<()> {
    if !is_odd(path) {
        return Ok(());
    }
    let Some(mut turn) = Lock::take(turn, GLANCE)? else {
        return Err(Problem::not_now(format!("`{}` is being repaired by another command", path.display())).on(path.display()));
    };
    turn.pruned = true;
    if is_odd(path) {
        own::remove_all(path).map_err(|e| Problem::failed(format!("cannot remove `{}`", path.display())).on(path.display()).because(e))?;
    }
    Ok(())
}

/// Whether any process holds the lock at `path`. The check itself holds the lock for an instant at most.
pub(crate) fn is_held(path: &Path) -> Result<bool> {
    let file = match own::open(path, How::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(cant(path, &e)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(cant(path, &e)),
    }
}

/// The holder of the lock at `path`, as noted in its file.
pub(crate) fn holder(path: &Path) -> Option<Holder> {
    json::from_str(&own::text(path, NOTE_LIMIT).ok()?).ok()
}

impl Runtime {
    /// Takes the lock of a guest for a command that changes it, waiting at most `wait`. `command` is shown to commands that
    /// wait.
    ///
    /// # Errors
    /// Another process holds it ("not now"); the error names it.
    pub fn lock_guest(&self, uuid: Uuid, name: &GuestName, wait: Duration, command: &str) -> Result<Lock> {
        self.lock(&uuid.hyphenated().to_string(), &format!("the guest `{name}`"), |path| Lock::take(path, wait), command)
    }

    /// Takes a lock for something of the whole host, such as `networks`, waiting at most `wait`.
    ///
    /// # Errors
    /// Another process holds it ("not now"); the error names it.
    pub fn lock_named(&self, what: &str, wait: Duration, command: &str) -> Result<Lock> {
        self.lock(what, &format!("`{what}`"), |path| Lock::take(path, wait), command)
    }

    /// Takes the same lock shared with other commands that need the object unchanged, waiting at most `wait`.
    ///
    /// # Errors
    /// Another process holds it exclusively ("not now"); the error names it.
    pub fn share_named(&self, what: &str, wait: Duration, command: &str) -> Result<Lock> {
        self.lock(what, &format!("`{what}`"), |path| Lock::share(path, wait), command)
    }

    fn lock(&self, file: &str, object: &str, take: impl Fn(&Path) -> Result<Option<Lock>>, command: &str) -> Result<Lock> {
        self.create()?;
        let folder = self.locks();
        super::make_private(&folder)?;
        let path = folder.join(file);
        let Some(mut lock) = take(&path)? else {
            let problem = Code::Busy.problem(format!("{object} is being changed by another command")).on(object.replace('`', ""));
            return Err(match holder(&path) {
                Some(holder) => problem.because(format!("{holder} holds its lock")),
                None => problem,
            }
            .hint("try again when it is done"));
        };
        lock.pruned = true;
        // The note only informs waiting commands; on a full file system the lock is held without it.
        let _ = lock.note(command);
        Ok(lock)
    }

    fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Removes lock files that no process holds, left by commands that were killed.
    pub fn prune_locks(&self) {
        for name in own::names(self.locks()).unwrap_or_default() {
            let path = self.locks().join(name);
            // Not created: another process may have removed it already.
            let Ok(file) = own::open(&path, How::Write) else { continue };
            if file.try_lock().is_ok() {
                drop(Lock { file, path, pruned: true, lent: AtomicBool::new(false) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chyves_core::error::Kind;

    #[test]
    fn the_second_is_told_who_was_first() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path().join("run"));
        let name: GuestName = "web01".parse().unwrap();
        let first = rt.lock_guest(Uuid::nil(), &name, Duration::ZERO, "chyves set web01 cpu=2").unwrap();
        let refusal = rt.lock_guest(Uuid::nil(), &name, Duration::ZERO, "chyves start web01").unwrap_err();
        assert_eq!(refusal.code, Kind::NotNow);
        assert_eq!(refusal.causes, [format!("`chyves set web01 cpu=2` (process {}) holds its lock", std::process::id())]);
        let other = rt.lock_guest(Uuid::from_u128(1), &name, Duration::ZERO, "chyves start web").unwrap();
        drop((first, other));
        rt.lock_guest(Uuid::nil(), &name, Duration::ZERO, "chyves start web01").unwrap();
    }

    #[test]
    fn one_who_waits_gets_it() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path());
        let first = rt.lock_named("networks", Duration::ZERO, "a").unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| rt.lock_named("networks", Duration::from_secs(60), "b").map(|_| ()));
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn those_who_share_keep_out_who_wants_it_alone() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path());
        let first = rt.share_named("image.deb", Duration::ZERO, "a").unwrap();
        let second = rt.share_named("image.deb", Duration::ZERO, "b").unwrap();
        drop(first);
        assert!(rt.lock_named("image.deb", Duration::ZERO, "c").is_err());
        drop(second);
        let alone = rt.lock_named("image.deb", Duration::ZERO, "c").unwrap();
        assert!(rt.share_named("image.deb", Duration::ZERO, "a").is_err());
        drop(alone);
    }

    #[test]
    fn a_lock_s_file_goes_with_its_last_holder() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path());
        let files = || std::fs::read_dir(rt.locks()).unwrap().count();
        let (first, second) =
            (rt.share_named("image.a", Duration::ZERO, "a").unwrap(), rt.share_named("image.a", Duration::ZERO, "b").unwrap());
        drop(first);
        assert_eq!(files(), 1, "it is shared still");
        assert!(rt.lock_named("image.a", Duration::ZERO, "c").is_err());
        drop(second);
        assert_eq!(files(), 0);
        // A child may keep holding it.
        let lent = rt.lock_named("guest.a", Duration::ZERO, "a").unwrap();
        let child = lent.file().try_clone().unwrap();
        drop(lent);
        assert!(rt.lock_named("guest.a", Duration::ZERO, "b").is_err());
        rt.prune_locks();
        assert_eq!(files(), 1);
        drop(child);
        rt.prune_locks();
        assert_eq!(files(), 0);
    }

    #[test]
    fn of_many_who_take_and_let_go_one_holds_it_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path());
        let (inside, most) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = rt.lock_named("x", Duration::from_secs(60), "a").unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        assert_eq!(std::fs::read_dir(rt.locks()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_on_a_removed_file_is_no_lock() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.lock");
        let old = Lock::take(&path, Duration::ZERO).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        let new = Lock::take(&path, Duration::ZERO).unwrap().unwrap();
        assert!(is_held(&path).unwrap());
        drop(old);
        assert!(is_held(&path).unwrap());
        drop(new);
        assert!(!is_held(&path).unwrap());
        assert!(!is_held(&temp.path().join("never")).unwrap());
    }
}
