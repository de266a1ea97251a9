//! Network cards: virtio-net and e1000, over tap, VALE, netmap, netgraph, slirp and ng_device.
//! A tap and a hook of netgraph are connected to something.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::bhyve::build::{Build, Node, device_error};
use crate::bhyve::config::Config;
use crate::exit::{Done, signal};
use crate::graph;
use crate::ip;
use crate::release::{MAIN, since};
use crate::tool::parse_vale_port;
use crate::vm;

/// The library of the package libslirp, which bhyve loads when it needs it.
pub(crate) const SLIRP: &str = "/usr/local/lib/libslirp.so.0";

/// `backend[,option]…`.
pub(crate) fn conf(config: &mut Config, node: &str, conf: &str) -> Done {
    let (backend, options) = conf.split_once(',').unwrap_or((conf, ""));
    if !backend.is_empty() {
        config.set(format!("{node}backend"), backend);
    }
    config.options(node, options);
    Ok(())
}

pub(crate) fn virtio(build: &mut Build, node: &Node) -> Done {
    let mtu = match build.get(node, "mtu")? {
        None => None,
        Some(text) => match text.parse::<u32>().ok().filter(|mtu| (68..=65535).contains(mtu)) {
            Some(mtu) => Some(format!("host_mtu={mtu}")),
            None => return device_error(format!("virtio-net: invalid mtu {text}")),
        },
    };
    card(build, node, "virtio-net-pci", mtu)
}

pub(crate) fn e1000(build: &mut Build, node: &Node) -> Done {
    card(build, node, "e1000", None)
}

fn card(build: &mut Build, node: &Node, device: &str, option: Option<String>) -> Done {
    let mac = match build.get(node, "mac")? {
        Some(text) => match mac(&text) {
            Some(mac) => mac,
            None => return device_error(format!("Invalid MAC address \"{text}\"")),
        },
        None => derived(build.name, node),
    };
    if build.get(node, "backend")?.is_none() {
        return match device {
            "e1000" => device_error("e1000: no backend"),
            // Its own assertion ends bhyve.
            _ => signal(6, "Assertion failed: (be != NULL), function netbe_init"),
        };
    }
    let backend = backend(build, node)?;
    let mut options = vec![format!("mac={mac}"), "romfile=".to_owned()];
    options.extend(backend.map(|id| format!("netdev={id}")));
    options.extend(option);
    build.device(node, device, &options)
}

/// Checks the back end; QEMU's name of it where it is connected.
fn backend(build: &mut Build, node: &Node) -> Done<Option<String>> {
    let Some(name) = build.get(node, "backend")? else { return Ok(None) };
    let release = build.place.host.release;
    let kind = match build.get(node, "type")?.filter(|_| release >= since(13, 1)) {
        Some(kind) => kind,
        None => match name.as_str() {
            name if name.starts_with("tap") || name.starts_with("vmnet") => "tap".to_owned(),
            name if name.starts_with("netmap") || name.starts_with("vale") => "netmap".to_owned(),
            name if name.starts_with("netgraph") => "netgraph".to_owned(),
            name if name.starts_with("slirp") => "slirp".to_owned(),
            name if name.starts_with("ngd") => "ngd".to_owned(),
            _ => return device_error(format!("net: unknown backend \"{name}\"")),
        },
    };
    match kind.as_str() {
        "tap" | "vmnet" => return tap(build, node, &name).map(Some),
        "netmap" => {
            let port = name.strip_prefix("netmap:");
            let known = match port {
                Some(interface) => ip::links()?.iter().any(|link| link.name == interface),
                None => parse_vale_port(&name).is_some(),
            };
            if !build.place.has_module("netmap")? || !known {
                return device_error(format!("net: unable to open {name}"));
            }
        }
        "netgraph" => return netgraph(build, node).map(Some),
        "slirp" if release >= since(15, 0) => {
            if !build.place.resolve(SLIRP).exists() {
                return device_error("slirp: unable to open libslirp.so.0");
            }
            for rule in build.get(node, "hostfwd")?.iter().flat_map(|rules| rules.split(';')) {
                if !forward(rule) {
                    return device_error(format!("slirp: invalid hostfwd \"{rule}\""));
                }
            }
        }
        "ngd" if release >= MAIN && build.place.has_module("ng_device")? => {}
        _ => return device_error(format!("net: unknown backend \"{name}\"")),
    }
    Ok(None)
}

/// A tap: it must be there, and nobody else may have it open.
fn tap(build: &mut Build, node: &Node, name: &str) -> Done<String> {
    build.place.need_network()?;
    let fail = |why: &str| device_error(format!("open of tap device /dev/{name} failed: {why}"));
    let Some(link) = ip::links()?.into_iter().find(|link| link.name == name) else { return fail("No such file or directory") };
    if link.kind != "tun" || !build.place.shows(name) {
        return fail("No such file or directory");
    }
    let busy = vm::all_running(build.place)?.iter().any(|(other, vm)| other != build.name && vm.taps.iter().any(|tap| tap == name));
    if busy || build.taps.iter().any(|tap| tap == name) {
        return fail("Device busy");
    }
    build.taps.push(name.to_owned());
    let id = format!("{}-net", node.id());
    build.arg("-netdev", format!("tap,id={id},ifname={name},script=no,downscript=no"));
    Ok(id)
}

/// A hook of a node: bhyve opens a socket of its own there, which ends with it.
fn netgraph(build: &mut Build, node: &Node) -> Done<String> {
    let (Some(path), Some(peer_hook)) = (build.get(node, "path")?, build.get(node, "peerhook")?) else {
        return device_error("netgraph: path and peerhook are needed");
    };
    if !build.place.has_module("ng_socket")? {
        return device_error("netgraph: can't create a socket node");
    }
    let hook = build.get(node, "hook")?.unwrap_or_else(|| "vmlink".to_owned());
    let mut open = graph::open(build.place)?;
    let tap = open.card(build.name, &path, &hook, &peer_hook)?;
    open.close()?;
    let tap = match tap {
        Ok(tap) => tap,
        Err(errno) => return device_error(format!("netgraph: can't connect to {path}{peer_hook}: {}", errno.text())),
    };
    let id = format!("{}-net", node.id());
    build.arg("-netdev", format!("tap,id={id},ifname={tap},script=no,downscript=no"));
    Ok(id)
}

/// A unicast address that is not all zero.
fn mac(text: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| (1..=2).contains(&part.len()) && !part.starts_with('+')))
        .collect();
    let bytes = bytes.filter(|bytes| bytes.len() == 6 && bytes[0] & 1 == 0 && bytes.iter().any(|byte| *byte != 0))?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// bhyve's own choice depends on slot, function and the VM's name.
fn derived(name: &str, node: &Node) -> String {
    let mut hash = DefaultHasher::new();
    (node.slot, node.function, name).hash(&mut hash);
    let [a, b, c, ..] = hash.finish().to_le_bytes();
    format!("58:9c:fc:{a:02x}:{b:02x}:{c:02x}")
}

/// `proto:hostaddr:hostport-guestaddr:guestport`.
fn forward(rule: &str) -> bool {
    let Some((proto, rest)) = rule.split_once(':') else { return false };
    let end = |text: &str| text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    ["tcp", "udp"].contains(&proto) && rest.split_once('-').is_some_and(|(host, guest)| end(host) && end(guest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_cards() {
        assert_eq!(mac("58:9C:fc:0:00:01").as_deref(), Some("58:9c:fc:00:00:01"));
        for text in
            ["01:00:00:00:00:01", "00:00:00:00:00:00", "58:9c:fc:00:00", "58-9c-fc-00-00-01", "58:9c:fc:00:00:+1", "58:9c:fc:00:00:zz"]
        {
            assert_eq!(mac(text), None, "{text}");
        }
    }

    #[test]
    fn forwarding_rules() {
        assert!(forward("tcp:127.0.0.1:2222-10.0.2.15:22"));
        for rule in ["tcp:2222", "icmp:1.1.1.1:1-2.2.2.2:2", "tcp:1.1.1.1:x-2.2.2.2:2"] {
            assert!(!forward(rule), "{rule}");
        }
    }
}
