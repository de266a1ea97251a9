//! The launch: everything that a supervisor needs to run a VM once. The supervisor gets it when it is started and again at
//! each reboot.
//!
//! The planner creates it (`plan::start`), the supervisor executes it; neither depends on the internals of the other.

pub mod guest_files;

pub use crate::property::choices::OnEnd;

use crate::cmd::Cmd;
use crate::confinement::Confinement;
use crate::value::json::tagged;
use crate::value::{Dataset, FilePath, GuestName, Size, Vmm};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// One complete start of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The guest's present name.
    pub guest: GuestName,
    /// Its UUID, which names its runtime files.
    pub uuid: Uuid,
    /// Its dataset.
    pub dataset: Dataset,
    /// Which hypervisor runs it.
    pub vmm: Vmm,
    /// Commands to run to completion before the hypervisor, in order (a loader, the removal of an old VM object).
    pub before: Vec<Prepare>,
    /// The hypervisor; it runs in the foreground.
    pub hypervisor: Cmd,
    /// Commands to run after the run has ended; a failure of one does not stop the others.
    pub after: Vec<Cmd>,
    /// How the VM is controlled.
    pub control: Control,
    /// Where its first serial port is connected.
    pub console: ConsoleEnd,
    /// The folder of the size-limited console log and of the hypervisor's own messages.
    pub log_dir: FilePath,
    /// Size limit of the console log.
    pub log_limit: Size,
    /// What follows when the VM ends.
    pub policy: Policy,
    /// Arguments that the supervisor passes back when it requests the next launch: state of this run that is not a setting.
    #[serde(default)]
    pub again: Vec<String>,
    /// File systems that other guests may use too. They are unmounted when no guest uses them any more.
    #[serde(default)]
    pub borrows: Vec<Dataset>,
    /// Whether it has taps or other objects on the host's networks, which are removed at its end.
    #[serde(default)]
    pub networks: bool,
    /// Host devices that the VM uses exclusively, as the planner names them: `2/0/0`, `/dev/nmdm-web01.2A`.
    #[serde(default)]
    pub given: Vec<String>,
    /// Whether the commands before the hypervisor need exclusive access to the file system that contains the logs.
    #[serde(default)]
    pub frees_logs: bool,
    /// The address of its VNC display; `None` without a display or with one on a UNIX socket.
    #[serde(default)]
    pub screen: Option<std::net::SocketAddr>,
    /// What the hypervisor gets as open descriptors, with the numbers that its command line uses.
    #[serde(default)]
    pub descriptors: Vec<Descriptor>,
    /// What the hypervisor opens itself by path. The supervisor verifies that these are the files that were checked.
    #[serde(default)]
    pub opens: Vec<Opens>,
    /// How the hypervisor process is confined.
    #[serde(default)]
    pub confinement: Confinement,
    /// The settings that this run was started with, limited to those that take effect at a start; the guest's settings may
    /// have changed since ([`crate::guest::pending`]).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// All settings that it was made from, including inherited ones; a reboot falls back to them.
    #[serde(default)]
    pub made_of: BTreeMap<String, String>,
    /// Why it was made from the settings of the previous start: the reason why the present ones cannot be used.
    #[serde(default)]
    pub kept_because: Option<String>,
}

/// Something that is opened for the hypervisor process, so that the process itself needs no permission to open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The number of the descriptor.
    pub number: i32,
    /// What it is.
    #[serde(flatten)]
    pub what: Opened,
}

/// Something that a hypervisor process opens itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opens {
    /// What it is.
    #[serde(flatten)]
    pub what: Opened,
    /// Whether it stays open or mapped while the guest runs; otherwise it is closed after it was read.
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
#[serde(remote = "Self", rename_all = "kebab-case")]
pub enum Opened {
    /// A regular file, or a disk device.
    File {
        /// Its path.
        path: String,
        /// Whether it is written to.
        write: bool,
        /// Whether it is a device.
        device: bool,
        /// The mount point of the guest's or image's dataset that it is in; `None` if it is elsewhere on the host. Below a
        /// mount point, symbolic links are not followed.
        #[serde(default)]
        beneath: Option<String>,
    },
    /// A UNIX socket to create and listen on; only root may connect to it.
    Listen {
        /// Its path.
        path: String,
    },
    /// A connection to a UNIX socket.
    Connect {
        /// Its path.
        path: String,
    },
    /// A queue of an existing tap.
    Tap {
        /// The name of the interface.
        name: String,
        /// Whether the tap has several queues.
        several: bool,
    },
}

tagged!(Opened, "open");

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

/// A placeholder for this program among the commands of a launch; the supervisor replaces it by the program's path.
pub const OWN: &str = "chyves";

/// The hidden command that makes the content of a folder or volume equal to that of another.
pub const RESTORE: &str = "_restore";

/// The file in a guest's runtime folder that contains the password of its display.
pub const SECRET_FILE: &str = "vnc.secret";

/// The key of the reason in the reply to a supervisor whose request for a launch was refused.
pub const REFUSED: &str = "refused";

impl Launch {
    /// Describes the descriptors that the hypervisor's command line refers to by number only, for users who run it
    /// manually. Files are already named in the command line by `-add-fd`.
    pub fn descriptors_shown(&self) -> String {
        let other = self.descriptors.iter().filter(|d| !matches!(d.what, Opened::File { .. }));
        other.map(|d| format!("; descriptor {} is {}", d.number, d.what)).collect::<Vec<_>>().concat()
    }

    /// Whether a command, as it is shown, is the guest's loader or hypervisor.
    pub fn is_run_by(&self, shown: &str) -> bool {
        let loaders = self.before.iter().filter(|p| p.loads).map(|p| &p.cmd);
        loaders.chain([&self.hypervisor]).any(|cmd| cmd.to_string() == shown)
    }
}

/// A command that runs before the hypervisor, and how its failure is handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// The command.
    pub cmd: Cmd,
    /// Whether a failure is ignored (such as removing something that may not exist).
    pub may_fail: bool,
    /// Timeout in seconds.
    pub timeout: u32,
    /// Whether it loads the guest operating system into the VM's memory, and thus belongs to the commands that users want
    /// to see.
    #[serde(default)]
    pub loads: bool,
}

/// How a VM is controlled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case")]
pub enum Control {
    /// QMP on a UNIX socket that QEMU listens on.
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

tagged!(Control, "by");

/// The supervisor's end of the guest's first serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case")]
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

tagged!(ConsoleEnd, "at");

/// What follows when a VM ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// After the guest's own reboot.
    pub on_reboot: OnEnd,
    /// After a triple fault, an error of the hypervisor, or its termination by a signal.
    pub on_crash: OnEnd,
    /// Seconds that a `stop` waits for the guest to power off.
    pub stop_timeout: u32,
}
