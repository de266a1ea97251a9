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
        "standard error": printing(),
        "tried": tried,
    });
    eprintln!("probe {report}");
}
