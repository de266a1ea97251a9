//! jail(8), jls(8) and devfs(8), as far as jails are removed or asked for. What a jail consists of is `vmm::bhyve::jail`'s.

use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use std::collections::BTreeSet;

/// Removes a jail, ends what runs in it and unmounts what its file mounted. jail(8) fails where the file is missing.
pub fn remove(conf: &str, name: &str) -> Cmd {
    Cmd::new("jail", ["-q", "-f", conf, "-r", name])
}

/// Removes what stays after a jail: the ruleset of its /dev and its root. Nothing is removed of what may still be mounted
/// there: `find -xdev` does not go into it, and a mount point is busy. An empty ruleset can be removed as well; one whose number
/// is not known is left.
pub fn clean(ruleset: Option<u32>, root: &str) -> impl Iterator<Item = Cmd> {
    let set = ruleset.map(|set| Cmd::new("devfs", ["rule", "-s", &set.to_string(), "delset"]));
    set.into_iter().chain([Cmd::new("find", [root, "-xdev", "-depth", "-delete"])])
}

/// Prints the numbers of all rulesets that have rules.
pub fn rulesets() -> Cmd {
    Cmd::new("devfs", ["rule", "showsets"])
}

/// Reads the answer to [`rulesets`].
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

/// Ends with 0 where a jail exists.
pub fn exists(name: &str) -> Cmd {
    Cmd::new("jls", ["-j", name, "name"])
}
