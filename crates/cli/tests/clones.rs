//! Clones: every kind of them, on a real pool; which guest depends on which, and what goes with the last one.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use std::collections::BTreeMap;

/// The settings of a guest that were made.
fn settings(host: &Host, guest: &str) -> BTreeMap<String, String> {
    let listed = host.ok(&format!("get {guest} all -H -o property,value,source")).out;
    listed
        .lines()
        .map(|l| l.split('\t').collect::<Vec<_>>())
        .filter(|f| f[2] == "local")
        .map(|f| (f[0].to_owned(), f[1].to_owned()))
        .collect()
}

/// Whose clone each guest is: `name` and `above`.
fn above(host: &Host) -> String {
    host.ok("list clones -H -o name,above").out.replace('\t', " ")
}

/// The snapshots of a guest.
fn snapshots(host: &Host, guest: &str) -> Vec<String> {
    host.ok(&format!("snapshot list {guest} -H -o snapshot")).out.lines().map(str::to_owned).collect()
}

fn write(host: &Host, guest: &str, file: &str, text: &str) {
    host.in_folder(guest, |folder| std::fs::write(folder.join(file), text).unwrap());
}

fn read(host: &Host, guest: &str, file: &str) -> String {
    host.in_folder(guest, |folder| std::fs::read_to_string(folder.join(file)).unwrap_or_default())
}

/// The guest `web` with an identity that shows, and firmware variables.
fn source(host: &Host) {
    host.ok("create web --image small loader=bios cpu=2 notes=first autostart=1 x.ticket=7 net0.mac=58:9c:fc:00:00:01 disk0.serial=S1");
    write(host, "web", "uefi-vars.fd", "variables");
    host.ok("snapshot web@base");
}

#[test]
fn linked_or_full_unique_or_exact_in_the_words_of_2016_and_of_today() {
    let Some(host) = Host::new("clones::kinds", With::Image) else { return };
    source(&host);
    let mine = settings(&host, "web");
    let files = host.files("web");
    let short = [("lu", "-cu"), ("le", "-ce"), ("iu", "-iu"), ("ie", "-ie")];
    let long = [
        ("lu2", "--linked --unique"),
        ("le2", "--linked --exact"),
        ("iu2", "--independent --unique"),
        ("ie2", "--independent --exact"),
        ("lu3", ""),
    ];
    for (name, how) in short.iter().chain(&long) {
        host.ok(&format!("clone web@base {name} {how}"));
        let its = settings(&host, name);
        let exact = name.contains('e');
        for (key, value) in &mine {
            let identity = ["uuid", "net0.mac", "disk0.serial", "autostart"].contains(&key.as_str());
            if key == "created" && !exact {
                // The same second may have seen both.
                assert!(its.get(key) >= Some(value), "{name}: {key}");
            } else if exact || !identity {
                assert_eq!(its.get(key), Some(value), "{name}: {key}");
            } else {
                assert_ne!(its.get(key), Some(value), "{name}: {key}");
            }
        }
        assert_eq!(its["cloned_from"], "web@base");
        let origin = host.zfs_get("origin", &host.dataset(name));
        assert_eq!(origin, if name.contains('l') { format!("{}@base", host.dataset("web")) } else { "-".to_owned() }, "{name}");
        let copies = host.files(name);
        for file in ["disk0.raw", "uefi-vars.fd"] {
            assert_eq!(copies[file], files[file], "{name}: {file}");
        }
        assert!(read(&host, name, "config.toml").contains(&format!("\"uuid\" = \"{}\"", its["uuid"])));
    }
    // What was made on the way is gone, and what was there is as it was.
    assert_eq!(snapshots(&host, "web"), ["base"]);
    for name in ["iu", "ie", "iu2", "ie2"] {
        assert_eq!(snapshots(&host, name), Vec::<String>::new(), "{name}");
    }
    assert_eq!((settings(&host, "web"), host.files("web")), (mine, files));
    // Each writes for itself alone.
    write(&host, "lu", "disk0.raw", "other");
    write(&host, "web", "disk0.raw", "mine");
    assert_eq!((read(&host, "lu", "disk0.raw"), read(&host, "web", "disk0.raw")), ("other".to_owned(), "mine".to_owned()));
    assert_ne!(read(&host, "le", "disk0.raw"), "mine");
}

#[test]
fn a_clone_of_a_snapshot_is_what_the_guest_was_then() {
    let Some(host) = Host::new("clones::then", With::Image) else { return };
    source(&host);
    write(&host, "web", "disk0.raw", "present");
    host.ok("set web notes=second cpu=4");
    host.ok("disk add web 1M");
    host.ok("clone web@base past cpu=8");
    assert_eq!((host.value("past", "notes"), host.value("past", "cpu")), ("first".to_owned(), "8".to_owned()));
    assert_eq!(host.ok("disk list past -H -o number").value(), "0");
    assert_ne!(read(&host, "past", "disk0.raw"), "present");
    host.ok("clone web@base past2 -i");
    assert_eq!(host.ok("disk list past2 -H -o number").value(), "0");
    host.ok("clone web now");
    assert_eq!((host.value("now", "notes"), read(&host, "now", "disk0.raw")), ("second".to_owned(), "present".to_owned()));
    assert_eq!(host.ok("disk list now -H -o number").out, "0\n1\n");
    // A snapshot of another program: the copy in it tells.
    host.sh("zfs", &["snapshot", "-r", &format!("{}@autosnap_2026-01-01_00:00:00_daily", host.dataset("web"))]);
    host.ok("clone web@autosnap_2026-01-01_00:00:00_daily theirs").is_silent_of("no settings");
    assert_eq!(host.value("theirs", "notes"), "second");
}

#[test]
fn the_last_clone_takes_the_snapshot_along_that_was_taken_for_it() {
    let Some(host) = Host::new("clones::last", With::Image) else { return };
    source(&host);
    host.ok("clone web a b c");
    let all = snapshots(&host, "web");
    assert!(all.len() == 2 && all[1].starts_with("clone-"), "{all:?}");
    host.ok("clone a aa");
    assert_eq!(above(&host), "web -\na web\naa a\nb web\nc web\n");
    let drawn = host.ok("list clones").out;
    assert!(drawn.contains("├─ a ") && drawn.contains("│  └─ aa ") && drawn.contains("└─ c "), "{drawn}");
    host.chyves("delete a --now --yes").ends(4).says("guests/aa").says("chyves promote");
    host.chyves(&format!("snapshot delete web@{} --yes", all[1])).ends(4).says("guests/b");
    // In the trash it still stands on the snapshot.
    host.ok("delete aa b");
    // zfs-fuse renames nothing that clones stand on: there it stays where it is.
    let marked = host.ok("delete a").says("chyves undelete a").err.contains("a is marked as deleted");
    assert_eq!(marked, host.tree().contains_key(&host.dataset("a")));
    host.ok("delete c --now --yes");
    assert_eq!(snapshots(&host, "web"), all);
    // All at once: clones before their origins, and the snapshot with the last.
    let said = host.ok("trash empty --yes").says("it was taken for this clone");
    assert!(said.err.contains(&format!("@{}", all[1])), "{}", said.err);
    assert_eq!(snapshots(&host, "web"), ["base"]);
    assert_eq!(host.ok("trash list -H").out, "");
    // One that the person named stays.
    host.ok("clone web@base d");
    host.ok("delete d --now --yes");
    assert_eq!(snapshots(&host, "web"), ["base"]);
    // Nothing between the two can leave the snapshot behind.
    host.ok("clone web e");
    let steps = host.ok("delete e --now --dry-run --json").json()["steps"].as_array().unwrap().len();
    for step in 0..steps {
        for fault in ["fail", "killed"] {
            host.command(common::PROGRAM)
                .args(["delete", "e", "--now", "--yes"])
                .env("CHYVES_FAULT", format!("{fault}:{step}"))
                .output()
                .unwrap();
            host.ok("repair");
            let there = host.chyves("get e uuid").code == 0;
            assert_eq!(snapshots(&host, "web").len(), if there { 2 } else { 1 }, "{fault}:{step}");
            if !there {
                host.ok("clone web e");
            }
        }
    }
}

#[test]
fn many_clones_are_made_at_once_and_each_by_itself() {
    let Some(host) = Host::new("clones::many", With::Image) else { return };
    source(&host);
    host.ok("create c3 --size 1M");
    let before = host.tree();
    host.chyves("clone web c1 --pool nowhere -i").ends(3);
    host.chyves("clone web@nothing c1").ends(3).says("no snapshot called");
    host.chyves("clone web all").ends(2);
    host.chyves("clone nobody c1").ends(3);
    host.chyves("clone web c3").ends(4).says("`c3` already");
    assert_eq!(host.tree(), before);
    // If one cannot be created, the others still are.
    host.chyves("clone web c1 c2 c3").ends(6).says("c1: a clone of web").says("c2: a clone of web").says("`c3` already");
    host.ok("delete c1 c2 --now --yes");
    assert_eq!(host.tree(), before);
    let names: Vec<String> = (10..30).map(|n| format!("c{n}")).collect();
    let told = host.ok(&format!("clone web {} --json", names.join(" "))).json();
    let uuids: std::collections::BTreeSet<&str> = told.as_array().unwrap().iter().map(|c| c["uuid"].as_str().unwrap()).collect();
    assert_eq!(uuids.len(), names.len());
    assert_eq!(snapshots(&host, "web").len(), 2, "one snapshot serves them all");
    host.ok(&format!("delete {} --now --yes", names.join(" ")));
    assert_eq!(host.tree(), before);
}

#[test]
fn full_clones_go_to_another_pool() {
    let Some(host) = Host::new("clones::pool", With::Image) else { return };
    source(&host);
    let other = host.second("");
    // What people set by ZFS itself says how data is kept, which goes with it; or how much, which does not.
    host.sh("zfs", &["set", "compression=gzip", &host.dataset("web")]);
    host.sh("zfs", &["set", "recordsize=32K", &host.dataset("web")]);
    host.sh("zfs", &["set", "quota=300M", &host.dataset("web")]);
    host.chyves(&format!("clone web x --pool {other}")).ends(2).says("--independent");
    let files = host.files("web");
    host.ok(&format!("clone web x y --independent --pool {other}"));
    host.ok(&format!("clone web@base z -ie --pool {other}"));
    assert_eq!(snapshots(&host, "web"), ["base"]);
    for name in ["x", "y", "z"] {
        assert_eq!(host.ok("list -H -o name,pool").out.lines().filter(|l| *l == format!("{name}\t{other}")).count(), 1);
        let dataset = format!("{other}/chyves/guests/{name}");
        let kept = ["canmount", "compression", "recordsize", "quota"].map(|key| host.zfs_get(key, &dataset));
        assert_eq!(kept, ["noauto", "gzip", "32768", "0"]);
        host.sh("zfs", &["mount", &dataset]);
        let disk = std::fs::read(host.open_path(host.dir().join("pool-b/chyves/guests").join(name).join("disk0.raw"))).unwrap();
        common::until("it to be let go", || {
            host.command("zfs").args(["unmount", &dataset]).output().unwrap().status.success().then_some(())
        });
        host.in_folder("web", |f| assert_eq!(std::fs::read(f.join("disk0.raw")).unwrap(), disk));
    }
    assert_eq!(host.files("web"), files);
    host.ok(&format!("pool offline {other}"));
    host.chyves(&format!("clone web w -i --pool {other}")).ends(4).says("offline");
}

#[test]
fn promote_turns_round_who_stands_on_whom() {
    let Some(host) = Host::new("clones::promote", With::Image) else { return };
    source(&host);
    host.ok("clone web@base lu");
    host.ok("clone web lu2");
    host.ok("set lu notes=its");
    let uuids = (host.value("web", "uuid"), host.value("lu", "uuid"));
    host.chyves("delete web --now --yes").ends(4).says("guests/lu").says("promote CLONE");
    // What the other guest reverts to stays its own.
    host.ok("set web revert_to_snapshot=base revert_to_snapshot_method=start");
    host.chyves("promote lu")
        .ends(4)
        .says("`web` reverts to @base")
        .says("`chyves unset web revert_to_snapshot,revert_to_snapshot_method`");
    host.ok("unset web revert_to_snapshot,revert_to_snapshot_method");
    host.ok("promote lu").says("1 snapshot, @base").says("web becomes a clone of lu");
    assert_eq!(above(&host), "lu -\nweb lu\nlu2 web\n");
    assert_eq!((host.value("web", "uuid"), host.value("lu", "uuid")), uuids);
    // The snapshot is lu's now; its settings are web's, and who lu is stays.
    host.ok("snapshot rollback lu@base");
    assert_eq!((host.value("lu", "notes"), host.value("lu", "uuid")), ("first".to_owned(), uuids.1.clone()));
    assert_eq!(read(&host, "lu", "uefi-vars.fd"), "variables");
    host.ok("promote lu2");
    host.ok("delete web --now --yes");
    assert_eq!(above(&host), "lu -\nlu2 lu\n");
    // An image is no guest.
    host.chyves("promote lu").ends(4).says("images/small@ready").says("--independent");
    host.ok("create alone --size 1M");
    host.ok("promote alone").says("not a clone");
    // A snapshot of the same name on both sides.
    host.ok("snapshot lu2@twice");
    host.ok("snapshot lu@twice");
    host.ok("clone lu@twice lu3");
    host.ok("snapshot lu3@twice");
    host.chyves("promote lu3").ends(4).says("@twice").says("chyves snapshot delete lu3@twice");
}

#[test]
fn templates_are_cloned_from_and_never_started() {
    let Some(host) = Host::new("clones::templates", With::Image) else { return };
    source(&host);
    host.ok("set web template=yes");
    let before = (host.tree(), host.files("web"));
    for (line, code) in [
        ("start web", 4),
        ("delete web", 4),
        ("delete web --now --yes", 4),
        ("snapshot rollback web@base --yes", 4),
        ("disk add web 1M", 4),
        ("disk remove web disk0", 4),
        ("disk resize web disk0 1G", 4),
        ("disk move web disk0 disk3", 4),
    ] {
        host.chyves(line).ends(code).says("template");
    }
    host.chyves("start all").says("template");
    assert_eq!((host.tree(), host.files("web")), before);
    // Nobody writes into it.
    host.in_folder("web", |folder| assert!(std::fs::write(folder.join("disk0.raw"), "x").is_err()));
    host.ok("clone web@base a");
    host.ok("clone web b -iu");
    host.ok("clone web c -ie");
    for name in ["a", "b", "c"] {
        assert_eq!(host.value(name, "template"), "no");
        write(&host, name, "disk0.raw", "can be written");
    }
    host.ok("set web notes=changed");
    assert!(read(&host, "web", "config.toml").contains("changed"));
    host.in_folder("web", |folder| assert!(std::fs::write(folder.join("disk0.raw"), "x").is_err()));
    host.ok("set web template=no");
    write(&host, "web", "disk0.raw", "again");
    // A guest that is made as one.
    host.ok("create gold --size 1M template=yes");
    host.chyves("start gold").ends(4).says("template");
    host.in_folder("gold", |folder| assert!(std::fs::write(folder.join("disk0.raw"), "x").is_err()));
}
