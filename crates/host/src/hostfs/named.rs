//! Paths that an administrator gave in an argument or a setting, and those of installed packages. The path is trusted, so links
//! in it are followed. Disks are opened by [`crate::safe::attached`], which refuses FIFOs and devices other than disks.

use rustix::fs::{Access, Mode, OFlags};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Result;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The absolute path with links resolved.
///
/// # Errors
/// The system call fails.
pub fn real(path: impl AsRef<Path>) -> Result<PathBuf> {
    fs::canonicalize(path)
}

/// The metadata of a file, following links.
///
/// # Errors
/// The system call fails.
pub fn stat(path: impl AsRef<Path>) -> Result<Metadata> {
    fs::metadata(path)
}

/// Whether the path exists and can be inspected.
pub fn is_there(path: impl AsRef<Path>) -> bool {
    stat(path).is_ok()
}

/// Whether the path is a folder.
pub fn is_folder(path: impl AsRef<Path>) -> bool {
    stat(path).is_ok_and(|meta| meta.is_dir())
}

/// Whether the path is an executable file.
pub fn is_program(path: impl AsRef<Path>) -> bool {
    stat(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether a regular file can be opened for writing. It is not changed.
pub fn can_write(path: impl AsRef<Path>) -> bool {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    OpenOptions::new().write(true).custom_flags(flags).open(path).is_ok()
}

/// Whether the permissions allow this user to write; the file is not opened.
pub fn may_write(path: impl AsRef<Path>) -> bool {
    rustix::fs::access(path.as_ref(), Access::WRITE_OK).is_ok()
}

/// Opens a file or a pipe for reading, such as `<(command)` of a shell. Waits for the writer of a FIFO.
///
/// # Errors
/// The system call fails.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    File::open(path)
}

/// The content of a file or pipe of at most `limit` bytes.
///
/// # Errors
/// The system call fails, or the content is longer.
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    super::bounded(open(path)?, limit)
}

/// As [`read`], for text.
///
/// # Errors
/// As [`read`], or the content is not UTF-8.
pub fn text(path: impl AsRef<Path>, limit: u64) -> Result<String> {
    super::text(read(path, limit)?)
}

/// Opens a file for appending; if it is missing, it is created with access for its owner only.
///
/// # Errors
/// The system call fails.
pub fn append(path: impl AsRef<Path>) -> Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The paths in a folder, sorted.
///
/// # Errors
/// The system call fails.
pub fn list(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let mut all = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}

/// Opens a path for reading without blocking. If the path contains no links now, it is opened without following any, so that
/// none can be inserted meanwhile. The caller checks the descriptor.
///
/// # Errors
/// The system call fails.
pub fn open_as_seen(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    let no_links = real(path)? == path;
    // Opening a FIFO would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(without_links(path, flags, no_links)?))
}

#[cfg(target_os = "linux")]
fn without_links(path: &Path, flags: OFlags, no_links: bool) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{CWD, ResolveFlags, open, openat2};
    if no_links {
        match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS) {
            // Kernels before 5.6, and containers that filter system calls.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {}
            other => return other,
        }
    }
    open(path, if no_links { flags | OFlags::NOFOLLOW } else { flags }, Mode::empty())
}

#[cfg(not(target_os = "linux"))]
fn without_links(path: &Path, flags: OFlags, no_links: bool) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, if no_links { flags | OFlags::NOFOLLOW } else { flags }, Mode::empty())
}
