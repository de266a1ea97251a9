//! A person at a real terminal, a script at a pipe, and a supervisor in the foreground.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a panic is the failure report

mod guest;

use guest::{Guest, PROGRAM, until};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A terminal with the console in it.
struct Terminal {
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    /// Our own descriptor of the side that the program has, to see its modes.
    line: File,
    child: Child,
}

impl Terminal {
    fn open(guest: &Guest, verb: &str) -> Self {
        let pair = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&pair).unwrap();
        unlockpt(&pair).unwrap();
        let path = ptsname(&pair, Vec::new()).unwrap().into_string().unwrap();
        let line = File::options().read(true).write(true).open(path).unwrap();
        let side = || Stdio::from(line.try_clone().unwrap());
        let child = Command::new(PROGRAM)
            .arg(verb)
            .args(guest.names())
            .env("CHYVES_RUNDIR", guest.rt.root())
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        let keys = File::from(pair);
        let mut reader = keys.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(n) = reader.read(&mut buffer) {
                if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keys, screen, seen: String::new(), line, child }
    }

    fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let more = self.screen.recv_timeout(guest::PATIENCE).unwrap_or_else(|_| panic!("no `{text}` in {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        let at = self.seen.find(text).unwrap();
        self.seen.drain(..at + text.len());
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.line).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn until_left(&mut self) {
        let status = until("the console to be left", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}; {:?}", self.seen);
        assert!(!self.is_raw(), "the terminal was left raw");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_person_types_leaves_and_finds_the_terminal_as_it_was() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    guest.console().expect("tiny: ready 1");
    let mut terminal = Terminal::open(&guest, "console");
    terminal.expect("leave with Ctrl-]");
    terminal.expect("tiny: ready 1");
    until("the terminal to be raw", || terminal.is_raw().then_some(()));
    terminal.keys.write_all(b"i").unwrap();
    terminal.expect("tiny: ready 1");
    // Over a reboot.
    terminal.keys.write_all(b"r").unwrap();
    terminal.expect("tiny: ready 2");
    terminal.keys.write_all(b"i\x1dp").unwrap();
    terminal.expect("left: Escape");
    terminal.until_left();
    // What follows the escape is not the guest's: it answers what comes after it.
    let mut other = guest.console();
    other.say("g");
    other.expect("tiny: data");
    guest.until_state("running");
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    let mut terminal = Terminal::open(&guest, "console");
    terminal.expect("tiny: ready 1");
    assert!(terminal.is_raw());
    kill_process(Pid::from_raw(terminal.child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    terminal.expect("left: Interrupted");
    terminal.until_left();
}

#[test]
fn the_end_of_the_machine_is_told() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    let mut terminal = Terminal::open(&guest, "console");
    terminal.expect("tiny: ready 1");
    terminal.keys.write_all(b"p").unwrap();
    terminal.expect("tiny: bye");
    terminal.expect("left: Ended(None)");
    terminal.until_left();
    guest.is_gone();
    let refused = Command::new(PROGRAM)
        .arg("console")
        .args(guest.names())
        .env("CHYVES_RUNDIR", guest.rt.root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert_eq!(String::from_utf8_lossy(&refused.stderr), "`tiny` is not running\n");
}

#[test]
fn one_who_watches_types_nothing() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    let mut terminal = Terminal::open(&guest, "watch");
    terminal.expect("Watching the console of tiny");
    terminal.expect("tiny: ready 1");
    terminal.keys.write_all(b"ppp").unwrap();
    let mut other = guest.console();
    other.say("i");
    terminal.expect("tiny: ready 1");
    terminal.keys.write_all(b"\x1d").unwrap();
    terminal.expect("left: Escape");
    terminal.until_left();
    assert_eq!(guest.state().word(), "running");
}

#[test]
fn a_script_gets_its_answers() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    guest.console().expect("tiny: ready 1");
    let mut child = Command::new(PROGRAM)
        .arg("console")
        .args(guest.names())
        .env("CHYVES_RUNDIR", guest.rt.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"wx\x1dig").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("tiny: data x") && said.ends_with("tiny: ready 1\r\ntiny: data x\r\n"), "{said:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "left: InputOver\n", "no word about an escape that there is not");
}

#[test]
fn in_the_foreground_a_signal_stops_the_guest_in_order() {
    let guest = Guest::new();
    let mut child = Command::new(PROGRAM)
        .arg("foreground")
        .env("CHYVES_RUNDIR", guest.rt.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(guest.spec()).unwrap()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), format!("+ {}", guest.launch.hypervisor));
    assert_eq!(lines.next().unwrap(), "running");
    guest.console().expect("tiny: ready 1");
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    assert_eq!(lines.next().unwrap(), "off: the guest powered off");
    let status = child.wait().unwrap();
    assert!(status.success() && status.signal().is_none());
    guest.is_gone();
}
