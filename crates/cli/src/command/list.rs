//! `chyves list`: one line per guest; properties, images, pools, snapshots and clones by their nouns.

use super::get::{setting_cell, show};
use super::sizes;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result, did_you_mean};
use chyves_core::guest::pending::{Pending, pending};
use chyves_core::guest::{Guest, RunState};
use chyves_core::network::leases::{self, Known};
use chyves_core::plan::disk::found::Disks;
use chyves_core::property::{self, Access, catalog};
use chyves_core::value::GuestName;
use chyves_core::world::{ImageKind, World};
use chyves_host::network;
use chyves_host::observe::{Look, disks};
use serde_json::json;
use std::collections::HashMap;
use uuid::Uuid;

/// Columns that are not properties.
pub(crate) const FACTS: [&str; 12] =
    ["name", "state", "reason", "used", "pool", "dataset", "uuid", "group", "origin", "foreign", "pending", "addresses"];

const USUAL: [&str; 6] = ["name", "state", "cpu", "ram", "used", "description"];

/// What `list` can list besides guests.
pub(crate) const NOUNS: [&str; 8] = ["guests", "properties", "images", "iso", "firmware", "pools", "clones", "bridges"];

/// List guests; or properties, images, pools, clones, bridges
///
/// Names of guests instead of a noun list these guests: `chyves list web01 web02`.
///
/// The columns are name, state, used, pool, dataset, uuid, group, origin, foreign, pending, addresses, and every property. A property instead
/// of a noun lists it for all guests: `chyves list ram`. For a running guest the present settings are shown; the column pending, if
/// not empty, has those that take effect at its next start or reboot. The column addresses has
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
    for column in &mut columns {
        if !FACTS.contains(&column.as_str()) {
            *column = property::find(column)
                .map_err(|p| p.within(format!("there is no column called `{}`", chyves_core::value::printable(column, 40))))?
                .key;
        }
    }
    let mut keys: Vec<String> = columns.iter().filter(|c| !FACTS.contains(&c.as_str())).cloned().collect();
    let with_sizes: Vec<u16> = columns.iter().filter_map(|column| sizes::number(column)).collect();
    keys.extend(with_sizes.iter().flat_map(|number| sizes::wanted(*number)));
    let world = session.look(&Look { keys: Some(keys), ..targets.look() })?;
    world.in_use()?;
    let (found, lost) = targets.found(&world)?;
    let is_all = *targets == Targets::All;
    let place = |guest: &&Guest| world.guests.iter().position(|other| other.dataset == guest.dataset);
    let found: Vec<usize> = if is_all { (0..world.guests.len()).collect() } else { found.iter().filter_map(place).collect() };
    let runs = if columns.iter().any(|c| c == "pending" || c == "addresses" || !FACTS.contains(&c.as_str())) {
        Runs::read(session, &world)?
    } else {
        Runs::default()
    };
    // By default the column is shown only if it is not empty; in JSON always.
    if args.columns.is_empty() && usual == USUAL && (session.ui.json || runs.any_pending()) {
        columns.insert(shown, "pending".to_owned());
        shown += 1;
    }
    let mut table = Table::new(columns.clone());
    let guests: Vec<&Guest> = found.iter().map(|index| &world.guests[*index]).collect();
    let there = if with_sizes.is_empty() { vec![Disks::default(); guests.len()] } else { disks::of_all(&guests)? };
    for ((index, guest), there) in found.iter().zip(&guests).zip(&there) {
        let size = |column: &String| sizes::cell(guest, there, sizes::number(column)?);
        table.rows.push(columns.iter().map(|column| size(column).unwrap_or_else(|| runs.cell(&world, *index, column))).collect());
    }
    if is_all && table.rows.is_empty() && world.strays.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("there are no guests; `chyves create` creates one");
    }
    for stray in world.strays.iter().filter(|_| is_all) {
        let levels = world.root_on(stray.pool()).map_or(0, |root| root.group_levels) + 1;
        session
            .ui
            .say(&format!("{stray} is not a guest; if it is a group, `chyves set global group_levels={levels}` shows the guests in it"));
    }
    let chosen = ListArgs { columns: columns[..shown.min(columns.len())].to_vec(), ..args.clone() };
    // For a single guest that does not exist there is no table.
    if !found.is_empty() || lost.is_empty() {
        show(session, table, &chosen)?;
    }
    Session::lacking(found.len(), lost)
}

/// Guests that are clones or have clones, drawn as a tree.
fn clones(session: &Session, args: &ListArgs) -> Result<()> {
    let world = session.look(&Look::at_keys(Vec::new()))?;
    world.primary()?;
    let mut table = Table::new(["name", "state", "used", "origin", "above"]);
    for branch in chyves_core::clones::tree(&world.guests) {
        let guest = &world.guests[branch.index];
        // Without the root that all have in common.
        let origin = guest.origin.as_deref().map(|o| o.strip_prefix(&format!("{}/", guest.root)).unwrap_or(o));
        let origin = origin.map(|o| o.strip_prefix("guests/").unwrap_or(o).to_owned());
        let drawn = if args.bare { String::new() } else { branch.lines.clone() };
        table.rows.push(vec![
            Cell { shown: format!("{drawn}{}", guest.name), exact: guest.name.as_str().into() },
            cell(&world, branch.index, "state"),
            cell(&world, branch.index, "used"),
            Cell::maybe(origin),
            Cell::maybe(branch.above.map(|above| world.guests[above].name.to_string())),
        ]);
    }
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("there are no clones; `chyves clone GUEST NAME` creates one");
    }
    let mut args = args.clone();
    if args.columns.is_empty() && !session.ui.json {
        args.columns = ["name", "state", "used", "origin"].map(str::to_owned).to_vec();
    }
    show(session, table, &args)
}

fn cell(world: &World, index: usize, column: &str) -> Cell {
    let guest = &world.guests[index];
    match column {
        "name" => Cell::text(guest.name.as_str()),
        "state" => Cell::text(guest.shown_state()),
        "reason" => match &guest.state {
            RunState::Crashed { reason } | RunState::Paused { reason } => Cell::text(reason.clone()),
            RunState::Stopped | RunState::Starting | RunState::Running | RunState::Stopping | RunState::Orphaned => Cell::none(),
        },
        "used" => Cell::number(guest.used.human(), guest.used.get()),
        "pool" => Cell::text(guest.dataset.pool()),
        "dataset" => Cell::text(guest.dataset.as_str()),
        "uuid" => Cell::text(guest.uuid.to_string()),
        "group" => Cell::maybe(guest.group().map(str::to_owned)),
        "origin" => Cell::maybe(guest.origin.clone()),
        "foreign" => Cell::maybe(guest.foreign.clone()),
        "ram" => memory(guest.settings.value("ram")),
        key => setting_cell(world, index, key),
    }
}

fn memory(text: Option<String>) -> Cell {
    match text.and_then(|text| text.parse::<chyves_core::value::Size>().ok()) {
        Some(size) => Cell::number(size.to_string(), size.get()),
        None => Cell::none(),
    }
}

/// The state of running guests, by UUID.
#[derive(Default)]
struct Runs(HashMap<Uuid, Run>);

/// The state of one running guest.
struct Run {
    changes: Vec<Pending>,
    addresses: Vec<Known>,
}

impl Runs {
    /// Reads it. The world may contain only some of the settings; those of running guests are read completely.
    fn read(session: &Session, world: &World) -> Result<Self> {
        let alive: Vec<GuestName> = world.guests.iter().filter(|g| g.state.is_alive()).map(|g| g.name.clone()).collect();
        if alive.is_empty() {
            return Ok(Self::default());
        }
        let leased = network::leases(&session.runtime);
        let mut runs = HashMap::new();
        for guest in &session.look(&Look::at(&alive))?.guests {
            let Some(record) = session.runtime.observe(guest.uuid, &guest.dataset)?.record else { continue };
            let changes = pending(&record.launch.settings, guest);
            // If the settings cannot be read, no addresses of NICs can be looked up.
            let addresses = guest.spec().map(|spec| leases::of(&leased, &spec.nets, world.host.vmm)).unwrap_or_default();
            runs.insert(guest.uuid, Run { changes, addresses });
        }
        Ok(Self(runs))
    }

    fn any_pending(&self) -> bool {
        self.0.values().any(|run| !run.changes.is_empty())
    }

    /// A cell, with the value that a guest runs with instead of the next one.
    fn cell(&self, world: &World, index: usize, column: &str) -> Cell {
        let run = self.0.get(&world.guests[index].uuid);
        let changes = run.map(|run| run.changes.as_slice()).unwrap_or_default();
        if column == "addresses" {
            return addresses(run.map(|run| run.addresses.as_slice()).unwrap_or_default());
        }
        if column == "pending" {
            let all: Vec<String> = changes.iter().map(Pending::short).collect();
            return if all.is_empty() { Cell::none() } else { Cell::text(all.join(", ")) };
        }
        match changes.iter().find(|change| change.property == column) {
            Some(change) if column == "ram" => memory(change.running.clone()),
            // A number stays a number, as it is without a pending change.
            Some(change) => match change.running.as_ref().and_then(|text| text.parse().ok()) {
                Some(number) if cell(world, index, column).exact.is_number() => {
                    Cell::number(change.running.clone().unwrap_or_default(), number)
                }
                _ => Cell::maybe(change.running.clone()),
            },
            None => cell(world, index, column),
        }
    }
}

/// Addresses as text, and in JSON with NIC and source.
fn addresses(known: &[Known]) -> Cell {
    let shown: Vec<String> = known.iter().map(|known| known.address.to_string()).collect();
    Cell { shown: if shown.is_empty() { "-".to_owned() } else { shown.join(",") }, exact: json!(known) }
}

fn properties(session: &Session, args: &ListArgs) -> Result<()> {
    let mut table = Table::new(["property", "values", "default", "effect", "host", "summary"]);
    for p in catalog::all().filter(|p| p.access == Access::Free || p.reach.words().is_some()) {
        let default = match p.unset {
            property::Unset::Value(value) => Cell::text(value),
            property::Unset::Nothing => Cell::none(),
            property::Unset::Derived(from) => Cell::text(format!("({from})")),
        };
        let host = Cell::maybe(p.reach.words().map(str::to_owned));
        table.rows.push(vec![
            Cell::text(p.key),
            Cell::text(p.kind.words()),
            default,
            Cell::text(p.effect.words()),
            host,
            Cell::text(p.summary),
        ]);
    }
    let mut args = args.clone();
    if args.columns.is_empty() && !session.ui.json {
        args.columns = ["property", "default", "summary"].map(str::to_owned).to_vec();
    }
    show(session, table, &args)
}
