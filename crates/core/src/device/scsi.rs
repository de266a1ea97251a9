//! virtio-scsi: a controller over the host's CAM target layer, or over disks of its own.
//!
//! Not here: how `ctld` is set up.

use super::Backing;

/// A virtio-scsi controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scsi {
    /// What stands behind it.
    pub behind: ScsiBehind,
    /// The place in the firmware's boot order, the lowest first.
    pub bootindex: Option<u32>,
}

/// What stands behind a virtio-scsi controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScsiBehind {
    /// A port of the CAM target layer.
    Ctl {
        /// The device, `/dev/cam/ctl` unless set; with a port as `/dev/cam/ctl1.0`.
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
    /// What holds its blocks.
    pub backing: Backing,
}
