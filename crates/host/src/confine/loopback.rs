//! Loading the rules that keep guests on user-mode networking from the host's loopback, and proving that they hold.
//!
//! Which users they are for is written in the runtime folder. Whoever adds or removes one loads the rules for all that live, in one
//! transaction; so rules that somebody flushed are there again with the next start.
//!
//! Not here: the rules themselves (`core::confinement::loopback`).

#![allow(clippy::disallowed_methods)] // the runtime folder is root's own

use crate::runtime::{Lock, life, make_private, record};
use crate::{child, run};
use chyves_core::confinement::loopback::{self, Barred};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Another one that loads them takes milliseconds.
const TURN: Duration = Duration::from_secs(10);
/// A packet that is dropped instead of rejected is not waited for longer.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

fn table(run: &Path) -> String {
    loopback::table(&run.to_string_lossy())
}

fn folder(run: &Path) -> PathBuf {
    run.join("barred")
}

/// Rules that are being loaded.
pub(super) struct Loading {
    nft: Child,
    _turn: Lock,
}

/// Adds a hypervisor, and begins to load the rules for all.
pub(super) fn bar(run: &Path, one: &Barred) -> Result<Loading, String> {
    make_private(&folder(run)).map_err(|e| e.to_string())?;
    let text = serde_json::to_vec(one).map_err(|e| e.to_string())?;
    let turn = turn(run)?;
    record::replace(&folder(run).join(one.uid.to_string()), &text).map_err(|e| format!("{}: {e}", folder(run).display()))?;
    load(run, turn)
}

/// Loads the rules for those that live; the others are forgotten. For the end of a hypervisor, and for what ended unseen.
///
/// # Errors
/// They can't be loaded, in words.
pub fn refresh(run: &Path) -> Result<(), String> {
    if !folder(run).exists() {
        return Ok(());
    }
    load(run, turn(run)?)?.finish()
}

fn turn(run: &Path) -> Result<Lock, String> {
    let taken = Lock::take(&run.join("barred.lock"), TURN).map_err(|e| e.to_string())?;
    taken.ok_or_else(|| "another process that loads them does not get on".to_owned())
}

fn load(run: &Path, turn: Lock) -> Result<Loading, String> {
    let cmd = loopback::load(&loopback::rules(&table(run), &living(run)?));
    let program = run::find_program(&cmd.program).ok_or_else(|| format!("the program `{}` is missing", cmd.program))?;
    let mut command = child::command(program);
    command.args(&cmd.args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut nft = command.spawn().map_err(|e| format!("`{}` can't be run: {e}", cmd.program))?;
    if let Some(mut stdin) = nft.stdin.take() {
        // One that ends without reading says itself why.
        let _ = stdin.write_all((cmd.lines.join("\n") + "\n").as_bytes());
    }
    Ok(Loading { nft, _turn: turn })
}

/// Those that live.
fn living(run: &Path) -> Result<Vec<Barred>, String> {
    let mut all = Vec::new();
    let entries = std::fs::read_dir(folder(run)).map_err(|e| format!("{}: {e}", folder(run).display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let read = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Barred>(&bytes).ok());
        match read {
            Some(one) if life::lives(&super::uid::path(run, one.uid)).map_err(|e| e.to_string())? => all.push(one),
            Some(_) | None => drop(std::fs::remove_file(path)),
        }
    }
    all.sort();
    Ok(all)
}

impl Loading {
    /// Waits until they are loaded.
    pub(super) fn finish(self) -> Result<(), String> {
        let ended = self.nft.wait_with_output().map_err(|e| format!("`nft` can't be waited for: {e}"))?;
        let said = String::from_utf8_lossy(&ended.stderr);
        let first = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says nothing");
        if ended.status.success() { Ok(()) } else { Err(format!("nft refuses its rules: {first}")) }
    }
}

/// Whether this process, which is the hypervisor's user already, is kept from the loopback: it tries.
pub(super) fn holds() -> Result<(), String> {
    // Without a port there is nothing to be reached either.
    let Ok(own) = TcpListener::bind(("127.0.0.1", 0)) else { return Ok(()) };
    let Ok(address) = own.local_addr() else { return Ok(()) };
    match TcpStream::connect_timeout(&address, REFUSED_WITHIN) {
        Ok(_) => Err("the rules of nft are loaded, and do not hold".to_owned()),
        Err(_) => Ok(()),
    }
}

/// Whether the rules that are loaded now keep a user from the loopback.
///
/// # Errors
/// Why not, in words.
pub fn closed_to(run: &Path, uid: u32) -> Result<(), String> {
    let shown = run::run(&loopback::show(&table(run))).map_err(|e| e.message)?;
    if loopback::bars(&shown.stdout, uid) {
        return Ok(());
    }
    Err(format!("the table {} of nft is not loaded any more, or does not name its user; the next start of a guest loads it", table(run)))
}
