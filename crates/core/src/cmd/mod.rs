//! A command as data, not started: a program and its argument vector, printed so that it can be pasted into a shell.
//!
//! Not here: running it (chyves-host). Commands are never run through a shell.

use crate::value::is_deceptive;
use serde::{Deserialize, Serialize};

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cmd {
    /// The program: a name to look up in PATH, or an absolute path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Lines for its standard input; if empty, its standard input is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

impl Cmd {
    /// A command with these arguments.
    pub fn new<S: Into<String>>(program: &str, args: impl IntoIterator<Item = S>) -> Self {
        Self { program: program.to_owned(), args: args.into_iter().map(Into::into).collect(), lines: Vec::new() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The program that does the work: for a command in a jail, the program that jexec(8) runs.
    pub fn tool(&self) -> &str {
        if self.program == "jexec" { self.args.get(1).unwrap_or(&self.program) } else { &self.program }
    }

    /// Sets the lines for its standard input.
    #[must_use]
    pub fn reading(mut self, lines: Vec<String>) -> Self {
        self.lines = lines;
        self
    }
}

/// Whether a word needs no quotes in a shell.
fn plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:,=@%+^".contains(&b))
}

fn quoted(word: &str) -> String {
    if plain(word) {
        return word.to_owned();
    }
    if !word.chars().any(is_hidden) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    // What a terminal would act upon, or not show, is shown as the bytes that a shell makes of it.
    let mut text = "$'".to_owned();
    for c in word.chars() {
        match c {
            '\'' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            c if is_hidden(c) => text.extend(c.to_string().bytes().map(|byte| format!("\\{byte:03o}"))),
            c => text.push(c),
        }
    }
    text + "'"
}

fn is_hidden(c: char) -> bool {
    c.is_control() || is_deceptive(c)
}

impl std::fmt::Display for Cmd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.lines.is_empty() {
            f.write_str("printf '%s\\n'")?;
            for line in &self.lines {
                write!(f, " {}", quoted(line))?;
            }
            f.write_str(" | ")?;
        }
        f.write_str(&quoted(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

/// Splits the words of a property such as `bargs`: blanks separate words; `'…'` and `"…"` quote blanks; a backslash outside
/// single quotes quotes the next character. Nothing is expanded.
///
/// # Errors
/// An unclosed quote, or a backslash at the end; the text states which.
pub fn split_words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    let mut quote: Option<char> = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = chars.next().ok_or("a backslash stands at the end")?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(q) = quote {
        return Err(format!("the quote {q} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_split_by_the_stated_rule() {
        assert_eq!(split_words(r#"-A  -o 'a b' "c\"d" e\ f ''"#).unwrap(), ["-A", "-o", "a b", "c\"d", "e f", ""]);
        assert_eq!(split_words("  ").unwrap(), Vec::<String>::new());
        assert_eq!(split_words("$HOME `id` *").unwrap(), ["$HOME", "`id`", "*"]);
        assert!(split_words("'a").is_err());
        assert!(split_words("a\\").is_err());
    }

    #[test]
    fn a_command_can_be_pasted() {
        let cmd = Cmd::new("zfs", ["set", "chyves:description=it's $HOME", "tank/a"]);
        assert_eq!(cmd.to_string(), r"zfs set 'chyves:description=it'\''s $HOME' tank/a");
        let cmd = Cmd::new("ngctl", ["-f", "-"]).reading(vec!["name .:made lan".into(), "quit".into()]);
        assert_eq!(cmd.to_string(), r"printf '%s\n' 'name .:made lan' quit | ngctl -f -");
    }

    #[test]
    fn what_a_terminal_would_act_upon_is_shown_as_bytes() {
        let word = "notes=x\u{1b}]0;it's\u{7}\\\u{202e}\u{9b}é\n";
        let shown = Cmd::new("zfs", ["set", word]).to_string();
        assert_eq!(shown, r"zfs set $'notes=x\033]0;it\'s\007\\\342\200\256\302\233é\n'");
    }

    proptest! {
        #[test]
        fn what_is_printed_splits_to_the_same(words in proptest::collection::vec("[ -~]{0,12}", 1..6)) {
            let cmd = Cmd::new(&words[0], words[1..].to_vec());
            prop_assert_eq!(split_words(&cmd.to_string()).unwrap(), words);
        }
    }
}
