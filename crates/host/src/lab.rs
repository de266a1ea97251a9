//! The folder of a lab that this process runs in, which the environment names.
//!
//! Not here: what the host is in a lab, and where its files are (`platform`).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The environment variable that names the folder of a lab.
pub(crate) const VARIABLE: &str = "CHYVES_LAB";

/// The folder; none outside of a lab, and on a real FreeBSD host, which is never one.
pub(crate) fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let named = || std::env::var_os(VARIABLE).filter(|v| !v.is_empty() && cfg!(not(target_os = "freebsd"))).map(PathBuf::from);
    FOLDER.get_or_init(named).as_deref()
}

/// The file of the lab that replaces the one of that name, whether or not it exists.
pub(crate) fn own(lab: &Path, name: &str) -> PathBuf {
    lab.join(name.trim_start_matches('/'))
}
