//! Mounting the file systems of guests and images where chyves expects them.
//!
//! Not here: file systems that several guests use (`shared_mounts`).

use crate::hostfs::kernel;
use crate::mount_table::{MOUNTS, escaped, mounted_at};
use crate::place::{Event, Place};
use crate::settled::settled;
use crate::{datasets, platform, run};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Code, Result};
use chyves_core::guest::Guest;
use chyves_core::value::Dataset;
use chyves_core::zfs::{Dialect, args, guard};

/// Where chyves mounts a file system below one of its roots. Every mount goes through this: the properties of a dataset that
/// another program received may name any folder of the host.
///
/// # Errors
/// Its local properties set another mount point, or it lacks protective properties.
pub(crate) fn home(dataset: &Dataset) -> Result<String> {
    guard::place(dataset, &run::must(&guard::read_place(dataset))?)
}

/// Mounts the file system of a guest to read from it, unless it is mounted already; whether it was mounted here. Otherwise the
/// caller must not unmount it.
///
/// That of a foreign guest is not mounted: mounting alone may change it (with zfs-fuse even read-only), and the next increment can
/// be received only onto what is as it was received.
///
/// # Errors
/// The guest is foreign, its file system may not be mounted ([`home`]), or ZFS fails.
pub(crate) fn mount_to_read(guest: &Guest) -> Result<bool> {
    if guest.foreign.is_some() {
        return Err(Code::GuestForeign
            .problem(format!("the file system of `{}` is not mounted, and the guest is foreign", guest.name))
            .on(&guest.name)
            .because("mounting would change it, and no further increment could be received onto it")
            .hint(format!("if it is to be this host's own: `chyves adopt {}`", guest.name)));
    }
    home(&guest.dataset)?;
    mount_if_needed(&guest.dataset, &args::mount(&guest.dataset))
}

/// Runs the command that mounts a file system; whether that was needed. Another process may have mounted it first.
fn mount_if_needed(dataset: &Dataset, cmd: &Cmd) -> Result<bool> {
    let Err(problem) = settled(cmd) else { return Ok(true) };
    // A clear message saves a query for each of many clones.
    if problem.causes.iter().any(|c| c.contains("already mounted")) {
        return Ok(false);
    }
    match datasets::dataset(dataset)? {
        Some(row) if row.native("mounted") == Some("yes") => Ok(false),
        Some(_) | None => Err(problem),
    }
}

/// Mounts a file system; whether that was needed: zfs-fuse itself mounts each clone when it creates it. With zfs-fuse the
/// kernel's list of mounts is checked first, which runs no process; `zfs mount` reads the same list.
pub(crate) fn mount(dataset: &Dataset, place: &mut Place<'_>) -> Result<bool> {
    let home = home(dataset)?;
    if platform::here().dialect() == Dialect::Fuse
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
