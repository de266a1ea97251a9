//! The records of a guest's disks one by one, so that a value that cannot be read hides neither the disk nor the others.

use super::read::Reader;
use super::{Bus, DiskKind, DiskSpec, Guest};
use crate::device::derived_serial;
use crate::error::Problem;
use crate::property::keys::{self, DiskKey};

/// What is recorded of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRecord {
    /// The disk. A setting that cannot be read has its default, a size is unknown, and a kind is assumed from whether the disk
    /// has a source.
    pub disk: DiskSpec,
    /// The settings that cannot be read, with the reasons.
    pub invalid: Vec<(DiskKey, Problem)>,
}

impl DiskRecord {
    /// Whether this setting cannot be read.
    pub fn lacks(&self, part: DiskKey) -> bool {
        self.invalid.iter().any(|(invalid, _)| *invalid == part)
    }
}

impl Guest {
    /// The records of its disks, whatever they contain. Commands that use a disk read [`Guest::spec`], which refuses invalid ones.
    pub fn disk_records(&self) -> Vec<DiskRecord> {
        self.settings.numbers("disk").into_iter().map(|number| record(self, number)).collect()
    }

    /// The record of disk `number`: of one that no setting names, with the values that settings have by default.
    pub fn disk_record(&self, number: u16) -> DiskRecord {
        record(self, number)
    }
}

/// The record of disk `number`.
pub(super) fn record(guest: &Guest, number: u16) -> DiskRecord {
    let read = Reader { guest };
    let key = |part| keys::disk(number, part);
    let mut invalid = Vec::new();
    let mut note = |part, problem| invalid.push((part, problem));
    let kind = read.parsed(&key(DiskKey::Kind)).map_err(|problem| note(DiskKey::Kind, problem));
    let kind = match kind {
        Ok(kind) => kind,
        Err(()) if guest.settings.value(&key(DiskKey::Source)).is_some() => DiskKind::Attached,
        Err(()) => DiskKind::Raw,
    };
    let source = (kind == DiskKind::Attached).then(|| read.word(&key(DiskKey::Source)).map_err(|p| note(DiskKey::Source, p)).ok());
    let mut optional = |part| read.optional(&key(part)).map_err(|problem| note(part, problem)).ok().flatten();
    let disk = DiskSpec {
        number,
        kind,
        source: source.flatten(),
        size: optional(DiskKey::Size).and_then(|size| size.parse().ok()),
        bus: optional(DiskKey::Bus).and_then(|bus| bus.parse().ok()).unwrap_or(Bus::VirtioBlk),
        options: optional(DiskKey::Options),
        serial: optional(DiskKey::Serial).unwrap_or_else(|| derived_serial(guest.uuid, number)),
        pci: optional(DiskKey::Pci),
        description: optional(DiskKey::Description),
    };
    DiskRecord { disk, invalid }
}
