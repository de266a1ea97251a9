//! QEMU's machine protocol (QMP), as far as a supervisor needs it: wait until the VM can run, let it run, press its buttons,
//! learn why it ends. One JSON text per line, in both directions.
//!
//! Never blocks: what cannot be read or written now is done when `poll` reports readiness. A broken connection is
//! re-established.

mod disc;
#[cfg(test)]
mod tests;

use disc::{Change, GIVEN, LET_GO_FD};
use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Size limit of a line, in bytes; nothing that is requested here has a longer answer.
const LINE_LIMIT: usize = 64 << 10;
/// The number of lines that are handled in one turn.
const LINES: usize = 256;
/// The number of reads in one turn, of 2 KiB each.
const READS: usize = 32;
/// Interval in milliseconds between tries to connect; QEMU listens shortly after its start.
const RETRY: u64 = 20;

/// An event or answer that was received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The guest runs.
    Up,
    /// QEMU will not run the guest, and why.
    Refused(String),
    /// A disk could not be read or written.
    Failed {
        /// QEMU's node name of the disk.
        node: String,
        /// Whether the failed operation was a write.
        write: bool,
        /// Whether the guest is paused; otherwise the guest got the error.
        paused: bool,
        /// The reason.
        why: String,
    },
    /// At the time of connecting, the guest was paused because of an earlier disk error.
    Stuck,
    /// The guest was resumed.
    Resumed,
    /// A disk was resized, or why not.
    Resized(Result<(), String>),
    /// A medium was changed, or why not.
    Changed(Result<(), String>),
}

/// The command that resizes a disk.
const RESIZE: &str = "block_resize";
/// QEMU's state of a VM that a disk error has paused.
const STUCK: &str = "io-error";
/// The id of the command that changes a medium, whichever command it is.
const DISC: &str = "disc";
/// The id of the command that releases the former medium's file.
const LET_GO: &str = "disc-let-go";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Capabilities,
    /// The state was queried, before anything else.
    State,
    /// The VM waits for `cont`, and the serial port is not connected yet.
    Waiting,
    Continuing,
    /// The state was queried after `cont`.
    Running,
    Live,
}

/// The connection to one QEMU process.
pub(super) struct Qmp {
    path: String,
    stream: Option<UnixStream>,
    stage: Stage,
    input: Vec<u8>,
    output: Vec<u8>,
    retry_at: u64,
    /// The password of the display, which must be set before the guest runs.
    secret: Option<String>,
    /// The guest may run: its serial port is being read.
    may_run: bool,
    /// The reason of the last `SHUTDOWN` event.
    reason: Option<String>,
    /// The medium that is being changed.
    change: Option<Change>,
}

impl Qmp {
    pub(super) fn new(path: &str, secret: Option<String>, now: u64) -> Self {
        Self {
            path: path.to_owned(),
            stream: None,
            stage: Stage::Greeting,
            input: Vec::new(),
            output: Vec::new(),
            retry_at: now,
            secret,
            may_run: false,
            reason: None,
            change: None,
        }
    }

    /// The descriptor to poll, or the time of the next turn: the next try to connect, or at once if lines were left.
    pub(super) fn interest(&self) -> Result<(BorrowedFd<'_>, PollFlags), u64> {
        match &self.stream {
            Some(_) if self.has_more() => Err(0),
            Some(stream) if self.output.is_empty() => Ok((stream.as_fd(), PollFlags::IN)),
            Some(stream) => Ok((stream.as_fd(), PollFlags::IN | PollFlags::OUT)),
            None => Err(self.retry_at),
        }
    }

    /// The reason that QEMU reported for its end, if it did.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Whether QEMU accepts commands.
    pub(super) fn is_live(&self) -> bool {
        self.stream.is_some() && self.stage == Stage::Live
    }

    /// Permits the guest to run: its serial port is being read now (or there is none), so no output is lost.
    pub(super) fn let_run(&mut self) {
        self.may_run = true;
        if self.stage == Stage::Waiting {
            self.cont();
            self.write();
        }
    }

    /// Sends a command whose answer does not matter. Whether it could be sent.
    pub(super) fn command(&mut self, name: &str) -> bool {
        if !self.is_live() {
            return false;
        }
        self.push(name);
        self.write();
        self.stream.is_some()
    }

    /// Requests that a disk be resized to `size` bytes; the answer arrives as news. Whether it could be sent.
    pub(super) fn resize(&mut self, node: &str, size: u64) -> bool {
        if !self.is_live() {
            return false;
        }
        self.send(&json!({ "execute": RESIZE, "id": RESIZE, "arguments": { "node-name": node, "size": size } }))
    }

    fn send(&mut self, command: &Value) -> bool {
        self.output.extend_from_slice(command.to_string().as_bytes());
        self.output.push(b'\n');
        self.write();
        self.stream.is_some()
    }

    /// Does everything that is possible now.
    pub(super) fn turn(&mut self, now: u64) -> Vec<News> {
        if self.stream.is_none() {
            if now < self.retry_at {
                return Vec::new();
            }
            self.retry_at = now + RETRY;
            self.stream = connect(Path::new(&self.path)).ok();
            self.stage = Stage::Greeting;
            self.input.clear();
            self.output.clear();
        }
        let mut news = Vec::new();
        self.read(now, &mut news);
        self.write();
        news
    }

    /// Reads what QEMU has sent, within the limits of one turn: one that sends endlessly must not keep the commands of users waiting.
    fn read(&mut self, now: u64, news: &mut Vec<News>) {
        let mut buffer = [0; 2048];
        let mut lines = LINES;
        for _ in 0..READS {
            lines -= self.hear_lines(lines, news);
            if lines == 0 {
                return;
            }
            let Some(stream) = &mut self.stream else { return };
            match stream.read(&mut buffer) {
                Ok(0) => self.hang_up(now),
                Ok(n) => {
                    self.input.extend_from_slice(&buffer[..n]);
                    if self.input.len() > LINE_LIMIT && !self.has_more() {
                        self.hang_up(now);
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.hang_up(now),
            }
        }
        self.hear_lines(lines, news);
    }

    /// Handles complete lines that were read, `most` at most. Their number.
    fn hear_lines(&mut self, most: usize, news: &mut Vec<News>) -> usize {
        let input = std::mem::take(&mut self.input);
        let (mut begin, mut lines) = (0, 0);
        while lines < most
            && let Some(length) = input[begin..].iter().position(|&b| b == b'\n')
        {
            if let Ok(message) = serde_json::from_slice(&input[begin..begin + length]) {
                self.hear(&message, news);
            }
            begin += length + 1;
            lines += 1;
        }
        self.input = input[begin..].to_vec();
        lines
    }

    /// Whether a complete line was read that the limit of the last turn has left.
    pub(super) fn has_more(&self) -> bool {
        self.stream.is_some() && self.input.contains(&b'\n')
    }

    fn hang_up(&mut self, now: u64) {
        self.stream = None;
        self.change = None;
        self.input = Vec::new();
        self.output = Vec::new();
        self.retry_at = now + RETRY * 10;
    }

    fn write(&mut self) {
        while let Some(stream) = self.stream.as_mut().filter(|_| !self.output.is_empty()) {
            match stream.write(&self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.stream = None,
            }
        }
    }

    fn push(&mut self, name: &str) {
        self.output.extend_from_slice(json!({ "execute": name, "id": name }).to_string().as_bytes());
        self.output.push(b'\n');
    }

    /// Starts the guest, after setting the display's password.
    fn cont(&mut self) {
        if let Some(secret) = self.secret.take() {
            let command = json!({ "execute": "set_password", "id": "password", "arguments": { "protocol": "vnc", "password": secret } });
            self.output.extend_from_slice(format!("{command}\n").as_bytes());
        }
        self.ask(Stage::Continuing, "cont");
    }

    fn ask(&mut self, stage: Stage, name: &str) {
        self.stage = stage;
        self.push(name);
    }

    fn hear(&mut self, message: &Value, news: &mut Vec<News>) {
        if message["event"] == "SHUTDOWN" {
            self.reason = Some(message["data"]["reason"].as_str().unwrap_or("an unnamed reason").to_owned());
            return;
        }
        if message["event"] == "BLOCK_IO_ERROR" {
            let text = |key: &str| message["data"][key].as_str().unwrap_or_default().to_owned();
            let (write, paused) = (text("operation") == "write", text("action") == "stop");
            news.push(News::Failed { node: text("node-name"), write, paused, why: text("reason") });
            return;
        }
        if message["event"] == "RESUME" {
            news.push(News::Resumed);
            return;
        }
        let answer = &message["return"];
        let answers = |name: &str| message["id"] == name;
        let result = || match message.get("error") {
            Some(error) => Err(error["desc"].as_str().unwrap_or("no reason was given").to_owned()),
            None => Ok(()),
        };
        if answers(RESIZE) {
            news.push(News::Resized(result()));
            return;
        }
        if answers(GIVEN) {
            match (answer["fdset-id"].as_i64(), result()) {
                (Some(set), Ok(())) => self.insert(set),
                (_, result) => {
                    self.change = None;
                    news.push(News::Changed(result.and(Err("QEMU rejected the descriptor of the ISO".to_owned()))));
                }
            }
            return;
        }
        if answers(DISC) {
            let result = result();
            if !self.let_go(result.is_ok()) {
                news.push(News::Changed(result));
            }
            return;
        }
        if answers(LET_GO_FD) {
            return;
        }
        if answers(LET_GO) {
            // The error reports that there is no such file any more: it was released with an earlier medium.
            news.push(News::Changed(Ok(())));
            return;
        }
        if let Some(why) = message["error"]["desc"].as_str()
            && self.stage != Stage::Live
        {
            self.stage = Stage::Live;
            news.push(News::Refused(why.to_owned()));
            return;
        }
        match self.stage {
            Stage::Greeting if message.get("QMP").is_some() => {
                self.ask(Stage::Capabilities, "qmp_capabilities");
            }
            Stage::Capabilities if answers("qmp_capabilities") => {
                self.ask(Stage::State, "query-status");
            }
            Stage::State if answers("query-status") => match answer["status"].as_str() {
                Some("prelaunch") if self.may_run => self.cont(),
                Some("prelaunch") => self.stage = Stage::Waiting,
                // It ran before we connected.
                status => self.live(status, news),
            },
            Stage::Continuing if answers("cont") => self.ask(Stage::Running, "query-status"),
            Stage::Running if answers("query-status") => match answer["status"].as_str() {
                // The guest's first action may be a write that fails.
                status @ Some("running" | STUCK) => self.live(status, news),
                other => {
                    self.stage = Stage::Live;
                    news.push(News::Refused(format!("QEMU's state is `{}`", other.unwrap_or("unknown"))));
                }
            },
            Stage::Greeting | Stage::Capabilities | Stage::State | Stage::Waiting | Stage::Continuing | Stage::Running | Stage::Live => {}
        }
    }

    fn live(&mut self, status: Option<&str>, news: &mut Vec<News>) {
        self.stage = Stage::Live;
        if status == Some(STUCK) {
            news.push(News::Stuck);
        }
        news.push(News::Up);
    }
}

/// Connects without waiting for other clients.
pub(super) fn connect(path: &Path) -> std::io::Result<UnixStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}
