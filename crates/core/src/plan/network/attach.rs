//! The cards of guests that are about to run: bridges as they need them, taps, membership; nothing more, and nothing that
//! is there already.
//!
//! Not here: what is done to bridges by themselves ([`super::bridge`]), what goes with a machine ([`super::tidy`]).

use super::Facts;
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::{Backend, Guest, NetSpec, Spec};
use crate::network::compare::{self, Close, Difference, Room};
use crate::network::nat::{self, Bringing};
use crate::network::{BridgeSpec, IfKind, LINUX_PORTS, MOST_UNITS, Mode, Proof, STARTED};
use crate::os::{Intent, Os, taps};
use crate::plan::machine::{backend, tap_name};
use crate::value::IfName;
use crate::world::HostFacts;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What is to be done for cards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attached {
    /// What comes before them: rules, and the folders of files.
    pub first: Vec<Action>,
    /// The steps, in order.
    pub intents: Vec<Intent>,
    /// What comes after them: servers that want their bridge to be there.
    pub last: Vec<Action>,
    /// What must be so then.
    pub proofs: Vec<Proof>,
    /// What is worth a word: a card whose cable is out.
    pub notes: Vec<String>,
    /// What is put into bridges and was there before: a bridge, its new member, and the guest where it is a tap.
    pub joined: Vec<(IfName, IfName, Option<Uuid>)>,
}

impl Attached {
    /// The steps of a plan, the proof last. What is to be undone with the last guest, and can't be read from the
    /// interfaces, is written down in the runtime folder first.
    pub fn steps(self, run_dir: &str) -> Vec<Action> {
        let mut steps = self.first;
        if !self.joined.is_empty() {
            steps.push(Action::MakeFolder { path: format!("{run_dir}/network") });
            steps.push(Action::MakeFolder { path: joined_folder(run_dir) });
        }
        for (bridge, member, guest) in self.joined {
            let path = format!("{}/{bridge}+{member}", joined_folder(run_dir));
            let text = guest.map_or_else(|| "uplink\n".to_owned(), |guest| format!("{guest}\n"));
            steps.push(Action::WriteFile { path, text });
        }
        steps.extend(self.intents.into_iter().map(Action::Host));
        steps.extend(self.last);
        if !steps.is_empty() && !self.proofs.is_empty() {
            steps.push(Action::ProveNetwork { proofs: self.proofs });
        }
        steps
    }
}

/// The folder of what starts put into bridges that were there: a file each.
pub fn joined_folder(run_dir: &str) -> String {
    format!("{run_dir}/network/joined")
}

/// The tap of a card: the one that was chosen, or the one that follows from the guest's identity.
pub fn tap(guest: &Guest, net: &NetSpec) -> Result<IfName> {
    net.tap.clone().map_or_else(|| tap_name(guest.uuid, net.number), Ok)
}

/// Plans the networks of guests.
///
/// # Errors
/// All that keeps a card from its network, unless the card may do without.
pub fn attach(host: &HostFacts, facts: &Facts, guests: &[(&Guest, &Spec)]) -> Result<Attached> {
    let room = Room { os: host.os, release: host.release, design: &facts.design, actual: &facts.actual, mark: STARTED };
    let mut work = Work { room, host, bridges: BTreeMap::new(), taps: BTreeSet::new(), done: Attached::default(), made: 0 };
    let mut problems = Vec::new();
    for (guest, spec) in guests {
        for net in spec.nets.iter().filter(|n| backend(n, host.vmm) == Backend::Bridge) {
            if let Err(problem) = work.card(guest, net) {
                problems.push(problem);
            }
        }
    }
    match (problems.is_empty(), guests) {
        (true, _) => Ok(work.done),
        (false, [(guest, _)]) => Err(crate::plan::machine::together(guest, problems)),
        (false, _) => Err(problems.remove(0)),
    }
}

/// What is known of a bridge by now.
#[derive(Debug, Clone)]
struct Ready {
    /// Why cards can't be attached, if so.
    refused: Option<Problem>,
    /// What it carries.
    mtu: u32,
    /// Whether it will keep VLANs apart.
    filters: bool,
    /// How many members it has by then.
    members: usize,
}

struct Work<'a> {
    room: Room<'a>,
    host: &'a HostFacts,
    bridges: BTreeMap<IfName, Ready>,
    taps: BTreeSet<IfName>,
    done: Attached,
    made: usize,
}

impl Attached {
    /// Takes in what brings a bridge's services up.
    pub fn bring(&mut self, bringing: Bringing) {
        self.first.extend(bringing.first);
        self.last.extend(bringing.last);
        self.proofs.extend(bringing.proofs);
    }
}

impl Work<'_> {
    fn card(&mut self, guest: &Guest, net: &NetSpec) -> Result<()> {
        let card = format!("net{}", net.number);
        let Ready { refused, mtu, filters, .. } = self.bridge(&net.bridge, guest, &card)?.clone();
        let mut refused = refused.or_else(|| Self::too_large(guest, net, mtu));
        if refused.is_none() && net.vlan.is_some() && !filters {
            let difference = compare::filtering(&self.room, &net.bridge);
            match difference.close {
                Close::By(intents) if self.room.design.mode == Mode::System => {
                    self.done.intents.extend(intents);
                    if let Some(ready) = self.bridges.get_mut(&net.bridge) {
                        ready.filters = true;
                    }
                }
                Close::By(_) => refused = Some(by_hand(&net.bridge, &difference.says)),
                Close::Cant(problem) => refused = Some(*problem),
            }
        }
        match refused {
            None => self.tap(guest, net, mtu, true),
            Some(problem) if net.optional => {
                let name = &guest.name;
                self.done.notes.push(format!("{card} of {name} has its cable out: {problem}; it is optional, so {name} starts without"));
                self.tap(guest, net, mtu, false)
            }
            Some(problem) => Err(problem
                .within(format!("{card} of `{}` can't be attached to `{}`", guest.name, net.bridge))
                .hint(format!("or let it start without: `chyves set {} {card}.optional=yes`", guest.name))),
        }
    }

    fn too_large(guest: &Guest, net: &NetSpec, mtu: u32) -> Option<Problem> {
        let wanted = net.mtu.filter(|m| *m > mtu)?;
        let Guest { name, .. } = guest;
        Some(
            Problem::host_cant(format!("`{}` carries {mtu} bytes and not {wanted}", net.bridge))
                .hint(format!("`chyves set {name} net{}.mtu={mtu}`, or `chyves network {} set mtu={wanted}`", net.number, net.bridge)),
        )
    }

    /// Makes a bridge ready, once.
    fn bridge(&mut self, name: &IfName, guest: &Guest, card: &str) -> Result<&Ready> {
        if !self.bridges.contains_key(name) {
            let ready = self.make_ready(name, guest, card);
            self.bridges.insert(name.clone(), ready);
        }
        self.bridges.get(name).ok_or_else(|| Problem::bug("a bridge is not known").on(name))
    }

    fn make_ready(&mut self, name: &IfName, guest: &Guest, card: &str) -> Ready {
        let (design, actual) = (self.room.design, self.room.actual);
        let there = actual.get(name.as_str());
        let unknown = BridgeSpec::new(0, name.clone());
        let spec = design.get(name).unwrap_or(&unknown);
        let members = there.map_or(0, |b| b.members.len()) + usize::from(spec.uplink.is_some());
        let mut ready =
            Ready { refused: None, mtu: self.room.mtu(spec), filters: spec.filtering || there.is_some_and(|b| b.filters), members };
        if there.is_none() && !spec.is_decided() {
            ready.refused = Some(nowhere(&self.room, name, guest, card));
            return ready;
        }
        let mut intents = Vec::new();
        for Difference { says, close, .. } in compare::bridge(&self.room, spec) {
            match close {
                Close::By(_) if design.mode == Mode::Manual => ready.refused = Some(by_hand(name, &says)),
                Close::By(more) => {
                    for intent in &more {
                        self.done.proofs.extend(proof(intent));
                    }
                    intents.extend(more);
                }
                Close::Cant(problem) => ready.refused = Some(*problem),
            }
            if ready.refused.is_some() {
                // Nothing half: a bridge that can't be finished is not begun.
                return ready;
            }
        }
        let touched = compare::touched(actual, &intents.iter().collect::<Vec<_>>());
        if !touched.is_empty() {
            ready.refused = Some(
                Problem::not_now(format!("{}, and would be touched", touched.join(", ")))
                    .hint(format!("do that once, with your eyes on it: `chyves network apply {name} --yes --confirm 60`")),
            );
            return ready;
        }
        let bringing = nat::bring(self.host, spec, actual, STARTED);
        if design.mode == Mode::Manual && !bringing.says.is_empty() {
            ready.refused = Some(by_hand(name, &bringing.says.join(", ")));
            return ready;
        }
        self.done.bring(bringing);
        if !intents.is_empty() {
            self.done.proofs.push(Proof::IsUp { interface: name.clone() });
        }
        if there.is_some_and(|b| !crate::network::is_ours(&b.mark)) {
            let joined = intents.iter().filter_map(|i| match i {
                Intent::Join { bridge, member, .. } => Some((bridge.clone(), member.clone(), None)),
                _ => None,
            });
            self.done.joined.extend(joined);
        }
        self.done.intents.extend(intents);
        ready
    }

    /// A card's tap, and its place on the bridge where `plugged`.
    fn tap(&mut self, guest: &Guest, net: &NetSpec, mtu: u32, plugged: bool) -> Result<()> {
        let tap = tap(guest, net)?;
        let owner = taps::token(guest.uuid, net.number);
        if !self.taps.insert(tap.clone()) {
            return Err(Problem::usage(format!("two cards want the tap `{tap}`")).on(&guest.name).hint("give one of them another"));
        }
        let seen = self.room.actual.get(tap.as_str());
        let (mut joined, mut remarked) = (None, true);
        match seen {
            Some(other) if other.kind != IfKind::Tap => {
                return Err(Problem::host_cant(format!(
                    "`{tap}`, which net{} of `{}` wants, is {}",
                    net.number,
                    guest.name,
                    other.kind.words()
                ))
                .on(&tap)
                .hint(format!("`chyves set {} net{}.tap=…`", guest.name, net.number)));
            }
            Some(other) if other.open => {
                return Err(Problem::not_now(format!("the tap `{tap}`, which net{} of `{}` wants, is in use", net.number, guest.name))
                    .on(&tap)
                    .because(if other.mark.is_empty() {
                        "a process has it open".to_owned()
                    } else {
                        format!("a process has it open, and it is that of {}", other.mark)
                    })
                    .hint("stop who uses it; `chyves reclaim` puts away what dead machines left"));
            }
            // Left by a dead machine of this very guest, or the administrator's own, which was chosen by its name.
            Some(other) if other.mark == owner || net.tap.is_some() => {
                if taps::owner(&other.mark).is_some() && other.mark != owner {
                    return Err(Problem::not_now(format!("the tap `{tap}` is another guest's: {}", other.mark))
                        .on(&tap)
                        .hint("choose another"));
                }
                if !other.up {
                    self.done.intents.push(Intent::SetUp { interface: tap.clone() });
                }
                if other.mtu != mtu {
                    self.done.intents.push(Intent::SetMtu { interface: tap.clone(), from: other.mtu, to: mtu });
                }
                joined.clone_from(&other.bridge);
                remarked = other.mark == owner;
            }
            Some(_) => {
                let destroy = Intent::RemoveTap { tap: tap.clone(), owner }.commands(self.host.os);
                let destroy: Vec<String> = destroy.iter().map(ToString::to_string).collect();
                return Err(Problem::not_now(format!(
                    "the tap `{tap}`, which net{} of `{}` wants, is there and nothing says that it is this guest's",
                    net.number, guest.name
                ))
                .on(&tap)
                .hint(format!("if nothing uses it: {}", destroy.join("; "))));
            }
            None if self.room.design.mode == Mode::Manual => {
                return Err(Problem::host_cant(format!("there is no tap `{tap}` for net{} of `{}`", net.number, guest.name))
                    .on(&guest.name)
                    .because("networks are made by hand here (network_design_mode=manual)")
                    .hint(by_hand_commands(self.host.os, &tap, &net.bridge, mtu))
                    .hint(format!("or name one that is there: `chyves set {} net{}.tap=…`", guest.name, net.number)));
            }
            None => self.make_tap(&tap, &owner, mtu, net)?,
        }
        if remarked {
            self.done.proofs.push(Proof::IsMarked { interface: tap.clone(), mark: owner_of(guest, net) });
        }
        if plugged {
            if seen.is_some_and(|i| i.mark != owner_of(guest, net)) && joined.as_deref() != Some(net.bridge.as_str()) {
                self.done.joined.push((net.bridge.clone(), tap.clone(), Some(guest.uuid)));
            }
            self.plug(&tap, net, joined.as_deref())?;
        }
        self.done.proofs.push(Proof::IsUp { interface: tap });
        Ok(())
    }

    fn make_tap(&mut self, tap: &IfName, owner: &str, mtu: u32, net: &NetSpec) -> Result<()> {
        let there = self.room.actual.interfaces.values().filter(|i| i.kind == IfKind::Tap).count();
        self.made += 1;
        if there + self.made > MOST_UNITS as usize {
            return Err(Problem::host_cant(format!("{} taps are more than a host can have, which is {MOST_UNITS}", there + self.made))
                .on(tap)
                .hint("`chyves reclaim` puts away what dead machines left"));
        }
        let queues = if net.model == "virtio-net" { net.queues } else { 1 };
        self.done.intents.push(Intent::MakeTap { tap: tap.clone(), owner: owner.to_owned(), mtu, queues });
        Ok(())
    }

    /// Puts a tap into its bridge.
    fn plug(&mut self, tap: &IfName, net: &NetSpec, joined: Option<&str>) -> Result<()> {
        let bridge = &net.bridge;
        self.done.proofs.push(Proof::IsIn { bridge: bridge.clone(), member: tap.clone() });
        if joined == Some(bridge.as_str()) {
            return Ok(());
        }
        if let Some(ready) = self.bridges.get_mut(bridge) {
            ready.members += 1;
            if self.host.os == Os::Linux && ready.members > LINUX_PORTS {
                return Err(Problem::host_cant(format!(
                    "`{bridge}` would have {} members, and Linux has {LINUX_PORTS} at most",
                    ready.members
                ))
                .on(bridge)
                .hint("spread guests over several bridges"));
            }
        }
        if let Some(other) = joined.and_then(|b| b.parse().ok()) {
            self.done.intents.push(Intent::Leave { bridge: other, member: tap.clone(), vlan: net.vlan });
        }
        self.done.intents.push(Intent::Join { bridge: bridge.clone(), member: tap.clone(), vlan: net.vlan });
        Ok(())
    }
}

fn owner_of(guest: &Guest, net: &NetSpec) -> String {
    taps::token(guest.uuid, net.number)
}

/// What proves that an intent had its effect.
pub(super) fn proof(intent: &Intent) -> Option<Proof> {
    Some(match intent {
        Intent::Join { bridge, member, .. } => Proof::IsIn { bridge: bridge.clone(), member: member.clone() },
        Intent::Leave { bridge, member, .. } => Proof::IsOut { bridge: bridge.clone(), member: member.clone() },
        Intent::SetUp { interface } => Proof::IsUp { interface: interface.clone() },
        Intent::AddAddress { interface, address, .. } => Proof::HasAddress { interface: interface.clone(), address: *address },
        Intent::MakeBridge { bridge: interface, owner, .. }
        | Intent::MakeVlan { vlan: interface, owner, .. }
        | Intent::MakePair { end: interface, owner } => Proof::IsMarked { interface: interface.clone(), mark: owner.clone() },
        Intent::LoadModule { .. }
        | Intent::MakeTap { .. }
        | Intent::RemoveTap { .. }
        | Intent::DestroyVm { .. }
        | Intent::RemoveBridge { .. }
        | Intent::RemoveVlan { .. }
        | Intent::RemovePair { .. }
        | Intent::Describe { .. }
        | Intent::SetMtu { .. }
        | Intent::RemoveAddress { .. }
        | Intent::FilterVlans { .. }
        | Intent::Forward { .. }
        | Intent::LoadRules { .. }
        | Intent::DropRules { .. }
        | Intent::ServeNames { .. }
        | Intent::EndNames { .. } => return None,
    })
}

/// There is no such bridge, and nobody has said where it is to lead.
fn nowhere(room: &Room<'_>, name: &IfName, guest: &Guest, card: &str) -> Problem {
    let bridges = room.actual.interfaces.iter().filter(|(_, i)| i.kind == IfKind::Bridge).map(|(n, _)| n.as_str());
    let known: Vec<&str> = bridges.chain(room.design.bridges().map(|b| b.name.as_str())).collect();
    let problem = Problem::host_cant(format!("there is no bridge `{name}`"));
    let problem = match room.design.mode {
        Mode::Manual => problem.because("networks are made by hand here (network_design_mode=manual)").hint(format!(
            "make it: {}",
            shown(room.os, &Intent::MakeBridge { bridge: name.clone(), owner: "by hand".into(), mtu: None, filters: false })
        )),
        Mode::System => problem
            .because("and nobody has said where it is to lead")
            .hint(format!("`chyves network {name} attach INTERFACE` gives it an uplink, `chyves network {name} private` none")),
    };
    problem.hint_if(known.first().map(|other| format!("or choose another: `chyves set {} {card}.bridge={other}`", guest.name)))
}

fn by_hand(name: &IfName, says: &str) -> Problem {
    Problem::host_cant(format!("`{name}` is not as it is designed: {says}"))
        .on(name)
        .because("networks are made by hand here (network_design_mode=manual)")
        .hint("`chyves network plan` shows the commands")
}

fn shown(os: Os, intent: &Intent) -> String {
    intent.commands(os).iter().map(ToString::to_string).collect::<Vec<_>>().join(" && ")
}

fn by_hand_commands(os: Os, tap: &IfName, bridge: &IfName, mtu: u32) -> String {
    let make = Intent::MakeTap { tap: tap.clone(), owner: "by hand".into(), mtu, queues: 1 };
    let join = Intent::Join { bridge: bridge.clone(), member: tap.clone(), vlan: None };
    format!("make it: {} && {}", shown(os, &make), shown(os, &join))
}
