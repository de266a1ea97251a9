//! `chyves snapshot`: the state of a guest at one time, with its disks and settings.

use super::get::show;
use crate::session::{Pace, Report, Session};
use crate::table::{Cell, ListArgs, Table};
use crate::targets::{Targets, guest_at};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{DiskKind, Guest};
use chyves_core::plan::disk::found::{self, Found};
use chyves_core::plan::{self, snapshot::Facts};
use chyves_core::value::{GuestName, Size, SnapshotName};
use chyves_core::world::World;
use chyves_core::zfs::Dialect;
use chyves_engine::op::{Snapshot, SnapshotList};
use chyves_host::observe::disks::{self, Mount};
use chyves_host::observe::{self, Look, snapshots};
use serde_json::json;

/// Take, list and delete snapshots of guests, and roll back to them
///
/// A snapshot holds all disks of the guest, its firmware variables and its settings. `chyves snapshot web01@before`
/// takes one.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Take a snapshot
    Create {
        /// Guests, each with the snapshot's name [default: the time]
        #[arg(required = true, value_name = "GUEST[@SNAPSHOT]")]
        guests: Vec<String>,
    },
    /// List snapshots
    List {
        /// The guests; all if none is given
        #[arg(value_name = "GUEST")]
        guests: Vec<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Destroy snapshots that chyves took
    ///
    /// all@SNAPSHOT means those of all guests that have one of that name. What goes and the space that it frees are shown first. Those of zrepl, sanoid and others stay, also in a range.
    Delete {
        /// The snapshots; a range from one to another is GUEST@FIRST%LAST, GUEST@%LAST or GUEST@FIRST%
        #[arg(required = true, value_name = "GUEST@SNAPSHOT[%SNAPSHOT]")]
        snapshots: Vec<String>,
        /// Also those of foreign guests: received ones, and those of another host
        #[arg(long)]
        foreign: bool,
    },
    /// Show what changed since a snapshot, or from one to another
    ///
    /// Settings and sizes, and where the ZFS can list them the files.
    Diff {
        /// The older snapshot
        #[arg(value_name = "GUEST@SNAPSHOT")]
        from: String,
        /// The newer one; [default: the present state]
        #[arg(value_name = "@SNAPSHOT")]
        to: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Restore a stopped guest: disks, firmware variables and settings
    ///
    /// What it is now, with all newer snapshots, goes to the trash, so that this can itself be undone.
    Rollback {
        /// The snapshot
        #[arg(value_name = "GUEST@SNAPSHOT")]
        snapshot: String,
        /// Discard the present state; the snapshot must be the newest
        #[arg(long)]
        in_place: bool,
        /// Keep the present settings
        #[arg(long)]
        keep_settings: bool,
    },
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Create { guests } => create(session, guests),
        Verb::List { guests, list } => self::list(session, guests, list),
        Verb::Delete { snapshots, foreign } => {
            session.foreign.store(*foreign, std::sync::atomic::Ordering::SeqCst);
            delete(session, snapshots)
        }
        Verb::Diff { from, to, list } => diff(session, from, to.as_deref(), list),
        Verb::Rollback { snapshot, in_place, keep_settings } => rollback(session, snapshot, *in_place, *keep_settings),
    }
}

fn create(session: &Session, words: &[String]) -> Result<()> {
    let now = chyves_engine::now();
    let stamp: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    let automatic: SnapshotName = format!("chyves-{stamp}").parse()?;
    let mut wanted: Vec<(GuestName, SnapshotName)> = Vec::new();
    for (guest, name) in words.iter().flat_map(|word| listed(word)) {
        let name = name.map_or_else(|| Ok(automatic.clone()), str::parse)?;
        match Targets::parse(&[guest])? {
            Targets::Named(names) => wanted.extend(names.into_iter().map(|g| (g, name.clone()))),
            Targets::All => {
                let world = session.look(&Targets::All.look())?;
                wanted.extend(Targets::All.names(&world)?.into_iter().map(|g| (g, name.clone())));
            }
        }
    }
    let targets = Targets::Named(wanted.iter().map(|(g, _)| g.clone()).collect());
    if words.len() > 1 {
        meant_as_name(session, words, &targets)?;
    }
    session.each(&targets, Pace::InTurn, |world, guest| {
        let mut reports = None;
        for (_, name) in wanted.iter().filter(|(g, _)| *g == guest.name) {
            let there = snapshots::of(world.host.dialect, guest)?;
            let plan = plan::snapshot::create(guest, name, &there, &now)?;
            without_disks(session, world, guest, name);
            let done = session.carry_out(world, &plan, guest.name.as_str())?;
            reports =
                done.map(|_| Report::new(&guest.name, format!("snapshot {}@{name} taken", guest.name)).with(json!({ "snapshot": name })));
        }
        Ok(reports)
    })
}

/// Warns about disks that a snapshot will not contain, since they were removed without chyves.
fn without_disks(session: &Session, world: &World, guest: &Guest, name: &SnapshotName) {
    // A guest that is locked, or whose settings cannot be read, is snapshotted without this check.
    if session.dry_run || plan::locked::guest(world, guest).is_err() {
        return;
    }
    let (Ok(spec), Ok(disks)) = (guest.spec(), disks::of(guest, None, Mount::ForAMoment)) else { return };
    for disk in spec.disks.iter().filter(|d| *found::of(&disks, d.number) == Found::Missing && d.kind != DiskKind::Attached) {
        let Guest { name: guest, .. } = guest;
        session.ui.warn(&format!(
            "disk{0} of {guest} is missing, and {guest}@{name} does not hold it; `chyves snapshot list {guest}` shows older ones, \
             `chyves disk remove {guest} disk{0} --lost` forgets it",
            disk.number
        ));
    }
}

/// The guests of a word, each with the snapshot that is named for it: in `a,b@x,c`, `x` is that of `a` and `b`.
fn listed(word: &str) -> Vec<(&str, Option<&str>)> {
    let mut all: Vec<(&str, Option<&str>)> = Vec::new();
    for part in word.split(',') {
        match part.split_once('@') {
            // The snapshot applies to the guests before it that have none of their own.
            Some((guest, name)) => {
                for (_, unnamed) in all.iter_mut().rev().take_while(|(_, name)| name.is_none()) {
                    *unnamed = Some(name);
                }
                all.push((guest, Some(name)));
            }
            None => all.push((part, None)),
        }
    }
    all
}

/// Refuses `web01 before` if `web01@before` was probably meant: the last word is not a guest and no snapshot was named.
fn meant_as_name(session: &Session, words: &[String], targets: &Targets) -> Result<()> {
    let Some((last, guests)) = words.split_last().filter(|_| words.iter().all(|word| !word.contains(['@', ',']))) else { return Ok(()) };
    let world = session.look(&Look { keys: Some(Vec::new()), ..targets.look() })?;
    let (_, lost) = targets.found(&world)?;
    match lost.into_iter().find(|(name, _)| name.as_str() == last) {
        Some((_, problem)) => Err(problem.hint(format!(
            "for a snapshot of that name write `chyves snapshot {}`",
            guests.iter().map(|guest| format!("{guest}@{last}")).collect::<Vec<_>>().join(" ")
        ))),
        None => Ok(()),
    }
}

const COLUMNS: [&str; 9] = ["name", "guest", "snapshot", "creation", "used", "referenced", "by", "live", "guid"];

fn list(session: &Session, guests: &[String], args: &ListArgs) -> Result<()> {
    let guests = if guests.is_empty() { Targets::All } else { Targets::parse(guests)? };
    // The GUIDs are read only if they are requested.
    let guids = session.ui.json || args.columns.iter().any(|c| c == "guid");
    let outcome = session.run(&SnapshotList { guests, guids })?;
    let table = Table::of(&COLUMNS, &outcome.answer.unwrap_or_default(), |one: &Snapshot| {
        vec![
            Cell::text(&one.name),
            Cell::text(&one.guest),
            Cell::text(&one.snapshot),
            one.creation.map_or_else(Cell::none, |time| Cell::time(time, "%Y-%m-%d %H:%M")),
            Cell::bytes(one.used),
            Cell::bytes(one.referenced),
            Cell::text(one.by.word()),
            Cell::text(if one.live { "yes" } else { "no" }),
            Cell::maybe(one.guid.clone()),
        ]
    });
    if table.rows.is_empty() && outcome.problem.is_none() && !session.ui.json && !args.bare {
        session.ui.say("there are no snapshots; `chyves snapshot GUEST@NAME` takes one");
    }
    show(session, table, &args.or_columns(session, &["name", "creation", "used", "by", "live"]))?;
    outcome.problem.map_or(Ok(()), Err)
}

fn named(word: &str) -> Result<(GuestName, SnapshotName)> {
    let (guest, name) = guest_at(word)?;
    let name = name.ok_or_else(|| {
        Problem::usage(format!("`{guest}` names no snapshot"))
            .on(&guest)
            .hint(format!("write it as {guest}@NAME; `chyves snapshot list {guest}` shows them"))
    })?;
    Ok((guest, name))
}

/// A guest argument of `delete`, and the chosen snapshots of it.
fn chosen(guest: &str, name: Option<&str>) -> Result<(Targets, plan::snapshot::Choice)> {
    match name {
        Some(choice) => Ok((Targets::parse(&[guest])?, choice.parse()?)),
        None => named(guest).map(|(guest, name)| (Targets::Named(vec![guest]), plan::snapshot::Choice::One(name))),
    }
}

/// The snapshots to be destroyed of one guest.
struct Doomed<'w> {
    guest: &'w Guest,
    chosen: plan::snapshot::Chosen,
    exact: Option<Size>,
    plan: plan::Plan,
}

fn delete(session: &Session, words: &[String]) -> Result<()> {
    let mut wanted: Vec<(GuestName, plan::snapshot::Choice)> = Vec::new();
    let mut lost: Vec<(String, Problem)> = Vec::new();
    // `a@x,y` may mean two snapshots of one guest, or the snapshot of one guest and another guest: it is refused.
    for (guest, name) in words.iter().flat_map(|word| listed(word)) {
        let word = &name.map_or_else(|| guest.to_owned(), |name| format!("{guest}@{name}"));
        match chosen(guest, name)? {
            (Targets::Named(names), choice) => wanted.extend(names.into_iter().map(|name| (name, choice.clone()))),
            (Targets::All, choice) => match everywhere(session, &choice)? {
                names if names.is_empty() => {
                    let problem = Problem::not_found(format!("no guest has a snapshot `{word}`")).on(word);
                    lost.push((word.clone(), problem.hint("`chyves snapshot list` shows them all")));
                }
                names => wanted.extend(names.into_iter().map(|name| (name, choice.clone()))),
            },
        }
    }
    let names: Vec<&GuestName> = wanted.iter().map(|(g, _)| g).collect();
    let _locks = session.lock("guest", &names)?;
    let world = session.look(&Targets::Named(names.into_iter().cloned().collect()).look())?;
    // All are checked before the first is destroyed; one that cannot be destroyed does not prevent the others.
    let mut doomed = Vec::new();
    for (name, choice) in &wanted {
        match doom(session, &world, name, choice) {
            Ok(one) => doomed.push(one),
            Err(problem) => lost.push((name.to_string(), problem)),
        }
    }
    let nothing = doomed.iter().all(|one| one.chosen.names.is_empty());
    if !session.dry_run && !nothing {
        session.ui.confirm(&format!("destroy {}", words.join(", ")), session.yes)?;
    }
    let mut names: Vec<String> = Vec::new();
    let mut results = Vec::new();
    for one in doomed.iter().filter(|_| session.dry_run || !nothing) {
        names.push(one.guest.name.to_string());
        results.push(destroy(session, &world, one));
    }
    for (name, problem) in lost {
        names.push(name);
        results.push(Err(problem));
    }
    session.sum_up("snapshots could not be destroyed", &names, results)
}

/// The guests that have the chosen snapshots.
fn everywhere(session: &Session, choice: &plan::snapshot::Choice) -> Result<Vec<GuestName>> {
    let world = session.look(&Targets::All.look())?;
    let guests = Targets::All.guests(&world)?;
    let there = snapshots::of_guests(world.host.dialect, &guests)?;
    let has = |all: &[plan::snapshot::Seen]| match choice {
        plan::snapshot::Choice::One(name) => all.iter().any(|seen| seen.name == name.as_str()),
        plan::snapshot::Choice::Range(from, to) => {
            [from, to].into_iter().flatten().all(|name| all.iter().any(|seen| seen.name == name.as_str()))
        }
    };
    Ok(guests.iter().zip(&there).filter(|(_, all)| has(all)).map(|(guest, _)| guest.name.clone()).collect())
}

/// The snapshots of a guest to be destroyed, and the space that this frees, which is shown before the confirmation.
fn doom<'w>(session: &Session, world: &'w World, name: &GuestName, choice: &plan::snapshot::Choice) -> Result<Doomed<'w>> {
    let guest = observe::guest(world, name)?;
    let (chosen, facts) = snapshots::for_deletion(world.host.dialect, guest, choice)?;
    let mut plan = plan::snapshot::delete(guest, &chosen, &facts)?;
    session.permits_or_foreign(world, &plan)?;
    let exact = snapshots::reclaim(world.host.dialect, guest, &chosen.names)?;
    if !chosen.names.is_empty() {
        plan.notes.insert(0, freed(guest.name.as_str(), &chosen, exact));
    }
    if !session.dry_run {
        plan.notes.drain(..).for_each(|note| session.ui.say(&note));
    }
    Ok(Doomed { guest, chosen, exact, plan })
}

fn destroy(session: &Session, world: &World, one: &Doomed<'_>) -> Result<Option<Report>> {
    let Doomed { guest, chosen, exact, plan } = one;
    if session.carry_out(world, plan, guest.name.as_str())?.is_none() {
        return Ok(None);
    }
    let said = match &chosen.names[..] {
        [one] => format!("snapshot {}@{one} destroyed", guest.name),
        all => format!("{} snapshots destroyed", all.len()),
    };
    let frees = exact.unwrap_or(chosen.used).get();
    let more = json!({ "snapshots": chosen.names, "frees": frees, "frees_exactly": exact.is_some() });
    Ok(Some(Report::new(&guest.name, said).with(more)))
}

/// The snapshots to be destroyed, and the space that this frees.
fn freed(guest: &str, chosen: &plan::snapshot::Chosen, exact: Option<Size>) -> String {
    let list: Vec<String> = chosen.names.iter().take(20).map(|n| format!("@{n}")).collect();
    let more = chosen.names.len().saturating_sub(list.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let space = match exact {
        Some(size) => format!("which frees {}", size.human()),
        None => format!("which frees at least {} (this ZFS cannot report what they use together)", chosen.used.human()),
    };
    format!("{guest}: destroys {}{more}, {space}", list.join(" "))
}

fn diff(session: &Session, from: &str, to: Option<&str>, args: &ListArgs) -> Result<()> {
    let (guest, from) = named(from)?;
    let to = match to.map(|word| word.split_once('@').unwrap_or(("", word))) {
        None => None,
        Some((of, _)) if !of.is_empty() && of != guest.as_str() => {
            return Err(Problem::usage("two guests cannot be compared").on(of).hint(format!("write both snapshots of `{guest}`")));
        }
        Some((_, name)) => Some(name.parse::<SnapshotName>()?),
    };
    let world = session.look(&Look::at(std::slice::from_ref(&guest)))?;
    let guest = observe::guest(&world, &guest)?;
    let dialect = world.host.dialect;
    let there = snapshots::of(dialect, guest)?;
    let old = plan::snapshot::find(guest, &from, &there)?;
    let new = to.as_ref().map(|name| plan::snapshot::find(guest, name, &there)).transpose()?;
    let mut changes = Vec::new();
    let after = match new {
        Some(seen) => session.settings_at(&world, guest, seen)?,
        None => Some(guest.settings.own_values().clone()),
    };
    match (session.settings_at(&world, guest, old)?, after) {
        (Some(before), Some(after)) => changes.extend(plan::snapshot::diff::settings(&before, &after)),
        (before, _) => {
            let without = if before.is_none() { Some(old) } else { new };
            if let Some(seen) = without {
                session.ui.warn(&format!("@{} ({}) holds no settings; they are not compared", seen.name, seen.maker.word()));
            }
        }
    }
    let name = to.as_ref().map_or_else(|| guest.dataset.to_string(), |n| guest.dataset.at(n).to_string());
    let now = match new {
        Some(seen) => seen.referenced,
        None => chyves_core::value::Size::bytes(snapshots::size_of(&name)?),
    };
    if old.referenced.human() != now.human() {
        changes.push(plan::snapshot::diff::Change {
            kind: "size",
            name: "disks and files".into(),
            before: Some(old.referenced.human()),
            after: Some(now.human()),
        });
    }
    match dialect {
        Dialect::OpenZfs => {
            plan::locked::guest(&world, guest)?;
            changes.extend(snapshots::changed_files(guest, &from, to.as_ref())?);
        }
        Dialect::Fuse => session.ui.say("this ZFS cannot list files that differ; settings and sizes are compared"),
    }
    if changes.is_empty() && !session.ui.json {
        let now = to.as_ref().map_or_else(|| "the present".to_owned(), |name| format!("@{name}"));
        session.ui.say(&format!("{}: no differences between @{from} and {now}", guest.name));
    }
    let mut table = Table::new(["kind", "name", "before", "after"]);
    for change in changes {
        table.rows.push(vec![Cell::text(change.kind), Cell::text(change.name), Cell::maybe(change.before), Cell::maybe(change.after)]);
    }
    show(session, table, args)
}

fn rollback(session: &Session, word: &str, in_place: bool, keep_settings: bool) -> Result<()> {
    let (guest, name) = named(word)?;
    let _lock = session.lock("guest", &[&guest])?;
    let world = session.look(&Look::at(std::slice::from_ref(&guest)))?;
    let guest = observe::guest(&world, &guest)?;
    let snapshot = guest.dataset.at(&name);
    let mut facts = Facts { there: snapshots::of(world.host.dialect, guest)?, ..Facts::default() };
    if let Some(seen) = facts.there.iter().find(|s| s.name == name.as_str()).cloned() {
        facts.guids = observe::guids(&[guest.dataset.to_string(), snapshot.to_string()])?;
        facts.add_volumes(snapshots::volumes_with(guest, &name)?);
        facts.settings = match session.settings_at(&world, guest, &seen) {
            // With --keep-settings they are not needed.
            Err(problem) if keep_settings => {
                session.ui.warn(&problem.to_string());
                None
            }
            other => other?,
        };
        let volumes: Vec<_> = facts.volumes.iter().map(|name| guest.dataset.child(name)).collect();
        facts.natives = observe::natives(volumes.iter().chain([&guest.dataset]))?;
    }
    let plan = if in_place {
        plan::snapshot::rollback_in_place(&world, guest, &name, &facts, keep_settings)?
    } else {
        plan::snapshot::rollback(&world, guest, &name, &facts, keep_settings, &chyves_engine::Engine::moment(1))?
    };
    if in_place && !session.dry_run {
        // What cannot be done needs no confirmation.
        session.permits(&world, &plan)?;
        session.ui.confirm(&format!("roll {} back to @{name} and lose later changes", guest.name), session.yes)?;
    }
    let done = session.carry_out(&world, &plan, guest.name.as_str()).map_err(|p| if in_place { session.goes_on(p) } else { p })?;
    if done.is_some() {
        let said = if keep_settings {
            format!("disks rolled back to @{name}; settings kept")
        } else {
            format!("disks and settings rolled back to @{name}")
        };
        session.tell(&[Report::new(&guest.name, said)]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_behind_a_list_is_that_of_all_in_it() {
        assert_eq!(super::listed("a,b@x"), [("a", Some("x")), ("b", Some("x"))]);
        assert_eq!(super::listed("a@x,b,c@y"), [("a", Some("x")), ("b", Some("y")), ("c", Some("y"))]);
        assert_eq!(super::listed("a@x,b"), [("a", Some("x")), ("b", None)]);
        assert_eq!(super::listed("a,b"), [("a", None), ("b", None)]);
    }
}
