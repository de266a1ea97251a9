//! Adds a disk to guests: an empty one, the content of a file, something attached, or one from the trash.

use crate::answer::{Assignment, DiskKind, Each};
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Pace, Targets};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan;
use chyves_core::plan::disk::add::{Origin, Request};
use chyves_core::value::{DiskSize, GuestName, Size};
use chyves_core::world::World;
use chyves_host::apply::disk as files;
use chyves_host::observe::disks::{self, Mount};
use chyves_host::observe::{self, Look};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds a disk.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskAdd {
    /// The guests.
    pub guests: Targets,
    /// Where its content comes from; it is empty if this is missing.
    #[serde(default)]
    pub from: DiskFrom,
    /// Its size in bytes, unless that follows from its content.
    #[serde(default)]
    pub size: Option<u64>,
    /// Its number; the next one if it is missing.
    #[serde(default)]
    pub number: Option<u16>,
    /// Its kind; chosen by the pool's ZFS if it is missing.
    #[serde(default)]
    pub kind: Option<DiskKind>,
    /// Whether space is reserved in the pool for its whole size.
    #[serde(default)]
    pub reserved: bool,
    /// The block size of a volume in bytes.
    #[serde(default)]
    pub block_size: Option<u64>,
    /// Its settings, keys without `diskN.`.
    #[serde(default)]
    pub set: Vec<Assignment>,
}

/// Where the content of a new disk comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFrom {
    /// It is empty.
    #[default]
    Nothing,
    /// A copy of this file, raw or qcow2.
    File(String),
    /// This file, device or volume itself.
    Attached(String),
    /// This disk in the trash.
    Trash(String),
}

/// A disk that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DiskAdded {
    /// What was done.
    pub done: DiskAddedWord,
    /// Its number.
    pub disk: u16,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskAddedWord {
    /// It was added.
    Added,
}

impl Operation for DiskAdd {
    const NAME: &'static str = "disk-add";
    type Answer = Vec<Each<DiskAdded>>;

    fn needs(&self) -> Needs {
        // Each guest is locked and observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let size = self.size.map(|bytes| Size::bytes(bytes).to_string().parse::<DiskSize>()).transpose()?;
        // Read once, before the first guest is changed.
        let origin = match &self.from {
            DiskFrom::File(file) => Origin::File(files::look(file)?),
            DiskFrom::Attached(source) => Origin::Attached(files::look_at_source(source)?),
            DiskFrom::Nothing | DiskFrom::Trash(_) => Origin::Empty,
        };
        let results = engine.each(&self.guests, Pace::InTurn, |world, guest| {
            let _trash = if let DiskFrom::Trash(_) = self.from { Some(engine.lock("trash", &["empty"])?) } else { None };
            let mut world = world.clone();
            let attached = matches!(origin, Origin::Attached(_));
            let seen = observe::world(&engine.runtime, &if attached { Look::at_all() } else { Look { trash: true, ..Look::default() } })?;
            (world.trash, world.roots) = (seen.trash, seen.roots);
            world.guests.extend(seen.guests.into_iter().filter(|g| g.dataset != guest.dataset));
            let origin = match &self.from {
                DiskFrom::Trash(wanted) => from_trash(&world, wanted)?,
                DiskFrom::Nothing | DiskFrom::File(_) | DiskFrom::Attached(_) => origin.clone(),
            };
            self.add(engine, &world, guest, origin, size)
        })?;
        Ok(Outcome::each_of(engine, results, "guests failed"))
    }
}

impl DiskAdd {
    /// A disk of the trash for a guest, as it was.
    pub(super) fn from_trash(guest: GuestName, identity: &str) -> Self {
        Self {
            guests: guest.into(),
            from: DiskFrom::Trash(identity.to_owned()),
            size: None,
            number: None,
            kind: None,
            reserved: false,
            block_size: None,
            set: Vec::new(),
        }
    }

    fn add(&self, engine: &Engine, world: &World, guest: &Guest, origin: Origin, size: Option<DiskSize>) -> Result<Option<DiskAdded>> {
        let request = Request {
            number: self.number,
            origin,
            size: size.map(DiskSize::get),
            kind: self.kind.map(Into::into),
            reserved: self.reserved,
            block: self.block_size.map(Size::bytes),
            set: Assignment::pairs(&self.set),
            there: disks::of(guest, None, Mount::ForAMoment)?,
        };
        let disk = plan::disk::add::number(world, guest, &request);
        let plan = plan::disk::add::add(world, guest, &request)?;
        let done = engine.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.map(|_| DiskAdded { done: DiskAddedWord::Added, disk }))
    }
}

fn from_trash(world: &World, wanted: &str) -> Result<Origin> {
    let trashed = plan::delete::find(world, wanted, "chyves disk add GUEST --from-trash")?;
    let guid = observe::guids(&[trashed.dataset.to_string()])?.first().map_or(0, |(_, g)| *g);
    Ok(Origin::Trash(trashed.clone(), guid))
}
