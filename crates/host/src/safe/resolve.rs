//! Resolves names to descriptors: nothing above the folder, no symbolic link, no other file system.
//!
//! Linux has `openat2`, which guarantees all of it in one call. Elsewhere, and where the kernel or a system call filter lacks
//! it, the path is opened component by component with `O_NOFOLLOW`, and each folder must be on the same file system as the
//! first.

use super::refusal::{FileKind, Refusal, of_errno};
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

/// The method by which names are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `openat2` where it exists.
    Kernel,
    /// Component by component.
    #[cfg_attr(not(test), allow(dead_code))]
    Walk,
}

/// The flags of every open: it never blocks, never acquires a controlling terminal, is not inherited by children, and never
/// follows a link.
const ALWAYS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Checks that a path consists of one or more names, none of them `..`.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let mut names = path.components().peekable();
    if names.peek().is_none() || names.any(|c| !matches!(c, Component::Normal(_))) {
        return Err(Refusal::Escapes.into());
    }
    Ok(())
}

/// Opens a path below a folder on the file system `device`.
pub(super) fn open(from: BorrowedFd<'_>, device: u64, path: &Path, flags: OFlags, mode: Mode, way: Way) -> io::Result<OwnedFd> {
    check(path)?;
    let flags = flags | ALWAYS;
    if way == Way::Kernel
        && let Some(opened) = by_kernel(from, path, flags, mode)
    {
        return opened;
    }
    by_walk(from, device, path, flags, mode)
}

#[cfg(target_os = "linux")]
fn by_kernel(from: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> Option<io::Result<OwnedFd>> {
    use rustix::fs::ResolveFlags;
    use rustix::io::Errno;
    use std::sync::atomic::{AtomicBool, Ordering};

    static MISSING: AtomicBool = AtomicBool::new(false);
    if MISSING.load(Ordering::Relaxed) {
        return None;
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    // The kernel returns EAGAIN if something was renamed or mounted concurrently.
    for _ in 0..16 {
        match rustix::fs::openat2(from, path, flags, mode, resolve) {
            Ok(fd) => return Some(Ok(fd)),
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS) => {
                MISSING.store(true, Ordering::Relaxed);
                return None;
            }
            // System call filters return this for calls that they do not know.
            Err(Errno::PERM) => return None,
            Err(e) => return Some(Err(of_errno(e, wanted(flags)))),
        }
    }
    None
}

#[cfg(not(target_os = "linux"))]
fn by_kernel(_: BorrowedFd<'_>, _: &Path, _: OFlags, _: Mode) -> Option<io::Result<OwnedFd>> {
    None
}

fn wanted(flags: OFlags) -> FileKind {
    if flags.contains(OFlags::DIRECTORY) { FileKind::Folder } else { FileKind::File }
}

fn by_walk(from: BorrowedFd<'_>, device: u64, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let names: Vec<&OsStr> = path.iter().collect();
    let (last, above) = names.split_last().ok_or(Refusal::Escapes)?;
    let mut current: Option<OwnedFd> = None;
    for name in above {
        let at = current.as_ref().map_or(from, |fd| fd.as_fd());
        let folder = rustix::fs::openat(at, *name, ALWAYS | OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())
            .map_err(|e| of_errno(e, FileKind::Folder))?;
        same(&folder, device)?;
        current = Some(folder);
    }
    let at = current.as_ref().map_or(from, |fd| fd.as_fd());
    let opened = rustix::fs::openat(at, *last, flags, mode).map_err(|e| of_errno(e, wanted(flags)))?;
    same(&opened, device)?;
    Ok(opened)
}

fn same(fd: &OwnedFd, device: u64) -> io::Result<()> {
    if rustix::fs::fstat(fd)?.st_dev == device { Ok(()) } else { Err(Refusal::Crosses.into()) }
}
