//! `chyves snapshot`: the state of a guest at one time, with its disks and settings.

use super::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use crate::targets::{Targets, guest_at};
use chyves_core::error::{Problem, Result};
use chyves_core::value::{GuestName, Size, SnapshotName};
use chyves_engine::answer::{Single, Value};
use chyves_engine::op::{Doom, Snapshot, SnapshotCreate, SnapshotDelete, SnapshotDiff, SnapshotList, SnapshotRollback, Take};

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
        Verb::Delete { snapshots, foreign } => delete(session, snapshots, *foreign),
        Verb::Diff { from, to, list } => diff(session, from, to.as_deref(), list),
        Verb::Rollback { snapshot, in_place, keep_settings } => rollback(session, snapshot, *in_place, *keep_settings),
    }
}

fn create(session: &Session, words: &[String]) -> Result<()> {
    let mut take = Vec::new();
    for (guest, name) in words.iter().flat_map(|word| listed(word)) {
        take.push(Take { name: name.map(str::parse).transpose()?, guests: Targets::parse(&[guest])? });
    }
    if words.len() > 1 {
        let named = |take: &Take| if let Targets::Named(names) = &take.guests { names.clone() } else { Vec::new() };
        meant_as_name(session, words, &Targets::Named(take.iter().flat_map(named).collect()))?;
    }
    let outcome = session.run(&SnapshotCreate { take })?;
    session.show_all(outcome, |each| match &each.result {
        Single::Done(taken) => Some((each.object.clone(), format!("snapshot {}@{} taken", each.object, taken.snapshot))),
        Single::Failed { .. } => None,
    })
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
    match session.missing(targets)?.into_iter().find(|(name, _)| name.as_str() == last) {
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

fn delete(session: &Session, words: &[String], foreign: bool) -> Result<()> {
    let mut delete = Vec::new();
    // `a@x,y` may mean two snapshots of one guest, or the snapshot of one guest and another guest: it is refused.
    for (guest, name) in words.iter().flat_map(|word| listed(word)) {
        delete.push(match name {
            Some(choice) => Doom { guests: Targets::parse(&[guest])?, snapshots: choice.to_owned() },
            None => named(guest).map(|(guest, name)| Doom { guests: guest.into(), snapshots: name.to_string() })?,
        });
    }
    let outcome = session.run(&SnapshotDelete { delete, foreign })?;
    session.show_all(outcome, |each| match &each.result {
        Single::Done(gone) => {
            let said = match &gone.snapshots[..] {
                [one] => format!("snapshot {}@{one} destroyed", each.object),
                all => format!("{} snapshots destroyed", all.len()),
            };
            Some((each.object.clone(), said))
        }
        Single::Failed { .. } => None,
    })
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
    let request = SnapshotDiff { guest, from, to };
    let changes = session.run(&request)?.answer.unwrap_or_default();
    if changes.is_empty() && !session.ui.json {
        let now = request.to.as_ref().map_or_else(|| "the present".to_owned(), |name| format!("@{name}"));
        session.ui.say(&format!("{}: no differences between @{} and {now}", request.guest, request.from));
    }
    let value = |value: &Option<Value>| match value {
        None => Cell::none(),
        Some(Value::Number(bytes)) => Cell::text(Size::bytes(*bytes).human()),
        Some(Value::Text(text)) => Cell::text(text),
    };
    let table = Table::of(&["kind", "name", "before", "after"], &changes, |change| {
        vec![Cell::text(change.kind.word()), Cell::text(&change.name), value(&change.before), value(&change.after)]
    });
    show(session, table, args)
}

fn rollback(session: &Session, word: &str, in_place: bool, keep_settings: bool) -> Result<()> {
    let (guest, snapshot) = named(word)?;
    let outcome = session.run(&SnapshotRollback { guest, snapshot, in_place, keep_settings })?;
    session.show_all(outcome, |one| {
        let said = if one.settings {
            format!("disks and settings rolled back to @{}", one.snapshot)
        } else {
            format!("disks rolled back to @{}; settings kept", one.snapshot)
        };
        Some((one.object.clone(), said))
    })
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
