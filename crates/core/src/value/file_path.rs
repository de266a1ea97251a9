//! The path of a file of chyves: below a dataset's mount point, or elsewhere on the host.
//!
//! Files below a mount point may have been placed there by anybody. Therefore the two parts are kept separate until the
//! file is opened: no symbolic link in the second part may leave the first (chyves-host `safe`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The separator of the two parts in a single text; every program interprets such a path as intended.
const MARK: &str = "/./";

/// A path, which is shown as one text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FilePath {
    /// Below the mount point of a dataset.
    Below {
        /// The mount point.
        mount: String,
        /// The path relative to the mount point.
        path: String,
    },
    /// Elsewhere: in the runtime folder, a device, or a file that an administrator named.
    Host(String),
}

impl FilePath {
    /// A path below the mount point of a dataset.
    pub fn below(mount: impl Into<String>, path: impl Into<String>) -> Self {
        Self::Below { mount: mount.into(), path: path.into() }
    }

    /// A path elsewhere on the host.
    pub fn host(path: impl Into<String>) -> Self {
        let path: String = path.into();
        Self::Host(if path.contains(MARK) { path.replace(MARK, "/") } else { path })
    }

    /// A file in the folder at this path.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Below { mount, path } => Self::below(mount, format!("{path}/{name}")),
            Self::Host(path) => Self::host(format!("{path}/{name}")),
        }
    }

    /// A path that determines which file system it is in.
    pub fn within(&self) -> &str {
        match self {
            Self::Below { mount, .. } => mount,
            Self::Host(path) => path,
        }
    }

    /// Whether it is the path of a device.
    pub fn is_device(&self) -> bool {
        matches!(self, Self::Host(path) if path.starts_with("/dev/"))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below { mount, path } => write!(f, "{mount}/{path}"),
            Self::Host(path) => f.write_str(path),
        }
    }
}

impl From<&str> for FilePath {
    fn from(path: &str) -> Self {
        Self::host(path)
    }
}

impl From<String> for FilePath {
    fn from(path: String) -> Self {
        Self::host(path)
    }
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Below { mount, path } => serializer.collect_str(&format_args!("{mount}{MARK}{path}")),
            Self::Host(path) => serializer.serialize_str(path),
        }
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.split_once(MARK) {
            Some((mount, path)) => Self::below(mount, path),
            None => Self::Host(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_parts_stay_apart_in_a_journal_and_are_shown_in_one_piece() {
        let file = FilePath::below("/tank/chyves/guests/web01", "logs/console.log");
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!(text, "\"/tank/chyves/guests/web01/./logs/console.log\"");
        assert_eq!(serde_json::from_str::<FilePath>(&text).unwrap(), file);
        assert_eq!(file.to_string(), "/tank/chyves/guests/web01/logs/console.log");
        let host = FilePath::host("/home/./ann/disk.raw");
        assert_eq!(serde_json::from_str::<FilePath>(&serde_json::to_string(&host).unwrap()).unwrap(), host);
        assert_eq!(FilePath::from("/dev/zvol/tank/a").join("b").to_string(), "/dev/zvol/tank/a/b");
    }
}
