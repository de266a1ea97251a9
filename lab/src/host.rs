//! The host that the lab plays: its settings, a small file of `key=value`. A new setting is a field, a line in `set`
//! and a line in `text`. Not its job: what changes while the host runs (modules, interfaces, VMs).

use crate::exit::{Done, exit};
use crate::memsize;
use crate::release::{Release, since};

/// The processor, as far as it matters to vmm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cpu {
    /// amd64 with VT-x and nested paging.
    Intel,
    /// amd64 with SVM and nested paging.
    Amd,
    /// arm64 that starts in EL2. Hosts of release 15.0 and newer.
    Arm64,
    /// amd64 without any of it.
    Plain,
}

impl Cpu {
    const ALL: [(Cpu, &'static str); 4] = [(Cpu::Intel, "intel"), (Cpu::Amd, "amd"), (Cpu::Arm64, "arm64"), (Cpu::Plain, "none")];

    fn word(self) -> &'static str {
        Cpu::ALL.iter().find(|(cpu, _)| *cpu == self).map_or("", |(_, word)| word)
    }
}

/// Whether a running guest has switched ACPI on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acpi {
    /// As the guest has it; asked when it matters.
    Guest,
    On,
    Off,
}

/// When a destroyed VM object is gone; bhyvectl ends with 0 in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destroy {
    /// Before bhyvectl ends.
    Now,
    /// A moment after it.
    Late,
    /// Not at all, as where a device of it is open.
    Never,
}

impl Destroy {
    const ALL: [(Destroy, &'static str); 3] = [(Destroy::Now, "now"), (Destroy::Late, "late"), (Destroy::Never, "never")];
}

/// The settings of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) release: Release,
    /// Patch level: `2` for `14.3-RELEASE-p2`.
    pub(crate) patch: u8,
    pub(crate) cpu: Cpu,
    pub(crate) ncpu: u32,
    /// Bytes.
    pub(crate) physmem: u64,
    /// `hw.vmm.maxcpu`; the number of processors unless said.
    pub(crate) maxcpu: Option<u32>,
    /// Intel's "unrestricted guest": needed for firmware and for more than one vCPU.
    pub(crate) unrestricted: bool,
    /// Is there an IOMMU (a DMAR or IVRS table)?
    pub(crate) iommu: bool,
    /// `hw.vmm.amdvi.enable`, which loader.conf must set for passthrough on AMD.
    pub(crate) amdvi: bool,
    pub(crate) netmap: bool,
    pub(crate) jailed: bool,
    pub(crate) securelevel: i8,
    pub(crate) acpi: Acpi,
    /// The version of the package edk2-bhyve.
    pub(crate) edk2: String,
    /// When the node of a VM object is gone that `bhyvectl --destroy` destroys.
    pub(crate) destroy: Destroy,
    /// Physical network cards to make when the lab comes up.
    pub(crate) nics: Vec<String>,
}

impl Default for Host {
    fn default() -> Host {
        Host {
            release: since(14, 3),
            patch: 2,
            cpu: Cpu::Intel,
            ncpu: 8,
            physmem: 16 << 30,
            maxcpu: None,
            unrestricted: true,
            iommu: true,
            amdvi: false,
            netmap: true,
            jailed: false,
            securelevel: -1,
            acpi: Acpi::Guest,
            edk2: "g202411_3".to_owned(),
            destroy: Destroy::Now,
            nics: Vec::new(),
        }
    }
}

impl Host {
    /// The settings of a file.
    pub(crate) fn parse(text: &str) -> Done<Host> {
        let mut host = Host::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            host.set(line)?;
        }
        Ok(host)
    }

    /// Changes one setting, `key=value`.
    pub(crate) fn set(&mut self, setting: &str) -> Done {
        let Some((key, value)) = setting.split_once('=') else { return exit(2, format!("`{setting}` is not key=value")) };
        let known = match key {
            "release" => Release::parse(value).map(|release| self.release = release),
            "patch" => value.parse().ok().map(|patch| self.patch = patch),
            "cpu" => Cpu::ALL.iter().find(|(_, word)| *word == value).map(|(cpu, _)| self.cpu = *cpu),
            "ncpu" => value.parse().ok().filter(|n| *n > 0).map(|n| self.ncpu = n),
            "physmem" => memsize::parse(value).map(|bytes| self.physmem = bytes),
            "maxcpu" => value.parse().ok().map(|n| self.maxcpu = Some(n)),
            "ug" => on_off(value).map(|on| self.unrestricted = on),
            "iommu" => on_off(value).map(|on| self.iommu = on),
            "amdvi" => on_off(value).map(|on| self.amdvi = on),
            "netmap" => on_off(value).map(|on| self.netmap = on),
            "jailed" => on_off(value).map(|on| self.jailed = on),
            "securelevel" => value.parse().ok().map(|level| self.securelevel = level),
            "acpi" => match value {
                "guest" => {
                    let _: () = self.acpi = Acpi::Guest;
                    Some(())
                }
                _ => on_off(value).map(|on| self.acpi = if on { Acpi::On } else { Acpi::Off }),
            },
            "destroy" => Destroy::ALL.iter().find(|(_, word)| *word == value).map(|(when, _)| self.destroy = *when),
            "edk2" => {
                value.clone_into(&mut self.edk2);
                Some(())
            }
            "nics" => {
                let _: () = self.nics = value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                Some(())
            }
            _ => {
                let known = "release patch cpu ncpu physmem maxcpu ug iommu amdvi netmap jailed securelevel acpi edk2 destroy nics";
                return exit(2, format!("`{key}` is no setting of the lab; there are: {known}"));
            }
        };
        match known {
            Some(()) => Ok(()),
            None if key == "release" => exit(2, format!("release `{value}` is not known; there are: {}", Release::all())),
            None => exit(2, format!("`{value}` is no value of `{key}`")),
        }
    }

    /// The settings, as `parse` reads them.
    pub(crate) fn text(&self) -> String {
        let word = |on: bool| if on { "on" } else { "off" };
        let acpi = match self.acpi {
            Acpi::Guest => "guest",
            Acpi::On => "on",
            Acpi::Off => "off",
        };
        let maxcpu = self.maxcpu.map_or(String::new(), |n| format!("maxcpu={n}\n"));
        format!(
            "release={}\npatch={}\ncpu={}\nncpu={}\nphysmem={}\n{maxcpu}ug={}\niommu={}\namdvi={}\nnetmap={}\njailed={}\nsecurelevel={}\nacpi={acpi}\nedk2={}\ndestroy={}\nnics={}\n",
            self.release,
            self.patch,
            self.cpu.word(),
            self.ncpu,
            self.physmem,
            word(self.unrestricted),
            word(self.iommu),
            word(self.amdvi),
            word(self.netmap),
            word(self.jailed),
            self.securelevel,
            self.edk2,
            Destroy::ALL.iter().find(|(when, _)| *when == self.destroy).map_or("", |(_, word)| word),
            self.nics.join(","),
        )
    }

    /// Refuses hosts that FreeBSD's vmm does not run on.
    pub(crate) fn check(&self) -> Done {
        if self.cpu == Cpu::Arm64 && self.release < since(15, 0) {
            return exit(2, format!("release {} has no vmm on arm64; 15.0 and newer have", self.release));
        }
        Ok(())
    }

    /// Is it an arm64 host?
    pub(crate) fn arm64(&self) -> bool {
        self.cpu == Cpu::Arm64
    }

    /// Does the firmware's package ignore the order of booting? It reads it since the EDK II release of 2024-08.
    pub(crate) fn firmware_ignores_order(&self) -> bool {
        let release = self.edk2.strip_prefix('g').and_then(|text| text.get(..6)).and_then(|text| text.parse::<u32>().ok());
        release.is_some_and(|release| release < 202_408)
    }

    /// The most vCPUs of one VM.
    pub(crate) fn max_vcpus(&self) -> u32 {
        // Up to 13.1 the limit is compiled in.
        if self.release < since(13, 2) { 16 } else { self.maxcpu.unwrap_or(self.ncpu) }
    }

    /// Can guests start in real mode, and have more than one vCPU? AMD's always can.
    pub(crate) fn runs_any_mode(&self) -> bool {
        self.cpu != Cpu::Intel || self.unrestricted
    }
}

fn on_off(value: &str) -> Option<bool> {
    match value {
        "on" | "yes" | "1" => Some(true),
        "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_as_written() {
        let mut host = Host::default();
        for setting in ["release=15.0", "cpu=arm64", "ncpu=4", "maxcpu=2", "nics=em0,em1", "acpi=off", "physmem=8G", "ug=off"] {
            host.set(setting).unwrap();
        }
        assert_eq!(Host::parse(&host.text()).unwrap(), host);
        assert_eq!(host.physmem, 8 << 30);
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        let mut host = Host::default();
        for setting in ["release=12.4", "cpu=riscv", "colour=red", "ncpu=0", "ncpu", "acpi=maybe"] {
            assert_eq!(host.set(setting).unwrap_err().status, 2, "{setting}");
        }
        host.set("cpu=arm64").unwrap();
        assert_eq!(host.check().unwrap_err().status, 2);
    }
}
