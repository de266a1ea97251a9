//! Which datasets can't be read or written: encrypted ones whose key is not loaded.
//!
//! ZFS prints it with the properties that are read anyway: `keystatus`, and `encryptionroot`, the dataset whose key it is.
//! A ZFS without encryption has neither. Not here: what needs a key ([`Action::opens`](crate::action::Action::opens)) and
//! the refusal ([`crate::plan::locked`]).

use super::rows::Row;
use crate::value::Dataset;
use std::collections::BTreeMap;

/// What is locked among the datasets that were looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locked {
    /// Each dataset that was looked at with the one whose key it misses. Those that miss none are here too, for they may
    /// lie in one that does.
    seen: BTreeMap<Dataset, Option<Dataset>>,
}

impl Locked {
    /// What rows of datasets tell.
    pub fn of(rows: &[Row]) -> Self {
        let one = |row: &Row| {
            let dataset: Dataset = row.name.parse().ok()?;
            let missing = row.native("keystatus") == Some("unavailable");
            let root = missing.then(|| row.native("encryptionroot").and_then(|r| r.parse().ok()).unwrap_or_else(|| dataset.clone()));
            Some((dataset, root))
        };
        Self { seen: rows.iter().filter_map(one).collect() }
    }

    /// Adds what was looked at later.
    pub fn extend(&mut self, more: &Self) {
        self.seen.extend(more.seen.iter().map(|(dataset, root)| (dataset.clone(), root.clone())));
    }

    /// The dataset whose key is missing where this one is locked. One that nobody looked at, or that is not there yet, is
    /// as the nearest above it: volumes and new file systems take their key from there.
    pub fn by(&self, dataset: &Dataset) -> Option<&Dataset> {
        let mut at = Some(dataset.clone());
        while let Some(here) = at {
            if let Some(root) = self.seen.get(&here) {
                return root.as_ref();
            }
            at = here.parent();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zfs::rows::parse;

    #[test]
    fn what_is_locked_is_told_with_whose_key_it_is() {
        // As OpenZFS prints it: a root without encryption, guests below an encrypted dataset, one of them with a key of its own.
        let mut text = String::new();
        for (name, status, root) in [
            ("tank/c", "-", "-"),
            ("tank/c/guests", "unavailable", "tank/c/guests"),
            ("tank/c/guests/web", "unavailable", "tank/c/guests"),
            ("tank/c/guests/db", "available", "tank/c/guests/db"),
            ("tank/c/guests/open", "-", ""),
        ] {
            text.push_str(&format!("{name}\ttype\t-\tfilesystem\n{name}\tencryptionroot\t-\t{root}\n{name}\tkeystatus\t-\t{status}\n"));
        }
        text.push_str("tank/old\ttype\t-\tfilesystem\n");
        let locked = Locked::of(&parse(&text, true).unwrap());
        let by = |name: &str| locked.by(&name.parse().unwrap()).map(Dataset::as_str);
        for (dataset, root) in [
            ("tank/c/guests/web", Some("tank/c/guests")),
            ("tank/c/guests/web/disk0", Some("tank/c/guests")),
            ("tank/c/guests/new", Some("tank/c/guests")),
            ("tank/c/guests/db/disk0", None),
            ("tank/c/guests/open", None),
            ("tank/c/images/tiny", None),
            ("tank/old", None),
            ("depot", None),
        ] {
            assert_eq!(by(dataset), root, "{dataset}");
        }
        assert_eq!(Locked::default().by(&"tank/c".parse().unwrap()), None);
    }

    #[test]
    fn what_is_looked_at_later_counts() {
        let rows = |status: &str| parse(&format!("tank/c\ttype\t-\tfilesystem\ntank/c\tkeystatus\t-\t{status}\n"), true).unwrap();
        let mut locked = Locked::of(&rows("available"));
        locked.extend(&Locked::of(&rows("unavailable")));
        assert_eq!(locked.by(&"tank/c/x".parse().unwrap()).map(Dataset::as_str), Some("tank/c"));
    }
}
