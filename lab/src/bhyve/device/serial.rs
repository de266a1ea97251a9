//! Serial ports on PCI, and virtio consoles.

use std::path::Path;

use crate::bhyve::build::{Build, Node, comma, device_error};
use crate::bhyve::config::{Config, ERROR};
use crate::exit::{Done, exit, signal};

/// Ports of one virtio console.
const PORTS: usize = 16;
/// A socket's path, with the NUL behind it.
const SOCKET: usize = 104;

/// The whole text is the path.
pub(crate) fn conf_uart(config: &mut Config, node: &str, conf: &str) -> Done {
    if !conf.is_empty() {
        config.set(format!("{node}path"), conf);
    }
    Ok(())
}

pub(crate) fn uart(build: &mut Build, node: &Node) -> Done {
    let Some(path) = build.get(node, "path")? else { return build.device(node, "pci-serial", &[]) };
    let id = format!("{}-uart", node.id());
    build.terminal(&id, &path)?;
    build.device(node, "pci-serial", &[format!("chardev={id}")])
}

/// `name=/path[,name=/path]…`.
pub(crate) fn conf_ports(config: &mut Config, node: &str, conf: &str) -> Done {
    for (number, token) in conf.split(',').filter(|token| !token.is_empty()).enumerate() {
        let Some((name, path)) = token.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return exit(ERROR, format!("virtio-console: \"{token}\" is not name=path"));
        };
        config.set(format!("{node}port.{number}.name"), name);
        config.set(format!("{node}port.{number}.path"), path);
    }
    Ok(())
}

pub(crate) fn ports(build: &mut Build, node: &Node) -> Done {
    let mut numbers: Vec<usize> =
        build.config.below(&node.key("port.")).iter().filter_map(|key| key.split('.').next()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() {
        return signal(11, "virtio-console: no ports");
    }
    if numbers.len() > PORTS {
        return device_error(format!("virtio-console: more than {PORTS} ports"));
    }
    build.device(node, "virtio-serial-pci", &[format!("id={}", node.id())])?;
    for number in numbers {
        let (Some(name), Some(path)) = (build.get(node, &format!("port.{number}.name"))?, build.get(node, &format!("port.{number}.path"))?)
        else {
            return device_error("virtio-console: a port has a name and a path");
        };
        if path.is_empty() {
            continue;
        }
        let file = build.place.resolve(&path);
        if file.as_os_str().len() >= SOCKET {
            return device_error(format!("virtio-console: the path {path} is too long for a socket"));
        }
        // bhyve makes the socket, and leaves it behind at its end.
        if file.exists() || build.sockets.contains(&file) {
            return device_error(format!("virtio-console: bind: {path}: Address already in use"));
        }
        if !file.parent().is_some_and(Path::is_dir) {
            return device_error(format!("virtio-console: bind: {path}: No such file or directory"));
        }
        let id = format!("{}-port{number}", node.id());
        build.arg("-chardev", format!("socket,id={id},server=on,wait=off,path={}", comma(&file)));
        build.arg("-device", format!("virtserialport,bus={}.0,chardev={id},name={name}", node.id()));
        build.sockets.push(file);
    }
    Ok(())
}
