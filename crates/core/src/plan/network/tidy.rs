//! What goes with a machine: its taps, and the bridges and VLANs that a start made and that nothing is on any more. What
//! chyves did not make, or made to stay, is left.

use crate::network::{Actual, BridgeSpec, Design, IfKind, Interface, STARTED};
use crate::os::{Intent, taps};
use crate::value::IfName;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Plans to put away what a guest's machine leaves. Without a guest only what no guest is on.
pub fn tidy(design: &Design, actual: &Actual, guest: Option<Uuid>) -> Vec<Intent> {
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
    for (name, bridge) in &actual.interfaces {
        if bridge.kind == IfKind::Bridge && bridge.mark == STARTED && is_empty(design, actual, name, bridge, &gone) {
            intents.extend(remove(name));
            gone.insert(name);
        }
    }
    for (name, vlan) in &actual.interfaces {
        let used = vlan.bridge.as_deref().is_some_and(|b| !gone.contains(b)) || !vlan.addresses.is_empty();
        if vlan.kind == IfKind::Vlan && vlan.mark == STARTED && !used {
            intents.extend(remove(name));
        }
    }
    intents
}

fn remove(name: &str) -> Option<Intent> {
    Some(Intent::RemoveInterface { interface: name.parse().ok()?, owner: STARTED.to_owned() })
}

/// Whether nothing is on a bridge but its way out.
fn is_empty(design: &Design, actual: &Actual, name: &str, bridge: &Interface, gone: &BTreeSet<&str>) -> bool {
    let spec: Option<&BridgeSpec> = name.parse::<IfName>().ok().and_then(|n| design.get(&n));
    bridge.members.iter().filter(|m| !gone.contains(m.as_str())).all(|m| is_way_out(actual, spec, m))
}

/// Whether a member of a bridge is its designed uplink, or the VLAN of it.
pub(super) fn is_way_out(actual: &Actual, spec: Option<&BridgeSpec>, member: &str) -> bool {
    let Some((spec, uplink)) = spec.and_then(|s| Some((s, s.uplink.as_ref()?))) else { return false };
    match spec.vlan {
        None => member == uplink.as_str(),
        Some(tag) => actual.vlan_of(uplink.as_str(), tag) == Some(member),
    }
}

/// Whether an intent had its effect, so that there is something to take back. What was made under a name that nothing had
/// before, and bears nobody's mark, was made by the step that was cut off before it could write its own.
pub fn is_in_effect(actual: &Actual, intent: &Intent) -> bool {
    let seen = |name: &IfName| actual.get(name.as_str());
    let ours = |name: &IfName, kind: IfKind, owner: &str| {
        seen(name).is_some_and(|i| i.kind == kind && !(kind == IfKind::Tap && i.open) && (i.mark == owner || i.mark.is_empty()))
    };
    match intent {
        Intent::MakeTap { tap, owner, .. } => ours(tap, IfKind::Tap, owner),
        // Others may be on it by now: then it is theirs, and goes with the last of them.
        Intent::MakeBridge { bridge, owner, .. } => {
            ours(bridge, IfKind::Bridge, owner) && seen(bridge).is_some_and(|i| i.members.is_empty())
        }
        Intent::MakeVlan { vlan, owner, .. } => ours(vlan, IfKind::Vlan, owner) && seen(vlan).is_some_and(|i| i.bridge.is_none()),
        Intent::Join { bridge, member, .. } => {
            let last = seen(bridge).is_some_and(|b| b.members.len() == 1 || b.mark != STARTED);
            let way_out = seen(member).is_some_and(|m| m.kind != IfKind::Tap);
            seen(member).is_some_and(|m| m.bridge.as_deref() == Some(bridge.as_str())) && (last || !way_out)
        }
        Intent::Leave { bridge, member } => seen(bridge).is_some() && seen(member).is_some_and(|m| m.bridge.is_none()),
        Intent::SetMtu { interface, to, .. } => seen(interface).is_some_and(|i| i.mtu == *to),
        Intent::Describe { interface, to, .. } => seen(interface).is_some_and(|i| i.mark == *to),
        Intent::AddAddress { interface, address, .. } => seen(interface).is_some_and(|i| i.addresses.contains(address)),
        Intent::RemoveAddress { interface, address, .. } => seen(interface).is_some_and(|i| !i.addresses.contains(address)),
        // That a table is gone already is no harm; what can't be taken back is not asked for.
        Intent::LoadRules { .. } => true,
        Intent::LoadModule { .. }
        | Intent::RemoveTap { .. }
        | Intent::DestroyVm { .. }
        | Intent::RemoveInterface { .. }
        | Intent::SetUp { .. }
        | Intent::FilterVlans { .. }
        | Intent::Forward { .. }
        | Intent::DropRules { .. }
        | Intent::ServeNames { .. } => false,
    }
}
