//! Signals as a descriptor to poll: a handler may do next to nothing, so it writes a byte to a pipe.

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What signals requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Requested {
    /// Stop the guest.
    pub(super) stop: bool,
    /// Create the files in the runtime folder again.
    pub(super) restore: bool,
}

/// The signals that a supervisor handles.
pub(super) struct Signals {
    pipe: UnixStream,
    stop: Arc<AtomicBool>,
    restore: Arc<AtomicBool>,
    ids: Vec<signal_hook::SigId>,
}

impl Signals {
    /// Installs the handlers. `foreground`: the loss of the terminal is a request to stop, too. SIGUSR1 reports that files in the runtime
    /// folder are lost.
    pub(super) fn new(foreground: bool) -> std::io::Result<Self> {
        let (pipe, writer) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let mut signals = Self { pipe, stop: Arc::default(), restore: Arc::default(), ids: Vec::new() };
        let stops: &[i32] = if foreground { &[SIGTERM, SIGINT, SIGHUP] } else { &[SIGTERM, SIGINT] };
        // The flag is registered first: when the byte arrives, it must already be set.
        for &signal in stops {
            signals.ids.push(signal_hook::flag::register(signal, Arc::clone(&signals.stop))?);
        }
        signals.ids.push(signal_hook::flag::register(SIGUSR1, Arc::clone(&signals.restore))?);
        for &signal in stops.iter().chain(&[SIGUSR1, SIGCHLD]) {
            signals.ids.push(signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?);
        }
        Ok(signals)
    }

    /// The descriptor to poll.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Empties the pipe; what was requested since the last call.
    pub(super) fn take(&mut self) -> Requested {
        let mut bytes = [0; 64];
        while matches!(self.pipe.read(&mut bytes), Ok(n) if n == bytes.len()) {}
        let swap = |flag: &AtomicBool| flag.swap(false, Ordering::SeqCst);
        Requested { stop: swap(&self.stop), restore: swap(&self.restore) }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
