//! The supervisor's end of the guest's first serial port: a socket on which the hypervisor listens, or a terminal device.
//!
//! Not here: its readers and writers (`clients`), and its log (`engine`).

use super::qmp::connect;
use crate::platform;
use chyves_core::launch::ConsoleEnd;
use rustix::event::PollFlags;
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Limit in bytes of input that the guest has not read yet; beyond it no more is read from clients.
const TYPED_LIMIT: usize = 4096;
/// Interval in milliseconds between tries to open it.
const RETRY: u64 = 20;
/// Delay in milliseconds after the connection broke, since it will not return at once.
const RETRY_BROKEN: u64 = 200;

/// The serial port.
pub(super) struct Serial {
    end: ConsoleEnd,
    file: Option<File>,
    typed: VecDeque<u8>,
    retry_at: u64,
    /// Whether the other end may exist.
    wanted: bool,
}

impl Serial {
    pub(super) const fn new(end: ConsoleEnd) -> Self {
        Self { end, file: None, typed: VecDeque::new(), retry_at: 0, wanted: false }
    }

    /// The other end may exist from now on.
    pub(super) fn want(&mut self, now: u64) {
        self.wanted = true;
        self.retry_at = now;
    }

    /// The VM has ended; pending input is not for the next one. A device stays open and raw: if it were opened while the next
    /// VM prints, it would briefly be in cooked mode, and its echo would reach the guest.
    pub(super) fn machine_gone(&mut self) {
        self.typed.clear();
        if !self.is_device() {
            self.wanted = false;
            self.file = None;
        }
    }

    /// Switches to the port of the next VM.
    pub(super) fn move_to(&mut self, end: &ConsoleEnd) {
        if self.end != *end {
            *self = Self::new(end.clone());
        }
    }

    /// Whether the port is a device, which exists before the VM, so that early output is not lost.
    pub(super) const fn is_device(&self) -> bool {
        matches!(self.end, ConsoleEnd::Device { .. })
    }

    /// Whether no output of the guest is lost: the port is open, or there is none.
    pub(super) const fn is_heard(&self) -> bool {
        self.file.is_some() || matches!(self.end, ConsoleEnd::None)
    }

    /// The descriptor to poll, or the time of the next try, if any.
    pub(super) fn interest(&self) -> Result<(BorrowedFd<'_>, PollFlags), Option<u64>> {
        match &self.file {
            Some(file) if self.typed.is_empty() => Ok((file.as_fd(), PollFlags::IN)),
            Some(file) => Ok((file.as_fd(), PollFlags::IN | PollFlags::OUT)),
            None => Err((self.wanted && !matches!(self.end, ConsoleEnd::None)).then_some(self.retry_at)),
        }
    }

    /// Number of bytes of input that can be accepted.
    pub(super) fn room(&self) -> usize {
        TYPED_LIMIT.saturating_sub(self.typed.len())
    }

    /// Queues input. If the port is not open, it is dropped, as with an unplugged serial line.
    pub(super) fn type_in(&mut self, bytes: &[u8], now: u64) {
        if self.file.is_some() {
            self.typed.extend(bytes);
            self.write(now);
        }
    }

    /// Opens the port, if a try is due.
    pub(super) fn open(&mut self, now: u64) {
        if self.file.is_some() || !self.wanted || now < self.retry_at {
            return;
        }
        self.retry_at = now + RETRY;
        self.file = match &self.end {
            ConsoleEnd::Socket { path } => connect(Path::new(path)).ok().map(|s| File::from(OwnedFd::from(s))),
            ConsoleEnd::Device { path } => open_device(&platform::here().path(path)).ok(),
            ConsoleEnd::None => None,
        };
    }

    /// Reads the guest's output once; none if there is nothing at the moment.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut [u8], now: u64) -> Option<&'a [u8]> {
        loop {
            match self.file.as_mut()?.read(buffer) {
                Ok(0) => self.broken(now),
                Ok(n) => return Some(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(_) => self.broken(now),
            }
        }
    }

    /// Writes queued input.
    pub(super) fn write(&mut self, now: u64) {
        while let Some(file) = self.file.as_mut().filter(|_| !self.typed.is_empty()) {
            match file.write(self.typed.as_slices().0) {
                Ok(0) => return,
                Ok(n) => drop(self.typed.drain(..n)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.broken(now),
            }
        }
    }

    fn broken(&mut self, now: u64) {
        self.file = None;
        self.typed.clear();
        self.retry_at = now + RETRY_BROKEN;
    }
}

/// Opens a terminal device in raw mode: in cooked mode its echo would reach the guest. Ignores the carrier, so that it can be
/// opened before the other side.
fn open_device(path: &Path) -> std::io::Result<File> {
    let device = crate::hostfs::kernel::terminal(path)?;
    let mut modes = tcgetattr(&device)?;
    modes.make_raw();
    modes.control_modes |= ControlModes::CLOCAL;
    tcsetattr(&device, OptionalActions::Now, &modes)?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            assert!(std::time::Instant::now() < deadline, "waited in vain");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_device_is_opened_raw_and_opened_again() {
        let pair = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&pair).unwrap();
        unlockpt(&pair).unwrap();
        let path = ptsname(&pair, Vec::new()).unwrap().into_string().unwrap();
        let mut machine = File::from(pair);
        let mut serial = Serial::new(ConsoleEnd::Device { path });
        serial.open(0);
        assert!(!serial.is_heard(), "nobody wanted it");
        serial.want(0);
        serial.open(0);
        assert!(serial.is_heard());
        serial.type_in(b"root\n", 0);
        let mut buffer = [0; 16];
        assert_eq!(machine.read(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"root\n", "no echo, no translation");
        machine.write_all(b"\x03login:\n").unwrap();
        let heard = until(|| serial.read(&mut buffer, 0).map(<[u8]>::to_vec));
        assert_eq!(heard, b"\x03login:\n");
        assert!(serial.read(&mut buffer, 0).is_none());
        drop(machine);
        until(|| serial.read(&mut buffer, 7).is_none().then_some(()).filter(|()| !serial.is_heard()));
        assert!(matches!(serial.interest(), Err(Some(at)) if at == 7 + RETRY_BROKEN));
        serial.move_to(&ConsoleEnd::None);
        assert!(matches!(serial.interest(), Err(None)));
    }

    #[test]
    fn typing_into_nothing_is_dropped_and_a_full_buffer_says_so() {
        let mut serial = Serial::new(ConsoleEnd::None);
        serial.type_in(b"x", 0);
        assert_eq!(serial.room(), TYPED_LIMIT);
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("serial");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut serial = Serial::new(ConsoleEnd::Socket { path: path.to_str().unwrap().to_owned() });
        serial.want(0);
        serial.open(0);
        let (_deaf, _) = listener.accept().unwrap();
        while serial.room() > 0 {
            let some = vec![b'y'; serial.room()];
            serial.type_in(&some, 0);
        }
        assert_eq!(serial.typed.len(), TYPED_LIMIT);
    }
}
