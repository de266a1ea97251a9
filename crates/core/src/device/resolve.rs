//! Places for all devices of a machine, and for one more.
//!
//! Three rules make it: a place that was kept stays; a device without one has the place that follows from what it is;
//! and only a newcomer gives way. Functions of one physical slot of the host go into one virtual slot, each at its own
//! function number, because drivers of such devices look for each other there.
//!
//! Not here: the rule for a single key (`place`), and keeping a place (a property, written by the planner).

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
        Err(Problem::usage(format!("`{}` can't sit at {place}: that slot is {owner}", want.key))
            .on(want.key)
            .hint("choose a place from 4:0 to 30:7, or unset it"))
    }

    fn put(&mut self, want: &Want, place: PciPlace) -> Result<()> {
        if let Some(other) = self.taken.insert(place, want.key) {
            return Err(Problem::usage(format!("`{other}` and `{}` have the same PCI place {place}", want.key))
                .on(want.key)
                .hint("unset the place of one of the two, or give it another one"));
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
                Some(other) => Err(Problem::usage(format!("`{}` has to sit at {place}, where `{other}` is", want.key))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceClass;
    use proptest::prelude::*;

    fn disk(n: u32) -> Want {
        Want::new(DeviceKey::new(DeviceClass::Disk, n))
    }

    fn passthru(n: u32, bus: u8, slot: u8, function: u8) -> Want {
        Want::new(DeviceKey::new(DeviceClass::PciDev, n)).of_host(HostPci { slot: HostSlot { bus, slot }, function })
    }

    fn places(wants: &[Want]) -> Vec<String> {
        resolve(wants).unwrap().iter().map(|p| p.place.to_string()).collect()
    }

    #[test]
    fn a_kept_place_wins_over_a_preferred_one() {
        let wants = [disk(0), disk(1).kept(Some(PciPlace::on(4, 0)))];
        let placed = resolve(&wants).unwrap();
        assert_eq!(placed[1].place, PciPlace::on(4, 0));
        assert_eq!(placed[0].place, PciPlace::on(5, 0));
        assert!(placed[0].keep && placed[1].keep);
    }

    #[test]
    fn a_double_place_is_named() {
        let wants = [disk(0).kept(Some(PciPlace::on(9, 0))), disk(1).kept(Some(PciPlace::on(9, 0)))];
        assert_eq!(resolve(&wants).unwrap_err().message, "`disk0` and `disk1` have the same PCI place 9:0");
        let wants = [disk(0).kept(Some(PciPlace::on(31, 2)))];
        assert_eq!(resolve(&wants).unwrap_err().message, "`disk0` can't sit at 31:2: that slot is the LPC bridge's");
    }

    #[test]
    fn functions_of_one_physical_slot_stay_together() {
        let wants = [passthru(1, 2, 0, 0), passthru(2, 2, 0, 1), passthru(3, 6, 5, 2)];
        assert_eq!(places(&wants), ["22:0", "22:1", "23:2"]);
        assert_eq!(fillers(resolve(&wants).unwrap().iter().map(|p| p.place)), BTreeSet::from([PciPlace::on(23, 0)]));
        // Two physical slots that would have the same virtual one: the newcomer goes elsewhere and keeps that.
        let first = passthru(1, 2, 0, 0);
        let newcomer = add(&[first], passthru(2, 3, 0, 0)).unwrap();
        assert_eq!((newcomer.place, newcomer.keep), (PciPlace::on(23, 0), true));
        let second = passthru(2, 3, 0, 0).kept(Some(newcomer.place));
        let third = add(&[first, second], passthru(3, 3, 0, 1)).unwrap();
        assert_eq!((third.place, third.keep), (PciPlace::on(23, 1), true));
        assert_eq!(
            resolve(&[first, passthru(9, 2, 0, 0)]).unwrap_err().message,
            "`pcidev_1` and `pcidev_9` are both the host's device 2/0/0"
        );
    }

    /// Devices of every class, among them functions of a few physical slots.
    fn any_want() -> impl Strategy<Value = Want> {
        let plain = (0..4usize, 0u32..90).prop_map(|(class, n)| {
            let class = [DeviceClass::Disk, DeviceClass::Card, DeviceClass::Optical, DeviceClass::Other][class];
            Want::new(DeviceKey::new(class, n))
        });
        let raw = (100u32..140).prop_map(|n| Want::new(DeviceKey::new(DeviceClass::PciDev, n)));
        let host = (0u8..3, 0u8..3, 0u8..8)
            .prop_map(|(bus, slot, f)| passthru(u32::from(bus) * 24 + u32::from(slot) * 8 + u32::from(f), bus, slot, f));
        prop_oneof![6 => plain, 1 => raw, 2 => host]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn adding_and_removing_moves_nobody(history in proptest::collection::vec((any_want(), any::<bool>()), 1..120)) {
            let mut there: Vec<Want> = Vec::new();
            let mut known: BTreeMap<DeviceKey, PciPlace> = BTreeMap::new();
            for (want, adding) in history {
                let at = there.iter().position(|w| w.key == want.key);
                match at {
                    Some(at) if !adding => {
                        there.remove(at);
                        known.remove(&want.key);
                    }
                    None => {
                        let Ok(new) = add(&there, want) else {
                            // Refused whole, and only where devices stand in every slot.
                            prop_assert!(want.host.is_some() && there.len() >= 27);
                            continue;
                        };
                        there.push(want.kept(new.keep.then_some(new.place)));
                        known.insert(want.key, new.place);
                    }
                    Some(_) => {}
                }
                let placed = resolve(&there).unwrap();
                prop_assert_eq!(placed.len(), there.len());
                for p in &placed {
                    prop_assert_eq!(known.get(&p.key), Some(&p.place), "{} moved", p.key);
                }
                let all: BTreeSet<PciPlace> = placed.iter().map(|p| p.place).collect();
                prop_assert_eq!(all.len(), there.len(), "two share a place");
                let whole: BTreeSet<PciPlace> = all.union(&fillers(all.iter().copied())).copied().collect();
                prop_assert!(whole.iter().all(|place| whole.contains(&place.first_function())));
                // Together, at their own numbers, and no two physical slots in one.
                let mut groups: BTreeMap<HostSlot, u8> = BTreeMap::new();
                for (want, p) in there.iter().zip(&placed) {
                    if let Some(host) = want.host {
                        prop_assert_eq!(p.place.function, host.function);
                        prop_assert_eq!(*groups.entry(host.slot).or_insert(p.place.slot), p.place.slot);
                    }
                }
                prop_assert_eq!(groups.values().collect::<BTreeSet<_>>().len(), groups.len());
            }
        }

        #[test]
        fn the_order_of_asking_does_not_matter_to_places_that_follow_from_keys(n in 1u32..64, turn in 0usize..64) {
            let mut wants: Vec<Want> = (0..n).map(disk).collect();
            let before: BTreeMap<DeviceKey, PciPlace> = resolve(&wants).unwrap().iter().map(|p| (p.key, p.place)).collect();
            let by = turn % wants.len();
            wants.rotate_left(by);
            let after: BTreeMap<DeviceKey, PciPlace> = resolve(&wants).unwrap().iter().map(|p| (p.key, p.place)).collect();
            prop_assert_eq!(before, after);
        }

        #[test]
        fn at_least_208_fit_and_the_count_in_is_the_count_out(split in 0u32..=208) {
            let cards = (0..208 - split).map(|n| Want::new(DeviceKey::new(DeviceClass::Card, n)));
            let wants: Vec<Want> = (0..split).map(disk).chain(cards).collect();
            let all: BTreeSet<PciPlace> = resolve(&wants).unwrap().iter().map(|p| p.place).collect();
            prop_assert_eq!(all.len(), 208);
        }
    }

    #[test]
    fn one_too_many_is_an_error() {
        let wants: Vec<Want> = (0..217).map(disk).collect();
        assert!(resolve(&wants[..216]).is_ok());
        assert_eq!(resolve(&wants).unwrap_err().message, "no PCI place is left: 216 devices are attached");
    }
}
