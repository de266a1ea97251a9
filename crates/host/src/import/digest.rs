//! Hashes of streamed data, in a separate thread where hashing must not slow down the rest.

use super::chunks::channel;
use chyves_core::error::{Problem, Result};
use chyves_core::image::{Hash, HashKind};
use md5::{Digest as _, Md5};
use ring::digest;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

/// A hash in progress. The TLS library has the fastest code for most of them, twice as fast as portable code.
pub(crate) enum Hasher {
    Md5(Md5),
    Sha(digest::Context),
}

impl Hasher {
    pub(crate) fn new(kind: HashKind) -> Self {
        match kind {
            HashKind::Md5 => Self::Md5(Md5::new()),
            HashKind::Sha1 => Self::Sha(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            HashKind::Sha256 => Self::Sha(digest::Context::new(&digest::SHA256)),
            HashKind::Sha512 => Self::Sha(digest::Context::new(&digest::SHA512)),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(h) => h.update(bytes),
            Self::Sha(h) => h.update(bytes),
        }
    }

    /// The hash in lower-case hexadecimal.
    pub(crate) fn hex(self) -> String {
        match self {
            Self::Md5(h) => hex(&h.finalize()),
            Self::Sha(h) => hex(h.finish().as_ref()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of a few bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Compares a hash with the expected one.
pub(crate) fn compare(wanted: &Hash, hex: &str, of: &str) -> Result<()> {
    if wanted.hex == hex {
        return Ok(());
    }
    Err(Problem::failed(format!("the {} of `{of}` does not match", wanted.kind.word()))
        .on(of)
        .because(format!("expected {}", wanted.hex))
        .because(format!("actual   {hex}"))
        .hint(if of.contains("://") {
            "the download was deleted; the file was changed in transit, or the hash is of another release"
        } else {
            "the file was changed, or the hash is of another release"
        }))
}

/// A SHA-256 computed in a separate thread.
pub(super) struct Beside {
    to: Option<SyncSender<Arc<Vec<u8>>>>,
    thread: JoinHandle<String>,
}

impl Beside {
    pub(super) fn begin() -> Self {
        let (to, from) = channel::<Arc<Vec<u8>>>();
        let thread = std::thread::spawn(move || {
            let mut hasher = Hasher::new(HashKind::Sha256);
            for piece in from {
                hasher.update(&piece);
            }
            hasher.hex()
        });
        Self { to: Some(to), thread }
    }

    pub(super) fn update(&self, piece: Arc<Vec<u8>>) {
        // A thread that has ended is reported at the end.
        let _ = self.to.as_ref().map(|to| to.send(piece));
    }

    pub(super) fn end(mut self) -> Result<String> {
        drop(self.to.take());
        self.thread.join().map_err(|_| Problem::bug("the thread that hashes ended early"))
    }
}

/// The SHA-256 of a file; `went_on` gets the progress and may stop by returning false.
pub(crate) fn of_file(mut file: File, path: &str, went_on: &mut dyn FnMut(u64, u64) -> bool) -> Result<String> {
    let fail = |e: std::io::Error| {
        Problem::failed(format!("cannot read `{path}`")).on(path).because(e).hint("`zpool status -v` shows whether the pool is damaged")
    };
    let total = file.metadata().map_err(fail)?.len();
    let mut hasher = Hasher::new(HashKind::Sha256);
    let mut buffer = vec![0u8; 1 << 20];
    let mut at = 0;
    loop {
        let n = file.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            return Ok(hasher.hex());
        }
        hasher.update(&buffer[..n]);
        at += n as u64;
        if !went_on(at, total) {
            return Err(super::interrupted(path));
        }
    }
}

/// Whether the import should stop.
pub(super) fn stops(flag: &AtomicBool) -> bool {
    flag.load(Ordering::SeqCst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_hashes_are_the_known_ones() {
        let of = |kind| {
            let mut hasher = Hasher::new(kind);
            hasher.update(b"a");
            hasher.update(b"bc");
            hasher.hex()
        };
        assert_eq!(of(HashKind::Md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(of(HashKind::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(of(HashKind::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(of(HashKind::Sha512).starts_with("ddaf35a193617abacc417349ae204131"));
        assert_eq!(sha256(b"abc"), of(HashKind::Sha256));
    }
}
