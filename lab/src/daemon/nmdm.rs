//! nmdm(4): pairs of terminals, each a pseudo terminal of Linux, with this in between.
//!
//! * What one side writes the other reads. For a side that nobody has open the first 4 KiB are kept, the rest is lost.
//! * When the last one closes side A, side B is hung up, unless it heeds no modem's lines (CLOCAL): who has it open reads what is
//!   left, then the end of file, and must open it anew. Closing B does not disturb A, whose user (bhyve, a loader) is of that kind.
//! * A side begins as any terminal does, cooked and with echo: it is its user who makes it raw.
//!
//! Not its job: names and looking up; see `tree`.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::ControlModes;

use crate::exit::{Done, Or};

/// Bytes kept for a side that nobody has open.
const KEPT: usize = 4096;
/// Bytes on their way to a side that is slow to read; after that its writer waits.
const QUEUE: usize = 1 << 16;
/// How long a hang-up waits for a reader to take what is left.
const LINGER: Duration = Duration::from_secs(5);
/// How long nothing must have been left before that is believed: bytes reach a reader by way of the kernel's own queue.
const QUIET: Duration = Duration::from_millis(50);

struct Side {
    master: OwnedFd,
    path: PathBuf,
    watch: i32,
    /// Openings less closings. Two in a row of one kind may be told as one, so that this is a hint; a hang-up is certain.
    opens: i32,
    /// Bytes for this side's reader.
    queue: VecDeque<u8>,
    /// A hang-up that waits for its reader: since when, and since when nothing has been left to read.
    hanging: Option<(Instant, Option<Instant>)>,
}

impl Side {
    fn new(inotify: &OwnedFd) -> Done<Side> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).or_broken("/dev/ptmx")?;
        grantpt(&master).and_then(|()| unlockpt(&master)).or_broken("a pseudo terminal")?;
        rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK).or_broken("a pseudo terminal")?;
        let name = ptsname(&master, Vec::new()).or_broken("a pseudo terminal")?;
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        let events = WatchFlags::OPEN | WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE;
        let watch = inotify::add_watch(inotify, &path, events).or_broken(path.display())?;
        Ok(Side { master, path, watch, opens: 0, queue: VecDeque::new(), hanging: None })
    }

    fn is_open(&self) -> bool {
        self.opens > 0
    }

    /// Whether its user heeds no modem's lines, such as that the other end has gone.
    fn is_local(&self) -> bool {
        rustix::termios::tcgetattr(&self.master).is_ok_and(|modes| modes.control_modes.contains(ControlModes::CLOCAL))
    }

    /// Reads what its user has written.
    fn read(&self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(0) | Err(Errno::IO) => return (bytes, true),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(_) => return (bytes, false),
            }
        }
    }

    /// Hands over what is there for its user.
    fn write(&mut self) {
        while !self.queue.is_empty() {
            let (front, _) = self.queue.as_slices();
            match rustix::io::write(&self.master, front) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Bytes that its user has not read yet.
    fn unread(&self) -> u64 {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty()).ok().and_then(|side| rustix::io::ioctl_fionread(side).ok()).unwrap_or(0)
    }
}

struct Pair {
    a: Side,
    b: Side,
}

/// All pairs.
pub(super) struct Nmdm {
    inotify: OwnedFd,
    pairs: HashMap<String, Pair>,
}

impl Nmdm {
    pub(super) fn new() -> Done<Nmdm> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).or_broken("inotify")?;
        Ok(Nmdm { inotify, pairs: HashMap::new() })
    }

    /// The terminal of a side. The pair is made when it is not there.
    pub(super) fn path(&mut self, name: &str, a: bool) -> Option<PathBuf> {
        if !self.pairs.contains_key(name) {
            let pair = Pair { a: Side::new(&self.inotify).ok()?, b: Side::new(&self.inotify).ok()? };
            self.pairs.insert(name.to_owned(), pair);
        }
        let pair = self.pairs.get(name)?;
        Some(if a { pair.a.path.clone() } else { pair.b.path.clone() })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.pairs.keys().flat_map(|name| [format!("nmdm{name}A"), format!("nmdm{name}B")]).collect()
    }

    /// Is there something to do that no descriptor tells of?
    pub(super) fn busy(&self) -> bool {
        self.pairs.values().any(|pair| pair.b.hanging.is_some())
    }

    /// What to wait for.
    pub(super) fn fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let mut fds = vec![(self.inotify.as_fd(), PollFlags::IN)];
        for pair in self.pairs.values() {
            for (side, other, held) in [(&pair.a, &pair.b, pair.b.hanging.is_some()), (&pair.b, &pair.a, false)] {
                // A side that nobody has open would be reported as hung up for ever.
                if !side.is_open() || side.hanging.is_some() {
                    continue;
                }
                let mut flags = PollFlags::empty();
                if other.queue.len() < QUEUE && !held {
                    flags |= PollFlags::IN;
                }
                if !side.queue.is_empty() {
                    flags |= PollFlags::OUT;
                }
                if !flags.is_empty() {
                    fds.push((side.master.as_fd(), flags));
                }
            }
        }
        fds
    }

    /// Moves bytes, and follows openings and closings.
    pub(super) fn turn(&mut self) -> Done {
        let events = self.events()?;
        for pair in self.pairs.values_mut() {
            for (watch, opened) in &events {
                if *watch == pair.a.watch {
                    pair.a.opens += if *opened { 1 } else { -1 };
                    if pair.a.opens <= 0 {
                        pair.a.opens = 0;
                        pair.close_a();
                    }
                } else if *watch == pair.b.watch && pair.b.hanging.is_none() {
                    pair.b.opens = (pair.b.opens + if *opened { 1 } else { -1 }).max(0);
                }
            }
            pair.move_bytes();
            if pair.b.hanging.is_some() {
                pair.hang_up(&self.inotify)?;
            }
        }
        Ok(())
    }

    /// Watches, and whether something was opened rather than closed.
    fn events(&self) -> Done<Vec<(i32, bool)>> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::OPEN) => events.push((event.wd(), true)),
                Ok(event) if event.events().intersects(ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE) => {
                    events.push((event.wd(), false));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(events),
                Err(error) => return Err(error).or_broken("inotify"),
            }
        }
    }
}

impl Pair {
    /// Side A was closed: its last words go over, then B is hung up.
    fn close_a(&mut self) {
        let (bytes, _) = self.a.read();
        if self.b.is_open() {
            self.b.queue.extend(bytes);
            if self.b.is_local() {
                self.a.queue.clear();
                return;
            }
            self.b.hanging.get_or_insert((Instant::now(), None));
        } else {
            // Nobody was there to hear it.
            self.b.queue.clear();
        }
        self.a.queue.clear();
    }

    fn move_bytes(&mut self) {
        // While B is being hung up, what a new user of A writes belongs to B's next user.
        if self.b.hanging.is_none() && self.a.is_open() && self.b.queue.len() < QUEUE {
            let (bytes, closed) = self.a.read();
            feed(&mut self.b, bytes);
            if closed {
                self.a.opens = 0;
                self.close_a();
            }
        }
        if self.b.hanging.is_none() && self.b.is_open() && self.a.queue.len() < QUEUE {
            let (bytes, closed) = self.b.read();
            feed(&mut self.a, bytes);
            if closed {
                self.b.opens = 0;
            }
        }
        for side in [&mut self.a, &mut self.b] {
            if side.is_open() {
                side.write();
            }
        }
    }

    /// Ends B's terminal once its user has read all, and gives it a new one.
    fn hang_up(&mut self, inotify: &OwnedFd) -> Done {
        let Some((since, quiet)) = self.b.hanging else { return Ok(()) };
        let nothing_left = self.b.queue.is_empty() && self.b.unread() == 0;
        let quiet = if nothing_left { Some(quiet.unwrap_or_else(Instant::now)) } else { None };
        if quiet.is_none_or(|quiet| quiet.elapsed() < QUIET) && since.elapsed() < LINGER {
            self.b.hanging = Some((since, quiet));
            return Ok(());
        }
        self.b = Side::new(inotify)?;
        Ok(())
    }
}

/// Bytes for a side; where nobody has it open, only the first are kept.
fn feed(side: &mut Side, bytes: Vec<u8>) {
    let room = if side.is_open() { usize::MAX } else { KEPT.saturating_sub(side.queue.len()) };
    side.queue.extend(bytes.into_iter().take(room));
}
