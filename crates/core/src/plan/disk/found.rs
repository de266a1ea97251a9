//! The actual state of a guest's disks, as read from the files and volumes; the settings only record the intended state.
//!
//! Not here: reading them (chyves-host `observe::disks`).

use crate::error::{Code, Result};
use crate::guest::{DiskKind, DiskSpec, Guest};
use crate::value::{Size, printable};
use std::collections::BTreeMap;

/// The disks of a guest, by number.
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
                let what = noun(disk.kind);
                let lost =
                    format!("if it is gone for good, remove it from the settings: `chyves disk remove {} disk{number} --lost`", guest.name);
                Err(cannot(format!("its {what} is missing"))
                    .hint(format!("find it in a snapshot: `chyves snapshot list {}`", guest.name))
                    .hint(lost))
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
