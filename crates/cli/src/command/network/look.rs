//! The actual state of the networks, and how it differs from the desired one: list, check, nat.

use super::{facts, facts_with, look_at};
use crate::command::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Backend;
use chyves_core::network::compare::Close;
use chyves_core::network::{APPLIED, IfKind, STARTED, nat as rules};
use chyves_core::os::{Os, taps};
use chyves_core::plan::network::{apply, bridge::networks};
use chyves_core::value::IfName;
use chyves_host::observe::{Look, Which};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const COLUMNS: [&str; 11] = ["bridge", "type", "state", "uplink", "vlan", "mtu", "address", "guests", "members", "made", "description"];

pub(crate) fn list(session: &Session, args: &ListArgs) -> Result<()> {
    let world = look_at(session, &Look { guests: Which::All, ..Look::default() })?;
    let mut users: BTreeMap<IfName, BTreeSet<String>> = BTreeMap::new();
    let mut names: BTreeMap<uuid::Uuid, String> = BTreeMap::new();
    // Netgraph nodes that NICs name, whether or not the host's settings have them.
    let mut nodes: BTreeSet<IfName> = BTreeSet::new();
    for guest in &world.guests {
        names.insert(guest.uuid, guest.name.to_string());
        let Ok(spec) = guest.spec() else { continue };
        for name in networks(&spec, &world.host) {
            users.entry(name).or_default().insert(guest.name.to_string());
        }
        let on_nodes = spec.nets.iter().filter(|net| net.backend == Backend::Netgraph);
        nodes.extend(on_nodes.filter_map(|net| net.netgraph.as_ref()?.split(':').next()?.parse::<IfName>().ok()));
    }
    let facts = facts_with(session, &world, !nodes.is_empty())?;
    let there = facts.actual.interfaces.iter().filter(|(_, i)| i.kind.bridges()).filter_map(|(n, _)| n.parse().ok());
    let all: BTreeSet<IfName> = facts.design.bridges().map(|b| b.name.clone()).chain(users.keys().cloned()).chain(there).collect();
    let mut table = Table::new(COLUMNS);
    let mut some_netgraph = false;
    for name in all {
        let (spec, seen) = (facts.design.get(&name), facts.actual.get(name.as_str()));
        let state = match seen {
            Some(i) if !i.kind.bridges() => "no bridge",
            Some(i) if i.up => "up",
            Some(_) => "down",
            None => "absent",
        };
        let uplink = match spec {
            Some(s) if s.private => Some("private".to_owned()),
            Some(s) => s.uplink.as_ref().map(ToString::to_string).or_else(|| s.nat.as_ref().map(|n| format!("nat:{n}"))),
            None => None,
        };
        let made = seen.filter(|i| i.kind.bridges()).map(|i| match i.mark.as_str() {
            STARTED => "at a start",
            APPLIED => "by command",
            _ => "elsewhere",
        });
        let addresses: Vec<String> = match (seen, spec) {
            (Some(seen), _) => seen.addresses.iter().map(ToString::to_string).collect(),
            (None, Some(spec)) => spec.addresses.iter().map(ToString::to_string).collect(),
            (None, None) => Vec::new(),
        };
        let member = |m: &String| {
            let guest = facts.actual.get(m).and_then(|i| taps::owner_of(&i.mark)).and_then(|u| names.get(&u));
            guest.map_or_else(|| m.clone(), |g| format!("{m}({g})"))
        };
        let members: Vec<String> = seen.map(|i| i.members.iter().map(member).collect()).unwrap_or_default();
        let joined = |words: Vec<String>| if words.is_empty() { Cell::none() } else { Cell::text(words.join(",")) };
        let netgraph = seen.map_or_else(|| spec.map_or_else(|| nodes.contains(&name), |s| s.netgraph), |i| i.kind == IfKind::Netgraph);
        some_netgraph |= netgraph;
        let mtu = seen.map(|i| i.mtu).or_else(|| spec.and_then(|s| s.mtu));
        table.rows.push(vec![
            Cell::text(name.as_str()),
            Cell::text(if netgraph { "netgraph" } else { "bridge" }),
            Cell::text(state),
            Cell::maybe(uplink),
            spec.and_then(|s| s.vlan).map_or_else(Cell::none, |v| Cell::number(v.to_string(), v.into())),
            mtu.map_or_else(Cell::none, |m| Cell::number(m.to_string(), m.into())),
            joined(addresses),
            joined(users.remove(&name).unwrap_or_default().into_iter().collect()),
            joined(members),
            Cell::maybe(made.map(str::to_owned)),
            Cell::maybe(spec.and_then(|s| s.description.clone())),
        ]);
    }
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("there are no bridges; `chyves network bridge0 attach INTERFACE` creates one, `chyves network bridge0 private` one without an uplink");
    }
    let mut args = args.clone();
    if args.columns.is_empty() && !session.ui.json {
        args.columns = ["bridge", "state", "uplink", "vlan", "mtu", "address", "guests", "made"].map(str::to_owned).to_vec();
        // If all are of one type, the column is omitted.
        if some_netgraph {
            args.columns.insert(1, "type".to_owned());
        }
    }
    show(session, table, &args)
}

pub(super) fn check(session: &Session) -> Result<()> {
    let world = look_at(session, &Look { guests: Which::All, ..Look::default() })?;
    let facts = facts(session, &world)?;
    let differences = apply::differences(&world, &facts);
    let mut shown = Vec::new();
    let mut text = String::new();
    for difference in &differences {
        let cures: Vec<String> = match &difference.close {
            Close::By(intents) => intents.iter().flat_map(|i| i.commands(world.host.os)).map(|c| c.to_string()).collect(),
            Close::Cant(problem) => problem.hints.clone(),
        };
        let can = matches!(difference.close, Close::By(_));
        text.push_str(&format!("{}: {}\n", difference.object, difference.says));
        if let Close::Cant(problem) = &difference.close {
            problem.causes.iter().for_each(|cause| text.push_str(&format!("    because {cause}\n")));
        }
        if can {
            text.push_str("    cure: `chyves network apply`, which runs:\n");
        }
        for cure in &cures {
            text.push_str(&if can { format!("        {cure}\n") } else { format!("    cure: {cure}\n") });
        }
        shown.push(json!({ "object": difference.object, "difference": difference.says, "by_apply": can, "cure": cures }));
    }
    if session.ui.json {
        session.ui.answer_json(json!(shown));
    } else {
        session.ui.answer(&text);
    }
    for spec in apply::waiting(&world, &facts) {
        session.ui.say(&format!("{} does not exist, and no running guest uses it; a start creates it", spec.name));
    }
    match differences.len() {
        0 => {
            session.ui.say("the host's networks are as configured");
            Ok(())
        }
        n => {
            let some = differences.iter().any(|d| matches!(d.close, Close::By(_)));
            let words = if n == 1 { "one difference".to_owned() } else { format!("{n} differences") };
            Err(Problem::host_cant(format!("the host's networks differ from the configuration: {words}"))
                .hint_if(some.then(|| "`chyves network apply` applies what it can; a start applies what its guest needs".to_owned())))
        }
    }
}

pub(super) fn nat(session: &Session, bridge: &IfName) -> Result<()> {
    let world = look_at(session, &Look::default())?;
    let design = chyves_core::network::Design::read(&world.primary()?.own)?;
    let spec = design.must(bridge.as_str())?;
    let text = match world.host.os {
        Os::FreeBsd => rules::pf(spec),
        Os::Linux => rules::nftables(spec),
    };
    let text = text.ok_or_else(|| {
        Problem::not_now(format!("`{}` has no NAT", spec.name))
            .on(&spec.name)
            .hint(format!("`chyves network {} set nat=INTERFACE address=10.0.0.1/24`", spec.name))
    })?;
    if session.ui.json {
        session.ui.answer_json(json!({ "bridge": spec.name, "rules": text }));
    } else {
        session.ui.answer(&text);
    }
    Ok(())
}
