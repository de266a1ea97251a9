//! `chyves rename` and `chyves move`: another name or another pool for the same guest.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::value::GuestName;
use chyves_engine::op::{GuestMove, GuestRename};

/// Rename a stopped guest
///
/// Everything else stays: its UUID, MAC addresses, disk serials, firmware variables, snapshots.
#[derive(Debug, clap::Args)]
pub(crate) struct RenameArgs {
    /// The guest
    #[arg(value_name = "GUEST")]
    guest: GuestName,
    /// Its new name
    #[arg(value_name = "NAME")]
    name: GuestName,
}

pub(crate) fn rename(session: &Session, args: &RenameArgs) -> Result<()> {
    let outcome = session.run(&GuestRename { guest: args.guest.clone(), name: args.name.clone() })?;
    session.show_all(outcome, |renamed| Some((renamed.object.clone(), format!("renamed to {}", renamed.name))))
}

/// Move stopped guests to another pool
///
/// The guest is copied and the copy verified; then the original is moved to the trash.
#[derive(Debug, clap::Args)]
pub(crate) struct MoveArgs {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
    /// The pool
    #[arg(long)]
    pool: String,
}

pub(crate) fn relocate(session: &Session, args: &MoveArgs) -> Result<()> {
    let outcome = session.run(&GuestMove { guests: Targets::parse(&args.guests)?, pool: args.pool.clone() })?;
    session.show_each(outcome, |moved| format!("moved to the pool {}", moved.pool))
}
