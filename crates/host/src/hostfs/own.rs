//! The runtime and the state folder. Both belong to root (`runtime` verifies it), so names in them are trusted. Still, only
//! regular files that belong to root or to this user are opened, a link in the last component is never followed, and an open
//! never blocks. New files are accessible to their owner only.

use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The flags of every open: no link is followed, nothing blocks, no controlling terminal is acquired, children do not inherit
/// it.
const ALWAYS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Reading.
    Read,
    /// Reading and writing in place.
    Write,
    /// Reading and writing in place; created if it is missing.
    WriteOrCreate,
    /// Reading only; created if it is missing. For a lock that an untrusted process holds.
    ReadOrCreate,
    /// Reading and writing; the file must not exist.
    Create,
    /// Appending; created if it is missing.
    Append,
}

impl How {
    fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::Write => OFlags::RDWR,
            Self::WriteOrCreate => OFlags::RDWR | OFlags::CREATE,
            Self::ReadOrCreate => OFlags::RDONLY | OFlags::CREATE,
            Self::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            Self::Append => OFlags::RDWR | OFlags::CREATE | OFlags::APPEND,
        }
    }
}

/// Opens a file.
///
/// # Errors
/// The system call fails, or the file is a link, is not regular, or belongs to another user.
pub fn open(path: impl AsRef<Path>, how: How) -> Result<File> {
    let file = File::from(rustix::fs::open(path.as_ref(), how.flags() | ALWAYS, Mode::RUSR | Mode::WUSR)?);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Error::other("it is not a regular file"));
    }
    is_own(&meta)?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// The ends of a named pipe that a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// The reading end.
    Reading,
    /// The writing end; opening it needs a reader.
    Writing,
    /// Both ends: reading never reaches the end of the data.
    Both,
}

/// Creates a named pipe, unless it exists.
///
/// # Errors
/// The system call fails.
pub fn make_pipe(path: impl AsRef<Path>) -> Result<()> {
    match rustix::fs::mkfifoat(rustix::fs::CWD, path.as_ref(), Mode::RUSR | Mode::WUSR) {
        Err(e) if e != rustix::io::Errno::EXIST => Err(e.into()),
        _ => Ok(()),
    }
}

/// Opens a named pipe without blocking.
///
/// # Errors
/// The system call fails, or the file is a link, is not a pipe, or belongs to another user.
pub fn pipe(path: impl AsRef<Path>, ends: Ends) -> Result<File> {
    let way = match ends {
        Ends::Reading => OFlags::RDONLY,
        Ends::Writing => OFlags::WRONLY,
        Ends::Both => OFlags::RDWR,
    };
    let file = File::from(rustix::fs::open(path.as_ref(), way | ALWAYS, Mode::empty())?);
    let meta = file.metadata()?;
    if !meta.file_type().is_fifo() {
        return Err(Error::other("it is not a pipe"));
    }
    is_own(&meta)?;
    Ok(file)
}

fn is_own(meta: &Metadata) -> Result<()> {
    if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::other(format!("it belongs to the user {}", meta.uid())));
    }
    Ok(())
}

/// The content of a file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], or the file is longer.
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    super::bounded(open(path, How::Read)?, limit)
}

/// As [`read`], for text.
///
/// # Errors
/// As [`read`], or the content is not UTF-8.
pub fn text(path: impl AsRef<Path>, limit: u64) -> Result<String> {
    super::text(read(path, limit)?)
}

/// Writes a file atomically through a temporary one: readers see the old or the new content.
///
/// # Errors
/// The system call fails; the old file is then unchanged.
pub fn replace(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let put = || {
        remove(&temporary)?;
        open(&temporary, How::Create)?.write_all(bytes)?;
        fs::rename(&temporary, path)
    };
    put().inspect_err(|_| drop(remove(&temporary)))
}

/// Renames a file, replacing an existing target.
///
/// # Errors
/// The system call fails.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    fs::rename(from, to)
}

/// Removes a file, if it exists.
///
/// # Errors
/// The system call fails.
pub fn remove(path: impl AsRef<Path>) -> Result<()> {
    gone_is_good(fs::remove_file(path))
}

/// Removes a folder, if it exists and is empty.
///
/// # Errors
/// The system call fails, except for a folder that is not empty.
pub fn remove_folder(path: impl AsRef<Path>) -> Result<()> {
    match gone_is_good(fs::remove_dir(path)) {
        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other,
    }
}

/// Removes a file or a folder with its contents, if it exists. Links are removed, not followed.
///
/// # Errors
/// The system call fails.
pub fn remove_all(path: impl AsRef<Path>) -> Result<()> {
    gone_is_good(match stat(&path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    })
}

fn gone_is_good(result: Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Creates a folder and its parents with that mode, unless they exist.
///
/// # Errors
/// The system call fails.
pub fn make_folder(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    DirBuilder::new().mode(mode).recursive(true).create(path)
}

/// The names in a folder; empty if it is missing.
///
/// # Errors
/// The system call fails.
pub fn names(path: impl AsRef<Path>) -> Result<Vec<OsString>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// The metadata of a file, without following links.
///
/// # Errors
/// The system call fails.
pub fn stat(path: impl AsRef<Path>) -> Result<Metadata> {
    fs::symlink_metadata(path)
}

/// Whether the name exists.
pub fn is_there(path: impl AsRef<Path>) -> bool {
    stat(path).is_ok()
}

/// Whether the name is a socket of root or of this user.
pub fn is_socket(path: impl AsRef<Path>) -> bool {
    stat(path).is_ok_and(|meta| meta.file_type().is_socket() && is_own(&meta).is_ok())
}

/// Why the name cannot be a file of chyves: it is not regular, belongs to another user, or its owner may not read it; none if it can
/// be, or is missing.
pub fn oddity(path: impl AsRef<Path>) -> Option<String> {
    let meta = stat(path).ok()?;
    let unreadable = || meta.mode() & 0o400 == 0 && !rustix::process::geteuid().is_root();
    if !meta.is_file() {
        return Some("it is not a regular file".to_owned());
    }
    is_own(&meta).err().map(|e| e.to_string()).or_else(|| unreadable().then(|| "its owner may not read it".to_owned()))
}

/// The path with links resolved: the administrator may have made the folders themselves links.
pub fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Syncs a folder to disk.
///
/// # Errors
/// The system call fails.
pub fn settle(folder: impl AsRef<Path>) -> Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether files can be created in a folder.
///
/// # Errors
/// They cannot.
pub fn can_write(folder: impl AsRef<Path>) -> Result<()> {
    Ok(rustix::fs::access(folder.as_ref(), rustix::fs::Access::WRITE_OK)?)
}

/// Listens on a socket to which only this user can connect, whatever the umask is; an existing file of that name is removed.
///
/// # Errors
/// The system call fails.
pub fn listen(path: impl AsRef<Path>) -> Result<UnixListener> {
    let path = path.as_ref();
    remove(path)?;
    // Nobody else can connect before the mode is set, and this user can whatever the umask was.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_pipes_devices_and_files_of_others_are_refused_and_block_nobody() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        fs::write(at("secret"), "secret").unwrap();
        symlink(at("secret"), at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::create_dir(at("folder")).unwrap();
        let all = [How::Read, How::Write, How::WriteOrCreate, How::ReadOrCreate, How::Create, How::Append];
        for how in all {
            for name in ["link", "fifo", "folder"] {
                assert!(open(at(name), how).is_err(), "{name} {how:?}");
            }
            assert!(open("/dev/zero", how).is_err());
        }
        fs::write(at("theirs"), "x").unwrap();
        if std::os::unix::fs::chown(at("theirs"), Some(4711), None).is_ok() {
            assert!(open(at("theirs"), How::Read).unwrap_err().to_string().contains("user 4711"));
        }
        assert_eq!(fs::read(at("secret")).unwrap(), b"secret");
    }

    #[test]
    fn what_is_replaced_is_whole_and_private_and_a_link_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        fs::write(at("secret"), "secret").unwrap();
        symlink(at("secret"), at("record.json")).unwrap();
        // Left by a process that had the same id.
        symlink(at("secret"), at(&format!("record.new-{}", std::process::id()))).unwrap();
        replace(at("record.json"), b"new").unwrap();
        assert_eq!(text(at("record.json"), 100).unwrap(), "new");
        assert_eq!(stat(at("record.json")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(at("secret")).unwrap(), b"secret");
        assert!(read(at("record.json"), 2).is_err(), "it is longer");
        remove_all(at("record.json")).unwrap();
        remove_all(at("record.json")).unwrap();
        assert_eq!(names(temp.path()).unwrap(), ["secret"]);
        assert!(names(at("missing")).unwrap().is_empty());
    }
}
