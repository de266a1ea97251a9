//! `chyves clone` and `chyves promote`: guests made from another one, and reversing which guest depends on which.

use crate::session::{Pace, Report, Session};
use crate::targets::{Targets, guest_at};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{DiskKind, Guest, clones, disk_name};
use chyves_core::plan;
use chyves_core::property::keys;
use chyves_core::value::{Dataset, GuestName, Size, SnapshotName};
use chyves_core::world::World;
use chyves_core::zfs::Dialect;
use chyves_host::observe::{self, Look, snapshots};
use serde_json::json;
use std::collections::BTreeMap;

/// Clone guests
///
/// A linked clone shares its source's disks until it writes: it takes no time and no space, and the source's snapshot stays
/// while a clone depends on it. An independent clone is a full copy that depends on nothing. Each clone has an identity of
/// its own (UUID, MAC addresses, disk serials) unless --exact is given, and its source's other settings. The flags of
/// chyves 0.2 are accepted: -cu, -ce, -iu, -ie.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest, or one of its snapshots
    #[arg(value_name = "GUEST[@SNAPSHOT]")]
    source: String,
    /// The clones' names; KEY=VALUE gives all of them another setting
    #[arg(required = true, value_name = "NAME|KEY=VALUE")]
    names: Vec<String>,
    /// Share the source's disks until they write (the default)
    #[arg(short = 'c', long, conflicts_with = "independent")]
    linked: bool,
    /// Make full copies that depend on nothing
    #[arg(short, long)]
    independent: bool,
    /// Give each an identity of its own (the default)
    #[arg(short, long, conflicts_with = "exact")]
    unique: bool,
    /// Keep the source's identity: UUID, MAC addresses, disk serials. Then only one of them can run at a time
    #[arg(short, long)]
    exact: bool,
    /// The pool of independent clones [default: the source's pool]
    #[arg(long)]
    pool: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let (source, snapshot) = guest_at(&args.source)?;
    let (set, names): (Vec<&String>, Vec<&String>) = args.names.iter().partition(|w| w.contains('='));
    let Targets::Named(names) = Targets::parse(&names)? else {
        return Err(Problem::usage("`all` cannot name new guests").hint("name each clone"));
    };
    let set: Vec<_> = set.iter().filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    super::image::firmware_is_there(session, &set)?;
    let mut involved = names.clone();
    involved.push(source.clone());
    let _locks = session.lock("guest", &involved)?;
    let mut world = session.look(&Look::at(&involved))?;
    let guest = observe::guest(&world, &source)?;
    let others = plan::set::Request { set: set.clone(), unset: Vec::new() };
    // Invalid settings are refused below.
    if plan::set::reads_texts(guest, &others).unwrap_or(false) {
        world = chyves_engine::Engine::with_texts(&world, guest)?;
    }
    let guest = observe::guest(&world, &source)?;
    let seen = match &snapshot {
        Some(name) => snapshots::of(world.host.dialect, guest)?.into_iter().find(|s| s.name == name.as_str()),
        None => {
            snapshot_meant(session, &world, guest, &names)?;
            None
        }
    };
    let snapshot_exists = seen.is_some();
    let known = snapshot.as_ref().filter(|_| snapshot_exists);
    let carried = match &seen {
        Some(seen) => session.settings_at(&world, guest, seen)?,
        None => None,
    };
    if let (Some(seen), None) = (&seen, &carried) {
        let shown = format!("{}@{}", guest.name, seen.name);
        session.ui.warn(&format!("{shown} holds no settings ({}); clones get those that {} has now", seen.maker.word(), guest.name));
    }
    let sizes = if args.independent && (snapshot_exists || snapshot.is_none()) { sizes(&world, guest, known)? } else { BTreeMap::new() };
    let natives = if sizes.is_empty() { BTreeMap::new() } else { observe::natives(sizes.keys())? };
    let volumes = match known {
        Some(name) => snapshots::volumes_with(guest, name)?.into_iter().map(|(s, _)| s.dataset.leaf().to_owned()).collect(),
        None => Vec::new(),
    };
    let request = plan::clone::Request {
        volumes,
        snapshot,
        snapshot_exists,
        carried,
        names: names.clone(),
        set,
        independent: args.independent,
        exact: args.exact,
        pool: args.pool.clone(),
        sizes,
        natives,
    };
    // Each separately: if one cannot be created, the others still are.
    let mut lost = Vec::new();
    let names: Vec<GuestName> = names
        .into_iter()
        .filter(|name| {
            let alone = plan::clone::Request { names: vec![name.clone()], ..request.clone() };
            let refused = plan::clone::clone(&world, guest, &alone, &chyves_engine::Engine::moment(1)).err();
            lost.extend(refused.into_iter().map(|problem| (name.clone(), problem)));
            !lost.iter().any(|(lost, _)| lost == name)
        })
        .collect();
    let request = plan::clone::Request { names: names.clone(), ..request };
    let mut results: Vec<Result<Option<Report>>> = Vec::new();
    if !names.is_empty() {
        let plan = plan::clone::clone(&world, guest, &request, &chyves_engine::Engine::moment(names.len()))?;
        let done = session.carry_out(&world, &plan, source.as_str())?.is_some();
        let made = if done { session.look(&Look::at(&names))? } else { World { guests: Vec::new(), ..world.clone() } };
        let what = match (args.independent, args.exact) {
            (false, false) => "a clone",
            (true, false) => "a copy",
            (false, true) => "an exact clone",
            (true, true) => "an exact copy",
        };
        results.extend(names.iter().map(|name| {
            if !done {
                return Ok(None);
            }
            let clone = observe::guest(&made, name)?;
            Ok(Some(Report::new(name, format!("{what} of {source}")).with(json!({ "dataset": clone.dataset, "uuid": clone.uuid }))))
        }));
    }
    let mut all = names;
    for (name, problem) in lost {
        all.push(name);
        results.push(Err(problem));
    }
    session.sum_up("clones could not be created", &all, results)
}

/// Points out that a clone's name is that of a snapshot: `clone web01 good web02` may mean `web01@good`.
fn snapshot_meant(session: &Session, world: &World, guest: &Guest, names: &[GuestName]) -> Result<()> {
    let [first, .., last] = names else { return Ok(()) };
    if !snapshots::of(world.host.dialect, guest)?.iter().any(|seen| seen.name == first.as_str()) {
        return Ok(());
    }
    let source = &guest.name;
    session.doubt(
        &format!("make {} clones of the present {source}, one of them called {first}", names.len()),
        &format!("{first} is also a snapshot of {source}; clones of that: `chyves clone {source}@{first} {last}`"),
    )
}

/// The approximate stream size of each dataset of a guest, from a snapshot or from one that will be taken.
pub(super) fn sizes(world: &World, guest: &Guest, snapshot: Option<&SnapshotName>) -> Result<BTreeMap<Dataset, Size>> {
    let mut all = vec![guest.dataset.clone()];
    match snapshot {
        // Volumes that were added since have no such snapshot.
        Some(name) => all.extend(snapshots::volumes_with(guest, name)?.into_iter().map(|(s, _)| s.dataset)),
        None => {
            let volumes = guest.spec()?.disks.into_iter().filter(|d| d.kind == DiskKind::Zvol);
            all.extend(volumes.map(|d| guest.dataset.child(disk_name(d.number, d.kind))));
        }
    }
    all.into_iter()
        .map(|dataset| {
            let size = match snapshot {
                Some(name) => snapshots::stream_size(world.host.dialect, &dataset.at(name))?,
                None => Size::bytes(snapshots::size_of(dataset.as_str())?),
            };
            Ok((dataset, size))
        })
        .collect()
}

/// Make a clone the owner of the snapshots it shares with its origin
///
/// The origin is then a clone of it, and can be destroyed or renamed.
#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// The clones
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
}

pub(crate) fn promote(session: &Session, args: &PromoteArgs) -> Result<()> {
    session.each(&Targets::parse(&args.guests)?, Pace::InTurn, |world, guest| {
        let facts = match clones::origin(guest) {
            Some(origin) => {
                let pair = (names_of(world.host.dialect, &guest.dataset)?, names_of(world.host.dialect, &origin.dataset)?);
                let guids = observe::guids(&[guest.dataset.to_string(), origin.dataset.to_string()])?;
                let other = plan::promote::other(&session.look(&Look::at_keys(vec![keys::REVERT_TO.to_owned()]))?, &origin)?;
                plan::promote::Facts { origins: snapshots::origins(guest.dataset.pool())?, snapshots: pair, guids, other }
            }
            None => plan::promote::Facts::default(),
        };
        let plan = plan::promote::promote(world, guest, &facts)?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.filter(|_| !plan.steps.is_empty()).map(|_| Report::new(&guest.name, "promoted: it owns the snapshots now")))
    })
}

fn names_of(dialect: Dialect, dataset: &Dataset) -> Result<Vec<String>> {
    Ok(snapshots::of_dataset(dialect, dataset)?.into_iter().map(|s| s.name).collect())
}
