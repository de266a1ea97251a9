//! A guest's settings, typed, for planners.
//!
//! To add a setting: a field here, filled from its key in `read`.

pub use crate::property::choices::{Accel, Backend, Bus, DiskKind, Loader, RevertAt};

use crate::confinement::Level;
use crate::device::NicModel;
use crate::launch::Policy;
use crate::value::{IfName, ImageName, Mac, Size, SnapshotName, Vmm};
use serde::Serialize;

/// A guest's settings, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Processors: total, sockets, threads of each core.
    pub cpu: (u32, u32, u32),
    /// Memory size.
    pub ram: Size,
    /// How it boots.
    pub loader: Loader,
    /// The image of its firmware; `None` for that of the host's packages.
    pub firmware: Option<ImageName>,
    /// GRUB's name of the device with its grub.cfg; `None` to search for it.
    pub grub_root: Option<String>,
    /// Timeout of a host-side loader in seconds.
    pub loader_timeout: u32,
    /// Additional arguments for bhyveload, split into words.
    pub bhyveload_flags: Vec<String>,
    /// Serial ports other than the console, by number.
    pub serial: Vec<(u16, String)>,
    /// Its TPM.
    pub tpm: Option<String>,
    /// fw_cfg items for its firmware, by number.
    pub fw_cfg: Vec<(u16, String)>,
    /// QEMU's accelerator.
    pub accel: Accel,
    /// How far its hypervisor process should be confined.
    pub confine: Level,
    /// The first user id of confined hypervisor processes.
    pub confine_uids: u32,
    /// Whether its clock is in UTC.
    pub utc: bool,
    /// Behaviour of the PC.
    pub pc: crate::vmm::machine::Pc,
    /// Additional arguments for bhyve, split into words.
    pub bargs: Vec<String>,
    /// Additional arguments for QEMU, split into words.
    pub qargs: Vec<String>,
    /// Disks, by number.
    pub disks: Vec<DiskSpec>,
    /// NICs, by number.
    pub nets: Vec<NetSpec>,
    /// Other bhyve devices, by number.
    pub pcidevs: Vec<(u16, String)>,
    /// The display, if it has one.
    pub screen: Option<ScreenSpec>,
    /// What follows when the VM ends.
    pub policy: Policy,
    /// Size limit of the console log.
    pub console_log_limit: Size,
    /// The reboot at which media are ejected; 0 is never.
    pub eject: u32,
    /// Whether and when it reverts to a snapshot.
    pub revert: Revert,
}

/// A guest's automatic reversion to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// The snapshot.
    pub snapshot: Option<SnapshotName>,
    /// When it reverts.
    pub at: RevertAt,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskSpec {
    /// Its number.
    pub number: u16,
    /// File, volume or attached.
    pub kind: DiskKind,
    /// The absolute path of an attached disk; `None` for others.
    pub source: Option<String>,
    /// Its recorded size.
    pub size: Option<Size>,
    /// The bus or controller that it is attached to.
    pub bus: Bus,
    /// Options of its back end.
    pub options: Option<String>,
    /// Its serial number.
    pub serial: String,
    /// Its PCI address, if one is set.
    pub pci: Option<String>,
    /// A description.
    pub description: Option<String>,
}

impl DiskSpec {
    /// The source of an attached disk, as part of a sentence.
    pub fn place(&self) -> String {
        self.source.as_ref().map_or_else(|| "its source".to_owned(), |source| format!("`{}`", crate::value::printable(source, 200)))
    }
}

/// The name of disk `number`'s file or volume. An attached disk has none in the pool; its number is used.
pub fn disk_name(number: u16, kind: DiskKind) -> String {
    match kind {
        DiskKind::Raw => format!("disk{number}.raw"),
        DiskKind::Zvol | DiskKind::Attached => format!("disk{number}"),
    }
}

/// One NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetSpec {
    /// Its number.
    pub number: u16,
    /// How it reaches the network.
    pub backend: Backend,
    /// The back end that its settings imply without naming it: a bridge, a tap or a VLAN implies `bridge`.
    pub named: Option<Backend>,
    /// Its device model.
    pub model: NicModel,
    /// Its bridge, if the back end is one.
    pub bridge: IfName,
    /// Its MAC address.
    pub mac: Mac,
    /// Its MTU, if it differs from the bridge's.
    pub mtu: Option<u32>,
    /// Its PCI address, if one is set.
    pub pci: Option<String>,
    /// Its VLAN on the bridge.
    pub vlan: Option<u16>,
    /// The tap that the user chose for it.
    pub tap: Option<IfName>,
    /// Its VALE switch, optionally with a port.
    pub vale: String,
    /// Its netgraph node, optionally with a hook.
    pub netgraph: Option<String>,
    /// Number of queue pairs.
    pub queues: u16,
    /// Whether the guest may start without its network.
    pub optional: bool,
}

/// How a NIC reaches the network under this hypervisor. With `auto`, the backend that the other settings imply is used, or
/// refused with a reason, but never ignored.
pub fn backend(net: &NetSpec, vmm: Vmm) -> Backend {
    match (net.backend, vmm) {
        (Backend::Auto, vmm) => net.named.unwrap_or(match vmm {
            Vmm::Qemu => Backend::User,
            Vmm::Bhyve => Backend::Bridge,
        }),
        (chosen @ (Backend::User | Backend::Bridge | Backend::Vale | Backend::Netgraph), _) => chosen,
    }
}

/// The display of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScreenSpec {
    /// The address that VNC listens on.
    pub address: std::net::IpAddr,
    /// The port, or 0 for the first free one.
    pub port: u16,
    /// Width and height in pixels.
    pub size: (u16, u16),
    /// Whether it has a tablet as its pointing device.
    pub tablet: bool,
}
