//! The addresses that chyves' own DHCP server has leased to guests.
//!
//! Not here: the server and its settings (`nat`).

use crate::guest::{Backend, NetSpec, backend};
use crate::value::{IfName, Mac};
use crate::vmm::Vmm;
use serde::Serialize;
use std::net::IpAddr;

/// One lease from dnsmasq's file. The host name in it is chosen by the guest and is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The bridge of the server that assigned it.
    pub bridge: IfName,
    /// The MAC address of the NIC.
    pub mac: Mac,
    /// The address.
    pub address: IpAddr,
}

/// A guest's address, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Known {
    /// The NIC.
    pub nic: String,
    /// The address.
    pub address: IpAddr,
    /// The source of the information.
    pub source: &'static str,
}

/// Parses the leases of a bridge that are valid at `now`, in seconds since 1970. Lines of other kinds are skipped.
pub fn parse(bridge: &IfName, text: &str, now: u64) -> Vec<Lease> {
    let one = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (until, mac, address) = (words.next()?.parse::<u64>().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        // 0 stands for an unlimited lease.
        (until == 0 || until > now).then(|| Lease { bridge: bridge.clone(), mac, address })
    };
    text.lines().filter_map(one).collect()
}

/// The leased addresses of a guest's NICs.
pub fn of(leases: &[Lease], nets: &[NetSpec], vmm: Vmm) -> Vec<Known> {
    let on_bridges = nets.iter().filter(|net| backend(net, vmm) == Backend::Bridge);
    on_bridges
        .flat_map(|net| {
            let own = leases.iter().filter(|lease| lease.mac == net.mac && lease.bridge == net.bridge);
            own.map(|lease| Known { nic: format!("net{}", net.number), address: lease.address, source: "lease" })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_leases_are_read_and_other_lines_are_not() {
        let bridge: IfName = "bridge0".parse().unwrap();
        let text = "1000 5e:5a:34:be:1a:f8 10.9.0.140 web01 ff:34:be\n\
                    900 5e:5a:34:be:1a:f9 10.9.0.141 * *\n\
                    0 5e:5a:34:be:1a:fa 10.9.0.142 \u{1b}[2J *\n\
                    duid 00:01\n\
                    1000 77 fd00::9 * 00:01\n\
                    1000 5e:5a:34:be:1a:fb nonsense\n\n1000";
        let read = parse(&bridge, text, 950);
        let shown: Vec<String> = read.iter().map(|lease| format!("{} {}", lease.mac, lease.address)).collect();
        assert_eq!(shown, ["5e:5a:34:be:1a:f8 10.9.0.140", "5e:5a:34:be:1a:fa 10.9.0.142"]);
        let guest = crate::plan::testing::guest("web01", &[("net0.backend", "bridge"), ("net0.mac", "5e:5a:34:be:1a:f8")]);
        let nets = guest.spec().unwrap().nets;
        let known = of(&read, &nets, Vmm::Qemu);
        assert_eq!((known[0].nic.as_str(), known[0].address.to_string().as_str(), known.len()), ("net0", "10.9.0.140", 1));
        // A lease of another bridge's server does not apply.
        let elsewhere: Vec<Lease> = read.into_iter().map(|lease| Lease { bridge: "bridge7".parse().unwrap(), ..lease }).collect();
        assert!(of(&elsewhere, &nets, Vmm::Qemu).is_empty());
    }
}
