//! What a new user types in the first hour and on the tenth day: offline pools, settings that wait for a restart, one word for
//! a state, several things in one command, names that are something else.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};

#[test]
fn nothing_is_made_on_an_offline_pool() {
    let Some(host) = Host::new("first_hour::offline", With::Image) else { return };
    let other = host.second("");
    host.ok("create web01 --image small");
    host.ok(&format!("pool offline {other}"));
    let before = host.tree_on(&other);
    let refused = |line: &str| {
        host.chyves(line).ends(4).says("is offline").says(&format!("chyves pool online {other}"));
    };
    refused(&format!("create web02 --image small --full --pool {other}"));
    refused(&format!("create web02 --size 1M --pool {other}"));
    refused(&format!("clone web01 web02 --independent --pool {other}"));
    refused(&format!("move web01 --pool {other}"));
    let stream = host.command(common::PROGRAM).args(["send", "web01"]).output().unwrap();
    assert!(stream.status.success());
    std::fs::write(host.work().join("stream"), stream.stdout).unwrap();
    let taken_in = host
        .command(common::PROGRAM)
        .args(["receive", "--name", "copy", "--pool", &other])
        .stdin(std::fs::File::open(host.work().join("stream")).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&taken_in.stderr).into_owned();
    assert_eq!(taken_in.status.code(), Some(4), "{said}");
    assert!(said.contains("is offline"), "{said}");
    assert_eq!(host.tree_on(&other), before);
    host.ok(&format!("pool online {other}"));
    host.ok(&format!("create web02 --size 1M --pool {other}"));
    host.ok("info web02").says("stopped");
}

#[test]
fn what_waits_for_a_restart_is_shown_beside_what_runs() {
    let Some(host) = Host::new("first_hour::pending", With::Tiny) else { return };
    host.ok("create web01 --image tiny --loader bios --ram 64M");
    host.ok("create web02 --image tiny --loader bios --ram 64M");
    host.ok("start web01");
    host.ok("list").is_silent_of("PENDING");
    host.ok("info web01").is_silent_of("pending");
    host.ok("set web01,web02 ram=1G cpu=2 notes=x");
    host.ok("disk add web01 1M");
    let info = host.ok("info web01");
    info.says("64M, 1G after the next start or reboot")
        .says("processors:   1, 2 after the next start or reboot")
        .is_silent_of("ram 64M")
        .says("disk1 (raw) is added at the next start or reboot")
        .is_silent_of("notes 1");
    let json = host.ok("info web01 --json").json();
    assert_eq!(json[0]["ram"], 64 << 20);
    // How it runs was chosen for it.
    let accel = json[0]["accel"].as_str().unwrap();
    host.ok("info web01").says(&format!("{accel} (auto)"));
    assert!(["kvm", "tcg"].contains(&accel) && json[0]["auto"] == serde_json::json!(["accel"]), "{json}");
    assert_eq!(json[0]["cpu"], 1);
    let ram = json[0]["pending"].as_array().unwrap().iter().find(|p| p["property"] == "ram").unwrap();
    assert_eq!((&ram["running"], &ram["next"], &ram["waits_for"]), (&"64M".into(), &"1G".into(), &"next-start-or-reboot".into()));
    // A guest that is not running has nothing that waits.
    host.ok("info web02").says("1G").is_silent_of("pending");
    let list = host.ok("list");
    list.says("PENDING").says("ram=1G");
    assert_eq!(host.ok("list -H -o name,ram,cpu,pending").out, "web01\t64M\t1\tcpu=2, +disk1, ram=1G\nweb02\t1G\t2\t-\n");
    let json = host.ok("list --json").json();
    assert_eq!(json[0]["cpu"], 1);
    let waits = json[0]["pending"].as_array().unwrap();
    assert!(waits.iter().any(|change| change["property"] == "ram" && change["next"] == "1G"), "{json}");
    assert_eq!(json[1]["pending"], serde_json::json!([]));
    host.ok("stop web01 --force --timeout 1");
    host.ok("list").is_silent_of("PENDING");
    assert_eq!(host.ok("list -H -o name,ram").out, "web01\t1G\nweb02\t1G\n");

    // A NIC on the user network is on no bridge, and `auto` is what it came to.
    host.ok("info web01").says("net0").says("backend user (auto)").is_silent_of("bridge0").is_silent_of("backend auto");
    assert_eq!(host.ok("info web01 --json").json()[0]["networks"][0]["backend"], "user");
}

#[test]
fn one_state_everywhere_and_names_that_are_something_else() {
    let Some(host) = Host::new("first_hour::names", With::Image) else { return };
    host.sh("zfs", &["create", "-o", "mountpoint=none", &format!("{}/chyves/guests/prod", host.pool)]);
    host.ok("set global group_levels=1");
    host.ok("create web01 web02 --image small");
    let moved = format!("{}/chyves/guests/prod/web01", host.pool);
    host.sh("zfs", &["rename", &host.dataset("web01"), &moved]);
    host.sh("zfs", &["set", "chyves:ram=512M", &format!("{}/chyves/guests/prod", host.pool)]);
    assert_eq!(host.value("web01", "ram"), "512M");

    // A group is no guest, and what was typed is no suggestion.
    for line in ["start prod", "info prod", "set prod ram=1G", "get prod ram"] {
        host.chyves(line).ends(3).says("`prod` is a group of guests").says("its guests: web01").is_silent_of("did you mean");
    }
    host.chyves("info prdo").ends(3).says("did you mean `prod`?");
    host.chyves("info web03").ends(3).says("no guest is called `web03`");

    // Restored from the trash it is in its group, with what it inherits there.
    host.ok("delete web01");
    host.ok("undelete web01").is_silent_of("outside");
    assert_eq!(host.value("web01", "ram"), "512M");
    assert_eq!(host.ok("list -H -o name,group").out, "web01\tprod\nweb02\t-\n");
    host.ok("delete web01");
    host.sh("zfs", &["rename", &format!("{}/chyves/guests/prod", host.pool), &format!("{}/chyves/guests/old", host.pool)]);
    host.ok("undelete web01").says("its group `prod` is gone");

    // That of another host is foreign in every answer.
    host.sh("zfs", &["set", "chyves:owner=11111111-2222-3333-4444-555555555555", &host.dataset("web02")]);
    assert_eq!(host.ok("list -H -o state").out.lines().last(), Some("foreign"));
    assert_eq!(host.ok("info web02 --json").json()[0]["state"], "foreign");
    host.ok("info web02").says("state:").says(" foreign");
}

#[test]
fn several_things_are_done_each_by_itself() {
    let Some(host) = Host::new("first_hour::several", With::Image) else { return };
    host.ok("create web02 --image small");
    host.chyves("create web02 newone --image small").ends(6).says("newone: created").says("web02:");
    host.ok("info newone");
    host.chyves("create web02 newone --image small").ends(4);
    host.chyves("clone web02 newone third").ends(6).says("third: a clone of web02").says("newone");
    host.chyves("set web02,nope notes=x").ends(6).says("web02: set").says("no guest is called `nope`");
    assert_eq!(host.value("web02", "notes"), "x");
    host.chyves("info web02 nope").ends(6).says("web02").says("no guest is called `nope`");
    host.chyves("get web02,nope notes -H -o value").ends(6).says("x");
    host.chyves("disk list web02 nope").ends(6).says("raw");
    host.chyves("info nope neither").ends(3).says("2 of 2");
    host.chyves("cloud-init status web02 nope").ends(6).says("web02").says("no guest is called `nope`");
    host.chyves("reclaim nope").ends(3);
    host.chyves("trash empty nope neither -y").ends(3).says("nope").says("neither");

    // Snapshots of all, taken and destroyed by the same word.
    host.ok("snapshot all@nightly");
    host.ok("snapshot web02@other");
    host.chyves("snapshot list web02 nope -H -o name").ends(6).says("web02@nightly");
    host.chyves("snapshot delete all@nightly -n").ends(0);
    host.ok("snapshot delete all@nightly -y").says("newone").says("third").says("web02");
    assert_eq!(host.ok("snapshot list -H -o name").out.lines().filter(|l| !l.contains("@clone-")).collect::<Vec<_>>(), ["web02@other"]);
    host.chyves("snapshot delete all@nightly -y").ends(3).says("no guest has a snapshot `all@nightly`");
    host.chyves("snapshot delete web02@other,newone@other -y").ends(6).says("snapshot web02@other destroyed").says("newone");

    // Images.
    for name in ["a", "b"] {
        std::fs::write(host.work().join(format!("{name}.img")), vec![name.as_bytes()[0] | 0x80; 10240]).unwrap();
        host.ok(&format!("image import ./{name}.img"));
    }
    host.chyves("image info a gone").ends(6).says("sha256").says("no image is called `gone`");
    host.chyves("image verify gone b").ends(6).says("gone").says("b: is what was imported");
    host.chyves("image delete a gone b -y").ends(6).says("a: destroyed").says("b: destroyed").says("gone");
    host.ok("image list -H -o name").is_silent_of("\nb").is_silent_of("a\n");
    host.chyves("delete newone nope").ends(6).says("newone: in the trash").says("no guest is called `nope`");
}

#[test]
fn a_way_out_that_is_missing_is_a_difference() {
    let Some(host) = Host::with_networks("first_hour::network_check", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.sh("ip", &["link", "add", "em0", "type", "veth", "peer", "name", "em0-far"]);
    host.ok("network lan attach em0");
    host.ok("network check").says("as configured");
    host.ok("network inner set nat=em0 address=10.9.0.1/24");
    host.sh("ip", &["link", "del", "em0"]);
    let check = host.chyves("network check").ends(5);
    check.says("lan:").says("em0").says("inner:").says("nat").is_silent_of("are as configured");
    // A bridge that is not there yet and could not be made is a difference, too.
    host.sh("ip", &["link", "del", "lan"]);
    host.chyves("network check").ends(5).says("lan:").says("em0").says("    cure: ");
}
