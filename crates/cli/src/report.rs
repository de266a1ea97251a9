//! The only place that converts a problem to a message and an exit status.

use crate::{command, output, words};
use anstyle::{AnsiColor, Style};
use chyves_core::error::{Kind, Problem};
use chyves_core::image::masked;
use chyves_core::value::BadValue;
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Prints a problem; returns its exit status.
pub(crate) fn problem(problem: &Problem, json: bool) -> ExitCode {
    let problem = &without_logins(problem);
    if json {
        output::print(&output::json(&serde_json::json!({ "error": problem })));
    } else {
        let _ = anstream::stderr().write_all(text(problem).as_bytes());
    }
    ExitCode::from(problem.code.exit_code())
}

/// Masks the passwords of addresses in all texts of a problem.
pub(crate) fn without_logins(problem: &Problem) -> Problem {
    let each = |texts: &[String]| texts.iter().map(|text| masked(text)).collect();
    Problem {
        message: masked(&problem.message),
        causes: each(&problem.causes),
        hints: each(&problem.hints),
        object: problem.object.as_deref().map(masked),
        ..problem.clone()
    }
}

/// A problem as shown to users: what failed, why, what to do.
pub(crate) fn text(problem: &Problem) -> String {
    let (red, bold) = (AnsiColor::Red.on_default().bold(), Style::new().bold());
    let mut text = format!("{red}error:{red:#} {}\n", problem.message);
    for cause in &problem.causes {
        let _ = writeln!(text, "  because: {}", cause.replace('\n', "\n           "));
    }
    for hint in &problem.hints {
        let _ = writeln!(text, "  {bold}hint:{bold:#} {hint}");
    }
    text
}

/// Reports a problem before the options were parsed, so the arguments are searched for `--json`.
pub(crate) fn early(found: &Problem) -> ExitCode {
    problem(found, std::env::args().any(|a| a == "--json"))
}

/// Reports an argument that is not UTF-8.
pub(crate) fn hostile_word(word: &std::ffi::OsStr) -> ExitCode {
    let shown = chyves_core::value::printable(&word.to_string_lossy(), 60);
    problem(&Problem::usage(format!("`{shown}` is not UTF-8 text")), false)
}

/// Converts clap's errors: help is no error, and an unknown word gets the nearest known one.
pub(crate) fn clap(error: &clap::Error, argv: &[String]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::print(&error.render().ansi().to_string());
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            // `chyves` alone is a request for help; a noun alone lacks its verb.
            return ExitCode::from(if argv.len() <= 1 { 0 } else { Kind::Usage.exit_code() });
        }
        _ => {}
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let word = context(ContextKind::InvalidSubcommand).or_else(|| context(ContextKind::InvalidArg)).unwrap_or_default();
    let shown = chyves_core::value::printable(&word, 60);
    let mut found = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            // The name of a bridge in place of the verb is no misspelt verb.
            let bridge = argv.iter().any(|w| w == "network") && words::could_be_bridge(&word);
            let verbs = || {
                format!(
                    "if {shown} is a bridge or a guest, a verb belongs behind it: `chyves network {shown} attach INTERFACE`, `private`, `set`, `delete` …; `chyves network list` shows the bridges"
                )
            };
            let lacks = || argv.iter().find_map(|noun| words::lacking(noun, &word)).map(str::to_owned);
            let near = if bridge { None } else { lacks().or_else(|| near(&word, argv)) };
            Problem::usage(format!("unknown command `{shown}`")).hint_if(near).hint_if(bridge.then(verbs))
        }
        ErrorKind::UnknownArgument => {
            let near = context(ContextKind::SuggestedArg).map(|s| format!("did you mean `{s}`?"));
            Problem::usage(format!("unexpected argument `{shown}`")).hint_if(near).hint_if(words::meant_by_place(argv))
        }
        ErrorKind::MissingRequiredArgument => Problem::usage(format!("{shown} is missing")).hint_if(words::meant_by_place(argv)),
        ErrorKind::ValueValidation => match std::error::Error::source(error).and_then(|e| e.downcast_ref::<BadValue>()) {
            Some(bad) => Problem::from(bad.clone()).within(format!("the value of `{shown}` is wrong")),
            None => Problem::usage(first_line(error)),
        },
        _ => Problem::usage(first_line(error)),
    };
    if !shown.is_empty() {
        found = found.on(&shown);
    }
    // With a suggestion, clap shows the usage of the suggested argument.
    if let Some(usage) = usage(error).filter(|_| error.get(ContextKind::SuggestedArg).is_none()) {
        found = found.hint(format!("usage: {usage}"));
    }
    early(&found.hint(format!("`{}` shows all of it", help_of(argv))))
}

/// The usage of the command, in one line.
fn usage(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else { return None };
    let text = usage.to_string();
    let line = text.lines().next()?.trim().trim_start_matches("Usage:").trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The command that shows the help of the typed command, including the verb of a noun.
fn help_of(argv: &[String]) -> String {
    let root = command::Cli::command();
    let mut below = &root;
    let mut help = "chyves help".to_owned();
    for word in argv.iter().skip(1) {
        let Some(found) = below.find_subcommand(word) else { continue };
        help.push(' ');
        help.push_str(found.get_name());
        below = found;
    }
    help
}

/// The first line of clap's message, without its prefix.
fn first_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    rendered.lines().next().unwrap_or("the command line is wrong").trim_start_matches("error: ").to_owned()
}

fn near(word: &str, argv: &[String]) -> Option<String> {
    let root = command::Cli::command();
    let below = argv.iter().skip(1).find_map(|w| root.find_subcommand(w));
    // Internal commands are not suggested.
    let verbs = below.unwrap_or(&root).get_subcommands().filter(|c| !c.is_hide_set());
    let names: Vec<&str> = verbs.map(clap::Command::get_name).collect();
    words::meant(word, &names, below.is_none())
}
