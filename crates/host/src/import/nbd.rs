//! A disk image as a network block device on a socket pair: a converter reads and writes through descriptors that chyves has
//! open and never opens a file itself, so that what was checked is what is converted, and nothing else can be read.
//!
//! Only what `qemu-img` needs is implemented: the old handshake of the NBD protocol, and simple replies.
//!
//! Not here: running the converter (`convert`).

use crate::sparse_write;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

const OLD_HANDSHAKE: u64 = 0x0000_4202_8186_1253;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
const HAS_FLAGS: u32 = 1;
const READ_ONLY: u32 = 1 << 1;
const SENDS_FLUSH: u32 = 1 << 2;
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const IO_ERROR: u32 = 5;
const INVALID: u32 = 22;
/// Size limit of a request in bytes, which a client may assume without negotiation.
const LARGEST: u32 = 32 << 20;

/// What is exported.
pub(super) enum Export<'f> {
    /// An image that is read.
    Source { file: &'f File, requests: &'f AtomicU64 },
    /// A new disk; with `holes`, zeros are not written.
    Disk { file: &'f File, size: u64, holes: bool, written: &'f AtomicU64 },
}

impl Export<'_> {
    fn size(&self) -> io::Result<u64> {
        match self {
            // Some versions of QEMU hang on a device that ends within a sector; the rest of the sector reads as zeros.
            Self::Source { file, .. } => Ok(file.metadata()?.len().next_multiple_of(512)),
            Self::Disk { size, .. } => Ok(*size),
        }
    }

    const fn flags(&self) -> u32 {
        match self {
            Self::Source { .. } => HAS_FLAGS | READ_ONLY,
            Self::Disk { .. } => HAS_FLAGS | SENDS_FLUSH,
        }
    }
}

/// Serves until the other end is closed. An I/O error of the file is reported to the client, and returned at the end, whatever
/// the converter does about it.
pub(super) fn serve(export: &Export<'_>, mut socket: UnixStream) -> io::Result<()> {
    let size = export.size()?;
    let mut hello = Vec::with_capacity(152);
    hello.extend(b"NBDMAGIC");
    hello.extend(OLD_HANDSHAKE.to_be_bytes());
    hello.extend(size.to_be_bytes());
    hello.extend(export.flags().to_be_bytes());
    hello.resize(152, 0);
    let mut first = None;
    if socket.write_all(&hello).is_err() {
        return Ok(());
    }
    let mut buffer = Vec::new();
    let mut request = [0u8; 28];
    // The exit status of a client that went away shows its reason.
    while socket.read_exact(&mut request).is_ok() {
        let number = |at: usize, length: usize| request[at..at + length].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let (kind, at, length) = (number(6, 2), number(16, 8), number(24, 4));
        let (Ok(kind), Ok(length)) = (u16::try_from(kind), u32::try_from(length)) else { break };
        if number(0, 4) != u64::from(REQUEST) || kind == DISCONNECT || length > LARGEST {
            break;
        }
        buffer.resize(length as usize, 0);
        if kind == WRITE && socket.read_exact(&mut buffer).is_err() {
            break;
        }
        let inside = at.checked_add(u64::from(length)).is_some_and(|end| end <= size);
        let done = match kind {
            READ | WRITE if !inside => Err(io::Error::from(ErrorKind::InvalidInput)),
            READ => read(export, &mut buffer, at),
            WRITE => write(export, &buffer, at),
            FLUSH => flush(export),
            _ => Err(ErrorKind::InvalidInput.into()),
        };
        let code = match &done {
            Ok(()) => 0,
            Err(e) if e.kind() == ErrorKind::InvalidInput => INVALID,
            Err(_) => IO_ERROR,
        };
        let mut reply = Vec::with_capacity(16);
        reply.extend(REPLY.to_be_bytes());
        reply.extend(code.to_be_bytes());
        reply.extend(&request[8..16]);
        let body = if kind == READ && done.is_ok() { buffer.as_slice() } else { &[] };
        first = first.or(done.err());
        if socket.write_all(&reply).and_then(|()| socket.write_all(body)).is_err() {
            break;
        }
    }
    first.map_or(Ok(()), Err)
}

fn read(export: &Export<'_>, into: &mut [u8], at: u64) -> io::Result<()> {
    let (Export::Source { file, .. } | Export::Disk { file, .. }) = export;
    if let Export::Source { requests, .. } = export {
        requests.fetch_add(1, Ordering::SeqCst);
    }
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], at + filled as u64) {
            // Beyond the written length, a new file reads as zeros.
            Ok(0) => {
                into[filled..].fill(0);
                return Ok(());
            }
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn write(export: &Export<'_>, bytes: &[u8], at: u64) -> io::Result<()> {
    match export {
        Export::Source { .. } => Err(ErrorKind::InvalidInput.into()),
        Export::Disk { file, holes, written, .. } => {
            if *holes {
                sparse_write::write_sparse(file, bytes, at)?;
            } else {
                sparse_write::write(file, bytes, at)?;
            }
            written.fetch_max(at + bytes.len() as u64, Ordering::SeqCst);
            Ok(())
        }
    }
}

fn flush(export: &Export<'_>) -> io::Result<()> {
    match export {
        Export::Source { .. } => Ok(()),
        Export::Disk { file, .. } => file.sync_data(),
    }
}
