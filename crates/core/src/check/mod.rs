//! Checks whether a host can run a guest. Facts about a host, and the needs of a start, become findings: each states its
//! topic, how severe it is, the cause, and what to do.
//!
//! * [`start`]: everything that keeps a guest from starting, or is worth a warning; all at once
//! * [`host`]: the host itself, one finding for each topic, for `doctor`
//! * one file for each topic: [`processor`], [`memory`], [`modules`], [`passthru`], [`network`], [`files`], [`vm`],
//!   [`system`], [`servers`], [`settings`]
//! * [`trust`]: which host-reaching settings of a guest this host trusts
//!
//! Unknown facts never fail a check. Not here: rules for VMs (`vmm::check`), limits of a release's bhyve
//! (`vmm::bhyve::check`), and inspecting the host (chyves-host's `facts`).
//!
//! To add a check: a fact in `os::state`, a function in the file of its topic, a line in [`start`] or [`host`].

mod advisories;
pub mod files;
pub mod host;
pub mod memory;
pub mod modules;
pub mod network;
pub mod passthru;
pub mod processor;
pub mod servers;
pub mod settings;
pub mod system;
pub mod trust;
pub mod vm;

use crate::device::HostDevice;
use crate::error::Problem;
use crate::guest::Loader;
use crate::os::{HostFacts, Os};
use crate::value::{GuestName, IfName, ImageName, Size};
use serde::Serialize;
use std::net::SocketAddr;

/// How severe a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No problem.
    Ok,
    /// It was not inspected, or cannot be seen here.
    Unknown,
    /// It works with limitations.
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

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The topic, in a word or two.
    pub what: String,
    /// How severe it is.
    pub severity: Severity,
    /// What was found, one sentence without a full stop.
    pub cause: String,
    /// What to do about it; the entries are alternatives or steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cure: Vec<String>,
}

impl Finding {
    fn new(what: &str, severity: Severity, cause: impl Into<String>) -> Self {
        Self { what: what.to_owned(), severity, cause: cause.into(), cure: Vec::new() }
    }

    /// No problem.
    pub fn ok(what: &str, cause: impl Into<String>) -> Self {
        Self::new(what, Severity::Ok, cause)
    }

    /// The facts are unknown.
    pub fn unknown(what: &str, cause: impl Into<String>) -> Self {
        Self::new(what, Severity::Unknown, cause)
    }

    /// A warning.
    pub fn warns(what: &str, cause: impl Into<String>) -> Self {
        Self::new(what, Severity::Warning, cause)
    }

    /// A failure.
    pub fn fails(what: &str, cause: impl Into<String>) -> Self {
        Self::new(what, Severity::Fails, cause)
    }

    /// Adds an action that helps.
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

    /// The finding as an error of the class "the host lacks something".
    pub fn problem(&self) -> Problem {
        let mut problem = Problem::host_cant(self.cause.clone());
        problem.hints.clone_from(&self.cure);
        problem
    }
}

/// The needs of a guest's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    /// The guest.
    pub guest: GuestName,
    /// Number of virtual CPUs.
    pub cpus: u32,
    /// Memory size.
    pub ram: Size,
    /// How it boots.
    pub loader: Loader,
    /// Its firmware, if it boots with one that is available.
    pub firmware: Option<WantedFirmware>,
    /// The kernel modules that it needs.
    pub modules: Vec<String>,
    /// Whether chyves may load them.
    pub may_load: bool,
    /// Whether the guest's previous run has just ended (reboot or crash): a VM object of its name is then its own.
    pub again: bool,
    /// Whether an existing VM object of its name was left by a crash of this guest.
    pub left_by_crash: bool,
    /// Files and devices that are opened.
    pub paths: Vec<WantedPath>,
    /// Attached disks: the path of each, and whether it is written.
    pub attached: Vec<(String, bool)>,
    /// NICs on bridges.
    pub nics: Vec<WantedNic>,
    /// Netgraph nodes: the device that needs each, and its address, such as `lan:`.
    pub nodes: Vec<(String, String)>,
    /// Host devices for passthrough.
    pub passthru: Vec<HostDevice>,
    /// Terminal devices at its serial ports: the port's key, and the device.
    pub ports: Vec<(String, String)>,
    /// The address for VNC; port 0 stands for any free port.
    pub vnc: Option<SocketAddr>,
    /// Whether packaged firmware has to boot from a medium, or from a disk with a boot index, first.
    pub boot_order: bool,
    /// Whether it has devices that chyves does not know, so that bhyve's list of emulations is needed.
    pub emulations: bool,
}

/// The firmware that a guest boots with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFirmware {
    /// The image that it is from; `None` for the host's packages.
    pub image: Option<ImageName>,
    /// Its code, and the template of its variables.
    pub files: Vec<FirmwareFile>,
}

/// A file of firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareFile {
    /// Its path.
    pub path: String,
    /// Its size, if recorded: the file of an image that is not mounted cannot be inspected.
    pub size: Option<Size>,
}

/// A path that is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPath {
    /// The path.
    pub path: crate::value::FilePath,
    /// The device that needs it: `disk 0`.
    pub what: String,
    /// How it is needed.
    pub need: Need,
}

/// How a path is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Readable; others may read it too.
    Read,
    /// A regular file, readable: it is read to its end.
    Content,
    /// A terminal, readable.
    Terminal,
    /// Writable, and used by this guest only.
    Write,
    /// A folder.
    Folder,
    /// A socket that swtpm listens on.
    Socket,
    /// netmap's device node: exists if the kernel supports netmap.
    Netmap,
    /// Not existing: bhyve creates it and fails if it exists.
    Absent,
    /// A file of the package with this name.
    Package(&'static str),
    /// It need not exist; if it does, the jail contains it.
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
    /// The token with which the tap is marked.
    pub owner: String,
}

pub use vm::unfit as unfit_firmware;

/// All findings before a guest starts, or starts again, the most severe first within each topic. Findings without a problem
/// are left out.
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
