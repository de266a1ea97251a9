//! What is recorded about an image of a pool.
//!
//! Not here: its request ([`super::Order`]), and parsing the record (`world::inventory`).

pub use crate::property::choices::ImageKind;

use crate::error::Result;
use crate::value::{Dataset, ImageName, Size, SnapshotRef};
use serde::Serialize;

/// The recorded facts about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Its dataset.
    pub dataset: Dataset,
    /// Its kind.
    pub kind: ImageKind,
    /// Its size as a virtual disk.
    pub size: Size,
    /// Space that it uses in the pool.
    pub used: Size,
    /// The SHA-256 of its content.
    pub sha256: Option<String>,
    /// The source that it was imported from.
    pub source: Option<String>,
    /// The time of the import.
    pub added: Option<String>,
    /// The name of the file that it was made from.
    pub original: Option<String>,
    /// The compression or archive format that it was imported from.
    pub format: Option<String>,
    /// What it was verified against at the import.
    pub checked: Option<String>,
    /// The volume label of an ISO, if there is one.
    pub label: Option<String>,
    /// The template of variables of a firmware, if there is one.
    pub vars: Option<Template>,
    /// Settings that guests made from it need, keys and values.
    pub wants: Vec<(String, String)>,
    /// How it is stored.
    #[serde(skip)]
    pub stored: Stored,
}

/// How an image is stored, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// The origin of its dataset, if that is a clone: another dataset was promoted.
    pub origin: Option<String>,
    /// Whether it has its snapshot [`IMAGE_SNAPSHOT`]; `None` if that was not read.
    pub ready: Option<bool>,
    /// Its actual mount point; `None` if it inherits it.
    pub mountpoint: Option<String>,
    /// Where chyves mounts it.
    pub home: Option<String>,
    /// Whether ZFS mounts it (`canmount`).
    pub canmount: Option<String>,
}

/// The template of a firmware's variables, in a file beside the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Template {
    /// Its size.
    pub size: Size,
    /// The SHA-256 of its content.
    pub sha256: String,
}

/// The name of the snapshot that clones of an image are made from.
pub const IMAGE_SNAPSHOT: &str = "ready";

impl Image {
    /// The snapshot that clones are made from.
    ///
    /// # Errors
    /// Never, as the name is valid; the parser's type requires it.
    pub fn snapshot(&self) -> Result<SnapshotRef> {
        Ok(self.dataset.at(&IMAGE_SNAPSHOT.parse()?))
    }
}

impl ImageKind {
    /// The name of the file with the template of variables, beside the firmware's code.
    pub const VARS_FILE: &'static str = "vars.fd";

    /// The noun that users see.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Iso => "ISO",
            Self::Firmware => "firmware",
        }
    }

    /// The noun with its article.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Disk => "a disk",
            Self::Iso => "an ISO",
            Self::Firmware => "firmware",
        }
    }

    /// The name of the file in the image's dataset. A disk's file has the name of a guest's disk 0, so that a clone of the
    /// image's dataset serves as a guest's file system unchanged.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Disk => "disk0.raw",
            Self::Iso => "image.iso",
            Self::Firmware => "image.fd",
        }
    }
}
