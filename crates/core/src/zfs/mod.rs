//! ZFS as text: what `zfs` prints becomes rows, what is wanted becomes its arguments.
//!
//! * [`rows`]: the parser of `zfs get -H -p`
//! * [`inventory`]: rows become roots, guests, images
//! * [`locked`]: which datasets miss their key
//! * [`args`]: argument vectors of every call, for both dialects
//! * [`guard`]: what keeps the files and volumes of guests and images from acting on the host
//! * [`sending`]: the commands whose output a guest's stream is
//! * [`stream`]: what stands at a stream's beginning, and the commands that take streams
//! * [`Dialect`]: which ZFS this is
//!
//! Least versions: OpenZFS 2.0 (Linux, FreeBSD 13) and zfs-fuse 0.7. Not here: running them (chyves-host).

pub mod args;
pub mod guard;
pub mod inventory;
pub mod locked;
pub mod rows;
pub mod sending;
pub mod stream;

use serde::{Deserialize, Serialize};

/// Which grammar the host's `zfs` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// OpenZFS 2.x: several properties in one `zfs set`, volumes.
    OpenZfs,
    /// zfs-fuse 0.7: one property a `zfs set`, no volumes. There `zfs set a=1 b=2 ds` sets the first property and takes
    /// the second for a dataset, so it must never be tried.
    Fuse,
}

impl Dialect {
    /// Whether a stream that was cut off can be gone on with.
    pub const fn can_resume(self) -> bool {
        match self {
            Self::OpenZfs => true,
            Self::Fuse => false,
        }
    }

    /// Whether volumes can be made.
    pub const fn has_volumes(self) -> bool {
        match self {
            Self::OpenZfs => true,
            Self::Fuse => false,
        }
    }
}
