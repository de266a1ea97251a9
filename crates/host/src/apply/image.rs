//! The steps about images: importing one, keeping a partial download for another try, verifying one.
//!
//! Not here: reading an image (`import`).

use super::{Event, Place};
use crate::import::{self, Import};
use crate::mounts::mount;
use crate::observe;
use crate::settled::{command, settled};
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::property::keys;
use chyves_core::value::Dataset;
use chyves_core::zfs::args;

/// Executes one of these steps.
pub(super) fn perform(step: &Action, place: &mut Place<'_>) -> Result<()> {
    match step {
        Action::KeepPart { part, address, now, .. } => {
            // It may have been deleted since it was observed.
            let there = observe::dataset(part)?.is_some();
            let step = Action::KeepPart { part: part.clone(), there, address: address.clone(), now: now.clone() };
            let mut cmds = step.commands(place.os);
            cmds.truncate(cmds.len() - 1);
            for cmd in cmds {
                command(&cmd, place)?;
            }
            mount(part, place).map(drop)
        }
        Action::DropPart { part } => {
            // The image is complete by now, so this is no reason to fail.
            if let Err(problem) = discard(part, place) {
                (place.report)(Event::Warning(format!("{part} stays: {problem}; `chyves repair` deletes it")));
            }
            Ok(())
        }
        Action::ImportImage { order, folder, dataset, part, now, dialect } => {
            let kept = part.as_ref().map(|(_, folder)| folder.as_str());
            let wanted = Import { order, folder, dataset, part: kept, now, dialect: *dialect };
            import::import(&wanted, place).map_err(|failed| {
                let left = part.as_ref().map(|(part, _)| if failed.keep { leave(part) } else { discard(part, place) });
                match left {
                    Some(Err(why)) => {
                        failed.problem.because(format!("and the part received is kept: {why}")).hint("`chyves repair` deletes it")
                    }
                    Some(Ok(())) | None => failed.problem,
                }
            })
        }
        Action::VerifyImage { image, path, sha256, size } => import::verify(image.as_str(), path, sha256, *size, place),
        _ => Ok(()),
    }
}

/// Unmounts a partial download, unless another command uses it.
fn leave(part: &Dataset) -> Result<()> {
    let taken = |problem: &Problem| problem.causes.iter().any(|c| c.contains("busy"));
    settled(&args::unmount(part)).or_else(|problem| if taken(&problem) { Ok(()) } else { Err(problem) })
}

/// Destroys a dataset, if it is a partial download.
pub(crate) fn discard(part: &Dataset, place: &mut Place<'_>) -> Result<()> {
    let Some(row) = observe::dataset(part)? else { return Ok(()) };
    if !row.own.contains_key(keys::IMAGE_PARTIAL) {
        return Ok(());
    }
    if row.native("mounted") == Some("yes") {
        command(&args::unmount(part), place)?;
    }
    command(&args::destroy(part), place)
}
