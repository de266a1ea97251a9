//! Whether the objects of a plan still exist and are still the same: pools may have been exported since, or changed on another
//! host.

use super::super::journal::Record;
use super::Dead;
use crate::observe;
use chyves_core::action::{Action, Undo};
use chyves_core::error::Result;
use chyves_core::value::{Dataset, printable};
use std::collections::BTreeSet;

/// Time in seconds after the start of a step within which what it creates exists. What is younger was created by others.
const MADE_WITHIN: u64 = 3600;

/// Verifies that the pools of the plan are imported: nothing is known about the objects of others.
///
/// # Errors
/// A pool is not imported, or ZFS does not answer.
pub(super) fn is_there(dead: &Dead) -> Result<()> {
    let steps = || dead.record.steps.iter();
    let named = steps().flat_map(|step| if let Action::Verify { objects } = step { objects.as_slice() } else { &[] });
    let verified = named.filter_map(|(name, _)| name.split(['/', '@']).next());
    let pools: BTreeSet<&str> =
        steps().flat_map(|step| step.changes().into_iter().chain(step.opens())).map(Dataset::pool).chain(verified).collect();
    for pool in pools {
        observe::dataset(&pool.parse()?).map_err(|problem| {
            let hint = format!("where `{pool}` is gone for good, remove what is known of it: `rm {}`", dead.path.display());
            problem.within(format!("`{}` cannot be completed or rolled back", printable(&dead.record.command, 120))).hint(hint)
        })?;
    }
    Ok(())
}

/// Why a plan is left as it is: an object of it has been replaced, or what it would have created was created by others. None if
/// it can be continued.
///
/// # Errors
/// ZFS does not answer.
pub(super) fn is_another(record: &Record) -> Result<Option<String>> {
    let begun = &record.steps[..record.begun.min(record.steps.len())];
    let renamed: Vec<&Dataset> = begun
        .iter()
        .filter_map(|step| match step {
            Action::Rename { to, .. } | Action::RenameVolume { to, .. } => Some(to),
            _ => None,
        })
        .collect();
    let is_renamed = |name: &str| {
        renamed.iter().any(|to| name.strip_prefix(to.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '@'])))
    };
    for step in begun {
        match step {
            Action::Verify { objects } => {
                for (name, was) in objects.iter().filter(|(name, _)| !is_renamed(name)) {
                    if observe::guid(name)?.is_some_and(|is| is != *was) {
                        return Ok(Some(format!("`{name}` is another one by now")));
                    }
                }
            }
            _ => {
                let (Undo::Destroy(made) | Undo::DestroyReceived { dataset: made, .. } | Undo::DestroyCopy { dataset: made, .. }) =
                    step.undo()
                else {
                    continue;
                };
                if observe::created(made.as_str())?.is_some_and(|at| at > record.latest + MADE_WITHIN) {
                    return Ok(Some(format!("`{made}` was created later, by others")));
                }
            }
        }
    }
    Ok(None)
}
