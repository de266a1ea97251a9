//! The errors for NICs that cannot be attached, with the commands that help.

use crate::error::{Code, Problem};
use crate::guest::Guest;
use crate::network::compare::{Close, Room};
use crate::network::{BridgeSpec, IfKind, Mode, compare};
use crate::os::{Intent, Os};
use crate::value::IfName;

/// The bridge does not exist, and the design gives it neither an uplink nor makes it private.
pub(in crate::plan::network) fn nowhere(room: &Room<'_>, name: &IfName, guest: &Guest, nic: &str) -> Problem {
    let bridges = room.actual.interfaces.iter().filter(|(_, i)| i.kind == IfKind::Bridge).map(|(n, _)| n.as_str());
    let known: Vec<&str> = bridges.chain(room.design.bridges().map(|b| b.name.as_str())).collect();
    let problem = Code::NoBridge.problem(format!("there is no bridge `{name}`"));
    let problem = match room.design.mode {
        Mode::Manual => problem.because("networks are managed by hand on this host (network_mode=manual)").hint(format!(
            "make it: {}",
            shown(room.os, &Intent::MakeBridge { bridge: name.clone(), owner: "by hand".into(), mtu: None, filters: false })
        )),
        Mode::System => problem
            .because("it has no uplink and is not private in the configuration")
            .hint(format!("`chyves network {name} attach INTERFACE` gives it an uplink, `chyves network {name} private` none")),
    };
    let problem =
        problem.hint_if(known.first().map(|other| format!("or choose another: `chyves set {} {nic}.bridge={other}`", guest.name)));
    let alone = || format!("or give {nic} a network of QEMU's own, outward only: `chyves set {} {nic}.backend=user`", guest.name);
    problem.hint_if((room.os == Os::Linux).then(alone))
}

pub(super) fn by_hand(name: &IfName, says: &str) -> Problem {
    Code::NetworkDiffers
        .problem(format!("`{name}` differs from its configuration: {says}"))
        .on(name)
        .because("networks are managed by hand on this host (network_mode=manual)")
        .hint("`chyves network plan` shows the commands")
}

fn shown(os: Os, intent: &Intent) -> String {
    intent.commands(os).iter().map(ToString::to_string).collect::<Vec<_>>().join(" && ")
}

pub(super) fn by_hand_commands(os: Os, tap: &IfName, bridge: &IfName, mtu: u32) -> String {
    let make = Intent::MakeTap { tap: tap.clone(), owner: "by hand".into(), mtu, queues: 1 };
    let join = Intent::Join { bridge: bridge.clone(), member: tap.clone(), vlan: None };
    format!("make it: {} && {}", shown(os, &make), shown(os, &join))
}

/// A NIC with a tap on a netgraph bridge, which takes hooks only.
pub(super) fn no_tap(name: &IfName, guest: &Guest, nic: &str) -> Problem {
    Problem::host_cant(format!("`{name}`, where {nic} of `{}` needs a tap, is a netgraph bridge", guest.name))
        .on(&guest.name)
        .because("a node of netgraph has hooks, which bhyve opens itself")
        .hint(format!("`chyves network {} move {nic} {name}` puts the NIC on a hook of it", guest.name))
        .hint(format!("or choose another: `chyves set {} {nic}.bridge=BRIDGE`", guest.name))
}

/// A NIC with a hook on a bridge that is not a netgraph node.
pub(super) fn no_node(name: &IfName, guest: &Guest, nic: &str) -> Problem {
    Problem::host_cant(format!("`{name}`, where {nic} of `{}` needs a hook, is a bridge and no node of netgraph", guest.name))
        .on(&guest.name)
        .hint(format!("`chyves network {} move {nic} {name}` puts the NIC on it by a tap", guest.name))
        .hint(format!("or name another node: `chyves set {} {nic}.netgraph=NODE:`", guest.name))
}

/// All commands that a user types to bring a netgraph bridge in line with the design. Modules come first, because one of
/// them creates the nodes of interfaces.
pub(super) fn by_typing(room: &Room<'_>, spec: &BridgeSpec) -> String {
    let load = crate::os::freebsd::ngctl::MODULES.map(|module| Intent::LoadModule { module: module.into() });
    let all = compare::bridge(room, spec)
        .into_iter()
        .flat_map(|difference| if let Close::By(intents) = difference.close { intents } else { Vec::new() });
    let lines: Vec<String> = load.into_iter().chain(all).map(|intent| shown(room.os, &intent)).filter(|line| !line.is_empty()).collect();
    format!("or type: {}", lines.join(" && "))
}
