//! `chyves reset`: resets guests, like the reset button.

use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::plan;

/// Reset running guests, as by the reset button
///
/// For a guest that no longer responds: its operating system cannot write anything first. It restarts with its
/// properties as they are then, as it does when it reboots by itself; one with on_reboot=stop stays off.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    session.each(&Targets::parse(&args.guests)?, Pace::Asking, |world, guest| {
        let plan = plan::reset::reset(guest)?;
        Ok(session.carry_out(world, &plan, guest.name.as_str())?.map(|_| Report::new(&guest.name, "reset")))
    })
}
