//! Sequences of additions and removals, and corner cases.

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
    assert_eq!(resolve(&wants).unwrap_err().message, "`disk0` and `disk1` have the same PCI slot 9:0");
    let wants = [disk(0).kept(Some(PciPlace::on(31, 2)))];
    assert_eq!(resolve(&wants).unwrap_err().message, "`disk0` cannot be placed at 31:2: that slot is the LPC bridge's");
}

#[test]
fn functions_of_one_physical_slot_stay_together() {
    let wants = [passthru(1, 2, 0, 0), passthru(2, 2, 0, 1), passthru(3, 6, 5, 2)];
    assert_eq!(places(&wants), ["22:0", "22:1", "23:2"]);
    assert_eq!(fillers(resolve(&wants).unwrap().iter().map(|p| p.place)), BTreeSet::from([PciPlace::on(23, 0)]));
    // Two physical slots with the same derived virtual slot: the new device gets another one and stores it.
    let first = passthru(1, 2, 0, 0);
    let newcomer = add(&[first], passthru(2, 3, 0, 0)).unwrap();
    assert_eq!((newcomer.place, newcomer.keep), (PciPlace::on(23, 0), true));
    let second = passthru(2, 3, 0, 0).kept(Some(newcomer.place));
    let third = add(&[first, second], passthru(3, 3, 0, 1)).unwrap();
    assert_eq!((third.place, third.keep), (PciPlace::on(23, 1), true));
    assert_eq!(resolve(&[first, passthru(9, 2, 0, 0)]).unwrap_err().message, "`pcidev_1` and `pcidev_9` are both the host's device 2/0/0");
}

/// Devices of every class, including functions of a few physical slots.
fn any_want() -> impl Strategy<Value = Want> {
    let plain = (0..4usize, 0u32..90).prop_map(|(class, n)| {
        let class = [DeviceClass::Disk, DeviceClass::Nic, DeviceClass::Optical, DeviceClass::Other][class];
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
                        // A whole slot is only refused if every slot is in use.
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
            // Functions of a physical slot are in one virtual slot, with their own numbers, and no two physical slots share
            // one.
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
        let nics = (0..208 - split).map(|n| Want::new(DeviceKey::new(DeviceClass::Nic, n)));
        let wants: Vec<Want> = (0..split).map(disk).chain(nics).collect();
        let all: BTreeSet<PciPlace> = resolve(&wants).unwrap().iter().map(|p| p.place).collect();
        prop_assert_eq!(all.len(), 208);
    }
}

#[test]
fn one_too_many_is_an_error() {
    let wants: Vec<Want> = (0..217).map(disk).collect();
    assert!(resolve(&wants[..216]).is_ok());
    assert_eq!(resolve(&wants).unwrap_err().message, "no PCI slot is free: 216 devices are attached");
}
