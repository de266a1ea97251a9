//! A NIC's tap, existing or new, and its bridge membership.

use super::refuse::by_hand_commands;
use super::{Work, tap};
use crate::device::NicModel;
use crate::error::{Problem, Result};
use crate::guest::{Guest, NetSpec};
use crate::network::{IfKind, LINUX_PORTS, MOST_UNITS, Mode, Proof};
use crate::os::{Intent, Os, taps};
use crate::value::IfName;

impl Work<'_> {
    /// A NIC's tap, and its bridge membership if `plugged`.
    pub(super) fn tap(&mut self, guest: &Guest, net: &NetSpec, mtu: u32, plugged: bool) -> Result<()> {
        let tap = tap(guest, net)?;
        let owner = taps::token(guest.uuid, net.number);
        if !self.taps.insert(tap.clone()) {
            return Err(Problem::usage(format!("two NICs use the tap `{tap}`")).on(&guest.name).hint("give one of them another"));
        }
        let seen = self.room.actual.get(tap.as_str());
        let (mut joined, mut remarked) = (None, true);
        match seen {
            Some(other) if other.kind != IfKind::Tap => {
                return Err(Problem::host_cant(format!(
                    "`{tap}`, which net{} of `{}` uses, is {}",
                    net.number,
                    guest.name,
                    other.kind.words()
                ))
                .on(&tap)
                .hint(format!("`chyves set {} net{}.tap=tapN`", guest.name, net.number)));
            }
            Some(other) if other.open => {
                return Err(Problem::not_now(format!("the tap `{tap}`, which net{} of `{}` uses, is in use", net.number, guest.name))
                    .on(&tap)
                    .because(if other.mark.is_empty() {
                        "it is open in another process".to_owned()
                    } else {
                        format!("it is open in the process of {}", other.mark)
                    })
                    .hint("stop who uses it; `chyves reclaim` removes what dead VMs left"));
            }
            // Left by a dead VM of this guest, or the administrator's own tap, which was chosen by its name.
            Some(other) if other.mark == owner || net.tap.is_some() => {
                if taps::owner(&other.mark).is_some() && other.mark != owner {
                    return Err(Problem::not_now(format!("the tap `{tap}` is another guest's: {}", other.mark))
                        .on(&tap)
                        .hint("choose another"));
                }
                if !other.up {
                    self.done.intents.push(Intent::SetUp { interface: tap.clone(), uplink_of: None });
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
                    "the tap `{tap}`, which net{} of `{}` uses, is there, and nothing shows that it belongs to this guest",
                    net.number, guest.name
                ))
                .on(&tap)
                .hint(format!("if nothing uses it: {}", destroy.join("; "))));
            }
            None if self.room.design.mode == Mode::Manual => {
                return Err(Problem::host_cant(format!("there is no tap `{tap}` for net{} of `{}`", net.number, guest.name))
                    .on(&guest.name)
                    .because("networks are managed by hand on this host (network_mode=manual)")
                    .hint(by_hand_commands(self.host.os, &tap, &net.bridge, mtu))
                    .hint(format!("or name one that is there: `chyves set {} net{}.tap=tapN`", guest.name, net.number)));
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
                .hint("`chyves reclaim` removes what dead VMs left"));
        }
        let queues = if net.model == NicModel::VirtioNet { net.queues } else { 1 };
        self.done.intents.push(Intent::MakeTap { tap: tap.clone(), owner: owner.to_owned(), mtu, queues });
        Ok(())
    }

    /// Adds a tap to its bridge.
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
