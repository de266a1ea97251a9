//! Values that a command writes as settings of a guest, each with the reason why this host may trust it.
//!
//! A value becomes trusted by being written only if an administrator typed it: [`Typed`] is what the parser of typed settings
//! returns, and nothing else makes one except [`Typed::argument`]. Every other value (of a disk that gets another number, of a
//! bridge that is replaced, of a thing in the trash) keeps the trust of the value that it comes from, and none if there is no
//! such value.
//!
//! Not here: when a value is trusted, and settings that replace all others (`guest::trust`).

use super::trust::{Access, Held, LISTED, access, digest_for, options_of, reach};
use crate::property::keys::{self, trusted};
use crate::property::settings::{Own, OwnValues};
use crate::zfs::args::Pair;

/// A setting in its stored form whose value an administrator of this host typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed(Pair);

impl Typed {
    /// A value that an argument of the command line names, such as the bridge of `network move`.
    pub(crate) fn argument(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self((key.into(), value.into()))
    }

    /// The setting.
    pub fn pair(&self) -> &Pair {
        &self.0
    }

    /// The setting.
    pub fn into_pair(self) -> Pair {
        self.0
    }
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Typed,
    /// The present value of this key, whose trust the new one keeps.
    Key(String),
}

/// A change of a dataset's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    set: Vec<(Pair, Origin)>,
    clear: Vec<String>,
}

impl Change {
    /// Only unsets keys.
    pub fn clearing(clear: Vec<String>) -> Self {
        Self { set: Vec::new(), clear }
    }

    /// Sets what was typed, and unsets keys.
    pub fn typed(typed: impl IntoIterator<Item = Typed>, clear: Vec<String>) -> Self {
        let mut change = Self::clearing(clear);
        typed.into_iter().for_each(|one| change.set_typed(one));
        change
    }

    /// Sets values that nobody typed, each with the trust of the present value of its key; and unsets keys.
    pub fn kept(pairs: impl IntoIterator<Item = Pair>, clear: Vec<String>) -> Self {
        let mut change = Self::clearing(clear);
        pairs.into_iter().for_each(|pair| change.set_kept(pair));
        change
    }

    /// Adds a value that was typed. It replaces any other value of its key.
    pub fn set_typed(&mut self, Typed(pair): Typed) {
        self.put(pair, Origin::Typed);
    }

    /// Adds a value that nobody typed, with the trust of the present value of its key.
    pub fn set_kept(&mut self, pair: Pair) {
        let key = pair.0.clone();
        self.put(pair, Origin::Key(key));
    }

    /// Adds a value that another key has at present, with the trust of that.
    pub fn set_moved(&mut self, pair: Pair, from: String) {
        self.put(pair, Origin::Key(from));
    }

    fn put(&mut self, pair: Pair, origin: Origin) {
        self.set.retain(|((key, _), _)| *key != pair.0);
        self.set.push((pair, origin));
    }

    /// Keeps only the settings that `wanted` accepts, by key and value.
    pub fn retain(&mut self, wanted: impl Fn(&str, &str) -> bool) {
        self.set.retain(|((key, value), _)| wanted(key, value));
    }

    /// Keeps only the unset keys that `before` has.
    pub fn clears_only(&mut self, before: &OwnValues) {
        self.clear.retain(|key| before.contains_key(key));
    }

    /// The settings that are set.
    pub fn pairs(&self) -> Vec<Pair> {
        self.set.iter().map(|(pair, _)| pair.clone()).collect()
    }

    /// The value that a key is set to.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.set.iter().find(|((k, _), _)| k == key).map(|((_, value), _)| value.as_str())
    }

    /// The keys that are unset.
    pub fn cleared(&self) -> &[String] {
        &self.clear
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty()
    }

    /// The settings after it, without trust records.
    pub fn after(&self, before: &OwnValues) -> OwnValues {
        let mut after = before.clone();
        after.retain(|key, _| !self.clear.contains(key));
        after.extend(self.set.iter().map(|((key, value), _)| (key.clone(), Own { value: value.clone(), received: false })));
        after
    }

    /// Whether an administrator changes the options of the disk whose source has this key, and thereby the access to that.
    fn decides_access(&self, key: &str) -> bool {
        let typed = |key: &String| self.set.iter().any(|((k, _), origin)| k == key && *origin == Origin::Typed);
        options_of(key).is_some_and(|options| typed(&options) || self.clear.contains(&options))
    }

    /// What is set and unset with the trust records that the change needs. A guest of which every local value is trusted gets
    /// records from the first untrusted value on that is written to it.
    pub fn recorded(&self, before: &OwnValues) -> (Vec<Pair>, Vec<String>) {
        let held = Held::of(before);
        let (mut set, mut clear) = (self.pairs(), self.clear.clone());
        let Some(owner) = held.owner() else { return (set, clear) };
        let after = self.after(before);
        let is_set = |key: &String| self.set.iter().any(|((k, _), _)| k == key);
        let mut records: Vec<Pair> = Vec::new();
        let mut untrusted = false;
        for ((key, value), origin) in self.set.iter().filter(|((key, value), _)| reach(key, value).is_some()) {
            match granted(&held, before, &after, key, origin) {
                Some(Granted(access)) => records.push((trusted(key), digest_for(owner, key, value, access))),
                None => untrusted = true,
            }
        }
        if !held.is_listed() && !untrusted {
            return (set, clear);
        }
        for (key, own) in after.iter().filter(|(key, own)| !is_set(key) && reach(key, &own.value).is_some()) {
            // Who changes the access to what is trusted decides on that, too.
            let decided = held.is_listed() && self.decides_access(key) && held.recorded(key, &own.value);
            let begins = !held.is_listed() && held.trusts(key, &own.value);
            if decided || begins {
                records.push((trusted(key), digest_for(owner, key, &own.value, access(&after, key))));
            }
        }
        if !held.is_listed() {
            records.push((keys::TRUST.to_owned(), LISTED.to_owned()));
        }
        let gone: Vec<String> = set.iter().map(|(key, _)| key).chain(&clear).map(|key| trusted(key)).collect();
        clear.extend(gone.into_iter().filter(|key| before.contains_key(key) && !records.iter().any(|(k, _)| k == key)));
        set.extend(records);
        (set, clear)
    }
}

/// The access to what a trusted value names, if other settings decide that.
struct Granted(Option<Access>);

/// What a value that is written is trusted for; `None` if it is not trusted.
fn granted(held: &Held<'_>, before: &OwnValues, after: &OwnValues, key: &str, origin: &Origin) -> Option<Granted> {
    let asked = access(after, key);
    match origin {
        Origin::Typed => Some(Granted(asked)),
        Origin::Key(from) => {
            let own = before.get(from)?;
            // What was trusted for more stays so.
            let all = access(&OwnValues::new(), key);
            [all, asked].into_iter().find(|access| held.trusts_for(from, &own.value, *access)).map(Granted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::HOST;

    fn values(pairs: &[(&str, &str, bool)]) -> OwnValues {
        let own = pairs.iter().map(|(k, v, received)| ((*k).to_owned(), Own { value: (*v).to_owned(), received: *received }));
        own.chain([(keys::OWNER.to_owned(), Own { value: HOST.to_string(), received: false })]).collect()
    }

    fn pair(key: &str, value: &str) -> Pair {
        (key.to_owned(), value.to_owned())
    }

    fn record(key: &str, value: &str) -> Pair {
        (trusted(key), digest_for(&HOST.to_string(), key, value, access(&OwnValues::new(), key)))
    }

    #[test]
    fn only_what_was_typed_becomes_trusted_by_being_set() {
        let listed = values(&[("trust", "listed", false), ("bargs", "x", false), ("trusted.bargs", "d", false)]);
        let typed = Change::typed([Typed::argument("qargs", "-S"), Typed::argument("cpu", "2")], vec!["bargs".to_owned()]);
        let (set, clear) = typed.recorded(&listed);
        assert_eq!(set, [pair("qargs", "-S"), pair("cpu", "2"), record("qargs", "-S")]);
        assert_eq!(clear, ["bargs", "trusted.bargs"]);
        // Where every local value is trusted, no records are needed.
        assert_eq!(typed.recorded(&values(&[])), (vec![pair("qargs", "-S"), pair("cpu", "2")], vec!["bargs".to_owned()]));
        let kept = Change::kept([pair("qargs", "-S"), pair("cpu", "2")], Vec::new());
        assert_eq!(kept.recorded(&listed), (vec![pair("qargs", "-S"), pair("cpu", "2")], Vec::new()));
    }

    #[test]
    fn a_moved_value_keeps_the_trust_that_it_had() {
        let moved = || {
            let mut change = Change::clearing(vec!["disk1.source".to_owned()]);
            change.set_moved(pair("disk4.source", "/x"), "disk1.source".to_owned());
            change
        };
        let (record_1, record_4) = (record("disk1.source", "/x"), record("disk4.source", "/x"));
        let trusted = [("trust", "listed", false), ("disk1.source", "/x", true), (record_1.0.as_str(), record_1.1.as_str(), false)];
        assert_eq!(
            moved().recorded(&values(&trusted)),
            (vec![pair("disk4.source", "/x"), record_4], vec!["disk1.source".into(), record_1.0.clone()])
        );
        let untrusted = [("trust", "listed", false), ("disk1.source", "/x", true)];
        assert_eq!(moved().recorded(&values(&untrusted)), (vec![pair("disk4.source", "/x")], vec!["disk1.source".to_owned()]));
    }

    #[test]
    fn an_untrusted_value_starts_the_records_of_a_guest_that_had_none() {
        let before = values(&[("disk1.source", "/x", true), ("qargs", "-S", false), ("net0.bridge", "lan", true), ("cpu", "2", false)]);
        let change = Change::kept([pair("disk1.source", "/y")], Vec::new());
        let (set, _) = change.recorded(&before);
        // The value that is local is still trusted, and the received ones are not.
        assert_eq!(set, [pair("disk1.source", "/y"), record("qargs", "-S"), pair("trust", "listed")]);
        // What is not the guest's own before is trusted by nobody either.
        let new = Change::kept([pair("disk3.source", "/y")], Vec::new());
        assert!(new.recorded(&values(&[])).0.contains(&pair("trust", "listed")));
        assert!(!new.recorded(&values(&[])).0.contains(&record("disk3.source", "/y")));
    }

    #[test]
    fn the_options_that_an_administrator_changes_go_with_the_source_that_was_trusted() {
        let (source, options) = ("disk1.source", "disk1.options");
        let of = |access| digest_for(&HOST.to_string(), source, "/x", Some(access));
        let (reads, writes) = (of(Access::Reads), of(Access::Writes));
        let disk = |now: Option<&str>, record: &str| {
            let mut all = vec![(source, "/x", false), ("trust", "listed", false), ("trusted.disk1.source", record, false)];
            all.extend(now.map(|value| (options, value, true)));
            values(&all)
        };
        let given = |change: &Change, before: &OwnValues| -> Vec<Pair> {
            change.recorded(before).0.into_iter().filter(|(key, _)| key.starts_with(keys::TRUSTED)).collect()
        };
        let set = |value: &str| Change::typed([Typed::argument(options, value)], Vec::new());
        let is = |record: &str| vec![pair("trusted.disk1.source", record)];
        assert_eq!(given(&set("nocache"), &disk(Some("ro"), &reads)), is(&writes));
        assert_eq!(given(&Change::clearing(vec![options.to_owned()]), &disk(Some("ro"), &reads)), is(&writes));
        assert_eq!(given(&set("ro"), &disk(None, &writes)), is(&reads));
        assert_eq!(given(&set("ro"), &disk(None, &reads)), []);
        // Nobody decides by options that nobody typed.
        assert_eq!(given(&Change::kept([pair(options, "nocache")], Vec::new()), &disk(Some("ro"), &reads)), []);
        // Another number changes neither the access nor what it is trusted for.
        for (now, record, kept) in [(Some("ro"), &reads, is(&reads)), (None, &writes, is(&writes)), (None, &reads, Vec::new())] {
            let mut moved = Change::clearing(vec![source.to_owned(), options.to_owned()]);
            moved.set_moved(pair("disk4.source", "/x"), source.to_owned());
            if let Some(now) = now {
                moved.set_moved(pair("disk4.options", now), options.to_owned());
            }
            let expected: Vec<Pair> = kept
                .iter()
                .map(|_| {
                    let access = if now.is_some() { Access::Reads } else { Access::Writes };
                    (trusted("disk4.source"), digest_for(&HOST.to_string(), "disk4.source", "/x", Some(access)))
                })
                .collect();
            assert_eq!(given(&moved, &disk(now, record)), expected);
        }
    }
}
