//! Disks of guests: added, filled, attached, resized, renumbered, removed and brought back, on a real pool. What is
//! left when a step of that fails or is killed: `faults_disks`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Makes the guest `web` with one small disk. The disks here are files on every ZFS; those that are volumes have tests of
/// their own.
fn host(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Pool)?;
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web --disk raw --size 1M loader=bios");
    Some(host)
}

/// Writes into a disk file, so that it can be told from others.
fn mark(folder: &Path, disk: &str, at: u64, bytes: &[u8]) {
    std::fs::OpenOptions::new().write(true).open(folder.join(disk)).unwrap().write_all_at(bytes, at).unwrap();
}

/// What lists say of the disks of `web`, tabs between columns.
fn disks(host: &Host, columns: &str) -> String {
    host.ok(&format!("disk list web -H -p -o {columns}")).out
}

/// The identity of the one thing in the trash.
fn in_trash(host: &Host) -> String {
    host.ok("trash list -H -o identity").value().to_owned()
}

#[test]
fn a_file_that_a_pool_lives_in_is_not_attached() {
    let Some(host) = Host::new("disk::vdev", With::Image) else { return };
    host.ok("create web --size 1M");
    let status = host.sh("zpool", &["status"]);
    let device = status.split_ascii_whitespace().find(|word| word.starts_with('/')).unwrap();
    // By another name too.
    std::os::unix::fs::symlink(device, host.work().join("other")).unwrap();
    for path in [device, "./other"] {
        host.chyves(&format!("disk add web --attach {path}")).ends(4).says(&format!("it is a device of the pool `{}`", host.pool));
    }
    assert_eq!(host.ok("disk list web -H -o number").out.lines().count(), 1);
}

#[test]
fn a_disk_is_added_in_every_word_order_and_form_of_2016() {
    let Some(host) = host("disk::add") else { return };
    for line in [
        "disk add web --kind raw 1M",
        "web disk add 1M --kind raw",
        "disk web add 1M --kind raw",
        "web disk add --kind raw --size 1M bus=nvme disk4.description='the fourth'",
    ] {
        host.ok(line).says("added");
    }
    host.ok("web disk disk1 description the first one").says("disk1 set");
    host.ok("web disk disk1 notes old");
    host.ok("web disk resize disk1 2M");
    host.ok("disk set web disk2 bus=ahci-hd options=sync,ro");
    assert_eq!(
        disks(&host, "number,kind,size,bus,options,pci,description"),
        "0\traw\t1048576\tvirtio-blk\t-\t4:0\t-\n\
         1\traw\t2097152\tvirtio-blk\t-\t5:0\tthe first one\n\
         2\traw\t1048576\tahci-hd\tdirect,ro\t6:0\t-\n\
         3\traw\t1048576\tvirtio-blk\t-\t7:0\t-\n\
         4\traw\t1048576\tnvme\t-\t8:0\tthe fourth\n"
    );
    assert_eq!(host.value("web", "disk1.notes"), "old");
    host.in_folder("web", |folder| {
        assert_eq!(std::fs::metadata(folder.join("disk1.raw")).unwrap().len(), 2 << 20);
        let copy = std::fs::read_to_string(folder.join("config.toml")).unwrap();
        assert!(copy.contains("\"disk4.description\" = \"the fourth\"\n"), "{copy}");
    });
    host.ok("disk list").says("GUEST").says("NUMBER");
    assert_eq!(host.ok("web disk").out, host.ok("disk list web").out);
    let all = host.ok("disk list --json -s number").json();
    assert_eq!((all[4]["guest"].as_str(), all[4]["bus"].as_str()), (Some("web"), Some("nvme")));
}

#[test]
fn refusals_name_the_reason_and_change_nothing() {
    let Some(host) = host("disk::refusals") else { return };
    let before = host.tree();
    std::fs::write(host.work().join("page.img"), "<!DOCTYPE html>").unwrap();
    for (line, code, words) in [
        ("disk add web", 2, "how large"),
        ("disk add web --kind raw 100000", 2, "a multiple of 512 bytes"),
        ("disk add web --kind raw 1M 2M", 2, "one size"),
        ("disk add web --kind raw 1M --number 0", 4, "has a disk0 already"),
        ("disk add web --kind raw 1M bus=scsi", 2, "virtio-blk"),
        ("disk add web --kind raw 1M options=fast", 2, "unknown option"),
        ("disk add web --kind raw 1M pci=4:0", 2, "same PCI slot"),
        ("disk add web --kind raw 1M colour=red", 2, "no setting called"),
        ("disk add web --kind raw 1M serial='a b'", 2, "not a serial number"),
        ("disk add web --kind raw 1M --reserved", 2, "cannot be reserved"),
        ("disk add web --kind raw 1M --block-size 64K", 2, "no block size"),
        ("disk add web 8", 2, "did you mean 8G?"),
        ("disk add web --size 8", 2, "did you mean 8G?"),
        ("disk resize web disk0 8", 2, "did you mean 8G?"),
        ("disk add web2 1M", 3, "no guest is called"),
        ("disk add web --import none.img", 3, "cannot open"),
        ("disk add web --import page.img", 2, "a web page"),
        ("disk add web --attach ./page.img", 2, "a web page"),
        ("disk add web --attach none/such", 3, "no imported pool"),
        ("disk add web --from-trash none", 3, "is in the trash"),
        ("disk remove web disk1", 3, "it has disk0"),
        ("disk remove web disk01", 2, "names no disk"),
        ("disk resize web disk0 512K", 4, "would shrink"),
        ("disk resize web disk0 x", 2, "is not a size"),
        ("disk move web disk0 disk1000", 2, "names no disk"),
        ("disk move web disk3 disk4", 3, "has no disk3"),
        ("disk set web disk0 size=1G", 2, "kept by chyves"),
        ("disk set web disk0 kind=zvol", 2, "kept by chyves"),
        ("disk set web disk0 bus", 2, "KEY=VALUE"),
    ] {
        host.chyves(line).ends(code).says(words);
    }
    if host.sh("zfs", &["get", "-H", "-o", "value", "type", &host.pool]).trim() == "filesystem" && !Path::new("/dev/zfs").exists() {
        host.chyves("disk add web 1M --kind zvol").ends(5).says("no volumes");
    }
    for line in [
        "disk add web --kind raw 1M",
        "disk remove web disk0",
        "disk resize web disk0 2M",
        "disk move web disk0 disk1",
        "disk set web disk0 bus=nvme",
    ] {
        let shown = host.ok(&format!("{line} --dry-run"));
        assert!(shown.out.contains("zfs "), "{}", shown.out);
        assert!(host.ok(&format!("{line} --dry-run --json")).json()["steps"][0]["describe"].is_string());
    }
    assert_eq!(host.tree(), before);
}

#[test]
fn a_disk_gets_the_content_of_a_file() {
    let Some(host) = host("disk::import") else { return };
    if host.command("qemu-img").arg("--version").output().is_ok_and(|o| o.status.success()) {
        let mut content = vec![0u8; (1 << 20) + 700];
        content[300_000..300_007].copy_from_slice(b"content");
        content[1 << 20] = 9;
        std::fs::write(host.work().join("a.img"), &content).unwrap();
        host.sh("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "a.img", "b.img"]);
        host.sh("qemu-img", &["create", "-q", "-f", "qcow2", "-b", "b.img", "-F", "qcow2", "over.img"]);
        host.ok("disk add web --kind raw --import a.img");
        host.ok("disk add web --kind raw --import ./b.img 4M bus=nvme");
        host.chyves("disk add web --import over.img").ends(2).says("depends on another file");
        host.chyves("disk add web --kind raw --import a.img 1M").ends(2).says("cannot hold");
        // Sectors are filled up.
        assert_eq!(disks(&host, "number,size"), "0\t1048576\n1\t1049600\n2\t4194304\n");
        host.in_folder("web", |folder| {
            for (disk, length) in [("disk1.raw", 1_049_600), ("disk2.raw", 4 << 20)] {
                let meta = std::fs::metadata(folder.join(disk)).unwrap();
                assert_eq!((meta.len(), meta.mode() & 0o777), (length, 0o600), "{disk}");
                let is = std::fs::read(folder.join(disk)).unwrap();
                assert_eq!(is[..content.len()], content, "{disk}");
                assert!(is[content.len()..].iter().all(|b| *b == 0), "{disk}");
            }
        });
    }
}

#[test]
fn what_is_attached_is_used_once_and_never_touched() {
    let Some(host) = host("disk::attach") else { return };
    host.ok("create db --disk raw --size 1M loader=bios");
    let file = host.work().join("ext.img");
    std::fs::write(&file, vec![7; 4096]).unwrap();
    host.ok("disk add web --attach ./ext.img").says("part of no snapshot");
    assert_eq!(disks(&host, "number,kind,size,source"), format!("0\traw\t1048576\t-\n1\tattached\t4096\t{}\n", file.display()));
    host.chyves("disk add db --attach ./ext.img").ends(4).says("is disk1 of `web` already");
    host.chyves(&format!("disk add db --attach {}/chyves/guests/config", host.mount_point().display())).ends(3);
    host.chyves(&format!("disk add db --attach {}", host.dataset("web"))).ends(2).says("is not a volume");
    host.chyves("disk resize web disk1 128K").ends(2).says("is attached");
    host.ok("snapshot web@one");
    host.ok("clone web@one twin").says("not cloned: disk1");
    assert_eq!(host.ok("disk list twin -H -o number").out, "0\n");
    host.ok("disk move web disk1 disk2");
    host.ok("disk remove web disk2").says("stays as it is");
    host.ok("trash list").says("the trash is empty");
    assert_eq!(std::fs::read(&file).unwrap(), vec![7; 4096]);
    host.ok("disk add db --attach ./ext.img");
}

#[test]
fn a_removed_disk_comes_back_with_its_content_and_settings() {
    let Some(host) = host("disk::trash") else { return };
    host.ok("disk add web --kind raw 3M bus=nvme description='dear to me'");
    host.ok("disk add web --kind raw 1M --number 10");
    host.in_folder("web", |f| mark(f, "disk1.raw", 2_500_000, b"dear"));
    let serial = |n: &str| disks(&host, "number,serial").lines().find_map(|l| l.strip_prefix(n)?.strip_prefix('\t').map(str::to_owned));
    let was = serial("1").unwrap();
    host.ok("web disk delete disk1").says("will be moved to the trash");
    assert_eq!(host.ok("trash list -H -o name,kind").out, "web:disk1\tdisk\n");
    assert_eq!(disks(&host, "number"), "0\n10\n");
    assert!(!host.ok("get web all").out.contains("disk1."));
    host.in_folder("web", |f| assert!(!f.join("disk1.raw").exists() && f.join("disk10.raw").exists()));
    // Its number, and with it its serial number, is not given to another.
    host.ok("disk add web --kind raw 1M").says("disk11 added");
    host.ok("undelete web:disk1").says("disk1 added");
    assert_eq!((serial("1").unwrap(), host.value("web", "disk1.description")), (was.clone(), "dear to me".to_owned()));
    host.in_folder("web", |f| assert_eq!(std::fs::read(f.join("disk1.raw")).unwrap()[2_500_000..2_500_004], *b"dear"));
    host.ok("trash list").says("the trash is empty");
    // Under another number it keeps its serial number; in another guest it has another.
    host.ok("disk remove web disk1");
    let identity = in_trash(&host);
    host.ok(&format!("disk add web --from-trash {identity} --number 5 bus=ahci-hd"));
    assert_eq!((serial("5").unwrap(), host.value("web", "disk5.bus")), (was.clone(), "ahci-hd".to_owned()));
    host.ok("disk remove web disk5");
    host.ok("create db --disk raw --size 1M loader=bios");
    host.chyves(&format!("undelete {} --name db", in_trash(&host))).ends(2).says("takes no other name");
    host.ok(&format!("disk add db --from-trash {}", in_trash(&host))).says("disk1 added");
    host.in_folder("db", |f| assert_eq!(std::fs::read(f.join("disk1.raw")).unwrap()[2_500_000..2_500_004], *b"dear"));
    // Emptying the trash destroys a disk as it does a guest.
    host.ok("disk remove db disk1");
    host.ok("trash empty --yes").says("db:disk1: destroyed");
    host.ok("trash list").says("the trash is empty");
}

#[test]
fn a_removed_disk_outlives_its_guest() {
    let Some(host) = host("disk::outlives") else { return };
    host.ok("disk add web --kind raw 1M");
    host.ok("disk remove web disk1");
    let identity = in_trash(&host);
    host.ok("delete web --now --yes");
    host.chyves(&format!("undelete {identity}")).ends(3).says("--from-trash");
    host.ok("create db --disk raw --size 1M loader=bios");
    host.ok(&format!("disk add db --from-trash {identity}"));
    assert_eq!(host.ok("disk list db -H -o number").out, "0\n1\n");
}

#[test]
fn only_force_makes_a_disk_smaller() {
    let Some(host) = host("disk::shrink") else { return };
    host.in_folder("web", |f| {
        mark(f, "disk0.raw", 0, b"front");
        mark(f, "disk0.raw", 1_000_000, b"behind");
    });
    host.ok("disk resize web disk0 4M");
    host.chyves("disk resize web disk0 512K").ends(4).says("--force");
    host.in_folder("web", |f| assert_eq!(std::fs::read(f.join("disk0.raw")).unwrap()[1_000_000..1_000_006], *b"behind"));
    host.ok("disk resize web disk0 512K --force").says("is lost");
    assert_eq!(host.value("web", "disk0.size"), "512K");
    host.in_folder("web", |f| {
        let is = std::fs::read(f.join("disk0.raw")).unwrap();
        assert_eq!((is.len(), &is[..5]), (512 << 10, &b"front"[..]));
    });
    host.ok("disk resize web disk0 512K").says("already");
}

#[test]
fn a_disk_under_another_number_is_the_same_disk() {
    let Some(host) = host("disk::move") else { return };
    host.ok("disk add web --kind raw 1M bus=nvme");
    host.in_folder("web", |f| mark(f, "disk1.raw", 0, b"one"));
    let before = disks(&host, "serial");
    host.chyves("disk move web disk1 disk0").ends(4);
    host.ok("disk move web disk1 disk3").says("renumbered to disk3");
    assert_eq!(disks(&host, "serial"), before);
    assert_eq!(disks(&host, "number,bus,pci"), "0\tvirtio-blk\t4:0\n3\tnvme\t7:0\n");
    host.in_folder("web", |f| {
        assert!(!f.join("disk1.raw").exists());
        assert_eq!(std::fs::read(f.join("disk3.raw")).unwrap()[..3], *b"one");
    });
}

#[test]
fn the_guest_that_runs_keeps_its_disks_and_sees_one_grow() {
    let Some(host) = Host::new("disk::running", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 64M loader=bios");
    host.ok("disk add web --kind raw 1M");
    host.ok("disk add web --kind raw 1M bus=nvme");
    host.ok("start web -q");
    host.ok("disk add web --kind raw 1M").says("next start or reboot");
    host.chyves("disk remove web disk1").ends(4).says("chyves stop web");
    host.chyves("disk move web disk1 disk9").ends(4);
    host.chyves("disk resize web disk1 512K --force").ends(4);
    host.chyves("disk resize web disk2 2M").ends(4).says("virtio-blk");
    host.chyves("disk resize web disk3 2M").ends(4).says("it was added while the guest runs");
    assert_eq!(host.value("web", "disk3.size"), "1M", "a refusal is rolled back");
    host.ok("disk resize web disk1 2M").says("sees disk1 grow");
    host.in_folder("web", |f| assert_eq!(std::fs::metadata(f.join("disk1.raw")).unwrap().len(), 2 << 20));
    assert_eq!(host.value("web", "disk1.size"), "2M");
    host.ok("stop web --now");
    host.ok("start web -q");
    host.ok("disk resize web disk3 2M");
    host.ok("stop web --now");
}

#[test]
fn a_disk_that_is_lost_is_named_and_can_be_forgotten() {
    let Some(host) = host("disk::lost") else { return };
    host.ok("disk add web --kind raw 1M");
    host.in_folder("web", |f| std::fs::remove_file(f.join("disk1.raw")).unwrap());
    host.chyves("start web").says("disk1.raw").says("chyves disk remove web disk1 --lost");
    // Nothing that copies the guest is silent about it.
    host.ok("snapshot web@without").says("disk1 of web is missing, and web@without does not hold it");
    for line in ["clone web copy", "clone web@without copy", "clone web copy --independent"] {
        host.chyves(line).ends(4).says("disk 1 of `web`").says("it is not there");
        assert!(!host.ok("list -H -o name").out.contains("copy"));
    }
    host.chyves("disk sync web").ends(4).says("chyves disk remove web disk1 --lost").is_silent_of("chyves disk sync");
    host.chyves("disk remove web disk1").ends(4).says("its file is missing").says("chyves disk remove web disk1 --lost");
    assert_eq!(disks(&host, "number"), "0\n1\n");
    host.ok("disk remove web disk1 --lost").says("forgotten");
    assert_eq!(disks(&host, "number"), "0\n");
    assert_eq!(host.ok("trash list -H").out, "");
    // What is there is not lost, whatever kind is recorded.
    host.chyves("disk remove web disk0 --lost").ends(4).says("its file of 1M is there").says("chyves disk sync web disk0");
    host.sh("zfs", &["set", "chyves:disk0.kind=zvol", &host.dataset("web")]);
    host.ok("disk list web").says("a file of 1M");
    host.ok("info web").is_silent_of("missing").says("1M (recorded)").says("chyves disk list web");
    host.chyves("start web").says("chyves disk sync web disk0");
    let before = host.tree();
    host.chyves("disk remove web disk0 --lost").ends(4).says("its file of 1M is there").says("chyves disk sync web disk0");
    assert_eq!(host.tree(), before);
    host.ok("disk sync web disk0");
    assert_eq!(disks(&host, "number,kind,actual"), "0\traw\t1048576\n");
}

#[test]
fn a_removed_disk_that_a_rollback_brings_back_is_shown_and_recorded_or_evaded() {
    let Some(host) = host("disk::stray") else { return };
    host.ok("disk add web --kind raw 1M");
    host.in_folder("web", |f| mark(f, "disk1.raw", 0, b"of-then"));
    host.ok("snapshot web@base");
    host.in_folder("web", |f| mark(f, "disk1.raw", 0, b"of-now!"));
    host.ok("disk remove web disk1");
    host.ok("snapshot rollback web@base --keep-settings");
    let first = |disk: &str| host.in_folder("web", |f| std::fs::read(f.join(disk)).unwrap()[..7].to_vec());
    assert_eq!(first("disk1.raw"), b"of-then");
    let way = "chyves disk sync web disk1";
    host.ok("disk list web").says("1M (not recorded)").says(way);
    host.ok("disk sync web").says("disk1.raw of 1M is in the folder").says(way);
    host.chyves("doctor").says("disk1.raw of 1M is in the folder").says(way);
    host.in_folder("web", |_| drop(host.ok("info web").says("that is not in the settings").says(way)));
    let before = host.tree();
    for line in ["disk add web --kind raw 1M --number 1", "disk move web disk0 disk1"] {
        host.chyves(line).ends(4).says("disk1.raw of 1M is in the folder").says(way);
        assert_eq!(host.tree(), before);
    }
    // The one in the trash comes back beside it, as the disk that the guest knows.
    let trashed = in_trash(&host);
    host.ok(&format!("undelete {trashed}")).says("disk2 added").says(way);
    assert_eq!(first("disk2.raw"), b"of-now!");
    host.ok(way.strip_prefix("chyves ").unwrap());
    assert_eq!(disks(&host, "number,kind,size,actual"), "0\traw\t1048576\t1048576\n1\traw\t1048576\t1048576\n2\traw\t1048576\t1048576\n");
    assert_eq!((first("disk1.raw"), first("disk2.raw")), (b"of-then".to_vec(), b"of-now!".to_vec()));
    let serials = disks(&host, "serial");
    assert_eq!(serials.lines().collect::<std::collections::BTreeSet<_>>().len(), 3, "{serials}");
    host.chyves("doctor").is_silent_of("not in its settings");
}

#[test]
fn a_disk_that_another_program_cut_is_reported_by_the_start() {
    let Some(host) = host("disk::cut") else { return };
    host.in_folder("web", |f| std::fs::File::options().write(true).open(f.join("disk0.raw")).unwrap().set_len(1 << 19).unwrap());
    host.ok("start web").says("was cut by another program").says("it has 512K, and 1M is recorded").says("chyves disk sync web disk0");
    host.ok("stop web --now");
    host.ok("disk sync web disk0");
    host.ok("start web").is_silent_of("recorded");
    host.ok("stop web --now");
}

#[test]
fn a_disk_of_several_guests_is_removed_when_that_is_confirmed() {
    let Some(host) = host("disk::several") else { return };
    host.ok("create other --size 1M --disk raw loader=bios");
    let before = host.tree();
    for line in ["disk remove all disk0", "disk remove web,other disk0"] {
        host.chyves(line).ends(2).says("needs confirmation");
        assert_eq!(host.tree(), before, "{line}");
    }
    host.ok("disk remove web,other disk0 --yes");
}

#[test]
fn disks_lie_in_the_same_records_wherever_they_come_from() {
    let Some(host) = host("disk::records") else { return };
    std::fs::write(host.work().join("a.img"), vec![7; 1 << 20]).unwrap();
    host.ok("image import ./a.img");
    host.ok("create linked --image a loader=bios");
    host.ok("create copied --image a --full loader=bios");
    host.ok("clone linked again");
    host.ok("clone linked apart --independent");
    host.ok("disk add again --kind raw --import ./a.img");
    let image = format!("{}/chyves/images/a", host.pool);
    for dataset in [image].into_iter().chain(["web", "linked", "copied", "again", "apart"].map(|guest| host.dataset(guest))) {
        assert_eq!(host.zfs_get("recordsize", &dataset), "65536", "{dataset}");
    }
    // What was written so stays so: a clone's file is the image's.
    for (guest, disk) in
        [("linked", "disk0.raw"), ("copied", "disk0.raw"), ("again", "disk0.raw"), ("apart", "disk0.raw"), ("again", "disk1.raw")]
    {
        let blocks = host.in_folder(guest, |folder| std::fs::metadata(folder.join(disk)).unwrap().blksize());
        assert_eq!(blocks, 64 << 10, "{guest} {disk}");
    }
    host.ok("disk remove again disk1");
    assert_eq!(host.zfs_get("recordsize", &format!("{}/chyves/trash/{}", host.pool, in_trash(&host))), "65536");
    host.ok("undelete again:disk1");
    let blocks = host.in_folder("again", |folder| std::fs::metadata(folder.join("disk1.raw")).unwrap().blksize());
    assert_eq!(blocks, 64 << 10);
}

/// Sets the size of a disk file by hand, as chyves does not see it.
fn by_hand(host: &Host, guest: &str, disk: &str, size: u64) {
    host.in_folder(guest, |folder| std::fs::OpenOptions::new().write(true).open(folder.join(disk)).unwrap().set_len(size).unwrap());
}

#[test]
fn a_disk_that_was_grown_by_hand_is_not_cut_by_mistake() {
    let Some(host) = host("disk::by_hand") else { return };
    by_hand(&host, "web", "disk0.raw", 4 << 20);
    host.in_folder("web", |folder| mark(folder, "disk0.raw", (4 << 20) - 4, b"last"));
    let before = host.tree();
    let refused = host.chyves("disk resize web disk0 2M").ends(4);
    refused.says("from 4M to 2M").says("1M is recorded").says("chyves disk sync web disk0");
    assert_eq!(host.tree(), before);
    // A reading command mounts nothing: info tells where the file system is mounted, disk list reads the disks.
    let dataset = host.dataset("web");
    host.in_folder("web", |_| host.ok("info web").says("actual size 4M, recorded 1M").says("chyves disk sync web"));
    assert_eq!(host.zfs_get("mounted", &dataset), "no");
    host.ok("disk list web").says("4M (recorded: 1M)");
    assert_eq!(disks(&host, "size,actual"), "1048576\t4194304\n");
    // Larger than it is: whatever was recorded.
    host.ok("disk resize web disk0 8M").says("1M is recorded");
    host.in_folder("web", |folder| {
        let bytes = std::fs::read(folder.join("disk0.raw")).unwrap();
        assert_eq!((bytes.len(), &bytes[(4 << 20) - 4..4 << 20]), (8 << 20, &b"last"[..]));
    });
    by_hand(&host, "web", "disk0.raw", 2 << 20);
    host.ok("disk sync web").says("actual size 2M, recorded 8M");
    assert_eq!(host.value("web", "disk0.size"), "2M");
    host.in_folder("web", |folder| assert_eq!(std::fs::metadata(folder.join("disk0.raw")).unwrap().len(), 2 << 20));
    host.ok("disk sync web").says("are as recorded");
    host.in_folder("web", |folder| std::fs::remove_file(folder.join("disk0.raw")).unwrap());
    host.chyves("disk resize web disk0 8M").ends(4).says("its file is missing").says("--lost");
    host.ok("disk list web").says("missing");
}

/// Who reads or writes there has it mounted until its end, whoever else is done with it.
#[test]
fn commands_on_one_guest_take_turns_at_its_file_system() {
    let Some(host) = Host::new("disk::turns", With::Image) else { return };
    std::fs::write(host.work().join("user-data"), "#cloud-config\npackages: [of-this-guest]\n").unwrap();
    host.ok("create web --disk raw --size 1M loader=bios --user-data ./user-data");
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for line in ["cloud-init show web --decoded", "disk sync web", "set web notes=x", "cloud-init show web user-data --decoded"] {
                let host = &host;
                scope.spawn(move || {
                    let answer = host.ok(line);
                    assert!(!line.contains("show") || answer.out.contains("of-this-guest"), "{line}: {}", answer.out);
                });
            }
        });
        host.ok("disk list web -H -p -o size").says("1048576");
        assert_eq!(host.zfs_get("mounted", &host.dataset("web")), "no");
        host.ok("unset web notes");
    }
}

/// Commands that mount the guest's file system, each in its own way: for a text, for the sizes of disks, as a step of a plan.
const MOUNTS: [&str; 3] = ["cloud-init show web", "disk sync web", "set web notes=x"];

/// zfs-fuse takes a file system down only some time after `zfs unmount` has returned, and calls it busy until then. So the next
/// command waits.
#[test]
fn a_file_system_that_another_command_has_just_unmounted_is_waited_for() {
    let Some(mut host) = Host::new("disk::busy", With::Image) else { return };
    if Path::new("/dev/zfs").exists() {
        return Host::lacks("disk::busy", "ZFS in the kernel unmounts at once");
    }
    let busy = host.dir().join("busy");
    std::fs::write(&busy, "").unwrap();
    let script = format!(
        "if [ \"$1\" = mount ] && [ -s {busy} ]; then sed -i 1d {busy}; echo \"cannot mount: dataset is busy\" >&2; exit 1; fi\nexec \"$real\" \"$@\"",
        busy = busy.display()
    );
    host.stand_in("zfs", &script);
    host.ok("create web --disk raw --size 1M loader=bios ci.enabled=yes");
    for line in MOUNTS {
        std::fs::write(&busy, "1\n2\n3\n").unwrap();
        host.ok(line);
        assert_eq!(std::fs::read_to_string(&busy).unwrap(), "", "{line}: it did not mount the file system");
        assert_eq!(host.zfs_get("mounted", &host.dataset("web")), "no", "{line}");
    }
}

/// Between the look whether it is mounted and the mount, something else may have mounted it: zfs-fuse by itself, or an administrator.
#[test]
fn a_file_system_that_somebody_else_mounts_first_is_used() {
    let Some(mut host) = Host::new("disk::mounted", With::Image) else { return };
    let first = host.dir().join("first");
    let script = format!(
        "if [ \"$1\" = mount ] && [ -e {first} ]; then rm {first}; \"$real\" \"$@\"; fi\nexec \"$real\" \"$@\"",
        first = first.display()
    );
    host.stand_in("zfs", &script);
    host.ok("create web --disk raw --size 1M loader=bios ci.enabled=yes");
    for line in MOUNTS {
        std::fs::write(&first, "").unwrap();
        host.ok(line);
        assert!(!first.exists(), "{line}: it did not mount the file system");
        // A plan has its own step that unmounts.
        let is_mounted = host.zfs_get("mounted", &host.dataset("web")) == "yes";
        assert!(is_mounted || line.starts_with("set"), "{line}: it unmounted what it had not mounted");
        if is_mounted {
            host.sh("zfs", &["unmount", &host.dataset("web")]);
        }
    }
    host.ok("disk list web -H -p -o size").says("1048576");
}

#[test]
fn invalid_records_of_a_disk_are_replaced_by_what_the_disk_is() {
    let Some(host) = host("disk::invalid_records") else { return };
    for (key, value) in [("size", "zz"), ("kind", "floppy")] {
        host.sh("zfs", &["set", &format!("chyves:disk0.{key}={value}"), &host.dataset("web")]);
        // Every refusal leads to the command that works.
        for line in ["disk resize web disk0 2M", "disk remove web disk0", "clone web other", "start web -n"] {
            host.chyves(line).ends(2).says("chyves disk sync web disk0").is_silent_of("chyves set web");
        }
        host.ok("info web").says(value).says("chyves disk sync web disk0");
        host.chyves("doctor").says(value).says("chyves disk sync web disk0");
        host.ok("disk list web").says(&format!("(recorded: {value})")).says("chyves disk sync web disk0");
        assert_eq!(disks(&host, "number,kind,actual"), "0\traw\t1048576\n");
        host.ok("disk sync web disk0").says(value);
        host.ok("disk sync web").says("are as recorded");
        host.ok("info web").is_silent_of("invalid:");
    }
    assert_eq!((host.value("web", "disk0.kind").as_str(), host.value("web", "disk0.size").as_str()), ("raw", "1M"));
    // What is recorded of a lost disk need not be valid.
    host.ok("disk add web 1M --kind raw");
    host.sh("zfs", &["set", "chyves:disk1.kind=floppy", &host.dataset("web")]);
    host.in_folder("web", |folder| std::fs::remove_file(folder.join("disk1.raw")).unwrap());
    host.chyves("disk sync web disk1").ends(4).says("chyves disk remove web disk1 --lost");
    host.ok("disk remove web disk1 --lost");
    assert_eq!(disks(&host, "number"), "0\n");
}

#[test]
fn info_shows_the_rest_of_a_guest_with_a_setting_that_cannot_be_read() {
    let Some(host) = host("disk::invalid_elsewhere") else { return };
    host.sh("zfs", &["set", "chyves:ram=lots", &host.dataset("web")]);
    let info = host.ok("info web").says("the setting `ram` of `web` is wrong").says("chyves set web ram=").out;
    assert!(info.contains("disk0"), "{info}");
    host.chyves("doctor").says("the setting `ram` of `web` is wrong");
}
