//! Loading the rules that keep guests on user-mode networking from the host's loopback, and proving that they hold.
//!
//! That they hold is found out by trying, as one of the users that they are for: in less than a millisecond, and whoever removed
//! them. They are loaded where they do not, for the ranges of all that live, which the runtime folder lists.
//!
//! Not here: the rules themselves (`core::confinement::loopback`).

use crate::hostfs::own;
use crate::runtime::{Lock, life, make_private};
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

/// A note of who is barred is a line.
const NOTE_LIMIT: u64 = 1 << 16;

fn table(run: &Path) -> String {
    loopback::table(&run.to_string_lossy())
}

fn folder(run: &Path) -> PathBuf {
    run.join("barred")
}

/// Rules that are being loaded.
pub(crate) struct Loading {
    nft: Child,
}

/// Begins to load the rules for a range of users, where they do not hold yet.
pub(crate) fn prepare(run: &Path, first: u32) -> Option<Loading> {
    if holds_for(first).is_ok() {
        return None;
    }
    // The hypervisor's own process tries again, and reports why.
    load(run, Some(first)).ok()
}

/// Writes down a hypervisor, and loads the rules where they do not hold for it.
pub(super) fn bar(run: &Path, one: &Barred) -> Result<Option<Loading>, String> {
    make_private(&folder(run)).map_err(|e| e.to_string())?;
    let text = serde_json::to_vec(one).map_err(|e| e.to_string())?;
    own::replace(folder(run).join(one.uid.to_string()), &text).map_err(|e| format!("{}: {e}", folder(run).display()))?;
    // Ports that it forwards are in the rules, too.
    if one.udp.is_empty() && holds_for(one.uid).is_ok() { Ok(None) } else { load(run, Some(one.first)).map(Some) }
}

/// Removes the rules with the last hypervisor that they are for. For the end of one, and for what ended unseen.
///
/// # Errors
/// They can't be removed, in words.
pub fn refresh(run: &Path) -> Result<(), String> {
    if !own::is_there(folder(run)) || living(run)?.iter().any(|one| one.udp.is_empty()) {
        return Ok(());
    }
    load(run, None)?.finish()
}

fn load(run: &Path, first: Option<u32>) -> Result<Loading, String> {
    make_private(&folder(run)).map_err(|e| e.to_string())?;
    let turn = Lock::take(&run.join("barred.lock"), TURN).map_err(|e| e.to_string())?;
    let turn = turn.ok_or_else(|| "another process that loads them does not get on".to_owned())?;
    let living = living(run)?;
    let firsts: Vec<u32> = living.iter().map(|one| one.first).chain(first).collect();
    let cmd = loopback::load(&loopback::rules(&table(run), &firsts, &living));
    let program = run::find_program(&cmd.program).ok_or_else(|| format!("the program `{}` is missing", cmd.program))?;
    let mut command = child::command(program);
    // It prints nothing there, and holds the turn for exactly as long as it lives.
    let turn = turn.file().try_clone().map_err(|e| e.to_string())?;
    command.args(&cmd.args).stdin(Stdio::piped()).stdout(turn).stderr(Stdio::piped());
    let mut nft = command.spawn().map_err(|e| format!("`{}` cannot be run: {e}", cmd.program))?;
    if let Some(mut stdin) = nft.stdin.take() {
        // One that ends without reading says itself why.
        let _ = stdin.write_all((cmd.lines.join("\n") + "\n").as_bytes());
    }
    Ok(Loading { nft })
}

/// Those that live.
fn living(run: &Path) -> Result<Vec<Barred>, String> {
    let mut all = Vec::new();
    let names = own::names(folder(run)).map_err(|e| format!("{}: {e}", folder(run).display()))?;
    for path in names.into_iter().map(|name| folder(run).join(name)) {
        let read = own::read(&path, NOTE_LIMIT).ok().and_then(|bytes| serde_json::from_slice::<Barred>(&bytes).ok());
        match read {
            Some(one) if life::lives(&super::uid::path(run, one.uid)).map_err(|e| e.to_string())? => all.push(one),
            Some(_) | None => drop(own::remove(path)),
        }
    }
    all.sort();
    Ok(all)
}

impl Loading {
    /// Waits until they are loaded.
    pub(crate) fn finish(self) -> Result<(), String> {
        let ended = self.nft.wait_with_output().map_err(|e| format!("`nft` cannot be waited for: {e}"))?;
        let said = String::from_utf8_lossy(&ended.stderr);
        let first = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it printed nothing");
        if ended.status.success() { Ok(()) } else { Err(format!("nft refuses its rules: {first}")) }
    }
}

/// Whether this process, which is the hypervisor's user already, is kept from the loopback: it tries.
pub(super) fn holds() -> Result<(), String> {
    // Without a port there is nothing to be reached either.
    let Ok(listener) = TcpListener::bind(("127.0.0.1", 0)) else { return Ok(()) };
    let Ok(address) = listener.local_addr() else { return Ok(()) };
    match TcpStream::connect_timeout(&address, REFUSED_WITHIN) {
        Ok(_) => Err("the rules of nft are not loaded, or do not hold".to_owned()),
        Err(_) => Ok(()),
    }
}

/// Whether a user is kept from the loopback now: tried by root in its place.
///
/// # Errors
/// It is not, in words.
pub fn holds_for(uid: u32) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    // SAFETY: this changes as whom this thread makes sockets and files, and nothing in memory.
    #[allow(unsafe_code)]
    let set = |uid| unsafe { libc::setfsuid(uid) };
    set(uid);
    // It reports no failure, but what holds: another question tells.
    let is_set = set(u32::MAX) == uid.cast_signed();
    let result = if is_set { holds() } else { Err("it can be tried by root alone".to_owned()) };
    set(own);
    result
}
