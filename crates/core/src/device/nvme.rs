//! NVMe: the knobs of a controller, and the disk in memory that bhyve can put behind one.
//!
//! Not here: what holds a lasting NVMe disk's blocks (`Disk` with `DiskBus::Nvme`).

use super::DiskSerial;
use crate::value::Size;

/// The knobs of an NVMe controller; what is none keeps the hypervisor's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NvmeDetails {
    /// How many queues.
    pub max_queues: Option<u16>,
    /// Entries in a queue.
    pub queue_size: Option<u32>,
    /// Requests that the host works on at a time.
    pub io_slots: Option<u32>,
    /// The size of a sector.
    pub sector: Option<NvmeSector>,
    /// The namespace's EUI-64.
    pub eui64: Option<u64>,
    /// Whether the guest may deallocate blocks; none leaves it to the hypervisor.
    pub dsm: Option<bool>,
}

/// The sizes of sectors that NVMe can have here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NvmeSector {
    /// 512 bytes.
    B512,
    /// 4096 bytes.
    B4096,
    /// 8192 bytes.
    B8192,
}

impl NvmeSector {
    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
            Self::B8192 => 8192,
        }
    }
}

/// An NVMe disk in the host's memory; its content ends with the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamDisk {
    /// Its size; whole mebibytes.
    pub size: Size,
    /// The serial number that the guest sees.
    pub serial: DiskSerial,
    /// The controller's knobs.
    pub details: NvmeDetails,
}
