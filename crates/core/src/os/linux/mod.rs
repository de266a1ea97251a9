//! Linux: the commands of intents (modprobe, ip), and one file for each tool or file that provides facts about the host:
//! [`meminfo`] for memory, [`mod@ip`] for interfaces, [`versions`] for programs.

pub mod ip;
pub mod meminfo;
pub mod pci;
pub mod versions;

use super::Intent;
use crate::cmd::Cmd;
use crate::value::IfName;

fn ip<const N: usize>(args: [&str; N]) -> Cmd {
    Cmd::new(ip::TOOL, args)
}

/// Sets the description of a new interface, and its MTU if it is stated.
fn described(interface: &IfName, owner: &str, mtu: Option<u32>) -> Cmd {
    let describe = ip(["link", "set", "dev", interface.as_str(), "alias", owner]);
    match mtu {
        Some(mtu) => describe.args(["mtu", &mtu.to_string(), "up"]),
        None => describe.arg("up"),
    }
}

/// The tool for the VLANs of bridges.
const BRIDGE: &str = "bridge";

/// The commands that carry out an intent.
pub fn commands(intent: &Intent) -> Vec<Cmd> {
    match intent {
        Intent::LoadModule { module } => vec![Cmd::new("modprobe", [module])],
        Intent::MakeTap { tap, owner, mtu, queues } => {
            // Without a user, any process that may open /dev/net/tun could attach to it.
            let add = ip(["tuntap", "add", "dev", tap.as_str(), "mode", "tap", "user", "0"]);
            vec![
                if *queues > 1 { add.arg("multi_queue") } else { add },
                ip(["link", "set", "dev", tap.as_str(), "alias", owner, "mtu", &mtu.to_string(), "up"]),
            ]
        }
        Intent::RemoveTap { tap: interface, .. }
        | Intent::RemoveBridge { bridge: interface, .. }
        | Intent::RemoveVlan { vlan: interface, .. }
        | Intent::RemovePair { end: interface, .. } => {
            vec![ip(["link", "delete", "dev", interface.as_str()])]
        }
        // bhyve does not exist on Linux.
        Intent::DestroyVm { .. } | Intent::RemoveJail { .. } => Vec::new(),
        Intent::Join { bridge, member, vlan } => {
            let mut cmds = vec![ip(["link", "set", "dev", member.as_str(), "master", bridge.as_str()])];
            if let Some(tag) = vlan {
                let vlan = |words: &[&str]| Cmd::new(BRIDGE, ["vlan"]).args(words.iter().copied());
                cmds.push(vlan(&["delete", "dev", member.as_str(), "vid", "1"]));
                cmds.push(vlan(&["add", "dev", member.as_str(), "vid", &tag.to_string(), "pvid", "untagged"]));
            }
            cmds
        }
        Intent::Leave { member, .. } => vec![ip(["link", "set", "dev", member.as_str(), "nomaster"])],
        Intent::MakeBridge { bridge, owner, mtu, filters } => {
            let add = ip(["link", "add", "name", bridge.as_str(), "type", "bridge"]);
            vec![if *filters { add.args(["vlan_filtering", "1"]) } else { add }, described(bridge, owner, *mtu)]
        }
        Intent::MakeVlan { vlan, parent, tag, owner, mtu } => vec![
            ip(["link", "add", "link", parent.as_str(), "name", vlan.as_str(), "type", "vlan", "id", &tag.to_string()]),
            described(vlan, owner, *mtu),
        ],
        Intent::MakePair { end, owner } => {
            let other = super::pair_of(end.as_str()).map_or_else(|| format!("{end}-peer"), |(_, other)| other);
            vec![ip(["link", "add", "name", end.as_str(), "type", "veth", "peer", "name", &other]), described(end, owner, None)]
        }
        Intent::Describe { interface, to, .. } => vec![ip(["link", "set", "dev", interface.as_str(), "alias", to])],
        Intent::SetUp { interface, .. } => vec![ip(["link", "set", "dev", interface.as_str(), "up"])],
        Intent::SetDown { interface } => vec![ip(["link", "set", "dev", interface.as_str(), "down"])],
        Intent::SetMtu { interface, to, .. } => vec![ip(["link", "set", "dev", interface.as_str(), "mtu", &to.to_string()])],
        Intent::AddAddress { interface, address, router } => {
            let mut cmds = vec![ip(["address", "add", &address.to_string(), "dev", interface.as_str()])];
            cmds.extend(router.map(|via| ip(["route", "replace", "default", "via", &via.to_string(), "dev", interface.as_str()])));
            cmds
        }
        // The kernel removes the routes that use it too.
        Intent::RemoveAddress { interface, address, .. } => {
            vec![ip(["address", "delete", &address.to_string(), "dev", interface.as_str()])]
        }
        Intent::SetAddresses { interface, before, after, routes_after, .. } => {
            super::addresses::linux(interface, before, after, routes_after)
        }
        Intent::FilterVlans { bridge } => vec![ip(["link", "set", "dev", bridge.as_str(), "type", "bridge", "vlan_filtering", "1"])],
        Intent::Forward { v6: false } => vec![Cmd::new("sysctl", ["-q", "-w", "net.ipv4.ip_forward=1"])],
        Intent::Forward { v6: true } => vec![Cmd::new("sysctl", ["-q", "-w", "net.ipv6.conf.all.forwarding=1"])],
        Intent::LoadRules { file, .. } => vec![Cmd::new("nft", ["-f", file])],
        Intent::DropRules { table, .. } => vec![Cmd::new("nft", ["delete", "table", "inet", table])],
        Intent::StartDhcp { file } => vec![Cmd::new("dnsmasq", [format!("--conf-file={file}")])],
        // Linux has no netgraph; such settings were refused before.
        Intent::MakeNode { .. } | Intent::RemoveNode { .. } | Intent::MarkNode { .. } | Intent::Wire { .. } | Intent::Unwire { .. } => {
            Vec::new()
        }
        // chyves verifies first that the process is the one that uses this file.
        Intent::StopDhcp { file } => vec![Cmd::new("pkill", ["-F", &file.replace("dnsmasq.conf", "dnsmasq.pid")])],
    }
}
