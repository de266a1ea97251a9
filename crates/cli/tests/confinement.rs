//! What a hypervisor is started with and what it can reach: a probe in its place reports what it sees.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With};

/// A cron job that holds a lock and a token starts a guest.
const CRON: &str =
    "exec 9>cron.lock; flock -n 9 || exit 1; API_TOKEN=t0ken-of-the-job; export API_TOKEN; umask 000; exec \"$0\" start web01";

#[test]
fn nothing_of_the_caller_is_passed_to_the_hypervisor() {
    let Some(host) = Host::new("confinement::clean", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 32M loader=bios");
    host.sh("sh", &["-c", CRON, PROGRAM]);
    // The job has ended and its lock is free, though the guest runs.
    host.sh("flock", &["-n", "cron.lock", "true"]);
    let (machine, supervisor) = host.pids("web01");
    for pid in [machine, supervisor] {
        let open = host.sh("ls", &["-l", &format!("/proc/{pid}/fd")]);
        assert!(!open.contains("cron.lock"), "{open}");
        let environment = host.sh("cat", &[&format!("/proc/{pid}/environ")]);
        assert!(!environment.contains("t0ken") && !environment.contains("TERM="), "{environment}");
        let status = host.sh("cat", &[&format!("/proc/{pid}/status")]);
        assert!(status.contains("Umask:\t0077"), "{status}");
        assert_eq!(host.sh("readlink", &[&format!("/proc/{pid}/cwd")]), "/\n");
    }
    let environment = host.sh("cat", &[&format!("/proc/{machine}/environ")]);
    let names: Vec<&str> = environment.split('\0').filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| ["PATH", "LC_ALL"].contains(name)), "{names:?}");
    host.ok("stop web01");
    host.nothing_is_left();
}

/// A batch system starts a guest.
const BATCH: &str = "trap '' QUIT USR1; ulimit -S -t 2; ulimit -S -f 100; ulimit -S -n 20; echo 500 >/proc/self/oom_score_adj; \
    exec nice -n 19 \"$0\" start web01";

#[test]
fn limits_of_the_caller_are_not_those_of_the_hypervisor() {
    let Some(host) = Host::new("confinement::limits", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 32M loader=bios");
    host.sh("sh", &["-c", BATCH, PROGRAM]);
    let (machine, supervisor) = host.pids("web01");
    for pid in [machine, supervisor] {
        let limits = host.sh("cat", &[&format!("/proc/{pid}/limits")]);
        for line in limits.lines().filter(|line| line.starts_with("Max cpu time") || line.starts_with("Max file size")) {
            assert!(line.contains("unlimited"), "{line}");
        }
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert!(files.split_whitespace().nth(3).unwrap().parse::<u64>().unwrap() >= 1024, "{files}");
        assert_eq!(host.sh("cat", &[&format!("/proc/{pid}/oom_score_adj")]), "0\n");
        let stat = host.sh("cat", &[&format!("/proc/{pid}/stat")]);
        // After the name: the state is the first of them, the nice value the 17th.
        assert_eq!(stat.rsplit_once(") ").unwrap().1.split(' ').nth(16), Some("0"), "{stat}");
        let ignored = u64::from_str_radix(&status(&host, pid, "SigIgn:"), 16).unwrap();
        assert_eq!(ignored & (1 << 2 | 1 << 9), 0, "{ignored:x}");
    }
    host.ok("stop web01 --now");
    // A limit on files ends no chyves by a signal.
    let small = host.command("sh").args(["-c", "ulimit -f 1; exec \"$0\" start web01", PROGRAM]).status().unwrap();
    assert!(small.code().is_some(), "{small}");
    host.chyves("stop web01 --now");
    host.nothing_is_left();
}

/// What a rogue program does: it leaves a sign that it ran.
const ROGUE: &str = "#!/bin/sh\necho \"$0\" >>\"${0%/*}/ran\"\nexit 1\n";

#[test]
fn programs_on_the_callers_path_are_never_run() {
    use std::os::unix::fs::PermissionsExt;
    let Some(host) = Host::new("confinement::path", With::Tiny) else { return };
    let rogue = host.work().join("rogue");
    std::fs::create_dir(&rogue).unwrap();
    for name in ["zfs", "zpool", "ip", "ps", "nft", "fuser", "qemu-img", "qemu-system-x86_64", "swtpm", "sysctl", "kvm", "mount", "umount"]
    {
        std::fs::write(rogue.join(name), ROGUE).unwrap();
        std::fs::set_permissions(rogue.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", rogue.display());
    host.sh("qemu-img", &["create", "-f", "qcow2", "a.qcow2", "1M"]);
    let lines = ["create web01 --image tiny --ram 32M loader=bios", "image import a.qcow2", "start web01", "info web01", "list", "doctor"];
    for line in lines {
        let output = host.command(PROGRAM).args(line.split(' ')).env("PATH", &path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || line == "doctor", "{line}: {said}");
    }
    let (machine, supervisor) = host.pids("web01");
    for pid in [machine, supervisor] {
        let environment = host.sh("cat", &[&format!("/proc/{pid}/environ")]);
        assert!(environment.contains("PATH=/") && !environment.contains("rogue"), "{environment}");
    }
    host.ok("stop web01 --now");
    assert!(!rogue.join("ran").exists(), "{}", std::fs::read_to_string(rogue.join("ran")).unwrap_or_default());
    // An administrator names such a folder on purpose.
    let output = host.command(PROGRAM).args(["start", "web01"]).env("CHYVES_PATH", &rogue).output().unwrap();
    assert!(!output.status.success() && rogue.join("ran").exists());
    host.nothing_is_left();
}

/// The words of `/proc/PID/status` behind a name.
fn status(host: &Host, pid: u64, name: &str) -> String {
    let text = host.sh("cat", &[&format!("/proc/{pid}/status")]);
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
}

/// The address of a guest's display.
fn display(host: &Host, guest: &str) -> String {
    host.ok(&format!("info {guest} --json")).json()[0]["vnc"].as_str().unwrap().to_owned()
}

/// The namespace of a process.
fn namespace(host: &Host, pid: u64, kind: &str) -> String {
    host.sh("readlink", &[&format!("/proc/{pid}/ns/{kind}")])
}

#[test]
fn two_guests_are_two_users_without_rights_and_see_none_of_the_hosts_files() {
    let Some(host) = Host::with_networks("confinement::two", With::Tiny) else { return };
    host.ok("create a,b --image tiny --ram 32M loader=bios vnc=on");
    host.ok("start a");
    host.ok("start b");
    let mut users = Vec::new();
    for name in ["a", "b"] {
        let (machine, supervisor) = host.pids(name);
        assert_eq!(status(&host, machine, "NoNewPrivs:"), "1");
        assert_eq!(status(&host, machine, "Seccomp:"), "2");
        for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapInh:", "CapAmb:"] {
            assert_eq!(status(&host, machine, set), "0000000000000000", "{set}");
        }
        for kind in ["mnt", "ipc", "uts"] {
            assert_ne!(namespace(&host, machine, kind), namespace(&host, supervisor, kind), "{kind}");
        }
        let root = host.sh("ls", &[&format!("/proc/{machine}/root")]);
        assert!(!root.contains("run") && !root.contains("proc") && !root.contains("home"), "{root}");
        let uid: u64 = status(&host, machine, "Uid:").split_whitespace().next().unwrap().parse().unwrap();
        assert!((1_900_000_000..1_900_065_536).contains(&uid), "{uid}");
        assert_eq!(status(&host, supervisor, "Uid:").split_whitespace().next(), Some("0"));
        host.ok(&format!("info {name}")).shows("confinement", "full").shows("user", &uid.to_string());
        users.push(uid);
    }
    assert_ne!(users[0], users[1]);
    let sockets = host.sh("find", &[host.run_dir().to_str().unwrap(), "-type", "s", "-not", "-perm", "0600"]);
    assert_eq!(sockets, "", "sockets that others may connect to");
    host.ok("stop a,b --now");
    host.nothing_is_left();
}

#[test]
fn guests_that_are_started_together_get_displays_of_their_own_and_keep_them() {
    const GUESTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let Some(host) = Host::new("confinement::vnc", With::Tiny) else { return };
    host.ok(&format!("create {} --image tiny --ram 32M loader=bios vnc=on", GUESTS.join(",")));
    // Each by a command of its own, at the same moment.
    let started: Vec<_> = GUESTS
        .iter()
        .map(|guest| {
            let mut command = host.command(PROGRAM);
            command.args(["start", guest]).stdin(std::process::Stdio::null());
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in started {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let port = |guest: &str| display(&host, guest);
    let ports: std::collections::BTreeSet<String> = GUESTS.iter().map(|guest| port(guest)).collect();
    assert_eq!(ports.len(), GUESTS.len(), "{ports:?}");
    // One that reboots has its port again, whoever looks for one meanwhile.
    let before = port("a");
    host.ok("reset a");
    host.ok("stop b --now");
    host.ok("start b");
    assert_eq!(port("a"), before);
    host.ok("stop all --now --yes");
    host.nothing_is_left();
}

/// Connects to a port of the loopback and prints what is heard, `refused`, or why not.
const CONNECT: &str = "import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    print(s.recv(3).decode())
except ConnectionRefusedError: print('refused')
except OSError as e: print(e)
";

/// A service of the host without a password, on TCP and UDP.
const SERVE: &str = "import socket, sys, threading
t = socket.create_server(('127.0.0.1', 7777))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(('127.0.0.1', 7778))
def udp():
    while True: u.sendto(b'hit', u.recvfrom(9)[1])
threading.Thread(target=udp, daemon=True).start()
def tcp():
    while True:
        c, _ = t.accept()
        c.sendall(b'hit')
        c.close()
threading.Thread(target=tcp, daemon=True).start()
print('up', flush=True)
sys.stdin.read()
";

const ASK_UDP: &str = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
try:
    s.connect(('127.0.0.1', 7778))
    s.send(b'x')
    print(s.recv(3).decode())
except OSError as e: print('refused')
";

/// Root connects to what a user listens on: a socket that was never bound, on a port of the kernel's choice, and the ports given.
const LISTEN: &str = "import os, signal, socket, sys
user = int(sys.argv[1])
r, w = os.pipe()
child = os.fork()
if child == 0:
    os.setgroups([]); os.setgid(user); os.setuid(user)
    socks = [socket.socket() for _ in sys.argv[1:]]
    for s, port in zip(socks[1:], sys.argv[2:]): s.bind(('0.0.0.0', int(port)))
    for s in socks: s.listen(1)
    os.write(w, (' '.join(str(s.getsockname()[1]) for s in socks)).encode())
    signal.pause()
for port in os.read(r, 999).decode().split():
    try:
        socket.create_connection(('127.0.0.1', int(port)), 1)
        print('reached')
    except OSError: print('closed')
os.kill(child, 9)
";

#[test]
fn nothing_reaches_a_port_that_the_kernel_chose_for_a_hypervisor() {
    let Some(host) = Host::with_networks("confinement::unbound", With::Tiny) else { return };
    host.ok("create a --image tiny --ram 32M loader=bios net0.backend=user");
    // Its own port is one that the kernel may choose, too.
    host.ok("create b --image tiny --ram 32M loader=bios vnc=on vnc_port=40123");
    let reached = |user: &str, ports: &[&str]| {
        let words = [&["-c", LISTEN, user], ports].concat();
        let said = host.sh("python3", &words);
        said.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    host.sh("ip", &["link", "set", "lo", "up"]);
    host.ok("start a");
    let uid = |name: &str| status(&host, host.pids(name).0, "Uid:").split_whitespace().next().unwrap().to_owned();
    let a = uid("a");
    assert_eq!(reached(&a, &["40124", "5999"]), ["closed", "closed", "reached"], "Landlock keeps it from binding the last");
    assert_eq!(reached("1000", &["40124", "5999"]), ["reached", "reached", "reached"]);
    host.ok("start b");
    assert_eq!(reached(&uid("b"), &["40124"]), ["closed", "closed"]);
    let display = host.sh("/usr/bin/python3", &["-c", CONNECT, "127.0.0.1", "40123"]);
    assert_eq!(display.trim_end(), "RFB");
    assert_eq!(reached(&a, &["40124"]), ["closed", "closed"]);
    host.ok("stop a,b --now");
    host.nothing_is_left();
}

#[test]
fn user_mode_networking_does_not_lead_to_the_hosts_loopback() {
    use std::io::BufRead;
    let Some(host) = Host::with_networks("confinement::loopback", With::Tiny) else { return };
    host.sh("ip", &["link", "set", "lo", "up"]);
    // One on user-mode networking, as is the default without a bridge; another whose display is its neighbour.
    host.ok("create a --image tiny --ram 32M loader=bios net0.backend=user");
    host.ok("create b --image tiny --ram 32M loader=bios net0.backend=user vnc=on");
    host.ok("start a,b").is_silent_of("loopback");
    let uid = |name: &str| {
        let (machine, _) = host.pids(name);
        status(&host, machine, "Uid:").split_whitespace().next().unwrap().to_owned()
    };
    let piped = std::process::Stdio::piped;
    let mut server = host.command("python3").args(["-c", SERVE]).stdin(piped()).stdout(piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let display = display(&host, "b").rsplit_once(':').unwrap().1.to_owned();
    let as_user = |user: &str, script: &str, args: &[&str]| {
        let ids = [format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()];
        let mut words: Vec<&str> = ids.iter().map(String::as_str).collect();
        // That of the system: everybody may run it.
        words.extend(["/usr/bin/python3", "-c", script]);
        words.extend(args);
        host.sh("setpriv", &words).trim_end().to_owned()
    };
    let a = uid("a");
    for (user, service, shown) in [("0", "hit", "RFB"), ("1000", "hit", "RFB"), (a.as_str(), "refused", "refused")] {
        assert_eq!(as_user(user, CONNECT, &["127.0.0.1", "7777"]), service, "user {user}");
        assert_eq!(as_user(user, CONNECT, &["127.0.0.1", &display]), shown, "user {user}");
        assert_eq!(as_user(user, ASK_UDP, &[]), service, "user {user}");
    }
    host.ok("info a").says("closed to the guest");

    // Rules that an administrator flushed are reported, and there again with the next start.
    let shown = || host.sh("nft", &["list", "ruleset"]);
    host.sh("nft", &["flush", "ruleset"]);
    assert_eq!(as_user(&a, CONNECT, &["127.0.0.1", "7777"]), "hit");
    host.ok("info a").says("open to the guest").says("not loaded");
    host.ok("stop b --now");
    host.ok("start b");
    assert!(shown().contains("1900000000-1900065535"), "{}", shown());
    assert_eq!(as_user(&a, CONNECT, &["127.0.0.1", "7777"]), "refused");
    host.ok("info a").says("closed to the guest");

    // They go with their guests.
    host.ok("stop a --now");
    assert_eq!(as_user(&uid("b"), CONNECT, &["127.0.0.1", "7777"]), "refused");
    host.ok("stop b --now");
    assert!(!shown().contains("guests_of_chyves"), "{}", shown());
    // It ends with its standard input.
    drop(server.stdin.take());
    server.wait().unwrap();
    host.nothing_is_left();
}

#[test]
fn where_the_loopback_cannot_be_closed_the_reason_is_shown() {
    let Some(mut host) = Host::with_networks("confinement::open", With::Tiny) else { return };
    host.sh("ip", &["link", "set", "lo", "up"]);
    host.ok("create a --image tiny --ram 32M loader=bios net0.backend=user");
    host.stand_in("nft", "echo 'Error: Could not process rule: Operation not supported' >&2; exit 1");
    host.ok("start a");
    host.ok("info a").says("reaches the host's loopback").says("Operation not supported").says("open to the guest");
    host.ok("stop a --now");
    // A filter that takes the rules and does nothing is found out by trying.
    host.stand_in("nft", "cat >/dev/null");
    host.ok("start a");
    host.ok("info a").says("do not hold");
    host.ok("stop a --now");
    host.ok("set a confine=off");
    host.ok("start a").is_silent_of("loopback");
    host.ok("stop a --now");
    host.nothing_is_left();
}

#[test]
fn less_is_confined_only_where_it_is_said_and_the_reason_is_shown() {
    let Some(host) = Host::new("confinement::less", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 32M loader=bios confine=off");
    host.ok("start web01").is_silent_of("sandbox");
    let (machine, _) = host.pids("web01");
    assert_eq!((status(&host, machine, "Seccomp:").as_str(), status(&host, machine, "Uid:").starts_with("0\t")), ("0", true));
    host.ok("info web01").shows("confinement", "off");
    host.ok("stop web01 --now");

    host.ok("set web01 confine=user confine_uids=900000");
    host.ok("start web01");
    let (machine, supervisor) = host.pids("web01");
    assert_eq!(namespace(&host, machine, "mnt"), namespace(&host, supervisor, "mnt"));
    assert!(!status(&host, machine, "Uid:").starts_with("0\t"));
    host.ok("info web01").shows("confinement", "user");
    host.ok("stop web01 --now");

    let folder = host.work().display().to_string();
    host.ok(&format!("set web01 confine=full pcidev_0=virtio-9p,work={folder}"));
    host.ok("start web01").says("runs as root in its sandbox").says(&folder);
    let (machine, _) = host.pids("web01");
    assert_eq!(status(&host, machine, "CapEff:"), "000000000000001b", "the capabilities of files alone");
    host.ok("info web01 --json").says("runs as root in its sandbox");
    host.ok("stop web01 --now");
    host.chyves("set web01 confine=half").ends(2).says("full, user, off");
    host.ok("doctor --json").says("confinement");
    host.nothing_is_left();
}
