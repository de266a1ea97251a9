//! The NICs of guests that are about to run: creates the bridges and taps that they need and adds the taps to the bridges.
//! What exists already is left unchanged.
//!
//! * `cable`: a NIC's tap and its bridge membership
//! * `refuse`: the errors
//!
//! Not here: commands that change bridges ([`super::bridge`]), cleaning up after a VM ([`super::tidy`]).

mod cable;
mod refuse;

use super::Facts;
use super::services::{self, Bringing};
use crate::action::Action;
use crate::device::GraphHook;
use crate::error::{Problem, Result};
use crate::guest::{Backend, Guest, NetSpec, Spec, backend};
use crate::network::address::Moved;
use crate::network::compare::{self, Close, Difference, Room};
use crate::network::{Actual, BridgeSpec, Mode, Proof, STARTED, nat};
use crate::os::{HostFacts, Intent, netgraph};
use crate::plan::machine::tap_name;
use crate::plan::network::bridge::networks;
use crate::value::{GuestName, IfName};
use refuse::by_hand;
pub(super) use refuse::nowhere;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What has to be done for NICs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attached {
    /// Steps before the intents: packet filter rules, and folders for files.
    pub first: Vec<Action>,
    /// The changes of interfaces, in order.
    pub intents: Vec<Intent>,
    /// Steps after the intents: servers that require their bridge.
    pub last: Vec<Action>,
    /// Conditions to check afterwards.
    pub proofs: Vec<Proof>,
    /// Remarks for the user, such as a NIC with its link down.
    pub notes: Vec<String>,
    /// Existing interfaces that are added to existing bridges: the bridge, its new member, and the guest if the member is a
    /// tap.
    pub joined: Vec<(IfName, IfName, Option<Uuid>)>,
    /// Changes that commands make to bridges of others: the bridge, the member, and whether it is added or removed. Only
    /// such members may be removed later.
    pub put: Vec<(IfName, IfName, bool)>,
    /// Records of addresses that were moved from uplinks to bridges: the bridge and the record; `None` if they were moved
    /// back.
    pub moved: Vec<(IfName, Option<Moved>)>,
    /// Records of uplinks that were down: the interface, and whether it is an uplink now.
    pub raised: Vec<(IfName, bool)>,
    /// Guests that will use netgraph nodes: the node, the guest's UUID and its name.
    pub claims: Vec<(IfName, Uuid, GuestName)>,
}

impl Attached {
    /// The steps of a plan, the proof last. What has to be undone with the last guest, and cannot be derived from the
    /// interfaces, is recorded in the runtime folder first.
    pub fn steps(mut self, run_dir: &str) -> Vec<Action> {
        let mut steps = self.first;
        if !self.joined.is_empty() {
            steps.push(Action::MakeFolder { path: format!("{run_dir}/network").into() });
            steps.push(Action::MakeFolder { path: joined_folder(run_dir).into() });
        }
        for (bridge, member, guest) in self.joined {
            let path = format!("{}/{bridge}+{member}", joined_folder(run_dir));
            let text = guest.map_or_else(|| "uplink\n".to_owned(), |guest| format!("{guest}\n"));
            steps.push(Action::WriteFile { path: path.into(), text });
        }
        if !self.put.is_empty() {
            steps.push(Action::MakeFolder { path: format!("{run_dir}/network").into() });
            steps.push(Action::MakeFolder { path: put_folder(run_dir).into() });
        }
        for (bridge, member, is_in) in std::mem::take(&mut self.put) {
            let text = if is_in { "uplink\n" } else { "" };
            steps.push(Action::WriteFile { path: format!("{}/{bridge}+{member}", put_folder(run_dir)).into(), text: text.into() });
        }
        self.moved.extend(moved(&self.intents));
        if !self.moved.is_empty() {
            steps.push(Action::MakeFolder { path: format!("{run_dir}/network").into() });
            steps.push(Action::MakeFolder { path: moved_folder(run_dir).into() });
        }
        for (bridge, moved) in self.moved {
            // An empty file states that no addresses have to be moved back.
            let text = moved.and_then(|m| serde_json::to_string(&m).ok()).unwrap_or_default();
            steps.push(Action::WriteFile { path: format!("{}/{bridge}", moved_folder(run_dir)).into(), text });
        }
        let raised = self.intents.iter().filter_map(|intent| {
            if let Intent::SetUp { interface, uplink_of: Some(_) } = intent {
                return Some((interface.clone(), true));
            }
            if let Intent::SetDown { interface } = intent { Some((interface.clone(), false)) } else { None }
        });
        self.raised.extend(raised.collect::<Vec<_>>());
        if !self.raised.is_empty() {
            steps.push(Action::MakeFolder { path: format!("{run_dir}/network").into() });
            steps.push(Action::MakeFolder { path: raised_folder(run_dir).into() });
        }
        for (interface, is_up) in std::mem::take(&mut self.raised) {
            let text = if is_up { "down\n" } else { "" };
            steps.push(Action::WriteFile { path: format!("{}/{interface}", raised_folder(run_dir)).into(), text: text.into() });
        }
        if !self.claims.is_empty() || self.intents.iter().any(Intent::is_of_netgraph) {
            steps.push(Action::MakeFolder { path: format!("{run_dir}/network").into() });
            steps.push(Action::MakeFolder { path: nodes_folder(run_dir).into() });
        }
        steps.extend(self.intents.into_iter().map(Action::Host));
        // Rolled back before the node that the guest uses.
        for (node, guest, name) in self.claims {
            steps.push(Action::WriteFile { path: format!("{}/{node}+{guest}", nodes_folder(run_dir)).into(), text: format!("{name}\n") });
        }
        steps.extend(self.last);
        if !steps.is_empty() && !self.proofs.is_empty() {
            steps.push(Action::ProveNetwork { proofs: self.proofs });
        }
        steps
    }
}

/// The folder that records what starts added to existing bridges, one file for each member.
pub fn joined_folder(run_dir: &str) -> String {
    format!("{run_dir}/network/joined")
}

/// The folder that records what commands added to bridges of others, one file for each member; empty if it was removed
/// again.
pub fn put_folder(run_dir: &str) -> String {
    format!("{run_dir}/network/put")
}

/// What the intents add to, or remove from, bridges of others.
pub(super) fn put(actual: &Actual, intents: &[Intent]) -> Vec<(IfName, IfName, bool)> {
    let of_others = |bridge: &IfName| actual.get(bridge.as_str()).is_some_and(|b| !crate::network::is_ours(&b.mark));
    let one = |intent: &Intent| {
        let Intent::Join { bridge, member, .. } = intent else { return None };
        of_others(bridge).then(|| (bridge.clone(), member.clone(), true))
    };
    intents.iter().filter_map(one).collect()
}

/// The folder that records the uplinks that were down before, one file for each interface; empty if it is no uplink any
/// more.
pub fn raised_folder(run_dir: &str) -> String {
    format!("{run_dir}/network/raised")
}

/// The folder that records the addresses that bridges took over from their uplinks, one file for each bridge.
pub fn moved_folder(run_dir: &str) -> String {
    format!("{run_dir}/network/moved")
}

/// The addresses that the intents move from uplinks to bridges.
fn moved(intents: &[Intent]) -> Vec<(IfName, Option<Moved>)> {
    let taken = |member: &IfName| {
        intents.iter().find_map(|intent| {
            let Intent::SetAddresses { interface, before, after, routes_before, .. } = intent else { return None };
            let leaves = interface == member && after.is_empty() && !before.is_empty();
            leaves.then(|| Moved { from: member.clone(), addresses: before.clone(), routes: routes_before.clone() })
        })
    };
    let joined = intents.iter().filter_map(|intent| {
        let Intent::Join { bridge, member, .. } = intent else { return None };
        Some((bridge.clone(), Some(taken(member)?)))
    });
    joined.collect()
}

/// The folder that records facts about netgraph nodes, one file for each.
pub fn nodes_folder(run_dir: &str) -> String {
    format!("{run_dir}/network/{}", netgraph::FOLDER)
}

/// The tap of a NIC: the chosen one, or the one derived from the guest's UUID.
pub fn tap(guest: &Guest, net: &NetSpec) -> Result<IfName> {
    net.tap.clone().map_or_else(|| tap_name(guest.uuid, net.number), Ok)
}

/// Plans the networks of guests.
///
/// # Errors
/// Everything that keeps a NIC from its network, unless the NIC is optional.
pub fn attach(host: &HostFacts, facts: &Facts, guests: &[(&Guest, &Spec)]) -> Result<Attached> {
    let room = Room { os: host.os, release: host.release, design: &facts.design, actual: &facts.actual, mark: STARTED };
    let mut work = Work { room, host, bridges: BTreeMap::new(), taps: BTreeSet::new(), done: Attached::default(), made: 0 };
    let mut problems = Vec::new();
    for (guest, spec) in guests {
        for net in &spec.nets {
            let done = match backend(net, host.vmm) {
                Backend::Bridge => work.nic(guest, net),
                Backend::Netgraph => work.hook(guest, net),
                Backend::Auto | Backend::User | Backend::Vale => Ok(()),
            };
            problems.extend(done.err());
        }
        for bridge in networks(spec, host).collect::<BTreeSet<_>>() {
            let missing = facts.design.get(&bridge).and_then(|spec| nat::no_way_out(&facts.actual, spec));
            work.done.notes.extend(missing.map(|problem| nat::note(&bridge, &problem)));
        }
    }
    match (problems.is_empty(), guests) {
        (true, _) => Ok(work.done),
        (false, [(guest, _)]) => Err(crate::plan::machine::together(guest, problems)),
        (false, _) => Err(problems.remove(0)),
    }
}

/// The state of a bridge in the plan so far.
#[derive(Debug, Clone)]
struct Ready {
    /// The reason why NICs cannot be attached, if there is one.
    refused: Option<Problem>,
    /// Its MTU.
    mtu: u32,
    /// Whether it will filter VLANs.
    filters: bool,
    /// The number of members that it will have by then.
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
    /// Adds the steps that start a bridge's services.
    pub fn bring(&mut self, bringing: Bringing) {
        self.first.extend(bringing.first);
        self.last.extend(bringing.last);
        self.proofs.extend(bringing.proofs);
    }
}

impl Work<'_> {
    fn nic(&mut self, guest: &Guest, net: &NetSpec) -> Result<()> {
        let nic = format!("net{}", net.number);
        if self.room.design.get(&net.bridge).is_some_and(|b| b.netgraph) {
            return Err(refuse::no_tap(&net.bridge, guest, &nic));
        }
        let Ready { refused, mtu, filters, .. } = self.bridge(&net.bridge, guest, &nic)?.clone();
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
                self.done.notes.push(format!("{nic} of {name} has no link: {problem}; it is optional, so {name} starts without it"));
                self.tap(guest, net, mtu, false)
            }
            Some(problem) => Err(problem
                .within(format!("{nic} of `{}` cannot be attached to `{}`", guest.name, net.bridge))
                .hint(format!("or make it optional: `chyves set {} {nic}.optional=yes`", guest.name))),
        }
    }

    /// A NIC on a netgraph node: a designed node is prepared and claimed for the guest. bhyve creates the NIC's own end.
    /// Whether any other node exists was checked before.
    fn hook(&mut self, guest: &Guest, net: &NetSpec) -> Result<()> {
        let Some(path) = net.netgraph.as_ref().and_then(|text| text.parse::<GraphHook>().ok()).map(|hook| hook.path) else {
            return Ok(());
        };
        let (nic, word) = (format!("net{}", net.number), path.trim_end_matches(':'));
        let Some(spec) = self.room.design.bridges().find(|b| b.name.as_str() == word) else { return Ok(()) };
        let name = spec.name.clone();
        if !spec.netgraph {
            return Err(refuse::no_node(&name, guest, &nic));
        }
        match self.bridge(&name, guest, &nic)?.refused.clone() {
            None => {}
            Some(problem) => return Err(problem.within(format!("{nic} of `{}` cannot be attached to `{name}`", guest.name))),
        }
        if !self.done.proofs.iter().any(|p| matches!(p, Proof::IsNode { node, .. } if *node == name)) {
            self.done.proofs.push(Proof::IsNode { node: name.clone(), mark: None });
        }
        self.done.claims.push((name, guest.uuid, guest.name.clone()));
        Ok(())
    }

    fn too_large(guest: &Guest, net: &NetSpec, mtu: u32) -> Option<Problem> {
        let wanted = net.mtu.filter(|m| *m > mtu)?;
        let Guest { name, .. } = guest;
        Some(
            Problem::host_cant(format!("`{}` has an MTU of {mtu} and not {wanted}", net.bridge))
                .hint(format!("`chyves set {name} net{}.mtu={mtu}`, or `chyves network {} set mtu={wanted}`", net.number, net.bridge)),
        )
    }

    /// Prepares a bridge, once.
    fn bridge(&mut self, name: &IfName, guest: &Guest, nic: &str) -> Result<&Ready> {
        if !self.bridges.contains_key(name) {
            let ready = self.make_ready(name, guest, nic);
            self.bridges.insert(name.clone(), ready);
        }
        self.bridges.get(name).ok_or_else(|| Problem::bug("a bridge is not known").on(name))
    }

    fn make_ready(&mut self, name: &IfName, guest: &Guest, nic: &str) -> Ready {
        let (design, actual) = (self.room.design, self.room.actual);
        let there = actual.get(name.as_str());
        let unknown = BridgeSpec::new(0, name.clone());
        let spec = design.get(name).unwrap_or(&unknown);
        let members = there.map_or(0, |b| b.members.len()) + usize::from(spec.uplink.is_some());
        let mut ready =
            Ready { refused: None, mtu: self.room.mtu(spec), filters: spec.filtering || there.is_some_and(|b| b.filters), members };
        if let Some(fault) = design.fault(name) {
            ready.refused = Some(fault.clone());
            return ready;
        }
        if there.is_none() && !spec.is_decided() {
            ready.refused = Some(nowhere(&self.room, name, guest, nic));
            return ready;
        }
        let mut intents = Vec::new();
        for Difference { says, close, .. } in compare::bridge(&self.room, spec) {
            match close {
                Close::By(_) if design.mode == Mode::Manual => {
                    let problem = by_hand(name, &says);
                    // The complete list of commands, for the user to type.
                    ready.refused = Some(if spec.netgraph { problem.hint(refuse::by_typing(&self.room, spec)) } else { problem });
                }
                Close::By(more) => {
                    for intent in &more {
                        self.done.proofs.extend(proof(intent));
                    }
                    intents.extend(more);
                }
                Close::Cant(problem) => ready.refused = Some(*problem),
            }
            if ready.refused.is_some() {
                // If a bridge cannot be completed, none of its steps is planned.
                return ready;
            }
        }
        if let Err(problem) = actual.can_move(self.host.os, &intents) {
            ready.refused = Some(problem);
            return ready;
        }
        let touched = compare::touched(actual, &intents.iter().collect::<Vec<_>>());
        if !touched.is_empty() {
            ready.refused = Some(
                Problem::not_now(format!("{}, and would be changed", touched.join(", ")))
                    .hint(format!("do that once, attended: `chyves network apply {name} --yes --confirm 60`")),
            );
            return ready;
        }
        let bringing = services::bring(self.host, spec, actual, STARTED);
        if design.mode == Mode::Manual && !bringing.says.is_empty() {
            ready.refused = Some(by_hand(name, &bringing.says.join(", ")));
            return ready;
        }
        self.done.bring(bringing);
        if !intents.is_empty() && !spec.netgraph {
            self.done.proofs.push(Proof::IsUp { interface: name.clone() });
        }
        if there.is_some_and(|b| !crate::network::is_ours(&b.mark)) {
            let joined = intents.iter().filter_map(|i| {
                let Intent::Join { bridge, member, .. } = i else { return None };
                Some((bridge.clone(), member.clone(), None))
            });
            self.done.joined.extend(joined);
        }
        self.done.intents.extend(intents);
        ready
    }
}

/// The condition that proves that an intent took effect.
pub(super) fn proof(intent: &Intent) -> Option<Proof> {
    Some(match intent {
        Intent::Join { bridge, member, .. } => Proof::IsIn { bridge: bridge.clone(), member: member.clone() },
        Intent::Leave { bridge, member, .. } => Proof::IsOut { bridge: bridge.clone(), member: member.clone() },
        Intent::Wire { node, interface, .. } => Proof::IsOn { node: node.clone(), interface: interface.clone() },
        Intent::Unwire { node, interface, .. } => Proof::IsOff { node: node.clone(), interface: interface.clone() },
        Intent::MakeNode { node, owner: mark } | Intent::MarkNode { node, to: mark, .. } => {
            Proof::IsNode { node: node.clone(), mark: Some(mark.clone()) }
        }
        Intent::RemoveNode { node, .. } => Proof::IsNoNode { node: node.clone() },
        Intent::SetUp { interface, .. } => Proof::IsUp { interface: interface.clone() },
        Intent::SetAddresses { interface, after, .. } if !after.is_empty() => {
            Proof::HasAddress { interface: interface.clone(), address: after[after.len() - 1].address }
        }
        Intent::AddAddress { interface, address, .. } => Proof::HasAddress { interface: interface.clone(), address: *address },
        Intent::MakeBridge { bridge: interface, owner, .. }
        | Intent::MakeVlan { vlan: interface, owner, .. }
        | Intent::MakePair { end: interface, owner } => Proof::IsMarked { interface: interface.clone(), mark: owner.clone() },
        Intent::LoadModule { .. }
        | Intent::MakeTap { .. }
        | Intent::RemoveTap { .. }
        | Intent::DestroyVm { .. }
        | Intent::RemoveJail { .. }
        | Intent::RemoveBridge { .. }
        | Intent::RemoveVlan { .. }
        | Intent::RemovePair { .. }
        | Intent::Describe { .. }
        | Intent::SetDown { .. }
        | Intent::SetMtu { .. }
        | Intent::RemoveAddress { .. }
        | Intent::SetAddresses { .. }
        | Intent::FilterVlans { .. }
        | Intent::Forward { .. }
        | Intent::LoadRules { .. }
        | Intent::DropRules { .. }
        | Intent::StartDhcp { .. }
        | Intent::StopDhcp { .. } => return None,
    })
}
