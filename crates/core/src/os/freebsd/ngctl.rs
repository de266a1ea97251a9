//! ngctl(8): the command that lists all netgraph nodes, and those that create bridges of them.
//!
//! Several commands are passed to one ngctl process if an interruption between them would cut off the host permanently. Not
//! here: chyves' records of nodes (`netgraph`).

use super::super::state::unreadable;
use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::netgraph::{Graph, Hook, Node};
use std::collections::BTreeMap;

/// The program's name.
pub const TOOL: &str = "ngctl";

/// The modules that netgraph bridges need; the one for interfaces' own nodes is never loaded automatically.
pub const MODULES: [&str; 3] = ["ng_socket", "ng_bridge", "ng_ether"];

/// The hook of the ngctl process' own node that a new bridge is connected to until it has a name.
const MADE: &str = "made";

/// The command that queries one node by its address: it exits with 0 if the node exists.
pub fn query(node: &str) -> Cmd {
    Cmd::new(TOOL, ["info", node])
}

/// Whether any node can exist yet: without this module, the query itself would load it.
pub fn possible() -> Cmd {
    Cmd::new("kldstat", ["-q", "-m", "ng_socket"])
}

/// The command that lists all nodes with their hooks.
pub fn list() -> Cmd {
    Cmd::new(TOOL, ["list", "-l"])
}

/// The node of an Ethernet interface. Dots and colons are separators in paths, so they are replaced in node names.
pub fn ether_node(interface: &str) -> String {
    interface.replace(['.', ':'], "_")
}

fn script(lines: Vec<String>) -> Cmd {
    Cmd::new(TOOL, ["-f", "-"]).reading(lines)
}

/// Creates a bridge without connections. It is created on the process' own node, and must be made persistent before that
/// process exits.
pub(super) fn make(node: &str) -> Cmd {
    script(vec![format!("mkpeer . bridge {MADE} link2"), format!("name .:{MADE} {node}"), format!("msg {node}: setpersistent")])
}

/// Removes that bridge.
pub(super) fn remove(node: &str) -> Cmd {
    Cmd::new(TOOL, ["shutdown", &format!("{node}:")])
}

/// The host is connected to the bridge before its wire is, so that it never loses its connection.
pub(super) fn wire(node: &str, interface: &str, lower: Option<u32>, upper: Option<u32>) -> Cmd {
    let ether = ether_node(interface);
    let mut lines = Vec::new();
    lines.extend(upper.map(|link| format!("connect {ether}: {node}: upper link{link}")));
    if let Some(link) = lower {
        lines.push(format!("connect {ether}: {node}: lower link{link}"));
        // Packets for guests must be received, and must be sent with the guests' own addresses.
        lines.push(format!("msg {ether}: setpromisc 1"));
        lines.push(format!("msg {ether}: setautosrc 0"));
    }
    script(lines)
}

/// Restores the interface to its state without a bridge, which is also the state after its node was shut down.
pub(super) fn unwire(interface: &str, lower: Option<u32>, upper: Option<u32>) -> Cmd {
    let ether = ether_node(interface);
    let mut lines = Vec::new();
    if lower.is_some() {
        lines.push(format!("rmhook {ether}: lower"));
    }
    if upper.is_some() {
        lines.push(format!("rmhook {ether}: upper"));
    }
    if lower.is_some() {
        lines.push(format!("msg {ether}: setpromisc 0"));
        lines.push(format!("msg {ether}: setautosrc 1"));
    }
    script(lines)
}

/// Parses the output of [`list`].
///
/// # Errors
/// A line has an unexpected form.
pub fn read(answer: &str) -> Result<Graph> {
    let mut nodes: BTreeMap<u32, Node> = BTreeMap::new();
    let mut last = None;
    for line in answer.lines() {
        let wrong = || unreadable(TOOL, line);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] | ["There", "are" | "is", ..] | ["Local", "hook", ..] => {}
            ["Name:", name, "Type:", kind, "ID:", id, "Num", "hooks:", _] => {
                let id = number(id).ok_or_else(wrong)?;
                let name = (name != "<unnamed>").then(|| name.to_owned());
                nodes.insert(id, Node { name, kind: kind.to_owned(), hooks: Vec::new() });
                last = Some(id);
            }
            [own, ..] if own.bytes().all(|b| b == b'-') => {}
            [own, _, kind, id, hook] => {
                let at = last.and_then(|id| nodes.get_mut(&id)).ok_or_else(wrong)?;
                let peer = number(id).ok_or_else(wrong)?;
                at.hooks.push(Hook { own: own.to_owned(), peer, peer_kind: kind.to_owned(), peer_hook: hook.to_owned() });
            }
            _ => return Err(wrong()),
        }
    }
    if nodes.is_empty() {
        // The tool's own node always exists.
        return Err(unreadable(TOOL, answer));
    }
    Ok(Graph { nodes, ..Graph::default() })
}

fn number(hex: &str) -> Option<u32> {
    u32::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
There are 5 total nodes:
  Name: em0             Type: ether           ID: 00000002   Num hooks: 2
  Local hook      Peer name       Peer type    Peer ID         Peer hook      
  ----------      ---------       ---------    -------         ---------      
  upper           lan             bridge       0000001c        link1          
  lower           lan             bridge       0000001c        link0          

  Name: em0_5           Type: ether           ID: 00000003   Num hooks: 0

  Name: lan             Type: bridge          ID: 0000001c   Num hooks: 3
  Local hook      Peer name       Peer type    Peer ID         Peer hook      
  ----------      ---------       ---------    -------         ---------      
  link2           <unnamed>       socket       0000001d        vmlink         
  link1           em0             ether        00000002        upper          
  link0           em0             ether        00000002        lower          

  Name: <unnamed>       Type: socket          ID: 0000001d   Num hooks: 1
  Local hook      Peer name       Peer type    Peer ID         Peer hook      
  ----------      ---------       ---------    -------         ---------      
  vmlink          lan             bridge       0000001c        link2          

  Name: ngctl4711       Type: socket          ID: 00000020   Num hooks: 0
";

    #[test]
    fn nodes_are_read_with_their_hooks() {
        let graph = read(LIST).unwrap();
        let (id, lan) = graph.named("lan").unwrap();
        assert_eq!((id, lan.kind.as_str(), lan.hooks.len()), (0x1c, "bridge", 3));
        assert_eq!(graph.nodes[&0x1d].name, None);
        let at = |node: &Node, hook: &str| node.hooks.iter().find(|h| h.own == hook).map(|h| (h.peer, h.peer_hook.clone()));
        assert_eq!(at(lan, "link0"), Some((2, "lower".to_owned())));
        assert_eq!(at(&graph.nodes[&2], "upper"), Some((0x1c, "link1".to_owned())));
        assert_eq!(ether_node("em0.5"), "em0_5");
    }

    #[test]
    fn what_can_t_be_read_is_an_error() {
        for bad in ["", "There are 0 total nodes:\n", "ngctl: what?\n", "  link0  em0  ether  00000002  lower\n", "  Name: x Type: y\n"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&LIST.replace("0000001c", "grün")).is_err());
    }
}
