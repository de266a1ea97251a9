//! Lists the disks of guests: as they are recorded, and as they are.

use crate::answer::DiskKind;
use crate::needs::{DiskNeeds, Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::Result;
use chyves_core::guest::{self, DiskRecord, DiskSpec, Guest, disk_name};
use chyves_core::plan;
use chyves_core::plan::disk::found::{self, Found, Stray};
use chyves_core::property::keys::{self, DiskKey};
use chyves_core::value::{FilePath, printable};
use chyves_host::apply::disk as files;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lists the disks of guests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiskList {
    /// The guests; all if it is missing.
    pub guests: Targets,
}

/// One disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Disk {
    /// The guest.
    pub guest: String,
    /// Its number.
    pub number: u16,
    /// Its kind as recorded; where the record is invalid, as found.
    pub kind: DiskKind,
    /// Its recorded size in bytes.
    pub size: Option<u64>,
    /// Bytes that it uses in the pool, if that is known without mounting anything.
    pub used: Option<u64>,
    /// The bus or controller that it is attached to.
    pub bus: String,
    /// Options of its back end.
    pub options: Option<String>,
    /// Its serial number.
    pub serial: String,
    /// Its PCI address: the one that it has, or that is set.
    pub pci: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// The path or volume of an attached disk.
    pub source: Option<String>,
    /// Its actual size in bytes, if there is a disk and it could be read.
    pub actual: Option<u64>,
    /// How it compares with its record.
    pub state: DiskState,
    /// Its actual kind, if that is not the recorded one.
    pub actual_kind: Option<DiskKind>,
    /// What was found under its name if that is not a disk, or why the disk could not be read.
    pub reason: Option<String>,
    /// The recorded kind, if it is invalid.
    pub invalid_kind: Option<String>,
    /// The recorded size, if it is invalid.
    pub invalid_size: Option<String>,
}

/// How a disk compares with its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskState {
    /// Kind and size are as recorded.
    AsRecorded,
    /// Its size is another one.
    OtherSize,
    /// It is a volume although a file is recorded, or the reverse.
    OtherKind,
    /// There is neither a file nor a volume.
    Missing,
    /// What has its name cannot be a disk.
    NoDisk,
    /// It is there, and the settings have nothing of it.
    Unrecorded,
    /// It could not be read.
    Unknown,
}

impl DiskState {
    pub(super) fn of(found: &Found, disk: &DiskSpec) -> Self {
        match found {
            Found::Size(size) if disk.size == Some(*size) => Self::AsRecorded,
            Found::Size(_) => Self::OtherSize,
            Found::OtherKind(..) => Self::OtherKind,
            Found::Missing => Self::Missing,
            Found::NoDisk(_) => Self::NoDisk,
            Found::Unknown(_) => Self::Unknown,
        }
    }
}

impl Operation for DiskList {
    const NAME: &'static str = "disk-list";
    type Answer = Vec<Disk>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(self.guests.clone()), disks: DiskNeeds::Mounted, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let guests = seen.guests();
        let mut records: Vec<Vec<DiskRecord>> = guests.iter().map(|guest| guest.disk_records()).collect();
        for (_, problem) in records.iter().flatten().flat_map(|record| &record.invalid) {
            engine.events.warning(&problem.hints.iter().fold(problem.to_string(), |text, hint| format!("{text}; {hint}")));
        }
        for ((guest, records), there) in guests.iter().zip(&mut records).zip(seen.disks.get()?) {
            for stray in found::strays(guest, there) {
                engine.events.warning(&format!("{}; {}", stray.cause(), stray.cure()));
                records.push(unrecorded(guest, &stray));
            }
            records.sort_by_key(|record| record.disk.number);
        }
        let wanted: Vec<String> = guests.iter().zip(&records).flat_map(|(guest, records)| with_space(guest, records)).collect();
        let space = files::space(&wanted)?;
        let mut all = Vec::new();
        for ((guest, records), there) in guests.iter().zip(&records).zip(seen.disks.get()?) {
            let places = plan::disk::places(&seen.world, guest);
            for record in records {
                let disk = &record.disk;
                let there = found::of(there, disk.number);
                let is_recorded = guest.settings.numbers("disk").contains(&disk.number);
                // What is stored, where that is invalid.
                let stored = |part: DiskKey| {
                    let text = guest.settings.value(&keys::disk(disk.number, part));
                    record.invalid.iter().any(|(bad, _)| *bad == part).then(|| text.map_or_else(String::new, |text| printable(&text, 40)))
                };
                all.push(Disk {
                    guest: guest.name.to_string(),
                    number: disk.number,
                    kind: if stored(DiskKey::Kind).is_some() { there.kind(disk) } else { disk.kind }.into(),
                    size: disk.size.map(chyves_core::value::Size::get),
                    used: used(guest, records, disk, &space),
                    bus: disk.bus.to_string(),
                    options: disk.options.clone(),
                    serial: disk.serial.clone(),
                    pci: places.get(&disk.number).cloned().or_else(|| disk.pci.clone()),
                    description: disk.description.clone(),
                    source: disk.source.clone(),
                    actual: there.actual().map(chyves_core::value::Size::get),
                    state: if is_recorded { DiskState::of(there, disk) } else { DiskState::Unrecorded },
                    actual_kind: (is_recorded && matches!(there, Found::OtherKind(..))).then(|| there.kind(disk).into()),
                    reason: match there {
                        Found::NoDisk(what) => Some(printable(what, 120)),
                        Found::Unknown(why) => Some(printable(why, 400)),
                        Found::Size(_) | Found::OtherKind(..) | Found::Missing => None,
                    },
                    invalid_kind: stored(DiskKey::Kind),
                    invalid_size: stored(DiskKey::Size),
                });
            }
        }
        Ok(Outcome::without(all, "guests could not be read", guests.len(), seen.lost.clone()))
    }
}

/// The record that a disk would have of which the settings have nothing.
pub(super) fn unrecorded(guest: &Guest, stray: &Stray<'_>) -> DiskRecord {
    let DiskRecord { disk, .. } = guest.disk_record(stray.number);
    DiskRecord { disk: DiskSpec { kind: stray.found.kind(&disk), size: None, ..disk }, invalid: Vec::new() }
}

/// Whether the space of a disk is what its guest's file system refers to: the only disk file of a file system that is not
/// mounted.
fn is_alone(guest: &Guest, records: &[DiskRecord]) -> bool {
    !guest.mounted && records.iter().filter(|record| record.disk.kind == guest::DiskKind::Raw).count() == 1
}

/// The datasets whose properties show the space of disks.
fn with_space(guest: &Guest, records: &[DiskRecord]) -> Vec<String> {
    let volumes = records.iter().map(|record| &record.disk).filter(|disk| disk.kind == guest::DiskKind::Zvol);
    let volumes = volumes.map(|disk| guest.dataset.child(disk_name(disk.number, disk.kind)).to_string());
    volumes.chain(is_alone(guest, records).then(|| guest.dataset.to_string())).collect()
}

/// The space that a disk uses on the pool, if it is known without mounting anything.
fn used(guest: &Guest, records: &[DiskRecord], disk: &DiskSpec, space: &BTreeMap<String, (u64, u64)>) -> Option<u64> {
    let name = disk_name(disk.number, disk.kind);
    match disk.kind {
        guest::DiskKind::Attached => None,
        guest::DiskKind::Zvol => space.get(guest.dataset.child(name).as_str()).map(|(used, _)| *used),
        guest::DiskKind::Raw if is_alone(guest, records) => space.get(guest.dataset.as_str()).map(|(_, referenced)| *referenced),
        guest::DiskKind::Raw if guest.mounted => files::taken(&FilePath::below(guest.folder().ok()?, name)),
        guest::DiskKind::Raw => None,
    }
}
