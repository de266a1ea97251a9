//! The hypervisor process. It inherits the VM's lock, whose file names it; together they show other processes whether it has
//! ended, whatever it does with the lock.

use crate::proc::Proc;
use crate::runtime::life;
use chyves_core::error::Result;
use chyves_core::lifecycle::Exit;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Child;

/// A running hypervisor.
pub(super) enum Machine {
    /// Our child: its exit status is known.
    Child { child: Child, process: Option<Proc> },
    /// A child of an earlier supervisor: the process table shows that it has ended, or, where nothing names it, its lock.
    Adopted { process: Option<Proc>, lock: PathBuf },
}

impl Machine {
    /// For a hypervisor that was just started and holds the lock.
    pub(super) fn of_child(child: Child) -> Self {
        let process = Proc::find(child.id()).ok().flatten();
        Self::Child { child, process }
    }

    /// The process, if it could be identified.
    pub(super) const fn process(&self) -> Option<&Proc> {
        match self {
            Self::Child { process, .. } | Self::Adopted { process, .. } => process.as_ref(),
        }
    }

    /// Whether its end causes a signal to us; otherwise it has to be polled.
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
            // A lock that is removed or damaged shows nothing; the process table still does.
            Self::Adopted { process: Some(process), lock } => match process.is_alive() {
                Ok(false) if !life::lives(lock).unwrap_or(false) => Some(Exit::Unseen),
                Ok(_) | Err(_) => None,
            },
            Self::Adopted { process: None, lock } => match life::lives(lock) {
                Ok(false) => Some(Exit::Unseen),
                // An error is not taken for an end.
                Ok(true) | Err(_) => None,
            },
        }
    }

    /// Sends it a signal. Whether it still existed.
    pub(super) fn signal(&self, signal: Signal) -> Result<bool> {
        match self.process() {
            Some(process) => process.signal(signal),
            None => Ok(false),
        }
    }
}
