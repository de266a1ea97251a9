//! Netgraph nodes: nodes that bridge Ethernet are added to the interfaces as a separate kind of bridge.
//!
//! A node cannot store a text that identifies its creator. Therefore chyves records what it created: the node's number,
//! which no other node gets during the same boot of the host, and the boot. All other nodes were created by others. A node
//! also does not show which guests use it, so a start records a claim before its guest's VM opens the hook.
//!
//! Not here: the desired configuration ([`super::wiring`]), querying and recording (chyves-host's `network::graph`).

use super::actual::{Actual, IfKind, Interface};
use crate::os::freebsd::ngctl::ether_node;
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
    fn mark(&self, name: &str, id: u32) -> String {
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
    pub(super) fn part(&mut self, bridge: &str, interface: &str) {
        let (Some((bridge, _)), Some((ether, _))) = (self.named(bridge), self.named(&ether_node(interface))) else { return };
        for (one, other) in [(bridge, ether), (ether, bridge)] {
            if let Some(node) = self.nodes.get_mut(&one) {
                node.hooks.retain(|h| h.peer != other);
            }
        }
    }

    /// Removes a bridge with all its connections.
    pub(super) fn remove(&mut self, bridge: &str) {
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

impl Actual {
    /// Adds netgraph nodes: each node that bridges Ethernet is added to the interfaces, with its members, unless an
    /// interface has its name, because the name then belongs to the interface's own node.
    pub fn add_graph(&mut self, graph: Graph) {
        for (id, node) in &graph.nodes {
            let (BRIDGE, Some(name)) = (node.kind.as_str(), &node.name) else { continue };
            if self.interfaces.contains_key(name) {
                continue;
            }
            let mut bridge = Interface { mark: graph.mark(name, *id), ..Interface::new(IfKind::Netgraph) };
            for hook in &node.hooks {
                match self.on(&graph, hook) {
                    Some(interface) => {
                        if let Some(member) = self.interfaces.get_mut(&interface) {
                            member.bridge = Some(name.clone());
                            bridge.mtu = member.mtu;
                        }
                        bridge.members.push(interface);
                    }
                    // The other hook of an interface connects the host.
                    None if hook.peer_kind == ETHER => {}
                    None => bridge.members.push(hook.own.clone()),
                }
            }
            bridge.members.sort();
            self.interfaces.insert(name.clone(), bridge);
        }
        self.graph = Some(graph);
    }

    /// The interface with its lower hook (the wire) connected to this hook.
    fn on(&self, graph: &Graph, hook: &Hook) -> Option<String> {
        let peer = graph.nodes.get(&hook.peer).filter(|_| hook.peer_kind == ETHER && hook.peer_hook == "lower")?.name.as_ref()?;
        self.interfaces.keys().find(|name| ether_node(name) == *peer).cloned()
    }

    /// Whether guests other than `but` were started onto a node.
    pub fn claimed(&self, node: &str, but: Option<Uuid>) -> bool {
        let claims = self.graph.as_ref().and_then(|g| g.claims.get(node));
        claims.is_some_and(|guests| guests.iter().any(|guest| Some(*guest) != but))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{APPLIED, USUAL_MTU as USUAL};

    fn hook(own: &str, peer: u32, peer_kind: &str, peer_hook: &str) -> Hook {
        Hook { own: own.into(), peer, peer_kind: peer_kind.into(), peer_hook: peer_hook.into() }
    }

    fn node(name: &str, kind: &str, hooks: Vec<Hook>) -> Node {
        Node { name: Some(name.into()).filter(|n: &String| !n.is_empty()), kind: kind.into(), hooks }
    }

    fn graph() -> Graph {
        let nodes = BTreeMap::from([
            (2, node("em0_5", ETHER, vec![hook("lower", 9, BRIDGE, "link0"), hook("upper", 9, BRIDGE, "link1")])),
            (
                9,
                node(
                    "lan",
                    BRIDGE,
                    vec![hook("link0", 2, ETHER, "lower"), hook("link1", 2, ETHER, "upper"), hook("link2", 10, "socket", "vmlink")],
                ),
            ),
            (10, node("", "socket", vec![hook("vmlink", 9, BRIDGE, "link2")])),
            (11, node("em1", BRIDGE, vec![])),
        ]);
        Graph { nodes, ..Graph::default() }
    }

    fn actual(graph: Graph) -> Actual {
        let mut actual = Actual::default();
        actual.interfaces.insert("em0.5".into(), Interface { mtu: 9000, ..Interface::new(IfKind::Vlan) });
        actual.interfaces.insert("em1".into(), Interface::new(IfKind::Physical));
        actual.add_graph(graph);
        actual
    }

    #[test]
    fn a_node_is_a_bridge_among_the_interfaces() {
        let seen = actual(graph());
        let lan = seen.get("lan").unwrap();
        assert_eq!(
            (lan.kind, lan.members.as_slice(), lan.mtu, lan.mark.as_str()),
            (IfKind::Netgraph, ["em0.5".to_owned(), "link2".into()].as_slice(), 9000, "")
        );
        assert_eq!(seen.get("em0.5").unwrap().bridge.as_deref(), Some("lan"));
        assert_eq!((seen.get("em1").unwrap().kind, USUAL), (IfKind::Physical, 1500));
        let known = seen.graph.as_ref().unwrap();
        assert_eq!((known.link("lan", "em0.5", "upper"), known.link("lan", "em1", "upper")), (Some(1), None));
        assert_eq!(known.free_links("lan").take(2).collect::<Vec<_>>(), [3, 4]);
        assert!(known.is_taken("em0.5", "lower") && !known.is_taken("em1", "lower"));
    }

    #[test]
    fn only_the_very_node_that_was_made_is_chyves_own() {
        let made = Made { mark: APPLIED.into(), id: 9, boot: "{ sec = 1764150000".into() };
        assert_eq!(Made::read(&made.text()), Some(made.clone()));
        assert_eq!([Made::read(""), Made::read("x 9"), Made::read("x zz 1")], [None, None, None]);
        for (id, mark) in [(9, APPLIED), (8, "")] {
            let known = Graph { made: BTreeMap::from([("lan".into(), Made { id, ..made.clone() })]), ..graph() };
            assert_eq!(actual(known).get("lan").unwrap().mark, mark, "{id}");
        }
    }
}
