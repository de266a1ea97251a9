//! A FreeBSD host, played by the lab, with many guests: started by one command, each reported, and what a start costs in
//! processes does not depend on how many others there are.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// How many are started at once; enough that some have to wait for their turn.
const MANY: usize = 12;

#[test]
fn many_start_side_by_side_and_each_is_reported() {
    let Some(host) = Host::freebsd("lab_many::many", With::Tiny, &["release=14.3", "cpu=amd"]) else { return };
    let names: Vec<String> = (0..MANY).map(|n| format!("g{n:02}")).collect();
    host.ok(&format!("create {} --image tiny --ram 32M", names.join(",")));
    // One of them can't: that is told, and the others run.
    host.ok("set g05 net0.bridge=lan");
    let answer = host.chyves("start all").ends(6).says(&format!("1 of {MANY} guests failed")).says("there is no bridge `lan`");
    for name in names.iter().filter(|n| *n != "g05") {
        assert!(answer.err.contains(&format!("{name}: running (pid ")), "{name} is not reported: {}", answer.err);
        assert_eq!(host.state(name), "running");
    }
    assert_eq!(host.state("g05"), "stopped");
    // Each has a console of its own.
    for name in ["g00", "g11"] {
        let mut console = host.console(name);
        console.types("i");
        console.sees("tiny: ready 1");
        console.leaves();
    }
    host.ok("stop all --now");
    assert!(names.iter().all(|name| host.state(name) == "stopped"));
    host.nothing_is_left();
    assert_eq!(host.sh("ifconfig", &["-g", "chyves"]), "");
    assert!(!host.lab().dev("vmm").exists());
}

/// Programs that write down that they were called, and then are what they are.
fn wrap(host: &mut Host) -> PathBuf {
    let folder = host.dir().join("wrap");
    let log = host.dir().join("calls");
    std::fs::create_dir(&folder).unwrap();
    let lab = std::fs::read_dir(host.lab().dir().join("bin")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    for tool in lab.chain(["zfs", "zpool", "fuser", "ps"].map(str::to_owned)) {
        let real = host.sh("sh", &["-c", &format!("command -v {tool}")]);
        let script = format!("#!/bin/sh\necho \"{tool} $*\" >>{}\nexec {} \"$@\"\n", log.display(), real.trim());
        std::fs::write(folder.join(&tool), script).unwrap();
        std::fs::set_permissions(folder.join(&tool), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    host.first_on_path(&folder);
    log
}

#[test]
fn a_start_costs_as_many_processes_among_many_guests_as_alone() {
    let Some(mut host) = Host::freebsd("lab_many::count", With::Tiny, &["release=14.3"]) else { return };
    host.ok("create web,a,b,c --image tiny --ram 32M");
    host.sh("kldload", &["-n", "vmm", "nmdm"]);
    let log = wrap(&mut host);
    let calls = |host: &Host| {
        std::fs::write(&log, "").unwrap();
        host.ok("start web");
        let mut calls: Vec<String> = std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
        // fstat(1) is repeated until bhyve has opened its files, which depends on the host's load.
        calls.dedup();
        host.ok("stop web --now");
        calls
    };
    let alone = calls(&host);
    host.ok("start a,b,c");
    for n in 0..30 {
        let uuid = format!("chyves:uuid=00000000-0000-4000-8000-{n:012}");
        host.sh("zfs", &["create", "-o", "canmount=noauto", "-o", &uuid, &host.dataset(&format!("filler{n}"))]);
    }
    let among = calls(&host);
    assert_eq!(alone.len(), among.len(), "{alone:#?} {among:#?}");
    // A jail and the rules of its /dev take a command each.
    let jail = |call: &&String| ["jail ", "jexec ", "devfs "].iter().any(|tool| call.starts_with(tool));
    let jailed = alone.iter().filter(jail).count();
    assert!(alone.len() - jailed <= 24 && jailed <= 32, "{alone:#?}");
    host.ok("stop a,b,c --now");
}
