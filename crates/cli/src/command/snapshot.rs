//! `chyves snapshot`: a guest at one moment, with its disks and settings.

use super::get::show;
use crate::session::{Report, Session};
use crate::table::{Cell, ListArgs, Table};
use crate::targets::{Targets, guest_at};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::{self, snapshot::Facts};
use chyves_core::value::{GuestName, SnapshotName};
use chyves_host::observe::{self, Look};
use serde_json::json;

/// Take, list, delete snapshots of guests, and go back to them
///
/// A snapshot holds all disks of the guest, its firmware variables and its settings. `chyves snapshot web01@before`
/// takes one.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Take a snapshot
    Create {
        /// Guests, each with the snapshot's name; without one the time is the name
        #[arg(required = true, value_name = "GUEST[@SNAPSHOT]")]
        guests: Vec<String>,
    },
    /// List snapshots
    List {
        /// The guests; all where none is given
        #[arg(value_name = "GUEST")]
        guests: Vec<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Destroy snapshots
    Delete {
        /// The snapshots
        #[arg(required = true, value_name = "GUEST@SNAPSHOT")]
        snapshots: Vec<String>,
    },
    /// Make a stopped guest what it was: disks, firmware variables and settings
    ///
    /// What it is now, with all newer snapshots, goes to the trash, so that this can itself be taken back.
    Rollback {
        /// The snapshot
        #[arg(value_name = "GUEST@SNAPSHOT")]
        snapshot: String,
        /// Keep nothing of the present; the snapshot must be the newest
        #[arg(long)]
        in_place: bool,
    },
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Create { guests } => create(session, guests),
        Verb::List { guests, list } => self::list(session, guests, list),
        Verb::Delete { snapshots } => delete(session, snapshots),
        Verb::Rollback { snapshot, in_place } => rollback(session, snapshot, *in_place),
    }
}

fn create(session: &Session, words: &[String]) -> Result<()> {
    let now = crate::session::now();
    let stamp: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    let automatic: SnapshotName = format!("chyves-{stamp}").parse()?;
    let mut wanted: Vec<(GuestName, SnapshotName)> = Vec::new();
    for word in words.iter().flat_map(|w| w.split(',')) {
        let (guest, name) = match word.split_once('@') {
            Some((guest, name)) => (guest, name.parse()?),
            None => (word, automatic.clone()),
        };
        match Targets::parse(&[guest])? {
            Targets::Named(names) => wanted.extend(names.into_iter().map(|g| (g, name.clone()))),
            Targets::All => {
                let world = session.look(&Targets::All.look())?;
                wanted.extend(Targets::All.names(&world)?.into_iter().map(|g| (g, name.clone())));
            }
        }
    }
    let targets = Targets::Named(wanted.iter().map(|(g, _)| g.clone()).collect());
    session.each(&targets, false, |world, guest| {
        let mut reports = None;
        for (_, name) in wanted.iter().filter(|(g, _)| *g == guest.name) {
            let there = observe::snapshots(guest)?;
            let plan = plan::snapshot::create(guest, name, &there, &now)?;
            let done = session.carry_out(world, &plan, guest.name.as_str())?;
            reports = done.map(|_| Report::new(&guest.name, format!("snapshot {}@{name} taken", guest.name)).with(json!({ "snapshot": name })));
        }
        Ok(reports)
    })
}

fn list(session: &Session, guests: &[String], args: &ListArgs) -> Result<()> {
    let targets = if guests.is_empty() { Targets::All } else { Targets::parse(guests)? };
    let world = session.look(&targets.look())?;
    let mut table = Table::new(["name", "guest", "snapshot", "creation", "used", "referenced", "by", "live", "guid"]);
    // Only who asks for the GUIDs pays for them.
    let wants_guids = session.ui.json || args.columns.iter().any(|c| c == "guid");
    for guest in targets.guests(&world)? {
        let guids = if wants_guids { observe::pool::snapshot_guids(&guest.dataset)? } else { Vec::new() };
        for seen in observe::snapshots(guest)? {
            table.rows.push(vec![
                Cell::text(format!("{}@{}", guest.name, seen.name)),
                Cell::text(guest.name.as_str()),
                Cell::text(seen.name.clone()),
                Cell::text(seen.creation.clone()),
                Cell::number(seen.used.clone(), plan::snapshot::rounded(&seen.used)),
                Cell::number(seen.referenced.clone(), plan::snapshot::rounded(&seen.referenced)),
                Cell::text(if seen.ours { "chyves" } else { "other" }),
                Cell::text(if seen.live { "yes" } else { "no" }),
                Cell::maybe(guids.iter().find(|(name, _)| *name == seen.name).map(|(_, g)| g.to_string())),
            ]);
        }
    }
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("there are no snapshots; `chyves snapshot GUEST@NAME` takes one");
    }
    let mut args = args.clone();
    if args.columns.is_empty() && !session.ui.json {
        args.columns = ["name", "creation", "used", "by", "live"].map(str::to_owned).to_vec();
    }
    show(session, table, &args)
}

fn named(word: &str) -> Result<(GuestName, SnapshotName)> {
    let (guest, name) = guest_at(word)?;
    let name = name.ok_or_else(|| {
        Problem::usage(format!("`{guest}` names no snapshot")).on(&guest).hint(format!("write it as {guest}@NAME; `chyves snapshot list {guest}` shows them"))
    })?;
    Ok((guest, name))
}

fn delete(session: &Session, words: &[String]) -> Result<()> {
    let wanted = words.iter().flat_map(|w| w.split(',')).map(named).collect::<Result<Vec<_>>>()?;
    let names: Vec<&GuestName> = wanted.iter().map(|(g, _)| g).collect();
    let _locks = session.lock("guest", &names)?;
    let world = session.look(&Targets::Named(names.into_iter().cloned().collect()).look())?;
    // All are looked at before the first is destroyed.
    let mut plans = Vec::new();
    for (guest, name) in &wanted {
        let guest = observe::guest(&world, guest)?;
        let snapshot = guest.dataset.at(name);
        let there = observe::snapshots(guest)?;
        let known = there.iter().any(|s| s.name == name.as_str());
        let facts = Facts {
            clones: if known { observe::clones(&snapshot)? } else { Vec::new() },
            guids: if known { observe::guids(&[guest.dataset.to_string(), snapshot.to_string()])? } else { Vec::new() },
            there,
            ..Facts::default()
        };
        plans.push((guest, name, plan::snapshot::delete(guest, name, &facts)?));
    }
    let list: Vec<String> = words.to_vec();
    if !session.dry_run {
        session.ui.confirm(&format!("destroy {}", list.join(", ")), session.yes)?;
    }
    let mut reports = Vec::new();
    for (guest, name, plan) in &plans {
        if session.carry_out(&world, plan, guest.name.as_str())?.is_some() {
            reports.push(Report::new(&guest.name, format!("snapshot {}@{name} destroyed", guest.name)));
        }
    }
    session.tell(&reports);
    Ok(())
}

fn rollback(session: &Session, word: &str, in_place: bool) -> Result<()> {
    let (guest, name) = named(word)?;
    let _lock = session.lock("guest", &[&guest])?;
    let world = session.look(&Look::at(std::slice::from_ref(&guest)))?;
    let guest = observe::guest(&world, &guest)?;
    let snapshot = guest.dataset.at(&name);
    let there = observe::snapshots(guest)?;
    let mut facts = Facts { there, ..Facts::default() };
    if facts.there.iter().any(|s| s.name == name.as_str()) {
        facts.guids = observe::guids(&[guest.dataset.to_string(), snapshot.to_string()])?;
        facts.settings = observe::carried(&snapshot)?;
    }
    let plan = if in_place {
        plan::snapshot::rollback_in_place(&world, guest, &name, &facts)?
    } else {
        plan::snapshot::rollback(&world, guest, &name, &facts, &Session::moment(1))?
    };
    if in_place && !session.dry_run {
        session.ui.confirm(&format!("make {} what it was at @{name} and lose what came after", guest.name), session.yes)?;
    }
    if session.carry_out(&world, &plan, guest.name.as_str())?.is_some() {
        session.tell(&[Report::new(&guest.name, format!("disks and settings are those of @{name}"))]);
    }
    Ok(())
}
