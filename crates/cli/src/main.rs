//! The command line of chyves: arguments are parsed, plans shown or run, results printed.
//!
//! * `words`: normalises the two word orders
//! * `command`: one file per verb
//! * `session`: the common parts of every command: observe, lock, plan, run
//! * `ui`, `table`, `report`: the only modules that print; `output` detects lost output
//! * `complete`, `manual`: completion, and the generated manual page
//!
//! Not here: deciding (chyves-core) and effects (chyves-host).

#![forbid(unsafe_code)]

mod command;
mod complete;
mod manual;
mod output;
mod report;
mod session;
mod table;
mod targets;
mod ui;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    chyves_host::child::detach_from_caller();
    let argv: Vec<std::ffi::OsString> = std::env::args_os().collect();
    // Before everything else: a supervisor runs as long as its guest, and keeps in memory what it loads.
    if argv.get(1).is_some_and(|word| word == "_supervise") {
        return ExitCode::from(chyves_host::supervise::main_detached());
    }
    if argv.get(1).is_some_and(|word| word == chyves_host::confine::WORD) {
        return ExitCode::from(chyves_host::confine::main());
    }
    if argv.get(1).is_some_and(|word| word == chyves_host::detached_stream::WORD) {
        return ExitCode::from(chyves_host::detached_stream::main());
    }
    if argv.get(1).is_some_and(|word| word == chyves_host::confine::tool::WORD) {
        return ExitCode::from(chyves_host::confine::tool::main());
    }
    if argv.get(1).is_some_and(|word| word == chyves_host::guest_files::WORD) {
        return ExitCode::from(chyves_host::guest_files::main(argv.into_iter().skip(2)));
    }
    if argv.get(1).is_some_and(|word| word == complete::WORD) {
        return output::end(complete::main(argv.into_iter().skip(2).collect()));
    }
    output::end(run(chyves_host::arguments::typed()))
}

fn run(argv: Vec<std::ffi::OsString>) -> ExitCode {
    let mut text = Vec::with_capacity(argv.len());
    for word in argv {
        match word.into_string() {
            Ok(word) => text.push(word),
            Err(odd) => return report::hostile_word(&odd),
        }
    }
    let typed = text.clone();
    let text = match words::canonical(text) {
        Ok(text) => text,
        Err(problem) => return report::early(&words::explained(problem, &typed)),
    };
    if let [_, help, key] = &text[..]
        && help == "help"
        && let Some(entry) = manual::entry_of(key)
    {
        output::print(&entry);
        return ExitCode::SUCCESS;
    }
    match command::parse(&text) {
        Ok(cli) => command::run(&cli, &text, &typed),
        Err(error) => report::clap(&error, &text),
    }
}
