//! Where programs are searched for.
//!
//! Not here: running them (`run`, `child`).

use crate::{hostfs, platform};
use std::path::{Path, PathBuf};

/// The directories of the system's programs, including those of packages and local installations. On NixOS they are in the
/// profile of the running system.
const SYSTEM_PATH: [&str; 7] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/run/current-system/sw/bin"];

/// The environment variable that lists directories, separated by colons, which are searched before the system's.
pub(crate) const PATH_VARIABLE: &str = "CHYVES_PATH";

/// The search path for programs, and the whole `PATH` of every child: the directories of `CHYVES_PATH`, those of a lab, the
/// system's. The caller's `PATH` is ignored: chyves runs as root, and a directory that a user's shell prepended, for example
/// for a version manager, must not provide programs to root.
pub fn search_path() -> String {
    let chosen = std::env::var(PATH_VARIABLE).unwrap_or_default();
    path_of(&chosen, platform::here().programs().as_deref())
}

fn path_of(chosen: &str, lab: Option<&Path>) -> String {
    // A relative entry would mean another directory in a child, which starts in `/`.
    let chosen = chosen.split(':').filter(|folder| folder.starts_with('/'));
    chosen.chain(lab.and_then(Path::to_str)).chain(SYSTEM_PATH).collect::<Vec<_>>().join(":")
}

/// The path of a program, if the search path contains it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|p| is_program(p));
    }
    search_path().split(':').map(|d| Path::new(d).join(name)).find(|p| is_program(p))
}

fn is_program(path: &Path) -> bool {
    hostfs::named::is_program(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_searched_in_chosen_folders_and_the_systems_and_nowhere_else() {
        let system = SYSTEM_PATH.join(":");
        assert_eq!(path_of("", None), system);
        assert_eq!(path_of("bin:.::/opt/qemu/bin", None), format!("/opt/qemu/bin:{system}"));
        assert_eq!(path_of("/opt/bin", Some(Path::new("/lab/bin"))), format!("/opt/bin:/lab/bin:{system}"));
    }
}
