//! Starting a hypervisor confined: the supervisor executes chyves itself again, sends it an [`Order`] and the VM's lock, and
//! that process opens what the hypervisor needs, gives up everything else, and execs the hypervisor.
//!
//! * [`mod@open`]: opens files, sockets and taps, each at the descriptor that the command line names
//! * [`tool`], `filter`: a short-lived program that reads untrusted input, such as a converter of disk formats
//! * `loopback`: the rules that keep guests on user-mode networking from the host's loopback
//! * `linux`: user, capabilities, namespaces, Landlock
//!
//! It is a separate process so that the supervisor stays small and root, and so that nothing between fork and exec has to be
//! async-signal-safe. Not here: what is allowed (`core::confinement`) and what runs (`core::launch`).

#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub mod loopback;
mod open;
#[cfg(target_os = "linux")]
mod root;
#[cfg(target_os = "linux")]
mod tap;
pub mod tool;
#[cfg(target_os = "linux")]
mod uid;

#[cfg(target_os = "linux")]
pub use linux::possible;
#[cfg(target_os = "linux")]
pub(crate) use uid::{forget as forget_uid, forget_unused as forget_unused_uids};

pub(crate) use open::open;

use crate::child;
use crate::hostfs::kernel;
use crate::proc::Proc;
use crate::runtime::{Lock, life};
use crate::spawner::Spawner;
use chyves_core::cmd::Cmd;
use chyves_core::confinement::Confinement;
use chyves_core::launch::{Descriptor, Launch};
use chyves_core::value::json;
use rustix::io::FdFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use uuid::Uuid;

/// Name of the hidden command.
pub const WORD: &str = "_confine";
/// Size limit of an order, in bytes.
const LIMIT: u64 = 4 << 20;
/// Time limit of opening files and creating namespaces, which takes milliseconds unless a pool hangs.
const WITHIN: Duration = Duration::from_secs(60);
/// The process's own descriptors start here, above all that a command line names.
const OURS: i32 = 500;

/// Number of descriptors that the hypervisor gets only to hold: the lock of its VM, and a reading end of its output pipe.
const HELD: usize = 2;

/// The order to the intermediate process.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    guest: Uuid,
    /// The hypervisor's command, with an absolute path of the program.
    cmd: Cmd,
    descriptors: Vec<Descriptor>,
    confinement: Confinement,
    place: Place,
}

/// The folders that the process needs in the runtime folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The runtime folder: user ids in use are below it.
    pub(crate) run: PathBuf,
    /// The guest's folder in it, over which the new root is mounted in a separate namespace.
    pub(crate) guest: PathBuf,
}

/// The answers, one per line.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// The hypervisor runs next, as this user.
    Ready {
        uid: Option<u32>,
        /// Why the guest can reach the host's loopback, if it should not.
        #[serde(default)]
        loopback: Option<String>,
    },
    Failed {
        why: String,
    },
}

/// A hypervisor that was started.
pub(crate) struct Born {
    pub(crate) child: Child,
    /// The user id that it runs as, if not root.
    pub(crate) uid: Option<u32>,
    /// Why its guest can reach the host's loopback, if it should not.
    pub(crate) loopback: Option<String>,
}

/// The descriptors that a hypervisor gets.
pub(crate) struct Printing {
    /// Its standard output and error.
    pub(crate) out: OwnedFd,
    /// A reading end, only to be held open.
    pub(crate) held: OwnedFd,
}

/// Starts the hypervisor of a launch. It inherits `lock`, and prints to a pipe.
///
/// # Errors
/// What could not be opened, confined or run, as text.
pub(crate) fn start(spawner: &Spawner, launch: &Launch, place: Place, lock: &Lock, printing: Printing) -> Result<Born, String> {
    let order = Order {
        guest: launch.uuid,
        cmd: launch.hypervisor.clone(),
        descriptors: launch.descriptors.clone(),
        confinement: launch.confinement.clone(),
        place,
    };
    let Printing { out, held } = printing;
    run(spawner, &order, [lock.file().as_fd(), held.as_fd()], Some(lock.path()), out)
}

/// Starts a hypervisor for a short trial, without a lock; its output is discarded.
///
/// # Errors
/// As [`start`].
pub(crate) fn try_out(
    spawner: &Spawner,
    cmd: Cmd,
    descriptors: Vec<Descriptor>,
    confinement: Confinement,
    place: Place,
) -> Result<Born, String> {
    let null = kernel::null().map_err(|e| format!("/dev/null cannot be opened: {e}"))?;
    let order = Order { guest: Uuid::new_v4(), cmd, descriptors, confinement, place };
    let out = null.try_clone().map_err(|e| e.to_string())?;
    run(spawner, &order, [null.as_fd(), null.as_fd()], None, out.into())
}

fn run(spawner: &Spawner, order: &Order, held: [BorrowedFd<'_>; HELD], names: Option<&Path>, out: OwnedFd) -> Result<Born, String> {
    let text = serde_json::to_vec(order).map_err(|e| e.to_string())?;
    let (mut ours, theirs) = UnixStream::pair().map_err(|e| format!("no socket for its order: {e}"))?;
    let word = spawner.command(WORD);
    let also = out.try_clone().map_err(|e| format!("the pipe for its messages cannot be opened: {e}"))?;
    let mut command = child::own_session(&spawner.exe);
    command.args(&word.args).stdin(Stdio::from(OwnedFd::from(theirs))).stdout(out).stderr(also);
    let mut child = command.spawn().map_err(|e| format!("`{}` cannot be run: {e}", spawner.exe.display()))?;
    // The command holds the other end of the socket.
    drop(command);
    // Named before it gets its order: from the moment it can become the hypervisor, other processes can detect that it lives.
    let named = match (names, Proc::find(child.id())) {
        (Some(lock), Ok(Some(process))) => life::name(lock, &process).map_err(|e| e.to_string()),
        (None, _) | (_, Ok(None)) => Ok(()),
        (_, Err(e)) => Err(e.to_string()),
    };
    let answer = named.and_then(|()| hand_over(&mut ours, held, &text)).and_then(|()| hear(&mut ours));
    match answer {
        Ok((uid, loopback)) => Ok(Born { child, uid, loopback }),
        Err(why) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(why)
        }
    }
}

/// Sends the order, and with its first byte the descriptors that the hypervisor only holds.
fn hand_over(socket: &mut UnixStream, held: [BorrowedFd<'_>; HELD], text: &[u8]) -> Result<(), String> {
    let cant = |e: std::io::Error| format!("its order cannot be handed over: {e}");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HELD))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&held));
    rustix::net::sendmsg(&*socket, &[IoSlice::new(b"\n")], &mut ancillary, SendFlags::NOSIGNAL).map_err(|e| cant(e.into()))?;
    socket.write_all(text).and_then(|()| socket.shutdown(std::net::Shutdown::Write)).map_err(cant)
}

/// Reads the answer. The socket is closed when the hypervisor runs, since only the process before the exec held it.
fn hear(socket: &mut UnixStream) -> Result<(Option<u32>, Option<String>), String> {
    let mut text = String::new();
    let heard = socket.set_read_timeout(Some(WITHIN)).and_then(|()| socket.take(LIMIT).read_to_string(&mut text));
    heard.map_err(|e| format!("it does not become the hypervisor: {e}"))?;
    let answers = text.lines().map(json::from_str).collect::<Result<Vec<Answer>, _>>().map_err(|e| e.to_string())?;
    match answers.into_iter().last() {
        Some(Answer::Ready { uid, loopback }) => Ok((uid, loopback)),
        Some(Answer::Failed { why }) => Err(why),
        None => Err("it ended before it became the hypervisor".to_owned()),
    }
}

/// The hidden command: becomes the hypervisor. Returns only on failure, with the exit status.
pub fn main() -> u8 {
    child::detach_from_caller();
    crate::inherited::enough_files();
    // The hypervisor must not share the caller's session and terminal.
    let _ = rustix::process::setsid();
    let mut answers: Option<File> = None;
    let Err(why) = become_hypervisor(&mut answers);
    if let Some(answers) = &mut answers {
        say(answers, &Answer::Failed { why });
    }
    1
}

fn say(to: &mut File, answer: &Answer) {
    if let Ok(mut line) = serde_json::to_vec(answer) {
        line.push(b'\n');
        drop(to.write_all(&line));
    }
}

/// Receives the order on standard input, with the descriptors to hold.
fn receive() -> Result<(Order, Vec<OwnedFd>), String> {
    let cant = |e: &dyn std::fmt::Display| format!("its order cannot be read: {e}");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HELD))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0];
    rustix::net::recvmsg(std::io::stdin(), &mut [IoSliceMut::new(&mut first)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(|e| cant(&e))?;
    let mut held = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            held.extend(fds);
        }
    }
    let mut text = String::new();
    std::io::stdin().take(LIMIT).read_to_string(&mut text).map_err(|e| cant(&e))?;
    let order = json::from_str(&text).map_err(|e| cant(&e))?;
    if held.len() == HELD { Ok((order, held)) } else { Err("its order came without the lock of its VM".to_owned()) }
}

fn become_hypervisor(answers: &mut Option<File>) -> Result<std::convert::Infallible, String> {
    let Ok(socket) = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), OURS) else {
        *answers = std::io::stdin().as_fd().try_clone_to_owned().ok().map(File::from);
        // The sender reads the answer only after it has written the whole order.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or_default();
        return Err(format!("it may have {limit} open files, and needs more: ulimit -n 4096"));
    };
    *answers = Some(File::from(socket));
    let (order, held) = receive()?;
    let null = kernel::null().and_then(|null| Ok(rustix::stdio::dup2_stdin(&null)?));
    null.map_err(|e| format!("/dev/null cannot be opened: {e}"))?;
    let held = held.iter().map(above).collect::<Result<Vec<_>, _>>()?;
    let opened = open::all(&order.descriptors)?;
    #[cfg(target_os = "linux")]
    let confined = linux::confine(&order, answers.as_mut())?;
    #[cfg(not(target_os = "linux"))]
    if let Some(answers) = answers.as_mut() {
        say(answers, &Answer::Ready { uid: None, loopback: None });
    }
    #[cfg(target_os = "linux")]
    if let Some(held) = confined.held.fd() {
        keep(held)?;
    }
    for descriptor in held.iter().chain(&opened) {
        keep(descriptor)?;
    }
    let error = child::becoming(&order.cmd.program).args(&order.cmd.args).exec();
    Err(if error.kind() == std::io::ErrorKind::NotFound {
        format!("the program `{}` is not there: {error}", order.cmd.program)
    } else {
        format!("`{}` cannot be run: {error}", order.cmd.program)
    })
}

/// Duplicates a descriptor to a number that no command line names.
fn above(fd: &OwnedFd) -> Result<OwnedFd, String> {
    rustix::io::fcntl_dupfd_cloexec(fd, OURS).map_err(|e| format!("a descriptor cannot be moved: {e}"))
}

/// Lets the hypervisor inherit this descriptor.
fn keep<F: AsFd>(fd: F) -> Result<(), String> {
    rustix::io::fcntl_setfd(fd, FdFlags::empty()).map_err(|e| format!("a descriptor cannot be passed on: {e}"))
}
