//! The settings that a guest had at one of its snapshots, whoever took it; used by every command that works with a snapshot.

use crate::Engine;
use chyves_core::error::Result;
use chyves_core::guest::{Guest, read_copy};
use chyves_core::plan::snapshot::{Seen, then};
use chyves_core::property::settings::OwnValues;
use chyves_core::value::SnapshotName;
use chyves_core::world::World;
use chyves_host::apply::{self, Event, Lent, Place};
use chyves_host::observe::{self, snapshots};

impl Engine {
    /// The settings at that snapshot; none if the snapshot neither stores them nor contains a copy.
    ///
    /// # Errors
    /// They cannot be read, or the guest's key is not loaded.
    pub fn settings_at(&self, world: &World, guest: &Guest, seen: &Seen) -> Result<Option<OwnValues>> {
        let name: SnapshotName = seen.name.parse()?;
        let snapshot = guest.dataset.at(&name);
        if seen.is_ours() {
            return snapshots::carried(&snapshot).map(Some);
        }
        chyves_core::plan::locked::guest(world, guest)?;
        let guids = observe::guids(&[guest.dataset.to_string(), snapshot.to_string()])?;
        let plan = then::reading(world, guest, &name, guids, &Self::moment(1))?;
        // Reading is no step of the operation, so only its commands and warnings are reported.
        let mut report = |event: Event<'_>| {
            if matches!(event, Event::Command(_) | Event::Warning(_)) {
                self.events.running(guest.name.as_str(), event);
            }
        };
        let mut place = Place {
            os: chyves_host::facts::os(),
            runtime: &self.runtime,
            command: &self.typed,
            locks: &[],
            interrupted: &self.interrupted,
            report: &mut report,
            lent: Lent::default(),
        };
        let text = apply::apply(&plan, &mut place)?.read;
        let copy = text.map(|text| read_copy(&text).map_err(|p| p.on(&snapshot))).transpose()?;
        Ok(copy.map(|own| unvouched(guest, own)))
    }
}

/// Marks values that were read from a file as received, since whoever could write the file is not trusted; except those that
/// equal the guest's current ones.
fn unvouched(guest: &Guest, mut own: OwnValues) -> OwnValues {
    let present = guest.settings.own_values();
    for (key, value) in &mut own {
        value.received = present.get(key).is_none_or(|now| now.received || now.value != value.value);
    }
    own
}
