//! Determines all host-reaching settings of a guest, which of them this host trusts, and refuses the others.
//!
//! Not here: when a value is trusted, and its records ([`crate::guest::trust`]).

use crate::error::{Problem, Result};
use crate::guest::Guest;
use crate::guest::trust::{Access, Held, access, loaders_are_confined, reach};
use crate::property::reach::Reach;
use crate::property::settings::Source;
use crate::property::{self, Scope};
use crate::world::World;
use serde::Serialize;
use std::collections::BTreeMap;

/// One host-reaching setting of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostSetting {
    /// The key.
    pub property: String,
    /// The value.
    pub value: String,
    /// In which way it reaches the host.
    pub reach: Reach,
    /// What is done with what it names, if other settings decide that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The source of the value.
    pub source: Source,
    /// Whether this host trusts the value.
    pub trusted: bool,
}

impl HostSetting {
    /// In which way it reaches the host, for tables.
    pub fn words(&self) -> String {
        let reach = self.reach.words();
        self.access.map_or_else(|| reach.to_owned(), |access| format!("{reach}, {} it", access.word()))
    }
}

/// All host-reaching settings of a guest, its own and inherited ones, by key.
pub fn host_settings(world: &World, guest: &Guest) -> Vec<HostSetting> {
    let host = world.this_host();
    let ours = host.is_some() && world.roots.iter().any(|r| r.dataset == guest.root && r.host == host && !r.is_copy());
    let held = Held::of(guest.settings.own_values());
    let access_to = |key: &str| access(guest.settings.own_values(), key);
    let mut found: BTreeMap<String, HostSetting> = BTreeMap::new();
    for (key, own) in guest.settings.own_values() {
        let Some(reach) = reach(key, &own.value) else { continue };
        let source = if own.received { Source::Received } else { Source::Local };
        let trusted = guest.foreign.is_none() && held.trusts(key, &own.value);
        found.insert(
            key.clone(),
            HostSetting { property: key.clone(), value: own.value.clone(), reach, access: access_to(key), source, trusted },
        );
    }
    let mut seen: std::collections::BTreeSet<&str> = guest.settings.own_values().keys().map(String::as_str).collect();
    for (dataset, values) in guest.settings.above() {
        for (key, own) in values.iter().filter(|(key, _)| inherits(guest, key)) {
            if !seen.insert(key) {
                continue;
            }
            let Some(reach) = reach(key, &own.value) else { continue };
            let recorded = guest.foreign.is_none() && held.recorded(key, &own.value);
            let trusted = (ours && !own.received) || recorded;
            let source = Source::Inherited(dataset.clone());
            found.insert(
                key.clone(),
                HostSetting { property: key.clone(), value: own.value.clone(), reach, access: access_to(key), source, trusted },
            );
        }
    }
    if loaders_are_confined(&world.host) && !found.values().any(|setting| setting.reach.may_prevent_jail()) {
        found.retain(|_, setting| setting.reach != Reach::RunsLoader);
    }
    found.into_values().collect()
}

/// Whether the guest inherits a key: keys of devices that it does not have are not inherited.
fn inherits(guest: &Guest, key: &str) -> bool {
    let Ok(known) = property::find(key) else { return false };
    let has_device = match known.property.key.split_once("{n}") {
        None => true,
        Some((family, _)) => guest.settings.numbers(family).iter().any(|n| known.property.key.replace("{n}", &n.to_string()) == known.key),
    };
    known.property.scope == Scope::Guest && has_device
}

/// Whether a value is trusted because it is a default of this host, so that no record is needed.
pub fn is_default_of(setting: &HostSetting) -> bool {
    setting.trusted && matches!(setting.source, Source::Inherited(_))
}

/// Refuses a guest with untrusted host-reaching settings.
///
/// # Errors
/// It has some; the message names all of them.
pub fn check(world: &World, guest: &Guest, verb: &str) -> Result<()> {
    let untrusted: Vec<HostSetting> = host_settings(world, guest).into_iter().filter(|s| !s.trusted).collect();
    refuse(guest, verb, &untrusted)
}

/// The same for one setting, before a command uses it outside of a start.
///
/// # Errors
/// It reaches the host and is not trusted.
pub fn check_key(world: &World, guest: &Guest, key: &str, verb: &str) -> Result<()> {
    let untrusted: Vec<HostSetting> = host_settings(world, guest).into_iter().filter(|s| !s.trusted && s.property == key).collect();
    refuse(guest, verb, &untrusted)
}

fn refuse(guest: &Guest, verb: &str, untrusted: &[HostSetting]) -> Result<()> {
    if untrusted.is_empty() {
        return Ok(());
    }
    let name = &guest.name;
    let keys: Vec<&str> = untrusted.iter().map(|s| s.property.as_str()).collect();
    let mut problem = Problem::not_now(format!("cannot {verb} `{name}`: settings that reach the host are not trusted here")).on(name);
    for setting in untrusted {
        problem = problem.because(line(setting));
    }
    Err(problem
        .hint(format!("trust what you have checked: `chyves adopt {name} --trust={}`", keys.join(",")))
        .hint(format!("or remove what is not trusted: `chyves adopt {name} --drop-host-settings`")))
}

/// A setting as one line of an error.
pub fn line(setting: &HostSetting) -> String {
    let value = crate::value::printable(&setting.value, 200);
    format!("{}={value} {} ({})", setting.property, setting.words(), setting.source)
}
