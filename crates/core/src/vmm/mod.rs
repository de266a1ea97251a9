//! Hypervisors, the VM that they run, and the renderers for each hypervisor.
//!
//! Not here: deriving the VM from a guest's settings (the planner of `start`), running anything (chyves-host), and the
//! meaning of an exit status ([`crate::lifecycle`]).
//!
//! To add a hypervisor: a variant of [`Vmm`] and a renderer beside [`bhyve`] and [`qemu`].

pub mod bhyve;
pub mod bhyveload;
mod check;
#[cfg(test)]
mod fixture;
pub mod grub;
pub mod machine;
pub mod qemu;

pub use crate::value::Vmm;
pub use machine::{Boot, Machine, Memory, Pc, Rtc, Spec, Topology, Uefi};

use crate::cmd::Cmd;
use crate::launch::{Descriptor, Prepare};
use serde::{Deserialize, Serialize};

/// A VM rendered for one hypervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Files to write before anything runs.
    pub files: Vec<HostFile>,
    /// Commands to run to completion before the hypervisor.
    pub before: Vec<Prepare>,
    /// The hypervisor.
    pub cmd: Cmd,
    /// Commands to run after the run has ended.
    pub after: Vec<Cmd>,
    /// What the hypervisor gets as open descriptors.
    pub descriptors: Vec<Descriptor>,
}

/// A file of the host that a hypervisor or loader reads.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFile {
    /// Its path.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Its mode as in chmod(1): 0600, or 0644 if the reader drops root privileges before it reads.
    pub mode: u32,
    /// Whether it contains a secret; its content is then never shown.
    pub secret: bool,
}

/// The text that replaces a secret.
const HIDDEN: &str = "(hidden)";

impl HostFile {
    /// Its content with secrets hidden. In a configuration file of bhyve these are the passwords; another file with a
    /// secret contains nothing else.
    pub fn shown(&self) -> String {
        if !self.secret {
            return self.text.clone();
        }
        let settings = self.path.ends_with("/bhyve.conf");
        let line = |line: &str| match line.split_once('=') {
            Some((key, _)) if settings && key.ends_with(".password") => format!("{key}={HIDDEN}\n"),
            Some(_) if settings => format!("{line}\n"),
            _ => format!("{HIDDEN}\n"),
        };
        self.text.lines().map(line).collect()
    }
}

impl std::fmt::Debug for HostFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = if self.secret { "…" } else { &self.text };
        f.debug_struct("HostFile").field("path", &self.path).field("text", &text).field("mode", &self.mode).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hypervisor_reads_as_it_is_written() {
        for vmm in [Vmm::Bhyve, Vmm::Qemu] {
            assert_eq!(vmm.to_string().parse::<Vmm>().unwrap(), vmm);
        }
        assert_eq!("xen".parse::<Vmm>().unwrap_err().to_string(), "`xen` is not a hypervisor");
    }

    #[test]
    fn a_secret_file_is_not_shown() {
        let file = HostFile { path: "/run/x".into(), text: "hunter2".into(), mode: 0o600, secret: true };
        assert!(!format!("{file:?}").contains("hunter2"));
        assert_eq!(file.shown(), "(hidden)\n");
        let text = "pci.0.2.0.rfb=127.0.0.1:5900\npci.0.2.0.password=a.b=c\n".to_owned();
        let settings = HostFile { path: "/run/bhyve.conf".into(), text, ..file };
        assert_eq!(settings.shown(), "pci.0.2.0.rfb=127.0.0.1:5900\npci.0.2.0.password=(hidden)\n");
    }
}
