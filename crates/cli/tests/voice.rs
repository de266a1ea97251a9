//! The words that chyves does not use, in whatever a person reads: help, errors, man pages, documents. Each has a plain one that
//! the field uses.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report
#![allow(clippy::disallowed_methods)] // the files are the project's own

use std::path::{Path, PathBuf};
use std::process::Command;

/// A word or phrase that is not used, and what is written instead.
const UNUSED: &[(&[&str], &str)] = &[
    (&["card", "cards"], "network interface, NIC"),
    (&["screen", "screens"], "display"),
    (&["put away", "puts away", "clear up", "clears up", "cleared up"], "clean up, remove"),
    (&["take back", "takes back", "taken back", "took back"], "roll back, undo"),
    (&["stands on", "stand on"], "depends on"),
    (&["tell", "tells", "told", "say", "says", "said", "speak", "speaks", "spoken"], "show, report, state, list"),
    (&["felt"], "takes effect"),
    (&["pull the plug", "pulls the plug", "pulled the plug"], "power off forcibly"),
    (&["again and again"], "repeatedly, every N seconds"),
    (&["lies in", "lie in", "sits at", "sit at", "of then"], "is in, is attached to, from that time"),
    (&["which is it", "who has it", "who has what"], "owner, used by"),
    (&["anew", "from the beginning"], "again, from scratch"),
    (&["look at", "looks at", "looked at"], "inspect, query, read"),
    (&["ask ZFS", "asks ZFS", "asked ZFS"], "query ZFS"),
    (&["in a circle"], "loop"),
    (&["not understood"], "unknown, unexpected"),
    (&["not whole"], "incomplete, truncated"),
    (&["takes one of"], "one of"),
    (&["disc", "discs"], "ISO, optical drive"),
    (&["packing"], "compression, archive format"),
    (&["guest's system"], "guest operating system"),
    (&["went down", "goes down"], "host crash, power loss"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The phrases in a text that are not used, with what to write.
fn unused(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let mut found = Vec::new();
    for (phrases, instead) in UNUSED {
        for phrase in *phrases {
            let mut from = 0;
            while let Some(at) = lower[from..].find(&phrase.to_lowercase()).map(|at| at + from) {
                let end = at + phrase.len();
                if !is_letter(lower[..at].chars().next_back()) && !is_letter(lower[end..].chars().next()) {
                    found.push(format!("`{phrase}` ({instead})"));
                }
                from = end;
            }
        }
    }
    found
}

/// Fails with every place.
fn none_in(places: impl IntoIterator<Item = (String, String)>) {
    let mut bad = Vec::new();
    let mut read = 0;
    for (place, text) in places {
        read += 1;
        bad.extend(unused(&text).into_iter().map(|found| format!("{place}: {found}: {}", text.trim())));
    }
    assert!(read > 0, "nothing was read");
    assert!(bad.is_empty(), "{} words of the former dialect:\n{}", bad.len(), bad.join("\n"));
}

fn lines(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    text.lines().enumerate().map(|(n, line)| (format!("{name}:{}", n + 1), line.to_owned())).collect()
}

fn files(below: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

#[test]
fn in_the_manual_pages_and_the_documents() {
    let root = root();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join("man")).unwrap() {
        found.push(entry.unwrap().path());
    }
    files(&root.join("docs"), ".md", &mut found);
    found.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root.join(name)));
    // Code in a document has its own words.
    let text = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    none_in(found.iter().flat_map(|path| lines(path)).map(|(place, line)| (place, text(&line))));
}

#[test]
fn in_the_help() {
    let help = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_chyves")).args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // A line of help below `Commands:` begins with two blanks and the command.
    let below = |text: &str| -> Vec<String> {
        let list = text.split_once("\nCommands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap_or_default().to_owned());
        let lines = list.unwrap_or_default();
        let words = lines.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   ")).filter_map(|l| l.split_whitespace().next());
        words.filter(|word| *word != "help").map(str::to_owned).collect()
    };
    let top = help(&[]);
    let mut all = vec![("chyves".to_owned(), top.clone())];
    for verb in below(&top) {
        let text = help(&[&verb]);
        for noun in below(&text) {
            all.push((format!("{verb} {noun}"), help(&[&verb, &noun])));
        }
        all.push((verb, text));
    }
    assert!(all.len() > 60, "only {} commands were found", all.len());
    none_in(all.iter().flat_map(|(command, text)| text.lines().map(|line| (command.clone(), line.to_owned()))));
}

/// The texts of a source file between quotes, with the number of their line: errors, hints, results. Tests in it are left out.
fn literals(source: &str) -> Vec<(usize, String)> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut letters = source.char_indices().peekable();
    let line = |at: usize| source[..at].matches('\n').count() + 1;
    while let Some((at, c)) = letters.next() {
        let rest = &source[at..];
        if rest.starts_with("//") {
            while letters.next_if(|(_, c)| *c != '\n').is_some() {}
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            let text = raw.split("\"#").next().unwrap_or_default();
            found.push((line(at), text.to_owned()));
            for _ in 0..text.chars().count() + 4 {
                letters.next();
            }
        } else if c == '\'' {
            // A letter, and no lifetime.
            let mut ahead = rest.chars().skip(1);
            let (first, second) = (ahead.next(), ahead.next());
            let length = if first == Some('\\') { rest[2..].find('\'').map(|n| n + 2) } else { (second == Some('\'')).then_some(2) };
            for _ in 0..length.unwrap_or_default() {
                letters.next();
            }
        } else if c == '"' {
            let mut text = String::new();
            while let Some((_, c)) = letters.next() {
                match c {
                    '"' => break,
                    '\\' => drop(letters.next()),
                    c => text.push(c),
                }
            }
            found.push((line(at), text));
        }
    }
    found
}

/// A text without the names of what is put in.
fn without_placeholders(text: &str) -> String {
    let mut kept = String::new();
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= i32::from(depth > 0),
            c if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

#[test]
fn in_errors_hints_and_results() {
    let root = root();
    let mut sources = Vec::new();
    for crate_ in ["core", "host", "cli"] {
        files(&root.join("crates").join(crate_).join("src"), ".rs", &mut sources);
    }
    sources.retain(|path| !path.to_string_lossy().ends_with("tests.rs"));
    let mut texts = Vec::new();
    for path in &sources {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        // A sentence, not a name that programs exchange.
        let read = literals(&std::fs::read_to_string(path).unwrap()).into_iter().filter(|(_, text)| text.contains(' '));
        texts.extend(read.map(|(line, text)| (format!("{name}:{line}"), without_placeholders(&text))));
    }
    none_in(texts);
}

#[test]
fn what_is_not_used_is_found() {
    assert_eq!(unused("the card says so"), ["`card` (network interface, NIC)", "`says` (show, report, state, list)"]);
    assert!(unused("a discard, a flashcard-reader and a retold essay").is_empty());
    let source = "// it says\nlet a = \"one\\\"two\"; let b: &'static str = r#\"raw \"q\" text\"#; let c = '\"';\nf(\"three {told}\")";
    assert_eq!(literals(source), [(2, "onetwo".into()), (2, "raw \"q\" text".into()), (3, "three {told}".into())]);
    assert_eq!(without_placeholders("three {told} {a:?}x"), "three  x");
}
