//! `chyves stop`: requests a power-off, waits, reports.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_engine::op::{GuestStop, StoppedWord};

/// Power guests off
///
/// Each is asked by the ACPI power button, repeatedly, for at most its stop_timeout. If it is still on after
/// that, the command fails, unless --force is given: then it is powered off forcibly when the time is over.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
    /// Power off forcibly when the time is over
    #[arg(short, long)]
    force: bool,
    /// Power off forcibly at once
    #[arg(long, conflicts_with = "timeout")]
    now: bool,
    /// Seconds to wait [default: the guest's stop_timeout]
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u32>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let timeout = if args.now { Some(0) } else { args.timeout };
    let outcome = session.run(&GuestStop { guests: Targets::parse(&args.guests)?, force: args.force || args.now, timeout })?;
    // A note has reported which were off.
    session.show_each(outcome, |stopped| (stopped.done == StoppedWord::Stopped).then(|| stopped.message.clone()))
}
