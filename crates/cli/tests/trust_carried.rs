//! What is not trusted does not become so by a way round: another key, a snapshot, the trash, an increment that is refused.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::stream::{done, receive, send};
use common::{Host, With, networks};

/// A guest `v` that another host made with these settings and disks; it was adopted with the trust that is named.
fn adopted(host: &Host, options: &str, more: &[&str], trust: &str) {
    host.ok(&format!("create s --image tiny --full loader=bios accel=tcg autostart=1 {options}"));
    for line in more {
        host.ok(line);
    }
    host.ok("snapshot s@a");
    done(send(host, "send s@a", "a.zfs"));
    host.ok("delete -y s");
    host.ok("trash empty -y");
    done(receive(host, "receive --name v", "a.zfs"));
    host.ok(&format!("adopt v --trust={trust}"));
}

fn is_refused(host: &Host, guest: &str, key: &str) {
    let refused = host.chyves(&format!("start {guest}")).ends(4);
    assert!(refused.err.contains("are not trusted here") && refused.err.contains(key), "{}", refused.err);
}

/// A file of the host of a megabyte.
fn secret(host: &Host) -> String {
    let path = host.work().join("hostfile");
    std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn local(host: &Host, dataset: &str) -> String {
    host.sh("zfs", &["get", "-H", "-s", "local", "-o", "property,value", "all", dataset])
}

#[test]
fn by_another_number_of_the_disk() {
    let Some(host) = Host::new("trust::moved", With::Tiny) else { return };
    let file = secret(&host);
    adopted(&host, "", &[&format!("disk add s --attach {file}")], "autostart");
    is_refused(&host, "v", "disk1.source");
    host.ok("disk move v disk1 disk4");
    is_refused(&host, "v", "disk4.source");
    host.ok("adopt v --trust=disk4.source");
    host.ok("disk move v disk4 disk2");
    // What was trusted stays so.
    host.ok("start v --dry-run");
    host.ok("delete -y v");
    host.ok("trash empty -y");
}

#[test]
fn by_a_snapshot_in_which_the_disk_is_written() {
    let Some(host) = Host::new("trust::access", With::Tiny) else { return };
    let file = secret(&host);
    let more = [&format!("disk add s --attach {file}"), "snapshot s@old", "disk set s disk1 options=ro", "snapshot s@now"];
    host.ok("create s --image tiny --full loader=bios accel=tcg");
    for line in more {
        host.ok(line);
    }
    let sent = host.command("sh").args(["-c", &format!("zfs send -p -R {}@now >R.zfs", host.dataset("s"))]).status().unwrap();
    assert!(sent.success());
    host.ok("delete -y s");
    host.ok("trash empty -y");
    done(receive(&host, "receive --name v", "R.zfs"));
    host.chyves("adopt v -n").says("reads it");
    host.ok("adopt v --trust=disk1.source");
    host.ok("start v --dry-run");
    host.ok("snapshot rollback v@old -y");
    is_refused(&host, "v", "disk1.source");
    host.chyves("adopt v").ends(4).says("writes it");
    // Options that an administrator sets are as good as a decision on the source, for one that is trusted.
    host.ok("disk set v disk1 options=ro");
    host.ok("start v --dry-run");
    host.ok("disk set v disk1 options=nocache");
    host.ok("start v --dry-run");
}

#[test]
fn by_the_trash() {
    let Some(host) = Host::new("trust::trash", With::Tiny) else { return };
    let file = secret(&host);
    host.ok("create g --image tiny loader=bios accel=tcg");
    host.ok("disk add g 1M");
    host.ok("disk set g disk1 notes=mine");
    host.ok("disk remove g disk1 -y");
    let listed = host.sh("zfs", &["list", "-H", "-r", "-o", "name", &format!("{}/chyves/trash", host.pool)]);
    let trashed = listed.lines().last().unwrap().to_owned();
    for pair in ["chyves:disk1.kind=attached".to_owned(), format!("chyves:disk1.source={file}")] {
        host.sh("zfs", &["set", &pair, &trashed]);
    }
    host.ok(&format!("undelete {}", trashed.rsplit_once('/').unwrap().1));
    let own = local(&host, &host.dataset("g"));
    assert!(own.contains("chyves:disk1.kind\traw") && own.contains("chyves:disk1.notes\tmine"), "{own}");
    assert!(!own.contains(&file) && !own.contains("trusted"), "{own}");
    host.ok("start g --dry-run");
}

#[test]
fn by_an_increment_that_is_refused() {
    let Some(host) = Host::new("trust::increment", With::Tiny) else { return };
    host.ok("create s --image tiny --full loader=bios accel=tcg qargs='-name evil' confine=off autostart=1");
    host.ok("snapshot s@a");
    done(send(&host, "send s@a", "a.zfs"));
    let dataset = host.dataset("s");
    for pair in ["uuid=nonsense", "owner=other", "qargs=x", "confine=full", "rcboot=0"] {
        host.sh("zfs", &["set", &format!("chyves:{pair}"), &dataset]);
    }
    host.sh("zfs", &["snapshot", &format!("{dataset}@c")]);
    let sent = host.command("sh").args(["-c", &format!("zfs send -p -i @a {dataset}@c >c.zfs")]).status().unwrap();
    assert!(sent.success());
    host.sh("zfs", &["destroy", "-r", &dataset]);
    done(receive(&host, "receive --name v", "a.zfs"));
    let before = host.ok("adopt v --dry-run --trust").out;
    let (code, said) = receive(&host, "receive --name v", "c.zfs");
    assert!(code != 0 && said.contains("uuid"), "{said}");
    // Everything is as it was, and still nobody's.
    let refused = host.chyves("start v").ends(4);
    assert!(refused.err.contains("received with a stream"), "{}", refused.err);
    let after = host.ok("adopt v --dry-run --trust").out;
    for part in ["qargs", "-name evil", "confine", "off"] {
        assert!(before.contains(part) && after.contains(part), "{part}:\n{before}\n{after}");
    }
    host.chyves("adopt v").ends(4).says("qargs");
}

#[test]
fn by_a_bridge_that_replaces_another() {
    let Some(host) = networks::host("trust::migrated", With::Tiny) else { return };
    for bridge in ["br0", "br1"] {
        host.ok(&format!("network private {bridge} -y"));
    }
    adopted(&host, "net0.bridge=br0", &[], "autostart");
    is_refused(&host, "v", "net0.bridge=br0");
    host.ok("network migrate br0 br1 -y");
    is_refused(&host, "v", "net0.bridge=br1");
    let own = local(&host, &host.dataset("v"));
    assert!(!own.contains("trusted.net0"), "{own}");
}

#[test]
fn by_a_pool_of_another_host() {
    let Some(host) = Host::new("trust::pool", With::Image) else { return };
    let (own, other) = (host.pool.clone(), host.second_pool());
    let root = format!("{other}/chyves");
    host.ok(&format!("pool init {other}"));
    host.ok(&format!("create evil,gone --size 1M --pool {other} loader=bios accel=tcg qargs='-name evil' confine=off autostart=1"));
    host.ok("delete gone -y");
    // The pool is another host's, and names this one as the owner of its guests.
    let elsewhere = "33333333-3333-4333-8333-333333333333";
    host.sh("zfs", &["set", &format!("chyves:host={elsewhere}"), &root]);
    host.chyves("list").says("foreign");
    for line in ["start evil", "adopt evil --trust", &format!("create new1 --size 1M --pool {other} loader=bios")] {
        let refused = host.chyves(line).ends(4);
        assert!(refused.err.contains(elsewhere), "{line}: {}", refused.err);
    }
    // It becomes this host's, and what is on it does not by that.
    host.sh("zfs", &["set", "chyves:qargs=-S", &format!("{root}/guests")]);
    host.chyves(&format!("pool online {other}")).ends(4).says("qargs=-S").says("zfs inherit chyves:qargs");
    host.sh("zfs", &["inherit", "chyves:qargs", &format!("{root}/guests")]);
    host.ok(&format!("pool online {other}"));
    host.chyves("start evil").ends(4);
    host.chyves("adopt evil").ends(4).says("qargs");
    host.ok("undelete gone");
    host.chyves("start gone").ends(4);
    host.ok("adopt evil --drop-host-settings");
    host.ok("start evil --dry-run");
    // Where two pools disagree about which host this is, the choice has to be confirmed.
    host.sh("zfs", &["set", &format!("chyves:host={elsewhere}"), &root]);
    host.sh("zfs", &["set", "chyves:role=primary", &root]);
    let asks = host.chyves(&format!("pool promote {other}"));
    assert!(asks.code != 0 && asks.err.contains("--yes") && asks.err.contains("their settings are trusted"), "{}", asks.err);
    host.ok(&format!("pool promote {own} --yes"));
    host.chyves("start gone").ends(4);
}
