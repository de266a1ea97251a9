//! What a supervisor records about its VM, so that other processes can show it and a later supervisor can take it over.
//!
//! A record proves nothing: the locks do (`observe`). A record of an earlier boot of the host is void.

use crate::hostfs::own;
use crate::proc::Proc;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::Launch;
use chyves_core::value::json;
use chyves_core::value::{Dataset, GuestName};
use chyves_core::vmm::Vmm;
use serde::{Deserialize, Serialize};
use std::path::Path;
use uuid::Uuid;

/// Size limit of a record, in bytes.
const LIMIT: u64 = 1 << 20;

/// The phase of a supervised guest; the variants' names are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Starting, also between a reboot's stop and start.
    Starting,
    /// The VM runs.
    Running,
    /// The hypervisor has paused the VM.
    Paused,
    /// The VM is being stopped.
    Stopping,
    /// The VM crashed and is not restarted.
    Crashed,
}

/// The record of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The guest's name when it was started.
    pub guest: GuestName,
    /// UUID of the guest.
    pub uuid: Uuid,
    /// The guest's dataset when it was started.
    pub dataset: Dataset,
    /// The hypervisor.
    pub vmm: Vmm,
    /// Boot id of the host at which this was written.
    pub boot: String,
    /// The supervisor's process.
    pub supervisor: Proc,
    /// The hypervisor's process, if it runs.
    pub machine: Option<Proc>,
    /// Time at which a user started the guest, in seconds since 1970.
    pub started: u64,
    /// Time at which the current hypervisor process was started, in seconds since 1970; changes with each reboot.
    pub since: u64,
    /// Number of reboots since `started`.
    pub reboots: u32,
    /// Phase of the VM.
    pub phase: Phase,
    /// Why the VM is paused, as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused: Option<String>,
    /// How the last run ended, as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<String>,
    /// The user id of the hypervisor, if it is not root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// Result of comparing the files that the hypervisor opened by itself with those that were checked, as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opened: Option<String>,
    /// Everything needed to run the VM, including its command line.
    pub launch: Launch,
}

impl Record {
    /// Reads a record; none if there is none.
    ///
    /// # Errors
    /// The record cannot be read, or is not one of chyves.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let cant = |e: &dyn std::fmt::Display| {
            Problem::failed(format!("cannot read the record `{}`", path.display()))
                .on(path.display())
                .because(e)
                .hint("`chyves repair` brings it to order")
        };
        let text = match own::text(path, LIMIT) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(cant(&e)),
        };
        json::from_str(&text).map(Some).map_err(|e| cant(&e))
    }

    /// Writes the record atomically: readers see the old or the new one.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        own::replace(path, &text)
    }
}
