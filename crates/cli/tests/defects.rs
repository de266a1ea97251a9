//! What the program of 2016 did wrong and no other test shows to be right now, each seen from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

#[test]
fn a_snapshot_s_name_is_no_part_of_a_dataset_s() {
    let Some(host) = Host::new("defects::snapshot", With::Image) else { return };
    host.ok("create web,web2 --image small");
    host.ok("disk add web 1M");
    host.ok("snapshot web@2");
    let before = host.tree();
    // `web snapshot delete 2` once destroyed the guest web2, and `/disk1` a disk.
    for (line, code) in [
        ("snapshot delete web2 --yes", 2),
        ("web snapshot delete /disk1 --yes", 2),
        ("snapshot delete web/disk1 --yes", 2),
        ("disk remove web logs", 2),
        ("disk remove web disk", 2),
        ("disk delete web ../web2", 2),
    ] {
        host.chyves(line).ends(code);
        assert_eq!(host.tree(), before, "after `{line}`");
    }
    // The words of two are the snapshot of the guest that is named.
    host.ok("web snapshot delete 2 --yes").says("snapshot web@2 destroyed");
    host.ok("info web2");
    host.ok("snapshot web@3");
    host.ok("web snapshot delete @3 --yes");
}

#[test]
fn values_are_kept_and_shown_to_the_letter() {
    let Some(host) = Host::new("defects::values", With::Image) else { return };
    host.ok("create web --image small");
    let text = "a = b=c  two  blanks * $HOME `x` \"q\" 'r'";
    host.chyves_words(&["set", "web", &format!("description={text}")]).ends(0);
    assert_eq!(host.value("web", "description"), text);
    assert!(host.ok("get web all -H").out.contains(text));
    host.chyves_words(&["set", "defaults", "notes=x=y=z"]).ends(2);
    host.chyves_words(&["set", "defaults", "bargs=-o b=c=d"]).ends(0);
    assert_eq!(host.value("web", "bargs"), "-o b=c=d");
    // A list has as many columns whatever is empty.
    host.ok("create bare --size 1M");
    let listed = host.ok("list -H -o name,description,notes,origin,state").out;
    let columns: Vec<usize> = listed.lines().map(|line| line.split('\t').count()).collect();
    assert_eq!(columns, [5, 5], "{listed}");
    assert!(listed.contains("bare\t-\t-\t-\tstopped"), "{listed}");
}

#[test]
fn a_guest_without_nics_or_disks_is_a_guest() {
    let Some(host) = Host::new("defects::bare", With::Image) else { return };
    host.ok("create web --image small");
    host.ok("network remove web net0");
    host.ok("snapshot web@one");
    host.ok("clone web linked");
    host.ok("clone web full --independent");
    host.ok("snapshot rollback web@one --yes");
    for guest in ["web", "linked", "full"] {
        assert!(!host.ok(&format!("get {guest} all -H")).out.contains("net0."), "{guest} has a NIC");
    }
    host.ok("disk remove web disk0");
    assert_eq!(host.ok("disk list web -H").out, "");
    host.ok("clone web diskless");
    assert_eq!(host.ok("disk list diskless -H").out, "");
}

#[test]
fn a_nic_is_taken_from_its_bridge_by_the_whole_name_of_its_tap() {
    let Some(host) = Host::with_networks("defects::unjoin", With::Image) else { return };
    let others = ["tap50", "tap55", "tap15"];
    host.ok("create web --image small net0.backend=bridge net0.bridge=lan net0.tap=tap5");
    for tap in others {
        host.ok(&format!("create {tap}-s --image small net0.backend=bridge net0.bridge=lan net0.tap={tap}"));
    }
    host.ok("network bridge0 private");
    let before = host.tree();
    host.ok("network lan unjoin tap5");
    assert_eq!(host.value("web", "net0.bridge"), "bridge0");
    let changed: Vec<_> = host.tree().into_iter().filter(|(name, values)| before.get(name) != Some(values)).map(|(name, _)| name).collect();
    assert_eq!(changed, [host.dataset("web")]);
}

#[test]
fn what_is_called_like_chyves_is_not_chyves() {
    let Some(host) = Host::new("defects::pools", With::Image) else { return };
    let other = host.second_pool();
    for dataset in ["chyves", "mychyves", "chyves-old"] {
        host.sh("zfs", &["create", &format!("{other}/{dataset}")]);
    }
    host.sh("zfs", &["create", &format!("{}/chyves2", host.pool)]);
    assert_eq!(host.ok("pool list -H -o pool").out.trim(), host.pool);
    assert_eq!(host.ok("list -H").out, "");
    host.chyves(&format!("create web --size 1M --pool {other}")).ends(3).says("no pool with chyves on it");
    host.chyves("create web --size 1M --pool primary").ends(3).says("no pool with chyves on it is called `primary`");
}

#[test]
fn each_guest_of_a_start_has_its_own_loader_firmware_and_drives() {
    let Some(host) = Host::freebsd("defects::mixed", With::Tiny, &["release=14.3"]) else { return };
    host.ok("create a-uefi,b-load,c-grub,d-uefi --image tiny --ram 64M");
    host.ok("set b-load loader=bhyveload os=freebsd");
    host.ok("set c-grub loader=grub-bhyve os=debian");
    host.ok("set a-uefi vnc=on");
    let started = host.ok("-v start all").err;
    let line = |guest: &str| {
        let end = format!(" {guest}");
        started
            .lines()
            .find(|l| l.starts_with("+ ") && l.contains(" bhyve -") && l.ends_with(&end))
            .unwrap_or_else(|| panic!("{guest}: {started}"))
            .to_owned()
    };
    for guest in ["b-load", "c-grub"] {
        let line = line(guest);
        assert!(["bootrom", " -k ", "fbuf", "ahci-cd", "xhci"].iter().all(|alien| !line.contains(alien)), "{line}");
    }
    // The display's password is in a file, and with it the display.
    assert!(line("a-uefi").contains("-k ") && line("a-uefi").contains("bootrom"), "{}", line("a-uefi"));
    assert!(line("d-uefi").contains("bootrom") && !line("d-uefi").contains("-k "), "{}", line("d-uefi"));
    // The same places, whoever else is started.
    let places = |line: &str| line.split(" -s ").skip(1).map(|d| d.split(',').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(places(&line("b-load")), places(&line("c-grub")));
    host.ok("stop all --now");
    until("all to be off", || (host.ok("list -H -o state").out.lines().all(|s| s == "stopped")).then_some(()));
    host.nothing_is_left();
}
