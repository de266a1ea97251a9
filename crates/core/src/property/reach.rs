//! Which settings reach the host: what they name or do outside of the guest.
//!
//! A guest may come from anybody, by `receive` or with a pool, and its settings come with it. Those of this class are not
//! used before an administrator of this host has trusted them (`guest::trust`). Each row of the catalogue declares its
//! class; the catalogue's test refuses a row that does not.
//!
//! To add a class: a variant of [`Reach`] and its words.

use crate::confinement::{FIRST_UID, Level};
use crate::device::{SerialEnd, parse_serial_end};
use crate::vmm::machine::{FwCfg, FwCfgContent, Tpm};
use serde::{Serialize, Serializer};

/// How a setting reaches the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Its value can make the host run a program, or code of somebody's choice.
    RunsProgram,
    /// Its value names a file or folder of the host.
    NamesPath,
    /// Its value names a device of the host.
    UsesDevice,
    /// Its value makes a process of the host listen where others can connect.
    OpensPort,
    /// Its value attaches the guest to a network of the host's choice.
    JoinsNetwork,
    /// Its value lets the guest start without anybody asking for it.
    StartsByItself,
    /// Its value lets the hypervisor do more on the host than by default.
    WeakensConfinement,
    /// Its value makes the host run a loader, which reads the guest's own disks. It counts where no jail confines the loader
    /// (`guest::trust`).
    RunsLoader,
}

impl Reach {
    /// As tables and documentation show it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::RunsProgram => "runs a program",
            Self::NamesPath => "names a path",
            Self::UsesDevice => "uses a device",
            Self::OpensPort => "opens a port",
            Self::JoinsNetwork => "joins a network",
            Self::StartsByItself => "starts by itself",
            Self::WeakensConfinement => "weakens the confinement",
            Self::RunsLoader => "runs a loader as root on the guest's disks",
        }
    }

    /// Whether a value of this class may be why bhyve and its loader get no jail (`vmm::bhyve::jail::reach`).
    pub const fn may_prevent_jail(self) -> bool {
        match self {
            // A socket of netgraph is not in a jail; which networks use one only the whole of the settings tells.
            Self::RunsProgram | Self::NamesPath | Self::UsesDevice | Self::JoinsNetwork | Self::WeakensConfinement => true,
            Self::OpensPort | Self::StartsByItself | Self::RunsLoader => false,
        }
    }
}

impl Serialize for Reach {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.words())
    }
}

/// Whether values of a property reach the host.
#[derive(Debug, Clone, Copy)]
pub enum Reaches {
    /// The row does not say. Treated as the worst, and refused by the catalogue's test.
    Undeclared,
    /// No value does.
    Never,
    /// Every value does.
    Always(Reach),
    /// Some values do.
    When {
        /// How, and which values, for documentation.
        words: &'static str,
        /// What one value does.
        of: fn(&str) -> Option<Reach>,
    },
}

impl Reaches {
    /// What one value does on the host.
    pub fn of(self, value: &str) -> Option<Reach> {
        match self {
            Self::Undeclared => Some(Reach::RunsProgram),
            Self::Never => None,
            Self::Always(reach) => Some(reach),
            Self::When { of, .. } => of(value),
        }
    }

    /// As documentation shows it; none where no value reaches the host.
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Never => None,
            Self::Undeclared => Some("undeclared"),
            Self::Always(reach) => Some(reach.words()),
            Self::When { words, .. } => Some(words),
        }
    }
}

/// What an address to listen on opens: anything but loopback can be reached from outside. A value that can't be read is
/// taken for the worst; so below.
pub(super) fn address(value: &str) -> Option<Reach> {
    let loopback = value.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback());
    (!loopback).then_some(Reach::OpensPort)
}

/// A port that was chosen; 0 lets chyves choose a free one.
pub(super) fn port(value: &str) -> Option<Reach> {
    (value != "0").then_some(Reach::OpensPort)
}

/// Whether a guest starts with the host.
pub(super) fn boot(value: &str) -> Option<Reach> {
    (value != "0").then_some(Reach::StartsByItself)
}

/// The far end of a serial port.
#[allow(clippy::unnecessary_wraps)] // the form of `Reaches::When`
pub(super) fn serial(value: &str) -> Option<Reach> {
    Some(match parse_serial_end(value) {
        Ok(SerialEnd::Tcp(_)) => Reach::OpensPort,
        Ok(SerialEnd::Socket(_)) => Reach::NamesPath,
        Ok(SerialEnd::Device(_) | SerialEnd::Console | SerialEnd::Stdio) | Err(_) => Reach::UsesDevice,
    })
}

/// A TPM of the host, or the socket of a program that plays one.
#[allow(clippy::unnecessary_wraps)] // the form of `Reaches::When`
pub(super) fn tpm(value: &str) -> Option<Reach> {
    Some(match value.parse::<Tpm>() {
        Ok(Tpm::Passthru { .. }) | Err(_) => Reach::UsesDevice,
        Ok(Tpm::Swtpm { .. }) => Reach::NamesPath,
    })
}

/// An item for the firmware: text, or the content of a file of the host.
pub(super) fn fw_cfg(value: &str) -> Option<Reach> {
    match value.parse::<FwCfg>() {
        Ok(FwCfg { content: FwCfgContent::Text(_), .. }) => None,
        Ok(FwCfg { content: FwCfgContent::File(_), .. }) | Err(_) => Some(Reach::NamesPath),
    }
}

/// A level of confinement.
pub(super) fn confine(value: &str) -> Option<Reach> {
    (value != Level::Full.word()).then_some(Reach::WeakensConfinement)
}

/// How the guest boots: by a loader that is a program of the host and reads what the guest wrote, or by firmware in its VM.
pub(super) fn loader(value: &str) -> Option<Reach> {
    match value {
        "uefi" | "bios" => None,
        _ => Some(Reach::RunsLoader),
    }
}

/// User ids: those of a range that a guest brought may be somebody's here.
pub(super) fn uids(value: &str) -> Option<Reach> {
    (value.parse() != Ok(FIRST_UID)).then_some(Reach::WeakensConfinement)
}

/// The boot recipe: one that is read from the guest's own files can name any disk of the host to grub-bhyve.
pub(super) fn recipe(value: &str) -> Option<Reach> {
    crate::vmm::grub::is_own(value).then_some(Reach::NamesPath)
}

/// A path of the host, where the value is not a plain name in the guest's own folder.
pub(super) fn path(value: &str) -> Option<Reach> {
    value.contains('/').then_some(Reach::NamesPath)
}

/// How a network interface is connected. With `user` the guest's packets leave as the host's own.
pub(super) fn backend(value: &str) -> Option<Reach> {
    (value != "auto").then_some(Reach::JoinsNetwork)
}

/// Whether a server of addresses is run.
pub(super) fn dhcp(value: &str) -> Option<Reach> {
    (value != "no").then_some(Reach::RunsProgram)
}
