//! A trace of what this program runs, for whoever wants to see how it works or what it waits for: a line for each program
//! when it has ended, or when it was started where nobody waits for it.
//!
//! `CHYVES_TRACE` names the file that lines are added to, or `-` for standard error; `CHYVES_TRACE_OUTPUT` adds what the
//! programs said. `chyves dev trace` sets both. Supervisors take part where it is a file: their lines come with theirs.

use crate::hostfs::named;
use chyves_core::cmd::Cmd;
use chyves_core::value::printable;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The variable that says where.
pub const VARIABLE: &str = "CHYVES_TRACE";
/// The variable that asks for what programs said, too.
pub const OUTPUT_VARIABLE: &str = "CHYVES_TRACE_OUTPUT";
/// Where lines go that are for the person before the display.
pub const SCREEN: &str = "-";
/// More of what one program said is nothing to read.
const SAID_LIMIT: usize = 16_384;

/// Where the lines go.
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
        // What can't be opened is told by who sets it; a trace is no reason for a command to fail.
        let file = if place == SCREEN { None } else { Some(open(&place).ok()?) };
        Some(Sink { file, output: std::env::var_os(OUTPUT_VARIABLE).is_some(), began: Instant::now() })
    })
    .as_ref()
}

/// Opens a file for lines to be added; only its owner may read what commands say.
///
/// # Errors
/// What the system says.
pub fn open(path: &str) -> std::io::Result<File> {
    named::append(path)
}

impl Sink {
    fn line(&self, at: Duration, took: Option<Duration>, status: &str, cmd: &str, said: &str) {
        let millis = |d: Duration| format!("{:.1}", d.as_secs_f64() * 1000.0);
        let took = took.map_or_else(|| "-".to_owned(), millis);
        // One write a line, so that the lines of several processes don't mix.
        let text = format!("{:>7} {:>9} {took:>9} {status:>4} {cmd}\n{said}", std::process::id(), millis(at));
        // A full disk or a closed terminal is no reason to stop.
        drop(match &self.file {
            Some(file) => (&mut &*file).write_all(text.as_bytes()),
            None => std::io::stderr().lock().write_all(text.as_bytes()),
        });
    }
}

/// What the columns are.
pub fn head() -> String {
    format!("{:>7} {:>9} {:>9} {:>4} command\n", "process", "began ms", "took ms", "end")
}

/// A program on its way.
#[derive(Debug)]
pub struct Span {
    cmd: String,
    began: Instant,
}

/// A program begins; none where nothing is traced, which then costs nothing.
pub fn begin(cmd: &Cmd) -> Option<Span> {
    sink().map(|_| Span { cmd: cmd.to_string(), began: Instant::now() })
}

/// A program was started that nobody here waits for.
pub fn started(cmd: &Cmd) {
    if let Some(sink) = sink() {
        sink.line(sink.began.elapsed(), None, "", &cmd.to_string(), "");
    }
}

impl Span {
    /// It has ended: its exit status, none for a signal, and what it said.
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
