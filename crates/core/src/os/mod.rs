//! Hosts: what is wanted of one, as intents, which each operating system's folder says by its commands; and what is known
//! of one ([`state`]), which the same folders read from what their tools print.
//!
//! Not here: running the tools (chyves-host) and what follows from what is known (`check`).
//!
//! To add a host: a variant of [`Os`], a folder beside these, and the arms that the compiler asks for.

pub mod freebsd;
pub mod linux;
pub mod state;
pub mod taps;

pub use state::HostState;

use crate::cmd::Cmd;
use crate::value::IfName;
use serde::{Deserialize, Serialize};

/// The operating system of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// FreeBSD, with bhyve.
    FreeBsd,
    /// Linux, with QEMU.
    Linux,
}

impl std::fmt::Display for Os {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::FreeBsd => "FreeBSD",
            Self::Linux => "Linux",
        })
    }
}

impl std::str::FromStr for Os {
    type Err = crate::value::BadValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "freebsd" => Ok(Self::FreeBsd),
            "linux" => Ok(Self::Linux),
            _ => Err(crate::value::BadValue::new(text, "is no host that chyves knows").hint("it takes freebsd or linux")),
        }
    }
}

/// One thing wanted of the host's kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "kebab-case")]
pub enum Intent {
    /// A kernel module is loaded.
    LoadModule {
        /// Its name.
        module: String,
    },
    /// A tap exists, described with its owner, with this MTU, and is up.
    MakeTap {
        /// Its name.
        tap: IfName,
        /// The exact token that says whose it is: `chyves/<uuid>/net<n>`.
        owner: String,
        /// Its MTU.
        mtu: u32,
    },
    /// A tap that was made for this owner is gone.
    RemoveTap {
        /// Its name.
        tap: IfName,
        /// Its token.
        owner: String,
    },
    /// A VM object of bhyve's is gone.
    DestroyVm {
        /// Its name.
        vm: String,
    },
    /// An interface is a member of a bridge.
    Join {
        /// The bridge.
        bridge: IfName,
        /// The member.
        member: IfName,
    },
}

impl Intent {
    /// One line for people.
    pub fn describe(&self) -> String {
        match self {
            Self::LoadModule { module } => format!("load the kernel module {module}"),
            Self::MakeTap { tap, owner, .. } => format!("make the tap {tap} for {owner}"),
            Self::RemoveTap { tap, owner } => format!("remove the tap {tap} of {owner}"),
            Self::DestroyVm { vm } => format!("destroy the VM object {vm}"),
            Self::Join { bridge, member } => format!("attach {member} to {bridge}"),
        }
    }

    /// The commands that bring it about.
    pub fn commands(&self, os: Os) -> Vec<Cmd> {
        match os {
            Os::FreeBsd => freebsd::commands(self),
            Os::Linux => linux::commands(self),
        }
    }

    /// The question that is answered with a failure where nothing of it is left to be taken back.
    pub fn witness(&self, os: Os) -> Option<Cmd> {
        let interface = match self {
            Self::MakeTap { tap, .. } => tap,
            Self::Join { member, .. } => member,
            Self::LoadModule { .. } | Self::RemoveTap { .. } | Self::DestroyVm { .. } => return None,
        };
        Some(match os {
            Os::FreeBsd => Cmd::new(freebsd::ifconfig::TOOL, [interface.as_str()]),
            Os::Linux => Cmd::new(linux::ip::TOOL, ["link", "show", "dev", interface.as_str()]),
        })
    }

    /// The commands that take it back; none where it is better left.
    pub fn undo(&self, os: Os) -> Vec<Cmd> {
        match os {
            Os::FreeBsd => freebsd::undo(self),
            Os::Linux => linux::undo(self),
        }
    }
}
