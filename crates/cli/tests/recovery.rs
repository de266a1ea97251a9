//! The pool is the database: a host that has only the pool has everything; what other programs snapshot and replicate is
//! told as theirs, can be gone back to, and never starts by itself.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use std::process::Stdio;

#[test]
fn a_host_with_nothing_but_the_pool_lists_starts_and_rolls_back_everything() {
    let Some(host) = Host::new("recovery::fresh", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg net0.backend=user notes=first autostart=1");
    host.ok("create db --size 1M loader=bios");
    let writes = |letter: &str| {
        host.ok("start web -q");
        let mut console = host.console("web");
        console.sees("tiny: ready");
        console.types(&format!("w{letter}"));
        console.sees(&format!("tiny: data {letter}"));
        console.leaves();
        host.ok("stop web -q");
    };
    let has = |letter: &str| {
        host.ok("start web -q");
        let mut console = host.console("web");
        console.sees("tiny: ready");
        console.types("g");
        console.sees(&format!("tiny: data {letter}"));
        console.leaves();
        host.ok("stop web -q");
    };
    writes("A");
    host.ok("snapshot web@one");
    writes("B");
    host.ok("set web notes=second");
    host.ok("clone web@one lu");
    host.ok("delete db");
    let told = [
        "list -H -o name,state,cpu,ram,uuid,notes,autostart,origin",
        "get all all -H",
        "snapshot list -H -p",
        "list clones -H",
        "trash list -H -p",
        "image list -H -p -o name,kind,size,added,sha256,file",
        "pool list -H",
        "disk list -H -p",
        "start web --dry-run",
    ];
    let ask = || told.iter().map(|line| host.ok(line).out).collect::<Vec<_>>();
    let before = ask();
    host.nothing_is_left();

    // The host burns down: nothing is left of it but the pool.
    host.sh("zpool", &["export", &host.pool]);
    std::fs::remove_dir_all(host.run_dir()).unwrap();
    host.chyves("list").ends(3).says("no pool");
    host.sh("zpool", &["import", "-d", host.dir().to_str().unwrap(), "-o", "cachefile=none", &host.pool]);
    assert_eq!(ask(), before);
    has("B");
    host.ok("snapshot rollback web@one");
    assert_eq!(host.value("web", "notes"), "first");
    has("A");
    host.ok("start lu -q");
    host.ok("stop lu -q --now");
    host.ok("undelete db");
    host.ok("snapshot rollback web@one");
    host.nothing_is_left();
}

#[test]
fn snapshots_of_other_programs_are_told_as_theirs_and_gone_back_to() {
    let Some(host) = Host::new("recovery::others", With::Image) else { return };
    host.ok("create web --image small loader=bios notes=first cpu=2 x.ticket=7");
    let (zrepl, sanoid) = ("zrepl_20260101_120000_000", "autosnap_2026-01-01_00:00:00_daily");
    for name in [zrepl, sanoid, "mine"] {
        host.sh("zfs", &["snapshot", &format!("{}@{name}", host.dataset("web"))]);
    }
    host.ok("snapshot web@ours");
    let listed = host.ok("snapshot list web -H -o snapshot,by").out;
    for (name, by) in [(zrepl, "zrepl"), (sanoid, "sanoid"), ("mine", "other"), ("ours", "chyves")] {
        assert!(listed.contains(&format!("{name}\t{by}\n")), "{listed}");
    }
    // They are never touched, also not as part of a range.
    for name in [zrepl, sanoid, "mine"] {
        host.chyves(&format!("snapshot delete web@{name} --yes")).ends(4);
    }
    host.ok("snapshot delete web@ours --yes");
    assert_eq!(host.ok("snapshot list web -H -o snapshot").out.lines().count(), 3);
    let uuid = host.value("web", "uuid");
    // The newest first: where a rollback puts the present into the trash, what is newer goes along.
    for name in ["mine", sanoid, zrepl] {
        host.ok("set web notes=second cpu=4");
        host.ok("unset web x.ticket");
        host.in_folder("web", |folder| std::fs::write(folder.join("disk0.raw"), "other").unwrap());
        host.ok(&format!("snapshot rollback web@{name}"));
        assert_eq!(
            (host.value("web", "notes"), host.value("web", "cpu"), host.value("web", "x.ticket")),
            ("first".into(), "2".into(), "7".into())
        );
        assert_eq!(host.value("web", "uuid"), uuid);
        host.in_folder("web", |folder| assert_ne!(std::fs::read(folder.join("disk0.raw")).unwrap(), b"other"));
    }
}

#[test]
fn what_others_replicate_is_foreign_until_it_is_adopted() {
    let Some(host) = Host::new("recovery::replicated", With::Image) else { return };
    let other = host.second_pool();
    host.ok(&format!("pool init {other}"));
    host.ok("create web --image small loader=bios notes=first autostart=1");
    let from = format!("{}@zrepl_20260101_120000_000", host.dataset("web"));
    host.sh("zfs", &["snapshot", &from]);
    let copy = format!("{other}/chyves/guests/copy");
    for (options, said) in [(&["-p"][..], true), (&[][..], false)] {
        let stream = host.command("zfs").arg("send").args(options).arg(&from).output().unwrap().stdout;
        let mut child = host.command("zfs").args(["receive", "-u", &copy]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &stream).unwrap();
        assert!(child.wait().unwrap().success());
        let listed = host.ok("list -H -o name,state").out;
        assert_eq!(listed.contains("copy\tforeign"), said, "{listed}");
        assert!(!listed.contains("copy\tstopped"), "{listed}");
        host.chyves("start copy").ends(if said { 4 } else { 3 });
        if said {
            host.chyves("adopt copy").ends(4).says("--new-identity");
            host.chyves("adopt copy --new-identity").ends(4).says("starts by itself");
            host.ok("adopt copy --new-identity --drop-host-settings");
            host.ok("list -H -o name,state").says("copy\tstopped");
            host.ok("delete copy --now --foreign --yes");
        }
    }
    // What can't go on says so before anything is read.
    if !std::path::Path::new("/dev/zfs").exists() {
        std::fs::write(host.work().join("none"), "").unwrap();
        let from = std::fs::File::open(host.work().join("none")).unwrap();
        let words = ["receive", "--resume", "receiving-00000000", "--name", "copy2"];
        let output = host.command(common::PROGRAM).args(words).stdin(Stdio::from(from)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(5) && said.contains("send it again as a whole"), "{said}");
    }
}

/// A start that was killed while its guest reverted to a snapshot leaves the clone that it copied from. It keeps nothing from being
/// done: `repair` removes it, and so does a command on the guest that it would stand in the way of.
#[test]
fn the_clone_of_a_killed_revert_is_removed() {
    let Some(host) = Host::new("recovery::revert", With::Image) else { return };
    host.ok("create web --size 1M");
    host.ok("snapshot web@clean");
    let work = format!("{}/chyves/trash/revert-{}", host.pool, host.value("web", "uuid"));
    let leave = |guest: &str| {
        let from = format!("{}@clean", host.dataset(guest));
        host.sh("zfs", &["clone", "-o", "canmount=noauto", &from, &work]);
    };
    let is_left = || host.tree().keys().any(|name| name.contains("revert-"));
    leave("web");
    host.ok("repair -n").says("web: its start was killed").says(&work);
    assert!(is_left());
    host.ok("repair").says("web: its start was killed");
    assert!(!is_left());
    host.ok("repair").says("nothing to repair");
    leave("web");
    host.ok("rename web www");
    assert!(!is_left());
    leave("www");
    host.ok("delete www").is_silent_of("keeps its place");
    assert!(!is_left());
    host.ok("undelete www");
}
