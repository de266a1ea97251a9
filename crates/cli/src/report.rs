//! A problem becomes words and an exit status, here and nowhere else.

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

/// Tells a problem and gives its exit status.
pub(crate) fn problem(problem: &Problem, json: bool) -> ExitCode {
    let problem = &without_logins(problem);
    if json {
        output::print(&output::json(&serde_json::json!({ "error": problem })));
    } else {
        let _ = anstream::stderr().write_all(text(problem).as_bytes());
    }
    ExitCode::from(problem.code.exit_code())
}

/// Whatever a message quotes, the password in an address is not shown.
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

/// A problem as people read it: what failed, why, what to do.
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

/// A problem before the options were read: `--json` is looked for by hand.
pub(crate) fn early(found: &Problem) -> ExitCode {
    problem(found, std::env::args().any(|a| a == "--json"))
}

/// A word that is no text.
pub(crate) fn hostile_word(word: &std::ffi::OsStr) -> ExitCode {
    let shown = chyves_core::value::printable(&word.to_string_lossy(), 60);
    problem(&Problem::usage(format!("`{shown}` is not UTF-8 text")), false)
}

/// What clap has to say, in our words: help is no error, a wrong word gets the nearest right one.
pub(crate) fn clap(error: &clap::Error, argv: &[String]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::print(&error.render().ansi().to_string());
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            // `chyves` alone asks what there is; a noun alone lacks its verb.
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
            // A bridge's name in the verb's place is no slip of a verb.
            let bridge = argv.iter().any(|w| w == "network") && words::could_be_bridge(&word);
            let verbs = || {
                format!(
                    "if {shown} is a bridge or a guest, a verb belongs behind it: `chyves network {shown} attach INTERFACE`, `private`, `set`, `delete` …; `chyves network list` shows the bridges"
                )
            };
            let near = if bridge { None } else { near(&word, argv) };
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
    // Beside a suggestion clap shows the usage of that.
    if let Some(usage) = usage(error).filter(|_| error.get(ContextKind::SuggestedArg).is_none()) {
        found = found.hint(format!("usage: {usage}"));
    }
    early(&found.hint(format!("`{}` shows all of it", help_of(argv))))
}

/// How the command is written, in one line.
fn usage(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else { return None };
    let text = usage.to_string();
    let line = text.lines().next()?.trim().trim_start_matches("Usage:").trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The command that shows the help of the one that was typed, with its verb below a noun.
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

/// clap's own words, without what stands around them.
fn first_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    rendered.lines().next().unwrap_or("the command line is wrong").trim_start_matches("error: ").to_owned()
}

fn near(word: &str, argv: &[String]) -> Option<String> {
    let root = command::Cli::command();
    let below = argv.iter().skip(1).find_map(|w| root.find_subcommand(w));
    // Internal commands are nobody's to type.
    let verbs = below.unwrap_or(&root).get_subcommands().filter(|c| !c.is_hide_set());
    let names: Vec<&str> = verbs.map(clap::Command::get_name).collect();
    words::meant(word, &names, below.is_none())
}
