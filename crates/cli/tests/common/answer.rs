//! What one command said, and how a person would see a whole session of them.

use super::{Host, PROGRAM};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Read;
use std::process::Stdio;

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The command.
    pub line: String,
    /// Its exit status; 128 and more for a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// It ended so.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "chyves {}\n{}{}", self.line, self.out, self.err);
        self
    }

    /// It said this, on either stream.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "chyves {} does not say `{text}`:\n{}{}",
            self.line,
            self.out,
            self.err
        );
        self
    }

    /// It printed this value behind this label, as `info` does, however wide the column of labels is.
    #[track_caller]
    pub fn shows(self, label: &str, value: &str) -> Self {
        let there = self.out.lines().filter_map(|line| line.split_once(':')).any(|(l, v)| l == label && v.trim() == value);
        assert!(there, "chyves {} does not show `{label}: {value}`:\n{}", self.line, self.out);
        self
    }

    /// It did not say this.
    #[track_caller]
    #[allow(clippy::wrong_self_convention)] // reads on in a chain, as the others do
    pub fn is_silent_of(self, text: &str) -> Self {
        assert!(!self.out.contains(text) && !self.err.contains(text), "chyves {} says `{text}`:\n{}{}", self.line, self.out, self.err);
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("chyves {}: {e}:\n{}{}", self.line, self.out, self.err))
    }

    /// Its one line of standard output.
    #[track_caller]
    pub fn value(&self) -> &str {
        let mut lines = self.out.lines();
        match (lines.next(), lines.next()) {
            (Some(line), None) => line,
            _ => panic!("chyves {} is not a single line:\n{}", self.line, self.out),
        }
    }
}

/// A line as words: blanks part them, single quotes keep them together.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Host {
    /// Runs chyves with the words of a line.
    pub fn chyves(&self, line: &str) -> Answer {
        let words = words(line);
        self.chyves_words(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs chyves with these words.
    pub fn chyves_words(&self, words: &[&str]) -> Answer {
        let output = self.command(PROGRAM).args(words).stdin(Stdio::null()).output().unwrap();
        Answer {
            line: words.join(" "),
            code: output.status.code().unwrap_or(128),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs chyves, which must succeed.
    #[track_caller]
    pub fn ok(&self, line: &str) -> Answer {
        self.chyves(line).ends(0)
    }

    /// One value of a guest, as a script would ask for it.
    #[track_caller]
    pub fn value(&self, guest: &str, property: &str) -> String {
        self.ok(&format!("get {guest} {property} -H -o value")).value().to_owned()
    }

    /// What `list` says of a guest.
    #[track_caller]
    pub fn state(&self, guest: &str) -> String {
        let all = self.ok("list --json -o name,state").json();
        let found = all.as_array().unwrap().iter().find(|row| row["name"] == guest).unwrap_or_else(|| panic!("no {guest} in {all}"));
        found["state"].as_str().unwrap().to_owned()
    }

    /// A session as a terminal shows it: each command, its output, and its exit status where that is not 0.
    pub fn session(&self, lines: &[&str]) -> String {
        let mut screen = String::new();
        for line in lines {
            let (mut reader, writer) = std::io::pipe().unwrap();
            let mut child = self.command(PROGRAM);
            child.args(words(line)).stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
            let mut running = child.spawn().unwrap();
            // Ours would keep the pipe open.
            drop(child);
            let mut said = String::new();
            reader.read_to_string(&mut said).unwrap();
            let status = running.wait().unwrap();
            let _ = write!(screen, "$ chyves {line}\n{said}");
            if !status.success() {
                let _ = writeln!(screen, "[{status}]");
            }
        }
        self.tidy(&screen)
    }
}
