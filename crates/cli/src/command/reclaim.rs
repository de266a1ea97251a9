//! `chyves reclaim`: removes what dead VMs left behind.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_engine::op::{Reclaim, ReclaimedResult, ReclaimedWord};

/// Remove what dead VMs left
///
/// Folders and records in the runtime folder, file systems of stopped guests that are still mounted, taps, VM objects and jails
/// of bhyve: each only if proved to be chyves' own and unused. Running guests are not affected. A
/// VM whose supervisor is gone is shown; `chyves start` starts a new one, --force kills it. With --dry-run nothing is
/// changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests [default: all, and what belongs to no guest]
    #[arg(value_name = "GUEST")]
    guests: Vec<String>,
    /// Kill VMs whose supervisor is gone
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let guests = if args.guests.is_empty() { Targets::All } else { Targets::parse(&args.guests)? };
    let outcome = session.run(&Reclaim { guests, force: args.force })?;
    session.show_all(outcome, |one| match &one.result {
        ReclaimedResult::Done { done: ReclaimedWord::Killed, .. } => Some((one.object.clone(), "killed".to_owned())),
        ReclaimedResult::Done { done: ReclaimedWord::Reclaimed, removed } => {
            let words: Vec<&str> = removed.iter().map(|one| one.message.as_str()).collect();
            Some((one.object.clone(), words.join("; ")))
        }
        ReclaimedResult::Failed { .. } => None,
    })
}
