//! A stream that continues when its reader goes away. zfs-fuse reports a snapshot as busy permanently once `zfs send` of it was
//! interrupted. So a small process reads from `zfs send`, survives its own reader, even a killed one, and discards the rest of
//! the stream.

use crate::child;
use crate::spawner::Spawner;
use chyves_core::error::{Problem, Result};
use std::io::{Read, Write};
use std::process::{Child, Stdio};

/// Name of the hidden command.
pub const WORD: &str = "_drain";

/// Starts one that reads the output of `maker`. The stream is then read from the returned child.
pub(crate) fn behind(maker: &mut Child) -> Result<Child> {
    let from = maker.stdout.take().ok_or_else(|| Problem::bug("a program has no standard output"))?;
    let cmd = Spawner::this_program()?.command(WORD);
    let mut command = child::own_command(&cmd.program);
    command.args(&cmd.args).stdin(from).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(|e| Problem::host_cant("cannot carry a stream").on(&cmd.program).because(e))
}

/// The hidden command: copies standard input to standard output, and discards the rest when nobody reads. Returns the exit
/// status.
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
