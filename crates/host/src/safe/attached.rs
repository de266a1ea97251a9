//! Disks that an administrator attached from elsewhere on the host: the path is theirs, so links in it are followed (as
//! those below `/dev/zvol`), but only a regular file or a disk device is opened, and an open never blocks.

use super::file::blocking;
use super::refusal::{FileKind, Refusal, of_errno, problem};
use crate::platform;
use chyves_core::error::Result;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io;
use std::path::Path;

/// Opens an attached disk: a regular file, a block device, or on FreeBSD, whose disks are such, a character device.
///
/// # Errors
/// It is missing, something else, or can't be opened.
pub fn attached(path: impl AsRef<Path>, write: bool) -> Result<File> {
    let path = &*platform::here().path(&path.as_ref().to_string_lossy());
    let open = || {
        let is_disk = |kind: FileKind| match kind {
            FileKind::File | FileKind::Block => true,
            FileKind::Character => platform::here().os() == chyves_core::os::Os::FreeBsd,
            _ => false,
        };
        let judge = |mode| {
            let is = FileKind::of(FileType::from_raw_mode(mode));
            if is_disk(is) { Ok(()) } else { Err(io::Error::from(Refusal::Kind { is, wanted: FileKind::Block })) }
        };
        judge(rustix::fs::stat(path)?.st_mode)?;
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| of_errno(e, FileKind::Block))?;
        judge(rustix::fs::fstat(&fd)?.st_mode)?;
        blocking(File::from(fd))
    };
    open().map_err(|e| problem("open", path, &e))
}
