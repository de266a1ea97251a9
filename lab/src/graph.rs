//! netgraph, as its kernel keeps it: nodes, hooks and what each type of node takes, from netgraph(4), ng_bridge(4),
//! ng_ether(4), ng_hub(4) and their sources. It is a file of the lab, since nothing of it outlives the host.
//!
//! Frames pass too: a bridge is a hidden bridge of Linux, and a card of a guest a hidden tap on it. An interface is on it by
//! its wire alone: the `upper` hook is kept and shown, and the host's own frames do not pass.
//! Not its job: the words of ngctl(8); see `tool/ngctl`.

use std::fs::File;

use serde::{Deserialize, Serialize};

use crate::exit::{Done, Or};
use crate::ip;
use crate::place::Place;
use crate::release::since;
use crate::tool::{Kind, hidden_name, interfaces, load};
use crate::vm;

/// `NG_NODESIZ` and `NG_HOOKSIZ`, less the end.
const LONGEST: usize = 31;

/// Why the kernel does not do something, as errno has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    NoEntry,
    NoDevice,
    Exists,
    Invalid,
    NoFunction,
    InUse,
    Connected,
    NotConnected,
    Loop,
}

impl Errno {
    /// strerror(3).
    pub(crate) fn text(self) -> &'static str {
        match self {
            Errno::NoEntry => "No such file or directory",
            Errno::NoDevice => "Device not configured",
            Errno::Exists => "File exists",
            Errno::Invalid => "Invalid argument",
            Errno::NoFunction => "Function not implemented",
            Errno::InUse => "Address already in use",
            Errno::Connected => "Socket is already connected",
            Errno::NotConnected => "Socket is not connected",
            Errno::Loop => "Too many levels of symbolic links",
        }
    }
}

/// What the kernel answers.
pub(crate) type Answer<T = ()> = Result<T, Errno>;

/// A node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Stays without hooks.
    pub(crate) persistent: bool,
    pub(crate) promisc: bool,
    pub(crate) autosrc: bool,
    /// The interface whose node it is, by its index and its name in Linux.
    pub(crate) interface: Option<(u64, String)>,
    /// The VM, and the bhyve of it, that opened this socket.
    pub(crate) vm: Option<(String, u32)>,
    /// What of Linux plays it: a bridge, or a guest's tap.
    pub(crate) linux: Option<String>,
}

/// Two hooks that are connected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) a: (u32, String),
    pub(crate) b: (u32, String),
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Graph {
    last: u32,
    pub(crate) nodes: Vec<Node>,
    links: Vec<Link>,
}

/// The graph of a lab, nobody else's until it is closed.
pub(crate) struct Open<'a> {
    place: &'a Place,
    pub(crate) graph: Graph,
    _lock: File,
}

/// Opens it: interfaces that came or went since, and guests that ended, have had their effect.
pub(crate) fn open(place: &Place) -> Done<Open<'_>> {
    place.need_network()?;
    let file = place.path("run/netgraph.lock");
    let lock = File::options().create(true).append(true).open(&file).or_broken(file.display())?;
    lock.lock().or_broken(file.display())?;
    let text = place.read("netgraph")?;
    let graph = if text.is_empty() { Graph::default() } else { serde_json::from_str(&text).or_broken("netgraph")? };
    let mut open = Open { place, graph, _lock: lock };
    open.meet_interfaces()?;
    open.miss_guests()?;
    Ok(open)
}

impl Open<'_> {
    /// Keeps what became of it.
    pub(crate) fn close(self) -> Done {
        self.place.write("netgraph", &serde_json::to_string(&self.graph).or_broken("netgraph")?)
    }

    /// ng_ether makes a node for each interface of Ethernet, by its name without what a path has no place for; none where
    /// another node has that name.
    fn meet_interfaces(&mut self) -> Done {
        let all = interfaces(self.place)?;
        let gone = |node: &Node| node.interface.as_ref().is_some_and(|(index, _)| !all.iter().any(|i| i.link.index == *index));
        for id in self.graph.nodes.iter().filter(|n| gone(n)).map(|n| n.id).collect::<Vec<_>>() {
            self.forget(id)?;
        }
        if !self.place.has_module("ng_ether")? {
            return Ok(());
        }
        for interface in all.iter().filter(|i| i.kind != Kind::Loopback) {
            let name = interface.name.replace(['.', ':'], "_");
            let taken = self.graph.nodes.iter().any(|n| n.name == name);
            let own = self.graph.nodes.iter_mut().find(|n| n.interface.as_ref().is_some_and(|(index, _)| *index == interface.link.index));
            match own {
                Some(node) => {
                    if !taken {
                        node.name = name;
                    }
                    node.interface = Some((interface.link.index, interface.linux().to_owned()));
                }
                None if taken => {}
                None => {
                    let interface = Some((interface.link.index, interface.linux().to_owned()));
                    self.add(Node { name, kind: "ether".to_owned(), interface, ..Node::default() });
                }
            }
        }
        Ok(())
    }

    /// A process takes its sockets along.
    fn miss_guests(&mut self) -> Done {
        let mut ended = Vec::new();
        for node in &self.graph.nodes {
            if let Some((name, _)) = &node.vm
                && !vm::running(self.place, name)?
            {
                ended.push(node.id);
            }
        }
        ended.into_iter().try_for_each(|id| self.forget(id))
    }

    fn add(&mut self, node: Node) -> u32 {
        self.graph.last += 1;
        let id = self.graph.last;
        self.graph.nodes.push(Node { id, ..node });
        id
    }

    /// A node of the calling process.
    pub(crate) fn socket(&mut self, name: &str) -> u32 {
        self.add(Node { name: name.to_owned(), kind: "socket".to_owned(), ..Node::default() })
    }

    pub(crate) fn node(&self, id: u32) -> Option<&Node> {
        self.graph.nodes.iter().find(|n| n.id == id)
    }

    fn node_mut(&mut self, id: u32) -> Option<&mut Node> {
        self.graph.nodes.iter_mut().find(|n| n.id == id)
    }

    /// The hooks of a node, the newest first: its own name, the other node, the other's name.
    pub(crate) fn hooks(&self, id: u32) -> Vec<(String, u32, String)> {
        let of = |l: &Link| match (l.a.0 == id, l.b.0 == id) {
            (true, _) => Some((l.a.1.clone(), l.b.0, l.b.1.clone())),
            (_, true) => Some((l.b.1.clone(), l.a.0, l.a.1.clone())),
            _ => None,
        };
        self.graph.links.iter().rev().filter_map(of).collect()
    }

    /// The node at a path, seen from one: `lan:`, `[1c]:`, `.:hook`, `lan:link0.upper`, `hook`.
    pub(crate) fn find(&self, from: u32, path: &str) -> Answer<u32> {
        let (node, hooks) = match path.split_once(':') {
            Some((node, hooks)) => (node, hooks),
            None if path == "." => (".", ""),
            None => (".", path),
        };
        let id = node.strip_prefix('[').and_then(|rest| u32::from_str_radix(rest.strip_suffix(']')?, 16).ok());
        let mut at = match (id, node) {
            (Some(id), _) => self.node(id).map(|n| n.id),
            (None, ".") => Some(from),
            (None, name) => self.graph.nodes.iter().find(|n| !name.is_empty() && n.name == name).map(|n| n.id),
        }
        .ok_or(Errno::NoEntry)?;
        for hook in hooks.split('.').filter(|hook| !hook.is_empty()) {
            at = self.hooks(at).into_iter().find(|(own, ..)| own == hook).map(|(_, peer, _)| peer).ok_or(Errno::NoEntry)?;
        }
        Ok(at)
    }

    /// Gives a node a name.
    pub(crate) fn name(&mut self, id: u32, name: &str) -> Answer {
        let is_id = name.starts_with('[') && name.ends_with(']');
        if name.is_empty() || name.len() > LONGEST || name.contains(['.', ':']) || is_id {
            return Err(Errno::Invalid);
        }
        if self.graph.nodes.iter().any(|n| n.name == name) {
            return Err(Errno::InUse);
        }
        if let Some(node) = self.node_mut(id) {
            name.clone_into(&mut node.name);
        }
        Ok(())
    }

    /// Makes a node of a type, connected by its hook to a hook of another.
    pub(crate) fn make_peer(&mut self, from: u32, kind: &str, hook: &str, peer_hook: &str) -> Done<Answer<u32>> {
        if !["bridge", "ether", "hub", "socket"].contains(&kind) {
            return Ok(Err(Errno::NoDevice));
        }
        let module = format!("ng_{kind}");
        if !self.place.has_module(&module)? && load(self.place, &module)?.is_err() {
            return Ok(Err(Errno::NoDevice));
        }
        // Interfaces make the nodes of the one type, and processes those of the other.
        if ["ether", "socket"].contains(&kind) {
            return Ok(Err(Errno::Invalid));
        }
        let id = self.add(Node { kind: kind.to_owned(), ..Node::default() });
        if kind == "bridge" {
            let name = hidden_name()?;
            ip::run(&["link", "add", "name", &name, "type", "bridge"])?;
            ip::run(&["link", "set", &name, "up"])?;
            if let Some(node) = self.node_mut(id) {
                node.linux = Some(name);
            }
        }
        match self.connect(from, id, hook, peer_hook)? {
            Ok(()) => Ok(Ok(id)),
            Err(errno) => self.forget(id).map(|()| Err(errno)),
        }
    }

    /// Connects two hooks.
    pub(crate) fn connect(&mut self, one: u32, other: u32, hook: &str, peer_hook: &str) -> Done<Answer> {
        let hook = match self.new_hook(one, other, hook) {
            Ok(hook) => hook,
            Err(errno) => return Ok(Err(errno)),
        };
        let peer_hook = match self.new_hook(other, one, peer_hook) {
            Ok(hook) => hook,
            Err(errno) => return Ok(Err(errno)),
        };
        for (end, name, peer) in [(one, &hook, other), (other, &peer_hook, one)] {
            self.wire(end, name, peer, true)?;
        }
        self.graph.links.push(Link { a: (one, hook), b: (other, peer_hook) });
        Ok(Ok(()))
    }

    /// Whether a node takes a hook of that name, and which it is then.
    fn new_hook(&self, id: u32, peer: u32, name: &str) -> Answer<String> {
        let node = self.node(id).ok_or(Errno::NoEntry)?;
        let there = |name: &str| self.hooks(id).iter().any(|(own, ..)| own == name);
        if name.is_empty() || name.len() > LONGEST || name.contains('.') {
            return Err(Errno::Invalid);
        }
        if there(name) {
            return Err(Errno::Exists);
        }
        match node.kind.as_str() {
            "ether" => match name {
                "lower" | "divert" if there("lower") || there("divert") => Err(Errno::Connected),
                "lower" | "divert" | "upper" | "orphans" => Ok(name.to_owned()),
                _ => Err(Errno::Invalid),
            },
            "bridge" => {
                let prefix = if name.starts_with('u') { "uplink" } else { "link" };
                let first = u32::from(prefix == "uplink");
                // A number is chosen by the node itself since 13.1.
                if name == prefix && self.place.host.release >= since(13, 1) {
                    return (first..=u32::MAX).map(|n| format!("{prefix}{n}")).find(|free| !there(free)).ok_or(Errno::Invalid);
                }
                let number: u32 = name.strip_prefix(prefix).and_then(|n| n.parse().ok()).ok_or(Errno::Invalid)?;
                if name != format!("{prefix}{number}") || number < first {
                    return Err(Errno::Invalid);
                }
                if id == peer { Err(Errno::Loop) } else { Ok(name.to_owned()) }
            }
            _ => Ok(name.to_owned()),
        }
    }

    /// Lets frames pass, or no more: the wire of an interface, or the tap of a guest, on a bridge.
    fn wire(&self, end: u32, hook: &str, peer: u32, on: bool) -> Done {
        let (Some(end), Some(bridge)) = (self.node(end), self.node(peer).filter(|n| n.kind == "bridge").and_then(|n| n.linux.as_ref()))
        else {
            return Ok(());
        };
        let port = match (end.kind.as_str(), &end.interface, &end.linux) {
            ("ether", Some((_, name)), _) if hook == "lower" || hook == "divert" => name,
            ("socket", _, Some(tap)) => tap,
            _ => return Ok(()),
        };
        // One that is gone, or in a bridge of Linux' own already, is left.
        let _ = ip::attempt("ip", &if on { vec!["link", "set", port, "master", bridge] } else { vec!["link", "set", port, "nomaster"] })?;
        Ok(())
    }

    /// Parts a hook from its peer. One that is not there is nothing to part.
    pub(crate) fn remove_hook(&mut self, id: u32, hook: &str) -> Done {
        let is = |l: &Link| l.a == (id, hook.to_owned()) || l.b == (id, hook.to_owned());
        let Some(at) = self.graph.links.iter().position(is) else { return Ok(()) };
        let Link { a, b } = self.graph.links.remove(at);
        for ((end, hook), (peer, _)) in [(&a, &b), (&b, &a)] {
            self.wire(*end, hook, *peer, false)?;
        }
        for (id, _) in [a, b] {
            let lonely = self.hooks(id).is_empty();
            if self.node(id).is_some_and(|n| lonely && !n.persistent && ["bridge", "hub"].contains(&n.kind.as_str())) {
                self.forget(id)?;
            }
        }
        Ok(())
    }

    /// Ends a node with its hooks.
    pub(crate) fn forget(&mut self, id: u32) -> Done {
        for (hook, ..) in self.hooks(id) {
            self.remove_hook(id, &hook)?;
        }
        if let Some(name) = self.node(id).and_then(|n| n.linux.clone()) {
            let _ = ip::attempt("ip", &["link", "del", &name])?;
        }
        self.graph.nodes.retain(|n| n.id != id);
        Ok(())
    }

    /// What ngctl's `shutdown` asks for: the node of an interface stays, as it was at first.
    pub(crate) fn shut_down(&mut self, id: u32) -> Done {
        if self.node(id).is_none_or(|n| n.kind != "ether") {
            return self.forget(id);
        }
        for (hook, ..) in self.hooks(id) {
            self.remove_hook(id, &hook)?;
        }
        self.set_promisc(id, false)?;
        if let Some(node) = self.node_mut(id) {
            node.autosrc = true;
        }
        Ok(())
    }

    fn set_promisc(&mut self, id: u32, on: bool) -> Done {
        let Some(node) = self.node_mut(id) else { return Ok(()) };
        if node.promisc != on
            && let Some((_, name)) = &node.interface
        {
            ip::run(&["link", "set", name, "promisc", if on { "on" } else { "off" }])?;
        }
        node.promisc = on;
        Ok(())
    }

    /// A message to a node, with what is said behind its word; the answer where there is one.
    pub(crate) fn message(&mut self, id: u32, word: &str, rest: &[&str]) -> Done<Answer<Option<String>>> {
        let kind = self.node(id).map(|n| n.kind.clone()).unwrap_or_default();
        let number = || rest.first().and_then(|text| text.parse::<u32>().ok()).ok_or(Errno::Invalid);
        Ok(match (kind.as_str(), word) {
            ("ether", "setpromisc") => match number() {
                Ok(on) => self.set_promisc(id, on != 0).map(|()| Ok(None))?,
                Err(errno) => Err(errno),
            },
            ("ether", "setautosrc") => number().map(|on| {
                if let Some(node) = self.node_mut(id) {
                    node.autosrc = on != 0;
                }
                None
            }),
            ("ether", "getpromisc") => Ok(self.node(id).map(|n| u32::from(n.promisc).to_string())),
            ("ether", "getautosrc") => Ok(self.node(id).map(|n| u32::from(n.autosrc).to_string())),
            ("bridge" | "hub", "setpersistent") => {
                if let Some(node) = self.node_mut(id) {
                    node.persistent = true;
                }
                Ok(None)
            }
            ("bridge", "getstats") => number().and_then(|n| {
                let there = self.hooks(id).iter().any(|(own, ..)| *own == format!("link{n}"));
                if there { Ok(Some("{}".to_owned())) } else { Err(Errno::NotConnected) }
            }),
            ("bridge", "getconfig") => Ok(Some("{ debugLevel=1 loopTimeout=60 maxStaleness=900 minStableAge=1 }".to_owned())),
            ("bridge", "reset") => Ok(None),
            _ => Err(Errno::NoFunction),
        })
    }

    /// bhyve's card: a socket of its own at a hook of a node, and the tap by which its frames pass. The tap's name.
    pub(crate) fn card(&mut self, name: &str, path: &str, hook: &str, peer_hook: &str) -> Done<Answer<String>> {
        let pid = std::process::id();
        // What the last run of the same VM had open went with its process.
        let old = |n: &Node| n.vm.as_ref().is_some_and(|(vm, run)| vm == name && *run != pid);
        for id in self.graph.nodes.iter().filter(|n| old(n)).map(|n| n.id).collect::<Vec<_>>() {
            self.forget(id)?;
        }
        let tap = hidden_name()?;
        ip::run(&["tuntap", "add", "dev", &tap, "mode", "tap"])?;
        ip::run(&["link", "set", &tap, "up"])?;
        let (vm, linux) = (Some((name.to_owned(), pid)), Some(tap.clone()));
        let id = self.add(Node { kind: "socket".to_owned(), vm, linux, ..Node::default() });
        let connected = match self.find(id, path) {
            Ok(node) => self.connect(id, node, hook, peer_hook)?,
            Err(errno) => Err(errno),
        };
        match connected {
            Ok(()) => Ok(Ok(tap)),
            Err(errno) => self.forget(id).map(|()| Err(errno)),
        }
    }
}
