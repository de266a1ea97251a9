//! What the lab's tests share: a lab, its commands, and a guest that is spoken to on its console.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use chyves_lab::Lab;

/// Only what hangs meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A lab, or nothing with a word about it where this machine can't have one.
pub(crate) fn lab(test: &str, settings: &[&str]) -> Option<Lab> {
    let root = rustix::process::geteuid().is_root();
    let absent = ["/dev/fuse", "/dev/net/tun"].into_iter().find(|file| !Path::new(file).exists());
    let missing = if root { absent.map(|file| format!("no {file}")) } else { Some("not root".to_owned()) };
    if let Some(why) = missing {
        skip(test, &why);
        return None;
    }
    Some(Lab::up(Path::new(env!("CARGO_BIN_EXE_chyves-lab")), settings).unwrap())
}

/// Tells the summary of the tests that one did not run.
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(file) = std::env::var_os("CHYVES_TEST_SKIPPED") {
        let mut file = fs::File::options().append(true).create(true).open(file).unwrap();
        writeln!(file, "skipped: {test}: {why}").unwrap();
    }
}

/// A copy of a test guest's disk inside the lab; none, with a word about it, where the guests are not built.
pub(crate) fn guest_disk(test: &str, lab: &Lab, image: &str) -> Option<String> {
    let folder = std::env::var_os("CHYVES_TEST_GUESTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests"), PathBuf::from);
    let image = folder.join(image);
    if !image.is_file() {
        skip(test, "the test guests are not built: scripts/guest/build target/guests, or set CHYVES_TEST_GUESTS");
        return None;
    }
    let copy = lab.dir().join("guest.img");
    let done = Command::new("cp").arg("--sparse=always").arg(&image).arg(&copy).status().unwrap();
    assert!(done.success());
    Some(copy.display().to_string())
}

/// An empty disk inside the lab.
pub(crate) fn blank(lab: &Lab, name: &str) -> String {
    let file = lab.dir().join(name);
    fs::File::create(&file).unwrap().set_len(1 << 20).unwrap();
    file.display().to_string()
}

/// The lab's own boot ROM.
pub(crate) fn rom(lab: &Lab) -> String {
    let amd64 = lab.dir().join("usr/local/share/uefi-firmware/BHYVE_UEFI.fd");
    if amd64.exists() {
        amd64.display().to_string()
    } else {
        lab.dir().join("usr/local/share/u-boot/u-boot-bhyve-arm64/u-boot.bin").display().to_string()
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command line in the lab; `\x20`-separated words, nothing quoted.
pub(crate) fn run(lab: &Lab, line: &str) -> Ran {
    let mut words = line.split_whitespace();
    let output = lab.command(words.next().unwrap()).args(words).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { status: code(output.status), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The same, which must succeed; what it printed.
pub(crate) fn good(lab: &Lab, line: &str) -> String {
    let ran = run(lab, line);
    assert_eq!(ran.status, 0, "{line}: {}", ran.err);
    ran.out
}

/// The same, which must end with this status and say this.
pub(crate) fn bad(lab: &Lab, line: &str, status: i32, text: &str) {
    let ran = run(lab, line);
    assert_eq!(ran.status, status, "{line}: {ran:?}");
    assert!(ran.err.contains(text), "{line}: {:?} is not in {:?}", text, ran.err);
}

/// A status, or 128 and the signal.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap()
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A bhyve whose console is its standard input and output.
pub(crate) struct Guest {
    child: Child,
    stdin: Option<ChildStdin>,
    heard: Receiver<Vec<u8>>,
    text: String,
    seen: usize,
}

impl Guest {
    /// Starts a program of the lab.
    pub(crate) fn start(lab: &Lab, line: &str) -> Guest {
        let mut words = line.split_whitespace();
        let mut command = lab.command(words.next().unwrap());
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, heard) = channel();
        let mut stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Guest { child, stdin, heard, text: String::new(), seen: 0 }
    }

    /// The process, which is bhyve itself: nsenter has become it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a text on the console, from where the last one ended.
    pub(crate) fn expect(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.text[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left) {
                Ok(bytes) => write!(self.text, "{}", String::from_utf8_lossy(&bytes)).unwrap(),
                Err(error) => panic!("{text:?} did not come ({error}): {:?}", self.text),
            }
        }
    }

    /// Types on the console.
    pub(crate) fn send(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Presses the power button, once the guest has one: until then the signal is deadly, as its process shows.
    pub(crate) fn press(&self) {
        let caught = |line: &str| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok();
        let term = 1 << (rustix::process::Signal::TERM.as_raw() - 1);
        until("ACPI", || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
            status.lines().find_map(caught).is_some_and(|mask: u64| mask & term != 0)
        });
        self.signal(rustix::process::Signal::TERM);
    }

    /// Waits for its end; the exit status, or 128 and the signal.
    pub(crate) fn end(mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return code(status);
            }
            assert!(Instant::now() < end, "it does not end: {:?}", self.text);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
