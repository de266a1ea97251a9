//! `chyves info`: everything about a guest.
//!
//! * [`resolved`]: the actual values of settings that are `auto`

mod resolved;

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_core::guest::pending::{Pending, pending};
use chyves_core::guest::{Backend, DiskSpec, Guest, NetSpec, RunState, Spec, goes_on};
use chyves_core::network::leases;
use chyves_core::os::freebsd::rctl;
use chyves_core::plan::disk::found::{self, Found};
use chyves_core::plan::drives::{self, Drive};
use chyves_core::plan::firmware;
use chyves_core::plan::locked;
use chyves_core::plan::machine::backend;
use chyves_core::property::keys;
use chyves_core::value::{ImageName, Size, printable};
use chyves_core::vmm::Vmm;
use chyves_core::world::World;
use chyves_host::network;
use chyves_host::observe;
use chyves_host::observe::disks::{self, Mount};
use chyves_host::runtime::Record;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Show everything about guests: state, devices, identity
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let targets = Targets::parse(&args.guests)?;
    let mut world = session.look(&targets.look())?;
    let needed: Vec<ImageName> = world.guests.iter().flat_map(|guest| images(session, guest)).collect();
    observe::add_images(&mut world, &needed)?;
    let mut all = Vec::new();
    let mut text = String::new();
    let (found, lost) = session.found(&targets, &world)?;
    for guest in &found {
        let value = facts(session, guest, &world)?;
        if !text.is_empty() {
            text.push('\n');
        }
        lines(&mut text, &value, 0);
        all.push(value);
    }
    if session.ui.json {
        session.ui.answer_json(Value::Array(all));
    } else {
        session.ui.answer(&text);
    }
    Session::lacking(found.len(), lost)
}

/// The images that a guest uses as firmware, or that are in its drives.
fn images(session: &Session, guest: &Guest) -> Vec<ImageName> {
    let record = session.runtime.observe(guest.uuid, &guest.dataset).ok().filter(|_| guest.state.is_alive()).and_then(|seen| seen.record);
    let drives = record.map(|record| drives::kept(&record.launch.again)).unwrap_or_default();
    drives.iter().filter_map(|drive| drive.image().cloned()).chain(firmware::needed(guest).unwrap_or_default()).collect()
}

/// The disks, and what to do if one is missing or differs from what is recorded.
fn disk_facts(guest: &Guest, put: &mut impl FnMut(&str, Value)) -> Result<()> {
    // A command that only reads mounts nothing: disk files of an unmounted guest are shown as recorded.
    let there = disks::of(guest, None, Mount::Never)?;
    let own: Vec<DiskSpec> = guest.disk_records().into_iter().map(|record| record.disk).collect();
    put("disks", Value::Array(own.iter().map(|d| {
        let differs = found::of(&there, d.number).differs(d);
        json!({ "disk": format!("disk{}", d.number), "kind": d.kind, "size": d.size.map(Size::human), "differs": differs, "bus": d.bus, "serial": d.serial, "description": d.description })
    }).collect()));
    // The state of a missing disk cannot be recorded.
    let missing = own.iter().find(|d| *found::of(&there, d.number) == Found::Missing);
    if let Some(disk) = missing {
        put("missing", json!(format!("if it is gone for good: `chyves disk remove {} disk{} --lost`", guest.name, disk.number)));
    }
    let stale = own.iter().any(|d| found::of(&there, d.number).actual().is_some() && found::of(&there, d.number).differs(d).is_some());
    if stale {
        put("stale", json!(format!("a disk is not as recorded; `chyves disk sync {}` records what is there", guest.name)));
    }
    Ok(())
}

/// Everything to be shown, in order.
fn facts(session: &Session, guest: &Guest, world: &World) -> Result<Value> {
    let host = &world.host;
    // The dataset whose key is not loaded.
    let key = world.locked.by(&guest.dataset);
    let vmm = host.vmm;
    // With settings that cannot be read, everything else is shown, and the reason.
    let (spec, invalid) = match guest.spec() {
        Ok(spec) => (Some(spec), None),
        Err(problem) => (None, Some(problem)),
    };
    let record = if guest.state.is_alive() { session.runtime.observe(guest.uuid, &guest.dataset)?.record } else { None };
    let started_with = record.as_ref().map(|record| record.launch.settings.clone()).unwrap_or_default();
    let changes = pending(&started_with, guest);
    // The value that the guest runs with, and the next one if it differs.
    let shown = |key: &str, next: String| match changes.iter().find(|change| change.property == key) {
        Some(Pending { running: Some(running), waits_for, .. }) if !session.ui.json => {
            json!(format!("{running}, {next} after {waits_for}"))
        }
        Some(Pending { running: Some(running), .. }) => json!(running),
        Some(_) | None => json!(next),
    };
    let mut value = json!({
        "name": guest.name,
        "state": guest.shown_state(),
        "uuid": guest.uuid,
        "dataset": guest.dataset,
        "used": guest.used.human(),
        "processors": guest.settings.value(keys::CPU).map(|cpu| number(&shown(keys::CPU, cpu))),
        "memory": guest.settings.value(keys::RAM).map(|ram| shown(keys::RAM, ram)),
        "loader": guest.settings.value(keys::LOADER).map(|loader| shown(keys::LOADER, loader)),
        "pending": if session.ui.json { json!(changes) } else { elsewhere(&changes) },
    });
    let Some(fields) = value.as_object_mut() else { return Ok(value) };
    let mut put = |key: &str, what: Value| {
        fields.insert(key.to_owned(), what);
    };
    let launch = record.as_ref().map(|record| &record.launch);
    let (resolved, invalid) = match spec.as_ref().map(|spec| resolved::of(guest, spec, host, launch)).transpose() {
        Ok(resolved) => (resolved.unwrap_or_default(), invalid),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    if let Some(problem) = invalid {
        put("invalid", json!(problem.hints.iter().fold(problem.to_string(), |text, hint| format!("{text}; {hint}"))));
    }
    for one in &resolved {
        put(one.field, if session.ui.json { json!(one.value) } else { json!(one.words()) });
    }
    if let Some(problem) = firmware::missing(world, guest) {
        put("missing", json!(problem.causes.iter().chain(problem.hints.first()).cloned().collect::<Vec<_>>().join("; ")));
    }
    if session.ui.json {
        put("auto", resolved.iter().filter(|one| one.auto).map(|one| one.field).collect());
    }
    if let RunState::Crashed { reason } = &guest.state {
        put("crash", json!(reason));
        put("logs", json!(logs(guest)));
    }
    if let RunState::Paused { reason } = &guest.state {
        put("paused", json!(reason));
        put("goes-on", json!(goes_on(&guest.dataset)));
    }
    for (key, what) in [
        ("description", guest.settings.value(keys::DESCRIPTION)),
        ("notes", guest.settings.value("notes")),
        ("foreign", guest.foreign.clone()),
        ("locked", key.map(locked::remedy)),
        ("origin", guest.origin.clone()),
        ("cloned-from", guest.settings.value(keys::CLONED_FROM)),
        ("image", guest.settings.value(keys::IMAGE)),
        ("group", guest.group().map(str::to_owned)),
        ("created", guest.settings.value(keys::CREATED)),
        ("files", guest.mountpoint.clone()),
    ] {
        if let Some(what) = what {
            put(key, json!(what));
        }
    }
    if let Some(record) = &record {
        run_facts(session, guest, record, world, &mut put);
    }
    disk_facts(guest, &mut put)?;
    if let Some(spec) = &spec {
        put("networks", networks(session, guest, spec, vmm));
    }
    Ok(value)
}

/// What runs: its process, its command line, and what it has open.
fn run_facts(session: &Session, guest: &Guest, record: &Record, world: &World, put: &mut impl FnMut(&str, Value)) {
    put("pid", json!(record.machine.as_ref().map(|p| p.pid)));
    put("reboots", json!(record.reboots));
    let since = i64::try_from(record.since).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    put("since", json!(since.map(|t| t.to_string())));
    put("command", json!(record.launch.hypervisor.to_string()));
    if let Some(why) = &record.launch.kept_because {
        put("kept-settings", json!(format!("those of its start before, since the present ones cannot be used: {why}")));
    }
    put("confinement", json!(record.launch.confinement.shown()));
    put("user", json!(record.uid));
    if let Some(uid) = record.uid.filter(|_| record.launch.confinement.uses_user_networking()) {
        put("loopback", json!(loopback(uid)));
    }
    put("opened-files", json!(record.opened));
    if world.host.vmm == Vmm::Bhyve {
        let process = record.machine.as_ref().map(|machine| machine.pid);
        put("rctl-subject", json!(rctl::Subject::of(&record.launch.confinement, process).map(|subject| subject.to_string())));
    }
    let drives = drives::kept(&record.launch.again);
    put("drives", drives.iter().enumerate().map(|(n, drive)| drive_line(n, drive, world)).collect());
    if let Some(screen) = record.launch.screen {
        // Port 0 means any free port.
        let chosen = !session.ui.json && guest.settings.value(keys::VNC_PORT).is_none_or(|port| port == "0");
        put("vnc", if chosen { json!(format!("{screen} (auto)")) } else { json!(screen) });
        put("vnc-secret", json!(session.runtime.screen_secret(guest.uuid)));
    }
}

/// The pending changes to be shown, except those that are shown beside the setting itself.
fn elsewhere(changes: &[Pending]) -> Value {
    let beside = |change: &&Pending| change.running.is_some() && [keys::CPU, keys::RAM, keys::LOADER].contains(&change.property.as_str());
    changes.iter().filter(|change| !beside(change)).map(|change| json!({ "change": change.words() })).collect()
}

/// The NICs, with their actual back ends and the known addresses.
fn networks(session: &Session, guest: &Guest, spec: &Spec, vmm: Vmm) -> Value {
    let json = session.ui.json;
    // A guest that is off has no address, whatever it once leased.
    let leased = if guest.state.is_alive() { leases::of(&network::leases(&session.runtime), &spec.nets, vmm) } else { Vec::new() };
    let one = |n: &NetSpec| {
        let backend = backend(n, vmm);
        let shown = if n.backend == Backend::Auto && !json { json!(format!("{} (auto)", backend.word())) } else { json!(backend) };
        // The bridge is shown only if the NIC is attached to one.
        let bridge = matches!(backend, Backend::Bridge | Backend::Netgraph).then_some(&n.bridge);
        let nic = format!("net{}", n.number);
        let own = leased.iter().filter(|known| known.nic == nic);
        let addresses = if json {
            own.map(|known| json!({ "address": known.address, "source": known.source })).collect()
        } else {
            let words: Vec<String> = own.map(|known| format!("{} ({})", known.address, known.source)).collect();
            if words.is_empty() { Value::Null } else { json!(words.join(", ")) }
        };
        json!({ "nic": nic, "backend": shown, "model": n.model, "mac": n.mac, "bridge": bridge, "addresses": addresses })
    };
    spec.nets.iter().map(one).collect()
}

/// The value as a number, if it is a single one.
fn number(value: &Value) -> Value {
    value.as_str().and_then(|text| text.parse::<u32>().ok()).map_or_else(|| value.clone(), |number| json!(number))
}

/// A drive with its medium. A running guest keeps an image that was removed in the meantime until the medium is changed.
fn drive_line(number: usize, drive: &Drive, world: &World) -> Value {
    let gone = drive.image().filter(|name| drives::disc(world, name).is_err());
    let why = gone.map(|name| format!("no image is called `{name}` any more"));
    json!({ "drive": format!("cd{number}"), "disc": drive.image().map_or("empty", ImageName::as_str), "missing": why })
}

/// Where to read the log of a VM that has crashed.
fn logs(guest: &Guest) -> Option<String> {
    let folder = format!("{}/logs", guest.folder().ok()?);
    Some(if guest.mounted { folder } else { format!("{folder}, after `zfs mount {}`", guest.dataset) })
}

/// Aligned lines of keys and values; each element of a list of objects on one line.
pub(super) fn lines(text: &mut String, value: &Value, indent: usize) {
    let Some(fields) = value.as_object() else { return };
    let width = fields.keys().map(String::len).max().unwrap_or(0) + 1;
    for (key, value) in fields {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    let parts: Vec<String> =
                        item.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null()).map(|(k, v)| part(k, v)).collect();
                    let _ = writeln!(text, "{:indent$}{:<width$} {}", "", format!("{key}:"), parts.join("  "));
                }
            }
            other => {
                let _ = writeln!(text, "{:indent$}{:<width$} {}", "", format!("{key}:"), plain(other));
            }
        }
    }
}

fn part(key: &str, value: &Value) -> String {
    if matches!(key, "change" | "disk" | "nic" | "drive" | "size" | "kind" | "bus" | "model") {
        plain(value)
    } else {
        format!("{key} {}", plain(value))
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |s| printable(s, 4000))
}

/// Whether the guest of a hypervisor with that user id reaches the host's loopback, given the rules that are loaded now.
#[cfg(target_os = "linux")]
fn loopback(uid: u32) -> String {
    match chyves_host::confine::loopback::holds_for(uid) {
        Ok(()) => "closed to the guest".to_owned(),
        Err(why) => format!("open to the guest: {why}; the next start of a guest loads them"),
    }
}

#[cfg(not(target_os = "linux"))]
fn loopback(_: u32) -> String {
    "not examined here".to_owned()
}
