//! QEMU's machine protocol, as much of it as a supervisor needs: wait until the machine can run, let it run, press its
//! buttons, hear why it ends. One JSON text a line, each way.
//!
//! Never blocks: what can't be read or written now is done when `poll` says so. A connection that breaks is made anew.

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A line that is longer is not read: nothing we ask for has one.
const LINE_LIMIT: usize = 64 << 10;
/// Between two tries to connect, milliseconds: at first it is a matter of moments.
const RETRY: u64 = 20;

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The guest executes.
    Up,
    /// QEMU will not run it, and why.
    Refused(String),
    /// A disk has grown, or why not.
    Resized(Result<(), String>),
    /// A disc was changed, or why not.
    Changed(Result<(), String>),
}

/// The command that resizes a disk.
const RESIZE: &str = "block_resize";
/// The answer to a disc's change, whichever command it is.
const DISC: &str = "disc";
/// The answer to what lets go of the former disc's file.
const LET_GO: &str = "disc-let-go";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Capabilities,
    /// Asked for the state, before anything else.
    State,
    /// It waits to be let run, and the serial port is not connected yet.
    Waiting,
    Continuing,
    /// Asked for the state after it was let run.
    Running,
    Live,
}

/// The connection to one QEMU.
pub(super) struct Qmp {
    path: String,
    stream: Option<UnixStream>,
    stage: Stage,
    input: Vec<u8>,
    output: Vec<u8>,
    retry_at: u64,
    /// The guest may run: somebody listens to its serial port.
    may_run: bool,
    /// The reason of the last `SHUTDOWN`.
    reason: Option<String>,
    /// The node of the disc that is being changed.
    former: Option<String>,
}

impl Qmp {
    pub(super) fn new(path: &str, now: u64) -> Self {
        Self {
            path: path.to_owned(),
            stream: None,
            stage: Stage::Greeting,
            input: Vec::new(),
            output: Vec::new(),
            retry_at: now,
            may_run: false,
            reason: None,
            former: None,
        }
    }

    /// What to wait for, or when to come again.
    pub(super) fn interest(&self) -> Result<(BorrowedFd<'_>, PollFlags), u64> {
        match &self.stream {
            Some(stream) if self.output.is_empty() => Ok((stream.as_fd(), PollFlags::IN)),
            Some(stream) => Ok((stream.as_fd(), PollFlags::IN | PollFlags::OUT)),
            None => Err(self.retry_at),
        }
    }

    /// Why it said that it ends, if it did.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Whether commands reach it.
    pub(super) fn is_live(&self) -> bool {
        self.stream.is_some() && self.stage == Stage::Live
    }

    /// Somebody listens to the serial port now (or there is none), so nothing that the guest says is lost.
    pub(super) fn let_run(&mut self) {
        self.may_run = true;
        if self.stage == Stage::Waiting {
            self.ask(Stage::Continuing, "cont");
            self.write();
        }
    }

    /// Sends a command whose answer does not matter. Answers whether it could be sent.
    pub(super) fn command(&mut self, name: &str) -> bool {
        if !self.is_live() {
            return false;
        }
        self.push(name);
        self.write();
        self.stream.is_some()
    }

    /// Asks for a disk to be so many bytes large; the answer comes as news. Answers whether it could be sent.
    pub(super) fn resize(&mut self, node: &str, size: u64) -> bool {
        if !self.is_live() {
            return false;
        }
        self.send(&json!({ "execute": RESIZE, "id": RESIZE, "arguments": { "node-name": node, "size": size } }))
    }

    /// Asks for another disc in a drive, or for none, and to let go of the file of what lay there at the start (`node`);
    /// the answer comes as news. Answers whether it could be sent.
    pub(super) fn change_disc(&mut self, drive: &str, node: &str, path: Option<&str>, force: bool) -> bool {
        if !self.is_live() || self.former.is_some() {
            return false;
        }
        let (name, mut arguments) = match path {
            None => ("eject", json!({ "id": drive, "force": force })),
            Some(path) => {
                ("blockdev-change-medium", json!({ "id": drive, "filename": path, "format": "raw", "read-only-mode": "read-only" }))
            }
        };
        // An older QEMU knows the word only where it can't be done without.
        if force && path.is_some() {
            arguments["force"] = Value::Bool(true);
        }
        self.former = Some(node.to_owned());
        self.send(&json!({ "execute": name, "id": DISC, "arguments": arguments }))
    }

    fn send(&mut self, command: &Value) -> bool {
        self.output.extend_from_slice(command.to_string().as_bytes());
        self.output.push(b'\n');
        self.write();
        self.stream.is_some()
    }

    /// Does whatever can be done now.
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

    fn read(&mut self, now: u64, news: &mut Vec<News>) {
        let mut buffer = [0; 2048];
        while let Some(stream) = &mut self.stream {
            match stream.read(&mut buffer) {
                Ok(0) => self.hang_up(now),
                Ok(n) => {
                    self.input.extend_from_slice(&buffer[..n]);
                    while let Some(end) = self.input.iter().position(|&b| b == b'\n') {
                        let line: Vec<u8> = self.input.drain(..=end).collect();
                        if let Ok(message) = serde_json::from_slice(&line) {
                            self.hear(&message, news);
                        }
                    }
                    if self.input.len() > LINE_LIMIT {
                        self.hang_up(now);
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.hang_up(now),
            }
        }
    }

    fn hang_up(&mut self, now: u64) {
        self.stream = None;
        self.former = None;
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

    fn ask(&mut self, stage: Stage, name: &str) {
        self.stage = stage;
        self.push(name);
    }

    fn hear(&mut self, message: &Value, news: &mut Vec<News>) {
        if message["event"] == "SHUTDOWN" {
            self.reason = Some(message["data"]["reason"].as_str().unwrap_or("an unnamed reason").to_owned());
            return;
        }
        let answer = &message["return"];
        let answers = |name: &str| message["id"] == name;
        let result = || match message.get("error") {
            Some(error) => Err(error["desc"].as_str().unwrap_or("it does not say why").to_owned()),
            None => Ok(()),
        };
        if answers(RESIZE) {
            news.push(News::Resized(result()));
            return;
        }
        if answers(DISC) {
            match (self.former.take(), result()) {
                (Some(node), Ok(())) => {
                    self.send(&json!({ "execute": "blockdev-del", "id": LET_GO, "arguments": { "node-name": node } }));
                }
                (_, result) => news.push(News::Changed(result)),
            }
            return;
        }
        if answers(LET_GO) {
            // An error says that there was no such file any more: it went with an earlier disc.
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
                Some("prelaunch") if self.may_run => self.ask(Stage::Continuing, "cont"),
                Some("prelaunch") => self.stage = Stage::Waiting,
                // It ran before we came.
                _ => self.live(news),
            },
            Stage::Continuing if answers("cont") => self.ask(Stage::Running, "query-status"),
            Stage::Running if answers("query-status") => match answer["status"].as_str() {
                Some("running") => self.live(news),
                other => {
                    self.stage = Stage::Live;
                    news.push(News::Refused(format!("QEMU's state is `{}`", other.unwrap_or("not told"))));
                }
            },
            Stage::Greeting | Stage::Capabilities | Stage::State | Stage::Waiting | Stage::Continuing | Stage::Running | Stage::Live => {}
        }
    }

    fn live(&mut self, news: &mut Vec<News>) {
        self.stage = Stage::Live;
        news.push(News::Up);
    }
}

/// Connects without ever waiting for whoever else may be connected.
pub(super) fn connect(path: &Path) -> std::io::Result<UnixStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    /// The other end, in the same thread: each side gets its turn.
    struct Qemu {
        lines: BufReader<UnixStream>,
    }

    impl Qemu {
        fn say(&mut self, text: &str) {
            self.lines.get_mut().write_all(format!("{text}\n").as_bytes()).unwrap();
        }

        fn hears(&mut self) -> String {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            serde_json::from_str::<Value>(&line).unwrap()["execute"].as_str().unwrap().to_owned()
        }
    }

    fn pair() -> (tempfile::TempDir, Qmp, Qemu) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("qmp");
        let mut qmp = Qmp::new(path.to_str().unwrap(), 0);
        assert!(qmp.turn(0).is_empty());
        assert!(matches!(qmp.interest(), Err(RETRY)), "nobody listens yet");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(qmp.turn(RETRY - 1).is_empty() && qmp.stream.is_none());
        assert!(qmp.turn(RETRY).is_empty() && qmp.stream.is_some());
        let (stream, _) = listener.accept().unwrap();
        (temp, qmp, Qemu { lines: BufReader::new(stream) })
    }

    const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}"#;

    #[test]
    fn a_fresh_machine_runs_when_its_serial_port_is_heard() {
        let (_temp, mut qmp, mut qemu) = pair();
        qemu.say(GREETING);
        assert!(qmp.turn(1).is_empty());
        assert_eq!(qemu.hears(), "qmp_capabilities");
        qemu.say(r#"{"return": {}, "id": "qmp_capabilities"}"#);
        assert!(qmp.turn(1).is_empty());
        assert_eq!(qemu.hears(), "query-status");
        qemu.say(r#"{"return": {"status": "prelaunch", "running": false}, "id": "query-status"}"#);
        assert!(qmp.turn(1).is_empty());
        assert_eq!(qmp.stage, Stage::Waiting);
        qmp.let_run();
        assert_eq!(qemu.hears(), "cont");
        qemu.say(r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}"#);
        qemu.say(r#"{"return": {}, "id": "cont"}"#);
        assert!(qmp.turn(1).is_empty());
        assert_eq!(qemu.hears(), "query-status");
        qemu.say(r#"{"return": {"status": "running", "running": true}, "id": "query-status"}"#);
        assert_eq!(qmp.turn(1), [News::Up]);
        assert!(qmp.resize("disk-4.0-node", 1 << 20));
        assert_eq!(qemu.hears(), "block_resize");
        qemu.say(r#"{"id": "block_resize", "error": {"class": "GenericError", "desc": "in use"}}"#);
        assert_eq!(qmp.turn(1), [News::Resized(Err("in use".into()))]);
        assert!(qmp.resize("disk-4.0-node", 1 << 20));
        assert_eq!(qemu.hears(), "block_resize");
        qemu.say(r#"{"return": {}, "id": "block_resize"}"#);
        assert_eq!(qmp.turn(1), [News::Resized(Ok(()))]);
        assert!(qmp.command("system_powerdown"));
        assert_eq!(qemu.hears(), "system_powerdown");
        qemu.say(r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#);
        drop(qemu);
        assert!(qmp.turn(1).is_empty());
        assert_eq!(qmp.reason(), Some("guest-shutdown"));
        assert!(!qmp.is_live() && !qmp.command("quit"));
    }

    #[test]
    fn a_machine_that_runs_already_is_only_listened_to() {
        let (_temp, mut qmp, mut qemu) = pair();
        qmp.let_run();
        qemu.say(GREETING);
        qmp.turn(1);
        qemu.say(r#"{"return": {}, "id": "qmp_capabilities"}"#);
        qmp.turn(1);
        qemu.say(r#"{"return": {"status": "running", "running": true}, "id": "query-status"}"#);
        assert_eq!(qmp.turn(1), [News::Up]);
    }

    #[test]
    fn a_refusal_is_told_in_qemus_words() {
        let (_temp, mut qmp, mut qemu) = pair();
        qmp.let_run();
        qemu.say(GREETING);
        qmp.turn(1);
        qemu.say(r#"{"return": {}, "id": "qmp_capabilities"}"#);
        qmp.turn(1);
        qemu.say(r#"{"return": {"status": "prelaunch"}, "id": "query-status"}"#);
        qmp.turn(1);
        qemu.say(r#"{"id": "cont", "error": {"class": "GenericError", "desc": "Could not reopen qcow2 layer"}}"#);
        assert_eq!(qmp.turn(1), [News::Refused("Could not reopen qcow2 layer".into())]);
    }

    #[test]
    fn an_endless_line_ends_the_connection() {
        let (_temp, mut qmp, mut qemu) = pair();
        let chunk = vec![b'x'; 4096];
        for _ in 0..=LINE_LIMIT / chunk.len() {
            qemu.lines.get_mut().write_all(&chunk).unwrap();
            qmp.turn(1);
        }
        assert!(qmp.stream.is_none());
        assert!(qmp.input.capacity() == 0);
    }

    #[test]
    fn a_changed_disc_s_file_is_let_go_of_before_it_is_told() {
        let (_temp, mut qmp, mut qemu) = pair();
        qmp.stage = Stage::Live;
        assert!(qmp.change_disc("cd-3.0-drive0", "node", None, false));
        assert!(!qmp.change_disc("cd-3.0-drive0", "node", None, false), "one at a time");
        assert_eq!(qemu.hears(), "eject");
        qemu.say(r#"{"return": {}, "id": "disc"}"#);
        assert!(qmp.turn(1).is_empty());
        assert_eq!(qemu.hears(), "blockdev-del");
        qemu.say(r#"{"error": {"class": "GenericError", "desc": "Failed to find node"}, "id": "disc-let-go"}"#);
        assert_eq!(qmp.turn(1), [News::Changed(Ok(()))]);
        assert!(qmp.change_disc("cd-3.0-drive0", "node", Some("/a.iso"), true));
        assert_eq!(qemu.hears(), "blockdev-change-medium");
        qemu.say(r#"{"error": {"class": "GenericError", "desc": "is locked"}, "id": "disc"}"#);
        assert_eq!(qmp.turn(1), [News::Changed(Err("is locked".into()))]);
    }
}
