//! Passthrough of the host's PCI devices to a guest.
//!
//! Not here: whether the host has an IOMMU and has reserved the device (facts, checked by the planner of `start`), and
//! which virtual slot a physical slot gets (`resolve`).

use crate::value::BadValue;
use std::str::FromStr;

/// A PCI function of the host that is passed through to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passthru {
    /// The host's function.
    pub host: HostDevice,
    /// The path of an option ROM, if the device's own is not used.
    pub rom: Option<String>,
    /// The boot index for the firmware; the lowest boots first.
    pub bootindex: Option<u32>,
}

/// How a device of the host is identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostDevice {
    /// By its address.
    Address(HostPci),
    /// By FreeBSD's `ppt` unit (FreeBSD 15.0 on).
    Ppt(u16),
}

/// A function's address on the host's PCI buses, written in decimal, as FreeBSD does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPci {
    /// The physical slot.
    pub slot: HostSlot,
    /// 0 to 7.
    pub function: u8,
}

/// A physical slot of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostSlot {
    /// The bus.
    pub bus: u8,
    /// 0 to 31.
    pub slot: u8,
}

const FORMS: &str = "write the host's device as BUS/SLOT/FUNCTION in decimal (2/0/0), as pci0:2:0:0, or as ppt0";

impl FromStr for HostDevice {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = || BadValue::new(text, "is not a PCI device of a host").hint(FORMS);
        if let Some(unit) = text.strip_prefix("ppt") {
            let digits = !unit.is_empty() && unit.bytes().all(|b| b.is_ascii_digit());
            return unit.parse().ok().filter(|_| digits).map(Self::Ppt).ok_or_else(refuse);
        }
        let parts: Vec<&str> = match text.strip_prefix("pci") {
            // A selector with four numbers begins with the PCI domain; bhyve supports only domain 0.
            Some(selector) => selector.strip_prefix("0:").filter(|s| s.matches(':').count() == 2).unwrap_or(selector).split(':').collect(),
            None => text.split('/').collect(),
        };
        let number = |part: &str, limit: u8| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            part.parse::<u8>().ok().filter(|n| digits && *n <= limit).ok_or_else(refuse)
        };
        let [bus, slot, function] = parts[..] else { return Err(refuse()) };
        let slot = HostSlot { bus: number(bus, 255)?, slot: number(slot, 31)? };
        Ok(Self::Address(HostPci { slot, function: number(function, 7)? }))
    }
}

impl std::fmt::Display for HostDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(HostPci { slot, function }) => write!(f, "{}/{}/{function}", slot.bus, slot.slot),
            Self::Ppt(unit) => write!(f, "ppt{unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_bhyve_are_read() {
        for (text, shown) in
            [("2/0/0", "2/0/0"), ("pci0:2:0:1", "2/0/1"), ("pci2:0:1", "2/0/1"), ("pci0:0:20:2", "0/20/2"), ("ppt3", "ppt3")]
        {
            assert_eq!(text.parse::<HostDevice>().unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "2/0", "2/0/8", "2/32/0", "256/0/0", "2/0/0/0", "ppt", "pptx", "pci1:2:0:0", "02:00.0", "2/ 0/0", "+2/0/0", "a/b/c"]
        {
            assert!(bad.parse::<HostDevice>().is_err(), "{bad}");
        }
    }
}
