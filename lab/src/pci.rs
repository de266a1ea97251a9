//! The PCI devices of the host and the drivers that have them: what pciconf, devctl and passthrough go by.
//!
//! A line of `pci` is a device: selector, driver with unit (`-` for none), class, vendor, device, name, blanks for fields and
//! the name last. A test may write its own. Not its job: what a guest sees of a device, which is nothing.

use crate::exit::{Done, broken};
use crate::place::Place;

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Bus, slot and function; the domain is always 0.
    pub(crate) at: (u8, u8, u8),
    /// `em0`, `ppt1`; none when no driver has it.
    pub(crate) driver: Option<String>,
    pub(crate) class: u32,
    pub(crate) vendor: u16,
    pub(crate) device: u16,
    pub(crate) name: String,
}

/// What a new lab has: the usual, and two devices of one card to pass through.
pub(crate) const DEFAULT: &str = "\
pci0:0:0:0 hostb0 0x060000 0x8086 0x29c0 82G33 DRAM Controller
pci0:0:31:0 isab0 0x060100 0x8086 0x2918 LPC Interface Controller
pci0:0:31:2 ahci0 0x010601 0x8086 0x2922 6 port SATA Controller
pci0:2:0:0 ppt0 0x020000 0x8086 0x1521 I350 Gigabit Network Connection
pci0:2:0:1 ppt1 0x020000 0x8086 0x1521 I350 Gigabit Network Connection
pci0:3:0:0 em0 0x020000 0x8086 0x10d3 82574L Gigabit Network Connection
pci0:4:0:0 - 0x050000 0x8086 0x06ef Shared SRAM
";

impl Device {
    fn parse(line: &str) -> Option<Device> {
        let mut words = line.splitn(6, ' ');
        let at = selector(words.next()?)?;
        let driver = Some(words.next()?).filter(|driver| *driver != "-").map(str::to_owned);
        let mut hex = || u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let (class, vendor, device) = (hex()?, u16::try_from(hex()?).ok()?, u16::try_from(hex()?).ok()?);
        Some(Device { at, driver, class, vendor, device, name: words.next().unwrap_or_default().to_owned() })
    }

    fn line(&self) -> String {
        let driver = self.driver.as_deref().unwrap_or("-");
        format!("{} {driver} {:#08x} {:#06x} {:#06x} {}\n", self.selector(), self.class, self.vendor, self.device, self.name)
    }

    /// `pci0:2:0:1`.
    pub(crate) fn selector(&self) -> String {
        let (bus, slot, function) = self.at;
        format!("pci0:{bus}:{slot}:{function}")
    }

    /// Is it reserved for passthrough?
    pub(crate) fn is_ppt(&self) -> bool {
        self.driver.as_deref().is_some_and(|driver| driver.trim_end_matches(|c: char| c.is_ascii_digit()) == "ppt")
    }
}

/// `pci0:2:0:1` or `pci2:0:1`, all decimal.
pub(crate) fn selector(text: &str) -> Option<(u8, u8, u8)> {
    let numbers: Option<Vec<u8>> = text.strip_prefix("pci")?.split(':').map(|part| part.parse().ok()).collect();
    match numbers?.as_slice() {
        [0, bus, slot @ 0..=31, function @ 0..=7] | [bus, slot @ 0..=31, function @ 0..=7] => Some((*bus, *slot, *function)),
        _ => None,
    }
}

/// All devices of the host, in the file's order.
pub(crate) fn devices(place: &Place) -> Done<Vec<Device>> {
    let text = place.read("pci")?;
    text.lines().map(|line| Device::parse(line).ok_or_else(|| broken(format_args!("a line of the file pci: {line}")))).collect()
}

/// Keeps the devices.
pub(crate) fn write(place: &Place, devices: &[Device]) -> Done {
    place.write("pci", &devices.iter().map(Device::line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_back_as_written() {
        let lines: String = DEFAULT.lines().map(|line| Device::parse(line).unwrap().line()).collect();
        assert_eq!(lines, DEFAULT);
    }

    #[test]
    fn the_two_forms_of_a_selector() {
        assert_eq!(selector("pci0:2:0:1"), Some((2, 0, 1)));
        assert_eq!(selector("pci2:0:1"), Some((2, 0, 1)));
        for text in ["pci0:2:32:0", "pci1:2:0:0", "0:2:0:0", "pci0:2", "pci0:2:0:8"] {
            assert_eq!(selector(text), None, "{text}");
        }
    }
}
