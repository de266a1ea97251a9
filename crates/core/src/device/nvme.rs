//! NVMe: the parameters of a controller, and bhyve's disk in memory.
//!
//! Not here: the storage of a persistent NVMe disk (`Disk` with `DiskBus::Nvme`).

use super::DiskSerial;
use crate::value::Size;

/// The parameters of an NVMe controller; `None` keeps the hypervisor's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NvmeDetails {
    /// Maximum number of queues.
    pub max_queues: Option<u16>,
    /// Entries of each queue.
    pub queue_size: Option<u32>,
    /// Number of requests that the host processes concurrently.
    pub io_slots: Option<u32>,
    /// The sector size.
    pub sector: Option<NvmeSector>,
    /// The namespace's EUI-64.
    pub eui64: Option<u64>,
    /// Whether the guest may deallocate blocks; `None` is the hypervisor's default.
    pub dsm: Option<bool>,
}

/// The supported sector sizes of NVMe disks.
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

/// An NVMe disk in the host's memory; its content is lost when the VM ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamDisk {
    /// Its size, in whole mebibytes.
    pub size: Size,
    /// The serial number that the guest sees.
    pub serial: DiskSerial,
    /// The controller's parameters.
    pub details: NvmeDetails,
}
