//! Facts that chyves has recorded of a guest, changed behind its back, against every command: nothing is lost, and the truth
//! is reported (`common::drift`). Of the host's networks: `drift_networks`; of volumes: `volumes`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::drift::Told::{AsBefore, Says};
use common::drift::{Fact, commands, mark, matrix, run, running};
use common::networks::{self, NIC};
use common::stream::{done, receive, send};
use common::{Host, With, until};
use std::process::Stdio;

fn length(host: &Host, guest: &str, disk: &str, size: u64) {
    host.in_folder(guest, |folder| std::fs::File::options().write(true).open(folder.join(disk)).unwrap().set_len(size).unwrap());
}

/// Takes the file of a disk away.
fn vanishes(host: &Host, guest: &str) {
    let to = host.work().join("taken.raw");
    host.in_folder(guest, |folder| {
        std::fs::copy(folder.join("disk1.raw"), to).unwrap();
        std::fs::remove_file(folder.join("disk1.raw")).unwrap();
    });
}

/// A disk gets longer, and something is written there.
fn grows(host: &Host, guest: &str) {
    length(host, guest, "disk1.raw", 4 << 20);
    host.in_folder(guest, |folder| mark(&folder.join("disk1.raw"), (4 << 20) - 32, "far-behind-disk1"));
}

/// The hypervisor of a guest ends as by a crash.
fn dies(host: &Host, guest: &str) {
    host.kill(host.pids(guest).0);
    until("the crash to be seen", || (host.state(guest) == "crashed").then_some(()));
}

#[test]
fn no_verb_is_missing() {
    let Some(host) = Host::new("drift::verbs", With::Pool) else { return };
    commands::are_whole(&host);
}

#[test]
fn the_size_and_kind_of_a_disk() {
    matrix(
        "drift::sizes",
        &[
            Fact { name: "a disk is larger than recorded", change: grows, told: Says("disk list GUEST", "4M (recorded: 1M)") },
            Fact {
                name: "a disk is smaller than recorded",
                change: |host, guest| length(host, guest, "disk1.raw", 512 << 10),
                told: Says("disk list GUEST", "512K (recorded: 1M)"),
            },
            Fact {
                name: "the kind of a disk is another one",
                change: |host, guest| drop(host.sh("zfs", &["set", "chyves:disk1.kind=zvol", &host.dataset(guest)])),
                told: Says("disk list GUEST", "a file of 1M (recorded: a volume of 1M)"),
            },
        ],
    );
}

#[test]
fn the_presence_of_a_disk() {
    matrix(
        "drift::presence",
        &[
            Fact { name: "the file of a disk is gone", change: vanishes, told: Says("disk list GUEST", "missing (recorded") },
            Fact {
                name: "a file has the name of the next disk",
                change: |host, guest| host.in_folder(guest, |folder| mark(&folder.join("disk2.raw"), 0, "of-somebody-else")),
                told: Says("disk list GUEST", "disk2.raw of"),
            },
            Fact {
                name: "a link has the name of a disk",
                change: |host, guest| {
                    let to = host.work().join("theirs.raw");
                    std::fs::write(&to, vec![0; 1 << 20]).unwrap();
                    mark(&to, (1 << 20) - 32, "of-somebody-else");
                    host.in_folder(guest, |folder| {
                        std::fs::rename(folder.join("disk1.raw"), folder.join("kept.raw")).unwrap();
                        std::os::unix::fs::symlink(&to, folder.join("disk1.raw")).unwrap();
                    });
                },
                told: Says("disk list GUEST", "a symbolic link has its name"),
            },
        ],
    );
}

#[test]
fn the_place_and_the_owner_of_a_guest() {
    matrix(
        "drift::place",
        &[
            Fact {
                name: "the mount point is another one",
                change: |host, guest| {
                    let to = host.mount_point().join(format!("elsewhere-{guest}"));
                    host.sh("zfs", &["set", &format!("mountpoint={}", to.display()), &host.dataset(guest)]);
                },
                told: Says("info GUEST", "elsewhere-"),
            },
            Fact {
                name: "another dataset has the name of the guest",
                change: |host, guest| {
                    host.sh("zfs", &["rename", &host.dataset(guest), &format!("{}/{guest}-aside", host.pool)]);
                    host.sh("zfs", &["create", "-o", "canmount=noauto", &host.dataset(guest)]);
                    host.in_folder(guest, |folder| mark(&folder.join("notes"), 0, "of-somebody-else"));
                },
                told: Says("info GUEST", "no guest"),
            },
            Fact {
                name: "the guest is owned by another host",
                change: |host, guest| {
                    host.sh("zfs", &["set", "chyves:owner=00000000-0000-4000-8000-000000000001", &host.dataset(guest)]);
                },
                told: Says("info GUEST", "foreign"),
            },
            Fact {
                name: "the identity of the guest is another one",
                change: |host, guest| {
                    host.sh("zfs", &["set", "chyves:uuid=00000000-0000-4000-8000-000000000002", &host.dataset(guest)]);
                },
                told: Says("info GUEST", "00000000-0000-4000-8000-000000000002"),
            },
            Fact {
                name: "a snapshot is another one of the same name",
                change: |host, guest| {
                    let name = format!("{}@base", host.dataset(guest));
                    host.sh("zfs", &["destroy", &name]);
                    host.sh("zfs", &["snapshot", &name]);
                },
                told: Says("snapshot list GUEST -H -o snapshot,by", "base\tother"),
            },
        ],
    );
}

#[test]
fn the_image_the_firmware_and_the_copy_of_the_settings() {
    matrix(
        "drift::others",
        &[
            Fact {
                name: "the firmware variables are of another size",
                change: |host, guest| {
                    host.ok(&format!("set {guest} loader=uefi"));
                    host.in_folder(guest, |folder| std::fs::write(folder.join("uefi-vars.fd"), "of-somebody-else").unwrap());
                },
                told: Says("start GUEST", "the UEFI variables of `told` are those of another firmware"),
            },
            Fact {
                name: "the image of the guest is gone",
                change: |host, guest| {
                    host.sh("zfs", &["set", "chyves:image=gone", &host.dataset(guest)]);
                    host.sh("zfs", &["set", "chyves:loader=uefi", &host.dataset(guest)]);
                    host.sh("zfs", &["set", "chyves:uefi_firmware=gone", &host.dataset(guest)]);
                },
                told: Says("info GUEST", "no firmware image is called `gone`"),
            },
            Fact {
                name: "the copy of the settings is another one",
                change: |host, guest| {
                    host.in_folder(guest, |folder| std::fs::write(folder.join("config.toml"), "\"disk0.size\" = \"9G\"\n").unwrap())
                },
                told: AsBefore("info GUEST"),
            },
        ],
    );
}

#[test]
fn a_guest_that_runs() {
    let Some(host) = networks::host("drift::running", With::Tiny) else { return };
    running::matrix(
        &host,
        NIC,
        &[
            Fact {
                name: "a disk of a running guest is larger than recorded",
                change: grows,
                told: Says("disk list GUEST", "4M (recorded: 1M)"),
            },
            Fact {
                name: "the file of a disk of a running guest is gone",
                change: vanishes,
                told: Says("disk list GUEST", "missing (recorded"),
            },
            Fact {
                name: "a setting of a running guest is another one",
                change: |host, guest| drop(host.sh("zfs", &["set", "chyves:ram=48M", &host.dataset(guest)])),
                told: Says("info GUEST", "32M, 48M after the next start"),
            },
            Fact {
                name: "a running guest is owned by another host",
                change: |host, guest| {
                    host.sh("zfs", &["set", "chyves:owner=00000000-0000-4000-8000-000000000001", &host.dataset(guest)]);
                },
                told: Says("info GUEST", "foreign"),
            },
            Fact {
                name: "the tap of a running guest is out of its bridge",
                change: |host, guest| drop(host.sh("ip", &["link", "set", "dev", &networks::tap(host, guest).unwrap(), "nomaster"])),
                told: Says("network check", "is in no bridge instead of lan"),
            },
            Fact { name: "the hypervisor of a guest was killed", change: dies, told: Says("info GUEST", "crash") },
        ],
    );
}

#[test]
fn a_guest_that_runs_on_freebsd() {
    let Some(host) = Host::freebsd("drift::running_freebsd", With::Tiny, &["release=14.3", "nics=em0"]) else { return };
    running::matrix(
        &host,
        "--image tiny --ram 64M",
        &[
            Fact {
                name: "FreeBSD: a disk of a running guest is larger than recorded",
                change: grows,
                told: Says("disk list GUEST", "4M (recorded: 1M)"),
            },
            Fact {
                name: "FreeBSD: the firmware variables of a running guest are others",
                change: |host, guest| host.in_folder(guest, |folder| mark(&folder.join("uefi-vars.fd"), 64, "of-somebody-else")),
                told: AsBefore("info GUEST"),
            },
            Fact {
                name: "FreeBSD: the tap of a running guest is out of its bridge",
                change: |host, _| {
                    // Only one guest runs, and a bridge is in the group as well.
                    let group = host.sh("ifconfig", &["-g", "chyves"]);
                    host.sh("ifconfig", &["lan", "deletem", group.lines().find(|name| name.starts_with("chv")).unwrap()]);
                },
                told: Says("network check", "is in no bridge instead of lan"),
            },
            Fact { name: "FreeBSD: the hypervisor of a guest was killed", change: dies, told: Says("info GUEST", "crash") },
        ],
    );
}

/// What is asked to change a foreign guest, and may.
const CHANGES_FOREIGN: [&str; 3] = ["adopt GUEST", "delete GUEST", "snapshot delete GUEST@base"];

/// More that reads the files of a guest, or would.
const READS_MORE: [&str; 6] = [
    "disk list",
    "get GUEST disk0.size",
    "list -o name,disk0.size",
    "set GUEST ci.reader=nuageinit",
    "set defaults ci.reader=nuageinit --dry-run",
    "disk resize GUEST disk0 +1M --dry-run",
];

#[test]
fn a_received_guest_takes_increments_after_every_command() {
    let Some(host) = Host::new("drift::received", With::Image) else { return };
    let other = host.second("");
    host.ok("create web --size 1M loader=bios ci.user=ann");
    host.ok("snapshot web@base");
    done(send(&host, "send web@base", "whole"));
    done(receive(&host, &format!("receive --name cc --pool {other}"), "whole"));
    let (from, into) = (host.dataset("web"), format!("{other}/chyves/guests/cc"));
    let snapshot = |name: &str| drop(host.sh("zfs", &["snapshot", &format!("{from}@{name}")]));
    let dry = commands::OFF.iter().filter(|line| !line.contains("--dry-run")).map(|line| format!("{line} --dry-run"));
    let wet = commands::OFF.iter().chain(&READS_MORE).filter(|line| !CHANGES_FOREIGN.contains(line)).map(|line| (*line).to_owned());
    let mut last = "base".to_owned();
    for (number, line) in dry.chain(wet).enumerate() {
        run(&host, &line, "cc");
        // By ZFS itself, which does not receive onto a changed file system. zfs-fuse ends with 1 even after it received.
        let next = format!("n{number}");
        snapshot(&next);
        let stream = host.command("zfs").args(["send", "-i", &format!("@{last}"), &format!("{from}@{next}")]).output().unwrap().stdout;
        std::fs::write(host.work().join("more"), stream).unwrap();
        let stream = std::fs::File::open(host.work().join("more")).unwrap();
        let received = host.command("zfs").args(["receive", "-u", &into]).stdin(Stdio::from(stream)).output().unwrap();
        let there = host.command("zfs").args(["list", &format!("{into}@{next}")]).output().unwrap().status.success();
        assert!(there, "after `{line}`: {}", String::from_utf8_lossy(&received.stderr));
        last = next;
    }
    host.ok("disk list cc").says("1M");
    host.ok("snapshot web@last");
    done(send(&host, &format!("send web@last --from @{last}"), "last"));
    done(receive(&host, "receive --name cc", "last"));

    // Changed by another program, it is made what it was by a command that names the snapshot.
    host.in_dataset(&into, |folder| std::fs::write(folder.join("more"), "more").unwrap());
    host.ok("snapshot web@more");
    done(send(&host, "send web@more --from @last", "more"));
    let (code, said) = receive(&host, "receive --name cc", "more");
    assert!(code == 1 && said.contains(&format!("zfs rollback {into}@last")), "{said}");
}
