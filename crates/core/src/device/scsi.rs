//! virtio-scsi: a controller for the host's CAM target layer, or for its own disks.
//!
//! Not here: configuring `ctld`.

use super::Backing;

/// A virtio-scsi controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scsi {
    /// The back end.
    pub behind: ScsiBehind,
    /// The boot index for the firmware; the lowest boots first.
    pub bootindex: Option<u32>,
}

/// The back end of a virtio-scsi controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScsiBehind {
    /// A port of the CAM target layer.
    Ctl {
        /// The device, `/dev/cam/ctl` by default; with a port such as `/dev/cam/ctl1.0`.
        device: Option<String>,
        /// The initiator's number.
        initiator: Option<u32>,
    },
    /// Disks, each a target (bhyve of FreeBSD 16.0 on, and QEMU).
    Targets(Vec<ScsiTarget>),
}

/// One disk on a virtio-scsi controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScsiTarget {
    /// The target's number, 0 to 255.
    pub id: u8,
    /// Its storage.
    pub backing: Backing,
}
