//! A guest's life beyond start and stop: media and when they come out, rolling back to snapshots, many at once.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, Terminal, With, until};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A host with the images `tiny` and `disc`.
fn with_disc(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Tiny)?;
    host.make_iso();
    host.ok("image import ./tiny.iso --name disc").says("iso of");
    Some(host)
}

fn is_mounted(host: &Host, dataset: &str) -> bool {
    host.zfs_get("mounted", &format!("{}/chyves/{dataset}", host.pool)) == "yes"
}

/// Lets the guest at this console reboot, and waits for what it says then.
fn reboots(console: &mut Terminal, ready: &str) {
    console.types("r");
    console.sees("tiny: reboot");
    console.sees(ready);
}

#[test]
fn a_disc_boots_comes_out_at_the_reboot_and_is_let_go() {
    let Some(host) = with_disc("life::disc") else { return };
    host.ok("create web01 --image tiny --ram 32M loader=bios");
    host.chyves("start web01 --iso dics").ends(3).says("no image is called `dics`").says("did you mean `disc`?");
    host.chyves("start web01 --iso tiny").ends(2).says("not an ISO but a disk");
    assert_eq!(host.state("web01"), "stopped");
    host.ok("start web01 --iso disc --dry-run").says("image.iso");
    assert!(!is_mounted(&host, "images/disc"));

    host.ok("-v start web01 --iso disc").says("bootindex=0");
    let mut console = host.console("web01");
    console.sees("tiny: ready 0");
    assert!(is_mounted(&host, "images/disc"));
    host.chyves("image delete disc --yes").ends(4).says("is in an optical drive").says("of web01");
    reboots(&mut console, "tiny: ready 1");
    // Nobody else uses it, so its file system is not kept mounted until the end.
    assert!(!is_mounted(&host, "images/disc"));
    let machine = until("the new machine", || host.processes().into_iter().find(|p| p.line.contains("qemu-system")));
    assert!(machine.line.contains("ide-cd") && !machine.line.contains("image.iso"), "{}", machine.line);
    reboots(&mut console, "tiny: ready 2");
    console.leaves();
    host.ok("stop web01");

    // What was in a drive is forgotten with the run.
    host.ok("start web01").is_silent_of("ide-cd");
    host.ok("stop web01");
    host.nothing_is_left();
}

#[test]
fn a_disc_stays_as_long_as_is_said_and_as_anybody_uses_it() {
    let Some(host) = with_disc("life::disc_shared") else { return };
    host.ok("set defaults iso_eject_after_reboots=2");
    host.ok("create a,b,c --image tiny --ram 32M loader=bios");
    host.ok("set b iso_eject_after_reboots=0");
    host.ok("start a,b --iso disc");
    let (mut a, mut b) = (host.console("a"), host.console("b"));
    a.sees("tiny: ready 0");
    b.sees("tiny: ready 0");
    reboots(&mut a, "tiny: ready 0");
    reboots(&mut a, "tiny: ready 1");
    assert!(is_mounted(&host, "images/disc"), "b still uses it");
    for _ in 0..3 {
        reboots(&mut b, "tiny: ready 0");
    }
    // A supervisor that takes over knows what lies in the drive.
    let (_, supervisor) = host.pids("b");
    host.kill(supervisor);
    until("b to be orphaned", || (host.state("b") == "orphaned").then_some(()));
    drop(b);
    host.ok("start b").says("a new one was started");
    let mut b = host.console("b");
    reboots(&mut b, "tiny: ready 0");
    a.leaves();
    b.leaves();
    host.ok("stop a");
    assert!(is_mounted(&host, "images/disc"));
    // One that does not come up gives back what it borrowed, and takes nothing from the others.
    host.ok("set c qargs=-no-such-option");
    host.chyves("start c --iso disc").ends(1);
    assert!(is_mounted(&host, "images/disc"));
    host.ok("stop b");
    assert!(!is_mounted(&host, "images/disc"));
    host.chyves("start c --iso disc").ends(1);
    assert!(!is_mounted(&host, "images/disc"));
    host.nothing_is_left();
}

#[test]
fn a_guest_that_is_to_stay_off_after_its_reboot_does() {
    let Some(host) = Host::new("life::on_reboot", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg on_reboot=stop");
    host.ok("start web");
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    console.types("r");
    console.sees("tiny: reboot");
    until("web to be off", || (host.state("web") == "stopped").then_some(()));
    host.nothing_is_left();
    host.ok("set web on_reboot=restart");
    host.ok("start web");
    let mut console = host.console("web");
    console.sees("tiny: ready 2");
    reboots(&mut console, "tiny: ready 3");
    console.leaves();
    host.ok("stop web");
}

#[test]
fn the_log_of_a_talkative_console_keeps_its_bound() {
    let Some(host) = Host::new("life::console_log", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg console_log_limit=1K");
    host.ok("start web");
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    for letter in ('a'..='z').chain('A'..='Z').chain('a'..='z') {
        console.types(&format!("w{letter}g"));
        console.sees(&format!("tiny: data {letter}"));
        console.sees(&format!("tiny: data {letter}"));
    }
    console.leaves();
    host.ok("stop web");
    host.in_folder("web", |folder| {
        let logs: Vec<(String, u64)> = std::fs::read_dir(folder.join("logs"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .filter(|(name, _)| name.starts_with("console"))
            .collect();
        assert!(logs.iter().any(|(name, _)| name == "console.log"), "{logs:?}");
        assert!(logs.iter().map(|(_, size)| size).sum::<u64>() <= 1024, "{logs:?}");
        let last = std::fs::read_to_string(folder.join("logs/console.log")).unwrap();
        assert!(last.contains("tiny: bye"), "{last:?}");
    });
}

#[test]
fn a_guest_goes_back_to_its_snapshot_when_it_is_said_to() {
    let Some(host) = Host::new("life::revert", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 32M loader=bios");
    host.chyves("set web01 revert_to_snapshot_method=start").ends(2).says("none is named");
    host.chyves("set web01 revert_to_snapshot=@clean revert_to_snapshot_method=start").ends(3).says("chyves snapshot web01@clean");
    host.ok("snapshot web01@clean");
    host.ok("set web01 revert_to_snapshot=@clean revert_to_snapshot_method=start");
    host.chyves("snapshot delete web01@clean --yes").ends(4).says("web01 reverts to it");
    host.ok("set web01 description=later");

    // At starts alone: a reboot keeps what was written.
    for _ in 0..2 {
        host.ok("start web01").says("goes back to its snapshot clean");
        let mut console = host.console("web01");
        console.sees("tiny: ready 1");
        console.types("g");
        console.sees("tiny: data -");
        console.types("wA");
        console.sees("tiny: data A");
        reboots(&mut console, "tiny: ready 2");
        console.types("g");
        console.sees("tiny: data A");
        console.leaves();
        host.ok("stop web01");
    }
    // Settings are those of today, and so is their copy among the files.
    assert_eq!(host.value("web01", "description"), "later");
    let copy = host.in_folder("web01", |folder| std::fs::read_to_string(folder.join("config.toml")).unwrap());
    assert!(copy.contains("\"description\" = \"later\""), "{copy}");

    // At reboots alone: a start keeps what was written.
    host.ok("set web01 revert_to_snapshot_method=reboot");
    host.ok("start web01").is_silent_of("goes back");
    let mut console = host.console("web01");
    console.sees("tiny: ready 3");
    for _ in 0..2 {
        reboots(&mut console, "tiny: ready 1");
        console.types("g");
        console.sees("tiny: data -");
        console.types("wB");
        console.sees("tiny: data B");
    }

    // Newer snapshots stay, whoever took them: what differs is copied.
    host.ok("snapshot web01@newer");
    host.ok("clone web01 web02").says("do not revert");
    reboots(&mut console, "tiny: ready 1");
    console.types("g");
    console.sees("tiny: data -");
    console.types("wC");
    console.sees("tiny: data C");
    console.leaves();
    host.ok("set web01 revert_to_snapshot_method=both");
    host.ok("stop web01");
    host.ok("start web01").says("the newer snapshots @newer, @clone-");
    let mut console = host.console("web01");
    console.sees("tiny: ready 1");
    console.types("g");
    console.sees("tiny: data -");
    console.leaves();
    host.ok("stop web01");
    assert!(host.tree().keys().all(|name| !name.contains("revert-")), "the clone that was copied from is left");
    host.ok("start web02");
    host.ok("stop web02");

    // Where it can't go back it is not running on what was not reverted.
    host.ok("start web01");
    host.sh("zfs", &["destroy", &format!("{}@clean", host.dataset("web01"))]);
    let mut console = host.console("web01");
    console.sees("tiny: ready 1");
    console.types("r");
    until("the crash", || (host.state("web01") == "crashed").then_some(()));
    console.ends(0);
    host.ok("info web01").says("no snapshot called `clean`");
    host.chyves("start web01").ends(3).says("revert_to_snapshot_method=off");
    host.ok("set web01 revert_to_snapshot_method=off");
    host.ok("start web01");
    host.ok("stop web01");
    host.nothing_is_left();
}

#[test]
fn many_start_side_by_side_and_each_is_told() {
    let Some(mut host) = Host::new("life::many", With::Tiny) else { return };
    let names: Vec<String> = (0..20).map(|n| format!("g{n:02}")).collect();
    host.ok(&format!("create {} --image tiny --ram 32M loader=bios net0.backend=user", names.join(",")));
    host.ok("set g07 qargs=-no-such-option");

    // One start costs as many processes of ZFS whether one guest runs or many.
    let log = count_zfs(&mut host);
    let calls = |line: &str| {
        let before = std::fs::read_to_string(&log).unwrap_or_default().lines().count();
        host.ok(line);
        std::fs::read_to_string(&log).unwrap().lines().count() - before
    };
    let alone = calls("start g00");
    host.ok("stop g00");

    let all = host.chyves("start all").ends(6).says("1 of 20 guests failed").says("g07: `g07` did not start");
    for name in names.iter().filter(|n| *n != "g07") {
        assert!(all.err.contains(&format!("{name}: running (pid ")), "{name} in {}", all.err);
        assert_eq!(host.state(name), "running");
    }
    host.ok("stop g00");
    let among_many = calls("start g00");
    println!("a start calls zfs {alone} times alone and {among_many} times beside 18 running guests");
    assert_eq!(alone, among_many);

    // Fewer machines than guests at any moment is not to be seen from here; that all are there at the end is.
    let machines = host.processes().iter().filter(|p| p.line.contains("qemu-system")).count();
    assert_eq!(machines, 19);
    host.ok("stop all");
    host.nothing_is_left();
}

/// Puts a `zfs` first on the path that writes each call down.
fn count_zfs(host: &mut Host) -> PathBuf {
    let (folder, log) = (host.dir().join("bin"), host.dir().join("zfs.log"));
    std::fs::create_dir(&folder).unwrap();
    let real = host.sh("sh", &["-c", "command -v zfs"]);
    let script = folder.join("zfs");
    std::fs::write(&script, format!("#!/bin/sh\necho \"$*\" >>{}\nexec {} \"$@\"\n", log.display(), real.trim())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.first_on_path(&folder);
    log
}

#[test]
fn what_the_dead_left_is_put_away_and_the_living_are_not_touched() {
    let Some(host) = Host::new("life::reclaim", With::Tiny) else { return };
    host.ok("create dead,alone,well --image tiny --ram 32M loader=bios");
    host.ok("reclaim").says("nothing to reclaim");
    host.ok("start dead,alone,well");
    host.ok("reclaim").says("nothing to reclaim");

    // Supervisor and machine die at once: nobody unmounts, nobody clears the runtime folder.
    let (machine, supervisor) = host.pids("dead");
    host.sh("kill", &["-9", &supervisor.to_string(), &machine.to_string()]);
    let (orphan, supervisor) = host.pids("alone");
    host.kill(supervisor);
    until("both to be seen", || (host.state("dead") == "crashed" && host.state("alone") == "orphaned").then_some(()));
    assert!(is_mounted(&host, "guests/dead"));
    // An image that nobody's drive holds, and the folder of a guest that is nowhere.
    host.sh("zfs", &["mount", &format!("{}/chyves/images/tiny", host.pool)]);
    let stray = host.run_dir().join("8a6e0804-2bd0-4672-b79d-d97027f9071a");
    std::fs::create_dir(&stray).unwrap();
    std::fs::write(stray.join("control"), "").unwrap();

    let shown = host.ok("reclaim --dry-run").says("zfs unmount").says("8a6e0804").says("alone runs").says("chyves reclaim alone --force");
    let shown = shown.is_silent_of("well");
    assert!(shown.out.contains(&format!("zfs unmount {}", host.dataset("dead"))), "{}", shown.out);
    assert!(is_mounted(&host, "guests/dead") && stray.exists());

    host.ok("reclaim").says(&format!("process {orphan}")).is_silent_of("well");
    assert!(!stray.exists() && !is_mounted(&host, "guests/dead") && !is_mounted(&host, "images/tiny"));
    assert_eq!([host.state("dead"), host.state("alone"), host.state("well")], ["stopped", "orphaned", "running"]);
    host.ok("reclaim well").says("nothing to reclaim");

    host.ok("reclaim alone --force").says("alone: killed");
    assert_eq!(host.state("alone"), "stopped");
    assert!(host.processes().iter().all(|p| p.pid != orphan));
    host.chyves("reclaim alon").ends(3).says("`alone`");

    // A record that can't be read concerns its guest alone; reclaim removes what is left.
    let uuid = host.value("dead", "uuid");
    std::fs::create_dir(host.run_dir().join(&uuid)).unwrap();
    std::fs::write(host.run_dir().join(&uuid).join("record.json"), "half").unwrap();
    host.ok("list").says("the record of the VM of `dead` is damaged");
    host.ok("reclaim").says("dead: remove what the last VM of dead left");
    assert_eq!(host.state("dead"), "stopped");
    host.ok("stop well");
    host.nothing_is_left();
}

/// Run in a network of its own: `$1` is chyves, `$2` the guest, `$3` its identity.
const TAPS: &str = r#"
set -e
tap() { ip tuntap add dev "$1" mode tap; ip link set dev "$1" alias "$2" up; }
tap chv1 "chyves/$3/net0"
tap chv2 "chyves/8a6e0804-2bd0-4672-b79d-d97027f9071a/net0"
tap other0 "chyves/$3/net"
tap other1 "somebody's"
"$1" reclaim --dry-run
"$1" reclaim "$2"
ip -o link show chv2 >/dev/null
"$1" reclaim
ip -o link show | cut -d ' ' -f 2 | tr '\n' ' '
"#;

#[test]
fn taps_with_our_token_go_and_no_others() {
    let Some(host) = Host::new("life::reclaim_taps", With::Image) else { return };
    if !host.command("unshare").args(["--net", "ip", "tuntap", "add", "dev", "x", "mode", "tap"]).output().unwrap().status.success() {
        println!("skipped: no network namespace with taps can be made here");
        return;
    }
    host.ok("create web01 --image small loader=bios");
    let said = host.sh("unshare", &["--net", "sh", "-c", TAPS, "sh", common::PROGRAM, "web01", &host.value("web01", "uuid")]);
    assert!(said.contains("ip link delete dev chv1") && said.contains("ip link delete dev chv2"), "{said}");
    let left = said.lines().last().unwrap();
    assert!(left.contains("other0:") && left.contains("other1:") && !left.contains("chv"), "{said}");
}

#[test]
fn discs_are_put_in_and_taken_out_while_the_guest_runs() {
    let Some(host) = with_disc("life::media") else { return };
    // Just after a reboot a guest is still starting.
    let reboots = |console: &mut Terminal, ready: &str| {
        reboots(console, ready);
        until("the guest to be settled", || (host.state("web01") == "running").then_some(()));
    };
    host.ok("image import ./tiny.iso --name drivers");
    host.ok("create web01 --image tiny --ram 32M loader=bios iso_eject_after_reboots=0");
    host.chyves("insert web01 disc").ends(4).says("`web01` is stopped").says("--iso disc");
    host.ok("-v start web01 --iso disc --iso drivers").says("cd-3.0-drive0").says("cd-3.1-drive0");
    let mut console = host.console("web01");
    console.sees("tiny: ready 0");
    host.chyves("eject web01").ends(2).says("cd0 (disc), cd1 (drivers)");
    host.ok("info web01").says("cd0  image disc").says("cd1  image drivers");
    host.chyves("eject web01 cd5").ends(3).says("no drive cd5");
    host.ok("-n eject web01 cd0").says("eject disc from the drive cd0");
    host.ok("eject web01 cd0").says("web01: cd0 is empty");
    host.ok("web01 eject cd1").says("web01: cd1 is empty");
    // The hypervisor has let go of the files too, so that they can be removed.
    assert!(!is_mounted(&host, "images/disc") && !is_mounted(&host, "images/drivers"));
    host.ok("eject web01").says("no drive of web01 holds an ISO");
    reboots(&mut console, "tiny: ready 1");

    host.chyves("insert web01 dics").ends(3).says("did you mean `disc`?");
    host.ok("insert web01 disc").says("web01: disc is in cd0");
    assert!(is_mounted(&host, "images/disc"));
    host.chyves("image delete disc --yes").ends(4).says("of web01");
    reboots(&mut console, "tiny: ready 0");
    host.ok("insert web01 drivers cd0").says("web01: drivers is in cd0");
    assert!(!is_mounted(&host, "images/disc") && is_mounted(&host, "images/drivers"));
    reboots(&mut console, "tiny: ready 0");
    host.ok("eject web01 cd0 --force");
    console.leaves();
    host.ok("stop web01");

    // A machine without a drive gets one at its next reboot, and keeps the disc until the one after.
    host.ok("set web01 iso_eject_after_reboots=1");
    host.ok("start web01").is_silent_of("ide-cd");
    let mut console = host.console("web01");
    console.sees("tiny: ready 2");
    host.ok("insert web01 disc").says("has no drive cd0: it sees it at its next reboot").says("from its next reboot on");
    assert!(is_mounted(&host, "images/disc"));
    reboots(&mut console, "tiny: ready 0");
    reboots(&mut console, "tiny: ready 3");
    assert!(!is_mounted(&host, "images/disc"));
    console.leaves();
    host.ok("stop web01");
    host.nothing_is_left();
}

#[test]
fn a_reboot_looks_at_the_host_again_and_tells_why_it_is_the_last() {
    let Some(host) = Host::new("life::again", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 64M loader=bios");
    std::fs::write(host.work().join("more.img"), vec![0; 1 << 20]).unwrap();
    host.ok("disk add web01 --attach ./more.img");
    host.ok("set web01 on_crash=restart");
    for reboots in [true, false] {
        host.ok("start web01");
        let mut console = host.console("web01");
        console.sees("tiny: ready");
        std::fs::rename(host.work().join("more.img"), host.work().join("away.img")).unwrap();
        if reboots {
            console.types("r");
        } else {
            host.kill(host.pids("web01").0);
        }
        until("the guest to be off", || (host.state("web01") == "crashed").then_some(()));
        let why = "disk 1 of `web01` cannot be used";
        host.ok("info web01").says("it cannot be started again").says(why).says("is not there");
        host.ok("list -H -o name,reason").says(why);
        let log = host.in_folder("web01", |folder| std::fs::read_to_string(folder.join("logs/console.log")).unwrap());
        assert!(log.contains("chyves: it cannot be started again: ") && log.contains(why), "{log}");
        host.chyves("start web01").ends(5).says(why).says("disk remove web01 disk1 --lost");
        std::fs::rename(host.work().join("away.img"), host.work().join("more.img")).unwrap();
    }
    host.ok("start web01");
    host.ok("stop web01 --now");
    host.nothing_is_left();
}
