//! Files and addresses as they are written in a request: paths are made absolute, and must exist.

use chyves_core::error::{Code, Problem, Result};
use chyves_core::image::Source;
use chyves_core::value::printable;
use chyves_host::hostfs::named;

/// Parses a source as typed; a path becomes absolute.
pub(crate) fn source(text: &str) -> Result<Source> {
    match Source::parse(text)? {
        Source::File(path) => file(&path).map(Source::File),
        other => Ok(other),
    }
}

/// The absolute path of a file that exists. Links in it are followed when it is opened, once ([`chyves_host::import`]).
pub(crate) fn file(path: &str) -> Result<String> {
    let found = named::stat(path).and_then(|_| std::path::absolute(path)).map_err(|e| {
        let shown = printable(path, 200);
        Code::NoSuchFile
            .problem(format!("there is no file `{shown}`"))
            .on(&shown)
            .because(e)
            .hint("check the path; to download a file: `chyves image fetch ADDRESS`")
    })?;
    found.to_str().map(str::to_owned).ok_or_else(|| Problem::usage("the file's path is not UTF-8 text"))
}
