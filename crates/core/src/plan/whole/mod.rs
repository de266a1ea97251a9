//! Validates whole guests: the settings after a change must be ones that a start accepts.
//!
//! Every command that changes settings (of a guest, of defaults, of a new guest) calls this module before it writes
//! anything. The rules are those of the start itself, which renders the hypervisor's command line without running it.
//! Features that only the host lacks are not an error of the settings and are refused by the start alone.
//!
//! Not here: the validity of single values (`property::kind`), bridges of the host (`network::design`), and the state of
//! the host.

use super::start::{self, Occasion};
use super::{machine, revert};
use crate::cloudinit::reader::Reader;
use crate::cloudinit::settings;
use crate::error::{Kind, Problem, Result};
use crate::guest::{Guest, Loader, RevertAt, Spec};
use crate::os::HostFacts;
use crate::property::keys::{self, CiNetKey};
use crate::property::settings::{OwnValues, Settings};
use crate::value::{Dataset, GuestName, NicAddress};
use crate::vmm::{Vmm, bhyve, grub};
use crate::world::World;
use crate::zfs::args::Pair;
use std::sync::Arc;
use uuid::Uuid;

/// Maximum number of guests that an error names.
const NAMED: usize = 8;

/// A world with a host that has every feature that a guest may request, so that only the settings are checked.
fn ideal(world: &World) -> World {
    let host = HostFacts { hypervisor: Some("hypervisor".into()), kvm: Ok(()), ..world.host.clone() };
    World { host, guests: Vec::new(), images: Vec::new(), trash: Vec::new(), oddities: Vec::new(), ..world.clone() }
}

/// Which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// What a start refuses, and settings without effect.
    All,
    /// Only what a start refuses.
    OfStart,
}

fn checked(ideal: &World, guest: &Guest, rules: Rules) -> Result<()> {
    let spec = guest.spec()?;
    let mut found = Vec::new();
    match rules {
        Rules::All => found.extend(cloud_init(guest).err()),
        Rules::OfStart => {}
    }
    found.extend(revert::wanted(guest, &spec.revert, Occasion::Start).err());
    found.extend(texts(ideal, guest).err());
    found.extend(of_the_other(ideal, guest, &spec).err());
    if spec.loader == Loader::GrubBhyve {
        // Checked on hosts without grub-bhyve too.
        found.extend(grub::check_os(&guest.settings.value(keys::OS).unwrap_or_default(), &guest.name).err());
    }
    for problem in start::rendered(ideal, guest, &spec).err().map(of_settings).unwrap_or_default() {
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
    if found.is_empty() {
        // A start makes the seed last, so that a feature which this host lacks hides a fault in it.
        found.extend(settings::of(guest).err());
    }
    match found.len() {
        0 => Ok(()),
        1 => Err(found.remove(0)),
        _ => Err(machine::together(guest, found)),
    }
}

/// The parts of a problem that are caused by settings; those that are caused by the host are left out.
fn of_settings(problem: Problem) -> Vec<Problem> {
    problem.into_parts().into_iter().filter(|part| part.code != Kind::HostCant).collect()
}

/// Checks that the guest's cloud-init reader supports the user's stored texts, if they were read.
///
/// # Errors
/// It would ignore one of them.
pub(super) fn texts(world: &World, guest: &Guest) -> Result<()> {
    let Some(texts) = world.texts.get(&guest.dataset).filter(|texts| !texts.is_empty()) else { return Ok(()) };
    if !settings::is_wanted(guest)? {
        return Ok(());
    }
    super::cloud_init::check_for(Reader::of(guest)?, texts).map_err(|problem| {
        let text = problem.object.clone().unwrap_or_default();
        let object = problem.object.clone().unwrap_or_else(|| guest.name.to_string());
        problem
            .within(format!("cannot set up `{}` with its own {text}", guest.name))
            .on(object)
            .hint(format!("show it: `chyves cloud-init show {} {text}`; remove it: `chyves cloud-init set {0} --no-{text}`", guest.name))
    })
}

/// Whether a change of a guest's settings switches it to another cloud-init reader, so that its stored texts must be read
/// before the change is validated.
///
/// # Errors
/// A stored value is invalid.
pub fn reads_texts(guest: &Guest, after: &OwnValues) -> Result<bool> {
    reads_anew(guest, &Guest { settings: guest.settings.with_own(after.clone()), ..guest.clone() })
}

fn reads_anew(before: &Guest, after: &Guest) -> Result<bool> {
    Ok(settings::is_wanted(after)? && (!settings::is_wanted(before)? || Reader::of(before)? != Reader::of(after)?))
}

/// The guests that a change of defaults switches to another cloud-init reader.
///
/// # Errors
/// A stored value is invalid.
pub fn heirs_with_texts<'w>(world: &'w World, on: &Dataset, after: &OwnValues) -> Result<Vec<&'w Guest>> {
    let mut all = Vec::new();
    for guest in heirs(world, on) {
        if reads_anew(guest, &inheriting(guest, on, after))? {
            all.push(guest);
        }
    }
    Ok(all)
}

/// The guests that this host owns and that inherit from a dataset.
fn heirs<'w>(world: &'w World, on: &Dataset) -> impl Iterator<Item = &'w Guest> {
    world.guests.iter().filter(|g| g.foreign.is_none() && g.dataset.is_within(on))
}

/// A guest with other settings on a dataset that it inherits from.
fn inheriting(guest: &Guest, on: &Dataset, after: &OwnValues) -> Guest {
    let above = guest
        .settings
        .above()
        .map(|(dataset, values)| (dataset.clone(), Arc::new(if dataset == on { after.clone() } else { values.clone() })));
    let settings = Settings::new(guest.settings.own_values().clone(), above.collect());
    Guest { settings, ..guest.clone() }
}

/// Validates the settings of the hypervisor that this host does not use, as far as this needs no host: the guest may be
/// moved to a host that uses it, and settings that could never work are reported when they are set.
fn of_the_other(ideal: &World, guest: &Guest, spec: &Spec) -> Result<()> {
    match ideal.host.vmm {
        // A start renders them.
        Vmm::Bhyve => Ok(()),
        Vmm::Qemu => {
            let problems = bhyve::judge(&spec.bargs, machine::topology(guest, spec)?);
            if problems.is_empty() { Ok(()) } else { Err(machine::together(guest, problems)) }
        }
    }
}

/// Refuses cloud-init settings for a network interface that does not exist.
fn cloud_init(guest: &Guest) -> Result<()> {
    let nets = guest.settings.numbers("net");
    let own = |key: &str| guest.settings.own(key).is_some();
    for number in guest.settings.numbers("ci.net") {
        let key = |part| keys::ci_net(number, part);
        let set: Vec<String> = CiNetKey::ALL.iter().map(|part| key(*part)).filter(|key| own(key)).collect();
        let Some(first) = set.first() else { continue };
        if !nets.contains(&number) {
            return Err(Problem::usage(format!("`{first}` of `{}` is for no network interface: it has no net{number}", guest.name))
                .on(&guest.name)
                .hint(format!("unset it: `chyves unset {} {}`", guest.name, set.join(","))));
        }
        for (gateway, address) in [(CiNetKey::Gateway, CiNetKey::Address), (CiNetKey::Gateway6, CiNetKey::Address6)] {
            let (gateway, address) = (key(gateway), key(address));
            let fixed = |text: String| matches!(text.parse::<NicAddress>(), Ok(NicAddress::Fixed(..)));
            if own(&gateway) && !guest.settings.value(&address).is_some_and(fixed) {
                return Err(Problem::usage(format!("`{gateway}` of `{}` has no effect: net{number} has no fixed address", guest.name))
                    .on(&guest.name)
                    .because("an interface that gets its address by itself gets its router in the same way")
                    .hint(format!("set both: `chyves set {} {address}=ADDRESS/PREFIX {gateway}=ADDRESS`", guest.name)));
            }
        }
    }
    Ok(())
}

/// The problem that a guest has after a change and did not have before. A guest that is already broken may be changed in
/// any way, because one problem can hide others and they have to be fixed step by step.
fn broken(ideal: &World, before: &Guest, after: &Guest, rules: Rules) -> Option<Problem> {
    let problem = checked(ideal, after, rules).err()?;
    let sound = checked(ideal, before, rules).is_ok();
    sound.then_some(Problem { code: Kind::Usage, ..problem })
}

/// Refuses a change of a guest's own settings that would keep it from starting or have no effect.
///
/// # Errors
/// The settings that would.
pub fn change(world: &World, guest: &Guest, after: &OwnValues) -> Result<()> {
    let changed = Guest { settings: guest.settings.with_own(after.clone()), ..guest.clone() };
    broken(&ideal(world), guest, &changed, Rules::All).map_or(Ok(()), Err)
}

/// What this host lacks for settings that a change adds, one sentence each: it is no error, because the guest may be moved to
/// another host.
pub fn lacking(world: &World, guest: &Guest, after: &OwnValues) -> Vec<String> {
    let ideal = ideal(world);
    let of = |guest: &Guest| -> Vec<Problem> {
        let rendered = guest.spec().map(|spec| start::rendered(&ideal, guest, &spec));
        let parts = rendered.ok().and_then(Result::err).map(Problem::into_parts).unwrap_or_default();
        parts.into_iter().filter(|part| part.code == Kind::HostCant).collect()
    };
    let changed = Guest { settings: guest.settings.with_own(after.clone()), ..guest.clone() };
    let known = of(guest);
    let new = of(&changed).into_iter().filter(|problem| !known.contains(problem));
    new.map(|problem| {
        let cure = problem.hints.first().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{} cannot start on this host with these settings: {problem}{cure}", guest.name)
    })
    .collect()
}

/// As [`change`], for a change of the guest's devices, which may leave settings without effect.
///
/// # Errors
/// What would keep the guest from starting.
pub fn startable(world: &World, guest: &Guest, after: &OwnValues) -> Result<()> {
    let changed = Guest { settings: guest.settings.with_own(after.clone()), ..guest.clone() };
    broken(&ideal(world), guest, &changed, Rules::OfStart).map_or(Ok(()), Err)
}

/// Refuses a clone that could not start, even if its source cannot start either, because the clone is a new guest. Settings
/// without effect are allowed, because settings that only the source may have were removed. `own` are the clone's settings.
///
/// # Errors
/// What would keep the clone from starting.
pub fn clone(world: &World, source: &Guest, own: &OwnValues) -> Result<()> {
    let clone = Guest { settings: source.settings.with_own(own.clone()), ..source.clone() };
    checked(&ideal(world), &clone, Rules::OfStart).map_err(|problem| Problem { code: Kind::Usage, ..problem })
}

/// A warning for a guest that gets its settings from elsewhere (received, restored, rolled back): the reason why no start
/// could use them, or `None`.
pub fn warning(world: &World, guest: &Guest, own: &OwnValues) -> Option<String> {
    let guest = Guest { settings: guest.settings.with_own(own.clone()), ..guest.clone() };
    let problem = checked(&ideal(world), &guest, Rules::OfStart).err()?;
    let cure = problem.hints.first().map(|hint| format!(" ({hint})")).unwrap_or_default();
    Some(format!("{} cannot start with these settings: {problem}{cure}", guest.name))
}

/// Refuses a new guest that could not start. `above` are the datasets that it inherits from, nearest first.
///
/// # Errors
/// What would keep it from starting.
pub fn new_guest(world: &World, dataset: &Dataset, own: &[Pair], above: Vec<(Dataset, Arc<OwnValues>)>) -> Result<Guest> {
    let values = super::values(own);
    let uuid = values.get(keys::UUID).and_then(|o| o.value.parse().ok()).unwrap_or(Uuid::nil());
    let name: GuestName = dataset.leaf().parse()?;
    let guest = bare(world, name, dataset.clone(), uuid, Settings::new(values, above));
    checked(&ideal(world), &guest, Rules::All)
        .and_then(|()| no_snapshot_yet(&guest))
        .map_err(|problem| Problem { code: Kind::Usage, ..problem })?;
    Ok(guest)
}

/// Refuses a new guest that reverts to a snapshot, because it has none yet.
fn no_snapshot_yet(guest: &Guest) -> Result<()> {
    let (revert, name) = (guest.spec()?.revert, &guest.name);
    let own = [keys::REVERT_TO, keys::REVERT_AT].iter().any(|key| guest.settings.own(key).is_some());
    match revert.snapshot.filter(|_| own && revert.at != RevertAt::Off) {
        None => Ok(()),
        Some(snapshot) => {
            Err(Problem::usage(format!("`{name}` cannot revert to @{snapshot}: a new guest has no snapshots")).on(name).hint(format!(
                "create it without, then `chyves snapshot {name}@{snapshot}`, then `chyves set {name} revert_to_snapshot={snapshot} …`"
            )))
        }
    }
}

/// A guest that does not exist yet.
fn bare(world: &World, name: GuestName, dataset: Dataset, uuid: Uuid, settings: Settings) -> Guest {
    let root = world.roots.iter().find(|r| dataset.is_within(&r.dataset)).map_or_else(|| dataset.clone(), |r| r.dataset.clone());
    Guest {
        mountpoint: Some(format!("/{dataset}")),
        name,
        dataset,
        root,
        uuid,
        settings,
        used: crate::value::Size::default(),
        origin: None,
        mounted: false,
        canmount: None,
        readonly: false,
        guid: None,
        home: None,
        foreign: None,
        state: crate::guest::RunState::Stopped,
    }
}

/// Refuses defaults on a dataset that would keep guests from starting: the guests in `world` that inherit them, and a new
/// guest with no other settings.
///
/// # Errors
/// Some could not start; the message names them.
pub fn defaults(world: &World, on: &Dataset, before: &OwnValues, after: &OwnValues) -> Result<()> {
    let ideal = ideal(world);
    let mut hurt: Vec<(String, Problem)> = Vec::new();
    for guest in heirs(world, on) {
        let changed = inheriting(guest, on, after);
        hurt.extend(broken(&ideal, guest, &changed, Rules::OfStart).map(|problem| (guest.name.to_string(), problem)));
    }
    if let Some((_, problem)) = hurt.first() {
        let named: Vec<&str> = hurt.iter().take(NAMED).map(|(name, _)| name.as_str()).collect();
        let more = if hurt.len() > NAMED { format!(" and {} more", hurt.len() - NAMED) } else { String::new() };
        let guests = super::count(hurt.len(), "guest");
        return Err(Problem::usage(format!("cannot change the defaults on {on}: {guests} could not start: {}{more}", named.join(" ")))
            .on(on)
            .because(problem.to_string())
            .hint("set it on the guests that need it: `chyves set GUEST KEY=VALUE`; or give these guests values of their own first"));
    }
    let fresh = |own: &OwnValues| -> Result<Guest> {
        let above = vec![(on.clone(), Arc::new(own.clone()))];
        Ok(bare(world, "guest1".parse()?, on.child("guest1"), Uuid::nil(), Settings::new(OwnValues::new(), above)))
    };
    match broken(&ideal, &fresh(before)?, &fresh(after)?, Rules::OfStart) {
        None => Ok(()),
        Some(problem) => Err(Problem::usage(format!("cannot change the defaults on {on}: a new guest could not start"))
            .on(on)
            .because(problem.to_string())
            .hint("set together what belongs together: `chyves set defaults KEY=VALUE KEY=VALUE`")),
    }
}

#[cfg(test)]
mod tests;
