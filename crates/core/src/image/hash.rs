//! Checksums as users specify them.

use crate::value::{BadValue, printable};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A hash algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKind {
    /// Used in old lists; detects accidental changes, not attacks.
    Md5,
    /// Used in old lists; detects accidental changes, not attacks.
    Sha1,
    /// The usual one.
    Sha256,
    /// The longer one.
    Sha512,
}

impl HashKind {
    /// All of them, the strongest last.
    pub const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    /// The name that is written before a hash.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Number of hexadecimal digits.
    pub const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    /// Whether collisions or preimages can be constructed.
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1)
    }

    /// Parses a name in any common spelling: `SHA256`, `sha-256`.
    pub fn read(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase().replace('-', "");
        Self::ALL.into_iter().find(|k| k.word() == word)
    }
}

/// The hash that a file must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    /// The algorithm.
    pub kind: HashKind,
    /// Its digits, lower-case hexadecimal.
    pub hex: String,
}

impl Hash {
    /// A hash of that kind; `None` if the number of digits is wrong.
    pub fn new(kind: HashKind, hex: &str) -> Option<Self> {
        let good = hex.len() == kind.digits() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        good.then(|| Self { kind, hex: hex.to_ascii_lowercase() })
    }

    /// A hash with the kind derived from its length.
    pub fn bare(hex: &str) -> Option<Self> {
        HashKind::ALL.into_iter().find_map(|kind| Self::new(kind, hex))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.word(), self.hex)
    }
}

impl FromStr for Hash {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let found = match text.split_once(':') {
            Some((kind, hex)) => HashKind::read(kind).and_then(|kind| Self::new(kind, hex)),
            None => Self::bare(text),
        };
        found.ok_or_else(|| {
            BadValue::new(&printable(text, 140), "is not a hash")
                .hint("write it as sha256:… (64 digits); md5, sha1 and sha512 are known too")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_known_by_word_or_length() {
        let sha = "0123456789ABCDEF".repeat(4);
        assert_eq!(sha.parse::<Hash>().unwrap().to_string(), format!("sha256:{}", sha.to_lowercase()));
        assert_eq!(format!("SHA-256:{sha}").parse::<Hash>().unwrap().kind, HashKind::Sha256);
        assert_eq!(sha[..32].parse::<Hash>().unwrap().kind, HashKind::Md5);
        for wrong in ["", "sha256:12", "sha3:00", &sha[..63], &format!("md5:{sha}"), &"x".repeat(64)] {
            assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
        }
    }
}
