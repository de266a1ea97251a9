//! TCP ports for VNC displays, claimed by trying.
//!
//! The hypervisor listens by itself, some time after its port was chosen. So a port is also a lock in the runtime folder: the
//! command that chooses a port holds the lock until the guest runs, and the guest's supervisor shares it until the guest stops,
//! reboots included.

use crate::runtime::lock::GLANCE;
use crate::runtime::{Lock, Runtime};
use chyves_core::error::{Kind, Problem, Result};
use std::net::{IpAddr, TcpListener};
use std::ops::Range;
use std::time::Duration;

/// The ports that are tried.
const VNC: Range<u16> = 5900..6000;

/// The first free VNC port on an address, from 5900, that is not one of `but`. Nothing is claimed: for a dry run.
///
/// # Errors
/// None of the hundred ports is free, or the address is not one of this host.
pub fn free_vnc(address: IpAddr, but: &[u16]) -> Result<u16> {
    first(address, but, |_| Ok(Some(()))).map(|(port, ())| port)
}

/// The first free and unclaimed VNC port on an address, from 5900, that is not one of `but`. It is claimed for as long as the lock is held. `command` is
/// shown to other commands that wait for it.
///
/// # Errors
/// As [`free_vnc`], or the runtime folder cannot be written.
pub fn claim_vnc(rt: &Runtime, address: IpAddr, but: &[u16], command: &str) -> Result<(u16, Lock)> {
    let (port, mut lock) = first(address, but, |port| match rt.lock_named(&name(port), Duration::ZERO, command) {
        Ok(lock) => Ok(Some(lock)),
        Err(problem) if problem.code == Kind::NotNow => Ok(None),
        Err(problem) => Err(problem),
    })?;
    // The guest's supervisor shares it before this command releases it.
    lock.share_from_now().map_err(|e| Problem::failed(format!("cannot keep the claim of port {port}")).because(e))?;
    Ok((port, lock))
}

/// Keeps others from choosing the port of a running guest. None if the lock cannot be shared: the guest listens on the port
/// already.
pub(crate) fn keep_vnc(rt: &Runtime, port: u16, command: &str) -> Option<Lock> {
    VNC.contains(&port).then(|| rt.share_named(&name(port), GLANCE, command).ok()).flatten()
}

fn name(port: u16) -> String {
    format!("vnc.{port}")
}

/// The first port that can be claimed and then bound.
fn first<T>(address: IpAddr, but: &[u16], claim: impl Fn(u16) -> Result<Option<T>>) -> Result<(u16, T)> {
    for port in VNC.filter(|port| !but.contains(port)) {
        let Some(claimed) = claim(port)? else { continue };
        match TcpListener::bind((address, port)) {
            Ok(_) => return Ok((port, claimed)),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(e) => {
                return Err(Problem::host_cant(format!("VNC cannot listen on {address}"))
                    .on(address)
                    .because(e)
                    .hint("set vnc_address to an address of this host"));
            }
        }
    }
    Err(Problem::host_cant(format!("no port from {} to {} is free on {address}", VNC.start, VNC.end - 1)).on(address).hint("set vnc_port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        let first = free_vnc(address, &[]).unwrap();
        let _taken = TcpListener::bind((address, first)).unwrap();
        let second = free_vnc(address, &[]).unwrap();
        assert_ne!(second, first);
        // A serial port of the same guest will listen there.
        assert!(![first, second].contains(&free_vnc(address, &[second]).unwrap()));
    }

    #[test]
    fn a_port_that_was_chosen_is_nobody_elses_until_its_guest_has_gone() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path().join("run"));
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        let (one, chosen) = claim_vnc(&rt, address, &[], "chyves start a").unwrap();
        let (two, other) = claim_vnc(&rt, address, &[], "chyves start b").unwrap();
        assert_ne!(one, two);
        let kept = keep_vnc(&rt, one, "a supervisor").unwrap();
        drop((chosen, other));
        let (three, again) = claim_vnc(&rt, address, &[], "chyves start c").unwrap();
        assert_ne!(three, one, "its hypervisor may be between two lives");
        drop((kept, again));
        assert_eq!(std::fs::read_dir(rt.root().join("locks")).unwrap().count(), 0);
    }
}
