//! A guest's settings, typed: what planners read.
//!
//! To add a setting: a field here, filled from its key in `read`.

use crate::confinement::Level;
use crate::launch::Policy;
use crate::value::{IfName, ImageName, Mac, Size, SnapshotName};
use serde::Serialize;
use uuid::Uuid;

/// A guest's settings, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Processors: all, sockets, threads a core.
    pub cpu: (u32, u32, u32),
    /// Memory.
    pub ram: Size,
    /// How it boots.
    pub loader: Loader,
    /// The image of its firmware; none is that of the host's packages.
    pub firmware: Option<ImageName>,
    /// The device with its grub.cfg, where it is not searched for.
    pub grub_root: Option<String>,
    /// Seconds that a loader of the host may take.
    pub loader_timeout: u32,
    /// More arguments for bhyveload, split.
    pub bhyveload_flags: Vec<String>,
    /// Serial ports besides the console, by number.
    pub serial: Vec<(u16, String)>,
    /// Its TPM.
    pub tpm: Option<String>,
    /// Items for its firmware, by number.
    pub fw_cfg: Vec<(u16, String)>,
    /// How QEMU runs it.
    pub accel: Accel,
    /// How far its hypervisor is to be confined.
    pub confine: Level,
    /// The first user id of confined hypervisors.
    pub confine_uids: u32,
    /// Whether its clock shows UTC.
    pub utc: bool,
    /// How a PC behaves.
    pub pc: crate::vmm::machine::Pc,
    /// More arguments for bhyve, split.
    pub bargs: Vec<String>,
    /// More arguments for QEMU, split.
    pub qargs: Vec<String>,
    /// Disks, by number.
    pub disks: Vec<DiskSpec>,
    /// NICs, by number.
    pub nets: Vec<NetSpec>,
    /// Other devices of bhyve, by number.
    pub pcidevs: Vec<(u16, String)>,
    /// The display, if it has one.
    pub screen: Option<ScreenSpec>,
    /// What follows an end.
    pub policy: Policy,
    /// How much console log is kept.
    pub console_log_limit: Size,
    /// The reboot at which media come out of their drives; 0 is never.
    pub eject: u32,
    /// Whether and when it rolls back to a snapshot.
    pub revert: Revert,
}

/// A guest's return to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// The snapshot.
    pub snapshot: Option<SnapshotName>,
    /// When.
    pub at: RevertAt,
}

/// When a guest goes back to its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevertAt {
    /// Never.
    Off,
    /// Before each start, not at reboots.
    Start,
    /// At each of its reboots, not before a start.
    Reboot,
    /// At both.
    Both,
}

/// How a guest boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// UEFI firmware.
    Uefi,
    /// QEMU's BIOS.
    Bios,
    /// bhyveload(8).
    Bhyveload,
    /// grub-bhyve.
    GrubBhyve,
}

/// How QEMU runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// KVM where it works.
    Auto,
    /// KVM or an error.
    Kvm,
    /// Emulation.
    Tcg,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskSpec {
    /// Its number.
    pub number: u16,
    /// What it is.
    pub kind: DiskKind,
    /// Where an attached disk stands: an absolute path. None for the others.
    pub source: Option<String>,
    /// Its size, where it is recorded.
    pub size: Option<Size>,
    /// What it is attached to.
    pub bus: String,
    /// Options of the back end.
    pub options: Option<String>,
    /// Its serial number.
    pub serial: String,
    /// Its place, where one is set.
    pub pci: Option<String>,
    /// A description.
    pub description: Option<String>,
}

/// What a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskKind {
    /// A file in the guest's file system.
    Raw,
    /// A volume below the guest.
    Zvol,
    /// A file, volume or device that stands elsewhere and that chyves only uses.
    Attached,
}

impl DiskKind {
    /// As it is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Zvol => "zvol",
            Self::Attached => "attached",
        }
    }
}

/// The name of disk `number`'s file, or of its volume. An attached disk has none on the pool; it is called by its number.
pub fn disk_name(number: u16, kind: DiskKind) -> String {
    match kind {
        DiskKind::Raw => format!("disk{number}.raw"),
        DiskKind::Zvol | DiskKind::Attached => format!("disk{number}"),
    }
}

/// The serial number of a guest's disk that has none set.
pub fn derived_serial(guest: Uuid, number: u16) -> String {
    let hash = Uuid::new_v5(&guest, format!("disk{number}").as_bytes()).simple().to_string();
    // 20 characters are what every bus carries.
    hash[..20].to_ascii_uppercase()
}

/// One NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetSpec {
    /// Its number.
    pub number: u16,
    /// How it reaches the network.
    pub backend: Backend,
    /// The back end that its settings name without saying so: a bridge, a tap or a VLAN are those of `bridge`.
    pub named: Option<Backend>,
    /// Its kind.
    pub model: String,
    /// The bridge it wants, where its back end is one.
    pub bridge: IfName,
    /// Its address.
    pub mac: Mac,
    /// Its MTU, where it is not the bridge's.
    pub mtu: Option<u32>,
    /// Its place, where one is set.
    pub pci: Option<String>,
    /// Its VLAN on the bridge.
    pub vlan: Option<u16>,
    /// The tap that was chosen for it.
    pub tap: Option<IfName>,
    /// Its VALE switch, maybe with a port.
    pub vale: String,
    /// Its netgraph node, maybe with a hook.
    pub netgraph: Option<String>,
    /// Its pairs of queues.
    pub queues: u16,
    /// Whether the guest may start without its network.
    pub optional: bool,
}

/// How a NIC reaches the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The one that the other settings name, else as the hypervisor does best by itself.
    Auto,
    /// A network of the hypervisor's own.
    User,
    /// A tap on a bridge.
    Bridge,
    /// A port of a VALE switch.
    Vale,
    /// A hook of a netgraph node.
    Netgraph,
}

impl Backend {
    /// As it is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::User => "user",
            Self::Bridge => "bridge",
            Self::Vale => "vale",
            Self::Netgraph => "netgraph",
        }
    }
}

/// The display of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScreenSpec {
    /// The address VNC listens on.
    pub address: std::net::IpAddr,
    /// The port, or 0 for the first free one.
    pub port: u16,
    /// Width and height.
    pub size: (u16, u16),
    /// Whether there is a tablet.
    pub tablet: bool,
}
