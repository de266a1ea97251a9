//! Receives a guest from the stream on this process's standard input.

use crate::Engine;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::Plan;
use chyves_core::plan::receive::{self, Arrival, There};
use chyves_core::pool::Role;
use chyves_core::value::{Dataset, GuestName, printable};
use chyves_core::world::World;
use chyves_core::zfs::stream::Header;
use chyves_host::observe::names::Names;
use chyves_host::observe::{self, Look};
use chyves_host::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Receives a guest.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuestReceive {
    /// Its name here; its name in the stream if it is missing.
    #[schemars(with = "Option<String>")]
    pub name: Option<GuestName>,
    /// The pool; the primary one if it is missing.
    pub pool: Option<String>,
    /// Whether the part received is kept if the stream is cut off.
    pub resumable: bool,
    /// The part that was kept, of which the stream is the rest; the name is then required.
    pub resume: Option<String>,
}

/// A guest that was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Received {
    /// The guest.
    pub object: String,
    /// What was done.
    pub done: ReceivedWord,
    /// Its dataset.
    pub dataset: String,
    /// Its UUID.
    pub uuid: String,
    /// Why it does not belong to this host.
    pub foreign: Option<String>,
    /// What came with it and could have affected this host.
    pub disarmed: Vec<Disarmed>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReceivedWord {
    /// It was received.
    Received,
}

/// A property or file that was received and has no effect here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Disarmed {
    /// The property, or the path relative to the guest's folder.
    pub what: String,
    /// The value or type that was received.
    pub was: String,
    /// Why it has no effect.
    pub now: String,
}

impl Operation for GuestReceive {
    const NAME: &'static str = "guest-receive";
    type Answer = Vec<Received>;

    fn needs(&self) -> Needs {
        // The name of the guest, and with it what is locked, may only be in the stream.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let coming = self.coming()?;
        let name = coming.name(self)?;
        let locks = engine.lock("guest", &[&name])?;
        stream::hold(&locks)?;
        let world = engine.look(&Look::at(std::slice::from_ref(&name)))?;
        let plan = coming.plan(self, &world, &name)?;
        if !world.guests.iter().any(|guest| guest.name == name) {
            Names::read(&world)?.free(&name).map_err(|problem| problem.hint("give the new one another name: --name NAME"))?;
        }
        let Some(applied) = engine.carry_out(&world, &plan, name.as_str())? else { return Ok(Outcome::shown()) };
        for said in &applied.said {
            engine.events.note(said);
        }
        let made = engine.look(&Look::at(std::slice::from_ref(&name)))?;
        let guest = observe::guest(&made, &name)?;
        engine.warn_if_unstartable(&made, guest);
        let disarmed = applied.disarmed.into_iter().map(|one| Disarmed { what: one.what, was: one.was, now: one.now });
        Ok(vec![Received {
            object: name.to_string(),
            done: ReceivedWord::Received,
            dataset: guest.dataset.to_string(),
            uuid: guest.uuid.to_string(),
            foreign: guest.foreign.clone(),
            disarmed: disarmed.collect(),
        }]
        .into())
    }
}

impl GuestReceive {
    /// What the stream is, as far as that is known before the host is observed.
    fn coming(&self) -> Result<Coming> {
        match (&self.resume, &self.name) {
            (Some(kept), Some(_)) => Ok(Coming::Rest(kept.clone())),
            (Some(_), None) => Err(Problem::usage("what was kept has no name yet").hint("name the guest: --name NAME")),
            (None, _) => stream::header().map(Box::new).map(Coming::Whole),
        }
    }

    fn arrival(&self) -> Arrival {
        Arrival { name: self.name.clone(), pool: self.pool.clone(), resumable: self.resumable }
    }
}

/// What a stream is.
enum Coming {
    /// A stream from its beginning.
    Whole(Box<Header>),
    /// The rest of one, of which this part was kept.
    Rest(String),
}

impl Coming {
    fn name(&self, request: &GuestReceive) -> Result<GuestName> {
        match (self, &request.name) {
            (_, Some(name)) => Ok(name.clone()),
            (Self::Whole(header), None) => request.arrival().name(header),
            (Self::Rest(_), None) => Err(Problem::bug("the rest of a stream has no name")),
        }
    }

    fn plan(&self, request: &GuestReceive, world: &World, name: &GuestName) -> Result<Plan> {
        match self {
            Self::Rest(kept) => receive::resume(world, &kept_as(world, kept)?, name),
            Self::Whole(header) => {
                let there = if header.base.is_some() { there(world, name, header)? } else { None };
                receive::receive(world, header, &request.arrival(), there, &Engine::moment(1))
            }
        }
    }
}

/// The guest that an increment is received onto.
fn there(world: &World, name: &GuestName, header: &Header) -> Result<Option<There>> {
    let Some(guest) = world.guests.iter().find(|guest| guest.name == *name) else { return Ok(None) };
    let guid = observe::guids(&[guest.dataset.to_string()])?.first().map(|(_, guid)| *guid);
    let newest = observe::pool::newest_guid(guest)?;
    let has = observe::exists(&guest.dataset.at(&header.snapshot).to_string())?;
    Ok(guid.map(|guid| There { guid, newest, has }))
}

/// The dataset of an interrupted reception that can be resumed.
fn kept_as(world: &World, kept: &str) -> Result<Dataset> {
    let missing = || {
        Problem::not_found(format!("nothing is kept as `{}`", printable(kept, 60)))
            .hint("`receive --resumable` prints the name when the stream is cut off")
    };
    if !world.host.dialect.can_resume() {
        return Err(Problem::host_cant("the ZFS of this host cannot go on with a stream that was cut off").hint("send it again as a whole"));
    }
    if !kept.starts_with("receiving-") || kept.contains('/') {
        return Err(missing());
    }
    for root in world.roots.iter().filter(|root| root.role != Role::Offline) {
        let place: Dataset = format!("{}/{kept}", root.trash()).parse()?;
        if observe::dataset(&place)?.is_some() {
            return Ok(place);
        }
    }
    Err(missing())
}
