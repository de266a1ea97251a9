//! Files of this host that others may own: opened once, never through a link that was inserted meanwhile, and never a device or
//! a pipe.

use super::hints;
use crate::hostfs::named;
use chyves_core::error::{Problem, Result};
use chyves_core::value::printable;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

/// Opens a regular file for reading. A path without links is opened without following any, so that none can be inserted.
pub(crate) fn regular(path: &str) -> Result<(File, Metadata)> {
    let shown = printable(path, 300);
    let missing = |e| Problem::not_found(format!("cannot open `{shown}`")).on(&shown).because(e).hint(hints::folder_of(path));
    let file = named::open_as_seen(path).map_err(missing)?;
    let meta = file.metadata().map_err(missing)?;
    if !meta.is_file() {
        return Err(Problem::usage(format!("`{shown}` is not a regular file")).on(&shown));
    }
    Ok((file, meta))
}

/// Whether only this user, or root, can write to a file.
pub(crate) fn is_private(meta: &Metadata) -> bool {
    let me = rustix::process::geteuid().as_raw();
    (meta.uid() == 0 || meta.uid() == me) && meta.mode() & 0o022 == 0
}

/// A shared open file with a separate read position.
#[derive(Debug, Clone)]
pub(super) struct At {
    file: Arc<File>,
    at: u64,
}

impl At {
    pub(super) const fn start(file: Arc<File>) -> Self {
        Self { file, at: 0 }
    }

    /// Length of the file in bytes.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Fills a buffer from an offset, without changing the read position.
    pub(super) fn read_exact_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }
}

impl Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(into, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for At {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
