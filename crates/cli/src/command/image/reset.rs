//! `chyves firmware reset`: resets the UEFI variables of guests to the template.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_engine::op::FirmwareReset;

/// Give stopped guests fresh UEFI variables: the firmware's default boot entries and settings
///
/// For a guest that no longer boots because of its variables, or that got another firmware. The former variables are kept
/// in the guest's file system as uefi-vars-TIME.fd.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<()> {
    let outcome = session.run(&FirmwareReset { guests: Targets::parse(&args.guests)? })?;
    session.show_each(outcome, |reset| match &reset.kept {
        Some(kept) => format!("its UEFI variables are fresh; the former ones are {kept}"),
        None => "its UEFI variables are fresh; it had none before".to_owned(),
    })
}
