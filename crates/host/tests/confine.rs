//! A probe in the hypervisor's place: what a confined process is, and that it reaches nothing of other guests or of the host.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods)] // the files are the test's own
#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod guest;

use chyves_core::cmd::Cmd;
use chyves_core::confinement::{Confinement, FIRST_UID, How, Level, Means, Network, Sandbox, Show, UIDS};
use chyves_core::launch::{ConsoleEnd, Control, Descriptor, Opened};
use chyves_core::lifecycle::Force;
use chyves_host::accel;
use guest::{Guest, PROGRAM};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

/// Whether this machine can confine at all; where not it says so.
fn can() -> bool {
    let possible = chyves_host::confine::possible();
    let why = possible.no_user.or(possible.no_namespaces);
    if let Some(why) = &why {
        eprintln!("skipped: {why}");
    }
    why.is_none()
}

/// Another guest of this host, and things that everybody may use but a confined process must not.
struct Others {
    dir: PathBuf,
    _sockets: Vec<UnixListener>,
    _hidden: UnixListener,
    hidden: String,
    tcp: TcpListener,
}

impl Others {
    fn new(guest: &Guest) -> Self {
        let dir = guest.temp.path().join("other");
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(guest.temp.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
        let sockets = ["control", "qmp", "serial"].map(|name| {
            let socket = UnixListener::bind(dir.join(name)).unwrap();
            std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(0o600)).unwrap();
            socket
        });
        for (name, mode) in [("disk0.raw", 0o600), ("everybody", 0o666)] {
            std::fs::write(dir.join(name), "x").unwrap();
            std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let hidden = format!("chyves-test-{}", guest.launch.uuid);
        let at = SocketAddr::from_abstract_name(&hidden).unwrap();
        Self {
            dir,
            _sockets: sockets.into(),
            _hidden: UnixListener::bind_addr(&at).unwrap(),
            hidden,
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    fn at(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// What the probe tries.
    fn targets(&self) -> Vec<String> {
        let mut all: Vec<String> = ["control", "qmp", "serial"].iter().map(|name| format!("socket:{}", self.at(name))).collect();
        all.extend(["disk0.raw", "everybody"].iter().map(|name| format!("file:{}", self.at(name))));
        all.extend(["/etc/shadow", "/etc/passwd", "/dev/kmsg", "/proc/1/environ", "/dev/null"].map(|path| format!("file:{path}")));
        all.push(format!("abstract:{}", self.hidden));
        all.push(format!("tcp:{}", self.tcp.local_addr().unwrap().port()));
        // A process of root's that is none of its own: this test.
        all.push(format!("pid:{}", std::process::id()));
        all
    }
}

/// What the probe reports from within a confinement.
fn probe(guest: &mut Guest, level: Level, sandbox: Sandbox, targets: Vec<String>) -> Value {
    // The runtime folder's path is in nobody's environment but chyves'.
    guest.launch.hypervisor = Cmd::new(PROGRAM, ["probe"]).args(targets);
    guest.launch.confinement = Confinement { wanted: level, level, reasons: Vec::new(), means: Means::Linux(sandbox) };
    guest.start().unwrap_err();
    let log = guest.log("hypervisor.log");
    let line = log.lines().find_map(|line| line.strip_prefix("probe ")).unwrap_or_else(|| panic!("no report: {log}"));
    let mut report: Value = serde_json::from_str(line).unwrap();
    if level == Level::User {
        // All of the host's files: nobody reads that.
        report["visible"].take();
    }
    report
}

fn sandbox() -> Sandbox {
    let first_uid = FIRST_UID;
    Sandbox {
        first_uid,
        network: Network::Private,
        shows: Vec::new(),
        owns_files: false,
        locks_memory: false,
        kvm: false,
        listens: false,
        io_uring: false,
    }
}

/// A user of the range, without any right; and the answer to everything that is root's alone.
fn is_nobody(report: &Value) {
    let uid = u32::try_from(report["uid"].as_u64().unwrap()).unwrap();
    assert!((FIRST_UID..FIRST_UID + UIDS).contains(&uid), "{report}");
    assert_eq!((&report["gid"], &report["groups"]), (&json!(uid), &json!([])), "{report}");
    assert_eq!((&report["capabilities"], &report["bounding"]), (&json!([0, 0, 0]), &json!(0)), "{report}");
    assert_eq!((&report["no_new_privs"], &report["core"]), (&json!(true), &json!(0)), "{report}");
    assert_eq!((&report["umask"], &report["cwd"], &report["leads_session"]), (&json!(0o077), &json!("/"), &json!(true)), "{report}");
    assert_eq!(report["environment"], json!(["LC_ALL", "PATH"]), "{report}");
    assert_ne!(report["node"], "ok", "{report}");
    assert_eq!(report["fork"], "permission denied", "{report}");
    // Calls that reach around the other limits, and sockets that they do not cover.
    for (call, result) in report["calls"].as_object().unwrap() {
        assert_eq!(result, "permission denied", "{call}: {report}");
    }
}

/// What could be reached of a target.
fn reached<'a>(report: &'a Value, target: &str) -> &'a Value {
    let tried = report["tried"].as_object().unwrap();
    tried.iter().find(|(name, _)| name.contains(target)).unwrap_or_else(|| panic!("{target} was not tried: {report}")).1
}

#[test]
fn a_fully_confined_process_sees_its_own_files_and_nothing_else() {
    if !can() {
        return;
    }
    let mut guest = Guest::new();
    let others = Others::new(&guest);
    let rom = guest.temp.path().join("rom");
    std::fs::write(&rom, "a ROM").unwrap();
    std::fs::set_permissions(&rom, PermissionsExt::from_mode(0o600)).unwrap();
    let rom = rom.display().to_string();
    let disk = guest.temp.path().join("tiny.img").display().to_string();
    guest.launch.descriptors =
        vec![Descriptor { number: 20, what: Opened::File { path: disk, write: true, device: false, beneath: None } }];
    let shows = vec![Show { path: rom.clone(), how: How::Copy }, Show { path: "/dev/tty".into(), how: How::Node }];
    let mut targets = others.targets();
    targets.extend([format!("file:{rom}"), "file:/dev/tty".to_owned()]);
    let report = probe(&mut guest, Level::Full, Sandbox { shows, ..sandbox() }, targets);
    is_nobody(&report);

    // Its disk, the standard streams, and what it only holds: the VM's lock, its user's claim, and a reading end of the pipe that
    // it prints to.
    let descriptors: Vec<i64> = report["descriptors"].as_array().unwrap().iter().map(|fd| fd.as_i64().unwrap()).collect();
    assert!(descriptors.starts_with(&[0, 1, 2, 20]) && descriptors.len() == 7 && descriptors[4] >= 500, "{descriptors:?}");

    let visible: Vec<&str> = report["visible"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    let expected = |path: &&&str| {
        let known = ["/dev", "/etc", "/lib", "/lib32", "/lib64", "/nix", "/gnu", "/usr"];
        let devices = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
        let settings = ["/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives"];
        let own = |path: &Path| Path::new(&rom).starts_with(path) || Path::new(PROGRAM).starts_with(path);
        known.contains(path)
            || devices.contains(path)
            || settings.contains(path)
            || path.starts_with("/usr/lib")
            || **path == "/usr/share"
            || own(Path::new(path))
    };
    assert!(visible.iter().all(|path| expected(&path)), "{visible:?}");
    // The probe itself and the ROM have to be shown, with the folders that lead to them, wherever this project was built.
    for hidden in ["/proc", "/sys", "/run", "/home", "/root", "/var", "/usr/bin"] {
        let leads = [PROGRAM, &rom].iter().any(|own| Path::new(own).starts_with(hidden));
        assert!(leads || !visible.contains(&hidden), "{hidden} is visible");
    }

    for target in ["control", "qmp", "serial", "disk0.raw", "everybody", "/etc/shadow", "/etc/passwd", "/dev/kmsg", "/proc/1/environ"] {
        let result = reached(&report, target).to_string();
        assert!(!result.contains("ok") && result.contains("not found"), "{target}: {result}");
    }
    assert_eq!(*reached(&report, "/dev/null"), json!({ "read": "ok", "write": "ok" }));
    let rom = reached(&report, "/rom");
    assert!(rom["read"] == "ok" && rom["write"] != "ok", "{rom}");
    // It is there, and has no terminal behind it.
    assert_ne!(reached(&report, "/dev/tty")["read"], "entity not found");
    assert!(report["writes"].as_object().unwrap().values().all(|result| result != "ok"), "{report}");
    // It has no interface to reach anything by, and neither signals nor descriptors of others.
    assert_ne!(*reached(&report, "abstract:"), "ok");
    assert_ne!(*reached(&report, "tcp:"), "ok");
    assert_ne!(report["udp"], "ok");
    assert_eq!(*reached(&report, "pid:"), json!({ "kill": "permission denied", "descriptor": "permission denied" }));
    // What it prints goes to a pipe that it can neither read back, seek nor cut.
    let printing = report["standard error"].as_object().unwrap();
    assert!(printing["kind"] == "Fifo" && printing.values().all(|result| result != "ok"), "{report}");
    // Its user id is free again, without a trace.
    assert_eq!(std::fs::read_dir(guest.rt.root().join("uids")).unwrap().count(), 0);
    guest.is_gone();
}

#[test]
fn on_the_hosts_network_tcp_is_limited_to_what_is_needed() {
    if !can() || !chyves_host::confine::possible().landlock {
        return;
    }
    let mut guest = Guest::new();
    let others = Others::new(&guest);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut targets = others.targets();
    targets.extend([format!("bind:{port}"), "bind:0".to_owned()]);
    let network = Network::Host { listens: vec![port], connects: false, udp: Vec::new() };
    let report = probe(&mut guest, Level::Full, Sandbox { network, listens: true, ..sandbox() }, targets);
    is_nobody(&report);
    assert_eq!(*reached(&report, &format!("bind:{port}")), "ok", "its VNC display");
    assert_eq!(*reached(&report, "bind:0"), "permission denied");
    assert_eq!(*reached(&report, "tcp:"), "permission denied");
    assert_eq!(*reached(&report, "abstract:"), "permission denied");
    assert_eq!(report["listens"], true, "Landlock limits binding alone: SECURITY.md states it");
}

#[test]
fn what_makes_no_sockets_that_listen_can_have_none_on_the_hosts_network() {
    if !can() {
        return;
    }
    let mut guest = Guest::new();
    let network = Network::Host { listens: Vec::new(), connects: true, udp: Vec::new() };
    let report = probe(&mut guest, Level::Full, Sandbox { network, ..sandbox() }, Vec::new());
    is_nobody(&report);
    assert_eq!(report["listens"], false, "not even on a port that the kernel chooses");
    assert_eq!(report["listen"], "ok", "QEMU calls it for sockets that it gets, which listen already");
}

#[test]
fn as_a_user_alone_it_reaches_what_everybody_may_and_nothing_of_other_guests() {
    if !can() {
        return;
    }
    let mut guest = Guest::new();
    let others = Others::new(&guest);
    let report = probe(&mut guest, Level::User, sandbox(), others.targets());
    is_nobody(&report);
    for target in ["control", "qmp", "serial", "disk0.raw", "/etc/shadow", "/proc/1/environ"] {
        let result = reached(&report, target).to_string();
        assert!(!result.contains("ok") && result.contains("permission denied"), "{target}: {result}");
    }
    assert_eq!(*reached(&report, "everybody"), json!({ "read": "ok", "write": "ok" }), "that is what `full` adds");
    assert_eq!(*reached(&report, "pid:"), json!({ "kill": "permission denied", "descriptor": "permission denied" }));
}

#[test]
fn a_hypervisor_that_lets_go_of_its_locks_is_seen_to_live_and_nobody_takes_its_place() {
    if !can() {
        return;
    }
    let mut guest = Guest::new();
    let qemu = guest.launch.hypervisor.clone();
    guest.launch.hypervisor = Cmd::new(PROGRAM, ["let-go", "/usr/bin/qemu-system-x86_64"]).args(qemu.args.clone());
    for name in ["qmp", "serial"] {
        // QEMU makes these itself here, in a folder that its user can write to.
        let socket = guest.temp.path().join(name).display().to_string();
        let args = &mut guest.launch.hypervisor.args;
        *args = args.iter().map(|arg| arg.replace(&guest.rt.socket(guest.launch.uuid, name).unwrap(), &socket)).collect();
    }
    guest.launch.control = Control::Qmp { socket: guest.temp.path().join("qmp").display().to_string() };
    guest.launch.console = ConsoleEnd::Socket { path: guest.temp.path().join("serial").display().to_string() };
    std::fs::set_permissions(guest.temp.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    std::fs::set_permissions(guest.temp.path().join("tiny.img"), PermissionsExt::from_mode(0o666)).unwrap();
    let means = Means::Linux(Sandbox { listens: true, ..sandbox() });
    guest.launch.confinement = Confinement { wanted: Level::User, level: Level::User, reasons: Vec::new(), means };
    guest.tell_spec();
    let started = guest.start().unwrap();
    assert_eq!(guest.log("hypervisor.log").matches("let go: Ok(())").count(), 3, "{}", guest.log("hypervisor.log"));
    let uid = guest.record().uid.unwrap();

    // Without its supervisor there is nothing that remembers it.
    guest::kill(started.supervisor);
    guest.until_state("orphaned");
    assert!(guest.rt.is_held(guest.launch.uuid).unwrap());
    assert!(guest.rt.forget(guest.launch.uuid).is_err());
    let refused = guest.start().unwrap_err();
    assert!(refused.message.contains("runs already"), "{refused:?}");
    // Nor does another guest get its user: this one would have had the same.
    let mut second = Guest::new();
    second.rt = guest.rt.clone();
    second.launch.uuid = uuid::Uuid::from_u128(guest.launch.uuid.as_u128() % u128::from(UIDS));
    let other = probe(&mut second, Level::Full, sandbox(), Vec::new());
    assert_ne!(other["uid"], json!(uid));

    guest.take_over().unwrap();
    assert_eq!(guest.machine(), started.machine);
    guest.stop(Some(0), Force::Now).unwrap();
    guest.is_gone();
}

#[test]
fn the_trial_of_kvm_is_confined_like_any_guest_and_leaves_nothing() {
    if !can() {
        return;
    }
    let guest = Guest::new();
    let trial = |qemu: &str, within: u64| {
        let ended = accel::trial(&guest.rt, &guest.spawner, qemu, "tcg", std::time::Duration::from_secs(within)).unwrap();
        let left: Vec<_> = std::fs::read_dir(guest.rt.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["uids"]);
        assert_eq!(std::fs::read_dir(guest.rt.root().join("uids")).unwrap().count(), 0);
        ended.map(|status| status.code())
    };
    assert_eq!(trial("qemu-system-x86_64", 120), Some(Some(accel::STATUS)), "the guest ran");
    assert_eq!(trial(PROGRAM, 120), Some(Some(accel::STATUS)), "a probe in QEMU's place is confined");
    assert_eq!(trial("qemu-system-x86_64", 0), None, "one that does not end is ended");
}

#[test]
fn a_user_gets_a_node_of_kvm_of_its_own_where_the_hosts_is_for_root() {
    let node = std::fs::metadata("/dev/kvm");
    if !can() || !node.as_ref().is_ok_and(|node| node.permissions().mode().is_multiple_of(0o100)) {
        eprintln!("skipped: /dev/kvm is not there, or not for root alone");
        return;
    }
    let mut guest = Guest::new();
    let report = probe(&mut guest, Level::User, Sandbox { kvm: true, ..sandbox() }, vec!["file:/dev/kvm".to_owned()]);
    is_nobody(&report);
    assert_eq!(*reached(&report, "/dev/kvm"), json!({ "read": "ok", "write": "ok" }));
    let mut other = Guest::new();
    let report = probe(&mut other, Level::User, sandbox(), vec!["file:/dev/kvm".to_owned()]);
    assert_eq!(reached(&report, "/dev/kvm")["write"], "permission denied", "it is not running its guest by KVM");
    assert_eq!(std::fs::metadata("/dev/kvm").unwrap().permissions(), node.unwrap().permissions(), "the host's is as it was");
}

#[test]
fn root_for_a_shared_folder_has_only_the_capabilities_of_files() {
    if !can() {
        return;
    }
    let mut guest = Guest::new();
    let others = Others::new(&guest);
    let share = guest.temp.path().join("share");
    std::fs::create_dir(&share).unwrap();
    std::fs::write(share.join("file"), "x").unwrap();
    let shows = vec![Show { path: share.display().to_string(), how: How::WritableFolder }];
    let mut targets = others.targets();
    targets.push(format!("file:{}", share.join("file").display()));
    let report = probe(&mut guest, Level::Full, Sandbox { shows, owns_files: true, ..sandbox() }, targets);
    assert_eq!((&report["uid"], &report["bounding"], &report["no_new_privs"]), (&json!(0), &json!(4), &json!(true)), "{report}");
    assert_eq!(*reached(&report, "share/file"), json!({ "read": "ok", "write": "ok" }));
    assert!(!reached(&report, "disk0.raw").to_string().contains("ok"), "{report}");
    assert_ne!(report["node"], "ok", "{report}");
    assert_ne!(*reached(&report, "abstract:"), "ok");
}

#[test]
fn what_cannot_be_opened_is_named_and_nothing_runs() {
    if !can() {
        return;
    }
    let mut guest = Guest::new();
    let path = guest.temp.path().join("gone.raw").display().to_string();
    guest.launch.hypervisor = Cmd::new(PROGRAM, ["probe"]);
    guest.launch.descriptors =
        vec![Descriptor { number: 20, what: Opened::File { path: path.clone(), write: true, device: false, beneath: None } }];
    let problem = guest.start().unwrap_err();
    assert!(problem.message.contains(&format!("{path} (read-write) cannot be opened")), "{problem:?}");
    assert!(!guest.log("hypervisor.log").contains("probe {"));
    guest.is_gone();
}
