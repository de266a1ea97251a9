//! `chyves adopt`: a foreign guest becomes this host's.

use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::plan;
use chyves_host::observe::{self, Look};

/// Make foreign guests this host's
///
/// A guest that another host owns, or that came with a stream, is never started before it is adopted. Make sure first
/// that it runs nowhere else.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
    /// Make each another machine: a new uuid, card addresses and disk serials. For a copy of a guest that is kept too
    #[arg(long)]
    new_identity: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    session.each(&Targets::parse(&args.guests)?, Pace::InTurn, |world, guest| {
        // What is odd has been told by the look at the guest itself.
        let all = observe::world(&session.runtime, &Look::at_keys(Vec::new()))?.guests;
        let identity = args.new_identity.then(chyves_host::identity::new);
        let plan = plan::adopt::adopt(world, guest, &all, identity)?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.map(|_| Report::new(&guest.name, if plan.steps.is_empty() { "nothing to do" } else { "adopted" })))
    })
}
