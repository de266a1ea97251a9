//! `chyves firmware reset`: resets the UEFI variables of guests to the template.

use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::plan;
use chyves_host::{observe, shared_mounts};
use serde_json::json;

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
    session.each(&Targets::parse(&args.guests)?, Pace::InTurn, |world, guest| {
        let mut world = world.clone();
        observe::add_images(&mut world, &plan::firmware::needed(guest)?)?;
        // The sizes show whether the packages' template fits firmware that came without one.
        chyves_host::facts::firmware(&mut world.host);
        let plan = plan::firmware::reset(&world, guest, &chyves_engine::Engine::moment(1))?;
        let images = plan::firmware::images(&plan);
        let held = images.iter().filter(|_| !session.dry_run).map(|image| shared_mounts::hold(&session.runtime, image, &session.typed));
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
