//! Adds, removes, changes and moves NICs of guests, also while the guest runs.

use super::services;
use super::{Facts, attach};
use crate::action::Action;
use crate::device::{DeviceClass, DeviceKey};
use crate::error::{Code, Problem, Result};
use crate::guest::written::{Change, Typed};
use crate::guest::{Backend, Guest, NetSpec, backend};
use crate::network::compare::{self, Close};
use crate::network::{BridgeSpec, Mode, STARTED};
use crate::os::{Intent, taps};
use crate::plan::machine::place_to_keep;
use crate::plan::{Plan, keep_copy, own_guest, set};
use crate::property::Scope;
use crate::property::keys::{self, NetKey};
use crate::value::{IfName, Mac};
use crate::vmm::Vmm;
use crate::world::World;
use crate::zfs::args::Pair;

/// What a new NIC is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A tap on a bridge; both may be left to chyves.
    Tap {
        /// The tap.
        tap: Option<IfName>,
        /// The bridge.
        bridge: Option<IfName>,
    },
    /// A VALE switch, or a port of one.
    Vale(String),
    /// A netgraph node, or a hook of one.
    Netgraph(String),
    /// The hypervisor's built-in user network.
    User,
}

/// Plans to add a NIC. For an explicit MAC address the world must hold all guests.
///
/// # Errors
/// A value is invalid, an address or a tap is used by another guest, or the maximum number of NICs is reached.
pub fn add(world: &World, guest: &Guest, what: &What, settings: &[Pair]) -> Result<(Plan, u16)> {
    changeable(guest)?;
    let number = guest.settings.numbers("net").into_iter().max().map_or(0, |n| n + 1);
    let key = |part| keys::net(number, part);
    let mut pairs: Vec<Pair> = Vec::new();
    match what {
        What::Tap { tap, bridge } => {
            pairs.push((key(NetKey::Backend), "bridge".into()));
            if let Some(tap) = tap {
                let other = world.guests.iter().find_map(|g| {
                    let n = g
                        .settings
                        .numbers("net")
                        .into_iter()
                        .find(|n| g.settings.own(&keys::net(*n, NetKey::Tap)) == Some(tap.as_str()))?;
                    Some((g, n))
                });
                if let Some((other, n)) = other {
                    return Err(Problem::not_now(format!("`{tap}` is the tap of net{n} of `{}` already", other.name))
                        .on(tap)
                        .hint("choose another, or let chyves name it: omit the name"));
                }
                unit(tap)?;
                pairs.push((key(NetKey::Tap), tap.to_string()));
            }
            pairs.extend(bridge.as_ref().map(|b| (key(NetKey::Bridge), b.to_string())));
        }
        What::Vale(port) => {
            freebsd(world, "VALE switches")?;
            pairs.push((key(NetKey::Backend), "vale".into()));
            pairs.push((key(NetKey::Vale), port.clone()));
        }
        What::Netgraph(hook) => {
            freebsd(world, "netgraph nodes")?;
            pairs.push((key(NetKey::Backend), "netgraph".into()));
            pairs.push((key(NetKey::Netgraph), hook.clone()));
        }
        What::User => pairs.push((key(NetKey::Backend), "user".into())),
    }
    for (typed, value) in settings {
        pairs.push((full(number, typed), value.clone()));
    }
    let mut change = Change::typed(checked(world, guest, &pairs)?, Vec::new());
    let place = place_to_keep(guest, &world.host, DeviceKey::new(DeviceClass::Nic, number.into()), None)?;
    if let Some(place) = place
        && change.value(&key(NetKey::Pci)).is_none()
    {
        change.set_kept((key(NetKey::Pci), place.to_string()));
    }
    let mut plan = Plan::default();
    if guest.state.is_alive() {
        plan.notes.push(format!("{} is {}; it sees net{number} from its next start or reboot on", guest.name, guest.state.word()));
    }
    write(world, guest, &change, &mut plan)?;
    Ok((plan, number))
}

/// Plans to remove a NIC.
///
/// # Errors
/// The guest has no such NIC.
pub fn remove(world: &World, guest: &Guest, word: &str) -> Result<(Plan, u16)> {
    changeable(guest)?;
    let number = find(guest, Some(word))?;
    let clear: Vec<String> = NetKey::ALL.iter().map(|k| keys::net(number, *k)).filter(|k| guest.settings.own(k).is_some()).collect();
    let mut plan = Plan::default();
    if guest.state.is_alive() {
        plan.notes.push(format!("{} is {}; it loses net{number} at its next start or reboot", guest.name, guest.state.word()));
    }
    write(world, guest, &Change::clearing(clear), &mut plan)?;
    Ok((plan, number))
}

/// Plans a change of a NIC's settings, the keys with or without `netN.`.
///
/// # Errors
/// A value is invalid, or an address is used by another NIC.
pub fn change(world: &World, guest: &Guest, number: u16, settings: &[Pair]) -> Result<Plan> {
    changeable(guest)?;
    let pairs: Vec<Pair> = settings.iter().map(|(k, v)| (full(number, k), v.clone())).collect();
    let pairs = checked(world, guest, &pairs)?.into_iter().map(Typed::into_pair).collect();
    set::guest(world, guest, &set::Request { set: pairs, unset: Vec::new() })
}

/// Plans to move a NIC to another bridge; a running guest's NIC is moved immediately.
///
/// # Errors
/// There is no such NIC or bridge, or the bridge cannot be created.
pub fn relocate(world: &World, facts: &Facts, guest: &Guest, word: Option<&str>, bridge: &IfName) -> Result<(Plan, u16)> {
    changeable(guest)?;
    let number = find(guest, word)?;
    let spec = guest.spec()?;
    let net = spec.nets.iter().find(|n| n.number == number).ok_or_else(|| Problem::bug("a NIC is there and is not"))?;
    let target = facts.design.find(bridge.as_str()).map_or(bridge, |s| &s.name).clone();
    if facts.design.get(&target).is_some_and(|s| s.netgraph) {
        return Ok((to_node(world, guest, net, &target)?, number));
    }
    let there = facts.actual.get(target.as_str()).is_some_and(|i| i.kind == crate::network::IfKind::Bridge);
    if !there && facts.design.get(&target).is_none_or(|s| !s.is_decided()) {
        return Err(facts.design.must(bridge.as_str()).err().unwrap_or_else(|| {
            Problem::not_found(format!("`{bridge}` has no uplink and is not private"))
                .on(bridge)
                .hint(format!("`chyves network {bridge} attach INTERFACE`, or `… private`"))
        }));
    }
    let mut plan = Plan::default();
    let was = backend(net, world.host.vmm);
    let mut pairs = vec![Typed::argument(keys::net(number, NetKey::Bridge), target.as_str())];
    if was != Backend::Bridge {
        pairs.push(Typed::argument(keys::net(number, NetKey::Backend), "bridge"));
    }
    if guest.state.is_alive() {
        if was == Backend::Bridge {
            plan.steps.extend(live(world, facts, guest, net, &target)?.steps(&world.host.run_dir));
        } else {
            plan.notes.push(format!(
                "{} is {}, and net{number} is on no bridge yet; takes effect at its next start or reboot",
                guest.name,
                guest.state.word()
            ));
        }
    }
    let pairs = changing(guest, pairs);
    if pairs.is_empty() && plan.steps.is_empty() {
        return Ok((Plan::nothing(format!("net{number} of {} is on {target} already", guest.name)), number));
    }
    write(world, guest, &Change::typed(pairs, Vec::new()), &mut plan)?;
    Ok((plan, number))
}

/// The settings of a NIC that is moved to a hook of a netgraph bridge. bhyve opens hooks when it starts, so this takes
/// effect at the next start.
fn to_node(world: &World, guest: &Guest, net: &NetSpec, node: &IfName) -> Result<Plan> {
    freebsd(world, "netgraph nodes")?;
    let key = |part| keys::net(net.number, part);
    let pairs = [Typed::argument(key(NetKey::Backend), "netgraph"), Typed::argument(key(NetKey::Netgraph), format!("{node}:"))];
    let pairs = changing(guest, pairs);
    if pairs.is_empty() {
        return Ok(Plan::nothing(format!("net{} of {} is on {node} already", net.number, guest.name)));
    }
    let mut plan = Plan::default();
    if guest.state.is_alive() {
        let (name, state) = (&guest.name, guest.state.word());
        plan.notes.push(format!("{name} is {state}, and a hook of a node is opened at a start; takes effect at its next start or reboot"));
    }
    write(world, guest, &Change::typed(pairs, Vec::new()), &mut plan)?;
    Ok(plan)
}

/// Of what an argument names, the settings that the guest does not have so already.
fn changing(guest: &Guest, pairs: impl IntoIterator<Item = Typed>) -> Vec<Typed> {
    let differs = |typed: &Typed| guest.settings.own(&typed.pair().0) != Some(typed.pair().1.as_str());
    pairs.into_iter().filter(differs).collect()
}

/// The steps that move a running guest's tap.
fn live(world: &World, facts: &Facts, guest: &Guest, net: &NetSpec, target: &IfName) -> Result<attach::Attached> {
    let tap = attach::tap(guest, net)?;
    let token = taps::token(guest.uuid, net.number);
    let mut done = attach::Attached::default();
    let seen = facts.actual.get(tap.as_str()).filter(|i| i.mark == token || net.tap.is_some()).ok_or_else(|| {
        Problem::not_now(format!("the tap `{tap}` of net{} of `{}` is not there", net.number, guest.name)).on(&guest.name).hint(format!(
            "the running VM does not have this NIC yet; `chyves set {} net{}.bridge={target}` takes effect at its next start",
            guest.name, net.number
        ))
    })?;
    if seen.bridge.as_deref() == Some(target.as_str()) {
        return Ok(done);
    }
    let room = facts.room(&world.host);
    let unknown = BridgeSpec::new(0, target.clone());
    let spec = facts.design.get(target).unwrap_or(&unknown);
    for difference in compare::bridge(&room, spec) {
        match difference.close {
            Close::By(intents) if facts.design.mode == Mode::System => done.intents.extend(intents),
            Close::By(_) => {
                return Err(Code::NetworkDiffers
                    .problem(format!("`{target}` differs from its configuration: {}", difference.says))
                    .on(target)
                    .because("networks are managed by hand on this host (network_mode=manual)")
                    .hint("`chyves network plan` shows the commands"));
            }
            Close::Cant(problem) => return Err(problem.within(format!("net{} cannot be moved to `{target}`", net.number)).on(target)),
        }
    }
    if net.vlan.is_some() && !spec.filtering && !facts.actual.get(target.as_str()).is_some_and(|b| b.filters) {
        match compare::filtering(&room, target).close {
            Close::By(intents) => done.intents.extend(intents),
            Close::Cant(problem) => return Err(*problem),
        }
    }
    let mtu = room.mtu(spec);
    if let Some(wanted) = net.mtu.filter(|m| *m > mtu) {
        return Err(Problem::host_cant(format!("`{target}` has an MTU of {mtu}, and the guest was configured for {wanted}"))
            .on(target)
            .hint("move it while it is off"));
    }
    done.proofs.extend(done.intents.iter().filter_map(attach::proof));
    let bringing = services::bring(&world.host, spec, &facts.actual, STARTED);
    if facts.design.mode == Mode::System {
        done.bring(bringing);
    }
    if let Some(old) = seen.bridge.as_ref().and_then(|b| b.parse().ok()) {
        done.intents.push(Intent::Leave { bridge: old, member: tap.clone(), vlan: net.vlan });
    }
    if seen.mtu != mtu {
        done.intents.push(Intent::SetMtu { interface: tap.clone(), from: seen.mtu, to: mtu });
    }
    done.intents.push(Intent::Join { bridge: target.clone(), member: tap.clone(), vlan: net.vlan });
    done.proofs.push(crate::network::Proof::IsIn { bridge: target.clone(), member: tap });
    Ok(done)
}

/// The NIC that `word` names by its name, its tap or its port; without a word, the only NIC.
///
/// # Errors
/// No NIC matches, or several do.
pub fn find(guest: &Guest, word: Option<&str>) -> Result<u16> {
    let numbers = guest.settings.numbers("net");
    let known = || numbers.iter().map(|n| format!("net{n}")).collect::<Vec<_>>().join(", ");
    let Some(word) = word else {
        return match numbers[..] {
            [one] => Ok(one),
            [] => Err(Code::NoSuchNic
                .problem(format!("`{}` has no NIC", guest.name))
                .on(&guest.name)
                .hint(format!("`chyves network add {}`", guest.name))),
            _ => Err(Problem::usage(format!("`{}` has several NICs", guest.name)).on(&guest.name).hint(format!("name one: {}", known()))),
        };
    };
    let own = |n: u16, part| guest.settings.own(&keys::net(n, part)).is_some_and(|v| v == word);
    let named = |n: &u16| format!("net{n}") == word || own(*n, NetKey::Tap) || own(*n, NetKey::Vale);
    let derived = |n: &u16| crate::plan::machine::tap_name(guest.uuid, *n).is_ok_and(|t| t.as_str() == word);
    numbers.iter().find(|n| named(n) || derived(n)).copied().ok_or_else(|| {
        let shown = crate::value::printable(word, 40);
        Code::NoSuchNic.problem(format!("`{}` has no NIC `{shown}`", guest.name)).on(&shown).hint(match known() {
            none if none.is_empty() => "it has none at all".to_owned(),
            known => format!("it has {known}"),
        })
    })
}

/// Checks that no other NIC of these guests has a MAC address.
///
/// # Errors
/// One has.
pub fn free_mac(guests: &[Guest], but: Option<(&Guest, u16)>, mac: Mac) -> Result<()> {
    for guest in guests {
        for n in guest.settings.numbers("net") {
            if but.is_some_and(|(g, m)| g.uuid == guest.uuid && g.dataset == guest.dataset && m == n) {
                continue;
            }
            let own = guest.settings.own(&keys::net(n, NetKey::Mac)).and_then(|m| m.parse().ok());
            if own.unwrap_or_else(|| Mac::derived(guest.uuid, n)) == mac {
                return Err(Code::MacTaken
                    .problem(format!("`{mac}` is the address of net{n} of `{}` already", guest.name))
                    .on(mac)
                    .because("two NICs of one address on one network get each other's packets")
                    .hint("choose another, or none: the NIC has one of its own"));
            }
        }
    }
    Ok(())
}

fn changeable(guest: &Guest) -> Result<()> {
    own_guest(guest)?;
    crate::plan::not_template(guest, "change the NICs of")
}

fn freebsd(world: &World, what: &str) -> Result<()> {
    match world.host.vmm {
        Vmm::Bhyve => Ok(()),
        Vmm::Qemu => {
            Err(Problem::host_cant(format!("{what} are FreeBSD's; this host is {}", world.host.os))
                .hint("attach the NIC to a bridge instead"))
        }
    }
}

/// Refuses an interface name with a unit number that the kernel would not assign.
fn unit(name: &IfName) -> Result<()> {
    let digits = name.as_str().trim_start_matches(|c: char| !c.is_ascii_digit());
    let kernel = ["tap", "bridge", "vlan", "epair"].iter().any(|k| name.as_str().strip_prefix(k) == Some(digits));
    match digits.parse::<u32>() {
        Ok(number) if kernel && number > crate::network::MOST_UNITS => Err(Problem::usage(format!("there can be no `{name}`"))
            .on(name)
            .because(format!("kernels number interfaces up to {}", crate::network::MOST_UNITS))
            .hint("choose a smaller number, or let chyves name it")),
        _ => Ok(()),
    }
}

fn full(number: u16, typed: &str) -> String {
    if typed.starts_with("net") && typed.contains('.') { typed.to_owned() } else { format!("net{number}.{typed}") }
}

/// Keys and values in their stored form; a MAC address must be unique.
fn checked(world: &World, guest: &Guest, pairs: &[Pair]) -> Result<Vec<Typed>> {
    let mut all = Vec::new();
    for (key, value) in pairs {
        let typed = set::typed(key, value, &[Scope::Guest, Scope::GuestOnly])?;
        let (key, value) = typed.pair();
        let number = key.strip_prefix("net").and_then(|k| k.split_once('.')).and_then(|(n, part)| Some((n.parse::<u16>().ok()?, part)));
        match number {
            Some((number, "mac")) => free_mac(&world.guests, Some((guest, number)), value.parse()?)?,
            Some((_, "tap")) => unit(&value.parse()?)?,
            Some(_) => {}
            None => {
                return Err(Problem::usage(format!("`{key}` is not a setting of a NIC"))
                    .on(key)
                    .hint("write model=e1000, mac=ADDRESS, vlan=TAG"));
            }
        }
        all.push(typed);
    }
    Ok(all)
}

/// The change of a guest's settings and of their copy.
pub(super) fn write(world: &World, guest: &Guest, change: &Change, plan: &mut Plan) -> Result<()> {
    if change.is_empty() {
        return Ok(());
    }
    let before = guest.settings.own_values();
    let after = change.after(before);
    crate::plan::whole::startable(world, guest, &after)?;
    plan.push(set::change(world, &guest.dataset, before, change));
    let copy: Vec<Action> = keep_copy(guest, &after)?;
    plan.steps.extend(copy);
    Ok(())
}
