//! Running one command of a plan, and waiting while ZFS reports a dataset as busy.

use super::{Event, Place};
use crate::hostfs::kernel;
use crate::{facts, observe, run};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::os::{Os, freebsd};
use chyves_core::value::{Dataset, printable};
use chyves_core::zfs::{Dialect, args, guard};
use std::time::{Duration, Instant};

/// How long ZFS may report an unused dataset as busy.
const LET_GO: Duration = Duration::from_secs(20);

/// Typical time that zfs-fuse needs to complete an unmount after `zfs unmount` has returned. A rollback during that time fails
/// with an I/O error and changes nothing; a second try succeeds.
const TAKEN_DOWN: Duration = Duration::from_millis(100);

/// The mounts of this process, as Linux prints them: source, mount point, type.
const MOUNTS: &str = "/proc/self/mounts";

/// Reports a command and runs it; it must exit with 0.
pub(crate) fn command(cmd: &Cmd, place: &mut Place<'_>) -> Result<()> {
    (place.report)(Event::Command(cmd.to_string()));
    settled(cmd)
}

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

/// Runs a command that must exit with 0. zfs-fuse releases a file system only some time after `zfs unmount` has returned, and
/// reports the dataset as busy until then: such an answer is retried for a while.
pub(crate) fn settled(cmd: &Cmd) -> Result<()> {
    settled_if(cmd, cmd.program == "zfs" && facts::dialect() == Dialect::Fuse)
}

/// As [`settled`], for undoing on every ZFS: what a killed command was doing, such as receiving a stream, ends only a moment
/// after it.
pub(super) fn settled_at_last(cmd: &Cmd) -> Result<()> {
    settled_if(cmd, cmd.program == "zfs")
}

/// Destroys a dataset with this command. Not an error if it is gone already: zfs-fuse removes a partially received dataset by
/// itself, a moment after the reception ended.
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

/// Where chyves mounts a file system below one of its roots. Every mount goes through this: the properties of a dataset that
/// another program received may name any folder of the host.
///
/// # Errors
/// Its local properties set another mount point, or it lacks protective properties.
pub(crate) fn home(dataset: &Dataset) -> Result<String> {
    guard::place(dataset, &run::must(&guard::read_place(dataset))?)
}

/// Mounts a file system, unless it is mounted already; whether it was mounted here. Otherwise the caller must not unmount it.
///
/// # Errors
/// It may not be mounted ([`home`]), or ZFS fails.
pub(crate) fn mount_at_home(dataset: &Dataset) -> Result<bool> {
    home(dataset)?;
    mount_if_needed(dataset, &args::mount(dataset))
}

/// Runs the command that mounts a file system; whether that was needed. Another process may have mounted it first.
fn mount_if_needed(dataset: &Dataset, cmd: &Cmd) -> Result<bool> {
    let Err(problem) = settled(cmd) else { return Ok(true) };
    // A clear message saves a query for each of many clones.
    if problem.causes.iter().any(|c| c.contains("already mounted")) {
        return Ok(false);
    }
    match observe::dataset(dataset)? {
        Some(row) if row.native("mounted") == Some("yes") => Ok(false),
        Some(_) | None => Err(problem),
    }
}

/// Mounts a file system; whether that was needed: zfs-fuse itself mounts each clone when it creates it. With zfs-fuse the
/// kernel's list of mounts is checked first, which runs no process; `zfs mount` reads the same list.
pub(super) fn mount(dataset: &Dataset, place: &mut Place<'_>) -> Result<bool> {
    let home = home(dataset)?;
    if facts::dialect() == Dialect::Fuse
        && let Ok(mounts) = kernel::text(MOUNTS)
        && let Some(at) = mounted_at(&mounts, dataset)
    {
        // It may have been mounted before its mount point was corrected.
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

/// The mount point of a dataset, as the kernel prints it; none if it is not mounted.
fn mounted_at<'a>(mounts: &'a str, dataset: &Dataset) -> Option<&'a str> {
    let source = escaped(dataset.as_str());
    mounts.lines().map(|line| line.split(' ')).find_map(|mut words| {
        let (what, at, kind) = (words.next()?, words.next()?, words.next()?);
        (what == source && (kind == "zfs" || kind.starts_with("fuse"))).then_some(at)
    })
}

/// The place of another file system that is mounted below one that a command of ZFS names.
fn mount_below(cmd: &Cmd) -> Option<String> {
    let names = cmd.args.iter().filter(|_| cmd.program == "zfs").filter_map(|name| name.split('@').next()?.parse().ok());
    let datasets: Vec<Dataset> = names.collect();
    let mounts = kernel::text(MOUNTS).ok()?;
    datasets.iter().find_map(|dataset| below(&mounts, dataset))
}

fn below(mounts: &str, dataset: &Dataset) -> Option<String> {
    let above = format!("{}/", mounted_at(mounts, dataset)?);
    let place = mounts.lines().filter_map(|line| line.split(' ').nth(1)).find(|at| at.starts_with(&above))?;
    Some(place.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))
}

/// A name as the kernel escapes it in its list of mounts.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_in_a_file_system_is_found_and_one_beside_it_is_not() {
        let mounts = "tank/web /mnt/web fuse rw 0 0\ntank/web2 /mnt/web2 fuse rw 0 0\ntmpfs /mnt/web2/a\\040b\\134c tmpfs rw 0 0\n";
        assert_eq!(below(mounts, &"tank/web".parse().unwrap()), None);
        assert_eq!(below(mounts, &"tank/web2".parse().unwrap()).as_deref(), Some("/mnt/web2/a b\\c"));
        assert_eq!(below(mounts, &"tank".parse().unwrap()), None);
    }

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
