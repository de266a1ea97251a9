//! ngctl: nodes, hooks and refusals as netgraph(4), ng_bridge(4), ng_ether(4) and ngctl(8) tell of them.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use std::io::Write as _;
use std::process::Stdio;

use chyves_lab::Lab;
use common::{Ran, bad, code, good, guest_disk, lab, run, until};

/// The rows of a node's hooks, without the numbers of nodes.
fn hooks(lab: &Lab, node: &str) -> Vec<String> {
    let text = good(lab, &format!("ngctl show {node}"));
    let mut rows: Vec<String> = text
        .lines()
        .skip(3)
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {} {}", words[0], words[1], words[2], words[4])
        })
        .collect();
    rows.sort();
    rows
}

/// ngctl with lines on its standard input.
fn script(lab: &Lab, lines: &str) -> Ran {
    let mut child =
        lab.command("ngctl").args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { status: code(output.status), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn a_bridge_as_the_documents_make_it() {
    let Some(lab) = lab("netgraph_bridge", &["nics=em0,em1"]) else { return };
    // Nodes of interfaces come with their module, which nothing loads by itself.
    bad(&lab, "ngctl mkpeer em0: bridge lower link0", 71, "ngctl: send msg: No such file or directory");
    assert_eq!(run(&lab, "kldstat -q -m ng_socket").status, 0, "the library loads its own");
    assert_eq!(run(&lab, "kldstat -q -m ng_bridge").status, 1);
    good(&lab, "kldload ng_ether");
    for line in ["mkpeer em0: bridge lower link0", "name em0:lower lan", "connect em0: lan: upper link1", "msg em0: setpromisc 1"] {
        assert_eq!(good(&lab, &format!("ngctl {line}")), "");
    }
    assert_eq!(run(&lab, "kldstat -q -m ng_bridge").status, 0, "a type's module is loaded when it is wanted");
    assert_eq!(hooks(&lab, "lan:"), ["link0 em0 ether lower", "link1 em0 ether upper"]);
    assert_eq!(hooks(&lab, "em0:"), ["lower lan bridge link0", "upper lan bridge link1"]);
    assert_eq!(hooks(&lab, "lan:link1"), hooks(&lab, "em0:"));
    assert!(good(&lab, "ifconfig em0").contains("PROMISC") && !good(&lab, "ifconfig em1").contains("PROMISC"));
    let shown = good(&lab, "ngctl show -n lan:");
    assert!(shown.starts_with("  Name: lan             Type: bridge          ID: 0000") && shown.ends_with("   Num hooks: 2\n"), "{shown}");
    let all = good(&lab, "ngctl list -l");
    assert!(all.starts_with("There are 4 total nodes:\n") && all.contains("\n\n  Name: em1"), "{all}");
    // Without its hooks it goes, unless it was told to stay.
    good(&lab, "ngctl rmhook em0: lower");
    good(&lab, "ngctl rmhook em0: nothing");
    good(&lab, "ngctl msg lan: setpersistent");
    good(&lab, "ngctl rmhook em0: upper");
    good(&lab, "ngctl info lan:");
    good(&lab, "ngctl mkpeer lan: bridge link5 link0");
    good(&lab, "ngctl name lan:link5 other");
    good(&lab, "ngctl rmhook lan: link5");
    bad(&lab, "ngctl info other:", 71, "No such file or directory");
    good(&lab, "ngctl shutdown lan:");
    bad(&lab, "ngctl shutdown lan:", 71, "ngctl: shutdown: No such file or directory");
}

#[test]
fn what_ngctl_refuses() {
    let Some(lab) = lab("netgraph_refuses", &["nics=em0"]) else { return };
    good(&lab, "kldload ng_ether ng_bridge");
    good(&lab, "ngctl mkpeer em0: bridge lower link0");
    good(&lab, "ngctl name em0:lower lan");
    let long = "n".repeat(32);
    let rows = [
        ("mkpeer em0: bridge lower link1", 71, "File exists"),
        ("connect em0: lan: divert link1", 71, "Socket is already connected"),
        ("connect em0: lan: upper link0", 71, "File exists"),
        ("connect em0: lan: sideways link1", 71, "Invalid argument"),
        ("connect em0: lan: upper hook1", 71, "Invalid argument"),
        ("connect em0: lan: upper link01", 71, "Invalid argument"),
        ("connect em0: lan: upper uplink0", 71, "Invalid argument"),
        ("connect em0: wan: upper link1", 71, "No such file or directory"),
        ("connect lan: lan: link3 link4", 71, "Too many levels of symbolic links"),
        ("mkpeer em0: ether upper lower", 71, "Invalid argument"),
        ("mkpeer em0: nothing upper lower", 71, "Device not configured"),
        ("name em0: lan", 71, "Address already in use"),
        ("name lan: a.b", 71, "Invalid argument"),
        ("name lan: a:b", 71, "Invalid argument"),
        ("name lan: [5]", 71, "Invalid argument"),
        ("msg lan: setpromisc 1", 71, "Function not implemented"),
        ("msg em0: setpromisc", 71, "Invalid argument"),
        ("msg em0: setpersistent", 71, "Function not implemented"),
        ("msg lan: getstats 7", 71, "Socket is not connected"),
        ("s lan:", 71, "\"s\": ambiguous command"),
        ("destroy lan:", 71, "\"destroy\": unknown command"),
        ("name lan:", 64, "usage: name <path> <name>"),
        ("list -x", 64, "usage: list [-ln]"),
    ];
    for (words, status, text) in rows {
        bad(&lab, &format!("ngctl {words}"), status, text);
    }
    bad(&lab, &format!("ngctl name lan: {long}"), 71, "Invalid argument");
    assert_eq!(hooks(&lab, "lan:"), ["link0 em0 ether lower"], "nothing of it had an effect");
    good(&lab, "ngctl msg lan: getstats 0");
    // A number is chosen by the node since 13.1.
    good(&lab, "ngctl connect em0: lan: upper link");
    assert_eq!(hooks(&lab, "lan:").last().unwrap(), "link1 em0 ether upper");
    let jailed = ["jailed=on", "jailed=off"];
    lab.set(&jailed[..1]).unwrap();
    std::fs::write(lab.dir().join("modules"), "").unwrap();
    bad(&lab, "ngctl list", 71, "ngctl: can't create node: Protocol not supported");
}

#[test]
fn a_file_of_commands_ends_at_the_first_that_fails() {
    let Some(lab) = lab("netgraph_file", &["nics=em0"]) else { return };
    let made = script(&lab, "# a bridge that hangs on nothing\nmkpeer . bridge made link2\nname .:made lan\nmsg lan: setpersistent\n");
    assert_eq!((made.status, made.out.as_str()), (0, ""), "{made:?}");
    assert_eq!(hooks(&lab, "lan:"), [""; 0], "the process's own node has gone");
    let failed = script(&lab, "msg lan: setpersistent\nname lan: lan\nname lan: wan\n");
    assert_eq!(failed.status, 71);
    assert!(failed.err.contains("Address already in use") && failed.err.contains("line 2: error in file"), "{failed:?}");
    good(&lab, "ngctl info lan:");
    // Not told to stay, it goes with the process that made it.
    assert_eq!(script(&lab, "mkpeer . bridge made link0\nname .:made brief\ninfo brief:\nquit\nnonsense\n").status, 0);
    bad(&lab, "ngctl info brief:", 71, "No such file or directory");
    bad(&lab, "ngctl -f /nowhere", 66, "No such file or directory");
}

#[test]
fn nodes_of_interfaces_come_and_go_with_them() {
    let Some(lab) = lab("netgraph_ether", &["nics=em0"]) else { return };
    good(&lab, "kldload ng_ether");
    good(&lab, "ifconfig vlan create vlandev em0 vlan 5 name em0.5");
    // A path has no place for dots.
    assert_eq!(hooks(&lab, "em0_5:"), [""; 0]);
    bad(&lab, "ngctl info em0.5:", 71, "No such file or directory");
    good(&lab, "ngctl mkpeer em0_5: bridge lower link0");
    good(&lab, "ngctl name em0_5:lower lan");
    good(&lab, "ngctl msg lan: setpersistent");
    good(&lab, "ifconfig em0.5 name office");
    assert_eq!(hooks(&lab, "lan:"), ["link0 office ether lower"]);
    good(&lab, "ifconfig office destroy");
    assert_eq!(hooks(&lab, "lan:"), [""; 0]);
    // An interface that is called as a node is gets none.
    good(&lab, "ifconfig tap create name lan");
    assert!(good(&lab, "ngctl show lan:").contains("Type: bridge"));
    // Shut down, a node of an interface is as it was at first.
    good(&lab, "ngctl connect em0: lan: lower link0");
    good(&lab, "ngctl msg em0: setpromisc 1");
    good(&lab, "ngctl msg em0: setautosrc 0");
    good(&lab, "ngctl shutdown em0:");
    assert!(
        good(&lab, "ngctl msg em0: getpromisc").ends_with("Args:\t0\n") && good(&lab, "ngctl msg em0: getautosrc").ends_with("Args:\t1\n")
    );
    assert_eq!(hooks(&lab, "lan:"), [""; 0]);
    assert!(!good(&lab, "ifconfig em0").contains("PROMISC"));
}

#[test]
fn a_guest_s_card_is_a_socket_on_its_node_while_it_runs() {
    let test = "netgraph_guest";
    let Some(lab) = lab(test, &[]) else { return };
    good(&lab, "kldload vmm nmdm ng_socket ng_bridge");
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    assert_eq!(script(&lab, "mkpeer . bridge made link0\nname .:made lan\nmsg lan: setpersistent\n").status, 0);
    let rom = common::rom(&lab);
    let line = |hook: &str, node: &str| {
        format!(
            "bhyve -c 1 -m 64M -H -s 0,hostbridge -s 1,lpc -s 2,virtio-blk,{disk} -s 3,virtio-net,netgraph,path={node}:,peerhook={hook} \
             -l com1,stdio -l bootrom,{rom} vm"
        )
    };
    bad(&lab, &line("link0", "wan"), 4, "No such file or directory");
    bad(&lab, &line("port0", "lan"), 4, "Invalid argument");
    assert_eq!(hooks(&lab, "lan:"), [""; 0]);
    let mut guest = common::Guest::start(&lab, &line("link", "lan"));
    guest.expect("tiny: ready 1");
    assert_eq!(hooks(&lab, "lan:"), ["link0 <unnamed> socket vmlink"]);
    guest.send("p");
    assert_eq!(guest.end(), 1);
    until("its socket to be gone", || hooks(&lab, "lan:").is_empty());
}
