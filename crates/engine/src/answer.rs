//! Types that answers share. A size is a number of bytes, a time is RFC 3339, a state is an enumeration.

use crate::sizes;
use chyves_core::error::{Code, Problem};
use chyves_core::guest::pending::{Pending, WAITS_FOR};
use chyves_core::guest::{self, Guest, RunState};
use chyves_core::network::leases::Known;
use chyves_core::plan::snapshot::Maker;
use chyves_core::property::keys;
use chyves_core::value::Size;
use chyves_core::{image, pool};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;

/// A point in time, as RFC 3339 in UTC: `2026-01-31T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub Timestamp);

impl Time {
    /// A time as chyves records it; none if the text is something else.
    pub fn recorded(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// Seconds since 1970.
    pub fn seconds(seconds: u64) -> Option<Self> {
        Timestamp::from_second(i64::try_from(seconds).ok()?).ok().map(Self)
    }

    /// A time as ZFS prints it: seconds since 1970, or the local time to the minute from a ZFS that prints no numbers.
    pub fn of_zfs(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.parse::<i64>() {
            return Timestamp::from_second(seconds).ok().map(Self);
        }
        let civil = jiff::civil::DateTime::strptime("%a %b %d %H:%M %Y", text).ok()?;
        Some(Self(civil.to_zoned(TimeZone::system()).ok()?.timestamp()))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "A point in time, as RFC 3339 in UTC." })
    }
}

/// The state of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not running.
    Stopped,
    /// A supervisor is starting it.
    Starting,
    /// It runs under its supervisor.
    Running,
    /// Its hypervisor has paused it.
    Paused,
    /// A shutdown was requested.
    Stopping,
    /// It runs, and its supervisor does not.
    Orphaned,
    /// Not running; the last run ended with a crash.
    Crashed,
    /// Not running; it belongs to another host or was received.
    Foreign,
    /// It is marked as a guest and cannot be used as one, because its UUID is missing or damaged, for example.
    Unusable,
}

impl State {
    /// The state of a guest.
    pub fn of(guest: &Guest) -> Self {
        match &guest.state {
            state if guest.foreign.is_some() && !state.is_alive() => Self::Foreign,
            RunState::Stopped => Self::Stopped,
            RunState::Starting => Self::Starting,
            RunState::Running => Self::Running,
            RunState::Paused { .. } => Self::Paused,
            RunState::Stopping => Self::Stopping,
            RunState::Orphaned => Self::Orphaned,
            RunState::Crashed { .. } => Self::Crashed,
        }
    }

    /// Whether a hypervisor runs it, or is about to.
    pub const fn is_alive(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Paused | Self::Stopping | Self::Orphaned => true,
            Self::Stopped | Self::Crashed | Self::Foreign | Self::Unusable => false,
        }
    }

    /// The word that is shown, the same as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Orphaned => "orphaned",
            Self::Crashed => "crashed",
            Self::Foreign => "foreign",
            Self::Unusable => "unusable",
        }
    }
}

/// An enumeration of chyves-core as answers state it, with a schema: the same variants and words.
macro_rules! mirrored {
    ($(#[$doc:meta])* $name:ident of $core:path { $($(#[$what:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$what])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The word that is shown, the same as in JSON.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl From<$core> for $name {
            fn from(of: $core) -> Self {
                match of { $(<$core>::$variant => Self::$variant),+ }
            }
        }
    };
}

pub(crate) use mirrored;

mirrored! {
    /// Which program took a snapshot.
    TakenBy of Maker {
        /// chyves: the snapshot stores the guest's settings.
        Chyves = "chyves",
        /// zrepl.
        Zrepl = "zrepl",
        /// sanoid or syncoid.
        Sanoid = "sanoid",
        /// Another program, or a user.
        Other = "other",
    }
}

mirrored! {
    /// The kind of a disk.
    DiskKind of guest::DiskKind {
        /// A file in the guest's file system.
        Raw = "raw",
        /// A volume.
        Zvol = "zvol",
        /// A file, device or volume that chyves did not make.
        Attached = "attached",
    }
}

mirrored! {
    /// The kind of an image.
    ImageKind of image::ImageKind {
        /// A disk.
        Disk = "disk",
        /// An ISO.
        Iso = "iso",
        /// UEFI firmware.
        Firmware = "firmware",
    }
}

impl From<DiskKind> for guest::DiskKind {
    fn from(kind: DiskKind) -> Self {
        match kind {
            DiskKind::Raw => Self::Raw,
            DiskKind::Zvol => Self::Zvol,
            DiskKind::Attached => Self::Attached,
        }
    }
}

impl From<ImageKind> for image::ImageKind {
    fn from(kind: ImageKind) -> Self {
        match kind {
            ImageKind::Disk => Self::Disk,
            ImageKind::Iso => Self::Iso,
            ImageKind::Firmware => Self::Firmware,
        }
    }
}

mirrored! {
    /// The role of a pool on this host.
    PoolRole of pool::Role {
        /// It has images and global settings, besides guests.
        Primary = "primary",
        /// It has guests.
        Secondary = "secondary",
        /// It is not used.
        Offline = "offline",
    }
}

/// The value of a setting: a number where it is a number of things or bytes, otherwise as it is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// A count, or a size in bytes.
    Number(u64),
    /// Text.
    Text(String),
}

impl Value {
    /// The value of a property. Sizes of memory and disks are bytes.
    pub fn of(key: &str, text: &str) -> Self {
        let is_size = key == keys::RAM || sizes::number(key).is_some();
        let size = is_size.then(|| text.parse::<Size>().ok().map(Size::get)).flatten();
        // Text that only looks like a number, as `007`, stays as it is.
        let number = || text.parse::<u64>().ok().filter(|number| number.to_string() == text);
        size.or_else(number).map_or_else(|| Self::Text(text.to_owned()), Self::Number)
    }
}

/// A property that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The property.
    pub key: String,
    /// The value as it is typed.
    pub value: String,
}

impl Assignment {
    /// Assignments as pairs.
    pub(crate) fn pairs(all: &[Self]) -> Vec<(String, String)> {
        all.iter().map(|one| (one.key.clone(), one.value.clone())).collect()
    }

    /// Words of the form `KEY=VALUE`; others are skipped.
    pub fn of_words<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Vec<Self> {
        let one = |word: S| word.as_ref().split_once('=').map(|(key, value)| Self { key: key.to_owned(), value: value.to_owned() });
        words.into_iter().filter_map(one).collect()
    }
}

/// A change of a running guest's settings that its present run does not use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// The property, or a device (`disk1`) that was added or removed.
    pub property: String,
    /// The value that the guest runs with; null if it has none, or no such device.
    pub running: Option<String>,
    /// The next value.
    pub next: Option<String>,
    /// When it takes effect.
    pub waits_for: WaitsFor,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// At the next start or reboot of the guest.
    NextStartOrReboot,
}

impl From<&Pending> for Change {
    fn from(change: &Pending) -> Self {
        Self {
            property: change.property.clone(),
            running: change.running.clone(),
            next: change.next.clone(),
            waits_for: WaitsFor::NextStartOrReboot,
        }
    }
}

impl Change {
    fn pending(&self) -> Pending {
        Pending { property: self.property.clone(), running: self.running.clone(), next: self.next.clone(), waits_for: WAITS_FOR }
    }

    /// The change in one line.
    pub fn words(&self) -> String {
        self.pending().words()
    }

    /// The change in a few characters, for a column: `ram=1G`, `+disk1`.
    pub fn short(&self) -> String {
        self.pending().short()
    }
}

/// An address of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Address {
    /// The NIC: `net0`.
    pub nic: String,
    /// The address.
    pub address: IpAddr,
    /// How it is known: `lease`.
    pub source: String,
}

impl From<&Known> for Address {
    fn from(known: &Known) -> Self {
        Self { nic: known.nic.clone(), address: known.address, source: known.source.to_owned() }
    }
}

/// A failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Failure(#[schemars(with = "FailureSchema")] pub Problem);

/// The fields of a failure in JSON.
#[derive(JsonSchema)]
#[schemars(rename = "Problem")] // the newtype that refers to it has the name `Failure` already
#[allow(dead_code)] // it only describes
struct FailureSchema {
    /// What failed; chyves-errors(7) lists the codes.
    code: String,
    /// The class, which determines the exit status.
    class: Class,
    /// What failed.
    message: String,
    /// The object that it concerns.
    object: Option<String>,
    /// Why, outermost first.
    causes: Option<Vec<String>>,
    /// What helps.
    hint: Option<Vec<String>>,
}

/// The class of a failure in a schema, with the words and meanings of chyves-core.
#[allow(dead_code)] // it only describes
struct Class;

impl JsonSchema for Class {
    fn schema_name() -> Cow<'static, str> {
        "Class".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The code of a class, which failures without a code of their own have, is the same word.
        let classes = Code::ALL.iter().filter(|code| Code::of_class(code.class()) == **code);
        let one = |code: &Code| serde_json::json!({ "type": "string", "const": code.class(), "description": code.meaning() });
        let all: Vec<_> = classes.map(one).collect();
        json_schema!({ "description": "The class of a failure, which shows what became of the host.", "oneOf": all })
    }
}

/// The result for one of several objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Each<D> {
    /// The guest or other object.
    pub object: String,
    /// What was done, or why nothing was.
    #[serde(flatten)]
    pub result: Single<D>,
}

/// What became of one of several objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Single<D> {
    /// It was done.
    Done(D),
    /// It failed.
    Failed {
        /// Why.
        error: Failure,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_each_zfs_prints_them() {
        assert_eq!(Time::of_zfs("1700000000").unwrap().to_string(), "2023-11-14T22:13:20Z");
        let local = Time::of_zfs("Mon Nov 23 20:54 2026").unwrap().0.to_zoned(TimeZone::system());
        assert_eq!(local.strftime("%Y-%m-%d %H:%M").to_string(), "2026-11-23 20:54");
        assert_eq!(Time::of_zfs("soon"), None);
    }

    #[test]
    fn words_are_those_of_core() {
        let json = |value: &dyn erased::Json| value.json();
        for kind in [guest::DiskKind::Raw, guest::DiskKind::Zvol, guest::DiskKind::Attached] {
            assert_eq!(DiskKind::from(kind).word(), kind.word());
            assert_eq!(json(&DiskKind::from(kind)), format!("\"{}\"", kind.word()));
        }
        for maker in [Maker::Chyves, Maker::Zrepl, Maker::Sanoid, Maker::Other] {
            assert_eq!(json(&TakenBy::from(maker)), format!("\"{}\"", maker.word()));
        }
        for role in [pool::Role::Primary, pool::Role::Secondary, pool::Role::Offline] {
            assert_eq!(json(&PoolRole::from(role)), format!("\"{}\"", role.word()));
        }
        for state in [State::Stopped, State::Foreign, State::Crashed, State::Orphaned] {
            assert_eq!(json(&state), format!("\"{}\"", state.word()));
        }
    }

    mod erased {
        pub(super) trait Json {
            fn json(&self) -> String;
        }
        impl<T: serde::Serialize> Json for T {
            fn json(&self) -> String {
                serde_json::to_string(self).unwrap()
            }
        }
    }
}
