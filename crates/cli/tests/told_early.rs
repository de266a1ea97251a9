//! What a start could not use is reported by the command that brings it about, and by every dry run.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks;
use common::{Host, With};

#[test]
fn the_guest_s_own_user_data_and_another_reader() {
    let Some(host) = Host::new("told_early::texts", With::Image) else { return };
    host.ok("create web --image small loader=bios ci.enabled=yes accel=tcg");
    std::fs::write(host.work().join("include"), "#include\nhttp://127.0.0.1/x\n").unwrap();
    host.ok("cloud-init set web --user-data include");
    let before = host.tree();
    for line in ["set web os=freebsd", "set web ci.reader=cloudbase-init", "set defaults ci.reader=nuageinit", "clone web copy os=freebsd"]
    {
        let answer = host.chyves(line);
        assert_eq!(answer.code, 2, "{line}: {}{}", answer.out, answer.err);
        assert!(answer.err.contains("does not read #include"), "{line}: {}", answer.err);
    }
    assert_eq!(host.tree(), before);
    host.ok("set web os=debian");
    host.ok("start web --dry-run");
    // Set behind chyves' back, the dry run and the start end alike.
    host.sh("zfs", &["set", "chyves:os=freebsd", &host.dataset("web")]);
    for line in ["start web --dry-run", "start web"] {
        let answer = host.chyves(line);
        assert_eq!(answer.code, 2, "{line}: {}{}", answer.out, answer.err);
        assert!(answer.err.contains("does not read #include"), "{line}: {}", answer.err);
    }
    assert_eq!(host.zfs_get("mounted", &host.dataset("web")), "no");
}

#[test]
fn settings_that_come_as_they_are() {
    let Some(host) = Host::new("told_early::settings", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    host.sh("zfs", &["set", "chyves:cpu_threads=2", &host.dataset("web")]);
    host.ok("snapshot web@bad");
    host.ok("unset web cpu_threads");
    let refused = host.chyves("clone web@bad copy");
    assert_eq!(refused.code, 2, "{}", refused.err);
    host.ok("clone web@bad copy cpu=2");
    let says = |line: &str| {
        let answer = host.ok(line);
        assert!(answer.err.contains("web cannot start with these settings: 1 processor "), "{line}: {}", answer.err);
    };
    says("snapshot rollback web@bad --yes");
    host.ok("delete web --yes");
    says("undelete web");
}

#[test]
fn an_interface_for_nat_that_is_not_there() {
    let Some(host) = networks::host("told_early::nat", With::Tiny) else { return };
    let missing = "nosuch0 (nat), and there is no such interface";
    let says = |line: &str| {
        let answer = host.ok(line);
        assert!(answer.err.contains(missing), "{line}: {}", answer.err);
        assert!(!answer.err.contains("as configured") && !answer.err.contains("is private"), "{line}: {}", answer.err);
    };
    says("network in private address=10.9.0.1/24 nat=nosuch0");
    says("network in set mtu=1400");
    says("network apply");
    says("set global bridge5.nat=nosuch0 bridge5.address=10.5.0.1/24");
    host.ok(&format!("create web {} net0.bridge=in", networks::NIC));
    assert!(host.ok("start web --dry-run").out.contains(missing));
    says("start web");
    networks::stop(&host, "web");
    assert!(!host.ok("network in set nat=em0").err.contains("no such interface"));
}

#[test]
fn a_snapshot_s_name_behind_a_list_of_guests() {
    let Some(host) = Host::new("told_early::lists", With::Image) else { return };
    for name in ["a", "b"] {
        host.ok(&format!("create {name} --disk raw --size 1M loader=bios"));
    }
    host.ok("snapshot a,b@two");
    let names = || host.ok("snapshot list -H -o name").out.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(), ["a@two", "b@two"]);
    // `a z` may mean `a@z`, and `a@two,z` a guest `z` or another snapshot: nothing is done.
    for line in ["snapshot a z", "snapshot create a z", "snapshot delete a@two,z --yes"] {
        let answer = host.chyves(line);
        assert!(answer.code == 2 || answer.code == 3, "{line}: {}{}", answer.out, answer.err);
        assert_eq!(names(), ["a@two", "b@two"], "{line}");
    }
    host.ok("snapshot delete a,b@two --yes");
    assert!(names().is_empty());
}

#[test]
fn firmware_of_a_size_that_no_hypervisor_takes() {
    let Some(host) = Host::new("told_early::firmware", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 64M loader=bios accel=tcg");
    for (name, size, why) in [("odd", 5000, "not a multiple of the page size"), ("big", 32 << 20, "and qemu takes 8M")] {
        let bytes: Vec<u8> = (0..size).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect();
        std::fs::write(host.work().join("code.fd"), bytes).unwrap();
        host.ok(&format!("firmware import ./code.fd --name {name}"));
        let before = host.tree();
        let set = format!("firmware={name}");
        for line in [
            format!("set web {set}"),
            format!("set defaults {set}"),
            format!("create x --size 1M {set}"),
            format!("clone web y {set}"),
            format!("set web loader=uefi {set} --dry-run"),
        ] {
            let refused = host.chyves(&line).ends(2);
            assert!(refused.err.contains(why), "{line}: {}", refused.err);
        }
        assert_eq!(host.tree(), before);
        // Set behind chyves' back, the dry run and the start end alike.
        for pair in [format!("chyves:uefi_{set}"), "chyves:loader=uefi".to_owned()] {
            host.sh("zfs", &["set", &pair, &host.dataset("web")]);
        }
        for line in ["start web --dry-run", "start web"] {
            let refused = host.chyves(line).ends(5);
            assert!(refused.err.contains(why) && refused.err.contains("firmware=auto"), "{}", refused.err);
        }
        host.ok("set web loader=bios firmware=auto");
    }
}

#[test]
fn another_file_system_in_the_folder_of_a_guest() {
    let Some(host) = Host::new("told_early::mount", With::Image) else { return };
    host.ok("create web --disk raw --size 1M loader=bios");
    let guest = host.dataset("web");
    host.sh("zfs", &["mount", &guest]);
    let place = host.mount_point().join("chyves/guests/web/other place");
    host.sh("mkdir", &[place.to_str().unwrap()]);
    host.sh("mount", &["-t", "tmpfs", "tmpfs", place.to_str().unwrap()]);
    let trace = host.work().join("trace");
    for line in ["reclaim", "rename web db", "delete web --yes"] {
        let _ = std::fs::remove_file(&trace);
        let output = host.command(common::PROGRAM).args(line.split(' ')).env("CHYVES_TRACE", &trace).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let at = format!("another file system is mounted in it, at {}", place.display());
        assert!(said.contains(&at), "{line}: {said}");
        // It does not pass by itself, so the command is not tried again.
        let tried = std::fs::read_to_string(&trace).unwrap();
        let tried: Vec<&str> = tried.lines().filter(|l| l.contains("unmount") || l.contains("rename")).collect();
        assert!((1..5).contains(&tried.len()), "{line}: {tried:?}");
    }
    host.sh("umount", &[place.to_str().unwrap()]);
    host.ok("reclaim");
    host.nothing_is_left();
}
