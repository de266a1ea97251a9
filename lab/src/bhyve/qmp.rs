//! QEMU's monitor: commands, answers and events over a socket that QEMU connects to before its first instruction.
//! Not its job: what an event means for the guest's life.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A connected monitor.
pub(crate) struct Qmp {
    stream: UnixStream,
    partial: Vec<u8>,
    events: VecDeque<Value>,
    answers: VecDeque<Value>,
    closed: bool,
}

impl Qmp {
    /// Takes a new connection into use.
    pub(crate) fn new(stream: UnixStream) -> Qmp {
        let mut qmp = Qmp { stream, partial: Vec::new(), events: VecDeque::new(), answers: VecDeque::new(), closed: false };
        qmp.execute("qmp_capabilities", &json!({}));
        qmp
    }

    /// What to poll for reading.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Has QEMU gone?
    pub(crate) fn closed(&self) -> bool {
        self.closed
    }

    /// The next event that has come.
    pub(crate) fn event(&mut self) -> Option<Value> {
        self.events.pop_front()
    }

    /// Reads what is there.
    pub(crate) fn pump(&mut self) {
        let mut bytes = [0; 16384];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.closed = true,
            Ok(count) => self.take(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::TimedOut) => {}
            Err(_) => self.closed = true,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
            if value.get("event").is_some() {
                self.events.push_back(value);
            } else if value.get("QMP").is_none() {
                self.answers.push_back(value);
            }
        }
    }

    /// Runs a command; its answer, or none when QEMU went away.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Option<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        // A QEMU that does not answer for so long is not going to.
        let deadline = Instant::now() + Duration::from_secs(60);
        self.stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        self.stream.write_all(line.as_bytes()).ok()?;
        while !self.closed && Instant::now() < deadline {
            if let Some(answer) = self.answers.pop_front() {
                return answer.get("return").cloned();
            }
            self.pump();
        }
        None
    }

    /// A command of QEMU's other, textual monitor; what it prints.
    pub(crate) fn text(&mut self, command: &str) -> String {
        let answer = self.execute("human-monitor-command", &json!({ "command-line": command }));
        answer.and_then(|answer| answer.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
