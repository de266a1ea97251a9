//! A Debian with the real cloud-init as a guest: what the settings say is so in it, at its first boot, after a reboot and
//! as a new instance.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, Terminal, With};

/// Names the disk that scripts/test-cloud-init makes.
const DEBIAN: &str = "CHYVES_TEST_DEBIAN";

/// `chyves`, as crypt(3) hashes it with SHA-512.
const HASH: &str = "$6$chyveschyves$30DhLqkIJJpCk8/Lehi3Isku56saZNcB4Qt5Aaxkv.a5Scl3OJNRuEmVvZe.19/F7NrKLf0og0bz7BM7TkRJ8/";

/// The user's own, once for each instance.
const USER_DATA: &str = "#cloud-config\nruncmd:\n  - [sh, -c, \"echo instance >>/root/instances\"]\n";

/// Logs in as the user that the settings name, and becomes able to look everywhere.
fn log_in(console: &mut Terminal, host_name: &str) {
    console.sees(&format!("{host_name} login:"));
    console.types("ann\r");
    console.sees("Password:");
    console.types("chyves\r");
    console.sees("ann@");
    // One line an answer, whatever the terminal's width.
    console.types("stty -echo cols 200; PS1='$'; exec sudo -n sh\r");
    console.sees("# ");
}

/// The answer of a line, which has no quotes of its own in it.
fn ask(console: &mut Terminal, line: &str) -> String {
    console.types(&format!("echo \"@@$({line})@@\"\r"));
    console.sees("@@");
    console.sees("@@").trim_end_matches("@@").replace('\r', "")
}

/// Waits for its last stage; by our seed it did all without an error, as this instance, and the user's commands once for each.
fn is_done(console: &mut Terminal, instance: &str, instances: usize) {
    let status = ask(console, "cloud-init status --wait");
    assert!(status.ends_with("status: done"), "{status}: {}", ask(console, "cat /run/cloud-init/result.json"));
    let result = ask(console, "cat /run/cloud-init/result.json");
    assert!(result.contains("DataSourceNoCloud [seed=/dev/vdb]") && result.contains("\"errors\": []"), "{result}");
    assert_eq!(ask(console, "cat /var/lib/cloud/data/instance-id"), instance);
    assert_eq!(ask(console, "wc -l </root/instances"), instances.to_string());
}

#[test]
fn a_real_cloud_init_does_what_the_settings_say() {
    let test = "cloud_guest::debian";
    let Some(image) = std::env::var_os(DEBIAN) else {
        Host::lacks(test, "no Debian with cloud-init was made (scripts/test-cloud-init creates one)");
        return;
    };
    let Some(host) = Host::sized(test, With::Files, "4G") else { return };
    host.ok(&format!("pool init {}", host.pool));
    std::fs::copy(image, host.work().join("debian.img")).unwrap();
    host.ok("image import ./debian.img");
    std::fs::write(
        host.work().join("key.pub"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFuhB9oOXbFg6UftLCS7a3FjWd/F+p2iUEAMLuzJQC2O ann@desk\n",
    )
    .unwrap();
    std::fs::write(host.work().join("hash"), format!("{HASH}\n")).unwrap();
    host.sh("chmod", &["600", "hash"]);
    std::fs::write(host.work().join("user.yaml"), USER_DATA).unwrap();
    host.ok("create db01 --image debian --loader bios --ram 512M --size 2G --user ann --ssh-key key.pub --password-file hash --user-data user.yaml");
    host.ok(
        "set db01 ci.hostname=db.example.org ci.net0.address=10.0.2.77/24 ci.net0.gateway=10.0.2.2 ci.dns0=10.0.2.3 ci.search0=example.org",
    );
    let uuid = host.value("db01", "uuid");
    host.ok("start db01");
    let mut console = host.console("db01");
    log_in(&mut console, "db");
    is_done(&mut console, &format!("{uuid}-1"), 1);
    assert_eq!(ask(&mut console, "hostname -f"), "db.example.org");
    assert_eq!(ask(&mut console, "getent hosts db | cut -d ' ' -f 1"), "127.0.1.1");
    assert!(ask(&mut console, "cat /home/ann/.ssh/authorized_keys").ends_with("ann@desk"));
    let mac = host.ok("info db01").out.split("mac=").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let nic = ask(&mut console, &format!("ip -o link | grep -F {mac} | cut -d ' ' -f 2 | tr -d :"));
    assert!(ask(&mut console, &format!("ip -o -4 address show dev {nic}")).contains(" 10.0.2.77/24 "));
    assert!(ask(&mut console, "ip route show default").contains(&format!("via 10.0.2.2 dev {nic}")));
    let network = ask(&mut console, &format!("cat /etc/systemd/network/10-cloud-init-{nic}.network"));
    assert!(network.contains("DNS=10.0.2.3") && network.contains("Domains=example.org"), "{network}");
    // The file system has grown with the disk.
    let blocks: u64 = ask(&mut console, "stat -f -c %b /").parse().unwrap();
    assert!(blocks * 4096 > 1_700 << 20, "{blocks} blocks of 4 KiB");

    // A reboot is the same instance; a new one has everything done again.
    console.types("reboot\r");
    log_in(&mut console, "db");
    is_done(&mut console, &format!("{uuid}-1"), 1);
    host.ok("stop db01");
    drop(console);
    host.ok("cloud-init reinit db01");
    host.ok("set db01 ci.hostname=db2.example.org");
    host.ok("start db01");
    let mut console = host.console("db01");
    log_in(&mut console, "db2");
    is_done(&mut console, &format!("{uuid}-2"), 2);
    host.ok("stop db01");
    drop(console);
    host.nothing_is_left();
}
