//! PCI addresses of devices, which are stable so that the guest operating system recognises its devices.
//!
//! A device's address is a pure function of its key as long as no other device has that address, so that adding or removing
//! a device never moves another. A device whose preferred address is taken gets another one, which the caller stores as a
//! property.
//!
//! Not here: assigning addresses to all devices of a VM (`resolve`), and the devices themselves.

use crate::error::{Problem, Result};
use crate::value::{BadValue, serde_by_text};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A device's PCI address in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciPlace {
    /// 0 to 255; chyves assigns addresses on bus 0 only.
    pub bus: u8,
    /// 0 to 31.
    pub slot: u8,
    /// 0 to 7.
    pub function: u8,
}

/// The address of the host bridge, on both hypervisors.
pub const HOSTBRIDGE: PciPlace = PciPlace::on(0, 0);
/// The address of the frame buffer: firmware and graphics drivers expect it there.
pub const DISPLAY: PciPlace = PciPlace::on(2, 0);
/// The address of the LPC bridge (on QEMU's q35 the chipset's own ISA bridge is there).
pub const LPC: PciPlace = PciPlace::on(31, 0);

/// The slots that are assigned freely, each with eight functions.
const POOL: RangeInclusive<u8> = 4..=30;

impl PciPlace {
    /// An address on bus 0.
    pub const fn on(slot: u8, function: u8) -> Self {
        Self { bus: 0, slot, function }
    }

    /// Function 0 of the same slot; without it a guest does not probe the other functions.
    #[must_use]
    pub const fn first_function(self) -> Self {
        Self { function: 0, ..self }
    }
}

impl FromStr for PciPlace {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = |why: &str| BadValue::new(text, why).hint("write a slot as slot:function (4:0) or bus:slot:function (0:4:0)");
        let mut numbers = Vec::with_capacity(3);
        for part in text.split(':') {
            if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(refuse("is not a PCI slot"));
            }
            numbers.push(part.parse::<u16>().map_err(|_| refuse("is not a PCI slot"))?);
        }
        let (bus, slot, function) = match numbers[..] {
            [slot] => (0, slot, 0),
            [slot, function] => (0, slot, function),
            [bus, slot, function] => (bus, slot, function),
            _ => return Err(refuse("is not a PCI slot")),
        };
        match (u8::try_from(bus), u8::try_from(slot), u8::try_from(function)) {
            (Ok(bus), Ok(slot), Ok(function)) if slot <= 31 && function <= 7 => Ok(Self { bus, slot, function }),
            _ => Err(refuse("is not a PCI slot: buses go to 255, slots to 31, functions to 7")),
        }
    }
}

/// `4:0`, with the bus in front if it is not 0.
impl std::fmt::Display for PciPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bus, slot, function } = *self;
        f.pad(&if bus == 0 { format!("{slot}:{function}") } else { format!("{bus}:{slot}:{function}") })
    }
}

serde_by_text!(PciPlace);

/// The classes of devices, each with its own slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceClass {
    /// The frame buffer; there is one.
    Display,
    /// Optical drives.
    Optical,
    /// Disks and disk controllers.
    Disk,
    /// NICs.
    Nic,
    /// `pcidev_{n}`.
    PciDev,
    /// Everything else: random numbers, tablet, sound, shares, additional serial ports.
    Other,
}

/// Identifies a device of a guest, as its properties name it: `disk0` or `net3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey {
    /// Its class.
    pub class: DeviceClass,
    /// Its number within the class.
    pub number: u32,
}

impl DeviceClass {
    /// The slots of the class. They do not overlap, so that classes never use each other's preferred addresses. Disks begin
    /// at slot 4, because old UEFI firmware probes slots 3 to 6 only for AHCI disks. Slots 22 to 25 are reserved for
    /// passthrough.
    pub const fn slots(self) -> RangeInclusive<u8> {
        match self {
            Self::Display => 2..=2,
            Self::Optical => 3..=3,
            Self::Disk => 4..=11,
            Self::Nic => 12..=17,
            Self::PciDev => 18..=21,
            Self::Other => 26..=30,
        }
    }
}

/// The slots reserved for passthrough, where complete slots of the host appear.
pub(super) const PASSTHRU_SLOTS: RangeInclusive<u8> = 22..=25;

impl DeviceKey {
    /// The device `number` of `class`.
    pub const fn new(class: DeviceClass, number: u32) -> Self {
        Self { class, number }
    }

    /// The device's preferred address: first function 0 of each slot of its class, then functions 1 to 7, then the sequence
    /// repeats. It depends on the key only.
    pub fn preferred(self) -> PciPlace {
        if self.class == DeviceClass::Display {
            return DISPLAY;
        }
        let slots = self.class.slots();
        let width = u32::from(slots.end() - slots.start()) + 1;
        let slot = self.number % width;
        let function = (self.number / width) % 8;
        // Both are below 32, because they are remainders of small divisors.
        #[allow(clippy::cast_possible_truncation)]
        PciPlace::on(slots.start() + slot as u8, function as u8)
    }
}

impl std::fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.number;
        f.pad(&match self.class {
            DeviceClass::Display => "the frame buffer".to_owned(),
            DeviceClass::Optical => format!("cd{n}"),
            DeviceClass::Disk => format!("disk{n}"),
            DeviceClass::Nic => format!("net{n}"),
            DeviceClass::PciDev => format!("pcidev_{n}"),
            DeviceClass::Other => format!("device {n}"),
        })
    }
}

/// An address for a new device: its preferred one if that is free, else another free one. The caller stores an address
/// other than the preferred one as a property of the device, so that it does not change when other devices are removed.
///
/// # Errors
/// No address is free; or a second frame buffer is requested.
pub fn choose(taken: &BTreeSet<PciPlace>, key: DeviceKey) -> Result<PciPlace> {
    let preferred = key.preferred();
    if !taken.contains(&preferred) {
        return Ok(preferred);
    }
    if key.class == DeviceClass::Display {
        return Err(Problem::usage(format!("cannot place the display: its place {DISPLAY} is used by another device"))
            .hint("unset the pci of the device that has it, or remove a second display"));
    }
    candidates(key.class).find(|place| !taken.contains(place)).ok_or_else(|| full(taken.len()))
}

/// Addresses for devices whose preferred one is taken, in the order in which they are tried: the class' own slots, then the
/// others from the top (away from the disks), and the passthrough slots last; function 0 of each before any other function.
fn candidates(class: DeviceClass) -> impl Iterator<Item = PciPlace> {
    let own = class.slots();
    let spare = |slot: &u8| !PASSTHRU_SLOTS.contains(slot);
    let elsewhere: Vec<u8> = POOL.rev().filter(spare).filter(|slot| !own.contains(slot)).collect();
    let all = |slots: Vec<u8>| (0..8u8).flat_map(move |function| slots.clone().into_iter().map(move |s| PciPlace::on(s, function)));
    all(own.collect()).chain(all(elsewhere)).chain(all(PASSTHRU_SLOTS.rev().collect()))
}

/// The error for one device too many.
fn full(taken: usize) -> Problem {
    Problem::usage(format!("no PCI slot is free: {taken} devices are attached"))
        .because("a VM has 27 slots of 8 functions for them")
        .hint("put several disks on one AHCI controller, or remove a device")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_are_read_in_their_usual_forms() {
        assert_eq!("4".parse::<PciPlace>().unwrap(), PciPlace::on(4, 0));
        assert_eq!("4:3".parse::<PciPlace>().unwrap(), PciPlace::on(4, 3));
        assert_eq!("1:4:3".parse::<PciPlace>().unwrap(), PciPlace { bus: 1, slot: 4, function: 3 });
        assert_eq!(PciPlace::on(4, 0).to_string(), "4:0");
        for bad in ["", ":", "4:", "4:8", "32", "256:1:1", "1:2:3:4", "+4", "4x", "0x4", "4 "] {
            assert!(bad.parse::<PciPlace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_devices_sit_where_one_expects_them() {
        let at = |class, n| DeviceKey::new(class, n).preferred().to_string();
        assert_eq!(at(DeviceClass::Disk, 0), "4:0");
        assert_eq!(at(DeviceClass::Disk, 7), "11:0");
        assert_eq!(at(DeviceClass::Disk, 8), "4:1");
        assert_eq!(at(DeviceClass::Nic, 0), "12:0");
        assert_eq!(at(DeviceClass::PciDev, 0), "18:0");
        assert_eq!(at(DeviceClass::Other, 0), "26:0");
        assert_eq!(at(DeviceClass::Optical, 1), "3:1");
        assert_eq!(at(DeviceClass::Display, 0), "2:0");
    }

    #[test]
    fn all_216_places_can_be_had_and_the_next_is_an_error() {
        let mut taken = BTreeSet::new();
        for n in 0..216 {
            assert!(taken.insert(choose(&taken, DeviceKey::new(DeviceClass::Disk, n)).unwrap()));
        }
        assert_eq!(taken.len(), 216);
        let refusal = choose(&taken, DeviceKey::new(DeviceClass::Nic, 0)).unwrap_err();
        assert_eq!(refusal.message, "no PCI slot is free: 216 devices are attached");
    }

    #[test]
    fn there_is_one_frame_buffer() {
        let taken = BTreeSet::from([DISPLAY]);
        assert!(choose(&taken, DeviceKey::new(DeviceClass::Display, 1)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(bus: u8, slot in 0u8..32, function in 0u8..8) {
            let place = PciPlace { bus, slot, function };
            prop_assert_eq!(place.to_string().parse::<PciPlace>().unwrap(), place);
        }

        #[test]
        fn a_preferred_place_lies_in_its_class(number: u32) {
            use DeviceClass::{Nic, Disk, Display, Optical, Other, PciDev};
            for class in [Display, Optical, Disk, Nic, PciDev, Other] {
                prop_assert!(class.slots().contains(&DeviceKey::new(class, number).preferred().slot));
            }
        }
    }
}
