//! Paths that an administrator gave in an argument or a setting, and those of installed packages. The path is trusted, so links
//! in it are followed. Disks are opened by [`crate::safe::attached`], which refuses FIFOs and devices other than disks.

use rustix::fs::{Access, Mode, OFlags};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Result;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

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
    // Descriptors of this process, whose links lead to no path.
    let own = ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|folder| path.as_ref().starts_with(folder));
    if own { File::open(path) } else { open_for(path, OFlags::RDONLY) }
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

/// A file that was opened by a path, and the links in that path.
pub struct Reached {
    /// The open file. The caller checks what it is.
    pub file: File,
    /// Its path without links.
    pub path: PathBuf,
    /// Each link that was followed, with its owner.
    pub links: Vec<(PathBuf, u32)>,
}

/// More links than a kernel follows.
const MOST_LINKS: usize = 40;

/// Opens a path for reading without blocking. The links in it are followed here, one by one; then the path without links is opened
/// without following any, so that none can be inserted meanwhile.
///
/// # Errors
/// The system call fails.
pub fn reach(path: impl AsRef<Path>) -> Result<Reached> {
    // Opening a FIFO would wait for its writer.
    reach_for(path.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK)
}

fn reach_for(path: &Path, access: OFlags) -> Result<Reached> {
    let (path, links) = resolve(path)?;
    let flags = access | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(Reached { file: File::from(without_links(&path, flags)?), path, links })
}

impl Reached {
    /// The first link of another user that leads to a file that is not that user's, with its owner: it would make root open what
    /// its owner may not.
    ///
    /// # Errors
    /// The file cannot be queried.
    pub fn foreign_link(&self) -> Result<Option<&(PathBuf, u32)>> {
        let (me, owner) = (rustix::process::geteuid().as_raw(), self.file.metadata()?.uid());
        Ok(self.links.iter().find(|(_, of)| ![0, me, owner].contains(of)))
    }
}

/// Opens a path through links of root, of this user, and of the owner of the file that they lead to.
///
/// # Errors
/// A link of somebody else leads to it, or the system call fails.
pub fn open_for(path: impl AsRef<Path>, access: OFlags) -> Result<File> {
    let reached = reach_for(path.as_ref(), access)?;
    if let Some((link, owner)) = reached.foreign_link()? {
        let why = format!("`{}` is a link of the user {owner}, and leads to a file of another user", link.display());
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, why));
    }
    Ok(reached.file)
}

/// As [`open_for`], for reading without waiting for the writer of a FIFO.
///
/// # Errors
/// As [`open_for`].
pub fn open_as_seen(path: impl AsRef<Path>) -> Result<File> {
    open_for(path, OFlags::RDONLY | OFlags::NONBLOCK)
}

fn resolve(path: &Path) -> Result<(PathBuf, Vec<(PathBuf, u32)>)> {
    let parts = |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
    let (mut real, mut left, mut links) = (PathBuf::from("/"), parts(&std::path::absolute(path)?), Vec::new());
    while let Some(part) = left.pop() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => {
                let next = real.join(name);
                let meta = fs::symlink_metadata(&next)?;
                if !meta.is_symlink() {
                    real = next;
                    continue;
                }
                if links.len() == MOST_LINKS {
                    return Err(rustix::io::Errno::LOOP.into());
                }
                left.extend(parts(&fs::read_link(&next)?));
                links.push((next, meta.uid()));
            }
            Some(Component::ParentDir) => drop(real.pop()),
            Some(Component::RootDir) => real = PathBuf::from("/"),
            Some(Component::CurDir | Component::Prefix(_)) | None => {}
        }
    }
    Ok((real, links))
}

#[cfg(target_os = "linux")]
fn without_links(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{CWD, ResolveFlags, open, openat2};
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS) {
        // Kernels before 5.6, and containers that filter system calls.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => open(path, flags | OFlags::NOFOLLOW, Mode::empty()),
        other => other,
    }
}

#[cfg(not(target_os = "linux"))]
fn without_links(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::NOFOLLOW, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_of_another_user_leads_to_a_file_of_root() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let (file, link, other) = (temp.path().join("file"), temp.path().join("link"), rustix::process::Uid::from_raw(54_321));
        fs::write(&file, "secret").unwrap();
        symlink(&file, &link).unwrap();
        let owner = |path: &Path, uid| {
            let (at, flags) = (rustix::fs::CWD, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
            rustix::fs::chownat(at, path, Some(uid), None, flags).unwrap();
        };
        let opens = || [open(&link).is_ok(), open_as_seen(&link).is_ok(), crate::safe::attached(&link, true).is_ok()];
        assert_eq!(opens(), [true; 3], "a link of root");
        owner(&link, other);
        assert_eq!(opens(), [false; 3], "a link of another user to a file of root");
        assert!(open(&link).unwrap_err().to_string().contains("is a link of the user 54321"));
        owner(&file, other);
        assert_eq!(opens(), [true; 3], "a link and a file of one user");
        owner(&link, rustix::process::Uid::ROOT);
        assert_eq!(opens(), [true; 3], "a link of root to a file of another user");
    }

    #[test]
    fn a_path_leads_where_the_kernel_leads_and_its_links_are_known() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "x").unwrap();
        symlink("a/b", at("folder")).unwrap();
        symlink(at("folder"), at("again")).unwrap();
        symlink("../b/./file", at("a/b/relative")).unwrap();
        symlink("round", at("round")).unwrap();
        for (path, links) in
            [("a/b/file", 0), ("folder/file", 1), ("again/file", 2), ("again/../b/file", 2), ("folder/relative", 2), ("a/../a/b/file", 0)]
        {
            let reached = reach(at(path)).unwrap();
            assert_eq!(reached.path, fs::canonicalize(at(path)).unwrap(), "{path}");
            assert_eq!(reached.links.len(), links, "{path}");
        }
        assert_eq!(reach(at("round")).err().unwrap().raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
        assert!(reach(at("a/b/file/x")).is_err() && reach(at("none")).is_err());
    }
}
