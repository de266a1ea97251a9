//! The lab's one standing process: it holds the network namespace, serves `$CHYVES_LAB/dev`, is the other end of every nmdm
//! terminal, and ends everything when the lab ends.
//!
//! It lives as long as its standard input: a test that is killed closes it, and nothing is left behind.
//! Not its job: anything that a tool of the lab does.

mod fuse;
mod nmdm;
mod tree;

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::{Done, Or};
use crate::ip;
use crate::jail;
use crate::place::Place;
use fuse::Fuse;
use tree::Tree;

/// Serves the lab in `dir` until its standard input or a signal ends it. `ready` is called once all is there.
pub(crate) fn serve(dir: &Path, temporary: bool, lifetime: bool) -> Done {
    let place = Place::open(dir)?;
    let (ended, sender) = UnixStream::pair().or_broken("a pipe")?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let sender = sender.try_clone().or_broken("a pipe")?;
        signal_hook::low_level::pipe::register(signal, sender).or_broken("a signal")?;
    }
    network(&place)?;
    let mut fuse = Fuse::mount(&dir.join("dev"))?;
    let mut tree = Tree::new(&place)?;
    place.write("run/daemon", &std::process::id().to_string())?;
    println!("ready");
    let result = turn(&mut fuse, &mut tree, &ended, lifetime);
    drop(tree);
    end(&place);
    jail::unmount_all(&place);
    let gone = unmount(dir.join("dev"), UnmountFlags::DETACH).or_broken(dir.join("dev").display());
    drop(fuse);
    if temporary {
        let _ = fs::remove_dir_all(dir);
    }
    result.and(gone)
}

/// The namespace that we are in becomes the lab's, with the loopback up and the cards that were asked for.
fn network(place: &Place) -> Done {
    let own = fs::read_link("/proc/self/ns/net").or_broken("/proc/self/ns/net")?;
    place.write("run/netns", &own.to_string_lossy())?;
    ip::run(&["link", "set", "lo", "up"])?;
    for nic in &place.host.nics {
        if ip::links()?.iter().any(|link| link.name == *nic) {
            continue;
        }
        // A card is one end of a pair; the wire behind the other end leads nowhere.
        let wire = format!("lab-{nic}");
        ip::run(&["link", "add", "name", nic, "type", "veth", "peer", "name", &wire])?;
        ip::run(&["link", "set", nic, "up"])?;
        ip::run(&["link", "set", &wire, "up"])?;
    }
    Ok(())
}

fn turn(fuse: &mut Fuse, tree: &mut Tree, ended: &UnixStream, lifetime: bool) -> Done {
    let stdin = std::io::stdin();
    loop {
        let pause = tree.nmdm.busy().then_some(Timespec { tv_sec: 0, tv_nsec: 10_000_000 });
        let (ready, nmdm_ready) = {
            let mut fds = vec![PollFd::from_borrowed_fd(fuse.fd(), PollFlags::IN), PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)];
            let watched: Vec<(BorrowedFd<'_>, PollFlags)> = tree.nmdm.fds();
            fds.extend(watched.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)));
            if lifetime {
                fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
            }
            let _ = poll(&mut fds, pause.as_ref());
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let count = watched.len();
            (ready, (2..2 + count).any(|at| fds[at].revents() != PollFlags::empty()))
        };
        if ready[1] {
            return Ok(());
        }
        if lifetime && ready.last() == Some(&true) && stdin.lock().read(&mut [0; 64]).unwrap_or(0) == 0 {
            return Ok(());
        }
        // Openings and closings first: what is written is judged by who listens now.
        if nmdm_ready || tree.nmdm.busy() {
            tree.nmdm.turn()?;
        }
        if ready[0] {
            fuse.serve(tree)?;
        }
    }
}

/// Ends what still runs in the lab: all processes that were started in it, the guests among them. They are told by what we
/// see of them ourselves: a process id that one of them wrote down may be that of another process namespace.
fn end(place: &Place) {
    for _ in 0..100 {
        let left = inhabitants(&place.dir);
        if left.is_empty() {
            return;
        }
        left.into_iter().for_each(kill);
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Processes whose environment says that they are in this lab, but for ourselves and who started us.
fn inhabitants(dir: &Path) -> Vec<u32> {
    let mark = [b"CHYVES_LAB=", dir.as_os_str().as_encoded_bytes()].concat();
    let spared = [std::process::id(), rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())];
    let lives =
        |pid: &u32| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| text.split(|byte| *byte == 0).any(|item| item == mark));
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).filter(|pid| !spared.contains(pid)).filter(lives).collect()
}
