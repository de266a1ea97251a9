//! ifconfig(8), FreeBSD 13.0 on: which interfaces exist and which of them are bridges. A bridge may have any name; it is
//! identified by the interface group that the kernel adds it to.
//!
//! Not here: creating and joining interfaces (the intents of `os`).

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::{InterfaceKind, unreadable};
use std::collections::BTreeMap;

/// The program's name.
pub const TOOL: &str = "ifconfig";

/// The command that lists all names.
pub fn names() -> Cmd {
    Cmd::new(TOOL, ["-l"])
}

/// The command that lists the bridges.
pub fn bridges() -> Cmd {
    Cmd::new(TOOL, ["-g", "bridge"])
}

/// Parses the output of both: all names on one line, and the bridges one on each line.
///
/// # Errors
/// A name is invalid, there is more than one line of names, or no interface at all: every host has a loopback.
pub fn parse(names: &str, bridges: &str) -> Result<BTreeMap<String, InterfaceKind>> {
    let mut lines = names.lines();
    let line = lines.next().unwrap_or_default();
    let mut interfaces = BTreeMap::new();
    for name in line.split_ascii_whitespace() {
        interfaces.insert(checked(name, line)?.to_owned(), InterfaceKind::Other);
    }
    if interfaces.is_empty() || lines.next().is_some() {
        return Err(unreadable(TOOL, names));
    }
    for line in bridges.lines() {
        interfaces.insert(checked(line.trim(), line)?.to_owned(), InterfaceKind::Bridge);
    }
    Ok(interfaces)
}

/// The name, if it is a valid interface name.
fn checked<'a>(name: &'a str, line: &str) -> Result<&'a str> {
    let fine = !name.is_empty() && name.len() <= 15 && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if fine { Ok(name) } else { Err(unreadable(TOOL, line)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InterfaceKind::{Bridge, Other};

    #[test]
    fn a_bridge_is_known_by_its_group_whatever_its_name() {
        let found = parse("em0 lo0 bridge0 lan tap0\n", "bridge0\nlan\n").unwrap();
        let kinds: Vec<(&str, InterfaceKind)> = found.iter().map(|(n, k)| (n.as_str(), *k)).collect();
        assert_eq!(kinds, [("bridge0", Bridge), ("em0", Other), ("lan", Bridge), ("lo0", Other), ("tap0", Other)]);
        assert_eq!(parse("lo0\n", "").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_name_is_an_error_that_names_the_tool() {
        for (names, bridges) in [("", ""), ("ifconfig: x y\n", ""), ("lo0\nem0\n", ""), ("lo0", "a name\n"), ("an-endlessly-long-name", "")]
        {
            assert!(parse(names, bridges).unwrap_err().message.contains("ifconfig"), "{names} {bridges}");
        }
    }
}
