//! The last bytes of a stream, and the last lines in them, escaped for display.

use chyves_core::value::printable;
use std::collections::VecDeque;

/// Keeps at most `limit` of the last bytes that were added.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl Ring {
    pub(super) const fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit }
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        let more = &more[more.len().saturating_sub(self.limit)..];
        let drop = (self.bytes.len() + more.len()).saturating_sub(self.limit);
        self.bytes.drain(..drop);
        // Growing by doubling could use twice the limit.
        if self.bytes.capacity() < self.bytes.len() + more.len() {
            let want = (self.bytes.len() + more.len()).next_power_of_two().min(self.limit);
            self.bytes.reserve_exact(want - self.bytes.len());
        }
        self.bytes.extend(more);
    }

    pub(super) fn copy(&self) -> Vec<u8> {
        self.bytes.iter().copied().collect()
    }

    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        last_lines(&self.copy(), count)
    }
}

/// The last `count` lines that are not blank, each escaped and shortened for display.
pub(super) fn last_lines(bytes: &[u8], count: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> =
        text.lines().rev().map(str::trim_end).filter(|line| !line.trim().is_empty()).take(count).map(|line| printable(line, 200)).collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_bytes_are_kept() {
        let mut ring = Ring::new(8);
        ring.push(b"0123456");
        ring.push(b"789");
        assert_eq!(ring.copy(), b"23456789");
        ring.push(b"a very long text");
        assert_eq!(ring.copy(), b"ong text");
        assert!(ring.bytes.capacity() <= 16);
    }

    #[test]
    fn lines_are_safe_to_show() {
        assert_eq!(last_lines(b"a\r\n\r\n\x1b[2Jb\r\n  \r\nc", 2), ["\\u{1b}[2Jb", "c"]);
        assert_eq!(last_lines(b"\xff\n", 5), ["\u{fffd}"]);
        assert!(last_lines(b"\n\n", 5).is_empty());
    }
}
