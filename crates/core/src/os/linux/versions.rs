//! Versions of programs: QEMU 5.0 on, OpenZFS 0.8 on. They are only shown to users; no decision depends on them.

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::unreadable;

/// The command for QEMU.
pub fn qemu(program: &str) -> Cmd {
    Cmd::new(program, ["--version"])
}

/// The command for ZFS. zfs-fuse does not support it.
pub fn zfs() -> Cmd {
    Cmd::new("zfs", ["version"])
}

/// Parses `QEMU emulator version 7.2.19 (Debian 1:7.2+dfsg-7)`.
///
/// # Errors
/// The first line has another form.
pub fn parse_qemu(text: &str) -> Result<String> {
    let line = text.lines().next().unwrap_or_default();
    let version = line.split_once(" version ").map(|(_, rest)| rest.split([' ', ',']).next().unwrap_or_default());
    version.filter(|v| is_version(v)).map(str::to_owned).ok_or_else(|| unreadable("qemu --version", line))
}

/// Parses `zfs-2.2.7-1` in the first line; the second line has the kernel module's version.
///
/// # Errors
/// The first line has another form.
pub fn parse_zfs(text: &str) -> Result<String> {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("zfs-").filter(|v| is_version(v)).map(str::to_owned).ok_or_else(|| unreadable("zfs version", line))
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_qemu("QEMU emulator version 7.2.19 (Debian 1:7.2+dfsg-7)\nCopyright\n").unwrap(), "7.2.19");
        assert_eq!(parse_zfs("zfs-2.1.11-1+deb12u1\nzfs-kmod-2.1.11-1\n").unwrap(), "2.1.11-1+deb12u1");
        assert_eq!(parse_zfs("zfs-2.2.7-FreeBSD_ge269af1b3\n").unwrap(), "2.2.7-FreeBSD_ge269af1b3");
    }

    #[test]
    fn other_words_are_errors_that_name_the_tool() {
        assert!(parse_qemu("kvm: unknown option").unwrap_err().message.contains("qemu"));
        for bad in ["", "unrecognized command 'version'", "zfs-kmod-2.1"] {
            assert!(parse_zfs(bad).unwrap_err().message.contains("zfs"), "{bad}");
        }
    }
}
