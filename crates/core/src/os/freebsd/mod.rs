//! FreeBSD: the commands of intents, and one file for each tool that tells something of the host.
//!
//! * [`sysctl`], [`dmesg`], [`kldstat`]: kernel, processor, memory, modules
//! * [`pciconf`], [`acpidump`]: what can be passed through
//! * [`bhyve`]: which devices this release's bhyve has
//! * [`mod@ifconfig`], [`processes`]: interfaces; who holds a file
//! * [`facts`]: all of it together

pub mod acpidump;
pub mod bhyve;
pub mod dmesg;
pub mod facts;
pub mod ifconfig;
pub mod kldstat;
pub mod pciconf;
pub mod processes;
#[cfg(test)]
pub(crate) mod recorded;
pub mod sysctl;

use super::Intent;
use crate::cmd::Cmd;

fn ifconfig<const N: usize>(args: [&str; N]) -> Cmd {
    Cmd::new(ifconfig::TOOL, args)
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
        Intent::RemoveTap { tap, .. } => vec![ifconfig([tap.as_str(), "destroy"])],
        Intent::DestroyVm { vm } => vec![Cmd::new("bhyvectl", [&format!("--vm={vm}"), "--destroy"])],
        Intent::Join { bridge, member } => vec![ifconfig([bridge.as_str(), "addm", member.as_str()])],
    }
}

/// The commands that take it back. A module stays: others may use it by then.
pub fn undo(intent: &Intent) -> Vec<Cmd> {
    match intent {
        Intent::LoadModule { .. } | Intent::RemoveTap { .. } | Intent::DestroyVm { .. } => Vec::new(),
        Intent::MakeTap { tap, .. } => vec![ifconfig([tap.as_str(), "destroy"])],
        Intent::Join { bridge, member } => vec![ifconfig([bridge.as_str(), "deletem", member.as_str()])],
    }
}
