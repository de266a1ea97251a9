//! Rows of NICs and of their back ends.

use super::BASE;
use crate::device::NicModel;
use crate::property::choices::Backend;
use crate::property::kind::Kind;
use crate::property::reach::{self, Reach, Reaches};
use crate::property::{Property, Scope, Unset};

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "bridge",
        kind: Kind::Interface,
        unset: Unset::Value("bridge0"),
        summary: "the bridge of NICs that name none",
        detail: "A NIC with the backend bridge and no bridge of its own is attached to this one.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..BASE
    },
    Property {
        key: "net{n}.backend",
        kind: Kind::Choice(Backend::WORDS),
        unset: Unset::Value("auto"),
        summary: "how NIC n reaches the network",
        detail: "user is a user-mode network of the hypervisor, outward only, without privileges on the host; bridge is a tap on a bridge of the host; vale is a port of a VALE switch and netgraph a hook of a netgraph node, both on FreeBSD alone; auto is what the other settings of the NIC name: bridge where a bridge, a tap or a VLAN is set, at whatever level, netgraph or vale where those are; where none is, user on QEMU and bridge on bhyve.",
        reach: Reaches::When { words: "joins a network, unless it is auto", of: reach::backend },
        ..BASE
    },
    Property {
        key: "net{n}.model",
        kind: Kind::Choice(NicModel::WORDS),
        unset: Unset::Value("virtio-net"),
        summary: "the kind of NIC n",
        detail: "virtio-net is the quickest; e1000 works with every guest.",
        aliases: &["bhyve_net_type"],
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "net{n}.bridge",
        kind: Kind::Interface,
        unset: Unset::Derived("from the property bridge"),
        summary: "the bridge of NIC n",
        detail: "Read where the NIC's backend is bridge. Where the backend is auto, a bridge that is set makes it so, on QEMU as well.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..BASE
    },
    Property {
        key: "net{n}.mac",
        kind: Kind::Mac,
        scope: Scope::GuestOnly,
        unset: Unset::Derived("from the guest's uuid and the NIC's number"),
        summary: "the Ethernet address of NIC n",
        detail: "Unset, it is a locally administered address that stays the same as long as the uuid does. One that came with a guest may be that of the gateway or of another machine of this network.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..BASE
    },
    Property {
        key: "net{n}.mtu",
        kind: Kind::Count { min: 576, max: 9216 },
        unset: Unset::Derived("from the bridge"),
        summary: "the largest packet of NIC n",
        detail: "In bytes, without the Ethernet header. Unset, it is what the bridge carries; more than that is refused. The guest gets it where the NIC is virtio-net.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "net{n}.vlan",
        kind: Kind::Count { min: 1, max: 4094 },
        summary: "the VLAN of NIC n on its bridge",
        detail: "The guest sends and receives without a tag; on the bridge, which then filters VLANs, its packets bear this one. FreeBSD has it from 15.0 on; before, give each VLAN a bridge of its own by bridge{n}.vlan.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..BASE
    },
    Property {
        key: "net{n}.tap",
        kind: Kind::Interface,
        scope: Scope::GuestOnly,
        unset: Unset::Derived("from the guest's uuid and the NIC's number"),
        summary: "the tap of NIC n",
        detail: "One of that name that is there and free is used and left; where there is none it is made and removed with the VM. With network_mode=manual it must be there.",
        reach: Reaches::Always(Reach::UsesDevice),
        ..BASE
    },
    Property {
        key: "net{n}.vale",
        kind: Kind::Vale,
        scope: Scope::GuestOnly,
        unset: Unset::Value("vale0"),
        summary: "the VALE switch of NIC n, and its port",
        detail: "Read where the NIC's backend is vale. The port is created when the VM opens it; unset, its name follows from the guest's uuid and the NIC's number.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..BASE
    },
    Property {
        key: "net{n}.netgraph",
        kind: Kind::GraphHook,
        summary: "the netgraph node of NIC n",
        detail: "Read where the NIC's backend is netgraph: the address of an ng_bridge node, as `lan:` (one that is configured, by bridge{n}.type, is made by the start; another must be there), or a hook of it, as `lan:link2`. Without a hook the node chooses a free one.",
        reach: Reaches::Always(Reach::JoinsNetwork),
        ..BASE
    },
    Property {
        key: "net{n}.queues",
        kind: Kind::Count { min: 1, max: 16 },
        unset: Unset::Value("1"),
        summary: "pairs of queues of NIC n",
        detail: "More than one lets a guest with several processors work on the NIC with all of them. QEMU with virtio-net alone; bhyve ignores it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "net{n}.optional",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether the guest may start without NIC n's network",
        detail: "yes lets it start although the bridge or its uplink is missing: the NIC is there, with its link down. no refuses the start.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "net{n}.pci",
        kind: Kind::Place,
        unset: Unset::Derived("from the NIC's number"),
        summary: "the PCI slot of NIC n",
        detail: "Guests name NICs by it; other devices coming and going never move it.",
        reach: Reaches::Never,
        ..BASE
    },
];
