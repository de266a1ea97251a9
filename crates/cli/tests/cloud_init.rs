//! Guests that are set up by cloud-init: made and started in one command, told who they are by a seed that a real guest
//! mounts, recreated at each start and reboot.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, Terminal, With, until};
use std::path::PathBuf;

/// A key pair's public half, and one that is longer than a property may be.
fn keys(host: &Host) -> String {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFuhB9oOXbFg6UftLCS7a3FjWd/F+p2iUEAMLuzJQC2O ann@desk";
    std::fs::write(host.work().join("id_ed25519.pub"), format!("{key}\n")).unwrap();
    std::fs::write(host.work().join("id_ed25519"), "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n").unwrap();
    // The blob of an RSA key of 8,192 bits.
    let number = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let blob = [number(b"ssh-rsa"), number(&[1, 0, 1]), number(&[0x55; 1025])].concat();
    std::fs::write(host.work().join("long.blob"), blob).unwrap();
    let text = host.sh("base64", &["-w", "0", "long.blob"]);
    std::fs::write(host.work().join("long.pub"), format!("# a long one\nssh-rsa {text} big@desk\n")).unwrap();
    key.to_owned()
}

fn seed(host: &Host, guest: &str) -> PathBuf {
    host.run_dir().join(host.value(guest, "uuid")).join("cidata.iso")
}

fn log_in(console: &mut Terminal) {
    console.sees("login:");
    console.types("root\n");
    console.sees("chyves-guest#");
}

#[test]
fn a_guest_made_and_started_in_one_command_reads_who_it_is() {
    let Some(host) = Host::new("cloud_init::one_command", With::Files) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img");
    let key = keys(&host);
    host.ok("create db01 --image linux --loader bios --ram 128M --size 64M --ssh-key id_ed25519.pub --ssh-key long.pub --user ann --start")
        .says("db01: created as")
        .says("db01: running");
    let uuid = host.value("db01", "uuid");
    assert_eq!(host.value("db01", "ci.key0"), key);

    // As a program that has nothing to do with us reads it, and as the guest's kernel does.
    let disc = seed(&host, "db01");
    assert_eq!(host.sh("blkid", &["-p", "-s", "LABEL", "-o", "value", disc.to_str().unwrap()]), "CIDATA\n");
    let first = std::fs::read(&disc).unwrap();
    let mut console = host.console("db01");
    log_in(&mut console);
    console.types("mount -t iso9660 -o ro /dev/vdb /mnt && ls /mnt && cat /mnt/*; mount -o remount,rw /mnt; echo end-$((40+2))\n");
    let seen = console.sees("end-42");
    for text in
        ["meta-data", "network-config", "user-data", &format!("instance-id: \"{uuid}-1\""), "local-hostname: \"db01\"", "version: 2"]
    {
        assert!(seen.contains(text), "{text} in {seen}");
    }
    let command = host.ok("info db01").out;
    let mac = command.split("mac=").nth(1).unwrap().split(',').next().unwrap().to_owned();
    for text in [&mac, &key, "big@desk", "name: \"ann\""] {
        assert!(seen.contains(text), "{text} in {seen}");
    }

    // A reboot of the guest reads the settings as they are then.
    host.ok("cloud-init status db01").says("it runs with the seed of the present settings");
    host.ok("set db01 ci.hostname=db.example.org").says("takes effect at its next start or reboot");
    host.ok("db01 cloud-init").says("it runs with an older seed");
    console.types("reboot\n");
    log_in(&mut console);
    console.types("mount -t iso9660 /dev/vdb /mnt; cat /mnt/meta-data; echo end-$((40+2))\n");
    let seen = console.sees("end-42");
    assert!(seen.contains("db.example.org") && seen.contains(&format!("{uuid}-1")), "{seen}");
    host.ok("unset db01 ci.hostname");
    host.ok("stop db01");
    // Nothing that may hold a secret lies about when nothing runs.
    until("the runtime folder to be gone", || (!disc.exists()).then_some(()));
    host.ok("start db01");
    assert_eq!(std::fs::read(&disc).unwrap(), first, "the same settings are the same bytes");
    host.ok("stop db01 --force --timeout 1");
}

#[test]
fn own_texts_secrets_and_instances_stay_with_the_guest() {
    let Some(host) = Host::new("cloud_init::texts", With::Image) else { return };
    let work = host.work();
    std::fs::write(work.join("hash"), "$6$salt$hash\n").unwrap();
    host.sh("chmod", &["600", "hash"]);
    std::fs::write(work.join("user.yaml"), "#cloud-config\npackages: [nginx]\n").unwrap();
    std::fs::write(work.join("net.yaml"), "version: 1\nconfig: []\n").unwrap();
    host.ok("create web01 --image small --user ann --password-file hash --user-data user.yaml");
    assert!(host.value("web01", "ci.password_file").ends_with("/hash"));
    let all = host.ok("get web01 all").out;
    assert!(!all.contains("$6$"), "{all}");

    for line in ["cloud-init show web01 user-data --decoded", "start -n web01"] {
        host.ok(line)
            .says("name: \"ann\"")
            .says("(from the password file)")
            .says("packages: [nginx]")
            .says("Content-Transfer-Encoding: base64 (decoded here)")
            .is_silent_of("$6$");
    }
    assert_eq!(host.zfs_get("mounted", &host.dataset("web01")), "no");
    // What is shown without that word is what is written.
    let shown =
        host.ok("cloud-init show web01 user-data").says("Content-Transfer-Encoding: base64\n").says("--decoded").is_silent_of("nginx");
    assert!(shown.out.contains("I2Nsb3VkLWNvbmZpZw"), "{}", shown.out);
    host.ok("cloud-init show web01").says("# ---- meta-data").says("# ---- network-config").says("dhcp4: true");
    host.ok("set web01 ci.net0.address=192.0.2.10/24 ci.net0.gateway=192.0.2.1 ci.dns0=192.0.2.53");
    host.ok("cloud-init show web01 network-config")
        .says("to: \"0.0.0.0/0\"")
        .says("via: \"192.0.2.1\"")
        .says("[\"192.0.2.53\"]")
        .is_silent_of("gateway4");
    host.ok("cloud-init set web01 --network-config net.yaml --no-user-data").says("web01: set network-config, user-data");
    host.ok("cloud-init show web01 network-config").says("version: 1");
    host.ok("cloud-init show web01 user-data").is_silent_of("nginx");
    assert_eq!(host.zfs_get("mounted", &host.dataset("web01")), "no");

    let uuid = host.value("web01", "uuid");
    host.ok("cloud-init status web01").says(&format!("instance {uuid}-1,"));
    host.ok("cloud-init reinit web01").says(&format!("instance {uuid}-2"));
    host.ok("cloud-init status web01").says(&format!("instance {uuid}-2,"));
    host.ok("clone web01 web02").says("what only web01 may have is not cloned: ci.net0.address");
    let clone = host.value("web02", "uuid");
    host.ok("cloud-init status web02").says(&format!("instance {clone}-1, host name web02"));
    let answer = host.ok("cloud-init status web01,web02 --json").json();
    assert_eq!(answer[0]["instance-id"], format!("{uuid}-2"));

    // What can't be read is told before anything runs.
    host.sh("chmod", &["644", "hash"]);
    host.chyves("start web01").ends(4).says("can be read by others").says("chmod 600");
    assert_eq!(host.state("web01"), "stopped");
    assert_eq!(host.zfs_get("mounted", &host.dataset("web01")), "no");
}

#[test]
fn what_cloud_init_would_overlook_or_nobody_could_use_is_refused() {
    let Some(host) = Host::new("cloud_init::bad", With::Image) else { return };
    let key = keys(&host);
    let work = host.work();
    std::fs::write(work.join("plain"), "packages: [nginx]\n").unwrap();
    std::fs::write(work.join("bytes"), [0xff, 0xfe, 0]).unwrap();
    for (options, code, what) in [
        ("--ssh-key id_ed25519", 2, "private key"),
        ("--ssh-key nowhere.pub", 3, "there is no file `nowhere.pub`"),
        ("--ssh-key plain", 2, "cannot be used as an SSH key"),
        ("--ssh-key bytes", 2, "not text"),
        ("--user Ann", 2, "not a user's name"),
        ("--hostname a_b", 2, "not a host name"),
        ("--user-data plain", 2, "#cloud-config"),
        ("--password-file hash", 2, "--user"),
        ("ci.net0.address=192.0.2.10", 2, "192.0.2.10/24"),
        ("ci.generation=4", 2, "cloud-init reinit"),
        ("--full --size 1M", 2, "--image"),
        ("--os beos", 2, "expected: one of"),
    ] {
        host.chyves(&format!("create web01 {options}")).ends(code).says(what);
    }
    assert_eq!(host.ok("list -H").out, "");
    host.ok("create web01 --image small");
    host.chyves("cloud-init show web01").ends(4).says("ci.enabled=yes");
    host.chyves("cloud-init reinit web01").ends(4).says("ci.enabled=yes");
    host.ok("cloud-init status web01").says("not set up by cloud-init");
    host.chyves("cloud-init set web01").ends(2).says("nothing is to be set");
    host.ok("set web01 ci.enabled=yes");
    host.chyves("cloud-init show web01 vendor-data").ends(3).says("it has meta-data, network-config, user-data");
    // A key as it is, and one that all guests have.
    host.chyves_words(&["create", "web02", "--image", "small", "--ssh-key", &key]).ends(0);
    host.chyves_words(&["set", "defaults", &format!("ci.key7={key} everywhere")]).ends(0);
    host.ok("cloud-init show web02 user-data").says(&format!("- \"{key}\"")).says("everywhere");
    // A start that fails leaves the guest made, and says so.
    host.chyves("create web03 --image small --start accel=kvm loader=bhyveload")
        .ends(6)
        .says("`web03` was created, and did not start")
        .says("chyves start web03");
    assert_eq!(host.state("web03"), "stopped");
}

#[test]
fn a_full_copy_outlives_its_image() {
    let Some(host) = Host::new("cloud_init::full", With::Image) else { return };
    host.ok("create web01 --image small --size 64M --full --os openbsd").says("created as");
    assert_eq!(host.zfs_get("origin", &host.dataset("web01")), "-");
    assert_eq!(host.value("web01", "os"), "openbsd");
    assert_eq!(host.value("web01", "ram"), "256M");
    host.in_folder("web01", |folder| {
        let disk = std::fs::read(folder.join("disk0.raw")).unwrap();
        assert_eq!(disk.len(), 64 << 20);
        assert!(disk.starts_with(b"no disk that boots\n"));
    });
    let snapshots = host.sh("zfs", &["list", "-H", "-r", "-t", "snapshot", "-o", "name", &host.dataset("web01")]);
    assert_eq!(snapshots.replace("no datasets available\n", ""), "");
    host.ok("create web02 --image small");
    assert_ne!(host.zfs_get("origin", &host.dataset("web02")), "-");
}
