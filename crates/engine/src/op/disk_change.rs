//! Changes disks of guests: their size, settings, number, and what is recorded about them; or removes one.

use crate::answer::Assignment;
use crate::{Engine, OnGuests, Targets};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{self, Guest};
use chyves_core::plan::disk::found::{self, Found};
use chyves_core::plan::disk::resize::NewSize;
use chyves_core::plan::{self, Plan};
use chyves_core::value::Size;
use chyves_core::world::World;
use chyves_host::apply::Applied;
use chyves_host::observe;
use chyves_host::observe::disks::{self, Mount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes a disk of guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskChange {
    /// The guests.
    pub guests: Targets,
    /// The number of the disk; only `sync` takes all disks if it is missing.
    #[serde(default)]
    pub disk: Option<u16>,
    /// The change.
    pub change: DiskChangeKind,
}

/// A change of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskChangeKind {
    /// It gets this size in bytes.
    Resize {
        /// The new size.
        to: u64,
        /// Lets it become smaller, losing what is beyond the new end.
        #[serde(default)]
        force: bool,
    },
    /// It becomes so much larger.
    Grow {
        /// By how many bytes.
        by: u64,
    },
    /// Its settings are changed.
    Set {
        /// Keys without `diskN.`.
        set: Vec<Assignment>,
    },
    /// It gets another number; its serial number stays.
    Renumber {
        /// The new number.
        to: u16,
    },
    /// What it is gets recorded.
    Sync,
    /// It is moved to the trash; an attached one is only detached.
    Remove,
    /// It is lost, and only its settings are removed.
    Forget,
}

/// A disk that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DiskChanged {
    /// What was done.
    pub done: DiskWord,
    /// The number that the disk had; null for all.
    pub disk: Option<u16>,
    /// The size in bytes that a resized disk had; null after other changes.
    pub from: Option<u64>,
    /// The size in bytes that a resized disk has now; the same as before if only the record changed.
    pub to: Option<u64>,
    /// The dataset in the trash that a removed disk is in, by which `undelete` finds it; null after other changes.
    pub dataset: Option<String>,
}

/// What was done to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskWord {
    /// It has another size.
    Resized,
    /// Its settings were changed.
    Set,
    /// It has another number.
    Renumbered,
    /// It is recorded as it is.
    Synced,
    /// It is in the trash, or detached.
    Removed,
    /// Its settings are gone.
    Forgotten,
    /// Nothing had to be done.
    Unchanged,
}

impl DiskChange {
    fn number(&self) -> Result<u16> {
        self.disk.ok_or_else(|| Problem::usage("the number of a disk is missing"))
    }
}

impl OnGuests for DiskChange {
    const NAME: &'static str = "disk-change";
    type Done = DiskChanged;
    type Shared = ();

    fn targets(&self) -> &Targets {
        &self.guests
    }

    fn check(&self, engine: &Engine) -> Result<()> {
        if self.change == DiskChangeKind::Sync {
            return Ok(());
        }
        let number = self.number()?;
        let removes = matches!(self.change, DiskChangeKind::Remove | DiskChangeKind::Forget);
        // A single word can remove a disk of several guests.
        let of = match &self.guests {
            Targets::All => "all guests".to_owned(),
            Targets::Named(names) if names.len() > 1 => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Targets::Named(_) => return Ok(()),
        };
        if removes && !engine.dry_run { engine.confirm(&format!("remove disk{number} of {of}")) } else { Ok(()) }
    }

    fn plan(&self, engine: &Engine, (): &(), world: &World, guest: &Guest) -> Result<Plan> {
        let own = || observe::guids(&[guest.dataset.to_string()]);
        if self.change == DiskChangeKind::Sync {
            let found = disks::of(guest, None, Mount::ForAMoment)?;
            return plan::disk::sync::sync(world, guest, self.disk, &found, own()?);
        }
        let number = self.number()?;
        if self.change == DiskChangeKind::Forget {
            // The disk itself may not exist any more, which is looked at.
            let found = disks::of(guest, Some(&[number]), Mount::ForAMoment)?;
            return plan::disk::remove::let_go(world, guest, number, found::of(&found, number), own()?, &Engine::moment(1));
        }
        let guids = observe::guids(&plan::disk::datasets(guest, number)?)?;
        let resized = |size: NewSize, force: bool, guids| {
            has_it(engine, guest, number)?;
            let found = disks::of(guest, Some(&[number]), Mount::ForAMoment)?;
            plan::disk::resize::resize(world, guest, number, size, force, found::of(&found, number), guids)
        };
        match &self.change {
            DiskChangeKind::Resize { to, force } => resized(NewSize::Exactly(Size::bytes(*to)), *force, guids),
            DiskChangeKind::Grow { by } => resized(NewSize::More(Size::bytes(*by)), false, guids),
            DiskChangeKind::Set { set } => plan::disk::set(world, guest, number, &Assignment::pairs(set), &[]),
            DiskChangeKind::Renumber { to } => {
                let there = disks::of(guest, None, Mount::ForAMoment)?;
                plan::disk::renumber(world, guest, number, *to, &there, guids)
            }
            DiskChangeKind::Remove => {
                // A missing disk cannot be moved to the trash.
                let found = disks::of(guest, Some(&[number]), Mount::ForAMoment)?;
                let spec = guest.spec()?;
                match (spec.disks.iter().find(|d| d.number == number), found::of(&found, number)) {
                    (Some(spec), gone @ Found::Missing) if spec.kind != guest::DiskKind::Attached => drop(gone.size(guest, spec)?),
                    _ => {}
                }
                plan::disk::remove::remove(world, guest, number, guids, &Engine::moment(1))
            }
            DiskChangeKind::Sync | DiskChangeKind::Forget => Err(Problem::bug("a change of a disk was planned twice")),
        }
    }

    fn done(&self, (): &(), guest: &Guest, plan: &Plan, _: &Applied) -> Option<DiskChanged> {
        let done = match &self.change {
            _ if plan.steps.is_empty() => DiskWord::Unchanged,
            DiskChangeKind::Resize { .. } | DiskChangeKind::Grow { .. } => DiskWord::Resized,
            DiskChangeKind::Set { .. } => DiskWord::Set,
            DiskChangeKind::Renumber { .. } => DiskWord::Renumbered,
            DiskChangeKind::Sync => DiskWord::Synced,
            DiskChangeKind::Remove => DiskWord::Removed,
            DiskChangeKind::Forget => DiskWord::Forgotten,
        };
        let sizes = self.disk.filter(|_| done == DiskWord::Resized).and_then(|number| plan::disk::resize::sizes(plan, number));
        let (from, to) = sizes.map(|(from, to)| (from.get(), to.get())).unzip();
        let dataset = plan::delete::trashed_as(guest, plan).filter(|_| done == DiskWord::Removed).map(ToString::to_string);
        Some(DiskChanged { done, disk: self.disk, from, to, dataset })
    }
}

/// Refuses a disk that was added to a running guest since its start: its hypervisor does not have the disk.
fn has_it(engine: &Engine, guest: &Guest, number: u16) -> Result<()> {
    if !guest.state.is_alive() {
        return Ok(());
    }
    let spec = guest.spec()?;
    let disk = spec.disks.iter().find(|d| d.number == number);
    let path = disk.zip(guest.mountpoint.as_deref()).map(|(disk, folder)| plan::machine::disk_path(guest, folder, disk));
    let record = engine.runtime.observe(guest.uuid, &guest.dataset)?.record;
    let (Some(path), Some(record)) = (path, record) else { return Ok(()) };
    if record.launch.hypervisor.args.iter().any(|arg| arg.contains(&path)) {
        return Ok(());
    }
    let disk = format!("disk{number}");
    Err(Problem::not_now(format!(
        "cannot resize {disk} of {}: it was added while the guest runs, and the guest has it from its next start on",
        guest.name
    ))
    .on(format!("{}:{disk}", guest.name))
    .hint(format!("`chyves stop {0}`, then `chyves disk resize {0} {disk} SIZE`", guest.name)))
}
