//! `chyves get`: settings with their sources.

use super::sizes;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result, did_you_mean};
use chyves_core::property::settings::{Own, OwnValues, Settings};
use chyves_core::property::{self, Scope, Setting, catalog};
use chyves_core::world::{Root, World};
use chyves_host::observe::{self, Look};
use serde_json::Value;

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
    let mut table = Table::new(COLUMNS);
    let mut add = |name: &str, setting: Setting| {
        let cells = [Cell::text(name), Cell::text(setting.property), Cell::maybe(setting.value), Cell::text(setting.source.to_string())];
        table.rows.push(cells.to_vec());
    };
    let mut lost = (0, Vec::new());
    match guests[0].as_str() {
        "defaults" | "global" => {
            let world = session.look(&Look::default())?;
            world.primary()?;
            for root in &world.roots {
                for setting in of_root(&guests[0], root, &properties)? {
                    add(&format!("{}:{}", root.dataset.pool(), guests[0]), setting);
                }
            }
        }
        _ => {
            let targets = Targets::parse(&guests)?;
            let keys = properties.iter().map(|p| property::find(p).map(|k| k.key).ok()).collect::<Option<Vec<_>>>();
            let look = if targets == Targets::All { Look { keys, ..targets.look() } } else { targets.look() };
            let world = session.look(&look)?;
            let (found, missing) = targets.found(&world)?;
            lost = (found.len(), missing);
            for guest in found {
                let asked = properties.iter().filter_map(|property| sizes::number(&property::find(property).ok()?.key));
                for number in asked.filter(|_| targets != Targets::All) {
                    if let Some(why) = sizes::differs(guest, &super::disk::seen(session, guest)?, number) {
                        let name = &guest.name;
                        session.ui.say(&format!("disk{number} of {name}: {why}; `chyves disk sync {name} disk{number}` records it"));
                    }
                }
                for setting in chosen(&guest.settings, &properties)? {
                    add(guest.name.as_str(), setting);
                }
            }
        }
    }
    show(session, table, &args.list)?;
    Session::lacking(lost.0, lost.1)
}

fn chosen(settings: &Settings, properties: &[String]) -> Result<Vec<Setting>> {
    let mut found = Vec::new();
    for wanted in properties {
        if wanted == "all" {
            found.extend(settings.all());
        } else {
            found.push(settings.get(&property::find(wanted)?));
        }
    }
    Ok(found)
}

/// The defaults or the local settings of one pool.
fn of_root(which: &str, root: &Root, properties: &[String]) -> Result<Vec<Setting>> {
    let (own, scopes): (OwnValues, &[Scope]) = if which == "defaults" {
        let row = observe::dataset(&root.guests())?;
        (row.map(|r| r.own).unwrap_or_default(), &[Scope::Guest])
    } else {
        (observe::dataset(&root.dataset)?.map(|r| r.own).unwrap_or_default(), &[Scope::Global, Scope::Pool])
    };
    let settings = Settings::new(own.iter().map(|(k, v): (&String, &Own)| (k.clone(), v.clone())).collect(), Vec::new());
    if !properties.iter().any(|p| p == "all") {
        return chosen(&settings, properties);
    }
    let plain = catalog::all().filter(|p| scopes.contains(&p.scope) && !p.key.contains("{n}"));
    let mut found: Vec<Setting> = plain.map(|p| property::find(p.key).map(|k| settings.get(&k))).collect::<Result<_>>()?;
    let numbered = own.keys().filter(|k| !found.iter().any(|s| s.property == **k)).cloned().collect::<Vec<_>>();
    found.extend(numbered.iter().filter_map(|k| property::find(k).ok()).map(|k| settings.get(&k)));
    Ok(found)
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

/// A setting of one guest of a world as a cell.
pub(super) fn setting_cell(world: &World, index: usize, key: &str) -> Cell {
    match world.guests.get(index).and_then(|g| g.settings.value(key)) {
        Some(value) => match value.parse::<u64>() {
            Ok(number) => Cell { shown: value, exact: Value::from(number) },
            Err(_) => Cell::text(value),
        },
        None => Cell::none(),
    }
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
