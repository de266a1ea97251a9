//! `chyves receive`: a guest from a stream on standard input.

use crate::session::{Report, Session};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::Plan;
use chyves_core::plan::receive::{self, Arrival, There};
use chyves_core::value::{Dataset, GuestName, printable};
use chyves_core::world::{Role, World};
use chyves_host::observe::{self, Look};
use chyves_host::stream;
use serde_json::json;
use std::io::IsTerminal;

/// Read a guest as a stream from standard input
///
/// Nothing that exists is touched, but for a stream of changes, which goes onto the received guest that it builds on.
/// What was received is foreign until `chyves adopt`. A stream that is damaged or cut off leaves nothing behind.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the guest is called here; the name that it had where none is given
    #[arg(long)]
    name: Option<GuestName>,
    /// The pool, where not the primary one
    #[arg(long)]
    pool: Option<String>,
    /// If the stream is cut off, keep what came, to go on later
    #[arg(long)]
    resumable: bool,
    /// Go on: the stream is the rest of what was cut off, and this is what was kept of it
    #[arg(long, value_name = "KEPT", requires = "name", conflicts_with = "pool")]
    resume: Option<String>,
}

/// What makes the plan when the world has been looked at under the lock.
type Planner<'a> = Box<dyn Fn(&World) -> Result<Plan> + 'a>;

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    if std::io::stdin().is_terminal() {
        return Err(Problem::usage("a stream does not come from a terminal")
            .hint("read it from a file (< web01.zfs) or from a program (ssh host chyves send web01 |)"));
    }
    let (name, plan_for): (GuestName, Planner<'_>) = match (&args.resume, &args.name) {
        (Some(kept), Some(name)) => (name.clone(), Box::new(move |world: &World| receive::resume(world, &kept_as(world, kept)?, name))),
        (Some(_), None) => {
            return Err(Problem::usage("what was kept has no name yet").hint("say what the guest will be called: --name NAME"));
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
                receive::receive(world, &header, &arrival, there, &Session::moment(1))
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
        let said =
            format!("received as {}; foreign until `chyves adopt {name}`, before which make sure that it runs nowhere else", guest.dataset);
        session.warn_if_unstartable(&made, guest);
        session.tell(&[Report::new(&name, said)
            .with(json!({ "dataset": guest.dataset, "uuid": guest.uuid, "foreign": guest.foreign, "disarmed": done.disarmed }))]);
    }
    Ok(())
}

/// The dataset that a reception left to go on with.
fn kept_as(world: &World, kept: &str) -> Result<Dataset> {
    let missing = || {
        Problem::not_found(format!("nothing is kept as `{}`", printable(kept, 60)))
            .hint("`receive --resumable` tells the name when the stream is cut off")
    };
    if !world.host.dialect.can_resume() {
        return Err(
            Problem::host_cant("the ZFS of this host can't go on with a stream that was cut off").hint("send it again from the beginning")
        );
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
