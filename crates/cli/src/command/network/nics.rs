//! NICs of guests: add, remove, set, move; join and unjoin, their names in 2016.

use super::{facts, pairs};
use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::{Code, Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::network::nics::{self, What};
use chyves_core::property::keys::{self, NetKey};
use chyves_core::value::IfName;
use chyves_core::world::World;
use chyves_host::network;
use chyves_host::observe::{self, Look, Which};
use serde_json::json;

/// Adds all guests to a world, to check what must be unique.
fn with_all(session: &Session, world: &World, guest: &Guest) -> Result<World> {
    let mut world = world.clone();
    let all = observe::world(&session.runtime, &Look { guests: Which::All, ..Look::default() })?.guests;
    world.guests.extend(all.into_iter().filter(|g| g.dataset != guest.dataset));
    Ok(world)
}

/// Parses the combination of `tap`, `tap5`, `vale0:web1`, `user`, `netgraph=lan:` and a bridge's name.
fn what(words: &[String]) -> Result<(What, Vec<(String, String)>)> {
    let (settings, names): (Vec<String>, Vec<String>) = words.iter().cloned().partition(|w| w.contains('='));
    let mut settings = pairs(&settings)?;
    if let Some(at) = settings.iter().position(|(k, _)| k == "netgraph") {
        return Ok((What::Netgraph(settings.remove(at).1), settings));
    }
    let take =
        |settings: &mut Vec<(String, String)>, key: &str| settings.iter().position(|(k, _)| k == key).map(|at| settings.remove(at).1);
    let bridge = take(&mut settings, "bridge");
    let usage = || {
        Problem::usage("a NIC has one network")
            .hint("`chyves network add web01`, `… tap5 bridge1`, `… bridge1`, `… vale0:web1`, `… user`, `… netgraph=lan:`")
    };
    let parsed = |word: Option<&str>| word.map(str::parse::<IfName>).transpose();
    let what = match (&names[..], bridge) {
        ([one], None) if one == "user" => What::User,
        ([one], None) if one.starts_with("vale") && (one.contains(':') || one[4..].bytes().all(|b| b.is_ascii_digit())) => {
            What::Vale(one.clone())
        }
        ([], bridge) => What::Tap { tap: None, bridge: parsed(bridge.as_deref())? },
        ([one], bridge) if one == "tap" => What::Tap { tap: None, bridge: parsed(bridge.as_deref())? },
        ([one], bridge) if is_tap(one) => What::Tap { tap: parsed(Some(one))?, bridge: parsed(bridge.as_deref())? },
        ([one], None) => What::Tap { tap: None, bridge: parsed(Some(one))? },
        ([tap, bridge], None) => What::Tap { tap: if tap == "tap" { None } else { parsed(Some(tap))? }, bridge: parsed(Some(bridge))? },
        _ => return Err(usage()),
    };
    Ok((what, settings))
}

/// A single word is a tap if it has the name of one; any other word is a bridge.
fn is_tap(word: &str) -> bool {
    word.strip_prefix("tap").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

pub(super) fn add(session: &Session, guests: &str, words: &[String]) -> Result<()> {
    let (what, settings) = what(words)?;
    session.each(&Targets::parse(&[guests])?, Pace::InTurn, |world, guest| {
        let unique = matches!(what, What::Tap { tap: Some(_), .. }) || settings.iter().any(|(k, _)| k.ends_with("mac"));
        let world = if unique { with_all(session, world, guest)? } else { world.clone() };
        let (plan, number) = nics::add(&world, guest, &what, &settings)?;
        let done = session.carry_out(&world, &plan, guest.name.as_str())?;
        Ok(done.map(|_| Report::new(&guest.name, format!("net{number} added")).with(json!({ "nic": number }))))
    })
}

pub(super) fn remove(session: &Session, guests: &str, nic: &str) -> Result<()> {
    session.each(&Targets::parse(&[guests])?, Pace::InTurn, |world, guest| {
        let (plan, number) = nics::remove(world, guest, nic)?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.map(|_| Report::new(&guest.name, format!("net{number} removed")).with(json!({ "nic": number }))))
    })
}

pub(super) fn set(session: &Session, guests: &str, nic: Option<&str>, words: &[String]) -> Result<()> {
    let settings = pairs(words)?;
    session.each(&Targets::parse(&[guests])?, Pace::InTurn, |world, guest| {
        let number = match nic {
            Some(word) => nics::find(guest, Some(word))?,
            // The keys contain the number.
            None => 0,
        };
        let unique = settings.iter().any(|(k, _)| k.ends_with("mac"));
        let world = if unique { with_all(session, world, guest)? } else { world.clone() };
        let plan = nics::change(&world, guest, number, &settings)?;
        let done = session.carry_out(&world, &plan, guest.name.as_str())?;
        Ok(done.filter(|_| !plan.steps.is_empty()).map(|_| Report::new(&guest.name, "set")))
    })
}

pub(super) fn relocate(session: &Session, guests: &str, words: &[String]) -> Result<()> {
    let (nic, bridge) = match words {
        [bridge] => (None, bridge),
        [nic, bridge, ..] => (Some(nic.as_str()), bridge),
        [] => return Err(Problem::usage("where to?").hint("`chyves network move GUEST BRIDGE`")),
    };
    let bridge: IfName = bridge.parse()?;
    session.each(&Targets::parse(&[guests])?, Pace::InTurn, |world, guest| shift(session, world, guest, nic, &bridge))
}

/// Moves one NIC; removes a bridge that a start created and that is then empty.
fn shift(session: &Session, world: &World, guest: &Guest, nic: Option<&str>, bridge: &IfName) -> Result<Option<Report>> {
    let lock = if session.dry_run { None } else { Some(network::lock(&session.runtime, &session.typed)?) };
    let mut world = world.clone();
    observe::global(&mut world)?;
    let world = &world;
    let facts = facts(session, world)?;
    let (plan, number) = nics::relocate(world, &facts, guest, nic, bridge)?;
    let done = session.carry_out_with(world, &plan, guest.name.as_str(), lock)?;
    if done.is_some() && guest.state.is_alive() {
        network::put_away(&session.runtime, None, &session.typed)?;
    }
    let done = done.filter(|_| !plan.steps.is_empty());
    Ok(done.map(|_| Report::new(&guest.name, format!("net{number} is on {bridge}")).with(json!({ "nic": number, "bridge": bridge }))))
}

/// The guest that uses a tap.
fn owner(session: &Session, tap: &str) -> Result<chyves_core::value::GuestName> {
    let world = session.look(&Look { guests: Which::All, ..Look::default() })?;
    let found = world.guests.iter().find(|g| nics::find(g, Some(tap)).is_ok() && !tap.starts_with("net"));
    found.map(|g| g.name.clone()).ok_or_else(|| {
        let shown = chyves_core::value::printable(tap, 40);
        Code::NoSuchNic
            .problem(format!("no guest's NIC has the tap `{shown}`"))
            .on(&shown)
            .hint(format!("`chyves network add GUEST {shown} BRIDGE` adds a NIC with it to a guest"))
    })
}

pub(super) fn join(session: &Session, bridge: &IfName, tap: &str) -> Result<()> {
    let owner = owner(session, tap)?;
    session.each(&Targets::Named(vec![owner]), Pace::InTurn, |world, guest| shift(session, world, guest, Some(tap), bridge))
}

pub(super) fn unjoin(session: &Session, bridge: &IfName, tap: &str) -> Result<()> {
    let owner = owner(session, tap)?;
    session.each(&Targets::Named(vec![owner]), Pace::InTurn, |world, guest| {
        let number = nics::find(guest, Some(tap))?;
        let usual: IfName = guest.settings.value(keys::BRIDGE).unwrap_or_else(|| "bridge0".into()).parse()?;
        let is = guest.settings.value(&keys::net(number, NetKey::Bridge)).unwrap_or_else(|| usual.to_string());
        if is != bridge.as_str() {
            return Err(Problem::not_now(format!("net{number} of `{}` is on `{is}` and not on `{bridge}`", guest.name))
                .on(&guest.name)
                .hint(format!("`chyves network {is} unjoin {tap}`")));
        }
        if usual == *bridge {
            return Err(Problem::not_now(format!("`{bridge}` is the bridge of NICs that name none")).on(bridge).hint(format!(
                "move it: `chyves network move {} net{number} BRIDGE`; or remove it: `chyves network remove {} net{number}`",
                guest.name, guest.name
            )));
        }
        shift(session, world, guest, Some(tap), &usual)
    })
}
