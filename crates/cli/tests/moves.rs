//! Another name, another pool, the trash and back: what a guest is stays, and nothing else is touched.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use std::collections::BTreeMap;

/// The settings of a guest that were made.
fn settings(host: &Host, guest: &str) -> BTreeMap<String, String> {
    let listed = host.ok(&format!("get {guest} all -H -o property,value,source")).out;
    let fields = listed.lines().map(|l| l.split('\t').collect::<Vec<_>>());
    fields.filter(|f| f[2] == "local").map(|f| (f[0].to_owned(), f[1].to_owned())).collect()
}

/// What a guest sees of itself: MAC addresses, serial numbers, identity.
fn identity(host: &Host, guest: &str) -> Vec<String> {
    let shown = host.ok(&format!("start {guest} --dry-run")).out;
    let mut found: Vec<String> = shown
        .split([' ', ',', '\'', '\n'])
        .filter(|w| ["mac=", "serial=", "uuid=", "addr="].iter().any(|p| w.starts_with(p)))
        .map(str::to_owned)
        .collect();
    found.sort();
    assert!(found.len() >= 4, "{shown}");
    found
}

/// Whole contents of the files of a guest, wherever it lies.
fn files(host: &Host, dataset: &str) -> BTreeMap<String, Vec<u8>> {
    host.sh("zfs", &["mount", dataset]);
    let folder = host.open_path(host.zfs_get("mountpoint", dataset));
    let files = std::fs::read_dir(folder).unwrap().flatten().filter(|e| e.file_type().unwrap().is_file());
    let found = files.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect();
    common::until("it to be let go", || host.command("zfs").args(["unmount", dataset]).output().unwrap().status.success().then_some(()));
    found
}

#[test]
fn a_renamed_guest_is_who_it_was() {
    let Some(host) = Host::new("moves::rename", With::Image) else { return };
    host.ok("create web01 --image small loader=bios net0.backend=user notes=mine");
    host.ok("disk add web01 1M bus=nvme");
    host.in_folder("web01", |folder| std::fs::write(folder.join("uefi-vars.fd"), "variables").unwrap());
    host.ok("snapshot web01@one");
    host.ok("create other --size 1M");
    let (mine, is, contents) = (settings(&host, "web01"), identity(&host, "web01"), files(&host, &host.dataset("web01")));
    let guid = host.zfs_get("guid", &host.dataset("web01"));

    host.chyves("rename web01 other").ends(4).says("`other` already");
    host.chyves("rename web01 start").ends(2);
    host.chyves("rename web01 ../x").ends(2);
    host.chyves("rename nobody web02").ends(3);
    host.ok("rename web01 web01").says("its name already");
    host.ok("web01 rename web02").says("renamed to web02");
    host.chyves("get web01 uuid").ends(3);
    assert_eq!((settings(&host, "web02"), identity(&host, "web02")), (mine, is));
    assert_eq!(files(&host, &host.dataset("web02")), contents);
    assert_eq!(host.zfs_get("guid", &host.dataset("web02")), guid);
    host.ok("snapshot list web02 -H -o name").says("web02@one");
    host.ok("snapshot rollback web02@one");
    // Where a clone of the snapshot takes the guest's place, it is another dataset from here on.
    let guid = host.zfs_get("guid", &host.dataset("web02"));
    // zfs-fuse renames nothing that clones stand on, and says what to do.
    host.ok("clone web02@one lu");
    let renamed = host.chyves("rename web02 web03");
    if renamed.code != 0 {
        renamed.ends(4).says("guests/lu").says("chyves promote");
        host.ok("promote lu");
        host.ok("rename web02 web03");
    }
    assert_eq!(host.zfs_get("guid", &host.dataset("web03")), guid);
}

#[test]
fn a_running_guest_keeps_its_name_and_place() {
    let Some(host) = Host::new("moves::running", With::Tiny) else { return };
    let other = host.second("");
    host.ok("create web --image tiny loader=bios accel=tcg");
    host.ok("start web -q");
    for line in ["rename web web2".to_owned(), format!("move web --pool {other}"), "delete web".into(), "delete web --now --yes".into()] {
        host.chyves(&line).ends(4).says("chyves stop web");
    }
    // A clone of what runs finds its disks as after a power cut, and runs beside it.
    host.ok("clone web live").says("crash-consistent");
    host.ok("clone web exact -ce");
    host.ok("start live -q");
    host.chyves("start exact").ends(4).says("web");
    host.ok("stop all --now");
    host.ok("rename live live2");
    host.ok("start live2 -q");
    let mut console = host.console("live2");
    console.sees("tiny: ready");
    console.leaves();
    host.ok("stop live2 --now");
    host.nothing_is_left();
}

#[test]
fn a_moved_guest_is_who_it_was_and_the_original_waits_in_the_trash() {
    let Some(host) = Host::new("moves::move", With::Image) else { return };
    let other = host.second("");
    host.ok("create web01 --image small loader=bios net0.backend=user notes=mine x.ticket=7");
    host.ok("disk add web01 1M");
    host.in_folder("web01", |folder| std::fs::write(folder.join("uefi-vars.fd"), "variables").unwrap());
    // What was set by ZFS itself is the guest's too.
    let set = [("quota", "209715200"), ("compression", "gzip"), ("recordsize", "32768")];
    for (key, value) in set {
        host.sh("zfs", &["set", &format!("{key}={value}"), &host.dataset("web01")]);
    }
    host.ok("snapshot web01@one");
    host.ok("clone web01@one lu");
    let (mine, is, contents) = (settings(&host, "web01"), identity(&host, "web01"), files(&host, &host.dataset("web01")));
    let clone = host.files("lu");

    host.chyves("move web01 --pool nowhere").ends(3).says("nowhere");
    host.ok(&format!("move web01 --pool {}", host.pool)).says("already");
    host.ok(&format!("move web01 --pool {other}")).says("its 1 snapshot stay").says(&format!("moved to the pool {other}"));
    assert_eq!(host.ok("list -H -o name,pool").out, format!("lu\t{}\nweb01\t{other}\n", host.pool));
    assert_eq!((settings(&host, "web01"), identity(&host, "web01")), (mine.clone(), is.clone()));
    let there = format!("{other}/chyves/guests/web01");
    assert_eq!(files(&host, &there), contents);
    for (key, value) in set {
        assert_eq!(host.zfs_get(key, &there), value, "{key}");
    }
    assert_eq!(host.sh("zfs", &["list", "-H", "-r", "-t", "snapshot", "-o", "name", &there]), "", "nothing of the way is left");
    assert_eq!(host.files("lu"), clone);
    host.ok("trash list -H -o name").says("web01");
    // The original can't come back beside it; under another name it is the same machine, which can't run twice.
    host.chyves("undelete web01").ends(4).says("web01");
    host.ok("delete web01");
    host.chyves("undelete web01").ends(2).says("several");
    let gone = host.ok("trash list -H -o dataset").out;
    let at = |pool: &str| gone.lines().find(|l| l.starts_with(&format!("{pool}/"))).unwrap_or_else(|| panic!("{gone}")).to_owned();
    host.ok(&format!("undelete {}", at(&other)));
    assert_eq!((settings(&host, "web01"), identity(&host, "web01")), (mine, is));
    // Back again: the trash of the first pool holds it already.
    if host.chyves(&format!("move web01 --pool {}", host.pool)).code == 4 {
        // There its name is kept by what clones stand on.
        host.ok("promote lu");
        host.ok("trash empty web01 --yes");
        host.ok(&format!("move web01 --pool {}", host.pool));
    }
    assert_eq!(files(&host, &host.dataset("web01")), contents);
}

#[test]
fn what_is_deleted_comes_back_and_keeps_clones_unhurt() {
    let Some(host) = Host::new("moves::trash", With::Image) else { return };
    host.ok("create web --image small notes=mine");
    host.ok("snapshot web@one");
    host.ok("clone web@one lu");
    host.ok("create db --size 1M");
    let (mine, contents) = (settings(&host, "web"), host.files("web"));
    let clone = (host.files("lu"), settings(&host, "lu"));
    host.ok("delete web");
    assert_eq!((host.files("lu"), settings(&host, "lu")), clone);
    for line in ["start web", "set web cpu=2", "snapshot web@x", "clone web x", "delete web", "rename web x", "promote web"] {
        host.chyves(line).ends(3);
    }
    host.chyves("trash empty web --yes").ends(4).says("guests/lu").says("chyves promote");
    // Where it could not be moved away its name stays taken, and this is reported.
    for line in ["create web --size 1M", "clone lu web", "rename db web"] {
        let said = host.chyves(line);
        if said.code == 0 {
            host.ok("delete web --now --yes");
            host.chyves("create db --size 1M");
        } else {
            said.ends(4).says("a deleted guest keeps the name `web`").says("chyves undelete web");
        }
    }
    host.ok("undelete web");
    assert_eq!((settings(&host, "web"), host.files("web")), (mine.clone(), contents.clone()));
    host.ok("delete web");
    host.ok("undelete web --name back");
    assert_eq!((settings(&host, "back"), host.files("back")), (mine, contents));
    assert_eq!((host.files("lu"), settings(&host, "lu")), clone);
    host.ok("delete lu back");
    host.ok("delete db");
    assert_eq!(host.ok("trash list -H -o name").out.lines().count(), 3);
    // Exactly what it lists: first shown, then gone.
    let shown = host.ok("trash empty --dry-run").out;
    assert!(shown.contains("zfs destroy -r") && !shown.contains("-R"), "{shown}");
    host.chyves("trash empty").ends(2).says("--yes");
    assert_eq!(host.ok("trash list -H -o name").out.lines().count(), 3);
    host.ok("trash empty --yes");
    assert_eq!(host.ok("trash list -H").out, "");
    assert_eq!(host.ok("list -H").out, "");
}

#[test]
fn the_trash_is_emptied_by_age() {
    let Some(host) = Host::new("moves::age", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    for (name, days) in [("young", 1), ("old", 8), ("older", 800)] {
        host.ok(&format!("create {name} --size 1M"));
        let uuid = host.value(name, "uuid");
        host.ok(&format!("delete {name}"));
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86400 + 600);
        let seconds = then.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let time = host.sh("date", &["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"]);
        host.sh("zfs", &["set", &format!("chyves:deleted={}", time.trim()), &format!("{}/chyves/trash/{uuid}", host.pool)]);
    }
    let left = || host.ok("trash list -H -o name").out.replace('\n', " ");
    host.ok("trash empty --older 1000d --yes");
    assert_eq!(left().split_whitespace().count(), 3);
    for bad in ["7", "d", "7y", "-7d"] {
        host.chyves(&format!("trash empty --older={bad} --yes")).ends(2);
    }
    // A time that can't be read is no reason to destroy.
    host.ok("create odd --size 1M");
    let uuid = host.value("odd", "uuid");
    host.ok("delete odd");
    host.sh("zfs", &["set", "chyves:deleted=yesterday", &format!("{}/chyves/trash/{uuid}", host.pool)]);
    host.chyves("trash empty --older 7d --yes");
    let mut names: Vec<String> = left().split_whitespace().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["odd", "young"]);
    host.ok("trash empty young --yes");
    assert_eq!(left().trim(), "odd");
}
