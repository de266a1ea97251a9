//! Datasets whose properties somebody hostile has set, received by chyves or by another program: nothing of them is mounted
//! elsewhere, or acts on the host, and what was disarmed is listed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::stream::{done, receive};
use common::{Host, With};
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

/// What a hostile dataset says of itself, but for its mount point.
const LOOSE: [&str; 4] = ["canmount=on", "setuid=on", "devices=on", "exec=on"];

/// A host with the guest `web`.
fn prepared(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Image)?;
    host.ok("create web --disk raw --size 2M --ram 64M");
    Some(host)
}

/// A folder of the host where nothing may be mounted.
fn elsewhere(host: &Host) -> PathBuf {
    host.mount_point().join("elsewhere")
}

fn set(host: &Host, dataset: &str, pairs: &[&str]) {
    for pair in pairs {
        host.sh("zfs", &["set", pair, dataset]);
    }
}

/// Sends what is there now as another program would, with all its properties.
fn zfs_send(host: &Host, dataset: &str, from: Option<&str>, snapshot: &str, file: &str) {
    host.sh("zfs", &["snapshot", "-r", &format!("{dataset}@{snapshot}")]);
    let name = format!("{dataset}@{snapshot}");
    let from: Vec<String> = from.iter().flat_map(|from| ["-i".to_owned(), format!("@{from}")]).collect();
    let to = File::create(host.work().join(file)).unwrap();
    let status = host.command("zfs").args(["send", "-R"]).args(from).arg(name).stdout(Stdio::from(to)).status().unwrap();
    assert!(status.success());
}

/// Receives it as another program would.
fn zfs_receive(host: &Host, dataset: &str, file: &str) {
    let from = File::open(host.work().join(file)).unwrap();
    let status = host.command("zfs").args(["receive", "-u", dataset]).stdin(from).status().unwrap();
    assert!(status.success());
}

/// The properties of a dataset that are as they came, with their values.
fn received(host: &Host, dataset: &str) -> Vec<String> {
    let all = host.sh("zfs", &["get", "-H", "-s", "received", "-o", "property,value", "all", dataset]);
    all.lines().filter(|line| !line.starts_with("chyves:")).map(str::to_owned).collect()
}

fn names(host: &Host) -> String {
    host.sh("zfs", &["list", "-H", "-r", "-o", "name", "-t", "filesystem,volume,snapshot", &format!("{}/chyves", host.pool)])
}

#[test]
fn a_file_system_with_the_name_of_a_disk_is_refused_with_all_that_came() {
    let Some(host) = prepared("hostile_datasets::child") else { return };
    let (web, place) = (host.dataset("web"), elsewhere(&host));
    zfs_send(&host, &web, None, "one", "base");
    done(receive(&host, "receive --name copy", "base"));
    let child = format!("{web}/disk1");
    set(&host, &web, &["chyves:disk1.kind=zvol", "chyves:disk1.size=1M"]);
    host.sh("zfs", &["create", "-o", &format!("mountpoint={}", place.display()), "-o", "canmount=noauto", &child]);
    set(&host, &child, &LOOSE);
    zfs_send(&host, &web, None, "two", "whole");
    zfs_send(&host, &web, Some("one"), "three", "more");
    host.sh("zfs", &["destroy", "-r", &child]);
    let before = names(&host);
    for (line, file) in [("receive --name evil", "whole"), ("receive --name copy", "more")] {
        let (code, said) = receive(&host, line, file);
        assert!(code != 0 && said.contains("disk1 is a file system"), "{line}: {code} {said}");
        assert_eq!(names(&host), before, "{line}");
    }
    // Received by another program it is not adopted.
    zfs_receive(&host, &host.dataset("raw"), "whole");
    let refused = host.chyves("adopt raw --new-identity").ends(4);
    assert!(refused.err.contains("raw/disk1 is a file system"), "{}", refused.err);
    host.sh("zfs", &["destroy", "-r", &host.dataset("raw")]);
}

#[test]
fn what_another_program_received_is_mounted_nowhere_before_it_is_disarmed() {
    let Some(host) = prepared("hostile_datasets::raw") else { return };
    let (web, place) = (host.dataset("web"), elsewhere(&host));
    set(&host, &web, &[&format!("mountpoint={}", place.display())]);
    set(&host, &web, &LOOSE);
    set(&host, &web, &["dedup=on"]);
    // One's own guest is not mounted there either.
    let moved = host.chyves("set web notes=x").ends(4);
    assert!(moved.err.contains("elsewhere") && moved.err.contains("chyves adopt web"), "{}", moved.err);
    zfs_send(&host, &web, None, "evil", "stream");
    host.sh("zfs", &["destroy", "-r", &web]);
    let raw = host.dataset("raw");
    zfs_receive(&host, &raw, "stream");
    for line in ["start raw", "set raw notes=x", "info raw", "disk list raw", "cloud-init show raw", "snapshot diff raw@evil"] {
        host.chyves(line);
        assert!(!place.exists(), "{line}");
    }
    let before = received(&host, &raw);
    let plan = host.ok("adopt raw -n");
    for what in ["mountpoint", "setuid", "devices", "exec", "canmount", "dedup"] {
        assert!(plan.out.contains(&format!("disarmed: {raw}: property {what}")), "{what}: {}", plan.out);
    }
    assert_eq!(received(&host, &raw), before);
    host.ok("adopt raw");
    assert!(!place.exists());
    assert_eq!(received(&host, &raw).iter().filter(|line| !line.starts_with("recordsize")).count(), 0, "{:?}", received(&host, &raw));
    for guard in ["setuid", "devices", "exec"] {
        assert_eq!(host.zfs_get(guard, &raw), "off", "{guard}");
    }
    assert_eq!((host.zfs_get("canmount", &raw), host.zfs_get("dedup", &raw)), ("noauto".to_owned(), "off".to_owned()));
    host.ok("set raw notes=x");
    host.ok("start raw -n");
    assert!(!place.exists());
}

#[test]
fn an_image_that_another_program_received_is_not_mounted_elsewhere() {
    let Some(host) = prepared("hostile_datasets::image") else { return };
    let image = |name: &str| format!("{}/chyves/images/{name}", host.pool);
    let place = elsewhere(&host);
    set(&host, &image("small"), &[&format!("mountpoint={}", place.display())]);
    set(&host, &image("small"), &LOOSE);
    zfs_send(&host, &image("small"), None, "evil", "stream");
    zfs_receive(&host, &image("evil"), "stream");
    for line in ["image verify evil", "image verify small", "image info evil", "create next --image evil --disk raw"] {
        let answer = host.chyves(line);
        assert!(!place.exists(), "{line}");
        assert!(!line.contains("verify") || (answer.code == 4 && answer.err.contains("zfs inherit mountpoint")), "{line}: {}", answer.err);
    }
    host.sh("zfs", &["inherit", "mountpoint", &image("evil")]);
    let open = host.chyves("image verify evil").ends(4);
    assert!(open.err.contains("setuid=on"), "{}", open.err);
    set(&host, &image("evil"), &["setuid=off", "devices=off", "exec=off"]);
    host.ok("image verify evil");
}

#[test]
fn only_what_may_come_stays_as_it_came() {
    let Some(host) = prepared("hostile_datasets::list") else { return };
    let web = host.dataset("web");
    let greedy =
        ["checksum=off", "dedup=on", "copies=2", "compression=gzip-9", "primarycache=none", "atime=on", "snapdir=visible", "quota=100M"];
    set(&host, &web, &greedy);
    set(&host, &web, &["org.freebsd:swap=on", "recordsize=8K"]);
    zfs_send(&host, &web, None, "one", "stream");
    let said = done(receive(&host, "receive --name copy", "stream"));
    let copy = host.dataset("copy");
    assert_eq!(received(&host, &copy), ["recordsize\t8K"]);
    for what in greedy.iter().map(|pair| pair.split('=').next().unwrap()).chain(["org.freebsd:swap"]) {
        assert!(said.contains(&format!("disarmed: property {what} was")), "{what}: {said}");
    }
    assert_eq!((host.zfs_get("checksum", &copy), host.zfs_get("quota", &copy)), ("on".to_owned(), "0".to_owned()));
}

#[test]
fn what_follows_a_stream_is_said_to_be_left() {
    let Some(host) = prepared("hostile_datasets::two") else { return };
    zfs_send(&host, &host.dataset("web"), None, "one", "a");
    let bytes = std::fs::read(host.work().join("a")).unwrap();
    let said = done(receive(&host, "receive --name copy", "a"));
    assert!(!said.contains("more after the end"), "{said}");
    std::fs::write(host.work().join("twice"), bytes.repeat(2)).unwrap();
    let said = done(receive(&host, "receive --name copy2", "twice"));
    assert!(said.contains("more after the end of the stream"), "{said}");
}

#[test]
fn a_guest_with_a_bad_identity_leaves_nothing() {
    let Some(host) = prepared("hostile_datasets::uuid") else { return };
    let web = host.dataset("web");
    let was = host.zfs_get("chyves:uuid", &web);
    set(&host, &web, &["chyves:uuid=xx"]);
    zfs_send(&host, &web, None, "one", "stream");
    set(&host, &web, &[&format!("chyves:uuid={was}")]);
    let before = names(&host);
    let (code, said) = receive(&host, "receive --name evil", "stream");
    assert!(code != 0 && said.contains("uuid"), "{code} {said}");
    assert_eq!(names(&host), before);
    host.ok("list");
}

#[test]
fn an_empty_list_of_what_is_trusted_trusts_nothing() {
    let Some(host) = prepared("hostile_datasets::trust") else { return };
    host.ok("set web qargs=-S");
    zfs_send(&host, &host.dataset("web"), None, "one", "stream");
    done(receive(&host, "receive --name copy", "stream"));
    for line in ["adopt copy --new-identity --trust=", "adopt copy --new-identity --trust=,"] {
        let refused = host.chyves(line).ends(2);
        assert!(refused.err.contains("--trust"), "{}", refused.err);
    }
    host.chyves("adopt copy --new-identity").ends(4);
    host.ok("adopt copy --new-identity --trust");
}

/// Rows as `zfs get` prints them, to be hidden behind a newline of a value.
fn forged(dataset: &str, rows: &[(&str, &str)]) -> String {
    let rows: Vec<String> = rows.iter().map(|(key, value)| format!("\n{dataset}\tchyves:{key}\tlocal\t{value}")).collect();
    rows.concat()
}

#[test]
fn a_row_behind_a_newline_of_a_value_is_believed_by_nobody() {
    let Some(host) = prepared("hostile_datasets::newline") else { return };
    let (copy, owner) = (host.dataset("copy"), host.zfs_get("chyves:host", &format!("{}/chyves", host.pool)));
    let program = format!("-D {} -d in_asm", host.work().join("written").display());
    let rows = [("owner", owner.as_str()), ("uuid", "11111111-2222-4333-8444-555555555555"), ("confine", "off"), ("qargs", &program)];
    host.ok("create evil --disk raw --size 1M loader=bios accel=tcg");
    let evil = host.dataset("evil");
    host.in_folder("evil", |root| std::fs::remove_file(root.join("config.toml")).unwrap());
    host.sh("zfs", &["set", &format!("chyves:notes=x{}", forged(&copy, &rows)), &evil]);
    for key in ["chyves:owner", "chyves:uuid"] {
        host.sh("zfs", &["inherit", key, &evil]);
    }
    zfs_send(&host, &evil, None, "e", "stream");
    host.sh("zfs", &["destroy", "-r", &evil]);
    // As another program receives it: there is no such guest.
    zfs_receive(&host, &copy, "stream");
    let listed: Vec<String> = host.ok("list -H -o name").out.lines().map(str::to_owned).collect();
    assert_eq!(listed, ["web"]);
    for line in ["start copy", "adopt copy --drop-host-settings", "adopt copy --trust", "set copy cpu=2", "info copy", "get copy qargs"] {
        assert_ne!(host.chyves(line).code, 0, "{line}");
    }
    host.ok("start web -n");
    host.sh("zfs", &["destroy", "-r", &copy]);
    // And as chyves does: nothing of it stays.
    let before = names(&host);
    let answer = receive(&host, "receive --name copy", "stream");
    assert_ne!(answer.0, 0, "{}", answer.1);
    assert_eq!(names(&host), before);
    assert!(!host.work().join("written").exists());
    host.ok("repair").says("nothing");
}

#[test]
fn a_snapshot_behind_a_newline_of_a_value_does_not_exist() {
    let Some(host) = prepared("hostile_datasets::newline-snapshot") else { return };
    host.ok("snapshot web@mine");
    let (web, evil) = (host.dataset("web"), host.dataset("evil"));
    host.ok("create evil --disk raw --size 1M loader=bios accel=tcg");
    host.sh("zfs", &["snapshot", &format!("{evil}@e")]);
    // A snapshot of another guest that does not exist, and one that exists as one that chyves has taken while the guest ran.
    let row = |name: &str| format!("{name}\tx\t1\t1\t1\tyes\t{name}");
    let value = format!("x\t{evil}@e\n{}\n{}\n{evil}@e\tx\t1\t1\t1\ty", row(&format!("{web}@forged")), row(&format!("{web}@mine")));
    host.sh("zfs", &["set", &format!("chyves:snapshot.live={value}"), &format!("{evil}@e")]);
    assert_eq!(host.ok("snapshot list web -H -o snapshot").out.trim(), "mine");
    let listed = host.ok("snapshot list all -H -o name");
    assert_eq!(listed.out.lines().collect::<Vec<_>>().len(), 2, "{}", listed.out);
    assert!(!listed.out.contains("forged"), "{}", listed.out);
    host.chyves("snapshot rollback web@forged --yes").ends(3);
    host.chyves("snapshot delete web@forged --yes").ends(3);
    host.ok("snapshot delete web@mine --yes");
}

#[test]
fn a_mount_point_with_a_newline_is_none_of_chyves() {
    let Some(host) = prepared("hostile_datasets::newline-mount") else { return };
    let image = |name: &str| format!("{}/chyves/images/{name}", host.pool);
    let place = elsewhere(&host);
    let home = host.zfs_get("mountpoint", &image("small")).replace("/small", "/evil");
    let up = "/..".repeat(home.matches('/').count() + 1);
    set(&host, &image("small"), &[&format!("mountpoint={home}\n{up}{}", place.display())]);
    zfs_send(&host, &image("small"), None, "evil", "stream");
    host.sh("zfs", &["inherit", "mountpoint", &image("small")]);
    zfs_receive(&host, &image("evil"), "stream");
    for line in ["image verify evil", "create next --image evil --disk raw"] {
        host.chyves(line);
        assert!(!place.exists(), "{line}");
    }
    host.chyves("image verify evil").ends(4).says("would be mounted outside");
}

#[test]
fn what_is_no_pool_of_chyves_stops_nothing() {
    let Some(host) = prepared("hostile_datasets::roots") else { return };
    let root = format!("{}/chyves", host.pool);
    for (name, other) in [("zzz", &root), ("aaa", &root)] {
        let dataset = format!("{}/{name}", host.pool);
        host.sh("zfs", &["create", &dataset]);
        host.sh("zfs", &["set", &format!("chyves:layout=1\n{other}\tchyves:host\tlocal\tx"), &dataset]);
        assert_eq!(host.ok("list -H -o name").out.trim(), "web", "{name}");
        host.ok("set web cpu=1");
        host.destroy(&dataset);
    }
}
