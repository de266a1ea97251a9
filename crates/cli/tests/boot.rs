//! Guests that start with the host, and the services that see to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The guests that a dry run would start, in its order.
fn order(script: &str) -> Vec<&str> {
    script.lines().filter_map(|l| l.split_once("-name guest=")).filter_map(|(_, rest)| rest.split_whitespace().next()).collect()
}

#[test]
fn those_with_a_number_start_with_the_host_and_the_highest_first() {
    let Some(host) = Host::new("boot::order", With::Tiny) else { return };
    host.ok("start --boot").says("no guest starts with the host").says("autostart=yes");
    host.ok("create never,late,early,early2,strange --image tiny --ram 32M loader=bios");
    host.ok("set late autostart=1");
    host.ok("set early,early2,strange boot=10");
    // What came with a pool of another host runs there, as far as is known.
    host.sh("zfs", &["set", "chyves:owner=22222222-2222-4222-8222-222222222222", &host.dataset("strange")]);
    let plan = host.ok("-n start --boot");
    assert_eq!(order(&plan.out), ["early", "early2", "late"], "{}", plan.out);
    assert!(plan.err.contains("strange does not start with this host"), "{}", plan.err);
    host.chyves("start --boot late").ends(2);
    // One that can't be started keeps none of the others from it.
    host.in_folder("early2", |folder| std::fs::remove_file(folder.join("disk0.raw")).unwrap());
    let started = host.chyves("start --boot").ends(6).says("early2").says("disk0.raw");
    assert!(started.err.contains("1 of 3 guests failed"), "{}", started.err);
    let states = host.ok("list -H -o name,state").out;
    assert_eq!(states, "early\trunning\nearly2\tstopped\nlate\trunning\nnever\tstopped\nstrange\tforeign\n");
    host.chyves("start --boot").ends(6).says("early is already running");
    host.ok("stop early,late --now");
    host.nothing_is_left();
}

#[test]
fn a_number_that_is_none_is_told_and_keeps_no_other_from_starting() {
    let Some(host) = Host::new("boot::wrong", With::Tiny) else { return };
    host.ok("create web,db,far --image tiny --ram 32M loader=bios");
    for guest in ["web", "far"] {
        host.sh("zfs", &["set", "chyves:rcboot=soon", &host.dataset(guest)]);
    }
    // What another host's guest says of itself is no concern of this one.
    host.sh("zfs", &["set", "chyves:owner=22222222-2222-4222-8222-222222222222", &host.dataset("far")]);
    let alone = host.chyves("start --boot").ends(2).says("the setting `autostart` of `web` is wrong").says("`autostart` cannot be `soon`");
    assert!(alone.err.contains("`chyves set web autostart=VALUE`") && !alone.err.contains("far"), "{}", alone.err);
    assert!(!alone.err.contains("no guest starts with the host"), "{}", alone.err);
    host.ok("set db autostart=1");
    host.chyves("start --boot").ends(6).says("db: running").says("web: the setting `autostart`").says("`chyves set web autostart=VALUE`");
    assert_eq!(host.ok("list -H -o name,state").out, "db\trunning\nfar\tforeign\nweb\tstopped\n");
    host.ok("set web autostart=1");
    host.ok("start --boot");
    host.ok("stop db,web --now");
    host.nothing_is_left();
}

fn service(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../service").join(name)
}

/// A program that writes down how it is called.
fn witness(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "#!/bin/sh\necho \"chyves $*\"\n").unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_script_of_rc_starts_and_stops_what_it_should() {
    let dir = tempfile::tempdir().unwrap();
    witness(&dir.path().join("bin/chyves"));
    // What rc.subr(8) does with these words: the function of the command, with what follows it.
    let subr = "load_rc_config() { :; }\nrun_rc_command() { verb=$1; shift; eval \"\\${${verb}_cmd} \\\"\\$@\\\"\"; }\n";
    std::fs::write(dir.path().join("rc.subr"), subr).unwrap();
    let text = std::fs::read_to_string(service("chyves.rc")).unwrap();
    let text = text.replace("/etc/rc.subr", &format!("{}/rc.subr", dir.path().display()));
    std::fs::write(dir.path().join("chyves"), text.replace("%%PREFIX%%", &dir.path().display().to_string())).unwrap();
    let run = |words: &[&str]| {
        let output = std::process::Command::new("sh").arg(dir.path().join("chyves")).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&["start"]), "chyves --quiet start --boot\n");
    assert_eq!(run(&["start", "web01", "db01"]), "chyves --quiet start web01 db01\n");
    assert_eq!(run(&["stop"]), "chyves --quiet stop --force --timeout 75 all\n");
    assert_eq!(run(&["stop", "web01"]), "chyves --quiet stop --force --timeout 75 web01\n");
    assert_eq!(run(&["status"]), "chyves list -o name,state\n");
}

#[test]
fn what_the_services_run_is_understood() {
    let Some(host) = Host::new("boot::services", With::Image) else { return };
    let mut seen = 0;
    for line in std::fs::read_to_string(service("chyves.service")).unwrap().lines() {
        if let Some((_, words)) = line.split_once("%%PREFIX%%/bin/chyves ") {
            host.command(PROGRAM).arg("-n").args(words.split(' ')).status().map(|s| assert!(s.success(), "{line}")).unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
    host.ok("-n stop --force --timeout 75 all");
    host.ok("list -o name,state");
    host.nothing_is_left();
}
