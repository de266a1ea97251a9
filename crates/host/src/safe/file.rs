//! Existing files: opened only if they are regular, and if size, owner and link count are as required.

use super::refusal::{self, FileKind, Refusal, problem};
use super::{Folder, missing_is_none};
use chyves_core::error::{Problem, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The access that an open needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing in place.
    ReadWrite,
    /// Reading and writing in place; created if it is missing.
    Create,
    /// Reading and appending; created if it is missing.
    Append,
}

impl Access {
    const fn creates(self) -> bool {
        matches!(self, Self::Create | Self::Append)
    }
}

/// The owners that a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Any: the content is checked, or is only data.
    Anybody,
    /// The user who runs chyves (root).
    Process,
}

/// What a file must satisfy to be opened, besides being regular. A file that is written in place must have a single link:
/// through a hard link, a write to one file could change another, such as a disk by way of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Maximum size in bytes; none if any size is allowed, as for a disk.
    pub limit: Option<u64>,
    /// The owners that it may have.
    pub owner: Owner,
}

impl Rule {
    /// A file of any size and owner, such as a disk.
    pub const DISK: Self = Self { limit: None, owner: Owner::Anybody };

    /// A file of at most `limit` bytes, of any owner.
    pub const fn up_to(limit: u64) -> Self {
        Self { limit: Some(limit), owner: Owner::Anybody }
    }

    /// The same rule, for files of the user who runs chyves only.
    #[must_use]
    pub const fn own(self) -> Self {
        Self { owner: Owner::Process, ..self }
    }

    fn check(self, meta: &Metadata, access: Access) -> io::Result<()> {
        if !meta.is_file() {
            #[allow(clippy::cast_possible_truncation)] // modes of FreeBSD have 16 bits
            let mode = meta.mode() as rustix::fs::RawMode;
            let is = FileKind::of(rustix::fs::FileType::from_raw_mode(mode));
            return Err(Refusal::Kind { is, wanted: FileKind::File }.into());
        }
        if access != Access::Read && meta.nlink() > 1 {
            return Err(Refusal::Links(meta.nlink()).into());
        }
        if let Some(limit) = self.limit.filter(|limit| meta.len() > *limit) {
            return Err(Refusal::Large { len: meta.len(), limit }.into());
        }
        if self.owner == Owner::Process && meta.uid() != rustix::process::geteuid().as_raw() && meta.uid() != 0 {
            return Err(Refusal::Owner(meta.uid()).into());
        }
        Ok(())
    }
}

impl Folder {
    pub(super) fn try_file(&self, path: &Path, access: Access, rule: Rule) -> io::Result<File> {
        // The type is checked before the open too: opening a device or a FIFO may already have effects.
        match self.entry(path) {
            Ok(entry) if entry.kind == FileKind::Link => return Err(Refusal::Link.into()),
            Ok(entry) if entry.kind != FileKind::File => {
                return Err(Refusal::Kind { is: entry.kind, wanted: FileKind::File }.into());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && access.creates() => {}
            Err(e) => return Err(e),
            Ok(_) => {}
        }
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE,
            Access::Append => OFlags::RDWR | OFlags::APPEND | OFlags::CREATE,
        };
        let mode = if access.creates() { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        let file = File::from(self.raw(path, flags, mode)?);
        rule.check(&file.metadata()?, access)?;
        blocking(file)
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// It is missing, not a regular file, or violates the rule.
    pub fn file(&self, path: impl AsRef<Path>, access: Access, rule: Rule) -> Result<File> {
        let path = path.as_ref();
        self.try_file(path, access, rule).map_err(|e| problem("open", &self.shown(path), &e))
    }

    /// Opens a regular file; none if it is missing.
    ///
    /// # Errors
    /// It is not a regular file, or violates the rule.
    pub fn file_if_there(&self, path: impl AsRef<Path>, access: Access, rule: Rule) -> Result<Option<File>> {
        let path = path.as_ref();
        missing_is_none(self.try_file(path, access, rule)).map_err(|e| problem("open", &self.shown(path), &e))
    }

    /// The content of a small file; none if it is missing. The rule needs a limit.
    ///
    /// # Errors
    /// It is not a regular file, violates the rule, or cannot be read.
    pub fn read(&self, path: impl AsRef<Path>, rule: Rule) -> Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let limit = rule.limit.ok_or_else(|| Problem::bug("no limit was given for reading a file"))?;
        let read = || {
            let mut bytes = Vec::new();
            // It may grow while it is read.
            self.try_file(path, Access::Read, rule)?.take(limit + 1).read_to_end(&mut bytes)?;
            let len = bytes.len() as u64;
            if len > limit { Err(Refusal::Large { len, limit }.into()) } else { Ok(bytes) }
        };
        missing_is_none(read()).map_err(|e| problem("read", &self.shown(path), &e))
    }

    /// The content of a small text file; none if it is missing.
    ///
    /// # Errors
    /// As [`Folder::read`], or it is not UTF-8.
    pub fn read_text(&self, path: impl AsRef<Path>, rule: Rule) -> Result<Option<String>> {
        let path = path.as_ref();
        let Some(bytes) = self.read(path, rule)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| {
            let shown = self.shown(path);
            Problem::usage(format!("cannot read {}: it is not UTF-8 text", refusal::path(&shown))).on(shown.display())
        })
    }

    /// Creates a file that must not exist, readable and writable by its owner only.
    ///
    /// # Errors
    /// The name exists, or the file cannot be created.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        self.try_create(path).map_err(|e| problem("create", &self.shown(path), &e))
    }

    pub(super) fn try_create(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        blocking(File::from(self.raw(path, flags, Mode::RUSR | Mode::WUSR)?))
    }
}

/// Clears the non-blocking flag, which only the open needed.
pub(super) fn blocking(file: File) -> io::Result<File> {
    let fd = OwnedFd::from(file);
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK)?;
    Ok(File::from(fd))
}
