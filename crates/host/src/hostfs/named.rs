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

/// The content of a file or a pipe, such as `<(command)` of a shell, of at most `limit` bytes.
///
/// # Errors
/// The system call fails, the content is longer, or the user interrupted: [`super::problem`] restores that.
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    super::bounded(super::input::Input::open(path)?, limit)
}

/// As [`read`], for text.
///
/// # Errors
/// As [`read`], or the content is not UTF-8.
pub fn text(path: impl AsRef<Path>, limit: u64) -> Result<String> {
    super::text(read(path, limit)?)
}

/// Opens a file for appending; if it is missing, it is created with access for its owner only. Links are followed as by
/// [`open_for`]; one that leads nowhere is not.
///
/// # Errors
/// As [`open_for`], or it cannot be created.
pub fn append(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    let access = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = if is_own_descriptor(path) {
        OpenOptions::new().append(true).open(path)?
    } else {
        match open_for(path, access) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => create(path, access)?,
            opened => opened?,
        }
    };
    // Only opening must not wait: a writer expects that what it writes arrives.
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Whether a path names a descriptor of this process: its link leads to no path.
pub(super) fn is_own_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/proc/self/fd"].iter().any(|own| path.starts_with(own))
}

/// Creates a file in a folder that is reached as [`open_for`] reaches a file.
fn create(path: &Path, access: OFlags) -> Result<File> {
    let absolute = std::path::absolute(path)?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(std::io::ErrorKind::IsADirectory.into());
    };
    let folder = open_for(folder, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let made = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    Ok(File::from(rustix::fs::openat(folder, name, made, Mode::RUSR | Mode::WUSR)?))
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
    /// Each symbolic link that was followed, with its owner.
    pub links: Vec<(PathBuf, u32)>,
    /// The folder in which it was opened; none for the root folder.
    folder: Option<Metadata>,
}

/// How another user than its owner may have put a file at a path, so that root opens what that user may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// A symbolic link of that user leads to it.
    Link {
        /// The link.
        link: PathBuf,
        /// The link's owner.
        by: u32,
        /// The file's owner.
        of: u32,
    },
    /// It has several names, one of them in a folder to which others may write.
    HardLink {
        /// The folder.
        folder: PathBuf,
        /// The file's owner.
        of: u32,
    },
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link { link, by, of } => {
                write!(f, "`{}` is a link of the user {by} to a file of the user {of}", link.display())
            }
            Self::HardLink { folder, of } => write!(
                f,
                "the file of the user {of} has several names, and others may write to `{}`: this name may be another user's hard link",
                folder.display()
            ),
        }
    }
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
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Reached { file: File::from(without_links(&path, flags)?), path, links, folder: None });
    };
    // The folder that is judged is the one in which the file is opened, whatever is renamed meanwhile.
    let parent = File::from(without_links(parent, FOLDER)?);
    let file = File::from(rustix::fs::openat(&parent, name, flags | OFlags::NOFOLLOW, Mode::empty())?);
    Ok(Reached { file, folder: Some(parent.metadata()?), path, links })
}

/// The flags by which a folder is opened. Where `O_PATH` is not in all supported releases, it must be readable.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

impl Reached {
    /// How a user other than root, this one and the file's owner may have put it at its path: by a symbolic link, or by a hard link,
    /// which has no owner of its own. Whether the kernel refuses hard links to files of others (`fs.protected_hardlinks`,
    /// `security.bsd.hardlink_check_uid`) is not asked: it may not have refused them when this one was made.
    ///
    /// # Errors
    /// The file cannot be queried.
    pub fn foreign(&self) -> Result<Option<Foreign>> {
        let meta = self.file.metadata()?;
        let of = meta.uid();
        let trusted = [0, rustix::process::geteuid().as_raw(), of];
        if let Some((link, by)) = self.links.iter().find(|(_, by)| !trusted.contains(by)) {
            return Ok(Some(Foreign::Link { link: link.clone(), by: *by, of }));
        }
        let open = self.folder.as_ref().is_some_and(|folder| others_write(folder, trusted));
        if meta.nlink() > 1 && !meta.is_dir() && open {
            return Ok(Some(Foreign::HardLink { folder: self.path.parent().unwrap_or(&self.path).to_owned(), of }));
        }
        Ok(None)
    }
}

/// Whether somebody who is not trusted may create names in a folder. A group with the number of the folder's owner has no other
/// members.
fn others_write(folder: &Metadata, trusted: [u32; 3]) -> bool {
    let by_group = folder.mode() & 0o020 != 0 && ![0, folder.uid()].contains(&folder.gid());
    folder.mode() & 0o002 != 0 || by_group || !trusted.contains(&folder.uid())
}

/// Opens a path through links of root, of this user, and of the owner of the file that they lead to.
///
/// # Errors
/// A link of somebody else leads to it, or the system call fails.
pub fn open_for(path: impl AsRef<Path>, access: OFlags) -> Result<File> {
    let reached = reach_for(path.as_ref(), access)?;
    match reached.foreign()? {
        Some(foreign) => Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, foreign.to_string())),
        None => Ok(reached.file),
    }
}

/// As [`open_for`], for reading what the caller only inspects or locks: a FIFO reads as empty while it has no writer.
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
    use super::super::input::Input;
    use super::*;
    use std::io::Write as _;
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
        let opens = || [Input::open(&link).is_ok(), open_as_seen(&link).is_ok(), crate::safe::attached(&link, true).is_ok()];
        assert_eq!(opens(), [true; 3], "a link of root");
        owner(&link, other);
        assert_eq!(opens(), [false; 3], "a link of another user to a file of root");
        assert!(Input::open(&link).unwrap_err().to_string().contains("is a link of the user 54321"));
        owner(&file, other);
        assert_eq!(opens(), [true; 3], "a link and a file of one user");
        owner(&link, rustix::process::Uid::ROOT);
        assert_eq!(opens(), [true; 3], "a link of root to a file of another user");
    }

    #[test]
    fn no_hard_link_of_another_user_is_opened() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let (file, folder) = (temp.path().join("file"), temp.path().join("folder"));
        let link = folder.join("link");
        fs::write(&file, "secret").unwrap();
        fs::create_dir(&folder).unwrap();
        let opens = || [Input::open(&link).is_ok(), open_as_seen(&link).is_ok(), crate::safe::attached(&link, true).is_ok()];
        // The folder's owner, group and mode, the file's owner, and whether its second name may be another user's.
        for (owner, group, mode, of, refused) in [
            (0, 0, 0o755, 0, false),
            (54_321, 0, 0o755, 0, true),
            (54_321, 54_321, 0o775, 54_321, false),
            (54_321, 0, 0o755, 54_322, true),
            (0, 0, 0o1777, 0, true),
            (0, 0, 0o775, 0, false),
            (0, 54_321, 0o775, 0, true),
            (54_321, 54_322, 0o775, 54_321, true),
        ] {
            let case = format!("{owner}:{group} {mode:o}, a file of {of}");
            std::os::unix::fs::chown(&folder, Some(owner), Some(group)).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&file, Some(of), None).unwrap();
            fs::hard_link(&file, &link).unwrap();
            assert_eq!(opens(), [!refused; 3], "{case}");
            assert_eq!(reach(&link).unwrap().foreign().unwrap().is_some(), refused, "{case}");
            // The name outside of that folder is as good as ever, and so is a file with one name in it.
            assert!(open_as_seen(&file).is_ok(), "{case}");
            fs::remove_file(&link).unwrap();
            fs::copy(&file, &link).unwrap();
            assert_eq!(opens(), [true; 3], "{case}");
            fs::remove_file(&link).unwrap();
        }
        assert!(open_as_seen(&folder).is_ok(), "each subfolder is another name of a folder");
    }

    #[test]
    fn a_file_is_appended_to_through_no_link_of_another_user() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        append(at("new")).unwrap().write_all(b"a").unwrap();
        append(at("new")).unwrap().write_all(b"b").unwrap();
        assert_eq!(fs::read_to_string(at("new")).unwrap(), "ab");
        assert_eq!(fs::metadata(at("new")).unwrap().mode() & 0o777, 0o600);
        let other = rustix::process::Uid::from_raw(54_321);
        let link = |name: &str, to: &str| {
            symlink(to, at(name)).unwrap();
            rustix::fs::chownat(rustix::fs::CWD, at(name), Some(other), None, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
        };
        link("theirs", "new");
        link("nowhere", "none");
        link("folder", ".");
        for name in ["theirs", "nowhere", "folder/new", "folder/fresh"] {
            assert!(append(at(name)).is_err(), "{name}");
        }
        assert_eq!(fs::read_to_string(at("new")).unwrap(), "ab");
        assert!(!at("none").exists() && !at("fresh").exists());
        symlink("new", at("mine")).unwrap();
        append(at("mine")).unwrap().write_all(b"c").unwrap();
        assert_eq!(fs::read_to_string(at("new")).unwrap(), "abc");
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
