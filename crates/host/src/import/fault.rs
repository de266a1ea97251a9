//! Problems of a layer of compression or an archive, with three distinct messages: it uses an unsupported feature, it has
//! trailing bytes, or it is damaged (or truncated).
//!
//! The decoders' own messages are meant for programmers and are not shown.

use super::content::Packing;
use chyves_core::error::Problem;
use chyves_core::value::printable;
use std::fmt;
use std::io;

/// A condition that a decoder knows not to be damage, passed through readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something follows the end of the data.
    Trailing,
    /// A feature of the data that is not supported.
    Unsupported(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trailing => f.write_str("trailing bytes"),
            Self::Unsupported(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

/// The problem that the layer called `name` could not be decoded.
pub(super) fn of(name: &str, packing: Packing, error: &io::Error) -> Problem {
    let word = packing.word();
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>());
    let truncated = error.kind() == io::ErrorKind::UnexpectedEof;
    // A decoder's own error for unsupported features.
    let said = (error.kind() == io::ErrorKind::Unsupported).then(|| Fault::Unsupported(printable(&error.to_string(), 200)));
    match fault.or(said.as_ref()) {
        Some(Fault::Trailing) => Problem::failed(format!("`{name}` has trailing bytes behind its end ({word})"))
            .because("the data itself is intact")
            .hint("something was appended to it: fetch it again, or unpack it with its own program, and import that: `chyves image import FILE`"),
        Some(Fault::Unsupported(what)) => Problem::failed(format!("`{name}` uses something of {word} that is not supported"))
            .because(what)
            .hint("it may be intact: unpack it with its own program, and import what is in it: `chyves image import FILE`"),
        None if truncated => Problem::failed(format!("`{name}` is damaged ({word})"))
            .because("it is truncated: it ends within its data")
            .hint("was the download complete? `chyves image fetch ADDRESS` fetches, and resumes a partial download"),
        None if is_of_data(error) => Problem::failed(format!("`{name}` is damaged ({word})"))
            .because("its data is corrupt")
            .hint("fetch it again, and give its hash: `chyves image fetch ADDRESS --hash HASH`"),
        None => Problem::failed(format!("cannot read `{name}` ({word})")).because(error),
    }
    .on(name)
}

/// Whether an error concerns the data, and not reading it.
fn is_of_data(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other)
}

/// A problem carried by an error beneath a decoder's errors, which must not be reported as damage.
pub(super) fn carried_beneath(error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
    let mut cause = Some(error);
    while let Some(e) = cause {
        let inner = e.downcast_ref::<io::Error>().and_then(|e| e.get_ref()).and_then(|inner| inner.downcast_ref::<Problem>());
        if let Some(problem) = inner.or_else(|| e.downcast_ref::<Problem>()) {
            return Some(problem.clone());
        }
        cause = e.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use chyves_core::error::Kind;

    #[test]
    fn a_problem_of_a_stage_before_is_no_damage() {
        let error = super::super::chunks::carried(Problem::interrupted());
        assert_eq!(carried_beneath(&error).map(|p| p.code), Some(Kind::Interrupted));
        assert_eq!(carried_beneath(&io::Error::from(io::ErrorKind::UnexpectedEof)), None);
    }
}
