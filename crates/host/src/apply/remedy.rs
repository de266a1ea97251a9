//! Commands of a plan whose failure has a remedy.
//!
//! Not here: running one, and waiting while ZFS reports a dataset as busy (`settled`).

use crate::datasets;
use crate::place::{Event, Place};
use crate::run;
use crate::settled::{command, settled_at_last};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::os::{Os, freebsd};
use chyves_core::value::Dataset;

/// Number of units that are tried for a new interface.
const UNITS: u32 = 8;

/// Creates an interface of FreeBSD with another unit, if the first unit belongs to an interface that has been renamed since. If
/// the kernel shows an interface of that unit, the renaming has failed, and another unit does not help.
pub(super) fn with_next_unit(cmd: &Cmd, mut problem: Problem, place: &mut Place<'_>) -> Result<()> {
    let mut failed = cmd.clone();
    for nth in 1..UNITS {
        let Some(next) = freebsd::next_unit(cmd, nth).filter(|_| place.os == Os::FreeBsd) else { break };
        if failed.args.first().is_none_or(|unit| run::run(&Cmd::new(freebsd::ifconfig::TOOL, [unit])).is_ok_and(|answer| answer.ok())) {
            break;
        }
        match command(&next, place) {
            Ok(()) => return Ok(()),
            Err(other) => (problem, failed) = (other, next),
        }
    }
    Err(problem)
}

/// Destroys a dataset with this command. Not an error if it is gone already: zfs-fuse removes a partially received dataset by
/// itself, a moment after the reception ended.
pub(super) fn destroy_at_last(dataset: &Dataset, cmd: &Cmd, place: &mut Place<'_>) -> Result<()> {
    (place.report)(Event::Command(cmd.to_string()));
    match settled_at_last(cmd) {
        Err(_) if !datasets::exists(dataset.as_str())? => Ok(()),
        result => result,
    }
}
