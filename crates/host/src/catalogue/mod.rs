//! The catalogue of images: the administrator's own tables, and the catalogue in force, which comes with the program or was
//! installed from a signed file.
//!
//! * [`update`]: reading and checking a catalogue that is about to be installed
//!
//! Not here: the contents of a table, and which catalogue is in force (chyves-core `catalogue`).

pub mod update;

use crate::facts;
use crate::hostfs::{self, named, own as own_files};
use crate::runtime::Runtime;
use chyves_core::catalogue::installed::State;
use chyves_core::catalogue::{Catalogue, Entry, parse};
use chyves_core::error::{Problem, Result};
use chyves_core::os::Os;
use chyves_core::value::json;
use chyves_core::value::printable;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Size limit of a table, in bytes.
const LIMIT: u64 = 1 << 20;
/// Size limit of the state file, in bytes: two catalogues and a key, as JSON.
const STATE_LIMIT: u64 = 16 << 20;

/// The folder of the administrator's own tables; `CHYVES_CATALOGUE` overrides it.
pub fn folder() -> PathBuf {
    let usual = match facts::os() {
        Os::FreeBsd => "/usr/local/etc/chyves/catalogue.d",
        Os::Linux => "/etc/chyves/catalogue.d",
    };
    std::env::var_os("CHYVES_CATALOGUE").filter(|v| !v.is_empty()).map_or_else(|| usual.into(), PathBuf::from)
}

fn cant(path: &Path, e: &std::io::Error) -> Problem {
    let shown = printable(&path.display().to_string(), 200);
    Problem::failed(format!("cannot read the catalogue `{shown}`")).on(&shown).because(e)
}

/// The administrator's own entries, in the order of their files' names.
///
/// # Errors
/// A table cannot be read, or is invalid.
pub fn own() -> Result<Vec<Entry>> {
    let folder = folder();
    let mut files = match named::list(&folder) {
        Ok(files) => files,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(cant(&folder, &e)),
    };
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    let mut all = Vec::new();
    for path in files {
        let text = named::text(&path, LIMIT).map_err(|e| hostfs::problem(e, |e| cant(&path, &e)))?;
        all.extend(parse(&text, &path.display().to_string())?);
    }
    Ok(all)
}

/// Path of the file that records the installed catalogue.
pub fn state_file(runtime: &Runtime) -> PathBuf {
    runtime.lasting().join("catalogue.json")
}

/// The installed catalogue; empty if this user has no permission to read it.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn state(runtime: &Runtime) -> Result<State> {
    let path = state_file(runtime);
    let text = match own_files::text(&path, STATE_LIMIT) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => return Ok(State::default()),
        Err(e) => return Err(cant(&path, &e)),
    };
    json::from_str(&text).map_err(|e| {
        let shown = printable(&path.display().to_string(), 200);
        Problem::failed(format!("the file of the installed catalogue `{shown}` is damaged")).on(&shown).because(e).hint(format!(
            "remove it (`rm {shown}`), and install the catalogue again: `chyves image catalogue update FILE|ADDRESS --key FILE`"
        ))
    })
}

/// The catalogue in force, without the administrator's own tables.
///
/// # Errors
/// As [`state`], or the installed catalogue is invalid.
pub fn in_force() -> Result<Catalogue> {
    Ok(state(&Runtime::from_env())?.in_force()?.0)
}

/// Every known entry: the administrator's own, then those of the catalogue in force.
///
/// # Errors
/// As [`own`] and [`in_force`].
pub fn all() -> Result<Catalogue> {
    let mut all = in_force()?;
    all.systems = [own()?, all.systems].concat();
    Ok(all)
}
