//! The sizes of disks: of files, and of the media of devices.

use crate::run;
use crate::safe::{self, Access, Folder, Rule};
use crate::small_files::io_problem;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::value::{FilePath, Size, printable};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;

/// The size of a disk: the length of a file or of a device's medium, read through a descriptor.
///
/// # Errors
/// It cannot be opened, or is neither a file nor a device.
pub(crate) fn length(path: &FilePath) -> Result<Size> {
    let file = match path {
        FilePath::Host(path) => safe::attached(path, false)?,
        FilePath::Below { mount, path } => Folder::open(mount)?.file(path, Access::Read, Rule::DISK)?,
    };
    size_of(file, path)
}

/// As [`length`], for an open file.
pub(crate) fn size_of(mut file: File, path: &FilePath) -> Result<Size> {
    let path = &path.to_string();
    let meta = file.metadata().map_err(io_problem("read the size of", path))?;
    if meta.is_file() {
        return Ok(Size::bytes(meta.len()));
    }
    match file.seek(SeekFrom::End(0)).map_err(io_problem("read the size of", path))? {
        // FreeBSD's disk devices do not support seeking to the end.
        0 if meta.file_type().is_char_device() => media_size(path).map(Size::bytes),
        size => Ok(Size::bytes(size)),
    }
}

/// The size of a disk device as diskinfo(8) prints it: path, sector size, size, and more.
pub(crate) fn media_size(path: &str) -> Result<u64> {
    let printed = run::must(&Cmd::new("diskinfo", [path]))?;
    let size = printed.split_ascii_whitespace().nth(2).and_then(|s| s.parse().ok());
    size.ok_or_else(|| Problem::failed("cannot read what `diskinfo` printed").on(path).because(printable(&printed, 120)))
}
