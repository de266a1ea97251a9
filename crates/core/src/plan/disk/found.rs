//! The actual state of a guest's disks, as read from the files and volumes; the settings only record the intended state.
//!
//! Not here: reading them (chyves-host `observe::disks`).

use crate::error::{Code, Problem, Result};
use crate::guest::{DiskKind, DiskSpec, Guest, disk_name};
use crate::value::{Size, printable};
use std::collections::BTreeMap;

/// The disks of a guest, by number; with [`strays`], which no setting records.
pub type Disks = BTreeMap<u16, Found>;

/// The state of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is of the recorded kind and has this size.
    Size(Size),
    /// Neither a file nor a volume exists.
    Missing,
    /// A disk of the other kind has its name: a volume although a file is recorded, or the reverse; with its size.
    OtherKind(DiskKind, Size),
    /// An object with its name exists that cannot be a disk; with its description.
    NoDisk(String),
    /// The disk could not be read; with the reason.
    Unknown(String),
}

impl Found {
    /// The disk's size.
    ///
    /// # Errors
    /// The disk is missing, is not what is recorded, or could not be read.
    pub fn size(&self, guest: &Guest, disk: &DiskSpec) -> Result<Size> {
        let number = disk.number;
        let object = format!("{}:disk{number}", guest.name);
        let cannot = |why: String| Code::DiskUnusable.problem(format!("cannot use disk{number} of {}: {why}", guest.name)).on(&object);
        match self {
            Self::Size(size) => Ok(*size),
            Self::Missing => {
                let what = if disk.kind == DiskKind::Attached { disk.place() } else { format!("its {}", noun(disk.kind)) };
                let problem = cannot(format!("{what} is missing"));
                Err(cures_of_missing(guest.name.as_str(), number, disk.kind).into_iter().fold(problem, Problem::hint))
            }
            Self::OtherKind(kind, _) => Err(cannot(format!("it is recorded as a {}, and a {} has its name", noun(disk.kind), noun(*kind)))
                .hint(format!("record what is there: `chyves disk sync {} disk{number}`", guest.name))),
            Self::NoDisk(what) => {
                let what = printable(what, 120);
                Err(cannot(format!("{what} has its name")).hint(format!(
                    "move it away, or remove the disk from the settings: `chyves disk remove {} disk{number} --lost`",
                    guest.name
                )))
            }
            Self::Unknown(why) => Err(cannot(printable(why, 400)).hint(format!(
                "`chyves info {}` shows the guest, `zfs get mounted,mountpoint {}` its file system",
                guest.name, guest.dataset
            ))),
        }
    }

    /// A short description of how the disk differs from its record; `None` if it does not differ or is unknown.
    pub fn differs(&self, disk: &DiskSpec) -> Option<String> {
        let recorded = || disk.size.map_or_else(|| "nothing".to_owned(), |s| s.to_string());
        match self {
            Self::Size(size) if disk.size == Some(*size) => None,
            Self::Size(size) => Some(format!("actual size {size}, recorded {}", recorded())),
            Self::Missing if disk.kind == DiskKind::Attached => Some(format!("{} is missing", disk.place())),
            Self::Missing => Some(format!("its {} is missing", noun(disk.kind))),
            Self::OtherKind(kind, size) => {
                Some(format!("actually a {} of {size}, recorded as a {} of {}", noun(*kind), noun(disk.kind), recorded()))
            }
            Self::NoDisk(what) => Some(format!("{} has its name", printable(what, 120))),
            Self::Unknown(_) => None,
        }
    }

    /// The actual kind, which is the recorded one if nothing else was found.
    pub const fn kind(&self, disk: &DiskSpec) -> DiskKind {
        match self {
            Self::OtherKind(kind, _) => *kind,
            Self::Size(_) | Self::Missing | Self::NoDisk(_) | Self::Unknown(_) => disk.kind,
        }
    }

    /// The actual size, if there is a disk.
    pub const fn actual(&self) -> Option<Size> {
        match self {
            Self::Size(size) | Self::OtherKind(_, size) => Some(*size),
            Self::Missing | Self::NoDisk(_) | Self::Unknown(_) => None,
        }
    }
}

/// What has the name of a disk that the settings do not have: it was put there, or a rollback or revert brought it back.
pub fn strays<'a>(guest: &'a Guest, disks: &'a Disks) -> impl Iterator<Item = Stray<'a>> {
    let recorded = guest.settings.numbers("disk");
    disks.iter().filter(move |(number, _)| !recorded.contains(number)).map(|(number, found)| Stray { guest, number: *number, found })
}

/// A file or volume with the name of a disk, of which the settings have nothing.
#[derive(Debug, Clone, Copy)]
pub struct Stray<'a> {
    guest: &'a Guest,
    /// The number in its name.
    pub number: u16,
    /// What it is: a file has the recorded kind's state, a volume another kind's.
    pub found: &'a Found,
}

impl Stray<'_> {
    /// What was found, in a sentence.
    pub fn cause(&self) -> String {
        let Self { guest, number, found } = self;
        let file = disk_name(*number, DiskKind::Raw);
        match found {
            Found::Size(size) => {
                format!("the file {file} of {size} is in the folder of {}, and disk{number} is not in its settings", guest.name)
            }
            Found::OtherKind(_, size) => {
                format!("the volume disk{number} of {size} lies below {}, and disk{number} is not in its settings", guest.dataset)
            }
            Found::NoDisk(what) => format!("{} has the name {file} in the folder of {}", printable(what, 120), guest.name),
            Found::Unknown(why) => format!("{file} in the folder of {} cannot be read: {}", guest.name, printable(why, 400)),
            Found::Missing => format!("there is no disk{number} of {}", guest.name),
        }
    }

    /// What brings it and the settings together.
    pub fn cure(&self) -> String {
        match self.found {
            Found::Size(_) | Found::OtherKind(..) => {
                format!("`chyves disk sync {} disk{}` records it as that disk", self.guest.name, self.number)
            }
            Found::NoDisk(_) | Found::Unknown(_) | Found::Missing => "move it away".to_owned(),
        }
    }
}

/// What to do about a disk that is missing.
pub fn cures_of_missing(guest: &str, number: u16, kind: DiskKind) -> [String; 2] {
    let find = match kind {
        DiskKind::Attached => "it is part of no snapshot: connect, mount or restore what it is on".to_owned(),
        DiskKind::Raw | DiskKind::Zvol => format!("find it in a snapshot: `chyves snapshot list {guest}`"),
    };
    [find, format!("if it is gone for good, remove it from the settings: `chyves disk remove {guest} disk{number} --lost`")]
}

/// A kind of disk as part of a sentence.
const fn noun(kind: DiskKind) -> &'static str {
    match kind {
        DiskKind::Raw => "file",
        DiskKind::Zvol => "volume",
        DiskKind::Attached => "source",
    }
}

/// The state of one disk.
pub fn of(disks: &Disks, number: u16) -> &Found {
    static UNREAD: std::sync::LazyLock<Found> = std::sync::LazyLock::new(|| Found::Unknown("it was not inspected".to_owned()));
    disks.get(&number).unwrap_or(&UNREAD)
}
