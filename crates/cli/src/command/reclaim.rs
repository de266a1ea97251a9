//! `chyves reclaim`: removes what dead VMs left behind.

use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::action::Action;
use chyves_core::error::Result;
use chyves_core::guest::{Guest, RunState};
use chyves_core::plan::Plan;
use chyves_core::plan::reclaim::{self, Left};
use chyves_core::world::World;
use chyves_host::observe::Look;
use chyves_host::{leftovers, shared_mounts};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use uuid::Uuid;

/// Remove what dead VMs left
///
/// Folders and records in the runtime folder, file systems of stopped guests that are still mounted, taps, VM objects and jails
/// of bhyve: each only if proved to be chyves' own and unused. Running guests are not affected. A
/// VM whose supervisor is gone is shown; `chyves start` starts a new one, --force kills it. With --dry-run nothing is
/// changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests [default: all, and what belongs to no guest]
    #[arg(value_name = "GUEST")]
    guests: Vec<String>,
    /// Kill VMs whose supervisor is gone
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let targets = if args.guests.is_empty() { Targets::All } else { Targets::parse(&args.guests)? };
    let mut reports = Vec::new();
    let os = chyves_host::facts::os();
    let left = leftovers::look(&session.runtime, os)?;
    let world = session.look(&Look { keys: Some(Vec::new()), ..targets.look() })?;
    let nothing = Left::default();
    let of = |guest: &Guest| left.get(&guest.uuid).unwrap_or(&nothing);
    let (found, lost) = session.found(&targets, &world)?;
    let mut names: Vec<_> = found.iter().filter(|g| reclaim::is_worth_a_look(g, of(g))).map(|g| g.name.clone()).collect();
    // Guests that do not exist are reported together with the others.
    names.extend(lost.into_iter().map(|(name, _)| name));
    if targets == Targets::All {
        reports.extend(nobodys(session, &world, &left)?);
    }
    if targets == Targets::All && !session.dry_run {
        // Bridges and VLANs that starts created for guests that no longer run.
        for gone in chyves_host::network::put_away(&session.runtime, None, &session.typed)? {
            reports.push(Report::new("network", gone));
        }
    }
    if names.is_empty() {
        if reports.is_empty() {
            session.ui.say("nothing to reclaim");
        }
        session.tell(&reports);
        return Ok(());
    }
    session.tell(&reports);
    session.each(&Targets::Named(names), Pace::InTurn, |world, guest| one(session, world, guest, args.force))
}

/// Processes one guest, under its lock: its state may have changed.
fn one(session: &Session, world: &World, guest: &Guest, force: bool) -> Result<Option<Report>> {
    let left = leftovers::look(&session.runtime, chyves_host::facts::os())?.remove(&guest.uuid).unwrap_or_default();
    let orphaned = guest.state == RunState::Orphaned;
    let kill = force || (orphaned && !session.dry_run && asked(session, guest, &left));
    let plan = reclaim::guest(guest, &left, kill);
    let done = session.carry_out(world, &plan, guest.name.as_str())?;
    let said = if orphaned { "killed".to_owned() } else { words(&plan) };
    Ok(done.filter(|_| !plan.steps.is_empty()).map(|_| Report::new(&guest.name, said)))
}

/// Asks on the terminal whether to kill a hypervisor that runs without a supervisor.
fn asked(session: &Session, guest: &Guest, left: &Left) -> bool {
    let there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let pid = left.machine.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    there && !session.yes && session.ui.confirm(&format!("{}{pid} runs and its supervisor is gone; kill it", guest.name), false).is_ok()
}

/// What was done, in one line.
fn words(plan: &Plan) -> String {
    let what = |step: &Action| step.describe();
    plan.steps.iter().map(what).collect::<Vec<_>>().join("; ")
}

/// What belongs to no guest on this host's pools: folders and taps of guests that no longer exist, mounted images that no guest
/// uses.
fn nobodys(session: &Session, world: &World, left: &BTreeMap<Uuid, Left>) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    let mut carry = |plan: &Plan, who: &str| -> Result<()> {
        if !plan.steps.is_empty() && session.carry_out(world, plan, who)?.is_some() {
            reports.push(Report::new(who, words(plan)));
        }
        Ok(())
    };
    for (uuid, left) in left {
        if !world.guests.iter().any(|g| g.uuid == *uuid) {
            carry(&reclaim::stray(*uuid, left), &uuid.to_string())?;
        }
    }
    if let Ok(root) = world.primary() {
        let mounted = leftovers::mounted_images(&root.images())?;
        // An image that is being imported is mounted by its import.
        let whole: Vec<_> = mounted.into_iter().filter(|d| !d.leaf().starts_with("importing-")).collect();
        let users: Result<BTreeMap<_, _>> =
            whole.iter().map(|dataset| Ok((dataset.clone(), shared_mounts::users(&session.runtime, dataset)?))).collect();
        match users {
            Ok(users) => carry(&reclaim::images(&whole, &|dataset| users.get(dataset).cloned().unwrap_or_default()), "images")?,
            // If it is unknown what a guest uses, every image may be in use.
            Err(problem) => session.ui.warn(&format!("images stay mounted: {problem}")),
        }
    }
    Ok(reports)
}
