//! Processes, identified reliably: a process is its id together with its start time, so that a reused id is never mistaken for
//! it. The only module that knows how each kernel reports this, and so contains `cfg`.
//!
//! Not here: whether a guest runs (`runtime`, by locks) and starting processes (`supervise`).

use chyves_core::error::{Problem, Result};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// One process, identified reliably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proc {
    /// The process id.
    pub pid: u32,
    /// Start time as the operating system prints it; compared, never computed with.
    pub start: String,
}

impl Proc {
    /// The process that has this id now, if any.
    ///
    /// # Errors
    /// The operating system does not provide the information.
    pub fn find(pid: u32) -> Result<Option<Self>> {
        Ok(start_of(pid)?.map(|start| Self { pid, start }))
    }

    /// The current process.
    ///
    /// # Errors
    /// The operating system does not provide the information.
    pub fn current() -> Result<Self> {
        let pid = std::process::id();
        Self::find(pid)?.ok_or_else(|| Problem::host_cant(format!("cannot see process {pid}, which is this one")).hint(PROC_HINT))
    }

    /// Whether it still exists; a zombie does not.
    ///
    /// # Errors
    /// The operating system does not provide the information.
    pub fn is_alive(&self) -> Result<bool> {
        Ok(start_of(self.pid)?.as_deref() == Some(self.start.as_str()))
    }

    /// Whether it ignores SIGTERM or has a handler for it, so that the signal would not simply end it; none if that is unknown.
    /// bhyve installs its handler when the guest enables ACPI, and not before.
    pub fn bears_term(&self) -> Option<bool> {
        self.disposes(Signal::TERM, |ignored, caught| ignored | caught)
    }

    /// Whether it has a handler for a signal; none if that is unknown.
    pub(crate) fn handles(&self, signal: Signal) -> Option<bool> {
        self.disposes(signal, |_, caught| caught)
    }

    fn disposes(&self, signal: Signal, of: fn(u64, u64) -> u64) -> Option<bool> {
        let (ignored, caught) = dispositions(self.pid)?;
        let bit = 1u64 << (signal.as_raw() - 1);
        // Checked after the query: the answer belonged to this process.
        (self.is_alive() == Ok(true)).then_some(of(ignored, caught) & bit != 0)
    }

    /// Sends a signal to exactly this process; does nothing if it has exited. Whether it still existed.
    ///
    /// # Errors
    /// The operating system refused.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        let refused = |e| Problem::failed(format!("cannot send signal {} to process {}", signal.as_raw(), self.pid)).because(e);
        match i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            Some(pid) => send(self, pid, signal).map_err(refused),
            None => Ok(false),
        }
    }
}

#[cfg(target_os = "linux")]
const PROC_HINT: &str = "mount /proc";
#[cfg(not(target_os = "linux"))]
const PROC_HINT: &str = "check that ps(1) works";

/// The descriptor pins the process before its start time is compared, so that the signal cannot reach a successor.
#[cfg(target_os = "linux")]
fn send(process: &Proc, pid: Pid, signal: Signal) -> std::io::Result<bool> {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    let fd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    if !process.is_alive().map_err(std::io::Error::other)? {
        return Ok(false);
    }
    match pidfd_send_signal(fd, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Without descriptors of other processes there is an instant between the check and the signal; ids are not reused that fast.
#[cfg(not(target_os = "linux"))]
fn send(process: &Proc, pid: Pid, signal: Signal) -> std::io::Result<bool> {
    if !process.is_alive().map_err(std::io::Error::other)? {
        return Ok(false);
    }
    match rustix::process::kill_process(pid, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

#[cfg(target_os = "linux")]
fn start_of(pid: u32) -> Result<Option<String>> {
    let path = format!("/proc/{pid}/stat");
    let text = match crate::hostfs::kernel::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound) || e.raw_os_error() == Some(3) => {
            return Ok(None);
        }
        Err(e) => {
            return Err(Problem::host_cant(format!("cannot read `{path}`")).on(path).because(e));
        }
    };
    parse_stat(&text).ok_or_else(|| Problem::host_cant(format!("`{path}` has a form that is not known")).on(&path))
}

/// The start time (field 22) of a line of `/proc/PID/stat`; the inner none is a zombie. A process whose first thread has ended
/// while others run has the state of a zombie and is none: its number of threads (field 20) shows that. The program's name may
/// contain blanks and brackets, so fields are counted after the last bracket.
#[cfg(target_os = "linux")]
#[allow(clippy::option_option)] // "unreadable" and "dead" are two things
fn parse_stat(text: &str) -> Option<Option<String>> {
    let (_, behind) = text.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace();
    let state = fields.next()?;
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    let start = fields.nth(1).filter(|s| s.bytes().all(|b| b.is_ascii_digit()))?;
    Some((!matches!(state, "Z" | "X") || threads > 1).then(|| start.to_owned()))
}

#[cfg(not(target_os = "linux"))]
fn start_of(pid: u32) -> Result<Option<String>> {
    let output = crate::child::command("ps")
        .args(["-o", "state=", "-o", "lstart=", "-p", &pid.to_string()])
        .env("TZ", "UTC")
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| Problem::host_cant("cannot run `ps`").because(e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(match text.trim().split_once(char::is_whitespace) {
        None => None,
        Some((state, _)) if state.starts_with('Z') => None,
        Some((_, start)) => Some(start.trim().to_owned()),
    })
}

/// The signals that a process ignores and those that it handles, as bit masks.
#[cfg(target_os = "linux")]
fn dispositions(pid: u32) -> Option<(u64, u64)> {
    let text = crate::hostfs::kernel::text(format!("/proc/{pid}/status")).ok()?;
    let mask = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    Some((mask("SigIgn:")?, mask("SigCgt:")?))
}

/// ps(1) prints them as hexadecimal digits.
#[cfg(not(target_os = "linux"))]
fn dispositions(pid: u32) -> Option<(u64, u64)> {
    let output = crate::child::command("ps")
        .args(["-o", "sigignore=", "-o", "sigcatch=", "-p", &pid.to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut masks = text.split_ascii_whitespace().map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16));
    Some((masks.next()?.ok()?, masks.next()?.ok()?))
}

/// An identifier of the current boot of this host. Records of another boot are void.
///
/// # Errors
/// The operating system does not provide the information.
pub fn boot_id() -> Result<String> {
    boot_text().map_err(|e| Problem::host_cant("cannot identify this boot of the host").because(e))
}

#[cfg(target_os = "linux")]
fn boot_text() -> std::io::Result<String> {
    Ok(crate::hostfs::kernel::text("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Newer kernels have a boot id; older ones print the boot time, as `{ sec = 1700000000, usec = 5 } …`.
#[cfg(not(target_os = "linux"))]
fn boot_text() -> std::io::Result<String> {
    for name in ["kern.boot_id", "kern.boottime"] {
        let output = crate::child::command("sysctl").args(["-n", name]).stdin(std::process::Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let text = text.split(',').next().unwrap_or_default().trim().to_owned();
        if output.status.success() && !text.is_empty() {
            return Ok(text);
        }
    }
    Err(std::io::Error::other("neither kern.boot_id nor kern.boottime is known to sysctl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_impostor_is_not() {
        let me = Proc::current().unwrap();
        assert!(me.is_alive().unwrap());
        let impostor = Proc { start: "1".into(), ..me };
        assert!(!impostor.is_alive().unwrap());
        assert!(!impostor.signal(Signal::KILL).unwrap(), "a process with another start must not be touched");
    }

    #[test]
    fn a_dead_child_is_dead_before_and_after_it_is_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let process = Proc::find(child.id()).unwrap().unwrap();
        assert!(process.signal(Signal::KILL).unwrap());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while process.is_alive().unwrap() {
            assert!(std::time::Instant::now() < deadline, "not dead");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!process.is_alive().unwrap());
        assert!(!process.signal(Signal::TERM).unwrap());
    }

    #[test]
    fn who_bears_a_term_is_told_from_who_dies_of_it() {
        use std::io::Read;
        let run = |script: &str| {
            let mut child = std::process::Command::new("sh").args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
            // The script prints when it has got that far.
            child.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
            let process = Proc::find(child.id()).unwrap().unwrap();
            let bears = process.bears_term();
            process.signal(Signal::KILL).unwrap();
            child.wait().unwrap();
            (bears, process.bears_term())
        };
        assert_eq!(run("echo up; while :; do :; done"), (Some(false), None));
        assert_eq!(run("trap '' TERM; echo up; while :; do :; done"), (Some(true), None));
        assert_eq!(run("trap : TERM; echo up; while :; do :; done"), (Some(true), None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_may_be_called_anything() {
        let line = |name: &str, state: &str| format!("12 ({name}) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21");
        assert_eq!(parse_stat(&line("a) Z (b", "S")), Some(Some("4711".into())));
        assert_eq!(parse_stat(&line("x", "Z")), Some(Some("4711".into())), "17 threads of it run");
        assert_eq!(parse_stat(&line("x", "Z").replace(" 17 18 ", " 1 18 ")), Some(None));
        assert_eq!(parse_stat("nonsense"), None);
        assert_eq!(parse_stat("1 (x) S 1"), None);
    }

    #[test]
    fn one_boot_has_one_id() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert!(!boot_id().unwrap().is_empty());
    }
}
