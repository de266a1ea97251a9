//! New files that take their name at the end: created by `O_EXCL` under an unpredictable name in the same folder, and
//! renamed. Nobody sees half of one, and nothing that is there under either name is opened for writing.

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

/// What names of such files begin and end with; between them are the target's name and a random number.
const BEGIN: &str = ".new-";
/// The length of the random number in hexadecimal.
const RANDOM: usize = 32;

/// A new file under its temporary name; dropped, it is removed.
#[derive(Debug)]
pub struct Staged<'a> {
    folder: &'a Folder,
    file: File,
    /// Its temporary path in the folder.
    temporary: PathBuf,
    /// Its path in the folder at the end.
    target: PathBuf,
    done: bool,
}

fn prefix(target: &OsStr) -> OsString {
    let mut name = OsString::from(BEGIN);
    name.push(target);
    name.push(".");
    name
}

/// Whether a name is that of a new file that was never finished, for whatever target.
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
    /// Begins a new file that is to have that name. What an earlier, killed command left of such a file is removed; the
    /// caller holds the lock of the guest or image.
    ///
    /// # Errors
    /// It can't be created.
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

    /// Writes a small file whole and gives it its name, replacing what has it. With `flush` it is on the disk then.
    ///
    /// # Errors
    /// It can't be written; then everything is as before.
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

    /// Its temporary path, for programs that take paths only.
    pub fn path(&self) -> PathBuf {
        self.folder.shown(&self.temporary)
    }

    /// Gives it its name, replacing what has it; with `flush` content and name are on the disk then.
    ///
    /// # Errors
    /// It can't be written or renamed; then it is gone and everything is as before.
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
