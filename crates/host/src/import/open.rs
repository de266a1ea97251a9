//! Files of this host that others may own: opened once, never through a link of theirs or one that was inserted meanwhile, and
//! never a device or a pipe.

use super::hints;
use crate::hostfs::named::{self, Foreign, Reached};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Code, Problem, Result};
use chyves_core::value::printable;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a regular file for reading, with its path without links.
///
/// A link that an administrator typed is followed, but not one of another user to a file that is not this user's: it would make root
/// read what its owner may not. The same holds for hard links.
pub(crate) fn regular(path: &str) -> Result<(File, Metadata, PathBuf)> {
    let shown = printable(path, 300);
    let missing = |e| Code::NoSuchFile.problem(format!("cannot open `{shown}`")).on(&shown).because(e).hint(hints::folder_of(path));
    let reached = named::reach(path).map_err(missing)?;
    let meta = reached.file.metadata().map_err(missing)?;
    let foreign = reached.foreign().map_err(missing)?;
    let Reached { file, path: real, .. } = reached;
    if let Some(foreign) = foreign {
        let itself = Cmd::new("ls", ["-l", &real.to_string_lossy()]);
        let hint = match &foreign {
            Foreign::Link { .. } => format!("if that file is meant, name it itself: {itself}"),
            Foreign::HardLink { .. } => format!("if that file is meant, copy it to a folder of root: {itself}"),
        };
        return Err(Problem::usage(format!("`{shown}` is not opened: another user's link leads to it"))
            .on(&shown)
            .because(printable(&foreign.to_string(), 600))
            .hint(hint));
    }
    if !meta.is_file() {
        let problem = Problem::usage(format!("`{shown}` is not a regular file")).on(&shown);
        return Err(if is_disk(&meta, &real) {
            problem
                .hint(format!("a device is read from standard input: `chyves image import - --name NAME <'{shown}'`"))
                .hint("`chyves disk add GUEST --attach DEVICE` gives it to a guest as it is")
        } else {
            // Only what ends can be read from standard input.
            let stream = if meta.file_type().is_fifo() {
                "name a regular file; a pipe is read from standard input: `chyves image import - --name NAME`"
            } else {
                "name a regular file"
            };
            problem.because(hints::is_not_a_file(meta.file_type())).hint(stream)
        });
    }
    Ok((file, meta, real))
}

/// Whether a device has an end. On FreeBSD disks are character devices, as endless ones are everywhere.
fn is_disk(meta: &Metadata, path: &Path) -> bool {
    let endless = ["zero", "full", "random", "urandom", "null", "tty", "console", "ptmx"];
    let kind = meta.file_type();
    let named = || path.file_name().and_then(OsStr::to_str).is_some_and(|name| !endless.contains(&name));
    kind.is_block_device() || cfg!(target_os = "freebsd") && kind.is_char_device() && named()
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
