//! `chyves info`: everything about a guest.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::DiskKind;
use chyves_core::guest::goes_on;
use chyves_core::guest::pending::WAITS_FOR;
use chyves_core::plan::disk::found;
use chyves_core::plan::locked;
use chyves_core::property::keys;
use chyves_core::value::{Dataset, Size, printable};
use chyves_engine::answer;
use chyves_engine::op::{DiskState, Drive, GuestDisk, GuestFacts, GuestInfo, Loopback, LoopbackState, Nic, Run};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Show everything about guests: state, devices, identity
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let outcome = session.run(&GuestInfo { guests: Targets::parse(&args.guests)? })?;
    let all = outcome.answer.unwrap_or_default();
    if session.ui.json {
        session.ui.answer_json(json!(all));
    } else {
        let mut text = String::new();
        for guest in &all {
            if !text.is_empty() {
                text.push('\n');
            }
            lines(&mut text, &shown(guest)?, 0);
        }
        session.ui.answer(&text);
    }
    outcome.problem.map_or(Ok(()), Err)
}

/// The changes that are shown beside the setting itself.
fn is_beside(change: &answer::Change) -> bool {
    change.running.is_some() && [keys::CPU, keys::RAM, keys::LOADER].contains(&change.property.as_str())
}

/// A guest in the words that are shown, in their order.
fn shown(guest: &GuestFacts) -> Result<Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, what: Value| {
        fields.insert(key.to_owned(), what);
    };
    // The value that the guest runs with, and the next one if it differs.
    let setting = |key: &str, value: Option<String>| match guest.pending.iter().find(|change| change.property == key && is_beside(change)) {
        Some(change) => value.map(|running| format!("{running}, {} after {WAITS_FOR}", change.next.as_deref().unwrap_or("unset"))),
        None => value,
    };
    let text = |value: &Option<answer::Value>| {
        value.as_ref().map(|value| match value {
            answer::Value::Number(number) => number.to_string(),
            answer::Value::Text(text) => text.clone(),
        })
    };
    let memory = match &guest.ram {
        Some(answer::Value::Number(bytes)) => Some(Size::bytes(*bytes).to_string()),
        other => text(other),
    };
    let auto = |field: &str, value: &Option<String>| {
        value.as_ref().map(|value| if guest.auto.iter().any(|auto| auto == field) { format!("{value} (auto)") } else { value.clone() })
    };
    put("name", json!(guest.name));
    put("state", json!(guest.state.word()));
    put("uuid", json!(guest.uuid));
    put("dataset", json!(guest.dataset));
    put("used", json!(Size::bytes(guest.used).human()));
    put("processors", json!(setting(keys::CPU, text(&guest.cpu))));
    put("memory", json!(setting(keys::RAM, memory)));
    put("loader", json!(setting(keys::LOADER, guest.loader.clone())));
    put("pending", guest.pending.iter().filter(|change| !is_beside(change)).map(|change| json!({ "change": change.words() })).collect());
    let logs = guest
        .logs
        .as_ref()
        .map(|folder| if guest.mounted { folder.clone() } else { format!("{folder}, after `zfs mount {}`", guest.dataset) });
    let locked = guest.locked.as_ref().map(|root| root.parse::<Dataset>().map(|root| locked::remedy(&root))).transpose()?;
    let dataset: Dataset = guest.dataset.parse()?;
    let with_hints = |problem: &Problem| problem.hints.iter().fold(problem.to_string(), |text, hint| format!("{text}; {hint}"));
    let why = |problem: &Problem| problem.causes.iter().chain(problem.hints.first()).cloned().collect::<Vec<_>>().join("; ");
    for (key, what) in [
        ("invalid", guest.invalid.as_ref().map(|failure| with_hints(&failure.0))),
        ("firmware", auto("firmware", &guest.firmware)),
        ("accel", auto("accel", &guest.accel)),
        ("ci-reader", auto("ci_reader", &guest.ci_reader)),
        ("missing", guest.missing_firmware.as_ref().map(|failure| why(&failure.0))),
        ("crash", guest.crash.clone()),
        ("logs", logs),
        ("paused", guest.paused.clone()),
        ("goes-on", guest.paused.as_ref().map(|_| goes_on(&dataset))),
        ("description", guest.description.clone()),
        ("notes", guest.notes.clone()),
        ("foreign", guest.foreign.clone()),
        ("locked", locked),
        ("origin", guest.origin.clone()),
        ("cloned-from", guest.cloned_from.clone()),
        ("image", guest.image.clone()),
        ("group", guest.group.clone()),
        ("created", guest.created.map(|time| time.to_string())),
        ("files", guest.files.clone()),
    ] {
        if let Some(what) = what {
            put(key, json!(what));
        }
    }
    put("problems", problem_rows(&guest.problems));
    if let Some(run) = &guest.run {
        running(guest, run, &mut put);
    }
    put("disks", guest.disks.iter().map(disk).collect());
    // The state of a missing disk cannot be recorded.
    if let Some(disk) = guest.disks.iter().find(|disk| disk.state == DiskState::Missing) {
        let number = disk.disk.trim_start_matches("disk").parse().unwrap_or_default();
        let kind = if disk.kind.word() == DiskKind::Attached.word() { DiskKind::Attached } else { DiskKind::Raw };
        put("missing", json!(found::cures_of_missing(&guest.name, number, kind).join("; ")));
    }
    if guest.disks.iter().any(|disk| matches!(disk.state, DiskState::OtherSize | DiskState::OtherKind)) {
        put("stale", json!(format!("a disk is not as recorded; `chyves disk sync {}` records what is there", guest.name)));
    }
    if let Some(disk) = guest.disks.iter().find(|disk| disk.state == DiskState::Unrecorded) {
        put("unrecorded", json!(format!("`chyves disk sync {} {}` records it as that disk", guest.name, disk.disk)));
    }
    if let Some(disk) = guest.disks.iter().find(|disk| disk.state == DiskState::Unknown) {
        let why = disk.reason.as_deref().unwrap_or("it was not inspected");
        put("not-inspected", json!(format!("sizes (recorded) are not inspected: {why}; `chyves disk list {}` does", guest.name)));
    }
    put("networks", guest.networks.iter().map(nic).collect());
    Ok(Value::Object(fields))
}

/// What runs.
fn running(guest: &GuestFacts, run: &Run, put: &mut impl FnMut(&str, Value)) {
    put("pid", json!(run.pid));
    put("reboots", json!(run.reboots));
    put("since", json!(run.since));
    put("command", json!(run.command));
    if let Some(why) = &run.kept_settings {
        put("kept-settings", json!(format!("those of its start before, since the present ones cannot be used: {why}")));
    }
    put("confinement", json!(run.confinement.words()));
    put("user", json!(run.user));
    if let Some(Loopback { state, reason }) = &run.loopback {
        let reason = reason.as_deref().unwrap_or("the reason is unknown");
        put(
            "loopback",
            match state {
                LoopbackState::Closed => json!("closed to the guest"),
                LoopbackState::Open => json!(format!("open to the guest: {reason}; the next start of a guest loads them")),
                LoopbackState::Unknown => json!("not examined here"),
            },
        );
    }
    put("opened-files", json!(run.opened_files));
    put("rctl-subject", json!(run.rctl_subject));
    put("drives", run.drives.iter().map(drive).collect());
    if let Some(display) = run.vnc {
        let auto = if guest.auto.iter().any(|auto| auto == "vnc") { " (auto)" } else { "" };
        put("vnc", json!(format!("{display}{auto}")));
        put("vnc-secret", json!(run.vnc_secret));
    }
}

fn drive(drive: &Drive) -> Value {
    let gone = drive.disc.as_ref().filter(|_| drive.missing).map(|name| format!("no image is called `{name}` any more"));
    json!({ "drive": drive.drive, "image": drive.disc.as_deref().unwrap_or("empty"), "missing": gone })
}

fn disk(disk: &GuestDisk) -> Value {
    let size = disk.size.map(|size| Size::bytes(size).human());
    // What was not inspected may be anything by now.
    let size = if disk.state == DiskState::Unknown { size.map(|size| format!("{size} (recorded)")) } else { size };
    json!({ "disk": disk.disk, "kind": disk.kind.word(), "size": size, "differs": disk.difference(), "bus": disk.bus, "serial": disk.serial, "description": disk.description })
}

fn nic(nic: &Nic) -> Value {
    let backend = if nic.auto { format!("{} (auto)", nic.backend.word()) } else { nic.backend.word().to_owned() };
    let addresses: Vec<String> = nic.addresses.iter().map(|known| format!("{} ({})", known.address, known.source)).collect();
    let addresses = if addresses.is_empty() { Value::Null } else { json!(addresses.join(", ")) };
    json!({ "nic": nic.nic, "backend": backend, "model": nic.model, "mac": nic.mac, "bridge": nic.bridge, "addresses": addresses })
}

/// Problems as the values of a field: one line each, with causes and cures.
pub(super) fn problem_rows(problems: &[answer::Failure]) -> Value {
    let line = |answer::Failure(problem): &answer::Failure| {
        let what = problem.causes.iter().fold(problem.message.clone(), |text, cause| format!("{text}: {cause}"));
        problem.hints.iter().fold(what, |text, hint| format!("{text}; {hint}"))
    };
    problems.iter().map(|problem| json!({ "problem": line(problem) })).collect()
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
    let is_plain =
        matches!(key, "change" | "problem" | "disk" | "nic" | "drive" | "size" | "kind" | "bus" | "model" | "differs" | "missing");
    if is_plain || key == "image" && value == "empty" { plain(value) } else { format!("{key} {}", plain(value)) }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |s| printable(s, 4000))
}
