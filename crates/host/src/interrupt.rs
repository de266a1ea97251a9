//! Signals that request the end of this command: Ctrl-C, SIGTERM, a closed terminal. They are counted, so that a second one can
//! mean more than the first. Also the receiver of notes about a program that takes long.
//!
//! Not here: how a plan reacts to the first signal (`apply`), and what happens to a program that runs then (`run::wait`).

use chyves_core::error::{Problem, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// Each signal writes a byte that is never read, so the number of unread bytes is the number of signals. The first stream is
/// the reader.
static SIGNALS: OnceLock<(UnixStream, UnixStream)> = OnceLock::new();

/// Shows a note to the waiting user.
type Show = Box<dyn Fn(&str) + Send + Sync>;

static SHOW: OnceLock<Show> = OnceLock::new();

/// Counts signals from now on; the first one sets the flag. A signal whose handler cannot be installed ends the command.
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

/// Number of signals received so far.
pub(crate) fn count() -> u64 {
    SIGNALS.get().and_then(|(reader, _)| ioctl_fionread(reader).ok()).unwrap_or(0)
}

/// Sets the function that shows notes about long waits. Without it they are discarded.
pub fn show_with(show: impl Fn(&str) + Send + Sync + 'static) {
    let _ = SHOW.set(Box::new(show));
}

pub(crate) fn note(text: &str) {
    if let Some(show) = SHOW.get() {
        show(text);
    }
}

/// Waits until the descriptor is readable or a signal arrives; a plain read would be restarted after a signal.
///
/// # Errors
/// The user interrupted the command.
pub fn until_readable(from: BorrowedFd<'_>) -> Result<()> {
    until_readable_since(from, count())
}

/// As [`until_readable`], where signals count that arrived after the first `before`.
///
/// # Errors
/// The user interrupted the command.
pub(crate) fn until_readable_since(from: BorrowedFd<'_>, before: u64) -> Result<()> {
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(from, PollFlags::IN)];
        // Signals received earlier stay unread and would end every wait at once.
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
