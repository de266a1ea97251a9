//! `/proc/meminfo`, Linux 3.14 on (the first with `MemAvailable`): total and available memory.

use crate::error::Result;
use crate::os::state::{Memory, unreadable};
use crate::value::Size;

/// The file's path.
pub const FILE: &str = "/proc/meminfo";

/// Parses it.
///
/// # Errors
/// One of the two lines is missing or is not a number of kB.
pub fn parse(text: &str) -> Result<Memory> {
    let value = |key: &str| {
        let line = text.lines().find(|line| line.split(':').next() == Some(key));
        let number = line.and_then(|line| line.split_once(':')?.1.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        number.map(|kb| Size::bytes(kb.saturating_mul(1024))).ok_or_else(|| unreadable(FILE, line.unwrap_or(key)))
    };
    Ok(Memory { total: value("MemTotal")?, available: value("MemAvailable")?, wired: None, cache: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_of_it_count() {
        let memory =
            parse("MemTotal:       16384000 kB\nMemFree:         1 kB\nMemAvailable:    8192000 kB\nHugePages_Total:       0\n").unwrap();
        assert_eq!((memory.total.get(), memory.available.get()), (16_384_000 << 10, 8_192_000 << 10));
    }

    #[test]
    fn what_is_missing_or_odd_is_an_error_that_names_the_file() {
        for bad in ["", "MemTotal: 1 kB\n", "MemTotal: x kB\nMemAvailable: 1 kB\n", "MemTotal: 1 MB\nMemAvailable: 1 kB\n"] {
            assert!(parse(bad).unwrap_err().message.contains(FILE), "{bad}");
        }
    }
}
