//! Running a command that must succeed, and waiting while ZFS reports a dataset as busy.
//!
//! Not here: running it once (`run`).

use crate::mount_table::mount_below;
use crate::place::{Event, Place};
use crate::{platform, run};
use chyves_core::cmd::Cmd;
use chyves_core::error::Result;
use chyves_core::value::printable;
use chyves_core::zfs::Dialect;
use std::time::{Duration, Instant};

/// How long ZFS may report an unused dataset as busy.
const LET_GO: Duration = Duration::from_secs(20);

/// Typical time that zfs-fuse needs to complete an unmount after `zfs unmount` has returned. A rollback during that time fails
/// with an I/O error and changes nothing; a second try succeeds.
const TAKEN_DOWN: Duration = Duration::from_millis(100);

/// Reports a command and runs it; it must exit with 0.
pub(crate) fn command(cmd: &Cmd, place: &mut Place<'_>) -> Result<()> {
    (place.report)(Event::Command(cmd.to_string()));
    settled(cmd)
}

/// Runs a command that must exit with 0. zfs-fuse releases a file system only some time after `zfs unmount` has returned, and
/// reports the dataset as busy until then: such an answer is retried for a while.
pub(crate) fn settled(cmd: &Cmd) -> Result<()> {
    settled_if(cmd, cmd.program == "zfs" && platform::here().dialect() == Dialect::Fuse)
}

/// As [`settled`], for undoing on every ZFS: what a killed command was doing, such as receiving a stream, ends only a moment
/// after it.
pub(crate) fn settled_at_last(cmd: &Cmd) -> Result<()> {
    settled_if(cmd, cmd.program == "zfs")
}

fn settled_if(cmd: &Cmd, waits: bool) -> Result<()> {
    let rolls_back = cmd.args.first().is_some_and(|word| word == "rollback") && platform::here().dialect() == Dialect::Fuse;
    if rolls_back {
        std::thread::sleep(TAKEN_DOWN);
    }
    let began = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        let output = run::run(cmd)?;
        if output.ok() {
            return Ok(());
        }
        let passing = output.stderr.contains("is busy") || (rolls_back && output.stderr.contains("I/O error"));
        if !passing {
            return Err(run::failure(cmd, &output));
        }
        // That does not pass by itself.
        if let Some(place) = mount_below(cmd) {
            let shown = printable(&place, 300);
            return Err(run::failure(cmd, &output)
                .because(format!("another file system is mounted in it, at {shown}"))
                .hint(Cmd::new("umount", [shown.as_str()]).to_string()));
        }
        if !(waits && began.elapsed() < LET_GO) {
            return Err(run::failure(cmd, &output));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
