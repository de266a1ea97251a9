//! fuser(1) and ps(1), FreeBSD 13.0 on: which processes have a file open, and the titles of processes. Both have the same
//! format on every POSIX system: fuser prints only process ids to its standard output.

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::{Process, unreadable};
use std::collections::BTreeMap;

/// The program that lists the processes with a file open.
pub const FUSER: &str = "fuser";
/// The program that lists processes.
pub const PS: &str = "ps";

/// Lists the processes that have any of these files open. The exit status is ignored, because some releases report "none"
/// as an error.
pub fn holders(paths: &[&str]) -> Cmd {
    Cmd::new(FUSER, paths.iter().copied())
}

/// Parses the process ids.
///
/// # Errors
/// A word is not a process id.
pub fn parse_holders(stdout: &str) -> Result<Vec<u32>> {
    stdout.split_ascii_whitespace().map(|word| word.parse().map_err(|_| unreadable(FUSER, stdout))).collect()
}

/// The command that lists all processes.
pub fn list() -> Cmd {
    Cmd::new(PS, ["-axww", "-o", "pid=,command="])
}

/// Parses the list: a process id and a command on each line.
///
/// # Errors
/// A line has another form, or there are none.
pub fn parse_list(text: &str) -> Result<BTreeMap<u32, String>> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let (pid, command) = line.trim_start().split_once(' ').unwrap_or((line.trim(), ""));
        all.insert(pid.parse().map_err(|_| unreadable(PS, line))?, command.trim().to_owned());
    }
    if all.is_empty() { Err(unreadable(PS, "")) } else { Ok(all) }
}

/// The bhyve processes by the names of their VMs: once it runs, bhyve's process title is `bhyve: NAME`.
pub fn bhyves(all: &BTreeMap<u32, String>) -> BTreeMap<String, Process> {
    let vm = |command: &str| command.strip_prefix("bhyve: ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    all.iter().filter_map(|(pid, command)| Some((vm(command)?, Process { pid: *pid, command: command.clone() }))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_nobody_is_no_id() {
        assert_eq!(parse_holders(" 4711 4712\n").unwrap(), [4711, 4712]);
        assert!(parse_holders("\n").unwrap().is_empty());
        assert!(parse_holders("4711w").unwrap_err().message.contains("fuser"));
    }

    #[test]
    fn a_vm_is_told_by_the_whole_title() {
        let all = parse_list("    1 /sbin/init\n 4711 bhyve: web1 (bhyve)\n 4712 bhyve: web10\n 4713 grep bhyve: web1\n    7\n").unwrap();
        let found = bhyves(&all);
        assert_eq!(found["web1"].pid, 4711);
        assert_eq!(found["web10"].pid, 4712);
        assert_eq!(found.len(), 2);
        assert_eq!(found["web1"].to_string(), "bhyve: web1 (bhyve) (pid 4711)");
    }

    #[test]
    fn a_line_without_an_id_is_an_error_that_names_the_tool() {
        for bad in ["", "PID COMMAND\n", " x 1"] {
            assert!(parse_list(bad).unwrap_err().message.contains("`ps`"), "{bad}");
        }
    }
}
