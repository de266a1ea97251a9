//! The NICs of guests as they run: where each was started, and where it is now. The settings of a running guest are those of
//! its next start.
//!
//! Not here: moving NICs ([`super::nics`]), bridges ([`super::apply`]).

use super::attach;
use super::bridge::network;
use crate::error::Problem;
use crate::guest::{Backend, Guest, NetSpec, RunState, Spec, backend};
use crate::network::compare::{self, Aspect, Close, Difference, Room};
use crate::network::{Actual, BridgeSpec, IfKind, Interface};
use crate::os::{Intent, taps};
use crate::plan::start::with_settings;
use crate::value::IfName;
use crate::vmm::Vmm;
use crate::world::World;

/// What the VM of a guest was started with; `None` if it does not run, or if no record says so.
pub(super) fn started(actual: &Actual, guest: &Guest) -> Option<Spec> {
    let settings = actual.runs.get(&guest.uuid).filter(|_| guest.state.is_alive())?;
    with_settings(guest, settings).spec().ok()
}

/// The bridges that a running guest is on now: those of its taps, and of a NIC that is in none the one that it was started on.
pub fn present(world: &World, actual: &Actual, guest: &Guest) -> Vec<IfName> {
    if !guest.state.is_alive() {
        return Vec::new();
    }
    let marked = actual.interfaces.values().filter(|i| taps::owner_of(&i.mark) == Some(guest.uuid));
    let mut all: Vec<IfName> = marked.filter_map(|i| i.bridge.as_ref()?.parse().ok()).collect();
    for net in started(actual, guest).or_else(|| guest.spec().ok()).iter().flat_map(|spec| &spec.nets) {
        let tap = attach::tap(guest, net).ok().filter(|_| backend(net, world.host.vmm) == Backend::Bridge);
        let inside = tap.and_then(|tap| actual.get(tap.as_str())?.bridge.as_ref()?.parse().ok());
        all.extend(inside.or_else(|| network(net, world.host.vmm)));
    }
    all
}

/// The bridge that the tap of a guest's NIC is in; `None` if it has no tap, or that is in none.
pub fn nic_bridge(actual: &Actual, guest: &Guest, net: &NetSpec) -> Option<IfName> {
    let tap = attach::tap(guest, net).ok()?;
    actual.get(tap.as_str()).filter(|seen| seen.kind == IfKind::Tap)?.bridge.as_ref()?.parse().ok()
}

/// NICs of running guests that are not in their bridges, or whose taps are gone.
pub(super) fn nics(room: &Room<'_>, world: &World) -> Vec<Difference> {
    let mut all = Vec::new();
    for guest in world.guests.iter().filter(|g| g.state.is_alive()) {
        let (ran, next) = (started(room.actual, guest), guest.spec().ok());
        // While it starts or stops, its taps come and go.
        let has_taps = ran.is_some() && matches!(guest.state, RunState::Running | RunState::Paused { .. } | RunState::Orphaned);
        let Some(spec) = ran.as_ref().or(next.as_ref()) else { continue };
        for net in spec.nets.iter().filter(|n| backend(n, world.host.vmm) == Backend::Bridge) {
            let (Ok(tap), token) = (attach::tap(guest, net), taps::token(guest.uuid, net.number)) else { continue };
            let object = format!("{} net{}", guest.name, net.number);
            match room.actual.get(tap.as_str()) {
                Some(seen) if seen.mark == token => {
                    let nic = Nic { guest, net, tap: &tap, seen, next: next_bridge(next.as_ref(), net.number, world.host.vmm) };
                    all.extend(nic.difference(room, &object));
                }
                // Somebody's own tap has no mark of a guest.
                Some(_) => {}
                None if has_taps => all.push(gone(&object, &tap, guest)),
                // Nothing records that the VM has this NIC.
                None => {}
            }
        }
    }
    all
}

fn next_bridge(next: Option<&Spec>, number: u16, vmm: Vmm) -> Option<&IfName> {
    next?.nets.iter().find(|n| n.number == number && backend(n, vmm) == Backend::Bridge).map(|n| &n.bridge)
}

fn gone(object: &str, tap: &IfName, guest: &Guest) -> Difference {
    let problem = Problem::host_cant(format!("its tap {tap} is gone, and the running VM cannot get another"));
    Difference::cant(
        Aspect::TapMissing,
        object,
        problem.hint(format!("a start makes a new one: `chyves stop {0} && chyves start {0}`", guest.name)),
    )
}

/// A NIC of a running guest.
struct Nic<'a> {
    guest: &'a Guest,
    /// As it was started.
    net: &'a NetSpec,
    tap: &'a IfName,
    seen: &'a Interface,
    /// The bridge in the settings of the next start. `network move` changes these, and the tap, while the guest runs.
    next: Option<&'a IfName>,
}

impl Nic<'_> {
    fn difference(&self, room: &Room<'_>, object: &str) -> Option<Difference> {
        let Self { tap, seen, net, .. } = self;
        let moved = self.next.filter(|next| **next != net.bridge);
        let is_in = |bridge: &IfName| seen.bridge.as_deref() == Some(bridge.as_str());
        if is_in(&net.bridge) || moved.is_some_and(is_in) {
            return (!seen.up).then(|| {
                Difference::by(
                    Aspect::TapDown,
                    object,
                    format!("its tap {tap} is down"),
                    vec![Intent::SetUp { interface: (*tap).clone(), uplink_of: None }],
                )
            });
        }
        let is = seen.bridge.as_ref().map_or_else(|| "in no bridge".to_owned(), |b| format!("in {b}"));
        if let Some(next) = moved {
            let problem =
                Problem::host_cant(format!("its tap {tap} is {is}; it was started on {}, and its settings name {next}", net.bridge));
            let hint = format!("`chyves network move {} net{} BRIDGE` puts it on one of them", self.guest.name, net.number);
            return Some(Difference::cant(Aspect::TapElsewhere, object, problem.hint(hint)));
        }
        let there = room.actual.get(net.bridge.as_str()).is_some_and(|i| i.kind == IfKind::Bridge);
        if !there && room.design.get(&net.bridge).is_none_or(|s| !s.is_decided()) {
            let problem = Problem::host_cant(format!("its tap {tap} is {is}, and there is no {}", net.bridge));
            return Some(Difference::cant(
                Aspect::TapElsewhere,
                object,
                problem.hint(format!("`chyves network {} attach INTERFACE`", net.bridge)),
            ));
        }
        let mut intents = Vec::new();
        if let Some(old) = seen.bridge.as_ref().and_then(|b| b.parse().ok()) {
            intents.push(Intent::Leave { bridge: old, member: (*tap).clone(), vlan: net.vlan });
        }
        intents.push(Intent::Join { bridge: net.bridge.clone(), member: (*tap).clone(), vlan: net.vlan });
        Some(Difference::by(Aspect::TapElsewhere, object, format!("its tap {tap} is {is} instead of {}", net.bridge), intents))
    }
}

/// NICs that keep their guests from a start, because their bridge neither exists nor is configured.
pub(super) fn nowhere(room: &Room<'_>, world: &World) -> Vec<Difference> {
    let mut all = Vec::new();
    for guest in world.guests.iter().filter(|g| !g.is_template() && g.foreign.is_none()) {
        let (Ok(spec), ran) = (guest.spec(), started(room.actual, guest)) else { continue };
        for net in spec.nets.iter().filter(|n| !n.optional && backend(n, world.host.vmm) == Backend::Bridge) {
            let name = &net.bridge;
            // The NIC that runs is compared by itself.
            let runs = guest.state.is_alive() && next_bridge(ran.as_ref().or(Some(&spec)), net.number, world.host.vmm) == Some(name);
            if runs || room.design.get(name).is_some_and(BridgeSpec::is_decided) || room.design.fault(name).is_some() {
                continue;
            }
            let (object, nic) = (format!("{} net{}", guest.name, net.number), format!("net{}", net.number));
            if room.actual.get(name.as_str()).is_none() {
                all.push(Difference::cant(Aspect::NicWithoutBridge, object, attach::nowhere(room, name, guest, &nic)));
            } else if room.design.get(name).is_none() {
                // An interface of that name that is no bridge; those of the design are compared anyway.
                let unknown = BridgeSpec::new(0, name.clone());
                let cant = compare::bridge(room, &unknown).into_iter().filter(|d| matches!(d.close, Close::Cant(_)));
                all.extend(cant.map(|d| Difference { object: object.clone(), ..d }));
            }
        }
    }
    all
}
