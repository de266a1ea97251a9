//! Files elsewhere on the host that an administrator named. Links in the path are followed (such as those below `/dev/zvol`),
//! since the path is trusted, but only the expected type is opened, a regular file or a disk device, and an open never blocks.

use super::file::blocking;
use super::refusal::{FileKind, Refusal, of_errno, problem};
use crate::platform;
use chyves_core::error::Result;
use chyves_core::os::Os;
use rustix::fs::{FileType, OFlags, StatFs};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;

/// Opens an attached disk: a regular file, a block device, or a character device on FreeBSD, whose disks are such. A block
/// device is opened for writing exclusively: Linux refuses it while the host has mounted its file system, and refuses the mount
/// while the descriptor is open. FreeBSD does that by itself.
///
/// # Errors
/// It is missing, of another type, in use by the host, or cannot be opened.
pub fn attached(path: impl AsRef<Path>, write: bool) -> Result<File> {
    let is_disk = |kind: FileKind| match kind {
        FileKind::File | FileKind::Block => true,
        FileKind::Character => platform::here().os() == Os::FreeBsd,
        _ => false,
    };
    open(path.as_ref(), Use { write, alone: write }, FileKind::Block, &is_disk)
}

/// Opens a regular file for reading that an administrator or a package of the host named.
///
/// # Errors
/// It is missing, of another type, or cannot be opened.
pub fn named(path: impl AsRef<Path>) -> Result<File> {
    open(path.as_ref(), Use { write: false, alone: false }, FileKind::File, &|kind| kind == FileKind::File)
}

/// The access that an open needs.
#[derive(Clone, Copy)]
struct Use {
    write: bool,
    /// Exclusive access to the device.
    alone: bool,
}

fn open(path: &Path, what: Use, wanted: FileKind, fits: &dyn Fn(FileKind) -> bool) -> Result<File> {
    let path = &*platform::here().path(&path.to_string_lossy());
    let open = || {
        let judge = |mode| {
            let is = FileKind::of(FileType::from_raw_mode(mode));
            if fits(is) { Ok(()) } else { Err(io::Error::from(Refusal::Kind { is, wanted })) }
        };
        let mode = rustix::fs::stat(path)?.st_mode;
        judge(mode)?;
        if wanted == FileKind::Block {
            not_the_kernels(rustix::fs::statfs(path)?)?;
        }
        let access = if what.write { OFlags::RDWR } else { OFlags::RDONLY };
        let is_block = FileType::from_raw_mode(mode) == FileType::BlockDevice;
        // On a regular file the flag has no effect.
        let alone = if what.alone && is_block { OFlags::EXCL } else { OFlags::empty() };
        let flags = access | alone | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = crate::hostfs::named::open_for(path, flags).map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::BUSY) if !alone.is_empty() => Refusal::InUse.into(),
            Some(e) => of_errno(e, wanted),
            None => e,
        })?;
        let opened = rustix::fs::fstat(&fd)?.st_mode;
        judge(opened)?;
        if wanted == FileKind::Block {
            not_the_kernels(rustix::fs::fstatfs(&fd)?)?;
        }
        // Another file has been put at the path since it was inspected.
        if what.alone && alone.is_empty() && FileType::from_raw_mode(opened) == FileType::BlockDevice {
            return Err(Errno::AGAIN.into());
        }
        blocking(fd)
    };
    open().map_err(|e| problem("open", path, &e))
}

/// Refuses files of the kernel: a "disk image" in /proc or /sys is a process's memory, or a switch of the host.
#[cfg(target_os = "linux")]
fn not_the_kernels(at: StatFs) -> io::Result<()> {
    // The magic numbers of proc, sysfs, debugfs, tracefs, securityfs, cgroup, cgroup2, bpf, efivarfs, configfs, selinuxfs, pstore and
    // devpts, from linux/magic.h.
    const KERNELS: [u32; 13] = [
        0x9fa0,
        0x6265_6572,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x0027_e0eb,
        0x6367_7270,
        0xcafe_4a11,
        0xde5e_81e4,
        0x6265_6570,
        0xf97c_ff8c,
        0x6165_676c,
        0x1cd1,
    ];
    // The magic number has 32 bits, whatever the width of the field.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let is = at.f_type as u32;
    if KERNELS.contains(&is) { Err(Refusal::OfKernel.into()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)] // the signature of the Linux version
fn not_the_kernels(_: StatFs) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_a_file_or_a_device_and_nothing_of_the_kernel() {
        let temp = tempfile::tempdir().unwrap();
        let disk = temp.path().join("disk");
        std::fs::write(&disk, [0; 512]).unwrap();
        std::os::unix::fs::symlink(&disk, temp.path().join("link")).unwrap();
        attached(&disk, true).unwrap();
        attached(temp.path().join("link"), true).unwrap();
        if cfg!(target_os = "linux") {
            for path in ["/proc/self/mem", "/proc/self/status", "/sys/power/state", "/dev/zero"] {
                let refused = attached(path, false);
                assert!(!Path::new(path).exists() || refused.is_err(), "{path}");
            }
            assert!(attached("/proc/self/status", false).unwrap_err().causes[0].contains("the kernel's"));
        }
    }
}
