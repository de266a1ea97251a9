//! Differences after a reboot: file systems are not mounted, and VMs and interfaces are gone.

use super::super::journal::{Record, outlives_the_host};
use super::super::{Event, Place};
use crate::mounts::mount;
use crate::runtime::Runtime;
use crate::{observe, run};
use chyves_core::action::Action;
use chyves_core::error::Result;
use chyves_core::value::Dataset;
use chyves_core::zfs::args;
use std::path::Path;

/// Whether nothing of a step has to be finished or undone, since its effect ended with the host.
pub(super) fn went_down(step: &Action, runtime: &Runtime) -> bool {
    match step {
        // Checks may be repeated, and mounts are needed again.
        Action::Verify { .. }
        | Action::CheckFiles { .. }
        | Action::VerifyImage { .. }
        | Action::Mount { .. }
        | Action::Borrow { .. }
        | Action::LetGo { .. }
        | Action::Unmount { .. } => false,
        _ => !outlives_the_host(step, runtime),
    }
}

/// Mounts the file systems that contain the steps' files; returns those that were not mounted before.
///
/// # Errors
/// One cannot be mounted, for example because it is encrypted and its key is not loaded.
pub(super) fn mount_anew(record: &Record, place: &mut Place<'_>) -> Result<Vec<Dataset>> {
    let outside = |path: &&str| !Path::new(path).starts_with(place.runtime.root());
    let paths: Vec<&str> = record.steps.iter().flat_map(Action::files).filter(outside).collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    // On all pools: a root whose layout is being changed is not recognised by chyves.
    let listed = run::must(&args::list_mounts())?;
    let rows: Vec<[&str; 5]> = listed.lines().filter_map(|line| line.split('\t').collect::<Vec<_>>().try_into().ok()).collect();
    let mut wanted = Vec::new();
    for path in paths {
        let holds = |[_, _, _, at, _]: &&[&str; 5]| at.starts_with('/') && Path::new(path).starts_with(at);
        let Some([name, mounted, may, ..]) = rows.iter().filter(holds).max_by_key(|[_, _, _, at, _]| at.len()) else { continue };
        if *mounted == "no" && *may != "off" && !wanted.contains(name) {
            wanted.push(*name);
        }
    }
    let mut mounted = Vec::new();
    for name in wanted {
        let dataset: Dataset = name.parse()?;
        if mount(&dataset, place)? {
            mounted.push(dataset);
        }
    }
    Ok(mounted)
}

/// Unmounts what was mounted for the recovery, if it still exists; a failure does no harm.
pub(super) fn unmount(mounted: &[Dataset], place: &mut Place<'_>) {
    for dataset in mounted {
        let there = observe::dataset(dataset).ok().flatten();
        if there.is_some_and(|row| row.native("mounted") == Some("yes"))
            && let Err(problem) = crate::settled::command(&args::unmount(dataset), place)
        {
            (place.report)(Event::Warning(format!("{dataset} stays mounted: {problem}")));
        }
    }
}
