//! Operating systems of hosts: desired changes of a host as intents, which each operating system's module renders as
//! commands; and facts about a host ([`state`]), which the same modules parse from the output of tools.
//!
//! Not here: running the tools (chyves-host) and what follows from the facts (`check`).
//!
//! To add an operating system: a variant of [`Os`], a folder beside these, and the match arms that the compiler requires.

mod addresses;
pub mod assigned;
mod facts;
pub mod freebsd;
pub mod linux;
pub mod netgraph;
pub mod state;
pub mod taps;

pub use assigned::{Assigned, Route};
pub use facts::HostFacts;
pub use state::HostState;

use crate::cmd::Cmd;
use crate::value::json::tagged;
use crate::value::{Cidr, IfName};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The operating system of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// FreeBSD, with bhyve.
    FreeBsd,
    /// Linux, with QEMU.
    Linux,
}

impl std::fmt::Display for Os {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::FreeBsd => "FreeBSD",
            Self::Linux => "Linux",
        })
    }
}

impl std::str::FromStr for Os {
    type Err = crate::value::BadValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "freebsd" => Ok(Self::FreeBsd),
            "linux" => Ok(Self::Linux),
            _ => Err(crate::value::BadValue::new(text, "is not a host that chyves knows").hint("one of: freebsd, linux")),
        }
    }
}

/// One desired change of the operating system's state. The description of each variant is the state after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case")]
pub enum Intent {
    /// A kernel module is loaded.
    LoadModule {
        /// Its name.
        module: String,
    },
    /// A tap exists, described with its owner, with this MTU, and is up.
    MakeTap {
        /// Its name.
        tap: IfName,
        /// The exact token that identifies its owner: `chyves/<uuid>/net<n>`.
        owner: String,
        /// Its MTU.
        mtu: u32,
        /// Number of queue pairs.
        queues: u16,
    },
    /// A tap that was created for this owner is removed.
    RemoveTap {
        /// Its name.
        tap: IfName,
        /// Its token.
        owner: String,
    },
    /// A VM object of bhyve is destroyed.
    DestroyVm {
        /// Its name.
        vm: String,
    },
    /// A jail that was created for one bhyve process is removed, with its processes, its mounts, its devfs ruleset and its
    /// root.
    RemoveJail {
        /// Its name.
        name: String,
        /// Its configuration file for jail(8), which lists its mounts.
        conf: String,
        /// Its devfs ruleset, if the number is known.
        ruleset: Option<u32>,
        /// The path of its root.
        root: String,
        /// Whether the jail itself exists; if not, only its ruleset and its root may be left.
        exists: bool,
    },
    /// An interface is a member of a bridge.
    Join {
        /// The bridge.
        bridge: IfName,
        /// The member.
        member: IfName,
        /// The VLAN that the member is assigned to, untagged.
        vlan: Option<u16>,
    },
    /// An interface is not a member of a bridge any more.
    Leave {
        /// The bridge.
        bridge: IfName,
        /// The member.
        member: IfName,
        /// The VLAN that it was assigned to, untagged.
        vlan: Option<u16>,
    },
    /// A bridge exists, described with its owner, and is up.
    MakeBridge {
        /// Its name.
        bridge: IfName,
        /// The exact mark that states that chyves created it, and for how long.
        owner: String,
        /// Its MTU, if it has to be set.
        mtu: Option<u32>,
        /// Whether it filters VLANs from its creation.
        filters: bool,
    },
    /// A VLAN interface exists, described with its owner, and is up.
    MakeVlan {
        /// Its name.
        vlan: IfName,
        /// Its parent interface.
        parent: IfName,
        /// The VLAN's tag.
        tag: u16,
        /// The exact mark that states that chyves created it, and for how long.
        owner: String,
        /// Its MTU, if it differs from its parent's.
        mtu: Option<u32>,
    },
    /// A pair of connected interfaces exists; this end is described with its owner, and is up.
    MakePair {
        /// This end.
        end: IfName,
        /// The exact mark that states that chyves created it, and for how long.
        owner: String,
    },
    /// An unused pair that chyves created is removed with both its ends.
    RemovePair {
        /// The end with the mark.
        end: IfName,
        /// Its mark.
        owner: String,
    },
    /// An unused bridge that chyves created is removed; with everything that is needed to create it again.
    RemoveBridge {
        /// Its name.
        bridge: IfName,
        /// Its mark.
        owner: String,
        /// Its MTU, if it has to be set.
        mtu: Option<u32>,
        /// Whether it filtered VLANs.
        filters: bool,
    },
    /// An unused VLAN interface that chyves created is removed; with everything that is needed to create it again.
    RemoveVlan {
        /// Its name.
        vlan: IfName,
        /// Its parent interface.
        parent: IfName,
        /// The VLAN's tag.
        tag: u16,
        /// Its mark.
        owner: String,
        /// Its MTU, if it differs from its parent's.
        mtu: Option<u32>,
    },
    /// A netgraph bridge node exists, without connections. Nodes cannot store a description: chyves records itself that it
    /// created this one.
    MakeNode {
        /// Its name.
        node: IfName,
        /// The exact mark that states that chyves created it, and for how long.
        owner: String,
    },
    /// An unused node that chyves created is removed.
    RemoveNode {
        /// Its name.
        node: IfName,
        /// Its mark.
        owner: String,
    },
    /// The recorded mark of a node that chyves created is changed, and with it how long the node is kept.
    MarkNode {
        /// Its name.
        node: IfName,
        /// The present mark.
        from: String,
        /// The new mark.
        to: String,
    },
    /// An interface is connected to a netgraph bridge: its wire and the host, each on its own link.
    Wire {
        /// The bridge's node.
        node: IfName,
        /// The interface.
        interface: IfName,
        /// The link for its wire, unless it is connected already.
        lower: Option<u32>,
        /// The link for the host, unless it is connected already.
        upper: Option<u32>,
    },
    /// An interface is disconnected from a netgraph bridge: its wire is connected to the host again.
    Unwire {
        /// The bridge's node.
        node: IfName,
        /// The interface.
        interface: IfName,
        /// The link of its wire, if it was connected.
        lower: Option<u32>,
        /// The link of the host, if it was connected.
        upper: Option<u32>,
    },
    /// The mark of an interface that chyves created is changed, and with it how long the interface is kept.
    Describe {
        /// The interface.
        interface: IfName,
        /// The present mark.
        from: String,
        /// The new mark.
        to: String,
    },
    /// An interface is up.
    SetUp {
        /// Its name.
        interface: IfName,
        /// The bridge whose uplink it becomes; it goes down again when it leaves that bridge.
        #[serde(default)]
        uplink_of: Option<IfName>,
    },
    /// An interface that was down before it became an uplink is down again.
    SetDown {
        /// Its name.
        interface: IfName,
    },
    /// An interface has this MTU.
    SetMtu {
        /// Its name.
        interface: IfName,
        /// The present MTU.
        from: u32,
        /// The new MTU.
        to: u32,
    },
    /// The host has an address on an interface.
    AddAddress {
        /// The interface.
        interface: IfName,
        /// The address.
        address: Cidr,
        /// The router of the default route through this address, if there is one.
        router: Option<IpAddr>,
    },
    /// The host does not have an address on an interface any more.
    RemoveAddress {
        /// The interface.
        interface: IfName,
        /// The address.
        address: Cidr,
        /// The router of the default route through this address, which is removed with it.
        router: Option<IpAddr>,
    },
    /// The host has exactly these addresses on an interface, in this order, and these routes through it.
    SetAddresses {
        /// The interface.
        interface: IfName,
        /// The present addresses.
        before: Vec<Assigned>,
        /// The desired addresses.
        after: Vec<Assigned>,
        /// The present routes through it.
        routes_before: Vec<Route>,
        /// The desired routes through it.
        routes_after: Vec<Route>,
    },
    /// A bridge filters VLANs.
    FilterVlans {
        /// The bridge.
        bridge: IfName,
    },
    /// The kernel forwards packets between its networks.
    Forward {
        /// IPv6 instead of IPv4.
        v6: bool,
    },
    /// Packet filter rules are loaded from a file into their own table.
    LoadRules {
        /// The file.
        file: String,
        /// The table.
        table: String,
        /// The former content of the file, if the table is replaced.
        before: Option<String>,
    },
    /// That table of rules is removed.
    DropRules {
        /// The file that it was loaded from.
        file: String,
        /// The table.
        table: String,
    },
    /// A dedicated dnsmasq runs for a bridge.
    StartDhcp {
        /// Its configuration file.
        file: String,
    },
    /// The dnsmasq with this configuration is stopped.
    StopDhcp {
        /// Its configuration file.
        file: String,
    },
}

tagged!(Intent, "intent");

/// The pair and the other end of one end of a pair with a name that FreeBSD assigns: `epair0` and `epair0b` for `epair0a`.
/// Linux does not assign such names, but may have interfaces with them too.
pub fn pair_of(end: &str) -> Option<(&str, String)> {
    let (pair, other) = match (end.strip_suffix('a'), end.strip_suffix('b')) {
        (Some(pair), _) => (pair, 'b'),
        (None, Some(pair)) => (pair, 'a'),
        (None, None) => return None,
    };
    freebsd::is_unit(pair, "epair").then(|| (pair, format!("{pair}{other}")))
}

impl Intent {
    /// Whether it is about netgraph nodes, which the list of interfaces does not show.
    pub const fn is_of_netgraph(&self) -> bool {
        matches!(self, Self::MakeNode { .. } | Self::RemoveNode { .. } | Self::MarkNode { .. } | Self::Wire { .. } | Self::Unwire { .. })
    }

    /// The description in one line.
    pub fn describe(&self) -> String {
        match self {
            Self::LoadModule { module } => format!("load the kernel module {module}"),
            Self::MakeTap { tap, owner, .. } => format!("create the tap {tap} for {owner}"),
            Self::RemoveTap { tap, owner } => format!("remove the tap {tap} of {owner}"),
            Self::DestroyVm { vm } => format!("destroy the VM object {vm}"),
            Self::RemoveJail { name, exists: true, .. } => format!("remove the jail {name}"),
            Self::RemoveJail { name, exists: false, .. } => format!("remove the ruleset and the root of the jail {name}"),
            Self::Join { bridge, member, vlan: None } => format!("attach {member} to {bridge}"),
            Self::Join { bridge, member, vlan: Some(tag) } => format!("attach {member} to {bridge} on its VLAN {tag}"),
            Self::Leave { bridge, member, .. } => format!("remove {member} from {bridge}"),
            Self::MakeBridge { bridge, .. } => format!("create the bridge {bridge}"),
            Self::MakeVlan { vlan, parent, tag, .. } => format!("create {vlan}, the VLAN {tag} of {parent}"),
            Self::MakePair { end, .. } => format!("create {end}, one end of a pair"),
            Self::RemoveBridge { bridge: interface, .. }
            | Self::RemoveVlan { vlan: interface, .. }
            | Self::RemovePair { end: interface, .. } => {
                format!("remove {interface}, which chyves created and nothing uses")
            }
            Self::MakeNode { node, .. } => format!("create the netgraph bridge {node}"),
            Self::RemoveNode { node, .. } => format!("remove the netgraph bridge {node}, which chyves created and nothing uses"),
            Self::MarkNode { node: interface, to, .. } | Self::Describe { interface, to, .. } => format!("mark {interface} with {to}"),
            Self::Wire { node, interface, .. } => format!("attach {interface} to the netgraph bridge {node}"),
            Self::Unwire { node, interface, .. } => format!("remove {interface} from the netgraph bridge {node}"),
            Self::SetUp { interface, .. } => format!("bring {interface} up"),
            Self::SetDown { interface } => format!("bring {interface} down, as it was before it became an uplink"),
            Self::SetMtu { interface, from, to } => format!("set the MTU of {interface} to {to} (was {from})"),
            Self::AddAddress { interface, address, router: None } => format!("add the address {address} to {interface}"),
            Self::AddAddress { interface, address, router: Some(router) } => {
                format!("add the address {address} and the default route to {router} to {interface}")
            }
            Self::RemoveAddress { interface, address, router: None } => format!("remove the address {address} from {interface}"),
            Self::RemoveAddress { interface, address, router: Some(router) } => {
                format!("remove the address {address} from {interface}, and with it the default route to {router}")
            }
            Self::SetAddresses { interface, before, after, routes_after, .. } => {
                let list = |all: &[Assigned]| all.iter().map(|a| a.address.to_string()).collect::<Vec<_>>().join(", ");
                let routes = match routes_after.len() {
                    0 => String::new(),
                    1 => ", with 1 route".to_owned(),
                    n => format!(", with {n} routes"),
                };
                if after.is_empty() {
                    format!("remove {} from {interface}", list(before))
                } else {
                    format!("set the addresses of {interface} to {}{routes}", list(after))
                }
            }
            Self::FilterVlans { bridge } => format!("enable VLAN filtering on {bridge}"),
            Self::Forward { v6 } => format!("enable forwarding of {} packets", if *v6 { "IPv6" } else { "IPv4" }),
            Self::LoadRules { file, table, .. } => format!("load the rules of {file} into their own table {table}"),
            Self::DropRules { table, .. } => format!("remove the table {table} of rules"),
            Self::StartDhcp { file } => format!("start dnsmasq with {file}"),
            Self::StopDhcp { file } => format!("stop the dnsmasq started with {file}"),
        }
    }

    /// The commands that carry it out.
    pub fn commands(&self, os: Os) -> Vec<Cmd> {
        match os {
            Os::FreeBsd => freebsd::commands(self),
            Os::Linux => linux::commands(self),
        }
    }

    /// The commands that undo it; empty if it should not be undone.
    pub fn undo(&self, os: Os) -> Vec<Cmd> {
        self.opposite().map(|intent| intent.commands(os)).unwrap_or_default()
    }

    /// The opposite intent, for a rollback; `None` if it should not be undone: a module, forwarding, or an interface that
    /// is up may be in use by others by then.
    pub fn opposite(&self) -> Option<Self> {
        let here = |name: &IfName| name.clone();
        Some(match self {
            Self::MakeTap { tap, owner, .. } => Self::RemoveTap { tap: here(tap), owner: owner.clone() },
            Self::Join { bridge, member, vlan } => Self::Leave { bridge: here(bridge), member: here(member), vlan: *vlan },
            Self::Leave { bridge, member, vlan } => Self::Join { bridge: here(bridge), member: here(member), vlan: *vlan },
            Self::MakeBridge { bridge, owner, mtu, filters } => {
                Self::RemoveBridge { bridge: here(bridge), owner: owner.clone(), mtu: *mtu, filters: *filters }
            }
            Self::RemoveBridge { bridge, owner, mtu, filters } => {
                Self::MakeBridge { bridge: here(bridge), owner: owner.clone(), mtu: *mtu, filters: *filters }
            }
            Self::MakeVlan { vlan, parent, tag, owner, mtu } => {
                Self::RemoveVlan { vlan: here(vlan), parent: here(parent), tag: *tag, owner: owner.clone(), mtu: *mtu }
            }
            Self::RemoveVlan { vlan, parent, tag, owner, mtu } => {
                Self::MakeVlan { vlan: here(vlan), parent: here(parent), tag: *tag, owner: owner.clone(), mtu: *mtu }
            }
            Self::MakePair { end, owner } => Self::RemovePair { end: here(end), owner: owner.clone() },
            Self::RemovePair { end, owner } => Self::MakePair { end: here(end), owner: owner.clone() },
            Self::MakeNode { node, owner } => Self::RemoveNode { node: here(node), owner: owner.clone() },
            Self::RemoveNode { node, owner } => Self::MakeNode { node: here(node), owner: owner.clone() },
            Self::MarkNode { node, from, to } => Self::MarkNode { node: here(node), from: to.clone(), to: from.clone() },
            Self::Wire { node, interface, lower, upper } => {
                Self::Unwire { node: here(node), interface: here(interface), lower: *lower, upper: *upper }
            }
            Self::Unwire { node, interface, lower, upper } => {
                Self::Wire { node: here(node), interface: here(interface), lower: *lower, upper: *upper }
            }
            Self::Describe { interface, from, to } => Self::Describe { interface: here(interface), from: to.clone(), to: from.clone() },
            Self::SetMtu { interface, from, to } => Self::SetMtu { interface: here(interface), from: *to, to: *from },
            Self::AddAddress { interface, address, router } => {
                Self::RemoveAddress { interface: here(interface), address: *address, router: *router }
            }
            Self::RemoveAddress { interface, address, router } => {
                Self::AddAddress { interface: here(interface), address: *address, router: *router }
            }
            Self::SetAddresses { interface, before, after, routes_before, routes_after } => Self::SetAddresses {
                interface: here(interface),
                before: after.clone(),
                after: before.clone(),
                routes_before: routes_after.clone(),
                routes_after: routes_before.clone(),
            },
            Self::StartDhcp { file } => Self::StopDhcp { file: file.clone() },
            Self::StopDhcp { file } => Self::StartDhcp { file: file.clone() },
            // The replaced rules are restored; their file is written again first.
            Self::LoadRules { before: Some(_), file, table } | Self::DropRules { file, table } => {
                Self::LoadRules { file: file.clone(), table: table.clone(), before: None }
            }
            Self::LoadRules { before: None, file, table } => Self::DropRules { file: file.clone(), table: table.clone() },
            Self::SetUp { interface, uplink_of: Some(_) } => Self::SetDown { interface: here(interface) },
            Self::SetDown { interface } => Self::SetUp { interface: here(interface), uplink_of: None },
            Self::LoadModule { .. }
            | Self::RemoveTap { .. }
            | Self::DestroyVm { .. }
            | Self::RemoveJail { .. }
            | Self::SetUp { uplink_of: None, .. }
            | Self::FilterVlans { .. }
            | Self::Forward { .. } => return None,
        })
    }
}
