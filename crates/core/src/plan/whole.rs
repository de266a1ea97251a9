//! One validation for whole guests: what a change of settings leaves must be something that a start can use.
//!
//! Every command that changes settings (of a guest, of defaults, of a new guest) asks here before it writes anything. The
//! rules are those of the start itself, which renders the hypervisor's command line without running it; what the host
//! lacks is no fault of a setting and is refused by the start alone.
//!
//! Not here: values by themselves (`property::kind`), bridges of the host (`network::design`), and the state of the host.

use super::revert;
use super::start::{self, Occasion};
use crate::cloudinit::values::CardAddress;
use crate::error::{Kind, Problem, Result};
use crate::guest::Guest;
use crate::property::keys::{self, CiNetKey};
use crate::property::settings::{OwnValues, Settings};
use crate::value::{Dataset, GuestName};
use crate::world::{HostFacts, World};
use crate::zfs::args::Pair;
use std::sync::Arc;
use uuid::Uuid;

/// How many guests an error names.
const NAMED: usize = 8;

/// A world of nothing but this host with all that a guest may ask for.
fn ideal(world: &World) -> World {
    let host = HostFacts { hypervisor: Some("hypervisor".into()), kvm: Ok(()), ..world.host.clone() };
    World { host, guests: Vec::new(), images: Vec::new(), trash: Vec::new(), oddities: Vec::new(), ..world.clone() }
}

/// Which rules count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// What a start refuses, and settings without effect.
    All,
    /// What a start refuses.
    OfStart,
}

fn checked(ideal: &World, guest: &Guest, rules: Rules) -> Result<()> {
    let spec = guest.spec()?;
    match rules {
        Rules::All => cloud_init(guest)?,
        Rules::OfStart => {}
    }
    revert::wanted(guest, &spec.revert, Occasion::Start)?;
    match start::rendered(ideal, guest, &spec) {
        Err(problem) if problem.code != Kind::HostCant => Err(problem),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Settings of cloud-init that no network interface would get.
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
            let fixed = |text: String| matches!(text.parse::<CardAddress>(), Ok(CardAddress::Fixed(..)));
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

/// What is wrong with a guest after a change and was not before. A guest that is broken already may be changed in any way:
/// one fault hides others, and nothing else could cure it step by step.
fn broken(ideal: &World, before: &Guest, after: &Guest, rules: Rules) -> Option<Problem> {
    let problem = checked(ideal, after, rules).err()?;
    let sound = checked(ideal, before, rules).is_ok();
    sound.then_some(Problem { code: Kind::Usage, ..problem })
}

/// Refuses a change of a guest's own settings that would keep it from starting, or have no effect.
///
/// # Errors
/// What would.
pub fn change(world: &World, guest: &Guest, after: &OwnValues) -> Result<()> {
    let changed = Guest { settings: guest.settings.with_own(after.clone()), ..guest.clone() };
    broken(&ideal(world), guest, &changed, Rules::All).map_or(Ok(()), Err)
}

/// The same for a change of its devices or a clone of it, which leaves settings behind that have no effect.
///
/// # Errors
/// What would keep it from starting.
pub fn startable(world: &World, guest: &Guest, after: &OwnValues) -> Result<()> {
    let changed = Guest { settings: guest.settings.with_own(after.clone()), ..guest.clone() };
    broken(&ideal(world), guest, &changed, Rules::OfStart).map_or(Ok(()), Err)
}

/// Refuses a new guest that could not start. `above` are the datasets that it inherits from, nearest first.
///
/// # Errors
/// What would keep it from it.
pub fn new_guest(world: &World, dataset: &Dataset, own: &[Pair], above: Vec<(Dataset, Arc<OwnValues>)>) -> Result<()> {
    let values = super::values(own);
    let uuid = values.get(keys::UUID).and_then(|o| o.value.parse().ok()).unwrap_or(Uuid::nil());
    let name: GuestName = dataset.leaf().parse()?;
    checked(&ideal(world), &bare(world, name, dataset.clone(), uuid, Settings::new(values, above)), Rules::All)
        .map_err(|problem| Problem { code: Kind::Usage, ..problem })
}

/// A guest that is not there yet.
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
        guid: None,
        foreign: None,
        state: crate::guest::RunState::Stopped,
    }
}

/// Refuses defaults, set on a dataset that guests inherit from, that would keep guests from starting: those of `world` that
/// inherit them, and a new guest with nothing else set.
///
/// # Errors
/// Some could not start; they are named.
pub fn defaults(world: &World, on: &Dataset, before: &OwnValues, after: &OwnValues) -> Result<()> {
    let ideal = ideal(world);
    let mut hurt: Vec<(String, Problem)> = Vec::new();
    let heirs = world.guests.iter().filter(|g| g.foreign.is_none() && g.dataset.is_within(on));
    for guest in heirs {
        let above = guest
            .settings
            .above()
            .map(|(dataset, values)| (dataset.clone(), Arc::new(if dataset == on { after.clone() } else { values.clone() })));
        let settings = Settings::new(guest.settings.own_values().clone(), above.collect());
        let changed = Guest { settings, ..guest.clone() };
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
