//! bhyveload(8): FreeBSD's loader, run on the host to put a FreeBSD kernel into a new VM object.
//!
//! Not here: choosing the disk to boot from (the planner), and what follows when it fails or hangs (the supervisor).

use super::machine::Memory;
use crate::cmd::Cmd;
use crate::launch::Prepare;
use crate::value::GuestName;

/// How FreeBSD's loader is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bhyveload {
    /// What it boots from: the loader's disk0, disk1 and so on. Its own lines of disks, since it knows no PCI.
    pub disks: Vec<String>,
    /// The user's flags, already split: `-e autoboot_delay=0`.
    pub flags: Vec<String>,
    /// Seconds after which it counts as hung at a prompt.
    pub timeout: u32,
}

impl Bhyveload {
    /// The command.
    pub(super) fn prepare(&self, name: &GuestName, memory: Memory, console: &str) -> Prepare {
        let mut cmd = Cmd::new("bhyveload", ["-c", console, "-m"]).arg(format!("{}M", memory.size.mib_up()));
        if memory.wired {
            cmd = cmd.arg("-S");
        }
        if memory.in_core {
            cmd = cmd.arg("-C");
        }
        for disk in &self.disks {
            cmd = cmd.args(["-d", disk]);
        }
        Prepare { cmd: cmd.args(self.flags.clone()).arg(name.as_str()), may_fail: false, timeout: self.timeout, loads: true }
    }
}
