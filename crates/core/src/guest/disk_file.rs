//! Files and devices that contain disks, as they were read.

use crate::value::Size;
use serde::{Deserialize, Serialize};

/// The format of a disk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    /// Byte for byte.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

impl DiskFormat {
    /// The word that programs use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// A file or device that contains a disk, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFile {
    /// Its path.
    pub path: String,
    /// Its format.
    pub format: DiskFormat,
    /// The size of the disk in it.
    pub size: Size,
}
