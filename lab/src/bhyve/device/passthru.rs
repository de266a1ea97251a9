//! A PCI device of the host given to the guest. It is checked as far as the host goes; the guest gets QEMU's test device.

use crate::bhyve::build::{Build, Node, device_error};
use crate::bhyve::config::Config;
use crate::exit::Done;
use crate::host::Cpu;
use crate::pci::{self, Device};
use crate::release::since;
use crate::vm;

/// `pptN`, `B/S/F`, `pciB:S:F` or `pci0:B:S:F`, then options.
pub(crate) fn conf(config: &mut Config, node: &str, conf: &str) -> Done {
    let (device, options) = conf.split_once(',').unwrap_or((conf, ""));
    if device.starts_with("ppt") {
        config.set(format!("{node}pptdev"), device);
    } else {
        let slashes: Option<Vec<u8>> = device.split('/').map(|part| part.parse().ok()).collect();
        let at = match slashes.as_deref() {
            Some([bus, slot, function]) => Some((*bus, *slot, *function)),
            _ => pci::selector(device),
        };
        let Some((bus, slot, function)) = at else {
            return crate::exit::exit(crate::bhyve::config::ERROR, format!("passthru: invalid options \"{conf}\""));
        };
        config.set(format!("{node}bus"), bus.to_string());
        config.set(format!("{node}slot"), slot.to_string());
        config.set(format!("{node}func"), function.to_string());
    }
    config.options(node, options);
    Ok(())
}

pub(crate) fn init(build: &mut Build, node: &Node) -> Done {
    if !build.config.is_on("memory.wired", false)? {
        return device_error("passthru requires guest memory to be wired");
    }
    let host = &build.place.host;
    if !host.iommu || host.cpu == Cpu::Amd && !host.amdvi {
        return device_error("passthru: the host has no IOMMU in use");
    }
    if build.place.jail.as_ref().is_some_and(|jail| !jail.ppt) {
        return device_error("passthru: the jail may not use ppt devices: Operation not permitted");
    }
    let device = wanted(build, node)?;
    let (bus, slot, function) = device.at;
    if !device.is_ppt() {
        return device_error(format!("PCI device at {bus}/{slot}/{function} is not using the ppt(4) driver"));
    }
    let address = format!("{bus}/{slot}/{function}");
    let busy = vm::all_running(build.place)?.iter().any(|(name, vm)| name != build.name && vm.passthru.contains(&address));
    if busy || build.passthru.contains(&address) {
        return device_error(format!("PCI device at {address} is in use: Device busy"));
    }
    if let Some(rom) = build.get(node, "rom")?
        && !build.place.resolve(&rom).is_file()
    {
        return device_error(format!("passthru: can't open romfile \"{rom}\""));
    }
    build.passthru.push(address);
    build.device(node, "pci-testdev", &[])
}

/// The device of the host that the configuration names.
fn wanted(build: &Build, node: &Node) -> Done<Device> {
    let devices = pci::devices(build.place)?;
    if let Some(name) = build.get(node, "pptdev")? {
        if build.place.host.release < since(14, 0) {
            return device_error(format!("passthru: invalid options \"{name}\""));
        }
        return match devices.into_iter().find(|device| device.driver.as_deref() == Some(name.as_str())) {
            Some(device) => Ok(device),
            None => device_error(format!("passthru: there is no {name}")),
        };
    }
    let number = |key: &str| Ok::<_, crate::exit::Exit>(build.get(node, key)?.and_then(|text| text.parse::<u8>().ok()));
    let (Some(bus), Some(slot), Some(function)) = (number("bus")?, number("slot")?, number("func")?) else {
        return device_error("passthru: no device is named");
    };
    match devices.into_iter().find(|device| device.at == (bus, slot, function)) {
        Some(device) => Ok(device),
        None => device_error(format!("PCI device at {bus}/{slot}/{function} is not there")),
    }
}
