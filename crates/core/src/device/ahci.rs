//! The AHCI family: identification of disks, optical drives, and controllers with up to 32 ports.
//!
//! Not here: a single AHCI disk (`Disk` with `DiskBus::AhciHd`).

use super::{Backing, BlockOptions, DiskSerial};
use crate::error::{Problem, Result};

/// What an AHCI disk reports to the guest besides its serial number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AhciDetails {
    /// The rotation rate in revolutions per minute; 1 means a solid-state disk.
    pub rotation: Option<u16>,
    /// The firmware revision, at most 8 characters.
    pub revision: Option<String>,
    /// The model name, at most 40 characters.
    pub model: Option<String>,
}

/// An optical drive on its own AHCI controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Optical {
    /// The image in it, or `None` for an empty drive.
    pub medium: Option<Backing>,
    /// The boot index for the firmware; the lowest boots first.
    pub bootindex: Option<u32>,
}

/// An AHCI controller with several ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahci {
    ports: Vec<AhciPort>,
}

/// A device on a port of an AHCI controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AhciPort {
    /// A disk.
    Disk {
        /// Its storage.
        backing: Backing,
        /// How it is opened.
        options: BlockOptions,
        /// The serial number that the guest sees.
        serial: DiskSerial,
        /// What it reports besides the serial number.
        details: AhciDetails,
    },
    /// An optical drive.
    Optical(Optical),
}

impl Ahci {
    /// The number of ports of bhyve's controller.
    pub const PORTS: usize = 32;

    /// A controller with these drives on ports 0, 1, 2 and so on.
    ///
    /// # Errors
    /// No drive, or more than 32.
    pub fn new(ports: Vec<AhciPort>) -> Result<Self> {
        if ports.is_empty() {
            return Err(Problem::usage("an AHCI controller needs a drive").hint("attach a disk to it, or leave the controller out"));
        }
        if ports.len() > Self::PORTS {
            let n = ports.len();
            return Err(Problem::usage(format!("{n} drives do not fit on one AHCI controller, which has 32 ports"))
                .hint("put the others on a second controller"));
        }
        Ok(Self { ports })
    }

    /// Its drives in port order.
    pub fn ports(&self) -> &[AhciPort] {
        &self.ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_has_up_to_32_ports() {
        let drives = |n| vec![AhciPort::Optical(Optical::default()); n];
        assert!(Ahci::new(drives(1)).is_ok());
        assert!(Ahci::new(drives(32)).is_ok());
        assert_eq!(Ahci::new(drives(33)).unwrap_err().message, "33 drives do not fit on one AHCI controller, which has 32 ports");
        assert!(Ahci::new(Vec::new()).is_err());
    }
}
