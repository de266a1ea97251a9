//! Reading what an administrator named and what may never arrive: a FIFO without a writer, a pipe whose writer is silent, a
//! terminal. Opening does not block, and a wait for data ends with the first signal, as a plain `read` would not.

use crate::interrupt;
use rustix::fs::OFlags;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Result};
use std::os::fd::AsFd;
use std::path::Path;

/// An open file, pipe or device that is read from its present position to its end.
#[derive(Debug)]
pub struct Input {
    file: File,
    /// The number of signals before it was opened.
    signals: u64,
}

impl Input {
    /// Opens a path as [`super::named::open_for`] does. The writer of a FIFO is waited for by the first read.
    ///
    /// # Errors
    /// The system call fails, or a link of another user leads to another user's file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let signals = interrupt::count();
        // Descriptors of this process, whose links lead to no path.
        let own = super::named::is_own_descriptor(path.as_ref());
        let how = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = if own {
            File::from(rustix::fs::open(path.as_ref(), how | OFlags::CLOEXEC | OFlags::NOCTTY, rustix::fs::Mode::empty())?)
        } else {
            super::named::open_for(path, how)?
        };
        Ok(Self { file, signals })
    }

    /// The standard input of this process.
    ///
    /// # Errors
    /// No more descriptors are available.
    pub fn standard() -> Result<Self> {
        let signals = interrupt::count();
        Ok(Self { file: File::from(std::io::stdin().as_fd().try_clone_to_owned()?), signals })
    }

    /// What was opened.
    ///
    /// # Errors
    /// The system call fails.
    pub fn metadata(&self) -> Result<Metadata> {
        self.file.metadata()
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            interrupt::until_readable_since(self.file.as_fd(), self.signals).map_err(super::carried)?;
            match self.file.read(into) {
                // Another process has read what there was.
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}
