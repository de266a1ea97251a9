//! One row a property. The order here is the order of `get all` and of the manual.

use super::kind::Kind;
use super::{Access, Effect, Property, Scope, Unset};

/// A row with what most rows have: free to set on guests and defaults, felt at the next start, in the first version.
const BASE: Property = Property {
    key: "",
    scope: Scope::Guest,
    kind: Kind::Text,
    unset: Unset::Nothing,
    effect: Effect::Start,
    access: Access::Free,
    summary: "",
    detail: "",
    since: "0.3",
    aliases: &[],
};

/// What chyves keeps about a guest itself.
const KEPT: Property = Property { scope: Scope::GuestOnly, effect: Effect::Now, ..BASE };

/// A setting of the host, on the primary pool's root.
const GLOBAL: Property = Property { scope: Scope::Global, effect: Effect::Now, ..BASE };

/// A setting of a bridge of the host: felt when the bridge is made, verified or applied.
const OF_BRIDGE: Property = Property { scope: Scope::Global, effect: Effect::Apply, ..BASE };

/// What chyves keeps about an image.
const IMAGE: Property = Property { scope: Scope::Image, access: Access::Kept("`chyves image import`"), effect: Effect::Now, ..BASE };

/// What chyves keeps about a pool.
const POOL: Property = Property { scope: Scope::Pool, access: Access::Kept("`chyves pool`"), effect: Effect::Now, ..BASE };

/// The row that stands for the user's own keys, `x.…`.
pub static ANNOTATION: Property = Property {
    key: "x.…",
    effect: Effect::Now,
    summary: "a note of your own",
    detail: "Any key that begins with `x.` is yours: chyves keeps, shows, copies and restores it and never reads it.",
    ..BASE
};

/// Every property.
pub static ALL: &[Property] = &[
    Property {
        key: "uuid",
        kind: Kind::Uuid,
        unset: Unset::Derived("random, made with the guest"),
        access: Access::Kept("`chyves create` and `chyves clone`"),
        summary: "the guest's identity",
        detail: "SMBIOS shows it to the guest. Card addresses and disk serials derive from it unless they are set, so they survive renaming, moving and other devices coming and going.",
        ..KEPT
    },
    Property {
        key: "cpu",
        kind: Kind::Count { min: 1, max: 254 },
        unset: Unset::Value("1"),
        summary: "virtual processors",
        detail: "They are shown to the guest as cores of one socket unless cpu_sockets and cpu_threads say otherwise.",
        aliases: &["cpus", "vcpus"],
        ..BASE
    },
    Property {
        key: "cpu_sockets",
        kind: Kind::Count { min: 1, max: 254 },
        unset: Unset::Value("1"),
        summary: "sockets that the processors are spread over",
        detail: "The product of sockets, cores and threads must be cpu, so it must divide it.",
        ..BASE
    },
    Property {
        key: "cpu_threads",
        kind: Kind::Count { min: 1, max: 254 },
        unset: Unset::Value("1"),
        summary: "threads in each core",
        detail: "The product of sockets, cores and threads must be cpu, so it must divide it.",
        ..BASE
    },
    Property {
        key: "ram",
        kind: Kind::Memory,
        unset: Unset::Value("256M"),
        summary: "memory",
        detail: "The least is 32M. The host gives memory to a running guest only as the guest touches it.",
        aliases: &["memory", "mem"],
        ..BASE
    },
    Property {
        key: "loader",
        kind: Kind::Choice(&["uefi", "bios", "bhyveload", "grub-bhyve"]),
        unset: Unset::Value("uefi"),
        summary: "how the guest boots",
        detail: "uefi works on both hypervisors and keeps the firmware's variables with the guest. bios is QEMU's alone; bhyveload (FreeBSD guests) and grub-bhyve are bhyve's alone.",
        ..BASE
    },
    Property {
        key: "os",
        kind: Kind::Choice(&[
            "default", "freebsd", "linux", "windows", "openbsd", "netbsd", "illumos", "other", "arch", "centos6", "centos7", "coreos",
            "custom", "d8lvm", "debian", "gentoo",
        ]),
        unset: Unset::Value("default"),
        summary: "the guest's operating system",
        detail: "With grub-bhyve it chooses the boot recipe; elsewhere it is a note.",
        ..BASE
    },
    Property {
        key: "accel",
        kind: Kind::Choice(&["auto", "kvm", "tcg"]),
        unset: Unset::Value("auto"),
        summary: "how QEMU runs the guest's instructions",
        detail: "auto takes KVM where it really runs guests, which is tried once after each boot of the host, and emulation (tcg) elsewhere. kvm makes its absence an error. bhyve ignores it.",
        ..BASE
    },
    Property {
        key: "rtc",
        kind: Kind::Choice(&["utc", "localtime"]),
        unset: Unset::Value("utc"),
        summary: "what the guest's clock chip shows",
        detail: "Windows expects localtime, everything else utc.",
        ..BASE
    },
    Property {
        key: "bargs",
        kind: Kind::Words,
        summary: "more arguments for bhyve",
        detail: "Split into words at blanks; quotes keep blanks together; nothing is expanded. They stand before chyves' own arguments.",
        ..BASE
    },
    Property {
        key: "qargs",
        kind: Kind::Words,
        summary: "more arguments for QEMU",
        detail: "Split as bargs is. They stand behind chyves' own arguments.",
        ..BASE
    },
    Property {
        key: "auto_load_kernel_mods",
        kind: Kind::YesNo,
        unset: Unset::Value("yes"),
        summary: "whether a start may load kernel modules",
        detail: "On FreeBSD. Where it may not, or can't (in a jail, or with a securelevel above 0), a start that misses one fails and tells the line for /etc/rc.conf.",
        ..BASE
    },
    Property {
        key: "rcboot",
        kind: Kind::Count { min: 0, max: 9999 },
        unset: Unset::Value("0"),
        effect: Effect::Now,
        summary: "whether the guest starts with the host",
        detail: "0 is no; guests with higher numbers start earlier.",
        aliases: &["boot", "autostart"],
        ..BASE
    },
    Property {
        key: "stop_timeout",
        kind: Kind::Seconds { min: 1, max: 86400 },
        unset: Unset::Value("90"),
        effect: Effect::Now,
        summary: "how long a stop waits for the guest",
        detail: "In seconds. The guest is asked by the ACPI power button again and again until it is off; when the time is over, stop fails, or pulls the plug with `--force`.",
        ..BASE
    },
    Property {
        key: "on_reboot",
        kind: Kind::Choice(&["restart", "stop"]),
        unset: Unset::Value("restart"),
        summary: "what follows the guest's own reboot",
        detail: "restart starts it again with its settings as they are then; stop leaves it off.",
        ..BASE
    },
    Property {
        key: "on_crash",
        kind: Kind::Choice(&["stop", "restart"]),
        unset: Unset::Value("stop"),
        summary: "what follows a crash",
        detail: "A crash is a triple fault, an error of the hypervisor or its death by a signal. restart tries again with growing pauses and gives up after a few crashes in a row; the state is then crashed.",
        ..BASE
    },
    Property {
        key: "eject_iso_on_n_reboot",
        kind: Kind::Count { min: 0, max: 9999 },
        unset: Unset::Value("1"),
        summary: "at which reboot the ISO of `start --iso` is taken out",
        detail: "Counted from the start. Installers reboot once when they are done, so the default is 1; 0 leaves the ISO in until the guest is off. The drive stays, empty.",
        ..BASE
    },
    Property {
        key: "revert_to_snapshot",
        kind: Kind::Snapshot,
        summary: "the snapshot that the guest goes back to",
        detail: "Its disks, firmware variables and logs become what they were; settings stay as they are. It must be the guest's newest snapshot, since going back destroys newer ones.",
        ..BASE
    },
    Property {
        key: "revert_to_snapshot_method",
        kind: Kind::Choice(&["off", "start", "reboot", "both"]),
        unset: Unset::Value("off"),
        summary: "when the guest goes back to revert_to_snapshot",
        detail: "start is before each `chyves start` and at no reboot; reboot is after each reboot of the guest. What was written since the snapshot is lost. A guest that can't go back is not started, or ends as crashed.",
        ..BASE
    },
    Property {
        key: "console_log_limit",
        kind: Kind::Space,
        unset: Unset::Value("1M"),
        summary: "how much of the serial console is kept",
        detail: "In the guest's own file system, in logs/console.log and one older part.",
        ..BASE
    },
    Property {
        key: "uefi_console_output",
        kind: Kind::Choice(&["serial", "vnc"]),
        unset: Unset::Value("serial"),
        summary: "whether the guest has a screen",
        detail: "vnc adds a screen that is reached by VNC; the serial console stays.",
        ..BASE
    },
    Property {
        key: "uefi_vnc_ip",
        kind: Kind::Address,
        unset: Unset::Value("127.0.0.1"),
        summary: "the address that VNC listens on",
        detail: "The default is reachable from the host alone; tunnel to it with ssh -L.",
        ..BASE
    },
    Property {
        key: "uefi_vnc_port",
        kind: Kind::Count { min: 0, max: 65535 },
        unset: Unset::Value("0"),
        summary: "the port that VNC listens on",
        detail: "0 takes the first free one from 5900. QEMU takes ports from 5900 alone.",
        ..BASE
    },
    Property {
        key: "uefi_vnc_res",
        kind: Kind::Resolution,
        unset: Unset::Value("1024x768"),
        summary: "the size of the screen",
        detail: "Width and height in pixels, from 640x480 to 3840x2160.",
        ..BASE
    },
    Property {
        key: "uefi_vnc_mouse_type",
        kind: Kind::Choice(&["ps2", "usb3"]),
        unset: Unset::Value("usb3"),
        summary: "the pointer that the screen has",
        detail: "usb3 is a tablet, whose pointer follows yours; ps2 is for guests without a driver for it.",
        ..BASE
    },
    Property {
        key: "bridge",
        kind: Kind::Interface,
        unset: Unset::Value("bridge0"),
        summary: "the bridge of cards that name none",
        detail: "A card with the backend bridge and no bridge of its own is attached to this one.",
        ..BASE
    },
    Property {
        key: "disk{n}.kind",
        kind: Kind::Choice(&["raw", "zvol", "attached"]),
        scope: Scope::GuestOnly,
        access: Access::Kept("`chyves create` and `chyves disk`"),
        summary: "what disk n is",
        detail: "raw is a file in the guest's own file system, zvol a volume below it, attached a file, volume or device that stands elsewhere.",
        ..BASE
    },
    Property {
        key: "disk{n}.source",
        scope: Scope::GuestOnly,
        access: Access::Kept("`chyves disk add --attach`"),
        summary: "where an attached disk n stands",
        detail: "A path. chyves neither snapshots, clones nor destroys what is attached.",
        ..BASE
    },
    Property {
        key: "disk{n}.size",
        kind: Kind::Space,
        scope: Scope::GuestOnly,
        access: Access::Kept("`chyves create` and `chyves disk`"),
        summary: "the size of disk n",
        detail: "As the guest sees it; what it takes on the pool is often less.",
        ..BASE
    },
    Property {
        key: "disk{n}.bus",
        kind: Kind::Choice(&["virtio-blk", "ahci-hd", "nvme"]),
        unset: Unset::Value("virtio-blk"),
        summary: "what disk n is attached to",
        detail: "virtio-blk is the quickest; ahci-hd works with every guest; nvme suits Windows.",
        aliases: &["bhyve_disk_type"],
        ..BASE
    },
    Property {
        key: "disk{n}.options",
        kind: Kind::DiskOptions,
        summary: "options of disk n's back end",
        detail: "Parted by commas: ro, nocache, direct, nodelete, sectorsize=512/4096.",
        aliases: &["virtio_block_options_disk{n}"],
        ..BASE
    },
    Property {
        key: "disk{n}.serial",
        kind: Kind::DiskSerial,
        scope: Scope::GuestOnly,
        unset: Unset::Derived("from the guest's uuid and the disk's number"),
        summary: "the serial number of disk n",
        detail: "At most 20 letters and digits. Guests name disks by it.",
        ..BASE
    },
    Property {
        key: "disk{n}.pci",
        kind: Kind::Place,
        unset: Unset::Derived("from the disk's number"),
        summary: "where disk n stands on the guest's PCI bus",
        detail: "Other disks and cards coming and going never move it.",
        ..BASE
    },
    Property {
        key: "disk{n}.description",
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        summary: "what disk n is for",
        detail: "A line for people.",
        aliases: &["disk{n}_description"],
        ..BASE
    },
    Property {
        key: "disk{n}.notes",
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        summary: "notes about disk n",
        detail: "A line for people.",
        aliases: &["disk{n}_notes"],
        ..BASE
    },
    Property {
        key: "net{n}.backend",
        kind: Kind::Choice(&["auto", "user", "bridge", "vale", "netgraph"]),
        unset: Unset::Value("auto"),
        summary: "how card n reaches the network",
        detail: "user is a network of the hypervisor's own, outward only, without rights on the host; bridge is a tap on a bridge of the host; vale is a port of a VALE switch and netgraph a hook of a netgraph node, both on FreeBSD alone; auto is user on QEMU and bridge on bhyve.",
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
        unset: Unset::Derived("from the bridge"),
        summary: "the largest packet of card n",
        detail: "In bytes, without the Ethernet header. Unset, it is what the bridge carries; more than that is refused. The guest is told of it where the card is virtio-net.",
        ..BASE
    },
    Property {
        key: "net{n}.vlan",
        kind: Kind::Count { min: 1, max: 4094 },
        summary: "the VLAN of card n on its bridge",
        detail: "The guest sends and receives without a tag; on the bridge, which then filters VLANs, its packets bear this one. FreeBSD has it from 15.0 on; before, give each VLAN a bridge of its own by bridge{n}.vlan.",
        ..BASE
    },
    Property {
        key: "net{n}.tap",
        kind: Kind::Interface,
        scope: Scope::GuestOnly,
        unset: Unset::Derived("from the guest's uuid and the card's number"),
        summary: "the tap of card n",
        detail: "One of that name that is there and free is used and left; where there is none it is made and removed with the machine. With network_design_mode=manual it must be there.",
        ..BASE
    },
    Property {
        key: "net{n}.vale",
        kind: Kind::Vale,
        scope: Scope::GuestOnly,
        unset: Unset::Value("vale0"),
        summary: "the VALE switch of card n, and its port",
        detail: "Read where the card's backend is vale. The port is made when the machine opens it; unset, its name follows from the guest's uuid and the card's number.",
        ..BASE
    },
    Property {
        key: "net{n}.netgraph",
        kind: Kind::GraphHook,
        summary: "the netgraph node of card n",
        detail: "Read where the card's backend is netgraph: the address of an ng_bridge node, which must be there, as `lan:`, or a hook of it, as `lan:link2`. Without a hook the node chooses a free one.",
        ..BASE
    },
    Property {
        key: "net{n}.queues",
        kind: Kind::Count { min: 1, max: 16 },
        unset: Unset::Value("1"),
        summary: "pairs of queues of card n",
        detail: "More than one lets a guest with several processors work on the card with all of them. QEMU with virtio-net alone; bhyve ignores it.",
        ..BASE
    },
    Property {
        key: "net{n}.optional",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether the guest may start without card n's network",
        detail: "yes lets it start although the bridge or its uplink is missing: the card is there, with its cable unplugged. no refuses the start.",
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
    Property {
        key: "pcidev_{n}",
        kind: Kind::Text,
        summary: "any other device of bhyve",
        detail: "Written as bhyve's -s takes it without the place: virtio-9p,share=/usr/share or passthru,2/0/0.",
        ..BASE
    },
    Property {
        key: "description",
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        summary: "what the guest is for",
        detail: "A line for people; lists show it.",
        ..BASE
    },
    Property {
        key: "notes",
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        summary: "notes about the guest",
        detail: "A line for people.",
        ..BASE
    },
    Property {
        key: "template",
        kind: Kind::YesNo,
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        unset: Unset::Value("no"),
        summary: "whether the guest is only cloned from",
        detail: "A template is never started, its file system and volumes are read-only, and it is neither rolled back nor deleted.",
        ..BASE
    },
    Property {
        key: "owner",
        kind: Kind::Uuid,
        access: Access::Kept("`chyves create`, `chyves clone` and `chyves adopt`"),
        summary: "the host that may start the guest",
        detail: "The host id of a pool's root. A guest that another host owns, or that was received with a stream, is foreign: it is shown and never started until it is adopted.",
        ..KEPT
    },
    Property {
        key: "epoch",
        kind: Kind::Count { min: 1, max: u32::MAX },
        access: Access::Kept("`chyves adopt`"),
        summary: "how often the owner changed",
        detail: "Raised at each change, so that of two copies the later owner's can be told.",
        ..KEPT
    },
    Property {
        key: "created",
        kind: Kind::Text,
        access: Access::Kept("`chyves create` and `chyves clone`"),
        summary: "when the guest was made",
        detail: "UTC, in the form 2026-01-31T12:00:00Z.",
        aliases: &["creation"],
        ..KEPT
    },
    Property {
        key: "cloned_from",
        kind: Kind::Text,
        access: Access::Kept("`chyves clone`"),
        summary: "the guest and snapshot that this is a clone of",
        detail: "As it was called when the clone was made.",
        ..KEPT
    },
    Property {
        key: "image",
        kind: Kind::Image,
        access: Access::Kept("`chyves create`"),
        summary: "the image that disk 0 was made from",
        detail: "As it was called when the guest was made.",
        ..KEPT
    },
    Property {
        key: "name",
        kind: Kind::Guest,
        access: Access::Kept("`chyves delete` and `chyves disk remove`"),
        summary: "the name that a deleted guest had",
        detail: "Set while it lies in the trash.",
        ..KEPT
    },
    Property {
        key: "group",
        kind: Kind::Text,
        access: Access::Kept("`chyves delete`"),
        summary: "the group that a deleted guest was in",
        detail: "Set while it lies in the trash.",
        ..KEPT
    },
    Property {
        key: "removed_from",
        kind: Kind::Uuid,
        access: Access::Kept("`chyves disk remove`"),
        summary: "the guest that a removed disk was taken from",
        detail: "Set on a disk that lies in the trash.",
        ..KEPT
    },
    Property {
        key: "deleted",
        kind: Kind::Text,
        access: Access::Kept("`chyves delete` and `chyves disk remove`"),
        summary: "when the guest was deleted",
        detail: "UTC; set while it lies in the trash.",
        ..KEPT
    },
    Property {
        key: "snapshot.taken",
        kind: Kind::Text,
        access: Access::Kept("`chyves snapshot`"),
        summary: "when a snapshot of chyves was taken",
        detail: "UTC; on the snapshot. It also says that the settings on the snapshot are whole.",
        ..KEPT
    },
    Property {
        key: "snapshot.live",
        kind: Kind::YesNo,
        access: Access::Kept("`chyves snapshot`"),
        summary: "whether the guest ran while a snapshot was taken",
        detail: "On the snapshot. The disks are then as after a power cut.",
        ..KEPT
    },
    Property {
        key: "snapshot.for",
        kind: Kind::Choice(&["clone"]),
        access: Access::Kept("`chyves clone`"),
        summary: "what chyves took a snapshot for by itself",
        detail: "On the snapshot. One that was taken for a clone goes with the last clone that stands on it.",
        ..KEPT
    },
    Property {
        key: "network_design_mode",
        kind: Kind::DesignMode,
        unset: Unset::Value("system"),
        summary: "who makes bridges, VLANs and taps",
        detail: "system: chyves makes what guests need when they start, verifies it, and removes it with the last of them. manual: you make it; chyves attaches guests to it, verifies it, creates nothing and says what is missing. auto is accepted for system; what the program of 2016 called system is manual here.",
        ..GLOBAL
    },
    Property {
        key: "bridge{n}.name",
        kind: Kind::Interface,
        unset: Unset::Derived("bridge and the number"),
        summary: "the interface that bridge n is",
        detail: "Any name that the host's kernel takes: lan, br-dmz.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.uplink",
        kind: Kind::Interface,
        summary: "the interface by which bridge n leads out of the host",
        detail: "A physical interface, an aggregate, a VLAN. It becomes a member of the bridge. Its own addresses belong on the bridge then; see bridge{n}.address.",
        aliases: &["bridge{n}_phy_attach"],
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.vlan",
        kind: Kind::Count { min: 1, max: 4094 },
        summary: "the VLAN of the uplink that bridge n is on",
        detail: "The VLAN interface of the uplink with this tag becomes the member; it is made where there is none.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.private",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether bridge n leads nowhere",
        detail: "yes: it has no uplink, and guests on it reach each other alone, and the host where that has an address on it.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.mtu",
        kind: Kind::Count { min: 576, max: 9216 },
        unset: Unset::Derived("from the uplink"),
        summary: "the largest packet on bridge n",
        detail: "The uplink must be able to carry it. Taps get the same.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.address",
        kind: Kind::Cidr,
        summary: "the address of the host on bridge n",
        detail: "With its prefix, as 10.0.0.1/24. Where the uplink has this address it moves from there, with the default route.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.address6",
        kind: Kind::Cidr,
        summary: "a second address of the host on bridge n",
        detail: "With its prefix, as fd00::1/64.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.filtering",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether bridge n keeps VLANs apart",
        detail: "Switched on by itself where a card with net{n}.vlan is attached. FreeBSD has it from 15.0 on.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.nat",
        kind: Kind::Interface,
        summary: "the interface behind whose address guests on bridge n hide",
        detail: "For a laptop, or an uplink that can't be bridged such as a wireless one. The bridge is then private, has an address, and what guests send leaves by this interface. Linux gets a table of its own in nftables; for FreeBSD `chyves network nat` prints the anchor for pf.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.dhcp",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether guests on bridge n get addresses and names from this host",
        detail: "By a dnsmasq of its own, in chyves' runtime folder; it must be installed, and the bridge needs an address.",
        ..OF_BRIDGE
    },
    Property {
        key: "bridge{n}.description",
        effect: Effect::Now,
        summary: "what bridge n is for",
        detail: "A line for people.",
        ..OF_BRIDGE
    },
    Property {
        key: "layout",
        kind: Kind::Count { min: 1, max: 9999 },
        summary: "the version of the datasets' layout",
        detail: "On a pool's root, and what roots are found by.",
        ..POOL
    },
    Property {
        key: "role",
        kind: Kind::Choice(&["primary", "secondary", "offline"]),
        summary: "what the pool is to chyves",
        detail: "The primary pool also holds images and global settings; an offline one is left alone.",
        ..POOL
    },
    Property {
        key: "host",
        kind: Kind::Uuid,
        summary: "the host that the pool's guests belong to",
        detail: "Made with the pool's root.",
        ..POOL
    },
    Property {
        key: "group_levels",
        kind: Kind::Count { min: 0, max: 8 },
        unset: Unset::Value("0"),
        access: Access::Free,
        summary: "how deep groups of guests are nested",
        detail: "A group is a dataset between guests and its guests. Readers look no deeper than this says.",
        ..POOL
    },
    Property {
        key: "image.kind",
        kind: Kind::Choice(&["disk", "iso", "firmware"]),
        summary: "what the image is",
        detail: "Told by its content when it was imported.",
        ..IMAGE
    },
    Property { key: "image.size", kind: Kind::Space, summary: "the image's size", detail: "As a disk, uncompressed.", ..IMAGE },
    Property {
        key: "image.sha256",
        kind: Kind::Hash,
        summary: "the SHA-256 of the image's content",
        detail: "Of the file as it is kept, uncompressed and converted.",
        ..IMAGE
    },
    Property { key: "image.source", kind: Kind::Text, summary: "where the image came from", detail: "A path or an address.", ..IMAGE },
    Property { key: "image.added", kind: Kind::Text, summary: "when the image was imported", detail: "UTC.", ..IMAGE },
];
