//! bhyve(8), FreeBSD 13.0 on, as the source of its own features: `-s help` (emulations) and, on amd64, `-l help` (devices
//! on the LPC bridge). More reliable than comparing releases if the first release of a device is uncertain.
//!
//! Not here: running guests with it (`vmm::bhyve`).

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::unreadable;

/// The program's name.
pub const TOOL: &str = "bhyve";

/// The command that lists emulations.
pub fn emulations() -> Cmd {
    Cmd::new(TOOL, ["-s", "help"])
}

/// The command that lists devices on the LPC bridge.
pub fn lpc() -> Cmd {
    Cmd::new(TOOL, ["-l", "help"])
}

/// Parses the output of either command: one name on each line.
///
/// # Errors
/// A line is not a name, or there are no lines.
pub fn parse(text: &str) -> Result<Vec<String>> {
    let name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let mut names = Vec::new();
    for line in text.lines() {
        let word = line.trim();
        if word.is_empty() || !word.bytes().all(name) {
            return Err(unreadable(TOOL, line));
        }
        names.push(word.to_owned());
    }
    if names.is_empty() { Err(unreadable(TOOL, "")) } else { Ok(names) }
}

/// The command that destroys a VM object.
pub fn destroy(vm: &str) -> Cmd {
    Cmd::new("bhyvectl", [&format!("--vm={vm}"), "--destroy"])
}

/// The device node of a VM object, which exists as long as the object. The exit status of `bhyvectl --destroy` does not
/// show whether the object is gone.
pub fn node(vm: &str) -> String {
    format!("/dev/vmm/{vm}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_one_a_line() {
        assert_eq!(parse("hostbridge\namd_hostbridge\nahci-hd\n").unwrap(), ["hostbridge", "amd_hostbridge", "ahci-hd"]);
        assert_eq!(parse("com1\ncom2\n").unwrap().len(), 2);
    }

    #[test]
    fn usage_text_is_no_list() {
        for bad in ["", "\n", "Usage: bhyve [-aCDeHhPSuWwxY]", "ahci\nbhyve: x\n"] {
            assert!(parse(bad).unwrap_err().message.contains("bhyve"), "{bad}");
        }
    }
}
