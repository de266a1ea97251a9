//! The hypervisor's output: a named pipe in the guest's runtime folder, which the supervisor copies to the log.
//!
//! The hypervisor never has the log itself. It gets a write-only descriptor of a pipe: it cannot read back, seek or truncate
//! anything, and can fill no more than the 64 KiB of the pipe. Three properties keep the hypervisor from being harmed by its
//! output, even if the supervisor was killed:
//! * a write never blocks: what does not fit is lost
//! * the pipe always has a reader, since the hypervisor also inherits a reading end, unused
//! * the pipe has a name, so that the next supervisor continues with it, and reads what was printed meanwhile
//!
//! Not here: the log and its limits (`log`).

use crate::confine::Printing;
use crate::hostfs::own::{self, Ends};
use chyves_core::error::{Problem, Result};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Number of bytes read per period: a hypervisor that prints endlessly uses neither much CPU time nor much of the pool.
const SHARE: usize = 64 << 10;
/// Length of a period in milliseconds.
const PERIOD: u64 = 1_000;

/// The reading side.
pub(super) struct Messages {
    path: PathBuf,
    pipe: File,
    /// Bytes that may still be read in this period.
    left: usize,
    /// Start of the next period.
    next: u64,
}

impl Messages {
    /// Opens the pipe, creating it if it is missing.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let cant = |e: std::io::Error| {
            Problem::failed(format!("cannot open the pipe for the messages of the hypervisor, `{}`", path.display()))
                .on(path.display())
                .because(e)
        };
        own::make_pipe(path).map_err(cant)?;
        // Opened for writing as well, so that reading never reaches the end of file, which `poll` would report permanently.
        let pipe = own::pipe(path, Ends::Both).map_err(cant)?;
        Ok(Self { path: path.to_owned(), pipe, left: SHARE, next: 0 })
    }

    /// The descriptors for a hypervisor that is about to be started.
    pub(super) fn printing(&self) -> std::io::Result<Printing> {
        Ok(Printing { out: own::pipe(&self.path, Ends::Writing)?.into(), held: own::pipe(&self.path, Ends::Reading)?.into() })
    }

    /// Reads output, if there is any and this period's share is not used up. Also returns whether the share is now used up, so
    /// that further output may be lost.
    pub(super) fn read<'b>(&mut self, buffer: &'b mut [u8], now: u64) -> Option<(&'b [u8], bool)> {
        if now >= self.next {
            (self.left, self.next) = (SHARE, now + PERIOD);
        }
        let most = buffer.len().min(self.left);
        let read = self.read_now(&mut buffer[..most])?;
        self.left -= read.len();
        Some((read, self.left == 0))
    }

    /// Reads regardless of the share: for the last output of a hypervisor that has ended.
    pub(super) fn read_now<'b>(&mut self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        if buffer.is_empty() {
            return None;
        }
        match self.pipe.read(buffer) {
            Ok(0) | Err(_) => None,
            Ok(n) => Some(&buffer[..n]),
        }
    }

    /// The descriptor to poll, or the time of the next period.
    pub(super) fn interest(&self) -> std::result::Result<BorrowedFd<'_>, u64> {
        if self.left == 0 { Err(self.next) } else { Ok(self.pipe.as_fd()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn who_prints_without_end_is_read_at_a_bounded_rate_and_never_blocks() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("messages");
        let mut messages = Messages::open(&path).unwrap();
        let mut out = File::from(messages.printing().unwrap().out);
        let mut buffer = [0; 4096];
        assert!(messages.read(&mut buffer, 0).is_none());
        let (mut read, mut last) = (0, false);
        for _ in 0..1000 {
            let _ = out.write(&[b'x'; 4096]);
            if let Some((bytes, is_last)) = messages.read(&mut buffer, 10) {
                (read, last) = (read + bytes.len(), is_last);
            }
        }
        assert_eq!((read, last), (SHARE, true));
        assert!(matches!(messages.interest(), Err(at) if at == PERIOD));
        // In the next period, and without a limit after the end.
        assert!(messages.read(&mut buffer, PERIOD).is_some() && messages.interest().is_ok());
        while messages.read_now(&mut buffer).is_some() {}
    }

    #[test]
    fn what_is_printed_without_a_supervisor_reaches_the_next_one_and_harms_nobody() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("messages");
        let first = Messages::open(&path).unwrap();
        let Printing { out, held } = first.printing().unwrap();
        drop(first);
        let mut out = File::from(out);
        out.write_all(b"kept\n").unwrap();
        // A full pipe without an active reader: an error, no signal.
        while out.write(&[b'x'; 4096]).is_ok() {}
        assert_eq!(out.write(b"y").unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        let mut second = Messages::open(&path).unwrap();
        let mut buffer = [0; 5];
        assert_eq!(second.read_now(&mut buffer).unwrap(), b"kept\n");
        drop(held);
        // The pipe can only be written.
        assert!(File::from(second.printing().unwrap().out).read(&mut buffer).is_err() && out.set_len(0).is_err());
    }
}
