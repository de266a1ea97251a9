//! Disks that are not AHCI: virtio-blk, NVMe and virtio-scsi.

use crate::bhyve::build::{Build, Node, comma, device_error};
use crate::bhyve::config::Config;
use crate::exit::{Done, Or};
use crate::memsize;
use crate::release::MAIN;

/// `path[,option]…`.
pub(crate) fn conf(config: &mut Config, node: &str, conf: &str) -> Done {
    let (path, options) = conf.split_once(',').unwrap_or((conf, ""));
    if !path.is_empty() {
        config.set(format!("{node}path"), path);
    }
    config.options(node, options);
    Ok(())
}

pub(crate) fn virtio(build: &mut Build, node: &Node) -> Done {
    let drive = build.drive(&node.key(""), false)?;
    let mut options = vec![format!("drive={}", drive.id), format!("bootindex={}", build.boot_index(&drive, false))];
    if let Some(serial) = build.get(node, "ser")? {
        // What fits into virtio's own field.
        options.push(format!("serial={}", serial.chars().take(20).collect::<String>()));
    }
    build.device(node, "virtio-blk-pci", &options)
}

/// `path` or `ram=MiB`, then options.
pub(crate) fn conf_nvme(config: &mut Config, node: &str, text: &str) -> Done {
    if text.starts_with("ram=") {
        config.options(node, text);
        return Ok(());
    }
    conf(config, node, text)
}

pub(crate) fn nvme(build: &mut Build, node: &Node) -> Done {
    let serial = build.get(node, "ser")?.unwrap_or_else(|| format!("NVME-{}-{}", node.slot, node.function));
    // What is too long is cut off; a sector size, a number of queues or a dsm that makes no sense is the default.
    let serial: String = serial.chars().take(20).collect();
    for key in ["qsz", "ioslots"] {
        if build.get(node, key)?.is_some_and(|text| text.parse::<u32>() == Ok(0)) {
            return device_error(format!("nvme: invalid {key}"));
        }
    }
    let mut options = vec![format!("serial={serial}")];
    match build.get(node, "ram")? {
        None => {
            let drive = build.drive(&node.key(""), false)?;
            options.push(format!("drive={},bootindex={}", drive.id, build.boot_index(&drive, false)));
        }
        Some(megabytes) => {
            let Some(size) = megabytes.parse::<u32>().ok().and_then(|number| memsize::parse(&format!("{number}M"))) else {
                return device_error("nvme: unable to parse ram size");
            };
            let file = build.scratch.join(format!("{}.ram", node.id()));
            std::fs::File::create(&file).and_then(|file| file.set_len(size)).or_broken(file.display())?;
            let id = format!("{}-ram", node.id());
            build.arg("-drive", format!("if=none,id={id},format=raw,file={}", comma(&file)));
            options.push(format!("drive={id}"));
        }
    }
    build.device(node, "nvme", &options)
}

/// `[/dev/cam/ctl[pp.vp]][,option]…`; main also takes `target=…`.
pub(crate) fn conf_scsi(config: &mut Config, node: &str, conf: &str) -> Done {
    for (place, token) in conf.split(',').filter(|token| !token.is_empty()).enumerate() {
        match token.split_once('=') {
            // Up to 15.x the first word is the device, whatever it looks like.
            None if place == 0 => config.set(format!("{node}dev"), token),
            Some(("target", target)) => config.set(format!("{node}target.{place}"), target),
            _ => config.options(node, token),
        }
    }
    Ok(())
}

pub(crate) fn scsi(build: &mut Build, node: &Node) -> Done {
    let targets: Vec<String> = build.config.below(&node.key("target."));
    if !targets.is_empty() && build.place.host.release < MAIN {
        return device_error("virtio-scsi: failed to open target=: No such file or directory");
    }
    let device = build.get(node, "dev")?.unwrap_or_else(|| "/dev/cam/ctl".to_owned());
    if targets.is_empty() && !build.place.resolve(&device).exists() {
        return device_error(format!("virtio-scsi: failed to open {device}: No such file or directory"));
    }
    build.device(node, "virtio-scsi-pci", &[format!("id={}", node.id())])?;
    for target in targets {
        let Some(path) = build.get(node, &format!("target.{target}"))? else { continue };
        let (number, path) = match path.split_once(':') {
            Some((number, path)) if number.parse::<u8>().is_ok() => (number.to_owned(), path.to_owned()),
            _ => (target.clone(), path),
        };
        let file = build.place.resolve(&path);
        if !file.exists() {
            return device_error(format!("virtio-scsi: failed to open {path}: No such file or directory"));
        }
        // A CTL port of the host has no disks in the lab; a file is a disk.
        if file.is_file() && !path.starts_with("/dev/") {
            let id = format!("{}-{number}", node.id());
            build.arg("-drive", format!("if=none,id={id},format=raw,file.locking=off,file={}", comma(&file)));
            build.arg("-device", format!("scsi-hd,bus={}.0,scsi-id={number},drive={id}", node.id()));
        }
    }
    Ok(())
}
