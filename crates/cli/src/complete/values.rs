//! The candidates for each kind of argument. The kind is the name of the argument's value in the help, so arguments with the
//! same value name complete in the same way; a test ensures that every name has a row.

use super::present::Present;
use chyves_core::property::{self, Access, Scope, catalog};
use clap::{Arg, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use std::ffi::OsStr;
use std::sync::Arc;

/// The kind of an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Guests,
    /// `web01@before`.
    Snapshots,
    /// `web01` or `web01@before`.
    GuestOrSnapshot,
    /// `@before`, of a guest on the line.
    OwnSnapshots,
    Images,
    Pools,
    Bridges,
    BridgesAndGuests,
    /// Cloud-init documents.
    Documents,
    /// The values of a property.
    ValuesOf(&'static str),
    Interfaces,
    Disks,
    Nics,
    Trash,
    /// `ram=2G`.
    Settings,
    Properties,
    Systems,
    /// Operations with a schema.
    Operations,
    ListWords,
    Columns,
    Paths,
    /// Numbers, new names, texts: nothing is offered.
    Free,
}

/// The names of values, and their kinds.
const KINDS: &[(&str, Kind)] = &[
    ("GUEST", Kind::Guests),
    ("GUEST@SNAPSHOT", Kind::Snapshots),
    ("GUEST[@SNAPSHOT]", Kind::GuestOrSnapshot),
    ("GUEST@SNAPSHOT[%SNAPSHOT]", Kind::Snapshots),
    ("@SNAPSHOT", Kind::OwnSnapshots),
    ("IMAGE", Kind::Images),
    ("POOL", Kind::Pools),
    ("BRIDGE", Kind::Bridges),
    ("BRIDGES", Kind::Bridges),
    ("FROM-BRIDGE", Kind::Bridges),
    ("TO-BRIDGE", Kind::Bridges),
    ("OBJECT", Kind::BridgesAndGuests),
    ("UPLINK", Kind::Interfaces),
    ("TAP", Kind::Interfaces),
    ("DISK", Kind::Disks),
    ("NIC", Kind::Nics),
    ("IDENTITY", Kind::Trash),
    ("KEPT", Kind::Trash),
    ("KEY=VALUE", Kind::Settings),
    ("PROPERTY", Kind::Properties),
    ("KEY,…", Kind::Properties),
    ("SYSTEM", Kind::Systems),
    ("OPERATION", Kind::Operations),
    ("WHAT", Kind::ListWords),
    ("COLUMN", Kind::Columns),
    ("COLUMN,…", Kind::Columns),
    ("FILE", Kind::Paths),
    ("PATH", Kind::Paths),
    ("VOLUME", Kind::Paths),
    ("DOCUMENT", Kind::Documents),
    ("LOADER", Kind::ValuesOf("loader")),
    ("OS", Kind::ValuesOf("os")),
    ("ADDRESS", Kind::Free),
    ("AGE", Kind::Free),
    ("CPU", Kind::Free),
    ("DESCRIPTION", Kind::Free),
    ("DRIVE", Kind::Free),
    ("HASH", Kind::Free),
    ("KIND", Kind::Free),
    ("NAME", Kind::Free),
    ("NETS", Kind::Free),
    ("NEW-NAME", Kind::Free),
    ("NUMBER", Kind::Free),
    ("POOL[/NAME]", Kind::Free),
    ("PORT", Kind::Free),
    ("RAM", Kind::Free),
    ("SECONDS", Kind::Free),
    ("SIZE", Kind::Free),
    ("+SIZE", Kind::Free),
    ("TIMES", Kind::Free),
    ("TO", Kind::Free),
    ("TOKEN", Kind::Free),
    ("WORD", Kind::Free),
    ("-", Kind::Free),
];

/// The names of an argument's values: `GUEST|KEY=VALUE` are two.
pub(super) fn names(arg: &Arg) -> Vec<String> {
    let of = arg.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let name = of.map_or_else(|| arg.get_id().as_str().to_uppercase(), |names| names.join("|"));
    // `[NIC] BRIDGE`: the first one is optional.
    name.split(['|', ' ']).map(|part| part.strip_prefix('[').and_then(|p| p.strip_suffix(']')).unwrap_or(part).to_owned()).collect()
}

/// Whether a value name has a row.
#[cfg(test)]
pub(super) fn is_known(name: &str) -> bool {
    KINDS.iter().any(|(known, _)| *known == name)
}

/// Adds the candidates to an argument of the verb `command`.
pub(super) fn complete(arg: Arg, command: &str, present: &Arc<Present>) -> Arg {
    if !arg.get_possible_values().is_empty() || !arg.get_action().takes_values() {
        return arg;
    }
    let kinds: Vec<Kind> =
        names(&arg).iter().filter_map(|name| KINDS.iter().find(|(known, _)| known == name)).map(|(_, kind)| *kind).collect();
    if kinds.iter().all(|kind| *kind == Kind::Free) {
        return arg;
    }
    if kinds.iter().all(|kind| matches!(kind, Kind::Paths | Kind::Free)) {
        return arg.value_hint(ValueHint::AnyPath);
    }
    let (present, command) = (Arc::clone(present), command.to_owned());
    let offered = move |current: &OsStr| {
        let Some(current) = current.to_str() else { return Vec::new() };
        kinds.iter().flat_map(|kind| of(*kind, &present, &command, current)).collect()
    };
    arg.add(ArgValueCompleter::new(offered))
}

fn of(kind: Kind, present: &Present, command: &str, current: &str) -> Vec<CompletionCandidate> {
    match kind {
        Kind::Guests => present.guests_for(command, current),
        Kind::Snapshots => present.snapshots(current, "@"),
        Kind::GuestOrSnapshot => present.snapshots(current, ""),
        Kind::OwnSnapshots => present.snapshots_of_named(current),
        Kind::Images => present.images(current),
        Kind::Pools => Present::pools(current),
        Kind::Bridges => present.bridges(current),
        Kind::BridgesAndGuests => present.bridges(current).into_iter().chain(present.guests(current)).collect(),
        Kind::Documents => plain(current, ["meta-data", "user-data", "vendor-data", "network-config"]),
        Kind::ValuesOf(key) => plain(current, property::find(key).map(|known| known.property.kind.completions()).unwrap_or_default()),
        Kind::Interfaces => present.interfaces(current),
        Kind::Disks => present.of_family("disk", current),
        Kind::Nics => present.of_family("net", current),
        Kind::Trash => present.trash(current),
        Kind::Settings => settings(present, current),
        Kind::Properties => keys(present, current, ""),
        Kind::Systems => plain(current, ["freebsd", "linux"]),
        Kind::Operations => plain(current, chyves_engine::schema::all().iter().map(|entry| entry.name)),
        Kind::ListWords => plain(current, crate::command::NOUNS),
        Kind::Columns => columns(current),
        Kind::Paths | Kind::Free => Vec::new(),
    }
}

/// The words that continue what is typed.
pub(super) fn plain<S: AsRef<str>>(current: &str, words: impl IntoIterator<Item = S>) -> Vec<CompletionCandidate> {
    let words = words.into_iter().filter(|word| word.as_ref().starts_with(current));
    words.map(|word| CompletionCandidate::new(word.as_ref())).collect()
}

/// Columns of lists, also as the last one of a comma-separated list.
fn columns(current: &str) -> Vec<CompletionCandidate> {
    let (before, last) = current.rsplit_once(',').map_or(("", current), |(before, last)| (&current[..=before.len()], last));
    let keys = catalog::all().filter(|p| p.access == Access::Free && p.of_guests() && !p.key.contains("{n}")).map(|p| p.key);
    let words = crate::command::FACTS.iter().copied().chain(keys).filter(|word| word.starts_with(last));
    words.map(|word| CompletionCandidate::new(format!("{before}{word}"))).collect()
}

/// Keys, each with `=`; after the `=`, the values of that key.
fn settings(present: &Present, current: &str) -> Vec<CompletionCandidate> {
    let Some((key, value)) = current.split_once('=') else { return keys(present, current, "=") };
    let Ok(known) = property::find(key) else { return Vec::new() };
    let words: Vec<String> = match known.property.kind {
        property::kind::Kind::Image => present.images("").iter().map(|c| c.get_value().to_string_lossy().into_owned()).collect(),
        property::kind::Kind::Interface => {
            present.bridges("").iter().chain(&present.interfaces("")).map(|c| c.get_value().to_string_lossy().into_owned()).collect()
        }
        kind => kind.completions().iter().map(|word| (*word).to_owned()).collect(),
    };
    words.iter().filter(|word| word.starts_with(value)).map(|word| CompletionCandidate::new(format!("{key}={word}"))).collect()
}

/// The keys that users may set, each followed by `behind`. Keys of numbered devices are offered for the guest's devices, or for
/// number 0.
fn keys(present: &Present, current: &str, behind: &str) -> Vec<CompletionCandidate> {
    let mut found = Vec::new();
    let global = present.is_about("global");
    for row in catalog::all().filter(|p| p.access == Access::Free && (p.scope == Scope::Global) == global && p.scope != Scope::Image) {
        let numbers = match row.key.split_once("{n}") {
            // The number that is being typed, whatever the guest has.
            Some((front, _)) => {
                match current.strip_prefix(front).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default()) {
                    Some(typed) if !typed.is_empty() => vec![typed.to_owned()],
                    _ => present.numbers(front),
                }
            }
            None => vec![String::new()],
        };
        for number in numbers {
            let key = row.key.replace("{n}", &number);
            if key.starts_with(current) {
                found.push(CompletionCandidate::new(format!("{key}{behind}")).help(Some(row.summary.into())));
            }
        }
    }
    found
}
