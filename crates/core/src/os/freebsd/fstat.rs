//! fstat(1), FreeBSD 13.0 on: which files a process has open, by device and inode.
//!
//! With `-n` the device of a file is that of stat(2), in hexadecimal; with `-m` files that are only mapped are listed too.
//! Through nullfs, every attribute of a file is that of the underlying file, except the device, which is that of the nullfs
//! mount.

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::unreadable;

/// The program's name.
pub const TOOL: &str = "fstat";

/// The command that lists the files that a process has open or mapped.
pub fn question(pid: u32) -> Cmd {
    Cmd::new(TOOL, ["-m", "-n", "-p", &pid.to_string()])
}

/// A file that a process has open or mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFile {
    /// Its descriptor; `None` for a mapping, the program's own text, a working directory and the like.
    pub descriptor: Option<u32>,
    /// The device of its file system.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its type and permissions, as in `st_mode`.
    pub mode: u32,
    /// The device number of a special file.
    pub special: Option<u64>,
    /// Its size in bytes, unless it is a special file.
    pub size: u64,
    /// Whether it is open for writing.
    pub writes: bool,
}

impl OpenFile {
    /// Whether it is a regular file.
    pub const fn is_regular(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    const fn is_special(&self) -> bool {
        matches!(self.mode & 0o170_000, 0o020_000 | 0o060_000)
    }
}

/// Parses the files of a process; sockets, pipes and unknown objects are left out.
///
/// # Errors
/// The headings are missing, or a line has another form.
pub fn parse(pid: u32, text: &str) -> Result<Vec<OpenFile>> {
    let mut lines = text.lines();
    let headings = lines.next().unwrap_or_default();
    if !headings.starts_with("USER") || !headings.contains("INUM") {
        return Err(unreadable(TOOL, headings));
    }
    let mut all = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        all.extend(file(pid, line).ok_or_else(|| unreadable(TOOL, line))?);
    }
    Ok(all)
}

/// `root bhyve 4711 12 0x3a8b2f17 34 100600 1073741824 rw`: user and command may contain anything, so the process id is
/// searched for.
#[allow(clippy::option_option)] // "of another form" and "no file" are two things
fn file(pid: u32, line: &str) -> Option<Option<OpenFile>> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let id = pid.to_string();
    // A truncated command may be joined to the id, which is then never before the third word.
    let at = words.iter().skip(1).position(|word| *word == id)? + 1;
    let [descriptor, rest @ ..] = &words[at + 1..] else { return None };
    if descriptor.ends_with('*') || matches!(rest, [] | ["*" | "-", ..]) {
        return Some(None);
    }
    let [device, inode, mode, size, flags @ ..] = rest else { return None };
    let mut open = OpenFile {
        descriptor: descriptor.parse().ok(),
        device: hex(device)?,
        inode: inode.parse().ok()?,
        mode: u32::from_str_radix(mode, 8).ok()?,
        special: None,
        size: 0,
        writes: flags.first().is_some_and(|flags| flags.contains('w')),
    };
    if open.is_special() {
        open.special = Some(hex(size)?);
    } else {
        open.size = size.parse().ok()?;
    }
    Some(Some(open))
}

/// `0x1f`, and `0` for none.
fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
USER     CMD          PID   FD  DEV    INUM       MODE SZ|DV R/W
root     bhyve       4711 text 0x3a8b2f17   1201     100555  412345 r
root     bhyve       4711   wd 0x3a8b2f17     34      40755      23 r
root     bhyve       4711 mmap 0xffffffffde05a1b2      9     100600  540672 rw
root     bhyve       4711    0 0x54b40200     19      20666   0x13 r
root     bhyve       4711    1 0x3a8b2f17    128     100600    4096 rw
root     bhyve       4711    3* local stream fffff8000b3c4a00
root     bhyve       4711    4 0x1000005d      2     100600 1073741824 rw
root     bhyve       4711    5 0x54b40200    140      20640   0x8c rw
root     bhyve       4711    6 -         -        none    -
root     bhyve       4711    7* pipe fffff8000b3c4b00 <-> fffff8000b3c4c58      0 rw
";

    #[test]
    fn files_mappings_and_devices_are_read() {
        let all = parse(4711, TEXT).unwrap();
        assert_eq!(all.len(), 7);
        let disk = all.iter().find(|open| open.descriptor == Some(4)).unwrap();
        assert_eq!((disk.device, disk.inode, disk.size, disk.writes), (0x1000_005d, 2, 1 << 30, true));
        assert!(disk.is_regular() && disk.special.is_none());
        let mapped = all.iter().find(|open| open.inode == 9).unwrap();
        assert_eq!((mapped.descriptor, mapped.device), (None, 0xffff_ffff_de05_a1b2));
        let volume = all.iter().find(|open| open.descriptor == Some(5)).unwrap();
        assert!(volume.special == Some(0x8c) && !volume.is_regular());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["", "fstat: no\n", &TEXT.replace("1073741824", "big"), &TEXT.replace("4711    4 ", "4712    4 ")] {
            assert!(parse(4711, text).unwrap_err().message.contains("fstat"), "{text}");
        }
        assert_eq!(question(7).to_string(), "fstat -m -n -p 7");
    }
}
