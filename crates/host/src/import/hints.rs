//! Hints after a failure that several stages of an import share.
//!
//! Not here: what failed and why (each stage).

use chyves_core::cmd::Cmd;
use chyves_core::error::{Kind, Problem};
use chyves_core::image::Source;
use std::path::Path;

/// For a file that the server does not have.
pub(super) const MOVED: &str = "check the address: vendors move their files with each release: `chyves image catalogue` lists \
    those that are known";

/// For an address that cannot be used.
pub(super) const ANOTHER: &str = "try another address: `chyves image fetch ADDRESS`";

/// Whether an error is a failed host name lookup, which the standard library reports only by its message.
pub(super) fn is_of_a_name(error: &std::io::Error) -> bool {
    error.raw_os_error().is_none() && error.to_string().starts_with("failed to lookup address information")
}

/// For a host name that cannot be resolved.
pub(super) fn named(host: &str) -> String {
    format!("check the name: `{}` resolves it, too", Cmd::new("getent", ["hosts", host]))
}

/// The command that fetches an address, in the form that may be shown.
pub(super) fn fetch(shown: &str) -> Cmd {
    Cmd::new("chyves", ["image", "fetch", shown])
}

/// The command that imports an image from a source.
pub(super) fn import(source: &Source) -> Cmd {
    match source {
        Source::Address(_) => fetch(&source.shown()),
        Source::File(path) => Cmd::new("chyves", ["image", "import", path]),
        Source::Input => Cmd::new("chyves", ["image", "import", "-"]),
    }
}

/// For a file that does not exist on this host.
pub(super) fn folder_of(path: &str) -> String {
    let above = Path::new(path).parent().and_then(Path::to_str).filter(|above| !above.is_empty()).unwrap_or(".");
    format!("check the path: `{}` shows what is there", Cmd::new("ls", ["-l", above]))
}

/// What a thing is that is neither a file nor a device with an end.
pub(super) fn is_not_a_file(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_dir() {
        "it is a folder"
    } else if kind.is_fifo() {
        "it is a pipe"
    } else if kind.is_socket() {
        "it is a socket"
    } else {
        "it is a device without an end"
    }
}

/// Adds a hint to try again, unless the problem already contains a command: a failure of a server may be temporary.
pub(super) fn again(problem: Problem, source: &Source) -> Problem {
    let typed = |hint: &String| hint.contains("chyves ") || hint.contains("--");
    match source {
        Source::Address(_) if problem.code == Kind::Failed && !problem.hints.iter().any(typed) => {
            problem.hint(format!("`{}` tries again", fetch(&source.shown())))
        }
        Source::Address(_) | Source::File(_) | Source::Input => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fetch_names_its_command_once_and_shell_words_are_quoted() {
        let source = Source::Address("https://me:word@h/a(1).img?token=x".into());
        let hints = |problem: Problem| again(problem, &source).hints;
        assert_eq!(hints(Problem::failed("x")), ["`chyves image fetch 'https://h/a(1).img'` tries again"]);
        assert_eq!(hints(Problem::failed("x").hint("--timeout SECONDS waits longer")).len(), 1);
        assert!(hints(Problem::usage("x")).is_empty(), "what is wrong stays wrong");
        assert!(again(Problem::failed("x"), &Source::Input).hints.is_empty());
        assert_eq!(folder_of("/a b/c"), "check the path: `ls -l '/a b'` shows what is there");
        assert!(folder_of("c").contains("`ls -l .`"));
    }
}
