//! `chyves stop`: requests a power-off, waits, reports.

use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::plan;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    let targets = Targets::parse(&args.guests)?;
    let (were_off, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let result = session.each(&targets, Pace::Asking, |world, guest| {
        seen.fetch_add(1, Ordering::SeqCst);
        // With `all`, guests that are off are only counted.
        if targets == Targets::All && !guest.state.is_alive() && !session.ui.json {
            were_off.fetch_add(1, Ordering::SeqCst);
            return Ok(None);
        }
        let plan = plan::stop::stop(guest, timeout, args.force || args.now)?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.filter(|_| !plan.steps.is_empty()).map(|d| Report::new(&guest.name, d.said.first().map_or("off", String::as_str))))
    });
    match (were_off.into_inner(), seen.into_inner()) {
        (0, _) => {}
        (off, all) if off == all => session.ui.say(&format!("no guest is running; {all} are off")),
        (1, _) => session.ui.say("1 more was off already"),
        (off, _) => session.ui.say(&format!("{off} more were off already")),
    }
    result
}
