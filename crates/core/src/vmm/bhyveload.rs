//! bhyveload(8): FreeBSD's loader, run on the host to put a FreeBSD kernel into a new VM object.
//!
//! Not here: choosing the disk to boot from (the planner), and what follows when it fails or hangs (the supervisor).

use super::machine::Memory;
use crate::cmd::Cmd;
use crate::launch::Prepare;
use crate::value::GuestName;

/// How bhyveload(8) is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bhyveload {
    /// The disks that it can boot from: the loader's disk0, disk1 and so on. They are separate from the VM's devices,
    /// because the loader does not use PCI.
    pub disks: Vec<String>,
    /// The user's flags, already split: `-e autoboot_delay=0`.
    pub flags: Vec<String>,
    /// Timeout in seconds, in case it waits at a prompt.
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
