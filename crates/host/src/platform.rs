//! Which host this is, decided once and only here: its operating system, its `zfs`, and where its files are.
//!
//! A program built for FreeBSD is on FreeBSD. One built for Linux is on Linux, unless it runs inside a lab, which `CHYVES_LAB`
//! indicates by naming the lab's folder: there the host is FreeBSD, its tools are first on the path, and its devices and
//! firmware are in that folder. ZFS and processes are always those of the real host.
//!
//! Not here: how the real kernel identifies processes (`proc`), and what follows from the operating system (core).

use crate::hostfs::named;
use crate::lab;
use chyves_core::os::Os;
use chyves_core::vmm::Vmm;
use chyves_core::zfs::Dialect;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The environment variable that names the folder of a lab.
pub const LAB_VARIABLE: &str = lab::VARIABLE;

/// The environment variable that overrides the runtime folder.
pub const ROOT_VARIABLE: &str = "CHYVES_RUNDIR";

/// The environment variable that overrides the state folder.
pub const LASTING_VARIABLE: &str = "CHYVES_STATEDIR";

/// This host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    os: Os,
    lab: Option<PathBuf>,
}

/// The host that this process runs on.
pub fn here() -> &'static Platform {
    static HERE: OnceLock<Platform> = OnceLock::new();
    HERE.get_or_init(|| Platform::of(lab::folder().map(Path::to_owned)))
}

impl Platform {
    fn of(lab: Option<PathBuf>) -> Self {
        if cfg!(target_os = "freebsd") {
            // A real FreeBSD host is never a lab.
            return Self { os: Os::FreeBsd, lab: None };
        }
        Self { os: if lab.is_some() { Os::FreeBsd } else { Os::Linux }, lab }
    }

    /// The operating system of this host.
    pub const fn os(&self) -> Os {
        self.os
    }

    /// The hypervisor that runs guests on it.
    pub const fn vmm(&self) -> Vmm {
        match self.os {
            Os::FreeBsd => Vmm::Bhyve,
            Os::Linux => Vmm::Qemu,
        }
    }

    /// The syntax of this host's `zfs`, without running it.
    pub fn dialect(&self) -> Dialect {
        // FreeBSD has had OpenZFS 2 since 13.0; on Linux the kernel module shows its presence.
        let kernel = || named::is_there("/sys/module/zfs") || named::is_there("/dev/zfs");
        match (self.os, &self.lab) {
            (Os::FreeBsd, None) => Dialect::OpenZfs,
            (Os::FreeBsd | Os::Linux, _) if kernel() => Dialect::OpenZfs,
            (Os::FreeBsd | Os::Linux, _) => Dialect::Fuse,
        }
    }

    /// The actual location of a file that the host calls `name`. The host's own programs get `name` itself.
    pub fn path(&self, name: &str) -> PathBuf {
        let Some(lab) = &self.lab else { return PathBuf::from(name) };
        let own = lab::own(lab, name);
        let is_own =
            name.starts_with("/dev/") || (name.starts_with("/usr/local/") || name.starts_with("/var/run/")) && named::is_there(&own);
        if is_own { own } else { PathBuf::from(name) }
    }

    /// The folder of a lab's programs, which replace those of FreeBSD.
    pub fn programs(&self) -> Option<PathBuf> {
        self.lab.as_deref().map(|lab| lab.join("bin"))
    }

    /// What this host's programs need in the environment besides a path.
    pub fn variable(&self) -> Option<(&'static str, &Path)> {
        self.lab.as_deref().map(|lab| (LAB_VARIABLE, lab))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn without_a_lab_every_path_is_what_it_says() {
        let host = Platform::of(None);
        assert_eq!(host.path("/dev/vmm"), Path::new("/dev/vmm"));
        assert_eq!(host.variable(), None);
        assert_eq!((host.os(), host.vmm()), (Os::Linux, Vmm::Qemu));
    }

    #[test]
    fn a_lab_is_freebsd_with_devices_and_firmware_of_its_own_and_nothing_else() {
        let lab = tempfile::tempdir().unwrap();
        let firmware = "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd";
        let host = Platform::of(Some(lab.path().to_owned()));
        assert_eq!((host.os(), host.vmm()), (Os::FreeBsd, Vmm::Bhyve));
        assert_eq!(host.path("/dev/nmdm-web01.1B"), lab.path().join("dev/nmdm-web01.1B"));
        assert_eq!(host.path(firmware), Path::new(firmware), "it has none");
        let own = lab.path().join(&firmware[1..]);
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::fs::write(&own, "").unwrap();
        assert_eq!(host.path(firmware), own);
        for machines in ["/tank/web01/disk0.raw", "/etc/rc.conf", "/var/run/other"] {
            assert_eq!(host.path(machines), Path::new(machines));
        }
        assert_eq!(host.variable(), Some((LAB_VARIABLE, lab.path())));
    }
}
