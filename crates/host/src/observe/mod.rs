//! Observing the host: facts become a [`World`]. Every observation has a scope, so that a command on one guest does not pay for
//! a thousand others.
//!
//! However many guests there are, one observation is at most two `zfs` calls: one finds the roots, one reads what was
//! requested.
//!
//! * [`disks`]: the type and size of a guest's disks
//! * [`names`]: names that groups and hidden guests have
//! * `parts`: partial states of interrupted transfers
//! * [`pool`]: one pool's guests and snapshots, for streams
//! * [`snapshots`]: snapshots, their holds and clones

pub mod disks;
pub mod names;
mod parts;
pub mod pool;
pub mod snapshots;

pub use crate::datasets::{below, created, dataset, exists, guid, guids, natives, tree};
pub use parts::{Part, parts};

use crate::facts;
use crate::run::{self, Output};
use crate::runtime::{GuestState, Runtime};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Code, Problem, Result};
use chyves_core::guest::{Guest, RunState};
use chyves_core::os::HostFacts;
use chyves_core::pool::{Role, Root};
use chyves_core::property::keys::{CLONED_FROM, DELETED, NAME, OWNER, UUID};
use chyves_core::value::json;
use chyves_core::value::{Dataset, GuestName, ImageName, printable};
use chyves_core::world::inventory::inventory;
use chyves_core::world::{World, inventory, no_guest};
use chyves_core::zfs::locked::Locked;
use chyves_core::zfs::rows::{self, Row};
use chyves_core::zfs::{Dialect, args};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Which objects of a kind are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Which<T> {
    /// None.
    #[default]
    None,
    /// Those with these names; a missing one is no error here.
    Named(Vec<T>),
    /// All.
    All,
}

/// The scope of an observation.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Guests.
    pub guests: Which<GuestName>,
    /// Whether the named guests are about to be created: then it matters whether their names are in use, and not what they
    /// would inherit.
    pub unborn: bool,
    /// Images.
    pub images: Which<ImageName>,
    /// The trash.
    pub trash: bool,
    /// The properties that will be used when all guests are read; none: all of them.
    pub keys: Option<Vec<String>>,
}

impl Look {
    /// Only these guests.
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

    /// All guests, of which only these properties will be used.
    pub fn at_keys(keys: Vec<String>) -> Self {
        Self { guests: Which::All, keys: Some(keys), ..Self::default() }
    }
}

/// The roots of chyves on this host's pools, and problems with those that cannot be used.
///
/// # Errors
/// `zfs` is missing, fails, or prints what cannot be parsed.
pub fn roots() -> Result<(Vec<Root>, Vec<Problem>)> {
    let (rows, doubtful) = root_rows().map_err(no_zfs)?;
    let (roots, mut oddities) = inventory::roots(&rows);
    oddities.extend(doubtful);
    Ok((roots, oddities))
}

/// The rows of all pools and of what is directly below them, and the errors of those that cannot be distinguished from text in a
/// value. Any dataset there, of whomever it is, may have such a value, and must not keep the others from being used.
fn root_rows() -> Result<(Vec<Row>, Vec<Problem>)> {
    if let Ok(rows) = rows::parse(&run::must(&args::find_roots())?, false) {
        return Ok((rows, Vec::new()));
    }
    let mut found = Vec::new();
    let mut doubtful = Vec::new();
    for name in run::must(&args::list_tops())?.lines() {
        match rows::parse_one(name, &run::run(&args::find_root(name))?.stdout) {
            Some(Row { doubtful: Some(property), .. }) => doubtful.push(rows::pretender(name, &property)),
            row => found.extend(row),
        }
    }
    Ok((found, doubtful))
}

fn no_zfs(problem: Problem) -> Problem {
    problem.within("cannot query ZFS for its pools").hint("is ZFS running? `zpool list` must work")
}

/// Observes the host.
///
/// # Errors
/// Something cannot be queried or parsed.
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
        world.oddities.extend(pool::twins(&world.guests));
        world.strays = found.strays;
    }
    world.oddities.extend(states(runtime, &mut world.guests, whole)?);
    Ok(world)
}

/// The host without its pools, for commands that need none.
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

/// Adds images that a guest needs, by one more call if they are not known yet.
///
/// # Errors
/// Something cannot be queried or parsed.
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

/// Everything below the roots, no deeper than guests can be.
fn read_all(roots: &[Root], keys: Option<&[String]>) -> Result<Vec<Row>> {
    let depth = 2 + roots.iter().map(|r| r.group_levels).max().unwrap_or(0);
    let names: Vec<Dataset> = roots.iter().map(|r| r.dataset.clone()).collect();
    let keys = keys.map(|chosen| {
        let mut keys: Vec<String> = [UUID, OWNER, CLONED_FROM].iter().map(|k| (*k).to_owned()).collect();
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
        // With a selection of properties, the rows are complete enough only for guests.
        let guests: Vec<Dataset> = roots.iter().map(Root::guests).collect();
        let of_guests = |row: &Row| row.name.parse::<Dataset>().is_ok_and(|d| guests.iter().any(|g| d.is_within(g)));
        rows.retain(|row| of_guests(row) || names.iter().any(|n| n.as_str() == row.name));
    }
    Ok(rows)
}

/// The roots, and the requested objects of each kind.
fn read_some(roots: &[Root], look: &Look) -> Result<Vec<Row>> {
    let mut exact: Vec<String> = Vec::new();
    let mut trees: Vec<Dataset> = Vec::new();
    let mut depth = 1;
    // Each dataset costs time. The parents of a new guest are read only where they can be encrypted, since their key may be
    // missing.
    let above = !look.unborn || facts::dialect() != Dialect::Fuse;
    // At least one existing dataset must be among them; otherwise a missing dataset could not be distinguished from a failing
    // `zfs`.
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
            // Guests too, those in groups included: a deleted guest may have had to stay at its place.
            trees.extend([root.trash(), root.guests()]);
            depth = depth.max(1 + root.group_levels);
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
        let more = match rows::parse(&run::must(&args::read_tree(&trees, depth, None))?, true) {
            Ok(rows) => rows,
            Err(_) => one_by_one(&names_below(&trees, depth)?)?,
        };
        rows.extend(more.into_iter().filter(|r| !exact.contains(&r.name)).collect::<Vec<_>>());
    }
    Ok(rows)
}

/// The names of the datasets down to a depth. Unlike property values, names cannot contain newlines.
fn names_below(above: &[Dataset], depth: usize) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for dataset in above {
        names.extend(run::must(&args::list_names(dataset, depth))?.lines().map(str::to_owned));
    }
    Ok(names)
}

/// The same rows by one call per dataset, for when a property value looks like a row of another dataset: it can then affect
/// only its own dataset.
fn one_by_one(names: &[String]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for name in names {
        // A missing dataset is skipped, as in a call for many.
        rows.extend(rows::parse_one(name, &run::run(&args::read_exactly(&[name]))?.stdout));
    }
    Ok(rows)
}

/// Where a guest of that name would be: directly below `guests`, and with groups wherever a dataset of that name is.
fn places(root: &Root, name: &GuestName) -> Result<Vec<String>> {
    let direct = root.guests().child(name);
    if root.group_levels == 0 {
        return Ok(vec![direct.to_string()]);
    }
    let listed = run::must(&args::list_names(&root.guests(), root.group_levels + 1))?;
    let mut found: Vec<String> = vec![direct.to_string()];
    for place in listed.lines().filter(|l| l.rsplit('/').next() == Some(name.as_str())) {
        let mut at: Option<Dataset> = Some(place.parse()?);
        // The groups above it, from which it inherits.
        while let Some(dataset) = at.filter(|d| d.is_within(&root.guests()) && *d != root.guests()) {
            found.push(dataset.to_string());
            at = dataset.parent();
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Output of a call that names datasets which may be missing: `zfs` then prints the others and exits with 1. The roots among
/// the arguments show whether it failed otherwise: they must be in the output. If no root is among them and nothing was
/// printed, a second call queries the roots.
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

/// Sets the state of the guests' VMs, from the runtime folder. Returns problems with damaged records.
fn states(runtime: &Runtime, guests: &mut [Guest], all: bool) -> Result<Vec<Problem>> {
    let mut damaged = Vec::new();
    if all {
        let seen: HashMap<_, _> = runtime.observe_all()?.into_iter().map(|o| (o.uuid, o)).collect();
        for guest in guests {
            // A record belongs to one dataset: a copy of the guest elsewhere is not running because the original is.
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

/// The guest of that name, or an error with similar names. ZFS is queried again only for the similar names.
///
/// # Errors
/// There is none, or several.
pub fn guest<'w>(world: &'w World, name: &GuestName) -> Result<&'w Guest> {
    world.guest(name).map_err(|problem| if problem.code.exit_code() == 3 { not_found(world, name.as_str()) } else { problem })
}

/// The error "no such guest", with similar names, or another object of that name.
pub fn not_found(world: &World, name: &str) -> Problem {
    if world.roots.is_empty() {
        return world.primary().err().unwrap_or_else(|| no_guest(name, []));
    }
    // A guest that exists but cannot be used is not missing.
    let is_it = |odd: &&Problem| odd.object.as_deref().is_some_and(|object| object.rsplit('/').next() == Some(name));
    if let Some(odd) = world.oddities.iter().find(is_it) {
        return odd.clone();
    }
    if let Some(problem) = in_trash(world, name) {
        return problem;
    }
    let mut known = String::new();
    let mut group = None;
    for root in world.roots.iter().filter(|r| r.role != Role::Offline) {
        if let Ok(names) = run::must(&args::list_names(&root.guests(), names::DEEPEST)) {
            let prefix = format!("{}/", root.guests());
            for line in names.lines().filter_map(|l| l.strip_prefix(&prefix)) {
                let levels = line.split('/').count().saturating_sub(1);
                if levels <= root.group_levels {
                    let _ = writeln!(known, "{line}");
                    let is_called_so = group.is_none() && line.rsplit('/').next() == Some(name);
                    if is_called_so && names::is_group(&root.guests().child(line), root).unwrap_or(false) {
                        group = Some(line.to_owned());
                    }
                } else if line.rsplit('/').next() == Some(name) {
                    return too_deep(root, line, levels);
                }
            }
        }
    }
    let leaf = |path: &'_ str| path.rsplit('/').next().unwrap_or(path).to_owned();
    if let Some(group) = group {
        let prefix = format!("{group}/");
        let guests: Vec<String> = known.lines().filter_map(|path| path.strip_prefix(&prefix)).map(leaf).collect();
        return is_a_group(&group, &guests);
    }
    let names: Vec<String> = known.lines().map(leaf).collect();
    no_guest(name, names.iter().map(String::as_str))
}

/// The error that a guest of this name is in the trash, if one is.
fn in_trash(world: &World, name: &str) -> Option<Problem> {
    let active: Vec<Root> = world.roots.iter().filter(|r| r.role != Role::Offline).cloned().collect();
    let rows = read_some(&active, &Look { trash: true, ..Look::default() }).ok()?;
    let trash = inventory(&rows, &active).trash;
    let mut deleted = trash.iter().filter(|guest| guest.disk.is_none() && guest.name.as_str() == name);
    let (first, others) = (deleted.next()?, deleted.count());
    let problem = Code::NoSuchGuest.problem(format!("the guest `{name}` is deleted")).on(name);
    Some(if others == 0 {
        problem.because(format!("it is in the trash since {}", first.deleted)).hint(format!("`chyves undelete {name}` restores it"))
    } else {
        problem
            .because(format!("{} guests of this name are in the trash", others + 1))
            .hint("`chyves trash list` shows them; `chyves undelete UUID` restores one")
    })
}

/// The error that a guest is in a group deeper than the groups that are read.
fn too_deep(root: &Root, path: &str, levels: usize) -> Problem {
    let shown = printable(path, 120);
    Code::NoSuchGuest
        .problem(format!("`{shown}` is not read: it is in a group, and groups are read {} levels deep", root.group_levels))
        .on(path.rsplit('/').next().unwrap_or(path))
        .because(format!("it is {}/{shown}", root.guests()))
        .hint(format!("let groups be read: `chyves set global group_levels={levels}`"))
}

fn is_a_group(group: &str, guests: &[String]) -> Problem {
    let shown = printable(group, 63);
    let problem = Code::NoSuchGuest.problem(format!("`{shown}` is a group of guests, not a guest")).on(&shown);
    match guests {
        [] => problem.because("no guest is in it").hint("`chyves list -o name,group` shows the groups of all guests"),
        some => problem.hint(format!("its guests: {}", some.join(","))),
    }
}

/// Reads the settings of the whole host into its primary root; finding the roots reads only the properties that identify them.
///
/// # Errors
/// Something cannot be queried or parsed, or no pool is primary.
pub fn global(world: &mut World) -> Result<()> {
    let primary = world.primary()?.dataset.clone();
    let own = dataset(&primary)?.map(|row| row.own).unwrap_or_default();
    if let Some(root) = world.roots.iter_mut().find(|r| r.dataset == primary) {
        root.own = std::sync::Arc::new(own);
    }
    Ok(())
}

/// Reads all settings of all roots; finding the roots reads only the properties that identify them.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn settings_of_roots(world: &mut World) -> Result<()> {
    for root in &mut world.roots {
        root.own = std::sync::Arc::new(dataset(&root.dataset)?.map(|row| row.own).unwrap_or_default());
    }
    Ok(())
}

/// Size limit of stated facts, in bytes.
const FACTS_LIMIT: u64 = 16 << 20;

/// Facts that a user states for another host, from a JSON file.
///
/// # Errors
/// The file cannot be read or has another format.
pub fn stated_facts(path: &str) -> Result<HostFacts> {
    let text = crate::hostfs::named::text(path, FACTS_LIMIT).map_err(|e| {
        crate::hostfs::problem(e, |e| Problem::usage(format!("cannot read the facts in `{}`", printable(path, 200))).on(path).because(e))
    })?;
    json::from_str(&text).map_err(|e| {
        Problem::usage(format!("`{}` holds no facts of a host", printable(path, 200)))
            .on(path)
            .because(e)
            .hint("`chyves dev facts --host freebsd` prints an example")
    })
}
