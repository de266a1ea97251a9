//! What a supervisor needs to know to run one machine: handed to it when it is born and again at each reboot.
//!
//! The planner makes it (`plan::start`), the supervisor obeys it; neither knows how the other works.

use crate::cmd::Cmd;
use crate::confinement::Confinement;
use crate::value::{Dataset, FilePath, GuestName, Size};
use crate::vmm::Vmm;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// One start of a guest, complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The guest's name now.
    pub guest: GuestName,
    /// Its identity; runtime files are kept by it.
    pub uuid: Uuid,
    /// Where it lives.
    pub dataset: Dataset,
    /// Which hypervisor runs it.
    pub vmm: Vmm,
    /// Commands to run to the end before the hypervisor, in order (a loader, the removal of an old VM object).
    pub before: Vec<Prepare>,
    /// The hypervisor itself; it stays in the foreground.
    pub hypervisor: Cmd,
    /// Commands to run after the machine has ended for good, whatever happens to each.
    pub after: Vec<Cmd>,
    /// How the machine is controlled.
    pub control: Control,
    /// Where its first serial port can be reached.
    pub console: ConsoleEnd,
    /// The folder of the bounded console log and of the hypervisor's own messages.
    pub log_dir: FilePath,
    /// How much console log is kept.
    pub log_limit: Size,
    /// What follows an end.
    pub policy: Policy,
    /// Words that the supervisor hands back when it asks how the guest is to be run again: what holds for this run and is
    /// no setting.
    #[serde(default)]
    pub again: Vec<String>,
    /// File systems that other guests may use too. One that nobody uses any more is unmounted.
    #[serde(default)]
    pub borrows: Vec<Dataset>,
    /// Whether it has taps or more on the host's networks, which go with it.
    #[serde(default)]
    pub networks: bool,
    /// Devices of the host that the machine has for itself, as the planner names them: `2/0/0`, `/dev/nmdm-web01.2A`.
    #[serde(default)]
    pub given: Vec<String>,
    /// Whether the commands before the hypervisor need the file system that the logs lie on for themselves.
    #[serde(default)]
    pub frees_logs: bool,
    /// Where the machine's screen is seen by VNC, where it has one and it is no file.
    #[serde(default)]
    pub screen: Option<std::net::SocketAddr>,
    /// What the hypervisor gets as open descriptors, at the numbers that its command line names.
    #[serde(default)]
    pub descriptors: Vec<Descriptor>,
    /// What the hypervisor opens by itself, by paths; it is made sure that these are the files that were checked.
    #[serde(default)]
    pub opens: Vec<Opens>,
    /// How the hypervisor is confined.
    #[serde(default)]
    pub confinement: Confinement,
    /// The settings that this run was started with, of those that take effect at a start; those of the guest may have changed
    /// since ([`crate::guest::pending`]).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// All settings that it was made of, inherited ones among them: what a reboot falls back to.
    #[serde(default)]
    pub made_of: BTreeMap<String, String>,
    /// Why it was made of the settings of the start before, where the present ones can't be used.
    #[serde(default)]
    pub kept_because: Option<String>,
}

/// Something that is opened for the hypervisor, which then need not be allowed to open it itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The number of the descriptor.
    pub number: i32,
    /// What it is.
    #[serde(flatten)]
    pub what: Opened,
}

/// Something that a hypervisor opens by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opens {
    /// What it is.
    #[serde(flatten)]
    pub what: Opened,
    /// Whether it stays open, or mapped, while the guest runs; else it is closed once it has been read.
    pub stays: bool,
}

impl Opens {
    /// Its path.
    pub fn path(&self) -> &str {
        match &self.what {
            Opened::File { path, .. } | Opened::Listen { path } | Opened::Connect { path } => path,
            Opened::Tap { name, .. } => name,
        }
    }
}

/// What can be opened for a hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "open", rename_all = "kebab-case")]
pub enum Opened {
    /// A regular file, or a disk device.
    File {
        /// Its path.
        path: String,
        /// Whether it is written to.
        write: bool,
        /// Whether it is a device.
        device: bool,
        /// The mount point of the guest's or image's dataset that it is in; none where it is elsewhere on the host. Below one
        /// no link is followed.
        #[serde(default)]
        beneath: Option<String>,
    },
    /// A UNIX socket that is made there and listened on; only root may connect to it.
    Listen {
        /// Its path.
        path: String,
    },
    /// A connection to a UNIX socket.
    Connect {
        /// Its path.
        path: String,
    },
    /// A queue of a tap that is there already.
    Tap {
        /// The name of the interface.
        name: String,
        /// Whether the tap has several queues.
        several: bool,
    },
}

impl std::fmt::Display for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, write: true, .. } => write!(f, "{path} (read-write)"),
            Self::File { path, write: false, .. } => write!(f, "{path} (read-only)"),
            Self::Listen { path } => write!(f, "a socket that listens at {path}"),
            Self::Connect { path } => write!(f, "a connection to the socket {path}"),
            Self::Tap { name, .. } => write!(f, "the tap {name}"),
        }
    }
}

/// Stands for this program among the commands of a launch: the supervisor knows where it is.
pub const OWN: &str = "chyves";

/// The hidden command of this program that makes a folder or a volume what another one is.
pub const RESTORE: &str = "_restore";

/// The file in a guest's runtime folder that holds the password of its display.
pub const SECRET_FILE: &str = "vnc.secret";

/// The key of the reason where a supervisor that asks for a launch is told that there is none.
pub const REFUSED: &str = "refused";

impl Launch {
    /// What the descriptors are that the hypervisor's command line names by number alone, for whoever wants to run it by hand.
    /// Files are named there by `-add-fd` itself.
    pub fn descriptors_shown(&self) -> String {
        let other = self.descriptors.iter().filter(|d| !matches!(d.what, Opened::File { .. }));
        other.map(|d| format!("; descriptor {} is {}", d.number, d.what)).collect::<Vec<_>>().concat()
    }

    /// Whether a command, as it is shown, is what the guest itself is run by: its loader or its hypervisor.
    pub fn is_run_by(&self, shown: &str) -> bool {
        let loaders = self.before.iter().filter(|p| p.loads).map(|p| &p.cmd);
        loaders.chain([&self.hypervisor]).any(|cmd| cmd.to_string() == shown)
    }
}

/// A command before the hypervisor and how its failure counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// The command.
    pub cmd: Cmd,
    /// Whether a failure is no failure (removing what may not be there).
    pub may_fail: bool,
    /// Seconds after which it counts as hung.
    pub timeout: u32,
    /// Whether it puts the guest's system into the machine's memory: the half of its start that people look for, too.
    #[serde(default)]
    pub loads: bool,
}

/// The way to ask a machine to do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Control {
    /// QEMU's machine protocol on a UNIX socket that QEMU listens on.
    Qmp {
        /// The socket's path.
        socket: String,
    },
    /// Signals and `bhyvectl`.
    Bhyve {
        /// The name of the VM object below `/dev/vmm`.
        vm: String,
    },
}

/// The supervisor's end of the guest's first serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "kebab-case")]
pub enum ConsoleEnd {
    /// A UNIX socket that the hypervisor listens on.
    Socket {
        /// The socket's path.
        path: String,
    },
    /// A terminal device, such as the B side of an nmdm pair.
    Device {
        /// The device's path.
        path: String,
    },
    /// The guest has no serial port.
    None,
}

/// What follows when a machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// After the guest's own reboot.
    pub on_reboot: OnEnd,
    /// After a triple fault, an error of the hypervisor, or its death by a signal.
    pub on_crash: OnEnd,
    /// Seconds that a `stop` waits for the guest to power off.
    pub stop_timeout: u32,
}

/// One of the things that may follow an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnEnd {
    /// Start again (after a crash with growing pauses and a limit).
    Restart,
    /// Clean up and stay off.
    Stop,
}
