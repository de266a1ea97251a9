//! Running one command of a plan, and waiting for a ZFS that lets go late.

use super::{Event, Place};
use crate::hostfs::kernel;
use crate::{facts, observe, run};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::os::{Os, freebsd};
use chyves_core::value::Dataset;
use chyves_core::zfs::{Dialect, args, guard};
use std::time::{Duration, Instant};

/// How long ZFS may take to let go of what is not used any more.
const LET_GO: Duration = Duration::from_secs(20);

/// How long zfs-fuse mostly takes to take a file system down after `zfs unmount` has returned. A rollback in that moment
/// finds it half there: it ends with an I/O error and has done nothing, and another try goes through.
const TAKEN_DOWN: Duration = Duration::from_millis(100);

/// What is mounted for this process, as Linux prints it: what, where, and as what.
const MOUNTS: &str = "/proc/self/mounts";

/// Runs a command that must end with 0, and prints it first.
pub(crate) fn command(cmd: &Cmd, place: &mut Place<'_>) -> Result<()> {
    (place.report)(Event::Command(cmd.to_string()));
    settled(cmd)
}

/// How many units are tried for a new interface.
const UNITS: u32 = 8;

/// Creates an interface of FreeBSD with another unit, where its own is that of an interface that has been renamed since. Where
/// the kernel shows an interface of that unit, it was the renaming that failed, and no other unit helps.
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

/// Runs a command that must end with 0. zfs-fuse lets go of a file system only some time after `zfs unmount` has
/// returned, and calls the dataset busy until then: there, such an answer is waited out for a while.
pub(crate) fn settled(cmd: &Cmd) -> Result<()> {
    settled_if(cmd, cmd.program == "zfs" && facts::dialect() == Dialect::Fuse)
}

/// The same for what undoes something, on every ZFS: what a killed command had under way, such as a stream, is known
/// to end only a moment after it.
pub(super) fn settled_at_last(cmd: &Cmd) -> Result<()> {
    settled_if(cmd, cmd.program == "zfs")
}

/// Destroys a dataset with this command, and is content when it is gone by another hand: zfs-fuse takes away by itself what a
/// reception that was cut off made, a moment after it.
pub(super) fn destroy_at_last(dataset: &Dataset, cmd: &Cmd, place: &mut Place<'_>) -> Result<()> {
    (place.report)(Event::Command(cmd.to_string()));
    match settled_at_last(cmd) {
        Err(_) if !observe::exists(dataset.as_str())? => Ok(()),
        result => result,
    }
}

fn settled_if(cmd: &Cmd, waits: bool) -> Result<()> {
    let rolls_back = cmd.args.first().is_some_and(|word| word == "rollback") && facts::dialect() == Dialect::Fuse;
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
        if !(passing && waits && began.elapsed() < LET_GO) {
            return Err(run::failure(cmd, &output));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Where chyves mounts a file system below one of its roots. Every mount goes through this: the properties of a dataset that
/// another program received may name any folder of the host.
///
/// # Errors
/// It says by itself that it is mounted elsewhere, or it is not guarded.
pub(crate) fn home(dataset: &Dataset) -> Result<String> {
    guard::place(dataset, &run::must(&guard::read_place(dataset))?)
}

/// Mounts a file system that is not mounted, as far as is known; whether that was needed. Where not, it is not the caller's to
/// unmount.
///
/// # Errors
/// It may not be mounted ([`home`]), or ZFS fails.
pub(crate) fn mount_at_home(dataset: &Dataset) -> Result<bool> {
    home(dataset)?;
    mount_if_needed(dataset, &args::mount(dataset))
}

/// Runs the command that mounts a file system; whether that was needed. Somebody may have been quicker.
fn mount_if_needed(dataset: &Dataset, cmd: &Cmd) -> Result<bool> {
    let Err(problem) = settled(cmd) else { return Ok(true) };
    // Said so plainly it need not be asked for: that is one call for each of many clones.
    if problem.causes.iter().any(|c| c.contains("already mounted")) {
        return Ok(false);
    }
    match observe::dataset(dataset)? {
        Some(row) if row.native("mounted") == Some("yes") => Ok(false),
        Some(_) | None => Err(problem),
    }
}

/// Mounts a file system; whether that was needed: zfs-fuse itself mounts each clone when it makes it. There the kernel is asked
/// first, which costs no process; `zfs mount` looks at the same list.
pub(super) fn mount(dataset: &Dataset, place: &mut Place<'_>) -> Result<bool> {
    let home = home(dataset)?;
    if facts::dialect() == Dialect::Fuse
        && let Ok(mounts) = kernel::text(MOUNTS)
        && let Some(at) = mounted_at(&mounts, dataset)
    {
        // It may have been mounted before its mount point was put right.
        return if at == escaped(&home) {
            Ok(false)
        } else {
            Err(guard::misplaced(dataset, at, &home).hint(format!("zfs unmount {dataset}")))
        };
    }
    let cmd = args::mount(dataset);
    (place.report)(Event::Command(cmd.to_string()));
    mount_if_needed(dataset, &cmd)
}

/// Where a dataset is mounted, as the kernel writes it; none where it is not.
fn mounted_at<'a>(mounts: &'a str, dataset: &Dataset) -> Option<&'a str> {
    let source = escaped(dataset.as_str());
    mounts.lines().map(|line| line.split(' ')).find_map(|mut words| {
        let (what, at, kind) = (words.next()?, words.next()?, words.next()?);
        (what == source && kind.starts_with("fuse")).then_some(at)
    })
}

/// A name as the kernel writes it in its list of mounts.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_is_told_by_the_whole_name_and_the_kind() {
        let mounts = "tank/c/guests/web01 /mnt/guests/web01 fuse rw,allow_other 0 0\n\
            my\\040pool/c/guests/db /mnt/my\\040pool/db fuse.zfs rw 0 0\n\
            tank/c/guests/ext /mnt/ext ext4 rw 0 0\n";
        for (dataset, is) in [
            ("tank/c/guests/web01", true),
            ("my pool/c/guests/db", true),
            ("tank/c/guests/web", false),
            ("tank/c/guests/web012", false),
            ("guests/web01", false),
            ("tank/c/guests/ext", false),
        ] {
            assert_eq!(mounted_at(mounts, &dataset.parse().unwrap()).is_some(), is, "{dataset}");
        }
        assert_eq!(mounted_at(mounts, &"my pool/c/guests/db".parse().unwrap()), Some(escaped("/mnt/my pool/db").as_str()));
        assert_eq!(mounted_at("", &"tank/c".parse().unwrap()), None);
    }
}
