//! Sizes of disks as columns and values: the actual size, with the recorded one if it differs.

use crate::table::Cell;
use chyves_core::guest::Guest;
use chyves_core::plan::disk::found::{self, Disks};
use chyves_core::property::keys::{self, DiskKey};
use chyves_core::value::Size;

/// The number of the disk, if the key is a disk's size.
pub(super) fn number(key: &str) -> Option<u16> {
    let number: u16 = key.strip_prefix("disk")?.strip_suffix(".size")?.parse().ok()?;
    (keys::disk(number, DiskKey::Size) == key).then_some(number)
}

/// The settings that must be read to know a disk's actual size.
pub(super) fn wanted(number: u16) -> Vec<String> {
    let source = keys::disk(number, DiskKey::Source);
    vec![keys::disk(number, DiskKey::Kind), keys::disk(number, DiskKey::Size), format!("{}{source}", keys::TRUSTED), source]
}

/// How a disk differs from what is recorded, in a few words.
pub(super) fn differs(guest: &Guest, there: &Disks, number: u16) -> Option<String> {
    let spec = guest.spec().ok()?;
    let disk = spec.disks.iter().find(|disk| disk.number == number)?;
    found::of(there, number).differs(disk)
}

/// The size of a disk as a cell; none if the recorded size is correct, or nothing else is known.
pub(super) fn cell(guest: &Guest, there: &Disks, number: u16) -> Option<Cell> {
    differs(guest, there, number)?;
    let recorded = guest.settings.value(&keys::disk(number, DiskKey::Size)).unwrap_or_else(|| "-".to_owned());
    let actual = found::of(there, number).actual().map(|size: Size| size.to_string());
    let shown = format!("{} (recorded: {recorded})", actual.as_deref().unwrap_or("missing"));
    Some(Cell { shown, exact: actual.map_or(serde_json::Value::Null, Into::into) })
}
