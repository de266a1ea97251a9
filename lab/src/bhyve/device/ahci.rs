//! AHCI: one controller, up to 32 ports, each a disk or a CD drive.

use crate::bhyve::build::{Build, Node, device_error};
use crate::bhyve::config::{Config, ERROR};
use crate::exit::{Done, exit};

/// Ports of one controller of bhyve's.
const PORTS: usize = 32;
/// Ports of one controller of QEMU's: more disks than that hang on further controllers of the lab's own.
const QEMU_PORTS: usize = 6;
/// What an ATA disk can give of a serial number; the rest is cut off.
const SERIAL: usize = 20;

/// `[hd:|cd:]path[,opts],…`: a port begins at each `hd:` or `cd:`.
pub(crate) fn conf(config: &mut Config, node: &str, conf: &str) -> Done {
    let mut port: Option<usize> = None;
    for token in conf.split(',').filter(|token| !token.is_empty()) {
        let start = token.strip_prefix("hd:").map(|path| ("hd", path)).or_else(|| token.strip_prefix("cd:").map(|path| ("cd", path)));
        match (start, port) {
            (Some((kind, path)), last) => {
                let number = last.map_or(0, |last| last + 1);
                if number == PORTS {
                    return exit(ERROR, format!("ahci: more than {PORTS} ports"));
                }
                port = Some(number);
                add_port(config, node, number, kind, path);
            }
            (None, Some(number)) => config.options(&format!("{node}port.{number}."), token),
            (None, None) => return exit(ERROR, format!("ahci: a port begins with hd: or cd:, not with \"{token}\"")),
        }
    }
    Ok(())
}

/// `path[,opts]`, a controller with one disk.
pub(crate) fn conf_hd(config: &mut Config, node: &str, conf: &str) -> Done {
    one(config, node, "hd", conf)
}

/// `path[,opts]`, a controller with one CD drive. There is none without a medium.
pub(crate) fn conf_cd(config: &mut Config, node: &str, conf: &str) -> Done {
    one(config, node, "cd", conf)
}

fn one(config: &mut Config, node: &str, kind: &str, conf: &str) -> Done {
    let (path, options) = conf.split_once(',').unwrap_or((conf, ""));
    config.set(format!("{node}device"), "ahci");
    if path.is_empty() {
        return exit(ERROR, "Missing \"path\" for block device.\nDevice emulation initialization error: Invalid argument");
    }
    add_port(config, node, 0, kind, path);
    config.options(&format!("{node}port.0."), options);
    Ok(())
}

fn add_port(config: &mut Config, node: &str, number: usize, kind: &str, path: &str) {
    config.set(format!("{node}port.{number}.type"), kind);
    if !path.is_empty() {
        config.set(format!("{node}port.{number}.path"), path);
    }
}

pub(crate) fn init(build: &mut Build, node: &Node) -> Done {
    let mut ports: Vec<usize> = Vec::new();
    for key in build.config.below(&node.key("port.")) {
        let number = key.split('.').next().unwrap_or_default();
        match number.parse::<usize>() {
            Ok(number) if number < PORTS => ports.push(number),
            _ => return device_error(format!("ahci: invalid port \"{number}\"")),
        }
    }
    ports.sort_unstable();
    ports.dedup();
    build.device(node, "ich9-ahci", &[format!("id={}", node.id())])?;
    let mut controller = node.id();
    for (place, port) in ports.iter().enumerate() {
        if place > 0 && place % QEMU_PORTS == 0 {
            let Some(slot) = build.spare_slot() else {
                return exit(ERROR, "lab: QEMU's AHCI has 6 ports, and no slot is free for a further controller");
            };
            controller = format!("{}-{place}", node.id());
            build.arg("-device", format!("ich9-ahci,id={controller},bus=pcie.0,addr={slot:x}"));
        }
        one_port(build, &node.key(&format!("port.{port}.")), &format!("{controller}.{}", place % QEMU_PORTS))?;
    }
    Ok(())
}

fn one_port(build: &mut Build, prefix: &str, bus: &str) -> Done {
    let get = |key: &str| build.config.get(&format!("{prefix}{key}"));
    let kind = get("type")?.unwrap_or_default();
    let cut = |serial: String| serial.chars().take(SERIAL).collect::<String>();
    let serial = get("ser")?.map_or(String::new(), |serial| format!(",serial={}", cut(serial)));
    match (kind.as_str(), build.config.has(&format!("{prefix}path"))) {
        // A port without a medium does not exist.
        ("cd" | "hd", false) => {}
        ("cd", true) => {
            let drive = build.drive(prefix, true)?;
            let index = build.boot_index(&drive, true);
            build.arg("-device", format!("ide-cd,bus={bus},drive={},bootindex={index}{serial}", drive.id));
        }
        ("hd", _) => {
            let drive = build.drive(prefix, false)?;
            let index = build.boot_index(&drive, false);
            build.arg("-device", format!("ide-hd,bus={bus},drive={},bootindex={index}{serial}", drive.id));
        }
        _ => return device_error(format!("ahci: unknown type of port \"{kind}\"")),
    }
    Ok(())
}
