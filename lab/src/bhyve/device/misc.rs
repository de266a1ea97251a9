//! The small devices: bridges, randomness, shared folders, input, USB and sound.

use crate::bhyve::build::{Build, Node, comma, device_error};
use crate::bhyve::config::{Config, ERROR};
use crate::exit::{Done, exit, signal};

/// QEMU has its own bridge at 0:0:0, and needs no other.
pub(crate) fn host_bridge(_: &mut Build, _: &Node) -> Done {
    Ok(())
}

/// QEMU's own is at 0:31:0, wherever bhyve's is.
pub(crate) fn lpc(build: &mut Build, node: &Node) -> Done {
    if node.bus != 0 {
        return device_error("LPC bridge can be present only on bus 0.");
    }
    if std::mem::replace(&mut build.lpc, true) {
        return device_error("Only one LPC bridge is allowed.");
    }
    Ok(())
}

/// An alias: a host bridge with AMD's identifiers.
pub(crate) fn conf_amd(config: &mut Config, node: &str, conf: &str) -> Done {
    config.set(format!("{node}device"), "hostbridge");
    config.set(format!("{node}vendor"), "0x1022");
    config.set(format!("{node}devid"), "0x7432");
    config.options(node, conf);
    Ok(())
}

pub(crate) fn random(build: &mut Build, node: &Node) -> Done {
    build.device(node, "virtio-rng-pci", &[])
}

pub(crate) fn dummy(build: &mut Build, node: &Node) -> Done {
    build.device(node, "pci-testdev", &[])
}

/// `sharename=/path[,ro]`, exactly one share.
pub(crate) fn conf_share(config: &mut Config, node: &str, conf: &str) -> Done {
    for token in conf.split(',').filter(|token| !token.is_empty()) {
        match token.split_once('=') {
            None => config.options(node, token),
            Some(_) if config.has(&format!("{node}sharename")) => {
                return exit(ERROR, format!("virtio-9p: more than one share name given: \"{token}\""));
            }
            Some((name, path)) => {
                config.set(format!("{node}sharename"), name);
                config.set(format!("{node}path"), path);
            }
        }
    }
    Ok(())
}

pub(crate) fn share(build: &mut Build, node: &Node) -> Done {
    let (Some(name), Some(path)) = (build.get(node, "sharename")?, build.get(node, "path")?) else {
        return device_error("virtio-9p: share name or path is missing");
    };
    let folder = build.place.resolve(&path);
    if !folder.is_dir() {
        return device_error(format!("virtio-9p: failed to open {path}"));
    }
    let readonly = if build.config.is_on(&node.key("ro"), false)? { ",readonly=on" } else { "" };
    let id = format!("{}-share", node.id());
    build.arg("-fsdev", format!("local,id={id},security_model=none,path={}{readonly}", comma(&folder)));
    build.device(node, "virtio-9p-pci", &[format!("fsdev={id}"), format!("mount_tag={name}")])
}

/// `/dev/input/eventN`.
pub(crate) fn conf_input(config: &mut Config, node: &str, conf: &str) -> Done {
    let (path, options) = conf.split_once(',').unwrap_or((conf, ""));
    if !path.is_empty() {
        config.set(format!("{node}path"), path);
    }
    config.options(node, options);
    Ok(())
}

pub(crate) fn input(build: &mut Build, node: &Node) -> Done {
    let Some(path) = build.get(node, "path")? else { return device_error("virtio-input: path is missing") };
    if std::fs::File::open(build.place.resolve(&path)).is_err() {
        return device_error(format!("virtio-input: unable to open {path}"));
    }
    build.device(node, "virtio-keyboard-pci", &[])
}

/// USB devices, one a word.
pub(crate) fn conf_usb(config: &mut Config, node: &str, conf: &str) -> Done {
    for (number, name) in conf.split(',').filter(|name| !name.is_empty()).enumerate() {
        // USB slots count from 1.
        config.set(format!("{node}slot.{}.device", number + 1), name);
    }
    Ok(())
}

pub(crate) fn usb(build: &mut Build, node: &Node) -> Done {
    if std::mem::replace(&mut build.usb, true) {
        return device_error("pci_xhci controller already defined");
    }
    build.device(node, "qemu-xhci", &[format!("id={}", node.id())])?;
    for key in build.config.below(&node.key("slot.")).iter().filter(|key| key.ends_with(".device")) {
        match build.get(node, &format!("slot.{key}"))?.as_deref() {
            Some("tablet") => build.arg("-device", format!("usb-tablet,bus={}.0", node.id())),
            other => return device_error(format!("xhci: unknown USB device \"{}\"", other.unwrap_or_default())),
        }
    }
    Ok(())
}

/// Sound that nobody hears. A device of the host that is not there ends bhyve by an assertion of its own.
pub(crate) fn audio(build: &mut Build, node: &Node) -> Done {
    for key in ["play", "rec"] {
        if let Some(path) = build.get(node, key)?
            && !build.place.resolve(&path).exists()
        {
            return signal(6, format!("hda: fail to open {path}"));
        }
    }
    let id = node.id();
    build.arg("-audiodev", format!("none,id={id}-sound"));
    build.device(node, "intel-hda", &[format!("id={id}")])?;
    build.arg("-device", format!("hda-duplex,bus={id}.0,audiodev={id}-sound"));
    Ok(())
}
