//! Is the host fit for it? What is known of a host, and what a start wants of it, become findings: each says what it is
//! about, how bad it is, why, and what to do.
//!
//! * [`start`]: everything that keeps a guest from starting, or is worth a warning; all at once
//! * [`host`]: a host alone, a line a matter, for `doctor`
//! * one file a matter: [`processor`], [`memory`], [`modules`], [`passthru`], [`network`], [`files`], [`vm`], [`system`],
//!   [`servers`]
//!
//! What is not known fails nothing. Not here: rules of a machine itself (`vmm::check`), what a release's bhyve can't do
//! (`vmm::bhyve::check`), and looking at the host (chyves-host's `facts`).
//!
//! To add a check: a fact in `os::state`, a function in the file of its matter, a line in [`start`] or [`host`].

mod advisories;
pub mod files;
pub mod host;
pub mod memory;
pub mod modules;
pub mod network;
pub mod passthru;
pub mod processor;
pub mod servers;
pub mod system;
pub mod vm;

use crate::device::HostDevice;
use crate::error::Problem;
use crate::guest::Loader;
use crate::os::Os;
use crate::value::{GuestName, IfName, ImageName, Size};
use crate::world::HostFacts;
use serde::Serialize;
use std::net::SocketAddr;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// All is well.
    Ok,
    /// It was not looked at, or can't be seen here.
    Unknown,
    /// It works, but not as one would wish.
    Warning,
    /// It does not work.
    Fails,
}

impl Severity {
    /// The word that is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Fails => "fails",
        }
    }
}

/// What one look at one matter found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, in a word or two.
    pub what: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, one sentence without a full stop.
    pub cause: String,
    /// What to do about it, each by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cure: Vec<String>,
}

impl Finding {
    fn new(what: &str, severity: Severity, cause: impl Into<String>) -> Self {
        Self { what: what.to_owned(), severity, cause: cause.into(), cure: Vec::new() }
    }

    /// All is well.
    pub fn ok(what: &str, cause: impl Into<String>) -> Self {
        Self::new(what, Severity::Ok, cause)
    }

    /// Nothing is known.
    pub fn unknown(what: &str, cause: impl Into<String>) -> Self {
        Self::new(what, Severity::Unknown, cause)
    }

    /// Worth a warning.
    pub fn warns(what: &str, cause: impl Into<String>) -> Self {
        Self::new(what, Severity::Warning, cause)
    }

    /// It fails.
    pub fn fails(what: &str, cause: impl Into<String>) -> Self {
        Self::new(what, Severity::Fails, cause)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure.push(cure.into());
        self
    }

    /// The finding as one line: what was found, and what to do.
    pub fn line(&self) -> String {
        let mut line = self.cause.clone();
        for cure in &self.cure {
            line.push_str("; ");
            line.push_str(cure);
        }
        line
    }

    /// The finding as the reason why a host can't.
    pub fn problem(&self) -> Problem {
        let mut problem = Problem::host_cant(self.cause.clone());
        problem.hints.clone_from(&self.cure);
        problem
    }
}

/// What the start of a guest wants of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    /// The guest.
    pub guest: GuestName,
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub ram: Size,
    /// How it boots.
    pub loader: Loader,
    /// Its firmware, where it boots with one that can be had.
    pub firmware: Option<WantedFirmware>,
    /// Kernel modules.
    pub modules: Vec<String>,
    /// Whether chyves may load them.
    pub may_load: bool,
    /// Whether its last machine has ended just now: a VM object of its name is its own.
    pub again: bool,
    /// Whether a VM object of its name is what a crash of its own left.
    pub left_by_crash: bool,
    /// Files and devices that are opened.
    pub paths: Vec<WantedPath>,
    /// Attached disks: where each is, and whether it is written.
    pub attached: Vec<(String, bool)>,
    /// NICs on bridges: the NIC's key, its bridge, and the tap that is made for it.
    pub nics: Vec<WantedNic>,
    /// Nodes of netgraph: what wants each, and its address, as `lan:`.
    pub nodes: Vec<(String, String)>,
    /// Devices of the host.
    pub passthru: Vec<HostDevice>,
    /// Terminal devices at its serial ports: the port's key, and the device.
    pub ports: Vec<(String, String)>,
    /// Where VNC listens; port 0 is any that is free.
    pub vnc: Option<SocketAddr>,
    /// Whether a medium, or a disk with a boot index, is to be booted first by firmware of the host's packages.
    pub boot_order: bool,
    /// Whether it has devices of which only bhyve itself can say whether it knows them.
    pub emulations: bool,
}

/// Firmware that a guest boots with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFirmware {
    /// The image that it is from; none where the host's packages have it.
    pub image: Option<ImageName>,
    /// Its code, and the template of its variables.
    pub files: Vec<FirmwareFile>,
}

/// A file of firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareFile {
    /// Where it is.
    pub path: String,
    /// Its size where that is recorded: an image need not be mounted, and its file can't be looked at then.
    pub size: Option<Size>,
}

/// A path that is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPath {
    /// Where it is.
    pub path: crate::value::FilePath,
    /// What it is to the guest: `disk 0`.
    pub what: String,
    /// How it is needed.
    pub need: Need,
}

/// How a path is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To be read; others may read it too.
    Read,
    /// To be written, by this guest alone.
    Write,
    /// A folder.
    Folder,
    /// A socket that swtpm listens on.
    Socket,
    /// netmap's own device: there, where the kernel has netmap.
    Netmap,
    /// Not there: bhyve makes it itself and fails if it can't.
    Absent,
    /// A file that comes with a package of this name.
    Package(&'static str),
    /// It need not be there; a jail contains it if it is.
    Any,
}

/// A NIC on a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedNic {
    /// The NIC: `net0`.
    pub nic: String,
    /// Its bridge.
    pub bridge: IfName,
    /// Its tap.
    pub tap: IfName,
    /// The token that the tap bears.
    pub owner: String,
}

/// Everything that is to be said before a guest starts, or starts again, the worst first within each matter. What is well is not said.
pub fn start(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    let mut all = system::faults(&host.state);
    match host.os {
        Os::FreeBsd => {
            all.extend(system::start(host, wants));
            all.extend(processor::start(host, wants));
            all.extend(modules::start(host, wants));
            all.extend(vm::start(host, wants));
        }
        Os::Linux => all.extend(vm::firmware_start(host, wants)),
    }
    all.extend(memory::start(host, wants));
    all.extend(passthru::start(host, wants));
    all.extend(files::start(host, wants));
    all.extend(network::start(host, wants));
    all
}

#[cfg(test)]
mod tests;
