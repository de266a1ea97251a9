//! The program exists because `delete pfSense` once destroyed every guest whose name began with pfSense. Here each
//! changing command is given one of a set of near names, and everything of the others must stay as it is.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, Tree, With};
use std::collections::BTreeMap;

/// The one that is named, among names that begin with it, that it begins with, and that patterns would take for it.
const NAMED: &str = "web";
const OTHERS: [&str; 9] = ["web-1", "web01", "web1", "we", "web.1", "Web", "web_1", "webweb", "w.b"];

/// All that the others have: properties with their sources, snapshots, GUIDs, and the content of their files.
fn others(host: &Host) -> (Tree, Vec<BTreeMap<String, u64>>) {
    let mut tree = host.tree();
    tree.retain(|name, _| OTHERS.iter().any(|o| name.split(['/', '@']).any(|part| part == *o)));
    // What the pool is to the host shows in everything on it.
    for values in tree.values_mut() {
        values.remove("chyves:role");
    }
    (tree, OTHERS.iter().map(|o| host.files(o)).collect())
}

fn ground(test: &str, with: With, image: &str) -> Option<Host> {
    let host = Host::new(test, with)?;
    for name in OTHERS.iter().chain([&NAMED]) {
        host.ok(&format!("create {name} --image {image} loader=bios accel=tcg notes=mine"));
        host.ok(&format!("snapshot {name}@kept"));
    }
    Some(host)
}

#[test]
fn every_change_of_one_leaves_all_others_alone() {
    let Some(host) = ground("names::changes", With::Image, "small") else { return };
    let before = others(&host);
    assert_eq!(before.0.len(), OTHERS.len() * 2);
    for line in [
        "set web cpu=2 notes=changed",
        "unset web notes",
        "snapshot web@two",
        "web snapshot @three",
        // Before a rollback, which takes what is newer along into the trash where ZFS lets it.
        "snapshot delete web@three --yes",
        "snapshot rollback web@two --yes",
        "snapshot rollback web@kept --yes",
        "clone web web2",
        "clone web@kept web3",
        "set web loader=uefi",
        "firmware reset web",
        "web firmware reset",
        "delete web2",
        "undelete web2",
        "delete web2 --now --yes",
        "delete web3 --yes",
        "trash empty --yes",
        "delete web",
        "undelete web",
        "repair",
        "adopt web",
        "stop web",
    ] {
        host.ok(line);
        assert_eq!(others(&host), before, "after `{line}`");
    }
}

#[test]
fn every_change_of_disks_clones_and_places_leaves_all_others_alone() {
    let Some(host) = ground("names::storage", With::Image, "small") else { return };
    let other = host.second_pool();
    std::fs::write(host.work().join("a.img"), vec![5; 1 << 20]).unwrap();
    let before = others(&host);
    let lines = [
        "pool init OTHER",
        "disk add web 1M",
        "web disk add --import ./a.img",
        "disk set web disk1 bus=nvme",
        "disk resize web disk1 2M",
        "disk resize web disk1 1M --force",
        "disk move web disk1 disk11",
        "disk remove web disk11",
        "undelete web:disk11",
        "disk remove web disk2",
        "trash empty web:disk2 --yes",
        "snapshot web@a",
        "snapshot web@ab",
        "snapshot web@b",
        "snapshot web@bc",
        "snapshot delete web@a%b --yes",
        "snapshot list web",
        "snapshot diff web@kept @bc",
        "clone web@kept we2 web0 -ce",
        "clone web we3 -iu",
        "clone web web4 -i --pool OTHER",
        "promote we2",
        "set we2 template=yes",
        "clone we2 web5",
        "set we2 template=no",
        "delete web5 we3 web4 --yes",
        "trash empty web5 --yes",
        "undelete we3 --name web6",
        "rename web6 web7",
        "move web7 --pool OTHER",
        "trash empty web7 --yes",
        "move web7 --pool OTHER",
        "delete web7 --now --yes",
        "pool offline OTHER",
        "pool online OTHER",
        "pool promote OTHER",
        "pool promote POOL",
        "pool upgrade POOL",
        "delete web web0 we2",
        "trash empty --older 1d --yes",
        "trash empty --yes",
        "image import ./a.img --name web",
        "create web --image web",
        "delete web --now --yes",
        "image delete web --yes",
        "repair",
    ];
    for line in lines {
        let line = line.replace("OTHER", &other).replace("POOL", &host.pool);
        host.ok(&line);
        assert_eq!(others(&host), before, "after `{line}`");
    }
    assert_eq!(host.ok("list -H -o name").out.lines().count(), OTHERS.len());
}

#[test]
fn running_one_runs_no_other() {
    let Some(host) = ground("names::running", With::Tiny, "tiny") else { return };
    host.ok("start web");
    let running = |host: &Host| -> Vec<String> {
        let listed = host.ok("list -H -o name,state").out;
        listed.lines().filter_map(|l| l.strip_suffix("\trunning")).map(str::to_owned).collect()
    };
    assert_eq!(running(&host), ["web"]);
    host.ok("start web-1");
    assert_eq!(running(&host), ["web", "web-1"]);
    // The console is that of the one that was named: each has drawn a letter on its own disk.
    for (guest, letter) in [("web", "A"), ("web-1", "B")] {
        let mut console = host.console(guest);
        console.sees("tiny: ready 1");
        console.types(&format!("w{letter}"));
        console.sees(&format!("tiny: data {letter}"));
        console.leaves();
    }
    host.ok("stop web");
    assert_eq!(running(&host), ["web-1"]);
    let mut console = host.console("web-1");
    console.types("g");
    console.sees("tiny: data B");
    console.leaves();
    host.ok("stop all");
    assert_eq!(running(&host), Vec::<String>::new());
    host.nothing_is_left();
}

#[test]
fn what_does_not_exist_is_not_taken_for_what_is_near() {
    let Some(host) = ground("names::near", With::Image, "small") else { return };
    host.ok("delete web");
    let before = host.tree();
    for line in ["delete web --yes", "start web", "set web cpu=2", "snapshot web@x", "clone web web9", "stop web", "unset web notes"] {
        host.chyves(line).ends(3).says("the guest `web` is deleted");
    }
    for line in ["delete web* --yes", "stop ../web", "set web% cpu=2", "delete we.* --yes", "start -rf", "delete web@kept --yes"] {
        host.chyves(line).ends(2);
    }
    assert_eq!(host.tree(), before);
}
