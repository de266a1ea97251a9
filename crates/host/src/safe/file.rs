//! Existing files: opened only if they are regular, and as large, owned and linked as stated.

use super::refusal::{self, FileKind, Refusal, problem};
use super::{Folder, missing_is_none};
use chyves_core::error::{Problem, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What an open file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing in place.
    ReadWrite,
    /// The same; it is created if it is missing.
    Create,
    /// Reading, and writing at its end; it is created if it is missing.
    Append,
}

impl Access {
    const fn creates(self) -> bool {
        matches!(self, Self::Create | Self::Append)
    }
}

/// Whose a file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Anybody's: its content is checked, or is only data.
    Anybody,
    /// The user's who runs chyves (root).
    Process,
}

/// What a file must be to be opened, besides a regular one. One that is written in place must have one name only: a hard
/// link would let a write to one file change another, such as a disk by way of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The most bytes that it may have; none where its size is free, as that of a disk.
    pub limit: Option<u64>,
    /// Whose it may be.
    pub owner: Owner,
}

impl Rule {
    /// A file of any size and owner, such as a disk.
    pub const DISK: Self = Self { limit: None, owner: Owner::Anybody };

    /// A file of at most so many bytes, of any owner.
    pub const fn up_to(limit: u64) -> Self {
        Self { limit: Some(limit), owner: Owner::Anybody }
    }

    /// The same, and only one that belongs to the user who runs chyves.
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
        // Kinds are inspected before the open too: to open a device or a FIFO may already do something.
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
    /// It is missing, no regular file, or not what the rule says.
    pub fn file(&self, path: impl AsRef<Path>, access: Access, rule: Rule) -> Result<File> {
        let path = path.as_ref();
        self.try_file(path, access, rule).map_err(|e| problem("open", &self.shown(path), &e))
    }

    /// The same; none where it is missing.
    ///
    /// # Errors
    /// It is no regular file, or not what the rule says.
    pub fn file_if_there(&self, path: impl AsRef<Path>, access: Access, rule: Rule) -> Result<Option<File>> {
        let path = path.as_ref();
        missing_is_none(self.try_file(path, access, rule)).map_err(|e| problem("open", &self.shown(path), &e))
    }

    /// The content of a small file; none where it is missing. The rule needs a limit.
    ///
    /// # Errors
    /// It is no regular file, not what the rule says, or can't be read.
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

    /// The content of a small text file; none where it is missing.
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

    /// Creates a file that must not be there and that its owner alone may read and write.
    ///
    /// # Errors
    /// Something has the name, or it can't be created.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        self.try_create(path).map_err(|e| problem("create", &self.shown(path), &e))
    }

    pub(super) fn try_create(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        blocking(File::from(self.raw(path, flags, Mode::RUSR | Mode::WUSR)?))
    }
}

/// The file was opened so that the open never blocks; regular files are read and written in the ordinary way.
pub(super) fn blocking(file: File) -> io::Result<File> {
    let fd = OwnedFd::from(file);
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK)?;
    Ok(File::from(fd))
}
