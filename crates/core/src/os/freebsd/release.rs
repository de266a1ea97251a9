//! Releases of FreeBSD.
//!
//! Not here: reading the release from a host (facts).

use crate::value::BadValue;
use std::str::FromStr;

/// A release of FreeBSD, such as 14.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// The number before the dot: 14.
    pub major: u16,
    /// The number after the dot: 3.
    pub minor: u16,
}

impl Release {
    /// The release `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl From<(u16, u16)> for Release {
    fn from((major, minor): (u16, u16)) -> Self {
        Self { major, minor }
    }
}

/// Parses `14.3`, and the form of `kern.osrelease`: `14.3-RELEASE-p2`.
impl FromStr for Release {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = || BadValue::new(text, "is not a release of FreeBSD").hint("write it as 14.3 or 14.3-RELEASE");
        let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten().ok_or_else(refuse);
        let (major, minor) = text.split('-').next().and_then(|version| version.split_once('.')).ok_or_else(refuse)?;
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_and_read_from_the_systems_words() {
        let release = |text: &str| text.parse::<Release>().unwrap();
        assert_eq!(release("14.3-RELEASE-p2"), Release::new(14, 3));
        assert!(release("13.5") < release("14.0") && release("14.3") < release("14.10"));
        for bad in ["", "14", "14.", ".3", "a.b", "14.x", "14.3.1", "+14.3"] {
            assert!(bad.parse::<Release>().is_err(), "{bad}");
        }
    }
}
