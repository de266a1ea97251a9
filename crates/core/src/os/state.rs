//! Facts about a host that a start and `doctor` need: processor, memory, modules, interfaces, devices.
//!
//! Every fact may be absent if it was not read. An absent fact is unknown, and unknown facts never fail a check. Not here:
//! how a fact is read (the files of the tools in `freebsd` and `linux`), and what follows from it (`check`).
//!
//! To add a fact: a field here, its parser beside the others, the query in chyves-host's `facts`, and its check.

use crate::error::Problem;
use crate::value::Size;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The state of a host, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostState {
    /// The operating system's name of its release: `14.3-RELEASE-p2`, or a kernel's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// `kern.osreldate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub osreldate: Option<u32>,
    /// Whether chyves runs as root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<bool>,
    /// Whether this host is a jail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jailed: Option<bool>,
    /// `kern.securelevel`; above 0 no module can be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub securelevel: Option<i32>,
    /// Whether the kernel accounts for resources (`kern.racct.enable`), which rctl(4) needs; `None` if it does not support
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub racct: Option<bool>,
    /// The hypervisor that this host itself runs in; `none` on hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// The processor.
    #[serde(skip_serializing_if = "Cpu::is_unknown")]
    pub cpu: Cpu,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Maximum number of a guest's virtual CPUs (`hw.vmm.maxcpu`), or the limit that vmm will use when it is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cpus: Option<u16>,
    /// The kernel's modules: all that were loaded as files, and those built into it that were queried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<BTreeSet<String>>,
    /// The VM objects in `/dev/vmm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vms: Option<BTreeSet<String>>,
    /// Running bhyve processes by the name of their VM, if they were read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bhyves: BTreeMap<String, Process>,
    /// The output of `bhyve -s help`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulations: Option<Vec<String>>,
    /// The output of `bhyve -l help`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lpc: Option<Vec<String>>,
    /// The network interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<BTreeMap<String, InterfaceKind>>,
    /// Unused taps of the guest that is about to start, left by a run that was killed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub left_taps: BTreeSet<String>,
    /// netgraph nodes that were queried, and whether they exist.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, bool>,
    /// What the firmware reports about an IOMMU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iommu: Option<Iommu>,
    /// `hw.vmm.amdvi.enable`: whether vmm uses AMD's IOMMU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amdvi: Option<bool>,
    /// The PCI functions of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci: Option<Vec<PciFunction>>,
    /// Devices in use by running guests, each with the guest's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, String>,
    /// Paths that were inspected; `None` if nothing exists there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Option<FileSeen>>,
    /// Existing paths that cannot be opened as a disk, and the reasons.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// The processes that have a path open, if they were read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub holders: BTreeMap<String, Vec<Process>>,
    /// Programs that were searched for, and their paths.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, Option<String>>,
    /// Versions of programs, if they were read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// Addresses and ports that were tried, and why listening there is impossible; port 0 stands for any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub listens: BTreeMap<String, Option<String>>,
    /// The runtime folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeSeen>,
    /// The path of U-Boot for guests on arm64, if found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uboot: Option<String>,
    /// Output of tools that could not be parsed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Problem>,
}

/// Facts about the processor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cpu {
    /// Its model name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The number of processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The vendor of its virtualisation technique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// Whether it has nested paging: EPT on Intel, NP with NRIP on AMD, EL2 on arm64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nested_paging: Option<bool>,
    /// Whether it supports unrestricted guests: real mode, which firmware needs, and several virtual CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrestricted: Option<bool>,
    /// Whether the firmware has disabled virtualisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switched_off: Option<bool>,
}

impl Cpu {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// The vendor of a virtualisation technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// VT-x.
    Intel,
    /// SVM.
    Amd,
    /// ARM's EL2.
    Arm,
}

/// Facts about the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memory {
    /// Total memory.
    pub total: Size,
    /// Memory that is available immediately: free and inactive.
    pub available: Size,
    /// Wired memory: of the kernel, of ZFS' cache, and of guests with passthrough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wired: Option<Size>,
    /// Memory that ZFS' cache would release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Size>,
}

impl Memory {
    /// Available memory including ZFS' cache.
    pub fn obtainable(self) -> Size {
        Size::bytes(self.available.get().saturating_add(self.cache.unwrap_or_default().get()))
    }
}

/// The kind of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceKind {
    /// A bridge.
    Bridge,
    /// Anything else.
    Other,
}

/// What the firmware reports about an IOMMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Iommu {
    /// Intel's VT-d (a DMAR table).
    Dmar,
    /// AMD's AMD-Vi (an IVRS table).
    Ivrs,
    /// There is none.
    None,
}

/// A PCI function of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PciFunction {
    /// Its selector, such as `pci0:2:0:0`.
    pub selector: String,
    /// Its driver, with the unit: `em0`, `ppt1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Its class, such as `0x020000`.
    pub class: String,
    /// Vendor and device ids, such as `0x8086:0x10d3`.
    pub id: String,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its command or title, if it still existed when it was queried.
    pub command: String,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", crate::value::printable(&self.command, 80), self.pid)
    }
}

/// The object at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSeen {
    /// Its kind.
    pub kind: FileKind,
    /// Its size; 0 for devices.
    pub size: Size,
    /// Whether it can be opened for writing.
    pub writable: bool,
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A device.
    Device,
    /// A directory.
    Folder,
    /// A symbolic link in a guest's folder, where links are not followed.
    Link,
    /// A socket or something else.
    Other,
}

/// Facts about the runtime folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuntimeSeen {
    /// The reason why it is not writable, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Folders of guests with a damaged VM record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

/// The error for unexpected output of a tool, with the offending line.
pub(crate) fn unreadable(tool: &str, line: &str) -> Problem {
    let shown = match crate::value::printable(line, 120) {
        empty if empty.is_empty() => "it printed nothing".to_owned(),
        shown => format!("the line `{shown}` is not as it should be"),
    };
    Problem::failed(format!("cannot read what `{tool}` printed"))
        .on(tool)
        .because(shown)
        .hint(format!("run `{tool}` by hand; a release that prints it otherwise is worth a report"))
}
