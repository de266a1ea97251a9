//! `chyves repair`: what killed commands left, finished or taken back.

use crate::session::{Report, Session};
use chyves_core::error::Result;
use chyves_host::apply::journal;
use std::time::Duration;

/// Finish or take back what killed commands left
///
/// The next changing command on the same guest does that by itself; this one does it for all, and shows what it found.
/// With --dry-run it only shows.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(session: &Session, _: &Args) -> Result<()> {
    let found = journal::dead(&session.runtime, None)?;
    if found.is_empty() {
        session.ui.say("nothing was left by killed commands");
    }
    let mut reports = Vec::new();
    for dead in found {
        let how = if dead.goes_on() { "finished" } else { "taken back" };
        if session.dry_run {
            session.ui.answer(&format!("# {}; it would be {how}\n", dead.describe()));
            continue;
        }
        let wait = Duration::from_secs(10);
        let _locks =
            dead.record.locks.iter().map(|name| session.runtime.lock_named(name, wait, &session.typed)).collect::<Result<Vec<_>>>()?;
        session.recover(&dead)?;
        reports.push(Report::new(dead.record.locks.join(" "), how));
    }
    session.tell(&reports);
    Ok(())
}
