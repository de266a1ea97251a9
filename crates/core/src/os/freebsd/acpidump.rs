//! acpidump(8), FreeBSD 13.0 on: whether the firmware describes an IOMMU. Requires root; jails and arm64 hosts have no
//! tables.
//!
//! Only the headings of tables are parsed, because the format of their contents is not stable.

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::{Iommu, unreadable};

/// The program's name.
pub const TOOL: &str = "acpidump";

/// The command that prints all tables.
pub fn command() -> Cmd {
    Cmd::new(TOOL, ["-t"])
}

/// Parses the headings of the tables, `  DMAR: Length=136, …`.
///
/// # Errors
/// There is no heading.
pub fn parse(text: &str) -> Result<Iommu> {
    let heading = |line: &'_ str| line.split_once(": Length=").map(|(name, _)| name.trim().to_owned());
    let tables: Vec<String> = text.lines().filter_map(heading).collect();
    if tables.is_empty() {
        return Err(unreadable(TOOL, text.lines().next().unwrap_or_default()));
    }
    let has = |name: &str| tables.iter().any(|table| table == name);
    Ok(match (has("DMAR"), has("IVRS")) {
        (true, _) => Iommu::Dmar,
        (false, true) => Iommu::Ivrs,
        (false, false) => Iommu::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str =
        "/*\n  RSD PTR: OEM=ALASKA, ACPI_Rev=2.0x (2)\n */\n/*\n  XSDT: Length=236, Revision=1, Checksum=250,\n\tOEMID=ALASKA\n */\n";

    #[test]
    fn each_maker_s_table_is_known() {
        for (table, iommu) in [("DMAR", Iommu::Dmar), ("IVRS", Iommu::Ivrs), ("APIC", Iommu::None)] {
            assert_eq!(parse(&format!("{START}/*\n  {table}: Length=136, Revision=1, Checksum=92,\n */\n")).unwrap(), iommu);
        }
        // A word in the text of another table is not a heading.
        assert_eq!(parse(&format!("{START}\tOEMID=DMAR, OEM Table ID=IVRS\n")).unwrap(), Iommu::None);
    }

    #[test]
    fn no_heading_is_an_error_that_names_the_tool() {
        for bad in ["", "acpidump: sysctl machdep.acpi_root does not point to RSDP", "/*\n */\n"] {
            assert!(parse(bad).unwrap_err().message.contains("acpidump"), "{bad}");
        }
    }
}
