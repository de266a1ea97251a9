//! Netgraph nodes, and chyves' records of those that it created.
//!
//! A node cannot store a text that identifies its creator. Therefore chyves records what it created: the node's number,
//! which no other node gets during the same boot of the host, and the boot. All other nodes were created by others. A node
//! also does not show which guests use it, so a start records a claim before its guest's VM opens the hook.
//!
//! Not here: parsing ngctl's output (`freebsd::ngctl`), nodes as bridges among the interfaces (`network::graph`).

use super::freebsd::ngctl::ether_node;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The netgraph type of nodes that bridge Ethernet.
pub const BRIDGE: &str = "bridge";

/// The netgraph type of the nodes of Ethernet interfaces.
pub const ETHER: &str = "ether";

/// The folder, in the host's network folder, with chyves' records of nodes: `lan` for one that it created, `lan+UUID` for a
/// guest that runs on one.
pub const FOLDER: &str = "nodes";

/// All nodes, and chyves' records of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// Nodes by number.
    pub nodes: BTreeMap<u32, Node>,
    /// Records of nodes that chyves created during this boot of the host.
    pub made: BTreeMap<String, Made>,
    /// The guests that were started onto a node, by its name.
    pub claims: BTreeMap<String, BTreeSet<Uuid>>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its type: `bridge`, `ether`, `socket`.
    pub kind: String,
    /// What is connected to it.
    pub hooks: Vec<Hook>,
}

/// A connection, as seen from one of its two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The hook of this node.
    pub own: String,
    /// The number of the peer node.
    pub peer: u32,
    /// The peer's type.
    pub peer_kind: String,
    /// The peer's hook.
    pub peer_hook: String,
}

/// The record of a node that chyves created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The mark that states how long it is kept.
    pub mark: String,
    /// The node's number.
    pub id: u32,
    /// The boot of the host when it was recorded; the record is void after a reboot.
    pub boot: String,
}

impl Made {
    /// The form in which it is stored.
    pub fn text(&self) -> String {
        format!("{} {:08x} {}\n", self.mark, self.id, self.boot)
    }

    /// Parses the stored form; `None` if it is invalid, and then does not prove that chyves created the node.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.trim_end().splitn(3, ' ');
        let (mark, id, boot) = (words.next()?.to_owned(), words.next()?, words.next()?.to_owned());
        Some(Self { mark, id: u32::from_str_radix(id, 16).ok()?, boot })
    }
}

impl Graph {
    /// The node of that name.
    pub fn named(&self, name: &str) -> Option<(u32, &Node)> {
        self.nodes.iter().find(|(_, node)| node.name.as_deref() == Some(name)).map(|(id, node)| (*id, node))
    }

    /// The mark of a node, equivalent to that of an interface; empty for one that chyves did not create.
    pub fn mark(&self, name: &str, id: u32) -> String {
        self.made.get(name).filter(|made| made.id == id).map(|made| made.mark.clone()).unwrap_or_default()
    }

    /// The link of a bridge that a hook of an interface is connected to.
    pub fn link(&self, bridge: &str, interface: &str, hook: &str) -> Option<u32> {
        let (id, _) = self.named(&ether_node(interface)).filter(|(_, node)| node.kind == ETHER)?;
        let (_, node) = self.named(bridge)?;
        let found = node.hooks.iter().find(|h| h.peer == id && h.peer_hook == hook)?;
        found.own.strip_prefix("link").and_then(|n| n.parse().ok())
    }

    /// Whether a hook of an interface is connected.
    pub fn is_taken(&self, interface: &str, hook: &str) -> bool {
        self.named(&ether_node(interface)).is_some_and(|(_, node)| node.hooks.iter().any(|h| h.own == hook))
    }

    /// Disconnects an interface from a bridge.
    pub fn part(&mut self, bridge: &str, interface: &str) {
        let (Some((bridge, _)), Some((ether, _))) = (self.named(bridge), self.named(&ether_node(interface))) else { return };
        for (one, other) in [(bridge, ether), (ether, bridge)] {
            if let Some(node) = self.nodes.get_mut(&one) {
                node.hooks.retain(|h| h.peer != other);
            }
        }
    }

    /// Removes a bridge with all its connections.
    pub fn remove(&mut self, bridge: &str) {
        let Some((id, _)) = self.named(bridge) else { return };
        self.nodes.remove(&id);
        for node in self.nodes.values_mut() {
            node.hooks.retain(|h| h.peer != id);
        }
    }

    /// The first unused links of a bridge.
    pub fn free_links(&self, bridge: &str) -> impl Iterator<Item = u32> {
        let taken: BTreeSet<String> =
            self.named(bridge).map(|(_, node)| node.hooks.iter().map(|h| h.own.clone()).collect()).unwrap_or_default();
        (0..).filter(move |n| !taken.contains(&format!("link{n}")))
    }
}
