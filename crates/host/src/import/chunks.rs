//! The data between the stages of an import: pieces of bytes through bounded channels, so that the slowest stage sets the pace
//! and memory use is limited.

use chyves_core::error::Problem;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub(super) use crate::hostfs::{carried, problem};

/// Size of a piece in bytes: a multiple of the 64 KiB at which holes are detected.
pub(super) const PIECE: usize = 1 << 18;
/// Capacity of a channel, in pieces.
const WAITING: usize = 8;
/// How long a stage waits before it checks whether the import should stop.
pub(super) const GLANCE: Duration = Duration::from_millis(100);

/// A part of a stream; an interrupted stream has no `End`.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Vec<u8>),
    End,
}

/// A channel between two stages.
pub(super) fn channel<T>() -> (SyncSender<T>, Receiver<T>) {
    mpsc::sync_channel(WAITING)
}

/// The reading end of a stage: the output of the stage before.
pub(super) struct Feed {
    from: Receiver<Piece>,
    stop: Arc<AtomicBool>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Feed {
    pub(super) fn new(from: Receiver<Piece>, stop: Arc<AtomicBool>) -> Self {
        Self { from, stop, piece: Vec::new(), at: 0, ended: false }
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.ended {
            match self.from.recv_timeout(GLANCE) {
                Ok(Piece::Data(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(Piece::End) => self.ended = true,
                Err(RecvTimeoutError::Timeout) if !self.stop.load(Ordering::SeqCst) => {}
                // The stage before was stopped, or failed and reports the reason itself: this stage has no cause of its own.
                Err(_) => return Err(carried(Problem::interrupted())),
            }
        }
        let n = (self.piece.len() - self.at).min(into.len());
        into[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Fills a buffer as far as the stream goes.
pub(super) fn fill(from: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chyves_core::error::Kind;

    #[test]
    fn a_stream_that_is_broken_off_carries_no_cause_of_its_own() {
        let (to, from) = channel();
        to.send(Piece::Data(vec![7; 3])).unwrap();
        drop(to);
        let mut feed = Feed::new(from, Arc::default());
        let mut buffer = [0; 8];
        assert_eq!(feed.read(&mut buffer).unwrap(), 3);
        let why = problem(feed.read(&mut buffer).unwrap_err(), |e| panic!("{e} would hide why the stage before ended"));
        assert_eq!(why.code, Kind::Interrupted);
    }
}
