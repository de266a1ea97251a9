//! The hypervisor-neutral description of a VM for one start of a guest. A [`Spec`] is the request, a [`Machine`] is a valid
//! one; only a `Machine` can be rendered.
//!
//! Not here: the rules of validity (`check`), and the notation of a hypervisor (`bhyve`, `qemu`).

use super::bhyveload::Bhyveload;
use super::grub::GrubBhyve;
use crate::device::place::{HOSTBRIDGE, LPC};
use crate::device::{Device, FwCfg, HostBridge, PciPlace, SerialEnd, Tpm, fillers};
use crate::error::{Problem, Result};
use crate::value::{GuestName, Size};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The requested VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name, which is the guest's.
    pub name: GuestName,
    /// Its UUID, which the guest sees in SMBIOS.
    pub uuid: Uuid,
    /// Its CPU topology.
    pub topology: Topology,
    /// Its memory.
    pub memory: Memory,
    /// How it boots.
    pub boot: Boot,
    /// Its devices with their PCI addresses. The bridges at 0:0 and 31:0, and fillers, are added if missing.
    pub devices: Vec<(PciPlace, Device)>,
    /// The PC's serial ports, COM1 to COM4.
    pub serial: [Option<SerialEnd>; 4],
    /// Its TPM.
    pub tpm: Option<Tpm>,
    /// fw_cfg items for the guest's firmware.
    pub fw_cfg: Vec<FwCfg>,
    /// The time that its real-time clock shows.
    pub rtc: Rtc,
    /// Behaviour of the PC.
    pub pc: Pc,
    /// The user's own arguments for the hypervisor, split into words.
    pub extra: Vec<String>,
}

impl Spec {
    /// A VM with one processor, no devices, its console on COM1 and its clock in UTC.
    pub fn new(name: GuestName, uuid: Uuid, memory: Size, boot: Boot) -> Self {
        Self {
            name,
            uuid,
            topology: Topology { cpus: 1, sockets: 1, cores: 1, threads: 1 },
            memory: Memory { size: memory, wired: false, in_core: false },
            boot,
            devices: Vec::new(),
            serial: [Some(SerialEnd::Console), None, None, None],
            tpm: None,
            fw_cfg: Vec::new(),
            rtc: Rtc::Utc,
            pc: Pc::default(),
            extra: Vec::new(),
        }
    }

    /// The memory as it is passed to bhyve and its loaders: `-S` among the user's own arguments makes it wired.
    pub(super) fn memory_with_extra(&self) -> Memory {
        Memory { wired: self.memory.wired || self.extra.iter().any(|word| word == "-S"), ..self.memory }
    }
}

/// Switchable behaviour of the PC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Pc {
    /// Whether it has ACPI tables.
    pub acpi: bool,
    /// Whether a halted virtual CPU yields its host CPU. bhyve only.
    pub exit_on_hlt: bool,
    /// Whether a virtual CPU that executes PAUSE (waiting for a lock) yields its host CPU. bhyve only.
    pub exit_on_pause: bool,
    /// Whether access to an unknown MSR is ignored instead of raising a fault. bhyve only.
    pub ignore_bad_msr: bool,
}

impl Default for Pc {
    fn default() -> Self {
        Self { acpi: true, exit_on_hlt: true, exit_on_pause: true, ignore_bad_msr: true }
    }
}

/// The CPU topology of the guest. All numbers are always stated, because hypervisors derive missing ones differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// Total number of virtual CPUs.
    pub cpus: u16,
    /// Sockets.
    pub sockets: u16,
    /// Cores of each socket.
    pub cores: u16,
    /// Threads of each core.
    pub threads: u16,
}

impl Topology {
    /// A topology of `cpus` virtual CPUs; the number of cores follows from the other numbers.
    ///
    /// # Errors
    /// A number is 0, or the CPUs cannot be divided evenly.
    pub fn spread(cpus: u16, sockets: u16, threads: u16) -> Result<Self> {
        let parts = u32::from(sockets) * u32::from(threads);
        let cores = u32::from(cpus).checked_div(parts).unwrap_or(0);
        if cores == 0 || cores * parts != u32::from(cpus) {
            let count = |n: u16, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
            let threads = if threads == 1 { String::new() } else { format!(" with {} a core", count(threads, "thread")) };
            let over = format!("{}{threads}", count(sockets, "socket"));
            let next = (u32::from(cpus) / parts.max(1) + 1) * parts;
            let more = (parts > 0)
                .then(|| format!("choose a multiple of {parts}: `cpu={next}`, or spread them otherwise: `cpu_sockets=1 cpu_threads=1`"));
            return Err(Problem::usage(format!("{} cannot be spread evenly over {over}", count(cpus, "processor"))).hint_if(more));
        }
        let topology = Self { cpus, sockets, cores: u16::try_from(cores).unwrap_or(0), threads };
        topology.check()?;
        Ok(topology)
    }

    /// Refuses a topology with parts that do not multiply to the total.
    pub(super) fn check(self) -> Result<()> {
        let Self { cpus, sockets, cores, threads } = self;
        let product = u64::from(sockets) * u64::from(cores) * u64::from(threads);
        if cpus > 0 && product == u64::from(cpus) {
            return Ok(());
        }
        Err(Problem::usage(format!("{cpus} processors cannot be {sockets} sockets of {cores} cores of {threads} threads"))
            .because(format!("{sockets} × {cores} × {threads} is {product}"))
            .hint("choose a number of processors that sockets × threads divides"))
    }
}

/// Memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Its size.
    pub size: Size,
    /// Whether it is wired, so that the host never pages it out; passthrough requires that.
    pub wired: bool,
    /// Whether bhyve includes it in core files.
    pub in_core: bool,
}

/// How a VM boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// UEFI firmware.
    Uefi(Uefi),
    /// A PC BIOS (QEMU's built-in one).
    Bios,
    /// FreeBSD's loader, run on the host before bhyve.
    Bhyveload(Bhyveload),
    /// GRUB, run on the host before bhyve.
    GrubBhyve(GrubBhyve),
    /// U-Boot, on arm64.
    UBoot {
        /// The image's path.
        image: String,
    },
}

/// UEFI firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uefi {
    /// The path of its code, which guests share and never write.
    pub code: String,
    /// The path of the guest's own variables.
    pub vars: Option<String>,
}

/// The time that the real-time clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rtc {
    /// UTC.
    Utc,
    /// The host's local time, which Windows expects.
    LocalTime,
}

/// A valid VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    spec: Spec,
    devices: BTreeMap<PciPlace, Device>,
}

impl Machine {
    /// Validates the request and adds what every VM has: bridges, and fillers so that function 0 of every used slot exists.
    ///
    /// # Errors
    /// All violations, each with a fix.
    pub fn build(spec: Spec) -> std::result::Result<Self, Vec<Problem>> {
        let problems = super::check::problems(&spec);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut devices: BTreeMap<PciPlace, Device> = spec.devices.iter().cloned().collect();
        devices.entry(HOSTBRIDGE).or_insert(Device::HostBridge(HostBridge::Intel));
        devices.entry(LPC).or_insert(Device::Lpc);
        for place in fillers(devices.keys().copied()) {
            devices.insert(place, Device::Filler);
        }
        Ok(Self { spec, devices })
    }

    /// The request that it was built from.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Its name.
    pub fn name(&self) -> &GuestName {
        &self.spec.name
    }

    /// All its devices by PCI address.
    pub fn devices(&self) -> &BTreeMap<PciPlace, Device> {
        &self.devices
    }

    /// Whether other functions of the same slot are in use.
    pub(super) fn shares_slot(&self, place: PciPlace) -> bool {
        self.devices.keys().any(|other| *other != place && other.first_function() == place.first_function())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_spread_evenly_or_refused() {
        assert_eq!(Topology::spread(4, 1, 1).unwrap(), Topology { cpus: 4, sockets: 1, cores: 4, threads: 1 });
        assert_eq!(Topology::spread(8, 2, 2).unwrap().cores, 2);
        let refusal = Topology::spread(8, 3, 1).unwrap_err();
        assert_eq!(refusal.message, "8 processors cannot be spread evenly over 3 sockets");
        assert!(refusal.hints[0].contains("`cpu=9`"), "{refusal:?}");
        let refusal = Topology::spread(1, 2, 2).unwrap_err();
        assert_eq!(refusal.message, "1 processor cannot be spread evenly over 2 sockets with 2 threads a core");
        assert!(Topology::spread(0, 1, 1).is_err());
        assert!(Topology::spread(1, 0, 1).is_err());
    }
}
