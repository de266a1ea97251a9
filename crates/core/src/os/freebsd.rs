//! FreeBSD's commands: kldload, ifconfig.

use super::Intent;
use crate::cmd::Cmd;

fn ifconfig<const N: usize>(args: [&str; N]) -> Cmd {
    Cmd::new("ifconfig", args)
}

/// The commands that bring an intent about.
pub fn commands(intent: &Intent) -> Vec<Cmd> {
    match intent {
        // -n: a module that is there already is no failure.
        Intent::LoadModule { module } => vec![Cmd::new("kldload", ["-n", module])],
        Intent::MakeTap { tap, owner, mtu } => vec![
            // The name is ours, the number the kernel's own: nothing is guessed.
            ifconfig(["tap", "create", "name", tap.as_str()]),
            ifconfig([tap.as_str(), "descr", owner, "group", "chyves", "mtu", &mtu.to_string(), "up"]),
        ],
        Intent::Join { bridge, member } => vec![ifconfig([bridge.as_str(), "addm", member.as_str()])],
    }
}

/// The commands that take it back. A module stays: others may use it by then.
pub fn undo(intent: &Intent) -> Vec<Cmd> {
    match intent {
        Intent::LoadModule { .. } => Vec::new(),
        Intent::MakeTap { tap, .. } => vec![ifconfig([tap.as_str(), "destroy"])],
        Intent::Join { bridge, member } => vec![ifconfig([bridge.as_str(), "deletem", member.as_str()])],
    }
}
