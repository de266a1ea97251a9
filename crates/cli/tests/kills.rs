//! State is observed, never remembered: after kill -9 of the supervisor, of the hypervisor, or of both, `list` tells the
//! truth and the next command works.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

fn running(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Tiny)?;
    host.ok("create web --image tiny loader=bios accel=tcg");
    host.ok("start web");
    Some(host)
}

fn becomes(host: &Host, state: &str) {
    until(&format!("web to be {state}"), || (host.state("web") == state).then_some(()));
}

#[test]
fn the_supervisor_is_killed() {
    let Some(host) = running("kills::supervisor") else { return };
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    console.leaves();
    let (machine, supervisor) = host.pids("web");
    host.kill(supervisor);
    becomes(&host, "orphaned");
    // A start gives the same machine a new supervisor; nothing was lost, and its console works.
    host.ok("start web").says("its supervisor was not running");
    becomes(&host, "running");
    assert_eq!(host.pids("web").0, machine);
    let mut console = host.console("web");
    console.types("i");
    console.sees("tiny: ready 1");
    console.leaves();
    host.kill(host.pids("web").1);
    becomes(&host, "orphaned");
    host.ok("stop web");
    assert_eq!(host.state("web"), "stopped");
    host.nothing_is_left();
}

#[test]
fn a_console_takes_an_orphan_over() {
    let Some(host) = running("kills::console") else { return };
    host.kill(host.pids("web").1);
    becomes(&host, "orphaned");
    let mut console = host.console("web");
    console.types("i");
    console.sees("tiny: ready 1");
    console.leaves();
    becomes(&host, "running");
    host.ok("stop web");
    host.nothing_is_left();
}

#[test]
fn the_hypervisor_is_killed() {
    let Some(host) = running("kills::hypervisor") else { return };
    host.kill(host.pids("web").0);
    becomes(&host, "crashed");
    host.ok("info web").says("crash");
    host.ok("start web");
    becomes(&host, "running");
    host.ok("stop web");
    host.nothing_is_left();
}

#[test]
fn a_killed_hypervisor_is_started_again_where_so_set() {
    let Some(host) = running("kills::restart") else { return };
    host.ok("stop web");
    host.ok("set web on_crash=restart");
    host.ok("start web");
    let (machine, supervisor) = host.pids("web");
    host.kill(machine);
    until("an identity of its own", || {
        let alive = host.state("web") == "running";
        (alive && host.pids("web").0 != machine).then_some(())
    });
    assert_eq!(host.pids("web").1, supervisor);
    host.ok("stop web");
    host.nothing_is_left();
}

#[test]
fn both_are_killed() {
    let Some(host) = running("kills::both") else { return };
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    console.leaves();
    let (machine, supervisor) = host.pids("web");
    host.kill(supervisor);
    host.kill(machine);
    until("web to be off", || matches!(host.state("web").as_str(), "crashed" | "stopped").then_some(()));
    host.ok("snapshot web@after");
    host.ok("start web");
    becomes(&host, "running");
    let mut console = host.console("web");
    // Its disk was there all the time: the second start since the first.
    console.sees("tiny: ready 2");
    console.leaves();
    host.ok("stop web");
    host.nothing_is_left();
}

#[test]
fn two_people_sit_at_one_console() {
    let Some(host) = running("kills::two") else { return };
    let mut one = host.console("web");
    one.sees("tiny: ready 1");
    let mut other = host.console("web");
    // Who comes later is shown what was printed before.
    other.sees("tiny: ready 1");
    one.types("wZ");
    one.sees("tiny: data Z");
    other.sees("tiny: data Z");
    one.leaves();
    other.types("g");
    other.sees("tiny: data Z");
    other.leaves();
    host.ok("stop web");
    host.nothing_is_left();
}

#[test]
fn a_reboot_from_inside_is_counted_and_reads_the_settings_again() {
    let Some(host) = running("kills::reboot") else { return };
    host.ok("set web description=felt ram=96M").says("takes effect at its next start or reboot: ram");
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    console.types("r");
    console.sees("tiny: ready 2");
    console.leaves();
    let info = host.ok("info web --json").json();
    assert_eq!(info[0]["reboots"], 1);
    assert!(info[0]["command"].as_str().unwrap().contains("size=96M"), "{info}");
    // Power off from inside: it is off, and nothing is left.
    let mut console = host.console("web");
    console.types("p");
    console.sees("tiny: bye");
    becomes(&host, "stopped");
    host.nothing_is_left();
}

#[test]
fn a_reset_from_outside_is_a_reboot() {
    let Some(host) = running("kills::reset") else { return };
    host.ok("set web ram=96M");
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    host.ok("reset web --dry-run").says("cannot write anything first");
    becomes(&host, "running");
    host.ok("web reset").says("web: reset");
    console.sees("tiny: ready 2");
    let info = host.ok("info web --json").json();
    assert_eq!(info[0]["reboots"], 1, "{info}");
    assert!(info[0]["command"].as_str().unwrap().contains("size=96M"), "{info}");
    // Of several that do not all run, those that do are reset.
    host.ok("create off --size 1M loader=bios");
    becomes(&host, "running");
    host.chyves("reset all").ends(6).says("web: reset").says("`off` is stopped and cannot be reset").says("`chyves start off`");
    host.chyves("reset gone").ends(3);
    // A guest with on_reboot=stop stays off; the setting is read at its next reboot.
    console.sees("tiny: ready 3");
    becomes(&host, "running");
    host.ok("set web on_reboot=stop");
    host.ok("reset web");
    console.sees("tiny: ready 4");
    becomes(&host, "running");
    host.ok("reset web");
    becomes(&host, "stopped");
    host.nothing_is_left();
}

#[test]
fn a_deaf_guest_stays_on_unless_forced() {
    let Some(host) = Host::new("kills::deaf", With::Tiny) else { return };
    host.ok("image import ./tiny-deaf.img");
    host.ok("create web --image tiny-deaf loader=bios accel=tcg stop_timeout=2");
    host.ok("start web");
    host.chyves("stop web").ends(4).says("did not power off in time").says("--force");
    assert_eq!(host.state("web"), "running");
    host.ok("stop web --force").says("being powered off forcibly");
    assert_eq!(host.state("web"), "stopped");
    host.nothing_is_left();
}

#[test]
fn a_guest_that_dies_at_once_says_why() {
    let Some(host) = Host::new("kills::dies", With::Tiny) else { return };
    host.ok("create web --image tiny loader=bios accel=tcg qargs='-device no-such-device'");
    let said = host.chyves("start web").ends(1).says("no-such-device").says("qemu-system");
    assert!(said.err.contains("not a valid device model"), "{}", said.err);
    assert_eq!(host.state("web"), "stopped");
    host.nothing_is_left();
}
