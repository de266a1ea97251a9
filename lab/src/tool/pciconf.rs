//! pciconf(8): lists the host's PCI devices. Reading and writing of configuration space is not there.

use crate::exit::{Done, exit};
use crate::getopt::{Met, walk};
use crate::pci::{self, Device};
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, rest) = walk("alBbceVv", &[], args);
    let (mut list, mut verbose) = (false, false);
    for option in options {
        match option {
            Met::Short('l', _) => list = true,
            Met::Short('v', _) => verbose = true,
            Met::Short('a', _) => return usage("the lab has only -l"),
            Met::Short(..) | Met::Long(..) => {}
            Met::Unknown(what) => return usage(&what),
        }
    }
    let wanted = match (list, rest) {
        (true, []) => None,
        (true, [device]) => Some(device.as_str()),
        _ => return usage("the lab has only -l [device]"),
    };
    let devices = pci::devices(place)?;
    let mut none = 0;
    let mut found = false;
    for device in &devices {
        // A device without a driver is counted as `none`.
        let driver = device.driver.clone().unwrap_or_else(|| {
            none += 1;
            format!("none{}", none - 1)
        });
        if wanted.is_some_and(|wanted| wanted != driver && pci::selector(wanted.trim_end_matches(':')) != Some(device.at)) {
            continue;
        }
        found = true;
        show(&driver, device, verbose);
    }
    match wanted {
        Some(wanted) if !found => exit(1, format!("pciconf: cannot find device {wanted}")),
        _ => Ok(()),
    }
}

fn show(driver: &str, device: &Device, verbose: bool) {
    let Device { class, vendor, device: id, name, .. } = device;
    println!(
        "{driver}@{}:\tclass={class:#08x} rev=0x02 hdr=0x00 vendor={vendor:#06x} device={id:#06x} subvendor={vendor:#06x} subdevice={id:#06x}",
        device.selector()
    );
    if verbose {
        println!("    vendor     = '{}'", if *vendor == 0x8086 { "Intel Corporation" } else { "Unknown" });
        println!("    device     = '{name}'");
        println!("    class      = {}", class_name(*class));
    }
}

fn class_name(class: u32) -> &'static str {
    match class >> 16 {
        0x01 => "mass storage",
        0x02 => "network",
        0x03 => "display",
        0x04 => "multimedia",
        0x05 => "memory",
        0x06 => "bridge",
        0x0c => "serial bus",
        _ => "other",
    }
}

fn usage(what: &str) -> Done {
    exit(1, format!("pciconf: {what}\nusage: pciconf -l [-BbceVv] [device]"))
}
