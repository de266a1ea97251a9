//! Keeps passwords in arguments out of the process list, which every user can read. If an address on the command line contains
//! a password, this program re-executes itself with masked arguments and reads the real ones from a pipe. The password is
//! visible only until then.
//!
//! Not here: what the arguments mean.

use crate::child;
use crate::spawner::Spawner;
use chyves_core::image::{is_secret, masked};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;

/// The environment variable that names the process for which the real arguments are, and the descriptor to read them from.
const VARIABLE: &str = "CHYVES_ARGUMENTS";
/// A pipe accepts at least this many bytes without a reader.
const LIMIT: usize = 16 << 10;

/// The arguments as typed. If they contain a password, it is first removed from the process list.
pub fn typed() -> Vec<OsString> {
    let own: Vec<OsString> = std::env::args_os().collect();
    if let Some(real) = handed_over() {
        return real;
    }
    if own.iter().any(|word| word.to_str().is_some_and(is_secret)) {
        // If hiding fails, the command runs nevertheless: the password was already visible.
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
    // Not close-on-exec: it has to survive the exec below.
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

/// The arguments that the program before the exec left in the pipe.
fn handed_over() -> Option<Vec<OsString>> {
    let value = std::env::var(VARIABLE).ok()?;
    let (process, number) = value.split_once(':')?;
    // A child of that process inherits the variable, but not the descriptor.
    if process.parse() != Ok(std::process::id()) {
        return None;
    }
    let number = number.parse().ok().filter(|number| *number > 2)?;
    // SAFETY: the process id shows that this program opened the descriptor for itself, and nothing else has been opened here
    // yet.
    #[allow(unsafe_code)]
    let mut from = unsafe { File::from_raw_fd(number) };
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).ok()?;
    Some(bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect())
}
