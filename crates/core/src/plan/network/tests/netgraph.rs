//! Plans for bridges that are netgraph nodes.

use super::*;
use crate::network::compare::Close;
use crate::network::{compare, wiring};
use crate::os::netgraph::{BRIDGE, ETHER, Graph, Hook, Made, Node};
use crate::world::World;
use std::collections::BTreeSet;
use uuid::Uuid;

const LAN: &[(&str, &str)] = &[("bridge7.name", "lan"), ("bridge7.type", "netgraph"), ("bridge7.uplink", "em0")];
const TAGGED: &[(&str, &str)] = &[("bridge7.name", "lan"), ("bridge7.type", "netgraph"), ("bridge7.uplink", "em0"), ("bridge7.vlan", "5")];
const LAB: &[(&str, &str)] = &[("bridge7.name", "lan"), ("bridge7.type", "netgraph"), ("bridge7.private", "yes")];
const HOOK: &[(&str, &str)] = &[("net0.backend", "netgraph"), ("net0.netgraph", "lan:")];

/// What is connected to the existing node `lan`.
#[derive(Clone, Copy)]
struct There<'a> {
    /// The interface with both its hooks on the node.
    uplink: Option<&'a str>,
    /// The node's mark.
    mark: &'a str,
    /// A hook that a VM has opened.
    machine: bool,
    /// A guest that was started with a hook on it.
    claim: Option<Uuid>,
}

const BARE: There<'_> = There { uplink: Some("em0"), mark: APPLIED, machine: false, claim: None };

/// Nodes of the interfaces `em0`, `em1` and `em0.5`, and `lan` if it exists.
fn graph(lan: Option<There<'_>>) -> Graph {
    let hook = |own: &str, peer, kind: &str, other: &str| Hook { own: own.into(), peer, peer_kind: kind.into(), peer_hook: other.into() };
    let node = |name: &str, kind: &str, hooks| Node { name: Some(name.into()), kind: kind.into(), hooks };
    let ids = [("em0", 2), ("em1", 3), ("em0_5", 4)];
    let mut graph = Graph::default();
    for (name, id) in ids {
        let on = lan.and_then(|l| l.uplink).is_some_and(|u| u.replace('.', "_") == name);
        let hooks = if on { vec![hook("upper", 28, BRIDGE, "link1"), hook("lower", 28, BRIDGE, "link0")] } else { Vec::new() };
        graph.nodes.insert(id, node(name, ETHER, hooks));
    }
    if let Some(there) = lan {
        let mut hooks = Vec::new();
        if let Some(uplink) = there.uplink {
            let id = ids.iter().find(|(name, _)| *name == uplink.replace('.', "_")).unwrap().1;
            hooks.extend([hook("link0", id, ETHER, "lower"), hook("link1", id, ETHER, "upper")]);
        }
        hooks.extend(there.machine.then(|| hook("link2", 30, "socket", "vmlink")));
        graph.nodes.insert(28, node("lan", BRIDGE, hooks));
        if !there.mark.is_empty() {
            graph.made.insert("lan".into(), Made { mark: there.mark.into(), id: 28, boot: "now".into() });
        }
        graph.claims = there.claim.map(|guest| ("lan".to_owned(), BTreeSet::from([guest]))).into_iter().collect();
    }
    graph
}

fn on_netgraph(design: &[(&str, &str)], more: &[(&str, Interface)], lan: Option<There<'_>>) -> Facts {
    let mut facts = facts(Os::FreeBsd, design, more);
    facts.actual.add_graph(graph(lan));
    facts
}

fn shown(planned: crate::error::Result<bridge::Planned>) -> String {
    match planned {
        Ok(planned) => {
            let touches = planned.touches.iter().fold(String::new(), |all, t| all + "! " + t + "\n");
            planned.plan.script(Os::FreeBsd) + &touches
        }
        Err(problem) => told(&problem),
    }
}

fn told(problem: &crate::error::Problem) -> String {
    format!("{problem}\n{}\n", problem.hints.join("\n"))
}

fn changed(design: &[(&str, &str)], more: &[(&str, Interface)], lan: Option<There<'_>>, name: &str, wish: &Wish) -> String {
    let world = world(Os::FreeBsd, design, Vec::new());
    shown(bridge::change(&world, &on_netgraph(design, more, lan), &name.parse().unwrap(), wish))
}

fn started(design: &[(&str, &str)], more: &[(&str, Interface)], lan: Option<There<'_>>, settings: &[(&str, &str)]) -> String {
    let guest = testing::guest("web01", settings);
    let host = testing::freebsd();
    match attach::attach(&host, &on_netgraph(design, more, lan), &[(&guest, &guest.spec().unwrap())]) {
        Ok(attached) => Plan { notes: attached.notes.clone(), steps: attached.steps("/run/chyves") }.script(Os::FreeBsd),
        Err(problem) => told(&problem),
    }
}

fn attached(uplink: &str, vlan: Option<u16>) -> Wish {
    Wish::Attach { uplink: uplink.parse().unwrap(), vlan, settings: vec![("type".into(), "netgraph".into())] }
}

fn vlan5(mark: &str, bridge: Option<&str>) -> (&'static str, Interface) {
    let vlan = Interface { vlan: Some(("em0".into(), 5)), mark: mark.into(), ..Interface::new(IfKind::Vlan) };
    ("em0.5", Interface { bridge: bridge.map(str::to_owned), ..vlan })
}

#[test]
fn a_node_is_designed_and_made_by_one_command() {
    insta::assert_snapshot!("attach", changed(&[], &[], None, "lan", &attached("em0", None)));
    insta::assert_snapshot!("attach_vlan", changed(&[], &[], None, "lan", &attached("em0", Some(5))));
    let private = Wish::Private(vec![("kind".into(), "netgraph".into())]);
    insta::assert_snapshot!("private", changed(&[], &[], None, "lan", &private));
    assert_eq!(changed(LAN, &[], Some(BARE), "lan", &attached("em0", None)), "# note: lan is already set so\n", "nothing is left to do");
    // Another uplink, and then none: the interface is restored to its former state.
    insta::assert_snapshot!("another", changed(LAN, &[], Some(BARE), "lan", &attached("em1", None)));
    insta::assert_snapshot!("detach", changed(LAN, &[], Some(BARE), "lan", &Wish::Detach { uplink: None }));
    insta::assert_snapshot!("delete", changed(LAN, &[], Some(BARE), "lan", &Wish::Delete));
    let of_vlan = There { uplink: Some("em0.5"), ..BARE };
    insta::assert_snapshot!("delete_vlan", changed(TAGGED, &[vlan5(APPLIED, None)], Some(of_vlan), "lan", &Wish::Delete));
}

#[test]
fn a_start_makes_its_node_and_leaves_a_claim() {
    insta::assert_snapshot!("start", started(LAN, &[], None, HOOK));
    insta::assert_snapshot!("start_vlan", started(TAGGED, &[], None, HOOK));
    insta::assert_snapshot!("start_private", started(LAB, &[], None, HOOK));
    insta::assert_snapshot!("start_there", started(LAN, &[], Some(BARE), HOOK));
    // An explicit hook is on the same node; a node that is not in the design is not inspected here.
    assert!(started(LAN, &[], None, &[("net0.backend", "netgraph"), ("net0.netgraph", "lan:link7")]).contains("name .:made lan"));
    assert_eq!(started(LAN, &[], None, &[("net0.backend", "netgraph"), ("net0.netgraph", "wan:")]), "");
    // A node that somebody else created is used as it is; whether the host is connected to it is up to its owner.
    let theirs = There { mark: "", ..BARE };
    assert!(!started(LAN, &[], Some(theirs), HOOK).contains("ngctl -f"));
    // The node's configuration is completed with a free link.
    let busy = There { uplink: None, machine: true, ..BARE };
    let text = started(LAN, &[], Some(busy), HOOK);
    assert!(text.contains("connect em0: lan: upper link1") && text.contains("connect em0: lan: lower link0"), "{text}");
}

/// The design, interfaces besides the usual ones, the node, the guest's settings, and the expected error.
type Refusal<'a> = (&'a [(&'a str, &'a str)], Vec<(&'a str, Interface)>, Option<There<'a>>, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn each_refusal_of_netgraph_names_its_cause_and_its_cure() {
    let em7 = |of: &str| ("em7", Interface { bridge: Some(of.into()), ..Interface::new(IfKind::Physical) });
    let bare = There { uplink: None, ..BARE };
    let theirs = There { mark: "", ..bare };
    let by_hand = [LAN, &[("network_mode", "manual")]].concat();
    let em9 = [&LAN[..2], &[("bridge7.uplink", "em9")]].concat();
    let em7_up = [&LAN[..2], &[("bridge7.uplink", "em7")]].concat();
    let lo = [&LAN[..2], &[("bridge7.uplink", "lo0")]].concat();
    let bridge = [&LAN[..1], &LAN[2..]].concat();
    let on_tap = &[("net0.backend", "bridge"), ("net0.bridge", "lan")][..];
    let cases: Vec<Refusal<'_>> = vec![
        (&em9, vec![], None, HOOK, "`em9` is not there"),
        (&lo, vec![], None, HOOK, "the loopback"),
        (&em7_up, vec![("bridge0", bridge_of(&[])), em7("bridge0")], None, HOOK, "in the bridge `bridge0`"),
        (LAN, vec![("lan", Interface::new(IfKind::Physical))], None, HOOK, "is a NIC, no netgraph bridge"),
        (LAN, vec![("lan", bridge_of(&[]))], None, HOOK, "`lan` is a bridge, no netgraph bridge"),
        (TAGGED, vec![("em0.5", Interface::new(IfKind::Pair))], None, HOOK, "not the VLAN 5"),
        (LAN, vec![], Some(theirs), HOOK, "chyves did not create the node `lan:`"),
        (&by_hand, vec![], None, HOOK, "by hand"),
        (&by_hand, vec![], None, HOOK, "kldload -n ng_ether"),
        (&by_hand, vec![], None, HOOK, "| ngctl -f - && printf"),
        (LAN, vec![], None, on_tap, "network web01 move net0 lan"),
        (&bridge, vec![], None, HOOK, "no node of netgraph"),
        // The opposite case: a bridge with a name or uplink that a node uses by now.
        (&bridge, vec![], Some(bare), on_tap, "`lan` is a netgraph bridge, no interface"),
        (&[("bridge0.uplink", "em0")], vec![], Some(BARE), NIC, "in the bridge `lan`"),
    ];
    for (design, more, lan, settings, why) in cases {
        let text = started(design, &more, lan, settings);
        let lines = text.lines().filter(|l| !l.is_empty()).count();
        assert!(text.contains(why) && lines > 1 && !text.contains("# create"), "{why}: {text}");
    }
    // Hooks that are in use, and a node of another type.
    let mut facts = on_netgraph(LAN, &[], None);
    let nodes = &mut facts.actual.graph.as_mut().unwrap().nodes;
    nodes.get_mut(&2).unwrap().hooks.push(Hook { own: "lower".into(), peer: 9, peer_kind: "tee".into(), peer_hook: "right".into() });
    let room = |facts: &Facts| -> String {
        let host = testing::freebsd();
        let spec = facts.design.find("lan").unwrap();
        let told_of = |d: compare::Difference| if let Close::Cant(problem) = d.close { told(&problem) } else { d.says };
        compare::bridge(&facts.room(&host), spec).into_iter().map(told_of).collect()
    };
    assert!(room(&facts).contains("`lower` of its uplink `em0` is connected to another node"), "{}", room(&facts));
    facts.actual.graph.as_mut().unwrap().nodes.insert(9, Node { name: Some("lan".into()), kind: "hub".into(), hooks: Vec::new() });
    assert!(room(&facts).contains("is of the type hub, no bridge"), "{}", room(&facts));
}

#[test]
fn what_a_node_can_t_have_changes_nothing() {
    for (word, value) in [("mtu", "9000"), ("address", "10.0.0.1/24"), ("address6", "fd00::1/64"), ("filtering", "yes"), ("dhcp", "yes")] {
        let settings = vec![("type".into(), "netgraph".into()), (word.into(), value.into())];
        let wish = Wish::Attach { uplink: "em0".parse().unwrap(), vlan: None, settings };
        let text = changed(&[], &[], None, "lan", &wish);
        let part = word.trim_end_matches('6');
        assert!(text.contains(&format!("can have no {part}")) && text.contains("chyves unset global") && !text.contains("zfs"), "{text}");
    }
    let hidden = Wish::Set([("type", "netgraph"), ("nat", "em0")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec());
    assert!(changed(&[], &[], None, "lan", &hidden).contains("can have no nat"));
    assert!(changed(&[], &[], None, "br.5", &attached("em0", None)).contains("`br.5` is not a valid name"));
    assert!(changed(&[], &[], None, "lan", &attached("em9", None)).contains("`em9` is not there"));
    let vale = Wish::Set(vec![("type".into(), "vale".into())]);
    assert!(changed(&[], &[], None, "lan", &vale).contains("netgraph"));
    // The Linux build does not support netgraph.
    let world = world(Os::Linux, &[], Vec::new());
    let refused = bridge::change(&world, &facts(Os::Linux, &[], &[]), &"lan".parse().unwrap(), &attached("em0", None)).unwrap_err();
    assert!(told(&refused).contains("which only FreeBSD has"), "{refused}");
    let spec = crate::network::BridgeSpec { netgraph: true, ..crate::network::BridgeSpec::new(0, "lan".parse().unwrap()) };
    assert!(wiring::not_here(Os::FreeBsd, &spec).is_none());
}

#[test]
fn who_is_on_a_node_keeps_it() {
    let guest = testing::guest("web01", HOOK);
    let there = There { claim: Some(guest.uuid), machine: true, ..BARE };
    let with = |design: &[(&str, &str)], guests: Vec<crate::guest::Guest>, wish: &Wish| {
        let world: World = world(Os::FreeBsd, design, guests);
        shown(bridge::change(&world, &on_netgraph(design, &[], Some(there)), &"lan".parse().unwrap(), wish))
    };
    let deleted = with(LAN, vec![guest.clone()], &Wish::Delete);
    assert!(deleted.contains("`lan` is the bridge of web01"), "{deleted}");
    // The guest's settings name another bridge by now, but its VM still uses this one.
    let moved = crate::guest::Guest { uuid: guest.uuid, ..testing::guest("web01", &[]) };
    assert!(with(LAN, vec![moved], &Wish::Delete).contains("`lan` is the bridge of web01"));
    assert!(with(LAN, vec![guest], &Wish::Detach { uplink: None }).contains("guests that run"));
    // A node that somebody else created is kept, and so is everything connected to it.
    let theirs = There { mark: "", ..BARE };
    for wish in [Wish::Delete, Wish::Detach { uplink: None }, attached("em0", None)] {
        let text = changed(LAN, &[], Some(theirs), "lan", &wish);
        assert!(!text.contains("ngctl"), "{wish:?}: {text}");
    }
    assert!(changed(LAN, &[], Some(theirs), "lan", &Wish::Delete).contains("the node lan is kept: chyves did not create it"));
    // A change of the interface with the default route is reported.
    let mut facts = on_netgraph(&[], &[], None);
    facts.actual.default_routes = vec![(None, "em0".into())];
    let world = world(Os::FreeBsd, &[], Vec::new());
    assert!(
        shown(bridge::change(&world, &facts, &"lan".parse().unwrap(), &attached("em0", None))).contains("! em0 carries the default route")
    );
}

#[test]
fn what_a_start_made_of_netgraph_goes_with_the_last_guest() {
    let (mine, other) = (testing::guest("web", &[]).uuid, testing::guest("web2", &[]).uuid);
    let left = |design: &[(&str, &str)], more: &[(&str, Interface)], there: There<'_>| {
        let facts = on_netgraph(design, more, Some(there));
        let intents = tidy::tidy(&facts.design, &facts.actual, Some(mine), &[]);
        intents.iter().flat_map(|i| i.commands(Os::FreeBsd)).fold(String::new(), |all, c| all + &c.to_string() + "\n")
    };
    let started = There { mark: STARTED, ..BARE };
    insta::assert_snapshot!("tidy", left(LAN, &[], started));
    let of_vlan = There { uplink: Some("em0.5"), ..started };
    insta::assert_snapshot!("tidy_vlan", left(TAGGED, &[vlan5(STARTED, None)], of_vlan));
    // The guest's own claim does not keep the node.
    assert!(left(LAN, &[], There { claim: Some(mine), ..started }).contains("shutdown lan:"));
    for (there, why) in [
        (There { claim: Some(other), ..started }, "another guest is about to run on it"),
        (There { machine: true, ..started }, "somebody's machine is on it"),
        (BARE, "a command made it"),
        (There { mark: "", ..BARE }, "somebody else made it"),
    ] {
        assert_eq!(left(LAN, &[], there), "", "{why}");
    }
}

#[test]
fn what_was_cut_off_is_taken_back_and_nothing_of_others() {
    let node = || "lan".parse().unwrap();
    let make = Intent::MakeNode { node: node(), owner: STARTED.into() };
    let wire = Intent::Wire { node: node(), interface: "em0".parse().unwrap(), lower: Some(0), upper: Some(1) };
    let seen = |lan: Option<There<'_>>, intent: &Intent| tidy::is_in_effect(&on_netgraph(LAN, &[], lan).actual, intent);
    let bare = There { uplink: None, mark: STARTED, ..BARE };
    // Interrupted before its mark was set, the node is still ours, because its name did not exist before.
    assert!(seen(Some(bare), &make) && seen(Some(There { mark: "", ..bare }), &make) && !seen(None, &make));
    let claimed = Some(Uuid::from_u128(7));
    for other in [
        There { claim: claimed, ..bare },
        There { machine: true, ..bare },
        There { uplink: Some("em1"), ..bare },
        There { mark: APPLIED, ..bare },
    ] {
        assert!(!seen(Some(other), &make));
    }
    let on = There { mark: STARTED, ..BARE };
    assert!(seen(Some(on), &wire) && !seen(Some(bare), &wire));
    assert!(!seen(Some(There { claim: claimed, ..on }), &wire) && !seen(Some(There { machine: true, ..on }), &wire));
    let opposite = wire.opposite().unwrap();
    assert!(seen(Some(bare), &opposite) && !seen(Some(on), &opposite));
    assert!(seen(None, &make.opposite().unwrap()) && !seen(Some(bare), &make.opposite().unwrap()));
    let mark = Intent::MarkNode { node: node(), from: STARTED.into(), to: APPLIED.into() };
    assert!(seen(Some(BARE), &mark) && !seen(Some(on), &mark));
    // Each intent is undone by its opposite.
    for intent in [make, wire, mark] {
        assert_eq!(intent.opposite().and_then(|i| i.opposite()), Some(intent));
    }
}

#[test]
fn differences_of_nodes_are_told_and_closed() {
    let world = world(Os::FreeBsd, LAN, vec![running()]);
    let closed = |lan: Option<There<'_>>| shown(apply::apply(&world, &on_netgraph(LAN, &[], lan), &[]));
    insta::assert_snapshot!("apply", closed(None));
    assert!(closed(Some(BARE)).contains("as configured"));
    // A node that a start created becomes permanent.
    let kept = closed(Some(There { mark: STARTED, ..BARE }));
    assert!(kept.contains("mark lan with chyves/network/applied"), "{kept}");
    let says: Vec<String> = apply::differences(&world, &on_netgraph(LAN, &[], None)).into_iter().map(|d| d.says).collect();
    assert_eq!(says, ["it is not there", "em0 is not in it"]);
    assert!(apply::differences(&world, &on_netgraph(LAN, &[], Some(BARE))).is_empty());
    let idle = testing::world(Vec::new());
    let facts = on_netgraph(LAN, &[], None);
    assert_eq!(apply::waiting(&idle, &facts).len(), 1, "no guest is on it: a start makes it");
}

fn running() -> Guest {
    let mut guest = testing::guest("web01", HOOK);
    guest.state = RunState::Running;
    guest
}

#[test]
fn nics_move_to_a_node_and_all_of_it_to_another() {
    let world = world(Os::FreeBsd, LAN, vec![running()]);
    let there = on_netgraph(LAN, &[], Some(BARE));
    let tap = testing::guest("web01", &[("net0.backend", "bridge")]);
    let (plan, _) = nics::relocate(&world, &there, &tap, None, &"lan".parse().unwrap()).unwrap();
    insta::assert_snapshot!("nic_to_node", plan.script(Os::FreeBsd));
    let (plan, _) = nics::relocate(&world, &there, &running(), None, &"lan".parse().unwrap()).unwrap();
    assert!(plan.steps.is_empty() && plan.notes[0].contains("already"));
    let to = |facts: &Facts, world: &World, to: &str| {
        shown(migrate::migrate(world, facts, &own(&[]), &"lan".parse().unwrap(), &to.parse().unwrap()))
    };
    insta::assert_snapshot!("migrate", to(&there, &world, "dmz"));
    let claimed = on_netgraph(LAN, &[], Some(There { claim: Some(running().uuid), ..BARE }));
    assert!(to(&claimed, &world, "dmz").contains("until they are stopped"));
    let both = [LAN, &[("bridge0.private", "yes")]].concat();
    let facts = on_netgraph(&both, &[], Some(BARE));
    let world = super::world(Os::FreeBsd, &both, Vec::new());
    assert!(to(&facts, &world, "bridge0").contains("move each NIC by itself"));
    let refused = bridge::default(&world, &facts, &world.roots[0], &own(&[]), &"lan".parse().unwrap()).unwrap_err();
    assert!(told(&refused).contains("takes none"), "{refused}");
}
