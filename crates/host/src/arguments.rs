//! Arguments that others must not see: where an address on the command line has a password, this program replaces itself
//! with one whose arguments don't, and reads the real ones from a pipe. The list of processes, which every user can read,
//! shows the password only for the moment that this takes.
//!
//! Not here: what the arguments mean.

use crate::child;
use crate::supervise::Spawner;
use chyves_core::image::{is_secret, masked};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;

/// Which process the real arguments are for, and the descriptor that they come from.
const VARIABLE: &str = "CHYVES_ARGUMENTS";
/// A pipe takes so much without a reader.
const LIMIT: usize = 16 << 10;

/// The arguments as they were typed. Where they hold a password, it is kept from the list of processes first.
pub fn typed() -> Vec<OsString> {
    let own: Vec<OsString> = std::env::args_os().collect();
    if let Some(real) = handed_over() {
        return real;
    }
    if own.iter().any(|word| word.to_str().is_some_and(is_secret)) {
        // Where it can't be done, the command is done nevertheless: the password was visible already.
        drop(hide(&own));
    }
    own
}

fn hide(own: &[OsString]) -> std::io::Result<()> {
    let text = own.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&0);
    if text.len() > LIMIT {
        return Ok(());
    }
    let exe = Spawner::this_program().map_err(std::io::Error::other)?.exe;
    // It has to survive the next line but one.
    let (from, to) = pipe_with(PipeFlags::empty())?;
    File::from(to).write_all(&text)?;
    let mut command = child::command_of_user(&exe);
    command.args(own.iter().skip(1).map(|word| word.to_str().map_or_else(|| word.clone(), |word| masked(word).into())));
    command.env(VARIABLE, format!("{}:{}", std::process::id(), from.as_raw_fd()));
    if let Some(name) = own.first() {
        command.arg0(name);
    }
    Err(command.exec())
}

/// What the program that this one replaced left.
fn handed_over() -> Option<Vec<OsString>> {
    let value = std::env::var(VARIABLE).ok()?;
    let (process, number) = value.split_once(':')?;
    // A child of that process inherits the variable, and nothing else.
    if process.parse() != Ok(std::process::id()) {
        return None;
    }
    let number = number.parse().ok().filter(|number| *number > 2)?;
    // SAFETY: the process id says that this program opened it for itself, and nothing else here has been opened yet.
    #[allow(unsafe_code)]
    let mut from = unsafe { File::from_raw_fd(number) };
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).ok()?;
    Some(bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect())
}
