//! What a supervisor writes down about its machine, so that others can show it and a next supervisor can take it over.
//!
//! A record proves nothing: the locks do (`observe`). One of another boot of the host is void.

use crate::hostfs::own;
use crate::proc::Proc;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::Launch;
use chyves_core::value::{Dataset, GuestName};
use chyves_core::vmm::Vmm;
use serde::{Deserialize, Serialize};
use std::path::Path;
use uuid::Uuid;

/// More is not ours.
const LIMIT: u64 = 1 << 20;

/// Where a supervised guest is in its life, in the words that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// On its way up, also between two lives.
    Starting,
    /// Its guest executes.
    Running,
    /// Its hypervisor has paused it.
    Paused,
    /// Somebody wants it off.
    Stopping,
    /// Its last end was a crash that nothing follows.
    Crashed,
}

/// The record of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The guest's name when it was started.
    pub guest: GuestName,
    /// Its identity.
    pub uuid: Uuid,
    /// Where it lived when it was started.
    pub dataset: Dataset,
    /// The hypervisor.
    pub vmm: Vmm,
    /// The boot of the host under which this was written.
    pub boot: String,
    /// Its supervisor.
    pub supervisor: Proc,
    /// The hypervisor's process, where there is one.
    pub machine: Option<Proc>,
    /// When it was started by somebody, seconds since 1970.
    pub started: u64,
    /// When the present hypervisor was started, seconds since 1970; changes with each reboot.
    pub since: u64,
    /// How often it was started again since then.
    pub reboots: u32,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is paused, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused: Option<String>,
    /// How its last machine ended, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<String>,
    /// The user that the hypervisor runs as, where it is not root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// What of the files that the hypervisor opens by itself was compared with those that were checked, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opened: Option<String>,
    /// All that is needed to run it, its command line included.
    pub launch: Launch,
}

impl Record {
    /// Reads a record, or none where there is none.
    ///
    /// # Errors
    /// It can't be read or is none of ours.
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
        serde_json::from_str(&text).map(Some).map_err(|e| cant(&e))
    }

    /// Writes it whole or not at all: readers see the old one or the new one.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        own::replace(path, &text)
    }
}
