//! jail(8), jls(8) and devfs(8), for querying and removing jails. The content of a jail is defined in `vmm::bhyve::jail`.

use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use std::collections::BTreeSet;

/// Removes a jail, kills its processes and unmounts what its configuration file mounted. jail(8) fails if the file is
/// missing.
pub fn remove(conf: &str, name: &str) -> Cmd {
    Cmd::new("jail", ["-q", "-f", conf, "-r", name])
}

/// Removes what remains of a jail: its devfs ruleset and its root. Nothing is removed from file systems that may still be
/// mounted there: `find -xdev` does not enter them, and a mount point is busy. An empty ruleset can be removed as well; a
/// ruleset with an unknown number is left.
pub fn clean(ruleset: Option<u32>, root: &str) -> impl Iterator<Item = Cmd> {
    let set = ruleset.map(|set| Cmd::new("devfs", ["rule", "-s", &set.to_string(), "delset"]));
    set.into_iter().chain([Cmd::new("find", [root, "-xdev", "-depth", "-delete"])])
}

/// Prints the numbers of all rulesets with rules.
pub fn rulesets() -> Cmd {
    Cmd::new("devfs", ["rule", "showsets"])
}

/// Parses the output of [`rulesets`].
///
/// # Errors
/// A line is not a number.
pub fn read_rulesets(answer: &str) -> Result<BTreeSet<u32>> {
    let number = |line: &str| {
        line.trim().parse().map_err(|_| {
            Problem::host_cant("cannot read the rulesets of devfs").because(format!("devfs printed {}", crate::value::printable(line, 60)))
        })
    };
    answer.lines().filter(|line| !line.trim().is_empty()).map(number).collect()
}

/// Exits with 0 if a jail exists.
pub fn exists(name: &str) -> Cmd {
    Cmd::new("jls", ["-j", name, "name"])
}
