//! Classifies host-reaching settings: those that name or do something outside of the guest.
//!
//! A guest may come from an untrusted source, by `receive` or with a pool, with its settings. Host-reaching ones are not
//! used before an administrator of this host has trusted them (`guest::trust`). Each row of the catalogue declares its
//! class; the catalogue's test refuses a row that does not.
//!
//! To add a class: a variant of [`Reach`] and its words.

use super::choices::Loader;
use crate::confinement::{FIRST_UID, Level};
use crate::device::{FwCfg, FwCfgContent, SerialEnd, Tpm, parse_serial_end};
use serde::{Serialize, Serializer};

/// In which way a setting reaches the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Its value can make the host run arbitrary programs or code.
    RunsProgram,
    /// Its value names a file or directory of the host.
    NamesPath,
    /// Its value names a device of the host.
    UsesDevice,
    /// Its value makes a process of the host listen on a port that others can connect to.
    OpensPort,
    /// Its value attaches the guest to a network of the host.
    JoinsNetwork,
    /// Its value makes the guest start automatically.
    StartsByItself,
    /// Its value gives the hypervisor process more rights on the host than the default.
    WeakensConfinement,
    /// Its value makes the host run a loader, which reads the guest's own disks. It only matters if no jail confines the
    /// loader (`guest::trust`).
    RunsLoader,
}

impl Reach {
    /// The text for tables and documentation.
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

    /// Whether a value of this class may prevent bhyve and its loader from running in a jail (`vmm::bhyve::jail::reach`).
    pub const fn may_prevent_jail(self) -> bool {
        match self {
            // netgraph sockets are not available in a jail; only the settings as a whole show which networks use one.
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
    /// Not declared. Treated as the most dangerous class, and refused by the catalogue's test.
    Undeclared,
    /// No value reaches the host.
    Never,
    /// Every value reaches the host.
    Always(Reach),
    /// Some values reach the host.
    When {
        /// The text for documentation: which values, and in which way.
        words: &'static str,
        /// Classifies one value.
        of: fn(&str) -> Option<Reach>,
    },
}

impl Reaches {
    /// Classifies one value.
    pub fn of(self, value: &str) -> Option<Reach> {
        match self {
            Self::Undeclared => Some(Reach::RunsProgram),
            Self::Never => None,
            Self::Always(reach) => Some(reach),
            Self::When { of, .. } => of(value),
        }
    }

    /// The text for documentation; `None` if no value reaches the host.
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Never => None,
            Self::Undeclared => Some("undeclared"),
            Self::Always(reach) => Some(reach.words()),
            Self::When { words, .. } => Some(words),
        }
    }
}

/// An address to listen on: all except loopback addresses are reachable from outside. Invalid values are treated as the
/// most dangerous ones, here and below.
pub(super) fn address(value: &str) -> Option<Reach> {
    let loopback = value.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback());
    (!loopback).then_some(Reach::OpensPort)
}

/// An explicit port; with 0, chyves chooses a free one.
pub(super) fn port(value: &str) -> Option<Reach> {
    (value != "0").then_some(Reach::OpensPort)
}

/// Whether a guest starts when the host boots.
pub(super) fn boot(value: &str) -> Option<Reach> {
    (value != "0").then_some(Reach::StartsByItself)
}

/// The host end of a serial port.
#[allow(clippy::unnecessary_wraps)] // the form of `Reaches::When`
pub(super) fn serial(value: &str) -> Option<Reach> {
    Some(match parse_serial_end(value) {
        Ok(SerialEnd::Tcp(_)) => Reach::OpensPort,
        Ok(SerialEnd::Socket(_)) => Reach::NamesPath,
        Ok(SerialEnd::Device(_) | SerialEnd::Console | SerialEnd::Stdio) | Err(_) => Reach::UsesDevice,
    })
}

/// A TPM of the host, or the socket of an emulator.
#[allow(clippy::unnecessary_wraps)] // the form of `Reaches::When`
pub(super) fn tpm(value: &str) -> Option<Reach> {
    Some(match value.parse::<Tpm>() {
        Ok(Tpm::Passthru { .. }) | Err(_) => Reach::UsesDevice,
        Ok(Tpm::Swtpm { .. }) => Reach::NamesPath,
    })
}

/// A fw_cfg item: text, or the content of a file on the host.
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

/// How the guest boots: by a loader that runs on the host and reads what the guest wrote, or by firmware in the VM.
pub(super) fn loader(value: &str) -> Option<Reach> {
    match value.parse() {
        Ok(Loader::Uefi | Loader::Bios) => None,
        Ok(Loader::Bhyveload | Loader::GrubBhyve) | Err(_) => Some(Reach::RunsLoader),
    }
}

/// User ids: those in a range that came with a guest may be in use on this host.
pub(super) fn uids(value: &str) -> Option<Reach> {
    (value.parse() != Ok(FIRST_UID)).then_some(Reach::WeakensConfinement)
}

/// The value of `os` whose boot recipe the user places in the guest's folder.
pub const OWN_RECIPE: &str = "custom";

/// The boot recipe: one that is read from the guest's own files can pass any disk of the host to grub-bhyve.
pub(super) fn recipe(value: &str) -> Option<Reach> {
    (value == OWN_RECIPE).then_some(Reach::NamesPath)
}

/// A path of the host, unless the value is a plain name in the guest's own folder.
pub(super) fn path(value: &str) -> Option<Reach> {
    value.contains('/').then_some(Reach::NamesPath)
}

/// How a NIC is connected. With `user`, the guest's packets are sent as the host's own.
pub(super) fn backend(value: &str) -> Option<Reach> {
    (value != "auto").then_some(Reach::JoinsNetwork)
}

/// Whether a DHCP server is run.
pub(super) fn dhcp(value: &str) -> Option<Reach> {
    (value != "no").then_some(Reach::RunsProgram)
}
