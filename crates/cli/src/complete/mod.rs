//! Completion: the shell asks a hidden command for the candidates at the cursor, so that guests, snapshots, images, pools and
//! values are the current ones. It never writes, waits for no lock, and prints no errors, which would disturb the shell's
//! prompt.
//!
//! * `line`: the words up to the cursor, in both word orders
//! * `values`: the candidates for each kind of argument, by the name of its value in the help
//! * `present`: the current guests, snapshots, images, pools and bridges
//! * `scripts`: the scripts for the shells
//!
//! Not here: which argument the cursor is at, which clap_complete knows.

mod line;
mod present;
mod scripts;
mod values;

use crate::command::{Cli, verbs};
use clap::{Command, CommandFactory};
use clap_complete::engine::{self, CompletionCandidate};
use line::Line;
use present::Present;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

pub(crate) use scripts::script;

/// Name of the hidden command.
pub(crate) const WORD: &str = "_complete";

/// Prints candidates, one per line, each with a description after a tab. The arguments are the words of the line, the last one
/// unfinished; or `--line` and the text up to the cursor.
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let line = match &words[..] {
        [option, text] if option == "--line" => Line::split(text),
        [dashes, words @ ..] if dashes == "--" => Line::of(words.to_vec()),
        _ => Line::of(words),
    };
    let mut text = String::new();
    for candidate in candidates(&line) {
        let value = candidate.get_value().to_string_lossy().into_owned();
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.lines().next().unwrap_or_default();
        let _ = writeln!(text, "{}\t{}", chyves_core::value::printable(&value, 255), chyves_core::value::printable(help, 100));
    }
    crate::output::print(&text);
    ExitCode::SUCCESS
}

fn candidates(line: &Line) -> Vec<CompletionCandidate> {
    let present = Arc::new(Present::new(line.words.clone()));
    let mut found: Vec<CompletionCandidate> = Vec::new();
    for form in line.forms() {
        match form {
            line::Form::Snapshots => found.extend(present.snapshots_of_named(&line.current)),
            line::Form::Guests => found.extend(present.guests(&line.current)),
            line::Form::GuestCommands => found.extend(commands(&line.current)),
            line::Form::Words(words) => {
                let index = words.len().saturating_sub(1);
                let words = words.into_iter().map(OsString::from).collect();
                found.extend(engine::complete(&mut tree(&present), words, index, None).unwrap_or_default());
            }
        }
    }
    // Options are only offered if one is being typed or nothing else fits.
    let is_option = |c: &CompletionCandidate| c.get_value().to_string_lossy().starts_with('-');
    if !line.current.starts_with('-') && found.iter().any(|c| !is_option(c)) {
        found.retain(|c| !is_option(c));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|c| seen.insert(c.get_value().to_owned()));
    found
}

/// The commands that guests may precede.
fn commands(current: &str) -> Vec<CompletionCandidate> {
    let about = |word: &str| verbs::alone(word).and_then(|command| command.get_about().cloned());
    let words = verbs::words().filter(|word| word.starts_with(current) && verbs::takes_guests(word));
    words.map(|word| CompletionCandidate::new(word).help(about(word))).collect()
}

/// The whole command line, each argument with its candidates, without internal commands.
fn tree(present: &Arc<Present>) -> Command {
    with_values(shown(&Cli::command()), present)
}

fn with_values(command: Command, present: &Arc<Present>) -> Command {
    let path = command.get_name().to_owned();
    let command = command.mut_args(|arg| values::complete(arg, &path, present));
    command.mut_subcommands(|below| with_values(below, present))
}

/// A command without its internal subcommands.
pub(crate) fn shown(command: &Command) -> Command {
    let name = command.get_name().to_owned();
    let mut kept = Command::new(name).args(command.get_arguments().cloned());
    if let Some(about) = command.get_about() {
        kept = kept.about(about.clone());
    }
    let aliases: Vec<String> = command.get_visible_aliases().map(str::to_owned).collect();
    kept.visible_aliases(aliases).subcommands(command.get_subcommands().filter(|c| !c.is_hide_set()).map(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_argument_is_known() {
        fn walk(command: &Command, unknown: &mut Vec<String>) {
            for arg in command.get_arguments().filter(|a| a.get_action().takes_values() && a.get_possible_values().is_empty()) {
                let names = values::names(arg).into_iter().filter(|name| !values::is_known(name));
                unknown.extend(names.map(|name| format!("{name} of {}", command.get_name())));
            }
            command.get_subcommands().for_each(|below| walk(below, unknown));
        }
        let mut whole = shown(&Cli::command());
        whole.build();
        let mut unknown = Vec::new();
        walk(&whole, &mut unknown);
        assert!(unknown.is_empty(), "no completion is decided in `values` for {unknown:?}");
    }
}
