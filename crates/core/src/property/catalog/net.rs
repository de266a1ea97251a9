//! Rows of network cards and of what they are plugged into.

use super::BASE;
use crate::property::kind::Kind;
use crate::property::{Property, Scope, Unset};

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "bridge",
        kind: Kind::Interface,
        unset: Unset::Value("bridge0"),
        summary: "the bridge of cards that name none",
        detail: "A card with the backend bridge and no bridge of its own is attached to this one.",
        ..BASE
    },
    Property {
        key: "net{n}.backend",
        kind: Kind::Choice(&["auto", "user", "bridge"]),
        unset: Unset::Value("auto"),
        summary: "how card n reaches the network",
        detail: "user is a network of the hypervisor's own, outward only, without rights on the host; bridge is a tap on a bridge of the host; auto is user on QEMU and bridge on bhyve.",
        ..BASE
    },
    Property {
        key: "net{n}.model",
        kind: Kind::Choice(&["virtio-net", "e1000"]),
        unset: Unset::Value("virtio-net"),
        summary: "the kind of card n",
        detail: "virtio-net is the quickest; e1000 works with every guest.",
        aliases: &["bhyve_net_type"],
        ..BASE
    },
    Property {
        key: "net{n}.bridge",
        kind: Kind::Interface,
        unset: Unset::Derived("from the property bridge"),
        summary: "the bridge of card n",
        detail: "Read where the card's backend is bridge.",
        ..BASE
    },
    Property {
        key: "net{n}.mac",
        kind: Kind::Mac,
        scope: Scope::GuestOnly,
        unset: Unset::Derived("from the guest's uuid and the card's number"),
        summary: "the Ethernet address of card n",
        detail: "Unset, it is a locally administered address that stays the same as long as the uuid does.",
        ..BASE
    },
    Property {
        key: "net{n}.mtu",
        kind: Kind::Count { min: 576, max: 9216 },
        unset: Unset::Value("1500"),
        summary: "the largest packet of card n",
        detail: "In bytes, without the Ethernet header.",
        ..BASE
    },
    Property {
        key: "net{n}.pci",
        kind: Kind::Place,
        unset: Unset::Derived("from the card's number"),
        summary: "where card n stands on the guest's PCI bus",
        detail: "Guests name cards by it; other devices coming and going never move it.",
        ..BASE
    },
];
