//! Lines for a log that can't take them now: kept, in bounds, until it can.

use super::log::append_on;
use chyves_core::error::Problem;
use chyves_core::value::FilePath;
use std::io::Write;

/// What a log has still to be told.
pub(super) struct Owed {
    path: FilePath,
    /// The file system that its folder was on.
    device: Option<u64>,
    lines: Vec<u8>,
    /// So many bytes are kept at most: a guest that has said so much meanwhile says the same repeatedly.
    limit: usize,
    /// How many lines were not kept.
    lost: usize,
}

impl Owed {
    /// For that log, which was on that file system if any.
    pub(super) fn new(path: FilePath, device: Option<u64>, limit: usize) -> Self {
        Self { path, device, lines: Vec::new(), limit, lost: 0 }
    }

    /// Tells the log what it is owed and then this line, or keeps that too.
    pub(super) fn tell(&mut self, line: &str) {
        let paid = self.pay();
        if self.lines.len() + line.len() <= self.limit {
            self.lines.extend_from_slice(line.as_bytes());
        } else {
            self.lost += 1;
        }
        if paid {
            self.pay();
        }
    }

    /// Writes what can be written of what is owed; whether that was all.
    fn pay(&mut self) -> bool {
        let written = append_on(&self.path, &mut self.device).and_then(|mut file| {
            let mut empty = |owed: &mut Self| owed.empty(&mut file).map_err(|e| Problem::failed("cannot write a log").because(e));
            empty(self)?;
            if self.lost > 0 {
                self.lines = format!("chyves: {} lines could not be kept\n", std::mem::take(&mut self.lost)).into_bytes();
                empty(self)?;
            }
            Ok(())
        });
        written.is_ok()
    }

    /// A write that is cut short by a full pool is continued where it was cut.
    fn empty(&mut self, log: &mut impl Write) -> std::io::Result<()> {
        while !self.lines.is_empty() {
            match log.write(&self.lines) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(n) => drop(self.lines.drain(..n)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_kept_is_counted_and_what_comes_then_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("logs");
        let mut owed = Owed::new(FilePath::below(temp.path().to_str().unwrap(), "logs/a.log"), None, 8);
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            owed.tell(line);
        }
        std::fs::create_dir(&folder).unwrap();
        owed.tell("five\n");
        owed.tell("six\n");
        let told = std::fs::read_to_string(folder.join("a.log")).unwrap();
        assert_eq!(told, "one\ntwo\nchyves: 2 lines could not be kept\nfive\nsix\n");
    }

    #[test]
    fn a_write_that_was_cut_is_not_repeated() {
        /// Takes three bytes and is full.
        struct Full(Vec<u8>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let room = 3 - self.0.len();
                if room == 0 {
                    return Err(std::io::ErrorKind::StorageFull.into());
                }
                self.0.extend_from_slice(&bytes[..room.min(bytes.len())]);
                Ok(room.min(bytes.len()))
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut owed = Owed::new("nowhere/a.log".into(), None, 100);
        owed.tell("abcdef\n");
        let mut full = Full(Vec::new());
        assert!(owed.empty(&mut full).is_err());
        let mut rest = Vec::new();
        owed.empty(&mut rest).unwrap();
        assert_eq!((full.0, rest), (b"abc".to_vec(), b"def\n".to_vec()));
    }
}
