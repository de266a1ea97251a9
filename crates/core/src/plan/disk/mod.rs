//! `disk`: adds, removes and changes the disks of a guest.
//!
//! * [`add`]: add a disk: empty, from a file, attached, or restored from the trash
//! * [`remove`]: move a disk into the trash
//! * [`found`]: the state of disks as read from the disks themselves; [`sync`]: update the settings to match it
//! * [`resize`]: grow and shrink
//! * this file: settings of one disk, renumbering, and shared helpers
//!
//! Not here: the disk that a guest is created with ([`super::create`]) and how a hypervisor opens disks
//! ([`super::machine`]).

pub mod add;
pub mod found;
pub mod remove;
pub mod resize;
pub mod sync;

use self::found::Disks;
use super::set::change;
use super::{Plan, copy_path, in_folder, own_guest, stopped};
use crate::action::Action;
use crate::device::{DeviceClass, DeviceKey, PciPlace, derived_serial};
use crate::error::{Code, Problem, Result, did_you_mean};
use crate::guest::written::{Change, Typed};
use crate::guest::{DiskKind, DiskSpec, Guest, disk_name, settings_copy};
use crate::property::keys::{self, DiskKey};
use crate::property::settings::{Own, OwnValues};
use crate::value::{BadValue, Dataset, FilePath, Size};
use crate::world::World;
use crate::zfs::args::Pair;
use std::collections::BTreeMap;

/// Parses a disk number: `disk0`, or `0`.
///
/// # Errors
/// The text is neither.
pub fn number(text: &str) -> Result<u16, BadValue> {
    let digits = text.strip_prefix("disk").unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let refuse = || BadValue::new(text, "names no disk").hint("write it as disk0 or 0; `chyves disk list` shows them");
    digits.parse().ok().filter(|n| plain && *n < LIMIT).ok_or_else(refuse)
}

/// Disk numbers are below this limit.
const LIMIT: u16 = 1000;

/// The disk with that number.
///
/// # Errors
/// There is none; the message lists the existing ones.
pub fn find<'a>(guest: &Guest, disks: &'a [DiskSpec], number: u16) -> Result<&'a DiskSpec> {
    disks.iter().find(|d| d.number == number).ok_or_else(|| {
        let there: Vec<String> = disks.iter().map(|d| format!("disk{}", d.number)).collect();
        let has = if there.is_empty() { "it has none".to_owned() } else { format!("it has {}", there.join(", ")) };
        Code::NoSuchDisk
            .problem(format!("`{}` has no disk{number}", guest.name))
            .on(format!("{}:disk{number}", guest.name))
            .because(has)
            .hint(format!("`chyves disk list {}` shows its disks", guest.name))
    })
}

/// The datasets whose GUIDs have to be verified before a disk is changed: the guest's, and the disk's own if it is a
/// volume.
pub fn datasets(guest: &Guest, number: u16) -> Result<Vec<String>> {
    let spec = guest.spec()?;
    let disk = find(guest, &spec.disks, number)?;
    let mut names = vec![guest.dataset.to_string()];
    names.extend((disk.kind == DiskKind::Zvol).then(|| volume(guest, number).to_string()));
    Ok(names)
}

/// The PCI address of each disk; empty if the guest's devices do not fit together.
pub fn places(world: &World, guest: &Guest) -> BTreeMap<u16, String> {
    let placed = guest.spec().and_then(|spec| super::machine::places(guest, &spec, &world.host)).unwrap_or_default();
    let disk = |(key, place): (DeviceKey, PciPlace)| {
        (key.class == DeviceClass::Disk).then(|| Some((key.number.try_into().ok()?, place.to_string()))).flatten()
    };
    placed.into_iter().filter_map(disk).collect()
}

/// The dataset of a disk that is a volume.
fn volume(guest: &Guest, number: u16) -> Dataset {
    guest.dataset.child(disk_name(number, DiskKind::Zvol))
}

/// The file of a disk that is a raw file.
fn file(folder: &str, number: u16) -> FilePath {
    FilePath::below(folder, disk_name(number, DiskKind::Raw))
}

/// Refuses a guest if its disks must not be changed: one that another host owns, or a template.
fn changeable(guest: &Guest) -> Result<()> {
    own_guest(guest)?;
    if guest.is_template() {
        return Err(Code::GuestTemplate
            .problem(format!("`{}` is a template: its disks stay as they are", guest.name))
            .on(&guest.name)
            .hint(format!("make it a guest first: `chyves set {} template=no`", guest.name)));
    }
    Ok(())
}

/// The guest's own settings of one disk, keyed by the part after the dot.
fn settings_of(guest: &Guest, number: u16) -> Vec<Pair> {
    let prefix = format!("disk{number}.");
    let part = |(key, own): (&String, &Own)| Some((key.strip_prefix(&prefix)?.to_owned(), own.value.clone()));
    guest.settings.own_values().iter().filter_map(part).collect()
}

/// The same settings with the keys of disk `number`.
fn renumbered(parts: &[Pair], number: u16) -> Vec<Pair> {
    parts.iter().map(|(part, value)| (format!("disk{number}.{part}"), value.clone())).collect()
}

/// A change of a guest's settings, with the steps to run in its folder before and after it.
#[derive(Default)]
struct Amendment {
    change: Change,
    before: Vec<Action>,
    after: Vec<Action>,
}

impl Amendment {
    /// The guest's own settings after the change.
    fn values(&self, guest: &Guest) -> OwnValues {
        self.change.after(guest.settings.own_values())
    }

    /// Checks that the guest can start with the new settings: every value is valid, every device has a PCI address, and no
    /// device except disk `number` gets another address.
    fn checked(&self, world: &World, guest: &Guest, number: u16) -> Result<()> {
        super::whole::startable(world, guest, &self.values(guest))?;
        let changed = Guest { settings: guest.settings.with_own(self.values(guest)), ..guest.clone() };
        let after = super::machine::places(&changed, &changed.spec()?, &world.host)?;
        let before = super::machine::places(guest, &guest.spec()?, &world.host).unwrap_or_default();
        let own = DeviceKey::new(DeviceClass::Disk, number.into());
        for (key, place) in after {
            let was = before.iter().find(|(k, p)| *k == key && *p != place && key != own);
            if let Some((_, was)) = was {
                return Err(Problem::usage(format!("`{key}` of `{}` is at {was} and would have to move to {place}", guest.name))
                    .on(&guest.name)
                    .hint("choose another slot for the disk: guests identify devices by their slots"));
            }
        }
        Ok(())
    }

    fn steps(mut self, world: &World, guest: &Guest) -> Result<Vec<Action>> {
        let own = guest.settings.own_values();
        let text = settings_copy(&self.values(guest));
        self.change.clears_only(own);
        let mut steps = self.before;
        steps.push(change(world, &guest.dataset, own, &self.change));
        steps.push(Action::WriteFile { path: copy_path(guest.folder()?), text });
        steps.extend(self.after);
        Ok(in_folder(guest, steps))
    }
}

/// Parses settings of disk `number`: `bus=nvme` or `disk0.bus=nvme`.
fn typed(number: u16, pairs: &[Pair]) -> Result<Vec<Typed>> {
    use crate::property::Scope;
    pairs.iter().map(|(key, value)| super::set::typed(&full_key(number, key)?, value, &[Scope::Guest, Scope::GuestOnly])).collect()
}

/// The setting that records a disk's size.
fn typed_size(number: u16, size: Size) -> Result<Pair> {
    let known = crate::property::find(&keys::disk(number, DiskKey::Size))?;
    let value = crate::property::check(&known, &size.to_string())?;
    Ok((known.key, value))
}

/// The full key for a key that was typed without `diskN.`.
fn full_key(number: u16, key: &str) -> Result<String> {
    let prefix = format!("disk{number}.");
    let part = key.strip_prefix(&prefix).unwrap_or(key).to_ascii_lowercase();
    if DiskKey::ALL.iter().any(|k| k.word() == part) {
        return Ok(format!("{prefix}{part}"));
    }
    let shown = crate::value::printable(key, 60);
    Err(Problem::usage(format!("a disk has no setting called `{shown}`"))
        .on(&shown)
        .hint_if(did_you_mean(&part, DiskKey::ALL.iter().map(|k| k.word())))
        .hint("a disk has bus, options, serial, pci, description and notes"))
}

/// Plans a change of one disk's settings; `unset` lists keys to remove.
///
/// # Errors
/// There is no such disk, or a value is invalid.
pub fn set(world: &World, guest: &Guest, number: u16, pairs: &[Pair], unset: &[String]) -> Result<Plan> {
    find(guest, &guest.spec()?.disks, number)?;
    let typed = typed(number, pairs)?;
    let set = typed.iter().map(|typed| typed.pair().clone()).collect();
    let request = super::set::Request { set, unset: unset.iter().map(|key| full_key(number, key)).collect::<Result<_>>()? };
    let wish = Amendment { change: Change::typed(typed, request.unset.clone()), ..Amendment::default() };
    wish.checked(world, guest, number)?;
    super::set::guest(world, guest, &request)
}

/// Plans to give a disk another number. It keeps its serial number, so that the guest recognises it.
///
/// # Errors
/// The guest is running, there is no such disk, or the number is taken, by what is `there` too.
pub fn renumber(world: &World, guest: &Guest, from: u16, to: u16, there: &Disks, guids: Vec<(String, u64)>) -> Result<Plan> {
    changeable(guest)?;
    let spec = guest.spec()?;
    let disk = find(guest, &spec.disks, from)?;
    if from == to {
        return Ok(Plan::nothing(format!("it is disk{to} already")));
    }
    free(guest, to, there)?;
    stopped(guest, "move a disk of")?;
    let parts = settings_of(guest, from);
    let clear: Vec<String> = renumbered(&parts, from).into_iter().map(|(key, _)| key).collect();
    // Nobody typed these values: each keeps the trust that it had under the former number.
    let mut change = Change::clearing(clear.clone());
    for (pair, was) in renumbered(&parts, to).into_iter().zip(&clear) {
        change.set_moved(pair, was.clone());
    }
    // A serial number that can be derived from the number is not stored.
    change.retain(|key, serial| key != keys::disk(to, DiskKey::Serial) || serial != derived_serial(guest.uuid, to));
    if disk.serial != derived_serial(guest.uuid, to) && !parts.iter().any(|(part, _)| part == DiskKey::Serial.word()) {
        change.set_kept((keys::disk(to, DiskKey::Serial), disk.serial.clone()));
    }
    // The PCI address is derived from the number, unless it was set or is in use by another device.
    if disk.pci.is_none() {
        let without = guest.settings.own_values().iter().filter(|(k, _)| !clear.contains(k)).map(|(k, o)| (k.clone(), o.clone())).collect();
        let rest = Guest { settings: guest.settings.with_own(without), ..guest.clone() };
        let place = super::machine::place_to_keep(&rest, &world.host, DeviceKey::new(DeviceClass::Disk, to.into()), None)?;
        if let Some(place) = place {
            change.set_kept((keys::disk(to, DiskKey::Pci), place.to_string()));
        }
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: guids });
    let mut before = Vec::new();
    match disk.kind {
        DiskKind::Raw => before.push(Action::RenameFile { from: file(guest.folder()?, from), to: file(guest.folder()?, to) }),
        DiskKind::Zvol => {
            plan.push(Action::RenameVolume { from: volume(guest, from), to: volume(guest, to) });
        }
        DiskKind::Attached => {}
    }
    let wish = Amendment { change, before, after: Vec::new() };
    wish.checked(world, guest, to)?;
    plan.steps.extend(wish.steps(world, guest)?);
    plan.notes.push(format!("its serial number stays {}", disk.serial));
    Ok(plan)
}

/// Refuses a number that is out of range, or in use: by the settings, or by what is `there` without being in them.
fn free(guest: &Guest, number: u16, there: &Disks) -> Result<()> {
    if number >= LIMIT {
        return Err(Problem::usage(format!("disks are numbered below {LIMIT}")).on(number));
    }
    if guest.settings.numbers("disk").contains(&number) {
        return Err(Code::DiskExists
            .problem(format!("`{}` has a disk{number} already", guest.name))
            .on(format!("{}:disk{number}", guest.name))
            .hint("choose another number, or omit --number"));
    }
    if let Some(stray) = found::strays(guest, there).find(|stray| stray.number == number) {
        return Err(Problem::not_now(format!("`{}` can have no new disk{number}", guest.name))
            .on(format!("{}:disk{number}", guest.name))
            .because(stray.cause())
            .hint(stray.cure())
            .hint("or choose another number"));
    }
    Ok(())
}

/// The serial number to set so that a disk, formerly number `was` of guest `of`, keeps its serial as number `number` of
/// `guest`. `None` if nothing has to be set.
fn kept_serial(guest: &Guest, number: u16, of: uuid::Uuid, was: u16) -> Option<String> {
    // In another guest it is a different disk and gets a new serial.
    (of == guest.uuid && was != number).then(|| derived_serial(of, was))
}

#[cfg(test)]
mod tests;
