//! Loading the rules that keep guests on user-mode networking from the host's loopback, and verifying them.
//!
//! They are verified by a connection attempt as one of the users that they are for: that takes less than a millisecond, and
//! detects any removal. If they are not in force, they are loaded for the user ids of all running hypervisors, which the
//! runtime folder lists.
//!
//! Not here: the rules themselves (`core::network::loopback`).

use crate::hostfs::{kernel, own};
use crate::runtime::{Lock, life, make_private};
use crate::{child, run};
use chyves_core::network::loopback::{self, Barred, Ephemeral};
use chyves_core::value::json;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Longest wait for another process that loads the rules, which takes milliseconds.
const TURN: Duration = Duration::from_secs(10);
/// Longest wait for a connection, in case packets are dropped instead of rejected.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// Size limit in bytes of a note about a hypervisor; it is one line.
const NOTE_LIMIT: u64 = 1 << 16;

/// The ports from which the kernel chooses.
pub(super) fn ephemeral() -> Ephemeral {
    Ephemeral::read(&kernel::text("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
}

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

/// Starts loading the rules for a range of users, if they are not in force yet.
pub(crate) fn prepare(run: &Path, first: u32) -> Option<Loading> {
    if holds_for(first).is_ok() {
        return None;
    }
    // The hypervisor's own process tries again, and reports the reason.
    load(run, Some(first)).ok()
}

/// Records a hypervisor, and starts loading the rules if they are not in force for it.
pub(super) fn bar(run: &Path, one: &Barred) -> Result<Option<Loading>, String> {
    make_private(&folder(run)).map_err(|e| e.to_string())?;
    let text = serde_json::to_vec(one).map_err(|e| e.to_string())?;
    own::replace(folder(run).join(one.uid.to_string()), &text).map_err(|e| format!("{}: {e}", folder(run).display()))?;
    // The rules also depend on the ports that it forwards and listens on.
    if !one.has_ports() && holds_for(one.uid).is_ok() { Ok(None) } else { load(run, Some(one.first)).map(Some) }
}

/// Removes the rules with the last hypervisor that they are for: called at the end of one, and after unnoticed ends.
///
/// # Errors
/// They cannot be removed; the text is the reason.
pub fn refresh(run: &Path) -> Result<(), String> {
    if !own::is_there(folder(run)) || living(run)?.iter().any(|one| !one.has_ports()) {
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
    let cmd = loopback::load(&loopback::rules(&table(run), &firsts, &living, ephemeral()));
    let program = run::find_program(&cmd.program).ok_or_else(|| format!("the program `{}` is missing", cmd.program))?;
    let mut command = child::command(program);
    // nft prints nothing to this descriptor, and holds the lock for exactly as long as it lives.
    let turn = turn.file().try_clone().map_err(|e| e.to_string())?;
    command.args(&cmd.args).stdin(Stdio::piped()).stdout(turn).stderr(Stdio::piped());
    let mut nft = command.spawn().map_err(|e| format!("`{}` cannot be run: {e}", cmd.program))?;
    if let Some(mut stdin) = nft.stdin.take() {
        // A program that exits without reading reports the reason itself.
        let _ = stdin.write_all((cmd.lines.join("\n") + "\n").as_bytes());
    }
    Ok(Loading { nft })
}

/// The running hypervisors.
fn living(run: &Path) -> Result<Vec<Barred>, String> {
    let mut all = Vec::new();
    let names = own::names(folder(run)).map_err(|e| format!("{}: {e}", folder(run).display()))?;
    for path in names.into_iter().map(|name| folder(run).join(name)) {
        let read = own::read(&path, NOTE_LIMIT).ok().and_then(|bytes| json::from_slice::<Barred>(&bytes).ok());
        match read {
            // A claim that cannot be read may be of a guest that runs; the rules for it do no harm.
            Some(one) if life::lives(&super::uid::path(run, one.uid)).unwrap_or(true) => all.push(one),
            Some(_) | None => drop(own::remove_all(path)),
        }
    }
    all.sort();
    Ok(all)
}

impl Loading {
    /// Waits until the rules are loaded.
    pub(crate) fn finish(self) -> Result<(), String> {
        let ended = self.nft.wait_with_output().map_err(|e| format!("`nft` cannot be waited for: {e}"))?;
        let said = String::from_utf8_lossy(&ended.stderr);
        let first = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it printed nothing");
        if ended.status.success() { Ok(()) } else { Err(format!("nft refuses its rules: {first}")) }
    }
}

/// Whether this process, which already has the hypervisor's user id, is kept from the loopback: tested by a connection attempt.
pub(super) fn holds() -> Result<(), String> {
    // Without a port nothing can be reached either.
    let Ok(listener) = TcpListener::bind(("127.0.0.1", 0)) else { return Ok(()) };
    let Ok(address) = listener.local_addr() else { return Ok(()) };
    match TcpStream::connect_timeout(&address, REFUSED_WITHIN) {
        Ok(_) => Err("the rules of nft are not loaded, or do not hold".to_owned()),
        Err(_) => Ok(()),
    }
}

/// Whether a user is kept from the loopback now: tested by root with that user id.
///
/// # Errors
/// It is not; the text is the reason.
pub fn holds_for(uid: u32) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    // SAFETY: this changes the user id with which this thread creates sockets and files, and nothing in memory.
    #[allow(unsafe_code)]
    let set = |uid| unsafe { libc::setfsuid(uid) };
    set(uid);
    // setfsuid(2) reports no failure, only the previous value: a second call shows whether the first succeeded.
    let is_set = set(u32::MAX) == uid.cast_signed();
    let result = if is_set { holds() } else { Err("it can be tried by root alone".to_owned()) };
    set(own);
    result
}
