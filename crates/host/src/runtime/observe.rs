//! The current state of guests: observed on each call, proved by locks.

use super::{GuestDir, Phase, Record, Runtime};
use crate::hostfs::own;
use crate::proc;
use chyves_core::error::{Problem, Result};
use chyves_core::value::Dataset;
use chyves_core::vmm::bhyve::jail;
use serde::Serialize;
use std::path::Path;
use uuid::Uuid;

/// A guest's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestState {
    /// No process of it runs.
    Stopped,
    /// A supervisor is starting it, for the first time or after a reboot.
    Starting,
    /// The VM runs.
    Running,
    /// The VM exists, but the hypervisor has paused it.
    Paused {
        /// What could not be done.
        reason: String,
    },
    /// The VM runs and is being stopped.
    Stopping,
    /// The hypervisor lives and its supervisor is gone.
    Orphaned,
    /// No process of it runs, and it ended unexpectedly.
    Crashed {
        /// What happened.
        reason: String,
    },
}

impl GuestState {
    /// Whether any process of it lives.
    pub const fn is_alive(&self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Paused { .. } | Self::Stopping | Self::Orphaned => true,
            Self::Stopped | Self::Crashed { .. } => false,
        }
    }

    /// The state as it is shown.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused { .. } => "paused",
            Self::Stopping => "stopping",
            Self::Orphaned => "orphaned",
            Self::Crashed { .. } => "crashed",
        }
    }
}

impl std::fmt::Display for GuestState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// The observed state of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// UUID of the guest.
    pub uuid: Uuid,
    /// The guest's state.
    pub state: GuestState,
    /// The supervisor's record; none for a stopped guest.
    pub record: Option<Record>,
    /// Why an existing record cannot be read; the state is then derived from the locks alone.
    pub damaged: Option<String>,
    /// Another dataset from which a VM with this UUID runs: an exact copy of this guest runs, not this guest.
    pub elsewhere: Option<Dataset>,
}

impl Observed {
    const fn stopped(uuid: Uuid) -> Self {
        Self { uuid, state: GuestState::Stopped, record: None, damaged: None, elsewhere: None }
    }

    /// The error that its record is damaged, with the command that repairs it; none for an intact record.
    pub fn damage(&self, name: &str) -> Option<Problem> {
        let cure = match &self.state {
            GuestState::Orphaned => format!("its supervisor is gone too: `chyves stop {name} --now` kills its hypervisor"),
            GuestState::Starting | GuestState::Running | GuestState::Paused { .. } | GuestState::Stopping => {
                "`chyves repair` makes its supervisor write it again".to_owned()
            }
            GuestState::Stopped | GuestState::Crashed { .. } => "`chyves repair` removes what its VM left".to_owned(),
        };
        let why = self.damaged.as_ref()?;
        Some(Problem::not_now(format!("the record of the VM of `{name}` is damaged")).on(name).because(why).hint(cure))
    }
}

impl Runtime {
    /// The current state of the guest with this UUID in this dataset.
    ///
    /// # Errors
    /// The runtime folder cannot be read.
    pub fn observe(&self, uuid: Uuid, dataset: &Dataset) -> Result<Observed> {
        self.check()?;
        let seen = look(&self.guest(uuid), uuid, &proc::boot_id()?)?;
        match &seen.record {
            Some(record) if record.dataset != *dataset => {
                let elsewhere = seen.state.is_alive().then(|| record.dataset.clone());
                Ok(Observed { elsewhere, ..Observed::stopped(uuid) })
            }
            _ => Ok(seen),
        }
    }

    /// Whether any process of the VM with this UUID lives.
    ///
    /// # Errors
    /// Its locks cannot be checked.
    pub fn is_held(&self, uuid: Uuid) -> Result<bool> {
        self.check()?;
        let dir = self.guest(uuid);
        Ok(dir.is_supervised()? || dir.machine_lives()?)
    }

    /// Every guest's folder, with its record if that is of this boot and readable.
    ///
    /// # Errors
    /// The runtime folder cannot be read.
    pub fn folders(&self) -> Result<Vec<(Uuid, Option<Record>)>> {
        let boot = proc::boot_id()?;
        let record = |uuid| Record::read(&self.guest(uuid).record()).ok().flatten().filter(|r| r.boot == boot && r.uuid == uuid);
        Ok(self.uuids()?.into_iter().map(|uuid| (uuid, record(uuid))).collect())
    }

    /// The UUIDs of guests whose bhyve has a jail, or had one whose root still exists.
    ///
    /// # Errors
    /// The folder of the roots cannot be read.
    pub fn jails(&self) -> Result<Vec<Uuid>> {
        self.check()?;
        uuids_in(&self.root.join(jail::ROOTS))
    }

    /// Every guest with a record that cannot be read, or is lost together with its locks.
    ///
    /// # Errors
    /// The runtime folder cannot be read, or the processes of this host cannot be listed.
    pub fn damaged(&self) -> Result<Vec<Observed>> {
        self.be_thorough();
        Ok(self.observe_all()?.into_iter().filter(|seen| seen.damaged.is_some()).collect())
    }

    /// The records of all guests that run.
    ///
    /// # Errors
    /// One record is damaged, so what that guest uses is unknown; or the runtime folder cannot be read.
    pub fn records_of_living(&self) -> Result<Vec<Record>> {
        let living = self.observe_all()?.into_iter().filter(|seen| seen.state.is_alive());
        living
            .filter_map(|seen| seen.damage(&seen.uuid.to_string()).map_or_else(|| seen.record.map(Ok), |damage| Some(Err(damage))))
            .collect()
    }

    /// The UUIDs that have a folder.
    fn uuids(&self) -> Result<Vec<Uuid>> {
        self.check()?;
        let mut all = uuids_in(&self.root)?;
        if self.thorough.get().is_some() {
            all.extend(self.found()?);
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Every guest that runs or has crashed since boot.
    ///
    /// # Errors
    /// The runtime folder cannot be read.
    pub fn observe_all(&self) -> Result<Vec<Observed>> {
        let uuids = self.uuids()?;
        let boot = proc::boot_id()?;
        let mut all = Vec::new();
        for uuid in uuids {
            let seen = look(&self.guest(uuid), uuid, &boot)?;
            if seen.state != GuestState::Stopped {
                all.push(seen);
            }
        }
        Ok(all)
    }
}

/// The UUIDs among the names in a folder, sorted; empty if the folder is missing.
fn uuids_in(folder: &Path) -> Result<Vec<Uuid>> {
    let cant = |e| Problem::failed(format!("cannot read the folder `{}`", folder.display())).on(folder.display()).because(e);
    let names = own::names(folder).map_err(cant)?;
    let mut all: Vec<Uuid> = names.iter().filter_map(|name| Uuid::try_parse(name.to_str()?).ok()).collect();
    all.sort_unstable();
    Ok(all)
}

fn look(dir: &GuestDir, uuid: Uuid, boot: &str) -> Result<Observed> {
    // Most guests of a host do not run; this is all that they cost.
    if own::stat(dir.path()).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) && !dir.is_found()? {
        return Ok(Observed::stopped(uuid));
    }
    let mut tries = 0;
    loop {
        let supervisor = dir.is_supervised()?;
        let machine = dir.machine_lives()?;
        let (record, damaged) = match Record::read(&dir.record()) {
            Ok(record) => (record.filter(|r| r.boot == boot && r.uuid == uuid), None),
            Err(problem) => (None, Some(problem.causes.first().cloned().unwrap_or(problem.message))),
        };
        let damaged = damaged.or_else(|| dir.damage()).or_else(|| dir.loss(supervisor, machine));
        let state = match (&damaged, &record) {
            (Some(why), None) => without_record(supervisor, machine, why),
            (None, _) | (_, Some(_)) => judge(supervisor, machine, record.as_ref()),
        };
        // A guest that seems to have no supervisor may have got one between the first check and the last.
        tries += 1;
        if tries < 5 && !supervisor && state != GuestState::Stopped && dir.is_supervised()? {
            continue;
        }
        return Ok(Observed { uuid, record: record.filter(|_| state != GuestState::Stopped), state, damaged, elsewhere: None });
    }
}

/// The state derived from the locks alone.
fn without_record(supervisor: bool, machine: bool, why: &str) -> GuestState {
    match (supervisor, machine) {
        (true, true) => GuestState::Running,
        (true, false) => GuestState::Starting,
        (false, true) => GuestState::Orphaned,
        (false, false) => GuestState::Crashed { reason: format!("the record of its VM is damaged: {why}") },
    }
}

/// The locks decide whether the guest runs; the record only refines the state, or gives the reason of a crash.
fn judge(supervisor: bool, machine: bool, record: Option<&Record>) -> GuestState {
    let told = |words: fn(&Record) -> &Option<String>| {
        record.and_then(|r| words(r).clone()).unwrap_or_else(|| "the reason was not recorded".to_owned())
    };
    match (supervisor, machine, record.map(|r| r.phase)) {
        (true, _, None | Some(Phase::Starting)) => GuestState::Starting,
        (true, _, Some(Phase::Running)) => GuestState::Running,
        (true, _, Some(Phase::Paused)) => GuestState::Paused { reason: told(|r| &r.paused) },
        (true, _, Some(Phase::Stopping | Phase::Crashed)) => GuestState::Stopping,
        (false, true, _) => GuestState::Orphaned,
        (false, false, None) => GuestState::Stopped,
        (false, false, Some(Phase::Crashed)) => GuestState::Crashed { reason: told(|r| &r.end) },
        (false, false, Some(Phase::Starting | Phase::Running | Phase::Paused | Phase::Stopping)) => {
            GuestState::Crashed { reason: "its supervisor and its VM are both gone; the reason was not recorded".to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Proc;
    use crate::runtime::Lock;
    use chyves_core::cmd::Cmd;
    use chyves_core::launch::{ConsoleEnd, Control, Launch, OnEnd, Policy};
    use chyves_core::value::Size;
    use chyves_core::vmm::Vmm;
    use std::time::Duration;

    fn record(phase: Phase) -> Record {
        let uuid = Uuid::from_u128(7);
        let dataset: Dataset = "tank/chyves/guests/web01".parse().unwrap();
        let launch = Launch {
            guest: "web01".parse().unwrap(),
            uuid,
            dataset: dataset.clone(),
            vmm: Vmm::Qemu,
            before: Vec::new(),
            hypervisor: Cmd::new("true", [""; 0]),
            after: Vec::new(),
            control: Control::Qmp { socket: "/x".into() },
            console: ConsoleEnd::None,
            log_dir: "/log".into(),
            log_limit: Size::mib(1),
            policy: Policy { on_reboot: OnEnd::Restart, on_crash: OnEnd::Stop, stop_timeout: 1 },
            again: Vec::new(),
            borrows: Vec::new(),
            networks: false,
            given: Vec::new(),
            frees_logs: false,
            screen: None,
            descriptors: Vec::new(),
            opens: Vec::new(),
            confinement: chyves_core::confinement::Confinement::default(),
            settings: std::collections::BTreeMap::new(),
            made_of: std::collections::BTreeMap::new(),
            kept_because: None,
        };
        Record {
            uid: None,
            opened: None,
            guest: launch.guest.clone(),
            uuid,
            dataset,
            vmm: Vmm::Qemu,
            boot: proc::boot_id().unwrap(),
            supervisor: Proc { pid: 1, start: "1".into() },
            machine: None,
            started: 1,
            since: 1,
            reboots: 0,
            phase,
            paused: None,
            end: Some("signal 9".into()),
            launch,
        }
    }

    struct House {
        _temp: tempfile::TempDir,
        rt: Runtime,
        dir: GuestDir,
    }

    fn house(record: &Record) -> House {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path().join("run"));
        let dir = rt.guest(record.uuid);
        dir.create().unwrap();
        record.write(&dir.record()).unwrap();
        House { _temp: temp, rt, dir }
    }

    #[test]
    fn locks_are_the_truth_and_the_record_colours_it() {
        for (phase, alone, supervised) in [
            (Phase::Starting, "crashed", "starting"),
            (Phase::Running, "crashed", "running"),
            (Phase::Paused, "crashed", "paused"),
            (Phase::Stopping, "crashed", "stopping"),
            (Phase::Crashed, "crashed", "stopping"),
        ] {
            let record = record(phase);
            let house = house(&record);
            let state = || house.rt.observe(record.uuid, &record.dataset).unwrap().state.word();
            assert_eq!(state(), alone);
            let supervisor = Lock::take(&house.dir.supervisor_lock(), Duration::ZERO).unwrap();
            assert_eq!(state(), supervised);
            let machine = Lock::take(&house.dir.machine_lock(), Duration::ZERO).unwrap();
            assert_eq!(state(), supervised);
            drop(supervisor);
            assert_eq!(state(), "orphaned");
            assert_eq!(house.rt.observe_all().unwrap().len(), 1);
            drop(machine);
        }
    }

    #[test]
    fn a_record_of_another_boot_is_void() {
        let record = Record { boot: "yesterday".into(), ..record(Phase::Crashed) };
        let house = house(&record);
        assert_eq!(house.rt.observe(record.uuid, &record.dataset).unwrap(), Observed::stopped(record.uuid));
        assert!(house.rt.observe_all().unwrap().is_empty());
    }

    #[test]
    fn only_the_dead_are_forgotten() {
        let record = record(Phase::Crashed);
        let house = house(&record);
        let machine = Lock::take(&house.dir.machine_lock(), Duration::ZERO).unwrap();
        assert!(house.rt.forget(record.uuid).is_err());
        drop(machine);
        house.rt.forget(record.uuid).unwrap();
        assert!(!house.dir.path().exists());
        house.rt.forget(record.uuid).unwrap();
    }

    #[test]
    fn a_copy_elsewhere_is_not_this_guest() {
        let record = record(Phase::Running);
        let house = house(&record);
        let copy: Dataset = "backup/chyves/guests/web01".parse().unwrap();
        let _supervisor = Lock::take(&house.dir.supervisor_lock(), Duration::ZERO).unwrap();
        let seen = house.rt.observe(record.uuid, &copy).unwrap();
        assert_eq!((seen.state, seen.record, seen.elsewhere), (GuestState::Stopped, None, Some(record.dataset)));
    }

    #[test]
    fn strangers_in_the_folder_are_no_guests_and_a_damaged_record_leaves_the_locks() {
        let record = record(Phase::Running);
        let house = house(&record);
        std::fs::create_dir(house.rt.root().join("locks")).unwrap();
        std::fs::write(house.rt.root().join("accel.json"), "x").unwrap();
        assert_eq!(house.rt.observe_all().unwrap().len(), 1);
        std::fs::write(house.dir.record(), "half").unwrap();
        let state = || house.rt.observe(record.uuid, &record.dataset).unwrap();
        assert_eq!((state().state.word(), house.rt.damaged().unwrap().len()), ("crashed", 1));
        assert!(house.rt.records_of_living().unwrap().is_empty());
        let machine = Lock::take(&house.dir.machine_lock(), Duration::ZERO).unwrap();
        assert_eq!(state().state, GuestState::Orphaned);
        let supervisor = Lock::take(&house.dir.supervisor_lock(), Duration::ZERO).unwrap();
        assert_eq!(state().state, GuestState::Running);
        assert!(state().damage("web01").unwrap().causes[0].contains("expected"), "{:?}", state());
        assert!(house.rt.records_of_living().is_err(), "what it uses is not known");
        drop((machine, supervisor));
        assert!(Runtime::at(house.rt.root().join("nowhere")).observe_all().unwrap().is_empty());
    }
}
