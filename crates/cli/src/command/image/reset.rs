//! `chyves firmware reset`: the UEFI variables of guests become the template's again.

use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::plan;
use chyves_host::{borrow, observe};
use serde_json::json;

/// Give stopped guests fresh UEFI variables: boot entries and settings as the firmware has them
///
/// For one that no longer boots because of what stands in its variables, and for one that got another firmware. The
/// former variables stay beside the new ones in the guest's file system, as uefi-vars-TIME.fd.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<()> {
    session.each(&Targets::parse(&args.guests)?, Pace::InTurn, |world, guest| {
        let mut world = world.clone();
        observe::add_images(&mut world, &plan::firmware::needed(guest)?)?;
        // Without its sizes nobody knows whether the packages' template fits a firmware that came without one.
        chyves_host::facts::firmware(&mut world.host);
        let plan = plan::firmware::reset(&world, guest, &Session::moment(1))?;
        let images = plan::firmware::images(&plan);
        let held = images.iter().filter(|_| !session.dry_run).map(|image| borrow::hold(&session.runtime, image, &session.typed));
        let held = held.collect::<Result<Vec<_>>>()?;
        let done = session.carry_out(&world, &plan, guest.name.as_str());
        drop(held);
        super::let_go_of(session, &images);
        Ok(done?.map(|done| {
            let kept = done.said.first();
            let said = match kept {
                Some(kept) => format!("its UEFI variables are fresh; the former ones are {kept}"),
                None => "its UEFI variables are fresh; it had none before".to_owned(),
            };
            Report::new(&guest.name, said).with(json!({ "kept": kept }))
        }))
    })
}
