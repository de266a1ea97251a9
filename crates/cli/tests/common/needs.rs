//! What a machine must have for these tests, looked at once; the images of the test guests; and how a test that can't
//! run says so.

use super::With;
use super::cell::find;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of the test guests' images, or why the test can't run.
pub(super) fn look(with: With) -> Result<PathBuf, String> {
    static MACHINE: OnceLock<Result<(), String>> = OnceLock::new();
    static GUESTS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MACHINE.get_or_init(machine).clone()?;
    match with {
        With::Pool | With::Image => Ok(PathBuf::new()),
        With::Volumes if Path::new("/dev/zfs").exists() => Ok(PathBuf::new()),
        With::Volumes => Err("this ZFS has no volumes (scripts/test-openzfs boots one that has)".to_owned()),
        With::Tiny | With::Files => GUESTS.get_or_init(guests).clone(),
    }
}

fn machine() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("these tests need namespaces of Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make pools and mount file systems".to_owned());
    }
    match ["zfs", "zpool", "unshare", "nsenter", "setsid", "truncate"].iter().find(|p| find(p).is_none()) {
        Some(missing) => Err(format!("the program `{missing}` is missing (scripts/setup installs it)")),
        None => Ok(()),
    }
}

fn guests() -> Result<PathBuf, String> {
    if find("qemu-system-x86_64").is_none() {
        return Err("QEMU is missing (scripts/setup installs it)".to_owned());
    }
    if let Some(folder) = std::env::var_os("CHYVES_TEST_GUESTS") {
        return Ok(PathBuf::from(folder));
    }
    if std::env::var_os("CHYVES_TEST_SKIPPED").is_some() {
        return Err("no guest is booted in this run".to_owned());
    }
    // By hand, then: built beside the other things that are built, by one test at a time.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let build = root.join("scripts/guest/build");
    let folder = root.join("target/guests");
    let turn = File::open(&build).and_then(|file| file.lock().map(|()| file)).map_err(|e| format!("{}: {e}", build.display()))?;
    let output = Command::new(&build).arg(&folder).output().map_err(|e| format!("{}: {e}", build.display()))?;
    drop(turn);
    if output.status.success() {
        return Ok(folder);
    }
    let why = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    Err(format!("the test guests cannot be built: {why}"))
}

/// Tells that a test is skipped, where a person and where scripts/test will see it.
pub(super) fn skipped(test: &str, reason: &str) {
    let line = format!("skipped: {test}: {}", reason.replace('\n', "; "));
    println!("{line}");
    if let Some(path) = std::env::var_os("CHYVES_TEST_SKIPPED") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut f| writeln!(f, "{line}")).expect("a skipped test must be told");
    }
}
