//! A guest for tests: the tiny one under a real QEMU, in a folder of its own, gone at the end whatever happens.

#![allow(dead_code, clippy::disallowed_methods)] // no test needs all of it

use chyves_core::cmd::Cmd;
use chyves_core::confinement::Confinement;
use chyves_core::error::Result;
use chyves_core::launch::{ConsoleEnd, Control, Launch, OnEnd, Policy};
use chyves_core::lifecycle::Force;
use chyves_core::value::{Dataset, GuestName, Size};
use chyves_core::vmm::Vmm;
use chyves_host::control::Target;
use chyves_host::runtime::{GuestState, Record, Runtime};
use chyves_host::supervise::{self, Progress, Spawner, Started};
use chyves_host::supervise::{How, StopProgress, Stopped};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use uuid::Uuid;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_chyves-host-tests");
/// Nothing here takes so long; it is for a loaded machine, and a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Guest {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) rt: Runtime,
    pub(crate) launch: Launch,
    pub(crate) spawner: Spawner,
    /// The commands that were told to run.
    pub(crate) ran: Vec<String>,
}

/// Waits until it is so.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

pub(crate) fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e} (scripts/setup installs it)"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Assembles the tiny guest, as `scripts/guest/build` does.
fn assemble(folder: &Path, deaf: bool) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/guest/tiny/tiny.S");
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    run("as", &["--32", "--defsym", &format!("DEAF={}", u8::from(deaf)), "-o", &at("tiny.o"), source]);
    run("ld", &["-m", "elf_i386", "-Ttext", "0x7c00", "-e", "_start", "-o", &at("tiny.elf"), &at("tiny.o")]);
    run("objcopy", &["-O", "binary", "-j", ".text", &at("tiny.elf"), &at("tiny.img")]);
    let image = folder.join("tiny.img");
    std::fs::File::options().write(true).open(&image).unwrap().set_len(1 << 20).unwrap();
    image
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::make(false)
    }

    pub(crate) fn deaf() -> Self {
        Self::make(true)
    }

    fn make(deaf: bool) -> Self {
        let temp = tempfile::Builder::new().prefix("chyves-").tempdir().unwrap();
        let rt = Runtime::at(temp.path().join("run"));
        let uuid = Uuid::new_v4();
        let image = assemble(temp.path(), deaf);
        let (qmp, serial) = (rt.socket(uuid, "qmp").unwrap(), rt.socket(uuid, "serial").unwrap());
        let log_dir = temp.path().join("log");
        std::fs::create_dir(&log_dir).unwrap();
        let qemu = Cmd::new("qemu-system-x86_64", ["-S", "-no-reboot", "-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-machine", "q35", "-accel", "tcg", "-m", "32"])
            .args(["-drive".to_owned(), format!("file={},format=raw", image.display())])
            .args(["-qmp".to_owned(), format!("unix:{qmp},server=on,wait=off")])
            .args(["-chardev".to_owned(), format!("socket,id=com1,path={serial},server=on,wait=off")])
            .args(["-serial", "chardev:com1"]);
        let launch = Launch {
            guest: "tiny".parse().unwrap(),
            uuid,
            dataset: "tank/chyves/guests/tiny".parse().unwrap(),
            vmm: Vmm::Qemu,
            before: Vec::new(),
            hypervisor: qemu,
            after: Vec::new(),
            control: Control::Qmp { socket: qmp },
            console: ConsoleEnd::Socket { path: serial },
            log_dir: chyves_core::value::FilePath::below(temp.path().to_str().unwrap(), "log"),
            log_limit: Size::mib(1),
            policy: Policy { on_reboot: OnEnd::Restart, on_crash: OnEnd::Stop, stop_timeout: 60 },
            again: Vec::new(),
            borrows: Vec::new(),
            networks: false,
            given: Vec::new(),
            frees_logs: false,
            screen: None,
            descriptors: Vec::new(),
            opens: Vec::new(),
            confinement: Confinement::default(),
            settings: std::collections::BTreeMap::new(),
            made_of: std::collections::BTreeMap::new(),
            kept_because: None,
        };
        let spec = temp.path().join("spec.json").to_str().unwrap().to_owned();
        let spawner = Spawner { exe: PROGRAM.into(), args: vec![spec] };
        let guest = Self { temp, rt, launch, spawner, ran: Vec::new() };
        guest.tell_spec();
        guest
    }

    /// What the next plan will be: the launch as it is now.
    pub(crate) fn tell_spec(&self) {
        std::fs::write(self.spec(), serde_json::to_vec(&self.launch).unwrap()).unwrap();
    }

    pub(crate) fn spec(&self) -> PathBuf {
        self.temp.path().join("spec.json")
    }

    pub(crate) fn start(&mut self) -> Result<Started> {
        let ran = &mut self.ran;
        let mut on = |progress: Progress| match progress {
            Progress::Run(text) => ran.push(text),
            Progress::Running => ran.push("running".to_owned()),
        };
        supervise::spawn(&self.rt, &self.launch, &self.spawner, &mut on)
    }

    pub(crate) fn take_over(&self) -> Result<Started> {
        supervise::take_over(&self.rt, self.launch.uuid, &self.launch.dataset, &self.spawner, &mut |_| {})
    }

    pub(crate) fn target(&self) -> Target<'_> {
        Target { uuid: self.launch.uuid, name: &self.launch.guest, dataset: &self.launch.dataset }
    }

    pub(crate) fn names(&self) -> [String; 3] {
        let (name, dataset): (&GuestName, &Dataset) = (&self.launch.guest, &self.launch.dataset);
        [self.launch.uuid.to_string(), name.to_string(), dataset.to_string()]
    }

    pub(crate) fn stop(&self, timeout: Option<u32>, force: Force) -> Result<Stopped> {
        self.stop_seen(timeout, force).map(|(stopped, _)| stopped)
    }

    pub(crate) fn stop_seen(&self, timeout: Option<u32>, force: Force) -> Result<(Stopped, Vec<StopProgress>)> {
        let mut seen = Vec::new();
        let stopped = supervise::stop(&self.rt, self.target(), How { timeout, force }, &self.spawner, &AtomicBool::new(false), &mut |p| {
            seen.push(p)
        })?;
        Ok((stopped, seen))
    }

    pub(crate) fn state(&self) -> GuestState {
        self.rt.observe(self.launch.uuid, &self.launch.dataset).unwrap().state
    }

    pub(crate) fn until_state(&self, word: &str) -> GuestState {
        until(word, || Some(self.state()).filter(|s| s.word() == word))
    }

    pub(crate) fn record(&self) -> Record {
        self.rt.observe(self.launch.uuid, &self.launch.dataset).unwrap().record.expect("a record")
    }

    pub(crate) fn machine(&self) -> u32 {
        self.record().machine.expect("a machine").pid
    }

    pub(crate) fn log(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(Path::new(&self.launch.log_dir.to_string()).join(name)).unwrap_or_default()).into_owned()
    }

    pub(crate) fn console(&self) -> Console {
        self.console_as(false)
    }

    pub(crate) fn console_as(&self, read_only: bool) -> Console {
        let mut stream = UnixStream::connect(self.rt.guest_dir(self.launch.uuid).join("control")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, r#"{{"ask":"console","read_only":{read_only}}}"#).unwrap();
        let mut console = Console { stream, heard: String::new() };
        console.expect("\"attached\"\n");
        console
    }

    pub(crate) fn is_gone(&self) {
        assert_eq!(self.state(), GuestState::Stopped);
        assert!(!self.rt.guest_dir(self.launch.uuid).exists(), "something is left in the runtime folder");
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let ended = self.stop(Some(0), Force::Now);
        if let (Err(problem), false) = (ended, std::thread::panicking()) {
            panic!("cannot clean up: {problem}");
        }
    }
}

/// A person at the console who reads well.
pub(crate) struct Console {
    pub(crate) stream: UnixStream,
    pub(crate) heard: String,
}

impl Console {
    pub(crate) fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Reads on until this came; what was heard before it is forgotten.
    pub(crate) fn expect(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.heard.find(text) {
                self.heard.drain(..at + text.len());
                return;
            }
            let n = self.stream.read(&mut buffer).unwrap_or_else(|e| panic!("no `{text}`: {e}; heard {:?}", self.heard));
            assert!(n > 0, "hung up before `{text}`; heard {:?}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    }

    pub(crate) fn until_end(mut self) -> String {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        self.heard + &String::from_utf8_lossy(&rest)
    }
}
