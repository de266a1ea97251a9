//! The marks around the replayed part of a console's log, so that nobody takes what was said long ago for what is said now.

use std::io::Write;

/// What of a connection's bytes is replayed, and whether that is shown.
pub(super) struct Marks {
    /// Bytes of the log that are still to come.
    left: usize,
    /// Whether marks are shown. They go to standard error: standard output is the guest's own.
    shown: bool,
}

impl Marks {
    /// The log's part comes next. Tells so.
    pub(super) fn begin(replayed: usize, shown: bool) -> Self {
        if replayed > 0 && shown {
            eprint!("--- the last {replayed} bytes of the console log ---\r\n");
        }
        Self { left: replayed, shown }
    }

    /// Shows bytes of the guest, with the mark where the live output begins.
    pub(super) fn show(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let (before, now) = bytes.split_at(self.left.min(bytes.len()));
        if !before.is_empty() {
            write(before)?;
            self.left -= before.len();
            if self.left == 0 && self.shown {
                let line = if before.ends_with(b"\n") { "" } else { "\r\n" };
                eprint!("{line}--- live output from here on ---\r\n");
            }
        }
        if now.is_empty() { Ok(()) } else { write(now) }
    }
}

fn write(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
