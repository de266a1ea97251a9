//! How a stand-in ends before its time: an exit status and a text. FreeBSD's programs are judged by both.
//! Not its job: a guest's end, which is no error; see `bhyve::run`.

use std::fmt::Display;
use std::process::ExitCode;

/// `EX_USAGE`: bhyve's and bhyveload's answer to an option argument that can't be read.
pub(crate) const USAGE: u8 = 64;
/// The lab itself can't go on (it is not up, a Linux program is missing). No FreeBSD program ends so.
pub(crate) const LAB: u8 = 70;

/// An end with a status, and what is said about it.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) status: u8,
    /// For standard error; empty when there is nothing to say.
    pub(crate) text: String,
    /// The signal that it dies of instead.
    pub(crate) signal: Option<i32>,
}

/// What a stand-in returns: nothing, or an early end.
pub(crate) type Done<T = ()> = Result<T, Exit>;

/// An end with `status`, saying `text`.
pub(crate) fn exit<T>(status: u8, text: impl Display) -> Done<T> {
    Err(Exit { status, text: text.to_string(), signal: None })
}

/// An end by a signal, as of a program that crashes.
pub(crate) fn signal<T>(signal: i32, text: impl Display) -> Done<T> {
    Err(Exit { status: LAB, text: text.to_string(), signal: Some(signal) })
}

/// The lab's own failure, marked as such so that nobody takes it for FreeBSD's answer.
pub(crate) fn broken(what: impl Display) -> Exit {
    Exit { status: LAB, text: format!("lab: {what}"), signal: None }
}

/// An error of the system, said about a thing, as the lab's own failure.
pub(crate) trait Or<T> {
    /// The value, or the lab's failure naming `what`.
    fn or_broken(self, what: impl Display) -> Done<T>;
}

impl<T, E: Display> Or<T> for Result<T, E> {
    fn or_broken(self, what: impl Display) -> Done<T> {
        self.map_err(|error| broken(format_args!("{what}: {error}")))
    }
}

/// Says what there is to say, and turns an end into the process' status.
pub(crate) fn code(program: &str, end: Done) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit { status, text, signal }) => {
            if !text.is_empty() {
                let lab = if status == LAB && signal.is_none() { format!("{program}: ") } else { String::new() };
                eprintln!("{lab}{text}");
            }
            if let Some(signal) = signal {
                // No core file: it is meant.
                let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            ExitCode::from(status)
        }
    }
}
