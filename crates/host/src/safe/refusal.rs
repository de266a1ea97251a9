//! What is refused below a mount point, and why, as text.

use chyves_core::error::Problem;
use chyves_core::value::printable;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

/// File types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// Something else.
    Other,
}

impl FileKind {
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::BlockDevice => Self::Block,
            FileType::CharacterDevice => Self::Character,
            FileType::Unknown => Self::Other,
        }
    }

    /// The type with its article, for messages.
    pub const fn words(self) -> &'static str {
        match self {
            Self::File => "a regular file",
            Self::Folder => "a folder",
            Self::Link => "a symbolic link",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Block => "a block device",
            Self::Character => "a character device",
            Self::Other => "a file of unknown kind",
        }
    }
}

/// Why an existing file is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It, or a parent folder, is a symbolic link.
    Link,
    /// It is of another type.
    Kind {
        /// The actual type.
        is: FileKind,
        /// The expected type.
        wanted: FileKind,
    },
    /// It is on another file system.
    Crosses,
    /// The path is absolute or goes above the folder.
    Escapes,
    /// The file to be written has several hard links.
    Links(u64),
    /// The file is larger than the limit.
    Large {
        /// Length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file belongs to this other user.
    Owner(u32),
    /// The host itself uses the device.
    InUse,
    /// The file belongs to the kernel, where reading or writing has effects.
    OfKernel,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => write!(f, "it is, or is below, a symbolic link"),
            Self::Kind { is, wanted } => write!(f, "it is {}, not {}", is.words(), wanted.words()),
            Self::Crosses => write!(f, "another file system is mounted there"),
            Self::Escapes => write!(f, "the path leaves its dataset"),
            Self::Links(n) => write!(f, "it has {n} names (hard links), and writing to it would change a file of another name"),
            Self::Large { len, limit } => write!(f, "it has {len} bytes, and at most {limit} are read"),
            Self::InUse => {
                write!(f, "this host uses it: a file system of it is mounted, or it is part of a pool, a RAID or a volume group")
            }
            Self::OfKernel => write!(f, "it is not a disk: it is on a file system of the kernel's, such as /proc or /sys"),
            Self::Owner(uid) => write!(f, "it belongs to the user {uid}, not to the user who runs chyves"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::other(refusal)
    }
}

/// The text of the refusal to write a file with this number of links.
pub fn links_refused(names: u64) -> String {
    Refusal::Links(names).to_string()
}

/// The refusal that an error carries.
pub(super) fn of(e: &io::Error) -> Option<Refusal> {
    e.get_ref()?.downcast_ref::<Refusal>().copied()
}

/// The meaning of a failed open where links and other file systems are refused.
pub(super) fn of_errno(e: Errno, wanted: FileKind) -> io::Error {
    match e {
        // FreeBSD returns EMLINK for `O_NOFOLLOW`.
        Errno::LOOP | Errno::MLINK => Refusal::Link.into(),
        Errno::XDEV => Refusal::Crosses.into(),
        // A FIFO without a reader, a socket, or a device without a driver.
        Errno::NXIO | Errno::OPNOTSUPP => Refusal::Kind { is: FileKind::Other, wanted }.into(),
        Errno::NOTDIR => Refusal::Kind { is: FileKind::Other, wanted: FileKind::Folder }.into(),
        Errno::ISDIR => Refusal::Kind { is: FileKind::Folder, wanted }.into(),
        e => e.into(),
    }
}

/// A path in the form that is shown.
pub(super) fn path(path: &Path) -> String {
    format!("`{}`", printable(&path.to_string_lossy(), 300))
}

/// The problem that an operation on a file failed.
pub(super) fn problem(verb: &str, at: &Path, e: &io::Error) -> Problem {
    let (shown, plain) = (path(at), printable(&at.to_string_lossy(), 300));
    if let Some(refusal) = of(e) {
        let problem = Problem::not_now(format!("cannot {verb} {shown}: {refusal}")).on(&plain);
        return match refusal {
            Refusal::Link => problem
                .because("links below a guest's or an image's folder are not followed: they could name any file of the host")
                .hint(format!("inspect it with `ls -l {plain}`, and remove it or put the file itself in its place")),
            Refusal::Kind { .. } | Refusal::Links(_) | Refusal::Escapes => {
                problem.hint(format!("inspect it with `ls -l {plain}`, and move it out of the way"))
            }
            Refusal::Crosses => problem.hint(format!("unmount what is mounted there: umount {plain}")),
            Refusal::InUse => problem.because(refusal).hint("`mount`, `lsblk` and `zpool status` show by what; end that first"),
            Refusal::OfKernel => problem.because(refusal).hint("name a disk or a regular file"),
            Refusal::Large { .. } => problem.hint(format!("inspect it with `ls -ls {plain}`, and replace or remove it")),
            Refusal::Owner(_) => problem.hint(format!("inspect it, and if its content is right: chown root {plain}")),
        };
    }
    let problem = Problem::failed(format!("cannot {verb} {shown}")).on(&plain).because(e);
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => problem
            .hint("free space: `chyves trash list` shows what is deleted and not yet destroyed, `zfs list -o space` what uses the pool"),
        ErrorKind::ReadOnlyFilesystem => problem.hint("the pool or dataset is read-only: `zfs get readonly`, `zpool status`"),
        _ => problem,
    }
}
