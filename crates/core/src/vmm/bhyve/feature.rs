//! The features of each release's bhyve. If it is uncertain when a feature appeared, the later release is used.
//!
//! Not here: reading the release from a host (facts).

use crate::error::Problem;
use crate::os::freebsd::Release;

/// The host's processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

/// Features that not every bhyve has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// The oldest release that chyves supports: bhyve's settings form a tree since then.
    Tree,
    /// More than 16 processors.
    ManyCpus,
    /// virtio-input.
    Input,
    /// Displays larger than 1920x1200.
    LargeScreen,
    /// `-f`, `fwcfg=qemu` and bootindex.
    FwCfg,
    /// Passthrough of the host's TPM.
    Tpm,
    /// An emulated TPM.
    Swtpm,
    /// Serial ports over TCP.
    TcpSerial,
    /// NUMA memory domains.
    Numa,
    /// bhyve on arm64.
    Arm64,
    /// User-mode NICs.
    Slirp,
    /// User-mode NICs with access to the outside.
    SlirpOpen,
    /// Passthrough by the name of the ppt device.
    PptName,
    /// VNC on a UNIX socket.
    VncSocket,
    /// Disks on virtio-scsi without CAM's target layer.
    ScsiTargets,
    /// Monitor mode.
    Monitor,
}

impl Feature {
    /// The first release that has it.
    pub const fn since(self) -> Release {
        match self {
            Self::Tree => Release::new(13, 1),
            Self::ManyCpus | Self::Input => Release::new(13, 2),
            Self::FwCfg | Self::Tpm => Release::new(14, 0),
            Self::LargeScreen | Self::Swtpm | Self::TcpSerial | Self::Numa | Self::Arm64 | Self::Slirp | Self::PptName => {
                Release::new(15, 0)
            }
            Self::VncSocket => Release::new(15, 1),
            Self::SlirpOpen | Self::ScsiTargets | Self::Monitor => Release::new(16, 0),
        }
    }

    /// Its name in messages.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Tree => "the bhyve that chyves needs",
            Self::ManyCpus => "more than 16 processors",
            Self::Input => "virtio-input",
            Self::LargeScreen => "a display beyond 1920x1200",
            Self::FwCfg => "firmware items and a boot order",
            Self::Tpm => "a TPM",
            Self::Swtpm => "an emulated TPM",
            Self::TcpSerial => "a serial port by TCP",
            Self::Numa => "memory domains (-n)",
            Self::Arm64 => "bhyve on arm64",
            Self::Slirp => "a user-mode NIC",
            Self::SlirpOpen => "a user-mode NIC that lets the guest out",
            Self::PptName => "passthrough by the name of the ppt unit",
            Self::VncSocket => "VNC by a UNIX socket",
            Self::ScsiTargets => "disks on virtio-scsi without CAM's target layer",
            Self::Monitor => "monitor mode (-M)",
        }
    }

    /// Refuses it on a release that does not have it yet.
    ///
    /// # Errors
    /// The release is older.
    pub fn on(self, release: Release) -> Result<(), Problem> {
        if release >= self.since() {
            return Ok(());
        }
        Err(Problem::host_cant(format!("FreeBSD {release} does not have {}", self.words()))
            .because(format!("it came with FreeBSD {}", self.since())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_release_that_has_it() {
        let refusal = Feature::Swtpm.on(Release::new(14, 3)).unwrap_err();
        assert_eq!(refusal.to_string(), "FreeBSD 14.3 does not have an emulated TPM: it came with FreeBSD 15.0");
        assert!(Feature::Swtpm.on(Release::new(15, 0)).is_ok());
    }
}
