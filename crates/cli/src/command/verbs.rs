//! The table of verbs: the word that is typed, what it takes, and what it runs. A verb stands for itself; a noun has verbs
//! below it.
//!
//! It is one table, from which the whole command line is made as well as that of a verb alone.

use super::{
    adopt, clone, cloud_init, completions, console, create, delete, dev, disk, doctor, get, image, info, insert, list, network, pool,
    receive, reclaim, rename, repair, reset, restore, send, set, snapshot, start, stop, trash, version,
};
use crate::session::Session;
use chyves_core::error::Result;
use clap::{Args, Command, Subcommand};

macro_rules! verbs {
    ($($(#[$meta:meta])* $word:literal is $sort:ident $variant:ident($takes:ty), run by $run:path;)*) => {
        /// What was typed.
        #[derive(Debug, Subcommand)]
        pub(super) enum Verb {
            $($(#[$meta])* #[command(name = $word)] $variant($takes),)*
        }

        /// Runs it.
        pub(super) fn run(session: &Session, verb: &Verb) -> Result<()> {
            match verb {
                $(Verb::$variant(takes) => $run(session, takes),)*
            }
        }

        /// One verb without the others.
        pub(super) fn alone(word: &str) -> Option<Command> {
            match word {
                $($word => Some($sort::<$takes>(Command::new($word))),)*
                _ => None,
            }
        }
    };
}

verbs! {
    "adopt" is verb Adopt(adopt::Args), run by adopt::run;
    "clone" is verb Clone(clone::Args), run by clone::run;
    #[command(subcommand)]
    "cloud-init" is noun CloudInit(cloud_init::Verb), run by cloud_init::run;
    "completions" is verb Completions(completions::Args), run by completions::run;
    "console" is verb Console(console::Args), run by console::run;
    "create" is verb Create(create::Args), run by create::run;
    "delete" is verb Delete(delete::Args), run by delete::run;
    #[command(subcommand)]
    "dev" is noun Dev(dev::Verb), run by dev::run;
    #[command(subcommand)]
    "disk" is noun Disk(disk::Verb), run by disk::run;
    "doctor" is verb Doctor(doctor::Args), run by doctor::run;
    "eject" is verb Eject(insert::EjectArgs), run by insert::eject;
    /// Manage images of UEFI firmware
    #[command(subcommand)]
    "firmware" is noun Firmware(image::FirmwareVerb), run by image::firmware;
    "get" is verb Get(get::Args), run by get::run;
    #[command(subcommand)]
    "image" is noun Image(image::Verb), run by image::any;
    "info" is verb Info(info::Args), run by info::run;
    "insert" is verb Insert(insert::InsertArgs), run by insert::insert;
    /// Manage ISO images
    #[command(subcommand)]
    "iso" is noun Iso(image::Verb), run by image::iso;
    "list" is verb List(list::Args), run by list::run;
    "move" is verb Move(rename::MoveArgs), run by rename::relocate;
    #[command(subcommand)]
    "network" is noun Network(network::Verb), run by network::run;
    #[command(subcommand)]
    "pool" is noun Pool(pool::Verb), run by pool::run;
    "promote" is verb Promote(clone::PromoteArgs), run by clone::promote;
    "reclaim" is verb Reclaim(reclaim::Args), run by reclaim::run;
    "rename" is verb Rename(rename::RenameArgs), run by rename::rename;
    "repair" is verb Repair(repair::Args), run by repair::run;
    "reset" is verb Reset(reset::Args), run by reset::run;
    "receive" is verb Receive(receive::Args), run by receive::run;
    "send" is verb Send(send::Args), run by send::run;
    "set" is verb Set(set::Args), run by set::run;
    #[command(subcommand)]
    "snapshot" is noun Snapshot(snapshot::Verb), run by snapshot::run;
    "start" is verb Start(start::Args), run by start::run;
    "stop" is verb Stop(stop::Args), run by stop::run;
    #[command(subcommand)]
    "trash" is noun Trash(trash::Verb), run by trash::run;
    "undelete" is verb Undelete(delete::UndeleteArgs), run by delete::undelete;
    "unset" is verb Unset(set::UnsetArgs), run by set::unset;
    "version" is verb Version(version::Args), run by version::run;
    #[command(hide = true)]
    "_launch-spec" is verb LaunchSpec(start::LaunchSpecArgs), run by start::launch_spec;
    #[command(hide = true)]
    "_let-go" is verb LetGo(start::LetGoArgs), run by start::let_go;
    #[command(hide = true)]
    "_put-away" is verb PutAway(start::PutAwayArgs), run by start::put_away;
    #[command(hide = true)]
    "_restore" is verb Restore(restore::Args), run by restore::run;
    #[command(hide = true)]
    "_go-back" is verb GoBack(network::GoBackArgs), run by network::go_back;
}

/// A word that stands for itself.
fn verb<A: Args>(command: Command) -> Command {
    A::augment_args(command)
}

/// A word with verbs below it.
fn noun<V: Subcommand>(command: Command) -> Command {
    V::augment_subcommands(command.subcommand_required(true).arg_required_else_help(true))
}
