//! How a supervisor starts: it locks the guest's runtime folder, and either starts a VM or takes one over.
//!
//! Not here: the main loop (`engine`).

use super::Spawner;
use super::clients::Peers;
use super::engine::{ANSWER_WITHIN, Engine, INSIST_AFTER, SCROLL_BACK, epoch};
use super::log::{ConsoleLog, HypervisorLog};
use super::machine::Machine;
use super::messages::Messages;
use super::order::Word;
use super::ring::Ring;
use super::serial::Serial;
use super::signals::Signals;
use crate::hostfs::own;
use crate::ports;
use crate::proc::{self, Proc};
use crate::runtime::{GuestDir, Lock, Phase as Shown, Record, Runtime, check_socket, life, lock};
use chyves_core::error::{Problem, Result};
use chyves_core::launch::{ConsoleEnd, Control, Launch};
use chyves_core::lifecycle::Life;
use chyves_core::value::{Dataset, FilePath};
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;
use uuid::Uuid;

/// What every supervisor gets at its start.
pub(super) struct Means<'a> {
    pub(super) spawner: Spawner,
    pub(super) signals: Signals,
    pub(super) report: &'a mut dyn FnMut(Word),
}

/// The command that a supervisor notes as the holder of its locks.
pub(super) const HOLDER: &str = "a supervisor";

/// Creates and locks the guest's runtime folder. A supervisor that is exiting may remove it between two of these steps.
fn take_place(rt: &Runtime, dir: &GuestDir) -> Result<Option<Lock>> {
    rt.create()?;
    let mut tries = 0;
    loop {
        // The record shows a supervisor that lives without its lock.
        if !dir.has_supervisor_lock() && dir.is_supervised()? {
            return Ok(None);
        }
        dir.clear_damage()?;
        dir.create()?;
        match Lock::take(&dir.supervisor_lock(), lock::GLANCE) {
            Err(_) if tries < 50 && !own::is_there(dir.path()) => tries += 1,
            other => return other,
        }
    }
}

impl<'a> Engine<'a> {
    /// A supervisor that starts a VM.
    pub(super) fn fresh(rt: &Runtime, launch: Launch, means: Means<'a>) -> Result<Self> {
        let dir = rt.guest(launch.uuid);
        check_socket(&dir.control())?;
        if let Control::Qmp { socket } = &launch.control {
            check_socket(Path::new(socket))?;
        }
        if let ConsoleEnd::Socket { path } = &launch.console {
            check_socket(Path::new(path))?;
        }
        let Some(mut lock) = take_place(rt, &dir)? else {
            return Err(occupied(&dir, &launch));
        };
        if dir.machine_lives()? {
            return Err(Problem::not_now(format!("`{}` runs already, without its supervisor", launch.guest))
                .on(&launch.guest)
                .hint(format!("type `chyves start {}` to give it a new one, or `chyves stop {}` to stop it", launch.guest, launch.guest)));
        }
        lock.note(HOLDER)?;
        dir.clean_leftovers()
            .map_err(|e| Problem::failed(format!("cannot clean `{}`", dir.path().display())).on(&launch.guest).because(e))?;
        let record = Record {
            guest: launch.guest.clone(),
            uuid: launch.uuid,
            dataset: launch.dataset.clone(),
            vmm: launch.vmm,
            boot: proc::boot_id()?,
            supervisor: Proc::current()?,
            machine: None,
            started: epoch(),
            since: epoch(),
            reboots: 0,
            phase: Shown::Starting,
            paused: None,
            end: None,
            uid: None,
            opened: None,
            launch: launch.clone(),
        };
        let left = dir.clone();
        Self::new(rt, dir, launch, record, means, lock).inspect_err(|_| drop(left.remove()))
    }

    /// A supervisor that takes over a VM. `insist`: even if the VM does not answer.
    pub(super) fn adopting(rt: &Runtime, uuid: Uuid, dataset: &Dataset, insist: bool, means: Means<'a>) -> Result<Self> {
        let dir = rt.guest(uuid);
        let not_now =
            |why: &str| Problem::not_now(format!("there is nothing of `{}` to take over", dataset.leaf())).on(dataset).because(why);
        if !own::is_there(dir.path()) {
            return Err(not_now("it is not running"));
        }
        let Some(mut lock) = take_place(rt, &dir)? else {
            return Err(not_now("it has a supervisor"));
        };
        if !dir.machine_lives()? {
            return Err(not_now("it is not running"));
        }
        let record = Record::read(&dir.record())?.filter(|r| r.uuid == uuid && r.boot == proc::boot_id().unwrap_or_default());
        let Some(mut record) = record else {
            return Err(not_now("its record is lost").hint(match dir.machine_process()? {
                Some(process) => format!("end its hypervisor: `kill {}`", process.pid),
                None => format!("end the process that holds `{}`: `fuser {0}` shows it", dir.machine_lock().display()),
            }));
        };
        if record.dataset != *dataset {
            return Err(not_now(&format!("what runs is `{}`, a copy with the same identity", record.dataset)));
        }
        lock.note(HOLDER)?;
        record.supervisor = Proc::current()?;
        // The lock's file names the process before a record does.
        let process = match (record.machine.take(), dir.machine_process()?) {
            (_, Some(process)) => Some(process),
            (Some(process), None) if process.is_alive()? => Some(process),
            _ => None,
        };
        record.machine.clone_from(&process);
        let launch = record.launch.clone();
        let mut engine = Self::new(rt, dir, launch, record, means, lock)?;
        let now = engine.now();
        let words = engine.console_log.tail(SCROLL_BACK as u64);
        engine.ring.push(&words);
        engine.life = Life::adopted(now, engine.record.reboots);
        engine.machine = Some(Machine::Adopted { process, lock: engine.dir.machine_lock() });
        if let Some(why) = engine.record.paused.clone() {
            engine.pause(now, why);
        }
        engine.insist = insist;
        engine.adopting = Some(now + if insist { INSIST_AFTER } else { ANSWER_WITHIN });
        engine.connect();
        Ok(engine)
    }

    fn new(rt: &Runtime, dir: GuestDir, launch: Launch, record: Record, means: Means<'a>, lock: Lock) -> Result<Self> {
        let Means { spawner, signals, report } = means;
        let (console_log, hypervisor_log) = logs(&dir, &launch)?;
        let (life, _) = Life::begin(0);
        let engine = Self {
            peers: Peers::open(&dir.control())?,
            serial: Serial::new(launch.console.clone()),
            port: launch.screen.and_then(|screen| ports::keep_vnc(rt, screen.port(), HOLDER)),
            ring: Ring::new(SCROLL_BACK),
            console_log,
            hypervisor_log,
            #[cfg(target_os = "linux")]
            loading: None,
            messages: Messages::open(&dir.messages())?,
            dir,
            run: rt.root().to_owned(),
            spawner,
            report,
            launch,
            life,
            record,
            machine: None,
            qmp: None,
            hold: None,
            before: VecDeque::new(),
            after: VecDeque::new(),
            job: None,
            side: None,
            events: VecDeque::new(),
            launched: 0,
            put_off: 0,
            rebooted: false,
            returned: Vec::new(),
            discs: None,
            failed: None,
            proof: None,
            refused: None,
            last_words: None,
            complaints: Vec::new(),
            remains: false,
            missing: false,
            unprepared: None,
            told: false,
            adopting: None,
            insist: false,
            outcome: None,
            written: None,
            signals,
            clock: Instant::now(),
            look_at: 0,
            lock,
        };
        // A supervisor that cannot write its record could not report anything about its VM.
        engine.record.write(&engine.dir.record()).map_err(|e| {
            Problem::failed(format!("cannot write `{}`", engine.dir.record().display())).on(&engine.launch.guest).because(e)
        })?;
        Ok(engine)
    }
}

impl Engine<'_> {
    /// Creates its folder, its socket, the locks and the record again, where they were removed or something else is at their paths. The
    /// hypervisor still holds the former file of its lock; the new one names it.
    pub(super) fn restore_files(&mut self) {
        drop(self.dir.clear_damage());
        drop(self.dir.create());
        // A file cannot be renamed over a folder.
        drop(own::remove_all(self.dir.record()));
        self.written = None;
        if !own::is_socket(self.dir.control()) {
            drop(own::remove_all(self.dir.control()));
            drop(self.peers.listen_again(&self.dir.control()));
        }
        if !self.lock.is_in_place()
            && let Ok(Some(mut lock)) = Lock::take(&self.dir.supervisor_lock(), lock::GLANCE)
        {
            drop(lock.note(HOLDER));
            self.lock = lock;
        }
        if let Some(process) = self.machine.as_ref().and_then(Machine::process)
            && !own::is_there(self.dir.machine_lock())
        {
            drop(life::restore(&self.dir.machine_lock(), process));
        }
        self.write_record();
    }
}

/// Opens the logs of a launch.
pub(super) fn logs(dir: &GuestDir, launch: &Launch) -> Result<(ConsoleLog, HypervisorLog)> {
    let folder = &launch.log_dir;
    let spare = FilePath::host(dir.spare_log().to_string_lossy());
    let hypervisor = HypervisorLog::open(folder, &spare, launch.log_limit.get())
        .map_err(|p| p.within(format!("cannot open a log for the hypervisor of `{}`", launch.guest)).on(&launch.guest))?;
    Ok((ConsoleLog::new(folder, launch.log_limit.get()), hypervisor))
}

/// The error that another supervisor runs the guest.
fn occupied(dir: &GuestDir, launch: &Launch) -> Problem {
    let problem = Problem::not_now(format!("`{}` has a supervisor already", launch.guest)).on(&launch.guest);
    let problem = match lock::holder(&dir.supervisor_lock()) {
        Some(holder) => problem.because(format!("process {} is it", holder.pid)),
        None => problem,
    };
    match Record::read(&dir.record()) {
        Ok(Some(record)) if record.dataset != launch.dataset => {
            problem.because(format!("it runs from `{}`, a copy with the same identity", record.dataset))
        }
        _ => problem.hint(format!("type `chyves info {}` to see it", launch.guest)),
    }
}
