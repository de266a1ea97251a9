//! A stream that goes on when nobody reads it any more. zfs-fuse calls a snapshot busy for good whose stream was broken
//! off; so there a small process of its own stands behind `zfs send`, which survives whoever reads, be that killed or not,
//! and lets the stream run to its end into nothing.

use crate::child;
use crate::supervise::Spawner;
use chyves_core::error::{Problem, Result};
use std::io::{Read, Write};
use std::process::{Child, Stdio};

/// The hidden command.
pub const WORD: &str = "_drain";

/// Puts one behind a program that makes a stream: what it prints is now to be read from the answer.
pub(crate) fn behind(maker: &mut Child) -> Result<Child> {
    let from = maker.stdout.take().ok_or_else(|| Problem::bug("a program has no standard output"))?;
    let cmd = Spawner::this_program()?.command(WORD);
    let mut command = child::own_command(&cmd.program);
    command.args(&cmd.args).stdin(from).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(|e| Problem::host_cant("cannot carry a stream").on(&cmd.program).because(e))
}

/// The body of the hidden command: standard input to standard output, then to nobody. Answers the exit status.
pub fn main() -> u8 {
    let (mut from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut buffer = vec![0; 1 << 16];
    let mut heard = true;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return 0,
            Ok(n) => heard = heard && to.write_all(&buffer[..n]).and_then(|()| to.flush()).is_ok(),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return 1,
        }
    }
}
