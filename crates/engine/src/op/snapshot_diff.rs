//! What changed of a guest since one of its snapshots, or from one to another: settings, size, and files where ZFS lists them.

use crate::answer::Value;
use crate::needs::{Needs, Observed, Snapshots};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::{Problem, Result};
use chyves_core::plan;
use chyves_core::plan::snapshot::diff;
use chyves_core::value::{GuestName, Size, SnapshotName};
use chyves_core::zfs::Dialect;
use chyves_host::observe::{self, snapshots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Compares a guest with one of its snapshots, or two of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotDiff {
    /// The guest.
    #[schemars(with = "String")]
    pub guest: GuestName,
    /// The older snapshot.
    #[schemars(with = "String")]
    pub from: SnapshotName,
    /// The newer one; the present state if it is missing.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub to: Option<SnapshotName>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Differs {
    /// What differs.
    pub kind: DiffersIn,
    /// The key of a setting, or the path of a file in the guest's folder; `disks and files` for the size.
    pub name: String,
    /// The old value, of a size in bytes; null if there was none.
    pub before: Option<Value>,
    /// The new value, of a size in bytes; null if there is none.
    pub after: Option<Value>,
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiffersIn {
    /// A setting.
    Setting,
    /// A file.
    File,
    /// The size of everything.
    Size,
}

impl DiffersIn {
    /// The word that is shown, the same as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::File => "file",
            Self::Size => "size",
        }
    }
}

impl Differs {
    fn of(kind: DiffersIn, change: diff::Change) -> Self {
        Self { kind, name: change.name, before: change.before.map(Value::Text), after: change.after.map(Value::Text) }
    }
}

impl Operation for SnapshotDiff {
    const NAME: &'static str = "snapshot-diff";
    type Answer = Vec<Differs>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(Targets::from(self.guest.clone())), snapshots: Snapshots::Listed, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        let guest = observe::guest(world, &self.guest)?;
        let there = seen.snapshots.get()?.first().ok_or_else(|| Problem::bug("a guest was observed without its snapshots"))?;
        let old = plan::snapshot::find(guest, &self.from, there)?;
        let new = self.to.as_ref().map(|name| plan::snapshot::find(guest, name, there)).transpose()?;
        let mut all = Vec::new();
        let after = match new {
            Some(seen) => engine.settings_at(world, guest, seen)?,
            None => Some(guest.settings.own_values().clone()),
        };
        match (engine.settings_at(world, guest, old)?, after) {
            (Some(before), Some(after)) => {
                all.extend(diff::settings(&before, &after).into_iter().map(|change| Differs::of(DiffersIn::Setting, change)));
            }
            (before, _) => {
                let without = if before.is_none() { Some(old) } else { new };
                if let Some(seen) = without {
                    let (name, maker) = (&seen.name, seen.maker.word());
                    engine.events.warning(&format!("@{name} ({maker}) holds no settings; they are not compared"));
                }
            }
        }
        let now = match new {
            Some(seen) => seen.referenced,
            None => Size::bytes(snapshots::size_of(guest.dataset.as_str())?),
        };
        // Sizes that ZFS rounds are the same if they are shown the same.
        if old.referenced.human() != now.human() {
            let bytes = |size: Size| Some(Value::Number(size.get()));
            let (before, after) = (bytes(old.referenced), bytes(now));
            all.push(Differs { kind: DiffersIn::Size, name: "disks and files".to_owned(), before, after });
        }
        match world.host.dialect {
            Dialect::OpenZfs if guest.foreign.is_some() && !guest.mounted => engine.events.note(
                "files are not compared: the guest is foreign, and mounting its file system would change it; settings and sizes are compared",
            ),
            Dialect::OpenZfs => {
                plan::locked::guest(world, guest)?;
                let files = snapshots::changed_files(guest, &self.from, self.to.as_ref())?;
                all.extend(files.into_iter().map(|change| Differs::of(DiffersIn::File, change)));
            }
            Dialect::Fuse => engine.events.note("this ZFS cannot list files that differ; settings and sizes are compared"),
        }
        Ok(all.into())
    }
}
