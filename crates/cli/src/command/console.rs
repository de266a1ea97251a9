//! `chyves console`: the guest's serial console on this terminal.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_core::value::GuestName;
use chyves_host::observe::{self, Look};
use chyves_host::{console, control, supervise};

/// Attach this terminal to a guest's serial console
///
/// Leave with Ctrl-]. Any number of people may be attached at once; what was printed last is shown first. The console
/// stays attached while the guest reboots and ends when the guest is off. Without a terminal, standard input is passed
/// on, and the command ends when that is over and the guest has been quiet for a second.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest
    guest: GuestName,
    /// Only look
    #[arg(short, long)]
    read_only: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let world = session.look(&Look::at(std::slice::from_ref(&args.guest)))?;
    let guest = observe::guest(&world, &args.guest)?;
    if session.dry_run {
        session.ui.answer(&format!("# attach to the console of {}\n", guest.name));
        return Ok(());
    }
    super::start::with_supervisor(session, guest, &supervise::Spawner::this_program()?)?;
    let target = control::Target { uuid: guest.uuid, name: &guest.name, dataset: &guest.dataset };
    console::attach(&session.runtime, target, console::Options { read_only: args.read_only }).map(drop)
}
