//! What `set` accepts a start can use: whole guests are validated wherever settings are changed.

mod common;

use common::{Host, With, until};

#[test]
fn what_no_start_can_use_is_refused_everywhere() {
    let Some(host) = Host::new("settings::refused", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    host.ok("create odd --image small loader=bios cpu=3");
    let before = host.tree();
    let bad = [
        "com0=/dev/nmdm1A",
        "com5=/dev/nmdm1A",
        "disk0.pci=0:0",
        "disk0.pci=31:0",
        "net0.pci=31:7",
        "net0.pci=4:4:0",
        "net0.pci=2:0 vnc=on",
        "cpu=3 cpu_sockets=2",
        "cpu_threads=2",
        "ci.net0.gateway=2001:db8::1",
        "ci.net0.gateway=192.0.2.1",
        "ci.net5.address=192.0.2.9/24",
        "com2=/dev/nmdm-web.1A",
        "com2=/dev/nmdm7A com3=/dev/nmdm7A",
        "disk0.options=bootindex=4294967295",
        "ram=1073741824",
    ];
    for settings in bad {
        host.chyves(&format!("set web {settings}")).ends(2);
        if !settings.starts_with("com2") {
            host.chyves(&format!("create new-one --image small loader=bios {settings}")).ends(2);
        }
    }
    host.chyves("clone web new-one cpu=3 cpu_sockets=2").ends(2);
    host.chyves("set defaults cpu=3 cpu_sockets=2").ends(2);
    host.chyves("set defaults cpu_threads=2").ends(2).says("2 guests could not start: odd web");
    host.chyves("set global cpu=3 cpu_sockets=2").ends(2);
    host.chyves("set global bridge3.vlan=7").ends(2).says("of no uplink");
    assert_eq!(host.tree(), before);
    // A new guest inherits; where the defaults are wrong by hand, it is told so before it is made.
    host.sh("zfs", &["set", "chyves:cpu_threads=2", &format!("{}/chyves/guests", host.pool)]);
    host.chyves("create new-one --image small loader=bios").ends(2).says("1 processor");
    host.ok("create new-one --image small loader=bios cpu=2");
    // What is wrong already is cured step by step, defaults and guests alike.
    host.ok("set web notes=x");
    host.ok("unset defaults cpu_threads");
    host.ok("start web -n");
}

#[test]
fn renamed_properties_keep_their_names_on_the_pool() {
    let Some(host) = Host::new("settings::renamed", With::Image) else { return };
    host.ok("create web --image small loader=bios uefi_console_output=vnc eject_iso_on_n_reboot=2");
    let web = host.dataset("web");
    let stored = |key: &str| host.sh("zfs", &["get", "-H", "-o", "value", &format!("chyves:{key}"), &web]).trim().to_owned();
    assert_eq!((stored("uefi_console_output"), stored("eject_iso_on_n_reboot")), ("vnc".to_owned(), "2".to_owned()));
    assert_eq!((host.value("web", "vnc"), host.value("web", "uefi_console_output")), ("on".to_owned(), "on".to_owned()));
    host.ok("get web all").says("iso_eject_after_reboots").is_silent_of("eject_iso_on_n_reboot");
    // An older program's snapshots, copies and streams have the same names.
    host.ok("snapshot web@then");
    host.ok("set web vnc=off autostart=yes");
    assert_eq!((stored("uefi_console_output"), stored("rcboot")), ("serial".to_owned(), "1".to_owned()));
    host.ok("snapshot rollback web@then --yes");
    assert_eq!((stored("uefi_console_output"), stored("rcboot")), ("vnc".to_owned(), "-".to_owned()));
    host.ok("unset web vnc");
    assert_eq!((stored("uefi_console_output"), stored("vnc")), ("-".to_owned(), "-".to_owned()));
    // A property that somebody set by the name that commands use is no setting, and hides none.
    host.sh("zfs", &["set", "chyves:vnc=on", &web]);
    assert_eq!(host.value("web", "vnc"), "off");
    host.ok("get web all").says("chyves:vnc");
}

#[test]
fn one_wrong_bridge_stops_neither_other_guests_nor_its_cure() {
    let Some(host) = Host::with_networks("settings::bridges", With::Image) else { return };
    let root = format!("{}/chyves", host.pool);
    host.ok("create web --image small loader=bios net0.backend=bridge net0.bridge=good");
    host.ok("set global bridge4.name=good bridge4.private=yes");
    host.sh("zfs", &["set", "chyves:bridge3.vlan=7", &root]);
    host.ok("start web -n").says("good");
    host.ok("network list").says("good");
    host.chyves("network check").ends(5).says("bridge3").says("of no uplink");
    host.ok("network apply -n").says("bridge3 is left as it is");
    host.ok("set web net0.bridge=bridge3");
    host.chyves("start web -n").says("of no uplink").says("network bridge3 attach");
    host.sh("ip", &["link", "add", "wire0", "type", "veth", "peer", "name", "wire1"]);
    host.ok("network bridge3 attach wire0 --yes -n").says("wire0");
    host.ok("network bridge3 detach wire0");
    host.chyves("network check").ends(5).says("there is no bridge `bridge3`").is_silent_of("of no uplink");
    host.sh("zfs", &["set", "chyves:bridge3.vlan=7", &root]);
    host.chyves("network bridge3 delete --yes").ends(4).says("is the bridge of web");
    host.ok("set web net0.bridge=good");
    host.ok("network bridge3 delete --yes");
    host.ok("start web -n");
}

#[test]
fn a_guest_that_reboots_keeps_settings_that_can_be_used() {
    let Some(host) = Host::new("settings::reboot", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 64M loader=bios accel=tcg");
    host.ok("start web");
    let mut console = host.console("web");
    console.sees("tiny: ready");
    // By hand, past every check.
    host.sh("zfs", &["set", "chyves:cpu_threads=2", &host.dataset("web")]);
    console.types("r");
    console.sees("tiny: reboot");
    console.sees("tiny: ready");
    let log = host.in_folder("web", |folder| std::fs::read_to_string(folder.join("logs/console.log")).unwrap());
    assert!(log.contains("restarted with its settings of before, since the present ones cannot be used: "), "{log}");
    host.ok("info web").says("kept-settings").says("1 processor");
    host.ok("unset web cpu_threads");
    console.types("r");
    console.sees("tiny: reboot");
    console.sees("tiny: ready");
    until("the present settings to hold", || (!host.ok("info web").out.contains("kept-settings")).then_some(()));
    console.leaves();
    host.ok("stop web --now");
    host.nothing_is_left();
}

#[test]
fn an_invalid_network_mode_keeps_nobody_from_looking() {
    let Some(host) = Host::new("settings::network_mode", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("set global bridge7.private=yes bridge7.name=lan7");
    let was = host.chyves("network check");
    host.sh("zfs", &["set", "chyves:network_design_mode=bogus", &format!("{}/chyves", host.pool)]);
    host.ok("network list").says("lan7").says("warning").says("`bogus`").says("`chyves unset global network_");
    let now = host.chyves("network check").says("`bogus`").says("`chyves unset global network_");
    assert_eq!(now.code, was.code);
    // What changes something does not guess who creates networks.
    host.chyves("network apply").ends(2).says("`bogus`");
    host.ok("unset global network_mode");
    host.ok("network list").says("lan7").is_silent_of("warning");
}
