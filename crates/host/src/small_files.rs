//! Small files, written as a whole and readable by their owner only, and the problems of file operations.
//!
//! Not here: opening them (`safe`), the steps of a plan that are about files (`apply::files`).

use crate::safe::Folder;
use chyves_core::error::{Problem, Result};
use chyves_core::value::{FilePath, printable};
use std::io::ErrorKind;

/// The problem that a file operation failed, with a hint if the pool is full or read-only.
pub(crate) fn io_problem(what: &str, path: &str) -> impl FnOnce(std::io::Error) -> Problem {
    let (what, path) = (what.to_owned(), path.to_owned());
    move |e| {
        let problem = Problem::failed(format!("cannot {what} `{}`", printable(&path, 300))).on(&path).because(&e);
        match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => problem.hint(
                "free space: `chyves trash list` shows what is deleted and not yet destroyed, `zfs list -o space` what uses the space",
            ),
            ErrorKind::ReadOnlyFilesystem => problem.hint("the pool or dataset is read-only: `zfs get readonly`, `zpool status`"),
            _ => problem,
        }
    }
}

/// Writes a file atomically, through a temporary name.
pub(crate) fn write_bytes(path: &FilePath, bytes: &[u8]) -> Result<()> {
    let (folder, path) = Folder::of(path)?;
    folder.replace(path, bytes, true)
}

/// Removes a file, if it exists, and makes that last.
pub(crate) fn remove_file(path: &FilePath) -> Result<()> {
    match Folder::of_if_there(path)? {
        Some((folder, path)) if folder.remove_file(&path)? => folder.settle(path),
        _ => Ok(()),
    }
}

/// Removes a file, if it exists.
pub(crate) fn remove(path: &str) -> Result<()> {
    remove_file(&FilePath::host(path))
}

/// Writes a small file atomically, readable by its owner only.
///
/// # Errors
/// It cannot be written.
pub fn write_private(path: &str, text: &str) -> Result<()> {
    write_bytes(&FilePath::host(path), text.as_bytes())
}

/// As [`write_private`], for bytes.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_private_bytes(path: &str, bytes: &[u8]) -> Result<()> {
    write_bytes(&FilePath::host(path), bytes)
}
