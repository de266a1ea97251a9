//! ZFS as text: parses the output of `zfs` and builds its arguments.
//!
//! * [`rows`]: the parser of `zfs get -H -p`
//! * [`forged`]: rows that a value from elsewhere imitates
//! * [`locked`]: datasets with a key that is not loaded
//! * [`args`]: argument vectors of every call, for both dialects
//! * [`devices`]: the files that pools use as devices
//! * [`guard`]: properties that keep the files and volumes of guests and images from acting on the host
//! * [`sending`]: the commands that produce a guest's stream
//! * [`stream`]: parsing the beginning of a stream, and the commands that receive streams
//! * [`Dialect`]: the ZFS implementation in use
//!
//! Minimum versions: OpenZFS 2.0 (Linux, FreeBSD 13) and zfs-fuse 0.7. Not here: running the commands (chyves-host).

pub mod args;
pub mod devices;
pub mod forged;
pub mod guard;
pub mod locked;
pub mod rows;
pub mod sending;
pub mod stream;

use serde::{Deserialize, Serialize};

/// The command-line dialect of the host's `zfs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// OpenZFS 2.x: several properties in one `zfs set`; supports volumes.
    OpenZfs,
    /// zfs-fuse 0.7: one property in each `zfs set`; no volumes. Its `zfs set a=1 b=2 ds` sets the first property and
    /// treats the second one as a dataset, so this form must never be used.
    Fuse,
}

impl Dialect {
    /// Whether an interrupted `zfs receive` can be resumed.
    pub const fn can_resume(self) -> bool {
        match self {
            Self::OpenZfs => true,
            Self::Fuse => false,
        }
    }

    /// Whether volumes are supported.
    pub const fn has_volumes(self) -> bool {
        match self {
            Self::OpenZfs => true,
            Self::Fuse => false,
        }
    }
}
