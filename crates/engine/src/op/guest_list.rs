//! Lists guests: facts and properties, as many as are asked for.

use crate::answer::{Address, Change, Failure, State, Value};
use crate::needs::{DiskNeeds, Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use crate::runs::{self, Interfaces};
use crate::{Engine, Targets, sizes};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{Guest, RunState};
use chyves_core::network::leases;
use chyves_core::plan::disk::found::{self, Disks};
use chyves_core::pool::Root;
use chyves_core::property;
use chyves_core::value::{Dataset, GuestName, Size};
use chyves_core::world::World;
use chyves_host::network;
use chyves_host::observe::Look;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The columns that are not properties.
pub const FACTS: [&str; 13] =
    ["name", "state", "reason", "used", "pool", "dataset", "uuid", "group", "origin", "foreign", "pending", "invalid", "addresses"];

/// Lists guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuestList {
    /// The guests; all if it is missing.
    pub guests: Targets,
    /// What is read of each: facts (name, state, reason, used, pool, dataset, uuid, group, origin, foreign, pending, invalid,
    /// addresses)
    /// and properties.
    pub columns: Vec<String>,
}

impl Default for GuestList {
    fn default() -> Self {
        Self { guests: Targets::All, columns: ["name", "state", "cpu", "ram", "used", "pending", "invalid"].map(str::to_owned).to_vec() }
    }
}

/// One guest, with the columns that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GuestRow {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Why it has crashed or is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Option<String>>,
    /// Bytes that it uses in the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// Its pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Its dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Its UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Its group, as a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Option<String>>,
    /// The snapshot that it is a clone of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Option<String>>,
    /// Why it does not belong to this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Option<String>>,
    /// Changes that its present run does not use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Vec<Change>>,
    /// Its addresses, as far as they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<Address>>,
    /// Properties: of a running guest the values that it runs with, of a disk its actual size.
    #[serde(flatten)]
    pub properties: BTreeMap<String, Option<Value>>,
    /// Why the guest cannot be used, or the first of these properties whose stored value is not allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid: Option<Option<Failure>>,
    /// The recorded sizes of disks that have another size.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub recorded: BTreeMap<String, Option<String>>,
}

impl GuestList {
    fn properties(&self) -> impl Iterator<Item = &String> {
        self.columns.iter().filter(|column| !FACTS.contains(&column.as_str()))
    }

    fn sizes(&self) -> impl Iterator<Item = u16> {
        self.columns.iter().filter_map(|column| sizes::number(column))
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|have| have == column)
    }
}

/// The column of that name: a fact, or a property by its full name.
///
/// # Errors
/// There is none.
pub fn column(name: &str) -> Result<String> {
    if FACTS.contains(&name) {
        return Ok(name.to_owned());
    }
    let shown = chyves_core::value::printable(name, 40);
    Ok(property::find(name).map_err(|p| p.within(format!("there is no column called `{shown}`")))?.key)
}

impl Operation for GuestList {
    const NAME: &'static str = "guest-list";
    type Answer = Vec<GuestRow>;

    fn needs(&self) -> Needs {
        let keys = self.properties().cloned().chain(self.sizes().flat_map(sizes::wanted)).collect();
        let disks = if self.sizes().next().is_some() { DiskNeeds::Unmounted } else { DiskNeeds::None };
        Needs { guests: Some(self.guests.clone()), keys: Some(keys), pools: Pools::InUse, disks, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        for name in &self.columns {
            column(name)?;
        }
        let runs = if self.has("pending") || self.has("addresses") || self.properties().next().is_some() {
            Runs::read(engine, &seen.world)?
        } else {
            Runs::default()
        };
        let guests = seen.guests();
        let disks = if self.sizes().next().is_some() { Some(seen.disks.get()?) } else { None };
        let mut all = Vec::with_capacity(guests.len());
        for (index, guest) in guests.iter().enumerate() {
            let there = disks.and_then(|disks| disks.get(index));
            all.push(self.row(guest, runs.0.get(&guest.uuid), there));
        }
        if self.guests == Targets::All {
            all.extend(unusable(&seen.world).map(|(dataset, problem)| self.row_of_unusable(&dataset, problem)));
            for stray in &seen.world.strays {
                let levels = seen.world.root_on(stray.pool()).map_or(0, |root| root.group_levels) + 1;
                engine.events.note(&format!(
                    "{stray} is not a guest; if it is a group, `chyves set global group_levels={levels}` shows the guests in it"
                ));
            }
            if all.is_empty() && seen.world.strays.is_empty() {
                engine.events.note("there are no guests; `chyves create` creates one");
            }
        }
        Ok(Outcome::without(all, "guests could not be read", guests.len(), seen.lost.clone()))
    }
}

impl GuestList {
    fn row(&self, guest: &Guest, run: Option<&Run>, there: Option<&Disks>) -> GuestRow {
        let mut row = GuestRow::default();
        let changes = run.map(|run| run.changes.as_slice()).unwrap_or_default();
        for column in &self.columns {
            match column.as_str() {
                "name" => row.name = Some(guest.name.to_string()),
                "state" => row.state = Some(State::of(guest)),
                "reason" => {
                    row.reason = Some(match &guest.state {
                        RunState::Crashed { reason } | RunState::Paused { reason } => Some(reason.clone()),
                        RunState::Stopped | RunState::Starting | RunState::Running | RunState::Stopping | RunState::Orphaned => None,
                    });
                }
                "used" => row.used = Some(guest.used.get()),
                "pool" => row.pool = Some(guest.dataset.pool().to_owned()),
                "dataset" => row.dataset = Some(guest.dataset.to_string()),
                "uuid" => row.uuid = Some(guest.uuid.to_string()),
                "group" => row.group = Some(guest.group().map(str::to_owned)),
                "origin" => row.origin = Some(guest.origin.clone()),
                "foreign" => row.foreign = Some(guest.foreign.clone()),
                "invalid" => row.invalid = Some(self.properties().find_map(|key| invalid(guest, key)).map(Failure)),
                "pending" => row.pending = Some(changes.to_vec()),
                "addresses" => row.addresses = Some(run.map(|run| run.addresses.clone()).unwrap_or_default()),
                key => put_setting(&mut row, guest, key, changes, there),
            }
        }
        row
    }

    /// The row of a dataset that is marked as a guest and cannot be used as one.
    fn row_of_unusable(&self, dataset: &Dataset, problem: &Problem) -> GuestRow {
        let has = |column: &str| self.has(column);
        GuestRow {
            name: has("name").then(|| dataset.leaf().to_owned()),
            state: has("state").then_some(State::Unusable),
            reason: has("reason").then(|| Some(problem.to_string())),
            pool: has("pool").then(|| dataset.pool().to_owned()),
            dataset: has("dataset").then(|| dataset.to_string()),
            pending: has("pending").then(Vec::new),
            addresses: has("addresses").then(Vec::new),
            properties: self.properties().map(|key| (key.clone(), None)).collect(),
            invalid: has("invalid").then(|| Some(Failure(problem.clone()))),
            ..GuestRow::default()
        }
    }
}

/// Datasets in the place of guests that are marked as guests and cannot be used as such.
fn unusable(world: &World) -> impl Iterator<Item = (Dataset, &Problem)> {
    let is_guest = |dataset: &Dataset| world.guests.iter().any(|guest| guest.dataset == *dataset);
    let below = |dataset: &Dataset| world.roots.iter().map(Root::guests).any(|guests| dataset.is_within(&guests) && *dataset != guests);
    let one = move |problem: &'_ Problem| -> Option<Dataset> {
        let dataset: Dataset = problem.object.as_deref()?.parse().ok()?;
        (below(&dataset) && !is_guest(&dataset)).then_some(dataset)
    };
    world.oddities.iter().filter_map(move |problem| Some((one(problem)?, problem)))
}

/// Why the stored value of a property is not allowed.
fn invalid(guest: &Guest, key: &str) -> Option<Problem> {
    let known = property::find(key).ok()?;
    property::check(&known, &guest.settings.get(&known).value?).err().map(|problem| problem.on(&guest.name))
}

/// Adds the value of a property, and what is recorded where a disk has another size.
fn put_setting(row: &mut GuestRow, guest: &Guest, key: &str, changes: &[Change], there: Option<&Disks>) {
    let set = guest.settings.value(key);
    if let (Some(number), Some(there)) = (sizes::number(key), there)
        && sizes::differs(guest, there, number).is_some()
    {
        let actual = found::of(there, number).actual().map(|size: Size| Value::Number(size.get()));
        row.properties.insert(key.to_owned(), actual);
        row.recorded.insert(key.to_owned(), set);
        return;
    }
    let used = match changes.iter().find(|change| change.property == key) {
        Some(change) => change.running.clone(),
        None => set,
    };
    row.properties.insert(key.to_owned(), used.map(|text| Value::of(key, &text)));
}

/// What is known about running guests, by UUID.
#[derive(Default)]
struct Runs(HashMap<Uuid, Run>);

/// What is known about one running guest.
struct Run {
    changes: Vec<Change>,
    addresses: Vec<Address>,
}

impl Runs {
    /// Reads it. The world may have only some of the settings; those of running guests are read completely.
    fn read(engine: &Engine, world: &World) -> Result<Self> {
        let alive: Vec<GuestName> = world.guests.iter().filter(|g| g.state.is_alive()).map(|g| g.name.clone()).collect();
        if alive.is_empty() {
            return Ok(Self::default());
        }
        let leased = network::leases(&engine.runtime);
        let interfaces = Interfaces::default();
        let mut runs = HashMap::new();
        for guest in &engine.look(&Look::at(&alive))?.guests {
            let Some(record) = engine.runtime.observe(guest.uuid, &guest.dataset)?.record else { continue };
            let changes = interfaces.pending(engine, guest, &record).iter().map(Change::from).collect();
            // If the settings cannot be read, no addresses of NICs can be looked up.
            let known =
                runs::started(guest, &record).spec().map(|spec| leases::of(&leased, &spec.nets, world.host.vmm)).unwrap_or_default();
            runs.insert(guest.uuid, Run { changes, addresses: known.iter().map(Address::from).collect() });
        }
        Ok(Self(runs))
    }
}
