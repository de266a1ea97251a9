//! Files that an administrator named elsewhere on the host: the path is theirs, so links in it are followed (as those below
//! `/dev/zvol`), but only what was wanted is opened, a regular file or a disk device, and an open never blocks.

use super::file::blocking;
use super::refusal::{FileKind, Refusal, of_errno, problem};
use crate::platform;
use chyves_core::error::Result;
use chyves_core::os::Os;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io;
use std::path::Path;

/// Opens an attached disk: a regular file, a block device, or on FreeBSD, whose disks are such, a character device.
///
/// # Errors
/// It is missing, something else, or can't be opened.
pub fn attached(path: impl AsRef<Path>, write: bool) -> Result<File> {
    let is_disk = |kind: FileKind| match kind {
        FileKind::File | FileKind::Block => true,
        FileKind::Character => platform::here().os() == Os::FreeBsd,
        _ => false,
    };
    open(path.as_ref(), write, FileKind::Block, &is_disk)
}

/// Opens a regular file that an administrator or one of the host's packages named, for reading.
///
/// # Errors
/// It is missing, something else, or can't be opened.
pub fn named(path: impl AsRef<Path>) -> Result<File> {
    open(path.as_ref(), false, FileKind::File, &|kind| kind == FileKind::File)
}

fn open(path: &Path, write: bool, wanted: FileKind, fits: &dyn Fn(FileKind) -> bool) -> Result<File> {
    let path = &*platform::here().path(&path.to_string_lossy());
    let open = || {
        let judge = |mode| {
            let is = FileKind::of(FileType::from_raw_mode(mode));
            if fits(is) { Ok(()) } else { Err(io::Error::from(Refusal::Kind { is, wanted })) }
        };
        judge(rustix::fs::stat(path)?.st_mode)?;
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| of_errno(e, wanted))?;
        judge(rustix::fs::fstat(&fd)?.st_mode)?;
        blocking(File::from(fd))
    };
    open().map_err(|e| problem("open", path, &e))
}
