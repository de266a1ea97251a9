//! Determines which of a guest's host-reaching settings this host trusts.
//!
//! A value is trusted if an administrator of this host set it or confirmed it:
//! * On a guest that this host owns, a local value is trusted; one that was received with a stream is not.
//! * An adopted guest has `trust=listed`: only values that are recorded as trusted are, each by the digest of its owner,
//!   key and value in `trusted.KEY`. `chyves adopt --trust` and every change by chyves write such records, so that a value
//!   that is replaced by a stream, a rollback or `zfs set` is not silently trusted.
//! * An inherited value is trusted if it was set locally on a pool of this host.
//! * The record of an attached disk covers the access that its options gave when it was trusted: one that was trusted read-only is not
//!   trusted to be written.
//! * A loader that runs on the host (`loader=bhyveload`) needs trust only if no jail confines it.
//! * No value of a foreign guest is trusted, even if trust records came with it: `adopt` requires a decision for all of
//!   them.
//!
//! Not here: which settings these are (`property::reach`), all of them of one guest (`check::trust`), the records of a change
//! of some settings (`guest::written`), and the commands (`plan::adopt`).

use super::Guest;
use super::written::Typed;
use crate::device::BlockOptions;
use crate::os::HostFacts;
use crate::property;
use crate::property::keys::{self, DiskKey, trusted};
use crate::property::reach::Reach;
use crate::property::settings::{Own, OwnValues};
use crate::property::stored;
use crate::vmm::Vmm;
use crate::vmm::bhyve::{Release, jail};
use crate::zfs::args::Pair;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The value of `trust` on a guest that only trusts recorded values.
pub const LISTED: &str = "listed";

/// What a file or device of the host is used for that a disk's source names. Other settings of the disk decide that, which reach the
/// host in no other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It is only read.
    Reads,
    /// It is read and written.
    Writes,
}

impl Access {
    /// The word for tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
        }
    }
}

/// The access that a guest's own values give to what the value of a key names; none for keys for which the value alone decides.
pub fn access(own: &OwnValues, key: &str) -> Option<Access> {
    let options = own.get(&options_of(key)?).and_then(|own| own.value.parse::<BlockOptions>().ok());
    Some(if options.is_some_and(|options| options.ro) { Access::Reads } else { Access::Writes })
}

/// The key of the options of the disk whose source has this key.
pub(crate) fn options_of(source: &str) -> Option<String> {
    let disk = source.strip_suffix(&format!(".{}", DiskKey::Source.word())).filter(|disk| disk.starts_with("disk"))?;
    Some(format!("{disk}.{}", DiskKey::Options.word()))
}

/// The digest that records a value as trusted, for the access that these own values give. It is that of the stored key and value, so
/// that a renamed property stays trusted.
pub fn digest(owner: &str, key: &str, value: &str, own: &OwnValues) -> String {
    digest_for(owner, key, value, access(own, key))
}

pub(crate) fn digest_for(owner: &str, key: &str, value: &str, access: Option<Access>) -> String {
    let (key, value) = (&stored::key(key), stored::value(key, value));
    let mut hash = Sha256::new();
    // Only the lesser access is named.
    let limit = (access == Some(Access::Reads)).then_some("reads");
    for part in [owner, key, value].into_iter().chain(limit) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a key is a trust record, which is specific to this host and is never restored, copied or accepted from
/// elsewhere.
pub fn is_record(key: &str) -> bool {
    key == keys::TRUST || key.starts_with(keys::TRUSTED)
}

/// In which way a value of a key reaches the host, if it does. Unknown keys have no effect.
pub fn reach(key: &str, value: &str) -> Option<Reach> {
    property::find(key).ok().filter(|known| known.key == key)?.property.reach.of(value)
}

/// The same on a specific host, for a guest that has no other setting that prevents a jail.
pub fn reach_on(host: &HostFacts, key: &str, value: &str) -> Option<Reach> {
    reach(key, value).filter(|reach| *reach != Reach::RunsLoader || !loaders_are_confined(host))
}

/// A dataset's own values with their trust state.
pub(crate) struct Held<'a> {
    own: &'a OwnValues,
    owner: Option<&'a str>,
    listed: bool,
}

impl<'a> Held<'a> {
    pub(crate) fn of(own: &'a OwnValues) -> Self {
        let local = |key: &str| own.get(key).filter(|o| !o.received).map(|o| o.value.as_str());
        Self { own, owner: local(keys::OWNER), listed: local(keys::TRUST).is_some() }
    }

    /// The host that owns the guest, if it has a local owner.
    pub(crate) const fn owner(&self) -> Option<&'a str> {
        self.owner
    }

    /// Whether only recorded values are trusted.
    pub(crate) const fn is_listed(&self) -> bool {
        self.listed
    }

    /// Whether a record confirms the value.
    pub(crate) fn recorded(&self, key: &str, value: &str) -> bool {
        self.recorded_for(key, value, access(self.own, key))
    }

    /// Whether a record confirms the value for an access. What may be written may be read.
    fn recorded_for(&self, key: &str, value: &str, access: Option<Access>) -> bool {
        let record = self.own.get(&trusted(key)).filter(|o| !o.received);
        let is = |record: &Own, owner: &str, access| record.value == digest_for(owner, key, value, access);
        record.zip(self.owner).is_some_and(|(record, owner)| {
            is(record, owner, access) || access == Some(Access::Reads) && is(record, owner, Some(Access::Writes))
        })
    }

    /// Whether the guest's own value is trusted, on a guest that this host owns.
    pub(crate) fn trusts(&self, key: &str, value: &str) -> bool {
        self.trusts_for(key, value, access(self.own, key))
    }

    /// The same for an access to what the value names.
    pub(crate) fn trusts_for(&self, key: &str, value: &str, access: Option<Access>) -> bool {
        let local = self.own.get(key).is_some_and(|o| !o.received && o.value == value);
        self.recorded_for(key, value, access) || (local && !self.listed)
    }
}

/// Whether this host runs loaders in the guest's jail, or does not run any. Settings of the guest may still prevent the
/// jail.
pub(crate) fn loaders_are_confined(host: &HostFacts) -> bool {
    match host.vmm {
        Vmm::Qemu => true,
        Vmm::Bhyve => Release::from(host.release) >= jail::SINCE && host.state.jailed != Some(true),
    }
}

/// Whether a guest's own value is trusted, so that a read-only command may inspect the path that it names.
pub fn is_own_trusted(guest: &Guest, key: &str) -> bool {
    let own = guest.settings.own_values();
    guest.foreign.is_none() && own.get(key).is_some_and(|o| Held::of(own).trusts(key, &o.value))
}

/// Whether a value has to be recorded although it is set to the same value already.
pub fn lacks_record(before: &OwnValues, key: &str, value: &str) -> bool {
    let held = Held::of(before);
    held.listed && reach(key, value).is_some() && !held.recorded(key, value)
}

/// Prepares settings in `after` that become local values of a dataset, where `before` are the guest's present ones: values
/// that were not trusted must not become trusted by becoming local. `vouched` decides which values this host confirms
/// itself.
pub fn carry(before: &OwnValues, after: &mut OwnValues, vouched: impl Fn(&str, &str) -> bool) {
    let held = Held::of(before);
    after.retain(|key, _| !is_record(key));
    let owner = after.get(keys::OWNER).map(|o| o.value.clone()).unwrap_or_default();
    let mut records = OwnValues::new();
    let mut all = true;
    for (key, own) in after.iter().filter(|(key, own)| reach(key, &own.value).is_some()) {
        let (asked, all_access) = (access(after, key), access(&OwnValues::new(), key));
        // What was trusted for more stays so.
        let trusts = |access| held.trusts_for(key, &own.value, access).then_some(access);
        if let Some(access) = trusts(all_access).or_else(|| trusts(asked)).or_else(|| vouched(key, &own.value).then_some(asked)) {
            records.insert(trusted(key), Own { value: digest_for(&owner, key, &own.value, access), received: false });
        } else {
            all = false;
        }
    }
    if held.listed {
        // A value that was trusted once is trusted again when it is restored.
        let kept = before.iter().filter(|(key, own)| is_record(key) && !own.received && !records.contains_key(*key));
        let kept: Vec<_> = kept.map(|(key, own)| (key.clone(), own.clone())).collect();
        after.extend(kept);
    } else if all {
        return;
    }
    after.extend(records);
    after.insert(keys::TRUST.to_owned(), Own { value: LISTED.to_owned(), received: false });
}

/// [`carry`] for settings that are restored from a snapshot, which stored them as `carried`, or from a copy in a file.
/// Values that the snapshot stores are confirmed if it was taken on this host; a snapshot of an adopted guest may be older
/// than its adoption.
pub fn carry_back(before: &OwnValues, after: &mut OwnValues, carried: Option<&OwnValues>) {
    let listed = Held::of(before).listed;
    carry(before, after, |key, value| !listed && carried.and_then(|c| c.get(key)).is_some_and(|own| !own.received && own.value == value));
}

/// [`carry`] for settings of a new guest that were copied from another guest, except those in `given`.
pub fn carry_pairs(source: &Guest, own: &mut Vec<Pair>, given: &[Typed]) {
    let mut after: OwnValues = own.iter().map(|(k, v)| (k.clone(), Own { value: v.clone(), received: false })).collect();
    // Nothing of a foreign guest is trusted, even if it has trust records.
    let before = if source.foreign.is_some() { OwnValues::new() } else { source.settings.own_values().clone() };
    carry(&before, &mut after, |key, value| given.iter().any(|typed| typed.pair().0 == key && typed.pair().1 == value));
    own.retain(|(key, _)| !is_record(key));
    own.extend(after.into_iter().filter(|(key, _)| is_record(key)).map(|(key, own)| (key, own.value)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::trust::check;
    use crate::plan::testing::{self, HOST, own};
    use crate::property::Scope;
    use crate::world::World;

    fn values(pairs: &[(&str, &str, bool)]) -> OwnValues {
        pairs.iter().map(|(k, v, received)| ((*k).to_owned(), Own { value: (*v).to_owned(), received: *received })).collect()
    }

    fn guest(pairs: &[(&str, &str, bool)]) -> Guest {
        let guest = testing::guest("web", &[]);
        let owner = HOST.to_string();
        let mut all = values(pairs);
        all.entry("owner".into()).or_insert(Own { value: owner, received: false });
        Guest { settings: guest.settings.with_own(all), ..guest }
    }

    fn trusts(guest: &Guest) -> bool {
        check(&testing::world(Vec::new()), guest, "start").is_ok()
    }

    fn record(key: &str, value: &str) -> (String, String) {
        (trusted(key), digest(&HOST.to_string(), key, value, &OwnValues::new()))
    }

    #[test]
    fn what_was_set_here_is_trusted_and_what_came_is_not() {
        assert!(trusts(&guest(&[("qargs", "-S", false)])));
        let came = guest(&[("qargs", "-S", true)]);
        let refusal = check(&testing::world(Vec::new()), &came, "start").unwrap_err();
        assert_eq!(refusal.message, "cannot start `web`: settings that reach the host are not trusted here");
        assert_eq!(refusal.causes, ["qargs=-S runs a program (received)"]);
        assert_eq!(refusal.hints[0], "trust what you have checked: `chyves adopt web --trust=qargs`");
        let (key, digest) = record("qargs", "-S");
        assert!(trusts(&guest(&[("qargs", "-S", true), (&key, &digest, false)])));
        // A record that was received with the value proves nothing, nor does one for another value.
        assert!(!trusts(&guest(&[("qargs", "-S", true), (&key, &digest, true)])));
        assert!(!trusts(&guest(&[("qargs", "-T", true), (&key, &digest, false)])));
        assert!(!trusts(&guest(&[("qargs", "-S", false), ("trust", "listed", false)])));
        assert!(trusts(&guest(&[("qargs", "-S", false), ("trust", "listed", false), (&key, &digest, false)])));
    }

    #[test]
    fn a_loader_is_trusted_where_a_jail_confines_it() {
        let on = |release: (u16, u16), pairs: &[(&str, &str, bool)]| {
            let host = HostFacts { release, ..testing::freebsd() };
            check(&World { host, ..testing::world(Vec::new()) }, &guest(pairs), "start").err().map(|p| p.causes.len())
        };
        for loader in ["bhyveload", "grub-bhyve"] {
            let came = ("loader", loader, true);
            assert_eq!(on((13, 5), &[came]), Some(1));
            assert_eq!(on((13, 5), &[("loader", loader, false)]), None);
            assert_eq!(on((14, 0), &[came]), None);
            // The setting that may prevent the jail is trusted here, and the loader is not.
            assert_eq!(on((14, 0), &[came, ("confine", "user", false)]), Some(1));
            assert_eq!(on((14, 0), &[came, ("bargs", "-G 5000", false)]), Some(1));
            assert_eq!(on((14, 0), &[came, ("autostart", "1", false)]), None);
        }
        assert_eq!(on((13, 5), &[("loader", "uefi", true)]), None);
        let jailed =
            HostFacts { state: crate::os::HostState { jailed: Some(true), ..crate::os::HostState::default() }, ..testing::freebsd() };
        assert!(check(&World { host: jailed, ..testing::world(Vec::new()) }, &guest(&[("loader", "bhyveload", true)]), "start").is_err());
    }

    #[test]
    fn every_key_of_the_class_is_refused_where_it_came_with_a_stream() {
        let mut seen = 0;
        let older = HostFacts { release: (13, 5), ..testing::freebsd() };
        let trusts = |guest: &Guest| check(&World { host: older.clone(), ..testing::world(Vec::new()) }, guest, "start").is_ok();
        for p in property::catalog::all().filter(|p| matches!(p.scope, Scope::Guest | Scope::GuestOnly) && p.reach.words().is_some()) {
            // An invalid value is treated as host-reaching.
            let key = p.key.replace("{n}", "2");
            let value = if key == "os" { "custom" } else { "a/b" };
            assert!(!trusts(&guest(&[(&key, value, true)])), "{key}");
            assert!(!trusts(&guest(&[(&key, value, false), ("trust", "listed", false)])), "{key}");
            assert!(trusts(&guest(&[(&key, value, false)])), "{key}");
            seen += 1;
        }
        assert!(seen >= 17, "{seen}");
    }

    #[test]
    fn what_comes_back_from_elsewhere_is_not_trusted() {
        let back = |before: &Guest, after: &[(&str, &str)], carried: Option<&[(&str, &str, bool)]>| {
            let mut all = own(after);
            all.insert("owner".into(), Own { value: HOST.to_string(), received: false });
            carry_back(before.settings.own_values(), &mut all, carried.map(values).as_ref());
            trusts(&Guest { settings: before.settings.with_own(all), ..before.clone() })
        };
        let now = guest(&[("qargs", "-S", false)]);
        // The value is the present one, or is stored in a snapshot that was taken here.
        assert!(back(&now, &[("qargs", "-S")], None));
        assert!(back(&now, &[("qargs", "-T")], Some(&[("qargs", "-T", false)])));
        // The value is from a copy in a file, from a received snapshot, or the snapshot does not store it.
        assert!(!back(&now, &[("qargs", "-T")], None));
        assert!(!back(&now, &[("qargs", "-T")], Some(&[("qargs", "-T", true)])));
        assert!(!back(&now, &[("qargs", "-T")], Some(&[])));
        // The older snapshots of an adopted guest were taken by another host. A value that was trusted since can be
        // restored.
        let (key, digest) = record("qargs", "-S");
        let adopted = guest(&[("qargs", "-S", false), ("trust", "listed", false), (&key, &digest, false)]);
        assert!(!back(&adopted, &[("qargs", "-T")], Some(&[("qargs", "-T", false)])));
        assert!(!back(&adopted, &[("qargs", "-T"), ("trusted.qargs", "x")], Some(&[("qargs", "-T", false)])));
        let elsewhere = guest(&[("trust", "listed", false), (&key, &digest, false)]);
        assert!(back(&elsewhere, &[("qargs", "-S")], Some(&[("qargs", "-S", false)])));
    }

    #[test]
    fn what_was_trusted_to_be_read_is_not_trusted_to_be_written() {
        let (source, options) = ("disk1.source", "disk1.options");
        let record = |own: &[(&str, &str)]| digest(&HOST.to_string(), source, "/x", &testing::own(own));
        let (reads, writes) = (record(&[(options, "ro")]), record(&[]));
        let disk = |options: Option<&str>, record: &str| {
            let mut all = vec![(source, "/x", false), ("trust", "listed", false), ("trusted.disk1.source", record, false)];
            all.extend(options.map(|value| ("disk1.options", value, true)));
            guest(&all)
        };
        for (now, record, trusted) in [
            (Some("ro"), &reads, true),
            (None, &reads, false),
            (Some("nocache"), &reads, false),
            (None, &writes, true),
            (Some("ro"), &writes, true),
        ] {
            assert_eq!(trusts(&disk(now, record)), trusted, "{now:?}");
        }
        // A rollback brings other options back; going forward again, the disk is trusted as it was.
        let mut old = own(&[(source, "/x"), ("owner", &HOST.to_string())]);
        let now = disk(Some("ro"), &reads);
        carry_back(now.settings.own_values(), &mut old, None);
        let back = Guest { settings: now.settings.with_own(old.clone()), ..now.clone() };
        assert!(!trusts(&back));
        old.insert(options.into(), Own { value: "ro".into(), received: false });
        assert!(trusts(&Guest { settings: back.settings.with_own(old), ..back.clone() }));
    }

    #[test]
    fn a_clone_has_no_more_trust_than_its_source() {
        let cloned = |source: &Guest, given: &[Typed]| {
            let mut pairs: Vec<Pair> = crate::plan::pairs(source.settings.own_values());
            pairs.retain(|(key, _)| !given.iter().any(|typed| typed.pair().0 == *key));
            pairs.extend(given.iter().map(|typed| typed.pair().clone()));
            carry_pairs(source, &mut pairs, given);
            let own = pairs.into_iter().map(|(k, value)| (k, Own { value, received: false })).collect();
            trusts(&Guest { settings: source.settings.with_own(own), foreign: None, ..source.clone() })
        };
        assert!(cloned(&guest(&[("qargs", "-S", false)]), &[]));
        assert!(!cloned(&guest(&[("qargs", "-S", true)]), &[]));
        let foreign = Guest { foreign: Some("received".into()), ..guest(&[("qargs", "-S", false)]) };
        assert!(!cloned(&foreign, &[]));
        assert!(cloned(&foreign, &[Typed::argument("qargs", "-S")]));
    }
}
