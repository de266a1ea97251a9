//! One file per verb: its options with their help, and one function that runs it from request to result.
//!
//! To add a verb: a file here, a row in `verbs`, and its word in core's list of words that no guest may have as a name (a test
//! checks it).

mod adopt;
mod clone;
mod cloud_init;
mod completions;
mod console;
mod create;
mod delete;
mod dev;
mod disk;
mod doctor;
mod examples;
mod get;
mod image;
mod info;
mod insert;
mod list;
mod network;
mod pool;
mod receive;
mod reclaim;
mod rename;
mod repair;
mod reset;
mod restore;
mod send;
mod set;
mod snapshot;
mod ssh_keys;
mod start;
mod stop;
mod trash;
pub(crate) mod verbs;
mod version;

pub(crate) use adopt::table as host_settings;
pub(crate) use chyves_engine::op::FACTS;
pub(crate) use list::NOUNS;

use crate::report;
use crate::session::Session;
use crate::ui::{Ui, Volume};
use crate::words;
use chyves_core::error::{Problem, Result};
use chyves_core::os::Os;
use chyves_engine::{Engine, Events, present};
use chyves_host::{interrupt, runtime::Runtime};
use clap::{Args as _, CommandFactory, FromArgMatches, Parser};
use std::process::ExitCode;
use std::sync::Arc;

const ABOUT: &str = "Virtual machines on ZFS: bhyve on FreeBSD, QEMU on Linux";

const MORE: &str = "\
A guest's name may precede or follow the verb: `chyves web01 start` is `chyves start web01`.
Several guests: `a,b`, `a b`, or `all`. `chyves help VERB` shows more; chyves(8) lists the manual pages.

First steps:
  chyves pool init tank
  chyves image import ./debian.qcow2
  chyves create web01 --image debian --cpu 2 --ram 2G
  chyves start web01
  chyves console web01";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "chyves", version, about = ABOUT, after_help = MORE, arg_required_else_help = true, infer_long_args = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: verbs::Verb,
}

/// Common options.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Show the exact commands, change nothing
    #[arg(short = 'n', long, global = true)]
    dry_run: bool,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Print only answers and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Show each command as it runs
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    yes: bool,
    /// With --dry-run: plan for a host of that system (freebsd, linux); with `dev facts`: print its facts
    #[arg(long, global = true, value_name = "SYSTEM")]
    host: Option<Os>,
    /// With --host: the facts of that host, from a JSON file
    #[arg(long, global = true, value_name = "FILE", requires = "host")]
    facts: Option<String>,
}

/// Parses a command line. Only the typed verb is built, without the others, which halves the time of a short command. Help and
/// errors may mention any verb, so they are produced from the whole command line.
pub(crate) fn parse(argv: &[String]) -> std::result::Result<Cli, clap::Error> {
    let typed = words::verb(argv).and_then(|verb| only(verb)?.try_get_matches_from(argv).ok());
    let matches = typed.map_or_else(|| whole().try_get_matches_from(argv), Ok)?;
    Cli::from_arg_matches(&matches)
}

/// The whole command line, with examples at the end of each help.
pub(crate) fn whole() -> clap::Command {
    examples::with_examples(Cli::command())
}

/// The options of every command.
pub(crate) fn of_every_command() -> clap::Command {
    Global::augment_args(clap::Command::new("chyves"))
}

/// The command line with a single verb.
fn only(verb: &str) -> Option<clap::Command> {
    Some(of_every_command().infer_long_args(true).subcommand(verbs::alone(verb)?))
}

/// Runs a parsed command line; returns its exit status. `argv` is in the normalised order, `typed` as entered.
pub(crate) fn run(cli: &Cli, argv: &[String], typed: &[String]) -> ExitCode {
    let json = cli.global.json;
    if cli.global.host.is_some() && !cli.global.dry_run && !matches!(cli.verb, verbs::Verb::Dev(dev::Verb::Facts { .. })) {
        let problem = Problem::usage("--host plans for another host, which only --dry-run does").hint("add -n");
        return report::problem(&problem, json);
    }
    let session = match session(&cli.global, argv, words::is_implied(typed, argv)) {
        Ok(session) => session,
        Err(problem) => return report::problem(&problem, json),
    };
    if let Err(problem) = trusted(&session, &cli.verb) {
        return report::problem(&problem, json);
    }
    let result = verbs::run(&session, &cli.verb).map_err(|problem| words::neither(typed, report::without_logins(&problem)));
    session.ui.end(result.as_ref().err());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) if json => ExitCode::from(problem.code.exit_code()),
        Err(problem) => report::problem(&problem, false),
    }
}

/// Refuses root a runtime folder that others may write to, whatever the command; `doctor` reports it. Another user's commands check
/// it when they use it: most of what one may do without root needs none.
fn trusted(session: &Session, verb: &verbs::Verb) -> Result<()> {
    let needs_none = matches!(verb, verbs::Verb::Doctor(_) | verbs::Verb::Version(_) | verbs::Verb::Completions(_) | verbs::Verb::Dev(_));
    if needs_none || !rustix::process::geteuid().is_root() { Ok(()) } else { session.runtime.check() }
}

fn session(global: &Global, argv: &[String], implied: bool) -> Result<Session> {
    let volume = match (global.quiet, global.verbose) {
        (true, _) => Volume::Quiet,
        (false, true) => Volume::Verbose,
        (false, false) => Volume::Usual,
    };
    // First, since the facts may be read from a pipe.
    let interrupted = interrupt::watch();
    let facts = match (&global.facts, global.host) {
        (Some(file), _) => Some(present::stated_facts(file)?),
        (None, Some(Os::FreeBsd)) => Some(chyves_core::os::freebsd::release_14_3()),
        (None, Some(Os::Linux) | None) => None,
    };
    let ui = Arc::new(Ui::new(volume, global.json));
    let notes = Arc::clone(&ui);
    interrupt::show_with(move |text| notes.warn(text));
    let typed = chyves_core::image::masked(&argv.join(" "));
    let events: Arc<dyn Events> = Arc::<Ui>::clone(&ui);
    let mut engine = Engine::new(Runtime::from_env(), events, typed);
    engine.dry_run = global.dry_run;
    engine.yes = global.yes;
    engine.facts = facts;
    engine.interrupted = interrupted;
    engine.implied = implied;
    Ok(Session { engine, ui })
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_verb_takes_alone_what_it_takes_beside_the_others() {
        let takes = |c: &clap::Command| c.get_arguments().map(|a| format!("{a:?}")).collect::<Vec<_>>();
        let mut whole = Cli::command();
        whole.build();
        // clap's own help command has no row in the table.
        for verb in whole.get_subcommands().filter(|c| c.get_name() != "help") {
            let mut only = super::only(verb.get_name()).unwrap();
            only.build();
            let alone = only.find_subcommand(verb.get_name()).unwrap();
            assert_eq!(takes(alone), takes(verb));
            assert_eq!(alone.get_subcommands().count(), verb.get_subcommands().count());
            for below in verb.get_subcommands() {
                assert_eq!(takes(alone.find_subcommand(below.get_name()).unwrap()), takes(below));
            }
        }
    }

    #[test]
    fn no_command_is_a_guest() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            if !name.starts_with('_') {
                for word in command.get_subcommands().map(clap::Command::get_name).chain([name]) {
                    assert!(word.parse::<chyves_core::value::GuestName>().is_err(), "`{word}` could be a guest");
                }
            }
        }
    }
}
