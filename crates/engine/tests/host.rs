//! The engine on a host of its own, without a command line: the test is run again in namespaces with a ZFS and a pool, and
//! calls operations as any program would.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a panic is the failure report

use chyves_core::error::{Kind, Problem, Result};
use chyves_core::os::Os;
use chyves_core::plan::Plan;
use chyves_engine::answer::{Assignment, PoolRole, Single, State, Value};
use chyves_engine::op::{
    AdoptedWord, CatalogueStatus, CloudInitSet, CloudInitStatus, ConsoleAt, ConsoleOpen, DiskChange, DiskChangeKind, DiskList, DiskState,
    Doom, EffectWhen, GuestAdopt, GuestCreate, GuestDelete, GuestInfo, GuestList, GuestRename, GuestSend, GuestSet, GuestUndelete, Holder,
    PoolInit, PropertyList, Reclaim, Repair, SettingGet, Since, SnapshotCreate, SnapshotDelete, SnapshotList, SnapshotRollback, Source,
    Take, TrashList, Trusting, ValueKind,
};
use chyves_engine::{Engine, Events, Operation, Targets};
use chyves_host::apply::Event;
use chyves_host::runtime::Runtime;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Set where the operations run.
const INSIDE: &str = "CHYVES_ENGINE_TEST_INSIDE";

/// A ZFS and a pool for one run of a program, in namespaces that end with it.
const CELL: &str = r#"
mount --make-rprivate / || exit 90
for folder in /var/lib/zfs /var/run/zfs /var/lock/zfs; do mkdir -p "$folder" && mount -t tmpfs tmpfs "$folder" || exit 90; done
zfs-fuse --no-daemon --no-kstat-mount -m 128 --pidfile /var/run/zfs/pid </dev/null >/dev/null 2>&1 &
until zfs list >/dev/null 2>&1; do kill -0 $! || exit 90; sleep 0.05; done
cd "$1" && mkdir -m 700 run state && truncate -s 512M disk || exit 90
zpool create -o cachefile=none -m "$1/pool" tank "$1/disk" || exit 90
CHYVES_RUNDIR=$1/run CHYVES_STATEDIR=$1/state "$2" --exact operations_need_no_command_line --nocapture
"#;

/// What happened besides answers.
#[derive(Default)]
struct Recorder {
    notes: Mutex<Vec<String>>,
    planned: Mutex<Vec<(String, usize)>>,
    questions: Mutex<Vec<String>>,
}

impl Events for Recorder {
    fn warning(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
    fn running(&self, _: &str, _: Event<'_>) {}
    fn planned(&self, object: &str, plan: &Plan, _: Os) {
        self.planned.lock().unwrap().push((object.to_owned(), plan.steps.len()));
    }
    fn confirm(&self, question: &str) -> Result<()> {
        self.questions.lock().unwrap().push(question.to_owned());
        Err(Problem::not_now("nobody answers"))
    }
}

fn engine() -> (Engine, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let events: Arc<dyn Events> = Arc::<Recorder>::clone(&recorder);
    (Engine::new(Runtime::from_env(), events, "a test of the engine"), recorder)
}

fn done<O: Operation>(engine: &Engine, operation: &O) -> O::Answer {
    let outcome = engine.run(operation).unwrap_or_else(|problem| panic!("{}: {problem}", O::NAME));
    assert_eq!(outcome.problem, None, "{}", O::NAME);
    // A request survives its way through JSON.
    let text = serde_json::to_string(operation).unwrap();
    serde_json::from_str::<O>(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    outcome.answer.unwrap_or_else(|| panic!("{} answers nothing", O::NAME))
}

fn guests(names: &str) -> Targets {
    Targets::parse(&names.split(' ').collect::<Vec<_>>()).unwrap()
}

fn assignment(key: &str, value: &str) -> Vec<Assignment> {
    vec![Assignment { key: key.to_owned(), value: value.to_owned() }]
}

#[test]
fn operations_need_no_command_line() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let has = |program: &str| std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join(program).is_file());
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !is_root || !has("zfs-fuse") || !has("unshare") {
        println!("skipped: it takes root, zfs-fuse and unshare");
        return;
    }
    let temp = tempfile::Builder::new().prefix("engine-").tempdir().unwrap();
    let mut cell = Command::new("unshare");
    cell.args(["-m", "-p", "-i", "-n", "--fork", "--kill-child", "--mount-proc", "sh", "-c", CELL, "sh"]);
    let output = cell.arg(temp.path()).arg(std::env::current_exe().unwrap()).env(INSIDE, "1").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn inside() {
    let (engine, recorder) = engine();
    // A pool.
    let made = done(&engine, &PoolInit { place: "tank".parse().unwrap(), mountpoint: None });
    assert_eq!((made[0].dataset.as_str(), made[0].role), ("tank/chyves", PoolRole::Primary));
    assert_eq!(done(&engine, &GuestList::default()), []);
    assert!(recorder.notes.lock().unwrap().iter().any(|note| note.contains("there are no guests")));

    // Guests, several at once.
    let create = GuestCreate {
        names: vec!["web".parse().unwrap(), "db".parse().unwrap()],
        pool: None,
        image: None,
        full: false,
        size: Some(8 << 20),
        disk: None,
        nets: 1,
        set: assignment("ram", "64M"),
        texts: Vec::new(),
        start: false,
    };
    let created = done(&engine, &create);
    let datasets: Vec<&str> =
        created.iter().map(|each| if let Single::Done(done) = &each.result { done.dataset.as_str() } else { "?" }).collect();
    assert_eq!(datasets, ["tank/chyves/guests/web", "tank/chyves/guests/db"]);
    let rows = done(&engine, &GuestList::default());
    let web = rows.iter().find(|row| row.name.as_deref() == Some("web")).unwrap();
    assert_eq!((web.state, web.properties["ram"].as_ref()), (Some(State::Stopped), Some(&Value::Number(64 << 20))));
    assert_eq!(web.dataset, None, "what was not asked for is missing");

    // One that does not exist does not keep the others from being reported.
    let outcome = engine.run(&GuestInfo { guests: guests("web nobody") }).unwrap();
    assert_eq!(outcome.answer.unwrap()[0].disks[0].state, DiskState::Unknown);
    assert_eq!(outcome.problem.unwrap().code, Kind::Partial);
    assert_eq!(engine.run(&GuestInfo { guests: guests("nobody") }).unwrap().problem.unwrap().code, Kind::NotFound);

    settings(&engine);
    snapshots(&engine, &recorder);
    disks(&engine);
    trash(&engine, &recorder);
    cloud_init(&engine);
    rest(&engine, &recorder);
}

fn settings(engine: &Engine) {
    done(engine, &GuestSet { guests: guests("web db"), set: assignment("notes", "seen"), unset: Vec::new() });
    let of = Holder::Guests(guests("web"));
    let settings = done(engine, &SettingGet { of, properties: vec!["notes".to_owned(), "cpu".to_owned()] });
    assert_eq!((settings[0].value.as_deref(), settings[0].source, settings[1].source), (Some("seen"), Source::Local, Source::Default));
    // An invalid value changes nothing anywhere.
    let wrong = GuestSet { guests: Targets::All, set: assignment("cpu", "many"), unset: Vec::new() };
    assert_eq!(engine.run(&wrong).unwrap_err().code, Kind::Usage);
    done(engine, &GuestRename { guest: "db".parse().unwrap(), name: "store".parse().unwrap() });
}

fn snapshots(engine: &Engine, recorder: &Recorder) {
    let name = || "before".parse().unwrap();
    done(engine, &SnapshotCreate { take: vec![Take { guests: guests("all"), name: Some(name()) }] });
    let taken = done(engine, &SnapshotList { guests: guests("web"), guids: true });
    assert_eq!(taken.len(), 1);
    assert!(taken[0].creation.is_some() && taken[0].guid.is_some() && !taken[0].live, "{taken:?}");
    done(engine, &GuestSet { guests: guests("web"), set: assignment("notes", "later"), unset: Vec::new() });
    let back = SnapshotRollback { guest: "web".parse().unwrap(), snapshot: name(), in_place: false, keep_settings: false };
    assert!(done(engine, &back)[0].settings);
    let notes = done(engine, &SettingGet { of: Holder::Guests(guests("web")), properties: vec!["notes".to_owned()] });
    assert_eq!(notes[0].value.as_deref(), Some("seen"));
    // Nothing is destroyed without consent.
    let delete = SnapshotDelete { delete: vec![Doom { guests: guests("store"), snapshots: "before".to_owned() }], foreign: false };
    assert_eq!(engine.run(&delete).unwrap_err().message, "nobody answers");
    assert_eq!(recorder.questions.lock().unwrap().as_slice(), ["destroy store@before"]);
    assert_eq!(done(engine, &SnapshotList { guests: guests("store"), guids: false }).len(), 1);
}

fn disks(engine: &Engine) {
    let change = DiskChangeKind::Resize { to: 16 << 20, force: false };
    done(engine, &DiskChange { guests: guests("store"), disk: Some(0), change });
    let disks = done(engine, &DiskList { guests: guests("store") });
    assert_eq!((disks[0].size, disks[0].actual, disks[0].state), (Some(16 << 20), Some(16 << 20), DiskState::AsRecorded));
}

fn trash(engine: &Engine, recorder: &Recorder) {
    let delete = GuestDelete { guests: guests("store"), now: false, foreign: false };
    // A dry run shows the plan, and answers nothing.
    let mut dry = self::engine();
    dry.0.dry_run = true;
    let outcome = dry.0.run(&delete).unwrap();
    assert_eq!((outcome.answer, outcome.problem), (None, None));
    assert!(matches!(&dry.1.planned.lock().unwrap()[..], [(object, steps)] if object == "store" && *steps > 0));
    assert_eq!(done(engine, &TrashList {}).iter().filter(|one| one.name == "store").count(), 0);
    done(engine, &delete);
    let trashed = done(engine, &TrashList {});
    assert!(trashed.iter().any(|one| one.name == "store" && one.deleted.is_some()), "{trashed:?}");
    done(engine, &GuestUndelete { wanted: "store".to_owned(), name: None });
    assert_eq!(done(engine, &GuestList { guests: guests("store"), ..GuestList::default() }).len(), 1);
    assert!(recorder.planned.lock().unwrap().is_empty());
}

fn cloud_init(engine: &Engine) {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFuhB9oOXbFg6UftLCS7a3FjWd/F+p2iUEAMLuzJQC2O ann@desk".to_owned();
    let set = CloudInitSet { guests: guests("web"), ssh_keys: vec![key], texts: Vec::new(), remove: Vec::new() };
    let changed = done(engine, &set);
    assert!(matches!(&changed[0].result, Single::Done(done) if done.keys_added && done.documents.is_empty()), "{changed:?}");
    assert_eq!(done(engine, &set), [], "it has the key already");
    let status = done(engine, &CloudInitStatus { guests: guests("web store") });
    assert_eq!(status.iter().map(|one| (one.enabled, one.current)).collect::<Vec<_>>(), [(true, None), (false, None)]);
    let nothing = CloudInitSet { guests: guests("web"), ssh_keys: Vec::new(), texts: Vec::new(), remove: Vec::new() };
    assert_eq!(engine.run(&nothing).unwrap_err().code, Kind::Usage);
}

fn rest(engine: &Engine, recorder: &Recorder) {
    // A disk comes back from the trash in the same way as a guest.
    let (mut sure, _) = self::engine();
    sure.yes = true;
    done(&sure, &DiskChange { guests: guests("store"), disk: Some(0), change: DiskChangeKind::Remove });
    let restored = done(engine, &GuestUndelete { wanted: "store:disk0".to_owned(), name: None });
    assert_eq!((restored[0].object.as_str(), restored[0].disk), ("store", Some(0)));
    let ends = done(engine, &ConsoleOpen { guests: guests("web"), port: None });
    assert_eq!((ends[0].state, &ends[0].at), (State::Stopped, &ConsoleAt::Supervisor));
    assert_eq!(ends[0].must_run().unwrap_err().code, Kind::NotNow);
    assert_eq!(done(engine, &CatalogueStatus {}).from, None, "the built-in one");
    for (count, note) in
        [(done(engine, &Repair {}).len(), "nothing to repair"), (done(engine, &Reclaim::default()).len(), "nothing to reclaim")]
    {
        assert_eq!(count, 0);
        assert!(recorder.notes.lock().unwrap().iter().any(|one| one == note), "{note}");
    }
    let send = GuestSend::Guest { guest: "nobody".parse().unwrap(), snapshot: None, since: Since::Nothing };
    assert_eq!(engine.run(&send).unwrap_err().code, Kind::NotFound);
    let adopt = GuestAdopt { guests: guests("web"), new_identity: false, trust: Trusting::Nothing, drop_host_settings: false };
    let adopted = done(engine, &adopt);
    assert!(matches!(&adopted[0].result, Single::Done(done) if done.done == AdoptedWord::Unchanged), "{adopted:?}");
    let properties = done(engine, &PropertyList {});
    let cpu = properties.iter().find(|one| one.property == "cpu").unwrap();
    assert_eq!((cpu.values.code, cpu.values.min, cpu.effect.code), (ValueKind::Count, Some(1), EffectWhen::Start));
}
