//! Executes the actions that the lifecycle state machine decides.
//!
//! Not here: the requests of connected clients (`requests`).

use super::engine::{Engine, Unprepared, epoch};
use super::job::{CantRun, Ended, Job};
use super::machine::Machine;
use super::opened::{Proof, Proved};
use super::order::{LIMIT, Word};
use super::pause::Hold;
use super::qmp::Qmp;
use super::startup::{HOLDER, logs};
use crate::confine::{self, Born};
use crate::control::Reply;
use crate::hostfs::{kernel, own};
use crate::platform::here;
use crate::ports;
use crate::runtime::{Runtime, life, lock};
use crate::{run, trace};
use chyves_core::cmd::Cmd;
use chyves_core::confinement::Means;
#[cfg(target_os = "linux")]
use chyves_core::confinement::{Network, Sandbox};
use chyves_core::error::Problem;
use chyves_core::guest::paused;
use chyves_core::launch::{Control, Launch, OWN, Prepare, REFUSED, SECRET_FILE};
use chyves_core::lifecycle::{Do, End, Event, Phase, StopFailure};
use chyves_core::os::freebsd::bhyve;
use chyves_core::value::Dataset;
use chyves_core::value::json;
use rustix::process::Signal;
use std::path::PathBuf;

/// Time limit in seconds for planning a reboot, which reads the pool.
const REPLAN_WITHIN: u32 = 60;
/// Time limit in seconds for a command after the VM's end.
pub(super) const AFTER_WITHIN: u32 = 30;
/// Time limit in seconds for a bhyvectl command.
const BUTTON_WITHIN: u32 = 10;
/// Time in milliseconds after which a guest counts as having enabled ACPI, where that cannot be observed.
const BOOTS_WITHIN: u64 = 30_000;

/// Size limit of a display password, in bytes.
const SECRET_LIMIT: u64 = 4096;

/// The launch that `_launch-spec` printed, or why there is none.
fn answered(bytes: &[u8]) -> Result<Launch, String> {
    let unread = |e: serde_json::Error| format!("the new plan cannot be read: {e}");
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(unread)?;
    match value.get(REFUSED).and_then(serde_json::Value::as_str) {
        Some(why) => Err(why.to_owned()),
        None => json::from_value(value).map_err(unread),
    }
}

impl Engine<'_> {
    pub(super) fn perform(&mut self, what: &Do) {
        match what {
            Do::Replan => self.replan(),
            Do::Prepare => {
                self.close_loopback();
                if self.serial.is_device() {
                    let now = self.now();
                    self.serial.want(now);
                    self.serial.open(now);
                }
                self.before = self.launch.before.clone().into();
                for dataset in std::mem::take(&mut self.returned) {
                    self.before.push_back(Prepare { cmd: self.let_go(&dataset), may_fail: true, timeout: AFTER_WITHIN, loads: false });
                }
                if self.launch.frees_logs {
                    self.close_logs();
                }
                self.next_before();
            }
            Do::Abort => {
                if let Some(mut job) = self.job.take() {
                    job.give_up();
                }
                self.before.clear();
            }
            Do::Launch => self.start(),
            Do::Announce => self.announce(),
            Do::AskPowerOff if self.is_deadly_to_ask() => {
                // Logged once; the power-off is requested repeatedly.
                if self.put_off == 0 {
                    self.peers.tell_waiting(&Reply::NotYet, false);
                    self.hypervisor_log.note("its power button has no effect before the guest operating system has enabled ACPI");
                }
                self.put_off += 1;
            }
            Do::AskPowerOff => {
                self.ask_power_off();
                self.peers.tell_waiting(&Reply::Asked, false);
            }
            Do::PullReset => self.pull_reset(),
            Do::PullPlug => {
                self.pull_plug();
                self.peers.tell_waiting(&Reply::Forced, false);
            }
            Do::Kill => self.kill(),
            Do::StopFailed(why) => self.stop_failed(*why),
            Do::CleanUp => {
                // The last of these commands may unmount the file system that contains the logs.
                self.close_logs();
                self.after = self.launch.after.clone().into();
                // From now on other processes see that this guest uses nothing any more.
                for dataset in std::mem::take(&mut self.record.launch.borrows) {
                    let cmd = self.let_go(&dataset);
                    self.after.push_back(cmd);
                }
                if self.launch.confinement.is_on_hosts_network() {
                    self.after.push_front(self.spawner.command("_put-away").args(["--guest", &self.launch.uuid.to_string(), "--rules"]));
                }
                if self.launch.networks {
                    self.after.push_front(self.spawner.command("_put-away").args(["--guest", &self.launch.uuid.to_string()]));
                }
                self.write_record();
                self.next_after();
            }
            Do::Finish => self.finish(),
        }
    }

    /// The plan is made by a separate process: it reads the pool and needs memory that a supervisor should not keep.
    fn replan(&mut self) {
        let after = if self.rebooted { "reboot" } else { "crash" };
        let cmd = self
            .spawner
            .command("_launch-spec")
            .args(["--dataset", self.launch.dataset.as_str()])
            .args(["--after", after, "--reboots", &self.life.reboots.to_string()])
            .args(self.launch.again.iter().map(String::as_str));
        let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
        match Job::start_own(&cmd, Some(limit), self.now(), REPLAN_WITHIN) {
            Ok(job) => self.job = Some(job),
            Err(e) => self.events.push_back(Event::Planned(Err(e.why))),
        }
    }

    fn planned(&mut self, ended: Ended) {
        let result = match ended {
            Ended::Badly(why) | Ended::Late(why) | Ended::Remains(why) => Err(why),
            Ended::Well(bytes) => answered(&bytes),
        };
        let result = result.and_then(|launch: Launch| {
            if launch.uuid != self.launch.uuid || launch.dataset != self.launch.dataset {
                return Err(format!("the new plan is one of `{}`", launch.dataset));
            }
            let kept = launch.kept_because.clone();
            self.obey(launch)?;
            if let Some(why) = kept {
                self.keeps(&why);
            }
            Ok(())
        });
        let result = result.map_err(|why| format!("it cannot be started again: {why}"));
        if let Err(why) = &result {
            self.hypervisor_log.note(why);
            let now = self.now();
            self.console_log.write(now, format!("\r\nchyves: {why}\r\n").as_bytes());
        }
        self.events.push_back(Event::Planned(result));
    }

    /// Reports that the guest restarts with the settings of its previous start.
    fn keeps(&mut self, why: &str) {
        let text = format!("restarted with its settings of before, since the present ones cannot be used: {why}");
        self.hypervisor_log.note(&text);
        let now = self.now();
        self.console_log.write(now, format!("\r\nchyves: {text}\r\n").as_bytes());
    }

    /// Switches to a new launch.
    fn obey(&mut self, launch: Launch) -> Result<(), String> {
        (self.console_log, self.hypervisor_log) = logs(&self.dir, &launch).map_err(|e| e.to_string())?;
        self.serial.move_to(&launch.console);
        self.record.guest.clone_from(&launch.guest);
        self.record.vmm = launch.vmm;
        self.returned = self.launch.borrows.iter().filter(|b| !launch.borrows.contains(b)).cloned().collect();
        self.record.launch.clone_from(&launch);
        if launch.screen != self.launch.screen {
            let rt = Runtime::at(&self.run);
            self.port = launch.screen.and_then(|screen| ports::keep_vnc(&rt, screen.port(), HOLDER));
        }
        self.launch = launch;
        Ok(())
    }

    /// The command that unmounts a shared file system if no other guest uses it.
    fn let_go(&self, dataset: &Dataset) -> Cmd {
        self.spawner.command("_let-go").args(["--dataset", dataset.as_str()])
    }

    /// Starts a command whose output is not needed. A command of chyves itself also gets the variables that name chyves'
    /// folders.
    fn job_of(&self, cmd: &Cmd, seconds: u32) -> Result<Job, CantRun> {
        if cmd.program == OWN {
            let cmd = Cmd::new(&self.spawner.exe.to_string_lossy(), self.spawner.args.iter().chain(&cmd.args));
            return Job::start_own(&cmd, None, self.now(), seconds);
        }
        let own = std::path::Path::new(&cmd.program) == self.spawner.exe;
        let job = if own { Job::start_own(cmd, None, self.now(), seconds) } else { Job::start(cmd, None, self.now(), seconds) };
        job.map(|job| job.removes(self.object_of(cmd)))
    }

    /// Starts loading the rules that keep the guest from the host's loopback, concurrently with the commands before the
    /// hypervisor.
    #[cfg_attr(not(target_os = "linux"), allow(clippy::unused_self))]
    fn close_loopback(&mut self) {
        #[cfg(target_os = "linux")]
        if let Means::Linux(Sandbox { first_uid, network: Network::Host { .. }, owns_files: false, .. }) = &self.launch.confinement.means {
            self.loading = confine::loopback::prepare(&self.run, *first_uid);
        }
    }

    fn close_logs(&mut self) {
        self.console_log.close();
        self.hypervisor_log.close();
    }

    /// Reopens the logs after the commands that needed the logs' file system for themselves.
    fn reopen_logs(&mut self) {
        if self.launch.frees_logs
            && let Ok(open) = logs(&self.dir, &self.launch)
        {
            (self.console_log, self.hypervisor_log) = open;
        }
    }

    /// Starts the next command before the hypervisor, or reports that none is left.
    fn next_before(&mut self) {
        while let Some(next) = self.before.front() {
            (self.report)(Word::Run(next.cmd.to_string()));
            match self.job_of(&next.cmd, next.timeout) {
                Ok(job) => {
                    self.job = Some(job);
                    return;
                }
                Err(_) if next.may_fail => drop(self.before.pop_front()),
                Err(e) => {
                    self.missing = e.missing;
                    self.unprepared = Some(Unprepared { cmd: next.cmd.clone(), late: false });
                    self.before.clear();
                    self.reopen_logs();
                    self.events.push_back(Event::Prepared(Err(e.why)));
                    return;
                }
            }
        }
        self.reopen_logs();
        self.events.push_back(Event::Prepared(Ok(())));
    }

    fn before_ended(&mut self, ended: Ended) {
        let what = self.before.pop_front();
        let may_fail = what.as_ref().is_some_and(|p| p.may_fail);
        let late = matches!(ended, Ended::Late(_));
        match ended {
            // The object to be removed may be missing; it is a failure only if it still exists afterwards.
            Ended::Badly(_) | Ended::Late(_) if may_fail => self.next_before(),
            Ended::Badly(why) | Ended::Late(why) | Ended::Remains(why) => {
                self.unprepared = what.map(|p| Unprepared { cmd: p.cmd, late });
                self.reopen_logs();
                self.hypervisor_log.note(&why);
                self.before.clear();
                self.events.push_back(Event::Prepared(Err(why)));
            }
            Ended::Well(_) => self.next_before(),
        }
    }

    /// Starts the next command after the end, or reports that none is left. A failure does not stop the next ones.
    fn next_after(&mut self) {
        while let Some(cmd) = self.after.pop_front() {
            if self.is_needless(&cmd) {
                continue;
            }
            match self.job_of(&cmd, AFTER_WITHIN) {
                Ok(job) => {
                    self.job = Some(job);
                    return;
                }
                Err(e) => self.complaints.push(e.why),
            }
        }
        self.events.push_back(Event::Cleaned);
    }

    /// Whether a command after the end has nothing to do: a VM object that was never created, or has been destroyed already,
    /// cannot be destroyed, and the same holds for a jail.
    fn is_needless(&self, cmd: &Cmd) -> bool {
        if let Means::Jail(jail) = &self.launch.confinement.means
            && jail.teardown().contains(cmd)
        {
            let is_gone = |path: &str| own::stat(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
            return is_gone(&jail.root) || *cmd == jail.remove() && is_gone(&jail.conf);
        }
        self.object_of(cmd).is_some_and(|node| !kernel::is_there(node))
    }

    /// Path of the VM object that a command destroys, if it is such a command.
    fn object_of(&self, cmd: &Cmd) -> Option<PathBuf> {
        match &self.launch.control {
            Control::Bhyve { vm } => (*cmd == bhyve::destroy(vm)).then(|| here().path(&bhyve::node(vm))),
            Control::Qmp { .. } => None,
        }
    }

    pub(super) fn look_at_jobs(&mut self, now: u64) {
        if let Some(job) = &mut self.side {
            job.read();
            if let Some(ended) = job.ended(now) {
                self.side = None;
                if let Ended::Badly(why) | Ended::Late(why) | Ended::Remains(why) = ended {
                    self.hypervisor_log.note(&why);
                }
            }
        }
        let Some(job) = &mut self.job else { return };
        job.read();
        let Some(ended) = job.ended(now) else { return };
        self.job = None;
        match &self.life.phase {
            Phase::Planning => self.planned(ended),
            Phase::Preparing => self.before_ended(ended),
            Phase::Cleaning(_) => {
                self.remains |= matches!(ended, Ended::Remains(_));
                if let Ended::Badly(why) | Ended::Late(why) | Ended::Remains(why) = ended {
                    self.complaints.push(why);
                }
                self.next_after();
            }
            Phase::Launching | Phase::Settling { .. } | Phase::Running | Phase::Killing(_) | Phase::Pausing { .. } | Phase::Over(_) => {}
        }
    }

    fn start(&mut self) {
        self.refused = None;
        self.last_words = None;
        self.launched = self.now();
        self.put_off = 0;
        let line = self.launch.hypervisor.to_string();
        self.hypervisor_log.note(&format!("runs {line}"));
        self.hypervisor_log.mark();
        (self.report)(Word::Run(line));
        self.record.opened = None;
        match self.launch_hypervisor() {
            Ok(Born { child, uid, loopback }) => {
                trace::started(&self.launch.hypervisor);
                self.record.uid = uid;
                self.record.launch.confinement = self.launch.confinement.clone();
                if let Some(why) = loopback {
                    let text = format!("the guest reaches the host's loopback at 10.0.2.2: {why}");
                    self.hypervisor_log.note(&text);
                    self.record.launch.confinement.reasons.push(text);
                }
                self.record.since = epoch();
                self.record.end = None;
                self.machine = Some(Machine::of_child(child));
                self.connect();
                // bhyve does not report when it is up; it counts as up once it has opened its files and still runs.
                let now = self.now();
                self.proof = self.proof.take().map(|proof| proof.at(now));
                if self.qmp.is_none() && self.proof.is_none() {
                    self.events.push_back(Event::Up);
                }
            }
            Err((why, missing)) => {
                self.missing = missing;
                self.hypervisor_log.note(&why);
                self.events.push_back(Event::Ended(End::NotStarted(why)));
            }
        }
    }

    /// Starts the hypervisor, confined as the launch specifies. From then on only the hypervisor holds the VM's lock, whose
    /// file names it. Otherwise the reason, and whether the program is missing.
    fn launch_hypervisor(&mut self) -> Result<Born, (String, bool)> {
        let lock = match self.dir.clear_damage().and_then(|()| life::claim(&self.dir.machine_lock(), lock::GLANCE)) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(("a process of its last VM is still running".to_owned(), false)),
            Err(e) => return Err((e.to_string(), false)),
        };
        let mut launch = self.launch.clone();
        let program = run::find_program(&launch.hypervisor.program);
        let Some(program) = program else {
            return Err((format!("the program `{}` is not installed or not on the path", launch.hypervisor.program), true));
        };
        launch.hypervisor.program = program.to_string_lossy().into_owned();
        let root = match &launch.confinement.means {
            Means::Jail(jail) => Some(jail.root.as_str()),
            Means::None | Means::Linux(_) => None,
        };
        let inherited = [lock.file()];
        self.proof = Proof::begin(&launch.opens, root, &inherited).map_err(|why| (why, false))?;
        let place = confine::Place { run: self.run.clone(), guest: self.dir.path().to_owned() };
        #[cfg(target_os = "linux")]
        if let Some(loading) = self.loading.take() {
            // The child verifies that they are in force, and reports it if not.
            let _ = loading.finish();
        }
        let printing = self.messages.printing().map_err(|e| (format!("there is no pipe for its messages: {e}"), false))?;
        confine::start(&self.spawner, &launch, place, &lock, printing).map_err(|why| (why, false))
    }

    /// Checks whether bhyve has opened the files that were checked. A guest on another file is powered off forcibly: every
    /// write could do damage.
    pub(super) fn look_at_opened(&mut self, now: u64) {
        let Some(pid) = self.machine.as_ref().and_then(Machine::process).map(|process| process.pid) else { return };
        let Some(proved) = self.proof.as_mut().and_then(|proof| proof.turn(pid, now)) else { return };
        self.proof = None;
        match proved {
            Proved::Same(words) => self.opened(words),
            Proved::Unknown(why) => self.opened(format!("not compared: {why}")),
            Proved::Other(why) => {
                self.hypervisor_log.note(&why);
                self.refused = Some(format!("{why}; it was powered off forcibly"));
                self.kill();
            }
        }
    }

    fn opened(&mut self, words: String) {
        self.hypervisor_log.note(&format!("files: {words}"));
        self.record.opened = Some(words);
        self.events.push_back(Event::Up);
    }

    /// Connects to the hypervisor's monitor and serial port.
    pub(super) fn connect(&mut self) {
        let now = self.now();
        self.serial.want(now);
        self.qmp = match &self.launch.control {
            Control::Qmp { socket } => Some(Qmp::new(socket, self.display_secret(), now)),
            Control::Bhyve { .. } => None,
        };
    }

    /// The password of the display, which the plan has stored in the guest's runtime folder.
    fn display_secret(&self) -> Option<String> {
        self.launch.screen?;
        own::text(self.dir.path().join(SECRET_FILE), SECRET_LIMIT).ok()
    }

    pub(super) fn announce(&mut self) {
        self.adopting = None;
        if !std::mem::replace(&mut self.told, true) {
            let machine = self.machine.as_ref().and_then(Machine::process).map_or(0, |p| p.pid);
            // Written before the report: its receiver may read the record at once.
            self.write_record();
            (self.report)(Word::Running { supervisor: std::process::id(), machine });
        }
    }

    /// Whether the power button would power the VM off forcibly: bhyve's button is SIGTERM, which just kills it until the guest
    /// has enabled ACPI. Where that cannot be observed, a guest is given some time to boot.
    fn is_deadly_to_ask(&self) -> bool {
        match &self.launch.control {
            Control::Qmp { .. } => false,
            Control::Bhyve { .. } => match self.machine.as_ref().and_then(Machine::process).and_then(crate::proc::Proc::bears_term) {
                Some(bears) => !bears,
                None => self.now().saturating_sub(self.launched) < BOOTS_WITHIN,
            },
        }
    }

    fn ask_power_off(&mut self) {
        match &self.launch.control {
            Control::Qmp { .. } => {
                if let Some(qmp) = &mut self.qmp {
                    // If it cannot be sent now, the next request sends it.
                    qmp.command("system_powerdown");
                }
            }
            Control::Bhyve { .. } => self.send(Signal::TERM),
        }
    }

    fn pull_reset(&mut self) {
        match &self.launch.control {
            Control::Qmp { .. } => {
                if let Some(qmp) = &mut self.qmp {
                    // If it cannot be sent now, the next request sends it.
                    qmp.command("system_reset");
                }
            }
            Control::Bhyve { vm } => self.bhyvectl(&vm.clone(), "--force-reset"),
        }
    }

    fn pull_plug(&mut self) {
        match &self.launch.control {
            Control::Qmp { .. } => {
                if !self.qmp.as_mut().is_some_and(|qmp| qmp.command("quit")) {
                    // For a QEMU whose monitor cannot be reached, SIGTERM means the same.
                    self.send(Signal::TERM);
                }
            }
            Control::Bhyve { vm } => self.bhyvectl(&vm.clone(), "--force-poweroff"),
        }
    }

    fn bhyvectl(&mut self, vm: &str, button: &str) {
        let cmd = Cmd::new("bhyvectl", [format!("--vm={vm}"), button.to_owned()]);
        match Job::start(&cmd, None, self.now(), BUTTON_WITHIN) {
            Ok(job) => self.side = Some(job),
            Err(e) => self.hypervisor_log.note(&e.why),
        }
    }

    pub(super) fn kill(&mut self) {
        self.send(Signal::KILL);
    }

    fn send(&mut self, signal: Signal) {
        if let Some(Err(e)) = self.machine.as_ref().map(|machine| machine.signal(signal)) {
            self.hypervisor_log.note(&e.to_string());
        }
    }

    fn stop_failed(&mut self, why: StopFailure) {
        let name = &self.launch.guest;
        let problem = match why {
            StopFailure::NotObeyed { asked } => Problem::not_now(format!("`{name}` did not power off in time"))
                .because(match asked.saturating_sub(self.put_off) {
                    0 => "its operating system has not enabled ACPI, so its power button has no effect: it still boots, or has no ACPI, \
                          as under bhyve on arm64"
                        .to_owned(),
                    1 => "its power button was pressed once, and it still runs".to_owned(),
                    more => {
                        format!("its power button was pressed {more} times, and it still runs")
                    }
                })
                .hint(format!("type `chyves console {name}` to see what it does, or to power it off from within"))
                .hint(format!("type `chyves stop {name} --force` to power it off forcibly")),
            StopFailure::Paused => {
                let why = self.hold.as_ref().map_or("a disk cannot be written", Hold::why);
                paused(name, &self.launch.dataset, why)
            }
            StopFailure::NotKilled => {
                let pid = self.record.machine.as_ref().map_or(0, |p| p.pid);
                Problem::failed(format!("the hypervisor of `{name}` cannot be killed"))
                    .because(format!("process {pid} was killed and is still there; it hangs in the kernel, perhaps on a disk"))
                    .hint(format!("check `ps -o pid,state,wchan,command -p {pid}` and at the pool's health"))
            }
        };
        self.put_off = 0;
        let problem = problem.on(name);
        self.hypervisor_log.note(&problem.to_string());
        self.peers.tell_waiting(&Reply::Failed(problem), true);
    }
}
