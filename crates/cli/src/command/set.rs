//! `chyves set` and `chyves unset`: settings of guests, of the defaults, of the host.

use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::network::nat;
use chyves_core::plan::{self, set::Request};
use chyves_core::pool::{Role, Root};
use chyves_core::property::{self, keys};
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::network;
use chyves_host::observe::{self, Look, Which, snapshots};
use std::collections::BTreeMap;

/// Change settings of guests, of `defaults`, or of the host (`global`)
///
/// An invalid value changes nothing. `defaults` are what guests inherit unless they set another value.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Guests, `all`, `defaults` or `global`; then settings
    #[arg(required = true, value_name = "GUEST|KEY=VALUE")]
    words: Vec<String>,
}

/// Unset settings, so that the inherited value or the default applies
#[derive(Debug, clap::Args)]
pub(crate) struct UnsetArgs {
    /// Guests, `all`, `defaults` or `global`; then properties
    #[arg(required = true, value_name = "GUEST|PROPERTY")]
    words: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let (set, guests): (Vec<&String>, Vec<&String>) = args.words.iter().partition(|w| w.contains('='));
    if set.is_empty() {
        return Err(Problem::usage("nothing is to be set").hint("write settings as KEY=VALUE: `chyves set web01 ram=1G`"));
    }
    let set = set.iter().filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    change(session, &guests, &Request { set, unset: Vec::new() }, "set")
}

pub(crate) fn unset(session: &Session, args: &UnsetArgs) -> Result<()> {
    let (first, rest) = args.words.split_first().ok_or_else(|| Problem::usage("nothing is named"))?;
    let mut guests = vec![first];
    let mut unset = Vec::new();
    for (index, word) in rest.iter().enumerate() {
        // The last word must be a property; before it, a word that is not a property names a guest.
        let all_known = word.split(',').all(|key| property::find(key).is_ok());
        if all_known || index + 1 == rest.len() || !unset.is_empty() {
            for key in word.split(',') {
                unset.push(property::find(key)?.key);
            }
        } else {
            guests.push(word);
        }
    }
    if unset.is_empty() {
        return Err(Problem::usage("no property is named").hint("write `chyves unset GUEST PROPERTY`; `chyves list properties` shows them"));
    }
    change(session, &guests, &Request { set: Vec::new(), unset }, "unset")
}

fn change(session: &Session, words: &[&String], request: &Request, verb: &str) -> Result<()> {
    if let [one] = words
        && matches!(one.as_str(), "defaults" | "global")
    {
        return on_roots(session, one, request);
    }
    let targets = Targets::parse(words)?;
    // Checked before the first guest is observed: an invalid value changes nothing anywhere.
    for (key, value) in &request.set {
        plan::set::checked(key, value, &[property::Scope::Guest, property::Scope::GuestOnly])?;
    }
    super::image::firmware_is_there(session, &request.set)?;
    session.each(&targets, Pace::InTurn, |world, guest| {
        super::network::mac_is_free(session, guest, &request.set)?;
        reverts_to_what_is_there(world, guest, request)?;
        let with_texts =
            if plan::set::reads_texts(guest, request)? { Some(chyves_engine::Engine::with_texts(world, guest)?) } else { None };
        let world = with_texts.as_ref().unwrap_or(world);
        let plan = plan::set::guest(world, guest, request)?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.filter(|_| !plan.steps.is_empty()).map(|_| Report::new(&guest.name, verb)))
    })
}

/// Checks that a guest with `revert_to_snapshot` has that snapshot: otherwise no start could revert to it.
fn reverts_to_what_is_there(world: &World, guest: &Guest, request: &Request) -> Result<()> {
    let changed = |key: &str| request.set.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    let (to, at) = (changed(keys::REVERT_TO), changed(keys::REVERT_AT));
    if to.is_none() && at.is_none() {
        return Ok(());
    }
    let unset = |key: &str| request.unset.iter().any(|k| k == key);
    let value = |new: Option<String>, key: &str| new.or_else(|| guest.settings.value(key).filter(|_| !unset(key)));
    match (value(to, keys::REVERT_TO), value(at, keys::REVERT_AT)) {
        (Some(to), Some(at)) if at != "off" => {
            let there = snapshots::of(world.host.dialect, guest)?;
            plan::snapshot::find(guest, &to.trim_start_matches('@').parse()?, &there)
                .map(drop)
                .map_err(|p| p.hint(format!("take it first: `chyves snapshot {}@{}`", guest.name, to.trim_start_matches('@'))))
        }
        _ => Ok(()),
    }
}

/// The guests for which a change of the defaults selects another reader of their own documents.
fn heirs_with_texts(session: &Session, look: &Look, request: &Request) -> Result<Vec<GuestName>> {
    let world = session.look(look)?;
    let mut names = Vec::new();
    for root in world.roots.iter().filter(|r| r.role != Role::Offline) {
        let before = observe::dataset(&root.guests())?.map(|r| r.own).unwrap_or_default();
        names.extend(plan::set::heirs_with_texts(&world, root, &before, request)?.into_iter().map(|guest| guest.name.clone()));
    }
    Ok(names)
}

/// Reports bridges whose `nat` is set to an interface that does not exist.
fn without_way_out(session: &Session, world: &World, root: &Root, request: &Request) -> Result<Vec<String>> {
    let sets_nat = |(key, _): &(String, String)| key.starts_with("bridge") && key.rsplit('.').next() == Some("nat");
    if !request.set.iter().any(sets_nat) {
        return Ok(Vec::new());
    }
    let actual = network::look(world.host.os, &session.runtime)?;
    let design = plan::set::design_after(root, request)?;
    let set = |number: u16| request.set.iter().any(|(key, _)| *key == keys::bridge(number, keys::BridgeKey::Nat));
    let chosen = design.bridges().filter(|spec| set(spec.number));
    Ok(chosen.filter_map(|spec| Some(nat::note(&spec.name, &nat::no_way_out(&actual, spec)?))).collect())
}

fn on_roots(session: &Session, which: &str, request: &Request) -> Result<()> {
    super::image::firmware_is_there(session, &request.set)?;
    // The guests that inherit the defaults must still be able to start afterwards.
    let look = Look { guests: if which == "defaults" { Which::All } else { Which::None }, ..Look::default() };
    let mut texts = BTreeMap::new();
    for name in if which == "defaults" { heirs_with_texts(session, &look, request)? } else { Vec::new() } {
        // Observed by name: an observation of all guests does not include their mount points.
        let _guest = session.lock("guest", &[&name])?;
        let world = session.look(&Look::at(std::slice::from_ref(&name)))?;
        texts.extend(chyves_engine::Engine::with_texts(&world, observe::guest(&world, &name)?)?.texts);
    }
    let _lock = session.lock("pool", &["settings"])?;
    let mut world = session.look(&look)?;
    world.texts = texts;
    observe::global(&mut world)?;
    let mut plans = Vec::new();
    for root in world.roots.iter().filter(|r| r.role != Role::Offline) {
        plans.push(if which == "defaults" {
            let before = observe::dataset(&root.guests())?.map(|r| r.own).unwrap_or_default();
            plan::set::defaults(&world, root, &before, request)?
        } else if root.role == Role::Primary {
            let mut plan = plan::set::global(&world, root, request)?;
            plan.notes.extend(without_way_out(session, &world, root, request)?);
            plan
        } else {
            continue;
        });
    }
    for plan in &plans {
        if session.carry_out(&world, plan, which)?.is_some() && !plan.steps.is_empty() {
            session.tell(&[Report::new(which, "set")]);
        }
    }
    Ok(())
}
