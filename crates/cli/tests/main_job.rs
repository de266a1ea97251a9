//! The main job, as a person types it: a guest on a pool is created, started, used, rebooted, snapshotted, changed, rolled
//! back, cloned, stopped, deleted and undeleted. Once with the tiny guest under BIOS, once with Linux under UEFI.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

#[test]
#[allow(clippy::too_many_lines)] // one session from its beginning to its end
fn with_the_tiny_guest_under_bios() {
    let Some(host) = Host::new("main_job::bios", With::Files) else { return };
    insta::assert_snapshot!(host.session(&[
        "pool init tank",
        "image import ./tiny.img",
        "image list -o name,kind,size",
        "create web01 --image tiny --cpu 2 --ram 64M loader=bios accel=tcg",
        "set web01 description='first guest'",
        "get web01 cpu,ram,description,on_crash",
        "get web01 ram -H -o value",
        "list -o name,state,cpu,ram,description",
    ]), @"
    $ chyves pool init tank
    tank becomes a primary pool
    tank/chyves: set up as primary pool; next: chyves image import FILE, chyves create NAME
    $ chyves image import ./tiny.img
    tiny: imported: disk of 1M, SHA-256 HASH; not checked against any hash
    $ chyves image list -o name,kind,size
    NAME  KIND  SIZE
    tiny  disk    1M
    $ chyves create web01 --image tiny --cpu 2 --ram 64M loader=bios accel=tcg
    web01: created as tank/chyves/guests/web01
    $ chyves set web01 description='first guest'
    web01: set
    $ chyves get web01 cpu,ram,description,on_crash
    NAME   PROPERTY     VALUE        SOURCE
    web01  cpu          2            local
    web01  ram          64M          local
    web01  description  first guest  local
    web01  on_crash     stop         default
    $ chyves get web01 ram -H -o value
    64M
    $ chyves list -o name,state,cpu,ram,description
    NAME   STATE    CPU  RAM  DESCRIPTION
    web01  stopped    2  64M  first guest
    ");

    // It returns when the machine is seen running, and has shown exactly the command that runs.
    let started = host.ok("-v start web01");
    let (machine, _) = host.pids("web01");
    let runs = host.processes().into_iter().find(|p| p.pid == machine).unwrap().line;
    assert!(started.err.lines().any(|l| l.strip_prefix("+ ") == Some(&runs)), "{}\n{runs}", started.err);
    assert_eq!(host.state("web01"), "running");

    let mut console = host.console("web01");
    console.sees("tiny: ready 1");
    assert!(console.is_raw());
    console.types("wA");
    console.sees("tiny: data A");
    console.types("r");
    console.sees("tiny: reboot");
    console.sees("tiny: ready 2");
    console.types("g");
    console.sees("tiny: data A");
    console.leaves();
    // The guest may speak before its supervisor has heard that it runs.
    until("web01 to be seen running", || (host.state("web01") == "running").then_some(()));
    assert_eq!(host.ok("info web01 --json").json()[0]["reboots"], 1);

    host.ok("stop web01").says("the guest powered off");
    host.nothing_is_left();
    host.ok("snapshot web01@before");
    let before = (host.tree()[&host.dataset("web01")].clone(), host.files("web01"));
    host.ok("set web01 ram=96M description=changed");
    host.ok("start web01 -q");
    let mut console = host.console("web01");
    console.sees("tiny: ready 3");
    console.types("wB");
    console.sees("tiny: data B");
    console.leaves();
    host.ok("stop web01 -q");
    assert_ne!(host.files("web01"), before.1);
    host.ok("snapshot rollback web01@before --yes");
    insta::assert_snapshot!(host.session(&["get web01 ram,description"]), @"
    $ chyves get web01 ram,description
    NAME   PROPERTY     VALUE        SOURCE
    web01  ram          64M          local
    web01  description  first guest  local
    ");
    assert_eq!(host.files("web01"), before.1, "the disk, and the copy of the settings");
    let mut now = host.tree()[&host.dataset("web01")].clone();
    // Of ZFS' own view: a rollback may recreate the file system.
    for native in ["creation", "createtxg", "guid", "origin", "canmount"] {
        if let Some(was) = before.0.get(native) {
            now.insert(native.to_owned(), was.clone());
        }
    }
    assert_eq!(now, before.0);

    insta::assert_snapshot!(host.session(&["clone web01 web02,web03", "start web02,web03 -q", "list -o name,state,ram,description"]), @"
    $ chyves clone web01 web02,web03
    web02: a clone of web01
    web03: a clone of web01
    $ chyves start web02,web03 -q
    web02: running (pid N)
    web03: running (pid N)
    $ chyves list -o name,state,ram,description
    NAME   STATE    RAM  DESCRIPTION
    web01  stopped  64M  first guest
    web02  running  64M  first guest
    web03  running  64M  first guest
    ");
    let identities: Vec<_> = ["web01", "web02", "web03"].iter().map(|g| host.ok(&format!("info {g} --json")).json()[0].clone()).collect();
    for at in ["/uuid", "/networks/0/mac", "/disks/0/serial"] {
        let mut seen: Vec<_> = identities.iter().map(|i| i.pointer(at).unwrap().to_string()).collect();
        seen.dedup();
        assert_eq!(seen.len(), 3, "{at}: {seen:?}");
    }
    // Each has the disk as it was, and from here on its own.
    let (mut second, mut third) = (host.console("web02"), host.console("web03"));
    second.types("gwC");
    second.sees("tiny: data A");
    second.sees("tiny: data C");
    third.types("g");
    third.sees("tiny: data A");
    second.leaves();
    third.leaves();

    let stopped = host.ok("stop all");
    assert!(
        stopped.err.contains("web02: the guest powered off") && stopped.err.contains("web03: the guest powered off"),
        "{}",
        stopped.err
    );
    assert!(stopped.err.contains("1 more was off already"), "{}", stopped.err);
    host.nothing_is_left();

    let disk = host.files("web02");
    host.ok("delete web02").says("chyves undelete web02");
    host.ok("list -o name -H").is_silent_of("web02");
    host.chyves("start web02").ends(3);
    assert_eq!(host.ok("trash list -H -o name").value(), "web02");
    host.ok("undelete web02");
    assert_eq!((host.state("web02").as_str(), host.files("web02")), ("stopped", disk));
    host.ok("trash list -H").is_silent_of("web02");
    host.ok("start web02 -q");
    let mut console = host.console("web02");
    console.sees("tiny: ready 4");
    console.types("g");
    console.sees("tiny: data C");
    // Off by the guest's own doing, with somebody at the console.
    console.types("p");
    console.sees("tiny: bye");
    console.ends(0);
    until("web02 to be off", || (host.state("web02") == "stopped").then_some(()));
    host.nothing_is_left();
}

#[test]
fn with_linux_under_uefi() {
    let Some(host) = Host::new("main_job::uefi", With::Files) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img");
    host.ok("create web01 --image linux --cpu 2 --ram 256M");
    host.ok("-v start web01").says("pflash");
    let mut console = host.console("web01");
    console.logs_in();
    assert_eq!(console.shell("nproc"), "2");
    assert_eq!(console.shell("ls -d /sys/firmware/efi"), "/sys/firmware/efi");
    let uuid = console.shell("cat /sys/class/dmi/id/product_uuid");
    assert_eq!(uuid.to_lowercase(), host.value("web01", "uuid"), "the guest sees its own identity");
    console.shell("echo before > /data/note; sync");
    console.types("reboot\r");
    console.logs_in();
    assert_eq!(console.shell("cat /data/note"), "before");
    // Taken while it runs; its file system is whole, since what it wrote was synced.
    host.ok("snapshot web01@before").says("crash-consistent");
    host.ok("set web01 ram=384M description=changed");
    console.shell("echo after > /data/note; sync");
    console.leaves();
    host.ok("stop web01").says("powered off");
    host.nothing_is_left();
    assert!(host.files("web01").contains_key("uefi-vars.fd"), "its firmware's variables are its own");
    host.ok("snapshot rollback web01@before --yes");
    assert_eq!((host.value("web01", "ram").as_str(), host.value("web01", "description").as_str()), ("256M", "-"));
    host.ok("start web01 -q");
    let mut console = host.console("web01");
    console.logs_in();
    assert_eq!(console.shell("cat /data/note"), "before");
    console.types("poweroff\r");
    console.ends(0);
    until("web01 to be off", || (host.state("web01") == "stopped").then_some(()));
    host.nothing_is_left();
}
