//! Whether volumes are free to be destroyed. ZFS refuses to destroy a volume that a program has open, but only at that step: by
//! then the snapshots and the other disks of the same guest are gone. So this is checked before the first of them.
//!
//! Use by the kernel alone, such as a file system on a volume that is mounted on the host, is detected where the system reports
//! it; elsewhere ZFS refuses, and repeating the command continues with the rest. File systems need no check: they can be
//! unmounted, or nothing is destroyed.

use crate::facts;
use crate::hostfs::kernel;
use crate::platform;
use chyves_core::error::{Problem, Result};
use chyves_core::value::printable;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a short-term user may hold a volume, as udev does when a program has written to it and closed it.
const GLANCE: Duration = Duration::from_secs(5);

/// Verifies that none of the volumes among these names is open.
pub(super) fn check(takes: &[String]) -> Result<()> {
    let began = Instant::now();
    for name in takes.iter().filter(|name| !name.contains('@')) {
        let device = platform::here().path(&format!("/dev/zvol/{name}"));
        if kernel::is_there(&device) {
            until_free(name, &device, began + GLANCE)?;
        }
    }
    Ok(())
}

fn until_free(name: &str, device: &Path, deadline: Instant) -> Result<()> {
    loop {
        let holders = facts::holders_of(device);
        if holders.is_empty() && !kernel::is_in_use(device) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let by: Vec<String> = holders.iter().map(ToString::to_string).collect();
            return Err(Problem::not_now(format!("`{}` is held open", printable(name, 120)))
                .on(name)
                .because(if by.is_empty() { "a file system on it is mounted, or another device uses it".into() } else { by.join(", ") })
                .hint("nothing was destroyed; end that first"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_it_is_named_and_a_free_one_is_free() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("volume");
        let file = std::fs::File::create(&path).unwrap();
        let refused = until_free("tank/web/disk0", &path, Instant::now()).unwrap_err();
        assert_eq!(refused.message, "`tank/web/disk0` is held open");
        assert!(refused.causes[0].contains(&format!("(pid {})", std::process::id())), "{refused:?}");
        drop(file);
        until_free("tank/web/disk0", &path, Instant::now()).unwrap();
        check(&["tank/no-such-volume".into(), "tank/web@snapshot".into()]).unwrap();
    }
}
