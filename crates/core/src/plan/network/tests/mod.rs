use super::bridge::{self, Wish};
use super::*;
use crate::guest::{Guest, RunState};
use crate::network::observe::read;
use crate::network::{APPLIED, IfKind, Interface, Mode};
use crate::os::{Intent, Os, taps};
use crate::plan::Plan;
use crate::plan::machine::tap_name;
use crate::plan::testing::{self, own};
use std::sync::Arc;

mod netgraph;

/// A host of that operating system with two NICs and the additional interfaces.
fn actual(os: Os, more: &[(&str, Interface)]) -> Actual {
    let text = match os {
        Os::Linux => {
            r#"[{"ifname":"lo","flags":["LOOPBACK","UP"],"mtu":65536,"link_type":"loopback"},
            {"ifname":"em0","flags":["UP","LOWER_UP"],"mtu":1500,"link_type":"ether"},
            {"ifname":"em1","flags":[],"mtu":9000,"link_type":"ether"}]"#
        }
        Os::FreeBsd => {
            "lo0: flags=8049<UP,LOOPBACK> metric 0 mtu 16384\n\tgroups: lo\n\
             em0: flags=8843<UP> metric 0 mtu 1500\n\tmedia: Ethernet autoselect\n\
             em1: flags=8802<BROADCAST> metric 0 mtu 9000\n\tmedia: Ethernet autoselect\n"
        }
    };
    let mut actual = read(os, text).unwrap();
    for (name, interface) in more {
        if let Some(above) = &interface.bridge {
            actual.interfaces.get_mut(above).unwrap().members.push((*name).to_owned());
        }
        actual.interfaces.insert((*name).to_owned(), interface.clone());
    }
    actual
}

fn facts(os: Os, design: &[(&str, &str)], more: &[(&str, Interface)]) -> Facts {
    Facts { design: Design::read(&own(design)).unwrap(), actual: actual(os, more) }
}

fn bridge_of(members: &[&str]) -> Interface {
    Interface { members: members.iter().map(|m| (*m).to_owned()).collect(), ..Interface::new(IfKind::Bridge) }
}

fn world(os: Os, design: &[(&str, &str)], guests: Vec<Guest>) -> World {
    let mut world = testing::world(guests);
    if os == Os::FreeBsd {
        world.host = testing::freebsd();
    }
    world.roots[0].own = Arc::new(own(design));
    world
}

const NIC: &[(&str, &str)] = &[("net0.backend", "bridge")];

/// The script of what a guest's NICs need, or the error.
fn start(os: Os, release: (u16, u16), design: &[(&str, &str)], more: &[(&str, Interface)], settings: &[(&str, &str)]) -> String {
    let guest = testing::guest("web01", settings);
    let mut world = world(os, design, vec![guest.clone()]);
    world.host.release = release;
    match attach::attach(&world.host, &facts(os, design, more), &[(&guest, &guest.spec().unwrap())]) {
        Ok(attached) => {
            let notes = attached.notes.clone();
            Plan { notes, steps: attached.steps("/run/chyves") }.script(os)
        }
        Err(problem) => format!("{problem}\n{}\n", problem.hints.join("\n")),
    }
}

#[test]
fn a_start_makes_all_that_is_designed_and_missing() {
    let design = &[("bridge0.uplink", "em0"), ("bridge1.uplink", "em0"), ("bridge1.vlan", "5"), ("bridge1.name", "lan")];
    let two = &[("net0.backend", "bridge"), ("net1.backend", "bridge"), ("net1.bridge", "lan")];
    insta::assert_snapshot!("linux", start(Os::Linux, (6, 1), design, &[], two));
    insta::assert_snapshot!("freebsd", start(Os::FreeBsd, (14, 3), design, &[], two));
}

#[test]
fn a_pair_that_is_named_as_an_uplink_is_made() {
    let design = &[("bridge0.uplink", "epair3a"), ("bridge0.mtu", "9000")];
    insta::assert_snapshot!("pair_linux", start(Os::Linux, (6, 1), design, &[], NIC));
    insta::assert_snapshot!("pair_freebsd", start(Os::FreeBsd, (14, 3), design, &[], NIC));
    // Only one end of the pair is here: the other one was moved to a jail.
    let refused = start(Os::FreeBsd, (14, 3), design, &[("epair3b", Interface::new(IfKind::Pair))], NIC);
    assert!(refused.contains("`epair3a` is not there"), "{refused}");
    // A pair that a start created is removed when both ends are free, and kept while one is elsewhere.
    let end = |mark: &str| Interface { mark: mark.into(), ..Interface::new(IfKind::Pair) };
    let gone = |more: &[(&str, Interface)]| {
        let facts = facts(Os::FreeBsd, design, more);
        tidy::tidy(&facts.design, &facts.actual, None, &[])
            .iter()
            .flat_map(|i| i.commands(Os::FreeBsd))
            .map(|c| c.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(gone(&[("epair3a", end(STARTED)), ("epair3b", end(""))]), ["ifconfig epair3a destroy"]);
    assert!(gone(&[("epair3a", end(STARTED))]).is_empty());
    let used = Interface { addresses: vec!["10.1.0.1/24".parse().unwrap()], ..end("") };
    assert!(gone(&[("epair3a", end(STARTED)), ("epair3b", used)]).is_empty());
}

#[test]
fn each_release_of_freebsd_has_its_command_lines() {
    let em7 = || Interface { addresses: vec!["10.7.0.1/24".parse().unwrap()], ..Interface::new(IfKind::Physical) };
    let design = &[
        ("bridge0.uplink", "em7"),
        ("bridge0.address", "10.7.0.1/24"),
        ("bridge1.uplink", "em0"),
        ("bridge1.vlan", "5"),
        ("bridge2.private", "yes"),
        ("bridge2.mtu", "9000"),
    ];
    let nics = &[
        ("net0.backend", "bridge"),
        ("net1.backend", "bridge"),
        ("net1.bridge", "bridge1"),
        ("net2.backend", "bridge"),
        ("net2.bridge", "bridge2"),
    ];
    let of = |release| start(Os::FreeBsd, release, design, &[("em7", em7())], nics);
    // Before 15.0 a member may have addresses, and bridges do not filter VLANs; the commands are the same.
    assert_eq!(of((13, 5)), of((14, 3)));
    assert_eq!(of((14, 3)), of((15, 0)));
    insta::assert_snapshot!("releases", of((15, 0)));
    let tagged = &[("net0.backend", "bridge"), ("net0.vlan", "7"), ("net0.bridge", "bridge2")];
    insta::assert_snapshot!("release_15_vlan", start(Os::FreeBsd, (15, 0), design, &[], tagged));
    let inside = |of: &str, kind, mark: &str| Interface { bridge: Some(of.into()), mark: mark.into(), ..Interface::new(kind) };
    let applied = |addresses: &[&str]| Interface {
        mark: APPLIED.into(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ..bridge_of(&[])
    };
    let there = [
        ("bridge0", applied(&["10.7.0.1/24"])),
        ("em7", inside("bridge0", IfKind::Physical, "")),
        ("bridge1", applied(&[])),
        ("em0.5", Interface { vlan: Some(("em0".into(), 5)), ..inside("bridge1", IfKind::Vlan, APPLIED) }),
    ];
    let world = world(Os::FreeBsd, design, Vec::new());
    let facts = facts(Os::FreeBsd, design, &there);
    let of = |name: &str, wish: Wish| bridge::change(&world, &facts, &name.parse().unwrap(), &wish).unwrap().plan.script(Os::FreeBsd);
    insta::assert_snapshot!("freebsd_delete", of("bridge0", Wish::Delete));
    insta::assert_snapshot!("freebsd_detach_vlan", of("bridge1", Wish::Detach { uplink: None }));
    let moved = migrate::migrate(&world, &facts, &own(&[]), &"bridge0".parse().unwrap(), &"lan".parse().unwrap()).unwrap();
    insta::assert_snapshot!("freebsd_migrate", moved.plan.script(Os::FreeBsd));
}

#[test]
fn a_start_leaves_what_is_there() {
    let bridge = bridge_of(&["em0"]);
    let text = start(Os::Linux, (6, 1), &[("bridge0.uplink", "em0")], &[("bridge0", bridge)], NIC);
    // em0 is listed as a member of the bridge; adding it again would be an error of the kernel.
    assert!(!text.contains("type bridge"), "{text}");
    assert!(text.contains("/run/chyves/network/joined/bridge0+em0"), "{text}");
    let plain = start(Os::Linux, (6, 1), &[], &[("bridge0", bridge_of(&[]))], NIC);
    insta::assert_snapshot!("plain", plain);
}

#[test]
fn a_vlan_of_a_nic_needs_a_bridge_that_filters() {
    let settings = &[("net0.backend", "bridge"), ("net0.vlan", "7")];
    let more = || [("bridge0", bridge_of(&[]))];
    for (os, release) in [(Os::Linux, (6, 1)), (Os::FreeBsd, (15, 0))] {
        let text = start(os, release, &[], &more(), settings);
        let filter = if os == Os::Linux { "vlan_filtering 1" } else { "ifconfig bridge0 vlanfilter" };
        let tagged = if os == Os::Linux { "vid 7 pvid untagged" } else { "untagged 7" };
        assert!(text.contains(filter) && text.contains(tagged), "{text}");
    }
    let refused = start(Os::FreeBsd, (14, 3), &[], &more(), settings);
    assert!(refused.contains("those of 15.0 can"), "{refused}");
}

/// The design, interfaces besides the usual ones, the guest's settings, and the expected error.
type Case<'a> = (&'a [(&'a str, &'a str)], Vec<(&'a str, Interface)>, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn each_refusal_names_its_cause_and_its_cure() {
    let mut tap_in_use = Interface::new(IfKind::Tap);
    tap_in_use.open = true;
    let tap = tap_name(testing::guest("web01", &[]).uuid, 0).unwrap();
    let tap = tap.as_str();
    let member = |of: &str| Interface { bridge: Some(of.to_owned()), ..Interface::new(IfKind::Physical) };
    let vlan_on = |parent: &str| Interface { vlan: Some((parent.into(), 5)), ..Interface::new(IfKind::Vlan) };
    let addressed = Interface { addresses: vec!["192.168.1.2/24".parse().unwrap()], ..Interface::new(IfKind::Physical) };
    let cases: Vec<Case<'_>> = vec![
        (&[], vec![], NIC, "there is no bridge `bridge0`"),
        (&[], vec![("bridge0", Interface::new(IfKind::Pair))], NIC, "no bridge"),
        (&[("bridge0.uplink", "em9")], vec![], NIC, "`em9` is not there"),
        (&[("bridge0.uplink", "lo")], vec![], NIC, "the loopback"),
        (&[("bridge0.uplink", "br1")], vec![("br1", bridge_of(&[]))], NIC, "no bridge can be in a bridge"),
        (&[("bridge0.uplink", "em7")], vec![("br1", bridge_of(&[])), ("em7", member("br1"))], NIC, "in the bridge `br1`"),
        (&[("bridge0.uplink", "v5")], vec![("bridge0", bridge_of(&[])), ("v5", vlan_on("bridge0"))], NIC, "loop"),
        (&[("bridge0.uplink", "em7")], vec![("em7", addressed)], NIC, "would lose it"),
        (&[("bridge0.uplink", "em0"), ("bridge0.mtu", "9000")], vec![], NIC, "does not support 9000"),
        (&[("bridge0.uplink", "em0")], vec![], &[("net0.backend", "bridge"), ("net0.mtu", "4000")], "not 4000"),
        (&[("bridge0.private", "yes")], vec![(tap, tap_in_use)], NIC, "in use"),
        (&[("bridge0.private", "yes")], vec![(tap, Interface::new(IfKind::Tap))], NIC, "nothing shows"),
        (&[("bridge0.private", "yes")], vec![(tap, Interface::new(IfKind::Pair))], NIC, "one end of a pair"),
        (&[("network_mode", "manual")], vec![], NIC, "by hand"),
        (&[("network_mode", "manual")], vec![("bridge0", bridge_of(&[]))], NIC, "there is no tap"),
        (&[("bridge0.private", "yes"), ("network_mode", "manual")], vec![("bridge0", bridge_of(&["em0"]))], NIC, "is an uplink"),
    ];
    for (design, more, settings, why) in cases {
        let text = start(Os::Linux, (6, 1), design, &more, settings);
        let lines = text.lines().filter(|l| !l.is_empty()).count();
        assert!(text.contains(why) && lines > 1 && !text.contains("# create"), "{why}: {text}");
    }
}

#[test]
fn an_optional_nic_starts_with_its_cable_out() {
    let text = start(Os::Linux, (6, 1), &[], &[], &[("net0.backend", "bridge"), ("net0.optional", "yes")]);
    assert!(text.contains("has no link") && text.contains("tuntap add") && !text.contains("master"), "{text}");
}

#[test]
fn a_bridge_takes_as_many_as_the_kernel_does_and_a_host_as_many_taps() {
    let members: Vec<String> = (0..1023).map(|n| format!("t{n}")).collect();
    let full = bridge_of(&members.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(start(Os::Linux, (6, 1), &[], &[("bridge0", full)], NIC).contains("1023 at most"));
    let mut facts = facts(Os::Linux, &[("bridge0.private", "yes")], &[]);
    for n in 0..33_000 {
        facts.actual.interfaces.insert(format!("t{n}"), Interface::new(IfKind::Tap));
    }
    let guest = testing::guest("web01", NIC);
    let host = testing::world(Vec::new()).host;
    let refused = attach::attach(&host, &facts, &[(&guest, &guest.spec().unwrap())]).unwrap_err();
    assert!(refused.message.contains("33001 taps are more"), "{refused}");
}

#[test]
fn a_member_with_an_address_is_for_releases_before_15() {
    let em7 = || Interface { addresses: vec!["192.168.1.2/24".parse().unwrap()], ..Interface::new(IfKind::Physical) };
    let design = &[("bridge0.uplink", "em7")];
    assert!(start(Os::FreeBsd, (14, 3), design, &[("em7", em7())], NIC).contains("ifconfig bridge0 addm em7"));
    let refused = start(Os::FreeBsd, (15, 0), design, &[("em7", em7())], NIC);
    assert!(refused.contains("address=192.168.1.2/24"), "{refused}");
    let moved = &[("bridge0.uplink", "em7"), ("bridge0.address", "192.168.1.2/24")];
    let text = start(Os::FreeBsd, (15, 0), moved, &[("em7", em7())], NIC);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(
        at("ifconfig em7 inet 192.168.1.2 -alias") < at("addm em7") && at("addm em7") < at("ifconfig bridge0 inet 192.168.1.2/24 alias")
    );
}

#[test]
fn what_carries_the_administrator_is_not_touched_by_a_start() {
    let guest = testing::guest("web01", NIC);
    let mut facts = facts(Os::Linux, &[("bridge0.uplink", "em0")], &[]);
    facts.actual.default_routes = vec![(None, "em0".into())];
    let host = testing::world(Vec::new()).host;
    let refused = attach::attach(&host, &facts, &[(&guest, &guest.spec().unwrap())]).unwrap_err();
    assert!(refused.to_string().contains("default route") && refused.hints.join(" ").contains("--confirm"), "{refused}");
}

/// The script of a change of the design.
fn change(design: &[(&str, &str)], more: &[(&str, Interface)], name: &str, wish: &Wish) -> String {
    let world = world(Os::Linux, design, Vec::new());
    match bridge::change(&world, &facts(Os::Linux, design, more), &name.parse().unwrap(), wish) {
        Ok(planned) => planned.plan.script(Os::Linux),
        Err(problem) => format!("{problem}\n{}\n", problem.hints.join("\n")),
    }
}

#[test]
fn a_bridge_gets_an_uplink_and_another_and_none() {
    let attach = |uplink: &str, vlan| Wish::Attach { uplink: uplink.parse().unwrap(), vlan, settings: Vec::new() };
    insta::assert_snapshot!("attach", change(&[], &[], "lan", &attach("em0", Some(5))));
    let there = || {
        let bridge = Interface { mark: APPLIED.into(), ..bridge_of(&[]) };
        [("bridge0", bridge), ("em5", Interface { bridge: Some("bridge0".into()), ..Interface::new(IfKind::Physical) })]
    };
    insta::assert_snapshot!("another", change(&[("bridge0.uplink", "em5")], &there(), "bridge0", &attach("em0", None)));
    insta::assert_snapshot!("private", change(&[("bridge0.uplink", "em5")], &there(), "bridge0", &Wish::Private(Vec::new())));
    insta::assert_snapshot!("deleted", change(&[("bridge0.uplink", "em5")], &there(), "bridge0", &Wish::Delete));
    let again = change(&[("bridge0.uplink", "em5")], &there(), "bridge0", &attach("em5", None));
    assert_eq!(again, "# note: bridge0 is already set so\n", "nothing is left to do");
    assert!(change(&[("bridge1.uplink", "em0")], &[], "bridge0", &attach("em0", None)).contains("already"));
    assert!(change(&[], &[], "nosuch", &Wish::Delete).contains("no configured bridge"));
}

#[test]
fn what_a_machine_leaves_goes_and_nothing_else() {
    let (mine, other) = (testing::guest("web", &[]).uuid, testing::guest("web2", &[]).uuid);
    let tap = |of, bridge: &str| Interface { mark: taps::token(of, 0), bridge: Some(bridge.into()), ..Interface::new(IfKind::Tap) };
    let started = |name: &'static str| (name, Interface { mark: STARTED.into(), ..Interface::new(IfKind::Bridge) });
    let design = &[("bridge0.uplink", "em5"), ("bridge1.private", "yes"), ("bridge2.private", "yes")];
    let shown = |guest, more: &[(&str, Interface)]| {
        let facts = facts(Os::Linux, design, more);
        tidy::tidy(&facts.design, &facts.actual, Some(guest), &[]).iter().map(Intent::describe).collect::<Vec<_>>()
    };
    let em5 = ("em5", Interface { bridge: Some("bridge0".into()), ..Interface::new(IfKind::Physical) });
    let both = [started("bridge0"), started("bridge1"), em5.clone(), ("chv1", tap(mine, "bridge0")), ("chv2", tap(other, "bridge1"))];
    assert_eq!(
        shown(mine, &both),
        [format!("remove the tap chv1 of {}", taps::token(mine, 0)), "remove bridge0, which chyves created and nothing uses".to_owned()]
    );
    // web2 uses it too; a tap without a mark belongs to somebody else; a bridge that a command created permanently is kept.
    let shared = [started("bridge0"), em5, ("chv1", tap(mine, "bridge0")), ("chv2", tap(other, "bridge0"))];
    assert_eq!(shown(mine, &shared).len(), 1);
    let stranger = ("tap9", Interface { bridge: Some("bridge2".into()), ..Interface::new(IfKind::Tap) });
    assert!(shown(mine, &[started("bridge2"), stranger]).is_empty());
    let applied = ("bridge2", Interface { mark: APPLIED.into(), ..Interface::new(IfKind::Bridge) });
    assert!(shown(mine, &[applied]).is_empty());
    // A member that a start added to an existing bridge is removed with the last guest, and not before.
    let found = ("bridge2", Interface::new(IfKind::Bridge));
    let inside = ("em5", Interface { bridge: Some("bridge2".into()), ..Interface::new(IfKind::Physical) });
    for (others, left) in [(vec![], true), (vec![("chv2", tap(other, "bridge2"))], false)] {
        let more: Vec<_> = [found.clone(), inside.clone(), ("chv1", tap(mine, "bridge2"))].into_iter().chain(others).collect();
        let facts = facts(Os::Linux, design, &more);
        let gone = tidy::tidy(
            &facts.design,
            &facts.actual,
            Some(mine),
            &[tidy::Joined { bridge: "bridge2".into(), member: "em5".into(), guest: None }],
        );
        assert_eq!(gone.iter().any(|i| matches!(i, Intent::Leave { .. })), left, "{gone:?}");
    }
    let mut open = tap(mine, "bridge1");
    open.open = true;
    assert!(shown(mine, &[started("bridge1"), ("chv1", open)]).is_empty());
}

#[test]
fn an_uplink_that_a_start_brought_up_goes_down_with_the_last_guest() {
    let mine = testing::guest("web", &[]).uuid;
    let member = |of: Option<&str>, kind| Interface { bridge: of.map(str::to_owned), ..Interface::new(kind) };
    let tap = Interface { mark: taps::token(mine, 0), ..member(Some("bridge0"), IfKind::Tap) };
    let bridge = |mark: &str| Interface { mark: mark.into(), ..Interface::new(IfKind::Bridge) };
    let vlan = Interface { mark: STARTED.into(), vlan: Some(("em7".into(), 5)), ..member(Some("bridge0"), IfKind::Vlan) };
    let plain = &[("bridge0.uplink", "em7")][..];
    let tagged = &[("bridge0.uplink", "em7"), ("bridge0.vlan", "5")][..];
    let lowered = |design: &[(&str, &str)], mark: &str, raised: bool, more: &[(&str, Interface)]| {
        let more: Vec<_> = [("bridge0", bridge(mark)), ("chv1", tap.clone())].into_iter().chain(more.iter().cloned()).collect();
        let mut facts = facts(Os::Linux, design, &more);
        facts.actual.raised = raised.then(|| "em7".to_owned()).into_iter().collect();
        let joined = [tidy::Joined { bridge: "bridge0".into(), member: "em7".into(), guest: None }];
        let joined = if mark.is_empty() { &joined[..] } else { &[] };
        tidy::tidy(&facts.design, &facts.actual, Some(mine), joined).iter().any(|i| matches!(i, Intent::SetDown { .. }))
    };
    let inside = [("em7", member(Some("bridge0"), IfKind::Physical))];
    assert!(lowered(plain, STARTED, true, &inside), "the bridge goes");
    assert!(lowered(plain, "", true, &inside), "it leaves a bridge of others");
    assert!(lowered(tagged, STARTED, true, &[("em7", member(None, IfKind::Physical)), ("em7.5", vlan.clone())]), "its VLAN goes");
    assert!(!lowered(plain, STARTED, false, &inside), "it was up before");
    assert!(!lowered(plain, APPLIED, true, &inside), "the bridge stays");
    let addressed = Interface { addresses: vec!["10.1.0.1/24".parse().unwrap()], ..inside[0].1.clone() };
    assert!(!lowered(plain, STARTED, true, &[("em7", addressed)]), "the host uses it");
    let other = Interface { mark: APPLIED.into(), vlan: Some(("em7".into(), 6)), ..member(None, IfKind::Vlan) };
    let two = [("em7", member(None, IfKind::Physical)), ("em7.5", vlan), ("em7.6", other)];
    assert!(!lowered(tagged, STARTED, true, &two), "another VLAN needs it");
}

#[test]
fn a_bridge_keeps_the_addresses_of_an_uplink_that_is_gone() {
    use crate::network::address::Moved;
    use crate::os::Assigned;
    let mine = testing::guest("web", &[]).uuid;
    let bridge = Interface { mark: STARTED.into(), addresses: vec!["10.1.0.1/24".parse().unwrap()], ..Interface::new(IfKind::Bridge) };
    let tap = Interface { mark: taps::token(mine, 0), bridge: Some("bridge0".into()), ..Interface::new(IfKind::Tap) };
    let steps = |more: &[(&str, Interface)]| {
        let more: Vec<_> = [("bridge0", bridge.clone()), ("chv1", tap.clone())].into_iter().chain(more.iter().cloned()).collect();
        let mut facts = facts(Os::Linux, &[("bridge0.uplink", "em7"), ("bridge0.address", "10.1.0.1/24")], &more);
        let address = Assigned { address: "10.1.0.1/24".parse().unwrap(), detail: crate::os::assigned::Detail::default() };
        let moved = Moved { from: "em7".parse().unwrap(), addresses: vec![address], routes: Vec::new() };
        facts.actual.moved.insert("bridge0".into(), moved);
        tidy::tidy(&facts.design, &facts.actual, Some(mine), &[])
    };
    let removes = |steps: &[Intent]| steps.iter().any(|i| matches!(i, Intent::RemoveBridge { .. }));
    let gone = steps(&[]);
    assert!(!removes(&gone) && !gone.is_empty(), "{gone:?}");
    let back = steps(&[("em7", Interface { bridge: Some("bridge0".into()), ..Interface::new(IfKind::Physical) })]);
    assert!(removes(&back), "{back:?}");
    // Somebody has given the address to another interface meanwhile.
    let elsewhere = Interface { addresses: vec!["10.1.0.1/24".parse().unwrap()], ..Interface::new(IfKind::Physical) };
    assert!(removes(&steps(&[("em8", elsewhere)])));
}

#[test]
fn a_nic_moves_while_its_guest_runs() {
    let mut guest = testing::guest("web01", NIC);
    guest.state = RunState::Running;
    let tap = tap_name(guest.uuid, 0).unwrap();
    let seen = Interface { mark: taps::token(guest.uuid, 0), bridge: Some("bridge0".into()), ..Interface::new(IfKind::Tap) };
    let more = [("bridge0", bridge_of(&[])), (tap.as_str(), seen)];
    let design = &[("bridge1.private", "yes")];
    let world = world(Os::Linux, design, vec![guest.clone()]);
    let (plan, _) = nics::relocate(&world, &facts(Os::Linux, design, &more), &guest, None, &"bridge1".parse().unwrap()).unwrap();
    insta::assert_snapshot!(plan.script(Os::Linux));
    let nowhere = nics::relocate(&world, &facts(Os::Linux, design, &more), &guest, None, &"bridge7".parse().unwrap());
    assert!(nowhere.unwrap_err().to_string().contains("bridge7"));
}

#[test]
fn all_of_a_bridge_moves_to_another() {
    let mut guest = testing::guest("web01", &[("net0.backend", "bridge"), ("net0.bridge", "bridge0")]);
    guest.state = RunState::Running;
    let tap = tap_name(guest.uuid, 0).unwrap();
    let inside = |kind| Interface { bridge: Some("bridge0".into()), ..Interface::new(kind) };
    let more = [
        ("bridge0", Interface { mark: APPLIED.into(), ..bridge_of(&[]) }),
        ("em5", inside(IfKind::Physical)),
        (tap.as_str(), Interface { mark: taps::token(guest.uuid, 0), ..inside(IfKind::Tap) }),
    ];
    let design = &[("bridge0.uplink", "em5"), ("bridge0.description", "office")];
    let world = world(Os::Linux, design, vec![guest]);
    let facts = facts(Os::Linux, design, &more);
    let planned = migrate::migrate(&world, &facts, &own(&[]), &"bridge0".parse().unwrap(), &"lan".parse().unwrap()).unwrap();
    insta::assert_snapshot!(planned.plan.script(Os::Linux));
    // A default that came with a stream does not become this host's own.
    let mut defaults = own(&[("bridge", "bridge0")]);
    let text = |defaults: &crate::property::settings::OwnValues| {
        let planned = migrate::migrate(&world, &facts, defaults, &"bridge0".parse().unwrap(), &"lan".parse().unwrap()).unwrap();
        planned.plan.script(Os::Linux)
    };
    assert!(text(&defaults).contains("zfs set chyves:bridge=lan tank/chyves/guests\n"), "{}", text(&defaults));
    for own in defaults.values_mut() {
        own.received = true;
    }
    let kept = text(&defaults);
    assert!(!kept.contains("chyves:bridge=lan") && kept.contains("`chyves network default lan`"), "{kept}");
}

#[test]
fn nics_come_and_go() {
    let guest = testing::guest("web01", &[("net0.backend", "user"), ("net0.mac", "58:9c:fc:00:00:01")]);
    let other = testing::guest("web02", &[("net0.backend", "bridge"), ("net0.tap", "tap5")]);
    let world = world(Os::Linux, &[], vec![guest.clone(), other]);
    let tap = |tap: &str| nics::What::Tap { tap: Some(tap.parse().unwrap()), bridge: Some("lan".parse().unwrap()) };
    let (plan, number) = nics::add(&world, &guest, &tap("tap7"), &[("model".into(), "e1000".into())]).unwrap();
    assert_eq!(number, 1);
    let text = plan.script(Os::Linux);
    for key in ["net1.backend=bridge", "net1.tap=tap7", "net1.bridge=lan", "net1.model=e1000"] {
        assert!(text.contains(key), "{key}: {text}");
    }
    let refused = |what: &nics::What, set: &[(&str, &str)]| {
        let set: Vec<_> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        nics::add(&world, &guest, what, &set).unwrap_err()
    };
    for (what, set, why) in [
        (tap("tap5"), &[][..], "`web02` already"),
        (tap("tap33000"), &[], "up to 32767"),
        (nics::What::Vale("vale0:1".into()), &[], "are FreeBSD's"),
        (nics::What::User, &[("mac", "01:00:5e:00:00:01")], "multicast"),
        (nics::What::User, &[("mac", "58:9C:FC:00:00:01")], "net0 of `web01` already"),
        (nics::What::User, &[("vlan", "4095")], "4094"),
        (nics::What::User, &[("net1.bridge", "a-name-that-is-too-long")], "characters"),
        (nics::What::User, &[("ram", "1G")], "no property"),
    ] {
        let problem = refused(&what, set);
        assert!(problem.to_string().contains(why) || problem.hints.join(" ").contains(why), "{why}: {problem} {:?}", problem.hints);
    }
    let (gone, _) = nics::remove(&world, &guest, "net0").unwrap();
    assert!(gone.script(Os::Linux).contains("zfs inherit chyves:net0.mac"));
    assert!(nics::remove(&world, &guest, "net7").unwrap_err().hints.join(" ").contains("net0"));
}

#[test]
fn manual_changes_nothing_but_the_settings() {
    let design = &[("network_mode", "manual")];
    let text = change(design, &[], "bridge0", &Wish::Private(Vec::new()));
    assert!(text.contains("zfs set chyves:bridge0.private=yes") && !text.contains("ip link"), "{text}");
    assert_eq!(Design::read(&own(&[("network_mode", "auto")])).unwrap().mode, Mode::System);
}

#[test]
fn guests_behind_the_host_s_address_get_rules_of_their_own() {
    let wish = Wish::Set(vec![("nat".into(), "em0".into()), ("address".into(), "10.9.0.1/24".into()), ("dhcp".into(), "yes".into())]);
    let world = world(Os::Linux, &[], Vec::new());
    let planned = bridge::change(&world, &facts(Os::Linux, &[], &[]), &"bridge0".parse().unwrap(), &wish).unwrap();
    insta::assert_snapshot!("nat", planned.plan.script(Os::Linux));
    let design = Design::read(&own(&[("bridge0.nat", "em0"), ("bridge0.address", "10.9.0.1/24"), ("bridge0.dhcp", "yes")])).unwrap();
    let spec = design.find("bridge0").unwrap();
    insta::assert_snapshot!("nftables", crate::network::nat::nftables(spec).unwrap());
    insta::assert_snapshot!("pf", crate::network::nat::pf(spec).unwrap());
    insta::assert_snapshot!("dnsmasq", crate::network::nat::dnsmasq("/run/chyves", spec).unwrap());
}

#[test]
fn a_start_brings_up_what_its_bridge_wants_beside_interfaces() {
    let design = &[("bridge0.nat", "em0"), ("bridge0.address", "10.9.0.1/24"), ("bridge0.dhcp", "yes")];
    let text = start(Os::Linux, (6, 1), design, &[], NIC);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(at("nft -f") < at("ip address add 10.9.0.1/24") && at("ip address add 10.9.0.1/24") < at("dnsmasq --conf-file"));
    assert!(at("dnsmasq --conf-file") < at("the rules of bridge0 are loaded"), "proved last: {text}");
    // On FreeBSD the packet filter is left to the administrator; the DHCP server is not.
    let text = start(Os::FreeBsd, (14, 3), design, &[], NIC);
    assert!(!text.contains("rules") && text.contains("dnsmasq --conf-file"), "{text}");
    let by_hand = [&[("network_mode", "manual")][..], design].concat();
    let there = Interface { addresses: vec!["10.9.0.1/24".parse().unwrap()], ..bridge_of(&[]) };
    let refused = start(Os::Linux, (6, 1), &by_hand, &[("bridge0", there)], NIC);
    assert!(refused.contains("are not loaded") && refused.contains("network plan"), "{refused}");
}

#[test]
fn more_taps_than_a_host_can_have_are_refused() {
    let guest = testing::guest("web01", NIC);
    let mut facts = facts(Os::Linux, &[("bridge0.private", "yes")], &[]);
    let host = testing::world(Vec::new()).host;
    let fill = |facts: &mut Facts, from: u32, to: u32| {
        facts.actual.interfaces.extend((from..to).map(|n| (format!("t{n}"), Interface::new(IfKind::Tap))));
    };
    fill(&mut facts, 0, crate::network::MOST_UNITS - 1);
    assert!(attach::attach(&host, &facts, &[(&guest, &guest.spec().unwrap())]).is_ok(), "the last one fits");
    fill(&mut facts, crate::network::MOST_UNITS - 1, 33_000);
    let refused = attach::attach(&host, &facts, &[(&guest, &guest.spec().unwrap())]).unwrap_err();
    assert!(refused.to_string().contains("33001 taps") && refused.hints.join(" ").contains("reclaim"), "{refused}");
}

/// A guest that runs since it was started on `lan2`, with the settings of its next start, and its tap in that bridge.
fn on_lan2(next: &[(&str, &str)], tap_in: Option<&str>) -> (World, Facts) {
    let design = &[("bridge2.name", "lan2"), ("bridge2.private", "yes"), ("bridge3.name", "lan3"), ("bridge3.private", "yes")];
    let mut guest = testing::guest("web", next);
    guest.state = RunState::Running;
    let tap = tap_name(guest.uuid, 0).unwrap();
    let bridge = || Interface { mark: APPLIED.into(), ..bridge_of(&[]) };
    let seen = |bridge: &str| Interface {
        mark: taps::token(guest.uuid, 0),
        bridge: (!bridge.is_empty()).then(|| bridge.to_owned()),
        ..Interface::new(IfKind::Tap)
    };
    let mut more = vec![("lan2", bridge()), ("lan3", bridge())];
    more.extend(tap_in.map(|bridge| (tap.as_str(), seen(bridge))));
    let mut facts = facts(Os::Linux, design, &more);
    let made_of = [("net0.backend", "bridge"), ("net0.bridge", "lan2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    facts.actual.runs.insert(guest.uuid, made_of.into());
    (world(Os::Linux, design, vec![guest.clone()]), facts)
}

const LAN2: &[(&str, &str)] = &[("net0.backend", "bridge"), ("net0.bridge", "lan2")];
const LAN3: &[(&str, &str)] = &[("net0.backend", "bridge"), ("net0.bridge", "lan3")];

fn says((world, facts): &(World, Facts)) -> Vec<String> {
    apply::differences(world, facts).into_iter().map(|d| format!("{}: {}", d.object, d.says)).collect()
}

#[test]
fn a_running_guest_is_where_it_was_started_and_not_where_its_next_start_is() {
    let lan = |name: &str| name.parse().unwrap();
    // Changed for the next start only: nothing differs, nothing moves, and neither bridge goes.
    let (world, facts) = on_lan2(LAN3, Some("lan2"));
    assert!(apply::differences(&world, &facts).is_empty());
    assert!(apply::apply(&world, &facts, &[]).unwrap().plan.steps.is_empty());
    for name in ["lan2", "lan3"] {
        let refused = bridge::change(&world, &facts, &lan(name), &Wish::Delete).unwrap_err();
        assert!(refused.message.contains("is the bridge of web"), "{name}: {refused}");
    }
    // All of lan2 moves with the guest that runs there.
    let moved = migrate::migrate(&world, &facts, &own(&[]), &lan("lan2"), &lan("lan4")).unwrap().plan.script(Os::Linux);
    assert!(moved.contains(&format!("ip link set dev {} master lan4", tap_name(world.guests[0].uuid, 0).unwrap())), "{moved}");
    // `network move` has moved it while it runs.
    let (world, facts) = on_lan2(LAN3, Some("lan3"));
    assert!(apply::differences(&world, &facts).is_empty());
    assert!(bridge::change(&world, &facts, &lan("lan2"), &Wish::Delete).is_ok());
    assert!(bridge::change(&world, &facts, &lan("lan3"), &Wish::Delete).is_err());
    // The settings without the NIC are those of the next start.
    let (world, facts) = on_lan2(&[], Some("lan2"));
    assert!(bridge::change(&world, &facts, &lan("lan2"), &Wish::Delete).is_err());
    // Out of its bridge: it goes back where it was started; with two to choose from, chyves does not choose.
    let back = says(&on_lan2(LAN2, Some("")));
    assert!(back[..].iter().any(|s| s.contains("in no bridge instead of lan2")) && back.len() == 1, "{back:?}");
    let (world, facts) = on_lan2(LAN3, Some(""));
    let two = says(&(world.clone(), facts.clone()));
    assert!(two[..].iter().any(|s| s.contains("it was started on lan2, and its settings name lan3")) && two.len() == 1, "{two:?}");
    assert!(apply::apply(&world, &facts, &[]).unwrap().plan.steps.is_empty());
}

#[test]
fn a_tap_that_is_gone_is_told_of_the_nic_that_runs_alone() {
    let gone = says(&on_lan2(LAN2, None));
    assert!(gone.len() == 1 && gone[0].starts_with("web net0: its tap chv") && gone[0].contains("is gone"), "{gone:?}");
    // A NIC of the next start has none yet.
    let more = [LAN2, &[("net1.backend", "bridge"), ("net1.bridge", "lan3")]].concat();
    assert_eq!(says(&on_lan2(&more, Some("lan2"))), [""; 0]);
    let (mut world, facts) = on_lan2(LAN2, None);
    world.guests[0].state = RunState::Stopping;
    assert_eq!(says(&(world, facts)), [""; 0], "at its end they go");
}

#[test]
fn a_nic_on_a_bridge_that_neither_is_nor_will_be_is_told() {
    let of = |settings: &[(&str, &str)], design: &[(&str, &str)], more: &[(&str, Interface)]| {
        says(&(world(Os::Linux, design, vec![testing::guest("web", settings)]), facts(Os::Linux, design, more)))
    };
    let lan: &[(&str, &str)] = &[("net0.backend", "bridge"), ("net0.bridge", "lan")];
    assert_eq!(of(lan, &[], &[]), ["web net0: there is no bridge `lan`"]);
    assert_eq!(of(lan, &[("bridge0.name", "lan"), ("bridge0.private", "yes")], &[]), [""; 0], "a start creates it");
    assert_eq!(of(lan, &[], &[("lan", bridge_of(&[]))]), [""; 0]);
    assert_eq!(of(lan, &[], &[("lan", Interface::new(IfKind::Pair))]).len(), 1);
    assert_eq!(of(&[lan, &[("net0.optional", "yes")]].concat(), &[], &[]), [""; 0], "it starts without");
    // What runs is on another bridge, and the next start has none.
    let next = says(&on_lan2(lan, Some("lan2")));
    assert_eq!(next, ["web net0: there is no bridge `lan`"]);
}

#[test]
fn a_vanished_uplink_takes_no_address_without_consent() {
    use crate::network::address::Moved;
    use crate::os::{Assigned, assigned::Detail};
    let design = &[("bridge0.name", "lan"), ("bridge0.private", "yes"), ("bridge0.address", "10.7.0.1/24")];
    let lan = Interface { mark: APPLIED.into(), addresses: vec!["10.7.0.1/24".parse().unwrap()], ..bridge_of(&[]) };
    let world = world(Os::Linux, design, Vec::new());
    let mut facts = facts(Os::Linux, design, &[("lan", lan)]);
    let touches = |facts: &Facts| bridge::change(&world, facts, &"lan".parse().unwrap(), &Wish::Delete).unwrap().touches;
    assert_eq!(touches(&facts), [""; 0], "the settings gave it that address");
    let had = Assigned { address: "10.7.0.1/24".parse().unwrap(), detail: Detail::default() };
    let from = |name: &str| Moved { from: name.parse().unwrap(), addresses: vec![had.clone()], routes: Vec::new() };
    facts.actual.moved.insert("lan".into(), from("em9"));
    assert_eq!(touches(&facts), ["the host loses 10.7.0.1/24 with lan, because em9 cannot have it back"]);
    facts.actual.moved.insert("lan".into(), from("em1"));
    assert_eq!(touches(&facts), [""; 0], "em1 has it back");
}
