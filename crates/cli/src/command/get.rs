//! `chyves get`: settings with their sources.

use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result, did_you_mean};
use chyves_core::property;
use chyves_engine::op::{Holder, SettingGet, Source};

const COLUMNS: [&str; 4] = ["name", "property", "value", "source"];

/// Show settings and where each comes from
///
/// The source is local, received, inherited from a dataset, or default. `defaults` and `global` instead of a guest
/// show what guests inherit and what the host has.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Guests, `all`, `defaults` or `global`; then properties, or `all`
    #[arg(required = true, value_name = "GUEST|PROPERTY")]
    words: Vec<String>,
    #[command(flatten)]
    list: ListArgs,
}

/// Separates guests and properties: the first word names guests, and so does any later word that is not a property.
fn parted(words: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let mut guests = vec![words[0].clone()];
    let mut properties = Vec::new();
    for word in &words[1..] {
        let is_property = |w: &str| w == "all" || property::find(w).is_ok();
        if word.split(',').all(is_property) {
            properties.extend(word.split(',').map(str::to_owned));
        } else if properties.is_empty() && !word.contains('.') && words.len() > 2 && word != &words[words.len() - 1] {
            guests.push(word.clone());
        } else {
            // Neither a property nor in a guest's place: the error suggests the nearest property.
            property::find(word)?;
        }
    }
    if properties.is_empty() {
        properties.push("all".into());
    }
    Ok((guests, properties))
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let (guests, properties) = parted(&args.words)?;
    let of = match guests[0].as_str() {
        "defaults" => Holder::Defaults,
        "global" => Holder::Global,
        _ => Holder::Guests(Targets::parse(&guests)?),
    };
    let properties = if properties.iter().any(|property| property == "all") { Vec::new() } else { properties };
    let outcome = session.run(&SettingGet { of, properties })?;
    let table = Table::of(&COLUMNS, &outcome.answer.unwrap_or_default(), |one| {
        let source = source(one.source, one.inherited_from.as_deref());
        vec![Cell::text(&one.name), Cell::text(&one.property), Cell::maybe(one.value.clone()), Cell::text(source)]
    });
    show(session, table, &args.list)?;
    outcome.problem.map_or(Ok(()), Err)
}

/// The source of a value, as tables show it.
pub(super) fn source(source: Source, inherited_from: Option<&str>) -> String {
    match source {
        Source::Local => "local".to_owned(),
        Source::Received => "received".to_owned(),
        Source::Inherited => format!("inherited from {}", inherited_from.unwrap_or("-")),
        Source::Default => "default".to_owned(),
        Source::None => "-".to_owned(),
    }
}

/// Prints a table according to its options, after checking the columns.
pub(super) fn show(session: &Session, mut table: Table, args: &ListArgs) -> Result<()> {
    let known = table.columns.clone();
    for wanted in args.columns.iter().chain(&args.ascending).chain(&args.descending) {
        if !known.contains(wanted) {
            let shown = chyves_core::value::printable(wanted, 40);
            return Err(Problem::usage(format!("there is no column called `{shown}`"))
                .on(&shown)
                .hint_if(did_you_mean(wanted, known.iter().map(String::as_str)))
                .hint(format!("the columns are {}", known.join(", "))));
        }
    }
    table.sort(args);
    if !args.columns.is_empty() {
        table.only(&args.columns);
    }
    if session.ui.json {
        session.ui.answer_json(table.json());
    } else if table.rows.is_empty() {
        // An empty table is not printed; scripts get nothing, and the caller prints a message on standard error.
    } else {
        session.ui.answer(&table.text(args));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> String {
        let list: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match parted(&list) {
            Ok((g, p)) => format!("{} | {}", g.join(" "), p.join(" ")),
            Err(problem) => format!("! {}", problem.message),
        }
    }

    #[test]
    fn guests_come_before_properties() {
        assert_eq!(words("web01"), "web01 | all");
        assert_eq!(words("web01 ram"), "web01 | ram");
        assert_eq!(words("web01 web02 ram,cpu"), "web01 web02 | ram cpu");
        assert_eq!(words("all ram"), "all | ram");
        assert_eq!(words("web01 all"), "web01 | all");
        assert_eq!(words("web01 rma"), "! no property is called `rma`");
    }
}
