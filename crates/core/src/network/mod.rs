//! The host's networks: the desired configuration, the actual state, and the differences.
//!
//! * [`design`]: the desired configuration of bridges, from the host's settings
//! * [`actual`]: the existing interfaces, with the kinds that the operating system reports
//! * [`address`]: the host's addresses on them, and routes through them
//! * [`observe`]: the commands that list them, and parsing their output
//! * [`compare`]: the differences
//! * [`graph`]: netgraph nodes, and which of them chyves created
//! * [`uplink`]: the uplinks of bridges
//! * [`wiring`]: the differences of netgraph bridges
//! * [`prove`]: conditions to check after changes
//! * [`leases`]: the addresses that the DHCP server has leased to guests
//! * [`neighbours`]: neighbour entries set by hand, which keep addresses from being moved
//! * [`loopback`]: the rules that keep guests on user-mode networking from the host's loopback interface
//! * [`nat`]: NAT rules, and the configuration of the DHCP and DNS server
//!
//! Not here: the steps that close a difference (`plan::network`), the NICs that a guest sees (`device::nic`).

pub mod actual;
pub mod address;
pub mod compare;
pub mod design;
pub mod graph;
pub mod leases;
pub mod loopback;
pub mod nat;
pub mod neighbours;
pub mod observe;
pub mod prove;
pub mod routes;
mod uplink;
pub mod wiring;

pub use actual::{Actual, IfKind, Interface};
pub use design::{BridgeSpec, Design, Mode};
pub use prove::Proof;

/// The mark of a bridge or VLAN that the start of a guest created: it is removed with the last guest that uses it.
pub const STARTED: &str = "chyves/network/started";

/// The mark of a bridge or VLAN that a network command created: it is permanent.
pub const APPLIED: &str = "chyves/network/applied";

/// Whether the mark of an interface shows that chyves created it.
pub fn is_ours(mark: &str) -> bool {
    mark == STARTED || mark == APPLIED || crate::os::taps::owner(mark).is_some()
}

/// The default MTU of an Ethernet interface.
pub const USUAL_MTU: u32 = 1500;

/// Maximum number of ports of a Linux bridge.
pub const LINUX_PORTS: usize = 1023;

/// The highest unit number of an interface that FreeBSD's kernel assigns; also the maximum number of taps that chyves
/// creates.
pub const MOST_UNITS: u32 = 32767;
