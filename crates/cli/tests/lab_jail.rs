//! A FreeBSD host, played by the lab: each bhyve in a jail of its own where the release can, and what is reported where not.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

fn host(test: &str, settings: &[&str]) -> Option<Host> {
    let host = Host::freebsd(test, With::Tiny, settings)?;
    host.ok("create web01 --image tiny --ram 64M");
    Some(host)
}

fn confinement(host: &Host) -> String {
    let info = host.ok("info web01").out;
    info.lines().find_map(|line| line.strip_prefix("confinement:")).unwrap().trim().to_owned()
}

#[test]
fn a_bhyve_sees_its_own_files_and_nodes_only() {
    for settings in [&["release=14.3"][..], &["release=15.0", "cpu=amd"]] {
        let Some(host) = host("lab_jail::full", settings) else { return };
        let jail = format!("chyves-{}", host.value("web01", "uuid"));
        let started = host.ok("-v start web01");
        started.says(&format!("+ jexec {jail} bhyve -c "));
        assert_eq!(host.sh("jls", &[]).trim(), jail);
        assert_eq!(confinement(&host), format!("full (the jail {jail}, and Capsicum)"));
        assert_eq!(host.ok("info web01 --json").json()[0]["rctl_subject"], format!("jail:{jail}"));
        // A probe in bhyve's place opens another file, node and VM of the host in vain.
        let other = host.work().join("other.raw");
        std::fs::File::create(&other).unwrap().set_len(1 << 20).unwrap();
        let disk = format!("4,virtio-blk,{}", other.display());
        for (options, refusal) in [
            (vec!["-s", disk.as_str()], "No such file or directory"),
            (vec!["-s", "31,lpc", "-l", "com1,/dev/nmdm-other.1A"], "No such file or directory"),
            (vec!["-s", "5,virtio-net,tap7"], "No such file or directory"),
        ] {
            let probe = host.command("jexec").arg(&jail).args(["bhyve", "-s", "0,hostbridge"]).args(options).arg("other").output().unwrap();
            let said = String::from_utf8_lossy(&probe.stderr).into_owned();
            assert!(!probe.status.success() && said.contains(refusal), "{said}");
        }
        let mut console = host.console("web01");
        console.sees("tiny: ready 1");
        console.types("r");
        console.sees("tiny: ready 2");
        console.types("p");
        until("web01 to be off", || (host.state("web01") == "stopped").then_some(()));
        assert_eq!(host.sh("jls", &[]), "");
        host.nothing_is_left();
    }
}

#[test]
fn where_there_is_no_jail_capsicum_is_named_with_the_reason() {
    let Some(host) = host("lab_jail::older", &["release=13.5"]) else { return };
    host.ok("-v start web01").is_silent_of("jexec");
    assert!(confinement(&host).starts_with("user (no jail: FreeBSD 13.5 mounts no single files"), "{}", confinement(&host));
    host.ok("stop web01 --now");
    host.chyves("doctor").says("Capsicum").says("from FreeBSD 14.0 on each bhyve gets a jail");
    host.lab().set(&["release=14.3"]).unwrap();
    host.chyves("doctor").says("a jail for each bhyve").says("rctl(4) is off; kern.racct.enable=1 in /boot/loader.conf");
    // A device whose files are not known, and the administrator's word.
    let socket = host.work().join("port.sock");
    host.chyves_words(&["set", "web01", &format!("pcidev_0=virtio-console,port={}", socket.display())]).ends(0);
    host.ok("-v start web01")
        .says("confinement of web01: user (no jail: bhyve makes the sockets of a virtio-console")
        .is_silent_of("jexec");
    host.ok("stop web01 --now");
    host.ok("unset web01 pcidev_0");
    host.ok("set web01 confine=user");
    host.ok("-v start web01").is_silent_of("jexec").is_silent_of("confinement of");
    host.ok("stop web01 --now");
    host.nothing_is_left();
}

/// Kills the guest's supervisor and its bhyve at once, so that nobody cleans up.
fn dies(host: &Host) {
    let (machine, supervisor) = host.pids("web01");
    host.kill(supervisor);
    host.kill(machine);
    until("web01 to be seen dead", || (host.state("web01") == "crashed").then_some(()));
}

/// What a dead VM leaves of its jail: the jail itself, the ruleset, the root, mounts.
fn is_clean(host: &Host) {
    assert_eq!(host.sh("jls", &[]), "", "a jail is left");
    assert_eq!(host.sh("devfs", &["rule", "showsets"]), "", "a ruleset is left");
    let roots = std::fs::read_dir(host.run_dir().join("jails")).into_iter().flatten().flatten();
    assert_eq!(roots.map(|e| e.path()).collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new(), "a root is left");
    let mounts = std::fs::read_to_string(host.open_path("/proc/1/mounts")).unwrap();
    assert!(!mounts.contains("/jails/"), "{mounts}");
}

#[test]
fn the_jail_of_a_dead_vm_goes_with_the_next_command_on_its_guest() {
    let Some(host) = host("lab_jail::dead", &["release=14.3"]) else { return };
    host.ok("start web01");
    dies(&host);
    assert_ne!(host.sh("jls", &[]), "");
    // A start makes a new one.
    host.ok("start web01").says("remove the jail chyves-");
    host.console("web01").sees("tiny: ready");
    host.ok("stop web01 --now");
    is_clean(&host);
    host.nothing_is_left();
    // reclaim shows what it would do, and does it.
    host.ok("start web01");
    dies(&host);
    host.ok("reclaim --dry-run").says("jail -q -f ");
    assert_ne!(host.sh("jls", &[]), "");
    host.ok("reclaim");
    is_clean(&host);
    host.nothing_is_left();
    // So does repair.
    host.ok("start web01");
    dies(&host);
    host.ok("repair --dry-run").says("jail -q -f ");
    host.ok("repair").says("what its VM left was removed");
    is_clean(&host);
    host.ok("repair").says("nothing to repair");
    // A jail whose description is lost can be removed all the same.
    host.ok("start web01");
    dies(&host);
    std::fs::remove_dir_all(host.run_dir().join(host.value("web01", "uuid")).join("jail")).unwrap();
    host.ok("reclaim web01");
    is_clean(&host);
    // One whose record cannot be read goes before its folder, which describes it.
    host.ok("start web01");
    dies(&host);
    std::fs::write(host.run_dir().join(host.value("web01", "uuid")).join("record.json"), "{").unwrap();
    host.ok("reclaim");
    is_clean(&host);
    // Whose the VM object is, only the record told.
    host.chyves("start web01").ends(5).says("bhyvectl --vm=web01 --destroy");
    host.sh("bhyvectl", &["--vm=web01", "--destroy"]);
    // What unmounts or renames is not kept from it.
    host.ok("start web01");
    dies(&host);
    host.ok("rename web01 web02");
    is_clean(&host);
    host.ok("rename web02 web01");
    host.ok("start web01");
    dies(&host);
    host.ok("delete web01 --yes");
    is_clean(&host);
}

#[test]
fn two_jails_never_share_a_ruleset_and_a_foreign_one_is_left() {
    let Some(host) = host("lab_jail::rulesets", &["release=14.3"]) else { return };
    host.ok("create web02 --image tiny --ram 64M");
    // Both prefer the same number, and an administrator has a set of that number.
    let uuid = host.value("web01", "uuid");
    let twin = format!("{}{:02x}", &uuid[..34], u8::from_str_radix(&uuid[34..], 16).unwrap() ^ 1);
    host.sh("zfs", &["set", &format!("chyves:uuid={twin}"), &host.dataset("web02")]);
    let preferred = 20_000 + u32::from_str_radix(&uuid[..8], 16).unwrap() % 40_000;
    let [first, second] = [1, 2].map(|n| (20_000 + (preferred - 20_000 + n) % 40_000).to_string());
    let foreign = preferred.to_string();
    host.sh("devfs", &["rule", "-s", &foreign, "add", "hide"]);
    let sets = || host.sh("devfs", &["rule", "showsets"]).lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let are = |all: &[&String]| all.iter().map(|set| (*set).clone()).collect::<std::collections::BTreeSet<_>>();
    host.ok("start web01 --dry-run").says(&format!("devfs rule -s {first} add hide")).is_silent_of(&foreign);
    host.ok("start web01 web02");
    assert_eq!(sets(), are(&[&foreign, &first, &second]));
    for set in [&first, &second] {
        let rules = host.sh("devfs", &["rule", "-s", set, "show"]);
        assert_eq!(rules.matches("path vmm/web").count(), 1, "{rules}");
    }
    // A reboot keeps the number.
    host.console("web01").sees("tiny: ready 1");
    let mut console = host.console("web01");
    console.types("r");
    console.sees("tiny: ready 2");
    assert_eq!(sets(), are(&[&foreign, &first, &second]));
    // What a dead VM leaves is its own, also where its record is lost.
    dies(&host);
    std::fs::remove_file(host.run_dir().join(&uuid).join("record.json")).unwrap();
    host.ok("reclaim web01");
    assert_eq!(sets().len(), 2);
    host.sh("bhyvectl", &["--vm=web01", "--destroy"]);
    host.ok("stop web02 --now");
    assert_eq!(sets(), are(&[&foreign]));
    assert_eq!(host.sh("devfs", &["rule", "-s", &foreign, "show"]), "100 hide\n");
    assert_eq!(std::fs::read_dir(host.run_dir().join("rulesets")).unwrap().count(), 0);
}

#[test]
fn a_vm_object_that_goes_late_is_waited_for_and_one_that_stays_is_reported() {
    let Some(host) = host("lab_jail::destroy", &["release=14.3", "destroy=late"]) else { return };
    host.ok("set web01 loader=bhyveload");
    let node = host.lab().dev("vmm/web01");
    for _ in 0..2 {
        host.ok("start web01");
        host.console("web01").sees("tiny: ready");
        host.ok("stop web01 --now");
        assert!(!node.exists());
    }
    host.ok("start web01");
    host.lab().set(&["destroy=never"]).unwrap();
    let stopped = host.chyves("stop web01 --now");
    stopped.says("/dev/vmm/web01 still exists");
    // The next VM would find the memory of the last one.
    host.chyves("start web01").ends(1).says("/dev/vmm/web01 still exists");
    host.chyves("reclaim").says("the VM object web01 still exists").says("fstat /dev/vmm/web01");
    host.lab().set(&["destroy=now"]).unwrap();
    host.ok("start web01");
    host.ok("stop web01 --now");
    host.nothing_is_left();
}

/// The devices whose files are known, and one of the user's own arguments, are in the jail; so is what opens nothing.
#[test]
fn every_device_that_can_be_is_in_the_jail() {
    let Some(host) = host("lab_jail::devices", &["release=14.3"]) else { return };
    let jail = format!("chyves-{}", host.value("web01", "uuid"));
    let shared = host.work().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let disk = host.work().join("own.raw");
    std::fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    std::fs::write(host.lab().dir().join("devfs/dsp0"), "").unwrap();
    let share = format!("virtio-9p,share={}", shared.display());
    for (n, device) in ["dummy", "hostbridge,vendor=0x8086,devid=0x1237", &share, "hda,play=/dev/dsp0"].iter().enumerate() {
        host.chyves_words(&["set", "web01", &format!("pcidev_{n}={device}")]).ends(0);
    }
    host.chyves_words(&["set", "web01", &format!("bargs=-s 28,virtio-blk,{} -l com2,/dev/nmdm-web01.2A", disk.display())]).ends(0);
    host.ok("-v start web01").says(&format!("+ jexec {jail} bhyve ")).is_silent_of("confinement of");
    assert_eq!(confinement(&host), format!("full (the jail {jail}, and Capsicum)"));
    let mut console = host.console("web01");
    console.sees("tiny: ready 1");
    console.types("r");
    console.sees("tiny: ready 2");
    console.types("p");
    until("web01 to be off", || (host.state("web01") == "stopped").then_some(()));
    is_clean(&host);
    host.nothing_is_left();
    // What they name is looked at before the start.
    std::fs::remove_file(&disk).unwrap();
    host.chyves("start web01")
        .ends(5)
        .says("bargs of `web01` cannot be used")
        .says("own.raw` is not there")
        .says("`chyves unset web01 bargs`");
    // A file of settings may name anything.
    std::fs::write(&disk, "").unwrap();
    host.chyves_words(&["set", "web01", &format!("bargs=-k {}", disk.display())]).ends(0);
    host.ok("-v start web01").says("user (no jail: `-k ").is_silent_of("jexec");
    host.ok("stop web01 --now");
    host.nothing_is_left();
}
