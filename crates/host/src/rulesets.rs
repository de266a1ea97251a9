//! Numbers for the devfs rulesets of jails, since the kernel has no names for them. A number is claimed by a file in the
//! runtime folder that names its guest, locked from the choice until the guest's supervisor runs. It remains the guest's until
//! nothing is left of its VM.
//!
//! A ruleset that exists without a claim of the guest may belong to an administrator or another program: it is neither changed
//! nor removed, and another number is chosen.

use crate::hostfs::own::{self, How};
use crate::run;
use crate::runtime::{Lock, Runtime, make_private};
use chyves_core::error::{Problem, Result};
use chyves_core::os::freebsd::jail;
use chyves_core::vmm::bhyve::jail::rulesets;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Size limit of a claim, in bytes.
const LIMIT: u64 = 64;
/// After this many used numbers in a row something else is wrong.
const TRIES: usize = 1024;

/// A number that a command has claimed for a guest. On drop the claim passes to the guest's VM, or is removed if there is no
/// VM.
#[derive(Debug)]
pub struct Claim {
    set: u32,
    lock: Lock,
    rt: Runtime,
    guest: Uuid,
}

impl Claim {
    /// The ruleset number.
    pub const fn number(&self) -> u32 {
        self.set
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !has_remains(&self.rt, self.guest) {
            drop(own::remove(self.lock.path()));
        }
    }
}

fn folder(rt: &Runtime) -> PathBuf {
    rt.root().join("rulesets")
}

/// The guests that have claimed numbers. An unreadable claim belongs to an unknown guest.
fn claims(rt: &Runtime) -> Result<BTreeMap<u32, Option<Uuid>>> {
    let folder = folder(rt);
    let names = own::names(&folder).map_err(|e| cant(&folder, &e))?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse::<u32>().ok());
    Ok(numbers.map(|set| (set, guest_in(&folder.join(set.to_string())))).collect())
}

fn guest_in(claim: &Path) -> Option<Uuid> {
    own::text(claim, LIMIT).ok().and_then(|text| Uuid::try_parse(text.trim()).ok())
}

fn cant(path: &Path, e: &std::io::Error) -> Problem {
    Problem::failed(format!("cannot claim a devfs ruleset in `{}`", path.display())).on(path.display()).because(e)
}

/// The numbers of the rulesets that exist now.
fn existing() -> Result<BTreeSet<u32>> {
    jail::read_rulesets(&run::must(&jail::rulesets())?)
}

/// The number that a guest has claimed.
///
/// # Errors
/// The claims cannot be read.
pub fn of(rt: &Runtime, guest: Uuid) -> Result<Option<u32>> {
    Ok(claims(rt)?.into_iter().find_map(|(set, owner)| (owner == Some(guest)).then_some(set)))
}

/// A number for a guest: the one it has claimed, or the first free one. Nothing is claimed: for a dry run.
///
/// # Errors
/// The rulesets of the host cannot be listed, or no number is free.
pub fn free(rt: &Runtime, guest: Uuid) -> Result<u32> {
    let (claims, existing) = (claims(rt)?, existing()?);
    let own = claims.iter().find_map(|(set, owner)| (*owner == Some(guest)).then_some(*set));
    let mut others = rulesets(guest).take(TRIES).filter(|set| !claims.contains_key(set) && !existing.contains(set));
    own.or_else(|| others.next()).ok_or_else(|| none(guest))
}

/// Claims a number for a guest, for as long as the claim is held, and then for as long as the guest has a folder in the runtime
/// folder, or a jail. The caller holds the guest's lock.
///
/// # Errors
/// As [`free`], or the claim cannot be written.
pub fn claim(rt: &Runtime, guest: Uuid) -> Result<Claim> {
    claim_beside(rt, guest, &existing()?)
}

fn claim_beside(rt: &Runtime, guest: Uuid, existing: &BTreeSet<u32>) -> Result<Claim> {
    let folder = folder(rt);
    rt.create()?;
    make_private(&folder)?;
    let claims = claims(rt)?;
    for (set, owner) in claims.iter().filter(|(set, _)| !existing.contains(set)) {
        if owner.is_none_or(|owner| owner != guest && !has_remains(rt, owner)) {
            drop_claim(&folder.join(set.to_string()), *owner);
        }
    }
    let own = claims.iter().find_map(|(set, owner)| (*owner == Some(guest)).then_some(*set));
    for set in own.into_iter().chain(rulesets(guest).take(TRIES).filter(|set| !existing.contains(set))) {
        let path = folder.join(set.to_string());
        // Anything but a regular file claims no number, and must not keep all guests from starting.
        if own::oddity(&path).is_some() {
            continue;
        }
        let Some(lock) = Lock::take(&path, Duration::ZERO)? else { continue };
        // Read under the lock: it may have been claimed since the folder was read.
        match own::text(&path, LIMIT).map_err(|e| cant(&path, &e))?.trim() {
            "" => {
                let mut file = own::open(&path, How::Write).map_err(|e| cant(&path, &e))?;
                file.write_all(guest.to_string().as_bytes()).map_err(|e| cant(&path, &e))?;
            }
            text if Uuid::try_parse(text) == Ok(guest) => {}
            _ => continue,
        }
        return Ok(Claim { set, lock, rt: rt.clone(), guest });
    }
    Err(none(guest))
}

/// Whether anything of a guest's VM exists, or may exist.
fn has_remains(rt: &Runtime, guest: Uuid) -> bool {
    own::is_there(rt.guest_dir(guest)) || rt.jails().map_or(true, |all| all.contains(&guest))
}

/// Removes a claim that no process holds, unless its owner has changed.
fn drop_claim(path: &Path, owner: Option<Uuid>) {
    if let Ok(Some(_lock)) = Lock::take(path, Duration::ZERO)
        && guest_in(path) == owner
    {
        drop(own::remove(path));
    }
}

/// Releases the number of a guest whose VM has left nothing. A command that holds the claim releases it by itself.
pub(crate) fn release(rt: &Runtime, guest: Uuid) {
    for (set, owner) in claims(rt).unwrap_or_default() {
        let path = folder(rt).join(set.to_string());
        if owner == Some(guest)
            && let Ok(Some(_lock)) = Lock::take(&path, Duration::ZERO)
        {
            drop(own::remove(&path));
        }
    }
}

fn none(guest: Uuid) -> Problem {
    Problem::host_cant(format!("no devfs ruleset is free for the jail of the guest {guest}"))
        .on(guest)
        .because(format!("{TRIES} numbers in a row are in use"))
        .hint("list the rulesets of this host: `devfs rule showsets`; or start without a jail: set confine=user")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two guests that prefer the same number.
    fn twins() -> (Uuid, Uuid, u32) {
        let (one, two) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let first = rulesets(one).next().unwrap();
        assert_eq!(rulesets(two).next(), Some(first));
        (one, two, first)
    }

    #[test]
    fn two_guests_never_have_the_same_number_and_a_foreign_set_is_left() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path().join("run"));
        let (one, two, first) = twins();
        let none = BTreeSet::new();
        let held = claim_beside(&rt, one, &BTreeSet::from([first])).unwrap();
        assert_eq!(held.number(), first + 1, "the preferred one exists, and nothing says whose it is");
        let other = claim_beside(&rt, two, &none).unwrap();
        assert_eq!(other.number(), first);
        assert_eq!((of(&rt, one).unwrap(), of(&rt, two).unwrap()), (Some(first + 1), Some(first)));
        for guest in [one, two] {
            std::fs::create_dir(rt.guest_dir(guest)).unwrap();
        }
        drop((held, other));
        // A guest keeps its number, even if its ruleset exists and a preferred number has become free.
        assert_eq!(claim_beside(&rt, one, &BTreeSet::from([first + 1])).unwrap().number(), first + 1);
        release(&rt, two);
        assert_eq!((of(&rt, two).unwrap(), claim_beside(&rt, one, &none).unwrap().number()), (None, first + 1));
    }

    #[test]
    fn a_claim_without_a_vm_is_dropped_unless_its_set_exists() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path().join("run"));
        let (one, two, first) = twins();
        // The claim of a command that failed before there was a VM.
        drop(claim_beside(&rt, one, &BTreeSet::new()).unwrap());
        assert_eq!(of(&rt, one).unwrap(), None);
        // The claim of a command that was killed.
        std::mem::forget(claim_beside(&rt, one, &BTreeSet::new()).unwrap());
        assert_eq!(claim_beside(&rt, two, &BTreeSet::new()).unwrap().number(), first + 1, "it may be about to launch its VM");
        for text in [&one.to_string(), ""] {
            std::fs::remove_file(folder(&rt).join(first.to_string())).unwrap();
            std::fs::write(folder(&rt).join(first.to_string()), text).unwrap();
            assert_eq!(claim_beside(&rt, two, &BTreeSet::from([first])).unwrap().number(), first + 1);
            assert_eq!(claim_beside(&rt, two, &BTreeSet::new()).unwrap().number(), first);
            std::fs::write(folder(&rt).join(first.to_string()), "").unwrap();
        }
    }
}
