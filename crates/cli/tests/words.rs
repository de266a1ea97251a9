//! The same things said in other words: both word orders, several guests, JSON, dry runs, and for another host.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use serde_json::Value;

/// Three guests that never run.
fn ground(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Image)?;
    host.ok("create web01,web02,db --image small --ram 64M loader=bios accel=tcg");
    host.ok("snapshot web01@kept");
    Some(host)
}

#[test]
fn guest_first_and_verb_first_are_one() {
    let Some(host) = ground("words::orders") else { return };
    for (verb_first, guest_first) in [
        ("get web01 ram -H", "web01 get ram -H"),
        ("info web01", "web01 info"),
        ("snapshot list web01", "web01 snapshot list"),
        ("start web01 -n", "web01 start -n"),
        ("start web01,web02 -n", "web01,web02 start -n"),
        ("start web01 web02 -n", "web01 web02 start -n"),
        ("stop all -n", "all stop -n"),
        ("set web01 cpu=2 -n", "web01 set cpu=2 -n"),
        ("unset web01 ram -n", "web01 unset ram -n"),
        ("snapshot delete web01@kept -n", "web01 snapshot delete @kept -n"),
        ("snapshot rollback web01@kept -n", "web01 snapshot rollback @kept -n"),
        ("start web01 -n --json", "-n --json web01 start"),
    ] {
        let (one, other) = (host.chyves(verb_first), host.chyves(guest_first));
        assert_eq!((one.code, other.code), (0, 0), "{verb_first}: {}{guest_first}: {}", one.err, other.err);
        assert_eq!(host.tidy(&one.out), host.tidy(&other.out), "{verb_first} | {guest_first}");
        assert_eq!(host.tidy(&one.err), host.tidy(&other.err), "{verb_first} | {guest_first}");
    }
    // And for real: each is done by the one and seen by the other.
    host.ok("web01 set notes=x");
    assert_eq!(host.value("web01", "notes"), "x");
    host.ok("web01 unset notes");
    host.ok("web01 snapshot @b");
    host.ok("snapshot delete web01@b --yes");
    host.ok("web01 clone web09");
    host.ok("web09 delete");
    host.ok("web09 undelete");
    host.ok("web10 create --size 1M");
    assert_eq!(host.ok("list -H -o name").out, "db\nweb01\nweb02\nweb09\nweb10\n");
}

#[test]
fn several_guests_by_commas_blanks_and_all() {
    let Some(host) = ground("words::several") else { return };
    let notes = |host: &Host| host.ok("list notes -H").out;
    host.ok("set web01,db notes=commas");
    assert_eq!(notes(&host), "db\tcommas\nweb01\tcommas\nweb02\t-\n");
    host.ok("set web01 web02 notes=blanks cpu=2");
    assert_eq!(notes(&host), "db\tcommas\nweb01\tblanks\nweb02\tblanks\n");
    host.ok("set all notes=every");
    assert_eq!(notes(&host), "db\tevery\nweb01\tevery\nweb02\tevery\n");
    host.ok("unset web01,web02 db notes");
    assert_eq!(notes(&host), "db\t-\nweb01\t-\nweb02\t-\n");
    insta::assert_snapshot!(host.session(&["get web01,db ram web02 -H", "get web01 web02 ram,cpu -H", "get all ram -H"]), @"
    $ chyves get web01,db ram web02 -H
    error: no property is called `web02`
      hint: `chyves list properties` shows them all; your own notes go under keys that begin with `x.`
    [exit status: 2]
    $ chyves get web01 web02 ram,cpu -H
    web01	ram	64M	local
    web01	cpu	2	local
    web02	ram	64M	local
    web02	cpu	2	local
    $ chyves get all ram -H
    db	ram	64M	local
    web01	ram	64M	local
    web02	ram	64M	local
    ");

    // One that is unknown: the others are done, and it is named with what is near.
    host.chyves("set web01,wbe02 notes=x").ends(6).says("web01: set").says("no guest is called `wbe02`").says("did you mean `web02`?");
    host.chyves("snapshot web01@y,nope@y").ends(6).says("snapshot web01@y taken").says("no guest is called `nope`");
    let before = host.tree();
    host.chyves("set wbe01,wbe02 notes=x").ends(3);
    host.chyves("delete nope neither").ends(3);
    assert_eq!(host.tree(), before);

    // One that can't: the others are done, and each is told.
    host.ok("snapshot web01@x");
    insta::assert_snapshot!(host.session(&["snapshot db@x,web01@x,web02@x"]), @"
    $ chyves snapshot db@x,web01@x,web02@x
    db: snapshot db@x taken
    web02: snapshot web02@x taken
    error: 1 of 3 guests failed
      because: web01: `web01` has a snapshot called `x` already
      hint: choose another name, or `chyves snapshot delete web01@x` first
    [exit status: 6]
    ");
    host.ok("snapshot list web02 -H").says("web02@x");
    host.ok("delete web02,db").says("`chyves undelete web02` restores it").says("`chyves undelete db` restores it");
    assert_eq!(host.ok("list -H -o name").out, "web01\n");
    host.ok("undelete web02");
    host.ok("undelete db");
    assert_eq!(host.ok("list -H -o name").out, "db\nweb01\nweb02\n");
    // All at once is destruction enough to be asked about.
    host.chyves("delete all").ends(2).says("--yes");
    host.ok("delete all --yes");
    host.ok("list").says("there are no guests");
}

#[test]
fn every_command_answers_in_json() {
    let Some(host) = Host::new("words::json", With::Tiny) else { return };
    let at = |line: &str, pointer: &str| {
        let all = host.ok(line).json();
        all.pointer(pointer).unwrap_or_else(|| panic!("{line}: no {pointer} in {all}")).clone()
    };
    assert_eq!(at("pool list --json", "/0/role"), "primary");
    assert_eq!(at("image import ./tiny-deaf.img --name deaf --json", "/0/image/kind"), "disk");
    assert_eq!(at("image list --json", "/1/size"), 1 << 20);
    assert_eq!(at("create web01 --image tiny --ram 32M loader=bios accel=tcg --json", "/0/dataset"), host.dataset("web01"));
    let uuid = host.value("web01", "uuid");
    assert_eq!(at("set web01 notes=x --json", "/0/object"), "web01");
    assert_eq!(
        at("get web01 notes --json", "/0"),
        serde_json::json!({"name": "web01", "property": "notes", "value": "x", "source": "local"})
    );
    assert_eq!(at("get web01 bargs --json", "/0/value"), Value::Null);
    assert_eq!(at("unset web01 notes --json", "/0/done"), "unset");
    assert_eq!(at("list --json", "/0/ram"), 32 << 20);
    assert_eq!(at("list properties --json", "/0/property"), "cpu");
    assert_eq!(at("info web01 --json", "/0/uuid"), uuid);
    assert_eq!(at("start web01 --json", "/0/uuid"), uuid);
    let (machine, supervisor) = host.pids("web01");
    assert_eq!(at("info web01 --json", "/0/pid"), machine);
    assert!(host.processes().iter().any(|p| p.pid == supervisor));
    assert_eq!(at("start web01 --json", "/0/done"), "unchanged");
    assert_eq!(at("snapshot web01@live --json", "/0/snapshot"), "live");
    assert_eq!(at("snapshot list web01 --json", "/0/live"), true);
    assert_eq!(at("stop web01 --json", "/0/object"), "web01");
    assert_eq!(at("snapshot rollback web01@live --yes --json", "/0/object"), "web01");
    assert_eq!(at("snapshot delete web01@live --yes --json", "/0/object"), "web01");
    assert_ne!(at("clone web01 web02 --json", "/0/uuid"), uuid);
    assert_eq!(at("list clones --json -o name,origin", "/1/name"), "web02");
    assert_eq!(at("delete web02 --json", "/0/object"), "web02");
    assert_eq!(at("trash list --json", "/0/name"), "web02");
    assert_eq!(at("undelete web02 --json", "/0/object"), "web02");
    assert_eq!(at("adopt web01 --json", "/0/object"), "web01");
    assert_eq!(at("image delete deaf --yes --json", "/0/object"), "deaf");
    assert_eq!(at("dev facts --json", "/os"), "linux");
    assert_eq!(at("version --json", "/version"), env!("CARGO_PKG_VERSION"));

    // What goes wrong has one shape, and there is one document, whatever becomes of several.
    let error = host.chyves("start wbe01 --json").ends(3).json();
    insta::assert_snapshot!(serde_json::to_string_pretty(&error).unwrap(), @r#"
    {
      "error": {
        "code": "no-such-guest",
        "class": "not-found",
        "message": "no guest is called `wbe01`",
        "object": "wbe01",
        "hint": [
          "did you mean `web01`?",
          "`chyves list` shows them all"
        ]
      }
    }
    "#);
    let usage = host.chyves("strat web01 --json").ends(2).json();
    assert_eq!((&usage["error"]["code"], &usage["error"]["hint"][0]), (&"usage".into(), &"did you mean `start`?".into()));
    host.ok("snapshot web01@x");
    let partial = host.chyves("snapshot web01@x,web02@x --json").ends(6).json();
    assert_eq!((&partial["results"][0]["object"], &partial["results"][1]["object"]), (&"web02".into(), &"web01".into()), "{partial}");
    assert_eq!(partial["results"][1]["error"]["code"], "snapshot-exists", "{partial}");
    assert_eq!(partial.pointer("/error/code").unwrap(), "partial", "{partial}");
    let plans = host.ok("start web01,web02 --dry-run --json").json();
    assert_eq!(plans.as_array().map(Vec::len), Some(2), "{plans}");
    for (plan, name) in plans.as_array().unwrap().iter().zip(["web01", "web02"]) {
        assert_eq!(plan["object"], name);
        let last = plan["steps"].as_array().unwrap().last().unwrap();
        assert!(last["commands"][0].as_str().unwrap().contains(&format!("guest={name}")), "{last}");
    }
}

#[test]
fn a_dry_run_shows_the_commands_and_changes_nothing() {
    let Some(host) = Host::new("words::dry_run", With::Tiny) else { return };
    host.ok("create web01,web02,gone --image tiny --ram 32M loader=bios accel=tcg");
    host.ok("delete gone");
    host.ok("snapshot web01@kept");
    let look = |host: &Host| {
        let mut run: Vec<_> = std::fs::read_dir(host.run_dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
        run.sort();
        (host.tree(), host.processes(), run)
    };
    let before = look(&host);
    let files = host.files("web01");
    for (line, shows) in [
        ("image import ./tiny-deaf.img", "zfs create"),
        ("image delete tiny", ""),
        ("create web03 --image tiny", "zfs clone"),
        ("create web03 --size 8G", "truncate -s 8589934592"),
        ("set web01 ram=1G notes=x", "zfs set chyves:ram=1G"),
        ("set defaults ram=1G", "zfs set chyves:ram=1G"),
        ("unset web01 ram", "zfs inherit chyves:ram"),
        ("start web01", "-drive"),
        ("start all", "guest=web02"),
        ("start web01 --foreground", "guest=web01"),
        ("stop all", ""),
        ("snapshot web01@x", "zfs snapshot"),
        ("snapshot rollback web01@kept", "web01@kept"),
        ("snapshot delete web01@kept", "zfs destroy"),
        ("clone web01 web03", "zfs clone"),
        ("clone web01@kept web03,web04", "zfs clone"),
        ("delete web01", "zfs rename"),
        ("delete all", "zfs rename"),
        ("undelete gone", "zfs rename"),
        ("adopt web01", ""),
    ] {
        let answer = host.chyves(&format!("{line} --dry-run"));
        // What can't be done is not pretended to be.
        assert_eq!(answer.code, if line.starts_with("image delete") { 4 } else { 0 }, "{line}: {}", answer.err);
        if shows != "-drive" {
            assert!(answer.out.contains(shows), "{line} does not show `{shows}`:\n{}", answer.out);
        }
        host.chyves(&format!("{line} -n --json")).json();
    }
    assert!(look(&host) == before, "something changed");
    assert_eq!(host.files("web01"), files);

    // What is shown is what is then run.
    let shown = host.ok("start web01 -n").out;
    let started = host.ok("-v start web01").err;
    let command = started.lines().filter_map(|l| l.strip_prefix("+ ")).next_back().unwrap();
    assert!(shown.lines().any(|l| l == command), "{shown}\n{command}");
    let before = look(&host);
    host.ok("stop web01 -n").says("ask web01 by ACPI");
    assert!(look(&host) == before && host.state("web01") == "running");
    host.ok("stop web01 --now -q");
}

#[test]
fn the_plan_for_a_freebsd_host() {
    let Some(host) = Host::new("words::freebsd", With::Image) else { return };
    host.ok("create web01 --image small --cpu 2 --ram 256M net0.mac=58:9c:fc:00:00:01 disk0.serial=SERIAL00");
    host.ok("start web01 --dry-run --host freebsd").says("jail -q -f ").says("\njexec chyves-");
    // The unit of an interface follows from its name, which follows from the guest's identity. So does the number of a ruleset.
    host.ok("set web01 confine=user");
    let unit = |line: &str| match line.split_once(" create name ") {
        Some((_, name)) if line.starts_with("ifconfig tap") => format!("ifconfig tapUNIT create name {name}"),
        _ => line.to_owned(),
    };
    let shown = host.session(&["start web01 --dry-run --host freebsd"]).lines().map(unit).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(shown, @"
    $ chyves start web01 --dry-run --host freebsd
    # load the kernel module vmm
    kldload -n vmm
    # load the kernel module nmdm
    kldload -n nmdm
    # load the kernel module if_bridge
    kldload -n if_bridge
    # load the kernel module if_tuntap
    kldload -n if_tuntap
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # check that these exist: disk 0 of `web01` (/DIR/pool/chyves/guests/web01/disk0.raw)
    test -w /DIR/pool/chyves/guests/web01/disk0.raw
    # create the folder /DIR/pool/chyves/guests/web01/logs
    mkdir -m 0700 -p /DIR/pool/chyves/guests/web01/logs
    # copy /usr/local/share/uefi-firmware/BHYVE_UEFI_VARS.fd to /DIR/pool/chyves/guests/web01/uefi-vars.fd unless it exists
    cp -n /usr/local/share/uefi-firmware/BHYVE_UEFI_VARS.fd /DIR/pool/chyves/guests/web01/uefi-vars.fd
    # create the tap chvTAP for chyves/UUID/net0
    ifconfig tapUNIT create name chvTAP
    ifconfig chvTAP descr chyves/UUID/net0 group chyves mtu 1500 up
    # attach chvTAP to bridge0
    ifconfig bridge0 addm chvTAP
    # run web01 under a supervisor
    bhyvectl --vm=web01 --destroy
    ifconfig chvTAP up
    bhyve -c cpus=2,sockets=1,cores=2,threads=1 -m 256M -A -H -P -w -u -U UUID -s 0:0,hostbridge -s 4:0,virtio-blk,/DIR/pool/chyves/guests/web01/disk0.raw,ser=SERIAL00 -s 12:0,virtio-net,chvTAP,type=tap,mac=58:9c:fc:00:00:01 -s 26:0,virtio-rnd -s 31:0,lpc -l com1,/dev/nmdm-web01.1A -l bootrom,/usr/local/share/uefi-firmware/BHYVE_UEFI.fd,/DIR/pool/chyves/guests/web01/uefi-vars.fd web01
    ");
    // A guest that only QEMU can boot.
    host.ok("set web01 loader=bios");
    host.chyves("start web01 --dry-run --host freebsd").ends(5).says("bhyve has no BIOS").says("loader=uefi");
    host.chyves("start web01 --host freebsd").ends(2).says("--dry-run");
    // Facts of another host, as it would print them itself.
    host.ok("set web01 loader=uefi");
    let mut facts = host.ok("dev facts freebsd").json();
    facts["run_dir"] = "/somewhere/else".into();
    std::fs::write(host.work().join("facts.json"), facts.to_string()).unwrap();
    let plan = host.ok("start web01 -n --host freebsd --facts ./facts.json").out;
    assert!(plan.contains("bhyve "), "{plan}");
    std::fs::write(host.work().join("facts.json"), "{}").unwrap();
    host.chyves("start web01 -n --host freebsd --facts ./facts.json").ends(2).says("holds no facts of a host");
}

#[test]
fn a_word_that_may_be_a_verb_with_a_slip_does_nothing_to_the_other_guests() {
    let Some(host) = Host::new("words::implied", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web01 --size 1M --disk raw");
    let before = host.tree();
    for line in ["snapshot frobnicate web01", "snapshot web01 frobnicate", "web01 snapshot frobnicate", "disk frobnicate web01"] {
        let answer = host.chyves(line).ends(3).says("`frobnicate` is neither a guest nor a verb of").says("nothing was done");
        assert!(answer.out.is_empty(), "{line}: {}", answer.out);
        assert_eq!(host.tree(), before, "{line}");
    }
    host.chyves("disk frobnicate").ends(3).is_silent_of("there are no disks");
    host.chyves("cloud-init frobnicate web01").ends(3).says("the verbs of `cloud-init`");
    // With its verb every guest is done by itself.
    host.chyves("snapshot create frobnicate web01").ends(6).says("taken");
}
