//! File systems that several guests use at once, such as an image's: mounted by the first user, unmounted after the last.
//!
//! A guest that uses one lists it in its record for as long as its supervisor lives. A command that starts a guest holds the
//! lock of the image, shared with other starts, until the guest's record lists it; a command that checks whether the image is
//! still used holds that lock exclusively. So nothing is unmounted between a start's mount and the hypervisor's opening of the
//! file.
//!
//! Not here: mounting (`mounts`).

use crate::datasets;
use crate::runtime::{Lock, Runtime};
use crate::settled::settled;
use chyves_core::error::Result;
use chyves_core::value::{Dataset, GuestName};
use chyves_core::zfs::args;
use std::time::Duration;

/// Longest wait for the locks, which are held while guests start.
const WAIT: Duration = Duration::from_secs(10);

fn lock_name(dataset: &Dataset) -> String {
    format!("image.{}", dataset.leaf())
}

/// Keeps a file system mounted while guests that use it start.
///
/// # Errors
/// Another process holds the lock exclusively.
pub fn hold(rt: &Runtime, dataset: &Dataset, command: &str) -> Result<Lock> {
    rt.share_named(&lock_name(dataset), WAIT, command)
}

/// The guests that use it now.
///
/// # Errors
/// The runtime folder, or the record of a running guest, cannot be read.
pub fn users(rt: &Runtime, dataset: &Dataset) -> Result<Vec<GuestName>> {
    Ok(rt.records_of_living()?.into_iter().filter(|r| r.launch.borrows.contains(dataset)).map(|r| r.guest).collect())
}

/// The exclusive lock of a file system, or none if another process is about to use it. Shared holders are not waited for: they
/// use the file system afterwards or unmount it themselves. A failed start would even wait in vain: it waits for its
/// supervisor, which calls this.
fn alone(rt: &Runtime, dataset: &Dataset, wait: Duration, command: &str) -> Option<Lock> {
    let name = lock_name(dataset);
    if let Ok(lock) = rt.lock_named(&name, Duration::ZERO, command) {
        return Some(lock);
    }
    let is_shared = rt.share_named(&name, Duration::ZERO, command).is_ok();
    if is_shared { None } else { rt.lock_named(&name, wait, command).ok() }
}

/// Unmounts a file system without users; whether it did. If it is used, or about to be, it stays mounted.
///
/// # Errors
/// It cannot be queried or unmounted.
pub fn let_go(rt: &Runtime, dataset: &Dataset, command: &str) -> Result<bool> {
    let Some(_alone) = alone(rt, dataset, WAIT, command) else { return Ok(false) };
    if !users(rt, dataset)?.is_empty() {
        return Ok(false);
    }
    let mounted = datasets::dataset(dataset)?.is_some_and(|row| row.native("mounted") == Some("yes"));
    if !mounted {
        return Ok(false);
    }
    settled(&args::unmount(dataset)).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shares_a_file_system_is_not_waited_for_and_who_has_it_alone_is() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path());
        let dataset: Dataset = "tank/chyves/images/fw".parse().unwrap();
        let starter = hold(&rt, &dataset, "start web").unwrap();
        // Longer than any test takes.
        let long = Duration::from_secs(86_400);
        assert!(alone(&rt, &dataset, long, "_let-go").is_none());
        drop(starter);
        let other = rt.lock_named(&lock_name(&dataset), Duration::ZERO, "image delete fw").unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| alone(&rt, &dataset, long, "_let-go").is_some());
            drop(other);
            assert!(waits.join().unwrap());
        });
    }
}
