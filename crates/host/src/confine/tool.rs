//! A short-lived program that parses untrusted input runs as an unprivileged user, with resource limits, without a network,
//! without any privilege that it could gain, and behind a system call filter. It works on the descriptors that it gets as
//! standard input and output.
//!
//! The restrictions are applied by a hidden command of this program, which then execs the tool: nothing has to be done between
//! `fork` and `exec`, where only few functions are safe.
//!
//! What each host supports:
//! * Linux: another user, `no_new_privs`, rlimits, an empty network namespace, Landlock (only the system's program and library
//!   folders are readable, nothing is writable, no TCP), and seccomp. A kernel without Landlock keeps the rest.
//! * FreeBSD: another user, `PROC_NO_NEW_PRIVS`, rlimits. Capsicum cannot be entered on behalf of a program that still has to
//!   load its libraries.

use crate::child;
use crate::run;
use crate::spawner::Spawner;
use crate::trace;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use rustix::process::{Resource, Rlimit};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

/// Name of the hidden command.
pub const WORD: &str = "_confined";
/// The user and group of tools: the first id after those of hypervisors. Not `nobody`, since other daemons run as that user and
/// could trace them.
const OWN: u32 = chyves_core::confinement::FIRST_UID + chyves_core::confinement::UIDS;
/// The user and group `nobody` of both systems, for containers that have no other ids.
const NOBODY: u32 = 65_534;
/// Memory limit in bytes, for a tool that reads damaged input.
const MEMORY: u64 = 4 << 30;
/// Limit of open files: its libraries, and little more.
const FILES: u64 = 64;
/// Size limit of a tool's output, in bytes; the rest is discarded.
const PRINTED: u64 = 4 << 20;
/// Interval for checking whether a tool has ended, or has to.
const GLANCE: Duration = Duration::from_millis(5);

/// Runs a tool to its end. It works on `stdin` and `stdout`; without `stdout` its output is captured. It is killed if `stop`
/// returns a reason.
///
/// # Errors
/// The program is missing, cannot be confined, or was interrupted.
pub(crate) fn output(cmd: &Cmd, stdin: OwnedFd, stdout: Option<OwnedFd>, stop: &mut dyn FnMut() -> Option<Problem>) -> Result<run::Output> {
    let program = run::find_program(&cmd.program).ok_or_else(|| run::missing(&cmd.program))?;
    let wrapper = Spawner::this_program()?.command(WORD);
    let mut command = child::command(&wrapper.program);
    command
        .args(&wrapper.args)
        .arg(program)
        .args(&cmd.args)
        .stdin(stdin)
        .stdout(stdout.map_or_else(Stdio::piped, Stdio::from))
        .stderr(Stdio::piped());
    let span = trace::begin(cmd);
    let cant = |e: &std::io::Error| Problem::host_cant(format!("cannot start `{}`", cmd.program)).on(&cmd.program).because(e);
    let mut child = command.spawn().map_err(|e| cant(&e))?;
    // Closes this process's copies of the tool's descriptors, so that the peer sees the end of the stream.
    drop(command);
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| cant(&e))? {
            break status;
        }
        if let Some(why) = stop() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(why);
        }
        std::thread::sleep(GLANCE);
    };
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned();
    let output = run::Output { status: status.code(), stdout: text(out), stderr: text(err) };
    if let Some(span) = span {
        span.end(output.status, &output.stdout, &output.stderr);
    }
    if output.status == Some(REFUSED.into()) {
        return Err(Problem::host_cant(format!("cannot confine `{}`", cmd.program))
            .on(&cmd.program)
            .because(output.stderr.trim())
            .hint("`chyves doctor` shows what this host can do"));
    }
    Ok(output)
}

fn reader(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = (&mut from).take(PRINTED).read_to_end(&mut bytes);
            // A tool that cannot print would wait forever.
            let _ = std::io::copy(&mut from, &mut std::io::sink());
        }
        bytes
    })
}

/// The exit status of the hidden command if the confinement failed.
const REFUSED: u8 = 125;

/// The hidden command: confines this process, and execs the program that its arguments name. Returns only if that failed.
pub fn main() -> u8 {
    let mut args = std::env::args_os().skip_while(|word| word != WORD).skip(1);
    let Some(program) = args.next() else { return REFUSED };
    let failed = |what: &str, why: &dyn std::fmt::Display| {
        eprintln(&format!("{what}: {why}"));
        REFUSED
    };
    if let Err(e) = limits() {
        return failed("resource limits", &e);
    }
    let args: Vec<_> = args.collect();
    if let Err(why) = restrict(std::path::Path::new(&program)) {
        return failed("privileges", &why);
    }
    let is_root = rustix::process::geteuid().is_root();
    let become_it = |user: u32| {
        let mut command = child::command(&program);
        command.args(&args);
        if is_root {
            command.uid(user).gid(user);
        }
        command.exec()
    };
    let mut error = become_it(OWN);
    if is_root && error.kind() == std::io::ErrorKind::InvalidInput {
        error = become_it(NOBODY);
    }
    failed("exec", &error)
}

/// Prints the only message of a process that is about to exec another program; its parent reads it.
fn eprintln(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn limits() -> std::io::Result<()> {
    let set = |what: Resource, most: u64| {
        // A limit that is lower already is kept.
        let now = rustix::process::getrlimit(what);
        let most = now.maximum.map_or(most, |now| now.min(most));
        rustix::process::setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) })
    };
    set(Resource::Core, 0)?;
    // Sockets are not files: the tool's output goes through its standard output.
    set(Resource::Fsize, 0)?;
    set(Resource::Nofile, FILES)?;
    set(Resource::As, MEMORY)?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn restrict(program: &std::path::Path) -> std::result::Result<(), String> {
    use rustix::thread::UnshareFlags;
    if rustix::process::geteuid().is_root() {
        // A container may forbid it; the filter denies sockets in any case.
        // SAFETY: neither of these namespaces concerns descriptors.
        #[allow(unsafe_code)]
        let _ = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWIPC) };
    }
    rustix::thread::set_no_new_privs(true).map_err(|e| e.to_string())?;
    super::filter::files(program)?;
    super::filter::tool()
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)] // the signature of the Linux version, which can fail
fn restrict(_: &std::path::Path) -> std::result::Result<(), String> {
    // FreeBSD 13 does not have it.
    #[cfg(target_os = "freebsd")]
    let _ = rustix::process::set_no_new_privs(None);
    Ok(())
}
