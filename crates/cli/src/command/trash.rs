//! `chyves trash`: deleted guests and disks that have not been destroyed yet.

use super::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::{Problem, Result};
use chyves_engine::answer::Time;
use chyves_engine::op::{TrashEmpty, TrashList, Trashed};

/// List deleted guests and disks, or destroy them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List deleted guests and disks
    List(ListArgs),
    /// Destroy deleted guests and disks for good
    ///
    /// Everything that goes is shown first. What other guests are clones of is kept and reported.
    Empty {
        /// Those of these names or identities; all if none is given
        #[arg(value_name = "GUEST|IDENTITY")]
        wanted: Vec<String>,
        /// Only those deleted longer ago than: 7d, 12h, 30m
        #[arg(long, value_name = "AGE", value_parser = age)]
        older: Option<jiff::SignedDuration>,
    },
}

/// Parses `7d`, `12h`, `30m`.
fn age(text: &str) -> Result<jiff::SignedDuration, String> {
    let wrong = || "write an age as 7d, 12h or 30m".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok().filter(|n| (0..100_000).contains(n)).ok_or_else(wrong)?;
    match unit {
        'd' => Ok(jiff::SignedDuration::from_hours(24 * number)),
        'h' => Ok(jiff::SignedDuration::from_hours(number)),
        'm' => Ok(jiff::SignedDuration::from_mins(number)),
        _ => Err(wrong()),
    }
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::List(args) => list(session, args),
        Verb::Empty { wanted, older } => empty(session, wanted, *older),
    }
}

const COLUMNS: [&str; 6] = ["name", "kind", "deleted", "used", "identity", "dataset"];

fn list(session: &Session, args: &ListArgs) -> Result<()> {
    let answer = session.run(&TrashList {})?.answer.unwrap_or_default();
    let table = Table::of(&COLUMNS, &answer, |one| {
        vec![
            Cell::text(&one.name),
            Cell::text(one.kind.word()),
            Cell::maybe(one.deleted.map(|time| time.to_string())),
            Cell::bytes(one.used),
            Cell::text(&one.identity),
            Cell::text(&one.dataset),
        ]
    });
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("the trash is empty");
    }
    // The identity of a guest is its UUID, which it keeps when it is moved to another pool.
    let twice = |one: &Trashed| answer.iter().filter(|other| other.name == one.name || other.identity == one.identity).count() > 1;
    let shown = if answer.iter().any(twice) { COLUMNS.len() } else { 5 };
    show(session, table, &args.or_columns(session, &COLUMNS[..shown]))
}

fn empty(session: &Session, wanted: &[String], older: Option<jiff::SignedDuration>) -> Result<()> {
    let before = older.map(|age| jiff::Timestamp::now().checked_sub(age).map(Time));
    let before = before.transpose().map_err(|e| Problem::usage("the age is too large").because(e))?;
    let outcome = session.run(&TrashEmpty { wanted: wanted.to_vec(), before })?;
    session.show_all(outcome, |gone| Some((gone.object.clone(), "destroyed".to_owned())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn ages_are_read() {
        assert_eq!(super::age("7d").unwrap().as_hours(), 168);
        assert_eq!(super::age("30m").unwrap().as_mins(), 30);
        for bad in ["", "d", "7", "7w", "-1d", "1é"] {
            assert!(super::age(bad).is_err(), "{bad}");
        }
    }
}
