//! The files that pools use as devices, from `zpool status`. Files are shown by their full paths; disks may be shown by their names
//! alone, and the kernel itself keeps those from being opened by others.

use crate::cmd::Cmd;

/// Shows the devices of all imported pools.
pub fn read() -> Cmd {
    Cmd::new("zpool", ["status"])
}

/// The pools and the paths of their devices, from the output of [`read`].
pub fn paths(output: &str) -> Vec<(&str, &str)> {
    let mut pool = "";
    let mut found = Vec::new();
    for line in output.lines() {
        if let Some(name) = line.trim_start().strip_prefix("pool: ") {
            pool = name.trim();
        }
        // Devices are indented by a tab; a path ends where the columns for errors begin.
        let device = line.strip_prefix('\t').map(str::trim_start).filter(|device| device.starts_with('/'));
        found.extend(device.map(|device| (pool, device.split("  ").next().unwrap_or(device).trim_end())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "  pool: tank\n state: ONLINE\nconfig:\n\n\tNAME                STATE     READ WRITE CKSUM\n\
        \ttank                ONLINE       0     0     0\n\t  mirror-0          ONLINE       0     0     0\n\
        \t    /vm/a b.img     ONLINE       0     0     0\n\t    sda             ONLINE       0     0     0\n\nerrors: No known data errors\n\n\
        \x20 pool: back\nconfig:\n\n\tback   ONLINE  0 0 0\n\t  /vm/c.img  ONLINE  0 0 0\n";

    #[test]
    fn files_are_found_by_their_paths() {
        assert_eq!(paths(STATUS), [("tank", "/vm/a b.img"), ("back", "/vm/c.img")]);
        assert_eq!(paths("no pools available\n"), []);
    }
}
