//! Looking at the machine: facts become a [`World`]. Looking has a scope, so that a command on one guest does not pay
//! for a thousand others.
//!
//! However many guests there are, one look is at most two `zfs` calls: one finds the roots, one reads what was asked for.
//!
//! * `datasets`: single ones
//! * [`disks`]: what the disks of a guest are
//! * `parts`: what is kept of cut transfers
//! * [`pool`]: one pool's guests and snapshots, for streams
//! * [`snapshots`]: snapshots, their holders and clones

mod datasets;
pub mod disks;
mod parts;
pub mod pool;
pub mod snapshots;

pub use datasets::{created, dataset, exists, guid, guids, natives, tree};
pub use parts::{Part, parts};

use crate::facts;
use crate::run::{self, Output};
use crate::runtime::{GuestState, Runtime};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{Guest, RunState};
use chyves_core::property::keys::{DELETED, NAME, OWNER, UUID};
use chyves_core::value::{Dataset, GuestName, ImageName, printable};
use chyves_core::world::{HostFacts, Role, Root, World, no_guest};
use chyves_core::zfs::Dialect;
use chyves_core::zfs::args;
use chyves_core::zfs::inventory::{self, inventory};
use chyves_core::zfs::locked::Locked;
use chyves_core::zfs::rows::{self, Row};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Which of a kind are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Which<T> {
    /// None.
    #[default]
    None,
    /// Those of these names; that one is missing is no error here.
    Named(Vec<T>),
    /// All.
    All,
}

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Guests.
    pub guests: Which<GuestName>,
    /// Whether the guests that are named are to be made: then it matters who has their names, and not what they would
    /// inherit.
    pub unborn: bool,
    /// Images.
    pub images: Which<ImageName>,
    /// The trash.
    pub trash: bool,
    /// The settings that will be read where all guests are looked at; all of them where none are given.
    pub keys: Option<Vec<String>>,
}

impl Look {
    /// These guests alone.
    pub fn at(names: &[GuestName]) -> Self {
        Self { guests: Which::Named(names.to_vec()), ..Self::default() }
    }

    fn is_at_nothing(&self) -> bool {
        self.guests == Which::None && self.images == Which::None && !self.trash
    }

    /// Everything.
    pub fn at_all() -> Self {
        Self { guests: Which::All, images: Which::All, trash: true, ..Self::default() }
    }

    /// All guests, of whose settings only these will be read.
    pub fn at_keys(keys: Vec<String>) -> Self {
        Self { guests: Which::All, keys: Some(keys), ..Self::default() }
    }
}

/// The roots of chyves on this host's pools, and those that can't be used.
///
/// # Errors
/// `zfs` is missing, fails, or prints what can't be read.
pub fn roots() -> Result<(Vec<Root>, Vec<Problem>)> {
    let rows = rows::parse(&run::must(&args::find_roots()).map_err(no_zfs)?, false)?;
    Ok(inventory::roots(&rows))
}

fn no_zfs(problem: Problem) -> Problem {
    problem.within("cannot query ZFS for its pools").hint("is ZFS running? `zpool list` must work")
}

/// Looks at the host.
///
/// # Errors
/// What can't be asked or read.
pub fn world(runtime: &Runtime, look: &Look) -> Result<World> {
    let (roots, oddities) = roots()?;
    let mut world = World { oddities, ..without_pools(runtime) };
    let active: Vec<Root> = roots.iter().filter(|r| r.role != Role::Offline).cloned().collect();
    if active.is_empty() || look.is_at_nothing() {
        world.roots = roots;
        return Ok(world);
    }
    let whole = look.guests == Which::All;
    let rows = if whole { read_all(&active, look.keys.as_deref())? } else { read_some(&active, look)? };
    let found = inventory(&rows, &active);
    world.locked = Locked::of(&rows);
    world.roots = roots;
    world.guests = found.guests;
    if let Which::Named(names) = &look.guests {
        world.guests.retain(|g| names.contains(&g.name));
    }
    world.images = found.images;
    world.trash = found.trash;
    world.oddities.extend(found.oddities);
    if whole {
        world.oddities.extend(pool::namesakes(&world.guests));
        world.strays = found.strays;
    }
    world.oddities.extend(states(runtime, &mut world.guests, whole)?);
    Ok(world)
}

/// The host alone, for what is done without any pool.
pub fn without_pools(runtime: &Runtime) -> World {
    World {
        host: facts::host(runtime.root()),
        roots: Vec::new(),
        guests: Vec::new(),
        images: Vec::new(),
        trash: Vec::new(),
        oddities: Vec::new(),
        strays: Vec::new(),
        locked: Locked::default(),
        texts: std::collections::BTreeMap::new(),
    }
}

/// Adds images that a guest turned out to need, by one more call where they are not known.
///
/// # Errors
/// What can't be asked or read.
pub fn add_images(world: &mut World, names: &[ImageName]) -> Result<()> {
    let unknown = |name: &&ImageName| !world.images.iter().any(|image| image.name == **name);
    let wanted: Vec<ImageName> = names.iter().filter(unknown).cloned().collect();
    let Some(root) = world.roots.iter().find(|root| root.role == Role::Primary).filter(|_| !wanted.is_empty()) else { return Ok(()) };
    let look = Look { images: Which::Named(wanted), ..Look::default() };
    let rows = read_some(std::slice::from_ref(root), &look)?;
    let found = inventory(&rows, std::slice::from_ref(root));
    world.locked.extend(&Locked::of(&rows));
    world.images.extend(found.images);
    Ok(())
}

/// Everything below the roots, to the depth that guests live at and no deeper.
fn read_all(roots: &[Root], keys: Option<&[String]>) -> Result<Vec<Row>> {
    let depth = 2 + roots.iter().map(|r| r.group_levels).max().unwrap_or(0);
    let names: Vec<Dataset> = roots.iter().map(|r| r.dataset.clone()).collect();
    let keys = keys.map(|chosen| {
        let mut keys: Vec<String> = [UUID, OWNER].iter().map(|k| (*k).to_owned()).collect();
        keys.extend([DELETED, NAME].map(str::to_owned));
        keys.extend(chosen.iter().filter(|k| !keys.contains(k)).cloned().collect::<Vec<_>>());
        keys
    });
    let cmd = args::read_tree(&names, depth, keys.as_deref());
    let mut rows = match rows::parse(&run::must(&cmd)?, true) {
        Ok(rows) => rows,
        Err(_) => one_by_one(&names_below(&names, depth)?)?,
    };
    if keys.is_some() {
        // Of guests alone was enough read to make something of them.
        let guests: Vec<Dataset> = roots.iter().map(Root::guests).collect();
        let of_guests = |row: &Row| row.name.parse::<Dataset>().is_ok_and(|d| guests.iter().any(|g| d.is_within(g)));
        rows.retain(|row| of_guests(row) || names.iter().any(|n| n.as_str() == row.name));
    }
    Ok(rows)
}

/// The roots, and of each kind what was asked for.
fn read_some(roots: &[Root], look: &Look) -> Result<Vec<Row>> {
    let mut exact: Vec<String> = Vec::new();
    let mut trees: Vec<Dataset> = Vec::new();
    // Each dataset costs. What lies above a new guest is read only where it can be encrypted: its key may be missing.
    let above = !look.unborn || facts::dialect() != Dialect::Fuse;
    // One that is there must be among them, or nobody could tell one that is missing from a ZFS that fails.
    let sure = above || !matches!(&look.images, Which::Named(names) if !names.is_empty());
    for root in roots {
        exact.extend(sure.then(|| root.dataset.to_string()));
        exact.extend(above.then(|| root.guests().to_string()));
        if let Which::Named(names) = &look.guests {
            for name in names {
                exact.extend(places(root, name)?);
            }
        }
        if let (Which::Named(names), Role::Primary) = (&look.images, root.role) {
            exact.extend(names.iter().map(|n| root.images().child(n).to_string()));
        }
        if let (Which::All, Role::Primary) = (&look.images, root.role) {
            trees.push(root.images());
        }
        if look.trash {
            // Guests too: a deleted one may have had to stay where it was.
            trees.extend([root.trash(), root.guests()]);
        }
    }
    exact.dedup();
    let cmd = args::read_exactly(&exact);
    let output = tolerant(&cmd, roots)?;
    let mut rows = match rows::parse(&output, true) {
        Ok(rows) => rows,
        Err(_) => one_by_one(&exact)?,
    };
    if !trees.is_empty() {
        let more = match rows::parse(&run::must(&args::read_tree(&trees, 1, None))?, true) {
            Ok(rows) => rows,
            Err(_) => one_by_one(&names_below(&trees, 1)?)?,
        };
        rows.extend(more.into_iter().filter(|r| !exact.contains(&r.name)).collect::<Vec<_>>());
    }
    Ok(rows)
}

/// The names of datasets to a depth. A name holds no newline, whatever the values of properties do.
fn names_below(above: &[Dataset], depth: usize) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for dataset in above {
        names.extend(run::must(&args::list_names(dataset, depth))?.lines().map(str::to_owned));
    }
    Ok(names)
}

/// The same rows by a call for each dataset, for when a value among them looks like a row of another one: so it can
/// harm its own dataset alone.
fn one_by_one(names: &[String]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for name in names {
        // One that is missing is missing, as it is among many.
        rows.extend(rows::parse_one(name, &run::run(&args::read_exactly(&[name]))?.stdout));
    }
    Ok(rows)
}

/// Where a guest of that name would be: directly below `guests`, and with groups wherever one of that name is.
fn places(root: &Root, name: &GuestName) -> Result<Vec<String>> {
    let direct = root.guests().child(name);
    if root.group_levels == 0 {
        return Ok(vec![direct.to_string()]);
    }
    let listed = run::must(&args::list_names(&root.guests(), root.group_levels + 1))?;
    let mut found: Vec<String> = vec![direct.to_string()];
    for place in listed.lines().filter(|l| l.rsplit('/').next() == Some(name.as_str())) {
        let mut at: Option<Dataset> = Some(place.parse()?);
        // The groups above it, for what it inherits.
        while let Some(dataset) = at.filter(|d| d.is_within(&root.guests()) && *d != root.guests()) {
            found.push(dataset.to_string());
            at = dataset.parent();
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Output of a call that names datasets which may be missing: then `zfs` prints the others and ends with 1. That it did
/// not fail otherwise is seen from the roots among them, which must be among what it printed; where none is and nothing
/// was printed, ZFS is asked for them.
fn tolerant(cmd: &Cmd, roots: &[Root]) -> Result<String> {
    let output: Output = run::run(cmd)?;
    let asked: Vec<&str> = roots.iter().map(|root| root.dataset.as_str()).filter(|root| cmd.args.iter().any(|arg| arg == root)).collect();
    let printed = |root: &&str| output.stdout.lines().any(|l| l.split('\t').next() == Some(*root));
    let answered = match output.status {
        Some(0) => true,
        Some(1) if asked.is_empty() && output.stdout.is_empty() => {
            run::must(&args::read_guids(&roots.iter().map(|root| &root.dataset).collect::<Vec<_>>())).map(|_| true)?
        }
        Some(1) => asked.iter().all(printed),
        Some(_) | None => false,
    };
    if answered {
        return Ok(output.stdout);
    }
    Err(run::failure(cmd, &output))
}

fn run_state(state: &GuestState) -> RunState {
    match state {
        GuestState::Stopped => RunState::Stopped,
        GuestState::Starting => RunState::Starting,
        GuestState::Running => RunState::Running,
        GuestState::Paused { reason } => RunState::Paused { reason: reason.clone() },
        GuestState::Stopping => RunState::Stopping,
        GuestState::Orphaned => RunState::Orphaned,
        GuestState::Crashed { reason } => RunState::Crashed { reason: reason.clone() },
    }
}

/// What the guests' machines do, from the runtime folder. Answers with the damage to their records.
fn states(runtime: &Runtime, guests: &mut [Guest], all: bool) -> Result<Vec<Problem>> {
    let mut damaged = Vec::new();
    if all {
        let seen: HashMap<_, _> = runtime.observe_all()?.into_iter().map(|o| (o.uuid, o)).collect();
        for guest in guests {
            // A record belongs to one dataset: a copy of the guest elsewhere is not running because the guest does.
            let own = seen.get(&guest.uuid).filter(|o| o.record.as_ref().is_none_or(|r| r.dataset == guest.dataset));
            if let Some(observed) = own {
                guest.state = run_state(&observed.state);
                damaged.extend(observed.damage(guest.name.as_str()));
            }
        }
    } else {
        for guest in guests {
            let observed = runtime.observe(guest.uuid, &guest.dataset)?;
            guest.state = run_state(&observed.state);
            damaged.extend(observed.damage(guest.name.as_str()));
        }
    }
    Ok(damaged)
}

/// The one guest of that name, or the nearest names where there is none. Asks ZFS once more only to say what is near.
///
/// # Errors
/// There is none, or several.
pub fn guest<'w>(world: &'w World, name: &GuestName) -> Result<&'w Guest> {
    world.guest(name).map_err(|problem| if problem.code.exit_code() == 3 { not_found(world, name.as_str()) } else { problem })
}

/// How deep below `guests` a missing guest is looked for: as deep as `group_levels` can be, and the guest.
const DEEPEST: usize = 9;

/// "No such guest", with the nearest of all names; or what else is called so.
pub fn not_found(world: &World, name: &str) -> Problem {
    if world.roots.is_empty() {
        return world.primary().err().unwrap_or_else(|| no_guest(name, []));
    }
    // One that is there and can't be used is not missing.
    let is_it = |odd: &&Problem| odd.object.as_deref().is_some_and(|object| object.rsplit('/').next() == Some(name));
    if let Some(odd) = world.oddities.iter().find(is_it) {
        return odd.clone();
    }
    if let Some(problem) = in_trash(world, name) {
        return problem;
    }
    let mut known = String::new();
    for root in world.roots.iter().filter(|r| r.role != Role::Offline) {
        if let Ok(names) = run::must(&args::list_names(&root.guests(), DEEPEST)) {
            let prefix = format!("{}/", root.guests());
            for line in names.lines().filter_map(|l| l.strip_prefix(&prefix)) {
                let levels = line.split('/').count().saturating_sub(1);
                if levels <= root.group_levels {
                    let _ = writeln!(known, "{line}");
                } else if line.rsplit('/').next() == Some(name) {
                    return too_deep(root, line, levels);
                }
            }
        }
    }
    let leaf = |path: &'_ str| path.rsplit('/').next().unwrap_or(path).to_owned();
    if let Some(group) = known.lines().find(|path| leaf(path) == name) {
        let prefix = format!("{group}/");
        let guests: Vec<String> = known.lines().filter_map(|path| path.strip_prefix(&prefix)).map(leaf).collect();
        return is_a_group(group, &guests);
    }
    let names: Vec<String> = known.lines().map(leaf).collect();
    no_guest(name, names.iter().map(String::as_str))
}

/// That a guest of this name was deleted, if one was and can be had back.
fn in_trash(world: &World, name: &str) -> Option<Problem> {
    let active: Vec<Root> = world.roots.iter().filter(|r| r.role != Role::Offline).cloned().collect();
    let rows = read_some(&active, &Look { trash: true, ..Look::default() }).ok()?;
    let trash = inventory(&rows, &active).trash;
    let mut deleted = trash.iter().filter(|guest| guest.disk.is_none() && guest.name.as_str() == name);
    let (first, others) = (deleted.next()?, deleted.count());
    let problem = Problem::not_found(format!("the guest `{name}` is deleted")).on(name);
    Some(if others == 0 {
        problem.because(format!("it is in the trash since {}", first.deleted)).hint(format!("`chyves undelete {name}` restores it"))
    } else {
        problem
            .because(format!("{} guests of this name are in the trash", others + 1))
            .hint("`chyves trash list` shows them; `chyves undelete UUID` restores one")
    })
}

/// A group was named where a guest is meant.
/// A guest in a group that is not read.
fn too_deep(root: &Root, path: &str, levels: usize) -> Problem {
    let shown = printable(path, 120);
    Problem::not_found(format!("`{shown}` is not read: it is in a group, and groups are read {} levels deep", root.group_levels))
        .on(path.rsplit('/').next().unwrap_or(path))
        .because(format!("it is {}/{shown}", root.guests()))
        .hint(format!("let groups be read: `chyves set global group_levels={levels}`"))
}

fn is_a_group(group: &str, guests: &[String]) -> Problem {
    let shown = printable(group, 63);
    let problem = Problem::not_found(format!("`{shown}` is a group of guests, not a guest")).on(&shown);
    match guests {
        [] => problem.because("no guest is in it").hint("`chyves list -o name,group` shows the groups of all guests"),
        some => problem.hint(format!("its guests: {}", some.join(","))),
    }
}

/// Whether a dataset below `guests` is a group: there, and no guest.
///
/// # Errors
/// ZFS can't be queried.
pub fn is_group(dataset_of_group: &Dataset) -> Result<bool> {
    Ok(dataset(dataset_of_group)?.is_some_and(|row| !row.own.contains_key(UUID)))
}

/// Makes sure that a new guest's dataset is not that of a group.
///
/// # Errors
/// It is, or ZFS can't be queried.
pub fn is_no_group(new: &Dataset) -> Result<()> {
    if !is_group(new)? {
        return Ok(());
    }
    let shown = printable(new.leaf(), 63);
    Err(Problem::not_now(format!("a group of guests is called `{shown}`"))
        .on(&shown)
        .because(format!("it is {new}"))
        .hint("choose another name for the guest; `chyves list -o name,group` shows the groups of all guests"))
}

/// Reads the settings of the whole host into its primary root: finding roots reads no more than what they are found by.
///
/// # Errors
/// What can't be asked or read, or no pool is primary.
pub fn global(world: &mut World) -> Result<()> {
    let primary = world.primary()?.dataset.clone();
    let own = dataset(&primary)?.map(|row| row.own).unwrap_or_default();
    if let Some(root) = world.roots.iter_mut().find(|r| r.dataset == primary) {
        root.own = std::sync::Arc::new(own);
    }
    Ok(())
}

/// No facts of a host are longer.
const FACTS_LIMIT: u64 = 16 << 20;

/// Facts that a person states for another host, from a JSON file.
///
/// # Errors
/// The file can't be read or is not of that form.
pub fn stated_facts(path: &str) -> Result<HostFacts> {
    let text = crate::hostfs::named::text(path, FACTS_LIMIT)
        .map_err(|e| Problem::usage(format!("cannot read the facts in `{}`", printable(path, 200))).on(path).because(e))?;
    serde_json::from_str(&text).map_err(|e| {
        Problem::usage(format!("`{}` holds no facts of a host", printable(path, 200)))
            .on(path)
            .because(e)
            .hint("`chyves dev facts --host freebsd` prints an example")
    })
}
