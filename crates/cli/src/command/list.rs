//! `chyves list`: one line per guest; properties, images, pools, snapshots and clones by their nouns.

use super::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result, did_you_mean};
use chyves_core::image::ImageKind;
use chyves_core::property::{self, catalog};
use chyves_core::value::Size;
use chyves_engine::answer::{Change, Value};
use chyves_engine::op::{CloneList, GuestList, GuestRow, PropertyList, column};

const USUAL: [&str; 6] = ["name", "state", "cpu", "ram", "used", "description"];

/// What `list` can list besides guests.
pub(crate) const NOUNS: [&str; 8] = ["guests", "properties", "images", "iso", "firmware", "pools", "clones", "bridges"];

/// List guests; or properties, images, pools, clones, bridges
///
/// Names of guests instead of a noun list these guests: `chyves list web01 web02`.
///
/// The columns are name, state, used, pool, dataset, uuid, group, origin, foreign, pending, invalid, addresses, and every property. A property
/// instead of a noun lists it for all guests: `chyves list ram`. For a running guest the present settings are shown; the column pending,
/// if not empty, has those that take effect at its next start or reboot. The column invalid, if not empty, has why a guest cannot be used,
/// or which of the listed settings has a value that is not allowed. The column addresses has
/// its leases from chyves' own DHCP server (bridge settings nat and dhcp). The size of a disk is what its file or volume has, with
/// what is recorded where both differ; of a guest whose file system is not mounted it is what is recorded.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to list: guests (if not given), properties, images, iso, firmware, pools, clones, bridges, a property, or some guests
    #[arg(value_name = "WHAT|GUEST")]
    what: Vec<String>,
    #[command(flatten)]
    list: ListArgs,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let word = match args.what.as_slice() {
        [] => None,
        [word] => Some(word.as_str()),
        _ => return guests(session, &args.list, &USUAL, &Targets::parse(&args.what)?),
    };
    match word {
        None | Some("guests") => guests(session, &args.list, &USUAL, &Targets::All),
        Some("properties") => properties(session, &args.list),
        Some("images") => super::image::list(session, None, &args.list),
        Some("iso") => super::image::list(session, Some(ImageKind::Iso), &args.list),
        Some("firmware") => super::image::list(session, Some(ImageKind::Firmware), &args.list),
        Some("pools") => super::pool::list(session, &args.list),
        Some("bridges" | "networks") => super::network::list(session, &args.list),
        Some("clones") => clones(session, &args.list),
        Some(word) => match property::find(word) {
            Ok(known) => guests(session, &args.list, &["name", &known.key], &Targets::All),
            Err(_) => named(session, &args.list, word),
        },
    }
}

/// Lists the guests that a word names, which is neither a noun nor a property.
fn named(session: &Session, args: &ListArgs, word: &str) -> Result<()> {
    let shown = chyves_core::value::printable(word, 40);
    let neither = |problem: Problem| {
        let near = did_you_mean(word, NOUNS.iter().copied().chain(catalog::all().map(|p| p.key)));
        Problem { message: format!("`{shown}` cannot be listed: no guest is called so"), ..problem }
            .hint_if(near)
            .hint(format!("it lists {}, any property, or guests by their names", NOUNS.join(", ")))
    };
    let lists = |problem: Problem| if problem.message.starts_with("no guest is called") { neither(problem) } else { problem };
    Targets::parse(&[word]).and_then(|targets| guests(session, args, &USUAL, &targets)).map_err(lists)
}

/// Lists the named guests, or all.
fn guests(session: &Session, args: &ListArgs, usual: &[&str], targets: &Targets) -> Result<()> {
    // The columns to show and to sort by, checked before anything is read.
    let mut columns: Vec<String> =
        if args.columns.is_empty() { usual.iter().map(|c| (*c).to_owned()).collect() } else { args.columns.clone() };
    let mut shown = columns.len();
    columns.extend(args.ascending.iter().chain(&args.descending).filter(|c| !args.columns.contains(c)).cloned());
    columns.dedup();
    for name in &mut columns {
        *name = column(name)?;
    }
    // By default these columns are shown only if they are not empty; in JSON always.
    let maybe_pending = args.columns.is_empty() && usual == USUAL;
    if maybe_pending {
        columns.insert(shown, "pending".to_owned());
        columns.insert(shown + 1, "invalid".to_owned());
        shown += 2;
    }
    let request = GuestList { guests: targets.clone(), columns };
    let outcome = session.run(&request)?;
    let rows = outcome.answer.unwrap_or_default();
    let mut chosen = request.columns[..shown.min(request.columns.len())].to_vec();
    if maybe_pending && !session.ui.json && rows.iter().all(|row| row.pending.as_ref().is_none_or(Vec::is_empty)) {
        chosen.retain(|column| column != "pending");
    }
    if maybe_pending && !session.ui.json && rows.iter().all(|row| row.invalid.as_ref().is_none_or(Option::is_none)) {
        chosen.retain(|column| column != "invalid");
    }
    let names: Vec<&str> = request.columns.iter().map(String::as_str).collect();
    let table = Table::of(&names, &rows, |row| names.iter().map(|column| guest_cell(row, column)).collect());
    // For a single guest that does not exist there is no table.
    if !rows.is_empty() || outcome.problem.is_none() {
        show(session, table, &ListArgs { columns: chosen, ..args.clone() })?;
    }
    outcome.problem.map_or(Ok(()), Err)
}

fn guest_cell(row: &GuestRow, column: &str) -> Cell {
    let maybe = |text: &Option<Option<String>>| Cell::maybe(text.clone().flatten());
    match column {
        "name" => Cell::maybe(row.name.clone()),
        "state" => row.state.map_or_else(Cell::none, |state| Cell::text(state.word())),
        "reason" => maybe(&row.reason),
        "used" => row.used.map_or_else(Cell::none, Cell::bytes),
        "pool" => Cell::maybe(row.pool.clone()),
        "dataset" => Cell::maybe(row.dataset.clone()),
        "uuid" => Cell::maybe(row.uuid.clone()),
        "group" => maybe(&row.group),
        "origin" => maybe(&row.origin),
        "foreign" => maybe(&row.foreign),
        "pending" => {
            let all: Vec<String> = row.pending.iter().flatten().map(Change::short).collect();
            if all.is_empty() { Cell::none() } else { Cell::text(all.join(", ")) }
        }
        "invalid" => Cell::maybe(row.invalid.iter().flatten().next().map(|failure| failure.0.to_string())),
        "addresses" => {
            let all: Vec<String> = row.addresses.iter().flatten().map(|known| known.address.to_string()).collect();
            if all.is_empty() { Cell::none() } else { Cell::text(all.join(",")) }
        }
        key => setting(row, key),
    }
}

/// The value of a property, with what is recorded about a disk that has another size.
fn setting(row: &GuestRow, key: &str) -> Cell {
    let is_size = key == "ram" || key.rsplit_once('.').is_some_and(|(_, part)| part == "size");
    let value = row.properties.get(key).and_then(Option::as_ref);
    let cell = match value {
        Some(Value::Number(bytes)) if is_size => Cell::number(Size::bytes(*bytes).to_string(), *bytes),
        Some(Value::Number(number)) => Cell::number(number.to_string(), *number),
        Some(Value::Text(text)) => Cell::text(text),
        None => Cell::none(),
    };
    let Some(recorded) = row.recorded.get(key) else { return cell };
    let actual = if value.is_some() { cell.shown } else { "missing".to_owned() };
    Cell { shown: format!("{actual} (recorded: {})", recorded.as_deref().unwrap_or("-")), ..cell }
}

/// Guests that are clones or have clones, drawn as a tree.
fn clones(session: &Session, args: &ListArgs) -> Result<()> {
    let answer = session.run(&CloneList {})?.answer.unwrap_or_default();
    let table = Table::of(&["name", "state", "used", "origin", "above"], &answer, |one| {
        let drawn = if args.bare { "" } else { &one.branch };
        vec![
            Cell { shown: format!("{drawn}{}", one.name), exact: one.name.as_str().into() },
            Cell::text(one.state.word()),
            Cell::bytes(one.used),
            Cell::maybe(one.origin.clone()),
            Cell::maybe(one.above.clone()),
        ]
    });
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("there are no clones; `chyves clone GUEST NAME` creates one");
    }
    show(session, table, &args.or_columns(session, &["name", "state", "used", "origin"]))
}

fn properties(session: &Session, args: &ListArgs) -> Result<()> {
    let answer = session.run(&PropertyList {})?.answer.unwrap_or_default();
    let table = Table::of(&["property", "values", "default", "effect", "host", "summary"], &answer, |one| {
        let default = one.default.clone().or_else(|| one.derived_from.as_ref().map(|from| format!("({from})")));
        vec![
            Cell::text(&one.property),
            Cell::text(&one.values.message),
            Cell::maybe(default),
            Cell::text(&one.effect.message),
            Cell::maybe(one.host.clone()),
            Cell::text(&one.summary),
        ]
    });
    show(session, table, &args.or_columns(session, &["property", "default", "summary"]))
}
