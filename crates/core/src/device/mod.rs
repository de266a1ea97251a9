//! The devices of a VM as data: every emulation of bhyve(8), typed, independent of any command line.
//!
//! Not here: rendering them for a hypervisor (`vmm`), and the properties that describe them (`property`).
//!
//! To add one: a type in the file of its family (or a new file), and a variant of [`Device`]; the compiler then lists the
//! places that have to handle it: `word` and `paths` here, `vmm::check::device`, and the renderers `vmm::bhyve` and
//! `vmm::qemu`.

mod ahci;
mod disk;
mod display;
mod firmware;
mod misc;
mod nic;
mod nvme;
mod passthru;
mod pcidev;
pub mod place;
mod raw;
mod resolve;
mod scsi;
mod serial;

pub use ahci::{Ahci, AhciDetails, AhciPort, Optical};
pub use disk::{Backing, BackingKind, BlockOptions, Disk, DiskBus, DiskSerial, SectorSizes, derived_serial};
pub use display::{FrameBuffer, ScreenSize, Vga, VncListen, VncPassword};
pub use firmware::{FwCfg, FwCfgContent, Tpm};
pub use misc::{Hda, HostBridge, Input, Share};
pub use nic::{Forward, GraphHook, NetBackend, Netgraph, Nic, NicModel, Protocol, UserNet, ValePort};
pub use nvme::{NvmeDetails, NvmeSector, RamDisk};
pub use passthru::{HostDevice, HostPci, HostSlot, Passthru};
pub use pcidev::{Owner, parse_pcidev, parse_serial_end};
pub use place::{DeviceClass, DeviceKey, PciPlace, choose};
pub use raw::{Raw, RawOpens};
pub use resolve::{Placement, Want, add, fillers, resolve};
pub use scsi::{Scsi, ScsiBehind, ScsiTarget};
pub use serial::{ConsolePort, SerialEnd, Uart, VirtioConsole};

/// A device on the guest's PCI bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// The host bridge, at 0:0.
    HostBridge(HostBridge),
    /// The LPC bridge, at 31:0, with the PC's four serial ports.
    Lpc,
    /// A disk on its own device.
    Disk(Disk),
    /// A virtual NVMe disk in the host's memory.
    RamDisk(RamDisk),
    /// An optical drive on its own controller.
    Optical(Optical),
    /// An AHCI controller with several ports.
    Ahci(Ahci),
    /// A virtio-scsi controller.
    Scsi(Scsi),
    /// A NIC.
    Nic(Nic),
    /// A virtio source of random numbers.
    Rng,
    /// A directory of the host, through virtio-9p.
    Share(Share),
    /// A virtio console.
    Console(VirtioConsole),
    /// An input device of the host, through virtio.
    Input(Input),
    /// The display.
    FrameBuffer(FrameBuffer),
    /// A USB tablet on its own controller.
    Tablet,
    /// Sound.
    Hda(Hda),
    /// A passed-through device of the host.
    Passthru(Passthru),
    /// A serial port on the PCI bus.
    Uart(Uart),
    /// A placeholder in function 0 of a slot that has other functions in use.
    Filler,
    /// Any other device of bhyve, in bhyve's notation.
    Raw(Raw),
}

impl Device {
    /// Its name in messages: bhyve's name of the emulation.
    pub fn word(&self) -> &str {
        match self {
            Self::HostBridge(HostBridge::Intel) | Self::Filler => "hostbridge",
            Self::HostBridge(HostBridge::Amd) => "amd_hostbridge",
            Self::Lpc => "lpc",
            Self::Disk(disk) => match disk.bus {
                DiskBus::VirtioBlk => "virtio-blk",
                DiskBus::AhciHd(_) => "ahci-hd",
                DiskBus::Nvme(_) => "nvme",
            },
            Self::RamDisk(_) => "nvme",
            Self::Optical(_) => "ahci-cd",
            Self::Ahci(_) => "ahci",
            Self::Scsi(_) => "virtio-scsi",
            Self::Nic(nic) => match nic.model {
                NicModel::VirtioNet => "virtio-net",
                NicModel::E1000 => "e1000",
            },
            Self::Rng => "virtio-rnd",
            Self::Share(_) => "virtio-9p",
            Self::Console(_) => "virtio-console",
            Self::Input(_) => "virtio-input",
            Self::FrameBuffer(_) => "fbuf",
            Self::Tablet => "xhci",
            Self::Hda(_) => "hda",
            Self::Passthru(_) => "passthru",
            Self::Uart(_) => "uart",
            Self::Raw(raw) => raw.emulation(),
        }
    }

    /// The host's paths that it opens, in no particular order.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Self::HostBridge(_) | Self::Lpc | Self::RamDisk(_) | Self::Nic(_) | Self::Rng | Self::Tablet | Self::Filler => Vec::new(),
            Self::Raw(raw) => raw.paths(),
            Self::Disk(disk) => vec![&disk.backing.path],
            Self::Optical(drive) => drive.medium.iter().map(|m| m.path.as_str()).collect(),
            Self::Ahci(controller) => controller
                .ports()
                .iter()
                .filter_map(|port| match port {
                    AhciPort::Disk { backing, .. } => Some(backing),
                    AhciPort::Optical(drive) => drive.medium.as_ref(),
                })
                .map(|backing| backing.path.as_str())
                .collect(),
            Self::Scsi(Scsi { behind, .. }) => match behind {
                ScsiBehind::Ctl { device, .. } => device.as_deref().into_iter().collect(),
                ScsiBehind::Targets(targets) => targets.iter().map(|t| t.backing.path.as_str()).collect(),
            },
            Self::Share(share) => vec![&share.path],
            Self::Console(console) => console.ports.iter().map(|p| p.socket.as_str()).collect(),
            Self::Input(input) => vec![&input.path],
            Self::FrameBuffer(screen) => match &screen.listen {
                VncListen::Unix(path) => vec![path],
                VncListen::Tcp(_) => Vec::new(),
            },
            Self::Hda(sound) => sound.play.iter().chain(&sound.rec).map(String::as_str).collect(),
            Self::Passthru(device) => device.rom.as_deref().into_iter().collect(),
            Self::Uart(uart) => uart.end.path().into_iter().collect(),
        }
    }
}
