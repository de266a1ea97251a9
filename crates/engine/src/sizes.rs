//! Sizes of disks as properties: the actual size, and the recorded one if it differs.

use chyves_core::guest::Guest;
use chyves_core::plan::disk::found::{self, Disks};
use chyves_core::property::keys::{self, DiskKey};

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
