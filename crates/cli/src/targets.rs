//! Guests and snapshots as they are written on a command line.

use chyves_core::error::Result;
use chyves_core::value::GuestName;

pub(crate) use chyves_engine::Targets;

/// Parses a guest and a snapshot, `web01@before`, or the guest alone.
pub(crate) fn guest_at(word: &str) -> Result<(GuestName, Option<chyves_core::value::SnapshotName>)> {
    match word.split_once('@') {
        Some((guest, snapshot)) => Ok((guest.parse()?, Some(snapshot.parse()?))),
        None => Ok((word.parse()?, None)),
    }
}
