//! Assigns PCI addresses to all devices of a VM, and to one more.
//!
//! There are three rules: a stored address stays; a device without one gets the address derived from its key; and in a
//! conflict the new device gets another address. Functions of one physical slot of the host get the same virtual slot, each
//! with its own function number, because their drivers expect to find each other there.
//!
//! Not here: the address of a single key (`place`), and storing an address (a property, written by the planner).

#[cfg(test)]
mod tests;

use super::place::{DeviceKey, HOSTBRIDGE, LPC, PASSTHRU_SLOTS, PciPlace, choose};
use super::{HostPci, HostSlot};
use crate::error::{Problem, Result};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// A device that needs an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The key of the device.
    pub key: DeviceKey,
    /// Its stored address, from a property.
    pub kept: Option<PciPlace>,
    /// For passthrough: the host's device.
    pub host: Option<HostPci>,
}

impl Want {
    /// A device without a stored address.
    pub const fn new(key: DeviceKey) -> Self {
        Self { key, kept: None, host: None }
    }

    /// The same with its stored address, if there is one.
    #[must_use]
    pub const fn kept(mut self, place: Option<PciPlace>) -> Self {
        self.kept = place;
        self
    }

    /// The same as a device of the host.
    #[must_use]
    pub const fn of_host(mut self, host: HostPci) -> Self {
        self.host = Some(host);
        self
    }

    /// The address derived from its key or host device.
    fn own(&self) -> PciPlace {
        let Some(host) = self.host else { return self.key.preferred() };
        let (first, width) = (*PASSTHRU_SLOTS.start(), PASSTHRU_SLOTS.end() - PASSTHRU_SLOTS.start() + 1);
        PciPlace::on(first + host.slot.bus.wrapping_mul(32).wrapping_add(host.slot.slot) % width, host.function)
    }
}

/// A device's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The key of the device.
    pub key: DeviceKey,
    /// Its address.
    pub place: PciPlace,
    /// Whether the address is not derived from the key, so that it has to be stored as a property of the device.
    pub keep: bool,
}

/// Assigns an address to every device, in the order of the list.
///
/// # Errors
/// A device occurs twice; two stored addresses are equal; a stored address is reserved for the VM itself; a host device is
/// passed through twice; or there are more devices than addresses.
pub fn resolve(wants: &[Want]) -> Result<Vec<Placement>> {
    let mut board = Board::default();
    let mut found: BTreeMap<DeviceKey, PciPlace> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for want in wants {
        if !seen.insert(want.key) {
            return Err(Problem::bug(format!("`{}` wants two places", want.key)));
        }
        if let Some(place) = want.kept {
            board.keep(want, place)?;
            found.insert(want.key, place);
        }
    }
    // Devices keep their derived addresses before any other device is assigned one.
    for want in wants {
        if want.kept.is_none() && board.may_have_own(want) {
            board.put(want, want.own())?;
            found.insert(want.key, want.own());
        }
    }
    for want in wants {
        if let Entry::Vacant(vacant) = found.entry(want.key) {
            let place = board.find(want)?;
            board.put(want, place)?;
            vacant.insert(place);
        }
    }
    let placed = |want: &Want| found.get(&want.key).map(|&place| Placement { key: want.key, place, keep: place != want.own() });
    Ok(wants.iter().filter_map(placed).collect())
}

/// The address of an additional device; existing ones do not move.
///
/// # Errors
/// As [`resolve`].
pub fn add(there: &[Want], newcomer: Want) -> Result<Placement> {
    let mut board = Board::default();
    for (want, placement) in there.iter().zip(resolve(there)?) {
        board.put(want, placement.place)?;
    }
    let place = if let Some(place) = newcomer.kept {
        board.keep(&newcomer, place)?;
        place
    } else {
        let place = board.find(&newcomer)?;
        board.put(&newcomer, place)?;
        place
    };
    Ok(Placement { key: newcomer.key, place, keep: place != newcomer.own() })
}

/// The addresses of function 0 that need a filler, because a guest does not probe the other functions of a slot without it.
pub fn fillers(places: impl IntoIterator<Item = PciPlace>) -> BTreeSet<PciPlace> {
    let places: BTreeSet<PciPlace> = places.into_iter().collect();
    places.iter().map(|place| place.first_function()).filter(|first| !places.contains(first)).collect()
}

/// The addresses assigned so far.
#[derive(Default)]
struct Board {
    taken: BTreeMap<PciPlace, DeviceKey>,
    hosts: BTreeMap<HostPci, DeviceKey>,
    /// The virtual slots of the host's physical slots.
    groups: BTreeMap<HostSlot, u8>,
}

impl Board {
    /// Assigns a device its stored address.
    fn keep(&mut self, want: &Want, place: PciPlace) -> Result<()> {
        let owner = match place.first_function() {
            HOSTBRIDGE => "the host bridge's",
            LPC => "the LPC bridge's",
            _ => {
                self.host_is_free(want)?;
                return self.put(want, place);
            }
        };
        Err(Problem::usage(format!("`{}` cannot be placed at {place}: that slot is {owner}", want.key))
            .on(want.key)
            .hint("choose a slot from 4:0 to 30:7, or unset it"))
    }

    fn put(&mut self, want: &Want, place: PciPlace) -> Result<()> {
        if let Some(other) = self.taken.insert(place, want.key) {
            return Err(Problem::usage(format!("`{other}` and `{}` have the same PCI slot {place}", want.key))
                .on(want.key)
                .hint("unset the slot of one of the two, or choose another"));
        }
        if let Some(host) = want.host {
            self.hosts.insert(host, want.key);
            self.groups.entry(host.slot).or_insert(place.slot);
        }
        Ok(())
    }

    /// Refuses a host device that is passed through already.
    fn host_is_free(&self, want: &Want) -> Result<()> {
        match want.host.and_then(|host| Some((host, self.hosts.get(&host)?))) {
            Some((host, other)) if *other != want.key => {
                let device = super::HostDevice::Address(host);
                Err(Problem::usage(format!("`{other}` and `{}` are both the host's device {device}", want.key))
                    .on(want.key)
                    .hint("unset one of the two"))
            }
            _ => Ok(()),
        }
    }

    /// Whether an existing device can keep its derived address.
    fn may_have_own(&self, want: &Want) -> bool {
        let own = want.own();
        let group = want.host.is_none_or(|host| match self.groups.get(&host.slot) {
            Some(slot) => *slot == own.slot,
            None => !self.groups.values().any(|slot| *slot == own.slot),
        });
        group && !self.taken.contains_key(&own)
    }

    /// An address for a new device.
    fn find(&self, want: &Want) -> Result<PciPlace> {
        self.host_is_free(want)?;
        let taken: BTreeSet<PciPlace> = self.taken.keys().copied().collect();
        let Some(host) = want.host else {
            // Slots of host devices are avoided as long as there are others, for further functions of these devices.
            let whole = self.groups.values().flat_map(|slot| (0..8).map(|function| PciPlace::on(*slot, function)));
            let shunned: BTreeSet<PciPlace> = taken.iter().copied().chain(whole).collect();
            return choose(&shunned, want.key).or_else(|_| choose(&taken, want.key));
        };
        if let Some(slot) = self.groups.get(&host.slot) {
            let place = PciPlace::on(*slot, host.function);
            return match self.taken.get(&place) {
                None => Ok(place),
                Some(other) => Err(Problem::usage(format!("`{}` has to be at {place}, where `{other}` is", want.key))
                    .on(want.key)
                    .because("functions of one physical slot go into one virtual slot, at their own numbers")
                    .hint(format!("give `{other}` another place"))),
            };
        }
        if self.may_have_own(want) {
            return Ok(want.own());
        }
        // An empty slot, else the one with most free functions in which this function is free; never one of another
        // physical slot.
        let place = |slot: u8| PciPlace::on(slot, host.function);
        PASSTHRU_SLOTS
            .chain((4..=30).rev().filter(|slot| !PASSTHRU_SLOTS.contains(slot)))
            .filter(|slot| !taken.contains(&place(*slot)) && !self.groups.values().any(|other| other == slot))
            .min_by_key(|slot| taken.iter().filter(|p| p.bus == 0 && p.slot == *slot).count())
            .map(place)
            .ok_or_else(|| {
                Problem::usage(format!("no PCI slot is left for `{}`", want.key))
                    .on(want.key)
                    .because("functions of one physical slot of the host go into one virtual slot, at their own numbers")
                    .hint("put several disks on one AHCI controller, or remove a device")
            })
    }
}
