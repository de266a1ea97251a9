//! Running one command to its end: no shell, a clean environment, both output streams captured.
//!
//! * [`wait`]: waiting for its end, within limits
//!
//! Not here: which commands are run (chyves-core), and long-lived processes (`supervise`).

pub mod wait;

pub use crate::programs::{find_program, search_path};

use crate::programs::PATH_VARIABLE;
use crate::{child, interrupt, platform, standard, trace};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::network::nat;
use chyves_core::os::Os;
use chyves_core::value::printable;
use chyves_core::zfs::{Dialect, forged};
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The result of a finished command.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status, or none if a signal ended it.
    pub status: Option<i32>,
    /// Standard output; invalid UTF-8 is replaced.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Whether the exit status is 0.
    pub fn ok(&self) -> bool {
        self.status == Some(0)
    }
}

/// Runs a command to its end, whatever its exit status.
///
/// # Errors
/// The program is missing or cannot be started.
pub fn run(cmd: &Cmd) -> Result<Output> {
    let turn = mount_turn(cmd)?;
    let mut command = prepare(cmd)?;
    // The child keeps the mount lock for as long as it lives, even if this process is killed.
    command.stdin(turn.map_or_else(Stdio::null, Stdio::from));
    let mut output = finish(cmd, command, true)?;
    if let Some(twin) = forged::without_values(cmd).filter(|_| forged::is_doubtful(cmd, &output.stdout)) {
        let mut command = prepare(&twin)?;
        command.stdin(Stdio::null());
        let real = finish(&twin, command, true)?;
        output.stdout = forged::confirmed(cmd, output.stdout, &real.stdout);
    }
    Ok(output)
}

/// Starts the command and waits for its end. `group`: whether it leads a process group of its own.
fn finish(cmd: &Cmd, mut command: Command, group: bool) -> Result<Output> {
    let span = trace::begin(cmd);
    let child = start(cmd, &mut command).map_err(|e| cant_start(cmd, &e))?;
    // Closes this process's copies of the descriptors that the child holds.
    drop(command);
    let output = wait::output(cmd, child, group)?;
    if let Some(span) = span {
        span.end(output.status, &output.stdout, &output.stderr);
    }
    Ok(output)
}

/// Starts the command and writes its input. The input is a few lines, which fit in a pipe's buffer.
fn start(cmd: &Cmd, command: &mut Command) -> std::io::Result<Child> {
    if !cmd.lines.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let text: String = cmd.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        // A program that exits without reading reports the reason itself.
        let _ = stdin.write_all(text.as_bytes());
    }
    Ok(child)
}

/// Runs a program of the user who typed the command, in the user's environment, such as the server of tmux with the user's
/// settings.
///
/// # Errors
/// As [`run`].
pub fn own(cmd: &Cmd) -> Result<Output> {
    let program = find_program(&cmd.program).ok_or_else(|| missing(&cmd.program))?;
    let mut command = child::command_of_user(&program);
    command.args(&cmd.args).stdin(Stdio::null());
    finish(cmd, command, false)
}

/// As [`own`], for a program that must exit with 0; returns its output.
///
/// # Errors
/// As [`must`].
pub fn own_must(cmd: &Cmd) -> Result<String> {
    good(cmd, own(cmd)?)
}

/// Replaces this process by a program, with its terminal and environment; returns only on failure.
pub fn become_program(cmd: &Cmd, variables: &[(&str, &str)]) -> Problem {
    let Some(program) = find_program(&cmd.program) else { return missing(&cmd.program) };
    // A standard output that was closed for this process is closed for that program too, instead of `/dev/null`.
    if standard::output_was_closed() {
        let _ = rustix::io::fcntl_setfd(std::io::stdout(), rustix::io::FdFlags::CLOEXEC);
    }
    let error = child::command_of_user(&program).args(&cmd.args).envs(variables.iter().copied()).exec();
    cant_start(cmd, &error)
}

fn cant_start(cmd: &Cmd, error: &std::io::Error) -> Problem {
    Problem::host_cant(format!("cannot start `{}`", cmd.program)).on(&cmd.program).because(error)
}

/// A command ready to be started, in a clean environment.
///
/// # Errors
/// The program is missing.
pub fn prepare(cmd: &Cmd) -> Result<Command> {
    let program = find_program(&cmd.program).ok_or_else(|| missing(&cmd.program))?;
    let mut command = child::command(program);
    command.args(&cmd.args);
    Ok(command)
}

/// The folder of zfs-fuse's socket, which is the same for all users of the daemon.
const FUSE_SOCKET_DIR: &str = "/var/run/zfs";
/// Longest wait for the mount lock; no mount takes that long.
const TURN: Duration = Duration::from_secs(60);

/// zfs-fuse receives mount requests through a pipe without locking: from two at once it reads garbage, and then every process
/// that opens a file there hangs. So commands that may mount are serialised here, across all chyves processes.
fn mount_turn(cmd: &Cmd) -> Result<Option<File>> {
    let mounts = matches!(cmd.args.first().map(String::as_str), Some("clone" | "create" | "mount" | "receive" | "rename" | "rollback"));
    if cmd.program != "zfs" || !mounts || platform::here().dialect() != Dialect::Fuse {
        return Ok(None);
    }
    let Ok(turn) = crate::hostfs::named::open_as_seen(FUSE_SOCKET_DIR) else { return Ok(None) };
    let (began, signals, mut notice) = (Instant::now(), interrupt::count(), wait::notice());
    while matches!(turn.try_lock(), Err(TryLockError::WouldBlock)) {
        let so_far = began.elapsed();
        if interrupt::count() > signals {
            return Err(Problem::interrupted().because(format!("another program was mounting for {} s", so_far.as_secs())));
        }
        if so_far >= TURN {
            return Ok(None);
        }
        if so_far >= notice {
            notice *= 2;
            let shown = printable(&cmd.to_string(), 200);
            interrupt::note(&format!(
                "waiting to run `{shown}` for {} s: another program mounts a file system of zfs-fuse; Ctrl-C ends the wait",
                so_far.as_secs()
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(Some(turn))
}

/// Runs a command that must exit with 0; returns its output.
///
/// # Errors
/// The program is missing, or failed; the error has the command, its exit status and its standard error.
pub fn must(cmd: &Cmd) -> Result<String> {
    good(cmd, run(cmd)?)
}

fn good(cmd: &Cmd, output: Output) -> Result<String> {
    if output.ok() { Ok(output.stdout) } else { Err(failure(cmd, &output)) }
}

/// The error for a command that failed.
pub fn failure(cmd: &Cmd, output: &Output) -> Problem {
    let how = output.status.map_or_else(|| "was ended by a signal".to_owned(), |s| format!("exit status {s}"));
    let shown = printable(&cmd.to_string(), 300);
    let said = output.stderr.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).map(|l| printable(l, 300)).collect::<Vec<_>>();
    let mut problem = Problem::failed(format!("`{shown}` failed ({how})")).on(&cmd.program);
    problem.causes.extend(said);
    // These words select hints only; no decision depends on them.
    for (word, hint) in [
        (
            "out of space",
            "free space: `chyves trash list` shows what is deleted and not yet destroyed, `zfs list -o space` what uses the space",
        ),
        ("read-only", "the pool or dataset is read-only: `zfs get readonly`, `zpool status`"),
        ("failed to create mountpoint", "is the file system that it is mounted in read-only or full? `zfs get readonly`, `zpool list`"),
        (
            "directory is not empty",
            "the folder where it is to be mounted has files in it: move them elsewhere and try again; `zfs get mountpoint` shows the folder",
        ),
        ("dataset does not exist", "it may have been destroyed: `zfs list -t filesystem,volume,snapshot` shows what is there"),
        (
            "outside of its encryption root",
            "its key is that of a dataset above it, and ZFS lets it go nowhere else: `zfs change-key -o keyformat=passphrase DATASET` \
             gives it a key of its own; `chyves delete GUEST --now` destroys a guest for good",
        ),
        ("no such pool", "`zpool list` shows the pools, `zpool import` those not imported"),
        (
            "dataset is busy",
            "some process has a file of it open, or another mount namespace has it mounted: `fuser -vm` on its folder shows it",
        ),
    ] {
        if output.stderr.contains(word) {
            problem = problem.hint(hint);
        }
    }
    // Without privileges, the same cause produces many different messages.
    if !rustix::process::geteuid().is_root() {
        problem.code = Kind::HostCant;
        problem = problem.hint("you are not root: try again with sudo or doas");
    }
    problem
}

/// The error for a missing program, with the package that contains it.
pub(crate) fn missing(program: &str) -> Problem {
    let base = program.rsplit('/').next().unwrap_or(program);
    let package = match (base, platform::here().os()) {
        ("zfs" | "zpool", Os::Linux) => Some("apt-get install zfsutils-linux (or zfs-fuse)"),
        ("qemu-img", Os::Linux) => Some("apt-get install qemu-utils"),
        ("qemu-img", Os::FreeBsd) => Some("pkg install qemu-tools"),
        (name, Os::Linux) if name.starts_with("qemu-system") => Some("apt-get install qemu-system-x86 ovmf"),
        ("ip", Os::Linux) => Some("apt-get install iproute2"),
        ("tmux", Os::Linux) => Some("apt-get install tmux"),
        ("tmux", Os::FreeBsd) => Some("pkg install tmux"),
        ("cu", Os::Linux) => Some("apt-get install cu"),
        ("grub-bhyve", Os::FreeBsd) => Some("pkg install grub2-bhyve"),
        (name, os) => nat::install(name, os),
    };
    let problem = Problem::host_cant(format!("the program `{program}` is missing")).on(program);
    match package {
        Some(line) => problem.hint(line),
        None => problem.hint(format!("install it, or name its folder in {PATH_VARIABLE}; searched: {}", printable(&search_path(), 200))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let problem = run(&Cmd::new("qemu-system-nowhere", [""; 0])).unwrap_err();
        assert_eq!(problem.code.exit_code(), 5);
        assert!(problem.message.contains("qemu-system-nowhere"));
        assert!(!problem.hints.is_empty());
    }

    #[test]
    fn programs_behind_bridges_are_named_with_their_packages() {
        assert_eq!(missing("nft").hints, ["apt-get install nftables"]);
        assert_eq!(missing("dnsmasq").hints, ["apt-get install dnsmasq-base"]);
    }

    #[test]
    fn a_failure_tells_the_command_and_what_it_said() {
        let problem = must(&Cmd::new("ls", ["/nowhere at all"])).unwrap_err();
        assert!(problem.message.contains("ls '/nowhere at all'"), "{problem}");
        assert!(problem.causes[0].contains("No such file"), "{problem}");
    }

    #[test]
    fn the_environment_is_clean_and_arguments_are_whole() {
        assert_eq!(must(&Cmd::new("printf", ["%s|", "a b", "$HOME", "*"])).unwrap(), "a b|$HOME|*|");
        let env = must(&Cmd::new("env", [""; 0])).unwrap();
        assert!(env.lines().all(|l| ["PATH=", "LC_ALL=", "CHYVES_LAB="].iter().any(|name| l.starts_with(name))), "{env}");
    }
}
