//! Finds datasets that cannot be read or written because they are encrypted and their key is not loaded.
//!
//! ZFS prints this with properties that are read anyway: `keystatus`, and `encryptionroot`, the dataset that the key
//! belongs to. A ZFS without encryption has neither. Not here: which actions need a key
//! ([`Action::opens`](crate::action::Action::opens)) and the refusal ([`crate::plan::locked`]).

use super::rows::Row;
use crate::value::Dataset;
use std::collections::BTreeMap;

/// The key state of the datasets that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locked {
    /// Each dataset that was read, with its encryption root if the key is missing. Datasets without a missing key are
    /// included, because they may be below a locked one.
    seen: BTreeMap<Dataset, Option<Dataset>>,
}

impl Locked {
    /// The key state from rows of `zfs get`.
    pub fn of(rows: &[Row]) -> Self {
        let one = |row: &Row| {
            let dataset: Dataset = row.name.parse().ok()?;
            let missing = row.native("keystatus") == Some("unavailable");
            let root = missing.then(|| row.native("encryptionroot").and_then(|r| r.parse().ok()).unwrap_or_else(|| dataset.clone()));
            Some((dataset, root))
        };
        Self { seen: rows.iter().filter_map(one).collect() }
    }

    /// Adds datasets that were read later.
    pub fn extend(&mut self, more: &Self) {
        self.seen.extend(more.seen.iter().map(|(dataset, root)| (dataset.clone(), root.clone())));
    }

    /// The encryption root with the missing key, if this dataset is locked. A dataset that was not read, or does not exist
    /// yet, is treated like its nearest known ancestor, because volumes and new file systems inherit the key from there.
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
        // As OpenZFS prints it: a root without encryption, guests below an encrypted dataset, one of them with its own key.
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
