//! A host for one test alone: its own ZFS, pool, processes and runtime folder, gone at the end whatever happens.
//!
//! * [`cell`]: the namespaces that keep it apart from the machine
//! * [`images`]: an image to import
//! * [`iso`]: a disc that boots
//! * [`mod@lab`]: a host that plays FreeBSD
//! * [`networks`]: interfaces of its own, and a peer behind them
//! * [`needs`]: what the machine must have, the test guests, and telling of a skipped test
//! * [`answer`]: what one command said, and whole sessions as text
//! * [`tidy`]: taking out of a text what differs from run to run
//! * [`terminal`]: a person at a terminal
//! * [`look`]: what is on the pool and what runs, for comparing
//! * [`matrix`]: each step of a command made to fail, and killed before and after
//! * [`drift`]: recorded facts changed behind chyves' back, against every command
//! * [`shape`]: what a case of it compares
//! * [`signer`]: somebody who signs as minisign and signify do
//! * [`watch`]: telling what a test that takes far too long waits for
//! * [`volume`]: disks that are volumes, where the ZFS has them
//!
//! Not here: anything that knows how chyves works inside; these tests see what a person sees.

#![allow(dead_code, unreachable_pub, unused_imports)] // no test file needs all of it
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a panic is the failure report

mod answer;
mod cell;
mod down;
pub mod drift;
pub mod images;
mod iso;
mod lab;
mod look;
mod matrix;
mod needs;
pub mod networks;
mod shape;
pub mod signer;
pub mod stream;
mod terminal;
mod tidy;
pub mod volume;
mod watch;

pub use answer::Answer;
pub use look::{Process, Tree};
pub use matrix::{BASE, Case, matrix};
pub use terminal::Terminal;

use cell::Cell;
use lab::Lab;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_chyves");
/// Nothing here takes so long; it is for a loaded machine, and a hang. A machine that is itself emulated says how many
/// seconds it wants instead.
fn patience() -> Duration {
    let told = std::env::var("CHYVES_TEST_PATIENCE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(told.unwrap_or(120))
}

/// Waits until it is so.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// What a test wants of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// A pool, nothing on it.
    Pool,
    /// A pool that is set up, on a ZFS that has volumes.
    Volumes,
    /// A pool that is set up, with a small file imported as the image `small`: for what never runs.
    Image,
    /// A pool that is set up, with the tiny guest imported as the image `tiny`.
    Tiny,
    /// Images of all test guests beside the person, nothing on the pool.
    Files,
}

/// One host.
pub struct Host {
    // Ends first: the processes in it use what comes below.
    cell: Cell,
    /// The FreeBSD that it plays, if it does.
    lab: Option<Lab>,
    /// The pool's name.
    pub pool: String,
    /// Folders that are searched for programs before those of the system.
    path: Vec<PathBuf>,
    /// More variables of the environment.
    variables: Vec<(String, String)>,
    temp: tempfile::TempDir,
    _watch: watch::Watch,
}

impl Host {
    /// A host, or none where the machine lacks what it takes; then that has been told.
    pub fn new(test: &str, with: With) -> Option<Self> {
        Self::sized(test, with, "1G")
    }

    /// The same with a pool of that size.
    pub fn sized(test: &str, with: With, size: &str) -> Option<Self> {
        Self::made(test, with, size, None, false)
    }

    /// The same with interfaces of its own: there is only the loopback, and what the test makes.
    pub fn with_networks(test: &str, with: With) -> Option<Self> {
        if cell::find("ip").is_none() {
            needs::skipped(test, "the program `ip` is missing (scripts/setup installs it)");
            return None;
        }
        Self::made(test, with, "1G", None, true)
    }

    /// A FreeBSD host in a lab with these settings (`release=13.5`, `cpu=amd`), with the usual bridge. With the pool of
    /// the machine's ZFS.
    pub fn freebsd(test: &str, with: With, settings: &[&str]) -> Option<Self> {
        let host = Self::made(test, with, "1G", Some(settings), false)?;
        host.sh("ifconfig", &["bridge0", "create", "up"]);
        Some(host)
    }

    fn made(test: &str, with: With, size: &str, lab: Option<&[&str]>, networks: bool) -> Option<Self> {
        let guests = match needs::look(with) {
            Ok(guests) => guests,
            Err(reason) => {
                needs::skipped(test, &reason);
                return None;
            }
        };
        let temp = tempfile::Builder::new().prefix("it-").tempdir().unwrap();
        for folder in ["run", "work"] {
            std::fs::create_dir(temp.path().join(folder)).unwrap();
        }
        // Before the cell, whose mounts are a copy of those that there are.
        let lab = match lab.map(lab::up).transpose() {
            Ok(lab) => lab,
            Err(reason) => {
                needs::skipped(test, &reason);
                return None;
            }
        };
        let cell = match Cell::open(temp.path(), networks) {
            Ok(cell) => cell,
            Err(reason) => {
                needs::skipped(test, &reason);
                return None;
            }
        };
        let pool = cell.pool_name();
        let path = lab.iter().map(|lab| lab.dir().join("bin")).collect();
        let watch = watch::Watch::begin(test, cell.root());
        let host = Self { cell, lab, pool, path, variables: Vec::new(), temp, _watch: watch };
        let disk = host.dir().join("disk");
        host.sh("truncate", &["-s", size, disk.to_str().unwrap()]);
        let mount = host.mount_point();
        host.sh("zpool", &["create", "-o", "cachefile=none", "-m", mount.to_str().unwrap(), &host.pool, disk.to_str().unwrap()]);
        host.furnish(with, &guests);
        Some(host)
    }

    fn furnish(&self, with: With, guests: &Path) {
        let copy = |name: &str| {
            std::fs::copy(guests.join(name), self.work().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        };
        match with {
            With::Pool => {}
            With::Volumes => drop(self.ok(&format!("pool init {}", self.pool))),
            With::Image => {
                std::fs::write(self.work().join("small.img"), [&b"no disk that boots\n".repeat(1000)[..18_999], b"\0"].concat()).unwrap();
                self.ok(&format!("pool init {}", self.pool));
                self.ok("image import ./small.img");
            }
            With::Tiny => {
                copy("tiny.img");
                copy("tiny-deaf.img");
                self.ok(&format!("pool init {}", self.pool));
                self.ok("image import ./tiny.img");
            }
            With::Files => ["tiny.img", "tiny-deaf.img", "linux.img"].iter().for_each(|n| copy(n)),
        }
    }

    /// Whether the machine has a program; where not, the test is told to be skipped.
    pub fn has(test: &str, program: &str) -> bool {
        let has = cell::find(program).is_some();
        if !has {
            needs::skipped(test, &format!("the program `{program}` is missing (scripts/setup installs it)"));
        }
        has
    }

    /// Tells that the rest of a test is skipped, because the machine lacks something.
    pub fn lacks(test: &str, reason: &str) {
        needs::skipped(test, reason);
    }

    /// The folder that all of this host's files lie in.
    pub fn dir(&self) -> &Path {
        self.temp.path()
    }

    /// Where the person sits.
    pub fn work(&self) -> PathBuf {
        self.dir().join("work")
    }

    /// The runtime folder.
    pub fn run_dir(&self) -> PathBuf {
        self.dir().join("run")
    }

    /// Where the pool is mounted, as the host sees it.
    pub fn mount_point(&self) -> PathBuf {
        self.dir().join("pool")
    }

    /// A path of the host as this test can open it.
    pub fn open_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cell.root().join(path.as_ref().strip_prefix("/").unwrap())
    }

    /// From now on programs are searched for in this folder first.
    pub fn first_on_path(&mut self, folder: &Path) {
        self.path.insert(0, folder.to_owned());
    }

    /// From now on programs have this variable in their environment.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Puts a program of that name before the real one: this shell script, for which `real` is the real one.
    pub fn stand_in(&mut self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.dir().join("stand-ins");
        // A lab's program goes before the machine's of the same name.
        let own = self.path.iter().filter(|other| **other != folder).map(|other| other.join(name)).find(|path| path.exists());
        let real = own.or_else(|| cell::find(name)).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\nreal='{}'\n{script}\n", real.display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        if !self.path.contains(&folder) {
            self.first_on_path(&folder);
        }
    }

    /// A program on this host, with the environment that a person has.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.cell.command(&self.work());
        if let Some(lab) = &self.lab {
            command = lab::within(lab, &command);
            // What chyves has run in a lab is counted for the summary of the tests.
            if let Some(file) = std::env::var_os("CHYVES_TEST_COVERED") {
                command.env("CHYVES_LAB_COVERED", file);
            }
        }
        let system = std::env::var("PATH").unwrap_or_default();
        let own: Vec<String> = self.path.iter().map(|p| p.display().to_string()).collect();
        let path: Vec<String> = own.iter().cloned().chain([system, "/usr/sbin:/sbin".to_owned()]).collect();
        command
            .arg(program)
            .env("CHYVES_RUNDIR", self.run_dir())
            .env("CHYVES_STATEDIR", self.state_dir())
            .env("PATH", path.join(":"))
            .env("CHYVES_PATH", own.join(":"))
            .env("LC_ALL", "C")
            .env("TERM", "xterm")
            .envs(self.variables.iter().cloned())
            .env_remove("NO_COLOR");
        command
    }

    /// Runs a program that must succeed; its output.
    pub fn sh(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program).args(args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {}: {error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// One native or user property of a dataset.
    pub fn zfs_get(&self, property: &str, of: &str) -> String {
        self.sh("zfs", &["get", "-H", "-p", "-o", "value", property, of]).trim_end().to_owned()
    }

    /// The dataset of a guest.
    pub fn dataset(&self, guest: &str) -> String {
        format!("{}/chyves/guests/{guest}", self.pool)
    }

    /// Runs `work` with a guest's file system mounted, on the folder as this test can open it.
    pub fn in_folder<T>(&self, guest: &str, work: impl FnOnce(&Path) -> T) -> T {
        self.in_dataset(&self.dataset(guest), work)
    }

    /// Runs `work` with a file system mounted, on its folder as this test can open it.
    pub fn in_dataset<T>(&self, dataset: &str, work: impl FnOnce(&Path) -> T) -> T {
        let was = self.sh("zfs", &["get", "-H", "-o", "value", "mounted,mountpoint", dataset]);
        let (was, folder) = was.trim_end().split_once('\n').unwrap();
        self.in_mounted(dataset, was == "yes", folder, work)
    }

    /// The same of one of which it is known whether it is mounted, and where.
    pub fn in_mounted<T>(&self, dataset: &str, mounted: bool, folder: &str, work: impl FnOnce(&Path) -> T) -> T {
        if !mounted {
            self.sh("zfs", &["mount", dataset]);
        }
        let result = work(&self.open_path(folder));
        if !mounted {
            until("the file system to be let go", || {
                self.command("zfs").args(["unmount", dataset]).output().unwrap().status.success().then_some(())
            });
        }
        result
    }

    /// Makes a second pool on this host, gone with it; its name.
    pub fn second_pool(&self) -> String {
        self.second_pool_with(&[])
    }

    /// The same with more options of `zpool create`.
    pub fn second_pool_with(&self, options: &[&str]) -> String {
        let name = format!("{}b", self.pool);
        let (disk, mount) = (self.dir().join("disk-b"), self.dir().join("pool-b"));
        self.sh("truncate", &["-s", "512M", disk.to_str().unwrap()]);
        let usual = ["create", "-o", "cachefile=none", "-m", mount.to_str().unwrap()];
        self.sh("zpool", &[&usual, options, &[&name, disk.to_str().unwrap()]].concat());
        name
    }

    /// The same, set up with this dataset of it as its root: none for the usual one, `/vm` for another.
    pub fn second(&self, root: &str) -> String {
        let name = self.second_pool();
        self.ok(&format!("pool init {name}{root}"));
        name
    }

    /// Destroys a dataset as soon as ZFS lets go of it.
    pub fn destroy(&self, dataset: &str) {
        until("the dataset to be let go", || {
            self.command("zfs").args(["destroy", dataset]).output().unwrap().status.success().then_some(())
        });
    }

    /// The lab that this host is in.
    pub fn lab(&self) -> &Lab {
        self.lab.as_ref().expect("this host is in no lab")
    }

    /// Ends a process of this host as `kill -9` does.
    pub fn kill(&self, pid: u64) {
        self.sh("kill", &["-9", &pid.to_string()]);
    }
}
