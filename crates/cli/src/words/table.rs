//! What the normalisation of word orders needs from the table of commands: the verbs of a noun, and the options whose value is
//! the next word.

use crate::command::{self, verbs};
use clap::{ArgAction, Command};
use std::cell::OnceCell;

/// The verbs of a noun that has a default verb, in the order of its help; none for another word.
pub(super) fn below(noun: &str) -> Option<Vec<String>> {
    verbs::usual(noun)?;
    let noun = verbs::alone(noun)?;
    Some(noun.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().to_owned()).collect())
}

/// Whether a word is a verb of such a noun, including hidden ones.
pub(crate) fn is_below(noun: &str, word: &str) -> bool {
    verbs::usual(noun).and_then(|_| verbs::alone(noun)).is_some_and(|noun| noun.find_subcommand(word).is_some())
}

/// The options of a command, as far as they affect the meaning of the words after them. They are collected when the first
/// option is found.
pub(crate) struct Options<'a> {
    command: Option<&'a str>,
    found: OnceCell<Found>,
}

#[derive(Default)]
struct Found {
    /// Long options with a value, and those without.
    long: (Vec<String>, Vec<String>),
    /// Short options with a value.
    short: Vec<char>,
}

impl<'a> Options<'a> {
    /// The options that every command has.
    pub(crate) const fn of_all() -> Self {
        Self { command: None, found: OnceCell::new() }
    }

    /// The options of a command, and of its verbs.
    pub(crate) const fn of(command: &'a str) -> Self {
        Self { command: Some(command), found: OnceCell::new() }
    }

    /// Whether the next word is the value of this one: `--from @a`, `-o name`, `-Ho name`, and `--incr` for
    /// `--incremental-for`.
    pub(super) fn take_next(&self, word: &str) -> bool {
        let Some(option) = word.strip_prefix('-') else { return false };
        let found = self.found.get_or_init(|| {
            let mut found = Found::default();
            found.add(&command::of_every_command());
            if let Some(own) = self.command.and_then(verbs::alone) {
                found.add(&own);
            }
            found
        });
        match option.strip_prefix('-') {
            Some(long) => {
                let (valued, plain) = &found.long;
                let is = |options: &[String]| options.iter().any(|o| o == long);
                let begins = |options: &[String]| !long.is_empty() && options.iter().any(|o| o.starts_with(long));
                is(valued) || !is(plain) && begins(valued) && !begins(plain)
            }
            // The rest of the word after an option with a value is its value.
            None => option.chars().position(|c| found.short.contains(&c)).is_some_and(|at| at + 1 == option.chars().count()),
        }
    }
}

impl Found {
    fn add(&mut self, command: &Command) {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            let valued = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set();
            let longs = arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten()).map(str::to_owned);
            if valued {
                self.long.0.extend(longs)
            } else {
                self.long.1.extend(longs)
            }
            self.short.extend(arg.get_short().filter(|_| valued));
        }
        for below in command.get_subcommands() {
            self.add(below);
        }
    }
}
