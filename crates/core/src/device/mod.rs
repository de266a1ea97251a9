//! The devices of a VM as data: every emulation of bhyve(8), typed, independent of any command line.
//!
//! Not here: rendering them for a hypervisor (`vmm`), and the properties that describe them (`property`).
//!
//! To add one: a type in the file of its family (or a new file), and a variant of [`Device`]; the compiler then lists the
//! places that have to handle it: `needs` here, `vmm::check::device`, and the renderers `vmm::bhyve` and
//! `vmm::qemu`.

mod ahci;
mod disk;
mod display;
mod firmware;
mod misc;
mod needs;
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
