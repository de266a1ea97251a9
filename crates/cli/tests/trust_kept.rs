//! A value that a command writes although nobody typed it keeps the trust that it had: disks under other numbers, disks from the
//! trash, networks that are replaced.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, networks};
use std::process::Stdio;

fn own(host: &Host, guest: &str, key: &str) -> String {
    host.sh("zfs", &["get", "-H", "-o", "value", &format!("chyves:{key}"), &host.dataset(guest)]).trim().to_owned()
}

/// The trust records of a guest, by their stored names.
fn records(host: &Host, dataset: &str) -> Vec<String> {
    let all = host.sh("zfs", &["get", "-H", "-s", "local", "-o", "property", "all", dataset]);
    let mut records: Vec<String> = all.lines().filter(|line| line.starts_with("chyves:trusted.")).map(str::to_owned).collect();
    records.sort();
    records
}

/// Sends a guest away and receives it under the same name, and trusts only what these keys name.
fn came(host: &Host, guest: &str, trusted: &str) {
    let stream = host.command(common::PROGRAM).args(["send", guest]).output().unwrap().stdout;
    host.ok(&format!("delete {guest} --yes --now"));
    let mut child =
        host.command(common::PROGRAM).args(["receive", "--name", guest]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let written = std::io::Write::write_all(&mut child.stdin.take().unwrap(), &stream);
    assert!(child.wait().unwrap().success() && written.is_ok());
    host.ok(&format!("adopt {guest} --trust={trusted}"));
}

/// A value of each class that reaches the host, as a sender chooses them.
const CAME: [(&str, &str); 10] = [
    ("qargs", "-S"),
    ("tpm", "passthru,/dev/tpm0"),
    ("vnc_address", "0.0.0.0"),
    ("ci.password_file", "/etc/shadow"),
    ("bridge", "lan"),
    ("net0.bridge", "lan"),
    ("net0.vlan", "7"),
    ("confine", "off"),
    ("disk1.kind", "attached"),
    ("disk1.source", "/etc/shadow"),
];

#[test]
fn no_command_trusts_a_value_that_nobody_typed() {
    let Some(host) = Host::new("trust_kept::all", With::Image) else { return };
    let other = host.second("");
    host.ok("create web --image small loader=bios autostart=1");
    host.ok("disk add web 1M --number 2");
    for (key, value) in CAME {
        host.sh("zfs", &["set", &chyves_core::property::settings::zfs_pair(key, value), &host.dataset("web")]);
    }
    came(&host, "web", "autostart");
    let before = records(&host, &host.dataset("web"));
    assert_eq!(before, ["chyves:trusted.rcboot"]);
    let keys = || CAME.iter().map(|(key, _)| *key).filter(|key| key.rsplit('.').next() != Some("kind"));
    // Nothing more is trusted, and all that was untrusted still keeps the guest from starting.
    let holds = |guest: &str, dataset: &str, line: &str, disk: &str| {
        assert_eq!(records(&host, dataset), before, "{line}");
        let refused = host.chyves(&format!("start {guest} -n")).ends(4);
        let said = format!("{}{}", refused.out, refused.err);
        for key in keys().map(|key| key.replace("disk1.", disk)) {
            assert!(said.contains(&format!("{key}=")), "{line}: {key}: {said}");
        }
    };
    holds("web", &host.dataset("web"), "adopt", "disk1.");
    for line in [
        "disk move web disk1 disk4",
        "set web notes=x",
        "unset web notes",
        "disk set web disk4 options=ro",
        "disk add web 1M --number 7",
        "disk resize web disk7 2M",
        "disk move web disk7 disk8",
        "image rename small tiny",
        "snapshot web@now",
        "snapshot rollback web@now --yes",
        "rename web old",
        "rename old web",
    ] {
        host.ok(line);
        let name = if line.starts_with("rename web") { "old" } else { "web" };
        holds(name, &host.dataset(name), line, "disk4.");
    }
    // Without the attached disk, which is not cloned.
    for line in ["clone web twin", "clone web@now copy --independent"] {
        host.ok(line);
        let name = line.split(' ').nth(2).unwrap();
        assert!(records(&host, &host.dataset(name)).iter().all(|record| before.contains(record)), "{line}");
        host.chyves(&format!("start {name} -n")).ends(4).says("qargs=").says("net0.bridge=");
    }
    host.ok("promote twin");
    holds("web", &host.dataset("web"), "promote", "disk4.");
    host.ok("promote web");
    host.ok("delete twin --yes --now");
    // A value that is trusted stays so under its other number, and nothing else gets that trust.
    host.ok("adopt web --trust=disk4.source");
    host.ok("disk move web disk4 disk5");
    assert_eq!(records(&host, &host.dataset("web")), ["chyves:trusted.disk5.source", "chyves:trusted.rcboot"]);
    host.chyves("start web -n").ends(4).is_silent_of("disk5.source=").says("qargs=");
    host.ok("disk remove web disk5 --yes");
    assert_eq!(records(&host, &host.dataset("web")), before);
    // What is typed is trusted at once.
    std::fs::write(host.work().join("typed.img"), vec![0; 1 << 20]).unwrap();
    host.ok("disk add web --attach ./typed.img --number 5");
    assert_eq!(records(&host, &host.dataset("web")), ["chyves:trusted.disk5.source", "chyves:trusted.rcboot"]);
    host.ok("delete web --yes");
    host.ok("undelete web");
    host.ok(&format!("move web --pool {other}"));
    let moved = format!("{other}/chyves/guests/web");
    assert_eq!(records(&host, &moved), ["chyves:trusted.disk5.source", "chyves:trusted.rcboot"]);
    host.chyves("start web -n").ends(4).is_silent_of("disk5.source=").says("qargs=");
}

/// A dataset in the trash may be a copy from elsewhere: its content is the disk, whatever settings it has.
#[test]
fn a_disk_from_the_trash_brings_nothing_that_reaches_the_host() {
    let Some(host) = Host::new("trust_kept::trash", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    host.ok("disk add web 1M bus=nvme description=data");
    let trashed = || format!("{}/chyves/trash/{}", host.pool, host.ok("trash list -H -o identity").value());
    for (listed, restore) in [(false, "undelete IDENTITY"), (true, "undelete IDENTITY"), (true, "disk add web --from-trash IDENTITY")] {
        if listed && records(&host, &host.dataset("web")).is_empty() {
            host.ok("set web autostart=1");
            came(&host, "web", "autostart");
        }
        let before = records(&host, &host.dataset("web"));
        host.ok("disk remove web disk1 --yes");
        let dataset = trashed();
        for value in ["kind=attached", "source=/etc/shadow"] {
            host.sh("zfs", &["set", &format!("chyves:disk1.{value}"), &dataset]);
        }
        // A value that cannot be used is named where it is stored.
        host.sh("zfs", &["set", "chyves:disk1.options=nonsense", &dataset]);
        let line = restore.replace("IDENTITY", dataset.rsplit('/').next().unwrap());
        let cure = format!("zfs inherit chyves:disk1.options {dataset}");
        host.chyves(&line).ends(2).says("options").says(&cure).is_silent_of("chyves set web disk1.options");
        host.sh("zfs", &cure.split(' ').skip(1).collect::<Vec<_>>());
        host.ok(&line);
        let now = ["kind", "source", "bus", "description"].map(|part| own(&host, "web", &format!("disk1.{part}")));
        assert_eq!(now, ["raw", "-", "nvme", "data"], "{line}");
        assert_eq!(records(&host, &host.dataset("web")), before, "{line}");
        host.ok("start web -n").is_silent_of("/etc/shadow");
        host.ok("trash list").says("the trash is empty");
    }
}

/// Membership of a network that nobody accepted is not accepted by moving everything of it to another one.
#[test]
fn a_migrated_network_is_trusted_as_the_former_was() {
    let Some(host) = networks::host("trust_kept::migrate", With::Image) else { return };
    for bridge in ["br0", "br1"] {
        host.ok(&format!("network private {bridge} --yes"));
    }
    for (guest, trusted) in [("web", "autostart"), ("db", "autostart,net0.bridge")] {
        host.ok(&format!("create {guest} --image small loader=bios net0.bridge=br0 autostart=1"));
        came(&host, guest, trusted);
    }
    host.ok("create own --image small loader=bios net0.bridge=br0");
    host.ok("network migrate br0 br1 --yes");
    for guest in ["web", "db", "own"] {
        assert_eq!(own(&host, guest, "net0.bridge"), "br1", "{guest}");
    }
    assert_eq!(records(&host, &host.dataset("web")), ["chyves:trusted.rcboot"]);
    host.chyves("start web -n").ends(4).says("net0.bridge=br1");
    assert_eq!(records(&host, &host.dataset("db")), ["chyves:trusted.net0.bridge", "chyves:trusted.rcboot"]);
    assert!(records(&host, &host.dataset("own")).is_empty());
    for guest in ["db", "own"] {
        host.ok(&format!("start {guest} -n"));
    }
}
