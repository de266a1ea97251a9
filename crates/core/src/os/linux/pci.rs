//! PCI functions as listed by Linux in `/sys/bus/pci/devices`: hexadecimal names, such as `0000:02:1f.7`.

use crate::device::HostDevice;
use crate::os::state::PciFunction;

/// The directory with an entry for each function.
pub const FOLDER: &str = "/sys/bus/pci/devices";

/// The function of an entry, with the name of its driver. Class and ids are not read; lspci shows them.
pub fn function(name: &str, driver: Option<&str>) -> Option<PciFunction> {
    let (place, function) = name.rsplit_once('.')?;
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let [domain, bus, slot] = place.split(':').map(hex).collect::<Option<Vec<_>>>()?[..] else { return None };
    let selector = format!("pci{domain}:{bus}:{slot}:{}", hex(function)?);
    Some(PciFunction { selector, driver: driver.map(str::to_owned), class: String::new(), id: String::new() })
}

/// The entry's name of a function in the first PCI domain.
pub fn name(device: &HostDevice) -> String {
    match device {
        HostDevice::Address(address) => format!("0000:{:02x}:{:02x}.{}", address.slot.bus, address.slot.slot, address.function),
        HostDevice::Ppt(unit) => format!("ppt{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_hexadecimal_and_settings_decimal() {
        let found = function("0000:02:1f.7", Some("vfio-pci")).unwrap();
        assert_eq!((found.selector.as_str(), found.driver.as_deref()), ("pci0:2:31:7", Some("vfio-pci")));
        let device: HostDevice = found.selector.parse().unwrap();
        assert_eq!(name(&device), "0000:02:1f.7");
        for bad in ["", "0000:02:1f", "0000:02.7", "x:02:1f.7"] {
            assert_eq!(function(bad, None), None, "{bad}");
        }
    }
}
