//! How a child process is started: with a known environment, no descriptors of the caller, umask 077 and the working
//! directory `/`. The only module that builds a `Command`; `clippy.toml` forbids it everywhere else.
//!
//! Not here: confining a hypervisor (`confine`), waiting for a child (`run`, `supervise`).

use crate::{inherited, platform, programs, trace};
use rustix::fs::Mode;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

/// The first descriptor after the standard streams.
const FIRST: i32 = 3;
/// Files that a child creates are accessible to their owner only.
const UMASK: Mode = Mode::RWXG.union(Mode::RWXO);
/// The environment variables that chyves' own hidden commands inherit.
const OWN_VARIABLES: [&str; 6] = [
    platform::ROOT_VARIABLE,
    platform::LASTING_VARIABLE,
    programs::PATH_VARIABLE,
    trace::VARIABLE,
    trace::OUTPUT_VARIABLE,
    "CHYVES_CATALOGUE",
];

/// Makes every descriptor that this process inherited close-on-exec, except the standard streams, and sets the umask.
/// Descriptors opened later are close-on-exec anyway. So a cron job's lock or a calling script's pipe is never passed on.
///
/// `main` calls it first; each function below calls it too, for other users of this crate.
pub fn detach_from_caller() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        close_fds::set_fds_cloexec(FIRST, &[]);
        rustix::process::umask(UMASK);
        inherited::survive_limits();
    });
}

/// A program with a clean environment: only chyves' own `PATH` ([`programs::search_path`]), `LC_ALL` and, in a lab, `CHYVES_LAB`.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = becoming(program);
    // Ctrl-C at the terminal must reach only chyves, which finishes the step and undoes it. A process group can also be killed
    // as a whole.
    command.process_group(0);
    command
}

/// Like [`command`], for a program that this process execs, or that starts a session of its own.
#[expect(clippy::disallowed_methods, reason = "the fence of child processes points here")]
pub(crate) fn becoming(program: impl AsRef<OsStr>) -> Command {
    detach_from_caller();
    let mut command = Command::new(program);
    command.env_clear().env("PATH", programs::search_path()).env("LC_ALL", "C").envs(platform::here().variable()).current_dir("/");
    command
}

/// A hidden command of chyves itself, which also inherits the variables that name chyves' folders.
pub fn own_command(program: impl AsRef<OsStr>) -> Command {
    with_own_variables(command(program))
}

/// Like [`own_command`], for one that starts a session of its own, which a process group leader cannot do.
pub(crate) fn own_session(program: impl AsRef<OsStr>) -> Command {
    with_own_variables(becoming(program))
}

fn with_own_variables(mut command: Command) -> Command {
    // A trace to the terminal is not passed on: the command may outlive the terminal.
    let known = |name: &&str| std::env::var_os(name).filter(|value| *value != trace::SCREEN).map(|value| (name.to_string(), value));
    command.envs(OWN_VARIABLES.iter().filter_map(known));
    command
}

/// A program of the user who typed the command, such as tmux: it keeps the user's environment and working directory.
#[expect(clippy::disallowed_methods, reason = "the fence of child processes points here")]
pub(crate) fn command_of_user(program: &Path) -> Command {
    detach_from_caller();
    Command::new(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_starts_in_the_root_directory_with_umask_077_and_a_known_environment() {
        let script = "pwd; umask; env | sed 's/=.*//' | sort | tr '\\n' ' '";
        let output = command("/bin/sh").args(["-c", script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let known = text.lines().nth(2).unwrap().split_whitespace().all(|name| ["PATH", "LC_ALL", "CHYVES_LAB", "PWD"].contains(&name));
        assert!(text.starts_with("/\n0077\n") && known, "{text}");
    }

    #[test]
    fn a_descriptor_that_was_inherited_is_not_passed_on() {
        // Represents a descriptor that was open before this process started.
        let held = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
        close_fds::set_fds_cloexec(FIRST, &[]);
        let output = command("/bin/ls").args(["/proc/self/fd"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // 3 is the directory that is being listed.
        assert!(text.lines().all(|fd| ["0", "1", "2", "3"].contains(&fd)), "{text}");
    }
}
