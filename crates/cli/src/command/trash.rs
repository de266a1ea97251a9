//! `chyves trash`: deleted guests and disks that have not been destroyed yet.

use super::get::show;
use crate::session::{Report, Session};
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Trashed;
use chyves_core::plan;
use chyves_engine::op::TrashList;
use chyves_host::observe::{Look, snapshots};

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
    show(session, table, &args.or_columns(session, &COLUMNS[..5]))
}

/// Whether an object was deleted at least that long ago; false if its time cannot be parsed.
fn is_older(trashed: &Trashed, age: jiff::SignedDuration) -> bool {
    trashed.deleted.parse::<jiff::Timestamp>().is_ok_and(|then| jiff::Timestamp::now().duration_since(then) >= age)
}

fn empty(session: &Session, wanted: &[String], older: Option<jiff::SignedDuration>) -> Result<()> {
    let _lock = session.lock("trash", &["empty"])?;
    let world = session.look(&Look { trash: true, ..Look::default() })?;
    world.in_use()?;
    // Each separately: an unknown name does not keep the others from being destroyed.
    let mut lost = Vec::new();
    let mut chosen: Vec<&Trashed> = match wanted {
        [] => world.trash.iter().collect(),
        names => names.iter().filter_map(|name| plan::delete::find(&world, name).map_err(|problem| lost.push(problem)).ok()).collect(),
    };
    if chosen.is_empty() && lost.len() == 1 {
        return Err(lost.remove(0));
    }
    chosen.retain(|t| older.is_none_or(|age| is_older(t, age)));
    if chosen.is_empty() && lost.is_empty() {
        if session.ui.json {
            session.ui.answer_json(serde_json::json!([]));
        }
        let older = if older.is_some() { " that is so old" } else { "" };
        session.ui.say(&format!("nothing is in the trash{older}"));
        return Ok(());
    }
    let origins = snapshots::Origins::default();
    let doomed = chosen.iter().map(|t| snapshots::doomed(&t.dataset, &origins)).collect::<Result<Vec<_>>>()?;
    let places: Vec<_> = chosen.iter().zip(&doomed).map(|(t, d)| (t.dataset.clone(), d)).collect();
    // Clones before their origins.
    let order = plan::delete::order(&places);
    let mut gone = Vec::new();
    let mut plans = Vec::new();
    for index in &order {
        plans.push((chosen[*index], doomed[*index].all(&gone), plan::delete::empty(chosen[*index], &doomed[*index], &gone)?));
        gone.push(chosen[*index].dataset.clone());
    }
    let left = (0..chosen.len()).filter(|index| !order.contains(index));
    let mut kept: Vec<Problem> = left.filter_map(|index| plan::delete::empty(chosen[index], &doomed[index], &gone).err()).collect();
    kept.extend(lost);
    if !session.dry_run {
        for (trashed, goes, _) in &plans {
            for name in goes {
                session.ui.say(&format!("{}: destroys {name}", trashed.label()));
            }
        }
        if !plans.is_empty() {
            session.ui.confirm(&format!("destroy {} deleted things for good", plans.len()), session.yes)?;
        }
    }
    let mut reports = Vec::new();
    for (trashed, _, plan) in &plans {
        if session.carry_out(&world, plan, trashed.name.as_str())?.is_some() {
            reports.push(Report::new(trashed.label(), "destroyed"));
        }
    }
    session.tell(&reports);
    match kept.len() {
        0 => Ok(()),
        _ if plans.is_empty() && kept.len() == 1 => Err(kept.remove(0)),
        n => {
            let code = if plans.is_empty() { kept[0].code } else { chyves_core::error::Kind::Partial };
            let problem = Problem::new(code, format!("{n} deleted things were not destroyed"));
            Err(kept.into_iter().fold(problem, |p, why| p.because(&why)))
        }
    }
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
