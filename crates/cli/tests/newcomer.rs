//! What is typed in the first hour and on the tenth day: words of other programs, half a command, and what is shown of it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With};
use std::process::Stdio;

#[test]
fn words_of_other_programs_are_commands_or_name_them() {
    let Some(host) = Host::new("newcomer::words", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    for (typed, meant) in [
        ("ls", "list"),
        ("status", "list"),
        ("web status", "info web"),
        ("show web", "info web"),
        ("disk ls web", "disk list web"),
        ("image ls", "image list"),
    ] {
        // What a dataset uses may still change for a moment.
        common::until(typed, || (host.ok(typed).out == host.ok(meant).out).then_some(()));
    }
    host.ok("shutdown web").says("already stopped");
    host.ok("rm web -n").says("will be moved to the trash");
    for (typed, hint) in [
        ("restart web", "`chyves reset web`"),
        ("restore web", "chyves snapshot rollback"),
        ("poweroff web", "`chyves stop web --now`"),
        ("destroy web", "chyves delete web"),
        ("top", "`chyves list`"),
    ] {
        host.chyves(typed).ends(2).says(hint).is_silent_of("did you mean");
    }
    // A word behind a noun that is neither its verb nor a guest.
    host.chyves("disk frobnicate").ends(3).says("`frobnicate` is neither a guest nor a verb of `disk`").says("resize");
    host.chyves("disk attach --help").ends(2).says("`disk` has no verb `attach`").says("--attach PATH");
    // Help on a property, and several in one word.
    host.ok("help ram").says("Default:      256M").says("Also spelled: memory");
    host.ok("help disk0.bus").says("virtio-blk");
    host.ok("set web cpu=2 ram=64M");
    host.ok("unset web cpu,ram");
    assert_eq!(host.value("web", "cpu"), "1");
    host.chyves("set web display=on").ends(2).says("vnc=on");
    // Nobody completes what is chyves' own to run.
    let offered = host.chyves_words(&["_complete", "--line", "chyves "]).out;
    assert!(offered.contains("snapshot") && !offered.contains("_launch-spec") && !offered.contains("_go-back"), "{offered}");
}

#[test]
fn what_is_made_is_said_where_it_may_not_be_meant() {
    let Some(host) = Host::new("newcomer::create", With::Image) else { return };
    host.ok("create bare").says("bare: no disk is created").says("--size 20G");
    host.ok("create full --size 1M").is_silent_of("no disk");
    host.ok("create like --image small loader=bios").is_silent_of("no disk");
    // On a terminal the person decides.
    let mut create = host.terminal("create nope small");
    create.sees("chyves create nope --image small");
    create.sees("[y/N]");
    create.types("n\r");
    create.ends(4);
    let mut create = host.terminal("create other");
    create.sees("make other without a disk? [y/N]");
    create.types("y\r");
    create.sees("created as");
    create.ends(0);
    host.ok("create yes --yes").says("no disk is created");
    assert_eq!(host.ok("list -H -o name").out, "bare\nfull\nlike\nother\nyes\n");
}

#[test]
fn a_deleted_guest_is_named_with_the_way_back() {
    let Some(host) = Host::new("newcomer::trash", With::Image) else { return };
    host.ok("create web --size 1M");
    let uuid = host.value("web", "uuid");
    host.ok("delete web --yes");
    for line in ["start web", "info web", "get web ram", "set web cpu=2"] {
        host.chyves(line).ends(3).says("the guest `web` is deleted").says("`chyves undelete web`");
    }
    host.ok("create web --size 1M");
    host.ok("delete web --yes");
    host.chyves("start web").ends(3).says("2 guests of this name");
    let said = host.chyves("undelete web").ends(2).says("several deleted guests").says("`chyves undelete ");
    let hint = said.err.lines().find_map(|l| l.split("`chyves ").nth(1)).unwrap().trim_end_matches('`').to_owned();
    assert_ne!(hint, "undelete web");
    host.ok(&format!("{hint} --name first"));
    // By its identity, in any spelling, and by its dataset.
    let other = host.ok("trash list -H -o name,dataset").out;
    let dataset = other.trim_end().split('\t').nth(1).unwrap().to_owned();
    if host.chyves(&format!("undelete {}", uuid.to_uppercase())).err.contains("restored from the trash") {
        host.ok("delete web --yes");
    }
    host.ok(&format!("undelete {dataset}"));
}

#[test]
fn small_things_are_said_as_they_are() {
    let Some(host) = Host::new("newcomer::small", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    host.ok("snapshot web@before");
    host.ok("snapshot diff web before").says("no differences between @before and the present");
    host.ok("snapshot rollback web before").says("rolled back to @before");
    // A file in the current folder is attached by its name; one that is gone is not looked for in snapshots.
    std::fs::File::create(host.work().join("ext.raw")).unwrap().set_len(4 << 20).unwrap();
    host.ok("disk add web --attach ext.raw").says("disk1 added");
    std::fs::remove_file(host.work().join("ext.raw")).unwrap();
    host.chyves("start web").ends(5).says("it is part of no snapshot").is_silent_of("find it");
    host.chyves("disk add web --attach nosuch.raw").ends(3).says("no file `nosuch.raw` in the current folder");
    // A snapshot of another program may have a name that chyves has no use for.
    host.sh("zfs", &["snapshot", &format!("{}@a b", host.dataset("web"))]);
    host.ok("snapshot list web").says("web@a b");
    host.chyves_words(&["snapshot", "delete", "web@a b", "--yes"]).ends(2).says("zfs rename -r 'DATASET@a b' 'DATASET@a_b'");
    // A mount point that something else has filled.
    let folder = host.open_path(host.mount_point().join("chyves/guests/db"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("x"), "x").unwrap();
    host.chyves("create db --image small loader=bios").ends(1).says("not empty").says("move them elsewhere");
    // Nobody follows a stream into a mail of cron(8).
    let output = host.command(PROGRAM).args(["send", "web@before"]).stdout(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stderr).contains("/s"), "{output:?}");
    let output = host.command(PROGRAM).args(["-v", "send", "web@before"]).stdout(Stdio::null()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("/s"), "{output:?}");
}

#[test]
fn a_start_shows_what_a_person_looks_for() {
    let Some(host) = Host::new("newcomer::start", With::Tiny) else { return };
    host.ok("create web,db --image tiny --ram 32M loader=bios accel=tcg");
    host.ok("create off1,off2,off3 --size 1M");
    host.ok("set web vnc=on");
    host.ok("start web").says("running (pid ").says("VNC display at 127.0.0.1:").says("vnc.secret").is_silent_of("-machine");
    host.ok("info web").says("-machine q35").says(" (auto)").is_silent_of("tcg (auto)");
    let mut start = host.terminal("start db");
    start.sees("qemu-system-x86_64 \\\r\n    -name guest=db \\\r\n    -");
    start.sees("db: running");
    start.ends(0);
    host.ok("start -q db").says("db: already running");
    // What was added to a running guest it does not have yet.
    host.ok("disk add web 2M");
    host.chyves("disk resize web disk1 4M").ends(4).says("added while the guest runs").is_silent_of("sees disk1 grow");
    host.ok("disk resize web disk0 4M").says("sees disk0 grow");
    let stopped = host.ok("stop all --now");
    stopped.says("3 more were off already").is_silent_of("off1");
    host.ok("start -q web").says("web: running (pid ");
    host.ok("stop web --now -q");
    host.ok("stop all").says("no guest is running; 5 are off");
    host.nothing_is_left();
}
