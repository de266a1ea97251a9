//! Hosts: what is wanted of one, as intents, which each operating system's folder says by its commands; and what is known
//! of one ([`state`]), which the same folders read from what their tools print.
//!
//! Not here: running the tools (chyves-host) and what follows from what is known (`check`).
//!
//! To add a host: a variant of [`Os`], a folder beside these, and the arms that the compiler asks for.

mod addresses;
pub mod freebsd;
pub mod linux;
pub mod state;
pub mod taps;

pub use state::HostState;

use crate::cmd::Cmd;
use crate::network::address::{Assigned, Route};
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

/// One thing wanted of the host's kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "kebab-case")]
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
        /// The exact token that says whose it is: `chyves/<uuid>/net<n>`.
        owner: String,
        /// Its MTU.
        mtu: u32,
        /// Its pairs of queues.
        queues: u16,
    },
    /// A tap that was made for this owner is gone.
    RemoveTap {
        /// Its name.
        tap: IfName,
        /// Its token.
        owner: String,
    },
    /// A VM object of bhyve's is gone.
    DestroyVm {
        /// Its name.
        vm: String,
    },
    /// A jail that was made for one bhyve is gone, with what runs in it, its mounts, the ruleset of its /dev and its root.
    RemoveJail {
        /// Its name.
        name: String,
        /// The file that describes it to jail(8); its mounts are found by it.
        conf: String,
        /// The ruleset of its /dev, where its number is known.
        ruleset: Option<u32>,
        /// Its root.
        root: String,
        /// Whether the jail itself exists; else only its ruleset and its root may.
        exists: bool,
    },
    /// An interface is a member of a bridge.
    Join {
        /// The bridge.
        bridge: IfName,
        /// The member.
        member: IfName,
        /// The VLAN that the member is on, without knowing it.
        vlan: Option<u16>,
    },
    /// An interface is no member of a bridge any more.
    Leave {
        /// The bridge.
        bridge: IfName,
        /// The member.
        member: IfName,
        /// The VLAN that it was on there, without knowing it.
        vlan: Option<u16>,
    },
    /// A bridge exists, described with its owner, and is up.
    MakeBridge {
        /// Its name.
        bridge: IfName,
        /// The exact token that says that chyves made it, and for how long.
        owner: String,
        /// Its MTU, where it has to be told.
        mtu: Option<u32>,
        /// Whether it keeps VLANs apart from the beginning.
        filters: bool,
    },
    /// A VLAN of an interface exists as an interface, described with its owner, and is up.
    MakeVlan {
        /// Its name.
        vlan: IfName,
        /// The interface whose VLAN it is.
        parent: IfName,
        /// The VLAN.
        tag: u16,
        /// The exact token that says that chyves made it, and for how long.
        owner: String,
        /// Its MTU, where that is not its parent's.
        mtu: Option<u32>,
    },
    /// A pair of interfaces exists, one's packets coming out of the other; this end is described with its owner, and is up.
    MakePair {
        /// This end.
        end: IfName,
        /// The exact token that says that chyves made it, and for how long.
        owner: String,
    },
    /// A pair that chyves made, and that nothing is on any more, is gone with both its ends.
    RemovePair {
        /// The end that was made.
        end: IfName,
        /// Its token.
        owner: String,
    },
    /// A bridge that chyves made, and that nothing is on any more, is gone; all that is needed to make it again.
    RemoveBridge {
        /// Its name.
        bridge: IfName,
        /// Its token.
        owner: String,
        /// Its MTU, where it has to be told.
        mtu: Option<u32>,
        /// Whether it kept VLANs apart.
        filters: bool,
    },
    /// A VLAN that chyves made, and that nothing is on any more, is gone; all that is needed to make it again.
    RemoveVlan {
        /// Its name.
        vlan: IfName,
        /// The interface whose VLAN it is.
        parent: IfName,
        /// The VLAN.
        tag: u16,
        /// Its token.
        owner: String,
        /// Its MTU, where that is not its parent's.
        mtu: Option<u32>,
    },
    /// A node of netgraph that bridges Ethernet exists, with nothing on it. Nodes bear no text: chyves writes down itself
    /// that it made this one.
    MakeNode {
        /// Its name.
        node: IfName,
        /// The exact token that says that chyves made it, and for how long.
        owner: String,
    },
    /// A node that chyves made, and that nothing is on any more, is gone.
    RemoveNode {
        /// Its name.
        node: IfName,
        /// Its token.
        owner: String,
    },
    /// A node that chyves made stays, or goes, as the new token says.
    MarkNode {
        /// Its name.
        node: IfName,
        /// The token that it has.
        from: String,
        /// The one that it is to have.
        to: String,
    },
    /// An interface is on a bridge of netgraph: its wire, and the host itself, each at a link of its own.
    Wire {
        /// The bridge's node.
        node: IfName,
        /// The interface.
        interface: IfName,
        /// The link that its wire is at, where it is not there already.
        lower: Option<u32>,
        /// The link that the host is at, where it is not there already.
        upper: Option<u32>,
    },
    /// An interface is on a bridge of netgraph no more: its wire leads to the host again.
    Unwire {
        /// The bridge's node.
        node: IfName,
        /// The interface.
        interface: IfName,
        /// The link that its wire was at, where it was.
        lower: Option<u32>,
        /// The link that the host was at, where it was.
        upper: Option<u32>,
    },
    /// What chyves made stays, or goes, as the new token says.
    Describe {
        /// The interface.
        interface: IfName,
        /// What is written on it now.
        from: String,
        /// What is to be.
        to: String,
    },
    /// An interface is up.
    SetUp {
        /// Its name.
        interface: IfName,
    },
    /// An interface carries packets so large.
    SetMtu {
        /// Its name.
        interface: IfName,
        /// What it carries now.
        from: u32,
        /// What it is to carry.
        to: u32,
    },
    /// The host has an address on an interface.
    AddAddress {
        /// The interface.
        interface: IfName,
        /// The address.
        address: Cidr,
        /// The router of the default route that goes by it, where there is one.
        router: Option<IpAddr>,
    },
    /// The host has an address on an interface no more.
    RemoveAddress {
        /// The interface.
        interface: IfName,
        /// The address.
        address: Cidr,
        /// The router of the default route that goes by it, and goes with it.
        router: Option<IpAddr>,
    },
    /// The host has exactly these addresses on an interface, in this order, and these routes by it.
    SetAddresses {
        /// The interface.
        interface: IfName,
        /// Those that it had, as they were seen.
        before: Vec<Assigned>,
        /// Those that it is to have.
        after: Vec<Assigned>,
        /// The routes by it, as they were seen.
        routes_before: Vec<Route>,
        /// The routes that are to go by it.
        routes_after: Vec<Route>,
    },
    /// A bridge keeps VLANs apart.
    FilterVlans {
        /// The bridge.
        bridge: IfName,
    },
    /// The kernel passes packets on between its networks.
    Forward {
        /// Those of IPv6.
        v6: bool,
    },
    /// Rules of the packet filter, from a file, in a table of their own.
    LoadRules {
        /// The file.
        file: String,
        /// The table.
        table: String,
        /// What the file held when it was loaded before, where the table is replaced.
        before: Option<String>,
    },
    /// That table of rules is gone.
    DropRules {
        /// The file that it was loaded from.
        file: String,
        /// The table.
        table: String,
    },
    /// A dnsmasq of its own runs for a bridge.
    StartDhcp {
        /// Its settings.
        file: String,
    },
    /// The dnsmasq that reads these settings runs no more.
    StopDhcp {
        /// Its settings.
        file: String,
    },
}

/// The pair of a name that FreeBSD gives the ends of pairs, and its other end: `epair0` and `epair0b` of `epair0a`. Linux
/// knows no such names, and may have them too.
pub fn pair_of(end: &str) -> Option<(&str, String)> {
    let (pair, other) = match (end.strip_suffix('a'), end.strip_suffix('b')) {
        (Some(pair), _) => (pair, 'b'),
        (None, Some(pair)) => (pair, 'a'),
        (None, None) => return None,
    };
    freebsd::is_unit(pair, "epair").then(|| (pair, format!("{pair}{other}")))
}

impl Intent {
    /// Whether it is about nodes of netgraph, which the list of interfaces does not show.
    pub const fn is_of_netgraph(&self) -> bool {
        matches!(self, Self::MakeNode { .. } | Self::RemoveNode { .. } | Self::MarkNode { .. } | Self::Wire { .. } | Self::Unwire { .. })
    }

    /// One line for people.
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
            Self::SetUp { interface } => format!("bring {interface} up"),
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

    /// The commands that bring it about.
    pub fn commands(&self, os: Os) -> Vec<Cmd> {
        match os {
            Os::FreeBsd => freebsd::commands(self),
            Os::Linux => linux::commands(self),
        }
    }

    /// The commands that undo it; none where it is better left.
    pub fn undo(&self, os: Os) -> Vec<Cmd> {
        self.opposite().map(|intent| intent.commands(os)).unwrap_or_default()
    }

    /// What rolls it back, as an intent; none where it is better left: a module, a kernel that forwards, an interface
    /// that is up may be of use to others by then.
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
            // What was replaced comes back; its file is written again first.
            Self::LoadRules { before: Some(_), file, table } | Self::DropRules { file, table } => {
                Self::LoadRules { file: file.clone(), table: table.clone(), before: None }
            }
            Self::LoadRules { before: None, file, table } => Self::DropRules { file: file.clone(), table: table.clone() },
            Self::LoadModule { .. }
            | Self::RemoveTap { .. }
            | Self::DestroyVm { .. }
            | Self::RemoveJail { .. }
            | Self::SetUp { .. }
            | Self::FilterVlans { .. }
            | Self::Forward { .. } => return None,
        })
    }
}
