//! Lines for a log that cannot be written now, kept up to a limit until it can.

use super::log::append_on;
use chyves_core::error::Problem;
use chyves_core::value::FilePath;
use std::io::Write;

/// The lines that are still to be written to a log.
pub(super) struct Owed {
    path: FilePath,
    /// Device number of the file system of the log's folder.
    device: Option<u64>,
    lines: Vec<u8>,
    /// Limit in bytes; beyond it lines are dropped, since they are usually repetitions.
    limit: usize,
    /// Number of lines that were dropped.
    lost: usize,
}

impl Owed {
    /// For the log at `path`; `device` is the file system that it was on, if any.
    pub(super) fn new(path: FilePath, device: Option<u64>, limit: usize) -> Self {
        Self { path, device, lines: Vec::new(), limit, lost: 0 }
    }

    /// Writes the queued lines and this line to the log, or queues this line too.
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

    /// Writes the queued lines as far as possible; whether all were written.
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

    /// A write that a full pool interrupts is continued at the same byte.
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
        /// Accepts three bytes, then is full.
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
