//! Hypervisors by name.
//!
//! Not here: the command lines for them (`vmm`).

use super::{BadValue, serde_by_text};
use std::str::FromStr;

/// A hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vmm {
    /// bhyve, on FreeBSD.
    Bhyve,
    /// QEMU, on Linux.
    Qemu,
}

impl Vmm {
    /// The program that runs a VM.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Bhyve => "bhyve",
            Self::Qemu => "qemu-system-x86_64",
        }
    }

    /// The values of the property `loader` that it supports, the default first.
    pub const fn loaders(self) -> &'static [&'static str] {
        match self {
            Self::Bhyve => &["uefi", "bhyveload", "grub-bhyve"],
            Self::Qemu => &["uefi", "bios"],
        }
    }
}

impl FromStr for Vmm {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "bhyve" => Ok(Self::Bhyve),
            "qemu" => Ok(Self::Qemu),
            _ => Err(BadValue::new(text, "is not a hypervisor").hint("the hypervisors are bhyve and qemu")),
        }
    }
}

impl std::fmt::Display for Vmm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Bhyve => "bhyve",
            Self::Qemu => "qemu",
        })
    }
}

serde_by_text!(Vmm);
