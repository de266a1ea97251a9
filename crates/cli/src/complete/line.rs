//! The line up to the cursor: its words, and their interpretation with the verb first.

use crate::command::verbs;
use crate::words::{self, Options};

/// A line that is being typed.
pub(super) struct Line {
    /// The finished words, beginning with the program's name.
    pub(super) words: Vec<String>,
    /// The word at the cursor, up to the cursor.
    pub(super) current: String,
}

/// One interpretation of the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Words in the order that the parser expects, ending with the one at the cursor.
    Words(Vec<String>),
    /// A guest's name is at the cursor.
    Guests,
    /// A command that guests may precede is at the cursor.
    GuestCommands,
    /// A snapshot, `@before`, of a guest that was named.
    Snapshots,
}

impl Line {
    /// From words that the shell has split.
    pub(super) fn of(mut words: Vec<String>) -> Self {
        let current = words.pop().unwrap_or_default();
        if words.is_empty() {
            words.push("chyves".to_owned());
        }
        Self { words, current }
    }

    /// Splits a text at unquoted blanks. This is for shells that break words at `=`, `@` and `:`.
    pub(super) fn split(text: &str) -> Self {
        let mut words = vec![String::new()];
        let mut quote = None;
        let mut letters = text.chars();
        while let Some(c) = letters.next() {
            let word = words.len() - 1;
            match (c, quote) {
                ('\\', None | Some('"')) => words[word].extend(letters.next()),
                (c, Some(open)) if c == open => quote = None,
                ('"' | '\'', None) => quote = Some(c),
                (' ' | '\t', None) if words[word].is_empty() => {}
                (' ' | '\t', None) => words.push(String::new()),
                (c, _) => words[word].push(c),
            }
        }
        Self::of(words)
    }

    /// The possible interpretations.
    pub(super) fn forms(&self) -> Vec<Form> {
        let with = |words: &[String]| Form::Words(words.iter().cloned().chain([self.current.clone()]).collect());
        let next = |from| words::position(&self.words, from, &Options::of_all());
        let Some(first) = next(1) else { return self.first_word(with(&self.words)) };
        if !words::commands().any(|word| word == self.words[first]) {
            // Guests first: the guests are moved behind the verb.
            let mut at = first;
            while let Some(word) = next(at + 1) {
                if verbs::takes_guests(&self.words[word]) {
                    let mut words = self.words.clone();
                    let guests: Vec<String> = words.drain(first..word).collect();
                    words.splice(first + 1..=first, guests);
                    return Self { words, current: self.current.clone() }.behind_verb(first);
                }
                at = word;
            }
            return vec![Form::GuestCommands, Form::Guests];
        }
        self.behind_verb(first)
    }

    fn first_word(&self, words: Form) -> Vec<Form> {
        if self.current.starts_with('-') { vec![words] } else { vec![words, Form::Guests] }
    }

    /// The interpretations of what follows a verb, which is at index `first`.
    fn behind_verb(&self, first: usize) -> Vec<Form> {
        if self.current.starts_with('@') {
            return vec![Form::Snapshots];
        }
        let form = |words: Vec<String>| Form::Words(words.into_iter().chain([self.current.clone()]).collect());
        let Some(usual) = verbs::usual(&self.words[first]) else { return vec![form(self.words.clone())] };
        let noun = self.words[first].as_str();
        let options = Options::of(noun);
        let next = |from| words::position(&self.words, from, &options);
        let implied = |place: usize| {
            let mut words = self.words.clone();
            words.insert(place, usual.to_owned());
            form(words)
        };
        match next(first + 1) {
            // The noun's verbs, and the arguments of its default verb.
            None => vec![form(self.words.clone()), implied(first + 1)],
            Some(at) if words::is_below(noun, &self.words[at]) => vec![form(self.words.clone())],
            Some(object) => match next(object + 1) {
                // `disk web01 add` is `disk add web01`.
                Some(verb) if words::is_below(noun, &self.words[verb]) => {
                    let mut words = self.words.clone();
                    let verb = words.remove(verb);
                    words.insert(object, verb);
                    vec![form(words)]
                }
                Some(_) => vec![implied(object)],
                None => {
                    let mut words = self.words.clone();
                    words.remove(object);
                    vec![form(words), implied(object)]
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str) -> Vec<String> {
        let shown = |form: Form| match form {
            Form::Words(words) => words[1..].join(" "),
            other => format!("{other:?}"),
        };
        Line::split(text).forms().into_iter().map(shown).collect()
    }

    #[test]
    fn both_word_orders_complete_alike() {
        for (typed, meant) in [
            ("chyves st", &["st", "Guests"][..]),
            ("chyves start ", &["start "]),
            ("chyves web01 ", &["GuestCommands", "Guests"]),
            ("chyves web01 start --fore", &["start web01 --fore"]),
            ("chyves -n web01 web02 sto", &["GuestCommands", "Guests"]),
            ("chyves web01 disk ", &["disk ", "disk list web01 "]),
            ("chyves disk web01 re", &["disk re", "disk list web01 re"]),
            ("chyves disk web01 resize d", &["disk resize web01 d"]),
            ("chyves web01 disk resize d", &["disk resize web01 d"]),
            ("chyves snapshot ", &["snapshot ", "snapshot create "]),
            ("chyves web01 snapshot rollback @b", &["Snapshots"]),
            ("chyves set web01 disk0.bus=n", &["set web01 disk0.bus=n"]),
            ("chyves set 'web01' ram=\"1", &["set web01 ram=1"]),
            ("chyves --host freebsd start ", &["--host freebsd start "]),
            ("chyves -", &["-"]),
        ] {
            assert_eq!(forms(typed), meant, "{typed}");
        }
    }
}
