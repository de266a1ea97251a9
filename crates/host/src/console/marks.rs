//! The marks around the replayed part of a console's log, so that old output is not mistaken for current output.

use std::io::Write;

/// How much of a connection's output is replayed, and whether that is marked.
pub(super) struct Marks {
    /// Bytes of the log that are still to come.
    left: usize,
    /// Whether marks are shown. They go to standard error, since standard output is the guest's.
    shown: bool,
}

impl Marks {
    /// For a connection that begins with this many bytes of the log. Prints the first mark.
    pub(super) fn begin(replayed: usize, shown: bool) -> Self {
        if replayed > 0 && shown {
            eprint!("--- the last {replayed} bytes of the console log ---\r\n");
        }
        Self { left: replayed, shown }
    }

    /// Prints the guest's bytes, with a mark where the live output begins.
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
