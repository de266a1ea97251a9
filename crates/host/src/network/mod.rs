//! The host's networks: observing them, the lock for changing them, undoing changes, and removing interfaces that belong to a
//! VM.
//!
//! * [`graph`]: netgraph nodes
//!
//! Not here: deciding what changes (core's `plan::network`).

pub mod graph;

use crate::hostfs::own;
use crate::place::{Event, Place};
use crate::runtime::{Lock, Runtime};
use crate::safe::{Folder, Rule};
use crate::settled::settled;
use crate::small_files::write_private;
use crate::{facts, observe, run};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::network::address::Moved;
use chyves_core::network::leases::{self, Lease};
use chyves_core::network::nat::{self, Service};
use chyves_core::network::{Actual, Design, Interface, Proof, neighbours, observe as reading, prove, routes};
use chyves_core::os::{Intent, Os};
use chyves_core::plan::network::attach;
use chyves_core::plan::network::tidy::{self, Joined};
use chyves_core::pool::Role;
use chyves_core::value::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// How long to wait for the lock; each holder keeps it for a few commands.
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// The name of the lock of the host's networks.
pub const LOCK: &str = "host.network";

/// Takes the lock of the host's networks.
///
/// # Errors
/// Another process still holds it.
pub fn lock(rt: &Runtime, command: &str) -> Result<Lock> {
    rt.lock_named(LOCK, WAIT, command)
}

/// Observes the interfaces once.
///
/// # Errors
/// The tool is missing, or the interfaces cannot be queried or parsed.
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
    actual.raised = raised(rt);
    graph::look_where_written(&mut actual, os, rt)?;
    Ok(actual)
}

/// The (bridge, member) pairs that chyves added to bridges which others created.
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

/// The interfaces that chyves brought up to be uplinks.
fn raised(rt: &Runtime) -> BTreeSet<String> {
    let folder = PathBuf::from(attach::raised_folder(&rt.root().to_string_lossy()));
    names_in(&folder).filter(|name| own::stat(folder.join(name)).is_ok_and(|meta| meta.len() > 0)).collect()
}

/// What bridges took over from their uplinks since boot.
fn moved(rt: &Runtime) -> BTreeMap<String, Moved> {
    let folder = PathBuf::from(attach::moved_folder(&rt.root().to_string_lossy()));
    let read = |name: String| {
        let text = own::text(folder.join(&name), NOTE_LIMIT).ok()?;
        Some((name, json::from_str(&text).ok()?))
    };
    names_in(&folder).filter_map(read).collect()
}

/// The services that run for bridges, such as DHCP and NAT. Each has a folder; if there is none, nothing is queried.
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

/// Size limit of a note about a bridge, a member or a service, in bytes.
const NOTE_LIMIT: u64 = 1 << 20;

/// The UTF-8 names in a folder of the runtime folder.
fn names_in(folder: &Path) -> impl Iterator<Item = String> + use<> {
    own::names(folder).unwrap_or_default().into_iter().filter_map(|name| name.into_string().ok())
}

/// Size limit of a lease file, in bytes.
const LEASES_LIMIT: u64 = 1 << 20;

/// The addresses that chyves' own DHCP servers have leased to guests, read from their files alone.
pub fn leases(rt: &Runtime) -> Vec<Lease> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let folder = rt.root().join("network");
    let read = |name: String| {
        let bridge = name.parse().ok()?;
        // The DHCP server writes the file, as a user of its own.
        let folder = Folder::open_if_there(folder.join(&name)).ok()??;
        let text = folder.read_text(nat::LEASES, Rule::up_to(LEASES_LIMIT)).ok()??;
        Some(leases::parse(&bridge, &text, now))
    };
    names_in(&folder).filter_map(read).flatten().collect()
}

/// The packet filter tables that are loaded; empty without nftables.
fn loaded_tables() -> BTreeSet<String> {
    let told = run::run(&Cmd::new("nft", ["list", "tables", "inet"])).map(|o| o.stdout).unwrap_or_default();
    told.lines().filter_map(|l| Some(l.trim().strip_prefix("table inet ")?.to_owned())).collect()
}

/// As [`look`], with the state that must not be lost: default routes, the interface of the current login, and what running VMs were
/// started with.
///
/// # Errors
/// As [`look`].
pub fn look_with_care(os: Os, rt: &Runtime) -> Result<Actual> {
    let mut actual = look(os, rt)?;
    // A VM with a damaged record is known by the marks of its taps.
    let records = rt.observe_all()?.into_iter().filter(|seen| seen.state.is_alive()).filter_map(|seen| seen.record);
    actual.runs = records.map(|record| (record.launch.uuid, record.launch.made_of)).filter(|(_, settings)| !settings.is_empty()).collect();
    for (question, v6) in routes::questions(os).into_iter().zip([false, true]) {
        let answer = run::run(&question)?;
        if answer.ok() {
            actual.routes.extend(routes::read(os, &answer.stdout, v6)?);
        } else if !routes::are_absent(os, &answer.stderr) {
            let problem = Problem::host_cant(format!("cannot read the host's routes: `{question}` failed"));
            return Err(problem.because(answer.stderr.trim()).hint("nothing was changed; run that command by hand to see its error"));
        }
    }
    for question in neighbours::questions(os) {
        actual.neighbours.extend(neighbours::read(&run::must(&question)?)?);
    }
    let default = actual.routes.iter().filter(|(_, r)| r.is_default()).map(|(dev, r)| (r.gateway, dev.clone()));
    actual.default_routes = default.collect();
    // client's address and port, the host's own address and port
    actual.login = std::env::var("SSH_CONNECTION").ok().and_then(|told| told.split(' ').nth(2)?.parse().ok());
    Ok(actual)
}

/// Observes the interfaces, and the netgraph nodes if they are needed.
fn look_closer(os: Os, rt: &Runtime, netgraph: bool) -> Result<Actual> {
    let mut actual = look(os, rt)?;
    if netgraph && actual.graph.is_none() {
        graph::look(&mut actual, rt)?;
    }
    Ok(actual)
}

/// Observes again, and verifies the expected state.
///
/// # Errors
/// The state is not as expected.
pub(crate) fn prove_it(os: Os, rt: &Runtime, proofs: &[Proof]) -> Result<()> {
    prove::prove(&look_closer(os, rt, proofs.iter().any(Proof::is_of_netgraph))?, proofs)
}

/// Undoes an intent, if it took effect and nothing else depends on it.
pub(crate) fn take_back(intent: &Intent, place: &mut Place<'_>) -> Result<()> {
    // Held by a plan of this command, or taken over from a dead command that is being recovered.
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
    // Based on the current state: an interrupted step has done only a part.
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
    // The previous rules are restored from the file that held them.
    if let Intent::LoadRules { file, before: Some(text), .. } = intent {
        write_private(file, text)?;
    }
    for cmd in intent.undo(place.os) {
        (place.report)(Event::Command(cmd.to_string()));
        settled(&cmd)?;
    }
    intent.opposite().map_or(Ok(()), |back| graph::note(&back, place.runtime))
}

/// The desired bridges of this host; empty if no pool provides them.
pub fn design() -> Design {
    let Ok((roots, _)) = observe::roots() else { return Design::default() };
    let primary = roots.iter().find(|r| r.role == Role::Primary);
    let row = primary.and_then(|r| observe::dataset(&r.dataset).ok().flatten());
    // If the settings cannot be read, they name no uplink for any bridge; bridges that have members are then kept.
    row.and_then(|r| Design::read(&r.own).ok()).unwrap_or_default()
}

fn joined_folder(rt: &Runtime) -> PathBuf {
    PathBuf::from(attach::joined_folder(&rt.root().to_string_lossy()))
}

/// The members that guest starts added to bridges and that existed before.
fn joined(rt: &Runtime) -> Vec<Joined> {
    let folder = joined_folder(rt);
    let read = |name: String| {
        let (bridge, member) = name.split_once('+')?;
        let guest = own::text(folder.join(&name), NOTE_LIMIT).ok()?.trim().parse().ok();
        Some(Joined { bridge: bridge.to_owned(), member: member.to_owned(), guest })
    };
    names_in(&folder).filter_map(read).collect()
}

/// Removes the interfaces that a guest's VM left, and those that no guest uses any more. Returns descriptions of what was
/// removed.
///
/// # Errors
/// Interfaces cannot be queried or removed.
pub fn put_away(rt: &Runtime, guest: Option<Uuid>, command: &str) -> Result<Vec<String>> {
    let os = facts::os();
    if run::find_program(&reading::question(os).program).is_none() {
        return Ok(Vec::new());
    }
    let _lock = lock(rt, command)?;
    let joined = joined(rt);
    graph::let_go(rt, guest, command);
    // Routes matter only where addresses move back to an uplink, or an uplink is brought down.
    let actual = if moved(rt).is_empty() && raised(rt).is_empty() { look(os, rt)? } else { look_with_care(os, rt)? };
    let intents = tidy::tidy(&design(), &actual, guest, &joined);
    let mut failures = Vec::new();
    for intent in &intents {
        if let Intent::StopDhcp { file } = intent {
            end_server(file);
            continue;
        }
        for cmd in intent.commands(os) {
            // One failure does not keep the others from being removed.
            failures.extend(settled(&cmd).err());
        }
        failures.extend(graph::note(intent, rt).err());
        if let (Intent::SetDown { interface }, true) = (intent, failures.is_empty()) {
            let folder = attach::raised_folder(&rt.root().to_string_lossy());
            let _ = own::remove(Path::new(&folder).join(interface.as_str()));
            // It stays as long as there are other records in it.
            let _ = own::remove_folder(&folder);
        }
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

/// The running DHCP server that uses the configuration `file`, verified by the process's command line.
fn server(file: &str) -> Option<rustix::process::Pid> {
    let folder = Folder::open_if_there(Path::new(file).parent()?).ok()??;
    let pid = folder.read_text("dnsmasq.pid", Rule::up_to(NOTE_LIMIT)).ok()??;
    let pid = pid.trim().parse::<i32>().ok().and_then(rustix::process::Pid::from_raw)?;
    // The process id alone may have been reused.
    let told = run::run(&Cmd::new("ps", ["-o", "args=", "-p", &pid.as_raw_nonzero().to_string()])).ok()?.stdout;
    told.contains(&format!("--conf-file={file}")).then_some(pid)
}

/// Ends that server and waits for its exit.
pub(crate) fn end_server(file: &str) {
    let Some(pid) = server(file) else { return };
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while rustix::process::test_kill_process(pid).is_ok() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
}
