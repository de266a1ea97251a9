//! `chyves insert` and `chyves eject`: changing the medium in a drive of a running guest.

use super::start::with_supervisor;
use crate::session::{Report, Session};
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::plan::{self, media::Request};
use chyves_core::value::{Dataset, GuestName, ImageName};
use chyves_host::observe::{self, Look, Which};
use chyves_host::shared_mounts;
use chyves_host::supervise::Spawner;
use serde_json::json;

/// Insert an ISO into an optical drive of a running guest
///
/// Into the first empty drive, or the one that is named, replacing the present one. QEMU does it at once; bhyve cannot
/// change an ISO while a guest runs, so there it takes effect at the guest's next reboot. It is ejected at the reboot set by
/// iso_eject_after_reboots, counted from now.
#[derive(Debug, clap::Args)]
pub(crate) struct InsertArgs {
    /// The guest
    guest: GuestName,
    /// The ISO
    #[arg(value_name = "IMAGE")]
    iso: ImageName,
    /// The drive: cd0
    #[arg(value_parser = number)]
    drive: Option<usize>,
    /// Override the guest's lock on the drive
    #[arg(short, long)]
    force: bool,
}

/// Eject the ISO from an optical drive of a running guest
///
/// The drive stays, empty. A guest that has the ISO mounted may lock its drive.
#[derive(Debug, clap::Args)]
pub(crate) struct EjectArgs {
    /// The guest
    guest: GuestName,
    /// The drive: cd0; [default: the one that holds an ISO]
    #[arg(value_parser = number)]
    drive: Option<usize>,
    /// Override the guest's lock on the drive
    #[arg(short, long)]
    force: bool,
}

fn number(word: &str) -> Result<usize, String> {
    word.strip_prefix("cd").unwrap_or(word).parse().map_err(|_| "drives are called cd0, cd1 and so on".to_owned())
}

pub(crate) fn insert(session: &Session, args: &InsertArgs) -> Result<()> {
    change(session, &args.guest, args.drive, Some(&args.iso), args.force)
}

pub(crate) fn eject(session: &Session, args: &EjectArgs) -> Result<()> {
    change(session, &args.guest, args.drive, None, args.force)
}

fn change(session: &Session, name: &GuestName, drive: Option<usize>, disc: Option<&ImageName>, force: bool) -> Result<()> {
    let _lock = session.lock("guest", &[name])?;
    let images = if disc.is_some() { Which::All } else { Which::None };
    let mut world = session.look(&Look { images: images.clone(), ..Look::at(std::slice::from_ref(name)) })?;
    let guest = observe::guest(&world, name)?;
    if !session.dry_run {
        with_supervisor(session, guest, &Spawner::this_program()?)?;
        world = session.look(&Look { images, ..Look::at(std::slice::from_ref(name)) })?;
    }
    let guest = observe::guest(&world, name)?;
    let record = session.runtime.observe(guest.uuid, &guest.dataset)?.record;
    let (launch, reboots) = match &record {
        Some(record) if guest.state.is_alive() => (Some(&record.launch), record.reboots),
        Some(_) | None => (None, 0),
    };
    let request = Request { drive, disc: disc.cloned(), force, reboots };
    let Some(launch) = launch else {
        return Err(Problem::not_now(format!("`{name}` is {}: only a running guest has an ISO in a drive", guest.state.word()))
            .on(name)
            .hint(format!("`chyves start {name} --iso {}` starts it with one", disc.map_or("IMAGE", |d| d.as_str()))));
    };
    let plan = plan::media::change(&world, guest, launch, &request)?;
    let dataset = disc.map(|disc| Ok::<Dataset, Problem>(plan::drives::disc(&world, disc)?.dataset.clone())).transpose()?;
    let held = match &dataset {
        Some(dataset) if !session.dry_run => Some(shared_mounts::hold(&session.runtime, dataset, &session.typed)?),
        _ => None,
    };
    let done = session.carry_out(&world, &plan, name.as_str());
    drop(held);
    if !session.dry_run {
        // Images that the guest no longer uses, or did not get.
        for dataset in launch.borrows.iter().chain(&dataset) {
            if let Err(problem) = shared_mounts::let_go(&session.runtime, dataset, &session.typed) {
                session.ui.warn(&format!("{dataset} stays mounted: {problem}"));
            }
        }
    }
    if done?.is_some()
        && let Some(Action::ChangeDisc { drive, .. }) = plan.steps.last()
    {
        let later = !plan.notes.is_empty();
        let said = disc.map_or_else(|| format!("cd{drive} is empty"), |disc| format!("{disc} is in cd{drive}"));
        let said = if later { format!("{said} from its next reboot on") } else { said };
        session.tell(&[Report::new(name, said).with(json!({ "at-once": !later }))]);
    }
    Ok(())
}
