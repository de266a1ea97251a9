//! Writing files along the file system's record boundaries. No write crosses a boundary, so each one is done completely or not
//! at all.
//!
//! This matters on a full pool or at a quota: there a write of several records may be done in part, and zfs-fuse then aborts,
//! with every pool that it serves (`zfsfuse_write: Assertion uio.uio_resid == 0 failed`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Record size of chyves' disk files, in bytes; zeros of that length become holes.
pub(crate) const RECORD: usize = 1 << 16;
static ZEROS: [u8; RECORD] = [0; RECORD];

/// Splits bytes at record boundaries; `at` is their offset in the file.
fn cut(mut bytes: &[u8], mut at: u64) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let into = usize::try_from(at % RECORD as u64).unwrap_or(0);
        let (record, rest) = bytes.split_at(bytes.len().min(RECORD - into));
        let began = at;
        (bytes, at) = (rest, at + record.len() as u64);
        (!record.is_empty()).then_some((began, record))
    })
}

/// Writes all the bytes at an offset.
pub(crate) fn write(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    cut(bytes, at).try_for_each(|(at, record)| file.write_all_at(record, at))
}

/// Writes the bytes at an offset, and skips records of zeros: the file is new, so those are holes.
pub(crate) fn write_sparse(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    cut(bytes, at).filter(|(_, record)| **record != ZEROS[..record.len()]).try_for_each(|(at, record)| file.write_all_at(record, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn no_write_crosses_a_boundary_and_nothing_is_left_out() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * RECORD).collect();
        for at in [0, 1, RECORD as u64 - 1, RECORD as u64, 5 * RECORD as u64 + 7] {
            let mut joined: Vec<u8> = Vec::new();
            for (place, record) in cut(&bytes, at) {
                let last = place + record.len() as u64 - 1;
                assert_eq!(place / RECORD as u64, last / RECORD as u64, "{at}");
                assert_eq!(place, at + joined.len() as u64);
                joined.extend(record);
            }
            assert_eq!(joined, bytes, "{at}");
        }
        assert_eq!(cut(&[], 9).count(), 0);
    }

    #[test]
    fn zeros_become_holes_only_where_asked() {
        let mut bytes = vec![0; 20 * RECORD];
        bytes[10 * RECORD] = 1;
        let blocks = |write: fn(&File, &[u8], u64) -> io::Result<()>| {
            let file = tempfile::tempfile().unwrap();
            write(&file, &bytes, 0).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            let mut read = vec![0; bytes.len()];
            file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!(read, bytes);
            file.metadata().unwrap().blocks() * 512
        };
        assert!(blocks(write) >= bytes.len() as u64);
        assert!(blocks(write_sparse) <= 2 * RECORD as u64);
    }
}
