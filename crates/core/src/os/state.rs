//! What a start and `doctor` need to know of a host beyond its name: processor, memory, modules, interfaces, devices.
//!
//! Every fact may be absent: it was not looked at, or nobody stated it. Absent is unknown, and unknown fails nothing.
//! Not here: how a fact is read (the files of the outside tools in `freebsd` and `linux`), and what follows from it
//! (`check`).
//!
//! To add a fact: a field here, its reader beside the others, the look in chyves-host's `facts`, and its check.

use crate::error::Problem;
use crate::value::Size;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The state of a host, as far as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostState {
    /// The system's own word for its release: `14.3-RELEASE-p2`, a kernel's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// `kern.osreldate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub osreldate: Option<u32>,
    /// Whether chyves runs as root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<bool>,
    /// Whether this is the inside of a jail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jailed: Option<bool>,
    /// `kern.securelevel`; above 0 no module can be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub securelevel: Option<i32>,
    /// Whether the kernel accounts for resources (`kern.racct.enable`), which rctl(4) needs; none where it can't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub racct: Option<bool>,
    /// The hypervisor that this host is itself a guest of; `none` on hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// The processor.
    #[serde(skip_serializing_if = "Cpu::is_unknown")]
    pub cpu: Cpu,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The most processors of a guest (`hw.vmm.maxcpu`), or what vmm will take when it is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cpus: Option<u16>,
    /// The kernel's modules: all that were loaded as files, and those built into it that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<BTreeSet<String>>,
    /// The VM objects below `/dev/vmm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vms: Option<BTreeSet<String>>,
    /// Running bhyve processes by the name of their VM, where that was asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bhyves: BTreeMap<String, Process>,
    /// What `bhyve -s help` lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulations: Option<Vec<String>>,
    /// What `bhyve -l help` lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lpc: Option<Vec<String>>,
    /// The network interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<BTreeMap<String, InterfaceKind>>,
    /// Taps of the guest that is to start, left by a run that was killed, which nobody has open.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub left_taps: BTreeSet<String>,
    /// Nodes of netgraph that were looked for, and whether they are there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, bool>,
    /// What the firmware tells of an IOMMU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iommu: Option<Iommu>,
    /// `hw.vmm.amdvi.enable`: whether vmm uses the IOMMU of AMD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amdvi: Option<bool>,
    /// The PCI functions of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci: Option<Vec<PciFunction>>,
    /// Devices that running guests have been given, each with the guest's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, String>,
    /// Paths that were looked at; nothing stands where the value is none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Option<FileSeen>>,
    /// Paths that are there and can't be opened as a disk, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// The processes that hold a path open, where that was asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub holders: BTreeMap<String, Vec<Process>>,
    /// Programs that were looked for, and where they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, Option<String>>,
    /// Versions of programs, where they were asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// Addresses and ports that were tried, and why nobody can listen there; port 0 stands for any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub listens: BTreeMap<String, Option<String>>,
    /// The runtime folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeSeen>,
    /// U-Boot for guests on arm64, where it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uboot: Option<String>,
    /// What could not be read: a tool's output that is not as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Problem>,
}

/// What is known of the processor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cpu {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many the host has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Whose virtualisation it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// Whether it has nested paging: EPT on Intel, NP with NRIP on AMD, EL2 on arm64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nested_paging: Option<bool>,
    /// Whether a guest may run unrestricted: in real mode, so with firmware, and with several processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrestricted: Option<bool>,
    /// Whether the firmware has switched virtualisation off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switched_off: Option<bool>,
}

impl Cpu {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose virtualisation a processor has.
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

/// What is known of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memory {
    /// What the host has.
    pub total: Size,
    /// What can be had at once: free and inactive.
    pub available: Size,
    /// What is wired: the kernel's own, ZFS' cache, the memory of guests with passthrough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wired: Option<Size>,
    /// What the cache of ZFS would give back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Size>,
}

impl Memory {
    /// What can be had, the cache of ZFS included.
    pub fn obtainable(self) -> Size {
        Size::bytes(self.available.get().saturating_add(self.cache.unwrap_or_default().get()))
    }
}

/// What an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceKind {
    /// A bridge.
    Bridge,
    /// Anything else.
    Other,
}

/// What the firmware tells of an IOMMU.
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
    /// Where it is, as `pci0:2:0:0`.
    pub selector: String,
    /// The driver that has it, with its unit: `em0`, `ppt1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Its class, as `0x020000`.
    pub class: String,
    /// Vendor and device, as `0x8086:0x10d3`.
    pub id: String,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command or title, where it was still there to be asked.
    pub command: String,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", crate::value::printable(&self.command, 80), self.pid)
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSeen {
    /// What it is.
    pub kind: FileKind,
    /// Its size; 0 for devices.
    pub size: Size,
    /// Whether it could be opened for writing.
    pub writable: bool,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A device.
    Device,
    /// A folder.
    Folder,
    /// A symbolic link in a guest's folder, where none is followed.
    Link,
    /// A socket or something else.
    Other,
}

/// What is known of the runtime folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuntimeSeen {
    /// Why nothing can be written there, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Folders of guests in it whose record of a VM is damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

/// The failure to read what a tool printed, with the line that is not as it should be.
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
