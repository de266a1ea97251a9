//! The program in the guest that reads the seed. cloud-init defined the format; others support a part of it.
//!
//! Not here: rendering a seed for each ([`super::documents`]).

use crate::error::{Problem, Result};
use crate::guest::Guest;
use crate::property::keys;
use crate::value::serde_by_text;
use std::fmt;
use std::str::FromStr;

/// The value of `ci.reader` that derives the reader from `os`.
pub const AUTO: &str = "auto";

/// A program that reads seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reader {
    /// cloud-init itself: in images of all Linux distributions, and of the other BSDs.
    #[default]
    CloudInit,
    /// FreeBSD's own, in its images BASIC-CLOUDINIT: one `#cloud-config`, few keys, no MIME.
    Nuageinit,
    /// cloudbase-init on Windows.
    CloudbaseInit,
}

impl Reader {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CloudInit, Self::Nuageinit, Self::CloudbaseInit];

    /// Its name, which is a value of `ci.reader`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CloudInit => "cloud-init",
            Self::Nuageinit => "nuageinit",
            Self::CloudbaseInit => "cloudbase-init",
        }
    }

    /// The reader for a guest with these settings.
    ///
    /// # Errors
    /// `reader` is not the name of a reader.
    pub fn derived(reader: Option<&str>, os: Option<&str>) -> Result<Self> {
        match reader {
            None | Some(AUTO) => Ok(match os {
                Some("freebsd") => Self::Nuageinit,
                Some("windows") => Self::CloudbaseInit,
                Some(_) | None => Self::CloudInit,
            }),
            Some(word) => word.parse(),
        }
    }

    /// The reader of a guest.
    ///
    /// # Errors
    /// A stored value is invalid.
    pub fn of(guest: &Guest) -> Result<Self> {
        Self::derived(guest.checked(keys::CI_READER)?.as_deref(), guest.checked(keys::OS)?.as_deref())
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Reader {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|reader| reader.word() == text)
            .ok_or_else(|| Problem::usage(format!("`{}` is not a reader of seeds", crate::value::printable(text, 60))))
    }
}
serde_by_text!(Reader);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_follows_from_the_operating_system_unless_it_is_set() {
        let of = |reader, os| Reader::derived(reader, os).unwrap();
        assert_eq!(of(None, None), Reader::CloudInit);
        assert_eq!(of(Some("auto"), Some("debian")), Reader::CloudInit);
        assert_eq!(of(None, Some("freebsd")), Reader::Nuageinit);
        assert_eq!(of(Some("auto"), Some("windows")), Reader::CloudbaseInit);
        assert_eq!(of(Some("cloud-init"), Some("freebsd")), Reader::CloudInit);
        assert_eq!(of(Some("nuageinit"), None), Reader::Nuageinit);
        assert!(Reader::derived(Some("cloudinit"), None).is_err());
    }
}
