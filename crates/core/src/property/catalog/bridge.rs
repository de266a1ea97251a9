//! Rows of the host's bridges and of the network mode.

use super::BASE;
use crate::property::kind::Kind;
use crate::property::reach::{self, Reach, Reaches};
use crate::property::{Effect, Property, Scope, Unset};

/// A setting of the host, on the primary pool's root.
const GLOBAL: Property = Property { scope: Scope::Global, effect: Effect::Now, ..BASE };

/// A setting of a bridge of the host: takes effect when the bridge is created, verified or applied.
const OF_BRIDGE: Property = Property { scope: Scope::Global, effect: Effect::Apply, ..BASE };

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "network_mode",
        aliases: &["network_design_mode"],
        kind: Kind::DesignMode,
        unset: Unset::Value("system"),
        summary: "who makes bridges, VLANs and taps",
        detail: "system: chyves makes what guests need when they start, verifies it, and removes it with the last of them. manual: you make it; chyves attaches guests to it, verifies it, creates nothing and reports what is missing. auto is accepted for system; what the program of 2016 called system is manual here.",
        reach: Reaches::Never,
        ..GLOBAL
    },
    Property {
        key: "bridge{n}.name",
        kind: Kind::Interface,
        unset: Unset::Derived("bridge and the number"),
        summary: "the interface that bridge n is",
        detail: "Any name that the host's kernel takes: lan, br-dmz.",
        reach: Reaches::Always(Reach::UsesDevice),
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.type",
        kind: Kind::Choice(&["bridge", "netgraph"]),
        unset: Unset::Value("bridge"),
        summary: "the kind of bridge n",
        detail: "bridge is an interface that bridges, which guests reach by taps. netgraph is an ng_bridge node, on FreeBSD alone, which NICs with net{n}.backend=netgraph reach by net{n}.netgraph; it takes an uplink, a VLAN of one or none, and has no address, MTU, filtering, nat or dhcp.",
        aliases: &["bridge{n}.kind"],
        reach: Reaches::Never,
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.uplink",
        kind: Kind::Interface,
        summary: "the uplink of bridge n",
        detail: "A physical interface, an aggregate, a VLAN, one end of a pair. It becomes a member of the bridge. A pair that is named as FreeBSD names them, epair0a or epair0b, is made where there is none, and goes when both its ends are free. Its own addresses belong on the bridge then; see bridge{n}.address.",
        aliases: &["bridge{n}_phy_attach"],
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.vlan",
        kind: Kind::Count { min: 1, max: 4094 },
        summary: "the VLAN of the uplink that bridge n is on",
        detail: "The VLAN interface of the uplink with this tag becomes the member; it is made where there is none.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.private",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether bridge n is private",
        detail: "yes: it has no uplink, and guests on it reach each other alone, and the host where that has an address on it.",
        reach: Reaches::Never,
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.mtu",
        kind: Kind::Count { min: 576, max: 9216 },
        unset: Unset::Derived("from the uplink"),
        summary: "the largest packet on bridge n",
        detail: "The uplink must be able to carry it. Taps get the same.",
        reach: Reaches::Never,
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.address",
        kind: Kind::Cidr,
        summary: "the address of the host on bridge n",
        detail: "With its prefix, as 10.0.0.1/24. Where the uplink has this address, all its addresses move to the bridge, with the routes that go by them, and go back when the uplink leaves the bridge.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.address6",
        kind: Kind::Cidr,
        summary: "a second address of the host on bridge n",
        detail: "With its prefix, as fd00::1/64.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.filtering",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether bridge n filters VLANs",
        detail: "Switched on by itself where a NIC with net{n}.vlan is attached. FreeBSD has it from 15.0 on.",
        reach: Reaches::Never,
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.nat",
        kind: Kind::Interface,
        summary: "the interface that bridge n uses for NAT",
        detail: "For a laptop, or an uplink that cannot be bridged such as a wireless one. The bridge is then private, has an address, and what guests send leaves by this interface. Linux gets a table of its own in nftables; for FreeBSD `chyves network nat` prints the anchor for pf.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.dhcp",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether guests on bridge n get addresses and names from this host",
        detail: "By a dnsmasq of its own, in chyves' runtime folder; it must be installed, and the bridge needs an address.",
        reach: Reaches::When { words: "runs a program, where it is yes", of: reach::dhcp },
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.description",
        effect: Effect::Now,
        summary: "what bridge n is for",
        detail: "One line.",
        reach: Reaches::Never,
        ..OF_BRIDGE
    },
];
