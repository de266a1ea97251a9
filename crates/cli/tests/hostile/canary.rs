//! Files that must stay as they are: one of the host, which is not even read, and one of the guest under another name.

use crate::common::Host;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What no command may print, or write anywhere.
const SECRET: &str = "root:canary-of-the-host";
/// The part of it that is looked for.
pub const WORD: &str = "canary-of-the-host";

/// A folder of the host with files that are nobody's business.
pub struct Canary {
    pub folder: PathBuf,
    pub file: PathBuf,
}

impl Canary {
    pub fn new(host: &Host) -> Self {
        Self::called(host, "elsewhere")
    }

    /// One of several, each in a folder of its own.
    pub fn called(host: &Host, folder: &str) -> Self {
        let folder = host.dir().join(folder);
        fs::create_dir(&folder).unwrap();
        let canary = Self { file: folder.join("canary"), folder };
        canary.renew();
        canary
    }

    /// A name in its folder that nothing has.
    pub fn absent(&self) -> PathBuf {
        self.folder.join("absent")
    }

    /// Makes it as it was, not read since long ago.
    pub fn renew(&self) {
        fs::write(&self.file, SECRET).unwrap();
        fs::set_permissions(&self.file, Permissions::from_mode(0o600)).unwrap();
        self.unread();
    }

    /// Old enough that each reading of it is recorded, also where access times are kept sparingly.
    fn unread(&self) {
        let at = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
        let times = Timestamps { last_access: at(1_000_000), last_modification: at(900_000) };
        rustix::fs::utimensat(CWD, &self.file, &times, AtFlags::empty()).unwrap();
    }

    /// Another name for the canary in its folder, as a link to that folder would lead to.
    pub fn also_as(&self, name: &str) {
        if name != "canary" {
            fs::hard_link(&self.file, self.folder.join(name)).unwrap();
        }
    }

    /// Nothing of it was read, written, created or given away. `names`: what else is in its folder.
    #[track_caller]
    pub fn check(&self, names: &[&str], what: &str) {
        let meta = fs::metadata(&self.file).unwrap();
        assert_eq!((meta.mtime(), meta.mode() & 0o7777, meta.uid()), (900_000, 0o600, 0), "{what}: a file of the host was changed");
        assert_eq!(meta.atime(), 1_000_000, "{what}: a file of the host was read");
        assert_eq!(fs::read_to_string(&self.file).unwrap(), SECRET, "{what}: a file of the host was written to");
        self.unread();
        let mut there: Vec<String> = fs::read_dir(&self.folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        let mut expected: Vec<&str> = names.iter().copied().chain(["canary"]).collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(there, expected, "{what}: a folder of the host was written to");
    }
}

/// What a file is: who it is, its owner, mode, and when it was last written.
fn state(meta: &Metadata) -> (u64, u32, u32, i64) {
    (meta.ino(), meta.uid(), meta.mode(), meta.mtime())
}

/// A file of the guest that a hard link leads to.
pub struct Other {
    path: PathBuf,
    was: (u64, u32, u32, i64),
}

impl Other {
    const TEXT: &'static str = "another file of the guest";

    /// Makes it in a guest's folder.
    pub fn new(root: &Path) -> Self {
        let path = root.join("other");
        fs::write(&path, Self::TEXT).unwrap();
        let was = state(&fs::metadata(&path).unwrap());
        Self { path, was }
    }

    #[track_caller]
    pub fn check(&self, what: &str) {
        assert_eq!(fs::read_to_string(&self.path).unwrap(), Self::TEXT, "{what}: a file was changed by another name of it");
        assert_eq!(state(&fs::metadata(&self.path).unwrap()), self.was, "{what}: owner or mode of another file were changed");
    }
}
