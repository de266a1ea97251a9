//! `chyves reset`: resets guests, like the reset button.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_engine::op::GuestReset;

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
    let outcome = session.run(&GuestReset { guests: Targets::parse(&args.guests)? })?;
    session.show_each(outcome, |_| "reset".to_owned())
}
