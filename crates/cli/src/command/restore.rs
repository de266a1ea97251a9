//! The hidden command by which a guest rolls back to a snapshot that is not its newest: its supervisor runs it before the
//! hypervisor.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_core::value::Dataset;
use chyves_host::apply;

/// Make a folder or a volume what another one is (used by supervisors)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The clone that it is read from
    #[arg(long)]
    work: Dataset,
    /// The clones of volumes below it
    #[arg(long)]
    below: Vec<String>,
    /// What it is to be: a folder, or the device of a volume; where none is given the clone is only destroyed
    #[arg(long, requires = "to")]
    from: Option<String>,
    /// What is changed
    #[arg(long, requires = "from")]
    to: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    match (&args.from, &args.to) {
        // After a failure, the clone would prevent destroying its snapshot.
        (Some(from), Some(to)) => apply::back(from, to, &session.interrupted).inspect_err(|_| drop(gone(args))),
        _ => gone(args),
    }
}

fn gone(args: &Args) -> Result<()> {
    apply::drop_work(&args.work, &args.below)
}
