//! A trace of the programs that chyves runs, to show how it works or what it waits for: one line for each program when it has
//! ended, or when it was started if chyves does not wait for it.
//!
//! `CHYVES_TRACE` names the file to which lines are appended, or `-` for standard error; `CHYVES_TRACE_OUTPUT` adds the
//! programs' output. `chyves dev trace` sets both. Supervisors trace only to a file.

use crate::hostfs::named;
use chyves_core::cmd::Cmd;
use chyves_core::value::printable;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The environment variable that names the destination.
pub const VARIABLE: &str = "CHYVES_TRACE";
/// The environment variable that adds the programs' output.
pub const OUTPUT_VARIABLE: &str = "CHYVES_TRACE_OUTPUT";
/// The value that means standard error.
pub const SCREEN: &str = "-";
/// Size limit of the traced output of one program, in bytes.
const SAID_LIMIT: usize = 16_384;

/// The destination of the trace.
struct Sink {
    /// None is standard error.
    file: Option<File>,
    output: bool,
    began: Instant,
}

fn sink() -> Option<&'static Sink> {
    static SINK: OnceLock<Option<Sink>> = OnceLock::new();
    SINK.get_or_init(|| {
        let place = std::env::var(VARIABLE).ok().filter(|p| !p.is_empty())?;
        // `chyves dev trace` reports what cannot be opened; a trace must not make a command fail.
        let file = if place == SCREEN { None } else { Some(open(&place).ok()?) };
        Some(Sink { file, output: std::env::var_os(OUTPUT_VARIABLE).is_some(), began: Instant::now() })
    })
    .as_ref()
}

/// Opens a file for appending; only its owner may read it, since output may be confidential.
///
/// # Errors
/// As open(2).
pub fn open(path: &str) -> std::io::Result<File> {
    named::append(path)
}

impl Sink {
    fn line(&self, at: Duration, took: Option<Duration>, status: &str, cmd: &str, said: &str) {
        let millis = |d: Duration| format!("{:.1}", d.as_secs_f64() * 1000.0);
        let took = took.map_or_else(|| "-".to_owned(), millis);
        // One write per line, so that the lines of several processes do not mix.
        let text = format!("{:>7} {:>9} {took:>9} {status:>4} {cmd}\n{said}", std::process::id(), millis(at));
        // A full disk or a closed terminal is no reason to stop.
        drop(match &self.file {
            Some(file) => (&mut &*file).write_all(text.as_bytes()),
            None => std::io::stderr().lock().write_all(text.as_bytes()),
        });
    }
}

/// The column headers.
pub fn head() -> String {
    format!("{:>7} {:>9} {:>9} {:>4} command\n", "process", "began ms", "took ms", "end")
}

/// A program that is running.
#[derive(Debug)]
pub struct Span {
    cmd: String,
    began: Instant,
}

/// Records the start of a program; none if tracing is off, which then costs nothing.
pub fn begin(cmd: &Cmd) -> Option<Span> {
    sink().map(|_| Span { cmd: cmd.to_string(), began: Instant::now() })
}

/// Records the start of a program that chyves does not wait for.
pub fn started(cmd: &Cmd) {
    if let Some(sink) = sink() {
        sink.line(sink.began.elapsed(), None, "", &cmd.to_string(), "");
    }
}

impl Span {
    /// Records the end of a program: exit status, none for a signal, and its output.
    pub fn end(self, status: Option<i32>, stdout: &str, stderr: &str) {
        let Some(sink) = sink() else { return };
        let status = status.map_or_else(|| "sig".to_owned(), |s| s.to_string());
        let mut said = String::new();
        for (mark, text) in [("  | ", stdout), ("  ! ", stderr)] {
            for line in text.lines().filter(|_| sink.output) {
                if said.len() > SAID_LIMIT {
                    said.push_str("  …\n");
                    break;
                }
                let _ = writeln!(said, "{mark}{}", printable(line, 1000));
            }
        }
        sink.line(self.began.duration_since(sink.began), Some(self.began.elapsed()), &status, &self.cmd, &said);
    }
}
