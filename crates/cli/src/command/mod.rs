//! One file a verb: its options with their help, and one function that says its way from request to answer.
//!
//! To add a verb: a file here, a line in [`Verb`] and in `dispatch`, its word in `words`, and in core's list of words
//! that no guest may bear (a test checks it).

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
mod send;
mod set;
mod snapshot;
mod start;
mod stop;
mod trash;

use crate::report;
use crate::session::Session;
use crate::ui::{Ui, Volume};
use chyves_core::error::Result;
use chyves_core::os::Os;
use chyves_core::world::ImageKind;
use chyves_host::{observe, runtime::Runtime};
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::sync::Arc;

const ABOUT: &str = "Virtual machines on ZFS: bhyve on FreeBSD, QEMU on Linux";

const MORE: &str = "\
A guest's name may stand before or behind the verb: `chyves web01 start` is `chyves start web01`.
Several guests: `a,b`, `a b`, or `all`. `chyves help VERB` tells more; chyves(8) tells all.

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
    verb: Verb,
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Show the exact commands, change nothing
    #[arg(short = 'n', long, global = true)]
    dry_run: bool,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    /// Say only answers and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Show each command as it runs
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Answer every question with yes
    #[arg(short, long, global = true)]
    yes: bool,
    /// With --dry-run: plan for a host of that system (freebsd, linux)
    #[arg(long, global = true, value_name = "SYSTEM", requires = "dry_run")]
    host: Option<Os>,
    /// With --host: the facts of that host, from a JSON file
    #[arg(long, global = true, value_name = "FILE", requires = "host")]
    facts: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Adopt(adopt::Args),
    Clone(clone::Args),
    #[command(subcommand)]
    CloudInit(cloud_init::Verb),
    Completions(completions::Args),
    Console(console::Args),
    Create(create::Args),
    Delete(delete::Args),
    #[command(subcommand)]
    Dev(dev::Verb),
    #[command(subcommand)]
    Disk(disk::Verb),
    Doctor(doctor::Args),
    Eject(insert::EjectArgs),
    /// Manage images of UEFI firmware
    #[command(subcommand)]
    Firmware(image::FirmwareVerb),
    Get(get::Args),
    #[command(subcommand)]
    Image(image::Verb),
    Info(info::Args),
    Insert(insert::InsertArgs),
    /// Manage images of optical discs
    #[command(subcommand)]
    Iso(image::Verb),
    List(list::Args),
    Move(rename::MoveArgs),
    #[command(subcommand)]
    Network(network::Verb),
    #[command(subcommand)]
    Pool(pool::Verb),
    Promote(clone::PromoteArgs),
    Reclaim(reclaim::Args),
    Rename(rename::RenameArgs),
    Repair(repair::Args),
    Receive(receive::Args),
    Send(send::Args),
    Set(set::Args),
    #[command(subcommand)]
    Snapshot(snapshot::Verb),
    Start(start::Args),
    Stop(stop::Args),
    #[command(subcommand)]
    Trash(trash::Verb),
    Undelete(delete::UndeleteArgs),
    Unset(set::UnsetArgs),
    /// Print the version
    Version,
    #[command(name = "_launch-spec", hide = true)]
    LaunchSpec(start::LaunchSpecArgs),
    #[command(name = "_let-go", hide = true)]
    LetGo(start::LetGoArgs),
    #[command(name = "_put-away", hide = true)]
    PutAway(start::PutAwayArgs),
    #[command(name = "_go-back", hide = true)]
    GoBack(network::GoBackArgs),
}

/// Runs a parsed command line to its exit status.
pub(crate) fn run(cli: Cli, argv: &[String]) -> ExitCode {
    let json = cli.global.json;
    let session = match session(&cli.global, argv) {
        Ok(session) => session,
        Err(problem) => return report::problem(&problem, json),
    };
    let result = dispatch(&session, cli.verb);
    session.ui.end(result.as_ref().err());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) if json => ExitCode::from(problem.code.exit_code()),
        Err(problem) => report::problem(&problem, false),
    }
}

fn session(global: &Global, argv: &[String]) -> Result<Session> {
    let volume = match (global.quiet, global.verbose) {
        (true, _) => Volume::Quiet,
        (false, true) => Volume::Verbose,
        (false, false) => Volume::Usual,
    };
    let facts = match (&global.facts, global.host) {
        (Some(file), _) => Some(observe::stated_facts(file)?),
        (None, Some(Os::FreeBsd)) => Some(chyves_core::os::freebsd::release_14_3()),
        (None, Some(Os::Linux) | None) => None,
    };
    let interrupted = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // Where it can't be caught the command simply dies of it, as any other would.
        let _ = signal_hook::flag::register(signal, interrupted.clone());
    }
    Ok(Session {
        runtime: Runtime::from_env(),
        ui: Ui::new(volume, global.json),
        dry_run: global.dry_run,
        yes: global.yes,
        facts,
        typed: argv.join(" "),
        interrupted,
        held: std::sync::Mutex::default(),
        one_by_one: std::sync::atomic::AtomicBool::new(false),
    })
}

fn dispatch(session: &Session, verb: Verb) -> Result<()> {
    match verb {
        Verb::Adopt(args) => adopt::run(session, &args),
        Verb::Clone(args) => clone::run(session, &args),
        Verb::CloudInit(verb) => cloud_init::run(session, &verb),
        Verb::Completions(args) => {
            completions::run(session, &args);
            Ok(())
        }
        Verb::Console(args) => console::run(session, &args),
        Verb::Create(args) => create::run(session, &args),
        Verb::Delete(args) => delete::run(session, &args),
        Verb::Dev(verb) => dev::run(session, &verb),
        Verb::Disk(verb) => disk::run(session, &verb),
        Verb::Doctor(args) => doctor::run(session, &args),
        Verb::Eject(args) => insert::eject(session, &args),
        Verb::Get(args) => get::run(session, &args),
        Verb::Firmware(verb) => image::firmware(session, &verb),
        Verb::Image(verb) => image::run(session, None, &verb),
        Verb::Iso(verb) => image::run(session, Some(ImageKind::Iso), &verb),
        Verb::Info(args) => info::run(session, &args),
        Verb::Insert(args) => insert::insert(session, &args),
        Verb::List(args) => list::run(session, &args),
        Verb::Network(verb) => network::run(session, &verb),
        Verb::Move(args) => rename::relocate(session, &args),
        Verb::Pool(verb) => pool::run(session, &verb),
        Verb::Promote(args) => clone::promote(session, &args),
        Verb::Reclaim(args) => reclaim::run(session, &args),
        Verb::Rename(args) => rename::rename(session, &args),
        Verb::Repair(args) => repair::run(session, &args),
        Verb::Receive(args) => receive::run(session, &args),
        Verb::Send(args) => send::run(session, &args),
        Verb::Set(args) => set::run(session, &args),
        Verb::Snapshot(verb) => snapshot::run(session, &verb),
        Verb::Start(args) => start::run(session, &args),
        Verb::Stop(args) => stop::run(session, &args),
        Verb::Trash(verb) => trash::run(session, &verb),
        Verb::Undelete(args) => delete::undelete(session, &args),
        Verb::Unset(args) => set::unset(session, &args),
        Verb::Version => {
            if session.ui.json {
                session.ui.answer_json(serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }));
            } else {
                session.ui.answer(concat!("chyves ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            Ok(())
        }
        Verb::LaunchSpec(args) => start::launch_spec(session, &args),
        Verb::LetGo(args) => start::let_go(session, &args),
        Verb::GoBack(args) => network::go_back(session, &args),
        Verb::PutAway(args) => start::put_away(session, &args),
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use crate::words;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_known_in_both_word_orders_and_is_no_guest() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            if !name.starts_with('_') {
                assert!(words::commands().any(|w| w == name), "`{name}` is missing in words");
                for word in command.get_subcommands().map(clap::Command::get_name).chain([name]) {
                    assert!(word.parse::<chyves_core::value::GuestName>().is_err(), "`{word}` could be a guest");
                }
            }
        }
    }
}
