//! File systems that several guests use at once, such as an image's: mounted by whoever needs one first, unmounted when
//! nobody does any more.
//!
//! A guest that uses one says so in its record for as long as its supervisor lives. Who is about to start a guest holds
//! the lock of the image, together with others who do the same, until the guest's record says it; who looks whether it is
//! still used holds that lock alone. So nothing is unmounted between a start's mount and its machine's opening of the file.
//!
//! Not here: mounting (`apply`).

use crate::apply;
use crate::observe;
use crate::runtime::{Lock, Runtime};
use chyves_core::error::Result;
use chyves_core::value::{Dataset, GuestName};
use chyves_core::zfs::args;
use std::time::Duration;

/// How long is waited for the locks; they are held for as long as guests take to start.
const WAIT: Duration = Duration::from_secs(10);

fn lock_name(dataset: &Dataset) -> String {
    format!("image.{}", dataset.leaf())
}

/// Keeps a file system from being unmounted while guests are started with it.
///
/// # Errors
/// Somebody changes it.
pub fn hold(rt: &Runtime, dataset: &Dataset, command: &str) -> Result<Lock> {
    rt.share_named(&lock_name(dataset), WAIT, command)
}

/// The guests that use it now.
///
/// # Errors
/// The runtime folder, or the record of a guest that lives, can't be read.
pub fn users(rt: &Runtime, dataset: &Dataset) -> Result<Vec<GuestName>> {
    Ok(rt.records_of_living()?.into_iter().filter(|r| r.launch.borrows.contains(dataset)).map(|r| r.guest).collect())
}

/// The lock of a file system that nobody is about to use; none where somebody is. Who shares the lock is not waited for: they use
/// the file system from then on, or let go of it themselves, and a start that has failed waits for its supervisor, which lets go.
fn alone(rt: &Runtime, dataset: &Dataset, wait: Duration, command: &str) -> Option<Lock> {
    let name = lock_name(dataset);
    if let Ok(lock) = rt.lock_named(&name, Duration::ZERO, command) {
        return Some(lock);
    }
    let is_shared = rt.share_named(&name, Duration::ZERO, command).is_ok();
    if is_shared { None } else { rt.lock_named(&name, wait, command).ok() }
}

/// Unmounts a file system that nobody uses; whether it did. Where somebody uses it, or is about to, it stays for them.
///
/// # Errors
/// It can't be looked at or unmounted.
pub fn let_go(rt: &Runtime, dataset: &Dataset, command: &str) -> Result<bool> {
    let Some(_alone) = alone(rt, dataset, WAIT, command) else { return Ok(false) };
    if !users(rt, dataset)?.is_empty() {
        return Ok(false);
    }
    let mounted = observe::dataset(dataset)?.is_some_and(|row| row.native("mounted") == Some("yes"));
    if !mounted {
        return Ok(false);
    }
    apply::settled(&args::unmount(dataset)).map(|()| true)
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
        // Longer than any test may take.
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
