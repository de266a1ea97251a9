//! Starts guests. Each gets a supervisor of its own; the answer follows when the VM runs.

mod boot;

use crate::answer::Each;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::start::{Media, alone, hold, let_go_of, with_supervisor};
use crate::{Engine, Pace, Results, Targets};
use chyves_core::error::Result;
use chyves_core::guest::{Guest, RunState};
use chyves_core::value::{GuestName, ImageName};
use chyves_core::world::World;
use chyves_host::supervise::Spawner;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Starts guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestStart {
    /// Which guests.
    pub which: Starting,
    /// The ISOs in the drives of each; the first one is booted before the disks.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub iso: Vec<ImageName>,
}

/// Which guests are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Starting {
    /// These, at once.
    Guests(Targets),
    /// Those that start with the host, in their order.
    Boot,
}

/// A guest that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Started {
    /// What was done.
    pub done: StartedWord,
    /// The process id of its hypervisor.
    pub pid: Option<u32>,
    /// The process id of its supervisor.
    pub supervisor: Option<u32>,
    /// Its UUID.
    pub uuid: String,
    /// The address of its display.
    pub vnc: Option<SocketAddr>,
    /// The file with the display's password.
    pub vnc_secret: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartedWord {
    /// It was started.
    Started,
    /// It was running, and got a new supervisor.
    Supervised,
    /// It was running already.
    Unchanged,
}

impl Operation for GuestStart {
    const NAME: &'static str = "guest-start";
    type Answer = Vec<Each<Started>>;

    fn needs(&self) -> Needs {
        // Each guest is locked and observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let results = match &self.which {
            Starting::Guests(targets) => with_media(engine, &self.iso, |media| {
                engine.each(targets, Pace::SideBySide, |world, guest| bring_up(engine, world, guest, media))
            })?,
            Starting::Boot => {
                let Some((groups, wrong)) = boot::order(engine)? else { return Ok(Vec::new().into()) };
                in_order(engine, &groups, wrong, &self.iso)?
            }
        };
        Ok(Outcome::each_of(engine, results, "guests failed"))
    }
}

fn in_order(
    engine: &Engine,
    groups: &[Vec<GuestName>],
    wrong: Vec<(GuestName, chyves_core::error::Problem)>,
    iso: &[ImageName],
) -> Result<Results<Option<Started>>> {
    with_media(engine, iso, |media| {
        Ok(engine.each_in_turn(groups, wrong, Pace::SideBySide, |world, guest| bring_up(engine, world, guest, media)))
    })
}

/// Finds ISOs once for all guests, and keeps them mounted while they start.
fn with_media<T>(engine: &Engine, iso: &[ImageName], start: impl FnOnce(&Media) -> Result<T>) -> Result<T> {
    let media = Media::find(engine, iso)?;
    let held = hold(engine, media.datasets())?;
    let result = start(&media);
    drop(held);
    let_go_of(engine, media.datasets());
    result
}

/// Starts one guest; returns when it runs.
fn bring_up(engine: &Engine, world: &World, guest: &Guest, media: &Media) -> Result<Option<Started>> {
    let uuid = guest.uuid.to_string();
    if guest.state == RunState::Orphaned && !engine.dry_run {
        with_supervisor(engine, guest, &Spawner::this_program()?)?;
        return Ok(Some(Started { done: StartedWord::Supervised, pid: None, supervisor: None, uuid, vnc: None, vnc_secret: None }));
    }
    alone(engine, guest)?;
    if guest.state.is_alive() {
        engine.events.unchanged(guest.name.as_str(), &format!("already {}", guest.state.word()));
    }
    let start = media.ready(engine, world, guest)?;
    let borrows = start.borrows(media);
    let vnc = start.screen();
    let held = hold(engine, &borrows)?;
    let done = engine.carry_out_with(&start.world, &start.plan, guest.name.as_str(), start.networks);
    drop(held);
    if done.is_err() {
        let_go_of(engine, &borrows);
    }
    let Some(done) = done? else { return Ok(None) };
    if done.started.is_none() {
        return was_running(engine, guest).map(Some);
    }
    Ok(done.started.map(|(supervisor, machine)| Started {
        done: StartedWord::Started,
        pid: Some(machine),
        supervisor: Some(supervisor),
        uuid,
        vnc,
        vnc_secret: vnc.and_then(|_| engine.runtime.screen_secret(guest.uuid)).map(|file| file.display().to_string()),
    }))
}

/// What runs of a guest that needed no start.
fn was_running(engine: &Engine, guest: &Guest) -> Result<Started> {
    let record = engine.runtime.observe(guest.uuid, &guest.dataset)?.record;
    let vnc = record.as_ref().and_then(|record| record.launch.screen);
    Ok(Started {
        done: StartedWord::Unchanged,
        pid: record.as_ref().and_then(|record| record.machine.as_ref()).map(|machine| machine.pid),
        supervisor: None,
        uuid: guest.uuid.to_string(),
        vnc,
        vnc_secret: vnc.and_then(|_| engine.runtime.screen_secret(guest.uuid)).map(|file| file.display().to_string()),
    })
}
