//! What somebody hostile puts in the place of a file, and what a command that needs the file must answer.
//!
//! Not among them is a hard link to a file of the host: each guest and each image is a file system of its own, and no name leads
//! from one to another. A hard link is one to another file of the same guest.

use super::canary::Canary;
use crate::common::Host;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a huge file is, bytes.
const HUGE: u64 = 1 << 40;

/// What is put where a file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// A symbolic link to a file of the host; for a folder, to a folder of the host.
    Link,
    /// A symbolic link to a name in a folder of the host that nothing has, so that whoever creates the file creates it there.
    Dangling,
    /// A symbolic link to a file without end.
    Zero,
    /// The folder above it is a symbolic link to a folder of the host that has such a file.
    Parent,
    /// Another name of another file of the guest.
    HardLink,
    /// A FIFO that nobody writes to.
    Fifo,
    /// A socket that nobody listens at.
    Socket,
    /// A character device, a file without end.
    Character,
    /// A block device.
    Block,
    /// A file, or a folder, of the host is mounted there.
    Mount,
    /// The file itself, set-user-ID.
    SetUid,
    /// A file of 1 TiB of holes.
    Huge,
    /// The file and a symbolic link to a file of the host, in turns while the command runs.
    Swapped,
}

impl Attack {
    pub const ALL: [Self; 13] = [
        Self::Link,
        Self::Dangling,
        Self::Zero,
        Self::Parent,
        Self::HardLink,
        Self::Fifo,
        Self::Socket,
        Self::Character,
        Self::Block,
        Self::Mount,
        Self::SetUid,
        Self::Huge,
        Self::Swapped,
    ];

    /// Whether another attack on such a file is judged by the same rule, so that this one is made under one command of a row alone.
    pub fn is_variant(self, of: Use) -> bool {
        match self {
            Self::Zero | Self::Socket | Self::Character | Self::Block | Self::SetUid => true,
            // Only who creates a file makes a difference.
            Self::Dangling => of != Use::Name,
            Self::Link | Self::Parent | Self::HardLink | Self::Fifo | Self::Mount | Self::Huge | Self::Swapped => false,
        }
    }
}

/// How chyves uses a file, from which follows what it does with one that is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A folder that is entered.
    Folder,
    /// A small file that is read whole; a new one takes its name when it is changed.
    Text,
    /// A small file that is opened for reading and writing in place.
    Variables,
    /// The same, and of any length.
    Disk,
    /// A small file that is read whole, and that root alone may be able to read.
    Secret,
    /// A file of any length that is only read, and has a known content.
    Image,
    /// A small file that is read whole, and of which only a certain content is taken.
    Parsed,
    /// It is only created, or removed, and never needed.
    Name,
}

/// What a command that needs a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It refuses the file, names it, and says what to do.
    Refused,
    /// It uses the file, and succeeds.
    Used,
    /// The one or the other.
    Either,
}

impl Use {
    /// What a command that needs the file does with this in its place.
    pub fn outcome(self, attack: Attack) -> Outcome {
        match (attack, self) {
            (
                Attack::Link
                | Attack::Dangling
                | Attack::Zero
                | Attack::Parent
                | Attack::Fifo
                | Attack::Socket
                | Attack::Character
                | Attack::Block
                | Attack::Mount,
                _,
            )
            // What is written in place would change the other file as well.
            | (Attack::HardLink, Self::Variables | Self::Disk)
            // These and the others are files that others may read.
            | (Attack::HardLink | Attack::SetUid | Attack::Huge, Self::Secret)
            // No text and no variables are so long, so they are not read to their end.
            | (Attack::Huge, Self::Text | Self::Variables | Self::Parsed) => Outcome::Refused,
            // Set-user-ID says nothing of a file's content, and nothing executes it.
            (Attack::HardLink, Self::Text) | (Attack::SetUid, Self::Text | Self::Variables | Self::Disk | Self::Image) => Outcome::Used,
            // The length is another than the recorded one: `start` reports it, `disk resize` refuses.
            (Attack::Huge, Self::Disk)
            // It has another content, which `image verify` reports, and no start looks for.
            | (Attack::HardLink | Attack::Huge, Self::Image)
            // It has another content.
            | (Attack::HardLink | Attack::SetUid, Self::Parsed)
            | (Attack::HardLink | Attack::SetUid | Attack::Huge, Self::Folder | Self::Name)
            | (Attack::Swapped, _) => Outcome::Either,
        }
    }
}

/// A file that is attacked.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub host: &'a Host,
    /// The folder of the dataset as the test opens it.
    pub root: &'a Path,
    /// The path of the file in it.
    pub path: &'a str,
    pub canary: &'a Canary,
    pub is_folder: bool,
}

impl Target<'_> {
    fn at(&self) -> PathBuf {
        self.root.join(self.path)
    }

    fn aside(&self) -> PathBuf {
        self.root.join("aside")
    }

    fn set_aside(&self) {
        if fs::symlink_metadata(self.at()).is_ok() {
            fs::rename(self.at(), self.aside()).unwrap();
        }
    }

    /// The path as the host's own programs open it.
    fn in_host(&self) -> String {
        let at = self.at();
        at.strip_prefix(self.host.open_path("/")).unwrap().to_str().map(|path| format!("/{path}")).unwrap()
    }

    /// Puts the attack in the place of the file.
    pub fn lay(&self, attack: Attack) {
        let (at, canary) = (self.at(), self.canary);
        let node = |kind, device| {
            self.set_aside();
            mknodat(CWD, &at, kind, Mode::RWXU, device).unwrap();
        };
        let link = |to: &Path| {
            self.set_aside();
            symlink(to, &at).unwrap();
        };
        match attack {
            Attack::Link | Attack::Swapped => link(if self.is_folder { &canary.folder } else { &canary.file }),
            Attack::Dangling => link(&canary.absent()),
            Attack::Zero => link(Path::new("/dev/zero")),
            Attack::Parent => {
                let (above, name) = self.path.rsplit_once('/').unwrap();
                canary.also_as(name);
                fs::rename(self.root.join(above), self.aside()).unwrap();
                symlink(&canary.folder, self.root.join(above)).unwrap();
            }
            Attack::HardLink => {
                self.set_aside();
                fs::hard_link(self.root.join("other"), &at).unwrap();
            }
            Attack::Fifo => node(FileType::Fifo, 0),
            Attack::Socket => node(FileType::Socket, 0),
            // /dev/zero, and the first loop device.
            Attack::Character => node(FileType::CharacterDevice, makedev(1, 5)),
            Attack::Block => node(FileType::BlockDevice, makedev(7, 0)),
            Attack::Mount => {
                self.set_aside();
                let source = if self.is_folder { &canary.folder } else { &canary.file };
                if self.is_folder {
                    fs::create_dir(&at).unwrap()
                } else {
                    drop(File::create(&at).unwrap())
                }
                self.host.sh("mount", &["--bind", source.to_str().unwrap(), &self.in_host()]);
            }
            Attack::SetUid => {
                fs::copy(&at, self.aside()).unwrap();
                fs::set_permissions(&at, Permissions::from_mode(0o4755)).unwrap();
            }
            Attack::Huge => {
                self.set_aside();
                File::create(&at).unwrap().set_len(HUGE).unwrap();
            }
        }
    }

    /// What must be so of the file itself after a command: it is as it was, or replaced by one that is root's alone.
    #[track_caller]
    pub fn check(&self, attack: Attack, what: &str) {
        let Ok(meta) = fs::symlink_metadata(self.at()) else { return };
        match attack {
            Attack::SetUid => {
                assert_eq!(meta.uid(), 0, "{what}");
                assert!([0o4755, 0o600].contains(&(meta.mode() & 0o7777)), "{what}: its mode is {:o}", meta.mode());
            }
            // Neither cut, nor filled.
            Attack::Huge if meta.len() == HUGE => assert!(meta.blocks() < 2048, "{what}: its holes were filled"),
            Attack::Huge => assert_eq!(meta.mode() & 0o7777, 0o600, "{what}: it was changed in place"),
            _ => {}
        }
    }

    /// Removes the attack and restores what was there.
    pub fn clear(&self, attack: Attack) {
        let (above, name) = self.path.rsplit_once('/').unwrap_or(("", self.path));
        let at = if attack == Attack::Parent { self.root.join(above) } else { self.at() };
        if attack == Attack::Mount {
            self.host.sh("umount", &[&self.in_host()]);
        }
        match fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&at).unwrap(),
            Ok(_) => fs::remove_file(&at).unwrap(),
            Err(_) => {}
        }
        if fs::symlink_metadata(self.aside()).is_ok() {
            fs::rename(self.aside(), at).unwrap();
        }
        if attack == Attack::Parent && name != "canary" {
            fs::remove_file(self.canary.folder.join(name)).unwrap();
        }
        self.canary.renew();
    }

    /// Puts the file and a link to the host there in turns, until `end`.
    pub fn swap(&self, end: &AtomicBool) {
        let (at, next) = (self.at(), self.root.join("next"));
        while !end.load(Ordering::SeqCst) {
            let file = fs::copy(self.aside(), &next).and_then(|_| fs::rename(&next, &at));
            let link = symlink(&self.canary.file, &next).and_then(|()| fs::rename(&next, &at));
            assert!(file.is_ok() && link.is_ok(), "{file:?} {link:?}");
        }
    }
}
