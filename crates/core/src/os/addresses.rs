//! The commands that give an interface exactly the desired addresses and routes.

use crate::cmd::Cmd;
use crate::os::{Assigned, Route};
use crate::value::IfName;
use std::net::IpAddr;

/// The addresses to remove and to add, in order. The common prefix of both lists is kept. The rest is removed, newest
/// first, so that removing an address does not remove others with it, and added again in the desired order.
pub(super) fn delta<'a>(before: &'a [Assigned], after: &'a [Assigned]) -> (Vec<&'a Assigned>, Vec<&'a Assigned>) {
    let same = before.iter().zip(after).take_while(|(b, a)| b == a).count();
    (before[same..].iter().rev().collect(), after[same..].iter().collect())
}

fn family(all: &[Assigned], v4: bool) -> Vec<Assigned> {
    let of = all.iter().filter(|a| a.address.address.is_ipv4() == v4).cloned();
    // Linux lists IPv6 addresses newest first.
    if v4 { of.collect() } else { of.collect::<Vec<_>>().into_iter().rev().collect() }
}

/// With iproute2.
pub(super) fn linux(interface: &IfName, before: &[Assigned], after: &[Assigned], routes: &[Route]) -> Vec<Cmd> {
    let dev = interface.as_str();
    let mut cmds = Vec::new();
    let sourced = routes.iter().any(|r| r.v6 && r.source.is_some());
    for v4 in [true, false] {
        let (before, after) = (family(before, v4), family(after, v4));
        let (gone, new) = delta(&before, &after);
        cmds.extend(gone.into_iter().map(|a| Cmd::new("ip", ["address", "delete"]).args(written(a)).args(["dev", dev])));
        for address in new {
            let mut cmd = Cmd::new("ip", ["address", "add"]).args(written(address)).args(detail(address, dev)).args(["dev", dev]);
            if !v4 && (sourced || address.detail.unchecked) {
                // A route can use it as its source immediately.
                cmd = cmd.arg("nodad");
            }
            cmds.push(cmd);
        }
    }
    // Routes that others depend on come first. A route whose router is unreachable, because its address was removed
    // earlier, cannot be created again: the kernel has kept or dropped it.
    let (near, far): (Vec<&Route>, Vec<&Route>) = routes.iter().filter(|r| r.is_reached(after, routes)).partition(|r| r.gateway.is_none());
    cmds.extend(near.into_iter().chain(far).map(|route| linux_route(route, dev)));
    cmds
}

fn written(address: &Assigned) -> Vec<String> {
    match address.detail.peer {
        Some(peer) => vec![address.address.address.to_string(), "peer".into(), format!("{peer}/{}", address.address.prefix)],
        None => vec![address.address.to_string()],
    }
}

fn detail(address: &Assigned, dev: &str) -> Vec<String> {
    let detail = &address.detail;
    let mut words = Vec::new();
    let mut put = |word: &str, value: Option<String>| words.extend(value.into_iter().flat_map(|v| [word.to_owned(), v]));
    put("broadcast", detail.broadcast.map(|b: IpAddr| b.to_string()));
    // A label of another interface would be refused.
    put("label", detail.label.clone().filter(|label| label.starts_with(dev)));
    put("metric", detail.metric.map(|m| m.to_string()));
    put("valid_lft", detail.valid.map(|s| s.to_string()));
    put("preferred_lft", detail.preferred.map(|s| s.to_string()));
    words.extend(detail.no_route.then(|| "noprefixroute".to_owned()));
    words.extend(detail.managed.then(|| "mngtmpaddr".to_owned()));
    words
}

fn linux_route(route: &Route, dev: &str) -> Cmd {
    let cmd = if route.v6 { Cmd::new("ip", ["-6", "route", "replace"]) } else { Cmd::new("ip", ["route", "replace"]) };
    let mut words: Vec<String> = route.kind.iter().chain([&route.destination]).cloned().collect();
    // A router of the other family has to be named with its family.
    if let Some(via) = route.gateway {
        let family = (via.is_ipv6() && !route.v6).then(|| "inet6".to_owned());
        words.extend(["via".to_owned()].into_iter().chain(family).chain([via.to_string()]));
    }
    let mut put = |word: &str, value: Option<String>| words.extend(value.into_iter().flat_map(|v| [word.to_owned(), v]));
    put("src", route.source.map(|s| s.to_string()));
    put("table", route.table.clone());
    put("proto", route.protocol.clone());
    put("scope", route.scope.clone());
    put("metric", route.metric.map(|m| m.to_string()));
    words.extend(route.attributes.iter().cloned());
    let cmd = cmd.args(words).args(["dev", dev]);
    if route.onlink { cmd.arg("onlink") } else { cmd }
}

/// With ifconfig and route. Routes that others depend on come first.
pub(super) fn freebsd(interface: &IfName, before: &[Assigned], after: &[Assigned], routes: (&[Route], &[Route])) -> Vec<Cmd> {
    let ifconfig = |address: &Assigned, text: String, word: &str| {
        let family = if address.address.address.is_ipv4() { "inet" } else { "inet6" };
        Cmd::new("ifconfig", [interface.as_str(), family, &text, word])
    };
    let (gone, new) = delta(before, after);
    let (routes_before, routes_after) = routes;
    let mut cmds: Vec<Cmd> = Vec::new();
    // The default route without its router is one that was learnt, and is deleted too.
    let known = |r: &&Route| r.is_default() || r.gateway.is_some();
    let going = routes_before.iter().filter(known).filter(|r| !routes_after.contains(r));
    cmds.extend(going.map(|r| freebsd_route("delete", r)));
    cmds.extend(gone.into_iter().map(|a| ifconfig(a, a.address.address.to_string(), "-alias")));
    cmds.extend(new.into_iter().map(|a| ifconfig(a, a.address.to_string(), "alias")));
    let made = |r: &&Route| r.gateway.is_some() && !routes_before.contains(r) && r.is_reached(after, routes_after);
    cmds.extend(routes_after.iter().filter(made).map(|r| freebsd_route("add", r)));
    cmds
}

fn freebsd_route(verb: &str, route: &Route) -> Cmd {
    let cmd = Cmd::new("route", [if route.v6 { "-6" } else { "-4" }, verb]);
    let via = route.gateway.map(|via| via.to_string());
    if route.is_default() {
        // At its deletion the router is not named: there is one default route.
        return cmd.arg("default").args(via.filter(|_| verb == "add"));
    }
    cmd.arg(if route.destination.contains('/') { "-net" } else { "-host" }).arg(&route.destination).args(via)
}
