//! The same validation at every level: settings that a command accepts are accepted by a start on a host that has the
//! features.

use super::*;
use crate::action::Action;
use crate::cloudinit::Text;
use crate::guest::DiskKind;
use crate::network::Design;
use crate::plan::network::nics;
use crate::plan::{Plan, disk, start};
use crate::property::keys;
use crate::property::settings::Own;
use proptest::test_runner::TestCaseError;

/// A guest as a plan creates or leaves it.
fn planned(world: &World, like: &Guest, plan: &Plan) -> Guest {
    let mut own = like.settings.own_values().clone();
    for step in &plan.steps {
        match step {
            Action::CreateDataset { own: pairs, .. } | Action::CloneDataset { own: pairs, .. } => own = crate::plan::values(pairs),
            Action::Change { set, clear, .. } => {
                own.retain(|key, _| !clear.contains(key));
                own.extend(set.iter().map(|(key, value)| (key.clone(), Own { value: value.clone(), received: false })));
            }
            _ => {}
        }
    }
    let above = like.settings.above().map(|(dataset, values)| (dataset.clone(), Arc::new(values.clone()))).collect();
    bare(world, like.name.clone(), like.dataset.clone(), like.uuid, Settings::new(own, above))
}

/// Asserts that the guest starts, unless the host lacks something; no other problem is allowed.
fn starts(world: &World, guest: &Guest) -> Result<(), TestCaseError> {
    // A template cannot be started by design.
    if guest.settings.value(keys::TEMPLATE).as_deref() == Some("yes") {
        return Ok(());
    }
    let fresh =
        start::Request { fresh: machine::Fresh { vnc_port: 5901, secret: "12345678".into(), ruleset: None }, ..start::Request::default() };
    let faults = start::start(world, guest, &fresh).err().map(of_settings).unwrap_or_default();
    prop_assert!(faults.is_empty(), "{:?}\n{faults:?}", guest.settings.own_values());
    Ok(())
}

fn create_request(set: Vec<Pair>, defaults: OwnValues) -> create::Request {
    create::Request {
        name: "fresh".parse().unwrap(),
        pool: None,
        image: None,
        full: false,
        size: Some(crate::value::Size::mib(64)),
        disk: Some(DiskKind::Raw),
        nets: 2,
        set,
        texts: Vec::new(),
        defaults,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_can_be_started(
        pairs in prop::collection::vec(pair(), 1..5),
        level in 0usize..6,
        bhyve: bool,
        arm64 in prop::bool::weighted(0.2),
        release in 0usize..6,
    ) {
        let mut world = world(if bhyve { Vmm::Bhyve } else { Vmm::Qemu });
        if bhyve {
            world.host.release = [(13, 5), (14, 0), (14, 3), (15, 0), (15, 1), (16, 0)][release];
            world.host.arch = if arm64 { "arm64".into() } else { "amd64".into() };
            world.host.state.uboot = Some("/fw/u-boot.bin".into());
        }
        let mut guest = testing::guest("web01", &GUEST);
        match level {
            0 => for pair in pairs {
                if let Ok(plan) = set::guest(&world, &guest, &Request { set: vec![pair], unset: Vec::new() }) {
                    guest = planned(&world, &guest, &plan);
                }
            },
            1 => for (key, value) in pairs {
                let plan = match key.strip_prefix("disk0.") {
                    Some(_) => disk::set(&world, &guest, 0, &[(key, value)], &[]),
                    None => {
                        let set = if key.starts_with("disk1.") { vec![(key, value)] } else { Vec::new() };
                        let size = Some(crate::value::Size::mib(1));
                        let request = disk::add::Request {
                            number: Some(1),
                            origin: disk::add::Origin::Empty,
                            size,
                            kind: Some(DiskKind::Raw),
                            reserved: false,
                            block: None,
                            set,
                            there: disk::found::Disks::new(),
                        };
                        disk::add::add(&world, &guest, &request)
                    }
                };
                if let Ok(plan) = plan {
                    guest = planned(&world, &guest, &plan);
                }
            },
            2 => {
                let defaults: OwnValues = own(&[("cpu", "2")]);
                let Ok(plan) = create::create(&world, &create_request(pairs, defaults.clone()), &moment(1)) else { return Ok(()) };
                let above = vec![("tank/chyves/guests".parse().unwrap(), Arc::new(defaults))];
                guest.settings = Settings::new(OwnValues::new(), above);
                guest = planned(&world, &guest, &plan);
            }
            3 => {
                let wish = clone::Request { names: vec!["copy".parse().unwrap()], set: pairs, ..clone::Request::default() };
                let Ok(plan) = clone::clone(&world, &guest, &wish, &moment(1)) else { return Ok(()) };
                guest = planned(&world, &guest, &plan);
            }
            4 => for (key, value) in pairs {
                // As `network set` does it, with the name of the NIC.
                let number = u16::from(key.contains('1'));
                let word = key.split_once('.').map_or(key.as_str(), |(_, word)| word).to_owned();
                if let Ok(plan) = nics::change(&world, &guest, number, &[(word, value)]) {
                    guest = planned(&world, &guest, &plan);
                }
            },
            _ => {
                let root = world.roots[0].clone();
                world.guests = vec![guest.clone()];
                let mut defaults = OwnValues::new();
                for pair in pairs {
                    if let Ok(plan) = set::defaults(&world, &root, &defaults, &Request { set: vec![pair], unset: Vec::new() }) {
                        let on = Guest { settings: guest.settings.with_own(defaults), ..guest.clone() };
                        defaults = planned(&world, &on, &plan).settings.own_values().clone();
                        let above = vec![(root.guests(), Arc::new(defaults.clone()))];
                        world.guests[0].settings = Settings::new(guest.settings.own_values().clone(), above);
                    }
                }
                let above = vec![(root.guests(), Arc::new(defaults))];
                starts(&world, &bare(&world, "fresh".parse().unwrap(), root.guests().child("fresh"), Uuid::nil(), Settings::new(OwnValues::new(), above)))?;
                guest = world.guests[0].clone();
            }
        }
        starts(&world, &guest)?;
    }

    /// Bridges of the host: settings that are accepted leave no bridge that a start would refuse.
    #[test]
    fn what_is_accepted_of_bridges_holds_together(pairs in prop::collection::vec(setting(&[Scope::Global], "bridge"), 1..6), bhyve: bool) {
        let world = world(if bhyve { Vmm::Bhyve } else { Vmm::Qemu });
        let mut root = world.roots[0].clone();
        for pair in pairs {
            let on = Guest { settings: Settings::new((*root.own).clone(), Vec::new()), ..testing::guest("web01", &[]) };
            if let Ok(plan) = set::global(&world, &root, &Request { set: vec![pair], unset: Vec::new() }) {
                root.own = Arc::new(planned(&world, &on, &plan).settings.own_values().clone());
            }
        }
        let design = Design::read(&root.own).map_err(|problem| TestCaseError::fail(format!("{:?}: {problem:?}", root.own)))?;
        for bridge in design.bridges() {
            prop_assert!(design.fault(&bridge.name).is_none(), "{:?}: {:?}", root.own, design.fault(&bridge.name));
        }
        for key in root.own.keys().filter_map(|key| key.split_once('.')).map(|(bridge, _)| bridge).filter(|b| b.starts_with("bridge")) {
            let name = design.bridges().find(|b| format!("bridge{}", b.number) == key).map(|b| b.name.clone());
            prop_assert!(name.is_some(), "{key} is set, and there is no such bridge: {:?}", root.own);
        }
    }
}

#[test]
fn what_the_host_lacks_hides_no_fault_of_settings() {
    // FreeBSD 14.3 has no user network; three processors cannot be divided into two sockets on any host.
    for pairs in
        [&[("net0.backend", "user"), ("cpu", "3"), ("cpu_sockets", "2")][..], &[("loader", "bios"), ("cpu", "3"), ("cpu_sockets", "2")]]
    {
        let mut world = world(Vmm::Bhyve);
        world.host.release = (14, 3);
        let guest = testing::guest("web01", &[("disk0.kind", "raw"), ("loader", "uefi")]);
        let refused = set::guest(&world, &guest, &request(pairs)).unwrap_err();
        assert_eq!(refused.code.exit_code(), 2, "{refused:?}");
        assert!(refused.to_string().contains("3 processors"), "{refused:?}");
        assert!(!refused.to_string().contains("no BIOS") && !refused.to_string().contains("user network"), "{refused:?}");
    }
    // A feature that only the host lacks is not an error, whatever else is wrong.
    let mut world = world(Vmm::Bhyve);
    world.host.release = (14, 3);
    let guest = testing::guest("web01", &[("disk0.kind", "raw"), ("loader", "uefi")]);
    let plan = set::guest(&world, &guest, &request(&[("loader", "bios"), ("com2", "tcp=127.0.0.1:5555")])).unwrap();
    // It is said, once.
    assert!(plan.notes.iter().any(|note| note.contains("cannot start on this host") && note.contains("no BIOS")), "{:?}", plan.notes);
    let guest = testing::guest("web01", &[("disk0.kind", "raw"), ("loader", "bios")]);
    assert!(set::guest(&world, &guest, &request(&[("notes", "x")])).unwrap().notes.is_empty());
}

#[test]
fn a_loader_and_an_operating_system_are_judged_on_every_host() {
    for vmm in [Vmm::Qemu, Vmm::Bhyve] {
        let world = world(vmm);
        let guest = testing::guest("web01", &GUEST);
        for os in ["windows", "freebsd"] {
            let refused = set::guest(&world, &guest, &request(&[("loader", "grub-bhyve"), ("os", os)])).unwrap_err();
            assert!(refused.message.contains("grub-bhyve cannot boot os="), "{refused:?}");
            assert!(
                set::guest(&world, &testing::guest("web01", &[&GUEST[..], &[("os", os)]].concat()), &request(&[("loader", "grub-bhyve")]))
                    .is_err()
            );
            let set = vec![("loader".to_owned(), "grub-bhyve".to_owned()), ("os".to_owned(), os.to_owned())];
            assert_eq!(create::create(&world, &create_request(set, OwnValues::new()), &moment(1)).unwrap_err().code.exit_code(), 2);
        }
        set::guest(&world, &guest, &request(&[("loader", "grub-bhyve"), ("os", "debian")])).unwrap();
    }
}

#[test]
fn a_clone_of_a_guest_that_can_t_start_is_refused_or_cured() {
    let mut world = world(Vmm::Qemu);
    let source = testing::guest("web01", &[&GUEST[..], &[("cpu_threads", "2")]].concat());
    world.guests = vec![source.clone()];
    let mut wish = clone::Request {
        snapshot: Some("bad".parse().unwrap()),
        snapshot_exists: true,
        carried: Some(source.settings.own_values().clone()),
        names: vec!["copy".parse().unwrap()],
        ..clone::Request::default()
    };
    let refused = clone::clone(&world, &testing::guest("web01", &GUEST), &wish, &moment(1)).unwrap_err();
    assert_eq!(refused.code.exit_code(), 2, "{refused:?}");
    assert!(refused.message.contains("cannot clone `web01@bad`"), "{refused:?}");
    assert!(refused.hints.iter().any(|h| h.contains("chyves clone web01@bad copy KEY=VALUE")), "{refused:?}");
    wish.set = vec![("cpu".into(), "2".into())];
    clone::clone(&world, &testing::guest("web01", &GUEST), &wish, &moment(1)).unwrap();
}

#[test]
fn what_comes_as_it_is_is_warned_of() {
    let world = world(Vmm::Qemu);
    let guest = testing::guest("web01", &[&GUEST[..], &[("cpu_threads", "2")]].concat());
    let warning = warning(&world, &guest, guest.settings.own_values()).unwrap();
    assert!(warning.starts_with("web01 cannot start with these settings: 1 processor cannot be spread"), "{warning}");
    let sound = testing::guest("web01", &GUEST);
    assert_eq!(super::super::warning(&world, &sound, sound.settings.own_values()), None);
}

#[test]
fn the_guest_s_own_texts_are_judged_with_its_settings() {
    let mut world = world(Vmm::Qemu);
    let guest = testing::guest("web01", &GUEST);
    world.guests = vec![guest.clone()];
    world.texts.insert(guest.dataset.clone(), vec![(Text::UserData, "#include\nhttp://x/\n".to_owned())]);
    for pairs in [[("os", "freebsd")], [("ci.reader", "nuageinit")], [("ci.reader", "cloudbase-init")]] {
        let wanted = request(&pairs);
        assert!(set::reads_texts(&guest, &wanted).unwrap(), "{pairs:?}");
        let refused = set::guest(&world, &guest, &wanted).unwrap_err();
        assert_eq!(refused.code.exit_code(), 2, "{pairs:?}: {refused:?}");
        assert!(refused.hints.iter().any(|h| h.contains("--no-user-data")), "{refused:?}");
        let root = world.roots[0].clone();
        assert_eq!(set::heirs_with_texts(&world, &root, &OwnValues::new(), &wanted).unwrap().len(), 1);
        assert!(set::defaults(&world, &root, &OwnValues::new(), &wanted).unwrap_err().message.ends_with("1 guest could not start: web01"));
        let wish = clone::Request { names: vec!["copy".parse().unwrap()], set: wanted.set, ..clone::Request::default() };
        assert_eq!(clone::clone(&world, &guest, &wish, &moment(1)).unwrap_err().code.exit_code(), 2);
        let with = testing::guest("web01", &[&GUEST[..], &pairs].concat());
        assert_eq!(start::start(&world, &with, &start::Request::default()).unwrap_err().code.exit_code(), 2);
    }
    assert!(!set::reads_texts(&guest, &request(&[("os", "debian"), ("cpu", "2")])).unwrap());
    set::guest(&world, &guest, &request(&[("os", "debian")])).unwrap();
}

#[test]
fn a_snapshot_to_revert_to_is_asked_for_where_it_has_an_effect() {
    let world = world(Vmm::Qemu);
    let guest = testing::guest("web01", &GUEST);
    let plan = set::guest(&world, &guest, &request(&[("revert_to_snapshot", "base")])).unwrap();
    assert!(plan.notes.iter().any(|n| n.contains("revert_to_snapshot_method is off")), "{:?}", plan.notes);
    let plan = set::guest(&world, &guest, &request(&[("revert_to_snapshot", "base"), ("revert_to_snapshot_method", "start")])).unwrap();
    assert!(plan.notes.is_empty(), "{:?}", plan.notes);
    let set = vec![("revert_to_snapshot".to_owned(), "base".to_owned()), ("revert_to_snapshot_method".to_owned(), "start".to_owned())];
    let refused = create::create(&world, &create_request(set, OwnValues::new()), &moment(1)).unwrap_err();
    assert!(refused.message.contains("a new guest has no snapshots"), "{refused:?}");
}
