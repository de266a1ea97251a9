//! Linux: the commands of intents (modprobe, ip), and one file for each tool or file that tells something of the host:
//! [`meminfo`] of memory, [`mod@ip`] of interfaces, [`versions`] of programs.

pub mod ip;
pub mod meminfo;
pub mod versions;

use super::Intent;
use crate::cmd::Cmd;

fn ip<const N: usize>(args: [&str; N]) -> Cmd {
    Cmd::new(ip::TOOL, args)
}

/// The commands that bring an intent about.
pub fn commands(intent: &Intent) -> Vec<Cmd> {
    match intent {
        Intent::LoadModule { module } => vec![Cmd::new("modprobe", [module])],
        Intent::MakeTap { tap, owner, mtu } => vec![
            ip(["tuntap", "add", "dev", tap.as_str(), "mode", "tap"]),
            ip(["link", "set", "dev", tap.as_str(), "alias", owner, "mtu", &mtu.to_string(), "up"]),
        ],
        Intent::RemoveTap { tap, .. } => vec![ip(["link", "delete", "dev", tap.as_str()])],
        // bhyve is not of this system.
        Intent::DestroyVm { .. } => Vec::new(),
        Intent::Join { bridge, member } => vec![ip(["link", "set", "dev", member.as_str(), "master", bridge.as_str()])],
    }
}

/// The commands that take it back. A module stays: others may use it by then.
pub fn undo(intent: &Intent) -> Vec<Cmd> {
    match intent {
        Intent::LoadModule { .. } | Intent::RemoveTap { .. } | Intent::DestroyVm { .. } => Vec::new(),
        Intent::MakeTap { tap, .. } => vec![ip(["link", "delete", "dev", tap.as_str()])],
        Intent::Join { member, .. } => vec![ip(["link", "set", "dev", member.as_str(), "nomaster"])],
    }
}
