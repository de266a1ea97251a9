//! `chyves delete` and `chyves undelete`: into the trash and back.

use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::plan;
use chyves_core::value::GuestName;
use chyves_core::zfs::Dialect;
use chyves_host::observe::snapshots::{self, Origins};
use chyves_host::observe::{self, Look, Which};

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
    let targets = Targets::parse(&args.guests)?;
    session.foreign.store(args.foreign, std::sync::atomic::Ordering::SeqCst);
    if args.now {
        return destroy(session, &targets);
    }
    if targets == Targets::All && !session.dry_run {
        session.ui.confirm("move all guests to the trash", session.yes)?;
    }
    let origins = Origins::default();
    session.each(&targets, Pace::InTurn, |world, guest| {
        session.drop_revert(world, guest)?;
        let guid = observe::guids(&[guest.dataset.to_string()])?.first().map_or(0, |(_, g)| *g);
        let taken = observe::exists(plan::delete::usual_place(world, guest)?.as_str())?;
        let stays = world.host.dialect == Dialect::Fuse && !snapshots::doomed(&guest.dataset, &origins)?.clones.is_empty();
        let plan = plan::delete::delete(world, guest, guid, (stays, taken), &chyves_engine::now())?;
        session.permits_or_foreign(world, &plan)?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.map(|_| Report::new(&guest.name, "in the trash")))
    })
}

/// Destroys guests, after showing everything that will be destroyed.
fn destroy(session: &Session, targets: &Targets) -> Result<()> {
    let origins = Origins::default();
    session.each(targets, Pace::InTurn, |world, guest| {
        session.drop_revert(world, guest)?;
        let doomed = snapshots::doomed(&guest.dataset, &origins)?;
        let plan = plan::delete::destroy(guest, &doomed)?;
        session.permits_or_foreign(world, &plan)?;
        if !session.dry_run {
            for name in doomed.all(&[]) {
                session.ui.say(&format!("{}: destroys {name}", guest.name));
            }
            session.ui.confirm(&format!("destroy {} for good", guest.name), session.yes)?;
        }
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        if done.is_some() {
            origins.forget(&guest.dataset);
        }
        Ok(done.map(|_| Report::new(&guest.name, "destroyed")))
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
    let trash = session.look(&Look { trash: true, ..Look::default() })?;
    trash.in_use()?;
    let found = plan::delete::find(&trash, &args.wanted)?;
    if found.disk.is_some() {
        if args.name.is_some() {
            return Err(Problem::usage(format!("`{}` is a disk and takes no other name", found.label()))
                .on(found.label())
                .hint("omit --name"));
        }
        return super::disk::undelete(session, &args.wanted);
    }
    let name = args.name.as_ref().unwrap_or(&found.name).clone();
    let _lock = session.lock("guest", &[&name])?;
    let world = session.look(&Look { guests: Which::Named(vec![name.clone()]), trash: true, ..Look::default() })?;
    let found = plan::delete::find(&world, found.dataset.as_str())?;
    let guid = observe::guids(&[found.dataset.to_string()])?.first().map_or(0, |(_, g)| *g);
    let has_group = match &found.group {
        Some(group) => observe::is_group(&world.root_on(found.dataset.pool())?.guests().child(group))?,
        None => false,
    };
    let plan = plan::delete::undelete(&world, found, guid, Some(&name), has_group)?;
    if session.carry_out(&world, &plan, name.as_str())?.is_some() {
        let back = session.look(&Look::at(std::slice::from_ref(&name)))?;
        session.warn_if_unstartable(&back, observe::guest(&back, &name)?);
        session.tell(&[Report::new(&name, "restored from the trash")]);
    }
    Ok(())
}
