//! Places for all devices of a machine, and for one more.
//!
//! Three rules make it: a place that was kept stays; a device without one has the place that follows from what it is;
//! and only a newcomer gives way. Functions of one physical slot of the host go into one virtual slot, each at its own
//! function number, because drivers of such devices look for each other there.
//!
//! Not here: the rule for a single key (`place`), and keeping a place (a property, written by the planner).

#[cfg(test)]
mod tests;

use super::place::{DeviceKey, HOSTBRIDGE, LPC, PASSTHRU_SLOTS, PciPlace, choose};
use super::{HostPci, HostSlot};
use crate::error::{Problem, Result};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// A device that wants a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Which device of the guest.
    pub key: DeviceKey,
    /// The place that was kept for it, as a property.
    pub kept: Option<PciPlace>,
    /// For passthrough: the host's device.
    pub host: Option<HostPci>,
}

impl Want {
    /// A device without a kept place.
    pub const fn new(key: DeviceKey) -> Self {
        Self { key, kept: None, host: None }
    }

    /// The same with the place that was kept for it, if one was.
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

    /// The place that follows from what it is.
    fn own(&self) -> PciPlace {
        let Some(host) = self.host else { return self.key.preferred() };
        let (first, width) = (*PASSTHRU_SLOTS.start(), PASSTHRU_SLOTS.end() - PASSTHRU_SLOTS.start() + 1);
        PciPlace::on(first + host.slot.bus.wrapping_mul(32).wrapping_add(host.slot.slot) % width, host.function)
    }
}

/// Where a device sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Which device.
    pub key: DeviceKey,
    /// Its place.
    pub place: PciPlace,
    /// Whether the place does not follow from the key, so that it has to be kept as a property of the device.
    pub keep: bool,
}

/// Gives every device its place, in the order in which they were asked for.
///
/// # Errors
/// A device occurs twice; two kept places are the same; a kept place belongs to the machine itself; the host's device
/// is wanted twice; more devices than places.
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
    // Whoever is in its own place stays there, before anybody else may look for one.
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

/// A place for one device more, while those that are there stay.
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

/// The places of function 0 that have to be filled, since a guest looks at no other function of a slot without it.
pub fn fillers(places: impl IntoIterator<Item = PciPlace>) -> BTreeSet<PciPlace> {
    let places: BTreeSet<PciPlace> = places.into_iter().collect();
    places.iter().map(|place| place.first_function()).filter(|first| !places.contains(first)).collect()
}

/// The places as far as they are given.
#[derive(Default)]
struct Board {
    taken: BTreeMap<PciPlace, DeviceKey>,
    hosts: BTreeMap<HostPci, DeviceKey>,
    /// The virtual slots of the host's slots.
    groups: BTreeMap<HostSlot, u8>,
}

impl Board {
    /// Puts a device where it was kept.
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

    /// Refuses the host's device if it is given already.
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

    /// Whether a device that was there before may stay in its own place.
    fn may_have_own(&self, want: &Want) -> bool {
        let own = want.own();
        let group = want.host.is_none_or(|host| match self.groups.get(&host.slot) {
            Some(slot) => *slot == own.slot,
            None => !self.groups.values().any(|slot| *slot == own.slot),
        });
        group && !self.taken.contains_key(&own)
    }

    /// A place for a newcomer.
    fn find(&self, want: &Want) -> Result<PciPlace> {
        self.host_is_free(want)?;
        let taken: BTreeSet<PciPlace> = self.taken.keys().copied().collect();
        let Some(host) = want.host else {
            // Slots of the host's devices are left alone as long as there are others, for functions yet to come.
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
        // An empty slot, else the emptiest in which the function is free; never another physical slot's.
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
