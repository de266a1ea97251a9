//! `chyves rename` and `chyves move`: another name or another pool for the same guest.

use super::clone::sizes;
use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::plan;
use chyves_core::value::GuestName;
use chyves_host::observe::{self, Look, snapshots};
use serde_json::json;

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
    let both = [args.guest.clone(), args.name.clone()];
    let _locks = session.lock("guest", &both)?;
    let world = session.look(&Look::at(&both))?;
    let guest = observe::guest(&world, &args.guest)?;
    session.drop_revert(&world, guest)?;
    let doomed = snapshots::doomed(&guest.dataset, &snapshots::Origins::default())?;
    let facts = plan::rename::Facts { guid: doomed.guid, clones: doomed.clones, ..plan::rename::Facts::default() };
    let plan = plan::rename::rename(&world, guest, &args.name, &facts)?;
    if session.carry_out(&world, &plan, guest.name.as_str())?.is_some() && !plan.steps.is_empty() {
        session.tell(&[Report::new(&args.guest, format!("renamed to {}", args.name)).with(json!({ "name": args.name }))]);
    }
    Ok(())
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
    session.each(&Targets::parse(&args.guests)?, Pace::InTurn, |world, guest| {
        session.drop_revert(world, guest)?;
        // Each move copies and renames, so earlier information about clones is outdated.
        let doomed = snapshots::doomed(&guest.dataset, &snapshots::Origins::default())?;
        let sizes = sizes(world, guest, None)?;
        let facts = plan::rename::Facts {
            guid: doomed.guid,
            clones: doomed.clones,
            trashed: observe::exists(plan::delete::usual_place(world, guest)?.as_str())?,
            snapshots: snapshots::of(world.host.dialect, guest)?.len(),
            natives: observe::natives(sizes.keys())?,
            sizes,
        };
        let plan = plan::rename::relocate(world, guest, &args.pool, &facts, &chyves_engine::Engine::moment(1))?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.filter(|_| !plan.steps.is_empty()).map(|_| Report::new(&guest.name, format!("moved to the pool {}", args.pool))))
    })
}
