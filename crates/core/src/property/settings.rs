//! The settings that apply to one guest, with the source of each value: local, received, inherited from a dataset, default.
//!
//! Inheritance is computed here from the ancestors' own values, so that only local and received ones have to be read from
//! ZFS.

use super::{Known, PREFIX, Unset, catalog, stored};
use crate::value::Dataset;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Set on the dataset itself.
    Local,
    /// Received with a stream.
    Received,
    /// Set on this ancestor.
    Inherited(Dataset),
    /// The program's default.
    Default,
    /// There is no value.
    None,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.pad("local"),
            Self::Received => f.pad("received"),
            Self::Inherited(from) => f.pad(&format!("inherited from {from}")),
            Self::Default => f.pad("default"),
            Self::None => f.pad("-"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A value that is set on one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The value.
    pub value: String,
    /// Whether it was received with a stream.
    pub received: bool,
}

/// The values that are set on one dataset, by key without the prefix.
pub type OwnValues = BTreeMap<String, Own>;

/// One key's value and its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The key.
    pub property: String,
    /// The value, or `None`.
    pub value: Option<String>,
    /// Its source.
    pub source: Source,
}

/// The number of a device, in its only spelling: `com01` is no name of a setting, and sets nothing of com1.
fn number(text: &str) -> Option<u16> {
    text.parse::<u16>().ok().filter(|number| number.to_string() == text)
}

/// A guest's settings: its own values, and those of the datasets above it, nearest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    own: OwnValues,
    above: Vec<(Dataset, std::sync::Arc<OwnValues>)>,
}

impl Settings {
    /// Settings of a dataset with `own` values below `above` (nearest first).
    pub fn new(own: OwnValues, above: Vec<(Dataset, std::sync::Arc<OwnValues>)>) -> Self {
        Self { own, above }
    }

    /// The same ancestors with other own values.
    #[must_use]
    pub fn with_own(&self, own: OwnValues) -> Self {
        Self { own, above: self.above.clone() }
    }

    /// The dataset's own value of a key, local or received.
    pub fn own(&self, key: &str) -> Option<&str> {
        self.own.get(key).map(|o| o.value.as_str())
    }

    /// The datasets above with their own values, nearest first.
    pub fn above(&self) -> impl Iterator<Item = (&Dataset, &OwnValues)> {
        self.above.iter().map(|(dataset, values)| (dataset, values.as_ref()))
    }

    /// All of the dataset's own values.
    pub fn own_values(&self) -> &OwnValues {
        &self.own
    }

    /// Whether the dataset's own value was received with a stream.
    pub fn is_received(&self, key: &str) -> bool {
        self.own.get(key).is_some_and(|o| o.received)
    }

    /// The effective value, with its source. Keys of the scope `GuestOnly` are not inherited.
    pub fn get(&self, known: &Known) -> Setting {
        let found = |value: &str, source| Setting { property: known.key.clone(), value: Some(value.to_owned()), source };
        if let Some(own) = self.own.get(&known.key) {
            return found(&own.value, if own.received { Source::Received } else { Source::Local });
        }
        if known.property.scope != super::Scope::GuestOnly {
            for (dataset, values) in &self.above {
                if let Some(value) = values.get(&known.key) {
                    return found(&value.value, Source::Inherited(dataset.clone()));
                }
            }
        }
        match known.property.unset {
            Unset::Value(value) => found(value, Source::Default),
            Unset::Nothing | Unset::Derived(_) => Setting { property: known.key.clone(), value: None, source: Source::None },
        }
    }

    /// The effective value of a key; `None` for unknown keys.
    pub fn value(&self, key: &str) -> Option<String> {
        super::find(key).ok().and_then(|known| self.get(&known).value)
    }

    /// Every effective value that is set somewhere, by key: the guest's own and inherited ones.
    pub fn that_hold(&self) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for (_, values) in self.above.iter().rev() {
            let inherited = values.iter().filter(|(key, _)| super::find(key).is_ok_and(|k| k.property.scope == super::Scope::Guest));
            all.extend(inherited.map(|(key, own)| (key.clone(), own.value.clone())));
        }
        all.extend(self.own.iter().map(|(key, own)| (key.clone(), own.value.clone())));
        all
    }

    /// The device numbers of a family on this guest itself: those with at least one own key that begins with `family` and a
    /// number (`disk0.kind` yields 0 for `disk`).
    pub fn numbers(&self, family: &str) -> Vec<u16> {
        let mut numbers: Vec<u16> = self
            .own
            .keys()
            .filter_map(|key| key.strip_prefix(family))
            .filter_map(|rest| number(rest.split_once('.').map_or(rest, |(n, _)| n)))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The numbers of a family with effective values, including inherited ones: for families that are not devices of a
    /// single guest.
    pub fn numbers_that_hold(&self, family: &str) -> Vec<u16> {
        let mut numbers: Vec<u16> = std::iter::once(&self.own)
            .chain(self.above.iter().map(|(_, values)| values.as_ref()))
            .flat_map(|values| values.keys())
            .filter_map(|key| number(key.strip_prefix(family)?))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Every effective setting, in the catalogue's order; numbered keys for the guest's own devices; then annotations and
    /// keys that this version does not know.
    pub fn all(&self) -> Vec<Setting> {
        let mut shown = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for property in catalog::all().filter(|p| p.of_guests()) {
            let keys = match property.key.split_once("{n}") {
                None => vec![property.key.to_owned()],
                Some((family, _)) => self.numbers(family).iter().map(|n| property.key.replace("{n}", &n.to_string())).collect(),
            };
            for key in keys {
                let setting = self.get(&Known { property, key: key.clone() });
                // Recorded properties are only shown if they are set.
                let kept = matches!(property.access, super::Access::Kept(_));
                if setting.value.is_some() || !kept {
                    shown.push(setting);
                }
                seen.insert(key);
            }
        }
        shown.extend(self.own.keys().filter(|key| !seen.contains(*key)).map(|key| {
            let own = &self.own[key];
            let source = if own.received { Source::Received } else { Source::Local };
            Setting { property: key.clone(), value: Some(own.value.clone()), source }
        }));
        shown
    }
}

/// The key in a ZFS property's name, if it has our prefix.
pub fn key_of(zfs_name: &str) -> Option<Cow<'_, str>> {
    zfs_name.strip_prefix(PREFIX).map(stored::shown_key)
}

/// The name of a key's ZFS property.
pub fn zfs_name(key: &str) -> String {
    format!("{PREFIX}{}", stored::key(key))
}

/// A key and its value as ZFS stores them.
pub fn zfs_pair(key: &str, value: &str) -> String {
    format!("{}={}", zfs_name(key), stored::value(key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::find;
    use std::sync::Arc;

    fn values(pairs: &[(&str, &str)]) -> OwnValues {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), Own { value: (*v).to_owned(), received: false })).collect()
    }

    fn settings() -> Settings {
        let guests: Dataset = "tank/chyves/guests".parse().unwrap();
        Settings::new(
            values(&[("uuid", "u"), ("ram", "1G"), ("disk0.kind", "raw"), ("net10.backend", "user"), ("x.a", "b")]),
            vec![(guests, Arc::new(values(&[("cpu", "2"), ("ram", "9G"), ("description", "leaks"), ("net0.model", "e1000")])))],
        )
    }

    #[test]
    fn the_source_is_told() {
        let s = settings();
        let get = |k: &str| {
            let g = s.get(&find(k).unwrap());
            format!("{} {}", g.value.unwrap_or("-".into()), g.source)
        };
        assert_eq!(get("ram"), "1G local");
        assert_eq!(get("cpu"), "2 inherited from tank/chyves/guests");
        assert_eq!(get("loader"), "uefi default");
        assert_eq!(get("net10.mac"), "- -");
        // Properties of a single guest are not inherited.
        assert_eq!(get("description"), "- -");
    }

    #[test]
    fn devices_are_those_that_the_guest_itself_has() {
        let s = settings();
        assert_eq!(s.numbers("disk"), [0]);
        // A default for NIC 0 does not create a NIC 0.
        assert_eq!(s.numbers("net"), [10]);
        assert!(s.all().iter().any(|x| x.property == "net10.model"));
        assert!(s.all().iter().any(|x| x.property == "x.a"));
    }
}
