//! FreeBSD's releases as the lab knows them. A new release is one row here; what it brings is said where it is used,
//! as a `since`. Not its job: the host's other properties; see `host`.

use std::fmt::{self, Display};

/// A release, ordered by age. Main, the development branch, is the release to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    pub(crate) major: u8,
    pub(crate) minor: u8,
}

/// Shorthand for tables: `since(14, 0)`.
pub(crate) const fn since(major: u8, minor: u8) -> Release {
    Release { major, minor }
}

/// The first release of which the lab knows anything.
pub(crate) const FIRST: Release = since(13, 0);
/// The development branch.
pub(crate) const MAIN: Release = since(16, 0);

/// Release and `kern.osreldate`.
const KNOWN: &[(Release, u32)] = &[
    (since(13, 0), 1_300_139),
    (since(13, 1), 1_301_000),
    (since(13, 2), 1_302_001),
    (since(13, 3), 1_303_001),
    (since(13, 4), 1_304_000),
    (since(13, 5), 1_305_000),
    (since(14, 0), 1_400_097),
    (since(14, 1), 1_401_000),
    (since(14, 2), 1_402_000),
    (since(14, 3), 1_403_000),
    (since(14, 4), 1_404_000),
    (since(15, 0), 1_500_068),
    (since(15, 1), 1_501_000),
    (MAIN, 1_600_020),
];

impl Release {
    /// `14.3`; only releases of the table.
    pub(crate) fn parse(text: &str) -> Option<Release> {
        KNOWN.iter().map(|(release, _)| *release).find(|release| release.to_string() == text)
    }

    /// What `kern.osreldate` says.
    pub(crate) fn date(self) -> u32 {
        KNOWN.iter().find(|(release, _)| *release == self).map_or(0, |(_, date)| *date)
    }

    /// What `kern.osrelease` says, with the patch level.
    pub(crate) fn text(self, patch: u8) -> String {
        match (self, patch) {
            (MAIN, _) => format!("{self}-CURRENT"),
            (_, 0) => format!("{self}-RELEASE"),
            (_, patch) => format!("{self}-RELEASE-p{patch}"),
        }
    }

    /// All known releases as words.
    pub(crate) fn all() -> String {
        KNOWN.iter().map(|(release, _)| release.to_string()).collect::<Vec<_>>().join(" ")
    }
}

impl Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}
