//! devctl(8): gives a PCI device another driver, as passthrough needs it.

use crate::exit::{Done, exit};
use crate::pci::{self, Device};
use crate::place::Place;
use crate::vm;

/// Drivers by the class of a device: who takes it when it is free. No row: nobody.
const DRIVERS: &[(u32, &str)] =
    &[(0x02_0000, "em"), (0x03_0000, "vgapci"), (0x01_0601, "ahci"), (0x01_0802, "nvme"), (0x0c_0330, "xhci"), (0x06_0000, "hostb")];

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (words, forced) = match words.iter().position(|word| *word == "-f") {
        Some(at) => (words.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, word)| *word).collect(), true),
        None => (words, false),
    };
    let mut devices = pci::devices(place)?;
    let (name, change): (&str, Change) = match words.as_slice() {
        ["set", "driver", name, driver] => (name, Change::Set(driver)),
        ["clear", "driver", name] => (name, Change::Clear),
        ["detach", name] => (name, Change::Detach),
        ["attach", name] => (name, Change::Attach),
        [] => return usage(),
        [other, ..] => {
            return exit(1, format!("devctl: the lab has no `{other}` with these words; it has attach, detach, set driver, clear driver"));
        }
    };
    let fail = |why: &str| match change {
        Change::Set(driver) => exit(1, format!("devctl: Failed to set {name} driver to {driver}: {why}")),
        Change::Clear => exit(1, format!("devctl: Failed to clear {name} driver: {why}")),
        Change::Detach => exit(1, format!("devctl: Failed to detach {name}: {why}")),
        Change::Attach => exit(1, format!("devctl: Failed to attach {name}: {why}")),
    };
    let Some(at) = devices.iter().position(|device| pci::selector(name) == Some(device.at) || device.driver.as_deref() == Some(name))
    else {
        return fail("No such file or directory");
    };
    let (bus, slot, function) = devices[at].at;
    let address = format!("{bus}/{slot}/{function}");
    if vm::all_running(place)?.iter().any(|(_, vm)| vm.passthru.contains(&address)) {
        return fail("Device busy");
    }
    let taken = devices[at].driver.is_some();
    let driver = match change {
        Change::Set("ppt") if !place.has_module("vmm")? => return fail("No such file or directory"),
        Change::Set(driver) if driver != "ppt" && !DRIVERS.iter().any(|(_, known)| *known == driver) => {
            return fail("No such file or directory");
        }
        Change::Set(_) | Change::Clear if taken && !forced => return fail("Device busy"),
        Change::Set(driver) => Some(driver),
        Change::Attach if taken => return fail("Device busy"),
        Change::Clear | Change::Attach => usual(&devices[at]),
        Change::Detach if !taken => return fail("Device not configured"),
        Change::Detach => None,
    };
    devices[at].driver = None;
    devices[at].driver = driver.map(|driver| with_unit(driver, &devices));
    pci::write(place, &devices)
}

#[derive(Clone, Copy)]
enum Change<'a> {
    Set(&'a str),
    Clear,
    Detach,
    Attach,
}

fn usual(device: &Device) -> Option<&'static str> {
    DRIVERS.iter().find(|(class, _)| *class == device.class).map(|(_, driver)| *driver)
}

/// The driver with its first free unit.
fn with_unit(driver: &str, devices: &[Device]) -> String {
    let taken = |name: &str| devices.iter().any(|device| device.driver.as_deref() == Some(name));
    (0..=u32::MAX).map(|unit| format!("{driver}{unit}")).find(|name| !taken(name)).unwrap_or_default()
}

fn usage() -> Done {
    exit(
        1,
        "usage: devctl attach device\n       devctl detach [-f] device\n       devctl set driver [-f] device driver\n       devctl clear driver [-f] device",
    )
}
