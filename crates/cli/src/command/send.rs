//! `chyves send`: a guest as a stream on standard output.

use crate::session::Session;
use crate::targets::guest_at;
use chyves_core::error::{Problem, Result};
use chyves_engine::op::{GuestSend, Since};
use std::io::IsTerminal;

/// Send a guest to standard output
///
/// An ordinary ZFS stream of the guest's disks, firmware variables and settings at one snapshot, for `chyves receive` or `zfs
/// receive`. Without a snapshot a new one is taken and kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest, or one of its snapshots
    #[arg(value_name = "GUEST[@SNAPSHOT]", required_unless_present = "resume")]
    guest: Option<String>,
    /// Only changes since this snapshot, which the receiver must have
    #[arg(long, value_name = "@SNAPSHOT", conflicts_with = "incremental_for")]
    from: Option<String>,
    /// Only changes since the newest snapshot that the receiver has: a pool of this host, or a file with the output
    /// of `chyves snapshot list GUEST -H -o name,guid` there
    #[arg(long, value_name = "POOL|FILE")]
    incremental_for: Option<String>,
    /// The rest of an interrupted stream; `receive --resumable` prints the token
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["guest", "from", "incremental_for"])]
    resume: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    if std::io::stdout().is_terminal() && !session.dry_run {
        return Err(Problem::usage("a stream is not for a terminal")
            .hint("write it to a file (> web01.zfs) or give it to a program (| ssh host chyves receive)"));
    }
    if session.ui.json && !session.dry_run {
        return Err(Problem::usage("standard output is the stream, so there is no place for JSON").hint("omit --json"));
    }
    let outcome = session.run(&request(args)?)?;
    for sent in outcome.answer.iter().flatten() {
        if let (Some(name), Some(taken)) = (&sent.object, &sent.taken) {
            session.ui.say(&format!("{name}: sent as it was at {name}@{taken}, which is kept for later increments"));
        }
    }
    Ok(())
}

fn request(args: &Args) -> Result<GuestSend> {
    let word = match (&args.guest, &args.resume) {
        (_, Some(token)) => return Ok(GuestSend::Rest { token: token.clone() }),
        (Some(word), None) => word,
        (None, None) => return Err(Problem::usage("no guest is named").hint("chyves send GUEST > FILE")),
    };
    let (guest, snapshot) = guest_at(word)?;
    let since = match (&args.from, &args.incremental_for) {
        (Some(from), _) => Since::Snapshot(from.strip_prefix('@').unwrap_or(from).parse()?),
        (None, Some(place)) => Since::Place(place.clone()),
        (None, None) => Since::Nothing,
    };
    Ok(GuestSend::Guest { guest, snapshot, since })
}
