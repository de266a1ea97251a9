//! The life of one supervisor: wait for whatever happens, tell the life (`core::lifecycle`), do what it says.
//!
//! One thread and one `poll`. Everything that is polled is non-blocking and looked at after each wake-up; there are few of
//! them and wake-ups are rare, so nothing keeps track of which one it was.
//!
//! Not here: how it comes to be (`birth`), how each thing is done (`deeds`), what an end meant and what is said about it (`ends`).

use super::clients::Peers;
use super::job::Job;
use super::log::{ConsoleLog, HypervisorLog};
use super::machine::Machine;
use super::messages::Messages;
use super::opened::Proof;
use super::order::{Order, Outcome, Word};
use super::pause::Hold;
use super::qmp::{News, Qmp};
use super::ring::Ring;
use super::serial::Serial;
use super::signals::Signals;
use super::spawn::Spawner;
use super::startup::Means;
use crate::runtime::{GuestDir, Lock, Phase as Shown, Record, Runtime};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::{Launch, Prepare};
use chyves_core::lifecycle::{Do, Event, Final, Force, Life, Phase, Rules, Wish};
use chyves_core::value::Dataset;
use chyves_core::vmm::Vmm;
use rustix::event::{PollFd, Timespec, poll};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// How much of the console a newcomer sees.
pub(super) const SCROLL_BACK: usize = 16 << 10;
/// How often the end of a machine that is not our child is looked for, milliseconds.
const LOOK: u64 = 250;
/// A machine that is taken over has so many milliseconds to answer.
pub(super) const ANSWER_WITHIN: u64 = 5_000;
/// After so many it is taken over all the same, where it is to be ended by force.
pub(super) const INSIST_AFTER: u64 = 1_000;

/// Drives as they will be: what is handed back when the guest is run again, and what it then uses.
#[derive(Debug)]
pub(super) struct Discs {
    pub(super) again: Vec<String>,
    pub(super) borrows: Vec<Dataset>,
}

/// A command before the hypervisor that failed, so that there is no machine.
#[derive(Debug)]
pub(super) struct Unprepared {
    pub(super) cmd: Cmd,
    /// Whether its time was over.
    pub(super) late: bool,
}

/// A life with all its belongings.
pub(super) struct Engine<'a> {
    pub(super) dir: GuestDir,
    /// The runtime folder.
    pub(super) run: PathBuf,
    pub(super) spawner: Spawner,
    pub(super) report: &'a mut dyn FnMut(Word),
    pub(super) launch: Launch,
    pub(super) life: Life,
    pub(super) record: Record,
    pub(super) machine: Option<Machine>,
    pub(super) qmp: Option<Qmp>,
    /// It is paused.
    pub(super) hold: Option<Hold>,
    pub(super) serial: Serial,
    pub(super) ring: Ring,
    pub(super) console_log: ConsoleLog,
    pub(super) hypervisor_log: HypervisorLog,
    /// What the hypervisor prints, on its way to that log.
    pub(super) messages: Messages,
    pub(super) peers: Peers,
    /// Commands before the hypervisor that are still to run.
    pub(super) before: VecDeque<Prepare>,
    /// Commands after the end that are still to run.
    pub(super) after: VecDeque<Cmd>,
    /// The command that runs, where one after the other is to be done.
    pub(super) job: Option<Job>,
    /// A command that runs beside (a button of bhyve's).
    pub(super) side: Option<Job>,
    /// What happened and was not told to the life yet.
    pub(super) events: VecDeque<Event>,
    /// When the present hypervisor was started.
    pub(super) launched: u64,
    /// How often the power button was to be pressed and could not be yet.
    pub(super) put_off: u32,
    /// What ended last was the guest's own reboot, and nothing has run since.
    pub(super) rebooted: bool,
    /// File systems that the last launch borrowed and the present one does not.
    pub(super) returned: Vec<Dataset>,
    /// What holds when the disc that is being changed is changed.
    pub(super) discs: Option<Discs>,
    /// The last error of a disk that its guest was told, and that is written in the log.
    pub(super) failed: Option<String>,
    /// That bhyve has open what was checked, as far as that is not known yet.
    pub(super) proof: Option<Proof>,
    /// Why the hypervisor would not run the guest, or was kept from it.
    pub(super) refused: Option<String>,
    /// What its last words were.
    pub(super) last_words: Option<String>,
    /// What went wrong in the commands after the end.
    pub(super) complaints: Vec<String>,
    /// A VM object could not be destroyed.
    pub(super) remains: bool,
    /// A program was missing.
    pub(super) missing: bool,
    /// What could not be done before the last start.
    pub(super) unprepared: Option<Unprepared>,
    /// Whoever started this has its answer.
    pub(super) told: bool,
    /// It was not started by us: then it must answer by that moment.
    pub(super) adopting: Option<u64>,
    /// It is kept even if it does not answer.
    pub(super) insist: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) written: Option<Record>,
    pub(super) signals: Signals,
    pub(super) clock: Instant,
    pub(super) look_at: u64,
    /// Rules for the host's loopback that are being loaded.
    #[cfg(target_os = "linux")]
    pub(super) loading: Option<crate::confine::loopback::Loading>,
    /// Keeps others from choosing the port of its display.
    pub(super) port: Option<Lock>,
    pub(super) _lock: Lock,
}

/// Does what the order says, until it is over.
pub(super) fn run(rt: &Runtime, order: Order, spawner: Spawner, foreground: bool, report: &mut dyn FnMut(Word)) -> Result<Outcome> {
    // Signals first: one that comes early must not end us half-way.
    let signals = Signals::new(foreground).map_err(|e| Problem::failed("cannot handle signals").because(e))?;
    let means = Means { spawner, signals, report };
    match order {
        Order::Start(launch) => Engine::fresh(rt, *launch, means)?.live(),
        Order::TakeOver { uuid, dataset, insist } => Engine::adopting(rt, uuid, &dataset, insist, means)?.live(),
    }
}

/// Seconds since 1970.
pub(super) fn epoch() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Engine<'_> {
    /// Milliseconds of our own clock.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The rules as the present launch has them.
    pub(super) fn rules(&self) -> Rules {
        // QEMU tells when its guest runs; bhyve's errors of set-up all come in its first moments, which are counted from its start.
        let settle = match self.launch.vmm {
            Vmm::Qemu => 300,
            Vmm::Bhyve => 1_000_u64.saturating_sub(self.now().saturating_sub(self.launched)),
        };
        Rules { policy: self.launch.policy, settle }
    }

    fn live(mut self) -> Result<Outcome> {
        if self.adopting.is_none() {
            let (life, todo) = Life::begin(self.now());
            self.life = life;
            self.perform_all(&todo);
        } else if self.qmp.is_none() {
            self.announce();
        }
        while self.outcome.is_none() {
            self.look();
            self.pump();
            self.write_record();
            if self.outcome.is_none() && self.events.is_empty() {
                self.wait();
            }
        }
        self.leave()
    }

    fn perform_all(&mut self, todo: &[Do]) {
        for what in todo {
            self.perform(what);
        }
    }

    /// Tells the life what happened, and that time has passed.
    fn pump(&mut self) {
        loop {
            let now = self.now();
            let event = match self.events.pop_front() {
                Some(event) => event,
                None if self.life.wake_at().is_some_and(|at| at <= now) => Event::Tick,
                None => return,
            };
            let rules = self.rules();
            let (life, todo) = self.life.clone().step(&rules, now, event);
            self.life = life;
            // Written before anybody is told: who is told looks at once.
            self.write_record();
            self.perform_all(&todo);
        }
    }

    /// Waits until something can be done.
    fn wait(&mut self) {
        let now = self.now();
        let mut wakes = vec![self.life.wake_at(), self.peers.wake_at(), self.adopting, self.hold.as_ref().map(Hold::wake_at)];
        let mut fds = vec![PollFd::from_borrowed_fd(self.signals.fd(), rustix::event::PollFlags::IN)];
        for job in self.job.iter().chain(&self.side) {
            wakes.push(Some(job.wake_at(now)));
            fds.extend(job.fds().map(|fd| PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)));
        }
        if let Some(proof) = &self.proof {
            wakes.push(Some(proof.wake_at(now)));
            fds.extend(proof.fds());
        }
        if let Some(machine) = &self.machine {
            wakes.push((!machine.is_child()).then_some(self.look_at));
        }
        if let Some(qmp) = &self.qmp {
            match qmp.interest() {
                Ok((fd, flags)) => fds.push(PollFd::from_borrowed_fd(fd, flags)),
                Err(at) => wakes.push(Some(at)),
            }
        }
        match self.messages.interest() {
            Ok(fd) => fds.push(PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)),
            Err(at) => wakes.push(Some(at)),
        }
        match self.serial.interest() {
            Ok((fd, flags)) => fds.push(PollFd::from_borrowed_fd(fd, flags)),
            Err(at) => wakes.push(at),
        }
        fds.extend(self.peers.interest(self.serial.room()).map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        let timeout = wakes.into_iter().flatten().min().map(|at| Duration::from_millis(at.saturating_sub(now)));
        let timeout = timeout.and_then(|d| Timespec::try_from(d).ok());
        // A signal ends it early, and that is what signals are for.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    /// Looks at everything that may have happened.
    fn look(&mut self) {
        let now = self.now();
        if self.signals.take() {
            self.hypervisor_log.note("a signal requested to stop the guest");
            let timeout = u64::from(self.launch.policy.stop_timeout) * 1000;
            self.events.push_back(Event::Stop(Wish { timeout, force: Force::Never, stands: true }));
        }
        self.look_at_jobs(now);
        // The serial port before the monitor, which lets the guest run once the port is open: nothing wakes this loop for it later.
        self.look_at_serial(now);
        self.look_at_qmp(now);
        self.look_at_hold(now);
        self.look_at_messages(now);
        self.look_at_machine(now);
        self.look_at_opened(now);
        self.look_at_peers(now);
        if let Some(at) = self.adopting
            && now >= at
        {
            if self.insist {
                self.announce();
            } else {
                self.give_back();
            }
        }
    }

    pub(super) fn look_at_qmp(&mut self, now: u64) {
        let Some(qmp) = &mut self.qmp else { return };
        if self.serial.is_heard() {
            qmp.let_run();
        }
        for news in qmp.turn(now) {
            match news {
                News::Up if self.adopting.is_some() => self.announce(),
                News::Up => self.events.push_back(Event::Up),
                News::Resized(result) => self.resized(result),
                News::Changed(result) => self.disc_changed(result),
                News::Failed { node, write, paused, why } => self.disk_failed(now, &node, write, paused, &why),
                News::Stuck => self.found_paused(now),
                News::Resumed => self.resumed(now),
                News::Refused(why) => {
                    self.refused = Some(format!("the hypervisor would not run it: {why}"));
                    self.kill();
                }
            }
        }
    }

    pub(super) fn look_at_serial(&mut self, now: u64) {
        self.serial.open(now);
        self.serial.write(now);
        let mut buffer = [0; 4096];
        // A guest that never stops talking must not keep us from everything else.
        for _ in 0..16 {
            let Some(bytes) = self.serial.read(&mut buffer, now) else {
                break;
            };
            self.ring.push(bytes);
            self.console_log.write(now, bytes);
            self.peers.show(bytes);
        }
    }

    fn look_at_messages(&mut self, now: u64) {
        let mut buffer = [0; 4096];
        while let Some((bytes, last)) = self.messages.read(&mut buffer, now) {
            self.hypervisor_log.add(bytes);
            if last {
                self.hypervisor_log.note("the hypervisor prints more than is kept");
            }
        }
    }

    /// All that it has said: it has ended.
    pub(super) fn hear_last_words(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(bytes) = self.messages.read_now(&mut buffer) {
            self.hypervisor_log.add(bytes);
        }
    }

    fn look_at_machine(&mut self, now: u64) {
        let Some(machine) = &mut self.machine else {
            return;
        };
        if !machine.is_child() {
            if now < self.look_at {
                return;
            }
            self.look_at = now + LOOK;
        }
        if let Some(exit) = machine.ended() {
            self.machine_ended(exit);
        }
    }

    /// Writes down what has changed.
    pub(super) fn write_record(&mut self) {
        self.record.reboots = self.life.reboots;
        self.record.paused = self.hold.as_ref().map(|hold| hold.why().to_owned());
        self.record.machine = self.machine.as_ref().and_then(|m| m.process().cloned());
        self.record.phase = match &self.life.phase {
            Phase::Over(Final::Crashed(_)) => Shown::Crashed,
            Phase::Cleaning(_) | Phase::Over(Final::Off(_)) => Shown::Stopping,
            _ if self.life.is_stopping() => Shown::Stopping,
            Phase::Settling { .. } | Phase::Running if self.hold.is_some() => Shown::Paused,
            Phase::Running => Shown::Running,
            Phase::Planning | Phase::Preparing | Phase::Launching | Phase::Settling { .. } | Phase::Killing(_) | Phase::Pausing { .. } => {
                Shown::Starting
            }
        };
        if self.written.as_ref() != Some(&self.record) && self.record.write(&self.dir.record()).is_ok() {
            self.written = Some(self.record.clone());
        }
    }
}
