//! The supervisor's end of the guest's first serial port: a socket that the hypervisor listens on, or a terminal device.
//!
//! Not here: who reads and writes it (`peers`) and where it is logged (`engine`).

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

/// What people have typed and the guest has not taken yet; more is not read from them.
const TYPED_LIMIT: usize = 4096;
/// Between two tries to open it, milliseconds.
const RETRY: u64 = 20;
/// After it broke, milliseconds: it will not come back at once.
const RETRY_BROKEN: u64 = 200;

/// The port.
pub(super) struct Serial {
    end: ConsoleEnd,
    file: Option<File>,
    typed: VecDeque<u8>,
    retry_at: u64,
    /// Whether there may be something at the other end.
    wanted: bool,
}

impl Serial {
    pub(super) const fn new(end: ConsoleEnd) -> Self {
        Self { end, file: None, typed: VecDeque::new(), retry_at: 0, wanted: false }
    }

    /// From now on there is somebody at the other end.
    pub(super) fn want(&mut self, now: u64) {
        self.wanted = true;
        self.retry_at = now;
    }

    /// The machine is gone; what was typed for it is not for the next one. A device stays open and raw: one that is opened
    /// while the next machine speaks would be cooked for a moment, and its echo typed into the guest.
    pub(super) fn machine_gone(&mut self) {
        self.typed.clear();
        if !self.is_device() {
            self.wanted = false;
            self.file = None;
        }
    }

    /// The next machine has its port there.
    pub(super) fn move_to(&mut self, end: &ConsoleEnd) {
        if self.end != *end {
            *self = Self::new(end.clone());
        }
    }

    /// Whether a device is there before its machine, so that nothing said early is lost.
    pub(super) const fn is_device(&self) -> bool {
        matches!(self.end, ConsoleEnd::Device { .. })
    }

    /// Whether nothing that the guest says gets lost: it is open, or there is no port.
    pub(super) const fn is_heard(&self) -> bool {
        self.file.is_some() || matches!(self.end, ConsoleEnd::None)
    }

    /// What to wait for, or when to come again.
    pub(super) fn interest(&self) -> Result<(BorrowedFd<'_>, PollFlags), Option<u64>> {
        match &self.file {
            Some(file) if self.typed.is_empty() => Ok((file.as_fd(), PollFlags::IN)),
            Some(file) => Ok((file.as_fd(), PollFlags::IN | PollFlags::OUT)),
            None => Err((self.wanted && !matches!(self.end, ConsoleEnd::None)).then_some(self.retry_at)),
        }
    }

    /// How many more typed bytes it can take.
    pub(super) fn room(&self) -> usize {
        TYPED_LIMIT.saturating_sub(self.typed.len())
    }

    /// Takes what somebody typed. Without a guest to read it, it is dropped, as a port with nothing plugged in does.
    pub(super) fn type_in(&mut self, bytes: &[u8], now: u64) {
        if self.file.is_some() {
            self.typed.extend(bytes);
            self.write(now);
        }
    }

    /// Opens it, if it is time to try.
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

    /// Reads once what the guest says; none when there is nothing for now.
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

    /// Hands on what was typed.
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

/// Opens a terminal device raw: cooked, its echo would be typed into the guest. Without heed to its carrier, so that it can
/// be open before there is anybody at the other side.
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
