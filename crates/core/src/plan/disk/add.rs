//! Adds a disk.

use super::found::{self, Disks};
use super::{Amendment, Plan, changeable, file, free, kept_serial, renumbered, typed, volume};
use crate::action::Action;
use crate::device::{DeviceClass, DeviceKey, PciPlace};
use crate::error::{Code, Problem, Result};
use crate::guest::written::{Change, Typed};
use crate::guest::{DiskFile, DiskFormat, DiskKind, Guest, RevertAt, Trashed, TrashedDisk};
use crate::property::keys::{self, DiskKey};
use crate::value::{FilePath, Size};
use crate::world::World;
use crate::zfs::args::Pair;

/// The request of a new disk.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number [default: the next one].
    pub number: Option<u16>,
    /// The source of its content.
    pub origin: Origin,
    /// Its size, unless that follows from the source.
    pub size: Option<Size>,
    /// File or volume [default: chosen by the host's ZFS].
    pub kind: Option<DiskKind>,
    /// Whether space is reserved in the pool for its whole size.
    pub reserved: bool,
    /// The block size of a volume.
    pub block: Option<Size>,
    /// Its settings as typed, the keys with or without `diskN.`.
    pub set: Vec<Pair>,
    /// What has the names of disks by now.
    pub there: Disks,
}

/// The source of a new disk's content.
#[derive(Debug, Clone)]
pub enum Origin {
    /// It is empty.
    Empty,
    /// It gets a copy of the content of a file.
    File(DiskFile),
    /// It is this existing file, volume or device itself.
    Attached(DiskFile),
    /// It is restored from the trash; with the GUID of its dataset.
    Trash(Trashed, u64),
}

/// The block size that sizes of volumes are rounded up to by default. It is not smaller than the default of any ZFS version.
const BLOCK: Size = Size::bytes(16 << 10);

/// Plans to add a disk. For a number that no disk had before, the world must hold the trash; for an attached disk, all
/// guests.
///
/// # Errors
/// The number is taken, a value is invalid, the file does not fit, the host has no volumes, or another guest uses the file
/// or device to attach.
pub fn add(world: &World, guest: &Guest, request: &Request) -> Result<Plan> {
    changeable(guest)?;
    let number = number(world, guest, request);
    free(guest, number, &request.there)?;
    let wish = Wish { world, guest, request, number };
    let mut plan = match &request.origin {
        Origin::Attached(there) => wish.attached(there)?,
        Origin::Trash(trashed, guid) => wish.brought_back(trashed, *guid)?,
        Origin::Empty => {
            let size = request
                .size
                .ok_or_else(|| Problem::usage("how large is the disk to be?").hint(format!("`chyves disk add {} 8G`", guest.name)))?;
            wish.made(size, None)?
        }
        Origin::File(from) => wish.made(wish.size_for(from)?, Some(from))?,
    };
    let revert = guest.spec()?.revert;
    if let (Some(snapshot), true, false) = (&revert.snapshot, revert.at != RevertAt::Off, matches!(request.origin, Origin::Attached(_))) {
        // A number that was in use before may be that of a disk in the snapshot.
        let which = if matches!(request.origin, Origin::Trash(..)) || request.number.is_some() {
            format!("{snapshot}: where that does not hold disk{number}, it")
        } else {
            format!("{snapshot}, which does not hold disk{number}: it")
        };
        plan.notes.push(format!(
            "{0} reverts to its snapshot {which} will not start until it reverts to a newer one: `chyves snapshot {0}@NAME`, \
             `chyves set {0} revert_to_snapshot=NAME`",
            guest.name
        ));
    }
    if request.number.is_none() {
        plan.notes.extend(found::strays(guest, &request.there).map(|stray| format!("{}; {}", stray.cause(), stray.cure())));
    }
    if guest.state.is_alive() {
        plan.notes.push(format!("{} is {}; it sees disk{number} from its next start or reboot on", guest.name, guest.state.word()));
    }
    Ok(plan)
}

/// The number of the new disk: the chosen one, or the next one.
pub fn number(world: &World, guest: &Guest, request: &Request) -> u16 {
    request.number.unwrap_or_else(|| next(world, guest, request))
}

/// The next number. It is never one of a removed disk or of a stray one, because the guest would take the new disk for the removed one.
fn next(world: &World, guest: &Guest, request: &Request) -> u16 {
    let mut there = guest.settings.numbers("disk");
    there.extend(found::strays(guest, &request.there).map(|stray| stray.number));
    if let Origin::Trash(Trashed { disk: Some(disk), .. }, _) = &request.origin
        && disk.of == guest.uuid
        && !there.contains(&disk.number)
    {
        return disk.number;
    }
    let removed = world.trash.iter().filter_map(|t| t.disk.as_ref()).filter(|d| d.of == guest.uuid).map(|d| d.number);
    there.iter().copied().chain(removed).max().map_or(0, |n| n + 1)
}

struct Wish<'a> {
    world: &'a World,
    guest: &'a Guest,
    request: &'a Request,
    number: u16,
}

impl Wish<'_> {
    fn key(&self, part: DiskKey) -> String {
        keys::disk(self.number, part)
    }

    fn size_for(&self, from: &DiskFile) -> Result<Size> {
        let least = Size::bytes(from.size.get().next_multiple_of(512).max(512));
        match self.request.size {
            Some(size) if size < least => Err(Problem::usage(format!("a disk of {size} cannot hold `{}` of {least}", from.path))
                .on(&from.path)
                .hint(format!("omit --size, or give at least {least}"))),
            chosen => Ok(chosen.unwrap_or(least)),
        }
    }

    /// A new disk of chyves, empty or with the content of a file.
    fn made(&self, size: Size, from: Option<&DiskFile>) -> Result<Plan> {
        let Self { world, guest, request, number } = *self;
        let has_volumes = world.host.dialect.has_volumes();
        let kind = request.kind.unwrap_or(if has_volumes { DiskKind::Zvol } else { DiskKind::Raw });
        let mut plan = Plan::default();
        let mut before = Vec::new();
        let mut size = size;
        match kind {
            DiskKind::Zvol => {
                if !has_volumes {
                    return Err(Code::NoVolumes
                        .problem("the ZFS of this host has no volumes")
                        .hint("omit `--kind`: the disk is then a file in the guest's file system"));
                }
                let block = block(request.block)?;
                let whole = Size::bytes(size.get().next_multiple_of(block.get()));
                if whole != size {
                    plan.notes.push(format!("{size} is rounded up to {whole}, a multiple of {block}"));
                    size = whole;
                }
                let dataset = volume(guest, number);
                plan.push(Action::CreateVolume { dataset: dataset.clone(), size, block: request.block, reserved: request.reserved });
                if let Some(from) = from {
                    plan.push(Action::CopyDisk {
                        from: FilePath::host(from.path.as_str()),
                        format: from.format,
                        to: FilePath::host(format!("/dev/zvol/{dataset}")),
                        size: Some(size),
                    });
                }
            }
            DiskKind::Raw | DiskKind::Attached => {
                self.no_volume_options()?;
                let path = file(guest.folder()?, number);
                before.push(match from {
                    None => Action::MakeDisk { path, size },
                    Some(from) => {
                        Action::CopyDisk { from: FilePath::host(from.path.as_str()), format: from.format, to: path, size: Some(size) }
                    }
                });
            }
        }
        let (key, value) = super::typed_size(number, size)?;
        let set = vec![(self.key(DiskKey::Kind), kind.word().to_owned()), (key, value)];
        self.finish(plan, Change::kept(set, Vec::new()), before)
    }

    fn no_volume_options(&self) -> Result<()> {
        if self.request.block.is_some() {
            return Err(Problem::usage("a file has no block size of its own")
                .because("the record size belongs to the guest's whole file system, and chyves makes that with 64K")
                .hint(format!("omit --block-size, or change it for all files: zfs set recordsize=SIZE {}", self.guest.dataset)));
        }
        if self.request.reserved {
            return Err(Problem::usage("space for a file cannot be reserved by itself")
                .hint(format!("omit --reserved, or reserve space for the guest: zfs set reservation=SIZE {}", self.guest.dataset)));
        }
        Ok(())
    }

    /// Attaches a file or device that chyves does not manage; it is only used.
    fn attached(&self, there: &DiskFile) -> Result<Plan> {
        let Self { world, guest, request, number } = *self;
        if request.kind.is_some() || request.size.is_some() {
            return Err(Problem::usage("what is attached has its own kind and size").hint("omit --kind and --size"));
        }
        self.no_volume_options()?;
        let roots = world.roots.iter().flat_map(|r| [r.mountpoint.clone(), Some(format!("/dev/zvol/{}", r.dataset))]).flatten();
        for root in roots {
            if there.path.strip_prefix(&root).is_some_and(|rest| rest.starts_with('/')) {
                return Err(Problem::usage(format!("`{}` is one of chyves' own datasets", there.path))
                    .on(&there.path)
                    .hint("attach something outside of them; `chyves disk add --import FILE` takes a copy"));
            }
        }
        for other in &world.guests {
            let has = |n: &u16| other.settings.own(&keys::disk(*n, DiskKey::Source)) == Some(there.path.as_str());
            if let Some(n) = other.settings.numbers("disk").iter().find(|n| has(n)) {
                return Err(Problem::not_now(format!("`{}` is disk{n} of `{}` already", there.path, other.name))
                    .on(&there.path)
                    .because("two guests that write to one disk destroy its content")
                    .hint(format!("`chyves disk remove {} disk{n}` first", other.name)));
            }
        }
        let mut change = Change::kept([(self.key(DiskKey::Kind), DiskKind::Attached.word().to_owned())], Vec::new());
        change.set_typed(Typed::argument(self.key(DiskKey::Source), &there.path));
        change.set_kept(super::typed_size(number, there.size)?);
        let mut plan = self.finish(Plan::default(), change, Vec::new())?;
        plan.notes.push(format!(
            "{} stays where it is: it is part of no snapshot and no clone of {}, and chyves never destroys it",
            there.path, guest.name
        ));
        Ok(plan)
    }

    /// Restores a removed disk with its settings.
    fn brought_back(&self, trashed: &Trashed, guid: u64) -> Result<Plan> {
        let Self { world, guest, request, number } = *self;
        let disk = trashed.disk.as_ref().ok_or_else(|| {
            Problem::usage(format!("`{}` in the trash is a guest, no disk", trashed.name))
                .on(&trashed.name)
                .hint(format!("`chyves undelete {}` restores it", trashed.name))
        })?;
        if request.kind.is_some() || request.size.is_some() {
            return Err(Problem::usage("a disk from the trash has its own kind and size")
                .hint("omit --kind and --size; `chyves disk resize` changes the size"));
        }
        self.no_volume_options()?;
        for (part, value) in &disk.settings {
            let key = format!("disk{}.{part}", disk.number);
            let valid = crate::property::find(&key).and_then(|known| crate::property::check(&known, value));
            valid.map_err(|problem| {
                let stored = problem.because(format!("it is stored on {} in the trash", trashed.dataset));
                stored.hint(format!("without it the disk gets the default: `zfs inherit chyves:{key} {}`", trashed.dataset))
            })?;
        }
        let change = Change::kept(self.settings_from(disk), Vec::new());
        let mut plan = Plan::default();
        plan.push(Action::Verify { objects: vec![(trashed.dataset.to_string(), guid)] });
        match disk.kind {
            DiskKind::Zvol => {
                if trashed.dataset.pool() != guest.dataset.pool() {
                    return Err(Problem::not_now(format!("`{}` lies on another pool than `{}`", trashed.label(), guest.name))
                        .on(&trashed.dataset)
                        .hint("a volume cannot be renamed to another pool; `zfs send` and `zfs receive` copy it"));
                }
                let to = volume(guest, number);
                plan.push(Action::RenameVolume { from: trashed.dataset.clone(), to: to.clone() });
                let marks = super::remove::marks(trashed, disk);
                let before = marks.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
                let clear = marks.into_iter().map(|(k, _)| k).collect();
                plan.push(Action::Change { dialect: world.host.dialect, on: to, set: Vec::new(), clear, before, received: Vec::new() });
                self.finish(plan, change, Vec::new())
            }
            DiskKind::Raw | DiskKind::Attached => {
                let folder = super::remove::folder(world, &trashed.dataset)?;
                plan.push(Action::Mount { dataset: trashed.dataset.clone() });
                let copy = Action::CopyDisk {
                    from: file(&folder, disk.number),
                    format: DiskFormat::Raw,
                    to: file(guest.folder()?, number),
                    size: None,
                };
                let mut plan = self.finish(plan, change, vec![copy])?;
                plan.push(Action::Unmount { dataset: trashed.dataset.clone() });
                plan.push(Action::DestroyDataset { dataset: trashed.dataset.clone() });
                Ok(plan)
            }
        }
    }

    /// The serial number to set, so that the guest recognises the disk; none if a disk has it that came back by itself.
    fn kept_serial(&self, disk: &TrashedDisk) -> Option<String> {
        let serial = kept_serial(self.guest, self.number, disk.of, disk.number)?;
        self.guest.disk_records().iter().all(|other| other.disk.serial != serial).then_some(serial)
    }

    /// The settings that a disk in the trash has recorded.
    fn settings_from(&self, disk: &TrashedDisk) -> Vec<Pair> {
        let mut parts = disk.settings.clone();
        let has = |parts: &[Pair], key: DiskKey| parts.iter().any(|(part, _)| part == key.word());
        if !has(&parts, DiskKey::Serial) {
            parts.extend(self.kept_serial(disk).map(|s| (DiskKey::Serial.word().to_owned(), s)));
        }
        // The recorded PCI address is dropped if another device uses it by now.
        let place = |text: &str| text.parse().ok();
        let key = DeviceKey::new(DeviceClass::Disk, self.number.into());
        let taken = |p: PciPlace| super::super::machine::place_to_keep(self.guest, &self.world.host, key, Some(p)).is_err();
        parts.retain(|(part, value)| part != DiskKey::Pci.word() || place(value).is_some_and(|p| !taken(p)));
        renumbered(&parts, self.number)
    }

    /// Adds the typed settings, the PCI address and the steps.
    fn finish(&self, mut plan: Plan, mut change: Change, before: Vec<Action>) -> Result<Plan> {
        let Self { world, guest, request, number } = *self;
        typed(number, &request.set)?.into_iter().for_each(|typed| change.set_typed(typed));
        let pci = self.key(DiskKey::Pci);
        let chosen = change.value(&pci).map(str::parse).transpose()?;
        let key = DeviceKey::new(DeviceClass::Disk, number.into());
        if let (Some(place), None) = (super::super::machine::place_to_keep(guest, &world.host, key, chosen)?, chosen) {
            change.set_kept((pci, place.to_string()));
        }
        let wish = Amendment { change, before, after: Vec::new() };
        wish.checked(world, guest, number)?;
        plan.steps.extend(wish.steps(world, guest)?);
        Ok(plan)
    }
}

/// The block size of a volume.
fn block(wanted: Option<Size>) -> Result<Size> {
    let block = wanted.unwrap_or(BLOCK);
    if block.get().is_power_of_two() && (512..=128 << 10).contains(&block.get()) {
        return Ok(block);
    }
    Err(Problem::usage(format!("a volume cannot have blocks of {block}")).on(block).hint("valid are powers of two from 512 to 128K"))
}
