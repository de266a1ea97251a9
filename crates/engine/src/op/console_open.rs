//! Where the serial ports of guests can be attached to. Attaching is the caller's: a console is a stream, and no answer.

use crate::answer::State;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets, start};
use chyves_core::console::{self, Reach};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::value::{Dataset, GuestName};
use chyves_host::supervise::Spawner;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use uuid::Uuid;

/// Finds the consoles of guests, or one of their other serial ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsoleOpen {
    /// The guests; of all guests those that run.
    pub guests: Targets,
    /// The serial port: 2 to 4; the console if it is missing.
    #[serde(default)]
    pub port: Option<u16>,
}

/// A serial port of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsoleEnd {
    /// The guest.
    #[schemars(with = "String")]
    pub guest: GuestName,
    /// Its UUID.
    #[schemars(with = "String")]
    pub uuid: Uuid,
    /// Its dataset.
    #[schemars(with = "String")]
    pub dataset: Dataset,
    /// Its state.
    pub state: State,
    /// Where it is attached to.
    pub at: ConsoleAt,
}

/// Where a serial port is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConsoleAt {
    /// The supervisor of the guest, for any number of users.
    Supervisor,
    /// A terminal device, for one user at a time.
    Device(String),
    /// A TCP port, for one user at a time.
    Tcp(SocketAddr),
}

impl ConsoleEnd {
    /// The port of a guest.
    fn of(guest: &Guest, port: Option<u16>) -> Result<Self> {
        let at = match port.map(|number| console::reach(&guest.name, &guest.spec()?.serial, number)).transpose()? {
            None => ConsoleAt::Supervisor,
            Some(Reach::Device(device)) => ConsoleAt::Device(device),
            Some(Reach::Tcp(at)) => ConsoleAt::Tcp(at),
        };
        Ok(Self { guest: guest.name.clone(), uuid: guest.uuid, dataset: guest.dataset.clone(), state: State::of(guest), at })
    }

    /// Refuses a guest that does not run.
    ///
    /// # Errors
    /// It does not.
    pub fn must_run(&self) -> Result<()> {
        if self.state.is_alive() {
            return Ok(());
        }
        let name = &self.guest;
        Err(Problem::not_now(format!("`{name}` is not running")).on(name).hint(format!("type `chyves start {name}` first")))
    }
}

impl Operation for ConsoleOpen {
    const NAME: &'static str = "console-open";
    type Answer = Vec<ConsoleEnd>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(self.guests.clone()), ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        if let Some((_, problem)) = seen.lost.first() {
            return Err(problem.clone());
        }
        let mut guests = seen.guests();
        if self.guests == Targets::All {
            guests.retain(|guest| guest.state.is_alive());
        }
        if guests.is_empty() {
            return Err(Problem::not_now("no guest runs").hint("type `chyves start GUEST` first"));
        }
        // A console is the supervisor's, which may have been killed.
        for guest in guests.iter().filter(|_| self.port.is_none() && !engine.dry_run) {
            start::with_supervisor(engine, guest, &Spawner::this_program()?)?;
        }
        Ok(guests.iter().map(|guest| ConsoleEnd::of(guest, self.port)).collect::<Result<Vec<_>>>()?.into())
    }
}
