use super::add::{Origin, Request};
use super::found::{Disks, Found};
use super::resize::NewSize::{Exactly, More};
use super::{add, find, number, remove, renumber, resize, set, sync};
use crate::error::Kind;
use crate::guest::{DiskFile, DiskFormat, DiskKind, Guest, RunState, Trashed, TrashedDisk};
use crate::os::Os;
use crate::plan::Plan;
use crate::plan::testing::{self, moment};
use crate::value::Size;
use crate::world::World;
use crate::zfs::Dialect;

fn guest(more: &[(&str, &str)]) -> Guest {
    let mut pairs = vec![("disk0.kind", "raw"), ("disk0.size", "1G"), ("net0.backend", "auto")];
    pairs.extend(more);
    testing::guest("web01", &pairs)
}

const GIB: Found = Found::Size(Size::mib(1024));

fn request(origin: Origin) -> Request {
    Request { number: None, origin, size: None, kind: None, reserved: false, block: None, set: Vec::new(), there: Disks::new() }
}

fn file(path: &str, size: u64) -> DiskFile {
    DiskFile { path: path.into(), format: DiskFormat::Raw, size: Size::bytes(size) }
}

fn open_zfs(guests: Vec<Guest>) -> World {
    let mut world = testing::world(guests);
    world.host.dialect = Dialect::OpenZfs;
    world
}

fn guids(guest: &Guest, number: u16) -> Vec<(String, u64)> {
    super::datasets(guest, number).unwrap().into_iter().map(|name| (name, 4711)).collect()
}

fn script(plan: crate::error::Result<Plan>) -> String {
    plan.unwrap().script(Os::Linux)
}

fn trashed(guest: &Guest, number: u16, settings: &[(&str, &str)]) -> Trashed {
    Trashed {
        name: guest.name.clone(),
        dataset: "tank/chyves/trash/t1".parse().unwrap(),
        uuid: None,
        deleted: "2026-01-01T00:00:00Z".into(),
        used: Size::default(),
        group: None,
        disk: Some(TrashedDisk {
            of: guest.uuid,
            number,
            kind: crate::guest::DiskKind::Raw,
            settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }),
    }
}

#[test]
fn disks_are_named_by_number_in_one_spelling() {
    assert_eq!((number("disk0").unwrap(), number("12").unwrap()), (0, 12));
    for bad in ["", "disk", "disk01", "disk1000", "net0", "disk-1", "+1", "disk0.raw", "1e2"] {
        assert!(number(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_empty_disk_is_a_file_or_a_volume() {
    let g = guest(&[]);
    let mut r = request(Origin::Empty);
    r.size = Some(Size::mib(8192));
    r.set = vec![("bus".into(), "nvme".into()), ("disk1.description".into(), "data".into())];
    insta::assert_snapshot!(script(add::add(&testing::world(vec![g.clone()]), &g, &r)), @"
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # create the disk /tank/chyves/guests/web01/disk1.raw of 8G
    truncate -s 8589934592 /tank/chyves/guests/web01/disk1.raw
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk1.kind=raw tank/chyves/guests/web01
    zfs set chyves:disk1.size=8G tank/chyves/guests/web01
    zfs set chyves:disk1.bus=nvme tank/chyves/guests/web01
    zfs set chyves:disk1.description=data tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (8 lines)
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
    (r.reserved, r.block, r.size) = (true, Some(Size::bytes(65536)), Some(Size::bytes(100_000_256)));
    insta::assert_snapshot!(script(add::add(&open_zfs(vec![g.clone()]), &g, &r)), @"
    # note: 100000256 is rounded up to 97664K, a multiple of 64K
    # create the volume tank/chyves/guests/web01/disk1 of 97664K, reserved
    zfs create -V 100007936 -o volmode=dev -o volblocksize=65536 tank/chyves/guests/web01/disk1
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk1.kind=zvol chyves:disk1.size=97664K chyves:disk1.bus=nvme chyves:disk1.description=data tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (8 lines)
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
}

#[test]
fn what_does_not_suit_the_host_is_refused() {
    let g = guest(&[]);
    let world = testing::world(vec![g.clone()]);
    let refused = |change: fn(&mut Request)| {
        let mut r = request(Origin::Empty);
        r.size = Some(Size::mib(1));
        change(&mut r);
        add::add(&world, &g, &r).unwrap_err().code
    };
    assert_eq!(refused(|r| r.kind = Some(crate::guest::DiskKind::Zvol)), Kind::HostCant);
    assert_eq!(refused(|r| r.block = Some(Size::bytes(4096))), Kind::Usage);
    assert_eq!(refused(|r| r.reserved = true), Kind::Usage);
    assert_eq!(refused(|r| r.size = None), Kind::Usage);
    assert_eq!(refused(|r| r.size = Some(Size::bytes(1000))), Kind::Usage);
    assert_eq!(refused(|r| r.number = Some(0)), Kind::NotNow);
    assert_eq!(refused(|r| r.set = vec![("disk0.bus".into(), "nvme".into())]), Kind::Usage);
    assert_eq!(refused(|r| r.set = vec![("kind".into(), "zvol".into())]), Kind::Usage);
    let template = guest(&[("template", "yes")]);
    let mut r = request(Origin::Empty);
    r.size = Some(Size::mib(1));
    assert_eq!(add::add(&world, &template, &r).unwrap_err().code, Kind::NotNow);
    let foreign = Guest { foreign: Some("it was received".into()), ..guest(&[]) };
    assert_eq!(add::add(&world, &foreign, &r).unwrap_err().code, Kind::NotNow);
    let zvol = open_zfs(vec![g.clone()]);
    r.block = Some(Size::bytes(1000));
    assert_eq!(add::add(&zvol, &g, &r).unwrap_err().code, Kind::Usage);
}

#[test]
fn a_disk_from_a_file_is_at_least_as_large_as_that() {
    let g = guest(&[]);
    let world = testing::world(vec![g.clone()]);
    let mut r = request(Origin::File(DiskFile { format: DiskFormat::Qcow2, ..file("a.qcow2", 1_000_000) }));
    let text = script(add::add(&world, &g, &r));
    assert!(
        text.contains("qemu-img convert -f qcow2 -O raw -S 64k a.qcow2 /tank/chyves/guests/web01/disk1.raw\ntruncate -s 1000448 "),
        "{text}"
    );
    // The command that is run has no such names; the plan states the difference.
    assert!(text.contains("qemu-img runs confined, without backing files, and gets both as NBD connections, not by name\n"), "{text}");
    r.size = Some(Size::bytes(512));
    assert_eq!(add::add(&world, &g, &r).unwrap_err().code, Kind::Usage);
    r.size = Some(Size::mib(4));
    let text = script(add::add(&open_zfs(vec![g.clone()]), &g, &r));
    assert!(text.contains("zfs create -s -V 4194304 -o volmode=dev tank/chyves/guests/web01/disk1\n"), "{text}");
    assert!(text.contains("qemu-img convert -n -t none -f qcow2 -O raw a.qcow2 /dev/zvol/tank/chyves/guests/web01/disk1\n"), "{text}");
}

#[test]
fn what_is_attached_is_attached_once_and_never_chyves_own() {
    let g = guest(&[]);
    let other = testing::guest("db", &[("disk3.kind", "attached"), ("disk3.source", "/dev/sdb")]);
    let world = testing::world(vec![g.clone(), other]);
    let attach = |path: &str| add::add(&world, &g, &request(Origin::Attached(file(path, 1 << 20))));
    insta::assert_snapshot!(script(attach("/dev/sdc")), @"
    # note: /dev/sdc stays where it is: it is part of no snapshot and no clone of web01, and chyves never destroys it
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk1.kind=attached tank/chyves/guests/web01
    zfs set chyves:disk1.source=/dev/sdc tank/chyves/guests/web01
    zfs set chyves:disk1.size=1M tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (7 lines)
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
    assert_eq!(attach("/dev/sdb").unwrap_err().code, Kind::NotNow);
    for own in ["/dev/zvol/tank/chyves/guests/db/disk0", "/tank/chyves/guests/db/disk0.raw"] {
        assert_eq!(attach(own).unwrap_err().code, Kind::Usage, "{own}");
    }
    // A common prefix of the letters does not make it the same folder.
    assert!(attach("/tank/chyves2/a.img").is_ok());
}

#[test]
fn a_new_disk_moves_nobody_and_keeps_the_place_that_it_got() {
    let mut pairs: Vec<(String, String)> = (0..3).map(|n| (format!("disk{n}.kind"), "raw".to_owned())).collect();
    pairs.push(("disk0.pci".into(), "7:0".into()));
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let g = testing::guest("web01", &pairs);
    let world = testing::world(vec![g.clone()]);
    let mut r = request(Origin::Empty);
    r.size = Some(Size::mib(1));
    let text = script(add::add(&world, &g, &r));
    assert!(text.contains("chyves:disk3.pci=4:0 "), "7:0, the place of disk3, is taken: {text}");
    r.set = vec![("pci".into(), "5:0".into())];
    assert!(add::add(&world, &g, &r).unwrap_err().message.contains("5:0"), "disk1 is there");
    r.set = vec![("pci".into(), "9:1".into())];
    assert!(script(add::add(&world, &g, &r)).contains("chyves:disk3.pci=9:1 "));
    assert!(set(&world, &g, 0, &[("pci".into(), "5:0".into())], &[]).is_err(), "disk1 would move");
}

#[test]
fn a_removed_disk_lies_in_the_trash_with_its_settings() {
    let g = guest(&[("disk1.kind", "raw"), ("disk1.size", "8G"), ("disk1.bus", "nvme"), ("disk10.kind", "raw")]);
    let world = testing::world(vec![g.clone()]);
    insta::assert_snapshot!(script(remove::remove(&world, &g, 1, guids(&g, 1), &moment(1))), @"
    # note: disk1 of web01 will be moved to the trash; `chyves undelete e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000` restores it
    # make sure that tank/chyves/guests/web01 has the GUID 4711
    zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
    # create the file system tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000
    zfs create -o canmount=noauto -o recordsize=64K -o chyves:deleted=2026-01-31T12:00:00Z -o chyves:name=web01 -o chyves:removed_from=e7402fa1-6791-5e38-a6ba-6fb88037d7ef -o chyves:disk1.bus=nvme -o chyves:disk1.kind=raw -o chyves:disk1.size=8G tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000
    # mount tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000
    zfs mount tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/disk1.raw (raw) to the disk /tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000/disk1.raw
    dd if=/tank/chyves/guests/web01/disk1.raw of=/tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000/disk1.raw bs=65536 conv=sparse
    # change settings of tank/chyves/guests/web01
    zfs inherit chyves:disk1.bus tank/chyves/guests/web01
    zfs inherit chyves:disk1.kind tank/chyves/guests/web01
    zfs inherit chyves:disk1.size tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (5 lines)
    # remove /tank/chyves/guests/web01/disk1.raw, which is now /tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000/disk1.raw
    rm /tank/chyves/guests/web01/disk1.raw
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    # unmount tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000
    zfs unmount tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000
    ");
    let g = guest(&[("disk1.kind", "zvol"), ("disk1.size", "8G")]);
    insta::assert_snapshot!(script(remove::remove(&open_zfs(vec![g.clone()]), &g, 1, guids(&g, 1), &moment(1))), @"
    # note: disk1 of web01 will be moved to the trash; `chyves undelete e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000` restores it
    # make sure that tank/chyves/guests/web01 has the GUID 4711, tank/chyves/guests/web01/disk1 has the GUID 4711
    zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01 tank/chyves/guests/web01/disk1
    # change settings of tank/chyves/guests/web01/disk1
    zfs set chyves:deleted=2026-01-31T12:00:00Z chyves:name=web01 chyves:removed_from=e7402fa1-6791-5e38-a6ba-6fb88037d7ef chyves:disk1.kind=zvol chyves:disk1.size=8G tank/chyves/guests/web01/disk1
    # rename tank/chyves/guests/web01/disk1 to tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000
    zfs rename tank/chyves/guests/web01/disk1 tank/chyves/trash/e7402fa1-6791-5e38-a6ba-6fb88037d7ef-disk1-00000000
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # change settings of tank/chyves/guests/web01
    zfs inherit chyves:disk1.kind tank/chyves/guests/web01
    zfs inherit chyves:disk1.size tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (4 lines)
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
}

#[test]
fn once_the_file_is_gone_nothing_before_it_is_taken_back() {
    let g = guest(&[("disk1.kind", "raw")]);
    let plan = remove::remove(&testing::world(vec![g.clone()]), &g, 1, guids(&g, 1), &moment(1)).unwrap();
    let last = plan.steps.iter().position(|s| s.undo() == crate::action::Undo::Impossible).unwrap();
    let copied = plan.steps.iter().position(|s| matches!(s, crate::action::Action::CopyDisk { .. })).unwrap();
    assert!(copied < last);
    assert!(plan.steps[last + 1..].iter().all(|s| matches!(s, crate::action::Action::Unmount { .. })), "only what cannot fail follows");
}

#[test]
fn an_attached_disk_is_let_go_and_stays() {
    let g = guest(&[("disk1.kind", "attached"), ("disk1.source", "/dev/sdc")]);
    let plan = remove::remove(&testing::world(vec![g.clone()]), &g, 1, guids(&g, 1), &moment(1)).unwrap();
    assert!(plan.notes[0].contains("/dev/sdc stays as it is"));
    assert!(!plan.script(Os::Linux).contains("zfs destroy"));
    assert!(plan.steps.iter().all(|s| s.undo() != crate::action::Undo::Impossible));
}

#[test]
fn a_disk_comes_back_as_it_was() {
    let g = guest(&[]);
    let mut world = testing::world(vec![g.clone()]);
    let lost = trashed(&g, 1, &[("kind", "raw"), ("size", "8G"), ("pci", "4:0")]);
    world.trash = vec![lost.clone()];
    // A new disk does not get its number, because the serial number is derived from the number.
    let mut r = request(Origin::Empty);
    r.size = Some(Size::mib(1));
    assert_eq!(add::number(&world, &g, &r), 2);
    let mut r = request(Origin::Trash(lost.clone(), 4711));
    assert_eq!(add::number(&world, &g, &r), 1);
    insta::assert_snapshot!(script(add::add(&world, &g, &r)), @"
    # make sure that tank/chyves/trash/t1 has the GUID 4711
    zfs get -H -p -o name,property,source,value guid tank/chyves/trash/t1
    # mount tank/chyves/trash/t1
    zfs mount tank/chyves/trash/t1
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # write /tank/chyves/trash/t1/disk1.raw (raw) to the disk /tank/chyves/guests/web01/disk1.raw
    dd if=/tank/chyves/trash/t1/disk1.raw of=/tank/chyves/guests/web01/disk1.raw bs=65536 conv=sparse
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk1.kind=raw tank/chyves/guests/web01
    zfs set chyves:disk1.size=8G tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (6 lines)
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    # unmount tank/chyves/trash/t1
    zfs unmount tank/chyves/trash/t1
    # destroy tank/chyves/trash/t1
    zfs destroy tank/chyves/trash/t1
    ");
    r.number = Some(5);
    let serial = crate::device::derived_serial(g.uuid, 1);
    assert!(script(add::add(&world, &g, &r)).contains(&format!("chyves:disk5.serial={serial} ")));
    let other = testing::guest("db", &[]);
    assert!(!script(add::add(&world, &other, &r)).contains("serial"), "in another guest it is another disk");
}

#[test]
fn a_volume_comes_back_without_its_marks() {
    let g = guest(&[]);
    let mut lost = trashed(&g, 1, &[("kind", "zvol"), ("size", "8G")]);
    lost.disk.as_mut().unwrap().kind = crate::guest::DiskKind::Zvol;
    insta::assert_snapshot!(script(add::add(&open_zfs(vec![g.clone()]), &g, &request(Origin::Trash(lost.clone(), 1)))), @"
    # make sure that tank/chyves/trash/t1 has the GUID 1
    zfs get -H -p -o name,property,source,value guid tank/chyves/trash/t1
    # rename tank/chyves/trash/t1 to tank/chyves/guests/web01/disk1
    zfs rename tank/chyves/trash/t1 tank/chyves/guests/web01/disk1
    # change settings of tank/chyves/guests/web01/disk1
    zfs inherit chyves:deleted tank/chyves/guests/web01/disk1
    zfs inherit chyves:name tank/chyves/guests/web01/disk1
    zfs inherit chyves:removed_from tank/chyves/guests/web01/disk1
    zfs inherit chyves:disk1.kind tank/chyves/guests/web01/disk1
    zfs inherit chyves:disk1.size tank/chyves/guests/web01/disk1
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk1.kind=zvol chyves:disk1.size=8G tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (6 lines)
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
    lost.dataset = "other/chyves/trash/t1".parse().unwrap();
    assert_eq!(add::add(&open_zfs(vec![g.clone()]), &g, &request(Origin::Trash(lost, 1))).unwrap_err().code, Kind::NotNow);
}

#[test]
fn larger_can_be_taken_back_and_smaller_is_done_last() {
    let g = guest(&[]);
    let world = testing::world(vec![g.clone()]);
    let to = |size, force| resize::resize(&world, &g, 0, Exactly(size), force, &GIB, guids(&g, 0));
    let more = |by| resize::resize(&world, &g, 0, More(Size::mib(by)), false, &GIB, guids(&g, 0));
    assert_eq!(script(more(1024)), script(to(Size::mib(2048), false)));
    assert!(more(u64::MAX >> 20).unwrap_err().message.contains("too large"));
    insta::assert_snapshot!(script(to(Size::mib(2048), false)), @"
    # make sure that tank/chyves/guests/web01 has the GUID 4711
    zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # grow the disk /tank/chyves/guests/web01/disk0.raw from 1G to 2G
    truncate -s 2147483648 /tank/chyves/guests/web01/disk0.raw
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk0.size=2G tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (4 lines)
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
    assert_eq!(to(Size::mib(512), false).unwrap_err().code, Kind::NotNow);
    insta::assert_snapshot!(script(to(Size::mib(512), true)), @"
    # note: all data beyond 512M on disk0 of web01 is lost
    # make sure that tank/chyves/guests/web01 has the GUID 4711
    zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk0.size=512M tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (4 lines)
    # shrink the disk /tank/chyves/guests/web01/disk0.raw from 1G to 512M, losing what is beyond
    truncate -s 536870912 /tank/chyves/guests/web01/disk0.raw
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
    assert!(to(Size::mib(1024), false).unwrap().steps.is_empty());
    assert_eq!(to(Size::bytes(1000), true).unwrap_err().code, Kind::Usage);
    let z = guest(&[("disk1.kind", "zvol"), ("disk1.size", "1G")]);
    let text = script(resize::resize(&open_zfs(vec![z.clone()]), &z, 1, Exactly(Size::bytes((2 << 30) + 512)), false, &GIB, guids(&z, 1)));
    assert!(text.contains("zfs set volsize=2147614720 tank/chyves/guests/web01/disk1\n") && text.contains("rounded up"), "{text}");
    assert!(text.contains("make sure that tank/chyves/guests/web01 has the GUID 4711, tank/chyves/guests/web01/disk1 has"), "{text}");
}

#[test]
fn another_number_keeps_the_serial_number() {
    let g = guest(&[("disk1.kind", "raw"), ("disk1.size", "1G"), ("disk1.bus", "nvme")]);
    let world = testing::world(vec![g.clone()]);
    insta::assert_snapshot!(script(renumber(&world, &g, 1, 3, &Disks::new(), guids(&g, 1))), @"
    # note: its serial number stays 4C932382A7305B3E9C58
    # make sure that tank/chyves/guests/web01 has the GUID 4711
    zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # rename the file /tank/chyves/guests/web01/disk1.raw to /tank/chyves/guests/web01/disk3.raw
    mv -n /tank/chyves/guests/web01/disk1.raw /tank/chyves/guests/web01/disk3.raw
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk3.bus=nvme tank/chyves/guests/web01
    zfs set chyves:disk3.kind=raw tank/chyves/guests/web01
    zfs set chyves:disk3.size=1G tank/chyves/guests/web01
    zfs set chyves:disk3.serial=4C932382A7305B3E9C58 tank/chyves/guests/web01
    zfs inherit chyves:disk1.bus tank/chyves/guests/web01
    zfs inherit chyves:disk1.kind tank/chyves/guests/web01
    zfs inherit chyves:disk1.size tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (8 lines)
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
    assert_eq!(renumber(&world, &g, 1, 0, &Disks::new(), guids(&g, 1)).unwrap_err().code, Kind::NotNow);
    assert!(renumber(&world, &g, 1, 1, &Disks::new(), guids(&g, 1)).unwrap().steps.is_empty());
    let z = guest(&[("disk1.kind", "zvol")]);
    let text = script(renumber(&open_zfs(vec![z.clone()]), &z, 1, 3, &Disks::new(), guids(&z, 1)));
    assert!(text.contains("zfs rename tank/chyves/guests/web01/disk1 tank/chyves/guests/web01/disk3\n"), "{text}");
}

#[test]
fn a_guest_that_runs_keeps_its_disks() {
    let mut g = guest(&[("disk1.kind", "raw"), ("disk1.size", "1G")]);
    g.state = RunState::Running;
    let mut nvme = guest(&[("disk1.kind", "raw"), ("disk1.size", "1G"), ("disk1.bus", "nvme")]);
    nvme.state = RunState::Running;
    let world = testing::world(vec![g.clone()]);
    for refused in [
        remove::remove(&world, &g, 1, Vec::new(), &moment(1)),
        renumber(&world, &g, 1, 3, &Disks::new(), Vec::new()),
        resize::resize(&world, &g, 1, Exactly(Size::mib(1)), true, &GIB, Vec::new()),
        resize::resize(&world, &nvme, 1, Exactly(Size::mib(2048)), false, &GIB, Vec::new()),
    ] {
        let problem = refused.unwrap_err();
        assert_eq!((problem.code, problem.hints[0].as_str()), (Kind::NotNow, "`chyves stop web01` first"));
    }
    let mut r = request(Origin::Empty);
    r.size = Some(Size::mib(1));
    assert!(add::add(&world, &g, &r).unwrap().notes[0].contains("next start"));
}

#[test]
fn a_disk_that_is_not_there_is_named_with_those_that_are() {
    let g = guest(&[("disk4.kind", "raw")]);
    let problem = find(&g, &g.spec().unwrap().disks, 40).unwrap_err();
    assert_eq!((problem.code, problem.causes[0].as_str()), (Kind::NotFound, "it has disk0, disk4"));
}

#[test]
fn a_guest_that_runs_sees_its_disk_grow_after_everything_else_is_done() {
    let running = |pairs: &[(&str, &str)]| Guest { state: RunState::Running, mounted: true, ..guest(pairs) };
    let grow = |world: &World, g: &Guest, number| {
        resize::resize(world, g, number, Exactly(Size::mib(2048)), false, &GIB, guids(g, number)).unwrap()
    };
    let qemu = testing::world(Vec::new());
    let g = running(&[]);
    insta::assert_snapshot!(grow(&qemu, &g, 0).script(Os::Linux), @"
    # note: web01 runs and sees disk0 grow; grow its partitions and file systems in the guest
    # make sure that tank/chyves/guests/web01 has the GUID 4711
    zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01
    # change settings of tank/chyves/guests/web01
    zfs set chyves:disk0.size=2G tank/chyves/guests/web01
    # write /tank/chyves/guests/web01/config.toml (4 lines)
    # grow the disk /tank/chyves/guests/web01/disk0.raw of the running web01 from 1G to 2G
    ");
    let mut bhyve = testing::world(Vec::new());
    bhyve.host = testing::freebsd();
    let zvol = running(&[("disk1.kind", "zvol"), ("disk1.size", "1G")]);
    for (world, g, number, last) in [
        (&qemu, &g, 0, ""),
        (&bhyve, &g, 0, "truncate -s 2147483648 /tank/chyves/guests/web01/disk0.raw"),
        (&bhyve, &zvol, 1, "zfs set volsize=2147483648 tank/chyves/guests/web01/disk1"),
    ] {
        let plan = grow(world, g, number);
        let step = plan.steps.last().unwrap();
        assert_eq!(step.undo(), crate::action::Undo::Impossible);
        assert_eq!(step.commands(Os::FreeBsd).iter().map(ToString::to_string).collect::<String>(), last);
    }
    // QEMU accepts the new size only after the volume has grown.
    let text = grow(&open_zfs(Vec::new()), &zvol, 1).script(Os::Linux);
    let (volume, asked) = (text.find("zfs set volsize=").unwrap(), text.find("of the running web01").unwrap());
    assert!(volume < asked, "{text}");
}

#[test]
fn the_size_of_the_disk_itself_decides_what_is_smaller() {
    for (kind, running) in [("raw", false), ("raw", true), ("zvol", false), ("zvol", true)] {
        let mut g = guest(&[("disk1.kind", kind), ("disk1.size", "128M")]);
        if running {
            (g.state, g.mounted) = (RunState::Running, true);
        }
        let world = open_zfs(vec![g.clone()]);
        let real = Found::Size(Size::mib(512));
        let to = |mib, force| resize::resize(&world, &g, 1, Exactly(Size::mib(mib)), force, &real, guids(&g, 1));
        let cut = to(256, false).unwrap_err();
        assert!(cut.message.contains("from 512M to 256M") && cut.causes.iter().any(|c| c.contains("128M is recorded")), "{cut:?}");
        assert!(cut.hints[0].contains("chyves disk sync web01 disk1"), "{cut:?}");
        if running {
            assert!(to(256, true).unwrap_err().hints[0].contains("chyves stop web01"));
        } else {
            let text = script(to(256, true));
            assert!(text.contains("although 128M is recorded") && text.contains("from 512M to 256M"), "{text}");
        }
        // The actual size is recorded, and the disk is not changed.
        let plan = to(512, false).unwrap();
        let touched = |a: &crate::action::Action| {
            use crate::action::Action::{GrowDisk, ResizeVolume, ShrinkDisk};
            matches!(a, GrowDisk { .. } | ShrinkDisk { .. } | ResizeVolume { .. })
        };
        assert!(!plan.steps.iter().any(touched) && plan.script(Os::Linux).contains("disk1.size=512M"), "{plan:?}");
        // The undo restores the former values.
        let plan = to(1024, false).unwrap();
        let undone: Vec<String> = plan.steps.iter().map(|s| format!("{:?}", s.undo())).collect();
        assert!(undone.iter().all(|u| !u.contains("Size(134217728)")), "{undone:?}");
    }
    let g = guest(&[]);
    let world = testing::world(vec![g.clone()]);
    for (found, word) in [
        (Found::Missing, "missing"),
        (Found::OtherKind(crate::guest::DiskKind::Zvol, Size::mib(1)), "volume"),
        (Found::NoDisk("a folder".into()), "a folder"),
        (Found::Unknown("why".into()), "why"),
    ] {
        let problem = resize::resize(&world, &g, 0, Exactly(Size::mib(2048)), true, &found, Vec::new()).unwrap_err();
        assert!(problem.code == Kind::NotNow && problem.message.contains(word), "{problem:?}");
    }
}

#[test]
fn a_sync_records_what_the_disks_are_and_touches_none() {
    let g = guest(&[("disk1.kind", "zvol"), ("disk1.size", "1G"), ("disk2.kind", "raw"), ("disk3.kind", "raw")]);
    let world = open_zfs(vec![g.clone()]);
    let disks = Disks::from([
        (0, Found::Size(Size::mib(512))),
        (1, Found::OtherKind(crate::guest::DiskKind::Raw, Size::mib(1024))),
        (2, Found::Missing),
        (3, Found::Size(Size::bytes(1000))),
    ]);
    let plan = sync::sync(&world, &g, None, &disks, vec![("tank/chyves/guests/web01".into(), 4711)]).unwrap();
    let text = plan.script(Os::Linux);
    for said in [
        "# note: disk0 of web01: actual size 512M, recorded 1G\n",
        "# note: disk1 of web01: actually a file of 1G, recorded as a volume of 1G\n",
        "# note: cannot use disk2 of web01: its file is missing; find it in a snapshot",
        "`chyves disk resize web01 disk3 SIZE`\n",
        "zfs set chyves:disk0.size=512M chyves:disk1.kind=raw tank/chyves/guests/web01\n",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("truncate") && !text.contains("volsize"), "{text}");
    assert_eq!(sync::sync(&world, &g, Some(2), &disks, Vec::new()).unwrap_err().code, Kind::NotNow);
    let plain = guest(&[]);
    assert!(sync::sync(&world, &plain, None, &Disks::from([(0, GIB)]), Vec::new()).unwrap().steps.is_empty());
}

#[test]
fn only_what_is_lost_is_forgotten() {
    let g = guest(&[("disk1.kind", "zvol"), ("disk1.size", "1G")]);
    let world = open_zfs(vec![g.clone()]);
    for seen in [GIB, Found::OtherKind(DiskKind::Raw, Size::mib(1024))] {
        let problem = remove::let_go(&world, &g, 1, &seen, Vec::new(), &moment(1)).unwrap_err();
        assert_eq!(problem.code, Kind::NotNow);
        assert!(problem.hints.iter().any(|hint| hint.contains("`chyves disk sync web01 disk1`")), "{problem:?}");
    }
    for seen in [Found::Missing, Found::NoDisk("a folder".into()), Found::Unknown("why".into())] {
        assert!(!remove::let_go(&world, &g, 1, &seen, Vec::new(), &moment(1)).unwrap().steps.is_empty(), "{seen:?}");
    }
}

/// A disk that a rollback brought back: its file or volume is there, and the settings have nothing of it.
#[test]
fn a_disk_without_settings_is_in_nobody_s_way_and_can_be_recorded() {
    let g = guest(&[]);
    let mut world = testing::world(vec![g.clone()]);
    let there = Disks::from([(0, GIB), (1, Found::Size(Size::mib(10))), (2, Found::OtherKind(DiskKind::Zvol, Size::mib(20)))]);
    let mut r = request(Origin::Empty);
    (r.size, r.kind, r.there) = (Some(Size::mib(1)), Some(DiskKind::Raw), there.clone());
    assert_eq!(add::number(&world, &g, &r), 3);
    let text = script(add::add(&world, &g, &r));
    assert!(text.contains("disk1.raw of 10M") && text.contains("`chyves disk sync web01 disk1`"), "{text}");
    for number in [1, 2] {
        r.number = Some(number);
        let problem = add::add(&world, &g, &r).unwrap_err();
        assert_eq!(problem.code, Kind::NotNow);
        assert!(problem.hints.iter().any(|hint| hint.contains(&format!("`chyves disk sync web01 disk{number}`"))), "{problem:?}");
        assert_eq!(renumber(&world, &g, 0, number, &there, guids(&g, 0)).unwrap_err().code, Kind::NotNow);
    }
    // One from the trash whose number is taken so gets another one, and keeps its serial number.
    let lost = trashed(&g, 1, &[("kind", "raw"), ("size", "8G")]);
    world.trash = vec![lost.clone()];
    let mut r = request(Origin::Trash(lost, 4711));
    r.there = there.clone();
    assert_eq!(add::number(&world, &g, &r), 3);
    let serial = crate::device::derived_serial(g.uuid, 1);
    assert!(script(add::add(&world, &g, &r)).contains(&format!("chyves:disk3.serial={serial} ")));
    // `disk sync` without a number only reports stray disks; with a number it records that disk.
    let all = sync::sync(&world, &g, None, &there, Vec::new()).unwrap();
    assert!(all.steps.is_empty() && all.notes.len() == 3, "{:?}", all.notes);
    let one = script(sync::sync(&world, &g, Some(1), &there, Vec::new()));
    assert!(one.contains("chyves:disk1.kind=raw") && one.contains("chyves:disk1.size=10M") && !one.contains("serial"), "{one}");
    let volume = script(sync::sync(&world, &g, Some(2), &there, Vec::new()));
    assert!(volume.contains("chyves:disk2.kind=zvol"), "{volume}");
    // Two disks never have one serial number.
    let restored = guest(&[("disk3.kind", "raw"), ("disk3.size", "8G"), ("disk3.serial", &serial)]);
    let one = script(sync::sync(&testing::world(vec![restored.clone()]), &restored, Some(1), &there, Vec::new()));
    assert!(one.contains("chyves:disk1.serial=") && !one.contains(&serial), "{one}");
    let recorded = guest(&[("disk1.kind", "raw"), ("disk1.size", "10M")]);
    r.there = Disks::new();
    assert!(!script(add::add(&world, &recorded, &r)).contains(&serial));
    // What can be no disk is named, and not recorded.
    for found in [Found::NoDisk("a folder".into()), Found::Size(Size::bytes(1000)), Found::Size(Size::bytes(0))] {
        let problem = sync::sync(&world, &g, Some(1), &Disks::from([(1, found)]), Vec::new()).unwrap_err();
        assert!(problem.hints.iter().any(|hint| hint.contains("move it away")), "{problem:?}");
    }
}

#[test]
fn of_a_disk_that_a_snapshot_may_hold_nothing_else_is_said() {
    let g = guest(&[("revert_to_snapshot", "base"), ("revert_to_snapshot_method", "start")]);
    let mut world = testing::world(vec![g.clone()]);
    let lost = trashed(&g, 1, &[("kind", "raw"), ("size", "8G")]);
    world.trash = vec![lost.clone()];
    let restored = script(add::add(&world, &g, &request(Origin::Trash(lost, 4711))));
    assert!(restored.contains("base: where that does not hold disk1, it will not start"), "{restored}");
    let mut r = request(Origin::Empty);
    (r.size, r.kind) = (Some(Size::mib(1)), Some(DiskKind::Raw));
    let new = script(add::add(&world, &g, &r));
    assert!(new.contains("base, which does not hold disk2: it will not start"), "{new}");
}
