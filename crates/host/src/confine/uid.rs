//! A user id for each running hypervisor: one of a range, claimed by a lock that names the hypervisor ([`life`]), so that no
//! two running hypervisors share one, whatever they do, and an ended process leaves no claim.
//!
//! A guest tries the same id first each time; the host's users and groups need no entry for it.

use crate::hostfs::own;
use crate::proc::Proc;
use crate::runtime::life;
use chyves_core::confinement::UIDS;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Uid, getpriority_user};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// After this many used ids in a row something else is wrong.
const TRIES: u32 = 1024;

/// A user id and the descriptor that holds its claim.
pub(super) struct Claim {
    uid: u32,
    held: OwnedFd,
}

impl From<Claim> for (u32, Option<OwnedFd>) {
    fn from(claim: Claim) -> Self {
        (claim.uid, Some(claim.held))
    }
}

pub(super) fn path(run: &Path, uid: u32) -> PathBuf {
    run.join("uids").join(uid.to_string())
}

/// Claims an id of the range for a guest and for this process, which becomes its hypervisor: exec keeps the process id and the
/// start time.
pub(super) fn claim(run: &Path, guest: Uuid, first: u32) -> Result<Claim, String> {
    claim_for(&Proc::current().map_err(|e| e.to_string())?, run, guest, first)
}

fn claim_for(process: &Proc, run: &Path, guest: Uuid, first: u32) -> Result<Claim, String> {
    crate::runtime::make_private(&run.join("uids")).map_err(|e| e.to_string())?;
    let begin = u32::try_from(guest.as_u128() % u128::from(UIDS)).unwrap_or_default();
    for n in 0..TRIES {
        let uid = first + (begin + n) % UIDS;
        // Anything but a regular file claims no id, and must not keep all guests from starting.
        if own::oddity(path(run, uid)).is_some() {
            continue;
        }
        // A hypervisor whose claim was lost has its id all the same.
        if getpriority_user(Uid::from_raw(uid)).is_ok() {
            continue;
        }
        if let Some(lock) = life::claim(&path(run, uid), Duration::ZERO).map_err(|e| e.to_string())? {
            life::name(lock.path(), process).map_err(|e| e.to_string())?;
            let held = fcntl_dupfd_cloexec(lock.file(), super::OURS).map_err(|e| format!("a user id cannot be held: {e}"))?;
            return Ok(Claim { uid, held });
        }
    }
    Err(format!("no user id from {first} on is free"))
}

/// Removes the claim of an id that is no longer in use.
pub(crate) fn forget(run: &Path, uid: u32) {
    let path = path(run, uid);
    if let Ok(Some(_lock)) = life::claim(&path, Duration::ZERO) {
        drop(own::remove(path));
    }
}

/// Removes the claims of all ids that are no longer in use: those of hypervisors that ended unnoticed.
pub(crate) fn forget_unused(run: &Path) {
    for name in own::names(run.join("uids")).unwrap_or_default() {
        if let Some(uid) = name.to_str().and_then(|name| name.parse().ok()) {
            forget(run, uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_guests_never_have_the_same_one_and_a_free_one_is_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let guest = Uuid::from_u128(7);
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let first = claim_for(&Proc::find(child.id()).unwrap().unwrap(), temp.path(), guest, 5000).unwrap();
        let second = claim(temp.path(), guest, 5000).unwrap();
        assert_eq!((first.uid, second.uid), (5007, 5008));
        forget(temp.path(), first.uid);
        assert!(path(temp.path(), 5007).exists(), "it is in use");
        drop(first);
        assert_eq!(claim(temp.path(), guest, 5000).unwrap().uid, 5009, "it lives, and has let go of its claim");
        child.kill().unwrap();
        child.wait().unwrap();
        forget(temp.path(), 5009);
        assert_eq!(claim(temp.path(), guest, 5000).unwrap().uid, 5007);
        life::name(&path(temp.path(), 5007), &Proc { pid: 1, start: "of another".into() }).unwrap();
        forget_unused(temp.path());
        assert!(!path(temp.path(), 5007).exists() && path(temp.path(), 5008).exists());
        // The id of a process without a claim is in use.
        if rustix::process::geteuid().is_root() {
            use std::os::unix::process::CommandExt;
            let mut child = std::process::Command::new("sleep").arg("1000").uid(5020).spawn().unwrap();
            assert_eq!(claim(temp.path(), Uuid::from_u128(20), 5000).unwrap().uid, 5021);
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(claim(temp.path(), Uuid::from_u128(20), 5000).unwrap().uid, 5020);
        }
        // The last id of the range is followed by the first.
        let last = claim(temp.path(), Uuid::from_u128(u128::from(UIDS) - 1), 5000).unwrap();
        assert_eq!(last.uid, 5000 + UIDS - 1);
    }
}
