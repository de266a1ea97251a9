//! What the kernel shows as files: `/proc`, `/sys` and devices. Paths elsewhere are refused; in a lab its own `dev` folder is
//! what `/dev` is.

use crate::platform;
use rustix::fs::OFlags;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// No file of /proc or /sys that is read here is larger.
const LIMIT: u64 = 64 << 20;

/// What the kernel printed while it booted, as FreeBSD keeps it.
const BOOT_MESSAGES: &str = "/var/run/dmesg.boot";

/// Whether a path is below what the kernel shows. Links of the kernel's own, such as `/proc/self/exe`, are not followed for it.
fn is_kernels(path: &Path) -> bool {
    let goes_up = path.components().any(|part| part == Component::ParentDir);
    let here = platform::here();
    let below = |root: &str| path.starts_with(root) || path.starts_with(here.path(&format!("{root}/")));
    path == here.path(BOOT_MESSAGES) || (!goes_up && ["/proc", "/sys", "/dev"].into_iter().any(below))
}

fn check(path: &Path) -> Result<()> {
    // Tests put files in the place of devices.
    if is_kernels(path) || cfg!(test) { Ok(()) } else { Err(Error::new(ErrorKind::InvalidInput, "it is not below /proc, /sys or /dev")) }
}

/// The bytes of a file.
///
/// # Errors
/// What the system says; it is elsewhere, or longer than any of them is.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    check(path.as_ref())?;
    super::bounded(File::open(path)?, LIMIT)
}

/// Writes a value into a file of this process's own.
///
/// # Errors
/// What the system says, or it is elsewhere.
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
/// What the system says, or it is elsewhere.
pub fn names(path: impl AsRef<Path>) -> Result<Vec<OsString>> {
    check(path.as_ref())?;
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// What a link names.
///
/// # Errors
/// What the system says, or it is elsewhere.
pub fn link(path: impl AsRef<Path>) -> Result<PathBuf> {
    check(path.as_ref())?;
    fs::read_link(path)
}

/// What is there, behind a link too.
///
/// # Errors
/// What the system says, or it is elsewhere.
pub fn stat(path: impl AsRef<Path>) -> Result<Metadata> {
    check(path.as_ref())?;
    fs::metadata(path)
}

/// Whether something is there; an error that does not say so counts as yes.
pub fn is_there(path: impl AsRef<Path>) -> bool {
    !stat(path).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// Opens a device for reading and writing; it never becomes the terminal of this process.
///
/// # Errors
/// What the system says, or it is elsewhere.
pub fn device(path: impl AsRef<Path>) -> Result<File> {
    check(path.as_ref())?;
    OpenOptions::new().read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed()).open(path)
}

/// Opens a terminal device without waiting for its carrier, so that it can be open before somebody is at the other side.
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
/// What the system says.
pub fn null() -> Result<File> {
    device("/dev/null")
}

/// Whether the kernel itself uses a block device, for example for a mounted file system: then nobody can have it exclusively.
/// Linux alone answers that; elsewhere it is never so.
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
