//! The actual state of the networks, and how it differs from the desired one: list, check, nat.

use crate::command::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::Result;
use chyves_core::value::IfName;
use chyves_engine::op::{Bridge, BridgeState, BridgeType, Difference, Made, Member, NetworkCheck, NetworkList, NetworkNat};
use serde_json::json;

const COLUMNS: [&str; 11] = ["bridge", "type", "state", "uplink", "vlan", "mtu", "address", "guests", "members", "made", "description"];

pub(crate) fn list(session: &Session, args: &ListArgs) -> Result<()> {
    let answer = session.run(&NetworkList {})?.answer.unwrap_or_default();
    let table = Table::of(&COLUMNS, &answer, row);
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("there are no bridges; `chyves network bridge0 attach INTERFACE` creates one, `chyves network bridge0 private` one without an uplink");
    }
    let mut usual = vec!["bridge", "state", "uplink", "vlan", "mtu", "address", "guests", "made"];
    // If all are of one type, the column is omitted.
    if answer.iter().any(|one| one.kind == BridgeType::Netgraph) {
        usual.insert(1, "type");
    }
    show(session, table, &args.or_columns(session, &usual))
}

fn row(one: &Bridge) -> Vec<Cell> {
    let joined = |words: &[String]| if words.is_empty() { Cell::none() } else { Cell::text(words.join(",")) };
    let number = |number: Option<u32>| number.map_or_else(Cell::none, |n| Cell::number(n.to_string(), n.into()));
    let uplink = if one.private { Some("private".to_owned()) } else { one.uplink.clone() };
    let member = |member: &Member| match &member.guest {
        Some(guest) => format!("{}({guest})", member.interface),
        None => member.interface.clone(),
    };
    vec![
        Cell::text(&one.bridge),
        Cell::text(match one.kind {
            BridgeType::Bridge => "bridge",
            BridgeType::Netgraph => "netgraph",
        }),
        Cell::text(match one.state {
            BridgeState::Up => "up",
            BridgeState::Down => "down",
            BridgeState::Absent => "absent",
            BridgeState::NoBridge => "no bridge",
        }),
        Cell::maybe(uplink.or_else(|| one.nat.as_ref().map(|interface| format!("nat:{interface}")))),
        number(one.vlan.map(u32::from)),
        number(one.mtu),
        joined(&one.address),
        joined(&one.guests),
        joined(&one.members.iter().map(member).collect::<Vec<_>>()),
        one.made.map_or_else(Cell::none, |made| {
            Cell::text(match made {
                Made::AtStart => "at a start",
                Made::ByCommand => "by command",
                Made::Elsewhere => "elsewhere",
            })
        }),
        Cell::maybe(one.description.clone()),
    ]
}

pub(super) fn check(session: &Session) -> Result<()> {
    let outcome = session.run(&NetworkCheck {})?;
    let differences = outcome.answer.unwrap_or_default();
    if session.ui.json {
        session.ui.answer_json(json!(differences));
    } else {
        session.ui.answer(&differences.iter().map(words).collect::<String>());
    }
    if outcome.problem.is_none() {
        session.ui.say("the host's networks are as configured");
    }
    outcome.problem.map_or(Ok(()), Err)
}

fn words(one: &Difference) -> String {
    let mut text = format!("{}: {}\n", one.object, one.message);
    one.causes.iter().for_each(|cause| text.push_str(&format!("    because {cause}\n")));
    if one.by_apply {
        text.push_str("    cure: `chyves network apply`, which runs:\n");
    }
    for cure in &one.cure {
        text.push_str(&if one.by_apply { format!("        {cure}\n") } else { format!("    cure: {cure}\n") });
    }
    text
}

pub(super) fn nat(session: &Session, bridge: &IfName) -> Result<()> {
    let Some(answer) = session.run(&NetworkNat { bridge: bridge.clone() })?.answer else { return Ok(()) };
    if session.ui.json {
        session.ui.answer_json(json!(answer));
    } else {
        session.ui.answer(&answer.rules);
    }
    Ok(())
}
