//! `chyves insert` and `chyves eject`: changing the medium in a drive of a running guest.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_core::value::{GuestName, ImageName};
use chyves_engine::op::DriveChange;

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

fn change(session: &Session, name: &GuestName, drive: Option<usize>, iso: Option<&ImageName>, force: bool) -> Result<()> {
    let outcome = session.run(&DriveChange { guest: name.clone(), iso: iso.cloned(), drive, force })?;
    session.show_all(outcome, |changed| {
        let drive = changed.drive;
        let said = iso.map_or_else(|| format!("cd{drive} is empty"), |iso| format!("{iso} is in cd{drive}"));
        Some((changed.object.clone(), if changed.at_once { said } else { format!("{said} from its next reboot on") }))
    })
}
