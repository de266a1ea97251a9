//! A FreeBSD host, played by the lab: bridges that are nodes of netgraph, designed, made, verified and removed by chyves, and
//! those of somebody else, which are used and left.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With, until};

/// The nodes that have a name, each with its type and hooks, but for processes' own; and all interfaces.
fn shape(host: &Host) -> String {
    let mut text = format!("{}\n", host.sh("ifconfig", &["-l"]).trim());
    // Without the module there are none, and asking would load it.
    if !host.command("kldstat").args(["-q", "-m", "ng_socket"]).status().unwrap().success() {
        return text;
    }
    let list = host.sh("ngctl", &["list", "-l"]);
    let mut nodes: Vec<String> = list
        .split("\n\n")
        .map(|block| {
            let rows = block.lines().filter(|l| !l.starts_with("There are"));
            let words = rows
                .map(|l| l.split_whitespace().collect::<Vec<_>>())
                .filter(|w| !w.is_empty() && !w[0].starts_with('-') && w[0] != "Local");
            let mut rows: Vec<String> = words
                .map(|w| if w[0] == "Name:" { format!("{} {}", w[1], w[3]) } else { format!("  {} {} {} {}", w[0], w[1], w[2], w[4]) })
                .collect();
            rows[1..].sort();
            rows.join("\n")
        })
        .filter(|node| !node.starts_with("ngctl") && !node.starts_with("<unnamed>"))
        .collect();
    nodes.sort();
    text.push_str(&nodes.join("\n"));
    text
}

/// Everything that a refused command must not have changed.
fn everything(host: &Host) -> String {
    let own = host.sh("zfs", &["get", "-H", "-s", "local", "-o", "property,value", "all", &format!("{}/chyves", host.pool)]);
    let notes: Vec<String> = notes(host);
    format!("{}\n{own}{notes:?}", shape(host))
}

/// What chyves has written down of nodes.
fn notes(host: &Host) -> Vec<String> {
    let folder = host.open_path(host.run_dir().join("network/nodes"));
    let mut all: Vec<String> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

fn ngctl(host: &Host, line: &str) {
    host.sh("ngctl", &line.split(' ').collect::<Vec<_>>());
}

fn stop(host: &Host, guest: &str) {
    host.ok(&format!("stop {guest} --force --timeout 0"));
    until("the guest to be stopped", || (host.state(guest) == "stopped").then_some(()));
}

fn flags(host: &Host, node: &str) -> (bool, bool) {
    let on = |word: &str| host.sh("ngctl", &["msg", node, word]).ends_with("Args:\t1\n");
    (on("getpromisc"), on("getautosrc"))
}

const HOOK: &str = "--ram 64M net0.backend=netgraph net0.netgraph=lan:";

#[test]
fn one_command_designs_a_node_and_makes_it() {
    let Some(host) = Host::freebsd("lab_netgraph::attach", With::Tiny, &["release=14.3", "nics=em0,em1"]) else { return };
    let shown = host.ok("network lan attach em0 type=netgraph --dry-run").out;
    for line in ["kldload -n ng_ether", "mkpeer . bridge made link2", "name .:made lan", "connect em0: lan: lower link0", "ngctl list -l"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    host.ok("network lan attach em0 type=netgraph").says("uplink: em0");
    assert!(shape(&host).contains("lan bridge\n  link0 em0 ether lower\n  link1 em0 ether upper"), "{}", shape(&host));
    assert_eq!(flags(&host, "em0:"), (true, false));
    host.ok("network check").says("as configured");
    host.ok("network list -H -o bridge,type,state,uplink,made").says("lan\tnetgraph\tup\tem0\tby command");
    assert!(host.ok("network list").out.contains("TYPE"));
    assert_eq!(host.ok("network lan attach em0 type=netgraph").out, "", "nothing is left to do");
    // A guest's NIC is on it while the guest runs, over a reboot too.
    host.ok(&format!("create web --image tiny {HOOK}"));
    let output = host.command(PROGRAM).args(["-v", "start", "web"]).env("CHYVES_TRACE", "-").output().unwrap();
    let started = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && started.contains("netgraph,path=lan:,peerhook=link"), "{started}");
    // Looked at, and looked at again to prove it.
    for question in ["ifconfig -a", "ngctl list -l"] {
        assert_eq!(
            started.lines().filter(|l| !l.starts_with('+') && l.ends_with(&format!(" {question}"))).count(),
            2,
            "{question}: {started}"
        );
    }
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    assert!(shape(&host).contains("  link2 <unnamed> socket vmlink"), "{}", shape(&host));
    host.ok("network list -H -o bridge,guests,members").says("lan\tweb\tem0,link2");
    console.types("r");
    console.sees("tiny: ready 2");
    console.leaves();
    host.ok("network check").says("as configured");
    for (line, why) in [
        ("network lan delete", "is the bridge of web"),
        ("network lan detach", "guests that run are on the netgraph bridge `lan`"),
        ("network lan migrate dmz", "until they are stopped"),
    ] {
        let before = everything(&host);
        host.chyves(line).ends(4).says(why).says("hint: ");
        assert_eq!(everything(&host), before, "{line}");
    }
    // Another uplink, while it runs: the former one is as it was at first.
    host.ok("network lan attach em1");
    assert!(shape(&host).contains("link0 em1 ether lower") && shape(&host).contains("em0 ether\n"), "{}", shape(&host));
    assert_eq!(flags(&host, "em0:"), (false, true));
    stop(&host, "web");
    host.ok("network lan migrate dmz");
    assert!(shape(&host).contains("dmz bridge") && !shape(&host).contains("lan bridge"), "{}", shape(&host));
    host.ok("get web net0.netgraph").says("dmz:");
    host.ok("network dmz detach");
    assert!(shape(&host).contains("dmz bridge") && !shape(&host).contains("link0"), "{}", shape(&host));
    host.chyves("network dmz delete").ends(4).says("is the bridge of web");
    host.ok("network web remove net0");
    host.ok("network dmz delete");
    assert!(!shape(&host).contains("bridge\n") && notes(&host).is_empty(), "{}{:?}", shape(&host), notes(&host));
    // What nobody confirms goes back by itself.
    let before = everything(&host);
    host.ok("network lan attach em0 type=netgraph --confirm 2").says("unless confirmed");
    assert!(shape(&host).contains("link0 em0 ether lower"));
    until("it to go back", || (everything(&host) == before).then_some(()));
    assert_eq!(flags(&host, "em0:"), (false, true));
    host.nothing_is_left();
}

#[test]
fn a_start_makes_its_node_and_the_last_stop_removes_it_on_each_release() {
    for release in ["release=13.5", "release=15.0"] {
        let Some(host) = Host::freebsd("lab_netgraph::start", With::Tiny, &[release, "nics=em0"]) else { return };
        host.ok("set global bridge7.name=lan bridge7.type=netgraph bridge7.uplink=em0 bridge7.vlan=5 bridge8.name=lab bridge8.kind=netgraph bridge8.private=yes");
        for guest in ["web", "web2"] {
            host.ok(&format!("create {guest} --image tiny {HOOK}"));
        }
        host.sh("kldload", &["-n", "ng_socket", "ng_ether"]);
        let before = shape(&host);
        assert_eq!(host.ok("network check").out, "");
        assert!(host.ok("start web --dry-run").out.contains(" create vlandev em0 vlan 5 name em0.5"));
        assert_eq!(shape(&host), before);
        host.ok("start web");
        host.ok("start web2");
        let on = shape(&host);
        for row in ["lan bridge", "link0 em0_5 ether lower", "link1 em0_5 ether upper", "link2 <unnamed> socket", "link3 <unnamed> socket"]
        {
            assert!(on.contains(row), "{release}: {row}: {on}");
        }
        host.ok("network list -H -o bridge,uplink,vlan,guests,made").says("lan\tem0\t5\tweb,web2\tat a start");
        host.ok("network check").says("as configured");
        stop(&host, "web");
        assert!(shape(&host).contains("lan bridge") && shape(&host).contains("link3"), "{release}: {}", shape(&host));
        stop(&host, "web2");
        assert_eq!(shape(&host), before, "{release}: what the start made has gone with the last guest");
        // Without an uplink, and by a NIC that moves there.
        host.ok("network web move lab").says("net0 is on lab");
        host.ok("start web");
        assert!(shape(&host).contains("lab bridge\n  link0 <unnamed> socket vmlink"), "{release}: {}", shape(&host));
        // Killed with its supervisor, it is removed by its next start or by hand.
        let (machine, supervisor) = host.pids("web");
        host.kill(supervisor);
        host.kill(machine);
        until("the guest to be gone", || (host.state("web") != "running" && host.state("web") != "orphaned").then_some(()));
        host.ok("reclaim --yes");
        assert_eq!(shape(&host), before, "{release}");
        assert!(notes(&host).is_empty(), "{:?}", notes(&host));
        host.nothing_is_left();
    }
}

#[test]
fn a_node_of_somebody_else_is_used_and_left() {
    let Some(host) = Host::freebsd("lab_netgraph::foreign", With::Tiny, &["release=14.3", "nics=em0,em1"]) else { return };
    host.sh("kldload", &["-n", "ng_ether"]);
    // A NIC for guests alone: the host itself is not on it.
    for line in ["mkpeer em0: bridge lower link0", "name em0:lower lan", "msg lan: setpersistent"] {
        ngctl(&host, line);
    }
    let before = shape(&host);
    // A NIC's node is shown as one, whether the host's settings have it or not, and whether it is there or not.
    host.ok(&format!("create web --image tiny {HOOK}"));
    host.ok("network list -H -o bridge,type,state").says("lan\tnetgraph\tup");
    host.ok("set web net0.netgraph=other:");
    host.ok("network list -H -o bridge,type,state").says("other\tnetgraph\tabsent");
    host.ok("set web net0.netgraph=lan:");
    host.ok("network lan attach em0 type=netgraph");
    assert_eq!(shape(&host), before);
    host.ok("network list -H -o bridge,made").says("lan\telsewhere");
    host.ok("start web");
    host.ok("network check").says("as configured");
    stop(&host, "web");
    assert_eq!(shape(&host), before);
    // It is not changed either: what is wanted of it is told.
    host.chyves("network lan attach em1")
        .ends(4)
        .says("em1 is not in it, and chyves did not create the node `lan:`")
        .says("ngctl show lan:");
    host.ok("network web remove net0");
    host.ok("network lan detach");
    host.ok("network lan delete").says("the node lan is kept: chyves did not create it");
    assert_eq!(shape(&host), before);
    // What another boot of the host made is nobody's, even under the same number.
    host.ok("network lab private type=netgraph");
    let note = host.open_path(host.run_dir().join("network/nodes/lab"));
    let text = std::fs::read_to_string(&note).unwrap();
    let (own, _) = text.rsplit_once(' ').unwrap();
    std::fs::write(&note, format!("{own} yesterday\n")).unwrap();
    host.ok("network list -H -o bridge,made").says("lab\telsewhere");
    host.ok("network lab delete").says("the node lab is kept");
    assert!(shape(&host).contains("lab bridge"));
    // And so is a node that was recreated under the name of chyves' own.
    host.ok("network wan private type=netgraph");
    ngctl(&host, "shutdown wan:");
    for line in ["mkpeer em1: bridge lower link0", "name em1:lower wan"] {
        ngctl(&host, line);
    }
    host.ok("network list -H -o bridge,made").says("wan\telsewhere");
    host.ok("network wan delete").says("the node wan is kept");
    assert!(shape(&host).contains("wan bridge\n  link0 em1 ether lower"));
}

#[test]
fn by_hand_nothing_is_made_and_all_lines_are_told() {
    let Some(host) = Host::freebsd("lab_netgraph::manual", With::Tiny, &["release=14.3", "nics=em0"]) else { return };
    host.ok("set global network_mode=manual");
    host.ok("network lan attach em0 type=netgraph").says("network plan");
    host.ok(&format!("create web --image tiny {HOOK}"));
    let before = everything(&host);
    let refused = host.chyves("start web").ends(5);
    refused.says("networks are managed by hand on this host").says("kldload -n ng_ether && printf").says("network plan");
    assert_eq!(everything(&host), before);
    // The lines do it when they are typed.
    let plan = host.ok("network plan").out;
    let typed: Vec<&str> = plan.lines().filter(|l| l.contains("kldload") || l.contains("ngctl -f")).collect();
    assert_eq!(typed.len(), 5, "{plan}");
    for line in typed {
        host.sh("sh", &["-ec", line]);
    }
    host.ok("network check").says("as configured");
    host.ok("start web");
    stop(&host, "web");
    assert!(shape(&host).contains("lan bridge"), "it is the administrator's");
    host.ok("network web remove net0");
    host.ok("network lan delete").says("managed by hand");
    assert!(shape(&host).contains("lan bridge"));
}

#[test]
fn bad_input_is_refused_with_its_cause_and_changes_nothing() {
    let Some(host) = Host::freebsd("lab_netgraph::bad", With::Tiny, &["release=14.3", "nics=em0,em1,em2"]) else { return };
    host.ok("network bridge0 attach em1");
    host.sh("ifconfig", &["bridge9", "create", "addm", "em2", "up"]);
    host.sh("kldload", &["-n", "ng_ether"]);
    ngctl(&host, "mkpeer em0: hub orphans first");
    ngctl(&host, "name em0:orphans hub");
    host.ok("create web --image tiny --ram 64M net0.backend=bridge");
    let before = everything(&host);
    for (line, code, why) in [
        ("network lan attach em1 type=netgraph", 2, "is the uplink of `bridge0` already"),
        ("network lan attach em2 type=netgraph", 4, "in the bridge `bridge9`"),
        ("network lan attach em9 type=netgraph", 5, "`em9` is not there"),
        ("network lan attach lo0 type=netgraph", 5, "the loopback"),
        ("network lan attach bridge0 type=netgraph", 5, "no bridge can be in a bridge"),
        ("network lan attach em0 type=netgraph vlan=4095", 2, "4094"),
        ("network lan attach em0 type=netgraph vlan=0", 2, "4094"),
        ("network lan attach em0 type=netgraph mtu=9000", 2, "can have no mtu"),
        ("network lan attach em0 type=netgraph address=10.0.0.1/24", 2, "can have no address"),
        ("network lan attach em0 type=netgraph filtering=yes", 2, "can have no filtering"),
        ("network lan set type=netgraph nat=em0", 2, "can have no nat"),
        ("network lan private type=netgraph dhcp=yes", 2, "can have no dhcp"),
        ("network lan attach em0 type=vale", 2, "netgraph"),
        ("network br.5 attach em0 type=netgraph", 2, "a dot parts the words of a path"),
        ("network a-name-that-is-too-long attach em0 type=netgraph", 2, "characters"),
        ("network em1 private type=netgraph", 5, "is a NIC, no netgraph bridge"),
        ("network bridge0 set type=netgraph", 5, "is a bridge, no netgraph bridge"),
        ("network hub private type=netgraph", 5, "is of the type hub, no bridge"),
    ] {
        host.chyves(line).ends(code).says(why).says("hint: ");
        assert_eq!(everything(&host), before, "{line}");
    }
    host.ok("network lan private type=netgraph");
    let before = everything(&host);
    for (line, code, why) in [
        ("network lan set type=bridge", 5, "`lan` is a netgraph bridge, no interface"),
        ("network lan set mtu=9000", 2, "can have no mtu"),
        ("network lan default", 4, "takes none"),
        ("network bridge0 migrate lan", 4, "move each NIC by itself"),
    ] {
        host.chyves(line).ends(code).says(why).says("hint: ");
        assert_eq!(everything(&host), before, "{line}");
    }
    // A tap is no way onto a node, and a hook none onto a bridge.
    host.ok("set web net0.bridge=lan");
    host.chyves("start web").ends(5).says("is a netgraph bridge").says("network web move net0 lan");
    host.ok("set web net0.backend=netgraph net0.netgraph=bridge0:");
    host.chyves("start web").ends(5).says("no node of netgraph");
    host.ok("set web net0.netgraph=wan:");
    host.chyves("start web").ends(5).says("there is no netgraph node `wan:`").says("network wan attach em0 type=netgraph");
    assert_eq!(everything(&host), before);

    let Some(host) = Host::with_networks("lab_netgraph::linux", With::Image) else { return };
    host.chyves("network lan private type=netgraph").ends(5).says("which only FreeBSD has").says("hint: ");
    host.ok("network list -H").says("");
    host.ok("network check");
}

/// Every step of a line is made to fail, and the line is killed before and after it: all is as before or as wished.
fn faults(host: &Host, line: &str, back: &[&str]) {
    let old = everything(host);
    let steps = host.ok(&format!("{line} --dry-run --json")).json()["steps"].as_array().unwrap().len();
    assert!(steps > 1, "{line}: {steps}");
    let restore = || {
        for line in back {
            host.ok(line);
        }
        until("the ground to be as before", || (everything(host) == old).then_some(()));
    };
    host.ok(line);
    let new = everything(host);
    assert_ne!(new, old, "{line}");
    restore();
    for step in 0..steps {
        for fault in ["fail", "kill", "killed"] {
            let what = format!("{line} with {fault}:{step}");
            let args: Vec<&str> = line.split(' ').collect();
            let output = host.command(PROGRAM).args(args).env("CHYVES_FAULT", format!("{fault}:{step}")).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{what}: {said}");
            if fault != "fail" {
                host.ok("repair");
            }
            assert!(!said.contains("the rollback failed"), "{what}: {said}");
            if line.starts_with("start") && host.state("web") == "running" {
                stop(host, "web");
            }
            let now = everything(host);
            assert!(now == old || now == new, "{what}: {now}\n--- instead of\n{old}\n{said}");
            if now != old {
                restore();
            }
        }
    }
}

#[test]
fn each_step_may_fail_or_be_killed() {
    let Some(host) = Host::freebsd("lab_netgraph::faults", With::Tiny, &["release=14.3", "nics=em0,em1"]) else { return };
    host.sh("kldload", &["-n", "ng_socket", "ng_bridge", "ng_ether", "vmm", "nmdm"]);
    // The folders of what is written down are there from now on.
    host.ok("network lan private type=netgraph");
    host.ok("network lan delete");
    faults(&host, "network lan attach em0 vlan=5 type=netgraph", &["network lan delete"]);
    let tagged = "network lan attach em0 vlan=5 type=netgraph";
    host.ok(tagged);
    faults(&host, "network lan detach", &[tagged]);
    faults(&host, "network lan private", &[tagged]);
    faults(&host, "network lan attach em1", &[tagged]);
    faults(&host, "network lan delete", &[tagged]);
    faults(&host, "network lan migrate dmz", &["network dmz migrate lan"]);
}

/// An ngctl that does what it is told and then ends who told it, as `kill -9` does, where `word` begins what it reads.
fn deadly(host: &Host, folder: &std::path::Path, word: &str) {
    use std::os::unix::fs::PermissionsExt;
    let real = host.lab().dir().join("bin/ngctl");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = -f ] || exec {0} \"$@\"\ntext=$(cat)\nprintf '%s\\n' \"$text\" | {0} -f -\ncode=$?\n\
         case \"$text\" in {word}*) kill -9 $PPID;; esac\nexit $code\n",
        real.display()
    );
    std::fs::write(folder.join("ngctl"), script).unwrap();
    std::fs::set_permissions(folder.join("ngctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_kill_before_it_is_written_down_whose_a_node_is_leaves_nothing() {
    let Some(mut host) = Host::freebsd("lab_netgraph::kill", With::Tiny, &["release=14.3", "nics=em0"]) else { return };
    host.sh("kldload", &["-n", "ng_socket", "ng_bridge", "ng_ether"]);
    let folder = host.dir().join("wrap");
    std::fs::create_dir(&folder).unwrap();
    host.first_on_path(&folder);
    host.ok("set global bridge7.name=lan bridge7.type=netgraph bridge7.uplink=em0");
    host.ok(&format!("create web --image tiny {HOOK}"));
    let before = everything(&host);
    for line in ["network wan attach em0 vlan=5 type=netgraph", "network apply", "start web"] {
        for word in ["mkpeer", "connect"] {
            deadly(&host, &folder, word);
            let output = host.command(PROGRAM).args(line.split(' ')).output().unwrap();
            assert_eq!(output.status.code(), None, "{line}: {word}: {}", String::from_utf8_lossy(&output.stderr));
            assert_ne!(everything(&host), before, "{line}: {word}");
            std::fs::remove_file(folder.join("ngctl")).unwrap();
            host.ok("repair");
            assert_eq!(everything(&host), before, "{line}: {word}");
        }
    }
    // While an uplink is taken off, and when its node goes.
    host.ok("network apply");
    let before = everything(&host);
    for line in ["network lan detach", "network lan migrate dmz"] {
        deadly(&host, &folder, "rmhook");
        let output = host.command(PROGRAM).args(line.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), None, "{line}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::remove_file(folder.join("ngctl")).unwrap();
        host.ok("repair");
        assert_eq!(everything(&host), before, "{line}");
        assert_eq!(flags(&host, "em0:"), (true, false), "{line}");
    }
}

#[test]
fn each_step_of_a_start_may_fail_or_be_killed() {
    let Some(host) = Host::freebsd("lab_netgraph::start_faults", With::Tiny, &["release=14.3", "nics=em0"]) else { return };
    host.sh("kldload", &["-n", "ng_socket", "ng_bridge", "ng_ether", "vmm", "nmdm"]);
    host.ok("network lan private type=netgraph");
    host.ok("network lan delete");
    host.ok("set global bridge7.name=lan bridge7.type=netgraph bridge7.uplink=em0");
    host.ok(&format!("create web --image tiny {HOOK}"));
    let old = everything(&host);
    let steps = host.ok("start web --dry-run --json").json()["steps"].as_array().unwrap().len();
    for step in 0..steps {
        for fault in ["fail", "kill", "killed"] {
            let what = format!("{fault}:{step}");
            let output = host.command(PROGRAM).args(["start", "web"]).env("CHYVES_FAULT", &what).output().unwrap();
            assert!(!output.status.success(), "{what}");
            if fault != "fail" {
                host.ok("repair");
            }
            if host.state("web") == "running" {
                stop(&host, "web");
            }
            until(&format!("{what}: all as before"), || (everything(&host) == old).then_some(()));
        }
    }
    host.nothing_is_left();
}

#[test]
fn a_guest_reaches_its_peer_over_a_node() {
    let Some(host) = Host::freebsd("lab_netgraph::guest", With::Files, &["release=14.3", "nics=em0"]) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img");
    host.ok("network lan attach em0 type=netgraph");
    // The far end of the wire of em0.
    host.sh("ip", &["address", "add", "10.7.0.2/24", "dev", "lab-em0"]);
    host.ok("create web --image linux --ram 128M net0.backend=netgraph net0.netgraph=lan:");
    host.ok("start web");
    let mut console = host.console("web");
    console.logs_in();
    console.shell("ip address add 10.7.0.10/24 dev eth0; ip link set eth0 up");
    let ping = |seconds: u8| format!("ping -c 1 -w {seconds} 10.7.0.2 >/dev/null && echo reached || echo alone");
    assert!(console.shell(&ping(60)).ends_with("reached"));
    // Without its uplink it leads nowhere.
    host.ok("network lan private");
    assert!(console.shell(&ping(3)).ends_with("alone"));
    host.ok("network lan attach em0");
    assert!(console.shell(&ping(60)).ends_with("reached"));
    console.leaves();
    stop(&host, "web");
    host.ok("delete web --yes");
    host.ok("network lan delete");
    host.nothing_is_left();
}
