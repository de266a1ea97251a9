//! acpidump(8): only whether the firmware tells of an IOMMU, as `-t` shows it.

use crate::exit::{Done, exit};
use crate::getopt::{Met, walk};
use crate::host::Cpu;
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, rest) = walk("dhtTv", &[], args);
    let mut tables = false;
    for option in options {
        match option {
            Met::Short('t', _) => tables = true,
            Met::Short(..) | Met::Long(..) => {}
            Met::Unknown(what) => return usage(&what),
        }
    }
    if !rest.is_empty() {
        return usage("no argument is taken");
    }
    if place.host.arm64() || !rustix::process::geteuid().is_root() {
        return exit(1, "acpidump: sysctl machdep.acpi_root does not point to RSDP");
    }
    table("RSD PTR", 36);
    table("FACP", 268);
    if tables {
        table("APIC", 188);
        match (place.host.iommu, place.host.cpu) {
            (true, Cpu::Intel) => table("DMAR", 136),
            (true, Cpu::Amd) => table("IVRS", 208),
            (true, Cpu::Arm64 | Cpu::Plain) | (false, _) => {}
        }
    }
    Ok(())
}

fn table(name: &str, length: u32) {
    println!(
        "/*\n  {name}: Length={length}, Revision=1, Checksum=92,\n\tOEMID=LAB, OEM Table ID=LAB, OEM Revision=0x1,\n\tCreator ID=LAB, Creator Revision=0x1\n */"
    );
}

fn usage(what: &str) -> Done {
    exit(1, format!("acpidump: {what}\nusage: acpidump [-d] [-t] [-h] [-v] [-f dsdt_input] [-o dsdt_output]"))
}
