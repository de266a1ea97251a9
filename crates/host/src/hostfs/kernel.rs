//! What the kernel presents as files: `/proc`, `/sys` and devices. Paths elsewhere are refused; in a lab its `dev` folder
//! replaces `/dev`.

use crate::lab;
use rustix::fs::OFlags;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// Size limit of a file, in bytes; the files of /proc and /sys that are read here are smaller.
const LIMIT: u64 = 64 << 20;

/// FreeBSD's copy of the kernel messages at boot.
const BOOT_MESSAGES: &str = "/var/run/dmesg.boot";

/// Whether a path is below the kernel's file systems. Links of the kernel, such as `/proc/self/exe`, are not resolved for this.
fn is_kernels(path: &Path) -> bool {
    let goes_up = path.components().any(|part| part == Component::ParentDir);
    let below =
        |root: &str| path.starts_with(root) || (root == "/dev" && lab::folder().is_some_and(|lab| path.starts_with(lab::own(lab, root))));
    let is_boot = || lab::folder().is_some_and(|lab| path == lab::own(lab, BOOT_MESSAGES));
    path == Path::new(BOOT_MESSAGES) || is_boot() || (!goes_up && ["/proc", "/sys", "/dev"].into_iter().any(below))
}

fn check(path: &Path) -> Result<()> {
    // Tests use files in place of devices.
    if is_kernels(path) || cfg!(test) { Ok(()) } else { Err(Error::new(ErrorKind::InvalidInput, "it is not below /proc, /sys or /dev")) }
}

/// The content of a file.
///
/// # Errors
/// The system call fails, the path is elsewhere, or the file exceeds the limit.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    check(path.as_ref())?;
    super::bounded(File::open(path)?, LIMIT)
}

/// Writes a value to a file of this process.
///
/// # Errors
/// The system call fails, or the path is elsewhere.
pub fn set(path: impl AsRef<Path>, value: &str) -> Result<()> {
    check(path.as_ref())?;
    std::fs::write(path, value)
}

/// The text of a file.
///
/// # Errors
/// As [`read`], or it is not UTF-8.
pub fn text(path: impl AsRef<Path>) -> Result<String> {
    super::text(read(path)?)
}

/// The names in a folder.
///
/// # Errors
/// The system call fails, or the path is elsewhere.
pub fn names(path: impl AsRef<Path>) -> Result<Vec<OsString>> {
    check(path.as_ref())?;
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// The target of a link.
///
/// # Errors
/// The system call fails, or the path is elsewhere.
pub fn link(path: impl AsRef<Path>) -> Result<PathBuf> {
    check(path.as_ref())?;
    fs::read_link(path)
}

/// The metadata of a file, following links.
///
/// # Errors
/// The system call fails, or the path is elsewhere.
pub fn stat(path: impl AsRef<Path>) -> Result<Metadata> {
    check(path.as_ref())?;
    fs::metadata(path)
}

/// Whether the path exists; an error other than "not found" counts as yes.
pub fn is_there(path: impl AsRef<Path>) -> bool {
    !stat(path).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// Opens a device for reading and writing, never as the controlling terminal.
///
/// # Errors
/// The system call fails, or the path is elsewhere.
pub fn device(path: impl AsRef<Path>) -> Result<File> {
    check(path.as_ref())?;
    OpenOptions::new().read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed()).open(path)
}

/// Opens a terminal device without waiting for its carrier, so that it can be opened before the other side.
///
/// # Errors
/// As [`device`].
pub fn terminal(path: impl AsRef<Path>) -> Result<File> {
    check(path.as_ref())?;
    OpenOptions::new().read(true).write(true).custom_flags((OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed()).open(path)
}

/// Opens `/dev/null`.
///
/// # Errors
/// The system call fails.
pub fn null() -> Result<File> {
    device("/dev/null")
}

/// Whether the kernel itself uses a block device, for example for a mounted file system, so that it cannot be opened
/// exclusively. Only Linux reports that; elsewhere the result is always false.
pub fn is_in_use(block_device: impl AsRef<Path>) -> bool {
    let exclusive = (OFlags::EXCL | OFlags::NONBLOCK).bits().cast_signed();
    let open = || OpenOptions::new().read(true).custom_flags(exclusive).open(block_device);
    cfg!(target_os = "linux") && open().is_err_and(|e| e.kind() == ErrorKind::ResourceBusy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_elsewhere_is_not_the_kernels() {
        for path in ["/proc/self/maps", "/sys/bus", "/dev/null", BOOT_MESSAGES] {
            assert!(is_kernels(Path::new(path)), "{path}");
        }
        for path in ["/etc/passwd", "/proc/../etc/passwd", "/devices", "proc/self", "/tank/guests/web/dev/null", ""] {
            assert!(!is_kernels(Path::new(path)), "{path}");
        }
    }
}
