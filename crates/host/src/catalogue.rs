//! The catalogue of images: a person's own tables, and the one that comes with the program.
//!
//! Not here: what a table says (chyves-core `catalogue`).

#![allow(clippy::disallowed_methods)] // an administrator's catalogues are read

use crate::facts;
use chyves_core::catalogue::{Entry, built_in, parse};
use chyves_core::error::{Problem, Result};
use chyves_core::os::Os;
use chyves_core::value::printable;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

/// No table is larger.
const LIMIT: u64 = 1 << 20;

/// The folder of a person's own tables; `CHYVES_CATALOGUE` names another.
pub fn folder() -> PathBuf {
    let usual = match facts::os() {
        Os::FreeBsd => "/usr/local/etc/chyves/catalogue.d",
        Os::Linux => "/etc/chyves/catalogue.d",
    };
    std::env::var_os("CHYVES_CATALOGUE").filter(|v| !v.is_empty()).map_or_else(|| usual.into(), PathBuf::from)
}

/// All entries, a person's own first, in the order of their files' names.
///
/// # Errors
/// A table can't be read, or can't be used.
pub fn entries() -> Result<Vec<Entry>> {
    let folder = folder();
    let cant = |path: &PathBuf, e: std::io::Error| {
        let shown = printable(&path.display().to_string(), 200);
        Problem::failed(format!("can't read the catalogue `{shown}`")).on(&shown).because(e)
    };
    let mut files = match std::fs::read_dir(&folder) {
        Ok(found) => found.map(|f| f.map(|f| f.path())).collect::<std::io::Result<Vec<_>>>().map_err(|e| cant(&folder, e))?,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(cant(&folder, e)),
    };
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let mut text = String::new();
        File::open(&path).and_then(|f| f.take(LIMIT).read_to_string(&mut text)).map_err(|e| cant(&path, e))?;
        all.extend(parse(&text, &path.display().to_string())?);
    }
    all.extend(built_in()?);
    Ok(all)
}
