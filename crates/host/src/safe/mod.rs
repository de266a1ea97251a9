//! Opening files below a dataset's mount point. The file system of a guest or an image may come from anybody (by `receive`, or
//! from those who may write to it), so a name in it proves nothing: it may be a symbolic link to a host file, a FIFO that
//! blocks its reader, a device, or an endless file.
//!
//! A [`Folder`] is an open descriptor of the mount point. Everything else is resolved beneath it: no symbolic link is followed
//! in any component, no other mount is entered, an open never blocks, and `fstat` of the open descriptor verifies the type of
//! the file. New files are created with `O_EXCL` under an unpredictable name and get their final name by `renameat`, so that no
//! existing file is opened for writing by accident.
//!
//! * `resolve`: names to descriptors, by `openat2` or component by component
//! * `refusal`: what is refused and why, as text
//! * `file`: existing files, with the rules that they must meet
//! * `staged`: new files that get their name when they are complete
//! * `attached`: disks that an administrator attached from elsewhere on the host
//!
//! This is the only module of the crate that may open anything there; `clippy.toml` forbids `std::fs` in the others. Not here:
//! mounting (`apply`), and what the files mean.

#![allow(clippy::disallowed_methods)] // the lint refers users to this module

mod attached;
mod file;
mod refusal;
mod resolve;
mod staged;
#[cfg(test)]
mod tests;

pub use attached::{attached, named};
pub use file::{Access, Owner, Rule};
pub use refusal::links_refused;
pub use refusal::{FileKind, Refusal};
pub use staged::{Staged, is_temporary};

use chyves_core::error::{Problem, Result};
use chyves_core::value::FilePath;
use refusal::problem;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Maximum number of nested folders that are removed; each pass removes one level.
const PASSES: usize = 100_000;

/// A folder of a dataset's file system: the mount point, or a folder below it.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    /// Device number of the file system; nothing on another one is opened.
    device: u64,
    way: resolve::Way,
}

/// What `lstat` reports about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The file type.
    pub kind: FileKind,
    /// Length in bytes.
    pub len: u64,
    /// Space used on disk, in bytes.
    pub taken: u64,
    /// Permissions, including the setuid and setgid bits.
    pub mode: u32,
    /// User id of the owner.
    pub uid: u32,
    /// Number of links.
    pub links: u64,
    /// Time of the last modification, in seconds since 1970.
    pub changed: u64,
}

impl Folder {
    /// Opens a dataset's mount point. Its own path comes from ZFS and is trusted, but it must itself be a folder.
    ///
    /// # Errors
    /// It is missing, not a folder, or a symbolic link.
    pub fn open(mount_point: impl AsRef<Path>) -> Result<Self> {
        let path = mount_point.as_ref();
        Self::try_open(path).map_err(|e| problem("open", path, &e))
    }

    /// Opens a dataset's mount point; none if it is missing.
    ///
    /// # Errors
    /// It is not a folder, or a symbolic link.
    pub fn open_if_there(mount_point: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = mount_point.as_ref();
        missing_is_none(Self::try_open(path)).map_err(|e| problem("open", path, &e))
    }

    fn try_open(path: &Path) -> io::Result<Self> {
        let open = || {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| refusal::of_errno(e, FileKind::Folder))?;
            let file = File::from(fd);
            let device = file.metadata()?.dev();
            Ok(Self { fd: file.into(), path: path.to_owned(), device, way: resolve::Way::Kernel })
        };
        open().map_err(|e| match rustix::fs::lstat(path).map(|s| entry_of(&s).kind) {
            Ok(FileKind::Link) => Refusal::Link.into(),
            Ok(is) if is != FileKind::Folder => Refusal::Kind { is, wanted: FileKind::Folder }.into(),
            _ => e,
        })
    }

    /// Opens the folder of a path; returns it with the rest of the path. For a path below a mount point that is the mount
    /// point, otherwise the parent folder.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn of(path: &FilePath) -> Result<(Self, PathBuf)> {
        let (folder, path) = parts(path)?;
        Ok((Self::open(folder)?, path))
    }

    /// As [`Folder::of`]; none if the folder is missing.
    ///
    /// # Errors
    /// As [`Folder::open_if_there`].
    pub fn of_if_there(path: &FilePath) -> Result<Option<(Self, PathBuf)>> {
        let (folder, path) = parts(path)?;
        Ok(Self::open_if_there(folder)?.map(|folder| (folder, path)))
    }

    /// The folder's path, for messages and for programs that accept only paths.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Device number of the file system.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// The full path of an entry, for messages.
    pub fn shown(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    fn raw(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        resolve::open(self.fd.as_fd(), self.device, path, flags, mode, self.way)
    }

    /// The folder that contains a path's last component.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(Parent<'_>, &'a OsStr)> {
        resolve::check(path)?;
        let name = path.file_name().ok_or(Refusal::Escapes)?;
        match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => {
                Ok((Parent::Below(self.raw(above, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())?), name))
            }
            _ => Ok((Parent::This(self.fd.as_fd()), name)),
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let (parent, name) = self.parent(path)?;
        Ok(entry_of(&rustix::fs::statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The entry of a name, without following links; none if the name does not exist.
    ///
    /// # Errors
    /// A parent folder is not a folder, or cannot be read.
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Option<Entry>> {
        let path = path.as_ref();
        missing_is_none(self.entry(path)).map_err(|e| problem("inspect", &self.shown(path), &e))
    }

    /// Whether the name exists, with any file type.
    ///
    /// # Errors
    /// As [`Folder::metadata`].
    pub fn has(&self, path: impl AsRef<Path>) -> Result<bool> {
        Ok(self.metadata(path)?.is_some())
    }

    fn try_folder(&self, path: &Path) -> io::Result<Self> {
        let fd = self.raw(path, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).map_err(|e| self.clearer(path, FileKind::Folder, e))?;
        Ok(Self { fd, path: self.path.join(path), device: self.device, way: self.way })
    }

    /// Opens a folder below this one.
    ///
    /// # Errors
    /// It is missing or not a folder.
    pub fn folder(&self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        self.try_folder(path).map_err(|e| problem("open", &self.shown(path), &e))
    }

    /// Opens a folder below this one; none if it is missing.
    ///
    /// # Errors
    /// It is not a folder.
    pub fn folder_if_there(&self, path: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = path.as_ref();
        missing_is_none(self.try_folder(path)).map_err(|e| problem("open", &self.shown(path), &e))
    }

    /// Creates a folder that only its owner may enter; whether it was missing.
    ///
    /// # Errors
    /// The name exists and is not a folder, or the folder cannot be created.
    pub fn make_folder(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let make = || {
            let (parent, name) = self.parent(path)?;
            match rustix::fs::mkdirat(parent.as_fd(), name, Mode::RWXU) {
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::EXIST) => self.try_folder(path).map(|_| false),
                Err(e) => Err(e.into()),
            }
        };
        make().map_err(|e| problem("create the folder", &self.shown(path), &e))
    }

    /// Restricts this folder to the user of this process, whatever its owner and mode were.
    ///
    /// # Errors
    /// The owner or mode cannot be set.
    pub fn make_private(&self) -> Result<()> {
        let set = || {
            let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
            let stat = rustix::fs::fstat(&self.fd)?;
            if stat.st_uid != uid.as_raw() || stat.st_gid != gid.as_raw() {
                rustix::fs::fchown(&self.fd, Some(uid), Some(gid))?;
            }
            if Mode::from_raw_mode(stat.st_mode) != Mode::RWXU {
                rustix::fs::fchmod(&self.fd, Mode::RWXU)?;
            }
            Ok::<_, io::Error>(())
        };
        set().map_err(|e| problem("restrict access to", &self.path, &e))
    }

    /// The folder's own metadata.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn own_metadata(&self) -> Result<Entry> {
        rustix::fs::fstat(&self.fd).map(|s| entry_of(&s)).map_err(|e| problem("inspect", &self.path, &e.into()))
    }

    /// The names in the folder, sorted.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn list(&self) -> Result<Vec<OsString>> {
        let read = || {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.fd)? {
                let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
                if name != "." && name != ".." {
                    names.push(name);
                }
            }
            names.sort();
            Ok::<_, io::Error>(names)
        };
        read().map_err(|e| problem("list", &self.path, &e))
    }

    /// Renames an entry to a name that must not exist.
    ///
    /// # Errors
    /// The new name exists, or the entry cannot be renamed.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let rename = || {
            let (old, old_name) = self.parent(from)?;
            let (new, new_name) = self.parent(to)?;
            rename_new(old.as_fd(), old_name, new.as_fd(), new_name)
        };
        rename().map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => {
                let (from, to) = (refusal::path(&self.shown(from)), refusal::path(&self.shown(to)));
                Problem::failed(format!("cannot rename {from}: {to} already exists")).on(&to).hint("inspect it, and move it out of the way")
            }
            _ => problem("rename", &self.shown(from), &e),
        })
    }

    /// Renames a file, replacing an existing target.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn rename_over(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let rename = || {
            let (old, old_name) = self.parent(from)?;
            let (new, new_name) = self.parent(to)?;
            Ok::<_, io::Error>(rustix::fs::renameat(old.as_fd(), old_name, new.as_fd(), new_name)?)
        };
        rename().map_err(|e| problem("rename", &self.shown(from), &e))
    }

    /// Removes an entry that is not a folder; whether it existed.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        self.unlink(path, AtFlags::empty()).map_err(|e| problem("remove", &self.shown(path), &e))
    }

    /// Removes a folder if it is empty; whether it is gone.
    ///
    /// # Errors
    /// It cannot be removed for another reason.
    pub fn remove_folder(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        match self.unlink(path, AtFlags::REMOVEDIR) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(e) => Err(problem("remove", &self.shown(path), &e)),
            Ok(_) => Ok(true),
        }
    }

    fn unlink(&self, path: &Path, flags: AtFlags) -> io::Result<bool> {
        let unlink = || {
            let (parent, name) = self.parent(path)?;
            Ok(rustix::fs::unlinkat(parent.as_fd(), name, flags)?)
        };
        missing_is_none(unlink()).map(|done| done.is_some())
    }

    /// Removes an entry of any type, a folder with its contents. Links are removed, never followed.
    ///
    /// # Errors
    /// Something in it cannot be removed.
    pub fn remove_all(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match self.metadata(path)?.map(|e| e.kind) {
            None => Ok(()),
            Some(FileKind::Folder) => {
                self.folder(path)?.empty()?;
                self.remove_folder(path).map(drop)
            }
            Some(_) => self.remove_file(path).map(drop),
        }
    }

    /// Removes the contents of this folder. Nested folders are moved up first, so that only two folders are open at a time: an
    /// untrusted writer may have nested more folders than a process can have open.
    fn empty(&self) -> Result<()> {
        let mark = crate::identity::new();
        for pass in 0..PASSES {
            let names = self.list()?;
            if names.is_empty() {
                return Ok(());
            }
            for (n, name) in names.iter().enumerate() {
                if self.metadata(name)?.is_none_or(|entry| entry.kind != FileKind::Folder) {
                    self.remove_file(name)?;
                    continue;
                }
                let nested = self.folder(name)?;
                for (m, inner) in nested.list()?.iter().enumerate() {
                    if nested.metadata(inner)?.is_none_or(|entry| entry.kind != FileKind::Folder) {
                        nested.remove_file(inner)?;
                        continue;
                    }
                    let up = format!(".removing-{mark}-{pass}-{n}-{m}");
                    rustix::fs::renameat(nested.as_fd(), inner, self.as_fd(), &up)
                        .map_err(|e| problem("remove", &nested.shown(inner), &e.into()))?;
                }
                self.remove_folder(name)?;
            }
        }
        Err(Problem::failed(format!("cannot remove {}: it is filled repeatedly", refusal::path(&self.path)))
            .on(self.path.display())
            .hint("end what writes there"))
    }

    /// Syncs the folder that contains a path to disk: what was created, renamed or removed in it then survives a power loss.
    ///
    /// # Errors
    /// The sync fails.
    pub fn settle(&self, path_in_it: impl AsRef<Path>) -> Result<()> {
        let path = path_in_it.as_ref();
        let sync = || {
            let (parent, _) = self.parent(path)?;
            settle(parent.as_fd())
        };
        sync().map_err(|e| problem("write the folder of", &self.shown(path), &e))
    }

    /// The error of an open, improved with the file type where that is the reason.
    fn clearer(&self, path: &Path, wanted: FileKind, e: io::Error) -> io::Error {
        if refusal::of(&e).is_some() && !matches!(refusal::of(&e), Some(Refusal::Kind { .. })) {
            return e;
        }
        match self.entry(path) {
            Ok(is) if is.kind == FileKind::Link => Refusal::Link.into(),
            Ok(is) if is.kind != wanted => Refusal::Kind { is: is.kind, wanted }.into(),
            _ => e,
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The folder to open for a path, and the rest of the path.
fn parts(path: &FilePath) -> Result<(&Path, PathBuf)> {
    match path {
        FilePath::Below { mount, path } => Ok((Path::new(mount), PathBuf::from(path))),
        FilePath::Host(path) => {
            let path = Path::new(path);
            match (path.parent(), path.file_name()) {
                (Some(folder), Some(name)) => Ok((folder, PathBuf::from(name))),
                _ => Err(Problem::bug("a folder of the host was taken for a file").on(path.display())),
            }
        }
    }
}

/// A folder that was already open, or that was opened to reach one name in it.
enum Parent<'a> {
    This(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::This(fd) => *fd,
            Self::Below(fd) => fd.as_fd(),
        }
    }
}

#[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // the width of these fields differs between platforms
fn entry_of(stat: &rustix::fs::Stat) -> Entry {
    Entry {
        kind: FileKind::of(FileType::from_raw_mode(stat.st_mode)),
        len: u64::try_from(stat.st_size).unwrap_or(0),
        taken: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
        mode: Mode::from_raw_mode(stat.st_mode).as_raw_mode() as u32,
        uid: stat.st_uid,
        links: stat.st_nlink as u64,
        changed: u64::try_from(stat.st_ctime as i64).unwrap_or(0),
    }
}

fn missing_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn settle(folder: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::fs::fsync(folder) {
        // Some file systems do not support it.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) | Ok(()) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Renames to a name that must not exist. Where the system has no atomic operation for that, the name is checked first.
fn rename_new(old: BorrowedFd<'_>, old_name: &OsStr, new: BorrowedFd<'_>, new_name: &OsStr) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::renameat_with(old, old_name, new, new_name, rustix::fs::RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
        other => return Ok(other?),
    }
    match rustix::fs::statat(new, new_name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(rustix::io::Errno::NOENT) => Ok(rustix::fs::renameat(old, old_name, new, new_name)?),
        Err(e) => Err(e.into()),
    }
}
