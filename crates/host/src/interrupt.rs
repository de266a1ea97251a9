//! Signals that ask this command to end: Ctrl-C, SIGTERM, a terminal that is closed. Counted, so that a second one can mean
//! more than the first; and where notes go about a program that is waited for.
//!
//! Not here: what a plan does about the first (`apply`), and what happens to a program that runs then (`run::wait`).

use chyves_core::error::{Problem, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// Each signal adds a byte; nobody reads them, so that their number is the number of signals. The other end stays open with it.
static SIGNALS: OnceLock<(UnixStream, UnixStream)> = OnceLock::new();

/// Shows a note to the person who waits.
type Show = Box<dyn Fn(&str) + Send + Sync>;

static SHOW: OnceLock<Show> = OnceLock::new();

/// Counts signals from now on; the flag is raised by the first. A signal that can't be caught simply ends the command.
pub fn watch() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let Ok((reader, writer)) = UnixStream::pair() else { return flag };
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if let Ok(writer) = writer.try_clone()
            && signal_hook::low_level::pipe::register(signal, writer).is_ok()
        {
            let _ = signal_hook::flag::register(signal, flag.clone());
        }
    }
    let _ = SIGNALS.set((reader, writer));
    flag
}

/// How many signals came so far.
pub(crate) fn count() -> u64 {
    SIGNALS.get().and_then(|(reader, _)| ioctl_fionread(reader).ok()).unwrap_or(0)
}

/// Has notes about long waits shown this way. Without it nobody is told.
pub fn show_with(show: impl Fn(&str) + Send + Sync + 'static) {
    let _ = SHOW.set(Box::new(show));
}

pub(crate) fn note(text: &str) {
    if let Some(show) = SHOW.get() {
        show(text);
    }
}

/// Waits until something can be read, or the person wants to stop: a read alone would go on after a signal.
///
/// # Errors
/// The person wants to stop.
pub fn until_readable(from: BorrowedFd<'_>) -> Result<()> {
    let before = count();
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(from, PollFlags::IN)];
        // Signals from before stay in it, and would end each wait at once.
        fds.extend(SIGNALS.get().filter(|_| before == 0).map(|(reader, _)| PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Problem::failed("cannot wait for input").because(e)),
        }
        if count() > before {
            return Err(Problem::interrupted());
        }
        if !fds[0].revents().is_empty() {
            return Ok(());
        }
    }
}
