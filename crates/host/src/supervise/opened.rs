//! That bhyve has open what was checked. bhyve opens its files by path, so between the check and its open somebody may have put
//! another file there: a file of the host, or one of another guest.
//!
//! Before bhyve runs each file is opened here as safely as every file of a guest, and held open, so that its inode stays its own.
//! In a jail the file is compared with what the jail shows: a nullfs mount holds on to the file that was there when it was made, and
//! shows all its attributes but the device, which is the mount's own. Once bhyve runs, fstat(1) tells what it has open, by device
//! and inode. What bhyve closes again after reading it, the boot ROM, is proved in a jail alone.
//!
//! Not here: what follows (`deeds`).

use super::job::{Ended, Job};
use crate::confine;
use crate::platform::here;
use chyves_core::launch::{Opened, Opens};
use chyves_core::os::freebsd::fstat::{self, OpenFile};
use rustix::event::{PollFd, PollFlags};
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// bhyve opens its files within milliseconds; what it has opened is asked for so long after its start, milliseconds.
const FIRST: u64 = 30;
/// And again after so long, until all are open.
const AGAIN: u64 = 100;
/// A bhyve that has not opened its files by then does not open them, milliseconds.
const WITHIN: u64 = 20_000;
/// How often in a row a file is missing and another one is open instead, before that is believed.
const SURE: u32 = 3;
/// Seconds that fstat may take.
const ASK_WITHIN: u32 = 10;
/// Bytes that it may print.
const LIMIT: usize = 1 << 20;

/// A file that bhyve is to have open.
#[derive(Debug)]
struct Expected {
    path: String,
    is: Identity,
    /// Whether bhyve keeps it open.
    stays: bool,
    /// It, so that no other file gets its inode meanwhile.
    _held: Option<OwnedFd>,
}

/// How a file is known to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// A file: device and inode, as bhyve sees them.
    File(u64, u64),
    /// A device.
    Special(u64),
}

/// The proof that is under way.
#[derive(Debug)]
pub(super) struct Proof {
    all: Vec<Expected>,
    /// Files that bhyve inherits: its lock.
    inherited: Vec<Identity>,
    jailed: bool,
    since: u64,
    next: u64,
    /// How often another file was found instead, in a row.
    wrong: u32,
    job: Option<Job>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proved {
    /// All is as it was checked; in words.
    Same(String),
    /// It could not be made; why.
    Unknown(String),
    /// bhyve has another file open; which, in words.
    Other(String),
}

impl Proof {
    /// Opens the files of a launch, and compares them with what its jail shows; `root` is the jail's root. None where there is
    /// nothing to prove.
    ///
    /// # Errors
    /// A file can't be opened safely, or the jail shows another one.
    pub(super) fn begin(opens: &[Opens], root: Option<&str>, inherited: &[&File]) -> Result<Option<Self>, String> {
        if opens.is_empty() {
            return Ok(None);
        }
        let all = opens.iter().map(|one| expected(one, root)).collect::<Result<_, _>>()?;
        let inherited = inherited.iter().filter_map(|file| Some(identity(&file.metadata().ok()?))).collect();
        Ok(Some(Self { all, inherited, jailed: root.is_some(), since: 0, next: 0, wrong: 0, job: None }))
    }

    /// bhyve has been started.
    #[must_use]
    pub(super) fn at(self, now: u64) -> Self {
        Self { since: now, next: now + FIRST, ..self }
    }

    /// When it has to be looked at.
    pub(super) fn wake_at(&self, now: u64) -> u64 {
        self.job.as_ref().map_or(self.next, |job| job.wake_at(now))
    }

    /// What to wait for.
    pub(super) fn fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.job.iter().flat_map(Job::fds).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
    }

    /// Goes on with the proof about the process `pid`; what came of it, if it is over.
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
        // Root alone gives nodes of /dev their names. A node has the same number in every /dev.
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

/// Whether two descriptions are of one file, which may be seen through a nullfs mount. An inode number can be had on another file
/// system as well; the moment of its creation, to the nanosecond, can't.
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
        // Open or mapped, it is the one.
        for descriptor in [Some(7), None] {
            let same = begin().judge(&[log, of(&meta(&disk), descriptor)], 0);
            assert!(matches!(&same, Some(Proved::Same(words)) if words.starts_with("1 file compared")), "{same:?}");
        }
        // bhyve is not as far as that yet.
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
