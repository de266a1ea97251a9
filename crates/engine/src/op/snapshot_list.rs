//! Lists snapshots of guests, whoever took them.

use crate::answer::{TakenBy, Time};
use crate::needs::{Needs, Observed, Snapshots};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the snapshots of guests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotList {
    /// The guests; all if it is missing.
    pub guests: Targets,
    /// Whether their GUIDs are read, which takes longer.
    pub guids: bool,
}

/// One snapshot of a guest, with those of its volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Snapshot {
    /// Guest and snapshot: `web01@before`.
    pub name: String,
    /// The guest.
    pub guest: String,
    /// The part after `@`.
    pub snapshot: String,
    /// When it was taken; to the minute from a ZFS that prints no seconds.
    pub creation: Option<Time>,
    /// Bytes that only this snapshot uses.
    pub used: u64,
    /// Bytes that it refers to.
    pub referenced: u64,
    /// The program that took it.
    pub by: TakenBy,
    /// Whether the guest was running when it was taken.
    pub live: bool,
    /// Its GUID, as text since it exceeds what many programs take as a number; null if it was not read.
    pub guid: Option<String>,
}

impl Operation for SnapshotList {
    const NAME: &'static str = "snapshot-list";
    type Answer = Vec<Snapshot>;

    fn needs(&self) -> Needs {
        let snapshots = if self.guids { Snapshots::WithGuids } else { Snapshots::Listed };
        Needs { guests: Some(self.guests.clone()), keys: Some(Vec::new()), snapshots, ..Needs::default() }
    }

    fn run(&self, _: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let guids = if self.guids { Some(seen.guids.get()?) } else { None };
        let guests = seen.guests();
        let mut all = Vec::new();
        for (guest, snapshots) in guests.iter().zip(seen.snapshots.get()?) {
            all.extend(snapshots.iter().map(|snapshot| Snapshot {
                name: format!("{}@{}", guest.name, snapshot.name),
                guest: guest.name.to_string(),
                snapshot: snapshot.name.clone(),
                creation: Time::of_zfs(&snapshot.creation),
                used: snapshot.used.get(),
                referenced: snapshot.referenced.get(),
                by: snapshot.maker.into(),
                live: snapshot.live,
                guid: guids.and_then(|guids| guids.get(&format!("{}@{}", guest.dataset, snapshot.name))).map(u64::to_string),
            }));
        }
        Ok(Outcome::without(all, "guests could not be read", guests.len(), seen.lost.clone()))
    }
}
