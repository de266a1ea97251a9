//! `chyves delete` and `chyves undelete`: into the trash and back.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::value::GuestName;
use chyves_engine::op::{DeletedWord, GuestDelete, GuestUndelete};

/// Move guests to the trash
///
/// Nothing is destroyed: `chyves undelete` restores a guest with its disks, snapshots and settings.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
    /// Destroy them at once, with disks and snapshots; this cannot be undone
    #[arg(long)]
    now: bool,
    /// Also foreign guests: received ones, and those of another host
    #[arg(long)]
    foreign: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let outcome = session.run(&GuestDelete { guests: Targets::parse(&args.guests)?, now: args.now, foreign: args.foreign })?;
    session.show_each(outcome, |deleted| {
        match deleted.done {
            DeletedWord::InTheTrash => "in the trash",
            DeletedWord::Destroyed => "destroyed",
        }
        .to_owned()
    })
}

/// Restore a guest, or a disk of one, from the trash
#[derive(Debug, clap::Args)]
pub(crate) struct UndeleteArgs {
    /// The name it had (a disk: GUEST:disk0), or its identity in the trash
    #[arg(value_name = "GUEST|IDENTITY")]
    wanted: String,
    /// Restore it under another name
    #[arg(long)]
    name: Option<GuestName>,
}

pub(crate) fn undelete(session: &Session, args: &UndeleteArgs) -> Result<()> {
    let outcome = session.run(&GuestUndelete { wanted: args.wanted.clone(), name: args.name.clone() })?;
    session.show_all(outcome, |restored| {
        let said = restored.disk.map_or_else(|| "restored from the trash".to_owned(), |number| format!("disk{number} added"));
        Some((restored.object.clone(), said))
    })
}
