//! Guests with volumes as streams, on a ZFS that has them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::stream::{done, receive, send};
use common::volume::{disk, disks, host, word, write};
use common::{Host, With, until};

/// An increment that is cut off leaves the copy as it was, wherever it is cut off, so that the whole one is taken after it.
fn cut_off(host: &Host, copy: &str, file: &str) {
    let whole = std::fs::read(host.work().join(file)).unwrap();
    let state = || (names(host, copy), host.volumes(copy), host.ok("get copy all -H -o property,value").out);
    let before = state();
    for cut in [whole.len() / 2, whole.len() * 9 / 10, whole.len() - 700, whole.len() - 100] {
        std::fs::write(host.work().join("cut"), &whole[..cut]).unwrap();
        let (code, said) = receive(host, "receive --name copy", "cut");
        assert_eq!(code, 1, "{said}");
        assert_eq!(state(), before, "{cut} of {}: {said}", whole.len());
    }
}

#[test]
fn a_stream_brings_volumes_and_increments_of_them() {
    let Some(host) = host("volumes::stream") else { return };
    let other = host.second("/vm");
    host.ok("disk add web 8M --kind zvol description=more");
    write(&host, "web", 1, "more");
    done(send(&host, "send web", "1"));
    done(receive(&host, &format!("receive --name copy --pool {other}"), "1"));
    let copy = format!("{other}/vm/guests/copy");
    assert_eq!(host.volumes(&copy), host.volumes(&host.dataset("web")));
    assert_eq!(host.value("copy", "disk1.description"), "more");
    assert_eq!(disks(&host, "copy"), disks(&host, "web"));
    host.chyves("start copy").ends(4).says("foreign");
    write(&host, "web", 0, "second");
    host.ok("set web notes=second");
    done(send(&host, &format!("send web --incremental-for {other}"), "2"));
    let length = |file: &str| std::fs::metadata(host.work().join(file)).unwrap().len();
    assert!(length("2") < length("1") || length("1") < 1 << 20, "{} {}", length("1"), length("2"));
    cut_off(&host, &copy, "2");
    done(receive(&host, "receive --name copy", "2"));
    assert_eq!(host.volumes(&copy), host.volumes(&host.dataset("web")));
    assert_eq!(host.value("copy", "notes"), "second");
    // A volume that came since the last stream comes with the next.
    host.ok("disk add web 8M --kind zvol --number 6");
    write(&host, "web", 6, "third");
    done(send(&host, &format!("send web --incremental-for {other}"), "3"));
    cut_off(&host, &copy, "3");
    done(receive(&host, "receive --name copy", "3"));
    assert_eq!(host.volumes(&copy), host.volumes(&host.dataset("web")));
    host.ok("delete web");
    host.ok("adopt copy");
    host.ok("list -H -o name,state").says("copy\tstopped");
    // A stream that is cut off leaves nothing.
    let whole = std::fs::read(host.work().join("1")).unwrap();
    let before = host.sh("zfs", &["list", "-H", "-r", "-t", "all", "-o", "name", &other]);
    // What ZFS could not go on with is refused at its beginning.
    let (code, said) = receive(&host, &format!("receive --name broken --pool {other} --resumable"), "1");
    assert!(code == 2 && said.contains("omit --resumable"), "{code} {said}");
    assert_eq!(host.sh("zfs", &["list", "-H", "-r", "-t", "all", "-o", "name", &other]), before);
    for cut in [whole.len() / 3, whole.len() - 1000] {
        std::fs::write(host.work().join("cut"), &whole[..cut]).unwrap();
        assert_ne!(receive(&host, &format!("receive --name broken --pool {other}"), "cut").0, 0);
        assert_eq!(host.sh("zfs", &["list", "-H", "-r", "-t", "all", "-o", "name", &other]), before);
    }
}

#[test]
fn a_stream_that_was_cut_off_goes_on() {
    let Some(host) = Host::new("volumes::resume", With::Volumes) else { return };
    let other = host.second("/vm");
    let noise: Vec<u8> = (0..6u64 << 20).map(|n| n.wrapping_mul(6_364_136_223_846_793_005).to_be_bytes()[3]).collect();
    std::fs::write(host.work().join("noise.img"), noise).unwrap();
    host.ok("create web loader=bios notes=first");
    host.ok("disk add web --kind raw --import ./noise.img");
    done(send(&host, "send web", "1"));
    let whole = std::fs::read(host.work().join("1")).unwrap();
    std::fs::write(host.work().join("cut"), &whole[..whole.len() * 2 / 3]).unwrap();
    let (code, said) = receive(&host, &format!("receive --name copy --pool {other} --resumable"), "cut");
    assert_eq!(code, 1, "{said}");
    let behind = |word: &str| said.split_once(word).expect(&said).1.split_whitespace().next().unwrap().to_owned();
    let (token, kept) = (behind("send --resume "), behind("receive --resume "));
    assert_eq!(host.chyves("info copy").code, 3);
    done(send(&host, &format!("send --resume {token}"), "rest"));
    assert!(std::fs::metadata(host.work().join("rest")).unwrap().len() < whole.len() as u64 / 2);
    done(receive(&host, &format!("receive --resume {kept} --name copy"), "rest"));
    assert_eq!(host.value("copy", "notes"), "first");
    let read = |dataset: &str| {
        host.sh("zfs", &["mount", dataset]);
        let bytes = std::fs::read(host.open_path(host.zfs_get("mountpoint", dataset)).join("disk0.raw")).unwrap();
        host.sh("zfs", &["unmount", dataset]);
        bytes
    };
    assert!(read(&format!("{other}/vm/guests/copy")) == read(&host.dataset("web")));
}

/// What is on a pool.
fn names(host: &Host, pool: &str) -> String {
    host.sh("zfs", &["list", "-H", "-r", "-t", "all", "-o", "name", pool])
}

#[test]
fn a_clone_is_sent_so_that_it_stands_alone() {
    let Some(host) = host("volumes::clone-stream") else { return };
    std::fs::write(host.work().join("small.img"), [&b"no disk that boots\n".repeat(1000)[..18_999], b"\0"].concat()).unwrap();
    host.ok("image import ./small.img");
    let other = host.second("/vm");
    // Its file system is a clone of the image; its volume is its own, with space reserved for it.
    host.ok("create db --image small loader=bios notes=first");
    host.ok("snapshot db@early");
    host.ok("disk add db 8M --kind zvol");
    let room = host.zfs_get("volsize", &disk(&host, "db", 1));
    host.sh("zfs", &["set", &format!("refreservation={room}"), &disk(&host, "db", 1)]);
    write(&host, "db", 1, "first");
    done(send(&host, "send db", "1"));
    done(receive(&host, &format!("receive --name copy --pool {other}"), "1"));
    let copy = format!("{other}/vm/guests/copy");
    assert_eq!(host.volumes(&copy), host.volumes(&host.dataset("db")));
    assert_eq!(host.zfs_get("origin", &copy), "-");
    // A stream reserves no space of the pool that receives it.
    assert_eq!(host.zfs_get("refreservation", &format!("{copy}/disk1")), "0");
    assert_eq!(host.value("copy", "notes"), "first");
    // By its snapshots it is the same guest, so that it takes what changes.
    write(&host, "db", 1, "second");
    host.ok("set db notes=second");
    done(send(&host, &format!("send db --incremental-for {other}"), "2"));
    cut_off(&host, &copy, "2");
    done(receive(&host, "receive --name copy", "2"));
    assert_eq!(host.volumes(&copy), host.volumes(&host.dataset("db")));
    assert_eq!(host.value("copy", "notes"), "second");
    // A volume that came since the last stream comes with the next.
    host.ok("disk add db 8M --kind zvol");
    write(&host, "db", 2, "third");
    done(send(&host, &format!("send db --incremental-for {other}"), "3"));
    done(receive(&host, "receive --name copy", "3"));
    assert_eq!(host.volumes(&copy), host.volumes(&host.dataset("db")));
    // Looked at only now: who looks into a file system changes it, and then it takes no more.
    assert_eq!(host.files_of(&copy), host.files("db"));
    // It is a stream as zfs makes them.
    let plain = format!("{other}/plain");
    let from = std::fs::File::open(host.work().join("1")).unwrap();
    assert!(host.command("zfs").args(["receive", "-u", &plain]).stdin(from).status().unwrap().success());
    assert_eq!(host.read_volume(&format!("{plain}/disk1"), 5_000_000, 5), b"first");
    // Before it had that volume it had other disks.
    let (code, said) = send(&host, "send db@early", "early");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("chyves clone db@early"), "{said}");
    // Cut off within the envelope, within a volume and before its end it leaves nothing.
    let whole = std::fs::read(host.work().join("1")).unwrap();
    let before = names(&host, &other);
    for cut in [700, whole.len() * 2 / 3, whole.len() - 100] {
        std::fs::write(host.work().join("cut"), &whole[..cut]).unwrap();
        assert_ne!(receive(&host, &format!("receive --name broken --pool {other}"), "cut").0, 0, "{cut}");
        assert_eq!(names(&host, &other), before);
    }
}

/// An increment after the guest lost a volume, and got another one of that number.
fn volumes_go_and_come(host: &Host, guest: &str, other: &str) {
    let (source, copy) = (host.dataset(guest), format!("{other}/vm/guests/copy"));
    for number in [5, 6] {
        host.ok(&format!("disk add {guest} 8M --kind zvol --number {number} description=number-{number}"));
        write(host, guest, number, "kept");
    }
    done(send(host, &format!("send {guest}"), "1"));
    done(receive(host, &format!("receive --name copy --pool {other}"), "1"));
    assert_eq!(host.volumes(&copy), host.volumes(&source));
    host.ok(&format!("disk remove {guest} disk5"));
    write(host, guest, 6, "later");
    done(send(host, &format!("send {guest} --incremental-for {other}"), "2"));
    let said = receive(host, "receive --name copy", "2");
    assert!(said.1.contains("copy has no disk5 any more; the former one is in the trash"), "{said:?}");
    done(said);
    assert_eq!(host.volumes(&copy), host.volumes(&source));
    assert_eq!(disks(host, "copy"), disks(host, guest));
    host.ok("trash list").says("copy:disk5");
    // What has its number now is no later state of it.
    host.ok(&format!("disk remove {guest} disk6"));
    host.ok(&format!("disk add {guest} 8M --kind zvol --number 6"));
    let before = (names(host, other), names(host, &source));
    let (code, said) = send(host, &format!("send {guest} --incremental-for {other}"), "3");
    assert!(
        code == 4 && said.contains("its disk6 has been replaced since") && said.contains(&format!("`chyves send {guest}`")),
        "{code} {said}"
    );
    assert_eq!((names(host, other), names(host, &source)), before);
    host.ok(&format!("delete {guest}"));
    host.ok("adopt copy");
    host.ok("undelete copy:disk5");
    assert_eq!(host.value("copy", "disk5.description"), "number-5");
    assert_eq!(host.read_volume(&format!("{copy}/disk5"), 5_000_000, 4), b"kept");
}

#[test]
fn a_volume_that_went_lies_in_the_trash_where_it_is_received() {
    let Some(host) = host("volumes::went") else { return };
    let other = host.second("/vm");
    volumes_go_and_come(&host, "web", &other);
}

#[test]
fn a_volume_that_went_from_a_clone_lies_in_the_trash_where_it_is_received() {
    let Some(host) = host("volumes::went-from-clone") else { return };
    std::fs::write(host.work().join("small.img"), [&b"no disk that boots\n".repeat(1000)[..18_999], b"\0"].concat()).unwrap();
    host.ok("image import ./small.img");
    let other = host.second("/vm");
    host.ok("create db --image small loader=bios");
    volumes_go_and_come(&host, "db", &other);
}

#[test]
fn a_linked_clone_brings_its_volumes_whole() {
    let Some(host) = host("volumes::linked-stream") else { return };
    let other = host.second("/vm");
    host.ok("clone web twin");
    write(&host, "twin", 0, "twin's");
    host.ok("snapshot twin@one");
    host.ok("set twin notes=later");
    done(send(&host, "send twin@one", "1"));
    done(receive(&host, &format!("receive --name copy --pool {other}"), "1"));
    let copy = format!("{other}/vm/guests/copy");
    assert_eq!(host.volumes(&copy), host.volumes(&host.dataset("twin")));
    assert_eq!((host.zfs_get("origin", &copy), host.zfs_get("origin", &format!("{copy}/disk0"))), ("-".to_owned(), "-".to_owned()));
    assert_eq!(host.value("copy", "notes"), "first", "as it was at the snapshot");
    assert_eq!(word(&host, "web", 0), "first");
}

/// The partitions of a volume and the snapshots of it that the host has as devices.
fn devices_of(host: &Host, volume: &str) -> Vec<String> {
    host.devices_settle();
    let path = std::path::PathBuf::from(format!("/dev/zvol/{volume}"));
    let device = until("the volume's device", || std::fs::canonicalize(&path).ok());
    let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
    let beside = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let of_it = beside.filter(|other| other != name && other.strip_prefix(name).is_some_and(|rest| rest.starts_with(['@', '-'])));
    let kernel = std::path::Path::new("/sys/block").join(device.file_name().unwrap());
    let partitions = std::fs::read_dir(kernel).into_iter().flatten().map(|entry| entry.unwrap());
    let partitions = partitions.filter(|entry| entry.path().join("partition").exists());
    of_it.chain(partitions.map(|entry| entry.file_name().into_string().unwrap())).collect()
}

/// A partition table with one partition, as it is at the beginning of a disk.
fn partition_table() -> [u8; 512] {
    let mut table = [0; 512];
    // Of Linux, from the 2048th block on, so many blocks long.
    table[446 + 4] = 0x83;
    table[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
    table[446 + 12..446 + 16].copy_from_slice(&4096u32.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    table
}

/// A sender says of a volume that its partitions and snapshots are devices of the host: so an attacker's partition table would be
/// read, and file systems in it offered for mounting.
#[test]
fn a_volume_that_came_has_no_partitions_and_no_snapshots_on_this_host() {
    let Some(host) = host("volumes::disarmed") else { return };
    let other = host.second("/vm");
    let (source, copy) = (disk(&host, "web", 0), format!("{other}/vm/guests/copy/disk0"));
    host.write_volume(&source, 0, &partition_table());
    let loose = || {
        host.sh("zfs", &["set", "volmode=full", &source]);
        host.sh("zfs", &["set", "snapdev=visible", &source]);
    };
    let guarded = |volume: &str| {
        for (property, value) in [("volmode", "dev"), ("snapdev", "hidden")] {
            let is = host.sh("zfs", &["get", "-H", "-o", "value,source", property, volume]);
            assert_eq!(is.trim_end(), format!("{value}\tlocal"), "{property} of {volume}");
        }
        assert_eq!(devices_of(&host, volume), Vec::<String>::new(), "{volume}");
    };
    loose();
    done(send(&host, "send web", "1"));
    let said = done(receive(&host, &format!("receive --name copy --pool {other}"), "1"));
    for came in ["property volmode of disk0 was full", "property snapdev of disk0 was visible"] {
        assert!(said.contains(came), "{came}: {said}");
    }
    guarded(&copy);
    // An increment brings the sender's values again.
    write(&host, "web", 0, "second");
    loose();
    done(send(&host, &format!("send web --incremental-for {other}"), "2"));
    done(receive(&host, "receive --name copy", "2"));
    guarded(&copy);
    assert_eq!(host.read_volume(&copy, 5_000_000, 6), b"second");
    // What another program received is disarmed by its adoption.
    host.sh("zfs", &["snapshot", "-r", &format!("{}@raw", host.dataset("web"))]);
    let stream = host.work().join("raw");
    let to = std::process::Stdio::from(std::fs::File::create(&stream).unwrap());
    assert!(host.command("zfs").args(["send", "-R", &format!("{}@raw", host.dataset("web"))]).stdout(to).status().unwrap().success());
    let raw = host.dataset("raw");
    let from = std::fs::File::open(&stream).unwrap();
    assert!(host.command("zfs").args(["receive", "-u", &raw]).stdin(from).status().unwrap().success());
    host.ok("adopt raw --new-identity --trust").says("volmode was full").says("snapdev was visible");
    guarded(&format!("{raw}/disk0"));
}
