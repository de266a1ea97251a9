//! Names of ZFS datasets and snapshots: full names, never patterns.

use super::{BadValue, SnapshotName, serde_by_text};
use std::str::FromStr;

/// A file system or volume by its full name, such as `tank/chyves/guests/web01`: at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dataset(String);

impl Dataset {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The child dataset called `name`, which must be one component.
    #[must_use]
    pub fn child(&self, name: impl AsRef<str>) -> Self {
        Self(format!("{}/{}", self.0, name.as_ref()))
    }

    /// The parent dataset, or `None` for a pool.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(above, _)| Self(above.to_owned()))
    }

    /// The last component.
    pub fn leaf(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, leaf)| leaf)
    }

    /// The pool's name.
    pub fn pool(&self) -> &str {
        self.0.split_once('/').map_or(self.0.as_str(), |(pool, _)| pool)
    }

    /// Whether this is `other` or below it. Compares whole components: `web` is not above `web01`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The number of components below `above`, or `None` if this is not within it.
    pub fn depth_below(&self, above: &Self) -> Option<usize> {
        self.is_within(above).then(|| self.0[above.0.len()..].matches('/').count())
    }

    /// A snapshot of this dataset.
    pub fn at(&self, snapshot: &SnapshotName) -> SnapshotRef {
        SnapshotRef { dataset: self.clone(), name: snapshot.clone() }
    }
}

impl FromStr for Dataset {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = |why: &str| BadValue::new(text, why).hint("write a dataset as pool/name");
        if text.len() > 255 {
            return Err(refuse("is longer than 255 bytes"));
        }
        for part in text.split('/') {
            if part.is_empty() || part == "." || part == ".." {
                return Err(refuse("is not a dataset name: a part is empty or dots"));
            }
            if part.starts_with('-') {
                return Err(refuse("is not a dataset name: a part begins with `-`"));
            }
            // ZFS itself allows blanks; `%` occurs in names during a running receive.
            if !part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | ' ' | '%')) {
                return Err(refuse("is not a dataset name"));
            }
        }
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(refuse("is not a dataset name: a pool begins with a letter"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Dataset {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

serde_by_text!(Dataset);

/// A snapshot by its full name, such as `tank/chyves/guests/web01@before`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotRef {
    /// The dataset.
    pub dataset: Dataset,
    /// The part after `@`.
    pub name: SnapshotName,
}

impl FromStr for SnapshotRef {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (dataset, name) = text.split_once('@').ok_or_else(|| BadValue::new(text, "has no `@`"))?;
        Ok(Self { dataset: dataset.parse()?, name: name.parse()? })
    }
}

impl std::fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}@{}", self.dataset, self.name))
    }
}

serde_by_text!(SnapshotRef);

#[cfg(test)]
mod tests {
    use super::*;

    fn ds(text: &str) -> Dataset {
        text.parse().unwrap()
    }

    #[test]
    fn within_compares_whole_components() {
        assert!(ds("tank/web").is_within(&ds("tank/web")));
        assert!(ds("tank/web/disk0").is_within(&ds("tank/web")));
        assert!(!ds("tank/web01").is_within(&ds("tank/web")));
        assert_eq!(ds("tank/a/b/c").depth_below(&ds("tank/a")), Some(2));
        assert_eq!(ds("tank/ab").depth_below(&ds("tank/a")), None);
    }

    #[test]
    fn parts_are_named() {
        let d = ds("tank/chyves/guests/web01");
        assert_eq!((d.pool(), d.leaf()), ("tank", "web01"));
        assert_eq!(d.parent().unwrap().as_str(), "tank/chyves/guests");
        assert_eq!(ds("tank").parent(), None);
        assert_eq!("tank/a@b".parse::<SnapshotRef>().unwrap().to_string(), "tank/a@b");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "/tank", "tank/", "tank//a", "tank/../a", "tank@a", "1tank", "tank/-r", "tank/a*", "tank/a\n"] {
            assert!(bad.parse::<Dataset>().is_err(), "{bad:?}");
        }
    }
}
