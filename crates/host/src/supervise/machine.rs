//! The hypervisor's process. It holds the machine's lock by inheriting it, so that the lock is free exactly when the last
//! of its processes is gone, whoever watches.

use super::job::CantRun;
use crate::proc::Proc;
use crate::runtime::{Lock, lock};
use crate::{child, trace};
use chyves_core::cmd::Cmd;
use chyves_core::error::Result;
use chyves_core::lifecycle::Exit;
use rustix::io::FdFlags;
use rustix::process::Signal;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// A running hypervisor.
pub(super) enum Machine {
    /// Our child: its exit is seen.
    Child { child: Child, process: Option<Proc> },
    /// Another supervisor's child: only that it is gone is seen, by its lock.
    Adopted { process: Option<Proc>, lock: PathBuf },
}

impl Machine {
    /// Starts the hypervisor, which takes the lock over. Its messages go to `log`.
    pub(super) fn launch(cmd: &Cmd, lock: Lock, log: &File) -> std::result::Result<Self, CantRun> {
        let cant = |why| CantRun { why, missing: false };
        let inherit =
            |flags| rustix::io::fcntl_setfd(lock.file(), flags).map_err(|e| cant(format!("can't hand the machine's lock on: {e}")));
        let clone = || log.try_clone().map_err(|e| cant(format!("can't open the hypervisor's log: {e}")));
        // In a group of its own: what is typed at the terminal of a supervisor in the foreground is not for the hypervisor.
        let mut command = child::command(&cmd.program);
        command.args(&cmd.args).stdin(Stdio::null()).stdout(clone()?).stderr(clone()?);
        inherit(FdFlags::empty())?;
        let spawned = command.spawn();
        // Nothing else may be born with it.
        inherit(FdFlags::CLOEXEC)?;
        let child = spawned.map_err(|e| CantRun::new(&cmd.program, &e))?;
        trace::started(cmd);
        // From here on only the hypervisor holds it.
        drop(lock);
        let process = Proc::find(child.id()).ok().flatten();
        Ok(Self::Child { child, process })
    }

    /// The process, if it could be told.
    pub(super) const fn process(&self) -> Option<&Proc> {
        match self {
            Self::Child { process, .. } | Self::Adopted { process, .. } => process.as_ref(),
        }
    }

    /// Whether its end comes with a signal to us; else it has to be looked for.
    pub(super) const fn is_child(&self) -> bool {
        matches!(self, Self::Child { .. })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<Exit> {
        match self {
            Self::Child { child, .. } => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(match (status.code(), status.signal()) {
                    (Some(code), _) => Exit::Status(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Unseen,
                }),
                Err(_) => Some(Exit::Unseen),
            },
            Self::Adopted { lock, .. } => match lock::is_held(lock) {
                Ok(false) => Some(Exit::Unseen),
                // What can't be seen is not taken for an end.
                Ok(true) | Err(_) => None,
            },
        }
    }

    /// Sends it a signal. Answers whether it was there to get it.
    pub(super) fn signal(&self, signal: Signal) -> Result<bool> {
        match self.process() {
            Some(process) => process.signal(signal),
            None => Ok(false),
        }
    }
}
