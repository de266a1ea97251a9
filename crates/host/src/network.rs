//! The host's networks: looking at them, the lock that those who change them hold, taking back what was done to them,
//! and removing what goes with a machine.
//!
//! * [`graph`]: nodes of netgraph
//!
//! Not here: what is to be done (core's `plan::network`).

pub mod graph;

use crate::apply::{self, Event, Place, settled};
use crate::hostfs::own;
use crate::runtime::{Lock, Runtime};
use crate::safe::{Folder, Rule};
use crate::{facts, observe, run};
use chyves_core::action::Action;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::network::address::Moved;
use chyves_core::network::leases::{self, Lease};
use chyves_core::network::nat::{self, Service};
use chyves_core::network::{Actual, Design, Interface, Proof, observe as reading, prove};
use chyves_core::os::{Intent, Os};
use chyves_core::plan::network::attach;
use chyves_core::plan::network::tidy::{self, Joined};
use chyves_core::world::Role;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use uuid::Uuid;

/// How long is waited for the lock: it is held for some commands at a time, by one after the other.
const WAIT: Duration = Duration::from_secs(60);

/// The lock of the host's networks.
pub const LOCK: &str = "host.network";

/// Takes the lock of the host's networks.
///
/// # Errors
/// Somebody holds it still.
pub fn lock(rt: &Runtime, command: &str) -> Result<Lock> {
    rt.lock_named(LOCK, WAIT, command)
}

/// Looks at the interfaces, once. A host without the tool has none that chyves could do anything with.
///
/// # Errors
/// They can't be asked for or read.
pub fn look(os: Os, rt: &Runtime) -> Result<Actual> {
    let question = reading::question(os);
    if run::find_program(&question.program).is_none() {
        return Err(Problem::host_cant(format!("`{}` is missing on this host", question.program)).hint(match os {
            Os::FreeBsd => "it is part of FreeBSD",
            Os::Linux => "apt-get install iproute2",
        }));
    }
    let mut actual = reading::read(os, &run::must(&question)?)?;
    actual.services = services(rt);
    actual.moved = moved(rt);
    actual.put = put(rt);
    graph::look_where_written(&mut actual, os, rt)?;
    Ok(actual)
}

/// What commands and starts put into bridges that others made.
fn put(rt: &Runtime) -> BTreeSet<(String, String)> {
    let run = rt.root().to_string_lossy();
    let folders = [attach::put_folder(&run), attach::joined_folder(&run)];
    let entries = folders.iter().flat_map(|folder| names_in(Path::new(folder)).map(move |name| (folder, name)));
    let read = |(folder, name): (&String, String)| {
        let (bridge, member) = name.split_once('+')?;
        own::stat(Path::new(folder).join(&name)).ok().filter(|meta| meta.len() > 0)?;
        Some((bridge.to_owned(), member.to_owned()))
    };
    entries.filter_map(read).collect()
}

/// What bridges got from their uplinks since the host came up.
fn moved(rt: &Runtime) -> BTreeMap<String, Moved> {
    let folder = PathBuf::from(attach::moved_folder(&rt.root().to_string_lossy()));
    let read = |name: String| {
        let text = own::text(folder.join(&name), NOTE_LIMIT).ok()?;
        Some((name, serde_json::from_str(&text).ok()?))
    };
    names_in(&folder).filter_map(read).collect()
}

/// What runs for bridges beside their interfaces. Each has a folder; without one nothing is asked.
fn services(rt: &Runtime) -> BTreeMap<String, Service> {
    let folder = rt.root().join("network");
    let mut tables: Option<BTreeSet<String>> = None;
    let mut all = BTreeMap::new();
    for name in names_in(&folder) {
        let path = folder.join(&name);
        let Ok(bridge) = name.parse() else { continue };
        let read = |file: &str| own::text(path.join(file), NOTE_LIMIT).ok();
        let files: BTreeMap<String, String> = nat::FILES.iter().filter_map(|f| Some(((*f).to_owned(), read(f)?))).collect();
        let (rules, names) = (files.get(nat::RULES).cloned(), files.get(nat::NAMES).cloned());
        if rules.is_none() && names.is_none() {
            continue;
        }
        let loaded = |_: &String| tables.get_or_insert_with(loaded_tables).contains(&nat::table(&bridge));
        let service = Service {
            folder: path.to_string_lossy().into_owned(),
            rules: rules.filter(loaded),
            names: names.filter(|_| server(&path.join(nat::NAMES).to_string_lossy()).is_some()),
            mark: files.get(nat::MADE).map(|m| m.trim().to_owned()).unwrap_or_default(),
            files,
        };
        all.insert(name, service);
    }
    all
}

/// No note of a bridge, a member or a service is longer.
const NOTE_LIMIT: u64 = 1 << 20;

/// No change that waits for its confirmation is longer.
const PENDING_LIMIT: u64 = 16 << 20;

/// The names in a folder of the runtime folder, those that are text.
fn names_in(folder: &Path) -> impl Iterator<Item = String> + use<> {
    own::names(folder).unwrap_or_default().into_iter().filter_map(|name| name.into_string().ok())
}

/// No file of leases is longer.
const LEASES_LIMIT: u64 = 1 << 20;

/// The addresses that chyves' own servers have leased to guests. Nothing is asked for it but their files.
pub fn leases(rt: &Runtime) -> Vec<Lease> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let folder = rt.root().join("network");
    let read = |name: String| {
        let bridge = name.parse().ok()?;
        // The server of addresses writes it, as a user of its own.
        let folder = Folder::open_if_there(folder.join(&name)).ok()??;
        let text = folder.read_text(nat::LEASES, Rule::up_to(LEASES_LIMIT)).ok()??;
        Some(leases::parse(&bridge, &text, now))
    };
    names_in(&folder).filter_map(read).flatten().collect()
}

/// The tables of the packet filter; none where there is no such filter.
fn loaded_tables() -> BTreeSet<String> {
    let told = run::run(&Cmd::new("nft", ["list", "tables", "inet"])).map(|o| o.stdout).unwrap_or_default();
    told.lines().filter_map(|l| Some(l.trim().strip_prefix("table inet ")?.to_owned())).collect()
}

/// The same with what must not be lost: default routes, and where the present login comes in.
///
/// # Errors
/// As [`look`].
pub fn look_with_care(os: Os, rt: &Runtime) -> Result<Actual> {
    let mut actual = look(os, rt)?;
    for (question, v6) in reading::routes(os).into_iter().zip([false, true]) {
        // Without a route FreeBSD's tool fails; without IPv6 Linux' does.
        let answer = run::run(&question)?;
        if answer.ok() {
            actual.routes.extend(reading::read_routes(os, &answer.stdout, v6)?);
        }
    }
    let default = actual.routes.iter().filter(|(_, r)| r.is_default()).map(|(dev, r)| (r.gateway, dev.clone()));
    actual.default_routes = default.collect();
    // client's address and port, the host's own address and port
    actual.login = std::env::var("SSH_CONNECTION").ok().and_then(|told| told.split(' ').nth(2)?.parse().ok());
    Ok(actual)
}

/// Looks at the interfaces, and at nodes of netgraph where something is about them.
fn look_closer(os: Os, rt: &Runtime, netgraph: bool) -> Result<Actual> {
    let mut actual = look(os, rt)?;
    if netgraph && actual.graph.is_none() {
        graph::look(&mut actual, rt)?;
    }
    Ok(actual)
}

/// Looks again, and makes sure that it is as it must be.
///
/// # Errors
/// It is not.
pub(crate) fn prove_it(os: Os, rt: &Runtime, proofs: &[Proof]) -> Result<()> {
    prove::prove(&look_closer(os, rt, proofs.iter().any(Proof::is_of_netgraph))?, proofs)
}

/// Takes an intent back, if it had its effect and nobody else depends on it by now.
pub(crate) fn take_back(intent: &Intent, place: &mut Place<'_>) -> Result<()> {
    // A plan of this command, or the dead one's whose locks were taken over for it.
    let held = place.lent.network.is_some() || place.locks.iter().any(|l| l == LOCK);
    let _lock = if held { None } else { Some(lock(place.runtime, place.command)?) };
    if let Intent::StartDhcp { file } = intent {
        end_server(file);
        return Ok(());
    }
    let now = look_closer(place.os, place.runtime, intent.is_of_netgraph())?;
    if !tidy::is_in_effect(&now, intent) {
        return Ok(());
    }
    // From what there is now: a step that was cut off has done a part of it.
    let as_now = match intent {
        Intent::SetAddresses { interface, before, routes_before, .. } => Some(Intent::SetAddresses {
            interface: interface.clone(),
            before: before.clone(),
            after: now.get(interface.as_str()).map(Interface::assigned).unwrap_or_default(),
            routes_before: routes_before.clone(),
            routes_after: Vec::new(),
        }),
        _ => None,
    };
    let intent = as_now.as_ref().unwrap_or(intent);
    // What stood in its place comes back by the file that it had.
    if let Intent::LoadRules { file, before: Some(text), .. } = intent {
        apply::write_private(file, text)?;
    }
    for cmd in intent.undo(place.os) {
        (place.report)(Event::Command(cmd.to_string()));
        settled(&cmd)?;
    }
    intent.opposite().map_or(Ok(()), |back| graph::note(&back, place.runtime))
}

/// The design of this host's bridges; an empty one where no pool prints it.
pub fn design() -> Design {
    let Ok((roots, _)) = observe::roots() else { return Design::default() };
    let primary = roots.iter().find(|r| r.role == Role::Primary);
    let row = primary.and_then(|r| observe::dataset(&r.dataset).ok().flatten());
    // One that can't be read says of no bridge where it leads: then those with members stay.
    row.and_then(|r| Design::read(&r.own).ok()).unwrap_or_default()
}

fn joined_folder(rt: &Runtime) -> PathBuf {
    PathBuf::from(attach::joined_folder(&rt.root().to_string_lossy()))
}

/// What starts put into bridges and was there before.
fn joined(rt: &Runtime) -> Vec<Joined> {
    let folder = joined_folder(rt);
    let read = |name: String| {
        let (bridge, member) = name.split_once('+')?;
        let guest = own::text(folder.join(&name), NOTE_LIMIT).ok()?.trim().parse().ok();
        Some(Joined { bridge: bridge.to_owned(), member: member.to_owned(), guest })
    };
    names_in(&folder).filter_map(read).collect()
}

/// Removes what a guest's machine leaves, and what no guest is on any more. What was removed.
///
/// # Errors
/// It can't be looked at or removed.
pub fn put_away(rt: &Runtime, guest: Option<Uuid>, command: &str) -> Result<Vec<String>> {
    let os = facts::os();
    if run::find_program(&reading::question(os).program).is_none() {
        return Ok(Vec::new());
    }
    let _lock = lock(rt, command)?;
    let joined = joined(rt);
    graph::let_go(rt, guest, command);
    // Only what goes back to an uplink takes routes along.
    let actual = if moved(rt).is_empty() { look(os, rt)? } else { look_with_care(os, rt)? };
    let intents = tidy::tidy(&design(), &actual, guest, &joined);
    let mut failures = Vec::new();
    for intent in &intents {
        if let Intent::StopDhcp { file } = intent {
            end_server(file);
            continue;
        }
        for cmd in intent.commands(os) {
            // One that stays is no reason to leave the others.
            failures.extend(settled(&cmd).err());
        }
        failures.extend(graph::note(intent, rt).err());
    }
    for Joined { bridge, member, .. } in &joined {
        let left =
            intents.iter().any(|i| matches!(i, Intent::Leave { bridge: b, member: m, .. } if b.as_str() == bridge && m.as_str() == member));
        if left || actual.get(bridge).is_none_or(|b| !b.members.contains(member)) {
            let _ = own::remove(joined_folder(rt).join(format!("{bridge}+{member}")));
        }
    }
    match failures.pop() {
        Some(problem) => Err(problem),
        None => Ok(intents.iter().map(Intent::describe).collect()),
    }
}

/// A change of the host's networks that goes back by itself unless it is confirmed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// The command as it was typed.
    pub command: String,
    /// Which one it is.
    pub token: Uuid,
    /// The steps that were done.
    pub steps: Vec<Action>,
    /// What stood in the files that steps replaced, by the number of the step.
    #[serde(default)]
    pub replaced: Vec<(usize, Option<String>)>,
    /// The locks that it held, which who rolls it back holds too.
    #[serde(default)]
    pub locks: Vec<String>,
}

impl Pending {
    /// More that was done by the same command.
    pub fn add(&mut self, steps: &[Action], replaced: Vec<(usize, Option<String>)>) {
        let at = self.steps.len();
        self.steps.extend_from_slice(steps);
        self.replaced.extend(replaced.into_iter().map(|(index, text)| (at + index, text)));
    }
}

fn pending_path(rt: &Runtime) -> PathBuf {
    rt.root().join("network").join("unconfirmed.json")
}

/// Writes down what was done, so that it can go back.
///
/// # Errors
/// It can't be written.
pub fn await_confirmation(rt: &Runtime, pending: &Pending) -> Result<()> {
    let path = pending_path(rt);
    let cant = |e: std::io::Error| Problem::host_cant(format!("cannot write `{}`", path.display())).because(e);
    own::make_folder(path.parent().unwrap_or(Path::new("/")), 0o700).map_err(cant)?;
    let text = serde_json::to_string(pending).map_err(|e| Problem::bug("a pending change is not JSON").because(e))?;
    apply::write_private(&path.to_string_lossy(), &text)
}

/// What waits for confirmation.
///
/// # Errors
/// It can't be read.
pub fn pending(rt: &Runtime) -> Result<Option<Pending>> {
    let path = pending_path(rt);
    match own::text(&path, PENDING_LIMIT) {
        Ok(text) => {
            serde_json::from_str(&text).map(Some).map_err(|e| Problem::failed(format!("`{}` cannot be read", path.display())).because(e))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Problem::host_cant(format!("cannot read `{}`", path.display())).because(e)),
    }
}

/// Confirms what waits for it; whether anything did.
///
/// # Errors
/// It can't be read.
pub fn confirm(rt: &Runtime) -> Result<bool> {
    let there = pending(rt)?.is_some();
    if there {
        own::remove(pending_path(rt)).map_err(|e| Problem::failed("the change cannot be confirmed").because(e))?;
    }
    Ok(there)
}

/// Waits, and takes a change back that nobody has confirmed by then. Whether it was.
///
/// # Errors
/// It could not be rolled back.
pub fn revert_unless_confirmed(rt: &Runtime, token: Uuid, after: Duration, command: &str) -> Result<bool> {
    let is_ours = || pending(rt).map(|p| p.filter(|p| p.token == token));
    let deadline = std::time::Instant::now() + after;
    while std::time::Instant::now() < deadline {
        if is_ours()?.is_none() {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(200).min(after));
    }
    let Some(pending) = is_ours()? else { return Ok(false) };
    let others = pending.locks.iter().filter(|l| *l != LOCK);
    let _others = others.map(|name| rt.lock_named(name, WAIT, command)).collect::<Result<Vec<_>>>()?;
    let held = lock(rt, command)?;
    confirm(rt)?;
    let never = AtomicBool::new(false);
    let mut report = |_: Event<'_>| {};
    let mut place =
        Place { os: facts::os(), runtime: rt, command, locks: &[], interrupted: &never, report: &mut report, lent: Some(held).into() };
    apply::take_back_steps(&pending.steps, &pending.replaced, &mut place)?;
    Ok(true)
}

/// The server of addresses that reads `file`, if one runs: only a process that says so itself.
fn server(file: &str) -> Option<rustix::process::Pid> {
    let folder = Folder::open_if_there(Path::new(file).parent()?).ok()??;
    let pid = folder.read_text("dnsmasq.pid", Rule::up_to(NOTE_LIMIT)).ok()??;
    let pid = pid.trim().parse::<i32>().ok().and_then(rustix::process::Pid::from_raw)?;
    // A number alone may be anybody's by now.
    let told = run::run(&Cmd::new("ps", ["-o", "args=", "-p", &pid.as_raw_nonzero().to_string()])).ok()?.stdout;
    told.contains(&format!("--conf-file={file}")).then_some(pid)
}

/// Ends that server.
pub(crate) fn end_server(file: &str) {
    let Some(pid) = server(file) else { return };
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while rustix::process::test_kill_process(pid).is_ok() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
}
