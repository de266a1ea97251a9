//! `chyves receive`: a guest from a stream on standard input.

use crate::session::{Report, Session};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::Plan;
use chyves_core::plan::receive::{self, Arrival, There};
use chyves_core::pool::Role;
use chyves_core::value::{Dataset, GuestName, printable};
use chyves_core::world::World;
use chyves_host::observe::{self, Look};
use chyves_host::stream;
use serde_json::json;
use std::io::IsTerminal;

/// Receive a guest from standard input
///
/// Existing guests are not changed, except that an incremental stream updates the received guest it builds on.
/// The received guest is foreign until `chyves adopt`. A damaged or truncated stream leaves nothing behind.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest's name here [default: its name in the stream]
    #[arg(long)]
    name: Option<GuestName>,
    /// The pool [default: the primary one]
    #[arg(long)]
    pool: Option<String>,
    /// If the stream is cut off, keep the part received, to resume later
    #[arg(long)]
    resumable: bool,
    /// Resume: the stream is the rest, and this is the part kept
    #[arg(long, value_name = "KEPT", requires = "name", conflicts_with = "pool")]
    resume: Option<String>,
}

/// Makes the plan from the world that was observed under the lock.
type Planner<'a> = Box<dyn Fn(&World) -> Result<Plan> + 'a>;

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    if std::io::stdin().is_terminal() {
        return Err(Problem::usage("a stream does not come from a terminal")
            .hint("read it from a file (< web01.zfs) or from a program (ssh host chyves send web01 |)"));
    }
    let (name, plan_for): (GuestName, Planner<'_>) = match (&args.resume, &args.name) {
        (Some(kept), Some(name)) => (name.clone(), Box::new(move |world: &World| receive::resume(world, &kept_as(world, kept)?, name))),
        (Some(_), None) => {
            return Err(Problem::usage("what was kept has no name yet").hint("name the guest: --name NAME"));
        }
        (None, _) => {
            let header = stream::header()?;
            let arrival = Arrival { name: args.name.clone(), pool: args.pool.clone(), resumable: args.resumable };
            let name = arrival.name(&header)?;
            let wanted = name.clone();
            let plan = move |world: &World| {
                let there = match (header.base, world.guests.iter().find(|g| g.name == wanted)) {
                    (Some(_), Some(guest)) => {
                        let guid = observe::guids(&[guest.dataset.to_string()])?.first().map(|(_, g)| *g);
                        let newest = observe::pool::newest_guid(guest)?;
                        let has = observe::exists(&guest.dataset.at(&header.snapshot).to_string())?;
                        guid.map(|guid| There { guid, newest, has })
                    }
                    (Some(_), None) | (None, _) => None,
                };
                receive::receive(world, &header, &arrival, there, &chyves_engine::Engine::moment(1))
            };
            (name, Box::new(plan))
        }
    };
    let locks = session.lock("guest", &[&name])?;
    stream::hold(&locks)?;
    let world = session.look(&Look::at(std::slice::from_ref(&name)))?;
    let plan = plan_for(&world)?;
    if let Some(done) = session.carry_out(&world, &plan, name.as_str())? {
        done.said.iter().for_each(|said| session.ui.say(said));
        done.disarmed.iter().for_each(|disarmed| session.ui.say(&format!("disarmed: {disarmed}")));
        let made = session.look(&Look::at(std::slice::from_ref(&name)))?;
        let guest = observe::guest(&made, &name)?;
        let said = format!("received as {}; foreign until `chyves adopt {name}`; make sure first that it runs nowhere else", guest.dataset);
        session.warn_if_unstartable(&made, guest);
        session.tell(&[Report::new(&name, said)
            .with(json!({ "dataset": guest.dataset, "uuid": guest.uuid, "foreign": guest.foreign, "disarmed": done.disarmed }))]);
    }
    Ok(())
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
    for root in world.roots.iter().filter(|r| r.role != Role::Offline) {
        let place: Dataset = format!("{}/{kept}", root.trash()).parse()?;
        if observe::dataset(&place)?.is_some() {
            return Ok(place);
        }
    }
    Err(missing())
}
