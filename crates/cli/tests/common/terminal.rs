//! A person at a terminal of their own: types, reads, and sees which modes it is in.

use super::answer::words;
use super::{Host, PROGRAM, patience, until};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A terminal with one command in it.
pub struct Terminal {
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown and not yet looked for.
    seen: String,
    /// Our own descriptor of the command's side, to see its modes.
    line: File,
    child: Child,
}

impl Host {
    /// Runs chyves in a terminal.
    pub fn terminal(&self, line: &str) -> Terminal {
        let mut command = self.command(PROGRAM);
        command.args(words(line));
        Terminal::open(&command)
    }

    /// Sits down at a guest's console.
    pub fn console(&self, guest: &str) -> Terminal {
        let mut terminal = self.terminal(&format!("console {guest}"));
        terminal.sees("leave with Ctrl-]");
        terminal
    }
}

impl Terminal {
    /// Runs a command that has this terminal as its own.
    fn open(command: &Command) -> Self {
        let pair = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&pair).unwrap();
        unlockpt(&pair).unwrap();
        let path = ptsname(&pair, Vec::new()).unwrap().into_string().unwrap();
        let line = File::options().read(true).write(true).custom_flags_noctty().open(path).unwrap();
        let side = || Stdio::from(line.try_clone().unwrap());
        let mut own = Command::new("setsid");
        // What leads to the command is not to die of the keys that are meant for it.
        own.args(["--ctty", "--wait", "env", "--ignore-signal=INT"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => own.env(key, value),
                None => own.env_remove(key),
            };
        }
        let child = own.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let keys = File::from(pair);
        let mut reader = keys.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keys, screen, seen: String::new(), line, child }
    }

    /// Presses keys.
    pub fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown; what came before it, and it, is forgotten.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> String {
        self.sees_all(&[text])
    }

    /// Waits until all of these are shown, in whatever order; what came before the last of them, and it, is forgotten.
    #[track_caller]
    pub fn sees_all(&mut self, texts: &[&str]) -> String {
        let deadline = Instant::now() + patience();
        loop {
            let ends: Option<Vec<usize>> = texts.iter().map(|text| Some(self.seen.find(text)? + text.len())).collect();
            if let Some(end) = ends.map(|ends| ends.into_iter().max().unwrap_or(0)) {
                return self.seen.drain(..end).collect();
            }
            // Who has ended says no more, but for what still lies in the terminal.
            let ended = self.child.try_wait().unwrap();
            match self.screen.recv_timeout(GLANCE) {
                Ok(more) => self.seen.push_str(&String::from_utf8_lossy(&more)),
                Err(RecvTimeoutError::Timeout) if ended.is_none() && Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("not all of {texts:?} in {:?} (ended: {ended:?})", self.seen)
                }
            }
        }
    }

    /// Types a line at a shell's prompt and gives what it printed before the next prompt.
    #[track_caller]
    pub fn shell(&mut self, line: &str) -> String {
        self.types(&format!("{line}\r"));
        // The echo first, so that the answer is not taken from it.
        self.sees("\r\n");
        let said = self.sees(PROMPT);
        said.trim_end_matches(PROMPT).trim().to_owned()
    }

    /// Logs in to the Linux test guest.
    #[track_caller]
    pub fn logs_in(&mut self) {
        self.sees("login:");
        self.types("root\r");
        self.sees(PROMPT);
    }

    /// Whether keys are passed on as they are.
    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.line).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Leaves a console by its escape.
    #[track_caller]
    pub fn leaves(mut self) {
        self.types("\x1d");
        self.ends(0);
    }

    /// Waits until the command has ended, with this status and the terminal as it was.
    #[track_caller]
    pub fn ends(&mut self, code: i32) {
        let status = until("the command in the terminal to end", || self.child.try_wait().unwrap());
        while let Ok(more) = self.screen.try_recv() {
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        assert_eq!(status.code(), Some(code), "{:?}", self.seen);
        assert!(!self.is_raw(), "the terminal was left raw");
    }
}

/// How long is waited for something to be shown before the command is looked at again.
const GLANCE: Duration = Duration::from_millis(200);

/// How the shell of the Linux test guest asks for a command.
const PROMPT: &str = "root@chyves-guest# ";

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opening a terminal must not make it this test's own.
trait NoCtty {
    fn custom_flags_noctty(&mut self) -> &mut Self;
}

impl NoCtty for std::fs::OpenOptions {
    fn custom_flags_noctty(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
    }
}
