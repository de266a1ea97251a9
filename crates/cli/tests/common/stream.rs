//! Guests as streams in files of the working folder.

use super::{Host, PROGRAM};
use std::fs::File;
use std::process::Stdio;

/// Runs a chyves that writes a stream into a file; its exit status and what it said.
pub fn send(host: &Host, line: &str, file: &str) -> (i32, String) {
    let to = File::create(host.work().join(file)).unwrap();
    let output = host.command(PROGRAM).args(line.split(' ')).stdout(Stdio::from(to)).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs a chyves that reads one.
pub fn receive(host: &Host, line: &str, file: &str) -> (i32, String) {
    let from = File::open(host.work().join(file)).unwrap();
    let output = host.command(PROGRAM).args(line.split(' ')).stdin(Stdio::from(from)).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What it said, where it went well.
#[track_caller]
pub fn done(what: (i32, String)) -> String {
    assert_eq!(what.0, 0, "{}", what.1);
    what.1
}
