//! Sizes of disks as properties, and of streams.

use chyves_core::error::Result;
use chyves_core::guest::{DiskKind, Guest, disk_name};
use chyves_core::plan::disk::found::{self, Disks};
use chyves_core::property::keys::{self, DiskKey};
use chyves_core::value::{Dataset, Size, SnapshotName};
use chyves_core::world::World;
use chyves_host::observe::snapshots;
use std::collections::BTreeMap;

/// The number of the disk, if the key is a disk's size.
pub(crate) fn number(key: &str) -> Option<u16> {
    let number: u16 = key.strip_prefix("disk")?.strip_suffix(".size")?.parse().ok()?;
    (keys::disk(number, DiskKey::Size) == key).then_some(number)
}

/// The settings that must be read to know a disk's actual size.
pub(crate) fn wanted(number: u16) -> Vec<String> {
    let source = keys::disk(number, DiskKey::Source);
    vec![keys::disk(number, DiskKey::Kind), keys::disk(number, DiskKey::Size), format!("{}{source}", keys::TRUSTED), source]
}

/// How a disk differs from what is recorded, in a few words.
pub(crate) fn differs(guest: &Guest, there: &Disks, number: u16) -> Option<String> {
    let spec = guest.spec().ok()?;
    let disk = spec.disks.iter().find(|disk| disk.number == number)?;
    found::of(there, number).differs(disk)
}

/// The approximate stream size of each dataset of a guest, from a snapshot or from one that will be taken.
pub(crate) fn of_streams(world: &World, guest: &Guest, snapshot: Option<&SnapshotName>) -> Result<BTreeMap<Dataset, Size>> {
    let mut all = vec![guest.dataset.clone()];
    match snapshot {
        // Volumes that were added since have no such snapshot.
        Some(name) => all.extend(snapshots::volumes_with(guest, name)?.into_iter().map(|(s, _)| s.dataset)),
        None => {
            let volumes = guest.spec()?.disks.into_iter().filter(|d| d.kind == DiskKind::Zvol);
            all.extend(volumes.map(|d| guest.dataset.child(disk_name(d.number, d.kind))));
        }
    }
    all.into_iter()
        .map(|dataset| {
            let size = match snapshot {
                Some(name) => snapshots::stream_size(world.host.dialect, &dataset.at(name))?,
                None => Size::bytes(snapshots::size_of(dataset.as_str())?),
            };
            Ok((dataset, size))
        })
        .collect()
}
