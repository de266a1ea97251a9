//! Runs in the place of a hypervisor, tries to reach everything, and reports it as JSON on standard error, which is the
//! hypervisor's log.

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open, test_kill_process};
use rustix::thread::CapabilitySet;
use serde_json::{Map, Value, json};
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

fn outcome<T>(result: std::io::Result<T>) -> Value {
    match result {
        Ok(_) => json!("ok"),
        Err(e) => json!(e.kind().to_string()),
    }
}

/// What is below the root, without the contents of the public folders.
fn visible() -> Vec<String> {
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect()
    };
    let mut all: Vec<String> = names("/")
        .into_iter()
        .flat_map(|path| [vec![path.clone()], if path.starts_with("/lib") { Vec::new() } else { names(&path) }].concat())
        .collect();
    all.sort();
    all
}

/// Lets go of every lock that this process was started with, as a hypervisor may that its guest has taken over, and becomes that
/// program. Why not, if it does not.
pub(crate) fn let_go(program: &str, args: &[&str]) -> String {
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::process::CommandExt;
    for fd in close_fds::iter_open_fds(500).collect::<Vec<_>>() {
        // SAFETY: nothing else here uses the descriptors that this process was started with.
        #[allow(unsafe_code)]
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let unlocked = rustix::fs::flock(&fd, rustix::fs::FlockOperation::NonBlockingUnlock);
        eprintln!("let go: {unlocked:?}");
    }
    std::process::Command::new(program).args(args).exec().to_string()
}

/// Whether this process is nobody, in namespaces of its own. Why not.
pub(crate) fn is_confined() -> Result<(), String> {
    let uid = rustix::process::getuid();
    let capable = rustix::thread::capabilities(None).map_or(true, |sets| !sets.effective.is_empty());
    let seen = (uid.as_raw(), capable, rustix::thread::no_new_privs(), fs::exists("/proc").ok(), forks());
    let wanted = (uid.as_raw(), false, Ok(true), Some(false), json!("permission denied"));
    if uid.is_root() || seen != wanted { Err(format!("{seen:?}")) } else { Ok(()) }
}

/// Whether another process can be made; it ends at once.
fn forks() -> Value {
    outcome(
        std::process::Command::new("/proc/self/exe").arg("nothing").stderr(std::process::Stdio::null()).spawn().and_then(|mut c| c.wait()),
    )
}

/// What can be done with the descriptor that messages go to.
fn printing() -> Value {
    let error = std::io::stderr();
    let kind = rustix::fs::fstat(&error).map(|stat| format!("{:?}", rustix::fs::FileType::from_raw_mode(stat.st_mode)));
    json!({
        "kind": kind.unwrap_or_default(),
        "read": outcome(rustix::io::read(&error, &mut [0; 1]).map_err(Into::into)),
        "seek": outcome(rustix::fs::seek(&error, rustix::fs::SeekFrom::Start(0)).map_err(Into::into)),
        "truncate": outcome(rustix::fs::ftruncate(&error, 0).map_err(Into::into)),
    })
}

/// What the kernel answers to a system call.
fn call(number: i64, arguments: [i64; 3]) -> Value {
    // SAFETY: none of these calls gets a pointer to anything, and what they open is closed with this process.
    #[allow(unsafe_code)]
    let answer = unsafe { libc::syscall(number, arguments[0], arguments[1], arguments[2], 0, 0) };
    outcome(if answer < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) })
}

/// Calls that reach around the other limits, each as it would succeed, or fail for another reason, without a filter.
fn calls() -> Value {
    let socket = |domain: i32, kind: i32, protocol: i32| call(libc::SYS_socket, [domain, kind, protocol].map(i64::from));
    let (stream, packets) = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::SOCK_SEQPACKET);
    json!({
        "open_tree": call(libc::SYS_open_tree, [-1, 0, 0]),
        "open_tree_attr": call(467, [-1, 0, 0]),
        "io_uring_setup": call(libc::SYS_io_uring_setup, [0, 0, 0]),
        "io_uring_enter": call(libc::SYS_io_uring_enter, [-1, 0, 0]),
        "io_uring_register": call(libc::SYS_io_uring_register, [-1, 0, 0]),
        // No such process: the answer differs from the filter's, whoever asks.
        "limits of others": call(libc::SYS_prlimit64, [-1, i64::from(libc::RLIMIT_CPU.cast_signed()), 0]),
        "connect with data": call(libc::SYS_sendmsg, [-1, 0, i64::from(libc::MSG_FASTOPEN)]),
        "connect at the first data": call(libc::SYS_setsockopt, [-1, i64::from(libc::IPPROTO_TCP), 30]),
        "vsock": socket(libc::AF_VSOCK, stream, 0),
        "netlink": socket(libc::AF_NETLINK, libc::SOCK_RAW, 0),
        "alg": socket(libc::AF_ALG, packets, 0),
        "mptcp": socket(libc::AF_INET, stream, 262),
        "sctp": socket(libc::AF_INET6, packets, 0),
        "sctp as a stream": socket(libc::AF_INET, stream, libc::IPPROTO_SCTP),
        "raw": socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, libc::IPPROTO_ICMP),
        "pair of packets": call(libc::SYS_socketpair, [libc::AF_UNIX, packets, 0].map(i64::from)),
    })
}

/// Whether a socket without a port can be made to listen, for which the kernel then chooses one; and the answer to the call.
fn listens() -> (Value, bool) {
    let Ok(socket) = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None) else {
        return (json!("no socket"), false);
    };
    let answer = outcome(rustix::net::listen(&socket, 1).map_err(Into::into));
    (answer, rustix::net::sockopt::socket_acceptconn(&socket) == Ok(true))
}

/// `targets`: `file:PATH`, `socket:PATH`, `abstract:NAME`, `tcp:PORT`, `bind:PORT`, `pid:NUMBER`.
pub(crate) fn report(targets: &[&str]) {
    let mut tried = Map::new();
    for target in targets {
        let Some((kind, what)) = target.split_once(':') else { continue };
        let number = what.parse::<u16>().unwrap_or(0);
        let result = match kind {
            "file" => json!({ "read": outcome(fs::File::open(what)), "write": outcome(fs::File::options().write(true).open(what)) }),
            "socket" => outcome(UnixStream::connect(what)),
            "abstract" => outcome(SocketAddr::from_abstract_name(what).and_then(|at| UnixStream::connect_addr(&at))),
            "tcp" => outcome(TcpStream::connect(("127.0.0.1", number))),
            "bind" => outcome(TcpListener::bind(("127.0.0.1", number))),
            _ => {
                let pid = what.parse().ok().and_then(Pid::from_raw).unwrap_or(Pid::INIT);
                let taken = pidfd_open(pid, PidfdFlags::empty()).and_then(|fd| pidfd_getfd(&fd, 0, PidfdGetfdFlags::empty()));
                let killed = test_kill_process(pid).map_err(Into::into);
                json!({ "kill": outcome(killed), "descriptor": outcome(taken.map_err(Into::into)) })
            }
        };
        tried.insert((*target).to_owned(), result);
    }
    let bounding = CapabilitySet::all().iter().filter(|one| rustix::thread::capability_is_in_bounding_set(*one) == Ok(true)).count();
    let mask = rustix::process::umask(rustix::fs::Mode::empty()).bits();
    let capabilities = rustix::thread::capabilities(None).map(|sets| [sets.effective, sets.permitted, sets.inheritable].map(|s| s.bits()));
    let (listen, listens) = listens();
    let report = json!({
        "uid": rustix::process::getuid().as_raw(),
        "gid": rustix::process::getgid().as_raw(),
        "groups": rustix::process::getgroups().map(|all| all.iter().map(|gid| gid.as_raw()).collect::<Vec<_>>()).unwrap_or_default(),
        "capabilities": capabilities.unwrap_or([u64::MAX; 3]),
        "bounding": bounding,
        "no_new_privs": rustix::thread::no_new_privs().unwrap_or(false),
        "core": rustix::process::getrlimit(rustix::process::Resource::Core).current,
        "umask": mask,
        "cwd": std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default(),
        "leads_session": rustix::process::getsid(None) == Ok(rustix::process::getpid()),
        "environment": std::env::vars().map(|(name, _)| name).collect::<Vec<_>>(),
        "descriptors": close_fds::iter_open_fds(0).collect::<Vec<_>>(),
        "visible": visible(),
        "writes": {
            "/": outcome(fs::write("/probe", "")),
            "/usr/lib": outcome(fs::write("/usr/lib/probe", "")),
            "/dev": outcome(fs::write("/dev/probe", "")),
        },
        "node": outcome(rustix::fs::mknodat(rustix::fs::CWD, "/dev/probe", rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RWXU, 257).map_err(Into::into)),
        "udp": outcome(UdpSocket::bind("127.0.0.1:0").and_then(|udp| udp.send_to(b"x", "127.0.0.1:9"))),
        "fork": forks(),
        "calls": calls(),
        "listen": listen,
        "listens": listens,
        "standard error": printing(),
        "tried": tried,
    });
    eprintln!("probe {report}");
}
