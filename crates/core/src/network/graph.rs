//! Netgraph nodes that bridge Ethernet are added to the interfaces as a separate kind of bridge.
//!
//! Not here: nodes and their records ([`crate::os::netgraph`]), the desired configuration ([`super::wiring`]), querying and
//! recording (chyves-host's `network::graph`).

use super::actual::{Actual, IfKind, Interface};
use crate::os::freebsd::ngctl::ether_node;
use crate::os::netgraph::{BRIDGE, ETHER, Graph, Hook};
use uuid::Uuid;

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
    use crate::os::netgraph::{Made, Node};
    use std::collections::BTreeMap;

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
