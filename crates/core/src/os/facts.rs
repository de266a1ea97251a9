//! The facts about a host that every command knows.
//!
//! Not here: facts that only a start and `doctor` read ([`super::state`]), and reading them (chyves-host).

use super::{HostState, Os};
use crate::confinement::Possible;
use crate::value::Vmm;
use crate::zfs::Dialect;
use serde::{Deserialize, Serialize};

/// Facts about the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its operating system.
    pub os: Os,
    /// Its release, as (14, 3).
    pub release: (u16, u16),
    /// The processor architecture as the operating system names it: `amd64`, `arm64`.
    pub arch: String,
    /// The hypervisor in use.
    pub vmm: Vmm,
    /// The ZFS implementation in use.
    pub dialect: Dialect,
    /// The folder of runtime records.
    pub run_dir: String,
    /// The installed UEFI firmware: the paths of its code and of the template of its variables.
    pub uefi: Option<(String, String)>,
    /// Whether KVM is usable; if not, the reason.
    pub kvm: Result<(), String>,
    /// The path of the hypervisor's program, if found.
    pub hypervisor: Option<String>,
    /// How far a hypervisor process can be confined.
    #[serde(default)]
    pub confinement: Possible,
    /// Facts that only a start and `doctor` read.
    #[serde(default)]
    pub state: HostState,
}
