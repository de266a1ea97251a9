//! Sending a guest as a stream: runs the programs that produce it, one after the other, to standard output.

use super::{Event, Place};
use crate::{facts, run, stream};
use chyves_core::error::Result;
use chyves_core::zfs::Dialect;
use chyves_core::zfs::sending::{Sending, estimated};
use chyves_core::zfs::stream::conclusion;

/// Writes a stream to standard output and reports progress; its total size is queried where ZFS can estimate it.
pub(super) fn send(sending: &Sending, place: &mut Place<'_>) -> Result<()> {
    let total = match facts::dialect() {
        Dialect::OpenZfs => sending.estimates().iter().map(size).sum(),
        Dialect::Fuse => None,
    };
    let mut parts = Vec::new();
    let envelope = sending.envelope();
    for cmd in envelope.iter().chain(&sending.cmds()) {
        (place.report)(Event::Command(cmd.to_string()));
    }
    if let Some(cmd) = &envelope {
        parts.push(stream::Part::Bytes(stream::envelope(cmd)?));
    }
    parts.extend(sending.cmds().into_iter().map(stream::Part::Of));
    parts.extend(envelope.map(|_| stream::Part::Bytes(conclusion())));
    let report = &mut *place.report;
    stream::give(&parts, total, facts::dialect() == Dialect::Fuse, place.interrupted, &mut |flow| report(Event::Flow(flow)))
}

/// The estimated output size of one program, if it reports one.
fn size(estimate: &chyves_core::cmd::Cmd) -> Option<u64> {
    let told = run::run(estimate).ok().filter(run::Output::ok)?;
    estimated(&(told.stdout + &told.stderr))
}
