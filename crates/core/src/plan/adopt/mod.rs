//! `adopt`: makes a foreign guest this host's own. Its host-reaching settings are trusted, kept untrusted or removed.

use super::{Plan, keep_copy};
use crate::action::Action;
use crate::check;
use crate::check::trust::HostSetting;
use crate::error::{Problem, Result};
use crate::guest::{Guest, trust};
use crate::property::keys::{self, DiskKey};
use crate::property::settings::{Own, Source, zfs_name};
use crate::value::Dataset;
use crate::world::World;
use crate::zfs::guard;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The request of an adoption.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// A new UUID, for a copy of a guest where the original is kept too.
    pub identity: Option<Uuid>,
    /// Which host-reaching settings become trusted.
    pub trust: Trust,
    /// Whether untrusted ones are removed.
    pub drop: bool,
    /// The guest's datasets, its own first, with the native properties of each that could act on this host.
    pub tree: Vec<Member>,
}

/// A dataset of the guest as ZFS reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The dataset's name.
    pub dataset: Dataset,
    /// File system or volume.
    pub is: guard::Type,
    /// Native properties that it carries and that must not take effect on this host.
    pub came: Vec<guard::Came>,
}

/// Which host-reaching settings become trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// No further ones.
    #[default]
    Nothing,
    /// All.
    All,
    /// Those with these keys.
    Keys(Vec<String>),
}

impl Trust {
    /// Parses the keys as they were typed.
    ///
    /// # Errors
    /// The list is empty (as with an empty variable of a script), a key is unknown, or its values never reach the host.
    pub fn in_keys(typed: &[String]) -> Result<Self> {
        if typed.iter().all(|key| key.trim().is_empty()) {
            return Err(Problem::usage("--trust= names no setting")
                .hint("name them: --trust=KEY,KEY; or trust all that reach the host: --trust without a value"));
        }
        let mut keys = Vec::new();
        for key in typed {
            let known = crate::property::find(key)?;
            if known.property.reach.words().is_none() {
                return Err(Problem::usage(format!("cannot trust `{}`: it does not reach the host", known.key))
                    .on(&known.key)
                    .hint("`chyves list properties -o property,host` shows which settings do"));
            }
            keys.push(known.key);
        }
        Ok(Self::Keys(keys))
    }

    fn covers(&self, setting: &HostSetting) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Keys(keys) => keys.contains(&setting.property),
        }
    }
}

/// What an adoption does with one host-reaching setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is trusted and used.
    Trusted,
    /// It is kept untrusted: the guest does not start while it is set.
    Untrusted,
    /// It is removed.
    Removed,
}

impl Fate {
    /// The word that tables show.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Untrusted => "untrusted",
            Self::Removed => "removed",
        }
    }
}

/// What the adoption would do with each host-reaching setting.
pub fn fates(world: &World, guest: &Guest, request: &Request) -> Vec<(HostSetting, Fate)> {
    let all = check::trust::host_settings(world, guest).into_iter();
    all.map(|setting| {
        let inherited = matches!(setting.source, Source::Inherited(_));
        // A new identity drops the settings that belong to the old one.
        let fate = if request.identity.is_some() && super::clone::is_identity(&setting.property) {
            Fate::Removed
        } else if setting.trusted || request.trust.covers(&setting) {
            Fate::Trusted
        } else if request.drop && !inherited {
            Fate::Removed
        } else {
            Fate::Untrusted
        };
        (setting, fate)
    })
    .collect()
}

/// Plans an adoption: this host becomes the owner, the epoch increases by one, and the guest keeps its UUID unless the
/// request has a new one. `others` are all guests of the host. For a guest that this host owns already, only the trust
/// changes.
///
/// # Errors
/// Another guest of this host has the UUID, this host has no host id, or the guest has host-reaching settings that the
/// request does not decide on.
pub fn adopt(world: &World, guest: &Guest, others: &[Guest], request: &Request) -> Result<Plan> {
    let fates = fates(world, guest, request);
    let is_old = |setting: &HostSetting| request.identity.is_some() && super::clone::is_identity(&setting.property);
    let pending = fates.iter().any(|(setting, _)| !setting.trusted && !is_old(setting));
    let tame = tame(world, guest, &request.tree)?;
    if guest.foreign.is_none() && !pending && tame.is_empty() {
        return Ok(Plan::nothing(format!("{} is this host's already", guest.name)));
    }
    let host = host(world, guest)?;
    let taken = others.iter().find(|o| o.uuid == guest.uuid && o.dataset != guest.dataset && o.foreign.is_none());
    if let (Some(twin), None, true) = (taken, request.identity, guest.foreign.is_some()) {
        return Err(twin_of(guest, twin));
    }
    if guest.foreign.is_none() && !pending {
        return Ok(Plan { steps: tame, notes: disarmed(&request.tree) });
    }
    if pending && request.trust == Trust::Nothing && !request.drop {
        return Err(undecided(guest, &fates));
    }
    let before = guest.settings.own_values();
    let mut clear: BTreeSet<String> = BTreeSet::new();
    let mut set = vec![(keys::TRUST.to_owned(), trust::LISTED.to_owned())];
    if guest.foreign.is_some() {
        let epoch: u32 = guest.settings.own(keys::EPOCH).and_then(|e| e.parse().ok()).unwrap_or(0);
        set.push((keys::UUID.to_owned(), request.identity.unwrap_or(guest.uuid).to_string()));
        set.push((keys::OWNER.to_owned(), host.clone()));
        set.push((keys::EPOCH.to_owned(), epoch.saturating_add(1).to_string()));
        // Trust records that came with the guest were made by another host.
        clear.extend(before.keys().filter(|key| trust::is_record(key)).cloned());
        // Addresses and serial numbers that were set explicitly belong to the original guest.
        clear.extend(before.keys().filter(|key| request.identity.is_some() && super::clone::is_identity(key)).cloned());
    }
    for (setting, fate) in &fates {
        let (key, value) = (&setting.property, &setting.value);
        match fate {
            Fate::Trusted if check::trust::is_default_of(setting) => {}
            Fate::Trusted => set.push((keys::trusted(key), trust::digest(&host, key, value, before))),
            Fate::Removed => {
                clear.extend([key.clone()]);
                clear.extend(with_disk(key, before.keys()));
                clear.extend(Some(keys::trusted(key)).filter(|record| before.contains_key(record)));
            }
            Fate::Untrusted => {}
        }
    }
    clear.retain(|key| !set.iter().any(|(k, _)| k == key));
    set.retain(|(k, v)| before.get(k).is_none_or(|own| own.value != *v || own.received));
    let clear: Vec<String> = clear.into_iter().collect();
    let mut after = before.clone();
    after.retain(|k, _| !clear.contains(k));
    for (k, v) in &set {
        after.insert(k.clone(), Own { value: v.clone(), received: false });
    }
    let mut plan = Plan { steps: tame, notes: disarmed(&request.tree) };
    plan.push(super::set::change_by(world.host.dialect, &guest.dataset, before, set, clear));
    // From this step on the guest is mounted at the mount point that chyves uses.
    let mounted = guest.mounted && guest.mountpoint == guest.home;
    let at_home = Guest { mountpoint: guest.home.clone().or_else(|| guest.mountpoint.clone()), mounted, ..guest.clone() };
    plan.steps.extend(keep_copy(&at_home, &after)?);
    plan.notes.extend(notes(guest, &fates));
    plan.notes.extend(super::whole::warning(world, guest, &after));
    Ok(plan)
}

/// The steps that keep the guest's datasets from acting on the host; empty if none of them carries such a property. A
/// dataset that the sender's properties caused to be mounted is unmounted first.
fn tame(world: &World, guest: &Guest, tree: &[Member]) -> Result<Vec<Action>> {
    if let Some(stranger) = tree.iter().find(|m| m.dataset != guest.dataset && m.is == guard::Type::FileSystem) {
        return Err(Problem::not_now(format!(
            "cannot adopt `{}`: {} is a file system, and below a guest are volumes alone",
            guest.name, stranger.dataset
        ))
        .on(&stranger.dataset)
        .because("ZFS mounts it wherever its properties name, also at each boot of this host")
        .hint(format!("inspect it without mounting it: `zfs get all {0}`; remove it: `zfs destroy -r {0}`", stranger.dataset)));
    }
    let mut steps = Vec::new();
    if tree.iter().all(|member| member.came.is_empty()) {
        return Ok(steps);
    }
    if guest.mounted && guest.mountpoint != guest.home {
        steps.push(Action::Unmount { dataset: guest.dataset.clone() });
    }
    steps.extend(tree.iter().map(|member| Action::Tame {
        dialect: world.host.dialect,
        dataset: member.dataset.clone(),
        is: member.is,
        came: member.came.clone(),
    }));
    Ok(steps)
}

/// One line for each property that the adoption disables.
fn disarmed(tree: &[Member]) -> Vec<String> {
    let line = |member: &Member, came: &guard::Came| {
        let value = crate::value::printable(&came.value, 100);
        format!("disarmed: {}: property {} was {value}: {}", member.dataset, crate::value::printable(&came.property, 100), came.now())
    };
    tree.iter().flat_map(|member| member.came.iter().map(move |came| line(member, came))).collect()
}

/// The host id that the guest will be owned by.
fn host(world: &World, guest: &Guest) -> Result<String> {
    let root = world.root_on(guest.root.pool())?;
    world.ours(root).map_err(|problem| problem.within(format!("cannot adopt `{}`", guest.name)).on(&guest.name))?;
    world.this_host().map(|host| host.to_string()).ok_or_else(|| match root.host {
        Some(_) => Problem::not_now("the pools do not show which host this is")
            .on(&root.dataset)
            .hint(format!("choose this host's pool: `chyves pool promote {}`", root.dataset.pool())),
        None => super::create::no_host(root),
    })
}

fn twin_of(guest: &Guest, twin: &Guest) -> Problem {
    Problem::not_now(format!("`{}` is a copy of `{}`, and both would have the same identity on the network", guest.name, twin.name))
        .on(&guest.name)
        .because(format!("{} has the uuid {} too", twin.dataset, guest.uuid))
        .hint(format!(
            "give it an identity of its own: `chyves adopt {} --new-identity`; or replace the other: delete `{}` first",
            guest.name, twin.name
        ))
}

/// The error for host-reaching settings that the request does not decide on.
fn undecided(guest: &Guest, fates: &[(HostSetting, Fate)]) -> Problem {
    let name = &guest.name;
    let open: Vec<&HostSetting> = fates.iter().map(|(setting, _)| setting).filter(|s| !s.trusted).collect();
    let first = open.first().map_or("KEY", |s| s.property.as_str());
    let reach = if open.len() == 1 { "reaches" } else { "reach" };
    Problem::not_now(format!("cannot adopt `{name}`: it has {} that {reach} the host", super::count(open.len(), "setting")))
        .on(name)
        .because(open.iter().map(|s| s.property.as_str()).collect::<Vec<_>>().join(" "))
        .hint(format!("check each value, then trust all: `chyves adopt {name} --trust`; or some: `chyves adopt {name} --trust={first}`"))
        .hint(format!("or remove them: `chyves adopt {name} --drop-host-settings`"))
}

/// The other keys of an attached disk that loses its `source`: a disk without a source could not be opened.
fn with_disk<'a>(key: &str, all: impl Iterator<Item = &'a String>) -> Vec<String> {
    let source = format!(".{}", DiskKey::Source.word());
    let Some(disk) = key.strip_suffix(&source) else { return Vec::new() };
    let prefix = format!("{disk}.");
    all.filter(|other| other.starts_with(&prefix)).cloned().collect()
}

fn notes(guest: &Guest, fates: &[(HostSetting, Fate)]) -> Vec<String> {
    let mut notes = Vec::new();
    let of = |wanted: Fate| fates.iter().filter(move |(_, fate)| *fate == wanted).map(|(setting, _)| setting);
    let left: Vec<String> = of(Fate::Untrusted).map(|s| s.property.clone()).collect();
    if !left.is_empty() {
        notes.push(format!("{} does not start before these are trusted or removed: {}", guest.name, left.join(" ")));
    }
    for setting in of(Fate::Untrusted) {
        if let Source::Inherited(from) = &setting.source {
            let stored = zfs_name(&setting.property);
            notes.push(format!("{} is set on {from}, from where it is removed by: zfs inherit {stored} {from}", setting.property));
        }
    }
    if guest.foreign.is_some() {
        notes.push(format!("make sure that {} runs on no other host", guest.name));
    }
    notes
}

#[cfg(test)]
mod tests;
