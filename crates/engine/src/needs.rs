//! What an operation needs to be locked and observed, and what was observed.

use crate::{Engine, Targets};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::disk::found::Disks;
use chyves_core::plan::snapshot::Seen;
use chyves_core::plan::{drives, firmware};
use chyves_core::value::{GuestName, ImageName};
use chyves_core::world::World;
use chyves_host::observe::{self, Look, Which, disks, snapshots};
use std::collections::HashMap;

/// What must be observed before an operation runs. By default: the pools.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Whether not even the pools are observed first: the operation does it itself, so that it can report what fails.
    pub nothing: bool,
    /// What is locked, before anything is observed: kinds (`guest`, `image`, `pool`, `trash`) and names.
    pub locks: Vec<(&'static str, Vec<String>)>,
    /// Which pools there must be.
    pub pools: Pools,
    /// The settings of the host.
    pub settings: bool,
    /// The guests.
    pub guests: Option<Targets>,
    /// The properties of guests that will be used; none: all of them.
    pub keys: Option<Vec<String>>,
    /// The images.
    pub images: Which<ImageName>,
    /// The images that the guests use as firmware, or that are in their drives.
    pub used_images: bool,
    /// The content of the trash.
    pub trash: bool,
    /// The snapshots of the guests.
    pub snapshots: Snapshots,
    /// The disks of the guests, as they are.
    pub disks: DiskNeeds,
}

/// Which pools an operation cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pools {
    /// None.
    #[default]
    Any,
    /// One in use.
    InUse,
    /// A primary one.
    Primary,
}

/// What is needed of the guests' snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Snapshots {
    /// Nothing.
    #[default]
    None,
    /// Names, times and sizes.
    Listed,
    /// Their GUIDs as well, which takes one more call.
    WithGuids,
}

/// What is needed of the guests' disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskNeeds {
    /// Nothing.
    #[default]
    None,
    /// Their actual sizes, as far as they are known without mounting anything.
    Unmounted,
    /// Their actual sizes; for a moderate number of guests, file systems are mounted for a moment.
    Mounted,
}

/// Something that may not have been observed, which is not the same as that there is none.
#[derive(Debug, Clone, Default)]
pub enum Looked<T> {
    /// It was not observed.
    #[default]
    Not,
    /// It was, and is this.
    Seen(T),
}

impl<T> Looked<T> {
    /// What was observed.
    ///
    /// # Errors
    /// It was not: the operation does not state what it needs.
    pub fn get(&self) -> Result<&T> {
        match self {
            Self::Seen(seen) => Ok(seen),
            Self::Not => Err(Problem::bug("an operation uses what it did not ask to be observed")),
        }
    }
}

/// What was observed for an operation.
pub struct Observed {
    /// The pools, with guests, images and trash as far as they were needed.
    pub world: World,
    /// The guests that were named and do not exist.
    pub lost: Vec<(GuestName, Problem)>,
    /// The snapshots of each found guest.
    pub snapshots: Looked<Vec<Vec<Seen>>>,
    /// The GUIDs of snapshots, by their full names.
    pub guids: Looked<HashMap<String, u64>>,
    /// The actual disks of each found guest.
    pub disks: Looked<Vec<Disks>>,
    /// The places in the world of the guests that were named and exist.
    found: Vec<usize>,
}

impl Observed {
    /// Observes what is needed.
    ///
    /// # Errors
    /// Something cannot be queried, or the pools that must exist do not.
    pub fn observe(engine: &Engine, needs: &Needs) -> Result<Self> {
        let of_guests = needs.guests.as_ref().map(Targets::look).unwrap_or_default();
        let look = Look { keys: needs.keys.clone(), images: needs.images.clone(), trash: needs.trash, ..of_guests };
        let mut world = if needs.nothing { observe::without_pools(&engine.runtime) } else { engine.look(&look)? };
        if needs.settings {
            observe::global(&mut world)?;
        }
        if needs.used_images {
            let used: Vec<ImageName> = world.guests.iter().flat_map(|guest| images_of(engine, guest)).collect();
            observe::add_images(&mut world, &used)?;
        }
        match needs.pools {
            Pools::Any => {}
            Pools::InUse => world.in_use()?,
            Pools::Primary => drop(world.primary()?),
        }
        let (found, lost) = match &needs.guests {
            Some(targets) => {
                let (found, lost) = engine.found(targets, &world)?;
                let place = |guest: &&Guest| world.guests.iter().position(|other| other.dataset == guest.dataset);
                (found.iter().filter_map(place).collect(), lost)
            }
            None => (Vec::new(), Vec::new()),
        };
        let mut seen = Self { world, lost, snapshots: Looked::Not, guids: Looked::Not, disks: Looked::Not, found };
        let guests = seen.guests();
        let snapshots = match needs.snapshots {
            Snapshots::None => Looked::Not,
            Snapshots::Listed | Snapshots::WithGuids => Looked::Seen(snapshots::of_guests(seen.world.host.dialect, &guests)?),
        };
        let guids = match needs.snapshots {
            Snapshots::None | Snapshots::Listed => Looked::Not,
            Snapshots::WithGuids => Looked::Seen(snapshots::guids_of(&guests)?),
        };
        let disks = match needs.disks {
            DiskNeeds::None => Looked::Not,
            DiskNeeds::Unmounted => Looked::Seen(disks::of_all(&guests)?),
            DiskNeeds::Mounted => Looked::Seen(engine.disks_of_all(&guests)?),
        };
        (seen.snapshots, seen.guids, seen.disks) = (snapshots, guids, disks);
        Ok(seen)
    }

    /// The guests that were named and exist, in the order in which they were named.
    pub fn guests(&self) -> Vec<&Guest> {
        self.found.iter().map(|index| &self.world.guests[*index]).collect()
    }
}

/// The images that a guest uses as firmware, or that are in its drives.
fn images_of(engine: &Engine, guest: &Guest) -> Vec<ImageName> {
    let record = engine.runtime.observe(guest.uuid, &guest.dataset).ok().filter(|_| guest.state.is_alive()).and_then(|seen| seen.record);
    let drives = record.map(|record| drives::kept(&record.launch.again)).unwrap_or_default();
    drives.iter().filter_map(|drive| drive.image().cloned()).chain(firmware::needed(guest).unwrap_or_default()).collect()
}
