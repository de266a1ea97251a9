//! The main loop of one supervisor: wait for events, pass them to the state machine (`core::lifecycle`), execute its actions.
//!
//! One thread and one `poll`. Everything that is polled is non-blocking and checked after each wake-up; there are few
//! descriptors and wake-ups are rare, so nothing tracks which one was ready.
//!
//! Not here: startup (`startup`), how an action is executed (`actions`), what an end means and what is reported about it
//! (`ends`).

use super::Spawner;
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

/// Bytes of console output that a new client gets.
pub(super) const SCROLL_BACK: usize = 16 << 10;
/// Interval in milliseconds for checking whether a hypervisor that is not our child has ended.
const LOOK: u64 = 250;
/// Time limit in milliseconds for a VM that is taken over to answer.
pub(super) const ANSWER_WITHIN: u64 = 5_000;
/// Time in milliseconds after which a VM that is to be powered off forcibly is taken over without an answer.
pub(super) const INSIST_AFTER: u64 = 1_000;

/// The state of the drives after a change: the arguments for planning the next run, and the shared file systems that are then
/// in use.
#[derive(Debug)]
pub(super) struct Discs {
    pub(super) again: Vec<String>,
    pub(super) borrows: Vec<Dataset>,
}

/// A command before the hypervisor that failed, so that the hypervisor was not started.
#[derive(Debug)]
pub(super) struct Unprepared {
    pub(super) cmd: Cmd,
    /// Whether it exceeded its time limit.
    pub(super) late: bool,
}

/// The state of one supervisor.
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
    /// Set while the VM is paused.
    pub(super) hold: Option<Hold>,
    pub(super) serial: Serial,
    pub(super) ring: Ring,
    pub(super) console_log: ConsoleLog,
    pub(super) hypervisor_log: HypervisorLog,
    /// The hypervisor's messages, which are copied to `hypervisor_log`.
    pub(super) messages: Messages,
    pub(super) peers: Peers,
    /// Commands before the hypervisor that have not run yet.
    pub(super) before: VecDeque<Prepare>,
    /// Commands after the end that have not run yet.
    pub(super) after: VecDeque<Cmd>,
    /// The running command of a sequence.
    pub(super) job: Option<Job>,
    /// A command that runs concurrently (bhyvectl).
    pub(super) side: Option<Job>,
    /// Events that have not been passed to the state machine yet.
    pub(super) events: VecDeque<Event>,
    /// Start time of the current hypervisor, on the clock of [`Engine::now`].
    pub(super) launched: u64,
    /// Number of power-off requests that were postponed because the guest has not enabled ACPI.
    pub(super) put_off: u32,
    /// The last run ended with a reboot of the guest, and none has started since.
    pub(super) rebooted: bool,
    /// Shared file systems that the previous launch used and the current one does not.
    pub(super) returned: Vec<Dataset>,
    /// The state of the drives once the pending change is done.
    pub(super) discs: Option<Discs>,
    /// The last disk error that was passed to the guest, and that has been logged.
    pub(super) failed: Option<String>,
    /// The check that bhyve has opened the files that were checked; none when it is complete.
    pub(super) proof: Option<Proof>,
    /// Why the hypervisor would not run the guest, or was prevented from it.
    pub(super) refused: Option<String>,
    /// The last output of the hypervisor.
    pub(super) last_words: Option<String>,
    /// Errors of the commands after the end.
    pub(super) complaints: Vec<String>,
    /// A VM object could not be destroyed.
    pub(super) remains: bool,
    /// A program was missing.
    pub(super) missing: bool,
    /// The command before the last start that failed.
    pub(super) unprepared: Option<Unprepared>,
    /// The process that started this supervisor has its answer.
    pub(super) told: bool,
    /// Set if the VM was taken over: the time by which it must answer.
    pub(super) adopting: Option<u64>,
    /// The VM is kept even if it does not answer.
    pub(super) insist: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) written: Option<Record>,
    pub(super) signals: Signals,
    pub(super) clock: Instant,
    pub(super) look_at: u64,
    /// Firewall rules for the host's loopback that are being loaded.
    #[cfg(target_os = "linux")]
    pub(super) loading: Option<crate::confine::loopback::Loading>,
    /// Keeps others from choosing the port of the guest's display.
    pub(super) port: Option<Lock>,
    pub(super) lock: Lock,
}

/// Runs a supervisor with this order until the guest is off or released.
pub(super) fn run(rt: &Runtime, order: Order, spawner: Spawner, foreground: bool, report: &mut dyn FnMut(Word)) -> Result<Outcome> {
    // Signal handlers first: an early signal must not end us halfway.
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
    /// Milliseconds since the start of this supervisor.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The rules of the state machine for the current launch.
    pub(super) fn rules(&self) -> Rules {
        // QEMU reports when the guest runs. bhyve's setup errors all occur in its first moments, counted from its start.
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

    /// Passes the events to the state machine, and the current time.
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
            // Written before any report: its receiver may read the record at once.
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
        // A signal ends it early, as intended.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    /// Checks everything that may have happened.
    fn look(&mut self) {
        let now = self.now();
        let requested = self.signals.take();
        if requested.restore {
            self.restore_files();
        }
        if requested.stop {
            self.hypervisor_log.note("a signal requested to stop the guest");
            let timeout = u64::from(self.launch.policy.stop_timeout) * 1000;
            self.events.push_back(Event::Stop(Wish { timeout, force: Force::Never, stands: true }));
        }
        self.look_at_jobs(now);
        // The serial port before the monitor, which starts the guest once the port is open: nothing else wakes this loop for
        // that.
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
        // A guest that prints endlessly must not block everything else.
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

    /// Reads the remaining messages of a hypervisor that has ended.
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

    /// Writes the record if it has changed.
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
