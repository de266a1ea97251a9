//! `chyves receive`: a guest from a stream on standard input.

use crate::session::Session;
use chyves_core::error::{Problem, Result};
use chyves_core::value::GuestName;
use chyves_engine::op::GuestReceive;
use std::io::IsTerminal;

/// Receive a guest from standard input
///
/// Existing guests are not changed, except that an incremental stream updates the received guest it builds on.
/// The received guest is foreign until `chyves adopt`. A damaged or truncated stream leaves nothing behind.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest's name here [default: its name in the stream]
    #[arg(long)]
    name: Option<GuestName>,
    /// The pool [default: the primary one]
    #[arg(long)]
    pool: Option<String>,
    /// If the stream is cut off, keep the part received, to resume later
    #[arg(long)]
    resumable: bool,
    /// Resume: the stream is the rest, and this is the part kept
    #[arg(long, value_name = "KEPT", requires = "name", conflicts_with = "pool")]
    resume: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    if std::io::stdin().is_terminal() {
        return Err(Problem::usage("a stream does not come from a terminal")
            .hint("read it from a file (< web01.zfs) or from a program (ssh host chyves send web01 |)"));
    }
    let Args { name, pool, resumable, resume } = args;
    let request = GuestReceive { name: name.clone(), pool: pool.clone(), resumable: *resumable, resume: resume.clone() };
    let outcome = session.run(&request)?;
    for disarmed in outcome.answer.iter().flatten().flat_map(|received| &received.disarmed) {
        session.ui.say(&format!("disarmed: {} was {}: {}", disarmed.what, disarmed.was, disarmed.now));
    }
    session.show_all(outcome, |received| {
        let name = &received.object;
        let said =
            format!("received as {}; foreign until `chyves adopt {name}`; make sure first that it runs nowhere else", received.dataset);
        Some((name.clone(), said))
    })
}
