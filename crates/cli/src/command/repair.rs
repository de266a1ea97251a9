//! `chyves repair`: finishes or rolls back what killed commands left.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_engine::op::Repair;

/// Complete or roll back commands that were killed or cut off by a host crash
///
/// The next changing command on the same guest does that by itself; this one does it for all, and shows what it found.
/// The jail and the VM object of a bhyve that died with its supervisor are removed. What came of images whose transfer was cut is
/// deleted, so that the next fetch starts from scratch. The damaged record of a VM is written again by its supervisor, or removed
/// where nothing of the VM lives. A journal that cannot be read is reported and
/// kept. The clone from which a guest was being reverted to a snapshot is destroyed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(session: &Session, _: &Args) -> Result<()> {
    let outcome = session.run(&Repair {})?;
    session.show_each(outcome, |repaired| repaired.done.words().to_owned())
}
