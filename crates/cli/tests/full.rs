//! A guest whose disk can't be written: its pool is full, or a quota is reached. It waits, is shown as what it is, and
//! goes on where it was.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

/// Leaves so many bytes free on the host's pool: the others are promised to somebody. A pool that is full to its last block
/// is more than every ZFS survives.
fn fill(host: &Host, leave: u64) {
    let available = host.zfs_get("available", &host.pool).parse::<u64>().unwrap();
    let reservation = format!("reservation={}", available - leave);
    host.sh("zfs", &["create", "-o", &reservation, &format!("{}/balloon", host.pool)]);
}

fn is(host: &Host, guest: &str, state: &str) {
    until(&format!("{guest} to be {state}"), || (host.state(guest) == state).then_some(()));
}

#[test]
fn a_guest_on_a_full_pool_waits_and_goes_on() {
    let test = "full::pool";
    if !std::path::Path::new("/dev/zfs").exists() {
        return Host::lacks(
            test,
            "zfs-fuse itself may end where there is no room (scripts/test-openzfs full runs it on a ZFS that goes on)",
        );
    }
    let Some(host) = Host::sized(test, With::Files, "160M") else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img");
    host.ok("create web --image linux --ram 128M loader=bios accel=tcg");
    host.ok("disk add web --size 64M");
    host.ok("start web");
    let mut console = host.console("web");
    console.logs_in();
    fill(&host, 6 << 20);
    console.shell("seq 1 200000 > /part; for n in 1 2 3 4 5 6 7 8 9 10 11 12; do cat /part; done > /whole");
    console.types("cat /whole > /dev/vdb && sync && echo written-$?\r");
    is(&host, "web", "paused");
    host.ok("info web").says("No space left on device").says("guests/web/disk1").says("resumes by itself");
    host.chyves("stop web").ends(4).says("`web` is paused").says("guests/web/disk1").says("stop web --now");
    host.chyves("start web").ends(4).says("`web` is paused");

    // Its next supervisor knows it too, and why.
    let (_, supervisor) = host.pids("web");
    host.kill(supervisor);
    is(&host, "web", "orphaned");
    drop(console);
    host.ok("start web").says("a new one was started");
    is(&host, "web", "paused");
    host.ok("info web").says("No space left on device");
    let mut console = host.console("web");

    host.destroy(&format!("{}/balloon", host.pool));
    is(&host, "web", "running");
    console.sees("written-0");
    console.sees("# ");
    let sent = console.shell("md5sum < /whole");
    let kept = console.shell("echo 3 > /proc/sys/vm/drop_caches; head -c $(wc -c < /whole) /dev/vdb | md5sum");
    assert_eq!(sent, kept);
    console.leaves();
    host.ok("stop web");
    let log = host.in_folder("web", |folder| std::fs::read_to_string(folder.join("logs/hypervisor.log")).unwrap());
    assert!(log.contains("the guest goes on; it was paused, because writing "), "{log}");
    host.nothing_is_left();
}

#[test]
fn a_guest_that_reached_its_quota_waits_and_can_be_ended() {
    let Some(host) = Host::new("full::quota", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 32M loader=bios");
    host.ok("start web");
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    let dataset = host.dataset("web");
    let quota = |to: &str| host.command("zfs").args(["set", &format!("quota={to}"), &dataset]).output().unwrap().status.success();
    // What was just written is counted a moment later. What a snapshot holds can't be overwritten in place.
    host.ok("snapshot web@one");
    let full = || until("the quota to be reached", || quota(&host.zfs_get("used", &dataset)).then_some(()));
    full();
    console.types("wA");
    is(&host, "web", "paused");
    host.ok("info web").says("quota exceeded");
    host.chyves("stop web").ends(4).says("is paused").says("quota");
    host.chyves("eject web").ends(4).says("is paused");
    assert!(quota("none"));
    console.sees("tiny: data A");
    is(&host, "web", "running");
    console.types("g");
    console.sees("tiny: data A");

    // One that nobody makes room for.
    host.ok("snapshot web@two");
    full();
    console.types("wB");
    is(&host, "web", "paused");
    host.ok("stop web --force --timeout 0").says("web: it was powered off forcibly");
    assert!(quota("none"));
    console.ends(0);
    host.ok("start web");
    let mut console = host.console("web");
    console.types("g");
    console.sees("tiny: data A");
    console.leaves();
    host.ok("stop web");
    host.nothing_is_left();
}
