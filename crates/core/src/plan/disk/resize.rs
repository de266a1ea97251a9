//! Changes a disk's size. Growing loses no data and is possible while the guest runs, if the hypervisor supports it;
//! shrinking cuts off the end of the disk. Whether a change grows or shrinks is decided by the actual size of the disk, not
//! by the recorded one.

use super::found::Found;
use super::{Amendment, Plan, changeable, file, find, typed_size, volume};
use crate::action::{Action, Growth};
use crate::error::{Code, Problem, Result};
use crate::guest::written::Change;
use crate::guest::{Bus, DiskKind, DiskSpec, Guest, RunState};
use crate::plan::machine::disk_file;
use crate::plan::stopped;
use crate::property::keys::{self, DiskKey};
use crate::value::{BadValue, DiskSize, Size};
use crate::vmm::Vmm;
use crate::world::World;
use std::cmp::Ordering;
use std::str::FromStr;

/// The requested size of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSize {
    /// Exactly this size.
    Exactly(Size),
    /// The present size plus this.
    More(Size),
}

impl NewSize {
    /// The new size of a disk that has the size `from`.
    fn of(self, from: Size) -> Result<Size> {
        match self {
            Self::Exactly(size) => Ok(size),
            Self::More(by) => from
                .get()
                .checked_add(by.get())
                .map(Size::bytes)
                .ok_or_else(|| Problem::usage(format!("{from} and {by} more are too large for a disk"))),
        }
    }
}

impl FromStr for NewSize {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let hint = |bad: BadValue| match bad.hint.clone() {
            Some(was) => bad.hint(format!("{was}; +1G is 1G more than it has")),
            None => bad,
        };
        match text.strip_prefix('+') {
            Some(by) => by.parse().map(|by: DiskSize| Self::More(by.get())),
            None => text.parse().map(|size: DiskSize| Self::Exactly(size.get())).map_err(hint),
        }
    }
}

/// The sizes of a disk before and after a plan of [`resize`]; the same twice if only the record changes.
pub fn sizes(plan: &Plan, number: u16) -> Option<(Size, Size)> {
    let key = keys::disk(number, DiskKey::Size);
    let changed = plan.steps.iter().find_map(|step| {
        let (Action::ResizeVolume { from, to, .. }
        | Action::GrowDisk { from, to, .. }
        | Action::ShrinkDisk { from, to, .. }
        | Action::GrowLive { from, to, .. }) = step
        else {
            return None;
        };
        Some((*from, *to)).filter(|(from, to)| from != to)
    });
    let recorded = || {
        plan.steps.iter().find_map(|step| {
            let Action::Change { set, .. } = step else { return None };
            set.iter().find(|(k, _)| *k == key)?.1.parse().ok()
        })
    };
    changed.or_else(|| recorded().map(|size| (size, size)))
}

/// The size of a volume is a multiple of its block size; this is a multiple of all block sizes.
const GRAIN: u64 = 128 << 10;

/// How the disk grows in a running VM, if the hypervisor supports that.
fn live(world: &World, guest: &Guest, disk: &DiskSpec) -> Option<Growth> {
    let runs = matches!(guest.state, RunState::Running | RunState::Paused { .. });
    match (world.host.vmm, disk.bus, disk.kind) {
        _ if !runs => None,
        (Vmm::Qemu, Bus::VirtioBlk, _) => Some(Growth::Asked),
        (Vmm::Bhyve, Bus::VirtioBlk, DiskKind::Zvol) => Some(Growth::OfVolume(volume(guest, disk.number))),
        (Vmm::Bhyve, Bus::VirtioBlk, DiskKind::Raw | DiskKind::Attached) => Some(Growth::OfFile),
        (Vmm::Qemu | Vmm::Bhyve, Bus::AhciHd | Bus::Nvme, _) => None,
    }
}

/// Plans another size for a disk that has the size `found` now. `force` allows shrinking. `guids` are those of
/// [`super::datasets`].
///
/// # Errors
/// There is no such disk, or it is missing; the guest is running; the disk would shrink without `force`; or it is attached.
pub fn resize(
    world: &World,
    guest: &Guest,
    number: u16,
    to: NewSize,
    force: bool,
    found: &Found,
    guids: Vec<(String, u64)>,
) -> Result<Plan> {
    changeable(guest)?;
    let spec = guest.spec()?;
    let disk = find(guest, &spec.disks, number)?;
    let object = format!("{}:disk{number}", guest.name);
    if disk.kind == DiskKind::Attached {
        return Err(Problem::usage(format!("disk{number} of `{}` is attached, not chyves' own", guest.name)).on(&object).hint(format!(
            "resize {} itself, then `chyves disk sync {} disk{number}`",
            disk.source.as_deref().unwrap_or_default(),
            guest.name
        )));
    }
    // The recorded size may be stale; the actual size decides what would be lost.
    let from = found.size(guest, disk)?;
    let differs = disk.size.filter(|recorded| *recorded != from);
    let mut plan = Plan::default();
    let mut to = to.of(from)?;
    if disk.kind == DiskKind::Zvol && !to.get().is_multiple_of(GRAIN) {
        let whole = Size::bytes(to.get().next_multiple_of(GRAIN));
        plan.notes.push(format!("{to} is rounded up to {whole}, a multiple of the volume's block size"));
        to = whole;
    }
    let set = vec![typed_size(number, to)?];
    if to == from && disk.size == Some(from) {
        return Ok(Plan::nothing(format!("disk{number} of {} has {to} already", guest.name)));
    }
    let stale = differs.map(|recorded| format!("disk{number} of {} has {from}, although {recorded} is recorded", guest.name));
    plan.notes.extend(stale.clone());
    let smaller = to < from;
    if smaller && !force {
        let mut problem = Code::WouldShrink
            .problem(format!("disk{number} of `{}` would shrink from {from} to {to}", guest.name))
            .on(&object)
            .because("everything beyond its new end is lost, and a guest that was not prepared for it may lose everything on it");
        if let Some(stale) = stale {
            problem = problem.because(stale).hint(format!("keep its size and record it: `chyves disk sync {} disk{number}`", guest.name));
        }
        return Err(problem
            .hint("make its partitions and file systems smaller in the guest first, and take a snapshot")
            .hint(format!("then `chyves disk resize {} disk{number} {to} --force`", guest.name)));
    }
    let live = if smaller { None } else { live(world, guest, disk) };
    if live.is_none() && to != from {
        stopped(guest, "resize a disk of")
            .map_err(|p| if smaller { p } else { p.hint("only disks on virtio-blk can grow while a guest runs") })?;
    }
    plan.push(Action::Verify { objects: guids });
    let mut wish = Amendment { change: Change::kept(set, Vec::new()), ..Amendment::default() };
    if smaller {
        plan.notes.push(format!("all data beyond {to} on disk{number} of {} is lost", guest.name));
    }
    // The disk may have the requested size already although the running guest still sees a smaller one.
    if let Some(by) = live.filter(|by| to != from || *by == Growth::Asked) {
        if by == Growth::Asked && disk.kind == DiskKind::Zvol && to != from {
            plan.push(Action::ResizeVolume { dataset: volume(guest, number), from, to });
        }
        let path = disk_file(guest, guest.folder()?, disk);
        // The last step, because what the guest has seen cannot be undone.
        wish.after.push(Action::GrowLive {
            guest: guest.name.clone(),
            uuid: guest.uuid,
            dataset: guest.dataset.clone(),
            path,
            by,
            from,
            to,
        });
        plan.steps.extend(wish.steps(world, guest)?);
        plan.notes.push(format!("{} runs and sees disk{number} grow; grow its partitions and file systems in the guest", guest.name));
        return Ok(plan);
    }
    match (disk.kind, to.cmp(&from)) {
        // Only the record changes.
        (_, Ordering::Equal) => {}
        (DiskKind::Zvol, Ordering::Greater) => wish.before.push(Action::ResizeVolume { dataset: volume(guest, number), from, to }),
        // Steps that cannot be undone are last.
        (DiskKind::Zvol, Ordering::Less) => wish.after.push(Action::ResizeVolume { dataset: volume(guest, number), from, to }),
        (DiskKind::Raw | DiskKind::Attached, Ordering::Greater) => {
            wish.before.push(Action::GrowDisk { path: file(guest.folder()?, number), from, to });
        }
        (DiskKind::Raw | DiskKind::Attached, Ordering::Less) => {
            wish.after.push(Action::ShrinkDisk { path: file(guest.folder()?, number), from, to });
        }
    }
    plan.steps.extend(wish.steps(world, guest)?);
    Ok(plan)
}
