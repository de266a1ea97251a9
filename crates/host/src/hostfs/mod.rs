//! Files of the host itself. Below a guest's or an image's mount point [`crate::safe`] opens files; everywhere else one of
//! these modules does, and its name states what is relied on:
//!
//! * [`own`]: the runtime and the state folder, which belong to root: files of other users are refused
//! * [`kernel`]: `/proc`, `/sys` and `/dev`: nothing else is opened
//! * [`named`]: paths that an administrator named, and those of packages: links are followed, since the path is trusted
//! * [`input`]: reading such a path, or standard input, where the data may never arrive
//!
//! All of them return plain I/O errors; the caller adds the object. `clippy.toml` forbids `std::fs` and the file calls of
//! rustix in the other modules. Not here: what the files mean.

#![allow(clippy::disallowed_methods)] // the lint refers users to this module

pub mod input;
pub mod kernel;
pub mod named;
pub mod own;

use chyves_core::error::Problem;
use std::io::{Error, Read, Result};

/// The content of an open file of at most `limit` bytes. The file may grow while it is read.
fn bounded(file: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(Error::other(format!("it has more than {limit} bytes"))) } else { Ok(bytes) }
}

/// Wraps a problem in an I/O error, to pass it through a reader.
pub fn carried(problem: Problem) -> Error {
    Error::other(problem)
}

/// The problem that an I/O error carries, such as an interrupt, or `other` applied to the error.
pub fn problem(error: Error, other: impl FnOnce(Error) -> Problem) -> Problem {
    match error.downcast::<Problem>() {
        Ok(problem) => problem,
        Err(error) => other(error),
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::other("it is not UTF-8 text"))
}
