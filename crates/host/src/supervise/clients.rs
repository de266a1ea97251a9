//! The clients connected to the supervisor's socket: users at the console, and commands with a request. None of them can delay
//! the guest or each other: buffers are bounded, and a client that reads too slowly is disconnected.
//!
//! Not here: executing a request (`requests`) and the protocol (`control`).

use crate::control::{REQUEST_LIMIT, Reply, Request};
use crate::hostfs::own;
use chyves_core::error::{Problem, Result};
use chyves_core::value::json;
use rustix::event::PollFlags;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Maximum number of clients at the console.
const WATCHING_LIMIT: usize = 24;
/// Maximum number of connections; further ones replace a connection that is idle.
const PEERS_LIMIT: usize = 32;
/// Limit in bytes of output queued for one client, beyond the kernel's socket buffer.
const OUTPUT_LIMIT: usize = 32 << 10;
/// Time limit in milliseconds for a new client to send its request.
const ASK_WITHIN: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Has not sent its request yet.
    Asking { until: u64 },
    /// Waits for the VM to be off.
    Waiting,
    /// Waits for a disk to be resized.
    Growing,
    /// Waits for a medium to be changed.
    Changing,
    /// Attached to the console.
    Watching { read_only: bool },
    /// Has been answered, and is disconnected when it has read the answer.
    Leaving,
}

struct Peer {
    stream: UnixStream,
    kind: Kind,
    input: Vec<u8>,
    output: VecDeque<u8>,
    gone: bool,
}

/// All connections, and the listening socket.
pub(super) struct Peers {
    listener: UnixListener,
    all: Vec<Peer>,
}

fn listen(path: &Path) -> Result<UnixListener> {
    let open = || {
        let listener = own::listen(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|e: std::io::Error| {
        Problem::failed(format!("cannot make the control socket `{}`", path.display())).on(path.display()).because(e)
    })
}

/// What a client sent.
pub(super) enum Said {
    /// A request.
    Request(Request),
    /// Input for the console.
    Typed(Vec<u8>),
}

impl Peers {
    /// Opens the listening socket, to which only root can connect.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { listener: listen(path)?, all: Vec::new() })
    }

    /// Replaces the listening socket, whose name is lost. Clients stay connected.
    pub(super) fn listen_again(&mut self, path: &Path) -> Result<()> {
        self.listener = listen(path)?;
        Ok(())
    }

    /// The descriptors to poll. `room`: how many bytes of console input can be accepted; at 0 no input is read.
    pub(super) fn interest(&self, room: usize) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let door = (self.listener.as_fd(), PollFlags::IN);
        std::iter::once(door).chain(self.all.iter().filter_map(move |peer| {
            let reads = !matches!(peer.kind, Kind::Watching { read_only: false }) || room > 0;
            let mut flags = if reads { PollFlags::IN } else { PollFlags::empty() };
            flags.set(PollFlags::OUT, !peer.output.is_empty());
            // A descriptor without requested events would wake us repeatedly on a hang-up.
            (!flags.is_empty()).then(|| (peer.stream.as_fd(), flags))
        }))
    }

    /// The earliest deadline of a client that has not sent its request.
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.all.iter().filter_map(|peer| if let Kind::Asking { until } = peer.kind { Some(until) } else { None }).min()
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Number of clients at the console.
    pub(super) fn watching(&self) -> usize {
        self.all.iter().filter(|p| matches!(p.kind, Kind::Watching { .. })).count()
    }

    /// Accepts pending connections.
    pub(super) fn accept(&mut self, now: u64) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            // Clients normally send their request at once, so silent ones and answered ones are replaced first.
            let crowded = self.all.len() >= PEERS_LIMIT && !self.make_place();
            self.all.push(Peer {
                stream,
                kind: Kind::Asking { until: now + ASK_WITHIN },
                input: Vec::new(),
                output: VecDeque::new(),
                gone: false,
            });
            if crowded {
                let full = Problem::not_now("too many are connected to this guest's supervisor").hint("leave one of its consoles first");
                self.answer(self.all.len() - 1, &Reply::Failed(full));
            }
        }
    }

    /// Disconnects a client that is idle; whether there was one. A client at the console is the last choice, since it can
    /// reconnect.
    fn make_place(&mut self) -> bool {
        let silent = |p: &Peer| matches!(p.kind, Kind::Asking { .. }) && p.input.is_empty();
        let choices: [&dyn Fn(&Peer) -> bool; 3] =
            [&silent, &|p| matches!(p.kind, Kind::Leaving | Kind::Asking { .. }), &|p| matches!(p.kind, Kind::Watching { .. })];
        let index = choices.into_iter().find_map(|is| self.all.iter().position(is));
        index.map(|index| self.all.remove(index)).is_some()
    }

    /// Whether another client can attach to the console.
    pub(super) fn has_place_at_console(&self) -> bool {
        self.watching() < WATCHING_LIMIT
    }

    /// Reads what a client sent, if anything.
    pub(super) fn hear(&mut self, index: usize, room: usize) -> Option<Said> {
        let peer = &mut self.all[index];
        let mut buffer = [0; 1024];
        loop {
            let want = match peer.kind {
                Kind::Watching { read_only: false } => room.min(buffer.len()),
                Kind::Asking { .. }
                | Kind::Waiting
                | Kind::Growing
                | Kind::Changing
                | Kind::Watching { read_only: true }
                | Kind::Leaving => buffer.len(),
            };
            if want == 0 || peer.gone {
                return None;
            }
            match peer.stream.read(&mut buffer[..want]) {
                Ok(n) if n > 0 => match peer.kind {
                    Kind::Watching { read_only: false } => {
                        return Some(Said::Typed(buffer[..n].to_vec()));
                    }
                    Kind::Waiting | Kind::Growing | Kind::Changing | Kind::Watching { read_only: true } | Kind::Leaving => {}
                    Kind::Asking { .. } => {
                        peer.input.extend_from_slice(&buffer[..n]);
                        if let Some(end) = peer.input.iter().position(|&b| b == b'\n') {
                            let line = std::mem::take(&mut peer.input);
                            match json::from_slice(&line[..end]) {
                                Ok(request) => return Some(Said::Request(request)),
                                Err(e) => self.answer(index, &Reply::Failed(Problem::bug("a request cannot be read").because(e))),
                            }
                            return None;
                        }
                        peer.gone = peer.input.len() > REQUEST_LIMIT;
                    }
                },
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return None,
                Ok(_) | Err(_) => peer.gone = true,
            }
        }
    }

    /// Answers a client, which is then disconnected.
    pub(super) fn answer(&mut self, index: usize, reply: &Reply) {
        let peer = &mut self.all[index];
        peer.put(&reply.line());
        peer.kind = Kind::Leaving;
    }

    /// Makes a client wait for the VM to be off.
    pub(super) fn let_wait(&mut self, index: usize) {
        self.all[index].kind = Kind::Waiting;
    }

    /// Makes a client wait for a disk to be resized.
    pub(super) fn let_grow(&mut self, index: usize) {
        self.all[index].kind = Kind::Growing;
    }

    /// Answers the first client that waits for a disk to be resized; the hypervisor answers in the order of the requests.
    pub(super) fn tell_growing(&mut self, reply: &Reply) {
        if let Some(index) = self.all.iter().position(|p| p.kind == Kind::Growing) {
            self.answer(index, reply);
        }
    }

    /// Makes a client wait for a medium to be changed.
    pub(super) fn let_change(&mut self, index: usize) {
        self.all[index].kind = Kind::Changing;
    }

    /// Answers the client that waits for a medium to be changed; there is one at a time.
    pub(super) fn tell_changing(&mut self, reply: &Reply) {
        if let Some(index) = self.all.iter().position(|p| p.kind == Kind::Changing) {
            self.answer(index, reply);
        }
    }

    /// Answers the clients that still wait for the hypervisor, which has ended.
    pub(super) fn tell_unanswered(&mut self, reply: &Reply) {
        for index in 0..self.all.len() {
            if matches!(self.all[index].kind, Kind::Growing | Kind::Changing) {
                self.answer(index, reply);
            }
        }
    }

    /// Attaches a client to the console, with the replayed output first.
    pub(super) fn let_watch(&mut self, index: usize, read_only: bool, reply: &Reply, before: &[u8]) {
        let peer = &mut self.all[index];
        peer.put(&reply.line());
        peer.put(before);
        peer.kind = Kind::Watching { read_only };
    }

    /// Reports to the clients that wait for the VM to be off. `last`: they are then disconnected.
    pub(super) fn tell_waiting(&mut self, reply: &Reply, last: bool) {
        let line = reply.line();
        for peer in self.all.iter_mut().filter(|p| p.kind == Kind::Waiting) {
            peer.put(&line);
            if last {
                peer.kind = Kind::Leaving;
            }
        }
    }

    /// Sends the guest's output to all clients at the console.
    pub(super) fn show(&mut self, bytes: &[u8]) {
        for peer in self.all.iter_mut().filter(|p| matches!(p.kind, Kind::Watching { .. })) {
            peer.put(bytes);
        }
    }

    /// Writes queued output and drops closed connections. Whether the last client that waited for the VM to be off is among
    /// them.
    pub(super) fn sweep(&mut self, now: u64) -> bool {
        let waits = |peers: &[Peer]| peers.iter().any(|p| p.kind == Kind::Waiting);
        let waited = waits(&self.all);
        for peer in &mut self.all {
            peer.flush();
            let late = matches!(peer.kind, Kind::Asking { until } if now >= until);
            peer.gone |= late || (peer.kind == Kind::Leaving && peer.output.is_empty());
        }
        self.all.retain(|peer| !peer.gone);
        waited && !waits(&self.all)
    }

    /// Writes the rest of the queued output before the supervisor exits, with a short timeout.
    pub(super) fn say_goodbye(&mut self) {
        for peer in &mut self.all {
            let patience = Some(std::time::Duration::from_millis(200));
            drop(peer.stream.set_nonblocking(false).and_then(|()| peer.stream.set_write_timeout(patience)));
            let bytes: Vec<u8> = peer.output.drain(..).collect();
            drop(peer.stream.write_all(&bytes));
        }
        self.all.clear();
    }
}

impl Peer {
    fn put(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
        self.flush();
        if self.output.len() > OUTPUT_LIMIT {
            self.gone = true;
        }
    }

    fn flush(&mut self) {
        while !self.gone && !self.output.is_empty() {
            match self.stream.write(self.output.as_slices().0) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => self.gone = true,
            }
        }
        if self.output.is_empty() && self.output.capacity() > 4096 {
            self.output = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn door() -> (tempfile::TempDir, std::path::PathBuf, Peers) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("control");
        let peers = Peers::open(&path).unwrap();
        (temp, path, peers)
    }

    #[test]
    fn a_stuck_reader_is_cut_off_and_the_others_see_all() {
        let (_temp, path, mut peers) = door();
        let _stuck = UnixStream::connect(&path).unwrap();
        let mut reader = UnixStream::connect(&path).unwrap();
        peers.accept(0);
        peers.let_watch(0, false, &Reply::Attached, b"before ");
        peers.let_watch(1, true, &Reply::Attached, b"before ");
        let chunk = [b'x'; 4096];
        let mut seen = vec![0; Reply::Attached.line().len() + 7];
        reader.read_exact(&mut seen).unwrap();
        assert!(seen.ends_with(b"before "));
        for _ in 0..1000 {
            peers.show(&chunk);
            peers.sweep(0);
            let mut got = [0; 4096];
            reader.read_exact(&mut got).unwrap();
            assert_eq!(got, chunk);
        }
        assert_eq!(peers.watching(), 1, "the stuck one is gone, the reader is not");
    }

    #[test]
    fn requests_are_heard_whole_and_nonsense_is_answered() {
        let (_temp, path, mut peers) = door();
        let mut client = UnixStream::connect(&path).unwrap();
        peers.accept(0);
        client.write_all(br#"{"ask":"sta"#).unwrap();
        assert!(peers.hear(0, 0).is_none());
        client.write_all(b"tus\"}\n").unwrap();
        assert!(matches!(peers.hear(0, 0), Some(Said::Request(Request::Status))));
        let mut other = UnixStream::connect(&path).unwrap();
        peers.accept(0);
        other.write_all(b"nonsense\n").unwrap();
        assert!(peers.hear(1, 0).is_none());
        peers.sweep(0);
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert!(text.contains("cannot be read"), "{text}");
        assert_eq!(peers.wake_at(), Some(ASK_WITHIN));
        peers.sweep(ASK_WITHIN);
        assert_eq!(peers.count(), 0, "who never asks is shown out");
    }

    #[test]
    fn who_waits_for_an_answer_of_the_machine_hears_of_its_end() {
        let (_temp, path, mut peers) = door();
        let mut owed: Vec<UnixStream> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let mut off = UnixStream::connect(&path).unwrap();
        peers.accept(0);
        peers.let_grow(0);
        peers.let_grow(1);
        peers.let_change(2);
        peers.let_wait(3);
        peers.tell_unanswered(&Reply::Failed(Problem::not_now("it ended")));
        peers.sweep(0);
        for stream in &mut owed {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.contains("it ended"), "{text}");
        }
        assert_eq!(peers.count(), 1, "who waits for it to be off still waits");
        peers.tell_waiting(&Reply::Gone("off".into()), true);
        peers.sweep(0);
        let mut text = String::new();
        off.read_to_string(&mut text).unwrap();
        assert!(text.contains("off") && !text.contains("it ended"), "{text}");
    }

    #[test]
    fn an_endless_request_is_cut_off() {
        let (_temp, path, mut peers) = door();
        let mut client = UnixStream::connect(&path).unwrap();
        peers.accept(0);
        client.write_all(&vec![b'x'; REQUEST_LIMIT + 1]).unwrap();
        assert!(peers.hear(0, 0).is_none());
        peers.sweep(0);
        assert_eq!(peers.count(), 0);
    }

    #[test]
    fn what_a_read_only_one_types_is_nothing_and_without_room_nothing_is_read() {
        let (_temp, path, mut peers) = door();
        let mut one = UnixStream::connect(&path).unwrap();
        let mut two = UnixStream::connect(&path).unwrap();
        peers.accept(0);
        peers.let_watch(0, true, &Reply::Attached, b"");
        peers.let_watch(1, false, &Reply::Attached, b"");
        one.write_all(b"rm").unwrap();
        two.write_all(b"ls").unwrap();
        assert!(peers.hear(0, 10).is_none());
        assert!(peers.hear(1, 0).is_none());
        assert_eq!(peers.interest(0).count(), 2, "the door and the reader");
        assert!(matches!(peers.hear(1, 1), Some(Said::Typed(bytes)) if bytes == b"l"));
        assert!(matches!(peers.hear(1, 10), Some(Said::Typed(bytes)) if bytes == b"s"));
    }

    #[test]
    fn idle_ones_keep_nobody_out_who_asks() {
        let (_temp, path, mut peers) = door();
        let crowd: Vec<UnixStream> = (0..PEERS_LIMIT).map(|_| UnixStream::connect(&path).unwrap()).collect();
        peers.accept(0);
        for index in 0..WATCHING_LIMIT {
            assert!(peers.has_place_at_console());
            peers.let_watch(index, true, &Reply::Attached, b"");
        }
        assert!(!peers.has_place_at_console());
        for _ in 0..3 * PEERS_LIMIT {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(b"{\"ask\":\"status\"}\n").unwrap();
            peers.accept(0);
            let last = peers.count() - 1;
            assert!(matches!(peers.hear(last, 0), Some(Said::Request(Request::Status))));
            assert_eq!(peers.count(), PEERS_LIMIT);
        }
        drop(crowd);
    }

    #[test]
    fn those_who_wait_for_an_answer_are_not_shown_out() {
        let (_temp, path, mut peers) = door();
        let mut crowd: Vec<UnixStream> = (0..=PEERS_LIMIT).map(|_| UnixStream::connect(&path).unwrap()).collect();
        peers.listener.set_nonblocking(true).unwrap();
        for index in 0..PEERS_LIMIT {
            let (stream, _) = peers.listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            peers.all.push(Peer { stream, kind: Kind::Waiting, input: Vec::new(), output: VecDeque::new(), gone: false });
            assert_eq!(peers.count(), index + 1);
        }
        peers.accept(0);
        peers.sweep(0);
        assert_eq!(peers.count(), PEERS_LIMIT);
        let mut text = String::new();
        crowd.pop().unwrap().read_to_string(&mut text).unwrap();
        assert!(text.contains("too many"), "{text}");
    }

    #[test]
    fn the_socket_is_private_whatever_the_umask() {
        let before = rustix::process::umask(rustix::fs::Mode::empty());
        let (_temp, path, _peers) = door();
        rustix::process::umask(before);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
