//! NICs of guests: add, remove, set, move; join and unjoin, their names in 2016.

use super::assignments;
use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::value::IfName;
use chyves_engine::answer::Assignment;
use chyves_engine::op::{NicChange, NicChangeKind, NicChanged, NicNetwork, NicOf, NicWord};

/// Parses the combination of `tap`, `tap5`, `vale0:web1`, `user`, `netgraph=lan:` and a bridge's name.
fn network(words: &[String]) -> Result<(NicNetwork, Vec<Assignment>)> {
    let (settings, names): (Vec<String>, Vec<String>) = words.iter().cloned().partition(|w| w.contains('='));
    let mut settings = assignments(&settings)?;
    let mut take = |key: &str| settings.iter().position(|one| one.key == key).map(|at| settings.remove(at).value);
    if let Some(hook) = take("netgraph") {
        return Ok((NicNetwork::Netgraph(hook), settings));
    }
    let bridge = take("bridge");
    let usage = || {
        Problem::usage("a NIC has one network")
            .hint("`chyves network add web01`, `… tap5 bridge1`, `… bridge1`, `… vale0:web1`, `… user`, `… netgraph=lan:`")
    };
    let parsed = |word: Option<&str>| word.map(str::parse::<IfName>).transpose();
    let network = match (&names[..], bridge) {
        ([one], None) if one == "user" => NicNetwork::User,
        ([one], None) if one.starts_with("vale") && (one.contains(':') || one[4..].bytes().all(|b| b.is_ascii_digit())) => {
            NicNetwork::Vale(one.clone())
        }
        ([], bridge) => NicNetwork::Tap { tap: None, bridge: parsed(bridge.as_deref())? },
        ([one], bridge) if one == "tap" => NicNetwork::Tap { tap: None, bridge: parsed(bridge.as_deref())? },
        ([one], bridge) if is_tap(one) => NicNetwork::Tap { tap: parsed(Some(one))?, bridge: parsed(bridge.as_deref())? },
        ([one], None) => NicNetwork::Tap { tap: None, bridge: parsed(Some(one))? },
        ([tap, bridge], None) => {
            NicNetwork::Tap { tap: if tap == "tap" { None } else { parsed(Some(tap))? }, bridge: parsed(Some(bridge))? }
        }
        _ => return Err(usage()),
    };
    Ok((network, settings))
}

/// A single word is a tap if it has the name of one; any other word is a bridge.
fn is_tap(word: &str) -> bool {
    word.strip_prefix("tap").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

pub(super) fn add(session: &Session, guests: &str, words: &[String]) -> Result<()> {
    let (network, set) = network(words)?;
    change(session, of(guests)?, NicChangeKind::Add { network, set })
}

pub(super) fn remove(session: &Session, guests: &str, nic: &str) -> Result<()> {
    change(session, of(guests)?, NicChangeKind::Remove { nic: nic.to_owned() })
}

pub(super) fn set(session: &Session, guests: &str, nic: Option<&str>, words: &[String]) -> Result<()> {
    let set = assignments(words)?;
    change(session, of(guests)?, NicChangeKind::Set { nic: nic.map(str::to_owned), set })
}

pub(super) fn relocate(session: &Session, guests: &str, words: &[String]) -> Result<()> {
    let (nic, bridge) = match words {
        [bridge] => (None, bridge),
        [nic, bridge, ..] => (Some(nic.clone()), bridge),
        [] => return Err(Problem::usage("where to?").hint("`chyves network move GUEST BRIDGE`")),
    };
    change(session, of(guests)?, NicChangeKind::Move { nic, bridge: bridge.parse()? })
}

pub(super) fn join(session: &Session, bridge: &IfName, tap: &str) -> Result<()> {
    change(session, NicOf::Tap(tap.to_owned()), NicChangeKind::Move { nic: None, bridge: bridge.clone() })
}

pub(super) fn unjoin(session: &Session, bridge: &IfName, tap: &str) -> Result<()> {
    change(session, NicOf::Tap(tap.to_owned()), NicChangeKind::Return { nic: None, from: bridge.clone() })
}

fn of(guests: &str) -> Result<NicOf> {
    Targets::parse(&[guests]).map(NicOf::Guests)
}

fn change(session: &Session, of: NicOf, change: NicChangeKind) -> Result<()> {
    session.show_each(session.run(&NicChange { of, change })?, said)
}

/// What is said of a NIC that was changed.
fn said(changed: &NicChanged) -> String {
    let nic = changed.nic.map(|number| format!("net{number} ")).unwrap_or_default();
    match changed.done {
        NicWord::Added => format!("{nic}added"),
        NicWord::Removed => format!("{nic}removed"),
        NicWord::Set => "set".to_owned(),
        NicWord::Moved => format!("{nic}is on {}", changed.bridge.as_deref().unwrap_or_default()),
    }
}
