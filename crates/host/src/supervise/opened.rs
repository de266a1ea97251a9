//! Verifies that bhyve has opened the files that were checked. bhyve opens its files by path, so between the check and the open
//! another process may have replaced a file with one of the host, or of another guest.
//!
//! Before bhyve runs, each file is opened here as safely as every file of a guest, and held open, so that its inode is not
//! reused. In a jail the file is compared with what the jail shows: a nullfs mount holds the file that existed when it was
//! mounted, and shows all its attributes but the device, which is the mount's own. Once bhyve runs, fstat(1) prints what it has
//! open, by device and inode. What bhyve closes after reading it, the boot ROM, can be verified only in a jail.
//!
//! Not here: what follows from the result (`actions`).

use super::job::{Ended, Job};
use crate::confine;
use crate::platform::here;
use chyves_core::launch::{Opened, Opens};
use chyves_core::os::freebsd::fstat::{self, OpenFile};
use rustix::event::{PollFd, PollFlags};
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// Delay in milliseconds before the first query; bhyve opens its files within milliseconds.
const FIRST: u64 = 30;
/// Interval in milliseconds between queries, until all files are open.
const AGAIN: u64 = 100;
/// Time in milliseconds after which bhyve will not open its files any more.
const WITHIN: u64 = 20_000;
/// Number of consecutive queries in which a file must be missing and another one open, before that is accepted.
const SURE: u32 = 3;
/// Time limit of fstat, in seconds.
const ASK_WITHIN: u32 = 10;
/// Size limit of its output, in bytes.
const LIMIT: usize = 1 << 20;

/// A file that bhyve should have open.
#[derive(Debug)]
struct Expected {
    path: String,
    is: Identity,
    /// Whether bhyve keeps it open.
    stays: bool,
    /// Held open, so that its inode is not reused meanwhile.
    _held: Option<OwnedFd>,
}

/// How the kernel identifies a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// A file: device and inode, as bhyve sees them.
    File(u64, u64),
    /// A device, by its number.
    Special(u64),
}

/// A verification in progress.
#[derive(Debug)]
pub(super) struct Proof {
    all: Vec<Expected>,
    /// Files that bhyve inherits: its lock.
    inherited: Vec<Identity>,
    jailed: bool,
    since: u64,
    next: u64,
    /// Number of consecutive queries that found another file.
    wrong: u32,
    job: Option<Job>,
}

/// The result of a verification.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proved {
    /// All files are the checked ones; as text.
    Same(String),
    /// The verification was not possible; the reason.
    Unknown(String),
    /// bhyve has another file open; which one, as text.
    Other(String),
}

impl Proof {
    /// Opens the files of a launch, and compares them with what its jail shows; `root` is the jail's root. None if there is
    /// nothing to verify.
    ///
    /// # Errors
    /// A file cannot be opened safely, or the jail shows another one.
    pub(super) fn begin(opens: &[Opens], root: Option<&str>, inherited: &[&File]) -> Result<Option<Self>, String> {
        if opens.is_empty() {
            return Ok(None);
        }
        let all = opens.iter().map(|one| expected(one, root)).collect::<Result<_, _>>()?;
        let inherited = inherited.iter().filter_map(|file| Some(identity(&file.metadata().ok()?))).collect();
        Ok(Some(Self { all, inherited, jailed: root.is_some(), since: 0, next: 0, wrong: 0, job: None }))
    }

    /// Starts the clock: bhyve has been started.
    #[must_use]
    pub(super) fn at(self, now: u64) -> Self {
        Self { since: now, next: now + FIRST, ..self }
    }

    /// The time at which it must be checked.
    pub(super) fn wake_at(&self, now: u64) -> u64 {
        self.job.as_ref().map_or(self.next, |job| job.wake_at(now))
    }

    /// The descriptors to poll.
    pub(super) fn fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.job.iter().flat_map(Job::fds).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
    }

    /// Continues the verification of the process `pid`; the result, once there is one.
    pub(super) fn turn(&mut self, pid: u32, now: u64) -> Option<Proved> {
        let Some(job) = &mut self.job else {
            if now >= self.next {
                match Job::start(&fstat::question(pid), Some(LIMIT), now, ASK_WITHIN) {
                    Ok(job) => self.job = Some(job),
                    Err(e) => return Some(Proved::Unknown(e.why)),
                }
            }
            return None;
        };
        job.read();
        let ended = job.ended(now)?;
        self.job = None;
        self.next = now + AGAIN;
        match ended {
            Ended::Well(text) => match fstat::parse(pid, &String::from_utf8_lossy(&text)) {
                Ok(open) => self.judge(&open, now),
                Err(problem) => Some(Proved::Unknown(problem.to_string())),
            },
            Ended::Badly(why) | Ended::Late(why) | Ended::Remains(why) => Some(Proved::Unknown(why)),
        }
    }

    fn judge(&mut self, open: &[OpenFile], now: u64) -> Option<Proved> {
        let has = |is: Identity| open.iter().any(|file| of_open(file) == is);
        let missing: Vec<&Expected> = self.all.iter().filter(|expected| expected.stays && !has(expected.is)).collect();
        let Some(first) = missing.first() else { return Some(Proved::Same(self.words())) };
        let known = |is: Identity| self.inherited.contains(&is) || self.all.iter().any(|expected| expected.is == is);
        let others: Vec<String> = open
            .iter()
            .filter(|file| file.descriptor.is_some() && file.is_regular() && !known(of_open(file)))
            .map(|file| {
                let how = if file.writes { "read-write" } else { "read-only" };
                format!("inode {} of device {:#x} ({} bytes, {how})", file.inode, file.device, file.size)
            })
            .collect();
        self.wrong = if others.is_empty() { 0 } else { self.wrong + 1 };
        if self.wrong < SURE && now.saturating_sub(self.since) < WITHIN {
            return None;
        }
        let wanted = match first.is {
            Identity::File(device, inode) => format!("inode {inode} of device {device:#x}"),
            Identity::Special(device) => format!("the device {device:#x}"),
        };
        let found = if others.is_empty() { "no file instead".to_owned() } else { others.join(", ") };
        Some(Proved::Other(format!(
            "bhyve has not opened the file that was checked at {}: {wanted} is not open, and it has open {found}",
            first.path
        )))
    }

    fn words(&self) -> String {
        let stay = self.all.iter().filter(|expected| expected.stays).count();
        let closed: Vec<&str> = self.all.iter().filter(|expected| !expected.stays).map(|expected| expected.path.as_str()).collect();
        let files = if stay == 1 { "1 file" } else { &format!("{stay} files") };
        let open = format!("{files} compared with what bhyve has open, by device and inode");
        match (closed.is_empty(), self.jailed) {
            (true, _) => open,
            (false, true) => format!("{open}; {} compared in its jail", closed.join(", ")),
            (false, false) => format!("{open}; not compared, since bhyve closes it again: {}", closed.join(", ")),
        }
    }
}

fn identity(meta: &Metadata) -> Identity {
    Identity::File(meta.dev(), meta.ino())
}

fn of_open(file: &OpenFile) -> Identity {
    file.special.map_or(Identity::File(file.device, file.inode), Identity::Special)
}

fn expected(one: &Opens, root: Option<&str>) -> Result<Expected, String> {
    let path = one.path();
    let cant = |e: std::io::Error| format!("cannot inspect {path}: {e}");
    if let Opened::File { device: true, .. } = &one.what {
        // Only root can create entries in /dev, and a device has the same number in every devfs.
        let meta = crate::hostfs::named::stat(here().path(path)).map_err(cant)?;
        return Ok(Expected { path: path.to_owned(), is: Identity::Special(meta.rdev()), stays: one.stays, _held: None });
    }
    let held = confine::open(&one.what).map_err(|e| format!("{} cannot be opened: {e}", one.what))?;
    let file = File::from(held);
    let ours = file.metadata().map_err(cant)?;
    let mut is = identity(&ours);
    if let Some(root) = root {
        let shown =
            crate::hostfs::named::stat(format!("{root}{path}")).map_err(|e| format!("cannot inspect {path} in the jail of bhyve: {e}"))?;
        if !same(&ours, &shown) {
            return Err(format!(
                "the jail of bhyve shows another file than the one that was checked at {path}: inode {} ({} bytes), and not {} ({} bytes)",
                shown.ino(),
                shown.len(),
                ours.ino(),
                ours.len()
            ));
        }
        is = identity(&shown);
    }
    Ok(Expected { path: path.to_owned(), is, stays: one.stays, _held: Some(file.into()) })
}

/// Whether both are the metadata of one file, possibly seen through a nullfs mount. The same inode number may exist on another
/// file system, but not with the same creation time in nanoseconds.
fn same(a: &Metadata, b: &Metadata) -> bool {
    let born = |meta: &Metadata| meta.created().ok();
    a.ino() == b.ino() && a.mode() == b.mode() && a.uid() == b.uid() && born(a) == born(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path, mount: &std::path::Path) -> Opens {
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        Opens { what: Opened::File { path: text(path), write: true, device: false, beneath: Some(text(mount)) }, stays: true }
    }

    fn of(meta: &Metadata, descriptor: Option<u32>) -> OpenFile {
        let (device, inode) = (meta.dev(), meta.ino());
        OpenFile { descriptor, device, inode, mode: 0o100_600, special: None, size: meta.len(), writes: true }
    }

    #[test]
    fn what_is_open_is_compared_with_what_was_checked() {
        let temp = tempfile::tempdir().unwrap();
        let (disk, other, log) = (temp.path().join("disk0.raw"), temp.path().join("other"), temp.path().join("log"));
        for path in [&disk, &other, &log] {
            std::fs::write(path, "x").unwrap();
        }
        let meta = |path| std::fs::metadata(path).unwrap();
        let file = File::open(&log).unwrap();
        let begin = || Proof::begin(&[open(&disk, temp.path())], None, &[&file]).unwrap().unwrap().at(0);
        let log = of(&meta(&log), Some(1));
        // Open or mapped, it is the checked file.
        for descriptor in [Some(7), None] {
            let same = begin().judge(&[log, of(&meta(&disk), descriptor)], 0);
            assert!(matches!(&same, Some(Proved::Same(words)) if words.starts_with("1 file compared")), "{same:?}");
        }
        // bhyve has not opened the file yet.
        let mut proof = begin();
        assert_eq!((proof.judge(&[log], 0), proof.judge(&[log], WITHIN - 1)), (None, None));
        assert!(matches!(proof.judge(&[log], WITHIN), Some(Proved::Other(why)) if why.contains("no file instead")));
        // Another file has its name.
        let mut proof = begin();
        std::fs::rename(&other, &disk).unwrap();
        let swapped = [log, of(&meta(&disk), Some(7))];
        assert_eq!((proof.judge(&swapped, 0), proof.judge(&swapped, 0)), (None, None));
        let inode = meta(&disk).ino();
        let why = proof.judge(&swapped, 0);
        assert!(matches!(&why, Some(Proved::Other(why)) if why.contains(&format!("has open inode {inode} of device"))), "{why:?}");
    }

    #[test]
    fn what_is_no_file_of_the_guest_and_what_a_jail_shows_instead_is_refused_before_the_start() {
        let temp = tempfile::tempdir().unwrap();
        let (guest, root) = (temp.path().join("guest"), temp.path().join("root"));
        std::fs::create_dir(&guest).unwrap();
        let disk = guest.join("disk0.raw");
        let inside = std::path::PathBuf::from(format!("{}{}", root.display(), disk.display()));
        std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
        std::fs::write(&disk, "x").unwrap();
        let begin = |root: Option<&std::path::Path>| Proof::begin(&[open(&disk, &guest)], root.map(|r| r.to_str().unwrap()), &[]);
        std::fs::write(&inside, "y").unwrap();
        assert!(begin(Some(&root)).unwrap_err().contains("another file than the one that was checked"));
        std::fs::remove_file(&inside).unwrap();
        assert!(begin(Some(&root)).unwrap_err().contains("in the jail of bhyve"));
        assert!(begin(None).unwrap().is_some());
        std::fs::remove_file(&disk).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &disk).unwrap();
        assert!(begin(None).unwrap_err().contains("cannot be opened"));
    }
}
