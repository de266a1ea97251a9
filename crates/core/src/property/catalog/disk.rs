//! Rows of disks.

use super::BASE;
use crate::property::choices::{Bus, DiskKind};
use crate::property::kind::Kind;
use crate::property::reach::{Reach, Reaches};
use crate::property::{Access, Effect, Property, Scope, Unset};

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "disk{n}.kind",
        kind: Kind::Choice(DiskKind::WORDS),
        scope: Scope::GuestOnly,
        access: Access::Kept("`chyves create` and `chyves disk`"),
        summary: "what disk n is",
        detail: "raw is a file in the guest's own file system, zvol a volume below it, attached a file, volume or device outside of the guest.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "disk{n}.source",
        scope: Scope::GuestOnly,
        access: Access::Kept("`chyves disk add --attach`"),
        summary: "the path of attached disk n",
        detail: "A path. chyves neither snapshots, clones nor destroys what is attached.",
        reach: Reaches::Always(Reach::NamesPath),
        ..BASE
    },
    Property {
        key: "disk{n}.size",
        kind: Kind::Space,
        scope: Scope::GuestOnly,
        access: Access::Kept("`chyves create` and `chyves disk`"),
        summary: "the recorded size of disk n",
        detail: "`chyves disk list GUEST` shows where the disk has another by now, and `chyves disk sync` records it. As the guest sees it; what it takes on the pool is often less.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "disk{n}.bus",
        kind: Kind::Choice(Bus::WORDS),
        unset: Unset::Value("virtio-blk"),
        summary: "what disk n is attached to",
        detail: "virtio-blk is the quickest; ahci-hd works with every guest; nvme suits Windows. QEMU pauses a guest that cannot write a disk, but not for one on nvme.",
        aliases: &["bhyve_disk_type"],
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "disk{n}.options",
        kind: Kind::DiskOptions,
        summary: "options of disk n's back end",
        detail: "Parted by commas: ro, nocache, direct, nodelete, sectorsize=512/4096. Under QEMU a volume that is written to is past the host's cache (nocache) in any case.",
        aliases: &["virtio_block_options_disk{n}"],
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "disk{n}.serial",
        kind: Kind::DiskSerial,
        scope: Scope::GuestOnly,
        unset: Unset::Derived("from the guest's uuid and the disk's number"),
        summary: "the serial number of disk n",
        detail: "At most 20 letters and digits. Guests name disks by it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "disk{n}.pci",
        kind: Kind::Place,
        unset: Unset::Derived("from the disk's number"),
        summary: "the PCI slot of disk n",
        detail: "Other disks and NICs coming and going never move it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "disk{n}.description",
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        summary: "what disk n is for",
        detail: "One line.",
        aliases: &["disk{n}_description"],
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "disk{n}.notes",
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        summary: "notes about disk n",
        detail: "One line.",
        aliases: &["disk{n}_notes"],
        reach: Reaches::Never,
        ..BASE
    },
];
