//! The commands that list the host's routes, and parsing their output: `ip -d route` of iproute2, `netstat -rn` of FreeBSD.
//!
//! Linux's routes are read from the text output, whose words are those of `ip route add`: the JSON output omits some
//! attributes, such as the lock of an MTU.
//!
//! Not here: which routes move with an interface ([`super::address`]), the commands that create them ([`crate::os`]).

use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::os::Route;
use crate::os::state::unreadable;
use crate::os::{Intent, Os, linux};
use crate::value::IfName;
use std::collections::BTreeMap;

/// The commands that list routes, IPv4 first.
pub fn questions(os: Os) -> Vec<Cmd> {
    match os {
        Os::FreeBsd => vec![Cmd::new("netstat", ["-rnW", "-f", "inet"]), Cmd::new("netstat", ["-rnW", "-f", "inet6"])],
        Os::Linux => {
            let all = |family| Cmd::new(linux::ip::TOOL, ["-d", family, "route", "show", "table", "all"]);
            vec![all("-4"), all("-6")]
        }
    }
}

/// Whether a failed command of [`questions`] states that there is no such route, or that the kernel lacks the family.
/// Any other failure leaves the routes unknown.
pub fn are_absent(os: Os, stderr: &str) -> bool {
    let stderr = stderr.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    match os {
        Os::FreeBsd => says(&["unknown or uninstrumented protocol", "not supported"]),
        Os::Linux => says(&["not supported"]),
    }
}

/// Parses the output of one of [`questions`]: routes that the kernel did not create itself, each with its interface.
///
/// # Errors
/// It has an unexpected form.
pub fn read(os: Os, answer: &str, v6: bool) -> Result<Vec<(String, Route)>> {
    match os {
        Os::FreeBsd => netstat(answer, v6),
        Os::Linux => ip_route(answer, v6),
    }
}

/// Refuses steps that move addresses of an interface with a route that could not be restored exactly.
///
/// # Errors
/// There is such a route.
pub fn can_move<'a>(os: Os, intents: impl IntoIterator<Item = &'a Intent>) -> Result<()> {
    let fixed = intents.into_iter().find_map(|intent| {
        let Intent::SetAddresses { interface, routes_before, routes_after, .. } = intent else { return None };
        routes_before.iter().chain(routes_after).find_map(|route| Some((interface, route, route.fixed.as_ref()?)))
    });
    fixed.map_or(Ok(()), |(interface, route, fixed)| Err(refused(os, interface, route, fixed)))
}

fn refused(os: Os, interface: &IfName, route: &Route, fixed: &str) -> Problem {
    if os == Os::FreeBsd {
        let family = if route.v6 { "-6" } else { "-4" };
        return Problem::not_now(format!("cannot move the addresses of {interface}: its route `{}` cannot be restored exactly", route.destination))
            .on(interface)
            .because(fixed)
            .hint(format!(
                "at the host's console, delete it first (`route {family} delete {}`), repeat the command, and add it again afterwards; `netstat -rn` shows it",
                route.destination
            ));
    }
    let family = if route.v6 { "-6 " } else { "" };
    let table = route.table.as_ref().map_or_else(String::new, |table| format!(" table {table}"));
    Problem::not_now(format!("cannot move the addresses of {interface}: its route `{}` cannot be restored exactly", route.destination))
        .on(interface)
        .because(fixed)
        .hint(format!(
            "`ip {family}route show {}{table}` shows it; replace it by a route with one router, then repeat the command",
            route.destination
        ))
        .hint(format!(
            "or, at the host's console, delete it first (`ip {family}route delete {}{table}`), and add it again afterwards",
            route.destination
        ))
}

/// The table of netstat(1). Networks that the host is in, its own addresses and what redirects have added are no routes that
/// somebody configured.
fn netstat(answer: &str, v6: bool) -> Result<Vec<(String, Route)>> {
    let mut columns: Option<Vec<&str>> = None;
    let mut all = Vec::new();
    for line in answer.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some(heading) = &columns else {
            if words[0] == "Destination" {
                columns = Some(words);
            }
            continue;
        };
        let of = |name: &str| heading.iter().position(|column| *column == name).and_then(|at| words.get(at)).copied();
        let (Some(destination), Some(gateway), Some(flags), Some(dev)) = (of("Destination"), of("Gateway"), of("Flags"), of("Netif"))
        else {
            return Err(unreadable("netstat", line));
        };
        let has = |flag: char| flags.contains(flag);
        if !(has('G') || has('S')) || has('D') || has('H') && gateway.starts_with("link#") {
            continue;
        }
        let mut route = Route { gateway: gateway.parse().ok(), ..Route::to(destination, v6) };
        // A router with a zone (fe80::1%em0) was learnt from an advertisement, and is learnt again on the bridge.
        if !route.is_default() && route.gateway.is_none() {
            route.fixed = Some(format!("it leads to `{gateway}`, which is no router's address"));
        } else if has('R') || has('B') {
            route.fixed = Some("it rejects packets".to_owned());
        }
        all.push((dev.to_owned(), route));
    }
    Ok(all)
}

/// A route of several lines has one next hop in each line after the first, which is indented.
fn ip_route(answer: &str, v6: bool) -> Result<Vec<(String, Route)>> {
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in answer.lines().filter(|l| !l.trim().is_empty()) {
        match (line.starts_with(['\t', ' ']), blocks.last_mut()) {
            (true, Some((_, hops))) => hops.push(line.trim()),
            (true, None) => return Err(unreadable(linux::ip::TOOL, line)),
            (false, _) => blocks.push((line, Vec::new())),
        }
    }
    let mut all = Vec::new();
    for (line, hops) in blocks {
        let (dev, mut route) = one(line, v6).ok_or_else(|| unreadable(linux::ip::TOOL, line))?;
        // Older kernels create the multicast route of each interface without naming themselves as its origin.
        if route.protocol.as_deref() == Some("kernel") || route.destination == "ff00::/8" {
            continue;
        }
        let mut devs: Vec<&str> = dev.into_iter().collect();
        if !hops.is_empty() {
            route.fixed = Some(format!("it has several next hops: {}", hops.join(", ")));
            devs.extend(hops.iter().filter_map(|hop| hop.split_ascii_whitespace().skip_while(|w| *w != "dev").nth(1)));
            devs.sort_unstable();
            devs.dedup();
        }
        all.extend(devs.into_iter().map(|dev| (dev.to_owned(), route.clone())));
    }
    mark_ambiguous(&mut all);
    Ok(all)
}

/// A route without its next hops, with its interface if it has only one; `None` if it is malformed.
fn one(line: &str, v6: bool) -> Option<(Option<&str>, Route)> {
    /// Types that `ip -d` prints before the destination; all but `unicast` have to be named when the route is created.
    const TYPES: [&str; 9] = ["unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw"];
    let mut words = line.split_ascii_whitespace().peekable();
    let kind = words.next_if(|w| TYPES.contains(w)).filter(|kind| *kind != "unicast");
    let mut route = Route { kind: kind.map(str::to_owned), ..Route::to(words.next()?, v6) };
    let mut dev = None;
    while let Some(word) = words.next() {
        match word {
            "dev" => dev = Some(words.next()?),
            "via" => {
                let _ = words.next_if(|w| ["inet", "inet6"].contains(w));
                route.gateway = Some(words.next()?.parse().ok()?);
            }
            "src" => route.source = Some(words.next()?.parse().ok()?),
            "metric" => route.metric = Some(words.next()?.parse().ok()?),
            "table" => route.table = Some(words.next()?.to_owned()).filter(|table| table != "main"),
            "proto" => route.protocol = Some(words.next()?.to_owned()).filter(|origin| origin != "boot"),
            "scope" => route.scope = Some(words.next()?.to_owned()),
            "onlink" => route.onlink = true,
            // The state of the link or of the network hardware, not of the route.
            "linkdown" | "dead" | "offload" | "trap" | "rt_offload" | "rt_trap" => {}
            "expires" => route.attributes.extend([word.to_owned(), words.next()?.trim_end_matches("sec").to_owned()]),
            "tos" | "pref" | "window" | "rtt" | "rttvar" | "rto_min" | "ssthresh" | "cwnd" | "initcwnd" | "initrwnd" | "mtu" | "advmss"
            | "reordering" | "hoplimit" | "quickack" | "features" | "congctl" => {
                // `ip route add` always locks this one, and refuses the word.
                let lock = words.next_if_eq(&"lock").filter(|_| word != "rto_min");
                let value = words.next()?;
                // The preference that each route of IPv6 has by default.
                if (word, value) != ("pref", "medium") {
                    route.attributes.extend([Some(word), lock, Some(value)].into_iter().flatten().map(str::to_owned));
                }
            }
            // The number of its values is unknown, so the words after it are not read.
            unknown => {
                route.fixed = Some(format!("it has the attribute `{unknown}`, which chyves cannot set"));
                break;
            }
        }
    }
    // The scope that the kernel sets itself.
    if v6 || route.gateway.is_some() && route.scope.as_deref() == Some("global") {
        route.scope = None;
    }
    Some((dev, route))
}

/// Routes with the same destination and metric: creating one of them again would replace another.
fn mark_ambiguous(all: &mut [(String, Route)]) {
    let key = |r: &Route| {
        let tos = r.attributes.iter().skip_while(|w| *w != "tos").nth(1).cloned();
        (r.destination.clone(), r.table.clone(), r.metric, tos)
    };
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for (_, route) in all.iter() {
        *seen.entry(key(route)).or_default() += 1;
    }
    for (_, route) in all.iter_mut().filter(|(_, r)| r.fixed.is_none()) {
        if seen.get(&key(route)).is_some_and(|n| *n > 1) {
            route.fixed = Some("another route has the same destination and metric".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_freebsd_are_read() {
        let text = "Routing tables\n\nInternet:\n\
            Destination        Gateway            Flags   Nhop#    Mtu      Netif Expire\n\
            default            192.168.1.1        UGS         4   1500        em0\n\
            10.5.0.0/16        192.168.1.9        UGS         5   1500        em0\n\
            10.6.6.6           192.168.1.9        UGHS        5   1500        em0\n\
            10.7.0.0/16        link#1             US          6   1500        em0\n\
            10.8.0.0/16        192.168.1.9        UGHD        7   1500        em0\n\
            127.0.0.1          link#2             UH          1  16384        lo0\n\
            192.168.1.0/24     link#1             U           2   1500        em0\n\
            192.168.1.10       link#1             UHS         3  16384        lo0\n";
        let via = |destination: &str, router: &str| Route { gateway: router.parse().ok(), ..Route::to(destination, false) };
        let all = read(Os::FreeBsd, text, false).unwrap();
        let (sound, fixed): (Vec<_>, Vec<_>) =
            all.iter().map(|(dev, route)| (dev.as_str(), route.clone())).partition(|(_, r)| r.fixed.is_none());
        let wanted = [via("default", "192.168.1.1"), via("10.5.0.0/16", "192.168.1.9"), via("10.6.6.6", "192.168.1.9")];
        assert_eq!(sound, wanted.map(|route| ("em0", route)));
        assert!(fixed.len() == 1 && fixed[0].1.destination == "10.7.0.0/16", "{fixed:?}");
        // Without -W, or of older releases.
        let text = "Routing tables\n\nInternet6:\nDestination Gateway Flags Netif Expire\n\
            default fe80::1%em0 UG em0\n2001:db8:5::/48 2001:db8::9 UGS em0\n::/96 ::1 UGRS lo0\nfe80::%em0/64 link#1 U em0\n";
        let all = read(Os::FreeBsd, text, true).unwrap();
        assert_eq!(
            all.iter().map(|(dev, r)| (dev.as_str(), r.destination.as_str())).collect::<Vec<_>>(),
            [("em0", "default"), ("em0", "2001:db8:5::/48"), ("lo0", "::/96")]
        );
        assert!(all[0].1.gateway.is_none() && all[1].1.gateway == "2001:db8::9".parse().ok());
        assert!(read(Os::FreeBsd, "Routing tables\n", false).unwrap().is_empty());
        assert!(read(Os::FreeBsd, "Destination Gateway Flags Netif\ndefault 192.168.1.1\n", false).is_err());
    }

    #[test]
    fn routes_of_linux_are_read_with_all_attributes() {
        let text = "unicast default via 10.7.0.2 dev em0 table main proto static scope global metric 7 onlink \n\
            unicast 10.7.0.0/24 dev em0 table main proto kernel scope link src 10.7.0.1 \n\
            local 10.7.0.1 dev em0 table local proto kernel scope host src 10.7.0.1 \n\
            unicast 10.9.0.0/16 dev em0 table 100 proto boot scope link src 10.7.0.1 linkdown \n\
            unicast 198.51.100.7 via 192.0.2.9 dev em0 table main proto boot scope global mtu lock 1300 rto_min lock 200ms features ecn \n\
            local 10.99.0.0/24 dev em0 table local proto boot scope host \n\
            unicast 10.45.0.0/24 via inet6 fd00::7 dev em0 table main proto boot scope global \n";
        let all = read(Os::Linux, text, false).unwrap();
        assert!(all.iter().all(|(dev, r)| dev == "em0" && r.fixed.is_none()) && all.len() == 5, "{all:?}");
        assert!(all[0].1.onlink && all[0].1.is_default() && all[0].1.metric == Some(7));
        assert_eq!((all[0].1.protocol.as_deref(), all[0].1.scope.as_deref()), (Some("static"), None));
        assert_eq!((all[1].1.table.as_deref(), all[1].1.source), (Some("100"), "10.7.0.1".parse().ok()));
        assert_eq!(all[2].1.attributes.join(" "), "mtu lock 1300 rto_min 200ms features ecn");
        assert_eq!((all[3].1.kind.as_deref(), all[3].1.scope.as_deref()), (Some("local"), Some("host")));
        assert_eq!(all[4].1.gateway, "fd00::7".parse().ok());
        let text =
            "unicast default via fe80::9 dev em0 table main proto ra scope global metric 1024 expires 99sec hoplimit 64 pref high \n";
        let all = read(Os::Linux, text, true).unwrap();
        assert_eq!(all[0].1.attributes.join(" "), "expires 99 hoplimit 64 pref high");
        assert!(read(Os::Linux, "", false).unwrap().is_empty());
        for bad in ["\tnexthop via 10.0.0.1 dev em0\n", "default via\n", "default via x dev em0\n"] {
            assert!(read(Os::Linux, bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_that_cannot_be_restored_is_recorded_with_the_reason() {
        let text = "unicast default table main proto boot scope global \n\
            \tnexthop via 192.0.2.9 dev em0 weight 1 \n\
            \tnexthop via 192.0.2.8 dev em1 weight 3 \n\
            unicast 10.44.0.0/24 via 192.0.2.7 dev em0 table main proto boot scope global \n\
            unicast 10.44.0.0/24 via 192.0.2.6 dev em0 table main proto boot scope global \n\
            unicast 10.46.0.0/24 via 192.0.2.6 dev em0 table main proto boot scope global realm 7 \n";
        let all = read(Os::Linux, text, false).unwrap();
        let told: Vec<(&str, &str, &str)> =
            all.iter().map(|(dev, r)| (dev.as_str(), r.destination.as_str(), r.fixed.as_deref().unwrap_or(""))).collect();
        let hops = "it has several next hops: nexthop via 192.0.2.9 dev em0 weight 1, nexthop via 192.0.2.8 dev em1 weight 3";
        let twice = "another route has the same destination and metric";
        assert_eq!(
            told,
            [
                ("em0", "default", hops),
                ("em1", "default", hops),
                ("em0", "10.44.0.0/24", twice),
                ("em0", "10.44.0.0/24", twice),
                ("em0", "10.46.0.0/24", "it has the attribute `realm`, which chyves cannot set"),
            ]
        );
        let moving = |routes: Vec<Route>| Intent::SetAddresses {
            interface: "em0".parse().unwrap(),
            before: Vec::new(),
            after: Vec::new(),
            routes_before: routes,
            routes_after: Vec::new(),
        };
        let problem = can_move(Os::Linux, [&moving(vec![all[0].1.clone()])]).unwrap_err();
        assert!(problem.message.contains("em0") && problem.message.contains("`default`"), "{problem:?}");
        can_move(Os::Linux, [&moving(vec![Route::to("default", false)])]).unwrap();
        let problem = can_move(Os::FreeBsd, [&moving(vec![all[2].1.clone()])]).unwrap_err();
        assert!(problem.hints[0].contains("`route -4 delete 10.44.0.0/24`"), "{problem:?}");
    }

    #[test]
    fn a_failed_command_is_no_proof_that_there_is_no_route() {
        assert!(are_absent(Os::FreeBsd, "netstat: inet6: unknown or uninstrumented protocol\n"));
        assert!(are_absent(Os::Linux, "RTNETLINK answers: Operation not supported\n"));
        for (os, text) in [(Os::FreeBsd, "usage: route [-nqv] command\n"), (Os::FreeBsd, ""), (Os::Linux, "Cannot send dump request\n")] {
            assert!(!are_absent(os, text), "{text}");
        }
    }
}
