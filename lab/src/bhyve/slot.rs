//! `-s`: a device at a PCI place, and the table of all emulations. A new emulation is a row here and its file in `device/`.

use super::build::{Build, Node};
use super::config::{Config, ERROR};
use super::device::{ahci, block, display, misc, net, passthru, serial};
use crate::exit::{Done, exit};
use crate::host::Host;
use crate::place::Place;
use crate::release::{FIRST, Release, since};

/// An emulation of bhyve.
pub(crate) struct Emulation {
    name: &'static str,
    since: Release,
    arm64: bool,
    /// Takes what stands behind the name into the configuration, below the node.
    conf: fn(&mut Config, &str, &str) -> Done,
    /// Checks the device as bhyve does when it starts it, and gives it to QEMU.
    init: fn(&mut Build, &Node) -> Done,
}

type Conf = fn(&mut Config, &str, &str) -> Done;
type Init = fn(&mut Build, &Node) -> Done;

const fn row(name: &'static str, conf: Conf, init: Init) -> Emulation {
    Emulation { name, since: FIRST, arm64: true, conf, init }
}

const fn amd64(mut row: Emulation) -> Emulation {
    row.arm64 = false;
    row
}

const fn from(release: Release, mut row: Emulation) -> Emulation {
    row.since = release;
    row
}

const EMULATIONS: &[Emulation] = &[
    row("ahci", ahci::conf, ahci::init),
    row("ahci-cd", ahci::conf_cd, ahci::init),
    row("ahci-hd", ahci::conf_hd, ahci::init),
    row("amd_hostbridge", misc::conf_amd, misc::host_bridge),
    row("dummy", options, misc::dummy),
    row("e1000", net::conf, net::e1000),
    row("fbuf", display::conf, display::init),
    row("hda", options, misc::audio),
    row("hostbridge", options, misc::host_bridge),
    amd64(row("lpc", options, misc::lpc)),
    row("nvme", block::conf_nvme, block::nvme),
    amd64(row("passthru", passthru::conf, passthru::init)),
    row("uart", serial::conf_uart, serial::uart),
    row("virtio-9p", misc::conf_share, misc::share),
    row("virtio-blk", block::conf, block::virtio),
    row("virtio-console", serial::conf_ports, serial::ports),
    from(since(13, 2), row("virtio-input", misc::conf_input, misc::input)),
    row("virtio-net", net::conf, net::virtio),
    row("virtio-rnd", options, misc::random),
    row("virtio-scsi", block::conf_scsi, block::scsi),
    row("xhci", misc::conf_usb, misc::usb),
];

/// The plain way: `name[=value],…`.
fn options(config: &mut Config, node: &str, conf: &str) -> Done {
    config.options(node, conf);
    Ok(())
}

fn known(host: &Host) -> impl Iterator<Item = &'static Emulation> {
    let (release, arm64) = (host.release, host.arm64());
    EMULATIONS.iter().filter(move |row| release >= row.since && (row.arm64 || !arm64))
}

/// The names that `-s help` prints.
pub(crate) fn names(host: &Host) -> impl Iterator<Item = &'static str> {
    known(host).map(|row| row.name)
}

/// Takes the argument of `-s`.
pub(crate) fn parse(place: &Place, config: &mut Config, text: &str) -> Done {
    let bad = || exit(ERROR, format!("Invalid PCI slot info field \"{text}\""));
    let mut parts = text.splitn(3, ',');
    let (Some(at), Some(name)) = (parts.next(), parts.next()) else { return bad() };
    let conf = parts.next();
    let Some((bus, slot, function)) = scan(at) else { return bad() };
    let node = format!("pci.{bus}.{slot}.{function}.");
    if config.has(&format!("{node}device")) {
        return exit(ERROR, format!("pci slot {bus}:{slot}:{function} already occupied!"));
    }
    let Some(row) = known(&place.host).find(|row| row.name == name) else {
        return exit(ERROR, format!("pci slot {bus}:{slot}:{function}: unknown device \"{name}\""));
    };
    config.set(format!("{node}device"), name);
    (row.conf)(config, &node, conf.unwrap_or_default())
}

/// Starts the device of a node.
pub(crate) fn init(build: &mut Build, node: &Node) -> Done {
    let (bus, slot, function) = (node.bus, node.slot, node.function);
    match known(&build.place.host).find(|row| row.name == node.device) {
        Some(row) => (row.init)(build, node),
        None => exit(ERROR, format!("pci slot {bus}:{slot}:{function}: unknown device \"{}\"", node.device)),
    }
}

/// `bus:slot:function`, `slot:function` or `slot`, as sscanf reads them: what stands behind a number is not looked at.
pub(crate) fn scan(text: &str) -> Option<(u8, u8, u8)> {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Ok(number) = rest[..digits].parse::<u32>() else { break };
        numbers.push(number);
        let Some(behind) = rest[digits..].strip_prefix(':') else { break };
        rest = behind;
    }
    let (bus, slot, function) = match numbers.as_slice() {
        [] => return None,
        [slot] => (0, *slot, 0),
        [slot, function] => (0, *slot, *function),
        [bus, slot, function, ..] => (*bus, *slot, *function),
    };
    if slot > 31 || function > 7 {
        return None;
    }
    Some((u8::try_from(bus).ok()?, u8::try_from(slot).ok()?, u8::try_from(function).ok()?))
}

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn the_forms_of_a_place() {
        for (text, place) in
            [("3", (0, 3, 0)), ("3:1", (0, 3, 1)), ("2:3:1", (2, 3, 1)), ("3x", (0, 3, 0)), ("255:31:7", (255, 31, 7)), ("3:", (0, 3, 0))]
        {
            assert_eq!(scan(text), Some(place), "{text}");
        }
        for text in ["", "x", "32", "3:8", "256:0:0", "-1"] {
            assert_eq!(scan(text), None, "{text}");
        }
    }
}
