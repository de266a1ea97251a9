//! TCP ports, claimed by trying.

use chyves_core::error::{Problem, Result};
use std::net::{IpAddr, TcpListener};

/// The first port that VNC can have on an address, from 5900. QEMU and bhyve fail if somebody is quicker.
///
/// # Errors
/// None of a hundred is free, or the address is not this host's.
pub fn free_vnc(address: IpAddr) -> Result<u16> {
    for port in 5900..6000 {
        match TcpListener::bind((address, port)) {
            Ok(_) => return Ok(port),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(e) => {
                return Err(Problem::host_cant(format!("VNC can't listen on {address}"))
                    .on(address)
                    .because(e)
                    .hint("set uefi_vnc_ip to an address of this host"));
            }
        }
    }
    Err(Problem::host_cant(format!("no port from 5900 to 5999 is free on {address}")).on(address).hint("set uefi_vnc_port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        let first = free_vnc(address).unwrap();
        let _taken = TcpListener::bind((address, first)).unwrap();
        assert_ne!(free_vnc(address).unwrap(), first);
    }
}
