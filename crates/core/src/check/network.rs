//! Networks: bridges that NICs need, taps that exist already, and addresses for VNC.

use super::{Finding, WantedNic, Wants};
use crate::os::state::InterfaceKind;
use crate::os::{HostFacts, Os};
use crate::value::{IfName, printable};
use std::collections::BTreeMap;

type Interfaces = BTreeMap<String, InterfaceKind>;

/// The topic.
pub(crate) const WHAT: &str = "network";

/// The hint that creates a bridge through chyves, which then recreates it at each start.
fn make_bridge(name: &str) -> String {
    format!("`chyves network {name} attach INTERFACE` creates it with an uplink, `chyves network {name} private` without one")
}

fn bridges(interfaces: &Interfaces) -> Vec<&str> {
    interfaces.iter().filter(|(_, kind)| **kind == InterfaceKind::Bridge).map(|(name, _)| name.as_str()).collect()
}

/// The host's bridges.
pub(super) fn host(host: &HostFacts) -> Finding {
    let Some(interfaces) = &host.state.interfaces else { return Finding::unknown(WHAT, "interfaces were not observed") };
    let bridges = bridges(interfaces);
    match (bridges.is_empty(), host.os) {
        (false, _) => Finding::ok(WHAT, format!("bridges {}", bridges.join(", "))),
        (true, Os::FreeBsd) => {
            Finding::warns(WHAT, "there is no bridge that guests' NICs could be attached to").cure(make_bridge("bridge0"))
        }
        (true, Os::Linux) => Finding::ok(WHAT, "no bridge; guests that name none use QEMU's user-mode network"),
    }
}

/// The findings for a start.
pub(super) fn start(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    let mut all = Vec::new();
    if let Some(interfaces) = &host.state.interfaces {
        for nic in &wants.nics {
            all.extend(bridge(interfaces, wants, nic));
            if !host.state.left_taps.contains(nic.tap.as_str()) {
                all.extend(tap(host.os, interfaces, nic));
            }
        }
    }
    all.extend(wants.nodes.iter().filter_map(|(what, node)| graph(host, wants, what, node)));
    all.extend(vnc(host, wants));
    all
}

/// A netgraph node that is not in the host's design; bhyve connects to it and does not create it.
fn graph(host: &HostFacts, wants: &Wants, what: &str, node: &str) -> Option<Finding> {
    if *host.state.nodes.get(node)? {
        return None;
    }
    let name = node.trim_end_matches(':');
    let make = [
        "mkpeer em0: bridge lower link0".to_owned(),
        format!("name em0:lower {name}"),
        format!("connect em0: {node} upper link1"),
        "msg em0: setpromisc 1".to_owned(),
        "msg em0: setautosrc 0".to_owned(),
        format!("msg {node} setpersistent"),
    ]
    .map(|words| format!("ngctl {words}"));
    let finding = Finding::fails("netgraph", format!("there is no netgraph node `{node}`, which {what} uses"));
    // A node's name may be longer than an interface's name.
    let finding = match name.parse::<IfName>() {
        Ok(_) => finding.cure(format!(
            "let a start create it: `chyves network {name} attach em0 type=netgraph`, or `chyves network {name} private type=netgraph`"
        )),
        Err(_) => finding,
    };
    Some(
        finding
            .cure(format!("or create it yourself, with your NIC for em0: kldload -n ng_ether ng_bridge && {}", make.join(" && ")))
            .cure(format!("or take a bridge: `chyves set {} {what}.backend=bridge`", wants.guest)),
    )
}

/// A NIC's bridge.
fn bridge(interfaces: &Interfaces, wants: &Wants, WantedNic { nic, bridge, .. }: &WantedNic) -> Option<Finding> {
    let bridge = bridge.as_str();
    let finding = match interfaces.get(bridge) {
        Some(InterfaceKind::Bridge) => return None,
        Some(InterfaceKind::Other) => Finding::fails(WHAT, format!("`{bridge}`, which {nic} uses, is not a bridge"))
            .cure(format!("create one with {bridge} as its member, and set {nic}.bridge to it")),
        None => Finding::fails(WHAT, format!("there is no bridge `{bridge}`, which {nic} uses")).cure(make_bridge(bridge)),
    };
    Some(match bridges(interfaces).first() {
        Some(other) => finding.cure(format!("or choose another: `chyves set {} {nic}.bridge={other}`", wants.guest)),
        None => finding,
    })
}

/// A tap with the name that the start is going to use, which belongs to somebody else.
fn tap(os: Os, interfaces: &Interfaces, WantedNic { nic, tap, .. }: &WantedNic) -> Option<Finding> {
    interfaces.get(tap.as_str())?;
    let destroy = match os {
        Os::FreeBsd => format!("ifconfig {tap} destroy"),
        Os::Linux => format!("ip link delete {tap}"),
    };
    Some(Finding::fails(WHAT, format!("the tap {tap}, which {nic} uses, already exists")).cure(format!("if nothing uses it: {destroy}")))
}

/// The address for VNC.
fn vnc(host: &HostFacts, wants: &Wants) -> Option<Finding> {
    let (address, guest) = (wants.vnc?, &wants.guest);
    let why = printable(host.state.listens.get(&address.to_string())?.as_deref()?, 120);
    let ours = "takes an address of this host";
    Some(match address.port() {
        0 => Finding::fails("VNC", format!("VNC cannot listen on {}: {why}", address.ip()))
            .cure(format!("`chyves set {guest} vnc_address=ADDRESS` {ours}")),
        _ => Finding::fails("VNC", format!("VNC cannot listen on {address}: {why}"))
            .cure(format!("`chyves set {guest} vnc_port=0` takes a port that is free; vnc_address {ours}")),
    })
}
