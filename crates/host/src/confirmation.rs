//! Changes of the host's networks that are reverted unless the user confirms them.
//!
//! Not here: the changes themselves (`apply`, `network`).

use crate::apply::take_back_steps;
use crate::hostfs::own;
use crate::network::{LOCK, WAIT, lock};
use crate::place::{Event, Place};
use crate::platform;
use crate::runtime::Runtime;
use crate::small_files::write_private;
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::value::json;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use uuid::Uuid;

/// Size limit of a pending change, in bytes.
const PENDING_LIMIT: u64 = 16 << 20;

/// A change of the host's networks that is reverted automatically unless it is confirmed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// The command line of the command that made the change.
    pub command: String,
    /// Identifies this change.
    pub token: Uuid,
    /// The steps that were executed.
    pub steps: Vec<Action>,
    /// Previous content of files that steps replaced, with the index of the step; none if the file did not exist.
    #[serde(default)]
    pub replaced: Vec<(usize, Option<String>)>,
    /// The locks that the command held; the process that reverts the change takes them too.
    #[serde(default)]
    pub locks: Vec<String>,
}

impl Pending {
    /// Adds steps that the same command executed later.
    pub fn add(&mut self, steps: &[Action], replaced: Vec<(usize, Option<String>)>) {
        let at = self.steps.len();
        self.steps.extend_from_slice(steps);
        self.replaced.extend(replaced.into_iter().map(|(index, text)| (at + index, text)));
    }
}

fn pending_path(rt: &Runtime) -> PathBuf {
    rt.root().join("network").join("unconfirmed.json")
}

/// Records the change, so that it can be reverted.
///
/// # Errors
/// The record cannot be written.
pub fn await_confirmation(rt: &Runtime, pending: &Pending) -> Result<()> {
    let path = pending_path(rt);
    let cant = |e: std::io::Error| Problem::host_cant(format!("cannot write `{}`", path.display())).because(e);
    own::make_folder(path.parent().unwrap_or(Path::new("/")), 0o700).map_err(cant)?;
    let text = serde_json::to_string(pending).map_err(|e| Problem::bug("a pending change is not JSON").because(e))?;
    write_private(&path.to_string_lossy(), &text)
}

/// The change that waits for confirmation.
///
/// # Errors
/// The record cannot be read.
pub fn pending(rt: &Runtime) -> Result<Option<Pending>> {
    let path = pending_path(rt);
    match own::text(&path, PENDING_LIMIT) {
        Ok(text) => json::from_str(&text).map(Some).map_err(|e| Problem::failed(format!("`{}` cannot be read", path.display())).because(e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Problem::host_cant(format!("cannot read `{}`", path.display())).because(e)),
    }
}

/// Confirms the pending change; whether there was one.
///
/// # Errors
/// The record cannot be read or removed.
pub fn confirm(rt: &Runtime) -> Result<bool> {
    let there = pending(rt)?.is_some();
    if there {
        own::remove(pending_path(rt)).map_err(|e| Problem::failed("the change cannot be confirmed").because(e))?;
    }
    Ok(there)
}

/// Waits, and reverts the change unless it has been confirmed by then. Whether it was reverted.
///
/// # Errors
/// The change could not be reverted.
pub fn revert_unless_confirmed(rt: &Runtime, token: Uuid, after: Duration, command: &str) -> Result<bool> {
    let is_ours = || pending(rt).map(|p| p.filter(|p| p.token == token));
    let deadline = std::time::Instant::now() + after;
    while std::time::Instant::now() < deadline {
        if is_ours()?.is_none() {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(200).min(after));
    }
    let Some(pending) = is_ours()? else { return Ok(false) };
    let others = pending.locks.iter().filter(|l| *l != LOCK);
    let _others = others.map(|name| rt.lock_named(name, WAIT, command)).collect::<Result<Vec<_>>>()?;
    let held = lock(rt, command)?;
    confirm(rt)?;
    let never = AtomicBool::new(false);
    let mut report = |_: Event<'_>| {};
    let mut place = Place {
        os: platform::here().os(),
        runtime: rt,
        command,
        locks: &[],
        interrupted: &never,
        report: &mut report,
        lent: Some(held).into(),
    };
    take_back_steps(&pending.steps, &pending.replaced, &mut place)?;
    Ok(true)
}
