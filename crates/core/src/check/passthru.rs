//! Passthrough: vmm needs an IOMMU, and devices must be reserved for it (by the driver ppt) and not in use.

use super::{Finding, Wants};
use crate::device::HostDevice;
use crate::os::linux::pci;
use crate::os::state::{Iommu, PciFunction};
use crate::os::{HostFacts, Os};
use crate::vmm::bhyve::Release;

const WHAT: &str = "passthrough";
const AMDVI: &str = "add to /boot/loader.conf and reboot: hw.vmm.amdvi.enable=1";

/// A function's address as bhyve and loader.conf write it, `2/0/0`; `None` outside of the first PCI domain.
fn address(function: &PciFunction) -> Option<HostDevice> {
    function.selector.parse().ok()
}

fn is_set_aside(function: &PciFunction) -> bool {
    function.driver.as_deref().and_then(|driver| driver.strip_prefix("ppt")).is_some_and(|unit| unit.bytes().all(|b| b.is_ascii_digit()))
}

/// The host's support for it. Missing support is no failure, because few guests need it.
pub(super) fn host(host: &HostFacts) -> Finding {
    let state = &host.state;
    if host.arch == "arm64" {
        return Finding::ok(WHAT, "not possible: bhyve on arm64 has none");
    }
    let aside: Vec<String> =
        state.pci.iter().flatten().filter(|f| is_set_aside(f)).filter_map(address).map(|device| device.to_string()).collect();
    let devices = if aside.is_empty() { "no device is set aside".to_owned() } else { format!("{} set aside", aside.join(", ")) };
    match (state.iommu, state.amdvi) {
        (None, _) => Finding::unknown(WHAT, "whether there is an IOMMU cannot be seen"),
        (Some(Iommu::None), _) => Finding::ok(WHAT, "not possible: no IOMMU, or the firmware has disabled it (VT-d, AMD-Vi)"),
        (Some(Iommu::Dmar), _) => Finding::ok(WHAT, format!("VT-d; {devices}")),
        (Some(Iommu::Ivrs), Some(false)) if !aside.is_empty() => {
            Finding::warns(WHAT, format!("AMD-Vi, which vmm does not use yet; {devices}")).cure(AMDVI)
        }
        (Some(Iommu::Ivrs), Some(false)) => {
            Finding::ok(WHAT, format!("AMD-Vi, which vmm uses only with hw.vmm.amdvi.enable=1 in /boot/loader.conf; {devices}"))
        }
        (Some(Iommu::Ivrs), _) => Finding::ok(WHAT, format!("AMD-Vi; {devices}")),
    }
}

/// The findings for a start.
pub(super) fn start(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    if wants.passthru.is_empty() {
        return Vec::new();
    }
    if host.os == Os::Linux {
        return vfio(host, wants);
    }
    let state = &host.state;
    let mut all = Vec::new();
    match (state.iommu, state.amdvi) {
        (Some(Iommu::None), _) => all.push(
            Finding::fails(WHAT, "the host has no IOMMU, or its firmware has disabled it")
                .cure("enable it in the firmware setup (VT-d, AMD-Vi); without one there is no passthrough"),
        ),
        (Some(Iommu::Ivrs), Some(false)) => all.push(Finding::fails(WHAT, "vmm does not use the IOMMU of AMD").cure(AMDVI)),
        (Some(Iommu::Ivrs), None) => all.push(Finding::warns(WHAT, "vmm uses an AMD IOMMU only if enabled at boot").cure(AMDVI)),
        (None | Some(Iommu::Dmar), _) | (Some(Iommu::Ivrs), Some(true)) => {}
    }
    let release = Release::from(host.release);
    if state.jailed == Some(true) && release < Release::new(15, 1) {
        all.push(
            Finding::fails(WHAT, format!("FreeBSD {release} has no passthrough in a jail: it came with FreeBSD 15.1"))
                .cure("start the guest outside of the jail"),
        );
    }
    if state.system.as_deref() == Some("15.0-RELEASE") {
        all.push(
            Finding::warns(WHAT, "passthrough of 15.0-RELEASE is broken (EN-25:20.vmm)")
                .cure("freebsd-update fetch install, to 15.0-RELEASE-p1 or later"),
        );
    }
    all.extend(devices(host, wants));
    all
}

/// The requirements on Linux: each device exists, and its driver is vfio-pci.
fn vfio(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    let Some(functions) = &host.state.pci else { return Vec::new() };
    let one = |wanted: &HostDevice| {
        let Some(function) = functions.iter().find(|function| address(function) == Some(*wanted)) else {
            return Some(Finding::fails(WHAT, format!("the host has no device {wanted}")).cure("`lspci -D` lists those that it has"));
        };
        let driver = function.driver.as_deref();
        (driver != Some("vfio-pci")).then(|| {
            let who = driver.map_or_else(|| "has no driver".to_owned(), |driver| format!("belongs to the driver {driver}"));
            Finding::fails(WHAT, format!("the device {wanted} {who}, and QEMU needs it on vfio-pci"))
                .cure(format!("modprobe vfio-pci && driverctl set-override {} vfio-pci", pci::name(wanted)))
        })
    };
    wants.passthru.iter().filter_map(one).collect()
}

/// The devices themselves.
fn devices(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    let Some(functions) = &host.state.pci else { return Vec::new() };
    let mut all = Vec::new();
    let mut to_set_aside: Vec<(HostDevice, &PciFunction)> = Vec::new();
    for wanted in &wants.passthru {
        let found = functions.iter().find(|function| match wanted {
            HostDevice::Address(_) => address(function) == Some(*wanted),
            HostDevice::Ppt(unit) => function.driver.as_deref() == Some(&format!("ppt{unit}")),
        });
        let Some(function) = found else {
            all.push(Finding::fails(WHAT, format!("the host has no device {wanted}")).cure("`pciconf -lv` shows those that it has"));
            continue;
        };
        let names = [address(function).map(|a| a.to_string()), function.driver.clone(), Some(wanted.to_string())];
        let user = names.into_iter().flatten().find_map(|name| host.state.given.get(&name));
        if let Some(user) = user.filter(|user| user.as_str() != wants.guest.as_str()) {
            all.push(
                Finding::fails(WHAT, format!("the device {wanted} is used by `{user}`"))
                    .cure(format!("`chyves stop {user}` first: a device is one guest's")),
            );
        } else if !is_set_aside(function) {
            to_set_aside.push((*wanted, function));
        }
    }
    let aside = functions.iter().filter(|f| is_set_aside(f)).filter_map(address);
    let list: Vec<String> = aside.chain(to_set_aside.iter().map(|(device, _)| *device)).map(|device| device.to_string()).collect();
    let at_boot = format!("or from the next boot on, in /boot/loader.conf: vmm_load=\"YES\" and pptdevs=\"{}\"", list.join(" "));
    let loaded = host.state.modules.as_ref().is_none_or(|modules| modules.contains("vmm"));
    for (device, function) in to_set_aside {
        let why = match &function.driver {
            Some(driver) => format!("the device {device} belongs to the driver {driver}, not to ppt"),
            None => format!("the device {device} is not set aside (the driver ppt)"),
        };
        let now = format!("devctl set driver -f {} ppt", function.selector);
        let now = if loaded { now } else { format!("kldload -n vmm && {now}") };
        all.push(Finding::fails(WHAT, why).cure(format!("set it aside now: {now}")).cure(&at_boot));
    }
    all
}
