//! jail(8), jls(8) and devfs(8), as far as jails are removed or asked for. What a jail consists of is `vmm::bhyve::jail`'s.

use crate::cmd::Cmd;

/// Removes a jail, ends what runs in it and unmounts what its file mounted. jail(8) fails where the file is missing.
pub fn remove(conf: &str, name: &str) -> Cmd {
    Cmd::new("jail", ["-q", "-f", conf, "-r", name])
}

/// Removes what stays after a jail: the ruleset of its /dev and its root. Nothing is removed of what may still be mounted
/// there: `find -xdev` does not go into it, and a mount point is busy. An empty ruleset can be removed as well.
pub fn clean(ruleset: u32, root: &str) -> [Cmd; 2] {
    [Cmd::new("devfs", ["rule", "-s", &ruleset.to_string(), "delset"]), Cmd::new("find", [root, "-xdev", "-depth", "-delete"])]
}

/// Ends with 0 where a jail exists.
pub fn exists(name: &str) -> Cmd {
    Cmd::new("jls", ["-j", name, "name"])
}
