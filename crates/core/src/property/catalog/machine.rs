//! Rows of the VM itself: processors, memory, boot, arguments, other devices.

use super::{BASE, KEPT};
use crate::property::choices::{Accel, Clock, Loader};
use crate::property::kind::Kind;
use crate::property::reach::{self, Reach, Reaches};
use crate::property::{Access, Property, Unset};

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "uuid",
        kind: Kind::Uuid,
        unset: Unset::Derived("random, made with the guest"),
        access: Access::Kept("`chyves create` and `chyves clone`"),
        summary: "the guest's identity",
        detail: "SMBIOS shows it to the guest. MAC addresses and disk serials derive from it unless they are set, so they survive renaming, moving and other devices coming and going.",
        ..KEPT
    },
    Property {
        key: "cpu",
        kind: Kind::Count { min: 1, max: 254 },
        unset: Unset::Value("1"),
        summary: "virtual processors",
        detail: "They are shown to the guest as cores of one socket unless cpu_sockets and cpu_threads are set.",
        aliases: &["cpus", "vcpus"],
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "cpu_sockets",
        kind: Kind::Count { min: 1, max: 254 },
        unset: Unset::Value("1"),
        summary: "sockets that the processors are spread over",
        detail: "The product of sockets, cores and threads must be cpu, so it must divide it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "cpu_threads",
        kind: Kind::Count { min: 1, max: 254 },
        unset: Unset::Value("1"),
        summary: "threads in each core",
        detail: "The product of sockets, cores and threads must be cpu, so it must divide it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ram",
        kind: Kind::Memory,
        unset: Unset::Value("256M"),
        summary: "memory",
        detail: "The least is 32M. The host gives memory to a running guest only as the guest touches it.",
        aliases: &["memory", "mem"],
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "loader",
        kind: Kind::Choice(Loader::WORDS),
        unset: Unset::Value("uefi"),
        summary: "how the guest boots",
        detail: "uefi works on both hypervisors and keeps the firmware's variables with the guest. bios is QEMU's alone; bhyveload (FreeBSD guests) and grub-bhyve are bhyve's alone: programs of the host that read the guest's disks as root, in the jail of its bhyve where there is one.",
        reach: Reaches::When { words: "runs a loader with bhyveload or grub-bhyve, where no jail confines it", of: reach::loader },
        ..BASE
    },
    Property {
        key: "firmware",
        kind: Kind::Firmware,
        unset: Unset::Value("auto"),
        summary: "the firmware that a guest with loader=uefi boots with",
        detail: "auto is that of the host's packages (edk2-bhyve, ovmf). Else the name of an image that `chyves firmware import` brought in. The guest's variables are a copy of the firmware's template; for code that came without one, of the packages' template where their own code is as long, and else what the guest changes is lost when it is off. Variables of another length belong to another firmware: then the guest does not start before `chyves firmware reset`.",
        aliases: &["uefi_firmware", "fw"],
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "grub_root",
        kind: Kind::GrubDevice,
        unset: Unset::Value("auto"),
        summary: "the device that has the grub.cfg of a guest with loader=grub-bhyve",
        detail: "auto searches all disks, whether they have an MBR, a GPT, LVM or no partitions, the first disk first, for grub.cfg in /boot/grub, /boot/grub2, /grub and /grub2. Else GRUB's name of the device. Recipes that load a kernel themselves (os=openbsd, netbsd, coreos, custom) and installation media ignore it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "loader_timeout",
        kind: Kind::Seconds { min: 1, max: 86400 },
        unset: Unset::Value("300"),
        summary: "how long bhyveload or grub-bhyve may take",
        detail: "In seconds, their menus included. One that takes longer hangs at a prompt: it is ended, and the guest does not start.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "bhyveload_flags",
        kind: Kind::Words,
        summary: "more arguments for bhyveload",
        detail: "Split as bargs is: -e autoboot_delay=0 boots without a countdown.",
        reach: Reaches::Always(Reach::RunsProgram),
        ..BASE
    },
    Property {
        key: "os",
        kind: Kind::Choice(&[
            "default",
            "freebsd",
            "linux",
            "windows",
            "openbsd",
            "openbsd57",
            "openbsd58",
            "openbsd59",
            "openbsd60",
            "netbsd",
            "illumos",
            "other",
            "arch",
            "centos6",
            "centos7",
            "coreos",
            "coreossecure",
            "custom",
            "d8lvm",
            "debian",
            "gentoo",
            "vyos",
        ]),
        unset: Unset::Value("default"),
        summary: "the guest's operating system",
        detail: "With grub-bhyve it chooses the boot recipe; elsewhere it is a note.",
        reach: Reaches::When { words: "names a path, where the boot recipe is custom", of: reach::recipe },
        ..BASE
    },
    Property {
        key: "accel",
        kind: Kind::Choice(Accel::WORDS),
        unset: Unset::Value("auto"),
        summary: "how QEMU runs the guest's instructions",
        detail: "auto takes KVM where it really runs guests, which is tried once after each boot of the host, and emulation (tcg) elsewhere. kvm makes its absence an error. bhyve ignores it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "confine",
        kind: Kind::Choice(crate::confinement::Level::FROM_STRONGEST),
        unset: Unset::Value("full"),
        summary: "how far the hypervisor process is confined",
        detail: "full: as its own unprivileged user without capabilities, with a system call filter, in namespaces that contain only its program, libraries and devices. user: the same without the namespaces. off: as root. What is not possible on this host falls back to the strongest level that is. A guest whose QEMU opens files, folders or devices of the host by itself (fw_cfg, virtio-9p, passthrough, serial ports, TPM) runs at the level full instead of user, and where that is impossible as root with the capabilities for files alone. `chyves start` and `chyves info` then state the reason, `chyves doctor` what the host can do. Disks, ISOs, taps and sockets are opened by chyves and passed on as descriptors at every level.",
        reach: Reaches::When { words: "weakens the confinement, unless full", of: reach::confine },
        ..BASE
    },
    Property {
        key: "confine_uids",
        kind: Kind::Count { min: crate::confinement::LEAST_UID, max: 2_147_400_000 },
        unset: Unset::Value("1900000000"),
        summary: "the first of the 65,536 user ids that confined hypervisors run as",
        detail: "On Linux. Each running guest has one of them to itself, so that one hypervisor cannot signal, trace or read another. They need no entry in /etc/passwd. A range in which a user or group of the host has an id, in /etc/passwd, /etc/group, /etc/subuid or /etc/subgid, is refused. Usually set once, with `chyves set defaults confine_uids=N`.",
        reach: Reaches::When { words: "weakens the confinement, unless the default", of: reach::uids },
        ..BASE
    },
    Property {
        key: "rtc",
        kind: Kind::Choice(Clock::WORDS),
        unset: Unset::Value("utc"),
        summary: "what the guest's clock chip shows",
        detail: "Windows expects localtime, everything else utc.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "acpi",
        kind: Kind::YesNo,
        unset: Unset::Value("yes"),
        summary: "whether the guest has ACPI tables",
        detail: "Without them `chyves stop` can only force the guest off: its power button is an ACPI device. On bhyve this is -A up to FreeBSD 14.x and acpi_tables=false from 15.0 on; arm64 has a device tree instead.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "vmexit_on_hlt",
        kind: Kind::YesNo,
        unset: Unset::Value("yes"),
        summary: "whether a halted virtual processor gives its host processor back (bhyve)",
        detail: "bhyve's -H. Without it each idle virtual processor keeps one of the host's busy. QEMU ignores it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "vmexit_on_pause",
        kind: Kind::YesNo,
        unset: Unset::Value("yes"),
        summary: "whether a virtual processor that waits for a lock gives its host processor back (bhyve)",
        detail: "bhyve's -P, which helps where guests have more virtual processors than the host has. QEMU ignores it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ignore_bad_msr",
        kind: Kind::YesNo,
        unset: Unset::Value("yes"),
        summary: "whether access to an unknown model-specific register is ignored (bhyve)",
        detail: "bhyve's -w. Without it such an access is a fault in the guest, which Linux and Windows do not expect. QEMU ignores it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "bargs",
        kind: Kind::Words,
        summary: "more arguments for bhyve",
        detail: "Split into words at blanks; quotes keep blanks together; nothing is expanded. They stand behind chyves' own arguments, and bhyve lets the last one win: `chyves start` lists which of its own they replace.",
        reach: Reaches::Always(Reach::RunsProgram),
        ..BASE
    },
    Property {
        key: "qargs",
        kind: Kind::Words,
        summary: "more arguments for QEMU",
        detail: "Split as bargs is. They stand behind chyves' own arguments.",
        reach: Reaches::Always(Reach::RunsProgram),
        ..BASE
    },
    Property {
        key: "load_kernel_modules",
        aliases: &["auto_load_kernel_mods"],
        kind: Kind::YesNo,
        unset: Unset::Value("yes"),
        summary: "whether a start may load kernel modules",
        detail: "On FreeBSD. Where it may not, or cannot (in a jail, or with a securelevel above 0), a start that misses one fails and shows the line for /etc/rc.conf.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "pcidev_{n}",
        kind: Kind::Device,
        summary: "any other device of bhyve",
        detail: "Written as bhyve's -s takes it without the place: virtio-9p,share=/usr/share or passthru,2/0/0. Disks and NICs that name no serial number or address have one that follows from the guest's uuid.",
        reach: Reaches::Always(Reach::UsesDevice),
        ..BASE
    },
    Property {
        key: "com{n}",
        numbers: (2, 4),
        kind: Kind::SerialEnd,
        summary: "the far end of serial port n, 2 to 4",
        detail: "com1 is the console. The others are a terminal device of the host, as /dev/nmdm-web01.2A, or from FreeBSD 15.0 on tcp=ADDRESS:PORT, where anybody may connect who can reach it.",
        reach: Reaches::When { words: "uses a device, or opens a port with tcp=", of: reach::serial },
        ..BASE
    },
    Property {
        key: "tpm",
        kind: Kind::Tpm,
        summary: "the guest's TPM",
        detail: "passthru,/dev/tpm0 is the host's own (FreeBSD 14.0), swtpm,/PATH one that swtpm plays and listens for at that socket (FreeBSD 15.0). Windows 11 wants one and `--os windows` sets none, because swtpm has to be run first: swtpm socket --tpm2 --tpmstate dir=/PATH --ctrl type=unixio,path=/PATH/socket.",
        reach: Reaches::When { words: "uses a device, or names a path with swtpm", of: reach::tpm },
        ..BASE
    },
    Property {
        key: "fw_cfg{n}",
        kind: Kind::FwCfg,
        summary: "an item for the guest's firmware and system",
        detail: "NAME,string=TEXT or NAME,file=/PATH, by QEMU's fw_cfg (FreeBSD 14.0). Names of your own begin with opt/.",
        reach: Reaches::When { words: "names a path with file=", of: reach::fw_cfg },
        ..BASE
    },
];
