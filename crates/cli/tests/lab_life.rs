//! A FreeBSD host, played by the lab: the life of a guest under bhyve from its start to each of its ends.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, Terminal, With, until};

/// The hosts that the main life is led on.
const HOSTS: [&[&str]; 4] =
    [&["release=13.5", "cpu=intel"], &["release=14.3", "cpu=amd"], &["release=15.0", "cpu=intel"], &["release=15.0", "cpu=arm64"]];

/// A guest that has said its first word.
fn booted(test: &str, settings: &[&str], image: &str, more: &str) -> Option<(Host, Terminal)> {
    let host = Host::freebsd(test, With::Tiny, settings)?;
    if image != "tiny" {
        host.ok(&format!("image import ./{image}.img"));
    }
    host.ok(&format!("create web01 --image {image} --ram 64M {more}"));
    host.ok("start web01");
    let mut console = host.console("web01");
    console.sees("tiny: ready 1");
    Some((host, console))
}

fn becomes(host: &Host, state: &str) {
    until(&format!("web01 to be {state}"), || (host.state("web01") == state).then_some(()));
}

/// The VM objects of the host.
fn vms(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.lab().dev("vmm")).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Nothing of a guest is left on the host: neither what the others would leave, nor a VM object, nor a tap.
#[track_caller]
fn nothing_is_left(host: &Host) {
    host.nothing_is_left();
    assert_eq!(vms(host), Vec::<String>::new(), "VM objects are left");
    let taps = host.sh("ifconfig", &["-g", "chyves"]);
    assert_eq!(taps, "", "taps are left");
}

/// Waits until the guest's power button is one: until then SIGTERM is deadly, as its process shows.
fn has_acpi(host: &Host) {
    until("web01 to switch ACPI on", || {
        let status = std::fs::read_to_string(host.open_path(format!("/proc/{}/status", host.pids("web01").0))).unwrap_or_default();
        let mask = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).and_then(|m| u64::from_str_radix(m.trim(), 16).ok());
        mask.filter(|mask| mask & (1 << 14) != 0).map(drop)
    });
}

#[test]
fn a_guest_boots_reboots_and_powers_off_on_every_host() {
    for settings in HOSTS {
        let Some((host, mut console)) = booted("lab_life::every_host", settings, "tiny", "") else { return };
        assert_eq!(vms(&host), ["web01"], "{settings:?}");
        assert_eq!(host.state("web01"), "running");
        let (first, supervisor) = host.pids("web01");
        let title = host.sh("ps", &["-p", &first.to_string(), "-o", "args="]);
        assert_eq!(title.trim(), "bhyve: web01 (bhyve)");
        console.types("r");
        console.sees("tiny: reboot");
        console.sees("tiny: ready 2");
        let (second, same) = until("the new machine", || Some(host.pids("web01")).filter(|(machine, _)| *machine != first));
        assert!(same == supervisor && second != first);
        becomes(&host, "running");
        // After the reboot the tap is up again and still on its bridge.
        let taps = host.sh("ifconfig", &["-g", "chyves"]);
        let tap = host.sh("ifconfig", &[taps.trim()]);
        assert!(tap.contains("UP") && host.sh("ifconfig", &["bridge0"]).contains(&format!("member: {}", taps.trim())), "{tap}");
        console.types("p");
        console.sees("tiny: bye");
        becomes(&host, "stopped");
        nothing_is_left(&host);
    }
}

#[test]
fn a_reboot_reads_the_settings_again() {
    let Some((host, mut console)) = booted("lab_life::settings", &["release=14.3"], "tiny", "") else { return };
    host.ok("set web01 cpu=2 ram=96M");
    let (first, _) = host.pids("web01");
    console.types("r");
    console.sees("tiny: ready 2");
    until("the new machine", || (host.pids("web01").0 != first).then_some(()));
    let topology = host.sh("bhyvectl", &["--vm=web01", "--get-cpu-topology"]);
    assert!(topology.contains("cores=2"), "{topology}");
    host.ok("set web01 on_reboot=stop");
    console.types("r");
    console.sees("tiny: ready 3");
    console.types("r");
    becomes(&host, "stopped");
    nothing_is_left(&host);
}

#[test]
fn a_reset_from_outside_is_a_reboot() {
    for settings in HOSTS {
        let Some((host, mut console)) = booted("lab_life::reset", settings, "tiny", "") else { return };
        becomes(&host, "running");
        let (first, supervisor) = host.pids("web01");
        host.ok("reset web01").says("web01: reset");
        console.sees("tiny: ready 2");
        let (_, same) = until("the new machine", || Some(host.pids("web01")).filter(|(machine, _)| *machine != first));
        assert_eq!(same, supervisor, "{settings:?}");
        host.ok("stop web01 --now");
        nothing_is_left(&host);
    }
}

#[test]
fn a_stop_presses_the_button_and_says_when_there_is_none() {
    let Some((host, _console)) = booted("lab_life::stop", &["release=14.3", "cpu=amd"], "tiny", "") else { return };
    has_acpi(&host);
    host.ok("stop web01");
    assert_eq!(host.state("web01"), "stopped");
    nothing_is_left(&host);
    // One that has not switched ACPI on would die of the button: it is waited for, told, and left alone.
    host.ok("image import ./tiny-deaf.img");
    host.ok("create deaf --image tiny-deaf --ram 64M stop_timeout=2");
    host.ok("start deaf");
    host.chyves("stop deaf").ends(4).says("did not power off").says("has not enabled ACPI").says("chyves stop deaf --force");
    assert_eq!(host.state("deaf"), "running");
    host.ok("stop deaf --force").says("deaf");
    assert_eq!(host.state("deaf"), "stopped");
    nothing_is_left(&host);
}

#[test]
fn a_pulled_plug_is_no_power_off_of_the_guest() {
    let Some((host, mut console)) = booted("lab_life::pulled", &["release=14.3"], "tiny", "") else { return };
    let said = host.ok("stop web01 --now").says("web01: being powered off forcibly").says("web01: it was powered off forcibly");
    assert!(!said.err.contains("the guest powered off"), "{}", said.err);
    console.sees("web01 is off.");
    let log = host.in_folder("web01", |folder| std::fs::read_to_string(folder.join("logs/hypervisor.log")).unwrap());
    assert!(log.contains("it was powered off forcibly") && !log.contains("the guest powered off"), "{log}");
    // The guest's own end is still its own.
    host.ok("start web01");
    has_acpi(&host);
    host.ok("stop web01 --force").says("web01: the guest powered off");
    nothing_is_left(&host);
}

#[test]
fn a_guest_may_ignore_the_button() {
    let Some((host, mut console)) = booted("lab_life::ignored", &["release=15.0", "acpi=on"], "tiny-deaf", "stop_timeout=3") else {
        return;
    };
    has_acpi(&host);
    host.chyves("stop web01").ends(4).says("and it still runs").is_silent_of("has not enabled ACPI");
    console.types("i");
    console.sees("tiny: ready 1");
    host.ok("stop web01 --force");
    nothing_is_left(&host);
}

#[test]
fn a_triple_fault_is_a_crash() {
    let Some((host, mut console)) = booted("lab_life::fault", &["release=13.5"], "tiny", "") else { return };
    console.types("t");
    console.sees("tiny: triple fault");
    becomes(&host, "crashed");
    host.ok("info web01").says("triple fault").says(&format!("logs, after `zfs mount {}`", host.dataset("web01")));
    assert_eq!(vms(&host), Vec::<String>::new());
    // Where it is to be restarted it comes again.
    host.ok("set web01 on_crash=restart");
    host.ok("start web01");
    let mut console = host.console("web01");
    console.sees("tiny: ready 2");
    console.types("t");
    console.sees("tiny: ready 3");
    has_acpi(&host);
    host.ok("stop web01");
    nothing_is_left(&host);
}

#[test]
fn a_halt_is_an_end() {
    let Some((host, mut console)) = booted("lab_life::halt", &["release=15.0", "cpu=amd"], "tiny", "") else { return };
    console.types("h");
    console.sees("tiny: halt");
    becomes(&host, "stopped");
    nothing_is_left(&host);
}

#[test]
fn a_killed_bhyve_is_a_crash_that_leaves_nothing() {
    let Some((host, _console)) = booted("lab_life::killed", &["release=14.3"], "tiny", "") else { return };
    host.kill(host.pids("web01").0);
    becomes(&host, "crashed");
    host.ok("info web01").says("signal 9");
    until("its VM object to go", || vms(&host).is_empty().then_some(()));
    host.ok("start web01");
    becomes(&host, "running");
    has_acpi(&host);
    host.ok("stop web01");
    nothing_is_left(&host);
}

#[test]
fn a_destroyed_vm_object_is_a_crash() {
    let Some((host, _console)) = booted("lab_life::destroyed", &["release=15.0"], "tiny", "") else { return };
    host.sh("bhyvectl", &["--vm=web01", "--destroy"]);
    becomes(&host, "crashed");
    host.ok("start web01");
    has_acpi(&host);
    host.ok("stop web01");
    nothing_is_left(&host);
}

#[test]
fn an_orphan_keeps_running_and_gets_a_supervisor() {
    let Some((host, mut console)) = booted("lab_life::orphan", &["release=14.3"], "tiny", "") else { return };
    console.types("i");
    console.sees("tiny: ready 1");
    console.leaves();
    let (machine, supervisor) = host.pids("web01");
    host.kill(supervisor);
    becomes(&host, "orphaned");
    host.ok("start web01").says("its supervisor was not running");
    assert_eq!((host.state("web01").as_str(), host.pids("web01").0), ("running", machine));
    let mut console = host.console("web01");
    console.types("i");
    console.sees("tiny: ready 1");
    host.kill(host.pids("web01").1);
    becomes(&host, "orphaned");
    has_acpi(&host);
    host.ok("stop web01");
    nothing_is_left(&host);
}

#[test]
fn reclaim_puts_away_what_the_dead_left() {
    let Some((host, _console)) = booted("lab_life::reclaim", &["release=13.5", "cpu=amd"], "tiny", "") else { return };
    let (machine, supervisor) = host.pids("web01");
    host.sh("kill", &["-9", &supervisor.to_string(), &machine.to_string()]);
    becomes(&host, "crashed");
    assert_eq!(vms(&host), ["web01"]);
    let tap = host.sh("ifconfig", &["-g", "chyves"]).trim().to_owned();
    let shown = host.ok("reclaim --dry-run").says("bhyvectl --vm=web01 --destroy").says(&format!("ifconfig {tap} destroy"));
    assert!(!shown.out.contains("-R"));
    assert_eq!(vms(&host), ["web01"], "a dry run did something");
    host.ok("reclaim");
    assert_eq!(host.state("web01"), "stopped");
    nothing_is_left(&host);
}

#[test]
fn what_a_crash_left_does_not_keep_the_guest_from_starting() {
    let Some((host, _console)) = booted("lab_life::left", &["release=15.0"], "tiny", "") else { return };
    let (machine, supervisor) = host.pids("web01");
    host.sh("kill", &["-9", &supervisor.to_string(), &machine.to_string()]);
    becomes(&host, "crashed");
    // The tap that it left is ours: no reason to refuse, and no reason to type anything.
    host.ok("start web01");
    let mut console = host.console("web01");
    console.sees("tiny: ready 2");
    has_acpi(&host);
    host.ok("stop web01");
    nothing_is_left(&host);
}

#[test]
fn a_vm_of_somebody_else_is_never_destroyed() {
    let Some(host) = Host::freebsd("lab_life::theirs", With::Tiny, &["release=14.3"]) else { return };
    host.ok("create web01 --image tiny --ram 64M");
    host.sh("kldload", &["-n", "vmm"]);
    host.sh("bhyvectl", &["--vm=web01", "--create"]);
    host.chyves("start web01").ends(5).says("a VM called `web01` exists").says("bhyvectl --vm=web01 --destroy");
    assert_eq!((vms(&host), host.state("web01").as_str()), (vec!["web01".to_owned()], "stopped"));
}
