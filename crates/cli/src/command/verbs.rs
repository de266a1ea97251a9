//! The table of commands: the word, whether guests may precede it, its arguments, and its function. A verb has no subcommands;
//! a noun has verbs, and with `["verb"]` a default one.
//!
//! The whole command line, the command line of a single command, both word orders (`words`), help and completion are made from
//! this table.

use super::{
    adopt, clone, cloud_init, completions, console, create, delete, dev, disk, doctor, get, image, info, insert, list, network, pool,
    receive, reclaim, rename, repair, reset, restore, send, set, snapshot, start, stop, trash, version,
};
use crate::session::Session;
use chyves_core::error::Result;
use clap::{Args, Command, Subcommand};

/// What a command acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Guests, which may precede it: `web01 start`.
    Guest,
    /// The host, an image, a pool.
    Host,
    /// Internal.
    Hidden,
}

/// A row of the table.
struct Row {
    word: &'static str,
    of: Of,
    usual: Option<&'static str>,
}

/// Every public command.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    // clap's own command.
    ROWS.iter().filter(|row| row.of != Of::Hidden).map(|row| row.word).chain(["help"])
}

/// Whether guests may precede a command.
pub(crate) fn takes_guests(word: &str) -> bool {
    ROWS.iter().any(|row| row.word == word && row.of == Of::Guest)
}

/// The default verb of a noun.
pub(crate) fn usual(noun: &str) -> Option<&'static str> {
    ROWS.iter().find(|row| row.word == noun)?.usual
}

const fn first(of: &[&'static str]) -> Option<&'static str> {
    if of.is_empty() { None } else { Some(of[0]) }
}

macro_rules! verbs {
    ($($(#[$meta:meta])* $word:literal is $of:ident $sort:ident $([$usual:literal])? $variant:ident($takes:ty), run by $run:path;)*) => {
        /// Every row.
        const ROWS: &[Row] = &[$(Row { word: $word, of: Of::$of, usual: first(&[$($usual)?]) },)*];

        /// What was typed.
        #[derive(Debug, Subcommand)]
        pub(super) enum Verb {
            $($(#[$meta])* #[command(name = $word)] $variant($takes),)*
        }

        /// Runs a command.
        pub(super) fn run(session: &Session, verb: &Verb) -> Result<()> {
            match verb {
                $(Verb::$variant(takes) => $run(session, takes),)*
            }
        }

        /// A single command, without the others.
        pub(crate) fn alone(word: &str) -> Option<Command> {
            match word {
                $($word => Some($sort::<$takes>(Command::new($word))),)*
                _ => None,
            }
        }
    };
}

verbs! {
    "adopt" is Guest verb Adopt(adopt::Args), run by adopt::run;
    "clone" is Guest verb Clone(clone::Args), run by clone::run;
    #[command(subcommand)]
    "cloud-init" is Guest noun["status"] CloudInit(cloud_init::Verb), run by cloud_init::run;
    "completions" is Host verb Completions(completions::Args), run by completions::run;
    "console" is Guest verb Console(console::Args), run by console::run;
    "create" is Guest verb Create(create::Args), run by create::run;
    "delete" is Guest verb Delete(delete::Args), run by delete::run;
    #[command(subcommand)]
    "dev" is Host noun Dev(dev::Verb), run by dev::run;
    #[command(subcommand)]
    "disk" is Guest noun["list"] Disk(disk::Verb), run by disk::run;
    "doctor" is Host verb Doctor(doctor::Args), run by doctor::run;
    "eject" is Guest verb Eject(insert::EjectArgs), run by insert::eject;
    /// Manage images of UEFI firmware
    #[command(subcommand)]
    "firmware" is Guest noun Firmware(image::FirmwareVerb), run by image::firmware;
    "get" is Guest verb Get(get::Args), run by get::run;
    #[command(subcommand)]
    "image" is Host noun Image(image::Verb), run by image::any;
    "info" is Guest verb Info(info::Args), run by info::run;
    "insert" is Guest verb Insert(insert::InsertArgs), run by insert::insert;
    /// Manage ISO images
    #[command(subcommand)]
    "iso" is Host noun Iso(image::Verb), run by image::iso;
    "list" is Guest verb List(list::Args), run by list::run;
    "move" is Guest verb Move(rename::MoveArgs), run by rename::relocate;
    #[command(subcommand)]
    "network" is Guest noun["list"] Network(network::Verb), run by network::run;
    #[command(subcommand)]
    "pool" is Host noun Pool(pool::Verb), run by pool::run;
    "promote" is Guest verb Promote(clone::PromoteArgs), run by clone::promote;
    "reclaim" is Guest verb Reclaim(reclaim::Args), run by reclaim::run;
    "rename" is Guest verb Rename(rename::RenameArgs), run by rename::rename;
    "repair" is Host verb Repair(repair::Args), run by repair::run;
    "reset" is Guest verb Reset(reset::Args), run by reset::run;
    "receive" is Host verb Receive(receive::Args), run by receive::run;
    "send" is Guest verb Send(send::Args), run by send::run;
    "set" is Guest verb Set(set::Args), run by set::run;
    #[command(subcommand)]
    "snapshot" is Guest noun["create"] Snapshot(snapshot::Verb), run by snapshot::run;
    "start" is Guest verb Start(start::Args), run by start::run;
    "stop" is Guest verb Stop(stop::Args), run by stop::run;
    #[command(subcommand)]
    "trash" is Host noun Trash(trash::Verb), run by trash::run;
    "undelete" is Guest verb Undelete(delete::UndeleteArgs), run by delete::undelete;
    "unset" is Guest verb Unset(set::UnsetArgs), run by set::unset;
    "version" is Host verb Version(version::Args), run by version::run;
    #[command(hide = true)]
    "_launch-spec" is Hidden verb LaunchSpec(start::LaunchSpecArgs), run by start::launch_spec;
    #[command(hide = true)]
    "_let-go" is Hidden verb LetGo(start::LetGoArgs), run by start::let_go;
    #[command(hide = true)]
    "_put-away" is Hidden verb PutAway(start::PutAwayArgs), run by start::put_away;
    #[command(hide = true)]
    "_restore" is Hidden verb Restore(restore::Args), run by restore::run;
    #[command(hide = true)]
    "_go-back" is Hidden verb GoBack(network::GoBackArgs), run by network::go_back;
}

/// Builds a command without subcommands.
fn verb<A: Args>(command: Command) -> Command {
    A::augment_args(command)
}

/// Builds a command with verbs.
fn noun<V: Subcommand>(command: Command) -> Command {
    V::augment_subcommands(command.subcommand_required(true).arg_required_else_help(true))
}
