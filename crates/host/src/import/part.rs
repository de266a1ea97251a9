//! Partial downloads, kept beside the images so that another try can resume them: the bytes in `part`, and in `part.json` the
//! version of the file to which they belong.
//!
//! Not here: the dataset (`apply`), requesting the rest from the server (`fetch`).

use super::digest::sha256;
use crate::safe::{Access, FileKind, Folder, Rule};
use chyves_core::error::{Problem, Result};
use chyves_core::image::public;
use chyves_core::value::json;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The file with the bytes.
const PART: &str = "part";
/// The file that describes the whole file.
const ABOUT: &str = "part.json";
const ABOUT_LIMIT: u64 = 1 << 16;

/// A word that identifies an address.
pub fn word(address: &str) -> String {
    sha256(address.as_bytes())[..16].to_owned()
}

/// Whether a command is downloading into a folder at the moment.
pub fn is_held(folder: &str) -> bool {
    // Without the file no download has begun; if it cannot be opened, other operations will report that.
    let open = || Folder::open_if_there(folder)?.map_or(Ok(None), |folder| folder.file_if_there(PART, Access::Read, Rule::DISK));
    let Ok(Some(file)) = open() else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Whether the contents of a folder are useful for another try. Another command may be downloading into it.
pub(super) fn is_of_use(folder: &str) -> bool {
    let Ok(folder) = Folder::open(folder) else { return false };
    [PART, ABOUT].iter().any(|name| folder.metadata(name).is_ok_and(|entry| entry.is_some_and(|e| e.kind == FileKind::File && e.len > 0)))
}

/// What the server reported about the whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    /// Identifies this version of the file: an entity tag or a time.
    pub(super) validator: Option<String>,
    /// Length in bytes.
    pub(super) total: Option<u64>,
}

/// A partial download.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    folder: String,
    /// Length in bytes.
    pub(super) length: u64,
    /// The file of which it is the beginning.
    pub(super) whole: Whole,
}

impl Part {
    pub(super) fn path(folder: &str) -> String {
        format!("{folder}/{PART}")
    }

    /// Opens the partial download in a folder; only one command at a time may do so.
    pub(super) fn open(folder: &str, address: &str) -> Result<Self> {
        let path = Self::path(folder);
        let fail = |e: std::io::Error| crate::small_files::io_problem("open", &path)(e);
        let below = Folder::open(folder)?;
        let file = below.file(PART, Access::Create, Rule::DISK)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let shown = public(address);
                return Err(Problem::not_now(format!("`{shown}` is being fetched already"))
                    .on(&shown)
                    .hint("wait for the other command: `chyves image list` shows the image once it is there"));
            }
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        let length = file.metadata().map_err(fail)?.len();
        let known = below.read_text(ABOUT, Rule::up_to(ABOUT_LIMIT)).ok().flatten();
        let whole: Whole = known.and_then(|text| json::from_str(&text).ok()).unwrap_or_default();
        let mut part = Self { file, folder: folder.to_owned(), length, whole };
        if part.whole.validator.is_none() && part.length > 0 {
            // Without a validator it cannot be resumed.
            part.reset()?;
        }
        Ok(part)
    }

    /// Empties it.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(crate::small_files::io_problem("cut", &Self::path(&self.folder)))?;
        (self.length, self.whole) = (0, Whole::default());
        Ok(())
    }

    /// Records the file of which it is the beginning.
    pub(super) fn know(&mut self, whole: Whole) -> Result<()> {
        let path = format!("{}/{ABOUT}", self.folder);
        let text = serde_json::to_vec(&whole).map_err(|e| Problem::bug("the server's answer is not JSON").because(e))?;
        crate::small_files::write_private_bytes(&path, &text)?;
        self.whole = whole;
        Ok(())
    }

    /// The file with the bytes, for another reader.
    pub(super) fn reader(&self) -> Result<Arc<File>> {
        self.file.try_clone().map(Arc::new).map_err(crate::small_files::io_problem("open", &Self::path(&self.folder)))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        crate::sparse_write::write(&self.file, bytes, self.length)
            .map_err(crate::small_files::io_problem("write", &Self::path(&self.folder)))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.file.read_at(into, at) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_gone_on_with_only_where_it_is_known_what_of() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        let mut part = Part::open(folder, "http://h/a").unwrap();
        part.add(b"abc").unwrap();
        assert_eq!(Part::open(folder, "http://me:word@h/a").unwrap_err().code.exit_code(), 4);
        drop(part);
        // Without a validator it is useless.
        let mut part = Part::open(folder, "http://h/a").unwrap();
        assert_eq!(part.length, 0);
        part.know(Whole { validator: Some("\"x\"".into()), total: Some(9) }).unwrap();
        part.add(b"abcd").unwrap();
        drop(part);
        let part = Part::open(folder, "http://h/a").unwrap();
        assert_eq!((part.length, part.whole.total), (4, Some(9)));
        let mut bytes = [0; 8];
        assert_eq!(part.read(1, &mut bytes).unwrap(), 3);
        assert_eq!(&bytes[..3], b"bcd");
    }
}
