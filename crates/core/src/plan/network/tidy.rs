//! Removes what a VM leaves in the network: its taps, and the bridges and VLANs that a start created and that nothing uses
//! any more. Interfaces that chyves did not create, or that a command created permanently, are kept.

use crate::network::{Actual, BridgeSpec, Design, IfKind, Interface, STARTED, nat};
use crate::os::{Intent, Os, taps};
use crate::value::{Cidr, IfName};
use std::collections::BTreeSet;
use uuid::Uuid;

/// An existing interface that a start added to an existing bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The bridge.
    pub bridge: String,
    /// Its member.
    pub member: String,
    /// The guest if the member is a tap; `None` for an uplink.
    pub guest: Option<Uuid>,
}

/// Plans to remove what a guest's VM leaves. Without a guest, only what no guest uses is removed. `joined` are the existing
/// uplinks and taps that starts added to existing bridges.
pub fn tidy(design: &Design, actual: &Actual, guest: Option<Uuid>, joined: &[Joined]) -> Vec<Intent> {
    let mut intents = Vec::new();
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    for (name, interface) in &actual.interfaces {
        let of_guest = guest.is_some() && taps::owner(&interface.mark) == guest;
        if interface.kind == IfKind::Tap
            && of_guest
            && !interface.open
            && let Ok(tap) = name.parse()
        {
            intents.push(Intent::RemoveTap { tap, owner: interface.mark.clone() });
            gone.insert(name);
        }
    }
    // First taps of the guest that existed before, then uplinks of bridges that no guest uses any more.
    for taps in [true, false] {
        for Joined { bridge, member, guest: of } in joined {
            let Some(seen) = actual.get(bridge).filter(|b| b.members.contains(member)) else { continue };
            let Some(inside) = actual.get(member) else { continue };
            let others = |m: &String| !gone.contains(m.as_str()) && actual.get(m).is_some_and(|i| i.kind == IfKind::Tap);
            let due = match of {
                Some(_) => taps && *of == guest && !inside.open,
                None => !taps && !seen.members.iter().any(others),
            };
            if let (true, Ok(bridge), Ok(name)) = (due, bridge.parse(), member.parse()) {
                intents.push(Intent::Leave { bridge, member: name, vlan: None });
                gone.insert(member);
            }
        }
    }
    let mut removed = Vec::new();
    for (name, bridge) in &actual.interfaces {
        if bridge.kind == IfKind::Bridge && bridge.mark == STARTED && is_empty(design, actual, name, bridge, &gone) {
            // Addresses of its uplink are moved back first.
            // A bridge whose uplink is gone keeps the addresses that the uplink had: no other interface has them.
            if actual.to_give_back(name).is_none() && !actual.kept_for(name).is_empty() {
                continue;
            }
            let back = actual.to_give_back(name).zip(name.parse::<IfName>().ok());
            let back = back.map(|(moved, bridge)| (actual.giving_back(&bridge, &moved), moved, bridge));
            if back.as_ref().is_some_and(|((take, give), ..)| actual.can_move(Os::Linux, [take, give]).is_err()) {
                // The host keeps a bridge with a route that could not be restored; `network delete` reports the reason.
                continue;
            }
            gone.insert(name);
            if let Some(((take, give), moved, bridge)) = back {
                removed.extend([take, actual.leave(&bridge, &moved.from), give]);
            }
            removed.extend(remove(actual, name));
        }
    }
    for (name, node) in actual.interfaces.iter().filter(|(_, i)| i.kind == IfKind::Netgraph && i.mark == STARTED) {
        if actual.claimed(name, guest) || !is_empty(design, actual, name, node, &gone) {
            continue;
        }
        let Ok(bridge) = name.parse::<IfName>() else { continue };
        gone.insert(name);
        let wires = node.members.iter().filter_map(|m| m.parse().ok());
        removed.extend(wires.map(|member| actual.leave(&bridge, &member)));
        removed.extend(remove(actual, name));
    }
    // Services are stopped with their bridge; those that a start started for a permanent bridge are stopped with its last
    // guest.
    for (name, service) in &actual.services {
        let guest = |m: &String| !gone.contains(m.as_str()) && actual.get(m).is_some_and(|i| i.kind == IfKind::Tap);
        let left = service.mark == STARTED && !actual.get(name).is_some_and(|b| b.members.iter().any(guest));
        let (true, Ok(bridge)) = (left || gone.contains(name.as_str()), name.parse::<IfName>()) else { continue };
        if service.names.is_some() {
            intents.push(Intent::StopDhcp { file: format!("{}/{}", service.folder, nat::NAMES) });
        }
        if service.rules.is_some() {
            intents.push(Intent::DropRules { file: format!("{}/{}", service.folder, nat::RULES), table: nat::table(&bridge) });
        }
    }
    intents.extend(removed);
    for (name, out) in &actual.interfaces {
        if out.mark == STARTED && actual.is_free(name, &gone) {
            intents.extend(remove(actual, name));
        }
    }
    let lowered = lowered(actual, &intents);
    intents.extend(lowered);
    intents
}

/// Uplinks that were down before a start brought them up, and that these steps release from their last bridge or VLAN.
fn lowered(actual: &Actual, intents: &[Intent]) -> Vec<Intent> {
    let after = actual.after(intents);
    let had: Vec<Cidr> = actual.moved.values().flat_map(|moved| moved.addresses.iter().map(|a| a.address)).collect();
    let is_parent = |name: &str| actual.interfaces.values().any(|i| i.vlan.as_ref().is_some_and(|(parent, _)| parent == name));
    let was_used = |name: &str| actual.get(name).is_some_and(|i| i.bridge.is_some()) || is_parent(name);
    let uplinks = actual.raised.iter().filter(|name| was_used(name)).filter_map(|name| name.parse::<IfName>().ok());
    uplinks.filter_map(|uplink| after.lowering(&uplink, &had)).collect()
}

/// Removing the interface removes its addresses too.
fn remove(actual: &Actual, name: &str) -> Option<Intent> {
    actual.removal(&name.parse().ok()?).pop()
}

/// Whether a bridge has no members besides its uplink.
fn is_empty(design: &Design, actual: &Actual, name: &str, bridge: &Interface, gone: &BTreeSet<&str>) -> bool {
    let spec: Option<&BridgeSpec> = name.parse::<IfName>().ok().and_then(|n| design.get(&n));
    bridge.members.iter().filter(|m| !gone.contains(m.as_str())).all(|m| is_way_out(actual, spec, m))
}

/// Whether a member of a bridge is its designed uplink, or a VLAN of it.
pub(super) fn is_way_out(actual: &Actual, spec: Option<&BridgeSpec>, member: &str) -> bool {
    let Some((spec, uplink)) = spec.and_then(|s| Some((s, s.uplink.as_ref()?))) else { return false };
    match spec.vlan {
        None => member == uplink.as_str(),
        Some(tag) => actual.vlan_of(uplink.as_str(), tag) == Some(member),
    }
}

/// Whether an intent took effect, so that there is something to undo. An interface with a name that did not exist before
/// and with no mark was created by the step, which was interrupted before it could set the mark.
pub fn is_in_effect(actual: &Actual, intent: &Intent) -> bool {
    let seen = |name: &IfName| actual.get(name.as_str());
    let ours = |name: &IfName, kind: IfKind, owner: &str| {
        seen(name).is_some_and(|i| i.kind == kind && !(kind == IfKind::Tap && i.open) && (i.mark == owner || i.mark.is_empty()))
    };
    match intent {
        Intent::MakeTap { tap, owner, .. } => ours(tap, IfKind::Tap, owner),
        // A bridge with members may be used by other guests by now; it is removed with the last of them.
        Intent::MakeBridge { bridge, owner, .. } => {
            ours(bridge, IfKind::Bridge, owner) && seen(bridge).is_some_and(|i| i.members.is_empty())
        }
        Intent::MakeVlan { vlan, owner, .. } => ours(vlan, IfKind::Vlan, owner) && seen(vlan).is_some_and(|i| i.bridge.is_none()),
        Intent::MakeNode { node, owner } => {
            ours(node, IfKind::Netgraph, owner) && seen(node).is_some_and(|i| i.members.is_empty()) && !actual.claimed(node.as_str(), None)
        }
        Intent::RemoveNode { node, .. } => seen(node).is_none(),
        Intent::MarkNode { node, to, .. } => seen(node).is_some_and(|i| i.mark == *to),
        Intent::Join { bridge, member, .. } | Intent::Wire { node: bridge, interface: member, .. } => {
            let claimed = actual.claimed(bridge.as_str(), None);
            let last = seen(bridge).is_some_and(|b| b.members.len() == 1 && !claimed || b.mark != STARTED);
            let way_out = seen(member).is_some_and(|m| m.kind != IfKind::Tap);
            seen(member).is_some_and(|m| m.bridge.as_deref() == Some(bridge.as_str())) && (last || !way_out)
        }
        Intent::Leave { bridge, member, .. } | Intent::Unwire { node: bridge, interface: member, .. } => {
            seen(bridge).is_some() && seen(member).is_some_and(|m| m.bridge.is_none())
        }
        Intent::SetMtu { interface, to, .. } => seen(interface).is_some_and(|i| i.mtu == *to),
        Intent::Describe { interface, to, .. } => seen(interface).is_some_and(|i| i.mark == *to),
        Intent::AddAddress { interface, address, .. } => seen(interface).is_some_and(|i| i.addresses.contains(address)),
        Intent::RemoveAddress { interface, address, .. } => seen(interface).is_some_and(|i| !i.addresses.contains(address)),
        // It may have taken effect in part.
        Intent::SetAddresses { interface, before, .. } => {
            seen(interface).is_some_and(|i| i.addresses.iter().ne(before.iter().map(|a| &a.address)))
        }
        Intent::LoadRules { table, .. } => loaded(actual, table),
        Intent::DropRules { table, .. } => !loaded(actual, table),
        Intent::StartDhcp { file } => served(actual, file),
        Intent::StopDhcp { file } => !served(actual, file),
        // Restoring it requires the bridge or parent interface that it was on.
        Intent::RemoveBridge { bridge, .. } => seen(bridge).is_none(),
        Intent::MakePair { end, owner } => ours(end, IfKind::Pair, owner) && seen(end).is_some_and(|i| i.bridge.is_none()),
        Intent::RemovePair { end, .. } => seen(end).is_none(),
        Intent::RemoveVlan { vlan, parent, .. } => seen(vlan).is_none() && seen(parent).is_some(),
        Intent::SetUp { interface, uplink_of: Some(_) } => seen(interface).is_some_and(|i| i.up),
        Intent::SetDown { interface } => seen(interface).is_some_and(|i| !i.up),
        Intent::LoadModule { .. }
        | Intent::RemoveTap { .. }
        | Intent::DestroyVm { .. }
        | Intent::RemoveJail { .. }
        | Intent::SetUp { uplink_of: None, .. }
        | Intent::FilterVlans { .. }
        | Intent::Forward { .. } => false,
    }
}

fn loaded(actual: &Actual, table: &str) -> bool {
    let is = |name: &String| name.parse().is_ok_and(|bridge| nat::table(&bridge) == *table);
    actual.services.iter().any(|(name, s)| s.rules.is_some() && is(name))
}

fn served(actual: &Actual, file: &str) -> bool {
    actual.services.values().any(|s| s.names.is_some() && format!("{}/{}", s.folder, nat::NAMES) == *file)
}
