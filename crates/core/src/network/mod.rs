//! The host's networks: what is wanted of them, what is there, and where the two differ.
//!
//! * [`design`]: what the settings of the host say of its bridges
//! * [`actual`]: the interfaces that are there, of kinds that the host itself tells
//! * [`address`]: the host's addresses on them, and routes by them
//! * [`observe`]: the question for them, and the reading of the answer
//! * [`compare`]: the differences
//! * [`graph`]: nodes of netgraph, and which of them chyves made
//! * [`uplink`]: the interfaces by which bridges lead out
//! * [`wiring`]: the differences of bridges that are such nodes
//! * [`prove`]: what must be so after something was done
//! * [`leases`]: the addresses that this server has given to guests
//! * [`nat`]: rules for guests that hide behind the host's address, and settings of the server of their addresses
//!
//! Not here: the steps that close a difference (`plan::network`), the NICs that a guest sees (`device::nic`).

pub mod actual;
pub mod address;
pub mod compare;
pub mod design;
pub mod graph;
pub mod leases;
pub mod nat;
pub mod observe;
pub mod prove;
mod uplink;
pub mod wiring;

pub use actual::{Actual, IfKind, Interface};
pub use design::{BridgeSpec, Design, Mode};
pub use prove::Proof;

/// What is written on a bridge or VLAN that the start of a guest made: it goes with the last guest on it.
pub const STARTED: &str = "chyves/network/started";

/// What is written on a bridge or VLAN that a command on networks made: it stays.
pub const APPLIED: &str = "chyves/network/applied";

/// Whether the text on an interface says that chyves made it.
pub fn is_ours(mark: &str) -> bool {
    mark == STARTED || mark == APPLIED || crate::os::taps::owner(mark).is_some()
}

/// What an interface of Ethernet carries that nobody has told anything else.
pub const USUAL_MTU: u32 = 1500;

/// The most ports that a bridge of Linux takes.
pub const LINUX_PORTS: usize = 1023;

/// The highest number in the name of an interface that FreeBSD's kernel gives; also the most taps that chyves makes.
pub const MOST_UNITS: u32 = 32767;
