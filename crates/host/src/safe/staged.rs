//! New files that get their name when they are complete: created with `O_EXCL` under an unpredictable name in the same folder,
//! then renamed. Nobody sees an incomplete file, and no existing file is opened for writing under either name.

use super::refusal::problem;
use super::{Folder, settle};
use chyves_core::error::Result;
use rustix::fs::AtFlags;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The prefix of temporary names; the target's name and a random number follow.
const BEGIN: &str = ".new-";
/// The number of hexadecimal digits of the random number.
const RANDOM: usize = 32;

/// A new file under its temporary name; dropping it removes the file.
#[derive(Debug)]
pub struct Staged<'a> {
    folder: &'a Folder,
    file: File,
    /// The temporary path in the folder.
    temporary: PathBuf,
    /// The final path in the folder.
    target: PathBuf,
    done: bool,
}

fn prefix(target: &OsStr) -> OsString {
    let mut name = OsString::from(BEGIN);
    name.push(target);
    name.push(".");
    name
}

/// Whether a name is that of an unfinished new file, for any target.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(BEGIN.as_bytes())
        && name.len() > BEGIN.len() + RANDOM + 1
        && name[name.len() - RANDOM..].iter().all(u8::is_ascii_hexdigit)
        && name[name.len() - RANDOM - 1] == b'.'
}

fn remove_old(folder: BorrowedFd<'_>, prefix: &OsStr) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name.as_bytes().starts_with(prefix.as_bytes()) && is_temporary(name) {
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        }
    }
    Ok(())
}

impl Folder {
    /// Creates a new file for that name. Files that an earlier, killed command left for the same name are removed; the caller
    /// holds the lock of the guest or image.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn stage(&self, path: impl AsRef<Path>) -> Result<Staged<'_>> {
        let target = path.as_ref();
        self.try_stage(target).map_err(|e| problem("write", &self.shown(target), &e))
    }

    fn try_stage(&self, target: &Path) -> io::Result<Staged<'_>> {
        let (parent, name) = self.parent(target)?;
        let prefix = prefix(name);
        remove_old(parent.as_fd(), &prefix)?;
        let mut temporary = prefix;
        temporary.push(uuid::Uuid::new_v4().simple().to_string());
        let temporary = target.with_file_name(temporary);
        let file = self.try_create(&temporary)?;
        Ok(Staged { folder: self, file, temporary, target: target.to_owned(), done: false })
    }

    /// Writes a small file and renames it to its name, replacing an existing file. With `flush` it is synced to disk.
    ///
    /// # Errors
    /// It cannot be written; an existing file is then unchanged.
    pub fn replace(&self, path: impl AsRef<Path>, bytes: &[u8], flush: bool) -> Result<()> {
        let path = path.as_ref();
        let write = || {
            let mut staged = self.try_stage(path)?;
            staged.file.write_all(bytes)?;
            staged.finish(flush)
        };
        write().map_err(|e| problem("write", &self.shown(path), &e))
    }
}

impl Staged<'_> {
    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The temporary path, for programs that accept only paths.
    pub fn path(&self) -> PathBuf {
        self.folder.shown(&self.temporary)
    }

    /// Renames the file to its name, replacing an existing file; with `flush`, content and name are synced to disk.
    ///
    /// # Errors
    /// It cannot be written or renamed; it is then removed, and an existing file is unchanged.
    pub fn commit(self, flush: bool) -> Result<()> {
        let shown = self.folder.shown(&self.target);
        self.finish(flush).map_err(|e| problem("write", &shown, &e))
    }

    fn finish(mut self, flush: bool) -> io::Result<()> {
        if flush {
            self.file.sync_all()?;
        }
        let (parent, name) = self.folder.parent(&self.target)?;
        let temporary = self.temporary.file_name().unwrap_or_default();
        rustix::fs::renameat(parent.as_fd(), temporary, parent.as_fd(), name)?;
        self.done = true;
        if flush { settle(parent.as_fd()) } else { Ok(()) }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.folder.remove_file(&self.temporary);
        }
    }
}
