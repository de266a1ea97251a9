//! ngctl(8): names of netgraph nodes. Nothing is connected: no frame passes.

use crate::exit::{Done, exit};
use crate::ip;
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    if !place.has_module("ng_socket")? {
        return exit(1, "ngctl: can't create node: Protocol not supported");
    }
    let mut nodes: Vec<String> = place.read("netgraph")?.lines().map(str::to_owned).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["info", node] if known(&nodes, node)? => {
            println!("  Name: {:<15} Type: bridge          ID: 00000005   Num hooks: 2", node.trim_end_matches(':'));
            Ok(())
        }
        ["mkpeer", from, "bridge", _, _] if known(&nodes, from)? => Ok(()),
        ["connect", from, to, _, _] if known(&nodes, from)? && known(&nodes, to)? => Ok(()),
        ["msg", node, _] | ["msg", node, _, _] if known(&nodes, node)? => Ok(()),
        // `em0:lower`: what hangs at a hook of a card.
        ["name", path, name] if path.split_once(':').is_some_and(|(_, hook)| !hook.is_empty()) => {
            nodes.push(name.to_owned());
            place.write("netgraph", &nodes.iter().map(|node| format!("{node}\n")).collect::<String>())
        }
        ["info", node] => exit(1, format!("ngctl: can't get node information for \"{node}\": No such file or directory")),
        ["mkpeer" | "connect" | "msg", ..] => exit(1, "ngctl: send msg: No such file or directory"),
        _ => exit(1, "ngctl: the lab knows info, mkpeer, name, connect and msg"),
    }
}

/// A node that was named, or a card, which ng_ether makes a node of.
fn known(nodes: &[String], address: &str) -> Done<bool> {
    let name = address.trim_end_matches(':');
    Ok(nodes.iter().any(|node| node == name) || ip::links()?.iter().any(|link| link.name == name))
}
